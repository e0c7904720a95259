"""Whose server may take the writes, and past whom a person's word goes; asked by the rules of ``asking.py``. Pure."""

from __future__ import annotations

from peerboot.model import Facts, Standing
from peerboot.rules import promoting
from peerboot.rules.words import allowed, is_wanted, statement_of, word_now

LEAVES = "leave-writes"
"""The rule by whose name the others hear that a Pod that takes the writes, or did, is scaled away."""
HANDS_OVER = "hand-over-writes"
"""The one that follows, while its server is stopped."""


def chosen(facts: Facts) -> tuple[str, tuple[str, ...]]:
    """Why this Pod's server is the one that may take the writes, empty when it is not; and whom it need not hear."""
    standing = promoting.own_standing(facts)
    if standing is None or facts.identity.pod not in facts.identity.expected:
        return "", ()
    if facts.record.intent is None and promoting.outranked(facts):
        return "", ()
    for rule in ("no-primary", "promote-waits"):
        if allowed(facts, rule):
            return "a person named this Pod's", unyielding(facts)
    if leaver := facts.hands_to or _left_by(facts, standing):
        return f"this Pod's is to take over from {leaver}", ()
    if wanted_elsewhere(facts) or promoting.yields_to(facts):
        return "", ()
    if _is_newborn(facts, standing):
        return "this Pod's is the first of a new cluster", ()
    if facts.traits.promotes == "manual":
        return "", ()
    if promoting.was_last(facts):
        return "this Pod's was the last to take them", ()
    if facts.traits.promotes == "best-when-full" and _has_most(facts, standing):
        return "all Pods are heard, and none has more than this Pod's", ()
    return "", ()


def _left_by(facts: Facts, standing: Standing) -> str:
    """The pod that took the writes, was shut down and is scaled away, if this disk has all that it has, and is the one
    with the lowest ordinal of those that stay and do.
    """
    for pod in promoting.voices(facts):
        word, theirs = statement_of(facts, pod), standing_of(facts, pod)
        if word is None or word.rule != LEAVES or word.running or theirs is None:
            continue
        have = (one for one in facts.identity.expected if _has_all(facts, one, standing, theirs))
        if next(have, "") == facts.identity.pod:
            return pod
    return ""


def heard_leaver(facts: Facts) -> str:
    """The pod that says that it hands the writes over because it is scaled away; empty for none."""
    words = ((pod, word_now(facts, pod)) for pod in sorted(facts.evidence))
    return next((pod for pod, word in words if word is not None and word.rule in (LEAVES, HANDS_OVER)), "")


def _has_all(facts: Facts, pod: str, mine: Standing, theirs: Standing) -> bool:
    found = mine if pod == facts.identity.pod else standing_of(facts, pod)
    if found is None or not is_wanted(facts, pod):
        return False
    return (found.term, found.position) >= (theirs.term, theirs.position)


def _is_newborn(facts: Facts, standing: Standing) -> bool:
    """The seed of a birth, on the timeline that initdb began: nobody was ever told of a write on it."""
    lowest = facts.identity.expected[:1] == (facts.identity.pod,)
    return facts.record.birth is not None and lowest and standing.term == 1


def _has_most(facts: Facts, standing: Standing) -> bool:
    return best(facts, standing) == facts.identity.pod


def best(facts: Facts, standing: Standing | None) -> str:
    """Whose disk has most, where that is known of all that have a voice; of two with as much the lower ordinal's."""
    if standing is None:
        return ""
    ranks = {facts.identity.pod: promoting.rank(standing, facts.identity.ordinal)}
    for pod in promoting.voices(facts):
        theirs = standing_of(facts, pod)
        if theirs is None:
            return ""
        ranks[pod] = promoting.rank(theirs, facts.identity.ordinal_of(pod) or 0)
    return max(ranks, key=lambda pod: ranks[pod])


def standing_of(facts: Facts, pod: str) -> Standing | None:
    """How far another pod's disk is, by its own fresh word; None too for one of another cluster."""
    word = word_now(facts, pod)
    if word is None:
        return None
    if word.disk == "blank":
        return None if word.cluster else promoting.NOTHING
    return word.standing if word.cluster == facts.disk.cluster else None


def wanted_elsewhere(facts: Facts) -> str:
    """The pod whose server is to take over from this one's, as a person wants; empty when nobody does."""
    found = {pod: word for pod in facts.identity.others if (word := statement_of(facts, pod)) is not None}
    wanted = (pod for pod, word in found.items() if word.hands_to == facts.identity.pod and facts.evidence[pod].fresh)
    return next(wanted, "")


def unyielding(facts: Facts) -> tuple[str, ...]:
    """The others of which it is not known that they have no more than this disk."""
    mine = promoting.own_standing(facts) or promoting.NOTHING
    found = []
    for pod in promoting.voices(facts):
        theirs = standing_of(facts, pod)
        if theirs is None or (theirs.term, theirs.position) > (mine.term, mine.position):
            found.append(pod)
    return tuple(found)


def unexpected(facts: Facts) -> str:
    """Why nobody can be asked to let this Pod's server take the writes; empty when they can."""
    if facts.identity.replicas is None:
        return "PEERBOOT_REPLICAS is not set, so it is not known who has to agree: set it to .spec.replicas."
    if facts.identity.pod not in facts.identity.expected:
        count = facts.identity.replicas
        return f"It is not one of the {count} expected Pods, so it is never this Pod's that takes them."
    return ""


def beyond(facts: Facts, theirs: Standing) -> bool:
    """Whether another disk has more than this one."""
    mine = promoting.own_standing(facts)
    return mine is not None and (theirs.term, theirs.position) > (mine.term, mine.position)
