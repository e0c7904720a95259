"""Rules for data that cannot be read. Pure."""

from __future__ import annotations

from peerboot.model import Decision, Facts
from peerboot.rules.words import allowed, in_range, refuse, say, stands_without

AS_NEW = (
    "move the data aside, kept, and take this disk as a new one, which joins its cluster, or forms anew once all pods "
    "say that theirs are blank"
)


def corrupt_replaced(facts: Facts) -> Decision | None:
    """When: the data cannot be read, it stayed so for a while, and the cluster has quorum without this member.
    Then: the data goes aside (it is kept) and this Pod joins as a new member.
    """
    if facts.disk.kind != "corrupt":
        return None
    if not (facts.cluster.quorum and in_range(facts) and stands_without(facts, _own_id(facts))):
        return None
    if _of_cluster(facts) not in ("", facts.cluster.cluster):
        return None
    stands, joins = "the cluster has quorum without it", "joins as a new member"
    if facts.traits.has_primary:
        stands, joins = "another server takes the writes", "copies the server that takes the writes"
    age = facts.now - facts.disk.since
    if age < facts.limits.corrupt_recheck:
        return say(
            facts,
            "wait",
            "corrupt-replaced",
            f"The data does not read ({facts.disk.reason}). It is read again for {facts.limits.corrupt_recheck:g} s, "
            f"for a slow mount looks the same; then it goes aside and this Pod {joins}.",
            waits_for=("a second look at the data",),
        )
    if facts.disk.running:
        return say(
            facts,
            "wait",
            "corrupt-replaced",
            "The data does not read but its server runs: waiting for it to stop.",
            waits_for=("this Pod's server to stop",),
        )
    return say(
        facts,
        "replace",
        "corrupt-replaced",
        f"The data does not read ({facts.disk.reason}) and {stands}: it goes aside, kept, and this Pod {joins}.",
    )


def corrupt_kept(facts: Facts) -> Decision | None:
    """When: the data cannot be read, and its cluster has no quorum without it, or another one serves.
    Then: refuse: this may be the best copy that is left; of etcd a consent moves it aside, kept, and the disk is a new
    one.
    """
    if facts.disk.kind != "corrupt":
        return None
    aside = facts.traits.forces and not facts.disk.running
    if aside and allowed(facts, "corrupt-kept"):
        return say(
            facts,
            "replace",
            "corrupt-kept",
            "A person allowed it: the data goes aside, kept, and the disk is a new one.",
        )
    if facts.cluster.quorum and _of_cluster(facts) not in ("", facts.cluster.cluster):
        return refuse(
            facts,
            "corrupt-kept",
            f"The data does not read ({facts.disk.reason}), and it is of cluster {_of_cluster(facts)}, while the one "
            f"that serves is {facts.cluster.cluster}: it may be the best copy that is left, so nothing is touched. "
            "Mount the right volume, or restore from a snapshot.",
            would=f"move the data aside, kept, and join cluster {facts.cluster.cluster} as a new member"
            if aside
            else "",
        )
    if facts.traits.has_primary:
        return refuse(
            facts,
            "corrupt-kept",
            f"The data does not read ({facts.disk.reason}) and no other server takes the writes: it may be the best "
            "copy that is left, so nothing is touched. Bring the other Pods back, or restore a backup; if nothing of "
            "it is wanted, move the directory away yourself.",
        )
    return refuse(
        facts,
        "corrupt-kept",
        f"The data does not read ({facts.disk.reason}) and no quorum stands without it: it may be the best copy that "
        "is left, so nothing is touched. Bring the other members back, or restore from a snapshot.",
        would=AS_NEW if aside else "",
    )


def _of_cluster(facts: Facts) -> str:
    """The cluster that this volume belongs to, as far as the disk or peerboot's own state tells."""
    return facts.disk.cluster or (facts.record.seal.cluster if facts.record.seal else "") or facts.predicted_cluster


def _own_id(facts: Facts) -> str:
    if facts.disk.member:
        return facts.disk.member
    if facts.record.seal:
        return facts.record.seal.member
    entry = facts.cluster.entry_of(facts.identity.pod)
    return entry.id if entry else ""
