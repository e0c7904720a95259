"""The script that starts Kafka, run for real by every shell that is here; only Kafka's two programs are stand-ins.

The real ones are in a module of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from peerboot import launchscript
from peerboot.systems.kafka import launch
from peerboot.systems.kafka.launch import Form, Permit, marker_name, permit_text, read_permit, script
from tests.kafka.container import CLUSTER, DIRECTORY, OTHER, VOTERS, Pod
from tests.launch.container import PATIENCE, PLAN, SHELLS
from tests.launch.lines import parse, passed, variant


@pytest.fixture(params=SHELLS, ids=" ".join)
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pod]:
    """One container with each shell; what runs in it ends with the test."""
    made = Pod(tmp_path, request.param)
    yield made
    for run in made.runs:
        run.stop()


INITIAL = (f"--initial-controllers={VOTERS}",)
JOIN = ("--no-initial-controllers",)

# ------------------------------------------------------------------ the permit


def a_permit(**changes: object) -> Permit:
    """A resume permit with changes, sound or not."""
    given = Permit(kind="resume", plan=PLAN, cluster=CLUSTER, node=1, metadata="/m")
    return msgspec.structs.replace(given, **changes)


@pytest.mark.parametrize(
    "permit",
    [
        a_permit(),
        a_permit(directory=DIRECTORY, form="join", repair=True, logs=("/a b", "/c=d"), release="4.3"),
        a_permit(kind="first", form="initial", voters=VOTERS, node=(1 << 31) - 1),
        a_permit(kind="first", form="plain", cluster=" é:=#!", plan="f" * 64),
    ],
    ids=lambda permit: f"{permit.kind}-{permit.form}",
)
def test_a_permit_is_read_as_it_was_written(permit: Permit) -> None:
    """Whatever the reason: it is a comment in one line."""
    text = permit_text(permit, "two\nlines\x1b and = signs " * 100)

    assert permit == read_permit(text)
    assert text.startswith("# peerboot lets this server start: two lines")
    assert max(map(len, text.splitlines())) < 600


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": "0123456789abcde"},
        {"plan": "0123456789abcdeg"},
        {"plan": "a" * 65},
        {"cluster": ""},
        {"cluster": "a\nkind=first"},
        {"node": -1},
        {"node": 1 << 31},
        {"kind": "first"},
        {"form": "initial", "voters": VOTERS},
        {"voters": VOTERS},
        {"kind": "first", "form": "initial"},
        {"kind": "first", "form": "join", "repair": True},
        {"repair": True},
        {"metadata": "m"},
        {"logs": ("/a", "b")},
        {"logs": ("/a",) * 65},
        {"metadata": "/" + "m" * 70000},
        {"release": "4.1\x00"},
    ],
    ids=lambda changes: "-".join(f"{key}={value}"[:24] for key, value in changes.items()).replace("\n", " "),
)
def test_a_permit_that_nobody_could_read_is_not_written(changes: dict[str, object]) -> None:
    """The mistake is found where it is made, not by a server that never starts."""
    with pytest.raises(ValueError, match="cannot be written"):
        permit_text(a_permit(**changes))


BAD_TEXTS: dict[str, Callable[[str], str]] = {
    "empty": lambda _text: "",
    "nothing but a comment": lambda text: text.splitlines()[0] + "\n",
    "another kind": lambda text: text.replace("kind=first", "kind=clone"),
    "another form": lambda text: text.replace("form=join", "form=standalone"),
    "a key of a newer peerboot": lambda text: text + "fence=1\n",
    "logs is no key": lambda text: text + "logs=/a\n",
    "a key twice": lambda text: text + "node=1\n",
    "a line that is no pair": lambda text: text + "and so on\n",
    "cut off": lambda text: text[: text.index("end=")],
    "cut off in its last word": lambda text: text[:-3],
    "no node": lambda text: text.replace("node=1", "node="),
    "a node that is no number": lambda text: text.replace("node=1", "node=1a"),
    "no cluster": lambda text: text.replace(f"cluster={CLUSTER}", "cluster="),
    "a plan that is a path": lambda text: text.replace(PLAN, "../../../../etc/x"),
    "a short plan": lambda text: text.replace(PLAN, PLAN[1:]),
    "a long plan": lambda text: text.replace(PLAN, PLAN * 5),
    "a relative directory": lambda text: text.replace("log=/", "log="),
    "voters without a reason": lambda text: text.replace("voters=", f"voters={VOTERS}"),
    "too long": lambda text: text.replace("# ", "# " + "x" * 70000),
    "a first that repairs": lambda text: text.replace("repair=false", "repair=true"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_what_is_no_permit_starts_nothing(pod: Pod, name: str) -> None:
    """Neither side takes it for one: it is said once, and the script waits for another."""
    bad = BAD_TEXTS[name](permit_text(pod.first("join"), "why"))
    pod.write(launch.PERMIT_NAME, bad)
    pod.write("status.txt", "waits for x\nstartup=no ready=no\n")

    run = pod.start()
    run.wait_for("waits for x")

    assert read_permit(bad) is None
    # An empty file is as none.
    notes = [] if not bad else [f"peerboot: {pod.run_dir}/run.ok is no permit that this script knows: waiting for "]
    assert [*notes, "peerboot: waits for x"] == [line.removesuffix("peerboot to write another") for line in run.says()]
    assert (pod.calls("format"), pod.calls("start")) == ([], [])


def test_a_permit_that_was_none_is_taken_once_it_is_one(pod: Pod) -> None:
    """A newer peerboot rewrites what an older one left."""
    pod.write(launch.PERMIT_NAME, "kind=unheard-of\n")
    run = pod.start()
    run.wait_for("is no permit")
    pod.permit(pod.first("join"))

    assert run.ends() == 0
    assert [pod.format_args(*JOIN)] == pod.calls("format")


@pytest.mark.parametrize("kind", ["first", "resume"])
@pytest.mark.parametrize("form", ["", "initial", "join", "plain"])
@pytest.mark.parametrize("repair", ["false", "true"])
def test_both_sides_agree_what_goes_together(pod: Pod, kind: str, form: str, repair: str) -> None:
    """The script starts with exactly those kinds, forms and repairs that peerboot reads as a permit."""
    text = permit_text(pod.first("join")).replace("kind=first", f"kind={kind}").replace("form=join", f"form={form}")
    text = text.replace("repair=false", f"repair={repair}").replace(
        "voters=", f"voters={VOTERS if form == 'initial' else ''}"
    )
    pod.write(launch.PERMIT_NAME, text)
    if kind == "resume":
        for path in (pod.metadata, *pod.logs):
            pod.formatted(path)
    run = pod.start()

    if read_permit(text) is None:
        run.wait_for("is no permit")
    else:
        assert run.ends() == 0, run.says()
    assert len(pod.calls("start")) == (read_permit(text) is not None)
    assert (read_permit(text) is not None) == (
        (form in ("initial", "join", "plain") and repair == "false")
        if kind == "first"
        else (form in ("join", "plain") or (form, repair) == ("", "false"))
    )


# -------------------------------------------------------------------- programs


def test_the_programs_of_kafka_home_come_first(pod: Pod) -> None:
    """The server's settings for Java reach it as they are, and it takes the script's place as process 1."""
    pod.extra = {"KAFKA_HEAP_OPTS": "-Xmx1g -Dx='a  b' *"}
    pod.permit(pod.first())

    assert pod.run() == 0
    assert (["-Xmx1g -Dx='a  b' *"], [str(pod.properties)]) == (pod.calls("heap"), pod.calls("start"))
    assert [str(pod.runs[0].process.pid)] == pod.calls("pid")


@pytest.mark.parametrize("ending", ["opt", ".sh", ""])
def test_the_programs_are_found_where_the_vendors_put_them(pod: Pod, ending: str) -> None:
    """In /opt/kafka/bin without KAFKA_HOME, or on the path with .sh and without."""
    text = script().replace("/opt/kafka/bin", str(pod.root / "opt"))
    pod.write(launch.LAUNCH_NAME, text)
    places = pod.root / ("opt" if ending == "opt" else "bin")
    places.mkdir()
    for name in ("kafka-storage", "kafka-server-start"):
        (pod.home / "bin" / f"{name}.sh").rename(places / f"{name}{'.sh' if ending == 'opt' else ending}")
    pod.extra = {"PATH": f"{pod.root / 'bin'}:{os.environ['PATH']}", "KAFKA_HOME": ""}
    pod.permit(pod.first())

    assert pod.run() == 0
    assert [str(pod.properties)] == pod.calls("start")


@pytest.mark.parametrize("lost", ["kafka-storage.sh", "kafka-server-start.sh"])
def test_without_kafkas_programs_it_says_what_to_do(pod: Pod, lost: str) -> None:
    """One line, at once, with the code of a command that is not found."""
    (pod.home / "bin" / lost).unlink()
    pod.permit(pod.first())

    assert pod.run() == 127
    assert pod.runs[0].says() == [
        (
            "peerboot: no kafka-storage and kafka-server-start in KAFKA_HOME/bin, /opt/kafka/bin or PATH, so nothing "
            "is started: run this script in Kafka's own image, or set KAFKA_HOME"
        )
    ]


# --------------------------------------------------------------------- waiting


def test_waiting_says_what_for_and_each_thing_once(pod: Pod) -> None:
    """The first line of status.txt, at once and whenever it changes; then the permit comes and the server starts."""
    run = pod.start()
    run.wait_for("has not said yet")
    pod.write("status.txt", "waits for kafka-2\nstartup=no ready=no\n")
    run.wait_for("kafka-2")
    pod.write("status.txt", "waits for kafka-2\nstartup=no ready=yes\n")
    time.sleep(0.3)  # a round at least
    pod.write("status.txt", "waits for *  kafka-0")
    run.wait_for("kafka-0")
    pod.permit(pod.first())

    assert run.ends() == 0
    assert run.says() == [
        "peerboot: waiting for the permit run.ok, and peerboot has not said yet why it is not there",
        "peerboot: waits for kafka-2",
        "peerboot: waits for *  kafka-0",
        "Formatting, says the tool",
        "A warning, says the tool",
    ]


def test_peerboot_reads_the_last_words(pod: Pod) -> None:
    """Of what failed and of what it waits for; they are gone once a server starts."""
    path = pod.run_dir / launchscript.STATUS_NAME
    pod.extra = {"STORAGE_FAILS": "yes"}
    pod.permit(pod.first())
    assert pod.run() == 1
    assert path.read_text() == f"{pod.said()[-1]}\n"
    pod.permit(pod.resume())
    pod.extra = {}
    run = pod.start()
    run.wait_for("waiting for another permit")
    run.keeps(path, f"{pod.said()[0]}\n")
    pod.permit(pod.first())

    assert run.ends() == 0
    assert not path.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_wait_at_once(pod: Pod, number: signal.Signals, code: int) -> None:
    """Process 1 has no default actions: without a trap the kubelet would wait for its whole grace period."""
    run = pod.start()
    run.wait_for("waiting for the permit")
    began = time.monotonic()
    run.process.send_signal(number)

    assert (code, True) == (run.ends(), time.monotonic() - began < 1.0)


def test_a_sleep_without_fractions_is_asked_for_whole_seconds(pod: Pod) -> None:
    """It would fail at once, and the wait would be a busy loop; a signal still ends it at once."""
    if pod.shell[0] == "busybox":
        return  # some have a sleep built in, which takes fractions or does not
    text = f'#!/bin/sh\necho "sleep $1" >>"$LOG"\ncase $1 in *.*) exit 1 ;; esac\nexec {shutil.which("sleep")} "$1"\n'
    pod.program("sleep", text)
    pod.extra = {"PATH": f"{pod.bin}:{os.environ['PATH']}"}
    run = pod.start()
    end = time.monotonic() + PATIENCE
    while "1" not in pod.calls("sleep") and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)

    assert (run.ends(), time.monotonic() - began < 0.9) == (143, True)
    assert pod.calls("sleep") == ["0.2", "1"]


def test_without_server_properties_it_waits(pod: Pod) -> None:
    """It comes before the permit; a permit without it is no reason to crash in a loop."""
    content = pod.properties.read_text()
    pod.properties.unlink()
    pod.permit(pod.first())
    run = pod.start()
    run.wait_for("server.properties is not there beside the permit")
    pod.write(launch.PROPERTIES_NAME, content)

    assert run.ends() == 0


# ----------------------------------------------------------------------- first


def test_the_first_of_a_birth_is_formatted_with_all_voters(pod: Pod) -> None:
    """The directory id is the one that the plan knew, and an id with a dash in front is no option."""
    pod.permit(pod.first())

    assert pod.run() == 0
    assert ([pod.format_args(*INITIAL)], [str(pod.properties)]) == (pod.calls("format"), pod.calls("start"))
    assert tuple(pod.meta(pod.metadata)[k] for k in ("cluster.id", "node.id", "directory.id")) == (
        CLUSTER,
        "1",
        DIRECTORY,
    )
    assert all(pod.meta(path)["cluster.id"] == CLUSTER for path in pod.logs)
    assert (pod.run_dir / marker_name(PLAN)).exists()


@pytest.mark.parametrize(("form", "flags"), [("join", JOIN), ("plain", ())])
def test_a_joining_server_is_formatted_without_voters(pod: Pod, form: Form, flags: tuple[str, ...]) -> None:
    """A controller says so by a flag, a broker has none; the release is named when the permit names one."""
    pod.permit(msgspec.structs.replace(pod.first(form), release="4.1-IV1"))

    assert pod.run() == 0
    assert [pod.format_args(*flags, "--release-version=4.1-IV1")] == pod.calls("format")
    assert len(pod.calls("start")) == 1


def test_a_restart_with_the_same_first_permit_only_starts(pod: Pod) -> None:
    """The kubelet restarts the container alone; so it does also with nobody there to write another permit."""
    pod.permit(pod.first())

    assert (pod.run(), pod.run(), pod.run()) == (0, 0, 0)
    assert (len(pod.calls("format")), len(pod.calls("start"))) == (1, 3)


def test_a_used_plan_never_formats_again(pod: Pod) -> None:
    """After the server has run, an empty disk with the same directory id would elect a leader without data."""
    pod.permit(pod.first())
    assert pod.run() == 0
    pod.wipe()
    run = pod.start()
    run.wait_for("was used already")
    assert [
        (
            f"peerboot: plan {PLAN} was used already and never formats again, but {pod.metadata}/meta.properties is "
            "not there: waiting for another permit"
        )
    ] == run.says()[:1]
    assert (len(pod.calls("format")), len(pod.calls("start"))) == (1, 1)

    pod.permit(pod.first("join", plan="f" * 16))

    assert run.ends() == 0
    assert pod.calls("format")[1:] == [pod.format_args(*JOIN)]


def test_a_used_plan_starts_no_other_directory(pod: Pod) -> None:
    """Of the same cluster and node, but with another directory id: not the one that this plan made."""
    pod.permit(pod.first())
    assert pod.run() == 0
    pod.formatted(pod.metadata, directory=OTHER)
    run = pod.start()
    run.wait_for(f"has directory.id '{OTHER}', but the permit '{DIRECTORY}': waiting for another permit")

    assert len(pod.calls("start")) == 1


def test_a_plan_is_used_up_by_a_start_with_a_resume_permit(pod: Pod) -> None:
    """Killed between format and marker, the server then ran with a resume permit: the first one may not come again."""
    pod.extra = {"STORAGE_DIES_AFTER": "3"}
    pod.permit(pod.first())
    assert pod.run() == -signal.SIGKILL
    assert not (pod.run_dir / marker_name(PLAN)).exists()
    pod.permit(pod.resume())
    pod.extra = {}
    assert pod.run() == 0
    assert (pod.run_dir / marker_name(PLAN)).exists()
    pod.wipe()
    pod.permit(pod.first())
    pod.start().wait_for("was used already")

    assert (len(pod.calls("format")), len(pod.calls("start"))) == (1, 1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_format_that_died_by_halves_goes_on(pod: Pod, count: int) -> None:
    """The tool takes the directories in any order: log directories without metadata are then this plan's own."""
    pod.extra = {"STORAGE_DIES_AFTER": str(count)}
    pod.permit(pod.first())
    assert (pod.run(), len(pod.calls("start"))) == (-signal.SIGKILL, 0)
    pod.extra = {}

    assert pod.run() == 0
    assert [pod.format_args(*INITIAL)] * 2 == pod.calls("format")
    assert pod.meta(pod.metadata)["directory.id"] == DIRECTORY


def test_no_quorum_is_formed_beside_a_formatted_log_directory(pod: Pod) -> None:
    """Kafka's tool would, with exit code 0; the other directory shows that there was a cluster."""
    pod.formatted(pod.logs[1])
    pod.permit(pod.first())

    assert (pod.run(), pod.run()) == (1, 1)
    assert [
        (
            f"peerboot: {pod.metadata} is blank, but {pod.logs[1]}/meta.properties is there, so no new quorum is "
            "formed: bring the metadata back, or move the log directory aside"
        )
    ] == pod.runs[1].says()
    assert pod.calls("format") == []


def test_a_join_keeps_the_log_directories(pod: Pod) -> None:
    """Only the metadata was lost: it is a new member with the partitions that it had."""
    pod.formatted(pod.logs[1])
    pod.permit(pod.first("join"))

    assert pod.run() == 0
    assert (pod.meta(pod.logs[1])["directory.id"], pod.meta(pod.metadata)["cluster.id"]) == (OTHER, CLUSTER)


def test_metadata_of_a_server_that_ran_is_not_formatted_over(pod: Pod) -> None:
    """Its meta.properties is lost, its vote is not: a new directory id over an old log is no new member."""
    (pod.metadata / "__cluster_metadata-0").mkdir(parents=True)
    (pod.metadata / "__cluster_metadata-0" / "quorum-state").touch()
    pod.permit(pod.first("join"))

    assert pod.run() == 1
    assert "has the metadata of a server that ran, but no meta.properties" in pod.runs[0].says()[0]
    assert pod.calls("format") == []


@pytest.mark.parametrize("where", ["metadata", "log"])
@pytest.mark.parametrize(
    ("cluster", "node", "difference"),
    [
        ("somebody-else", 1, f"cluster.id 'somebody-else', but the permit '{CLUSTER}'"),
        (CLUSTER, 7, "node.id '7', but the permit '1'"),
    ],
)
def test_a_directory_of_another_cluster_or_node_is_named(
    pod: Pod, where: str, cluster: str, node: int, difference: str
) -> None:
    """Nothing is formatted beside it, and nothing of it is changed."""
    path = pod.metadata if where == "metadata" else pod.logs[1]
    pod.formatted(path, cluster, node, DIRECTORY)
    pod.permit(pod.first("join"))

    assert pod.run() == 1
    assert [
        (
            f"peerboot: {path}/meta.properties has {difference}, so nothing is formatted beside it: mount the "
            "right volume, or move that directory aside"
        )
    ] == pod.runs[0].says()
    assert pod.calls("format") == []


def test_metadata_with_another_directory_id_is_not_this_plans(pod: Pod) -> None:
    """Formatted earlier by somebody: the log directories beside it stay blank."""
    pod.formatted(pod.metadata, directory=OTHER)
    pod.permit(pod.first())

    assert pod.run() == 1
    assert f"directory.id '{OTHER}', but the permit '{DIRECTORY}'" in pod.runs[0].says()[0]
    assert pod.calls("format") == []


def test_a_meta_file_that_cannot_be_read_is_not_blank(pod: Pod) -> None:
    """An empty file and a link to nowhere are there, so somebody's data may be."""
    pod.metadata.mkdir()
    path = pod.metadata / "meta.properties"
    path.touch()
    pod.permit(pod.first())
    assert pod.run() == 1
    path.unlink()
    path.symlink_to(pod.root / "nowhere")

    assert pod.run() == 1
    lines = [run.says()[0].partition(", so")[0] for run in pod.runs]
    assert [f"peerboot: {path} is empty or cannot be read"] * 2 == lines
    assert pod.calls("format") == []


@pytest.mark.parametrize("form", ["initial", "join"])
@pytest.mark.parametrize("line", ["controller.quorum.voters=1@a:9093", "  controller.quorum.voters : x"])
def test_voters_in_server_properties_are_refused(pod: Pod, form: Form, line: str) -> None:
    """With them an empty disk believes itself a voter."""
    pod.write(launch.PROPERTIES_NAME, f"{pod.properties.read_text()}{line}\n")
    pod.permit(pod.first(form))

    assert pod.run() == 1
    assert "has controller.quorum.voters or cannot be read, so nothing is formatted" in pod.runs[0].says()[0]
    assert pod.calls("format") == []


def test_a_broker_may_have_voters_in_its_file(pod: Pod) -> None:
    """It votes for nobody; nor does a comment."""
    pod.write(launch.PROPERTIES_NAME, f"{pod.properties.read_text()}controller.quorum.voters=9@c:9093\n")
    pod.permit(pod.first("plain"))
    assert pod.run() == 0
    pod.wipe()
    pod.write(launch.PROPERTIES_NAME, pod.properties.read_text().replace("controller.quorum", "# controller.quorum"))
    pod.permit(pod.first("join", plan="e" * 16))

    assert pod.run() == 0


def test_a_format_that_fails_starts_nothing(pod: Pod) -> None:
    """The tool's own words come through, and the plan is not used up."""
    pod.extra = {"STORAGE_FAILS": "yes"}
    pod.permit(pod.first())
    assert pod.run() == 1
    assert [
        "Formatting, says the tool",
        "A warning, says the tool",
        (
            f"peerboot: {pod.home}/bin/kafka-storage.sh format ended with 3, so the server is not started: its own "
            "lines above say why"
        ),
    ] == pod.runs[0].says()
    pod.extra = {}

    assert pod.run() == 0
    assert len(pod.calls("start")) == 1


@pytest.mark.parametrize("wrong", ["cluster", "directory"])
def test_a_format_with_another_result_starts_nothing(pod: Pod, wrong: str) -> None:
    """Looked at on the disk, whatever the tool said."""
    if wrong == "cluster":
        pod.extra = {"STORAGE_CLUSTER": "something"}
        pod.permit(pod.first())
    else:
        pod.permit(pod.first(directory=OTHER))

    assert pod.run() == 1
    assert " after the format, so the server is not started" in pod.runs[0].says()[-1]
    assert (pod.calls("start"), (pod.run_dir / marker_name(PLAN)).exists()) == ([], False)


def test_an_output_directory_that_cannot_be_written_formats_nothing(pod: Pod) -> None:
    """Without its marker a plan could format twice."""
    (pod.run_dir / f"begun.{PLAN}").mkdir()
    pod.permit(pod.first())

    assert pod.run() == 1
    assert [
        f"peerboot: {pod.run_dir} cannot be written, so nothing is formatted: mount it writable in this container too"
    ] == pod.runs[0].says()
    assert pod.calls("format") == []


def test_what_java_escapes_is_compared_as_it_is_meant(pod: Pod) -> None:
    r"""Kafka writes ``a\:b`` for a cluster id ``a:b``."""
    cluster = "\\a:b=c#d!e f"
    for path in (pod.metadata, *pod.logs):
        pod.formatted(path, cluster="\\\\a\\:b\\=c\\#d\\!e f", directory=DIRECTORY)
    pod.permit(msgspec.structs.replace(pod.resume(repair=False), cluster=cluster))

    assert pod.run() == 0
    assert len(pod.calls("start")) == 1


# ---------------------------------------------------------------------- resume


@pytest.mark.parametrize("directory", [DIRECTORY, ""])
def test_resume_starts_the_data_that_it_names(pod: Pod, directory: str) -> None:
    """Nothing is formatted and nothing asked; an empty directory id is any."""
    pod.formatted(pod.metadata, directory=DIRECTORY)
    for path in pod.logs:
        pod.formatted(path)
    pod.permit(pod.resume(directory))

    assert pod.run() == 0
    assert ([], [str(pod.properties)]) == (pod.calls("format"), pod.calls("start"))
    assert pod.runs[0].says() == []


@pytest.mark.parametrize(
    ("cluster", "node", "directory", "difference"),
    [
        ("x", 1, DIRECTORY, f"has cluster.id 'x', but the permit '{CLUSTER}'"),
        (CLUSTER, 2, DIRECTORY, "has node.id '2', but the permit '1'"),
        (CLUSTER, 1, OTHER, f"has directory.id '{OTHER}', but the permit '{DIRECTORY}'"),
        (CLUSTER, 1, "", f"has directory.id '', but the permit '{DIRECTORY}'"),
        (None, 1, "", "is not there"),
    ],
    ids=["cluster", "node", "directory", "no-directory", "blank"],
)
def test_resume_waits_when_the_data_is_another(
    pod: Pod, cluster: str | None, node: int, directory: str, difference: str
) -> None:
    """It never formats the metadata directory, also with leave to repair; peerboot sees the same and decides anew."""
    if cluster is not None:
        pod.formatted(pod.metadata, cluster, node, directory)
    pod.permit(pod.resume())
    run = pod.start()
    run.wait_for("not said yet")  # a second round would say nothing more
    time.sleep(0.3)

    assert [
        (
            f"peerboot: {pod.metadata}/meta.properties {difference}, so this is not the data that may start: waiting "
            "for another permit"
        )
    ] == run.says()[:1]
    assert (len(run.says()), pod.calls("format"), pod.calls("start")) == (2, [], [])


@pytest.mark.parametrize(("form", "flags"), [("join", JOIN), ("plain", ())])
def test_resume_repairs_a_lost_log_directory(pod: Pod, form: Form, flags: tuple[str, ...]) -> None:
    """The metadata is good, so the server is who it was; its replicas come from the others."""
    pod.formatted(pod.metadata, directory=DIRECTORY)
    pod.formatted(pod.logs[0])
    pod.permit(pod.resume(form=form))

    assert pod.run() == 0
    assert [pod.format_args(*flags)] == pod.calls("format")
    assert tuple(pod.meta(p)["directory.id"] for p in (pod.metadata, pod.logs[0])) == (DIRECTORY, OTHER)
    assert pod.meta(pod.logs[1])["cluster.id"] == CLUSTER


def test_without_leave_to_repair_nothing_is_formatted(pod: Pod) -> None:
    """What was lost since the permit was given has not been asked about: the script waits, and peerboot asks."""
    pod.formatted(pod.metadata, directory=DIRECTORY)
    pod.permit(pod.resume(repair=False))
    run = pod.start()
    run.wait_for("is blank and the permit does not say to format it: waiting for another permit")
    pod.permit(pod.resume())

    assert run.ends() == 0, run.says()
    assert (len(pod.calls("format")), len(pod.calls("start"))) == (1, 1)


def test_repair_stops_at_a_foreign_log_directory(pod: Pod) -> None:
    """One lost, one of another cluster: a volume is mounted in the wrong place."""
    pod.formatted(pod.metadata, directory=DIRECTORY)
    pod.formatted(pod.logs[1], cluster="x")
    pod.permit(pod.resume())

    assert pod.run() == 1
    assert f"{pod.logs[1]}/meta.properties has cluster.id 'x'" in pod.runs[0].says()[-1]
    assert (pod.calls("format"), pod.calls("start")) == ([], [])


# ------------------------------------------------------------------- withdrawn


def test_a_permit_withdrawn_during_the_format_starts_nothing(pod: Pod) -> None:
    """It is looked at once more right before the start; given back, it starts without a second format."""
    pod.extra = {"STORAGE_WITHDRAWS": str(pod.run_dir / launch.PERMIT_NAME)}
    pod.permit(pod.first())
    run = pod.start()
    run.wait_for("was withdrawn or replaced just before the start")
    run.wait_for("waiting for the permit")
    assert pod.calls("start") == []
    pod.permit(pod.first())

    assert run.ends() == 0
    assert (len(pod.calls("format")), len(pod.calls("start"))) == (1, 1)


# ---------------------------------------------------------- killed at any line

SCENES = ("form", "join", "repair")


def prepare(pod: Pod, scene: str) -> tuple[str, ...]:
    """Blank directories and a birth, a member whose metadata was lost, or one whose log directory was."""
    pod.wipe()
    for path in (pod.log, *pod.run_dir.glob("begun.*"), *pod.run_dir.glob("formatted.*")):
        path.unlink(missing_ok=True)
    if scene == "form":
        pod.permit(pod.first())
        return INITIAL
    pod.formatted(pod.logs[0])
    if scene == "repair":
        pod.formatted(pod.metadata, directory=DIRECTORY)
    pod.permit(pod.first("join") if scene == "join" else pod.resume())
    return JOIN


def left(pod: Pod) -> str:
    """All that a run left for the next one; an id by chance is any."""
    paths = [
        path for top in (pod.metadata, *pod.logs, pod.run_dir) for path in sorted(top.rglob("*")) if path.is_file()
    ]
    text = "\n".join(f"{path}: {path.read_text()}" for path in paths if path.suffix != ".sh")
    return re.sub("by-chance-[0-9-]+", "by-chance", text)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_any_line_it_can_be_run_again(tmp_path: Path, scene: str, shell: tuple[str, ...]) -> None:
    """The next run ends as one that was never killed: the right server, formatted by one plan and before any start.

    It is killed at every line, and run again once for each different state that this left.
    """
    pod = Pod(tmp_path, shell)
    prepare(pod, scene)
    killed_at = passed(pod, script())
    seen: dict[str, int] = {}
    for k in killed_at:
        flags = prepare(pod, scene)
        where = f"killed after line {k}: {script().splitlines()[k - 1].strip()}"
        assert pod.run(variant(pod, script(), k, "kill -9 $$")) == -signal.SIGKILL, where
        assert pod.calls("start") == [], where
        state = left(pod)
        if state in seen:
            continue
        seen[state] = k
        assert pod.run() == 0, (where, pod.runs[-1].says())
        formats = pod.calls("format")
        assert set(formats) == {pod.format_args(*flags)}, where
        assert len(formats) <= 2, where
        assert pod.calls("start") == [str(pod.properties)], where
        assert (pod.run_dir / marker_name(PLAN)).exists() == (scene != "repair"), where
        kept, directory = (pod.logs[0], OTHER) if scene == "join" else (pod.metadata, DIRECTORY)
        assert pod.meta(kept)["directory.id"] == directory, where
        assert all(pod.meta(path)["cluster.id"] == CLUSTER for path in (pod.metadata, *pod.logs)), where
    assert len(killed_at) > 80  # or the trace was blind
    assert len(seen) >= {"form": 4, "join": 4, "repair": 2}[scene]  # before, begun, formatted, used up


# ------------------------------------------------------------------ the script


def test_the_script_is_for_every_shell(pod: Pod) -> None:
    """It parses, and is the same for every Pod: plain ASCII with nothing of this one in it."""
    assert parse(pod.shell, script()) == (0, b"")
    assert script().isascii()
    assert not re.search(r"\b(local|function|source|eval|\[\[)\b", script())
    assert max(map(len, script().splitlines())) <= 120
