"""Rules for a disk without data: it is born with all others, or joins what lives, or waits. Pure."""

from __future__ import annotations

from peerboot import birth
from peerboot.model import Decision, Facts, Member
from peerboot.rules.words import (
    allowed,
    clusters_seen,
    in_range,
    refuse,
    say,
    stands_without,
    statement_of,
    unheard,
    why_unheard,
)


def _empty(facts: Facts) -> bool:
    return facts.disk.kind in ("blank", "interrupted")


def _entry(facts: Facts) -> Member | None:
    return facts.cluster.entry_of(facts.identity.pod)


def _claimed(facts: Facts) -> bool:
    """A member id was added for exactly this disk."""
    claim = facts.record.claim
    return claim is not None and claim.nonce == facts.record.nonce


def first_start(facts: Facts) -> Decision | None:
    """When: the server runs for the first time and has not written its first entries.
    Then: the permit, good for one start only, is withdrawn until the disk has data; then it is given back.
    """
    if not _empty(facts) or not facts.disk.running or facts.record.permitted_wall is None:
        return None
    return say(
        facts,
        "wait",
        "first-start",
        "The server is on its first start and has written nothing yet. A first permit is good for one start: it comes "
        "back, as a permit to start with data only, as soon as there is data.",
        waits_for=("the server's first entries",),
    )


def first_permit(facts: Facts) -> Decision | None:
    """When: a permit to form or to join was given, it is in place, and the server has not started yet.
    Then: it stands.
    """
    if facts.disk.kind != "blank" or facts.permit != "first" or facts.record.permitted_wall is None:
        return None
    if facts.record.birth is not None and not _lost_to_another(facts):
        return say(
            facts, "form", "first-permit", "The cluster forms: the permit is given, the server starts.", may_run=True
        )
    if _claimed(facts) and _claim_listed(facts):
        return say(
            facts, "join", "first-permit", "This Pod joins: the permit is given, the server starts.", may_run=True
        )
    return None


def _claim_listed(facts: Facts) -> bool:
    """The claim's member is still listed, or it is not known that it is not."""
    claim = facts.record.claim
    return not facts.cluster.quorum or (
        claim is not None and any(member.id == claim.member for member in facts.cluster.members)
    )


def interrupted_listed(facts: Facts) -> Decision | None:
    """When: the first start was cut off before anything was written, and a cluster with data lists this very member.
    Then: the server just starts; the leader feeds it.
    """
    disk = facts.disk
    if disk.kind != "interrupted" or disk.running:
        return None
    lists = [facts.cluster.members] if facts.cluster.quorum and facts.cluster.cluster == disk.cluster else []
    if not facts.cluster.quorum:
        lists += [view.members for view in facts.cluster.views if view.cluster == disk.cluster and view.applied > 0]
    if not any(member.id == disk.member for members in lists for member in members):
        return None
    return say(
        facts,
        "resume",
        "interrupted-listed",
        f"The first start was cut off before anything was written, and cluster {disk.cluster} lists this member: it "
        "starts and is fed by the leader.",
        may_run=True,
    )


def interrupted_aside(facts: Facts) -> Decision | None:
    """When: the first start was cut off, and the cluster that has quorum does not list this member.
    Then: what was begun goes aside and this Pod joins as new.
    """
    if facts.disk.kind != "interrupted" or facts.disk.running or not facts.cluster.quorum or not in_range(facts):
        return None
    return say(
        facts,
        "replace",
        "interrupted-aside",
        f"The first start was cut off before anything was written, and cluster {facts.cluster.cluster} does not list "
        "this member: what was begun goes aside and this Pod joins as new.",
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


def may_hold_nothing(facts: Facts) -> bool:
    """A born disk that holds nothing beyond the bootstrap although a server may have run on it."""
    record, disk = facts.record, facts.disk
    if record.birth is None or disk.running:
        return False
    if disk.kind in ("interrupted", "bootstrap"):
        return True
    return disk.kind == "blank" and record.permitted_wall is not None and facts.permit != "first"


def birth_lost(facts: Facts) -> Decision | None:
    """When: the disk is blank and born, and a cluster with quorum exists that this birth cannot enter as planned:
    the server may have run before, or the cluster is another one, or it no longer lists this Pod.
    Then: the disk gets a new nonce and joins as new.
    """
    if facts.disk.kind != "blank" or facts.record.birth is None or not facts.cluster.quorum:
        return None
    if not _lost_to_another(facts) and facts.record.permitted_wall is None:
        return None
    why = "its server may have run before" if facts.record.permitted_wall is not None else "that birth cannot enter it"
    return say(
        facts,
        "renew",
        "birth-lost",
        f"Cluster {facts.cluster.cluster} serves, this disk is blank and was born, but {why}: it takes a new nonce and "
        "joins as a new member.",
    )


def _lost_to_another(facts: Facts) -> bool:
    """A cluster has quorum that is not the one of this birth, or that does not list this Pod as never started."""
    if not facts.cluster.quorum:
        return False
    if facts.predicted_cluster and facts.cluster.cluster != facts.predicted_cluster:
        return True
    entry = _entry(facts)
    return entry is None or entry.learner or (entry.started and facts.record.permitted_wall is None)


def born_waits(facts: Facts) -> Decision | None:
    """When: the disk is born and holds nothing, its server may have run, and it is not known that nobody has data.
    Then: wait, by name; a consent takes it as a new disk.
    """
    if not may_hold_nothing(facts) or facts.disk.kind == "bootstrap" or facts.cluster.quorum:
        return None
    if allowed(facts, "born-waits"):
        return say(facts, "renew", "born-waits", "A person allowed it: this disk takes a new nonce.")
    verdict = birth.may_renew(facts)
    decision = refuse(
        facts,
        "born-waits",
        "This disk was born, its server may have run, and now it holds nothing. It waits for the cluster to serve, or "
        f"for every pod to say that its disk holds nothing. Missing: {_named(facts, verdict.missing)}.",
        would="take this volume as a new, blank disk",
    )
    return say(facts, "wait", "born-waits", decision.reason, waits_for=verdict.missing or ("the cluster to serve",))


def _named(facts: Facts, missing: tuple[str, ...]) -> str:
    silent = tuple(pod for pod in missing if statement_of(facts, pod) is None)
    others = tuple(pod for pod in missing if pod not in silent)
    return "; ".join(part for part in (why_unheard(facts, silent), ", ".join(others)) if part) or "a quorum"


def anchor_forbids(facts: Facts) -> Decision | None:
    """When: this disk is blank, no cluster serves, and the anchor holds another birth than this disk's.
    Then: refuse: all disks were lost. A consent forms anew.
    """
    own = facts.record.birth or birth.may_be_born(facts).birth
    if facts.disk.kind != "blank" or facts.cluster.quorum or facts.anchor.state != "holds":
        return None
    if own is not None and own.token == facts.anchor.token:
        # An earlier one of those that are being born wrote it.
        return None
    if clusters_seen(facts) or any(statement_of(facts, pod) is None for pod in facts.identity.others):
        return None
    if allowed(facts, "anchor-forbids"):
        return say(facts, "wait", "anchor-forbids", "A person allowed it: the anchor is set aside, then all form anew.")
    return refuse(
        facts,
        "anchor-forbids",
        f"Every disk is blank, but the anchor {facts.anchor.where} remembers a cluster born as {facts.anchor.token}: all "
        "its data is gone. Restore a backup, or let it form empty.",
        would="set the anchor aside, so that a new, empty cluster forms",
    )


def anchor_unknown(facts: Facts) -> Decision | None:
    """When: a cluster is about to form and the anchor cannot be read.
    Then: wait for it.
    """
    if facts.disk.kind != "blank" or facts.cluster.quorum or facts.anchor.state != "unknown":
        return None
    return say(
        facts,
        "wait",
        "anchor-unknown",
        f"The anchor cannot be read ({facts.anchor.reason}), so it is not known whether a cluster was here before.",
        waits_for=("the anchor",),
    )


def born(facts: Facts) -> Decision | None:
    """When: the disk is born, blank, and no permit was ever given.
    Then: form, as all pods agreed.
    """
    record = facts.record
    if facts.disk.kind != "blank" or record.birth is None or record.permitted_wall is not None:
        return None
    if _lost_to_another(facts):
        return None
    return say(
        facts,
        "form",
        "born",
        f"All {len(record.birth.members)} pods were blank and agreed on birth {record.birth.token}: the cluster forms.",
        may_run=True,
    )


def claimed(facts: Facts) -> Decision | None:
    """When: a member id was added for this very disk, the cluster lists it, and its server never ran.
    Then: start with it.
    """
    claim = facts.record.claim
    if not _empty(facts) or claim is None or not _claimed(facts) or facts.record.permitted_wall is not None:
        return None
    listed = facts.cluster.members if facts.cluster.quorum else _listed_without_quorum(facts)
    if all(member.id != claim.member for member in listed):
        return None
    if facts.cluster.unresolved:
        return say(
            facts,
            "wait",
            "claimed",
            f"Member {claim.member} was added for this disk. DNS does not know {', '.join(facts.cluster.unresolved)}, and "
            "a joining server stalls on a name that it cannot resolve.",
            waits_for=facts.cluster.unresolved,
            target=claim.member,
        )
    return say(
        facts,
        "join",
        "claimed",
        f"Member {claim.member} was added to cluster {claim.cluster} for this disk and never ran: it starts.",
        may_run=True,
        target=claim.member,
    )


def _listed_without_quorum(facts: Facts) -> tuple[Member, ...]:
    return max((view.members for view in facts.cluster.views), key=len, default=())


def out_of_range(facts: Facts) -> Decision | None:
    """When: the disk is blank and this Pod is not one of the expected, while a cluster serves.
    Then: refuse: it is being scaled down.
    """
    if not _empty(facts) or in_range(facts):
        return None
    return refuse(
        facts,
        "out-of-range",
        f"{facts.identity.pod} is not one of the {facts.identity.replicas} expected pods "
        f"(ordinals from {facts.identity.start}): it does not join. Raise PEERBOOT_REPLICAS or scale the set down.",
    )


def form(facts: Facts) -> Decision | None:
    """When: the disk is blank and every expected pod said itself that it is blank, or born into the same birth, and
    no other cluster is seen than the one that this birth leads to, which lists this Pod as never started.
    Then: this disk is born, late if need be.
    """
    if facts.disk.kind != "blank" or facts.record.birth is not None:
        return None
    verdict = birth.may_be_born(facts)
    if verdict.kind != "born-now" or verdict.birth is None:
        return None
    if _lost_to_another(facts) or _other_clusters(facts, verdict.birth.token):
        return None
    return say(
        facts,
        "form",
        "form",
        (
            f"All {len(verdict.birth.members)} expected pods said themselves that their disks are blank: this one is born into "
            if facts.identity.others
            else "This is the only expected pod and its disk is blank: it is born into "
        )
        + f"{verdict.birth.token}.",
    )


def _other_clusters(facts: Facts, token: str) -> bool:
    """Whether a cluster is seen that this birth does not lead to. Those that were born a moment earlier are in its."""
    if facts.predicted_cluster:
        return bool(set(clusters_seen(facts)) - {facts.predicted_cluster})
    words = (statement_of(facts, pod) for pods in clusters_seen(facts).values() for pod in pods)
    return any(word is None or word.token != token for word in words)


def join_waits(facts: Facts) -> Decision | None:
    """When: the disk is blank, a cluster with quorum does not list this Pod, and it is not this Pod's turn.
    Then: wait: one joins at a time, the lowest ordinal first, when every listed name resolves.
    """
    entry = _entry(facts)
    if not _empty(facts) or not facts.cluster.quorum:
        return None
    learner = next((m for m in facts.cluster.members if m.learner and m.pod != facts.identity.pod), None)
    if entry is None and learner is not None:
        return say(
            facts,
            "wait",
            "join-waits",
            f"{learner.pod or learner.id} is joining cluster {facts.cluster.cluster}; one joins at a time, then it is this Pod's turn.",
            waits_for=(f"{learner.pod or learner.id} to be promoted",),
        )
    before = _before(facts)
    if before:
        return say(
            facts,
            "wait",
            "join-waits",
            f"{before} has a blank disk too and a lower ordinal: it joins cluster {facts.cluster.cluster} first.",
            waits_for=(f"{before} to join",),
        )
    if facts.cluster.unresolved:
        return say(
            facts,
            "wait",
            "join-waits",
            f"DNS does not know {', '.join(facts.cluster.unresolved)} yet, and a joining server stalls on a name that it cannot resolve.",
            waits_for=facts.cluster.unresolved,
        )
    return None


def _before(facts: Facts) -> str:
    """The pod with a lower ordinal that is joining too, by its own fresh word; empty when there is none."""
    for pod in facts.identity.others:
        ordinal, evidence = facts.identity.ordinal_of(pod), facts.evidence.get(pod)
        if ordinal is None or ordinal >= facts.identity.ordinal or evidence is None or evidence.statement is None:
            continue
        recent = evidence.fresh and facts.now - evidence.at <= facts.limits.fresh
        if (
            recent
            and evidence.statement.disk == "blank"
            and evidence.statement.decision in ("join", "replace", "renew")
        ):
            return pod
    return ""


def join(facts: Facts) -> Decision | None:
    """When: the disk is blank, a cluster with quorum does not list this Pod, and it is its turn.
    Then: it is added as a learner; the next look starts it.
    """
    if not _empty(facts) or not facts.cluster.quorum or _entry(facts) is not None:
        return None
    return say(
        facts,
        "join",
        "join",
        f"This disk is blank and cluster {facts.cluster.cluster} lives without this Pod: it is added as a learner.",
    )


def replace_unstarted(facts: Facts) -> Decision | None:
    """When: the disk is blank and the cluster lists this Pod with a member that never published itself.
    Then: that entry is removed, for its server may have run, and this Pod is added anew.
    """
    entry = _entry(facts)
    if not _empty(facts) or not facts.cluster.quorum or entry is None or entry.started:
        return None
    if not facts.looked:
        return say(
            facts,
            "wait",
            "replace-unstarted",
            f"Cluster {facts.cluster.cluster} lists member {entry.id} for this Pod, which never started; asking the other "
            "pods once whether it was planned for this disk.",
            waits_for=("one look",),
        )
    if not entry.learner and not stands_without(facts, entry.id):
        return _no_quorum_without(facts, "replace-unstarted", entry)
    return say(
        facts,
        "replace",
        "replace-unstarted",
        f"Cluster {facts.cluster.cluster} lists member {entry.id} for this Pod, and it is not known that its server never ran: it "
        "is removed, then this Pod is added anew.",
        target=entry.id,
    )


def replace_lost(facts: Facts) -> Decision | None:
    """When: the disk is blank and the cluster lists this Pod with a member that has run: its disk was lost.
    Then: the old member is removed while quorum stands without it, then this Pod is added as a new one.
    """
    entry = _entry(facts)
    if not _empty(facts) or not facts.cluster.quorum or entry is None or not entry.started:
        return None
    answering = facts.cluster.view_of(facts.identity.pod)
    if answering is not None and answering.member == entry.id:
        return say(
            facts,
            "wait",
            "replace-lost",
            f"Member {entry.id}, whose disk this Pod would replace, still answers at {answering.address}.",
            waits_for=(f"member {entry.id} to stop",),
        )
    if not entry.learner and not stands_without(facts, entry.id):
        return _no_quorum_without(facts, "replace-lost", entry)
    return say(
        facts,
        "replace",
        "replace-lost",
        f"The disk of {facts.identity.pod} was lost: it is blank, but cluster {facts.cluster.cluster} lists it as member "
        f"{entry.id}. That member is removed, then this Pod joins as a new one.",
        target=entry.id,
    )


def _no_quorum_without(facts: Facts, rule: str, entry: Member) -> Decision:
    return say(
        facts,
        "wait",
        rule,
        f"Member {entry.id} of this Pod has to be removed first, but the voters that serve would be no majority without it.",
        waits_for=("more members to be healthy",),
    )


def unstarted_pair(facts: Facts) -> Decision | None:
    """When: the disk is blank, a cluster of two has one started member and this Pod's entry, and no quorum.
    Then: refuse: only the disk for which the entry was added may start with it.
    """
    if not _empty(facts) or facts.cluster.quorum:
        return None
    members = _listed_without_quorum(facts)
    mine = next((m for m in members if m.pod == facts.identity.pod), None)
    if mine is None or mine.started or mine.learner or len(members) != 2:
        return None
    if facts.record.birth is not None:
        return None
    return refuse(
        facts,
        "unstarted-pair",
        f"The cluster has two members, one runs and {mine.id} waits for this Pod, but it was not added for this disk, so "
        "starting it could lose a write. Bring back the disk it was added for, or recover the running member by hand.",
    )


def cluster_exists(facts: Facts) -> Decision | None:
    """When: the disk is blank, no cluster has quorum, but a server answers or a peer's disk has or had a cluster.
    Then: wait for its quorum; form nothing.
    """
    if not _empty(facts) or facts.cluster.quorum:
        return None
    seen = clusters_seen(facts)
    verdict = birth.may_be_born(facts)
    blocked = verdict.blockers if facts.disk.kind == "blank" and facts.record.birth is None else ()
    if not seen and not blocked:
        return None
    parts = [f"{', '.join(pods)} of cluster {cluster}" for cluster, pods in seen.items()]
    named = {pod for pods in seen.values() for pod in pods}
    parts += [f"{pod}: {verdict.why[pod]}" for pod in blocked if pod not in named]
    silent = unheard(facts)
    reason = (
        f"A cluster exists or was begun ({'; '.join(parts)}) but has no quorum now, so this Pod, whose disk is {facts.disk.kind}, "
        "neither forms nor joins."
    )
    if silent:
        reason += f" Not heard: {why_unheard(facts, silent)}."
    return say(facts, "wait", "cluster-exists", reason, waits_for=("the cluster's quorum",))


def replicas_unknown(facts: Facts) -> Decision | None:
    """When: the disk is blank, nobody has a cluster, and the number of pods is not told.
    Then: refuse: how many are there now is not how many there ought to be.
    """
    if not _empty(facts) or facts.identity.replicas is not None:
        return None
    return refuse(
        facts,
        "replicas-unknown",
        "This disk is blank and PEERBOOT_REPLICAS is not set, so it is not known who must agree to form. Set it to the "
        "StatefulSet's .spec.replicas.",
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:] if text.startswith("not heard") else text


def wait_for_all(facts: Facts) -> Decision | None:
    """When: the disk is blank, and not every expected pod has been heard.
    Then: wait for them, for ever if need be: the silent one may hold the data.
    """
    if not _empty(facts):
        return None
    verdict = birth.may_be_born(facts)
    silent = tuple(pod for pod in facts.identity.others if pod in verdict.missing and statement_of(facts, pod) is None)
    named = [f"{pod}: {why}" for pod, why in verdict.why.items() if pod not in silent]
    parts = ([f"not heard: {why_unheard(facts, silent)}"] if silent else []) + named
    return say(
        facts,
        "wait",
        "wait-for-all",
        f"This disk is blank; a cluster forms only when all {facts.identity.replicas} pods say themselves that theirs are. "
        + (_upper("; ".join(parts)) if parts else "Waiting for a fresh word of each")
        + ".",
        waits_for=verdict.missing,
    )
