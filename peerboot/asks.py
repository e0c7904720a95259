"""What a node does beside its passes where pods agree on who takes the writes (ADR 15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import msgspec

from peerboot.assess import Memory
from peerboot.model import Decision, Facts, Record, Standing
from peerboot.rules import candidates, handing, promoting


class Words(TypedDict):
    """What a pod's statement has of all this, beside what its disk and server say."""

    record: Record
    """What is durable now."""
    yields: str
    """The ask of another pod that this one has nothing against."""
    ended: Standing | None
    """How far the disk is of a server that took the writes and starts no more in this Pod."""
    heir: str
    """Whose server is to take over from this Pod's, which takes the writes and is scaled away."""


def words(facts: Facts | None, decision: Decision, record: Record) -> Words:
    """By the last pass, and by what is durable now: who has asked for the writes yields to nobody."""
    if facts is None or not facts.traits.has_primary:
        return Words(record=record, yields="", ended=None, heir="")
    durable = msgspec.structs.replace(facts, record=record)
    return Words(
        record=record,
        yields="" if record.crown else promoting.yields_to(durable),
        ended=facts.disk.end if promoting.ended_for_good(facts) else None,
        heir=decision.target if decision.rule == candidates.LEAVES else "",
    )


def confirm(memory: Memory, facts: Facts, token: Callable[[], str]) -> bool:
    """Forget what is over. Once all others have yielded to this pod's ask, they are asked to say so once more; anew if
    one does not. True when they are to be asked now.
    """
    if not facts.traits.has_primary:
        return False
    if facts.writes:
        memory.hands_to = ""
    elif leaver := handing.to_take_over(facts):
        memory.hands_to, memory.hands_at, memory.hands_by_itself = leaver, facts.now, True
    elif memory.hands_by_itself and handing.stays_after_all(facts, memory.hands_to):
        memory.hands_to = ""
    kind = promoting.agreement(facts).kind
    if kind == "confirming" and not memory.confirm:
        memory.confirm = token()
        return True
    if kind not in ("confirming", "agreed"):
        memory.confirm = ""
    return False
