"""Rules for a disk on which a first start was begun and has not led to data. Pure."""

from __future__ import annotations

import msgspec

from peerboot import birth
from peerboot.model import Decision, Facts
from peerboot.rules.born import LONG_START, may_hold_nothing
from peerboot.rules.words import allowed, in_range, list_of, refuse, say, statement_of


def interrupted_listed(facts: Facts) -> Decision | None:
    """When: the first start was cut off before anything was written, and the cluster that has quorum lists this very
    member, or, while none has, a server or a pod says that it has data of this disk's cluster.
    Then: the server just starts; the leader feeds it. It is needed where only both together are a quorum.
    """
    disk, cluster = facts.disk, facts.cluster
    if disk.kind != "interrupted" or disk.running or not disk.cluster or _has_run(facts):
        return None
    if cluster.quorum:
        if cluster.cluster != disk.cluster or all(member.id != disk.member for member in cluster.members):
            return None
        why = f"cluster {disk.cluster} lists this member"
    else:
        why = _fed_by(facts)
        if not why:
            return None
    return say(
        facts,
        "resume",
        "interrupted-listed",
        f"The first start was cut off before anything was written, and {why}: it starts and is fed by the leader.",
        may_run=True,
    )


def _fed_by(facts: Facts) -> str:
    """Who could feed this disk's empty log while no quorum is seen; empty when nobody could."""
    ours = facts.disk.cluster
    views = [view.pod for view in facts.cluster.views if view.cluster == ours and view.applied > 0]
    words = {pod: word for pod in facts.identity.others if (word := statement_of(facts, pod))}
    holders = views + [pod for pod, word in words.items() if word.cluster == ours and word.disk == "data"]
    if holders:
        return f"{holders[0]} has data of its cluster {ours}"
    if _others_hold_something(facts):
        return ""
    # Nobody has more than a bootstrap. With it one can lead as soon as those that were cut off vote for it.
    runs = [pod for pod, word in words.items() if word.cluster == ours and word.disk == "bootstrap" and word.running]
    return f"{runs[0]} runs with the bootstrap of its cluster {ours}" if runs else ""


def _has_run(facts: Facts) -> bool:
    """Whether this disk's member once had more than its log has now: it may have voted, so it never starts again."""
    listed = (member for member in list_of(facts, facts.disk.cluster) if member.id == facts.disk.member)
    return facts.record.seal is not None or any(member.started for member in listed)


def interrupted_aside(facts: Facts) -> Decision | None:
    """When: the first start was cut off, or the log was rolled back to it, and the cluster that has quorum does not
    list this member as one that never ran.
    Then: what was begun goes aside and this Pod joins as new.
    """
    if facts.disk.kind != "interrupted" or facts.disk.running or not facts.cluster.quorum or not in_range(facts):
        return None
    return say(
        facts,
        "replace",
        "interrupted-aside",
        f"This disk's log is not further than its first start, and cluster {facts.cluster.cluster} does not list its "
        "member as one that never ran: what was begun goes aside and this Pod joins as new.",
    )


def renew(facts: Facts) -> Decision | None:
    """When: no cluster serves, too few pods could bring this birth up, and every pod says that its disk holds nothing.
    Then: the birth came to nothing: the disk gets a new nonce and all are born anew.
    """
    if not may_hold_nothing(facts) or facts.cluster.quorum:
        return None
    verdict = birth.may_renew(facts)
    if verdict.kind != "renew":
        return None
    return say(
        facts,
        "renew",
        "renew",
        "The birth came to nothing: no server got beyond its bootstrap, every pod says so itself, and too few could go "
        "on. This disk takes a new nonce and all are born anew.",
    )


def stuck_bootstrap(facts: Facts) -> Decision | None:
    """When: the server has run on nothing but its bootstrap for a while, no cluster serves, every pod says that its
    disk holds nothing, and too few of them can bring this birth up.
    Then: the permit is withdrawn and a person restarts the server, then all are born anew; where no birth is recorded
    a consent takes the disk as a new one.
    """
    disk, record = facts.disk, facts.record
    stands = disk.kind == "bootstrap" and not facts.cluster.quorum and record.seal is None and record.claim is None
    if not stands or facts.traits.quorum_of or _others_hold_something(facts):
        return None
    how = "Restart this Pod's server container: then"
    waits_for = ("this Pod's server to stop",)
    if record.birth is not None:
        stopped = msgspec.structs.replace(facts, disk=msgspec.structs.replace(disk, running=False))
        if not disk.running or facts.now - disk.since < LONG_START or birth.may_renew(stopped).kind != "renew":
            return None
        what = "too few disks of its birth are left, as every pod says itself"
        return say(
            facts,
            "wait",
            "stuck-bootstrap",
            f"The server runs on nothing but its bootstrap, and {what}: no quorum can come. "
            f"{how} this disk takes a new nonce and all are born anew.",
            waits_for=waits_for,
        )
    if allowed(facts, "stuck-bootstrap"):
        what = "what was begun goes aside and this volume is taken as a new, blank disk."
        if disk.running:
            said = f"A person allowed it. {how} {what}"
            return say(facts, "wait", "stuck-bootstrap", said, waits_for=waits_for)
        return say(facts, "renew", "stuck-bootstrap", f"A person allowed it: {what}")
    if not disk.running or facts.now - disk.since < LONG_START:
        return None
    refused = refuse(
        facts,
        "stuck-bootstrap",
        f"The server has run on nothing but its bootstrap of cluster {disk.cluster} for more than {LONG_START:g} s, "
        "and every other pod says that its disk holds nothing. No birth is recorded here that could tell whether a "
        "quorum can still come.",
        would="take this volume as a new, blank disk once its server has stopped",
    )
    return say(facts, "wait", "stuck-bootstrap", refused.reason, waits_for=("the cluster's quorum",), may_run=True)


def _others_hold_something(facts: Facts) -> bool:
    """Whether any other expected pod has not said, or does not say, that its disk holds nothing."""
    words = [statement_of(facts, pod) for pod in facts.identity.others]
    return not words or any(word is None or birth.holds_something(word) for word in words)
