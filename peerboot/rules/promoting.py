"""How it is agreed that one pod's server takes the writes, where nobody votes (ADR 15). Pure.

A pod that wants it makes an intent durable and tells it. Every other expected pod says of itself that it yields to
exactly that intent, and only while it has none of its own and its server takes no writes. So of two pods that get every
word they need, one asked the other after that had asked, and was not yielded to.

Words are of different moments, and that alone would not do: one that yielded first may have let another take the writes
since, and have copied some of them, before that other one lost its disk and yields too. So when all have yielded, all
are heard once more. From the moment when the last of them yielded nobody else can come to take writes, for that needs
this pod's word; so what they say then is of disks that do not change any more.

``tests/tables/test_promoting.py`` explores these very functions over every interleaving of two and three pods.
"""

from __future__ import annotations

from typing import Literal

from peerboot.model import Facts, Intent, Standing, Statement, Value
from peerboot.rules.words import statement_of

NOTHING = Standing()


class Agreement(Value, frozen=True, kw_only=True):
    """What has become of the own intent."""

    kind: Literal["none", "asking", "confirming", "agreed", "overtaken"]
    """``confirming``: all have yielded, and are to be heard once more. ``overtaken``: another pod's comes first, or
    another server takes writes: it is to be taken back."""
    waits_for: tuple[str, ...] = ()
    """Pods that have not yielded to it, or that have yet to be heard once more."""
    by: str = ""
    """Who overtook it."""


def rank(standing: Standing, ordinal: int) -> tuple[int, int, int]:
    """Of two that ask the one with more comes first, then the lower ordinal. Never equal for two pods."""
    return standing.term, standing.position, -ordinal


def own_standing(facts: Facts) -> Standing | None:
    """How far this disk is; a blank one is at nothing, whatever was there before."""
    return NOTHING if facts.disk.kind == "blank" else facts.standing


def foremost(facts: Facts) -> tuple[str, Intent] | None:
    """The intent of another expected pod that comes before all others that were heard."""
    found = [
        (rank(word.intent.standing, facts.identity.ordinal_of(pod) or 0), pod, word.intent)
        for pod in facts.identity.others
        if (word := _word(facts, pod)) is not None and word.intent is not None
    ]
    if not found:
        return None
    _, pod, intent = max(found, key=lambda one: one[0])
    return pod, intent


def yields_to(facts: Facts) -> str:
    """The token of the intent that this pod has nothing against, empty for none. It may only be told once
    ``drops_crown`` is carried out.
    """
    found, mine = foremost(facts), own_standing(facts)
    if found is None or mine is None or facts.writes or facts.record.intent is not None:
        return ""
    _, intent = found
    beyond = (mine.term, mine.position) > (intent.standing.term, intent.standing.position)
    return "" if beyond else intent.token


def drops_crown(facts: Facts) -> bool:
    """Who lets another take the writes was not the last to take them, whatever becomes of that."""
    return bool(facts.record.crown) and bool(yields_to(facts))


def agreement(facts: Facts) -> Agreement:
    """Whether all others yield to this pod's intent, by their words of now."""
    intent = facts.record.intent
    if intent is None:
        return Agreement(kind="none")
    others = facts.identity.others
    if not intent.called:
        writer = next((pod for pod in others if (word := _word(facts, pod)) is not None and word.writes), "")
        found = foremost(facts)
        mine = rank(intent.standing, facts.identity.ordinal)
        ahead = found is not None and rank(found[1].standing, facts.identity.ordinal_of(found[0]) or 0) > mine
        if writer or (found is not None and (ahead or found[1].called)):
            return Agreement(kind="overtaken", by=writer or (found[0] if found else ""))
    missing = tuple(pod for pod in others if (word := _word(facts, pod)) is None or word.yields != intent.token)
    if missing or facts.identity.replicas is None or facts.identity.pod not in facts.identity.expected:
        return Agreement(kind="asking", waits_for=missing)
    since = facts.yielded_at
    stale = tuple(pod for pod in others if since is None or facts.evidence[pod].at <= since)
    return Agreement(kind="confirming" if stale else "agreed", waits_for=stale)


def was_last(facts: Facts) -> bool:
    """This volume's server was the last to take writes, as far as this volume knows."""
    mine = own_standing(facts)
    return mine is not None and facts.record.crown > 0 and facts.record.crown >= mine.term


def _word(facts: Facts, pod: str) -> Statement | None:
    """What it said within the time for which a word counts, None else: an older one may be of before a restart."""
    evidence = facts.evidence.get(pod)
    if evidence is None or not evidence.fresh or facts.now - evidence.at > facts.limits.fresh:
        return None
    return statement_of(facts, pod)
