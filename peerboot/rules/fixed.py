"""Rules for a cluster whose voters are a list in every server's file (Kafka's static quorum). Pure.

Nobody is added to such a list or removed from it, and a voter is known by its id alone: a blank disk in its place is a
voter as soon as its server runs. Two blank ones of three elect a leader without data (measured on 4.3.1). So a blank
disk may start only after a majority of all voters, itself not counted, holds everything that its former disk may have
helped to commit. From then on nobody without all of it can win an election (ADR 13).
"""

from __future__ import annotations

from peerboot.model import Decision, Facts, Member
from peerboot.rules.words import DATA_KINDS, allowed, empty, own_entry, quorum_of, refuse, say, statement_of, word_now

BLANK_FOR = 10.0
"""Seconds for which a disk must have been blank. What the leader then knows of this voter's last fetch, and a
candidate that had its vote, are older than what is asked now: a voter counts as there for 4 s after its last fetch
(``kafka/assess.py``), and a candidate gives up after ``controller.quorum.election.timeout.ms``, 1 s."""
VIEW_AGE = 5.0
"""Seconds for which the leader's word counts here."""


def voters(facts: Facts) -> tuple[str, ...] | None:
    """The pods of the fixed voters; empty where the list is in the cluster's log; None where it is not known yet.

    Never from PEERBOOT_REPLICAS: a list that grew would let two blank ones elect a leader. The leader's word comes
    first; a cluster whose list went into its log does not go back, so that is noted and stands.
    """
    if not facts.traits.fixed:
        return ()
    record, theirs = facts.record, facts.cluster
    claim = record.claim if record.claim and record.claim.nonce == record.nonce else None
    ours = facts.disk.cluster or (record.seal.cluster if record.seal else "") or (claim.cluster if claim else "")
    if theirs.quorum and ours in ("", theirs.cluster):
        listed = tuple(sorted(m.pod for m in theirs.members if not m.learner))
        # One that is no pod of this set has a place that only the others' files tell.
        return () if not theirs.fixed else listed if all(listed) else None
    sealed = record.seal.voters if record.seal and record.seal.cluster == ours else None
    if sealed == () or facts.disk.voters == ():
        return ()
    born = tuple(sorted(record.birth.members)) if record.birth else None
    return facts.disk.voters or sealed or (claim.voters if claim else ()) or born


def to_note(facts: Facts) -> tuple[str, ...] | None:
    """The voters as the seal keeps them; None where there is nothing to note."""
    return voters(facts) if facts.traits.fixed else None


def not_a_voter(facts: Facts) -> Decision | None:
    """When: the cluster that has quorum has fixed voters, and this Pod is none of them.
    Then: refuse, for nobody can be added: a longer list in the files could let blank ones elect a leader.
    """
    theirs, disk = facts.cluster, facts.disk
    if not theirs.quorum or not theirs.fixed or own_entry(facts) is not None or disk.running:
        return None
    if not empty(facts) and (disk.kind not in DATA_KINDS or disk.cluster != theirs.cluster):
        return None
    return refuse(
        facts,
        "not-a-voter",
        f"Cluster {theirs.cluster} has a static quorum, whose voters are {_names(facts)}: {facts.identity.pod} is none "
        "of them, and none can be added. Either scale the set down again, or make its quorum a dynamic one first "
        "(`peerboot kafka migrate`): then this Pod joins.",
    )


def lists_differ(facts: Facts) -> Decision | None:
    """When: the disk's data names other fixed voters than the leader of its cluster.
    Then: refuse: two lists are two quorums.
    """
    theirs, disk = facts.cluster, facts.disk
    if disk.kind not in DATA_KINDS or not disk.voters or disk.running or not (theirs.quorum and theirs.fixed):
        return None
    if theirs.cluster != disk.cluster or set(disk.voters) == {m.pod for m in theirs.members if not m.learner}:
        return None
    return refuse(
        facts,
        "lists-differ",
        f"This disk's data names the voters {', '.join(disk.voters)}, but the leader of cluster {theirs.cluster} has "
        f"{_names(facts)}: two lists are two quorums. Its server is not started. Find out who changed a list by "
        "hand, and which one is right.",
    )


def list_unknown(facts: Facts) -> Decision | None:
    """When: the disk has data of a cluster with fixed voters, and nothing says who they are.
    Then: wait for the leader's word; refuse where one of them is none of this set's servers.
    """
    if facts.disk.kind not in DATA_KINDS or facts.disk.running or voters(facts) is not None:
        return None
    if facts.cluster.quorum:
        return refuse(
            facts,
            "list-unknown",
            f"The static quorum of cluster {facts.cluster.cluster} has voters ({_names(facts)}) that are no pods of "
            "this set, so the list cannot be written into this server's file. Set PEERBOOT_KAFKA_NODE_ID_BASE so that "
            "node ids go with the pods, or run it without peerboot.",
        )
    return say(
        facts,
        "wait",
        "list-unknown",
        f"This disk is of cluster {facts.disk.cluster}, and neither its data nor a birth names the voters of its "
        "static quorum: its server starts as soon as the leader has said who they are.",
        waits_for=("the leader's list of voters",),
    )


def formatted_by_hand(facts: Facts) -> Decision | None:
    """When: the disk was formatted, has never run, and peerboot did not have it formatted, while the voters are fixed:
    it is as good as blank.
    Then: it starts under the same conditions as a blank one; before, a consent starts it.
    """
    disk, record = facts.disk, facts.record
    if disk.kind not in DATA_KINDS or disk.logged or disk.running or not voters(facts):
        return None
    planned = record.claim is not None and record.claim.nonce == record.nonce
    if planned or (record.birth is not None and record.seal is None) or allowed(facts, "formatted-by-hand"):
        return None
    lacking = lacks(facts) if facts.cluster.quorum else ("No quorum is seen", "the cluster's quorum")
    if lacking is None:
        return None
    return refuse(
        facts,
        "formatted-by-hand",
        f"This disk was formatted by somebody else and holds nothing, and in a static quorum it would vote at once: "
        f"two such disks elect a leader without data. {lacking[0]}. It starts when a majority of the others has "
        "everything.",
        would="start it as it is",
    )


def refill_waits(facts: Facts) -> Decision | None:
    """When: the disk is blank, this Pod is one of the fixed voters of a cluster with quorum, and it is not certain that
    a majority of all voters, this one not counted, holds everything; or another disk takes its place back first.
    Then: wait, by name.
    """
    if not _is_refill(facts):
        return None
    lacking = lacks(facts)
    if lacking is None:
        return None
    return say(
        facts,
        "wait",
        "refill-waits",
        f"This disk is {facts.disk.kind}, and cluster {facts.cluster.cluster} has a static quorum, where it would vote "
        f"at once. {lacking[0]}. It is formatted when a majority of all voters, this one not counted, holds "
        "everything that was acknowledged.",
        waits_for=(lacking[1],),
    )


def refill(facts: Facts) -> Decision | None:
    """When: the same, and a majority of all voters, this one not counted, holds everything.
    Then: it is formatted and takes its place again, and the leader feeds it.
    """
    if not _is_refill(facts):
        return None
    return say(
        facts,
        "join",
        "refill",
        f"The disk of {facts.identity.pod} is {facts.disk.kind}, and it is a voter of the static quorum of cluster "
        f"{facts.cluster.cluster}. A majority of the voters, this one not counted, holds everything: it is formatted "
        "and takes its place again.",
    )


def _is_refill(facts: Facts) -> bool:
    return empty(facts) and facts.cluster.quorum and facts.cluster.fixed and own_entry(facts) is not None


def lacks(facts: Facts) -> tuple[str, str] | None:
    """Why a disk without data may not take its place among the fixed voters now, and what has to come; None when it
    may.
    """
    theirs, who = facts.cluster, facts.identity
    others = [m for m in theirs.members if not m.learner and m.pod != who.pod]
    lacking = {member.pod or member.id: why for member in others if (why := _incomplete(facts, member))}
    needed = quorum_of(len(others) + 1)
    if not theirs.fixed or len(others) - len(lacking) < needed:
        named = ", ".join(f"{pod} ({why})" for pod, why in lacking.items())
        have = len(others) - len(lacking)
        return (
            f"Of the {needed} other voters that must hold everything, {have} {'does' if have == 1 else 'do'}: {named}",
            f"{needed} other voters to hold everything",
        )
    if facts.now - theirs.at > VIEW_AGE:
        return f"The leader's last word is older than {VIEW_AGE:g} s", "a fresh word of the leader"
    if theirs.view_of(who.pod) is not None:
        return "Its former server still answers", "this Pod's former server to stop"
    if busy := _takes_place(facts):
        return f"{busy} takes its place first, one at a time", f"{busy} to be in sync"
    if facts.now - facts.disk.since < BLANK_FOR:
        return (
            f"It is looked at for {BLANK_FOR:g} s first, so that nothing is counted which its former disk said",
            f"{BLANK_FOR:g} s to pass",
        )
    return None


def _incomplete(facts: Facts, member: Member) -> str:
    """Why another voter does not count: by the leader's word, and by its own peerboot's since this disk is blank."""
    view, evidence = facts.cluster.view_of(member.pod), facts.evidence.get(member.pod)
    word = statement_of(facts, member.pod)
    if word is not None and word.disk not in DATA_KINDS:
        return f"its disk is {word.disk}"
    if view is None:
        return "its server does not fetch"
    if not view.complete:
        return "it lags"
    if evidence is None or word is None:
        return f"its peerboot was not heard: {evidence.reason}" if evidence and evidence.reason else "not heard"
    if not evidence.fresh or evidence.at <= facts.disk.since or facts.now - evidence.at > facts.limits.fresh:
        return "its peerboot has not said lately what its disk is"
    return "" if word.running else "its server does not run"


def _takes_place(facts: Facts) -> str:
    """Another pod whose disk is about to take its place back: with a permit, or with a lower ordinal."""
    for pod in sorted(facts.evidence):
        word, ordinal = word_now(facts, pod), facts.identity.ordinal_of(pod)
        if word is None or ordinal is None or word.decision != "join":
            continue
        if word.permitted or ordinal < facts.identity.ordinal:
            return pod
    return ""


def remark(facts: Facts) -> str:
    """What a person ought to know of a cluster that does not go with the setting; empty when it does."""
    if not facts.traits.fixed or not facts.cluster.quorum or facts.cluster.fixed:
        return ""
    return (
        "Its quorum is a dynamic one, and that is what counts: set PEERBOOT_KAFKA_QUORUM=dynamic, and restart the "
        "servers one after the other if they have not been since it was migrated."
    )


def _names(facts: Facts) -> str:
    return ", ".join(m.pod or m.id for m in facts.cluster.members if not m.learner)
