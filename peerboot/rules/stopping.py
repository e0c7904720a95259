"""Rules for a server that is stopped and stays a member: one after the other, where the system asks for it. Pure.

A roll-out, a drain of nodes and a person all stop Pods without asking each other. Each such Pod takes a turn, as in
Lamport's bakery (CACM 17-8, 1974): it says that it chooses one, hears everybody, takes one above all that it heard, and
counts those as gone whose turn comes first. So of two that ask at the same time at most one believes the other there.
"""

from __future__ import annotations

from peerboot.model import Copies, Decision, Facts
from peerboot.rules.leaving import leaves
from peerboot.rules.unwanted import goes_with
from peerboot.rules.words import healthy_voters, quorum_of, say, with_remark

CHOOSES = -1
"""The turn of one that has yet to take one."""
NAMED = 3
"""So many pods that are waited for are named."""


def stop_waits(facts: Facts) -> Decision | None:
    """When: this Pod's server is about to be stopped and stays a member, its system stops servers in turn, and without
    it and those whose turn comes first the voters in sync would be no majority, or data would have fewer copies in sync
    than it needs while another copy is expected back, or it is not known which copies there would be.
    Then: wait, within the time of ``/prestop``; then it stops all the same.
    """
    if not facts.stopping or leaves(facts) or not (held := holds_back(facts)):
        return None
    why, waits_for = held
    return say(
        facts,
        "wait",
        "stop-waits",
        f"This Pod's server is about to be stopped, but {why}. When the time of /prestop (PEERBOOT_LEAVE_TIMEOUT) is "
        "over it stops all the same." + with_remark(goes_with(facts)),
        waits_for=waits_for,
        may_run=True,
    )


def holds_back(facts: Facts) -> tuple[str, tuple[str, ...]] | None:
    """Why this Pod's server should not be stopped now, and who is waited for; None when it may be."""
    live, cluster = facts.live, facts.cluster
    if not facts.traits.in_turn or facts.mode == "observe":
        return None
    if live.state == "known" and (live.deleting or live.replicas == 0):
        # The whole set goes: nobody comes back.
        return None
    if cluster.view_of(facts.identity.pod) is None:
        # Its server serves nobody, so that nothing is lost with it.
        return None
    if not cluster.quorum:
        return "no quorum is seen now", ("the cluster's quorum",)
    gone = stopping_first(facts) | down(facts)
    return _no_majority(facts, gone) or _too_few_copies(cluster.copies, gone) or _unknown_copies(facts)


def stopping_first(facts: Facts) -> set[str]:
    """The other pods whose server is about to be stopped, by their own word, and whose turn comes before this Pod's.

    A word of somebody who does not answer any more counts: its server went first.
    """
    mine = (facts.turn, -facts.identity.ordinal)
    found = set()
    for pod, evidence in facts.evidence.items():
        turn = evidence.statement.turn if evidence.statement else 0
        if turn and (turn == CHOOSES or (turn, -(facts.identity.ordinal_of(pod) or 0)) < mine):
            found.add(pod)
    return found


def down(facts: Facts) -> set[str]:
    """The other pods whose server is down: what its own peerboot says is newer than what the leader has noticed. One
    that was heard before and is silent now counts as down.
    """
    silent = {
        pod
        for pod, evidence in facts.evidence.items()
        if evidence.statement and not (evidence.fresh and evidence.statement.running)
    }
    return silent | set(facts.cluster.unreachable)


def next_turn(facts: Facts) -> int:
    """One above all turns that were heard."""
    words = (evidence.statement for evidence in facts.evidence.values())
    return 1 + max((word.turn for word in words if word), default=0) if facts.evidence else 1


def _no_majority(facts: Facts, gone: set[str]) -> tuple[str, tuple[str, ...]] | None:
    """Of two voters neither is a majority: there the other one has to be in sync."""
    if facts.traits.quorum_of:
        # None of these has a vote.
        return None
    voters = [member for member in facts.cluster.members if not member.learner]
    in_sync = healthy_voters(facts)
    own = next((member for member in in_sync if member.id == facts.disk.member), None)
    if own is None:
        return None
    rest = [member for member in in_sync if member.id != own.id and member.pod not in gone]
    need = min(quorum_of(len(voters)), len(voters) - 1)
    if len(rest) >= need:
        return None
    missing = sorted(m.pod or m.id for m in voters if m.id != own.id and m not in rest)
    left = f"without this Pod {len(rest)} of {len(voters)} voters would be left, and {need} {_are(need)} needed"
    return f"{_named(missing)} {_are(len(missing))} not there, or not in sync: {left}", tuple(missing)


def _too_few_copies(copies: tuple[Copies, ...], gone: set[str]) -> tuple[str, tuple[str, ...]] | None:
    """Data that would have too few copies; where no other copy can come back, waiting would help nobody."""
    for one in copies:
        left = [pod for pod in one.in_sync if pod not in gone]
        awaited = sorted({*one.behind, *one.in_sync} - set(left))
        if len(left) >= max(one.least, 1) or not awaited:
            continue
        name = one.name + (f" and {one.more} more" if one.more else "")
        have = f"{len(left)} {'copy' if len(left) == 1 else 'copies'} in sync"
        least = max(one.least, 1)
        why = f"{name} would be left with {have}, and {least} {_are(least)} needed"
        return f"{why}: {_named(awaited)} {'has' if len(awaited) == 1 else 'have'} to be in sync first", tuple(awaited)
    return None


def _unknown_copies(facts: Facts) -> tuple[str, tuple[str, ...]] | None:
    """Unknown is not enough; but where there is nobody else there are no other copies to wait for."""
    untold, who = facts.cluster.copies_untold, facts.identity
    if not untold or not {*who.others, *facts.peers.sightings} - {who.pod}:
        return None
    return f"which copies its data would be left with is not known ({untold})", ("its server to tell its copies",)


def _named(pods: list[str]) -> str:
    more = len(pods) - NAMED
    return ", ".join(pods[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
