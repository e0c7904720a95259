"""Every committed input through its target once, without atheris; and each invariant is shown to notice a defect."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot import census, permits, statedir, values
from peerboot.model import Disk, Record
from peerboot.outside import dns as door
from peerboot.outside import yaml
from peerboot.systems.etcd import bolt, datadir, wal
from tests.fuzz import harness, run
from tests.fuzz.dns import ZONE
from tests.fuzz.harness import TARGETS

MOST_BYTES = 1_500_000
MOST_FILES = 400


def broken(target: str) -> list[str]:
    """What the committed inputs of a target show, one line each."""
    said = []
    for path in harness.corpus(target):
        try:
            harness.load(target).check(path.read_bytes())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the fuzzer would have stopped at
            said.append(f"{path.name}: {type(error).__name__}: {error}")
    return said


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_holds(target: str) -> None:
    """No invariant is broken by an input that was once found worth keeping."""
    assert broken(target) == []


def test_the_corpus_is_small() -> None:
    """Every target has inputs, and all of them together are no burden to who clones."""
    files = [path for target in TARGETS for path in harness.corpus(target)]
    assert {path.parent.name for path in files} == set(TARGETS)
    assert (len(files) <= MOST_FILES, sum(path.stat().st_size for path in files) <= MOST_BYTES) == (True, True)


# ---------------------------------------------------- what the invariants notice


def _raises(*_args: Any, **_more: Any) -> Any:
    raise KeyError("planted")


def _trusting(*_args: Any) -> bool:
    return True


def _absent(*_args: Any) -> door.Reply:
    return door.Reply("absent")


def _blank(*_args: Any, **_more: Any) -> Disk:
    return Disk(kind="blank")


def _of_another(read: Callable[..., Disk]) -> Callable[..., Disk]:
    def changed(*args: Any, **more: Any) -> Disk:
        disk = read(*args, **more)
        return msgspec.structs.replace(disk, member="beef") if disk.member else disk

    return changed


def _forgetful(_self: object) -> Record:
    return Record()


def _of_any_length(_self: object, _bucket: bytes, _limit: int = 1000) -> dict[bytes, bytes]:
    return {str(number).encode(): b"" for number in range(1001)}


def _two_lines(_name: str) -> str:
    return "a\nb"


class _Fits(int):
    """A checksum that is any other."""

    def __ne__(self, _other: object) -> bool:
        return False

    __hash__ = int.__hash__


DEFECTS: dict[str, tuple[str, Any, str, Any]] = {
    "garbage is absent": ("dns", door, "_read", _absent),
    "an address that is none": ("dns", door, "_srv", lambda *_args: (door.Srv(f"web-0.{ZONE}", 1, ("none",)),)),
    "any signature counts": ("census", census, "verified", _trusting),
    "a peer's JSON raises": ("census", census, "_decoded", _raises),
    "an earlier process counts again": ("census", census, "_doubt", lambda *_args: ""),
    "whatever is there is blank": ("wal", datadir, "_read", _blank),
    "no checksum is looked at": ("wal", wal, "crc32c", lambda _crc, _data: _Fits()),
    "data of another member": ("wal", datadir, "_read", _of_another(datadir._read)),
    "a damaged tree raises": ("bolt", bolt.Bolt, "_page", _raises),
    "what the tree lost is overlooked": ("bolt", datadir, "PEER_URLS", b"\0no database has this\0"),
    "a bucket without end": ("bolt", bolt.Bolt, "items", _of_any_length),
    "PyYAML's own errors escape": ("settings", yaml, "load", _raises),
    "an error of two lines": ("settings", values, "shown", _two_lines),
    "a state is overlooked": ("state", statedir.StateDir, "_read", _forgetful),
    "a damaged hold raises": ("state", statedir, "UNREADABLE", ()),
    "a plan that leads elsewhere": ("permit", permits, "_is_plan", lambda _plan: True),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_noticed(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With that defect in peerboot the committed inputs break an invariant, or raise."""
    target, place, name, replacement = DEFECTS[defect]
    monkeypatch.setattr(place, name, replacement)
    assert broken(target) != []


# ------------------------------------------------------------------ the rest


@pytest.mark.parametrize("target", TARGETS)
def test_changes_that_know_the_structure(target: str) -> None:
    """Every change that a target makes of its inputs is one, and runs."""
    chance, found = random.Random(7), set[bytes]()  # noqa: S311 - repeatable on purpose
    inputs = [path.read_bytes() for path in harness.corpus(target)][:8]
    for data in inputs * 4:
        fresh = harness.load(target).mutate(data, chance)
        if fresh is not None:
            harness.load(target).check(fresh)
            found.add(fresh)
    assert len(found - set(inputs)) >= len(inputs)


def test_a_mostly_empty_file_is_coded_and_back() -> None:
    """A file of pages comes back as it was, its size too."""
    content = bytes(4096) + b"head" + bytes(8188) + b"x" * 300 + bytes(3000)
    assert harness.dense(harness.sparse(content)) == content


async def test_a_finding_is_told_with_how_to_run_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One target that found something fails all of them, and says which input, in base64 too; the others run on."""
    found = tmp_path / "crash-1"
    found.write_bytes(b"\0bytes")
    stats = "#9\tDONE   cov: 12 ft: 34 corp: 2/5b\nstat::number_of_executed_units: 900\n"

    async def fuzz(name: str, _seconds: int, _runs: int) -> run.Result:
        bad = name == "wal"
        return run.Result(name, 77 if bad else 0, 3.0, stats, 5, (found,) if bad else ())

    monkeypatch.setattr(run, "fuzz", fuzz)
    assert await run.fuzz_all(["wal", "dns"], 1, 0, 1) == 1
    said = capsys.readouterr().out
    again = f"error: wal found something. Run it again: {sys.executable} -m tests.fuzz.replay wal {found}"
    assert (again in said, "AGJ5dGVz" in said) == (True, True)
    lines = [" ".join(line.split()) for line in said.splitlines() if "inputs in" in line]
    rest = "900 inputs in 3 s ( 300/s), 12 branches, 34 features, 5 new inputs"
    assert lines == [f"wal FAILED {rest}", f"dns ok {rest}"]
    assert await run.fuzz_all(["dns"], 1, 0, 1) == 0


def test_replay_runs_an_input_once() -> None:
    """It says nothing against a committed input, and raises what one shows that breaks what is held."""
    good = harness.corpus("permit")[0]
    again = [sys.executable, "-m", "tests.fuzz.replay", "permit", str(good)]
    done = subprocess.run(again, cwd=harness.HERE.parents[1], check=False, capture_output=True, text=True)  # noqa: S603 - our own
    assert (done.returncode, "nothing to be said against it" in done.stdout) == (0, True)
