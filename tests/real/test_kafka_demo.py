"""``peerboot lab demo kafka`` and ``lab up kafka --split`` as a person runs them, with real Kafkas."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from peerboot.lab.kafka_story import SCENES
from tests.lab.conftest import PEERBOOT, peerboot

STAMP = r" *\d+\.\d s  "
LONG = 420.0
"""Seconds for the story on two busy cores; alone it takes 80."""


@pytest.fixture
def root(short_root: Path) -> Iterator[Path]:
    """A directory for a lab, which is ended in any case."""
    yield short_root / "lab"
    peerboot("lab", "--dir", str(short_root / "lab"), "down")


def test_the_story_is_told_to_its_end(root: Path) -> None:
    """Seven steps in plain lines, each with its seconds, exit 0: disks lost at a controller and a broker have other
    directory ids, four brokers are three again by the commands that a person types, and no record is missing.
    """
    done = peerboot("lab", "--dir", str(root), "demo", "kafka", timeout=LONG)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [match[1] for line in lines if (match := re.match(rf"{STAMP}Step (\d) of 7, ", line))] == list("1234567")
    waited = rf"{STAMP}  brk-0: wait \(quorum-elsewhere\): This disk is blank, and its cluster is formed by"
    assert [line for line in lines if re.match(waited, line)] != []
    assert [re.sub(STAMP, "", line) for line in lines if " brk-0 $ " in line] == [
        "  brk-0 $ peerboot kafka drain brk-3 --yes",
        "  brk-0 $ peerboot kafka unregister brk-3 --yes",
    ]
    assert re.search(rf"^{STAMP}  broker 103 \(brk-3\) holds no replicas now\. Next: ", done.stdout, re.MULTILINE)

    last = lines[next(n for n, line in enumerate(lines) if line.startswith("One Kafka ")) :]
    assert re.fullmatch(r"One Kafka 4\.3\.1, 3 controllers and 3 brokers, cluster [\w-]{22}:", last[0])
    told = [line.rsplit(maxsplit=2)[0].strip() for line in last[2:10]]
    assert re.fullmatch(r"3  ctl-0 lost its disk, and votes again: (0:[\w-]{8}) > (?!\1)0:[\w-]{8}", told[2])
    assert re.fullmatch(r"4  brk-1 lost its disk, and is filled again: (101:[\w-]{6}) > (?!\1)101:[\w-]{6}", told[3])
    assert told[5:] == [
        "6  the fourth drained, its Pod deleted, and forgotten",
        "7  all killed, all started again: the same six directory ids",
        "in all",
    ]
    assert re.fullmatch(r"\d{3,} acknowledged records, 0 missing \(a consumer read them back\)", last[11])
    assert last[-5].strip() == "python -m peerboot lab up kafka --split --kafka 4.3.1"
    assert list(root.iterdir()) == []


def test_it_is_interrupted_while_a_disk_is_lost(root: Path) -> None:
    """Ctrl-C in the middle ends every server and the producer, removes the directory, and says so; exit 130."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [*PEERBOOT, "lab", "--dir", str(root), "demo", "kafka"], stdout=subprocess.PIPE, stderr=errors, text=True,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            _read_until(process.stdout, f"Step 3 of 7, {SCENES[2].title}")
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        said = errors.read()
    assert (process.returncode, said) == (130, "")
    assert rest.splitlines()[-1] == "Interrupted. Every process of the demo has ended, nothing is left behind."
    assert (list(root.iterdir()), _running(root)) == ([], [])


def _read_until(stream: IO[str], words: str) -> None:
    seen = ""
    for line in stream:
        seen += line
        if words in line:
            return
    raise AssertionError(seen)


def _running(root: Path) -> list[str]:
    """Command lines of processes that name this directory, once there are none or ten seconds are over."""
    end = time.monotonic() + 10
    while True:
        found = [words for path in Path("/proc").glob("[0-9]*/cmdline") if str(root) in (words := _words(path))]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


def _words(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_a_lab_of_two_sets(root: Path) -> None:
    """Three controllers and three brokers: each is shown, exec runs Kafka's own commands in a broker, a wiped
    controller comes back, DNS misbehaves for one Pod of one set, and nothing is left behind.
    """

    def do(*args: str) -> str:
        done = peerboot("lab", "--dir", str(root), *args, timeout=LONG)
        assert (done.returncode, done.stderr) == (0, ""), (args, done.stdout, done.stderr)
        return done.stdout

    up = do("up", "kafka", "--split")
    assert "3 controllers (ctl-0 …) and 3 brokers (brk-0 …), in" in up
    assert "Healthy after" in up.splitlines()[-1]
    pods = json.loads(do("status", "--json"))["pods"]
    assert [(pod["pod"], pod["ready"]) for pod in pods] == [
        (f"{name}-{ordinal}", True) for name in ("ctl", "brk") for ordinal in range(3)
    ]
    assert do("exec", "brk-0", "kafka", "drain", "brk-2").startswith("broker 102 (brk-2) holds 0 replicas: ")
    assert do("dns", "servfail", "ctl-1") == "DNS is servfail for ctl-1.\n"
    pods = json.loads(do("status", "--json"))["pods"]
    assert {pod["pod"]: pod["dns"] for pod in pods if pod["dns"] != "ok"} == {"ctl-1": "servfail"}
    assert do("dns", "ok") == "DNS is ok for all Pods.\n"
    assert do("wipe", "ctl-0") == "ctl-0 lost its node and its volume. A new Pod starts.\n"
    done = peerboot("lab", "--dir", str(root), "exec", "ctl-9", "status")
    assert (done.returncode, "use one of ctl-0, ctl-1, ctl-2, brk-0, brk-1, brk-2" in done.stderr) == (2, True)
    do("down")
    assert (root.exists(), _running(root)) == (False, [])
