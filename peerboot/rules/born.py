"""Rules for a disk without data that was born, was claimed, or whose first start was cut off. Pure."""

from __future__ import annotations

from peerboot import birth
from peerboot.model import Decision, Facts
from peerboot.rules import fixed
from peerboot.rules.words import (
    allowed,
    empty,
    formed_without,
    list_of,
    lost_to_another,
    own_entry,
    refuse,
    say,
    statement_of,
    unheard,
    why_unheard,
)

LONG_START = 60.0
"""Seconds after which a first start without a first entry is explained to a person."""


def _claimed(facts: Facts) -> bool:
    """A member id was added for exactly this disk."""
    claim = facts.record.claim
    return claim is not None and claim.nonce == facts.record.nonce


def first_start(facts: Facts) -> Decision | None:
    """When: the server runs for the first time and has not written its first entries.
    Then: the permit, good for one start only, is withdrawn until the disk has data; then it is given back.
    """
    if not empty(facts) or not facts.disk.running:
        return None
    long = facts.now - facts.disk.since >= LONG_START
    return say(
        facts,
        "wait",
        "first-start",
        "The server is on its first start and has written nothing yet. A first permit is good for one start: it comes "
        "back, as a permit to start with data only, as soon as there is data."
        + (
            f" It has been so for more than {LONG_START:g} s: one that was cut off and started again has an empty "
            "log and waits for the others. If they wait too, restart this Pod's server container."
            if long
            else ""
        ),
        waits_for=("the server's first entries",),
    )


def first_permit(facts: Facts) -> Decision | None:
    """When: a permit to form or to join was given, it is in place, and the server has not started yet.
    Then: it stands.
    """
    if facts.disk.kind not in ("blank", "partial") or facts.permit != "first" or facts.record.permitted_wall is None:
        return None
    if facts.record.birth is not None and not lost_to_another(facts):
        return say(
            facts, "form", "first-permit", "The cluster forms: the permit is given, the server starts.", may_run=True
        )
    if _claimed(facts) and _claim_stands(facts):
        starts = "the server starts"
        if facts.traits.has_primary:
            none = "" if facts.cluster.quorum else ", and none does now"
            starts = f"its server starts once it has copied the one that takes the writes{none}"
        return say(facts, "join", "first-permit", f"This Pod joins: the permit is given, {starts}.", may_run=True)
    return None


def _claim_stands(facts: Facts) -> bool:
    """The claim's member is still listed and never ran, or it is not known that this is not so. Of fixed voters, whose
    blank disks vote, it has to be known.
    """
    if facts.record.claim is not None and facts.record.claim.voters:
        return _claim_unstarted(facts)
    return not facts.cluster.quorum or _claim_unstarted(facts)


def _claim_unstarted(facts: Facts) -> bool:
    """The claim's cluster lists its member as one that never published itself: it ran nowhere."""
    claim = facts.record.claim
    if claim is not None and claim.voters:
        return facts.cluster.quorum and facts.cluster.cluster == claim.cluster and fixed.lacks(facts) is None
    if claim is not None and facts.traits.admits == "started-first":
        # Its server is listed once it runs, and then its disk has data. A voter of this Pod is its former self.
        return facts.cluster.quorum and facts.cluster.cluster == claim.cluster and own_entry(facts) is None
    return claim is not None and any(
        member.id == claim.member and not member.started for member in list_of(facts, claim.cluster)
    )


def may_hold_nothing(facts: Facts) -> bool:
    """A born disk that holds nothing beyond the bootstrap although a server may have run on it, or although another
    pod's was to make the cluster for it.
    """
    record, disk = facts.record, facts.disk
    if record.birth is None or disk.running:
        return False
    if disk.kind in ("interrupted", "bootstrap"):
        return True
    ran = record.permitted_wall is not None or record.claim is not None or copies_the_seed(facts)
    return disk.kind == "blank" and ran and facts.permit != "first"


def copies_the_seed(facts: Facts) -> bool:
    """Where one pod alone makes the cluster that all are born into: this is another one."""
    return facts.traits.by_seed and facts.identity.expected[:1] != (facts.identity.pod,)


def _others_have_data(facts: Facts) -> bool:
    words = (statement_of(facts, pod) for pod in facts.identity.others)
    return any(word is not None and word.disk == "data" for word in words)


def birth_lost(facts: Facts) -> Decision | None:
    """When: the disk is blank, or what made it a member is gone, a cluster has quorum, and this volume was born or was
    a member: its server may have run, or the cluster is not the one of its birth, or it no longer lists this Pod.
    Then: the disk gets a new nonce and joins as new.
    """
    record, kind = facts.record, facts.disk.kind
    if kind not in ("blank", "partial") or not facts.cluster.quorum or (record.birth is None and record.seal is None):
        return None
    if record.seal is not None:
        why = f"was a member of cluster {record.seal.cluster}, and its data is gone"
    elif record.permitted_wall is not None or kind == "partial":
        why = "was born, but its server may have run before"
    elif not copies_the_seed(facts) and (lost_to_another(facts) or formed_without(facts)):
        why = "was born, but that birth cannot enter it"
    else:
        return None
    return say(
        facts,
        "renew",
        "birth-lost",
        f"Cluster {facts.cluster.cluster} serves, this disk is {kind} and {why}: it takes a new nonce and joins as a "
        "new member.",
    )


def born_waits(facts: Facts) -> Decision | None:
    """When: the disk is born and holds nothing, its server may have run, and it is not known that nobody has data.
    Then: wait, by name; a consent takes it as a new disk.
    """
    if not may_hold_nothing(facts) or facts.disk.kind == "bootstrap" or facts.cluster.quorum:
        return None
    if allowed(facts, "born-waits"):
        return _as_new(facts, "born-waits")
    verdict = birth.may_renew(facts)
    decision = refuse(
        facts,
        "born-waits",
        "This disk was born, its server may have run, and now it holds nothing. It waits for the cluster to serve, or "
        f"for every pod to say that its disk holds nothing. Missing: {_named(facts, verdict.missing)}.",
        would="take this volume as a new, blank disk",
    )
    return say(facts, "wait", "born-waits", decision.reason, waits_for=verdict.missing or ("the cluster to serve",))


def lost_waits(facts: Facts) -> Decision | None:
    """When: the disk holds nothing, but its volume was a member, or a server has run on it; no birth is recorded, and
    no cluster has quorum.
    Then: wait for its cluster; a consent takes it as a new disk, for all data may be gone.
    """
    record, disk = facts.record, facts.disk
    born = record.birth is not None and disk.kind != "partial"
    if not empty(facts) or disk.running or facts.cluster.quorum or born:
        return None
    if disk.kind == "partial":
        why = f"{disk.reason}."
    elif record.seal is not None:
        why = f"This volume was member {record.seal.member} of cluster {record.seal.cluster}, and its data is gone."
    elif disk.kind == "interrupted":
        why = "The first start on this disk was cut off before anything was written."
    elif record.permitted_wall is not None:
        why = "A server may have run on this disk, and it holds nothing."
    else:
        return None
    if allowed(facts, "lost-waits"):
        return _as_new(facts, "lost-waits")
    silent = unheard(facts)
    decision = refuse(
        facts,
        "lost-waits",
        f"{why} It waits for the cluster to serve, then joins as a new member; it forms nothing."
        + (f" Not heard: {why_unheard(facts, silent)}." if silent else ""),
        would="take this volume as a new, blank disk",
    )
    return say(facts, "wait", "lost-waits", decision.reason, waits_for=(_for_quorum(facts),))


def _for_quorum(facts: Facts) -> str:
    return "a server that takes writes" if facts.traits.has_primary else "the cluster's quorum"


def _as_new(facts: Facts, rule: str) -> Decision:
    return say(facts, "renew", rule, "A person allowed it: this disk takes a new nonce.")


def _named(facts: Facts, missing: tuple[str, ...]) -> str:
    silent = tuple(pod for pod in missing if statement_of(facts, pod) is None)
    others = tuple(pod for pod in missing if pod not in silent)
    return "; ".join(part for part in (why_unheard(facts, silent), ", ".join(others)) if part) or "a quorum"


def born(facts: Facts) -> Decision | None:
    """When: the disk is born, blank, and no permit was ever given. One that makes the cluster alone has to be the one
    that does, and nobody else has data.
    Then: form, as all pods agreed.
    """
    record = facts.record
    if facts.disk.kind != "blank" or record.birth is None or record.permitted_wall is not None:
        return None
    if lost_to_another(facts) or formed_without(facts):
        return None
    if facts.traits.by_seed and (copies_the_seed(facts) or record.claim is not None or _others_have_data(facts)):
        return None
    return say(
        facts,
        "form",
        "born",
        f"All {len(record.birth.members)} pods were blank and agreed on birth {record.birth.token}: the cluster forms.",
        may_run=True,
    )


def claimed(facts: Facts) -> Decision | None:
    """When: a member id was added for this very disk, the cluster lists it, and its server never ran; or this disk is
    to join, and its server starts before it is added.
    Then: start with it.
    """
    claim = facts.record.claim
    if not empty(facts) or claim is None or not _claimed(facts) or facts.record.permitted_wall is not None:
        return None
    if not _claim_unstarted(facts):
        return None
    if facts.cluster.unresolved and facts.traits.admits == "listed-first":
        return say(
            facts,
            "wait",
            "claimed",
            f"Member {claim.member} was added for this disk. DNS does not know {', '.join(facts.cluster.unresolved)}, "
            "and a joining server stalls on a name that it cannot resolve.",
            waits_for=facts.cluster.unresolved,
            target=claim.member,
        )
    what = f"Member {claim.member} was added to cluster {claim.cluster} for this disk and never ran: it starts."
    if facts.traits.quorum_of:
        what = f"This disk joins cluster {claim.cluster}: its server starts."
    elif claim.voters:
        what = f"This disk takes its place among the voters of cluster {claim.cluster}: its server starts without data."
    elif facts.traits.has_primary:
        what = f"This disk joins cluster {claim.cluster}: it becomes a copy of the server that takes the writes."
    elif not claim.member:
        what = f"This disk joins cluster {claim.cluster}: its server starts as an observer and is added once in sync."
    return say(
        facts,
        "join",
        "claimed",
        what,
        may_run=True,
        target=claim.member,
    )
