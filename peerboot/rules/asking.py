"""Rules of systems in which one server takes the writes: when a pod asks for them, and what it says meanwhile. Pure.

How it is agreed stands in ``promoting.py``.
"""

from __future__ import annotations

from peerboot.model import Decision, Facts
from peerboot.rules import askwords, candidates, promoting
from peerboot.rules.parts import all_of, hold_of, own_part, place, primary_of, writers
from peerboot.rules.words import DATA_KINDS, refuse, say


def give_way(facts: Facts) -> Decision | None:
    """When: this Pod asks for the writes, and another one that does so comes first, or another server takes them.
    Then: it asks no more.
    """
    found = promoting.agreement(facts) if facts.traits.has_primary else None
    intent = facts.record.intent
    if found is None or intent is None or facts.writes or facts.disk.kind not in DATA_KINDS:
        return None
    primary = primary_of(facts)
    other = primary is not None and primary.pod != facts.identity.pod
    past = other and primary is not None and primary.part is not None and primary.part.term > intent.standing.term
    moved = not intent.called and (other or promoting.own_standing(facts) not in (None, intent.standing))
    if found.kind not in ("overtaken", "spent") and not past and not moved:
        return None
    by = found.by or (primary.pod if other and primary is not None else "")
    why = f"{by} comes first: it asks no more" if by else "its disk has moved since: that is over, and it may ask anew"
    if found.kind == "spent" and not by:
        why = "it did, before it was started again: that is over, and it asks anew"
    return say(
        facts,
        "resume",
        "give-way",
        f"This Pod asked to have its server take the writes, and {why}.",
        may_run=True,
    )


def promote(facts: Facts) -> Decision | None:
    """When: this Pod asked for the writes, no server takes any, and every other expected pod has yielded to it, and
    has said so again after all had.
    Then: its server is told to take the writes, on a new timeline.
    """
    if not _may_promote(facts) or promoting.agreement(facts).kind != "agreed" or facts.record.intent is None:
        return None
    others, past = facts.identity.others, facts.record.intent.past
    whose = "All other Pods have yielded" if others else "This is the only expected Pod"
    if past:
        whose = f"All other Pods have yielded but {', '.join(past)}, which a person said need not"
    return say(
        facts,
        "resume",
        "promote",
        f"{whose}: this Pod's server, on {place(facts.record.intent.standing)}, is told to take the writes.",
        may_run=True,
    )


def promote_waits(facts: Facts) -> Decision | None:
    """When: this Pod asked for the writes, and not every other expected pod has yielded twice.
    Then: wait for them by name, and let the server be read; a consent goes on without those that are silent.
    """
    if not _may_promote(facts) or facts.record.intent is None:
        return None
    found = promoting.agreement(facts)
    intent = facts.record.intent
    if found.kind == "agreed":
        return say(
            facts,
            "wait",
            "promote-waits",
            f"All other Pods let this Pod's server, on {place(intent.standing)}, take the writes, but "
            f"{hold_of(facts)}.",
            waits_for=("`peerboot resume`",),
            may_run=True,
        )
    if found.kind == "confirming":
        return say(
            facts,
            "wait",
            "promote-waits",
            f"All other Pods have yielded to this one, whose server is on {place(intent.standing)}. They are heard "
            "once more, then it takes the writes.",
            waits_for=found.waits_for,
            may_run=True,
        )
    without, waits_for = askwords.without(facts, intent), found.waits_for or ("PEERBOOT_REPLICAS",)
    why = f"Not yet: {askwords.why_not(facts, found.waits_for)}." if found.waits_for else candidates.unexpected(facts)
    decision = refuse(
        facts,
        "promote-waits",
        f"{askwords.nobody(facts)}. This Pod's is to, and it is on {place(intent.standing)}: it waits for every other "
        f"Pod to say that it has no more and lets it. {why} Readers are served.",
        would=f"let it take the writes{without}" if without and found.waits_for else "",
    )
    return say(facts, "wait", "promote-waits", decision.reason, waits_for=waits_for, may_run=True)


def ask_to_promote(facts: Facts) -> Decision | None:
    """When: no server takes writes, this Pod's runs and has taken in all that it has, and it is the one that may take
    them: the last that did, the seed of a new cluster, the one that has most, or the one that a person named.
    Then: it asks all others to let it.
    """
    if not _may_promote(facts):
        return None
    why, past = candidates.chosen(facts)
    if not why or (facts.record.intent is not None and not _goes_past(facts, past)):
        return None
    return say(
        facts,
        "resume",
        "ask-to-promote",
        f"{askwords.nobody(facts)}, and {why}: it asks all other Pods to let it take them"
        + (f", and need not hear {all_of(past)}." if past else "."),
        may_run=True,
    )


def no_primary(facts: Facts) -> Decision | None:
    """When: no server takes writes, this Pod's runs as one that copies, and it is not the one that may take them.
    Then: wait for the one that may, and let the server be read; a consent has this one asked for.
    """
    if not _may_promote(facts):
        return None
    mine = facts.cluster.view_of(facts.identity.pod)
    own = mine.part if mine is not None else None
    if own is None:
        return None
    if own.standing is None:
        does = "still takes in what it has"
        if own.paused:
            does = "has more than it has taken in, because somebody paused its replay (`SELECT pg_wal_replay_resume()`)"
        return say(
            facts,
            "wait",
            "no-primary",
            f"{askwords.nobody(facts)}. This Pod's, on {place(own)}, {does}, and is read meanwhile.",
            waits_for=("this Pod's server to have taken in its log",),
            may_run=True,
        )
    lets = "let this Pod's server take the writes" + (", once all others let it" if facts.identity.others else "")
    decision = refuse(
        facts,
        "no-primary",
        f"{askwords.nobody(facts)}. This Pod's is on {place(own)} and serves readers. {askwords.who_may(facts)}",
        would=""
        if candidates.unexpected(facts) or facts.holds or promoting.outranked(facts)
        else lets + askwords.without(facts, None),
    )
    return say(facts, "wait", "no-primary", decision.reason, waits_for=askwords.whom(facts), may_run=True)


def chosen_past(facts: Facts) -> tuple[str, ...]:
    """The pods that this Pod's intent need not wait for, by a person's word."""
    return candidates.chosen(facts)[1]


def _may_promote(facts: Facts) -> bool:
    """No server takes writes as far as is seen, and this Pod's runs with its data and is none that does."""
    own = own_part(facts) if facts.traits.has_primary else None
    return (
        own is not None
        and not own.writes
        and not writers(facts)
        and facts.disk.kind in DATA_KINDS
        and facts.disk.running
        and not facts.stopping
    )


def _goes_past(facts: Facts, past: tuple[str, ...]) -> bool:
    """A person's word is about the intent that stands: it need not hear those pods either."""
    intent = facts.record.intent
    return intent is not None and any(not promoting.is_excused(facts, pod, intent) for pod in past)
