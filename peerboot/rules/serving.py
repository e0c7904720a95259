"""Rules for a Pod whose server serves: what it does for the others, one membership change at a time. Pure."""

from __future__ import annotations

from peerboot.model import Decision, Facts, Member
from peerboot.rules import fixed, following
from peerboot.rules.unwanted import goes_with, holds_still, left_behind
from peerboot.rules.words import (
    DATA_KINDS,
    clusters_seen,
    healthy_voters,
    in_range,
    is_observer,
    say,
    stands_without,
)

IN_SYNC = 0.9
"""The part of the leader's log with which etcd promotes a learner."""


def own_member(facts: Facts) -> Member | None:
    """This disk's entry in the linearizable list of its own cluster, while its server is up."""
    if facts.disk.kind not in DATA_KINDS or not facts.cluster.quorum or facts.cluster.cluster != facts.disk.cluster:
        return None
    view = facts.cluster.view_of(facts.identity.pod)
    if view is None or view.member != facts.disk.member:
        return None
    return next((member for member in facts.cluster.members if member.id == facts.disk.member), None)


def is_first(facts: Facts) -> bool:
    """Whether this Pod's is the healthy voter with the lowest ordinal: the one that acts for the set."""
    own = own_member(facts)
    if own is None or own.learner:
        return False
    ordinals = [facts.identity.ordinal_of(m.pod) for m in healthy_voters(facts) if m.pod]
    return all(o is None or o >= facts.identity.ordinal for o in ordinals)


def _runs_as(facts: Facts) -> Member | None:
    """The same entry, also while the own server does not serve yet: it may not be reached for the very entry."""
    own = own_member(facts)
    if own is not None or not facts.disk.running or facts.disk.kind not in DATA_KINDS:
        return own
    if not facts.cluster.quorum or facts.cluster.cluster != facts.disk.cluster:
        return None
    view = facts.cluster.view_of(facts.identity.pod)
    if view is not None and view.member not in ("", facts.disk.member):
        return None
    return next((member for member in facts.cluster.members if member.id == facts.disk.member), None)


def peer_url_differs(facts: Facts) -> Decision | None:
    """When: this Pod's own voter is listed with other peer URLs than this Pod has now, and its server runs.
    Then: update the entry; ids and data stay.
    """
    own = _runs_as(facts)
    if own is None or own.learner or not facts.own_urls or set(own.peer_urls) == set(facts.own_urls):
        return None
    return say(
        facts,
        "idle" if own_member(facts) is not None else "resume",
        "peer-url-differs",
        f"Member {own.id} is listed as {', '.join(own.peer_urls)}, but this Pod is {', '.join(facts.own_urls)}: "
        "the entry is updated.",
        may_run=True,
        target=own.id,
    )


def remove_by_word(facts: Facts) -> Decision | None:
    """When: a person said that a pod is gone for good, and quorum stands without its member.
    Then: its member is removed.
    """
    primary = facts.traits.has_primary
    if own_member(facts) is None or not facts.removals or facts.cluster.fixed or primary:
        # A static quorum, and servers that copy one, have no list that somebody could be taken out of.
        return None
    for removal in facts.removals:
        entry = facts.cluster.entry_of(removal.pod)
        if entry is None or is_observer(facts, entry):
            return say(
                facts, "idle", "remove-by-word", f"{removal.pod} is not, or no longer, a member: done.", may_run=True
            )
        if entry.learner or stands_without(facts, entry.id):
            return say(
                facts,
                "idle",
                "remove-by-word",
                f"{removal.who} said that {removal.pod} is gone for good: member {entry.id} is removed.",
                may_run=True,
                target=entry.id,
            )
    return None


def promote_learner(facts: Facts) -> Decision | None:
    """When: a learner is listed, and this Pod's is the first healthy voter or the learner itself; of servers that start
    before they are added, the learner itself.
    Then: ask for its promotion; the leader agrees when it is in sync.
    """
    own = own_member(facts)
    if own is None or (facts.traits.admits == "started-first" and not _asks_itself(facts, own)):
        return None
    able = [m for m in facts.cluster.members if m.learner and m.started and not learner_stalls(facts, m)]
    learner = next((m for m in able if m.id == own.id or is_first(facts)), None)
    if learner is None:
        return None
    whose = "This Pod" if learner.id == own.id else (learner.pod or learner.id)
    return say(
        facts,
        "idle",
        "promote-learner",
        f"{whose} is a learner: it is promoted to voter as soon as the leader finds it in sync.",
        may_run=True,
        target=learner.id,
    )


def _asks_itself(facts: Facts, own: Member) -> bool:
    """An observer that may become a voter. Nobody asks for another: one that left is an observer until it stops."""
    return own.learner and in_range(facts) and not facts.stopping


def former_self(facts: Facts) -> Decision | None:
    """When: this Pod's server runs as an observer while its cluster lists a voter of this Pod with another id: its disk
    was lost, or its directory id changed.
    Then: the old voter is removed while quorum stands without it; then this one is added.
    """
    own = own_member(facts)
    if own is None or facts.traits.admits != "started-first" or not _asks_itself(facts, own):
        return None
    old = next((m for m in facts.cluster.members if m.pod == own.pod and not m.learner), None)
    if old is None:
        return None
    if not stands_without(facts, old.id):
        return say(
            facts,
            "idle",
            "former-self",
            f"This Pod's server is an observer, for voter {old.id} is listed for it, which is not this disk's. It has "
            "to be removed first, but the voters that serve would be no majority without it.",
            waits_for=("more voters to be healthy",),
            may_run=True,
        )
    return say(
        facts,
        "idle",
        "former-self",
        f"This Pod's server is an observer, for voter {old.id} is listed for it, which is not this disk's: that one is "
        "removed, then this one is added.",
        may_run=True,
        target=old.id,
    )


def reap_learner(facts: Facts) -> Decision | None:
    """When: a learner made no progress for a long time, and this Pod's is the first healthy voter.
    Then: it is removed, so that others can join; its Pod joins anew when it is back.
    """
    learner = next((m for m in facts.cluster.members if m.learner and learner_stalls(facts, m)), None)
    if learner is None or not is_first(facts) or facts.traits.admits == "started-first":
        return None
    return say(
        facts,
        "idle",
        "reap-learner",
        f"Learner {learner.id} of {learner.pod or 'no known pod'} made no progress for {facts.limits.learner_stall:g} "
        "s (PEERBOOT_ETCD_LEARNER_STALL) and blocks all who want to join: it is removed.",
        may_run=True,
        target=learner.id,
    )


def learner_stalls(facts: Facts, learner: Member) -> bool:
    """Whether a learner has been seen without progress for too long. One that answers and is in sync does not stall:
    in a cluster at rest nobody moves, and while promotions are held none is promoted.
    """
    track = facts.learners.get(learner.id)
    if track is None or facts.now - track.moved_at < facts.limits.learner_stall:
        return False
    view = facts.cluster.view_of(learner.pod)
    best = max((v.applied for v in facts.cluster.views if v.healthy and not v.learner), default=0)
    in_sync = view is not None and view.member == learner.id and 0 < IN_SYNC * best <= view.applied
    return not in_sync


def serving(facts: Facts) -> Decision | None:
    """When: this Pod's server is a member of a cluster with quorum.
    Then: nothing to do but watch.
    """
    own = own_member(facts)
    view = facts.cluster.view_of(facts.identity.pod)
    if own is None or view is None or not (view.healthy or own.learner):
        return None
    voters = sum(1 for m in facts.cluster.members if not m.learner)
    role = "a learner" if own.learner else ("the leader" if view.leader == own.id else "a voter")
    reason = f"Member {own.id} serves in cluster {facts.cluster.cluster} as {role}, one of {voters} voters."
    if facts.traits.has_primary:
        reason = following.serving_text(facts)
    if facts.traits.quorum_of:
        servers = "1 server" if voters == 1 else f"{voters} servers"
        reason = (
            f"Server {own.id} serves in cluster {facts.cluster.cluster}, whose quorum is that of "
            f"{facts.traits.quorum_of}; {servers} of this set {'is' if voters == 1 else 'are'} there."
        )
    seen = [c for c in clusters_seen(facts) if c != facts.disk.cluster]
    if seen:
        reason += f" Warning: {', '.join(clusters_seen(facts)[seen[0]])} is in another cluster, {seen[0]}."
    for remark in filter(None, (left_behind(facts), goes_with(facts), holds_still(facts), fixed.remark(facts))):
        reason += f" {remark}"
    waits_for: tuple[str, ...] = ()
    if not view.open:
        reason += f" It is not ready: {view.why}." if view.why else " It does not serve clients now."
        waits_for = ("it to be ready",) if view.why else ("it to serve clients",)
    return say(facts, "idle", "serving", reason, waits_for=waits_for, may_run=True)
