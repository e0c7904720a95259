"""Rules for a set that is scaled down: who leaves, in which order, and who cleans up after whom. Pure.

Stopping is not leaving. A member goes only when the *live* number of replicas, as the API gives it, no longer wants
its pod; when that number is not known, or the whole set goes, it stays.
"""

from __future__ import annotations

from peerboot.model import Decision, Facts, Member
from peerboot.rules import candidates, promoting
from peerboot.rules.parts import has_writes_to_give, primary_of
from peerboot.rules.serving import is_first, own_member
from peerboot.rules.unwanted import FRESH, goes_with, is_there, may_leave, ordinal_of, shrinks, uncounted, unwanted
from peerboot.rules.words import healthy_voters, in_range, is_wanted, replicas, say, stands_without, with_remark


def leaves(facts: Facts) -> bool:
    """Whether this Pod is being stopped because the set has become smaller."""
    return facts.stopping and not stays(facts)


def stays(facts: Facts) -> str:
    """Why this Pod's member stays although its server is stopped; empty when it is to leave."""
    live = facts.live
    if facts.mode == "observe":
        return "PEERBOOT_MODE=observe changes nothing"
    if facts.traits.quorum_of:
        return "its server has no vote, so there is none to give up"
    if promoting.ended_for_good(facts) and live.state == "known":
        # Its server is down, so what was begun is not left half-way because somebody is silent.
        return _wanted_again(facts)
    if facts.traits.has_primary and not (has_writes_to_give(facts) or _has_to_let(facts)):
        return "a server that copies another one has no vote, so there is none to give up"
    if live.state != "known":
        return f"the Kubernetes API has not said how many replicas there are ({live.reason or 'not asked'})"
    if facts.now - live.at > FRESH:
        return f"the Kubernetes API has not said lately how many replicas there are ({live.reason})"
    if again := _wanted_again(facts):
        return again
    if facts.holds:
        return f"{facts.holds[0].who} holds automatic changes"
    if facts.cluster.fixed:
        return "its cluster has a static quorum, which no voter can leave"
    return ""


def _wanted_again(facts: Facts) -> str:
    if facts.live.deleting or facts.live.replicas == 0:
        return "the whole set goes, and the data stays on the volumes"
    return f"it is one of the {replicas(facts)} that the StatefulSet has" if in_range(facts) else ""


def _has_to_let(facts: Facts) -> bool:
    """Whether this pod's server copies one that is scaled away too: who takes over from that needs this pod's word.
    With OrderedReady the lower ordinal is not stopped before this one is gone.
    """
    primary = primary_of(facts)
    # Between the two nobody does.
    leaver = primary.pod if primary is not None else candidates.heard_leaver(facts)
    ordinal = facts.identity.ordinal_of(leaver)
    if ordinal is None or is_wanted(facts, leaver):
        return False
    return not facts.live.ordered or ordinal > facts.identity.ordinal


def has_left(facts: Facts) -> bool:
    """Whether a linearizable list of the cluster shows that no member of this Pod is left; where one server takes the
    writes, whether that is another one now.
    """
    if facts.traits.has_primary:
        primary = primary_of(facts)
        return primary is not None and is_wanted(facts, primary.pod)
    theirs, observers = facts.cluster, facts.traits.admits == "started-first"
    if not theirs.quorum or (facts.disk.cluster and theirs.cluster != facts.disk.cluster):
        return False
    # A removed server that still runs is an observer there, which is no member.
    members = [member for member in theirs.members if not (member.learner and observers)]
    return all(m.id != facts.disk.member and m.pod != facts.identity.pod for m in members)


def left_text(facts: Facts) -> str:
    """What has become of it, once ``has_left``."""
    primary = primary_of(facts) if facts.traits.has_primary else None
    if primary is not None:
        return f"{primary.pod} takes the writes"
    return "this Pod's member is no longer listed: it has left"


def not_left_text(facts: Facts) -> str:
    """What follows where it has not."""
    if facts.traits.has_primary:
        return "no other server took the writes; a person may say at another Pod which one does"
    return "this Pod did not leave; those that stay remove its member"


def leave_waits(facts: Facts) -> Decision | None:
    """When: this Pod is stopped and the live number of replicas no longer wants it, but no quorum is seen, a Pod with a
    higher ordinal that is alive has yet to leave, quorum would not stand without this one, or the one that takes the
    writes is scaled away too, and who takes over needs this Pod's word.
    Then: wait, within the time of ``/prestop``.
    """
    if facts.traits.has_primary:
        return _lets_another(facts)
    if leaves(facts) and not facts.cluster.quorum and facts.disk.member:
        # It may have left a moment ago, while the others elect a leader: nothing is given back meanwhile.
        return _waits(facts, "no quorum is seen now", "the cluster's quorum")
    own = _leaver(facts)
    if own is None:
        return None
    own_ordinal = facts.identity.ordinal
    higher = [m.pod for m in unwanted(facts) if ordinal_of(facts, m) > own_ordinal and may_leave(facts, m)]
    if higher:
        why, waits_for = f"{', '.join(higher)} leaves first", f"{higher[0]} to leave"
    elif not own.learner and not stands_without(facts, own.id):
        why, waits_for = f"without member {own.id} the voters that serve would be no majority", "more healthy members"
    else:
        return None
    return _waits(facts, why, waits_for)


def _lets_another(facts: Facts) -> Decision | None:
    """What a Pod waits for that copies one which is scaled away, too."""
    if not leaves(facts) or has_writes_to_give(facts) or has_left(facts):
        return None
    primary = primary_of(facts)
    whose = f"{primary.pod}, which takes" if primary is not None else f"{candidates.heard_leaver(facts)}, which took"
    return say(
        facts,
        "wait",
        "leave-waits",
        f"The StatefulSet has {replicas(facts)} now, and this Pod is not one of them, but neither is {whose} "
        "the writes: another server is to take them first, and needs this Pod's word. When the time of /prestop "
        "is over it stops as it is.",
        waits_for=("another server to take the writes",),
        may_run=True,
    )


def _waits(facts: Facts, why: str, waits_for: str) -> Decision:
    return say(
        facts,
        "wait",
        "leave-waits",
        f"The StatefulSet has {replicas(facts)} now, and this Pod is not one of them, but {why}. When the time of "
        "/prestop is over it stops as it is, and those that stay remove its member if it is listed still."
        + with_remark(goes_with(facts)),
        waits_for=(waits_for,),
        may_run=True,
    )


def hand_over(facts: Facts) -> Decision | None:
    """When: this Pod is about to leave, and its server is the leader.
    Then: leadership moves to the healthy voter that stays and has the lowest ordinal, so that no write waits for an
    election.
    """
    own, view = _leaver(facts), facts.cluster.view_of(facts.identity.pod)
    if own is None or view is None or view.leader != own.id or not facts.traits.hands_over:
        return None
    heir = _heir(facts, own)
    if heir is None:
        return None
    return say(
        facts,
        "leave",
        "hand-over",
        f"The StatefulSet has {replicas(facts)} now, and this Pod, which is not one of them, leads: "
        f"{heir.pod} takes over before it leaves." + with_remark(goes_with(facts)),
        may_run=True,
        target=heir.id,
    )


def leave(facts: Facts) -> Decision | None:
    """When: this Pod is stopped, the live number of replicas no longer wants it, and nothing above holds it back.
    Then: the others remove its member; its data stays on the volume.
    """
    own = _leaver(facts)
    if own is None or has_left(facts):
        return None
    return say(
        facts,
        "leave",
        "leave",
        f"The StatefulSet has {replicas(facts)} now, and this Pod is not one of them: member {own.id} "
        f"leaves cluster {facts.cluster.cluster}. Its data stays on the volume." + with_remark(goes_with(facts)),
        may_run=True,
        target=own.id,
    )


def _leaver(facts: Facts) -> Member | None:
    """This Pod's entry in the linearizable list, if it is to leave: its disk's member, or the learner that was added
    for it.
    """
    if not leaves(facts) or not facts.cluster.quorum or facts.traits.has_primary:
        return None
    if facts.disk.member:
        return next((m for m in facts.cluster.members if m.id == facts.disk.member), None)
    entry = facts.cluster.entry_of(facts.identity.pod)
    return entry if entry is not None and entry.learner else None


def clean_up(facts: Facts) -> Decision | None:
    """When: a member's pod is not wanted by the live number of replicas, the API shows that no such Pod exists any
    more, DNS and its server say so too, and this Pod's is the first healthy voter.
    Then: it is removed while quorum stands without it, the highest ordinal first.
    """
    live = facts.live
    stays_listed = facts.traits.quorum_of or facts.cluster.fixed or facts.traits.has_primary
    if stays_listed or not shrinks(facts) or not live.settled or own_member(facts) is None:
        return None
    gone = [member for member in unwanted(facts) if not is_there(facts, member)]
    # The API counts Pods without naming them: those beyond the wanted ones must all be some that are seen.
    if uncounted(facts) or not gone or not is_first(facts):
        return None
    member = max(gone, key=lambda m: ordinal_of(facts, m))
    if not member.learner and not stands_without(facts, member.id):
        return None
    return say(
        facts,
        "idle",
        "clean-up",
        f"The StatefulSet has {replicas(facts)} now and the Pod {member.pod} is gone, but member {member.id} "
        "did not leave before: it is removed.",
        may_run=True,
        target=member.id,
    )


def _heir(facts: Facts, own: Member) -> Member | None:
    """The healthy voter that stays and has the lowest ordinal, None when there is none."""
    stay = [
        member
        for member in healthy_voters(facts, without=own.id)
        if member.pod and (ordinal := facts.identity.ordinal_of(member.pod)) is not None and facts.live.wants(ordinal)
    ]
    return min(stay, key=lambda m: ordinal_of(facts, m), default=None)
