"""Decision to files and calls, for Kafka. Pure.

The permit is ``run.ok``, for which ``launch.sh`` waits in the server's container. A *first* permit names one plan,
which formats the directories once: with all voters of a birth, or as an observer. A *resume* permit names the cluster
and the directory id that the metadata directory must have, and formats at most log directories that were lost.
"""

from __future__ import annotations

from typing import Any, Literal

from peerboot import steps
from peerboot.model import (
    Action,
    Birth,
    Call,
    Claim,
    Decision,
    Facts,
    Plan,
    RecordClaim,
    RecordPermit,
    Renew,
    WriteFile,
)
from peerboot.rules import fixed
from peerboot.systems.kafka import ids, launch
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.security import KEYSTORE, SCRAM, TRUSTSTORE

PERMIT_NAME = launch.PERMIT_NAME
SECRETS = (KEYSTORE, SCRAM)
FILES = (launch.PROPERTIES_NAME, launch.LAUNCH_NAME, TRUSTSTORE, *SECRETS, PERMIT_NAME)


def plan(config: KafkaConfig, facts: Facts, decision: Decision) -> Plan:
    """The actions that follow, in order. Empty in observe mode: it never writes, calls or renames."""
    if facts.mode == "observe":
        return Plan()
    return Plan(actions=(*_standing(config, facts), *_actions(config, facts, decision)))


def _standing(config: KafkaConfig, facts: Facts) -> tuple[Action, ...]:
    """Files that depend on settings only; the script is there before any permit, so that it says what it waits for.

    In a static quorum the settings of the server name its voters, so they come once those are known.
    """
    voters, security = fixed.voters(facts), config.security
    properties = () if voters is None else ((launch.PROPERTIES_NAME, config.properties(voters), security.sasl),)
    files = (
        *((name, text, name in SECRETS) for name, text in security.files().items()),
        *properties,
        (launch.LAUNCH_NAME, launch.script(), False),
    )
    return tuple(action for name, text, secret in files for action in steps.write(facts, name, text, secret=secret))


def _actions(config: KafkaConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    match decision.kind, decision.rule:
        case "form", "form":
            # A permit that stands here is none of this birth's: it was left by something else.
            return (*steps.withdraw(facts, PERMIT_NAME), *steps.be_born(facts), *steps.spend(facts, decision))
        case "form", "born":
            return (*steps.before_first_permit(facts), RecordPermit(), *_form(config, facts, decision))
        case "join", ("join" | "refill"):
            if facts.record.permitted_wall is not None:
                # A plan is good for one format: this disk has to be another one before it joins again.
                return (*steps.withdraw(facts, PERMIT_NAME), Renew(why="claimed-before"))
            listed = fixed.voters(facts) if decision.rule == "refill" else None
            claim = Claim(cluster=facts.cluster.cluster, member="", nonce=facts.record.nonce, voters=listed or ())
            return (*steps.withdraw(facts, PERMIT_NAME), RecordClaim(claim=claim))
        case (("form" | "join"), "first-permit"):
            return ()
        case "join", "claimed" if decision.may_run:
            return (RecordPermit(), *_join(config, facts, decision))
        case (("resume" | "idle"), _):
            return _resume(config, facts, decision)
        case "renew", "birth-lost" if facts.disk.kind == "partial":
            # A new member of its own cluster; its broker's log directories stay.
            return (*steps.withdraw(facts, PERMIT_NAME), Renew(why=decision.rule))
        case (("replace" | "renew"), _):
            if decision.target:
                return (*steps.withdraw(facts, PERMIT_NAME), Call(name="remove", member=decision.target))
            return steps.become_blank(facts, decision, PERMIT_NAME, part=_part(facts))
        case "leave", "leave":
            return (Call(name="remove", member=decision.target),)
        case "wait", "anchor-forbids":
            return steps.forget_anchor(facts, decision)
    return () if decision.may_run else steps.withdraw(facts, PERMIT_NAME)


def _part(facts: Facts) -> Literal["all", "member"]:
    """In its own cluster a broker's log directories stay: only what made it a controller is replaced."""
    sealed = facts.record.seal.cluster if facts.record.seal else ""
    same = facts.cluster.quorum and facts.cluster.cluster == (facts.disk.cluster or sealed)
    return "member" if same else "all"


def _form(config: KafkaConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    born = facts.record.birth
    if born is None:
        raise ValueError("forming needs a birth")
    scram = config.security.scram(facts.record.nonce)
    users = steps.write(facts, SCRAM, scram, secret=True) if scram else ()
    return (
        *users,
        *_permit(
            facts,
            decision,
            launch.Permit(
                kind="first",
                plan=steps.plan_id("form", born.token, facts.record.nonce),
                cluster=ids.cluster_id(born.token),
                node=config.node,
                metadata=config.metadata_dir,
                logs=config.log_dirs,
                **_voter_of(config, facts, born),
            ),
        ),
    )


def _voter_of(config: KafkaConfig, facts: Facts, born: Birth) -> dict[str, Any]:
    """How a voter of a birth is formatted. One of a static quorum has its list in the server's file, and a directory
    id by chance, which no voter there is known by.
    """
    if facts.traits.fixed:
        return {"form": "plain"}
    directory = ids.directory_id(born.token, facts.identity.pod)
    return {"form": "initial", "voters": config.voters(born), "directory": directory}


def _join(config: KafkaConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    claim = facts.record.claim
    if claim is None:
        raise ValueError("joining needs a claim")
    return _permit(
        facts,
        decision,
        launch.Permit(
            kind="first",
            plan=steps.plan_id("join", claim.cluster, claim.nonce),
            cluster=claim.cluster,
            node=config.node,
            form="join" if config.is_controller and not claim.voters else "plain",
            metadata=config.metadata_dir,
            logs=config.log_dirs,
        ),
    )


def _resume(config: KafkaConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    permit = launch.Permit(
        kind="resume",
        plan=steps.plan_id("resume", facts.disk.cluster, facts.disk.member),
        cluster=facts.disk.cluster,
        node=config.node,
        directory=ids.split_member(facts.disk.member)[1],
        form="join" if config.is_controller and not fixed.voters(facts) else "plain",
        metadata=config.metadata_dir,
        logs=config.log_dirs,
        # Only what was lost now, and was asked about (rules/copies.py): no directory that is lost later is formatted.
        repair=bool(facts.disk.lost) and not facts.disk.running,
    )
    # A state of a newer peerboot, or one that merely cannot be read now, is not ours to replace.
    mend = (Renew(why="torn-state"),) if facts.record.torn else ()
    sealed = (*steps.seal(facts), *steps.spend(facts, decision))
    # The permit comes first: what cannot be written down of a volume keeps no member from starting.
    return (
        *_permit(facts, decision, permit),
        *mend,
        *sealed,
        *_duty(facts, decision),
        *steps.remember(facts, decision),
    )


def _duty(facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """What a serving member does for the set: at most one membership change."""
    match decision.rule:
        case "promote-learner":
            return (Call(name="promote", member=decision.target),)
        case "former-self" if decision.target:
            return (Call(name="remove", member=decision.target),)
        case "clean-up":
            return (Call(name="remove", member=decision.target),)
        case "unregister":
            return (Call(name="unregister", member=decision.target),)
        case "remove-by-word":
            return (Call(name="remove", member=decision.target),) if decision.target else steps.end_removals(facts)
    return ()


def _permit(facts: Facts, decision: Decision, permit: launch.Permit) -> tuple[Action, ...]:
    """Write the permit unless one for the very same stands there; the words in it may be of an earlier decision."""
    if launch.read_permit(facts.files.get(PERMIT_NAME, "")) == permit:
        return ()
    return (WriteFile(name=PERMIT_NAME, content=launch.permit_text(permit, decision.reason), permit=True),)
