"""What several rules ask of the facts, and how they say it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from peerboot.model import Decision, Evidence, Facts, Kind, LogEnd, Member, Standing, Statement

BY_DISKS = ("quorum-lost", "peers-disagree")
"""Refusals of what disks hold: which of the servers that have no quorum answers at the moment is no matter."""
ANSWER = ("servers answer without quorum", "no server answers")
DATA_KINDS = ("data", "bootstrap")
"""Disks with which a server starts by itself."""


def statement_of(facts: Facts, pod: str) -> Statement | None:
    """The first-hand word of one other pod, None when it has not been heard in this process."""
    evidence = facts.evidence.get(pod)
    return evidence.statement if evidence else None


def word_now(facts: Facts, pod: str) -> Statement | None:
    """What it said within the time for which a word counts, None else: an older one may be of before a restart."""
    evidence = facts.evidence.get(pod)
    if evidence is None or not evidence.fresh or facts.now - evidence.at > facts.limits.fresh:
        return None
    return evidence.statement


def is_wanted(facts: Facts, pod: str) -> bool:
    """Whether the StatefulSet wants a pod, as far as the API has said it. While the whole set goes nobody is scaled
    away.
    """
    live, ordinal = facts.live, facts.identity.ordinal_of(pod)
    if live.state != "known" or live.deleting or live.replicas == 0 or ordinal is None:
        return True
    return live.wants(ordinal)


def unheard(facts: Facts) -> tuple[str, ...]:
    """The expected other pods from which nothing was heard first hand."""
    return tuple(pod for pod in facts.identity.others if statement_of(facts, pod) is None)


def why_unheard(facts: Facts, pods: Iterable[str]) -> str:
    """``db-1 (not in DNS), db-2 (connection refused)``: each pod with what is known of its silence."""
    parts = []
    for pod in pods:
        evidence = facts.evidence.get(pod)
        sighting = facts.peers.sightings.get(pod)
        if sighting is None:
            answer = facts.peers.answer
            if answer is None:
                reason = "DNS was not asked yet"
            else:
                reason = f"DNS gives no answer: {answer.reason}" if answer.outcome == "unknown" else "not in DNS"
        else:
            reason = evidence.reason if evidence and evidence.reason else "not asked yet"
        parts.append(f"{pod} ({reason})")
    return ", ".join(parts)


def empty(facts: Facts) -> bool:
    """Whether the disk holds nothing a server could start with by itself."""
    return facts.disk.kind in ("blank", "interrupted", "partial")


def own_entry(facts: Facts) -> Member | None:
    """The cluster's entry for this Pod."""
    return facts.cluster.entry_of(facts.identity.pod)


def is_observer(facts: Facts, member: Member) -> bool:
    """Where servers start before they are added, one without a vote is no member, and there is nothing to remove."""
    return member.learner and facts.traits.admits == "started-first"


def another_service(facts: Facts) -> str:
    """What else may be wrong where the quorum is another set's: the name that leads to it."""
    theirs = facts.traits.quorum_of
    return f"another Service than that of its controllers ({theirs}), " if theirs else ""


def have_votes(facts: Facts) -> bool:
    """Whether the servers of this set vote, so that who is to go has to be taken out of a list."""
    return not facts.traits.quorum_of and not facts.traits.has_primary


def role_of(facts: Facts, *, learner: bool, leads: bool = False) -> str:
    """What a server of this set is, in one word."""
    if facts.traits.has_primary:
        return "primary" if leads else "standby"
    return "server" if facts.traits.quorum_of else "learner" if learner else "leader" if leads else "voter"


def listed_without_quorum(facts: Facts) -> tuple[Member, ...]:
    """The longest list that a server gives by itself."""
    return max((view.members for view in facts.cluster.views), key=len, default=())


def list_of(facts: Facts, cluster: str) -> tuple[Member, ...]:
    """The members of one cluster: its linearizable list, or while no quorum is seen the longest that a server gives."""
    if facts.cluster.quorum:
        return facts.cluster.members if facts.cluster.cluster == cluster else ()
    return max((view.members for view in facts.cluster.views if view.cluster == cluster), key=len, default=())


def lost_to_another(facts: Facts) -> bool:
    """A cluster has quorum that is not the one of this birth, or that does not list this Pod as never started."""
    if not facts.cluster.quorum:
        return False
    if facts.predicted_cluster and facts.cluster.cluster != facts.predicted_cluster:
        return True
    entry = own_entry(facts)
    return entry is None or entry.learner or entry.started


def formed_without(facts: Facts) -> bool:
    """Where servers start before they are added: the cluster that a birth leads to serves already, or another pod has
    its data. A disk that is late is then never formatted as what it was born as. That its entry never ran is known to
    the leader of the moment only, and it could be the id of a disk that did.
    """
    if facts.traits.admits != "started-first":
        return False
    words = (statement_of(facts, pod) for pod in facts.identity.others)
    ours = facts.predicted_cluster
    return facts.cluster.quorum or any(word and word.disk == "data" and word.cluster == ours != "" for word in words)


def in_range(facts: Facts) -> bool:
    """Whether this Pod ought to exist: by the live number of replicas where it is known, else by what is expected; true
    when neither is.
    """
    if facts.live.state == "known":
        return facts.live.wants(facts.identity.ordinal)
    return facts.identity.replicas is None or facts.identity.pod in facts.identity.expected


def replicas(facts: Facts) -> str:
    """The live number of replicas in words."""
    count = facts.live.replicas
    return "1 replica" if count == 1 else f"{count} replicas"


def quorum_of(voters: int) -> int:
    """The smallest majority."""
    return voters // 2 + 1


def healthy_voters(facts: Facts, without: str = "") -> tuple[Member, ...]:
    """Voters whose server serves by its own word, or by the word of its own peerboot."""
    return tuple(
        member
        for member in facts.cluster.members
        if not member.learner and member.id != without and is_serving(facts, member)
    )


def is_serving(facts: Facts, member: Member) -> bool:
    """Whether the member's own server, or its own peerboot a moment ago, says that it serves."""
    view = facts.cluster.view_of(member.pod) if member.pod else None
    if view is not None and view.healthy and view.member == member.id:
        return True
    evidence = facts.evidence.get(member.pod)
    return bool(
        # What was asked directly and did not answer does not serve, whatever was said of it before.
        member.pod not in facts.cluster.unreachable
        and evidence
        and evidence.statement
        and evidence.fresh
        and facts.now - evidence.at <= 4 * facts.limits.fresh
        and evidence.statement.serving
        and evidence.statement.member == member.id
    )


def stands_without(facts: Facts, member_id: str) -> bool:
    """Whether the voters that serve keep a majority after this member is removed."""
    if facts.traits.quorum_of:
        return facts.cluster.quorum
    if facts.traits.has_primary:
        own = facts.cluster.view_of(facts.identity.pod)
        return facts.cluster.quorum and not (own is not None and own.part is not None and own.part.writes)
    others = [m for m in facts.cluster.members if not m.learner and m.id != member_id]
    return bool(others) and len(healthy_voters(facts, without=member_id)) >= quorum_of(len(others))


def clusters_seen(facts: Facts) -> dict[str, tuple[str, ...]]:
    """Cluster ids of live servers and of peers' disks, each with the pods that say so."""
    seen: dict[str, list[str]] = {}
    for view in facts.cluster.views:
        if view.cluster and view.pod != facts.identity.pod:
            seen.setdefault(view.cluster, []).append(view.pod)
    for pod in facts.identity.others:
        word = statement_of(facts, pod)
        if word and word.cluster and word.disk in DATA_KINDS and pod not in seen.get(word.cluster, []):
            seen.setdefault(word.cluster, []).append(pod)
    return {cluster: tuple(sorted(pods)) for cluster, pods in sorted(seen.items())}


def own_cluster_holders(facts: Facts) -> int:
    """How many pods, this one included, hold data of this disk's cluster."""
    return 1 + len(clusters_seen(facts).get(facts.disk.cluster, ()))


def evidence_lines(facts: Facts) -> tuple[str, ...]:
    """Every piece of evidence without its age, so that the same evidence gives the same text."""
    disk = facts.disk
    own = f"{facts.identity.pod}: disk {disk.kind}" + (f" of cluster {disk.cluster}" if disk.cluster else "")
    if facts.record.birth:
        own += f", born {facts.record.birth.token}"
    asked = facts.cluster.only_here or facts.cluster.untold
    if disk.kind == "blank" and facts.record.nonce and not asked:
        # What may be lost is what a person consents to then, whichever nonce the disk takes next.
        own += f", nonce {facts.record.nonce}"
    lines = [own + _standing_line(facts, facts.standing) + _log_line(facts, disk.log_end)]
    if disk.lost:
        lines.append(f"{facts.identity.pod}: lost {', '.join(disk.lost)}")
        lines += [f"only there: {name}" for name in facts.cluster.only_here]
        lines += [f"only there: {facts.cluster.untold}"] if facts.cluster.untold else []
    beyond = sorted(set(facts.evidence) - {*facts.identity.others, facts.identity.pod})
    for pod in (*facts.identity.others, *beyond):
        word = statement_of(facts, pod)
        if word is None:
            lines.append(f"{pod}: unknown")
            continue
        text = f"{pod}: disk {word.disk}" + (f" of cluster {word.cluster}" if word.cluster else "")
        text += (f", born {word.token}" if word.token else "") + (", serving" if word.serving else "")
        lines.append(text + _standing_line(facts, word.standing) + _log_line(facts, word.log_end))
        lines[-1] += _silence_line(facts, facts.evidence[pod])
    if facts.traits.has_primary:
        writing = [v.pod for v in facts.cluster.views if v.part is not None and v.part.writes]
        lines.append(f"servers that take writes: {', '.join(sorted(writing)) or 'none'}")
    elif facts.cluster.quorum:
        lines.append(f"cluster {facts.cluster.cluster} has quorum with {len(facts.cluster.members)} members")
        lines += [
            f"member {m.id} {m.name or '(never started)'} {'learner' if m.learner else 'voter'} {','.join(m.peer_urls)}"
            for m in facts.cluster.members
        ]
    elif facts.cluster.views:
        lines.append("servers answer without quorum: " + ", ".join(sorted(v.pod for v in facts.cluster.views)))
    else:
        lines.append("no server answers")
    return tuple(lines)


def _standing_line(facts: Facts, standing: Standing | None) -> str:
    """How far a disk is, where nobody takes writes: else it moves all the time, and no consent would last."""
    if standing is None or facts.cluster.quorum or not facts.traits.has_primary:
        return ""
    return f", timeline {standing.term} at {standing.position}"


def _log_line(facts: Facts, end: LogEnd | None) -> str:
    """Where a log ends that cannot grow, where it counts whose goes furthest."""
    if end is None or facts.cluster.quorum or not facts.traits.forces:
        return ""
    return f", log up to term {end.term}, index {end.index}"


def _silence_line(facts: Facts, evidence: Evidence) -> str:
    """Where a word counts for a while only: that this one does not. Who goes past a silent pod has to know it."""
    if facts.cluster.quorum or not facts.traits.has_primary:
        return ""
    return "" if evidence.fresh and facts.now - evidence.at <= facts.limits.fresh else ", silent now"


def consent_nonce(facts: Facts, rule: str) -> str:
    """The nonce over the exact evidence of one refusal: other evidence, other nonce."""
    lines = evidence_lines(facts)
    if rule in BY_DISKS:
        lines = tuple(line for line in lines if not line.startswith(ANSWER))
    text = "\n".join((rule, facts.identity.namespace, facts.identity.pod, *lines))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def allowed(facts: Facts, rule: str) -> bool:
    """Whether a person has allowed this refusal on this evidence."""
    return consent_nonce(facts, rule) in facts.consents


def say(
    facts: Facts,
    kind: Kind,
    rule: str,
    reason: str,
    *,
    waits_for: tuple[str, ...] = (),
    may_run: bool = False,
    target: str = "",
) -> Decision:
    """A decision with the evidence of these facts."""
    return Decision(
        kind=kind,
        rule=rule,
        reason=reason,
        evidence=evidence_lines(facts),
        waits_for=waits_for,
        may_run=may_run,
        target=target,
    )


def with_remark(remark: str) -> str:
    """A further sentence behind a reason, if there is one."""
    return f" {remark}" if remark else ""


def refuse(facts: Facts, rule: str, reason: str, would: str = "") -> Decision:
    """A refusal; with ``would`` a person may allow what it names, once, on this evidence."""
    nonce = consent_nonce(facts, rule) if would else ""
    if would:
        reason += f" If you know better: `peerboot consent {nonce}` would {would}."
    return Decision(
        kind="refuse",
        rule=rule,
        reason=reason,
        evidence=evidence_lines(facts),
        consent=nonce,
        would=would,
        exit_code=5,
    )
