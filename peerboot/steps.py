"""Steps that every system's plan is made of. Pure."""

from __future__ import annotations

import hashlib
from typing import Literal

from peerboot import birth
from peerboot.model import (
    Action,
    Decision,
    EndRemoval,
    Facts,
    MoveAside,
    RecordBirth,
    RecordSeal,
    Renew,
    Seal,
    UseConsent,
    WithdrawPermit,
    WriteAnchor,
    WriteFile,
)
from peerboot.rules.fixed import to_note
from peerboot.rules.serving import is_first
from peerboot.rules.words import consent_nonce, is_observer


def spend(facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """The consent that this decision was allowed by, if it was."""
    nonce = consent_nonce(facts, decision.rule)
    return (UseConsent(nonce=nonce),) if nonce in facts.consents else ()


def withdraw(facts: Facts, permit_name: str) -> tuple[Action, ...]:
    """Take the permit back where there is one."""
    return (WithdrawPermit(name=permit_name),) if facts.permit != "absent" else ()


def plan_id(*parts: str) -> str:
    """Names one plan: another disk, another birth or another cluster is another plan."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def write(facts: Facts, name: str, content: str, *, secret: bool = False) -> tuple[Action, ...]:
    """A file of the server's, where it does not stand there like this; ``secret``: for its own user alone."""
    if facts.files.get(name) == content:
        return ()
    return (WriteFile(name=name, content=content, mode=0o600 if secret else 0o640),)


def become_blank(
    facts: Facts, decision: Decision, permit_name: str, *, part: Literal["all", "member"] = "all"
) -> tuple[Action, ...]:
    """Permit back, data aside, new nonce: killed in between, each rest is a state that the rules know.

    Data goes before the nonce is renewed: a birth without data is looked into, data without a birth
    would be taken for a cluster older than peerboot.
    """
    steps: tuple[Action, ...] = withdraw(facts, permit_name)
    if facts.disk.kind != "blank":
        steps += (MoveAside(why=decision.rule, part=part),)
    return (*steps, Renew(why=decision.rule), *spend(facts, decision))


def be_born(facts: Facts) -> tuple[Action, ...]:
    """Make the birth durable; the permit comes with the next look."""
    verdict = birth.may_be_born(facts)
    return (RecordBirth(birth=verdict.birth),) if verdict.birth is not None else ()


def before_first_permit(facts: Facts) -> tuple[Action, ...]:
    """What must be durable outside the volume before the first permit of a birth."""
    anchor, born = facts.anchor, facts.record.birth
    former = anchor.token if anchor.token in facts.record.former else ""
    if born is None or not (anchor.state == "empty" or (anchor.state == "holds" and former)):
        return ()
    return (WriteAnchor(token=born.token, replaces=former),)


def remember(facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """Write an anchor that is empty although a cluster serves: it was made anew, or is younger than the cluster. The
    first healthy voter does it, with the birth that it knows, or with a token of the cluster.
    """
    if decision.rule != "serving" or facts.anchor.state != "empty" or facts.holds or not is_first(facts):
        return ()
    born = facts.record.birth
    return (WriteAnchor(token=born.token if born else hashlib.sha256(facts.disk.cluster.encode()).hexdigest()[:32]),)


def forget_anchor(facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """A person allowed to form anew although the anchor remembers a cluster."""
    return (WriteAnchor(token=""), *spend(facts, decision))


def seal(facts: Facts) -> tuple[Action, ...]:
    """Remember whose data this is, once there is data."""
    disk, old = facts.disk, facts.record.seal
    unwritable = facts.record.foreign or (facts.record.problem and not facts.record.torn)
    if disk.kind != "data" or not disk.logged or not disk.cluster or not disk.member or unwritable:
        return ()
    adopted = facts.record.birth is None and facts.record.claim is None
    voters = to_note(facts)
    same = old is not None and (old.cluster, old.member) == (disk.cluster, disk.member)
    if old is not None and same and (voters is None or voters == old.voters):
        return ()
    adopted = old.adopted if old is not None and same else adopted
    return (RecordSeal(seal=Seal(cluster=disk.cluster, member=disk.member, adopted=adopted, voters=voters)),)


def end_removals(facts: Facts) -> tuple[Action, ...]:
    """Removals whose pod is no longer a member."""
    gone = [
        removal.pod
        for removal in facts.removals
        if (entry := facts.cluster.entry_of(removal.pod)) is None or is_observer(facts, entry)
    ]
    return tuple(EndRemoval(pod=pod) for pod in gone)
