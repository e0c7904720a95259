"""The laws of who takes the writes, over any facts: of systems whose servers elect nobody (ADR 15)."""

from __future__ import annotations

import msgspec
from hypothesis import event

from peerboot.cases.plans import plan_for
from peerboot.cases.primary import derived
from peerboot.decide import decide
from peerboot.model import (
    Call,
    Facts,
    Hold,
    MoveAside,
    RecordCrown,
    RecordIntent,
    Standing,
    Statement,
    UseConsent,
    WriteFile,
)
from peerboot.rules import promoting
from peerboot.rules.words import DATA_KINDS
from tests.properties.permits import NAMES, permit_kind, work
from tests.properties.test_decisions import planned
from tests.properties.worlds import CASES, over_any_primary


def heard_now(found: Facts, pod: str) -> Statement | None:
    """What another pod said within the time for which a word counts."""
    heard = found.evidence.get(pod)
    if heard is None or not heard.fresh or found.now - heard.at > found.limits.fresh:
        return None
    return heard.statement


def calls(found: Facts, name: str) -> bool:
    """Whether that call is in the plan."""
    return any(isinstance(action, Call) and action.name == name for action in planned(found)[1].actions)


def order(standing: Standing) -> tuple[int, int]:
    """The more a disk has, the greater."""
    return standing.term, standing.position


@over_any_primary
def test_a_server_is_promoted_only_when_all_yield(found: Facts) -> None:
    """Every other expected pod has said to this very word that it yields, or a person said that it need not; no server
    takes writes as far as anybody says, and this one runs and has all that it asked with.
    """
    if not calls(found, "promote"):
        return
    event("promoted")
    intent, own = found.record.intent, found.cluster.view_of(found.identity.pod)
    assert intent is not None
    assert own is not None
    assert own.part is not None
    assert (own.part.writes, found.disk.kind, found.disk.running) == (False, "data", True)
    assert found.identity.pod in found.identity.expected
    for pod in found.identity.others:
        word = heard_now(found, pod)
        if pod in intent.past:
            assert word is None or not (word.writes or word.intent)
        else:
            assert word is not None
            assert (word.yields, bool(found.confirm)) == (f"{intent.token}/{found.confirm}", True)
    assert not any(view.part.writes for view in found.cluster.views if view.part is not None)
    assert not any(word.writes for pod in found.evidence if (word := heard_now(found, pod)) is not None)


@over_any_primary
def test_what_is_called_is_remembered_first(found: Facts) -> None:
    """Before the call it is durable that it is made, and on which timeline the server will take writes."""
    actions = planned(found)[1].actions
    if any(isinstance(action, Call) and action.name == "promote" for action in actions):
        event("remembered")
        intents = [action.intent for action in actions if isinstance(action, RecordIntent)]
        crowns = [action.term for action in actions if isinstance(action, RecordCrown)]
        assert intents[-1] is not None
        assert intents[-1].called
        assert crowns[-1] == intents[-1].standing.term + 1
        assert isinstance(actions[-1], Call)


@over_any_primary
def test_silence_is_passed_only_by_a_persons_word(found: Facts) -> None:
    """A pod is added to those that need not yield only where a person has allowed just that, and names are told."""
    intent = found.record.intent
    before = intent.past if intent is not None else ()
    decision, plan = planned(found)
    for action in plan.actions:
        if isinstance(action, RecordIntent) and action.intent is not None and set(action.intent.past) - set(before):
            event("past a pod")
            assert found.consents != frozenset()
            assert any(isinstance(other, UseConsent) for other in plan.actions)
            assert decision.rule == "ask-to-promote"
            refused = decide(msgspec.structs.replace(found, consents=frozenset()))
            assert all(pod in refused.reason for pod in action.intent.past)


@over_any_primary
def test_nobody_yields_who_has_more_or_asks(found: Facts) -> None:
    """A pod yields only with no wish of its own, while its server takes no writes, to one that has as much or more, of
    its own cluster, by what was seen after that one asked; and its crown is dropped before.
    """
    yields = promoting.yields_to(found)
    if not yields:
        return
    event("yields")
    mine = Standing() if found.disk.kind == "blank" else found.standing
    if found.disk.end is not None and mine is None:
        # Its server ended in order and cannot start again: nobody writes there any more.
        event("yields when it has ended")
        assert (found.stopping, found.permit, found.disk.running) == (True, "absent", False)
        mine = found.disk.end
    assert mine is not None
    assert (found.record.intent, found.writes) == (None, False)
    words = [word for pod in found.identity.others if (word := heard_now(found, pod)) is not None and word.intent]
    to = [word for word in words if word.intent is not None and yields in (word.ask, word.intent.token)]
    assert any(order(word.intent.standing) >= order(mine) for word in to if word.intent is not None)
    if found.disk.kind != "blank":
        assert all(word.cluster == found.disk.cluster for word in to)
        assert found.cluster.at >= found.asks[yields]
    if found.record.crown and found.mode == "manage":
        crowns = [action.term for action in planned(found)[1].actions if isinstance(action, RecordCrown)]
        assert crowns[:1] == [0] or not found.record.nonce or found.record.problem or found.record.foreign


@over_any_primary
def test_only_the_seed_of_a_birth_makes_a_cluster(found: Facts) -> None:
    """initdb is let only of the lowest expected ordinal, whose blank disk is born, is to join nobody, and was never
    permitted before; and while no other expected pod says that it has data.
    """
    for action in planned(found)[1].actions:
        if isinstance(action, WriteFile) and action.permit and work(action.content) == "init":
            event("initdb")
            assert found.identity.expected[:1] == (found.identity.pod,)
            assert found.record.birth is not None
            assert (found.disk.kind, found.record.permitted_wall, found.cluster.quorum) == ("blank", None, False)
            words = [one.statement for pod in found.identity.others if (one := found.evidence.get(pod)) is not None]
            assert not any(word is not None and word.disk == "data" for word in words)
            assert found.record.claim is None


@over_any_primary
def test_a_copy_is_made_of_the_one_that_takes_writes(found: Facts) -> None:
    """A disk is cloned only while blank, while exactly one server takes writes; data is rewound only to that one's."""
    for action in planned(found)[1].actions:
        if isinstance(action, WriteFile) and action.permit and work(action.content) in ("clone", "rewind"):
            event(work(action.content))
            writing = [view for view in found.cluster.views if view.part is not None and view.part.writes]
            assert len(writing) == 1
            assert f"system={writing[0].cluster}\n" in action.content
            assert (found.disk.kind == "blank") == (work(action.content) == "clone")
            assert not found.disk.running


@over_any_primary
def test_data_starts_as_one_that_copies(found: Facts) -> None:
    """With data there is only a permit to start or to rewind, which launch.sh does with standby.signal; and what it
    names is this disk's own cluster.
    """
    for action in planned(found)[1].actions:
        if isinstance(action, WriteFile) and action.permit and found.disk.kind in DATA_KINDS:
            event("starts")
            assert (action.name, permit_kind(found, action.content)) == (NAMES["postgres"], "resume")
            assert f"system={found.disk.cluster}\n" in action.content


@over_any_primary
def test_a_primary_is_stopped_only_for_a_later_timeline_of_its_own(found: Facts) -> None:
    """The server that takes writes is ended only where another one of the same cluster takes them, on a later timeline
    that began on its own, where a person wants one that copies it to take over, or where a person allowed that data
    which is of another Pod's volume goes aside; any other one only to be rewound, or by a person's consent.
    """
    decision, plan = planned(found)
    if not any(isinstance(action, WriteFile) and action.name == "stop" for action in plan.actions):
        return
    event(f"stops: {decision.rule}")
    own = found.cluster.view_of(found.identity.pod)
    later = [
        view.part
        for view in found.cluster.views
        if view.part is not None and view.part.writes and view.cluster == found.disk.cluster
    ]
    if own is not None and own.cluster != found.disk.cluster:
        # What it was when it was asked is not what lies there now.
        return
    if own is not None and own.part is not None and own.part.writes:
        mine = own.part.term
        wanted = {pod for pod in own.part.copied_by if (word := heard_now(found, pod)) and word.hands_to}
        went_on = any(part.term > mine and mine in {fork.term for fork in part.forks} for part in later)
        others = found.record.foreign and found.consents and decision.rule == "foreign-volume"
        assert went_on or (wanted and decision.rule == "hand-over-writes") or others
    else:
        assert (later and decision.rule == "diverged") or found.consents


@over_any_primary
def test_no_data_goes_aside_without_a_primary_or_a_person(found: Facts) -> None:
    """Data that reads is moved aside by consent only; what does not read while one server takes writes, or by consent;
    never while a server runs on it.
    """
    _, plan = planned(found)
    if any(isinstance(action, MoveAside) for action in plan.actions):
        event(f"aside: {found.disk.kind}")
        by_consent = any(isinstance(action, UseConsent) for action in plan.actions)
        assert by_consent or (found.disk.kind == "corrupt" and found.cluster.quorum)
        assert not found.disk.running


@over_any_primary
def test_a_hold_changes_nobodys_part(found: Facts) -> None:
    """While a person holds, nobody asks, is promoted, stopped, rewound or copied; an own wish may be taken back. The
    last one that took the writes takes them again: that is no change.
    """
    if promoting.was_last(found):
        return
    hold = Hold(id="h", scope="pod", who="ann", why="", made_wall=1.0)
    held = msgspec.structs.replace(found, holds=(hold,))
    for action in planned(held)[1].actions:
        assert not isinstance(action, Call)
        assert not (isinstance(action, WriteFile) and action.name == "stop")
        assert not (isinstance(action, RecordIntent) and action.intent is not None)
        if isinstance(action, WriteFile) and action.permit and permit_kind(held, action.content) == "resume":
            assert work(action.content) == "start"


def stopped(found: Facts) -> Facts:
    """The same once the own server has ended, and nobody has asked the others anew."""
    views = tuple(view for view in found.cluster.views if view.pod != found.identity.pod)
    return msgspec.structs.replace(
        derived(msgspec.structs.replace(found, cluster=msgspec.structs.replace(found.cluster, views=views))),
        disk=msgspec.structs.replace(found.disk, running=False),
        permit="absent",
        files={**found.files, "stop": "stop rebuild\n"},
    )


def test_a_consent_to_copy_anew_outlives_the_stop() -> None:
    """A person allows it while the server runs; it is ended first, and then that same word has its data set aside."""
    rules = {"newer-timeline", "same-timeline", "cannot-follow"}
    ended = [
        found
        for found in CASES
        if found.consents and found.disk.running and not found.holds and decide(found).rule in rules
    ]
    assert {decide(found).rule for found in ended} >= {"newer-timeline", "cannot-follow"}
    for found in ended:
        decision = decide(rest := stopped(found))
        assert (decision.kind, decision.rule) == ("replace", decide(found).rule)
        assert any(isinstance(action, UseConsent) for action in plan_for(rest, decision).actions)
