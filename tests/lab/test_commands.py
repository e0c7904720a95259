"""``peerboot lab …`` through the real command line."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from peerboot.lab.daemon import owned
from peerboot.lab.errors import LabError
from tests.lab.conftest import PEERBOOT, peerboot


class Hand:
    """Somebody at a terminal, with one lab."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def ask(self, *args: str) -> tuple[int, str, str]:
        """Exit code, what was printed, and the error."""
        done = peerboot("lab", "--dir", str(self.root), *args)
        return done.returncode, done.stdout, done.stderr

    def do(self, *args: str) -> str:
        """What was printed; it must have succeeded without a word of complaint."""
        code, out, err = self.ask(*args)
        assert (code, err) == (0, ""), (args, out, err)
        return out

    def pods(self) -> list[dict[str, Any]]:
        """``lab status --json``."""
        pods: list[dict[str, Any]] = json.loads(self.do("status", "--json"))["pods"]
        return pods

    def until(self, pod: str, true: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Ask until a Pod is so."""
        end = time.monotonic() + 60
        while True:
            now = next(one for one in self.pods() if one["pod"] == pod)
            if true(now):
                return now
            assert time.monotonic() < end, now
            time.sleep(0.2)

    def member(self, pod: str) -> str:
        """Its member id, by the sentence with which it serves."""
        said = self.until(pod, lambda now: str(now["sentence"]).startswith("idle (serving): Member "))["sentence"]
        return str(said.split()[3])


def test_a_life_of_a_lab(root: Path) -> None:
    """Up, look, kill, lose a disk with DNS dead, heal, stop and start a Pod, down: nothing is left behind."""
    hand = Hand(root)
    up = hand.do("up", "etcd")
    assert "Healthy after" in up.splitlines()[-1]
    assert re.search(r"^ *\d+\.\d s  db-0: idle \(serving\): Member \w+ serves", up, re.MULTILINE)

    code, _, err = hand.ask("up", "etcd")
    assert (code, err) == (2, f"peerboot: a lab runs in {root} already: `peerboot lab --dir {root} down` ends it\n")
    assert [line.split()[0] for line in hand.do("status").splitlines()[:4]] == ["POD", "db-0", "db-1", "db-2"]
    assert [(pod["pod"], pod["phase"], pod["ready"], pod["dns"]) for pod in hand.pods()] == [
        (name, "running", True, "ok") for name in ("db-0", "db-1", "db-2")
    ]

    restarts = hand.pods()[2]["restarts"]
    said = hand.do("kill", "db-2")
    assert said == "The server container of db-2 is killed; it is restarted alone.\n"
    hand.until("db-2", lambda pod: bool(pod["restarts"] > restarts and pod["ready"]))

    member = hand.member("db-0")
    assert hand.do("dns", "servfail", "db-0") == "DNS is servfail for db-0.\n"
    assert hand.do("wipe", "db-0") == "db-0 lost its node and its volume. A new Pod starts.\n"
    waiting = hand.until("db-0", lambda pod: "SERVFAIL" in pod["sentence"])
    assert waiting["sentence"].startswith("wait (wait-for-all): This disk is blank;")
    assert (waiting["dns"], waiting["ready"]) == ("servfail", False)
    assert hand.do("dns", "ok") == "DNS is ok for all Pods.\n"
    hand.until("db-0", lambda pod: bool(pod["ready"]))
    assert hand.member("db-0") not in ("", member)

    hand.do("kill", "db-1", "--what", "pod", "--stay-down")
    assert hand.pods()[1]["phase"] == "down"
    down = "peerboot: db-1 is down: `peerboot lab start db-1` starts it\n"
    assert hand.ask("exec", "db-1", "status") == (2, "", down)
    assert hand.do("start", "db-1") == "db-1 starts.\n"
    hand.until("db-1", lambda pod: bool(pod["ready"]))
    assert json.loads(hand.do("exec", "db-1", "plan", "--json"))["pod"] == "db-1"
    # The exit code of a command in a Pod is its own.
    assert hand.ask("exec", "db-1", "--", "consent", "0123456789")[0] == 5

    assert hand.do("down") == "The lab has ended; its volumes, logs and secrets are removed.\n"
    assert not root.exists()


WRONG = {
    "no such Pod": (("kill", "db-9"), "'db-9' is no Pod of this lab: use one of db-0"),
    "a container that stays down": (("kill", "db-0", "--stay-down"), "a container alone cannot stay down"),
    "a start of what is there": (("start", "db-0"), "db-0 is there already"),
    "no such fault": (("dns", "odd"), "invalid choice"),
    "a delay of minus one": (("dns", "ok", "--delay", "-1"), "between 0 and 3600 seconds"),
    "no such release": (("up", "etcd", "--etcd", "2.3"), "invalid choice"),
    "release of another system": (("up", "kafka", "--etcd", "3.6"), "--etcd names no release of kafka: drop it"),
    "no replicas": (("up", "etcd", "--replicas", "0"), "invalid choice"),
}


def test_what_is_wrong_is_one_line_and_exit_2(root: Path) -> None:
    """Whatever is asked wrongly of a running lab of one is answered in one line on stderr, with exit code 2."""
    hand = Hand(root)
    assert hand.do("up", "etcd", "--replicas", "1", "--no-wait").splitlines()[-1].startswith("Started.")
    for args, part in WRONG.values():
        code, out, err = hand.ask(*args)
        assert (code, out, err.count("\n"), part in err) == (2, "", 1, True), (args, out, err)


@pytest.mark.parametrize(
    "command", [("status",), ("down",), ("kill", "db-0"), ("exec", "db-0", "status")], ids=" ".join
)
def test_without_a_lab_each_command_says_how_to_start_one(root: Path, command: tuple[str, ...]) -> None:
    """One line, exit 2."""
    said = f"peerboot: no lab runs in {root}: start one with `peerboot lab --dir {root} up etcd`\n"
    assert Hand(root).ask(*command) == (2, "", said)


def test_two_labs_live_side_by_side(root: Path) -> None:
    """Each has its directory and its network; the end of one leaves the other alone."""
    one, two = Hand(root / "one"), Hand(root / "two")
    try:
        for hand in (one, two):
            hand.do("up", "etcd", "--replicas", "1", "--no-wait")
        assert one.pods()[0]["address"].rpartition(".")[0] != two.pods()[0]["address"].rpartition(".")[0]
        one.do("down")
        two.until("db-0", lambda pod: bool(pod["ready"]))
    finally:
        two.do("down")
    assert list(root.iterdir()) == []


def test_an_interrupted_start_leaves_nothing(root: Path) -> None:
    """Ctrl-C while it waits ends the lab's process, removes what it made, and says so."""
    process = subprocess.Popen(  # noqa: S603 - this very program
        [*PEERBOOT, "lab", "--dir", str(root / "lab"), "up", "etcd"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "db-0: " in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()
    assert rest.splitlines()[-1] == "Interrupted. The lab has ended, nothing is left behind."
    assert not (root / "lab").exists()


def test_a_directory_with_other_things_is_left_alone(root: Path) -> None:
    """A lab does not move into a directory of somebody's: what it removes at its end has everyday names."""
    (root / "logs").mkdir()
    (root / "logs" / "mine").touch()
    code, _, err = Hand(root).ask("up", "etcd", "--no-wait")
    said = f"peerboot: {root} holds other things (logs): name an empty directory with --dir\n"
    assert (code, err, (root / "logs" / "mine").exists()) == (2, said, True)


def test_a_killed_lab_leaves_its_directory_to_the_next(root: Path) -> None:
    """What a killed process could not remove goes when the next one starts there, and at its end."""
    (root / "lab.json").touch()
    (root / "volumes").mkdir()
    with owned(root, {}):
        assert sorted(path.name for path in root.iterdir()) == ["lab.json"]
    assert list(root.iterdir()) == []


def test_a_directory_belongs_to_one_lab(root: Path) -> None:
    """Of two that start at once the second is told so, and removes nothing."""
    (root / "volumes").mkdir()
    with (root / "lab.json").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(LabError, match=r"runs in .* already"), owned(root, {}):
            pass
    assert (root / "volumes").exists()


def test_a_path_too_long_for_sockets_is_named(tmp_path: Path) -> None:
    """One line with the bound, before anything is made."""
    long = tmp_path / ("x" * 100)
    code, out, err = Hand(long).ask("up", "etcd")
    assert (code, out, err.count("\n"), long.exists()) == (2, "", 1, False)
    assert "is too long a path for Unix sockets below it: name one of at most 75 bytes" in err


def test_a_place_that_cannot_be_written_is_named(root: Path) -> None:
    """A file where the directory should be: one line, exit 2."""
    (root / "file").touch()
    code, _, err = Hand(root / "file").ask("up", "etcd")
    assert (code, err) == (2, f"peerboot: {root / 'file'}: File exists: name another directory with --dir\n")
