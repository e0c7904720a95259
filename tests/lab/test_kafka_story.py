"""``peerboot lab demo kafka`` without a Kafka: its honesty, its looks, what is missing, two sets in one lab."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from peerboot import cli
from peerboot.lab import demo, kafka_client
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.demo_sight import PodSight, Sight
from peerboot.lab.errors import LabError
from peerboot.lab.kafka_client import Writer, run_tool
from peerboot.lab.kafka_story import SCENES, KafkaStory
from peerboot.lab.pod import Pod, PodSpec
from peerboot.lab.servers import Server
from peerboot.lab.sets import two_sets
from peerboot.lab.story import Step, Story, Teller

ACKNOWLEDGED = {(0, 0): "0", (0, 1): "2", (1, 0): "1"}


@pytest.fixture
async def sets(root: Path) -> AsyncGenerator[tuple[Lab, Lab], None]:
    """Two sets that are not started, whose Kafka is a directory of scripts."""
    (root / "home" / "bin").mkdir(parents=True)
    (root / "lab" / "logs").mkdir(parents=True)
    labs = two_sets(LabSpec(root=root / "lab", server=Server("4.3.1", root / "home", "nowhere", "kafka")))
    yield labs
    for lab in reversed(labs):
        await lab.stop()


def script(lab: Lab, name: str, text: str) -> None:
    """A tool of that Kafka."""
    path = lab.spec.server.path / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def consumer(lab: Lab, records: Mapping[tuple[int, int], str], end: str = "") -> None:
    """One that tells these records, and then does something else."""
    rows = (
        {"name": "record_data", "partition": part, "offset": offset, "value": value}
        for (part, offset), value in records.items()
    )
    told = ["log: not JSON", json.dumps({"name": "startup_complete"}), *map(json.dumps, rows)]
    script(lab, "kafka-run-class.sh", "\n".join([f"echo '{line}'" for line in told] + [end]))


# -------------------------------------------------------------------- honesty


MISSED: dict[str, tuple[dict[tuple[int, int], str], list[str]]] = {
    "all are there": (ACKNOWLEDGED, []),
    "more is there": ({**ACKNOWLEDGED, (1, 1): "9"}, []),
    "one is missing": ({(0, 0): "0", (1, 0): "1"}, ["2"]),
    "another one is in its place": ({**ACKNOWLEDGED, (0, 1): "7"}, ["2"]),
}


@pytest.mark.parametrize("name", MISSED)
async def test_what_a_consumer_does_not_find_is_missing(sets: tuple[Lab, Lab], name: str) -> None:
    """Every acknowledged record is to be where it was put, with its value; the end of the log is read too."""
    records, missing = MISSED[name]
    writer = Writer(sets[1])
    writer.acknowledged |= ACKNOWLEDGED
    consumer(sets[1], records)
    assert await writer.missing() == missing


async def test_a_consumer_that_waits_for_what_is_lost(sets: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    """At a log that ends too early a consumer waits for ever: it is ended, and what it did not find is missing."""
    monkeypatch.setattr(kafka_client, "TOOL_SECONDS", 1.0)
    writer = Writer(sets[1])
    writer.acknowledged |= ACKNOWLEDGED
    consumer(sets[1], {(0, 0): "0"}, end="exec sleep 300")
    assert await writer.missing() == ["1", "2"]


async def test_a_consumer_that_finds_nothing_proves_nothing(sets: tuple[Lab, Lab]) -> None:
    """It says nothing of records: that is told as it is, not as lost records."""
    writer = Writer(sets[1])
    writer.acknowledged |= ACKNOWLEDGED
    consumer(sets[1], {})
    with pytest.raises(LabError, match=r"^a consumer found no record within 90 s\n"):
        await writer.missing()


async def test_a_producer_tells_what_is_acknowledged_until_it_ends(sets: tuple[Lab, Lab]) -> None:
    """Asked to end it sends what it has, and that is counted; what failed is not."""
    script(sets[1], "kafka-topics.sh", f'echo "$@" >{sets[1].spec.root}/created')
    success = '{"name": "producer_send_success", "partition": 1, "offset": %d, "value": "%d"}'
    failed = '{"name": "producer_send_error", "partition": 1, "offset": 7, "value": "7"}'
    script(
        sets[1],
        "kafka-run-class.sh",
        f"""trap 'echo '"'"'{success % (1, 1)}'"'"'; exit' TERM
echo '{success % (0, 0)}'; echo '{failed}'; echo trouble >&2
while :; do sleep 0.05; done""",
    )
    writer = Writer(sets[1], 6)
    await writer.start()
    await writer.grows(1)
    await writer.stop()
    assert writer.acknowledged == {(1, 0): "0", (1, 1): "1"}
    words = (sets[1].spec.root / "created").read_text().split()
    assert words[words.index("--partitions") + 1] == "6"
    assert words[-1] == "brokers.lab.svc.cluster.local:9092"
    assert (sets[1].spec.root / "logs" / "producer.log").read_text() == "trouble\n"


async def test_a_producer_that_ends_is_not_waited_for(sets: tuple[Lab, Lab]) -> None:
    """No record more can be acknowledged: that is said at once."""
    script(sets[1], "kafka-topics.sh", "exit 0")
    script(sets[1], "kafka-run-class.sh", "exit 3")
    writer = Writer(sets[1])
    await writer.start()
    with pytest.raises(LabError, match=r"^the producer ended with 3\n"):
        await writer.grows()
    await writer.stop()


async def test_a_tool_that_fails_says_why(sets: tuple[Lab, Lab]) -> None:
    """With what it printed last."""
    script(sets[1], "kafka-topics.sh", "echo no brokers; exit 1")
    with pytest.raises(LabError, match=r"^kafka-topics.sh --list failed: no brokers\n"):
        await run_tool(sets[1], "kafka-topics.sh", "--list")


FLAWS: dict[str, tuple[set[str], dict[tuple[int, int], str], str]] = {
    "nothing": ({"c1"}, ACKNOWLEDGED, "c1"),
    "a record is missing": ({"c1"}, {(0, 0): "0"}, "2 acknowledged records are missing, the first is ['1']"),
    "a second cluster was seen": ({"c1", "c2"}, ACKNOWLEDGED, "not one cluster but these were seen: c1, c2"),
}


@pytest.mark.parametrize("name", FLAWS)
async def test_the_account_is_honest(sets: tuple[Lab, Lab], name: str) -> None:
    """Whatever is not as the last lines would say fails the demo, and is said instead."""
    clusters, records, said = FLAWS[name]
    story = KafkaStory(*sets)
    consumer(sets[1], records)
    story._writer.acknowledged |= ACKNOWLEDGED
    try:
        told = await story.account(clusters)
    except LabError as error:
        told = str(error).strip()
    assert told == said


async def test_a_failure_has_the_words_of_both_sets(sets: tuple[Lab, Lab]) -> None:
    """Whichever set is waited for in vain, the Pods of the other one are heard too."""

    async def never() -> bool:
        return False

    for lab in sets:
        lab.pods[0] = Pod(await _spec(lab))
    for lab in sets:
        with pytest.raises(LabError) as failed:
            await lab.until("brokers serve", never, 0.0)
        said = str(failed.value).splitlines()
        assert [line.split()[0] for line in said if line[0] != " "] == ["not", "ctl-0", "brk-0"]


async def _spec(lab: Lab) -> PodSpec:
    await lab.dns.start(lab.network.dns)
    return await lab.pod_spec(0)


async def test_both_sets_know_each_other_s_names(sets: tuple[Lab, Lab]) -> None:
    """They have one hosts file, with the Pods of both and the Services of both."""
    specs = [await _spec(lab) for lab in sets]
    for spec in specs:
        spec.publish()
    names = [line.split()[1] for line in sets[0].hosts.path.read_text().splitlines()[1:]]
    zones = [f"{service}.lab.svc.cluster.local" for service in ("controllers", "brokers")]
    assert names == [f"ctl-0.{zones[0]}", zones[0], f"brk-0.{zones[1]}", zones[1]]
    assert (sets[1].hosts, [spec.volume.name for spec in specs]) == (sets[0].hosts, ["ctl-0", "brk-0"])


# ------------------------------------------------------------------ how it ends


async def _wrong(_story: Story, _teller: Teller) -> NoReturn:
    raise LabError("3 acknowledged records are missing")


def test_a_story_that_goes_wrong_is_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    """It names the step, what was not so, and the logs, which stay; it claims nothing."""
    server = Server("4.3.1", root / "home", "nowhere", "kafka")
    monkeypatch.setattr(demo, "provided", lambda _args: (server, "4.3.1"))
    monkeypatch.setattr(Story, "tell", _wrong)
    code = demo.main(argparse.Namespace(dir=root, etcd="", kafka="", system="kafka"))
    (kept,) = root.iterdir()
    said = capsys.readouterr()
    assert (code, "0 missing" in said.out) == (1, False)
    assert said.err.splitlines() == [
        "The demo failed in step 1 (form): 3 acknowledged records are missing",
        f"logs: {kept / 'logs'}",
    ]


WRONG = {
    ("demo", "kafka", "--etcd", "3.6"): "--etcd names no release of kafka: drop it",
    ("demo", "etcd", "--kafka", "4.3.1"): "--kafka names no release of etcd: drop it",
    ("up", "etcd", "--split"): "--split parts Kafka's controllers from its brokers, which etcd has not: drop it",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_what_is_asked_wrongly_is_one_line(
    capsys: pytest.CaptureFixture[str], root: Path, words: tuple[str, ...]
) -> None:
    """Exit 2, and nothing is made."""
    assert cli.main(["lab", "--dir", str(root / "lab"), *words]) == 2
    assert (capsys.readouterr().err, list(root.iterdir())) == (f"peerboot: {WRONG[words]}\n", [])


@pytest.mark.parametrize(("there", "asked"), [((), "java"), (("java",), "mvn")], ids=["no-java", "no-maven"])
def test_without_java_or_maven_one_line_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    root: Path,
    there: tuple[str, ...],
    asked: str,
) -> None:
    """Exit 2, before anything is started."""
    (root / "bin").mkdir()
    for name in there:
        (root / "bin" / name).write_text('#!/bin/sh\necho openjdk version \\"17.0.1\\" >&2\n')
        (root / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(root / "bin"))
    monkeypatch.setenv("PEERBOOT_LAB_CACHE", str(root / "cache"))
    assert cli.main(["lab", "--dir", str(root / "lab"), "demo", "kafka"]) == 2
    said = f"there is no {asked} here (Debian: apt-get install default-jdk-headless maven)\n"
    assert capsys.readouterr().err == f"peerboot: a real Kafka needs JDK 17 and Maven 3.8, or newer: {said}"
    assert not (root / "lab").exists()


# ---------------------------------------------------------------- how it looks


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, no_color: bool = False) -> str:
    """A scene, a Pod that says the same twice and then that it serves, a command, an end."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
    stage = demo.Plain(7, terminal)
    with stage.shown():
        stage.scene(SCENES[3], 1.0)
        for seconds, (sentence, waits) in enumerate([("It joins", ["it"]), ("It joins", ["it"]), ("It serves", [])]):
            told = {"waits_for": waits}
            pod = PodSight("brk-1", "running", f"idle (serving): {sentence}.", told, "")
            stage.show(Sight(seconds + 2.0, SCENES[3], (pod,), (), 9, False))
        stage.say("brk-0 $ peerboot kafka drain\x1b[2J", 5.0)
        stage.done(Step(4, "brk-1 lost its disk, and is filled again: 101:Jk746L > 101:MpyvGf", 5.0), 6.0)
    return out.getvalue()


def test_lines_for_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing is one line, whatever its length; a Pod is heard again when it waits for nothing more."""
    assert shown(monkeypatch, terminal=False).splitlines() == [
        "  1.0 s  Step 4 of 7, a broker's lost disk: brk-1 loses its node and its disk.",
        f"  1.0 s    Look: {SCENES[3].look}",
        "  2.0 s    brk-1: idle (serving): It joins.",
        "  4.0 s    brk-1: idle (serving): It serves.",
        "  5.0 s    brk-0 $ peerboot kafka drain [2J",
        "  6.0 s    After 5.0 s: brk-1 lost its disk, and is filled again: 101:Jk746L > 101:MpyvGf.",
    ]


def test_lines_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are wrapped at its width and indented; headings are bold, results green, but not under NO_COLOR."""
    lines = shown(monkeypatch, terminal=True).splitlines()
    assert lines[:2] == [
        "\x1b[1m  1.0 s  Step 4 of 7, a broker's lost disk: brk-1 loses its",
        "           node and its disk.\x1b[0m",
    ]
    assert (lines[-2][:6], lines[-1][-4:]) == ("\x1b[32m ", "\x1b[0m")
    plain = shown(monkeypatch, terminal=True, no_color=True)
    assert ("\x1b[1m" in plain, "\x1b[32m" in plain) == (True, False)
    assert [line for line in plain.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines() if len(line) > 60] == []
