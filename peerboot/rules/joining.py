"""Rules for a disk without data while a cluster lives: it joins as a new member, one at a time. Pure."""

from __future__ import annotations

from peerboot.model import Decision, Facts, Member
from peerboot.rules.words import (
    empty,
    is_wanted,
    listed_without_quorum,
    own_entry,
    refuse,
    say,
    stands_without,
    word_now,
)


def join_waits(facts: Facts) -> Decision | None:
    """When: the disk is blank, a cluster with quorum does not list this Pod, and it is not this Pod's turn. Servers
    without a vote need no turn.
    Then: wait: one joins at a time, the lowest ordinal first, when every listed name resolves.
    """
    entry = own_entry(facts)
    no_turns = facts.traits.quorum_of or facts.traits.has_primary
    if not empty(facts) or not facts.cluster.quorum or no_turns:
        return None
    learner = _joiner(facts)
    if entry is None and learner is not None:
        return say(
            facts,
            "wait",
            "join-waits",
            f"{learner.pod or learner.id} is joining cluster {facts.cluster.cluster}; one joins at a time, then it is "
            "this Pod's turn.",
            waits_for=(f"{learner.pod or learner.id} to be promoted",),
        )
    # Whose dead entry is listed removes it first, whoever else joins: some etcds add nobody while a voter is down.
    before = "" if entry is not None and facts.traits.admits == "listed-first" else _before(facts)
    if before:
        return say(
            facts,
            "wait",
            "join-waits",
            f"{before} has a blank disk too and a lower ordinal: it joins cluster {facts.cluster.cluster} first.",
            waits_for=(f"{before} to join",),
        )
    if facts.cluster.unresolved and facts.traits.admits == "listed-first":
        return say(
            facts,
            "wait",
            "join-waits",
            f"DNS does not know {', '.join(facts.cluster.unresolved)} yet, and a joining server stalls on a name that "
            "it cannot resolve.",
            waits_for=facts.cluster.unresolved,
        )
    return None


def _joiner(facts: Facts) -> Member | None:
    """Another pod's learner that has to be promoted before the next one joins."""
    others = [m for m in facts.cluster.members if m.learner and m.pod != facts.identity.pod]
    if facts.traits.admits == "started-first":
        # An observer blocks nobody for long: one that is not added in time, or has left, is waited for no longer.
        others = [m for m in others if _is_recent(facts, m) and is_wanted(facts, m.pod)]
    return next(iter(others), None)


def _is_recent(facts: Facts, member: Member) -> bool:
    track = facts.learners.get(member.id)
    return track is None or facts.now - track.since < facts.limits.learner_stall


def _before(facts: Facts) -> str:
    """The pod with a lower ordinal that is joining too, by its own fresh word; empty when there is none."""
    # Pods beyond PEERBOOT_REPLICAS take their turn as well: the set may have grown since it formed.
    for pod in sorted(facts.evidence):
        ordinal, word = facts.identity.ordinal_of(pod), word_now(facts, pod)
        if ordinal is None or ordinal >= facts.identity.ordinal or word is None:
            continue
        if word.disk == "blank" and word.decision in ("join", "replace", "renew"):
            return pod
    return ""


def join(facts: Facts) -> Decision | None:
    """When: the disk is blank, a cluster with quorum does not list this Pod, and it is its turn.
    Then: it is added as a learner and the next look starts it, or it starts and is added once it has caught up.
    """
    if not empty(facts) or not facts.cluster.quorum or own_entry(facts) is not None:
        return None
    starts_first = facts.traits.admits == "started-first"
    how = "it starts as an observer and is added once it has caught up" if starts_first else "it is added as a learner"
    if facts.traits.quorum_of:
        how = "it starts as one of its servers"
    if facts.traits.has_primary:
        how = "it becomes a copy of the server that takes the writes"
    return say(
        facts,
        "join",
        "join",
        f"This disk is {facts.disk.kind} and cluster {facts.cluster.cluster} lives without this Pod: {how}.",
    )


def replace_unstarted(facts: Facts) -> Decision | None:
    """When: the disk is blank and the cluster lists this Pod with a member that never published itself.
    Then: that entry is removed, for its server may have run, and this Pod is added anew.
    """
    entry = own_entry(facts)
    if not empty(facts) or not facts.cluster.quorum or entry is None or entry.started:
        return None
    if not facts.looked:
        return say(
            facts,
            "wait",
            "replace-unstarted",
            f"Cluster {facts.cluster.cluster} lists member {entry.id} for this Pod, which never started; asking the "
            "other pods once whether it was planned for this disk.",
            waits_for=("one look",),
        )
    if not entry.learner and not stands_without(facts, entry.id):
        return _no_quorum_without(facts, "replace-unstarted", entry)
    return say(
        facts,
        "replace",
        "replace-unstarted",
        f"Cluster {facts.cluster.cluster} lists member {entry.id} for this Pod, and it is not known that its server "
        "never ran: it is removed, then this Pod is added anew.",
        target=entry.id,
    )


def replace_lost(facts: Facts) -> Decision | None:
    """When: the disk is blank and the cluster lists this Pod with a member that has run: its disk was lost.
    Then: the old member is removed while quorum stands without it, then this Pod is added as a new one.
    """
    entry = own_entry(facts)
    if not empty(facts) or not facts.cluster.quorum or entry is None or not entry.started:
        return None
    answering = facts.cluster.view_of(facts.identity.pod)
    if answering is not None and answering.member == entry.id:
        return say(
            facts,
            "wait",
            "replace-lost",
            f"Member {entry.id}, whose disk this Pod would replace, "
            + (
                "was there a moment ago, by the leader's word."
                if facts.traits.admits == "started-first"
                else f"still answers at {answering.address}."
            ),
            waits_for=(f"member {entry.id} to stop",),
        )
    if not entry.learner and not stands_without(facts, entry.id):
        return _no_quorum_without(facts, "replace-lost", entry)
    return say(
        facts,
        "replace",
        "replace-lost",
        f"The disk of {facts.identity.pod} was lost: it is {facts.disk.kind}, but cluster {facts.cluster.cluster} "
        f"lists it as member {entry.id}. That member is removed, then this Pod joins as a new one.",
        target=entry.id,
    )


def _no_quorum_without(facts: Facts, rule: str, entry: Member) -> Decision:
    return say(
        facts,
        "wait",
        rule,
        f"Member {entry.id} of this Pod has to be removed first, but the voters that serve would be no majority "
        "without it.",
        waits_for=("more members to be healthy",),
    )


def unstarted_pair(facts: Facts) -> Decision | None:
    """When: the disk is blank, a cluster of two has one started member and this Pod's entry, and no quorum.
    Then: refuse: only the disk for which the entry was added may start with it.
    """
    if not empty(facts) or facts.cluster.quorum:
        return None
    members = listed_without_quorum(facts)
    mine = next((m for m in members if m.pod == facts.identity.pod), None)
    if mine is None or mine.started or mine.learner or len(members) != 2:
        return None
    if facts.record.birth is not None:
        return None
    return refuse(
        facts,
        "unstarted-pair",
        f"The cluster has two members, one runs and {mine.id} waits for this Pod, but it was not added for this disk, "
        "so starting it could lose a write. Bring back the disk it was added for, or have the running member go on "
        "alone: `peerboot status` in its Pod says how.",
    )
