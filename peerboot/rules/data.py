"""Rules for a disk with data: it just starts, unless it is provably foreign or removed. Pure."""

from __future__ import annotations

from peerboot.model import Decision, Facts
from peerboot.rules import disaster, following
from peerboot.rules.unwanted import goes_with, unwanted_pods
from peerboot.rules.words import (
    DATA_KINDS,
    allowed,
    another_service,
    clusters_seen,
    have_votes,
    in_range,
    own_cluster_holders,
    quorum_of,
    refuse,
    replicas,
    say,
    stands_without,
    with_remark,
)


def _has_data(facts: Facts) -> bool:
    return facts.disk.kind in DATA_KINDS


def looking(facts: Facts) -> Decision | None:
    """When: the disk has data, this is the first look, and the servers were not asked yet.
    Then: wait for one bounded look at them, at most a few seconds.
    """
    if not _has_data(facts) or facts.looked or facts.permit != "absent":
        return None
    return say(
        facts,
        "wait",
        "looking",
        "Asking DNS and the other servers once before the server starts.",
        waits_for=("one look",),
    )


def foreign_data(facts: Facts) -> Decision | None:
    """When: the data is of another cluster than the one this volume was sealed to.
    Then: refuse; where the sealed cluster's successor serves, a consent moves the data aside and joins, else it takes
    the data for this volume's own, as a restored backup.
    """
    seal = facts.record.seal
    if not _has_data(facts) or seal is None or not facts.disk.cluster or seal.cluster == facts.disk.cluster:
        return None
    joins = facts.cluster.quorum and facts.cluster.cluster != facts.disk.cluster
    if allowed(facts, "foreign-data") and joins:
        return say(
            facts, "replace", "foreign-data", "A person allowed it: the data goes aside, then this Pod joins as new."
        )
    if allowed(facts, "foreign-data"):
        return say(
            facts,
            "resume",
            "foreign-data",
            f"A person allowed it: this volume is member {facts.disk.member} of cluster {facts.disk.cluster} now.",
            may_run=True,
        )
    return refuse(
        facts,
        "foreign-data",
        f"The data is of cluster {facts.disk.cluster}, but this volume belongs to cluster {seal.cluster}: "
        "somebody put other data here, or restored a backup.",
        would="move the data aside and join as a new member" if joins else "start with this data from now on",
    )


def cloned_data(facts: Facts) -> Decision | None:
    """When: the disk's member is listed by its cluster with another pod's peer URL: the data was copied from there.
    Then: refuse, for two servers of one id lose writes; a consent moves the data aside and joins as new.
    """
    disk, theirs = facts.disk, facts.cluster
    if not _has_data(facts) or not theirs.quorum or theirs.cluster != disk.cluster:
        return None
    entry = next((member for member in theirs.members if member.id == disk.member), None)
    if entry is None or entry.pod in ("", facts.identity.pod):
        return None
    if allowed(facts, "cloned-data") and disk.running:
        # It was started while no quorum could tell, and goes on without its permit.
        return say(
            facts,
            "wait",
            "cloned-data",
            "A person allowed it: this copy goes aside and this Pod joins as new, once its server has stopped. Restart "
            "this Pod's server container.",
            waits_for=("this Pod's server to stop",),
        )
    if allowed(facts, "cloned-data"):
        return say(
            facts, "replace", "cloned-data", "A person allowed it: the data goes aside, then this Pod joins as new."
        )
    return refuse(
        facts,
        "cloned-data",
        f"This volume has the data of member {disk.member}, which cluster {theirs.cluster} lists as {entry.pod}: it is "
        "a copy. Two servers of one id lose writes, so this one is not started. Mount the right volume.",
        would="move this copy aside and join as a new member",
    )


def log_lost(facts: Facts) -> Decision | None:
    """When: this volume was seen as this very member with a log, and now the log holds nothing.
    Then: it would vote for whoever lags, so it never starts as what it was: it goes aside and this Pod joins as new,
    while the cluster has quorum without it; else wait.
    """
    disk, seal, theirs = facts.disk, facts.record.seal, facts.cluster
    if not _has_data(facts) or disk.logged or disk.running or seal is None or facts.traits.quorum_of:
        return None
    if (seal.cluster, seal.member) != (disk.cluster, disk.member):
        return None
    what = f"This disk is member {disk.member} of cluster {disk.cluster}, and its log is gone"
    if theirs.quorum and theirs.cluster == disk.cluster and in_range(facts) and stands_without(facts, disk.member):
        return say(
            facts,
            "replace",
            "log-lost",
            f"{what}: with an empty log it would vote for one that lacks what was committed. The cluster has quorum "
            "without it: what is left of the member goes aside and this Pod joins as a new one.",
        )
    return say(
        facts,
        "wait",
        "log-lost",
        f"{what}: with an empty log it would vote for one that lacks what was committed, so it does not start. Bring "
        "its log back, or the other members: once they have quorum without it, this Pod joins as a new member.",
        waits_for=("the cluster's quorum without this member",),
    )


def stale_birth(facts: Facts) -> Decision | None:
    """When: the disk holds nothing beyond the bootstrap of one cluster, while another cluster has quorum.
    Then: that birth came to nothing: the data goes aside, once its server has stopped, and this Pod joins as new.
    """
    ours, theirs = facts.disk, facts.cluster
    if ours.kind != "bootstrap" or not theirs.quorum or theirs.cluster == ours.cluster:
        return None
    if ours.running:
        return say(
            facts,
            "wait",
            "stale-birth",
            f"This disk holds only the bootstrap of cluster {ours.cluster}, while cluster {theirs.cluster} serves, but "
            "its server runs and waits for a quorum that does not come. Restart this Pod; then it goes aside and this "
            "Pod joins as a new member.",
            waits_for=("this Pod's server to stop",),
        )
    return say(
        facts,
        "replace",
        "stale-birth",
        f"This disk holds only the bootstrap of cluster {ours.cluster}, nothing anybody was told, while cluster "
        f"{theirs.cluster} serves: it goes aside and this Pod joins as a new member.",
    )


def unmanaged_cluster(facts: Facts) -> Decision | None:
    """When: the cluster that has quorum is of a kind whose members peerboot cannot add and remove.
    Then: refuse: a server that is started in it by peerboot's files would be no member of it.
    """
    if not facts.cluster.unmanaged or facts.disk.running:
        return None
    return refuse(
        facts,
        "unmanaged-cluster",
        f"The cluster that serves {facts.cluster.unmanaged}. This Pod's server is not started, and nothing is changed.",
    )


def foreign_cluster(facts: Facts) -> Decision | None:
    """When: the disk has data of one cluster, while the other pods' servers have quorum in another.
    Then: refuse, for which one is right cannot be known; a consent moves this data aside and joins.
    """
    theirs = facts.cluster
    holds = _has_data(facts) or facts.disk.kind == "partial"
    if not holds or not theirs.quorum or theirs.cluster == facts.disk.cluster or not facts.disk.cluster:
        return None
    if allowed(facts, "foreign-cluster"):
        return say(
            facts, "replace", "foreign-cluster", "A person allowed it: the data goes aside, then this Pod joins as new."
        )
    return refuse(
        facts,
        "foreign-cluster",
        f"This volume has data of cluster {facts.disk.cluster}, but the cluster that serves is {theirs.cluster}: "
        f"a stale volume of a deleted set, {another_service(facts)}or a split that happened before. Its server is not "
        "started.",
        would=f"move this data aside and join cluster {theirs.cluster} as a new member",
    )


def peers_disagree(facts: Facts) -> Decision | None:
    """When: live servers speak for different clusters, none has quorum, and no majority holds this disk's.
    Then: refuse: this is a split brain from earlier; of etcd a consent starts a server that has data.
    """
    live = sorted({view.cluster for view in facts.cluster.views if view.cluster and view.pod != facts.identity.pod})
    if len(live) < 2 or facts.cluster.quorum or facts.disk.running:
        return None
    if _has_data(facts) and own_cluster_holders(facts) >= quorum_of(max(len(facts.identity.expected), 1)):
        return None
    startable = _has_data(facts) and facts.traits.forces
    if startable and allowed(facts, "peers-disagree"):
        return say(
            facts, "resume", "peers-disagree", "A person allowed it: the server starts with its data.", may_run=True
        )
    told = "; ".join(f"{cluster}: {', '.join(pods)}" for cluster, pods in clusters_seen(facts).items())
    return refuse(
        facts,
        "peers-disagree",
        f"The other pods are in different clusters ({told}): a split brain from earlier. Find out which one holds the "
        "right data and move the others' volumes away.",
        would=f"start this Pod's server with its data of cluster {facts.disk.cluster}" if startable else "",
    )


def removed_member(facts: Facts) -> Decision | None:
    """When: the disk's member is no longer listed by its cluster, and nothing runs in its place.
    Then: the data goes aside and this Pod joins as a new member; a server would only exit.
    """
    found = _removed(facts)
    entry = facts.cluster.entry_of(facts.identity.pod)
    if not found or not in_range(facts) or (entry is not None and entry.started) or _starts_first(facts):
        return None
    if facts.disk.running:
        return say(
            facts,
            "wait",
            "removed-member",
            f"Member {facts.disk.member} was removed from cluster {facts.disk.cluster}; its server still runs. "
            "Its config is withdrawn; when the server stops, the data goes aside and this Pod joins as new.",
            waits_for=("this Pod's server to stop",),
        )
    return say(
        facts,
        "replace",
        "removed-member",
        f"Member {facts.disk.member} was removed from cluster {facts.disk.cluster}: its data goes aside and this Pod "
        "joins as a new member.",
    )


def scaled_down(facts: Facts) -> Decision | None:
    """When: the disk's member was removed and this Pod is not one of the expected.
    Then: refuse: this Pod is scaled down.
    """
    if in_range(facts) or not have_votes(facts) or not (_removed(facts) or _observes(facts)):
        return None
    if facts.live.state == "known":
        return refuse(
            facts,
            "scaled-down",
            f"The StatefulSet has {replicas(facts)} now, {facts.identity.pod} is not one of them, and its member "
            "has left: it is scaled down, and its data stays on the volume. When the set is scaled up again, this Pod "
            + ("is added again." if _starts_first(facts) else "joins as a new member, and that data is set aside.")
            + with_remark(goes_with(facts)),
        )
    return refuse(
        facts,
        "scaled-down",
        f"{facts.identity.pod} is not one of the {facts.identity.replicas} expected pods and its member was removed: "
        "it is scaled down. Raise PEERBOOT_REPLICAS with .spec.replicas, or scale the set down.",
    )


def taken_over(facts: Facts) -> Decision | None:
    """When: the disk's member was removed, and a started member of another id has this Pod's peer URL.
    Then: refuse, for another process may run as this Pod; a consent moves the data aside and joins anew.
    """
    entry = facts.cluster.entry_of(facts.identity.pod)
    if not _removed(facts) or entry is None or not entry.started or facts.disk.running or _starts_first(facts):
        return None
    if allowed(facts, "taken-over"):
        return say(
            facts, "replace", "taken-over", "A person allowed it: the data goes aside, then this Pod joins as new."
        )
    return refuse(
        facts,
        "taken-over",
        f"Member {entry.id} is listed with this Pod's peer URL, but this disk is member {facts.disk.member}: another "
        "process runs, or ran, as this Pod with another volume.",
        would=f"move this data aside, remove member {entry.id} and join as a new member",
    )


def own_data(facts: Facts) -> Decision | None:
    """When: the disk has data and nothing above shows it foreign or removed.
    Then: the server just starts, whatever DNS or the other pods say.
    """
    if not _has_data(facts):
        return None
    where = f"member {facts.disk.member} of cluster {facts.disk.cluster}" if facts.disk.member else "its own data"
    listed = facts.cluster.fixed or any(m.id == facts.disk.member for m in facts.cluster.members)
    if facts.traits.has_primary:
        reason = following.own_text(facts)
    elif facts.cluster.quorum and facts.traits.quorum_of:
        reason = f"This disk is {where}, which serves: the server starts with its data."
    elif facts.cluster.quorum and _starts_first(facts) and not listed:
        reason = f"This disk is {where}, which does not list it now: the server starts with its data, as an observer."
    elif facts.cluster.quorum:
        reason = f"This disk is {where}, which lists it: the server starts with its data."
    elif facts.cluster.views:
        reason = (
            f"This disk is {where}: the server starts with its data. The servers that answer have no quorum now; "
            "peerboot changes no membership until they do." + with_remark(disaster.silence(facts))
        )
        if unwanted := unwanted_pods(facts):
            are = "is a member" if len(unwanted) == 1 else "are members"
            reason += (
                f" The StatefulSet has {replicas(facts)}, but {', '.join(unwanted)} {are} too: scale it up so that all "
                "come back with their data, then down again once all serve."
            )
    else:
        reason = f"This disk is {where}: the server starts with its data, whoever else is there."
    if facts.disk.warning:
        reason += f" Note: {facts.disk.warning}."
    return say(facts, "resume", "own-data", reason, may_run=True)


def _starts_first(facts: Facts) -> bool:
    """A server that is not listed is an observer: it starts with its data and is added again."""
    return facts.traits.admits == "started-first"


def _observes(facts: Facts) -> bool:
    """The disk's server is listed as an observer, though it was a voter and left, or never was one."""
    entry = next((member for member in facts.cluster.members if member.id == facts.disk.member), None)
    return _starts_first(facts) and _has_data(facts) and entry is not None and entry.learner


def _removed(facts: Facts) -> bool:
    """A linearizable list of the disk's own cluster that does not hold the disk's member."""
    return (
        _has_data(facts)
        and facts.cluster.quorum
        and bool(facts.disk.member)
        and facts.cluster.cluster == facts.disk.cluster
        # A list from before this disk had its data proves nothing of the member that was just added.
        and facts.cluster.at > facts.disk.since
        and all(member.id != facts.disk.member for member in facts.cluster.members)
    )
