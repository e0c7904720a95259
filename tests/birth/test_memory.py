"""What a process has heard dies with its disk's nonce: the explorations show what happens otherwise."""

from __future__ import annotations

import msgspec
import pytest

from peerboot import birth
from peerboot.assess import Memory
from peerboot.model import Record
from tests.birth.explore import Rec, Shipped


@pytest.mark.parametrize(
    ("asked_at", "kind"), [(4.0, "wait"), (5.0, "wait"), (5.1, "born-now")], ids=["before", "at-once", "after"]
)
def test_a_birth_counts_only_words_asked_for_since_the_nonce_was_made(asked_at: float, kind: str) -> None:
    """A disk that took its nonce in this process is not born on a word that was asked for before."""
    facts = Shipped(2).facts(0, Rec(1), (None, Rec()))
    evidence = {pod: msgspec.structs.replace(heard, at=asked_at) for pod, heard in facts.evidence.items()}
    verdict = birth.may_be_born(msgspec.structs.replace(facts, now=6.0, evidence=evidence, nonce_at=5.0))
    assert verdict.kind == kind
    assert verdict.missing == (() if kind == "born-now" else ("db-1",))


def test_a_process_notes_when_its_disk_becomes_another_one() -> None:
    """Any nonce that it did not know before is a change, its first one too, once: a torn state has none to go by."""
    memory = Memory(started_at=1.0)
    noted = []
    for now, nonce in enumerate(("", "a", "a", "b", "b", "c"), 1):
        memory.see_record(Record(nonce=nonce), float(now))
        noted.append(memory.nonce_at)
    assert noted == [-1.0, 2.0, 2.0, 4.0, 4.0, 6.0]
