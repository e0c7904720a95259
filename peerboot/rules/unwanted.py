"""Members whose pods the live number of replicas does not want: which, and what keeps them listed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from peerboot.model import Facts, Member
from peerboot.rules.words import have_votes, in_range, is_serving, list_of, replicas, stands_without, statement_of

FRESH = 30.0
"""Seconds for which an answer of the API is good enough to remove a member by."""


def shrinks(facts: Facts) -> bool:
    """Whether the API said a moment ago how many pods there ought to be, and that is not the end of the set."""
    live = facts.live
    return live.state == "known" and facts.now - live.at <= FRESH and live.replicas > 0 and not live.deleting


def unwanted(facts: Facts) -> list[Member]:
    """Those of the linearizable list whose pods are of this set and ought not to exist."""
    return _not_wanted(facts, facts.cluster.members)


def unwanted_pods(facts: Facts) -> tuple[str, ...]:
    """The pods that servers list as members of this disk's cluster, with a quorum or without, although the StatefulSet
    does not want them now.
    """
    if facts.live.state != "known":
        return ()
    return tuple(sorted({member.pod for member in _not_wanted(facts, list_of(facts, facts.disk.cluster))}))


def _not_wanted(facts: Facts, members: Iterable[Member]) -> list[Member]:
    found = []
    for member in members:
        ordinal = facts.identity.ordinal_of(member.pod)
        if ordinal is not None and not facts.live.wants(ordinal):
            found.append(member)
    return found


def ordinal_of(facts: Facts, member: Member) -> int:
    """The ordinal of a member's pod; 0 for one that is not of this set."""
    return facts.identity.ordinal_of(member.pod) or 0


def is_there(facts: Facts, member: Member) -> bool:
    """Whether anything shows that the member's pod may still be: DNS, or a server that answers."""
    return member.pod in facts.peers.sightings or facts.cluster.view_of(member.pod) is not None


def may_leave(facts: Facts, member: Member) -> bool:
    """Whether the member's pod can be expected to take it out: its server serves, or its peerboot answered just now.
    DNS alone is no sign of life, for it lists the Pod of a dead node for as long as that is in Terminating.
    """
    evidence = facts.evidence.get(member.pod)
    speaks = statement_of(facts, member.pod) is not None and evidence is not None and evidence.fresh
    return speaks or is_serving(facts, member)


def uncounted(facts: Facts) -> int:
    """Pods of this set that the API counts and that are neither wanted nor seen: one may be any member's."""
    listed = unwanted(facts)
    gone = sum(1 for member in listed if not is_there(facts, member))
    return max(facts.live.pods - facts.live.replicas - (len(listed) - gone), 0)


def left_behind(facts: Facts) -> str:
    """Who is listed although its pod is not wanted, and what keeps it so, for a person; empty when nobody is."""
    live, listed = facts.live, unwanted(facts)
    if not have_votes(facts):
        # What is listed of such a set is what is there now: it ends with its server.
        return ""
    if live.state != "known" or live.deleting or live.replicas == 0 or not listed:
        return ""
    member = max(listed, key=lambda m: ordinal_of(facts, m))
    if facts.cluster.fixed:
        return (
            f"The StatefulSet has {replicas(facts)} now, but {', '.join(sorted(m.pod for m in listed))} stays a voter "
            "of the static quorum, which counts it as dead: scale the set up again, or make the quorum a dynamic one "
            "first (`peerboot kafka migrate`)."
        )
    if not shrinks(facts):
        why = f"the Kubernetes API answers again ({live.reason or 'no fresh answer'})"
    elif is_there(facts, member):
        why = f"it leaves, or its Pod is gone ({_signs(facts, member)})"
    elif not live.settled or uncounted(facts):
        why = f"its Pod is gone (the API still counts {live.pods} Pods; one on a dead node stays until it is deleted)"
    elif not member.learner and not stands_without(facts, member.id):
        why = "quorum stands without it"
    else:
        why = "the first healthy voter has seen that its Pod is gone"
    others = f", as {'is' if len(listed) == 2 else 'are'} {len(listed) - 1} more" if len(listed) > 1 else ""
    return (
        f"The StatefulSet has {replicas(facts)} now and {member.pod} is not one of them, but its member {member.id} is "
        f"still listed{others}: it is removed when {why}."
    )


def _signs(facts: Facts, member: Member) -> str:
    server = facts.cluster.view_of(member.pod) is not None
    return "its server answers" if server else "DNS still lists it"


def goes_with(facts: Facts) -> str:
    """What this Pod's server takes with it, where the live number of replicas does not want the Pod; else empty.

    It goes in any case: a preStop hook cannot veto.
    """
    live, kept = facts.live, facts.cluster.kept
    if kept is None or not facts.disk.running or in_range(facts):
        return ""
    if live.state != "known" or live.deleting or live.replicas == 0:
        return ""
    if kept.untold:
        return (
            f"Whether its server still has copies of anything is not known ({kept.untold}): {kept.remedy} before the "
            "scale-down would have moved them; what has its only copy there is on its volume and nowhere else."
        )
    if not kept.what:
        return ""
    only = ""
    if kept.alone:
        only = f", and with it goes the only copy in sync of {_some(kept.alone, kept.alone_more)}"
    if kept.unsynced:
        only += f"; no copy is in sync of {_some(kept.unsynced, kept.unsynced_more)}, and its own may be the best one"
    return (
        f"Its server still holds {kept.what}, under-replicated once it stops{only}. {kept.remedy} before the "
        "scale-down would have moved that: scaled up again, this Pod serves it with its volume."
    )


def _some(names: Iterable[str], more: int) -> str:
    return ", ".join(names) + (f" and {more} more" if more else "")


def holds_still(facts: Facts) -> str:
    """Whose server is gone with its pod, which is not wanted, and holds something still; empty when nobody's does."""
    live = facts.live
    if live.state != "known" or live.deleting or live.replicas == 0:
        return ""
    found = [
        one
        for one in facts.cluster.registrations
        if one.holds and (ordinal := facts.identity.ordinal_of(one.pod)) is not None and not live.wants(ordinal)
    ]
    if not found:
        return ""
    one = found[0]
    more = f" (as {'does' if len(found) == 2 else 'do'} {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"The StatefulSet has {replicas(facts)} now and {one.pod} is gone, but its server {one.id} still has "
        f"{one.holds}{more}, so there is a copy less of each: {one.remedy}."
    )
