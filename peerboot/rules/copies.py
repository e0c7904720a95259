"""Rules for a disk that lost what it held for clients: it must not stand for copies that nobody else has. Pure."""

from __future__ import annotations

from peerboot.model import Decision, Facts
from peerboot.rules.words import DATA_KINDS, allowed, empty, in_range, refuse, say

MOST_NAMED = 5


def last_copy(facts: Facts) -> Decision | None:
    """When: this disk lost what it held, or a part of it, and by the cluster's word the last good copy of something was
    on it, or nobody can tell.
    Then: wait, for a server that starts without it would be believed, and the others would drop what they have; a
    consent starts it.
    """
    disk, cluster = facts.disk, facts.cluster
    # One that was only formatted has been looked at before that; so has a disk for which a first permit stands.
    formatted = disk.kind == "bootstrap" and facts.record.seal is None
    foreign = cluster.quorum and disk.cluster not in ("", cluster.cluster)
    if not disk.lost or disk.running or facts.permit == "first" or formatted or foreign:
        return None
    if empty(facts) and not in_range(facts):
        return None
    if not cluster.quorum and (empty(facts) or disk.kind not in DATA_KINDS):
        return None
    what = f"This disk lost what lay in {_some(disk.lost)}"
    if cluster.quorum and cluster.asked_for != disk.lost:
        return _moment(facts, f"{what}: it is asked whether others have it", "one look")
    if cluster.quorum and not (cluster.only_here or cluster.untold):
        return _moment(facts, f"{what}, and {cluster.soon}", "the cluster to notice it") if cluster.soon else None
    if allowed(facts, "last-copy"):
        return None
    if cluster.only_here:
        why = f"the last copy in sync of {_some(cluster.only_here)} was there, as far as the brokers that answer know"
        waits_for = "a server that has it in sync"
    else:
        why = "it is not known whether the last copy in sync of something was there: " + (
            cluster.untold or "no quorum is seen that could tell"
        )
        waits_for = "the cluster's word on what was only there"
    decision = refuse(
        facts,
        "last-copy",
        f"{what}, and {why}. A server that starts empty would lead it, and what others still have of it would be "
        "dropped. Bring the volume back, or servers that have a copy of it."
        + (f" {cluster.rescue}" if cluster.only_here and cluster.rescue else ""),
        would="start it empty, and drop all copies that others still have of what is named",
    )
    return say(facts, "wait", "last-copy", decision.reason, waits_for=(waits_for,))


def _moment(facts: Facts, what: str, waits_for: str) -> Decision:
    """What ends by itself needs no consent."""
    return say(
        facts,
        "wait",
        "last-copy",
        f"{what}. Its server starts a moment later if nothing is lost.",
        waits_for=(waits_for,),
    )


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
