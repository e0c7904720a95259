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
from peerboot.rules.words import statement_of, word_now

NOTHING = Standing()
SILENT = "silent"


class Agreement(Value, frozen=True, kw_only=True):
    """What has become of the own intent."""

    kind: Literal["none", "asking", "confirming", "agreed", "overtaken", "spent"]
    """``confirming``: all have yielded, and are to be heard once more. ``overtaken``: another pod's comes first, or
    another server takes writes: it is to be taken back. ``spent``: the own server took the writes for it."""
    waits_for: tuple[str, ...] = ()
    """Pods that have not yielded to it, or that have yet to be heard once more."""
    by: str = ""
    """Who overtook it."""


def rank(standing: Standing, ordinal: int) -> tuple[int, int, int]:
    """Of two that ask the one with more comes first, then the lower ordinal. Never equal for two pods."""
    return standing.term, standing.position, -ordinal


def own_standing(facts: Facts) -> Standing | None:
    """How far this disk is; a blank one is at nothing, whatever was there before, unless a copy is on its way to it."""
    record = facts.record
    if record.problem or record.foreign:
        # What else was agreed with it may stand where it cannot be read.
        return None
    if facts.disk.kind != "blank":
        return facts.disk.end if ended_for_good(facts) else facts.standing
    if record.seal is not None or record.elsewhere:
        # Its data may come back: it was there.
        return None
    return None if facts.disk.making and facts.permit == "first" else NOTHING


def ended_for_good(facts: Facts) -> bool:
    """Whether this Pod's server took the writes, was shut down in order, and starts no more: the Pod is about to go,
    and the permit is withdrawn. What its disk has does not change any more, and is known without it.
    """
    disk = facts.disk
    return facts.stopping and disk.end is not None and not disk.running and facts.permit == "absent"


def foremost(facts: Facts) -> tuple[str, Intent] | None:
    """The intent of another expected pod that comes before all others that were heard."""
    found = [
        (rank(word.intent.standing, facts.identity.ordinal_of(pod) or 0), pod, word.intent)
        for pod in facts.identity.others
        if (word := word_now(facts, pod)) is not None and word.intent is not None
    ]
    if not found:
        return None
    _, pod, intent = max(found, key=lambda one: one[0])
    return pod, intent


def yields_to(facts: Facts) -> str:
    """The ask that this pod has nothing against, empty for none. It may only be told once ``drops_crown`` is carried
    out. What a server says counts only if it was asked after the ask was heard: an answer is of a time after its
    question.
    """
    found, mine = foremost(facts), own_standing(facts)
    if found is None or mine is None or facts.writes or facts.record.intent is not None:
        return ""
    pod, intent = found
    word = word_now(facts, pod)
    if word is None or (facts.disk.kind != "blank" and word.cluster != facts.disk.cluster):
        return ""
    if (mine.term, mine.position) > (intent.standing.term, intent.standing.position) or same_crown(facts, word):
        return ""
    # To the ask as it is now, or, until the own server was asked again, as it was before all had yielded.
    return next((ask for ask in (word.ask, intent.token) if _looked_since(facts, ask)), "")


def same_crown(facts: Facts, word: Statement) -> bool:
    """Both volumes say that theirs was the last server to take writes on one timeline: two histories have one name."""
    return 0 < facts.record.crown == word.crown and word.cluster == facts.disk.cluster and facts.disk.kind != "blank"


def _looked_since(facts: Facts, ask: str) -> bool:
    heard = facts.asks.get(ask)
    return heard is not None and (facts.disk.kind == "blank" or facts.cluster.at >= heard)


def drops_crown(facts: Facts) -> bool:
    """Who lets another take the writes was not the last to take them, whatever becomes of that."""
    return bool(facts.record.crown) and bool(yields_to(facts))


def voices(facts: Facts) -> tuple[str, ...]:
    """Who has to yield: every other expected pod, and each one beyond them that may have data of this cluster, for the
    set may have been larger: one that DNS has, or that fell silent after it said that it took the writes, or that it
    has more.
    """
    known = {*facts.evidence, *facts.peers.sightings} - {*facts.identity.expected, facts.identity.pod}
    beyond = (pod for pod in sorted(known) if facts.identity.ordinal_of(pod) is not None)
    return (*facts.identity.others, *(pod for pod in beyond if _has_a_voice(facts, pod)))


def _has_a_voice(facts: Facts, pod: str) -> bool:
    word = statement_of(facts, pod)
    if word is None:
        return pod in facts.peers.sightings
    if word.disk == "blank" or word.cluster != facts.disk.cluster:
        return False
    if pod in facts.peers.sightings or word_now(facts, pod) is not None:
        return True
    mine, theirs = own_standing(facts), word.standing
    more = mine is None or (theirs is not None and (theirs.term, theirs.position) > (mine.term, mine.position))
    return word.writes or word.crown > 0 or more


def agreement(facts: Facts) -> Agreement:
    """Whether all others yield to this pod's intent, by their words of now."""
    intent = facts.record.intent
    if intent is None:
        return Agreement(kind="none")
    others = voices(facts)
    mine = own_standing(facts)
    if intent.called and mine is not None and mine.term > intent.standing.term:
        return Agreement(kind="spent")
    if by := _overtaken(facts, intent):
        return Agreement(kind="overtaken", by=by)
    given = {pod: _given(facts, pod, intent) for pod in others if not is_excused(facts, pod, intent)}
    missing = tuple(pod for pod, yielded in given.items() if not yielded)
    if missing or facts.identity.replicas is None or facts.identity.pod not in facts.identity.expected:
        return Agreement(kind="asking", waits_for=missing)
    again = f"{intent.token}/{facts.confirm}"
    stale = tuple(pod for pod, yielded in given.items() if not facts.confirm or yielded != again)
    return Agreement(kind="confirming" if stale else "agreed", waits_for=stale)


def outranked(facts: Facts) -> bool:
    """Whether an intent of this pod's, made now, would have to be taken back at once."""
    mine = own_standing(facts)
    return mine is not None and bool(_overtaken(facts, Intent(standing=mine)))


def _overtaken(facts: Facts, intent: Intent) -> str:
    """The pod that comes before, empty for none."""
    found = foremost(facts)
    if intent.called:
        # What was called may have been done. Where the own server says that it was not, it never is to be once another
        # disk is on a later timeline, as a person's word past this pod may have led to: it would begin that one again.
        undone = own_standing(facts) == intent.standing
        return found[0] if found is not None and undone and found[1].standing.term > intent.standing.term else ""
    writer = next(
        (pod for pod in sorted(facts.evidence) if (word := word_now(facts, pod)) is not None and word.writes), ""
    )
    if writer or found is None:
        return writer
    ahead = rank(found[1].standing, facts.identity.ordinal_of(found[0]) or 0) > rank(
        intent.standing, facts.identity.ordinal
    )
    return found[0] if ahead or found[1].called else ""


def _given(facts: Facts, pod: str, intent: Intent) -> str:
    """To which ask of this very intent a pod yields, empty for none."""
    word = word_now(facts, pod)
    yields = word.yields if word is not None else ""
    return yields if yields.partition("/")[0] == intent.token else ""


def is_excused(facts: Facts, pod: str, intent: Intent) -> bool:
    """A person said that its word need not be waited for, it is still what it was then, and it says nothing that speaks
    against that.
    """
    word = word_now(facts, pod)
    if pod not in intent.past or (word is not None and (word.writes or word.intent is not None)):
        return False
    index = intent.past.index(pod)
    return what_it_is(facts, pod) == (intent.past_as[index] if index < len(intent.past_as) else SILENT)


def what_it_is(facts: Facts, pod: str) -> str:
    """How another pod's disk is known now, in a word that changes when that does."""
    word = word_now(facts, pod)
    if word is None:
        return SILENT
    place = f" {word.standing.term}@{word.standing.position}" if word.standing is not None else ""
    return f"{word.disk} {word.cluster}{place}"


def is_heard(facts: Facts, pod: str) -> bool:
    """Whether another pod's word is of the time for which one counts."""
    return word_now(facts, pod) is not None


def was_last(facts: Facts) -> bool:
    """This volume's server was the last to take writes, as far as this volume knows."""
    mine = own_standing(facts)
    return mine is not None and facts.record.crown > 0 and facts.record.crown >= mine.term
