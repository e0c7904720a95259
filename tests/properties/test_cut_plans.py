"""Killed after any action of a plan and started again: nothing worse follows, and the end is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from peerboot.cases.plans import plan_for
from peerboot.cases.reader import parse
from peerboot.decide import decide
from peerboot.model import (
    Action,
    Anchor,
    Call,
    Claim,
    ClusterView,
    CommitLog,
    CopyData,
    Decision,
    Disk,
    EndRemoval,
    Facts,
    Member,
    MoveAside,
    Plan,
    RecordBirth,
    RecordClaim,
    RecordCrown,
    RecordForced,
    RecordIntent,
    RecordPermit,
    RecordSeal,
    Renew,
    UseConsent,
    WithdrawPermit,
    WriteAnchor,
    WriteFile,
)
from tests.cases.test_cases import CASES, IDS
from tests.properties import permits
from tests.properties.permits import NAMES, may_have_voted, permit_kind
from tests.properties.worlds import over_any_facts

PASSES = 12
"""More than any way to an end takes."""

replace = msgspec.structs.replace


def after(found: Facts, action: Action) -> Facts:
    """The facts after one action was carried out, servers and other pods as they were."""
    record, cluster = found.record, found.cluster
    match action:
        case WriteFile(name=name, content=content, permit=False) if found.traits.has_primary:
            return replace(found, files={**found.files, name: content})
        case WriteFile(name=name, content=content):
            return replace(
                found, files={**found.files, name: content}, permit=permit_kind(found, content), permit_was_given=True
            )
        case WithdrawPermit():
            return replace(found, files={}, permit="absent")
        case RecordBirth(birth=birth):
            return replace(found, record=replace(record, birth=birth))
        case RecordPermit():
            return replace(found, record=replace(record, permitted_wall=record.permitted_wall or 1.0))
        case RecordClaim(claim=claim):
            return replace(found, record=replace(record, claim=claim, permitted_wall=None))
        case RecordSeal(seal=seal):
            return replace(found, record=replace(record, seal=seal))
        case RecordCrown(term=term):
            let_go = record.let_go if term else max(record.let_go, record.crown)
            return replace(found, record=replace(record, crown=term, let_go=let_go))
        case RecordIntent(intent=intent):
            token = intent.token or "t" if intent is not None else ""
            return replace(found, record=replace(record, intent=intent and replace(intent, token=token)))
        case RecordForced(forced=forced):
            return replace(found, record=replace(record, forced=forced))
        case CopyData() | CommitLog():
            return replace(found, undone="")
        case Call(name="promote") if found.traits.has_primary:
            return replace(found, writes=True, standing=None, cluster=with_primary(found))
        case Call(name="make-slot" | "drop-slot" as name, member=slot):
            return replace(found, cluster=with_slot(found, slot, made=name == "make-slot"))
        case Call(name="reload" | "checkpoint"):
            return found
        case Renew():
            new = replace(record, nonce=record.nonce + "'", birth=None, permitted_wall=None, seal=None)
            return replace(
                found, record=replace(new, claim=None, problem="", torn=False, foreign=""), predicted_cluster=""
            )
        case MoveAside():
            return replace(found, disk=Disk(kind="blank", since=found.now))
        case WriteAnchor(token=token):
            return replace(found, anchor=Anchor(state="holds" if token else "empty", token=token))
        case UseConsent(nonce=nonce):
            return replace(found, consents=found.consents - {nonce})
        case EndRemoval(pod=pod):
            return replace(found, removals=tuple(r for r in found.removals if r.pod != pod))
        case Call(name="add-learner", urls=urls):
            earlier = record.claim.member if record.claim else ""
            new_member = Member(id=f"{earlier}+", pod=found.identity.pod, peer_urls=urls, learner=True)
            claim = Claim(cluster=cluster.cluster, member=new_member.id, nonce=record.nonce)
            return replace(
                found,
                cluster=replace(cluster, members=(*cluster.members, new_member)),
                record=replace(record, claim=claim, permitted_wall=None),
            )
        case Call(name="remove", member=gone):
            return replace(found, cluster=replace(cluster, members=tuple(m for m in cluster.members if m.id != gone)))
        case Call(name="unregister", member=gone):
            left = tuple(one for one in cluster.registrations if one.id != gone)
            return replace(found, cluster=replace(cluster, registrations=left))
        case Call(name="transfer-leadership", member=heir):
            views = tuple(replace(view, leader=heir) for view in cluster.views)
            return replace(found, cluster=replace(cluster, views=views))
        case Call(name=name, member=changed, urls=urls):
            return replace(
                found,
                cluster=replace(
                    cluster,
                    members=tuple(
                        m
                        if m.id != changed
                        else replace(m, learner=False)
                        if name == "promote"
                        else replace(m, peer_urls=urls)
                        for m in cluster.members
                    ),
                ),
            )
    raise AssertionError(f"unknown action {action}")


def with_primary(found: Facts) -> ClusterView:
    """The own server takes the writes, on a new timeline."""
    cluster, pod = found.cluster, found.identity.pod
    views = []
    for view in cluster.views:
        new = view
        if view.pod == pod and view.part is not None:
            part = replace(view.part, writes=True, settled=False, term=view.part.term + 1)
            new = replace(view, healthy=True, leader=view.member, part=part)
        views.append(new)
    member = Member(id=found.disk.member, pod=pod, client_urls=("x",))
    return replace(cluster, quorum=True, cluster=found.disk.cluster, members=(member,), views=tuple(views))


def with_slot(found: Facts, slot: str, *, made: bool) -> ClusterView:
    """A slot more or less at the own server."""
    views = []
    for view in found.cluster.views:
        new = view
        if view.pod == found.identity.pod and view.part is not None:
            slots = {*view.part.slots, slot} if made else {*view.part.slots} - {slot}
            idle = tuple(one for one in view.part.idle_slots if one in slots)
            new = replace(view, part=replace(view.part, slots=tuple(sorted(slots)), idle_slots=idle))
        views.append(new)
    return replace(found.cluster, views=tuple(views))


def look(found: Facts) -> tuple[Decision, Plan]:
    """Verdict and plan."""
    decision = decide(found)
    return decision, plan_for(found, decision)


def states(found: Facts) -> Iterator[tuple[Facts, Decision, Plan]]:
    """Pass after pass until nothing is left to do, the server's own doings left out."""
    for _ in range(PASSES):
        decision, plan = look(found)
        yield found, decision, plan
        if not plan.actions:
            return
        for action in plan.actions:
            found = after(found, action)
    raise AssertionError(f"no end: {look(found)}")


def end_of(found: Facts) -> tuple[str, str, bool, str]:
    """What it comes to: disk, permit, whether the server may run, and whether a first permit forms or joins."""
    last, decision, _ = list(states(found))[-1]
    content = last.files.get(NAMES[found.identity.system], "")
    how = "forms" if permits.forms(last, content) else "joins" if last.permit == "first" else ""
    return last.disk.kind, last.permit, decision.may_run, how


def forms(found: Facts) -> bool:
    """Whether a birth or the file of one is written on the way."""
    return any(
        isinstance(action, RecordBirth) or (isinstance(action, WriteFile) and permits.forms(found, action.content))
        for _, _, plan in states(found)
        for action in plan.actions
    )


def starts_what_may_have_voted(found: Facts) -> bool:
    """Whether a first permit is written, on the way, for what a server may have run as: this disk's birth, or the
    member that was added for it before.
    """
    ran = found.disk.kind in ("data", "bootstrap", "corrupt") or found.record.permitted_wall is not None
    return ran and any(
        isinstance(action, WriteFile)
        and may_have_voted(at, action.content)
        and at.record.nonce == found.record.nonce
        and at.record.claim == found.record.claim
        for at, _, plan in states(found)
        for action in plan.actions
        if at.permit != "first"
    )


def cuts(found: Facts) -> Iterator[tuple[int, Facts]]:
    """The facts after each number of actions, in each pass until the end."""
    for at, _, plan in list(states(found)):
        for count, action in enumerate(plan.actions, 1):
            at = after(at, action)  # noqa: PLW2901 - the world goes on
            if count < len(plan.actions):
                yield count, at


WAITS_OR_RENEWS = ("born-waits", "lost-waits", "renew", "birth-lost", "unstarted-pair")


def permit_noted_but_not_given(found: Facts) -> bool:
    """Killed between the note that a permit is given and the permit: nobody knows that no server ran.

    What quorum there is takes the disk as a new one. Without one it waits, by name, and forms nothing.
    """
    noted = found.record.permitted_wall is not None and found.disk.kind == "blank" and found.permit == "absent"
    return noted and (found.record.birth is not None or not found.cluster.quorum)


def asked_again(found: Facts) -> bool:
    """Whether it ends where it waits for a person's word on what only this disk had, or on whose it is."""
    return list(states(found))[-1][1].rule in ("last-copy", "foreign-volume")


@pytest.mark.parametrize(("path", "text"), [(path, text) for path, _, text in CASES], ids=IDS)
def test_a_case_cut_anywhere_ends_the_same(path: Path, text: str) -> None:
    """Killed after any action, the plan of each case goes on to the same end and does nothing that it would not."""
    found = parse(text.partition("\n----\n")[0], path.parents[1].name)
    for count, rest in cuts(found):
        assert not starts_what_may_have_voted(rest), count
        assert forms(found) or not forms(rest), count
        if asked_again(rest):
            # The disk is another one since, so a person's word does not hold for it.
            assert (end_of(rest)[1:3], found.consents != frozenset()) == (("absent", False), True), count
        elif permit_noted_but_not_given(rest):
            assert decide(rest).rule in WAITS_OR_RENEWS, count
        else:
            assert end_of(found) == end_of(rest), count


@over_any_facts
def test_no_cut_makes_a_plan_worse(found: Facts) -> None:
    """Whatever the facts: cut anywhere, nothing forms that would not have, and no disk starts as what it was."""
    assert not starts_what_may_have_voted(found)
    for count, rest in cuts(found):
        assert not starts_what_may_have_voted(rest), count
        assert forms(found) or not forms(rest), count


def test_there_are_plans_to_cut() -> None:
    """The cases have plans of several actions, of births, joins and replacements."""
    every = [parse(text.partition("\n----\n")[0], path.parents[1].name) for path, _, text in CASES]
    cut = [found for found in every if list(cuts(found))]
    assert {"form", "join", "replace", "renew"} <= {decide(found).kind for found in cut}
