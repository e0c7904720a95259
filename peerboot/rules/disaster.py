"""Rules for a cluster whose quorum is lost for good: what is left, and a person's word to go on with it. Pure.

The cluster of one keeps its id, so that nobody could tell it from the old one. Therefore nothing is offered while there
is a pod that could still be part of that one: silent, with its server running, or with data that this disk's list of
members does not know of. A majority of such pods would go on without this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from peerboot.model import Decision, Facts, Forced, LogEnd, Member, Statement
from peerboot.rules.beyond import wanted_pods
from peerboot.rules.words import (
    DATA_KINDS,
    allowed,
    quorum_of,
    refuse,
    say,
    statement_of,
    why_unheard,
    word_now,
)

RESTART = "`kubectl delete pod {pod}`"
CUT_OFF = "no old Pod of theirs still runs on a node that is cut off"


@dataclass(frozen=True)
class Remains:
    """What the disks of one cluster's voters still hold, by the pods' own words of now."""

    voters: int
    ids: Mapping[str, str]
    """The member id of each pod's voter."""
    holders: dict[str, LogEnd | None]
    """Pods with their voter's data, this one among them; None: it does not say where its log ends."""
    gone: dict[str, str]
    """Pods of voters that have none, and what they have."""
    untold: dict[str, str]
    """Who may be part of the cluster all the same, and why that is not known to be otherwise."""

    @property
    def needed(self) -> int:
        """So many disks are a quorum."""
        return quorum_of(self.voters)

    @property
    def is_lost(self) -> bool:
        """Everybody was heard, and too few have data."""
        return not self.untold and len(self.holders) < self.needed

    def best(self, facts: Facts) -> str:
        """The pod whose log goes furthest; of equal ones the lowest ordinal. Empty while one does not say."""
        if any(end is None for end in self.holders.values()):
            return ""
        ranks = {pod: end.rank for pod, end in self.holders.items() if end is not None}
        return max(ranks, key=lambda pod: (ranks[pod], -(facts.identity.ordinal_of(pod) or 0)), default="")


def remains(facts: Facts, noted: Mapping[str, str] | None = None) -> Remains | None:
    """What is left of this disk's cluster; None where its voters are not known. ``noted``: as ``Remains.ids``."""
    me, listed = facts.identity.pod, [m for m in _own_list(facts) if not m.learner] if noted is None else []
    ids = {m.pod: m.id for m in listed if m.pod} if noted is None else noted
    if ids.get(me) != facts.disk.member:
        return None
    holders: dict[str, LogEnd | None] = {me: facts.disk.log_end}
    gone: dict[str, str] = {}
    untold = {f"member {m.id}": "it is of no pod of this set" for m in listed if not m.pod}
    if facts.live.state == "unknown":
        untold["the number of replicas"] = f"the Kubernetes API has not said it: {facts.live.reason}"
    for pod in sorted(_everybody(facts, ids) - {me}):
        word = word_now(facts, pod)
        if word is None:
            untold[pod] = "silent now" if statement_of(facts, pod) else _why_unheard(facts, pod)
        elif doubt := _may_be_part(facts, word, ids.get(pod, "")):
            untold[pod] = doubt
        elif word.disk in DATA_KINDS and word.cluster == facts.disk.cluster:
            holders[pod] = word.log_end or (LogEnd(term=0, index=0) if word.disk == "bootstrap" else None)
        elif pod in ids:
            gone[pod] = _state(word.disk, word.cluster)
    return Remains(len(listed) or len(ids), ids, holders, gone, untold)


def _everybody(facts: Facts, ids: Mapping[str, str]) -> set[str]:
    """Every pod that is, or was, of this set. One that is neither a voter, nor expected, nor in DNS, nor wanted was
    scaled away, and what was once heard of it is no matter.
    """
    who, live = facts.identity, facts.live
    seen = {pod for pod in facts.peers.sightings if who.ordinal_of(pod) is not None}
    wanted = set(wanted_pods(facts)) if live.state == "known" else set(facts.evidence)
    return {*ids, *who.others, *seen, *wanted}


def _may_be_part(facts: Facts, word: Statement, listed: str) -> str:
    """Why a pod that was heard may be part of the cluster although its disk is no voter's of this disk's list."""
    ours = word.cluster == facts.disk.cluster
    if word.serving:
        return "its server serves"
    if word.disk == "unknown":
        return "its disk cannot be looked at"
    if word.disk in DATA_KINDS and ours and word.member != listed:
        return f"it has data of member {word.member}, no voter that this disk knows of: what is not wanted is put away"
    if word.running and word.disk not in DATA_KINDS and word.disk != "blank":
        return "its server runs"
    settled = word.rule == "corrupt-kept" and word.stood >= facts.limits.corrupt_recheck
    return "its data does not read, and is looked at again" if word.disk == "corrupt" and not settled else ""


def forced(facts: Facts) -> Decision | None:
    """When: a person allowed that this disk becomes a cluster of one, no quorum is seen, and what that rests on stands.
    Then: once its server has stopped a copy of the data is taken, then the server starts once, as the only member; the
    others join it. A hold ends the word.
    """
    word, disk, me = facts.record.forced, facts.disk, facts.identity.pod
    if word is None or disk.kind != "data" or facts.cluster.quorum or not facts.traits.forces:
        return None
    if (word.cluster, word.member) != (disk.cluster, disk.member):
        return None
    to_be = f"A person allowed that this disk, member {disk.member} of cluster {disk.cluster}, becomes a cluster of one"
    restart = f"restart this Pod ({RESTART.format(pod=me)}), whose volume stays"
    if disk.running and word.given:
        return say(
            facts,
            "wait",
            "forced",
            f"{to_be}: its server runs and elects itself. If it does not within a minute, {restart}.",
            waits_for=("this Pod's server",),
        )
    if disk.log_end is None or disk.log_end.rank != word.end.rank:
        return None
    if disk.running:
        return say(
            facts,
            "wait",
            "forced",
            f"{to_be}. Its server still runs as before: {restart}; then a copy of the data is taken, and after that it "
            "starts. `peerboot hold` takes that word back.",
            waits_for=("this Pod's server to stop",),
        )
    left = remains(facts, word.voters)
    if left is None or len(left.holders) >= left.needed or left.best(facts) not in ("", me):
        return None
    if left.untold or not left.best(facts):
        silent = left.untold or {pod: "its log's end is not told" for pod, end in left.holders.items() if not end}
        return say(
            facts,
            "wait",
            "forced",
            f"{to_be}. Before that every pod has to say once more that no more has come back: {_why(silent)}. "
            "`peerboot hold` takes that word back, and the server starts as before.",
            waits_for=tuple(silent),
        )
    if not word.copy:
        trouble = f" The last try failed: {facts.undone}." if facts.undone else ""
        return say(facts, "form", "forced", f"{to_be}: a copy of its data is taken first.{trouble}")
    return say(
        facts,
        "form",
        "forced",
        f"{to_be}: a copy is kept as {word.copy}, and the server starts once, as the only member.",
        may_run=True,
    )


def quorum_lost(facts: Facts) -> Decision | None:
    """When: this Pod's server runs with its data and sees no quorum, and every pod has said that too few disks with
    the cluster's data are left for one.
    Then: wait for lost volumes, and name who has what; where this disk has most, a consent makes it a cluster of one.
    """
    disk, me = facts.disk, facts.identity.pod
    if disk.kind != "data" or not disk.running or facts.cluster.quorum or not facts.traits.forces:
        return None
    left = remains(facts)
    if left is None or not left.is_lost:
        return None
    best, waits_for = left.best(facts), ("a lost volume, a backup, or a person",)
    if best == me and allowed(facts, "quorum-lost") and not facts.holds:
        return say(
            facts,
            "form",
            "quorum-lost",
            f"A person allowed that this disk, which has most of cluster {disk.cluster}, becomes a cluster of one.",
            may_run=True,
        )
    reason = (
        f"The quorum of cluster {disk.cluster} is lost: {left.needed} of its {left.voters} disks are needed. Put lost "
        "volumes back, or restore a backup: peerboot's docs/recovery.md has the commands."
    )
    if best != me:
        further = f"Only where neither can be had: {best}, which has most, says how it becomes a cluster of one."
        further = further if best else "Which of them has most is not known yet."
        return say(
            facts, "wait", "quorum-lost", f"{reason} {further} {what_is_left(left)}", waits_for=waits_for, may_run=True
        )
    would = "copy this disk's data and make it a cluster of one, which the others join"
    offered = refuse(facts, "quorum-lost", reason, would=would)
    # What is to be said stands before the list, whose end may be cut off.
    told = f"{offered.reason} Only when {CUT_OFF}; what only lost disks had is lost then. {what_is_left(left)}"
    if facts.holds:
        told = f"{facts.holds[0].who} holds automatic changes: `peerboot resume` first. {told}"
    return msgspec.structs.replace(offered, kind="wait", reason=told, waits_for=waits_for, may_run=True, exit_code=0)


def what_is_left(left: Remains) -> str:
    """Who has what, in words."""
    have = "; ".join(f"{pod}: {end_text(end)}" for pod, end in left.holders.items())
    gone = ", ".join(f"{pod} ({state})" for pod, state in left.gone.items())
    return f"Left: {have}." + (f" Gone: {gone}." if gone else "")


def silence(facts: Facts) -> str:
    """What is known of the others while no quorum is seen and one may still be part of it; empty else."""
    left = remains(facts) if facts.traits.forces and not facts.cluster.quorum else None
    if left is None or not left.untold or len(left.holders) >= left.needed:
        return ""
    return (
        f"A quorum needs {left.needed} of {left.voters} disks. {what_is_left(left)} Not known: {_why(left.untold)}. "
        f"Of a pod whose volume is lost for good a new, blank one has to say so, and only when {CUT_OFF}."
    )


def to_force(facts: Facts) -> Forced | None:
    """What is noted of a person's word, with all that it rests on."""
    left, end = remains(facts), facts.disk.log_end
    if left is None or end is None:
        return None
    return Forced(cluster=facts.disk.cluster, member=facts.disk.member, end=end, voters=dict(left.ids))


def copy_name(end: LogEnd) -> str:
    """What the copy of the data is called: of one end of the log there is one."""
    return f"member.before-force-{end.term}-{end.index}"


def _own_list(facts: Facts) -> tuple[Member, ...]:
    """The members by this Pod's own server, in whose list its own disk is a voter; empty while it does not say."""
    own = facts.cluster.view_of(facts.identity.pod)
    # A server that has seen no leader since it started says who is listed, and not which of them it is.
    if own is None or own.cluster != facts.disk.cluster or own.member not in ("", facts.disk.member):
        return ()
    mine = next((member for member in own.members if member.id == facts.disk.member), None)
    if mine is None or mine.learner:
        return ()
    return tuple(
        msgspec.structs.replace(member, pod=facts.identity.pod) if member is mine else member for member in own.members
    )


def _state(disk: str, cluster: str) -> str:
    """What a pod has in place of the cluster's data."""
    if disk in DATA_KINDS:
        return f"data of cluster {cluster}"
    words = {"corrupt": "its data does not read", "interrupted": "no data", "partial": "a part of its data"}
    return words.get(disk, disk)


def end_text(end: LogEnd | None) -> str:
    """In words."""
    if end is None:
        return "it does not say how much yet"
    if not end.index:
        return "only its bootstrap"
    return f"up to term {end.term}, index {end.index}" + (f", last written {end.written}" if end.written else "")


def _why_unheard(facts: Facts, pod: str) -> str:
    return why_unheard(facts, (pod,)).partition(" (")[2].removesuffix(")")


def _why(pods: Mapping[str, str]) -> str:
    return ", ".join(f"{pod} ({reason})" for pod, reason in pods.items())
