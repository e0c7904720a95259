"""The laws over any facts: whatever is observed, no verdict and no plan of any system breaks one."""

from __future__ import annotations

import msgspec
from hypothesis import assume, event

from peerboot.birth import token_of
from peerboot.cases.plans import plan_for
from peerboot.decide import TABLE, decide
from peerboot.model import (
    Call,
    Decision,
    Disk,
    Facts,
    Hold,
    MoveAside,
    Plan,
    RecordBirth,
    RecordClaim,
    RecordForced,
    RecordPermit,
    RecordSeal,
    Renew,
    UseConsent,
    WithdrawPermit,
    WriteAnchor,
    WriteFile,
)
from peerboot.rules.words import quorum_of
from tests.properties.permits import forms, permit_kind
from tests.properties.worlds import CASES, SECRET, cluster_ids, id_of, over_any_facts

LONGEST = 1500
"""Characters of a reason: it has to fit a termination message with room to spare."""


def planned(found: Facts) -> tuple[Decision, Plan]:
    """Verdict and plan."""
    decision = decide(found)
    event(decision.rule)
    return decision, plan_for(found, decision)


def said_blank_or_born(found: Facts, pod: str, token: str) -> bool:
    """Whether a pod said itself that its disk is blank, or born into this very token."""
    heard = found.evidence.get(pod)
    word = heard.statement if heard else None
    return word is not None and (word.token == token or (not word.token and word.disk == "blank"))


@over_any_facts
def test_there_is_always_one_verdict(found: Facts) -> None:
    """Any facts lead to a verdict of a rule of the table, the same each time, and to a plan."""
    decision, plan = planned(found)
    assert (decision, plan) == planned(found)
    assert decision.rule in {rule.__name__.replace("_", "-") for rule in TABLE} | {"held"}


@over_any_facts
def test_a_verdict_says_itself(found: Facts) -> None:
    """Its reason is one bounded line without secrets; a wait names what it waits for; a refusal has exit code 5 and
    says what to do.
    """
    decision = decide(found)
    text = "\n".join((decision.reason, *decision.evidence, *decision.waits_for))
    assert decision.reason.strip() == decision.reason != ""
    assert len(decision.reason.splitlines()) == 1
    assert len(decision.reason) <= LONGEST
    assert SECRET not in text
    if decision.kind == "wait":
        assert all(decision.waits_for)
        assert decision.waits_for
    assert (decision.exit_code == 5) == (decision.kind == "refuse")
    if decision.kind == "refuse":
        advice = (
            "Mount",
            "Raise",
            "Restore",
            "Bring",
            "Set ",
            "Find out",
            "peerboot consent",
            "scale the set down",
            "Scale it up",
            "go to",
            "kubectl",
        )
        assert any(word in decision.reason for word in advice)
        assert not decision.may_run


@over_any_facts
def test_only_when_all_have_said_it_is_a_disk_born(found: Facts) -> None:
    """A birth is recorded only for a blank disk, and when every other expected pod has said itself blank or born."""
    for action in planned(found)[1].actions:
        if isinstance(action, RecordBirth):
            event("born")
            token = action.birth.token
            assert found.disk.kind == "blank"
            assert found.record.birth is None
            assert set(action.birth.members) == set(found.identity.expected)
            assert token == token_of(action.birth.members)
            assert all(said_blank_or_born(found, pod, token) for pod in found.identity.others)


@over_any_facts
def test_only_a_recorded_birth_forms(found: Facts) -> None:
    """The file that forms is written only when the birth lies on the disk, which is blank and never had a permit."""
    for action in planned(found)[1].actions:
        if isinstance(action, WriteFile) and forms(found, action.content):
            event("forms")
            assert found.record.birth is not None
            assert found.record.permitted_wall is None
            assert found.disk.kind == "blank"


@over_any_facts
def test_only_a_disk_without_a_past_joins(found: Facts) -> None:
    """A claim clears the note that a server may have run. So no disk that was born, or was a member, takes one: it
    could be born again as what it was. Where one pod alone makes a cluster, the others are born, and copy it.
    """
    for action in planned(found)[1].actions:
        if isinstance(action, RecordClaim) or (isinstance(action, Call) and action.claim):
            event("claims")
            copies = found.traits.by_seed and found.identity.expected[:1] != (found.identity.pod,)
            assert (found.record.birth is None or copies, found.record.seal) == (True, None)


@over_any_facts
def test_a_first_permit_is_noted_before_it_is_given(found: Facts) -> None:
    """That a server may have run is durable before the file that lets it run is written."""
    noted = found.record.permitted_wall is not None
    for action in planned(found)[1].actions:
        forced = action.forced if isinstance(action, RecordForced) else None
        noted = noted or isinstance(action, RecordPermit) or (forced is not None and forced.given)
        if isinstance(action, WriteFile) and action.permit and permit_kind(found, action.content) == "first":
            event("permit")
            assert noted


@over_any_facts
def test_one_membership_change_at_a_time(found: Facts) -> None:
    """No plan has two calls."""
    assert sum(isinstance(action, Call) for action in planned(found)[1].actions) <= 1


@over_any_facts
def test_a_voter_is_removed_only_for_a_reason_that_names_it(found: Facts) -> None:
    """The cluster has quorum, the voters that serve are a majority without it, and the reason names it."""
    decision, plan = planned(found)
    for action in plan.actions:
        if isinstance(action, Call) and action.name == "remove":
            event("removes")
            assert found.cluster.quorum
            assert action.member in decision.reason
            victim = next(m for m in found.cluster.members if m.id == action.member)
            if not victim.learner:
                others = [m for m in found.cluster.members if not m.learner and m.id != victim.id]
                assert others
                assert sum(serves(found, m.pod, m.id) for m in others) >= quorum_of(len(others))


@over_any_facts
def test_a_member_leaves_only_by_the_live_number(found: Facts) -> None:
    """Leaving and cleaning up happen only when the API said a moment ago that the pod is not wanted, never when the
    whole set goes; whoever leaves is being stopped, and whoever is cleaned up after is seen nowhere.
    """
    decision, plan = planned(found)
    if decision.rule not in ("leave-waits", "hand-over", "leave", "clean-up"):
        return
    event(f"live: {decision.rule}")
    live, who = found.live, found.identity
    assert (live.state, live.replicas > 0, live.deleting, found.now - live.at <= 30) == ("known", True, False, True)
    if decision.rule != "clean-up":
        assert (found.stopping, live.wants(who.ordinal)) == (True, False)
    for action in plan.actions:
        if isinstance(action, Call) and action.name == "remove":
            victim = next(m for m in found.cluster.members if m.id == action.member)
            assert not live.wants(who.ordinal_of(victim.pod) or 0)
            if decision.rule == "clean-up":
                assert victim.pod != who.pod
                assert found.cluster.view_of(victim.pod) is None
                assert victim.pod not in found.peers.sightings


@over_any_facts
def test_only_what_is_gone_and_empty_is_forgotten(found: Facts) -> None:
    """A registration ends only when the API said just now that the pod is not wanted and no such Pod exists, nothing
    is seen of it, it is no member any more and it holds nothing.
    """
    decision, plan = planned(found)
    calls = [action for action in plan.actions if isinstance(action, Call) and action.name == "unregister"]
    if not calls:
        return
    event("unregistered")
    live, who = found.live, found.identity
    [one] = [one for one in found.cluster.registrations if one.id == calls[0].member]
    assert (decision.rule, one.holds, live.wants(who.ordinal_of(one.pod) or 0)) == ("unregister", "", False)
    assert (live.state, live.settled, live.deleting, found.now - live.at <= 30) == ("known", True, False, True)
    assert one.pod not in found.peers.sightings
    assert (found.cluster.view_of(one.pod), found.cluster.entry_of(one.pod)) == (None, None)


def serves(found: Facts, pod: str, member: str) -> bool:
    """Whether a member's server, or its pod, says that it serves."""
    view, heard = found.cluster.view_of(pod), found.evidence.get(pod)
    word = heard.statement if heard else None
    by_itself = view is not None and view.healthy and view.member == member
    return by_itself or (word is not None and word.serving and word.member == member)


@over_any_facts
def test_data_goes_aside_only_when_that_is_allowed(found: Facts) -> None:
    """Never under a running server; only a disk that holds nothing, one that a quorum does without, or by consent."""
    decision, plan = planned(found)
    if any(isinstance(action, MoveAside) for action in plan.actions):
        event("aside")
        by_consent = any(isinstance(action, UseConsent) for action in plan.actions)
        assert not found.disk.running or found.record.foreign or by_consent
        assert found.disk.kind in ("interrupted", "bootstrap") or found.cluster.quorum or by_consent
        if decision.rule == "log-lost":
            seal = found.record.seal
            assert seal is not None
            assert (found.disk.logged, found.disk.member, found.cluster.quorum) == (False, seal.member, True)
        elif found.disk.kind == "data" and not by_consent:
            assert all(m.id != found.disk.member for m in found.cluster.members)
            assert decision.rule == "removed-member"
            assert found.identity.system == "etcd"


@over_any_facts
def test_own_data_just_starts(found: Facts) -> None:
    """Data that is this volume's own starts while no quorum is seen, whatever DNS, pods, holds and the anchor say."""
    record = msgspec.structs.replace(found.record, foreign="", seal=None)
    # A server that has run with a fixed list has the list on its disk.
    voters = (found.identity.expected or (found.identity.pod,)) if found.traits.fixed else None
    ours, _ = cluster_ids(found.identity.system)
    disk = Disk(kind="data", cluster=ours, member=id_of(found.identity.system, 1), voters=voters)
    views = tuple(
        view
        for view in found.cluster.views
        if view.cluster in ("", ours) and (view.part is None or not view.part.writes)
    )
    cluster = msgspec.structs.replace(found.cluster, quorum=False, members=(), views=views, unmanaged="")
    assume(not found.twin or found.permit != "absent")
    own = msgspec.structs.replace(found, record=record, disk=disk, cluster=cluster, looked=True)
    decision, plan = planned(own)
    assert decision.may_run
    assert (
        own.mode == "observe"
        or own.permit == "absent"
        or not any(isinstance(action, WithdrawPermit) for action in plan.actions)
    )


@over_any_facts
def test_observing_does_nothing(found: Facts) -> None:
    """In observe mode every plan is empty."""
    assert planned(msgspec.structs.replace(found, mode="observe"))[1] == Plan()


@over_any_facts
def test_a_hold_leaves_only_starting(found: Facts) -> None:
    """While a person holds, nothing is born, called, moved, renewed or allowed; what was begun may start."""
    hold = Hold(id="h", scope="pod", who="ann", why="", made_wall=1.0)
    decision, plan = planned(msgspec.structs.replace(found, holds=(hold,)))
    # A first permit that stands was given before the hold; to take it back would throw a birth away.
    permitted = decision.rule == "first-permit"
    assert decision.kind in ("resume", "idle", "wait", "refuse") or permitted
    forbidden = (RecordBirth, RecordClaim, Call, MoveAside, WriteAnchor)
    assert not any(isinstance(action, forbidden) for action in plan.actions)
    assert all(action.why == "torn-state" for action in plan.actions if isinstance(action, Renew))
    if any(isinstance(action, WriteFile) for action in plan.actions):
        assert found.disk.kind in ("interrupted", "bootstrap", "data") or permitted


@over_any_facts
def test_only_data_is_sealed(found: Facts) -> None:
    """A volume is sealed to a cluster only when its disk has that cluster's data."""
    for action in planned(found)[1].actions:
        if isinstance(action, RecordSeal):
            assert (found.disk.kind, found.disk.cluster) == ("data", action.seal.cluster)


def test_the_facts_are_of_all_kinds() -> None:
    """The facts that are drawn here come to every rule of the table, so that no law above holds for want of a case."""
    seen = {decide(found).rule for found in CASES}
    assert {rule.__name__.replace("_", "-") for rule in TABLE} | {"held"} == seen
