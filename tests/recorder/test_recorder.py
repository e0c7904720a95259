"""The recorder keeps few decisions, keeps them small, and is nobody's condition."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot import recorder
from peerboot.cases.plans import plan_for
from peerboot.cases.reader import parse
from peerboot.decide import decide
from peerboot.model import Done, Facts, Plan, WriteFile
from peerboot.outside import files
from peerboot.recorder import MOST, MOST_BYTES, Recorder, left
from peerboot.redact import Redactor
from tests.recorder.made import facts_of_cases
from tests.run.turned import TurnedClock, turned

PLAIN = parse("self db-1 of 3\npeer db-0 blank\npeer db-2 unknown")


def _note(kept: Recorder, facts: Facts = PLAIN, wall: float = 0.0, *, changed: bool = True) -> None:
    kept.note(facts, decide(facts), Plan(), (), wall, changed=changed)


def _recorder(directory: Path | None = None, boot: str = "b1") -> Recorder:
    return Recorder(directory, boot, Redactor)


def _walls(found: list[dict[str, Any]]) -> list[float]:
    return [moment["wall"] for moment in found]


def test_the_last_decisions_and_the_first_are_kept() -> None:
    """Of many decisions the newest stay, and the one with which the process began."""
    kept = _recorder()
    for number in range(3 * MOST):
        _note(kept, wall=float(number))
    assert [0.0, *map(float, range(2 * MOST, 3 * MOST))] == _walls(kept.moments())
    assert len(kept.moments()) + kept.left_out == 3 * MOST


def test_its_memory_is_bounded_in_bytes() -> None:
    """Decisions of a large set, whose facts are long, are fewer; nothing keeps the bytes from their bound."""
    kept, chance = _recorder(), random.Random(7)  # noqa: S311 - repeatable on purpose
    text = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=30_000))
    long = msgspec.structs.replace(PLAIN, twin=text)
    for number in range(MOST):
        _note(kept, long, float(number))
        assert kept.size <= MOST_BYTES
    assert 1 < len(kept.moments()) < MOST


def test_only_what_is_new_is_a_moment() -> None:
    """A pass that decides the same adds no moment."""
    kept = _recorder()
    for number in range(5):
        _note(kept, wall=float(number), changed=number == 0)
    assert _walls(kept.moments()) == [0.0]


def test_what_came_of_a_plan_is_added_and_counted() -> None:
    """Tries of later passes belong to the decision in force; the same again is one line with a number, in order."""
    kept = _recorder()
    facts = parse("self db-1 of 3\ndisk data cluster=c1 member=m1\nrecord nonce=n1")
    plan = plan_for(facts, decide(facts))
    for number in range(3):
        done = [Done(action=plan.actions[0], ok=False, say="the file system is full")]
        kept.note(facts, decide(facts), plan, done, float(number), changed=number == 0)
    kept.note(facts, decide(facts), plan, [Done(action=plan.actions[0], ok=True)], 3.0, changed=False)
    outcomes = [(o["say"], o["ok"], o["result"], o["times"]) for o in kept.moments()[0]["outcomes"]]
    assert outcomes == [("wrote etcd.yaml", False, "the file system is full", 3), ("wrote etcd.yaml", True, "", 1)]


@turned
async def test_texts_that_are_no_text(tmp_path: Path) -> None:
    """A file's name that is not UTF-8, quoted in facts and outcomes, does not keep them from being kept and written."""
    kept, odd = _recorder(tmp_path), "/data/\udcff"
    facts = msgspec.structs.replace(PLAIN, disk=msgspec.structs.replace(PLAIN.disk, reason=odd))
    done = [Done(action=WriteFile(name=odd, content=""), ok=False, say=odd)]
    kept.note(facts, decide(PLAIN), Plan(), done, 0.0, changed=True)
    await _written(kept, 1.0)
    assert _walls(left(tmp_path)) == [0.0, 1.0]
    assert left(tmp_path)[0]["facts"]["disk"]["reason"] == "/data/?"


def test_contents_of_files_are_not_kept() -> None:
    """Of a plan only words are kept, and of peerboot's own files only those that rules read."""
    kept = Recorder(None, "b1", Redactor, "run.ok")
    facts = msgspec.structs.replace(PLAIN, files={"run.ok": "kind=first\n", "pgpass": "*:hunter2"})
    plan = Plan(actions=(WriteFile(name="server.properties", content="x=hunter2", mode=0o600),))
    kept.note(facts, decide(facts), plan, [Done(action=plan.actions[0], ok=True)], 0.0, changed=True)
    assert kept.moments()[0]["facts"]["files"] == {"run.ok": "kind=first\n", "pgpass": "(not recorded)"}
    assert "hunter2" not in str(kept.moments())


@turned
async def test_it_outlives_the_process(tmp_path: Path) -> None:
    """What one process noted is there for the next, which adds its own; both are told."""
    await _written(_recorder(tmp_path, "b1"), 1.0)
    await _written(_recorder(tmp_path, "b2"), 2.0)
    assert [(moment["boot"], moment["wall"]) for moment in left(tmp_path)] == [("b1", 1.0), ("b2", 2.0)]
    assert (tmp_path / recorder.NAME).stat().st_mode & 0o777 == 0o600


async def _written(kept: Recorder, wall: float) -> None:
    import asyncio

    _note(kept, wall=wall)
    task = asyncio.create_task(kept.loop(TurnedClock()))
    await asyncio.sleep(2 * recorder.WRITE_EVERY)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@turned
async def test_a_full_disk_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is done without, and the old file stays whole; with room again the news is written."""
    await _written(_recorder(tmp_path), 1.0)

    def full(*_: object, **__: object) -> None:
        raise files.FilesError("the file system is full")

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "write_whole", full)
        kept = _recorder(tmp_path, "b2")
        await _written(kept, 2.0)
        assert _walls(left(tmp_path)) == [1.0]
        assert _walls(kept.moments()) == [1.0, 2.0]
    await _written(kept, 3.0)
    assert _walls(left(tmp_path)) == [1.0, 2.0, 3.0]


@turned
async def test_nothing_is_made_where_nothing_was(tmp_path: Path) -> None:
    """It makes no state directory, and writes none that is another Pod's."""
    await _written(_recorder(tmp_path / "none"), 1.0)
    foreign = parse('self db-1 of 3\nrecord nonce=n1 foreign="prod/web-1"')
    kept = _recorder(tmp_path)
    _note(kept, foreign)
    await _written(kept, 1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"\xc1", b"\x91\xc4\x01x", os.urandom(500), b"\xdd\xff\xff\xff\xff", msgspec.msgpack.encode({"a": 1})],
    ids=["empty", "no msgpack", "no zlib", "noise", "a list without end", "a dict"],
)
def test_a_damaged_file_is_none(tmp_path: Path, content: bytes) -> None:
    """What a file of that name holds that the recorder did not write is nothing, and is written over."""
    (tmp_path / recorder.NAME).write_bytes(content)
    assert left(tmp_path) == []
    kept = _recorder(tmp_path)
    _note(kept)
    assert len(kept.moments()) == 1


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A few kilobytes that would unpack to many megabytes are left out."""
    import zlib

    bomb = zlib.compress(b'{"wall": "' + b"a" * (64 << 20) + b'"}')
    (tmp_path / recorder.NAME).write_bytes(msgspec.msgpack.encode([bomb]))
    assert len(bomb) < 100_000
    assert left(tmp_path) == []


def test_a_persons_consent_is_kept_as_its_rule() -> None:
    """What was consented to is named; the nonce is nowhere in what is kept."""
    facts = next(one for one in facts_of_cases("etcd") if one.consents and "" not in one.consents)
    (nonce,) = facts.consents
    kept = _recorder()
    _note(kept, facts)
    assert nonce not in str(kept.moments())
    refused = msgspec.structs.replace(facts, consents=frozenset())
    assert kept.moments()[0]["allowed"] == [decide(refused).rule]
    _note(kept, refused)
    assert nonce in decide(refused).reason
    assert nonce not in str(kept.moments())
