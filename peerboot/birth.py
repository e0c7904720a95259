"""The birth rule: when blank disks may become a cluster, and when a birth came to nothing. Pure.

A pod is born into token T only if its own disk is blank and, in the lifetime of this process and of its disk nonce,
it has heard *itself* from every other expected pod either ``blank(nonce)`` or ``born(T)``, where T is the hash of
exactly those nonces and its own. Hearsay never counts: to adopt a peer's birth because it names my nonce lets two
clusters exist (0 and 1 form; 0 loses its disk; 2 still believes that 1 is blank and is born with the new 0; 0 adopts
that birth from 2).

``tests/birth`` explores these very functions over every interleaving of two and three pods. Safety never rests on
ages: words may be as old as the process. Fresh words are asked for only so that pods do not agree on disks that are
gone by now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal

from peerboot.model import SCHEMA, Birth, Evidence, Facts, Identity, Statement, Value

TOKEN_LABEL = "peerboot-birth-1"  # noqa: S105 - a label that everybody may know
"""Inside the hash: another way of making tokens must never make an equal one."""

EMPTY_KINDS = ("blank", "interrupted", "bootstrap")
"""Disks that hold nothing that anybody was ever told."""


class Verdict(Value, frozen=True, kw_only=True):
    """Whether this disk may be born now, and if not, why."""

    kind: Literal["born-now", "as-recorded", "wait", "never"]
    """``wait``: more must be heard. ``never``: a cluster exists or existed; this disk has to join it."""
    birth: Birth | None = None
    """What to make durable (``born-now``) or what lies on the disk already (``as-recorded``)."""
    missing: tuple[str, ...] = ()
    """Pods whose word is missing, too old or does not fit; this Pod too when its own disk is in the way."""
    why: Mapping[str, str] = {}
    """Why, by pod, of all that are missing or block."""
    blockers: tuple[str, ...] = ()
    """For ``never``: the pods that show that a cluster exists or existed."""


class Renewal(Value, frozen=True, kw_only=True):
    """Whether a birth came to nothing, so that this disk may take a new nonce."""

    kind: Literal["renew", "wait", "no"]
    """``wait``: more must be heard. ``no``: this disk is not one to renew (it runs, or holds data, or was never
    born), or enough pods can still bring the birth up as they are."""
    missing: tuple[str, ...] = ()
    why: Mapping[str, str] = {}
    """Why, by pod: of the missing ones, or for ``no`` of those that can still bring the birth up."""


Formers = Callable[[Identity, frozenset[str]], bool]
"""Whether these pods together can bring up a cluster that all expected pods were born into."""


def by_majority(identity: Identity, pods: frozenset[str]) -> bool:
    """Quorum systems: more than half of the expected pods are enough."""
    return len(pods) > (identity.replicas or 0) // 2


def by_seed(identity: Identity, pods: frozenset[str]) -> bool:
    """Seed systems: the lowest expected ordinal is needed and enough."""
    return bool(identity.expected) and identity.expected[0] in pods


def token_of(nonces: Mapping[str, str]) -> str:
    """The token of a birth: a hash over the sorted (pod, nonce) pairs, 32 hex digits.

    Every part is written with its length before it, so that no two different sets read alike.
    """
    digest = hashlib.sha256(TOKEN_LABEL.encode())
    for pod, nonce in sorted(nonces.items()):
        digest.update(f"{len(pod)}:{pod}={len(nonce)}:{nonce};".encode())
    return digest.hexdigest()[:32]


def may_be_born(facts: Facts) -> Verdict:
    """Law 2, for this Pod's disk and the first-hand words of this process.

    Nothing here looks at DNS or at servers: a pod that is absent from DNS is a pod that has not been heard.
    """
    identity, record = facts.identity, facts.record
    if record.birth is not None:
        return Verdict(kind="as-recorded", birth=record.birth)
    waits, blocks, nonces, tokens = _own_disk(facts), {}, {identity.pod: record.nonce}, {}
    if record.seal is not None:
        blocks[identity.pod] = f"its volume was a member of cluster {record.seal.cluster}"
    for pod in identity.others:
        word, reason = _word_of(facts, pod)
        if word is None:
            waits[pod] = reason
        elif block := _cluster_on(word):
            blocks[pod] = block
        elif reason := _disagrees(facts, facts.evidence[pod], word) or _unclear(word):
            waits[pod] = reason
        else:
            nonces[pod] = word.nonce
            if word.token:
                tokens[pod] = word.token
    blocks |= _beyond(facts)
    if not waits and not blocks:
        token = token_of(nonces)
        blocks = {pod: f"it was born into {other}, not into {token}" for pod, other in tokens.items() if other != token}
        if not blocks:
            return Verdict(kind="born-now", birth=Birth(token=token, members=nonces))
    kind: Literal["never", "wait"] = "never" if blocks else "wait"
    return Verdict(kind=kind, missing=tuple(waits), why={**blocks, **waits}, blockers=tuple(blocks))


def _own_disk(facts: Facts) -> dict[str, str]:
    """Why this Pod may not be born whatever the others say, by its name; empty when it may."""
    identity, record, disk = facts.identity, facts.record, facts.disk
    reason = ""
    if identity.replicas is None:
        reason = "PEERBOOT_REPLICAS is not set"
    elif identity.pod not in identity.expected:
        reason = f"it is not one of the {identity.replicas} expected pods from ordinal {identity.start}"
    elif disk.kind != "blank":
        reason = f"its disk is {disk.kind}"
    elif record.problem or record.foreign or not record.nonce:
        reason = "its disk is not known to be blank"
    elif disk.running or record.permitted_wall is not None:
        reason = "a server may have run on its disk"
    elif facts.twin:
        reason = f"another process answers under its name ({facts.twin})"
    else:
        clones = [pod for pod in identity.others if (word := _word_of(facts, pod)[0]) and word.nonce == record.nonce]
        if clones:
            reason = f"its disk nonce is also that of {', '.join(clones)}: one volume is a clone"
    return {identity.pod: reason} if reason else {}


def _beyond(facts: Facts) -> dict[str, str]:
    """What shows that a cluster exists or existed on pods of this set that are not, or no longer, expected, by name.

    They have no vote, so their silence means nothing; but the data of a set that was larger once lies with them.
    """
    found = {}
    for pod in sorted(set(facts.evidence) - {*facts.identity.expected, facts.identity.pod}):
        word, _ = _word_of(facts, pod)
        if word is not None and (held := _cluster_on(word) or (word.token and f"it was born into {word.token}")):
            found[pod] = held
    return found


def _word_of(facts: Facts, pod: str) -> tuple[Statement | None, str]:
    """What another pod of this set said itself, else why there is nothing that could count."""
    evidence = facts.evidence.get(pod)
    word = evidence.statement if evidence is not None else None
    if evidence is None or word is None:
        return None, (evidence.reason if evidence is not None else "") or "not heard yet"
    if evidence.at <= facts.nonce_at:
        # A renewed disk is a new one, and what was heard dies with the old: the others may have gone on since.
        return None, "not heard since this disk took its nonce"
    identity = facts.identity
    ours = (identity.namespace, identity.service, identity.statefulset, identity.system, pod)
    theirs = (word.namespace, word.service, word.statefulset, word.system, word.pod)
    if word.schema != SCHEMA:
        return None, f"it speaks census schema {word.schema}, this Pod {SCHEMA}"
    if ours != theirs:
        return None, f"it speaks for {'/'.join(theirs)}, not for {'/'.join(ours)}"
    return word, ""


def _cluster_on(word: Statement) -> str:
    """What shows that a cluster exists or existed on the speaker's disk, empty when nothing does.

    A disk with a token is judged by the token: data of the very T that is being born is no other cluster.
    """
    if word.token or word.disk == "unknown":
        return ""
    if word.disk == "blank":
        return f"its volume was a member of cluster {word.cluster}" if word.cluster else ""
    return f"its disk holds {word.disk}" + (f" of cluster {word.cluster}" if word.cluster else "")


def _disagrees(facts: Facts, evidence: Evidence, word: Statement) -> str:
    """Why nothing can be agreed with the speaker now, empty when it can."""
    identity = facts.identity
    if word.replicas != identity.replicas:
        return f"it expects {_pods(word.replicas)}, this Pod {_pods(identity.replicas)}"
    if word.start != identity.start:
        return f"its ordinals start at {word.start}, this Pod's at {identity.start}"
    if word.fingerprint != facts.fingerprint:
        return "its settings for the cluster (ports, host names, TLS) differ from this Pod's"
    if facts.now - evidence.at > facts.limits.fresh:
        return f"its last word is older than {facts.limits.fresh:g} s" + (
            f" ({evidence.reason})" if evidence.reason else ""
        )
    return ""


def _pods(replicas: int | None) -> str:
    return "an unknown number of pods" if replicas is None else f"{replicas} pods"


def _unclear(word: Statement) -> str:
    """Why a word says neither ``blank(nonce)`` nor ``born(T)``, empty when it says one of them."""
    if word.disk == "unknown" or not word.nonce:
        return "its disk is unknown"
    if not word.token and (word.permitted or word.running):
        return "a server may have run on its disk"
    return ""


def all_born(facts: Facts) -> tuple[str, ...]:
    """The expected pods that have not yet said themselves that they are born into this birth, or in its cluster.

    Empty when all have, or when this disk is not born. Until then this Pod must keep answering (an ``init`` must not
    exit), because those that are not born yet need its first-hand word. One that says that its disk is another now
    than the one that the birth names can never be born into it, and needs no word.
    """
    born = facts.record.birth
    if born is None:
        return ()
    waiting = []
    for pod in facts.identity.others:
        word, _ = _word_of(facts, pod)
        same = word is not None and (
            word.token == born.token
            or (word.disk == "data" and word.cluster != "" and word.cluster == facts.predicted_cluster)
            or (word.disk != "unknown" and word.nonce not in ("", born.members.get(pod)))
        )
        if not same:
            waiting.append(pod)
    return tuple(waiting)


def may_renew(facts: Facts, formers: Formers | None = None) -> Renewal:
    """Whether this disk's birth came to nothing: no cluster serves, every expected pod says itself that its disk
    holds nothing beyond a bootstrap, and too few of them could still bring the birth up as they are.

    A renewed disk is a new disk. So before it takes its new nonce the permit is taken back and what was begun is moved
    aside under the server's lock.
    """
    identity, record, disk = facts.identity, facts.record, facts.disk
    birth = record.birth
    if birth is None or disk.running or disk.kind not in EMPTY_KINDS or record.foreign or record.problem:
        return Renewal(kind="no")
    if record.seal is not None or facts.cluster.quorum or any(view.healthy for view in facts.cluster.views):
        return Renewal(kind="no")
    if disk.kind == "blank" and facts.permit == "first":
        return Renewal(kind="no", why={identity.pod: "its server is about to start"})
    if set(birth.members) != set(identity.expected):
        why = f"its birth is of {len(birth.members)} pods, not of the {identity.replicas or 'unknown'} expected now"
        return Renewal(kind="wait", missing=(identity.pod,), why={identity.pod: why})
    starts = disk.kind == "bootstrap" or (disk.kind == "blank" and record.permitted_wall is None)
    waits: dict[str, str] = _beyond(facts)
    able = {identity.pod} if starts else set()
    words: dict[str, Statement] = {}
    for pod in identity.others:
        word, reason = _word_of(facts, pod)
        if word is None or (reason := holds_something(word) or _disagrees(facts, facts.evidence[pod], word)):
            waits[pod] = reason
        else:
            words[pod] = word
    if waits:
        return Renewal(kind="wait", missing=tuple(waits), why=waits)
    # While every disk that the birth names is still there, those that are not born yet will be.
    if all(word.nonce == birth.members.get(pod) and word.token in ("", birth.token) for pod, word in words.items()):
        able |= {pod for pod, word in words.items() if not word.token}
    able |= {pod for pod, word in words.items() if word.token == birth.token and _can_go_on(word)}
    same = {pod: word for pod, word in words.items() if word.token == birth.token}
    if any(word.disk == "bootstrap" and word.running for word in same.values()):
        # A server that runs with its bootstrap feeds those that were cut off: they can start, and vote for it.
        able |= {pod for pod, word in same.items() if word.disk == "interrupted"}
        able |= {identity.pod} if disk.kind == "interrupted" else set()
    formers = formers or (by_seed if facts.traits.by_seed else by_majority)
    if formers(identity, frozenset(able)):
        return Renewal(kind="no", why=dict.fromkeys(sorted(able), "it can still bring the birth up"))
    return Renewal(kind="renew")


def holds_something(word: Statement) -> str:
    """Why the speaker does not say that its disk holds nothing, empty when it says so."""
    if word.serving:
        return "its server serves"
    if word.disk not in EMPTY_KINDS:
        return "its disk is unknown" if word.disk == "unknown" else f"its disk holds {word.disk}"
    if word.disk == "blank" and word.cluster:
        return f"its volume was a member of cluster {word.cluster}"
    return ""


def _can_go_on(word: Statement) -> bool:
    """Whether a born pod can still take its part in bringing its birth up: its server never started, or is about to,
    or runs, or has started and can start again.
    """
    never_started = word.disk == "blank" and not word.permitted
    return never_started or word.disk == "bootstrap" or word.running or word.decision == "form"
