"""Decision to files and calls, for etcd. Pure.

The config file is the permit (a distroless etcd has no shell that could wait for one), so there are two kinds:
*first* names the whole cluster and is good for one start; *resume* names only this member, so that etcd exits
instead of forming or joining when it finds no data.
"""

from __future__ import annotations

import msgspec

from peerboot import steps
from peerboot.model import (
    Action,
    Call,
    CommitLog,
    CopyData,
    Decision,
    Facts,
    Plan,
    RecordBirth,
    RecordForced,
    RecordPermit,
    Renew,
    WriteFile,
)
from peerboot.rules import disaster
from peerboot.rules.words import list_of
from peerboot.systems.etcd.config import EtcdConfig

PERMIT_NAME = "etcd.yaml"


def plan(config: EtcdConfig, facts: Facts, decision: Decision) -> Plan:
    """The actions that follow, in order. Empty in observe mode: it never writes, calls or renames."""
    if facts.mode == "observe":
        return Plan()
    return Plan(actions=_actions(config, facts, decision))


def _actions(config: EtcdConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    match decision.kind, decision.rule:
        case "form", "form":
            # A permit that stands here is none of this birth's: it was left by something else.
            return (*steps.withdraw(facts, PERMIT_NAME), *steps.be_born(facts), *steps.spend(facts, decision))
        case "form", "born":
            first = _file(facts, config.form_file(facts.record.birth, decision.reason))
            return (*steps.before_first_permit(facts), RecordPermit(), *first)
        case "join", "join":
            return (*steps.withdraw(facts, PERMIT_NAME), Call(name="add-learner", urls=facts.own_urls, claim=True))
        case "join", "first-permit" if facts.cluster.quorum and facts.record.claim:
            # The list may have changed since; a joining etcd exits when its list is not exactly the cluster's.
            return _file(facts, config.join_file(facts.cluster.members, facts.record.claim.member, decision.reason))
        case (("form" | "join"), "first-permit"):
            return ()
        case "join", "claimed" if decision.may_run:
            members = list_of(facts, facts.record.claim.cluster) if facts.record.claim else ()
            return (RecordPermit(), *_file(facts, config.join_file(members, decision.target, decision.reason)))
        case "form", "quorum-lost":
            return (RecordForced(forced=disaster.to_force(facts)), *steps.spend(facts, decision))
        case "form", "forced":
            return _force(config, facts, decision)
        case (("resume" | "idle"), _) | ("wait", "quorum-lost"):
            return _resume(config, facts, decision)
        case (("replace" | "renew"), _):
            if decision.target:
                return (*steps.withdraw(facts, PERMIT_NAME), Call(name="remove", member=decision.target))
            return steps.become_blank(facts, decision, PERMIT_NAME)
        case "leave", "hand-over":
            return (Call(name="transfer-leadership", member=decision.target),)
        case "leave", "leave":
            return (Call(name="remove", member=decision.target),)
        case "wait", "anchor-forbids":
            return steps.forget_anchor(facts, decision)
    return () if decision.may_run else steps.withdraw(facts, PERMIT_NAME)


def _resume(config: EtcdConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    # A state of a newer peerboot, or one that merely cannot be read now, is not ours to replace.
    mend = (Renew(why="torn-state"),) if facts.record.torn else ()
    over = (RecordForced(forced=None),) if facts.record.forced is not None else ()
    # One that only starts what lies there is over once it runs: until then it is needed at every pass.
    spent = () if decision.rule in ("peers-disagree", "quorum-lost") else steps.spend(facts, decision)
    if restored := _restored(config, facts):
        return (*_file(facts, config.resume_file(facts.disk)), *restored)
    sealed = (*steps.seal(facts), *over, *spent)
    # The permit comes first: what cannot be written down of a volume keeps no member from starting.
    return (
        *_file(facts, config.resume_file(facts.disk)),
        *mend,
        *sealed,
        *_duty(facts, decision),
        *steps.remember(facts, decision),
    )


def _restored(config: EtcdConfig, facts: Facts) -> tuple[Action, ...]:
    """The birth of a snapshot that was restored onto this very disk: its cluster's id follows from the nonce."""
    record, disk = facts.record, facts.disk
    if record.birth or record.seal or record.claim or record.problem or record.foreign or not record.nonce:
        return ()
    born = config.restored_birth(record.nonce)
    return (RecordBirth(birth=born),) if disk.cluster and config.predicted_cluster(born) == disk.cluster else ()


def _force(config: EtcdConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """A copy first. Then, once it is durable that the server may do it, the file with which it drops all others: it is
    withdrawn as soon as the server runs, for at each further start it would drop whoever has joined since.
    """
    word = facts.record.forced
    if word is None:
        return ()
    if not word.copy:
        name = disaster.copy_name(word.end)
        noted = RecordForced(forced=msgspec.structs.replace(word, copy=name))
        return (*steps.withdraw(facts, PERMIT_NAME), CopyData(name=name), noted)
    file = _file(facts, config.force_file(facts.disk, decision.reason))
    if not file:
        return ()
    # Noted each time, also when it is: what comes before is done only after a fresh look at everybody.
    return (CommitLog(), RecordForced(forced=msgspec.structs.replace(word, given=True)), *file)


def _duty(facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """What a serving member does for the set: at most one membership change."""
    match decision.rule:
        case "promote-learner":
            return (Call(name="promote", member=decision.target),)
        case "reap-learner":
            return (Call(name="remove", member=decision.target),)
        case "peer-url-differs":
            return (Call(name="update-peer-urls", member=decision.target, urls=facts.own_urls),)
        case "clean-up":
            return (Call(name="remove", member=decision.target),)
        case "remove-by-word":
            return (Call(name="remove", member=decision.target),) if decision.target else steps.end_removals(facts)
    return ()


def _file(facts: Facts, content: str) -> tuple[Action, ...]:
    """Write the permit unless it stands there already, word for word."""
    if facts.files.get(PERMIT_NAME) == content:
        return ()
    return (WriteFile(name=PERMIT_NAME, content=content, permit=True),)
