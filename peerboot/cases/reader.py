"""The little language of ``cases/*.txt``: facts above ``----``, decision and actions below, prose in comments.

Facts, one a line (order does not matter, what is not said is absent):

    self db-1 of 3 [start=0]            this Pod; ``of ?`` when replicas are not told
    in prod/db [service=peers] [domain=cluster.local]     namespace and StatefulSet, where they are others
    disk data cluster=c1 member=m1 [running] [unlogged] [for=40] [reason="…"] [warning="…"] [lost=/l1,/l2]
         [voters=db-0,db-1,db-2] [log=3@4711]
    record nonce=n1 [born=n0,n1,n2] [permitted] [seal=c1/m1] [claim=c1/m9] [former=n0,n1,n2]
           [foreign="…"] [problem="…" [torn | unwritten]] [sealed-voters=db-0,db-1,db-2] [claim-voters=db-0,db-1,db-2]
           [forced=c1/m1 log=3@4711 [forced-of=db-0/m0,db-1/m1] [copied] [given]]
    permit first                        absent (default), first, resume, withdrawn
    peer db-0 blank nonce=n0 [born=n0,n1,n2] [permitted] [serving] [running] [cluster=c1] [member=m0] [age=3] [of=5]
           [turn=1] [log=3@4711] [stood=40] [silent]    silent: it does not answer any more
    peer db-0 unknown reason="…"        heard of in DNS, but no word
    dns found                           the last answer: found (this Pod too), absent, or unknown with its reason
    server db-0 cluster=c1 member=m0 [healthy] [leader] [learner] [applied=9] [closed] [why="…"] [complete]
    quorum c1 [fixed]                   a linearizable list was obtained; ``member`` lines are it
    member m0 db-0 [learner] [unstarted] [url=http://…]
    anchor holds=n0,n1,n2 [undo="…"] [at=20260102T030405Z] | empty [older="…"] | unknown="…"
    twin "…"     hold "why"     removal db-2     stalled m2     unresolved HOST     unreachable db-2
    live 3 [start=0] [pods=3] [unsettled] [deleting] [ordered] [claims] [age=1] | unknown="…"
    registered db-3 3 ["holds" "remedy"]    a server that is gone and that the cluster has registered still
    looked no     allowed     observe     stopping [turn=1]     unmanaged "…"     elsewhere "…"
    only-here told-0 orders-3           the last good copies of these were on this disk; ``untold "…"``: nobody can tell
    undone "..."                        why the copy of the data was not made
    asked-for /logs                     what was lost when that was asked; ``soon "…"``: nobody noticed it yet
    rescue "…"                          how a person makes other copies count
    quorum-of SERVICE                   this set's servers have no vote: the quorum is that of another set
    kept "9 partitions" [alone=told-0] [more=2] [unsynced=told-1] | untold="…"    what this Pod's server has copies of
    copies orders-3 [more=2] [in=db-0,db-2] [behind=db-1] [least=2]
    copies-untold "…"                   why that is not known
    fixed                               PEERBOOT_KAFKA_QUORUM=static
    stands etcd.yaml                    peerboot's own files that hold what the plan would write
    set cluster/views/0/version '"3.6"'     any one value, as JSON, by its path; ``unset PATH``: a key that is not there

``primary.py`` has what is about who takes the writes, ``writer.py`` writes all of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from peerboot.cases import ends, paths, primary
from peerboot.cases.plans import with_standing
from peerboot.cases.servers import cluster_of
from peerboot.cases.words import NOW, birth_of, pods, url_of, words
from peerboot.decide import decide
from peerboot.model import (
    Anchor,
    Answer,
    Claim,
    Disk,
    Evidence,
    Facts,
    Hold,
    Identity,
    LearnerTrack,
    Live,
    PeerSet,
    Record,
    Removal,
    Seal,
    Sighting,
    Statement,
    Traits,
)
from peerboot.systems.etcd.spec import Etcd
from peerboot.systems.kafka.prepared import Kafka
from peerboot.systems.postgres.prepared import Postgres

TRAITS = {"etcd": Etcd.traits, "kafka": Kafka.traits, "postgres": Postgres.traits}


def traits_of(system: str) -> Traits:
    """Those of a system's default settings; of one that peerboot does not bring, etcd's."""
    return TRAITS.get(system, Traits())


def parse(text: str, system: str = "etcd") -> Facts:
    """Facts of one case of a system; raises ``ValueError`` for a line that it does not know."""
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    by_word: dict[str, list[list[str]]] = {}
    for parts in filter(None, lines):
        by_word.setdefault(parts[0], []).append(parts[1:])
    identity = _identity(by_word.pop("self")[0], by_word.pop("in", [["prod/db"]])[0], system)
    values: dict[str, Any] = {
        "now": NOW,
        "identity": identity,
        "started_at": 900.0,
        "own_urls": (url_of(identity, identity.pod),) if system == "etcd" else (),
        "traits": traits_of(system),
    }
    if elsewhere := by_word.pop("quorum-of", None):
        values["traits"] = msgspec.structs.replace(traits_of(system), quorum_of=elsewhere[0][0])
    if by_word.pop("fixed", None) is not None:
        values["traits"] = msgspec.structs.replace(traits_of(system), fixed=True)
    values["disk"] = _disk(by_word.pop("disk", [["blank"]])[0])
    values["record"] = _record(identity, by_word.pop("record", [["nonce=n" + str(identity.ordinal)]])[0])
    permit = by_word.pop("permit", [["absent"]])[0][0]
    values["permit"] = "absent" if permit == "withdrawn" else permit
    values["permit_was_given"] = permit != "absent"
    sightings, evidence = _peers(identity, by_word.pop("peer", []))
    dns = by_word.pop("dns", None)
    answer = Answer(outcome=dns[0][0], reason=" ".join(dns[0][1:])) if dns else None  # type: ignore[arg-type]
    if answer is not None and answer.outcome == "found":
        own = Sighting(pod=identity.pod, port=7070, addresses=("10.0.0.9",), first_at=900.0, last_at=NOW)
        sightings = {**sightings, identity.pod: own}
    values["peers"] = PeerSet(sightings=sightings, answer=answer)
    values["evidence"] = evidence
    values["cluster"] = cluster_of(identity, by_word)
    values |= _rest(identity, by_word)
    values["mode"] = "manage" if by_word.pop("observe", None) is None else "observe"
    allowed = by_word.pop("allowed", None) is not None
    changes = {word: by_word.pop(word, []) for word in ("set", "unset")}
    stands = [name for row in by_word.pop("stands", []) for name in row]
    facts = primary.add_to(Facts(**values), by_word)
    if by_word:
        raise ValueError(f"unknown lines: {sorted(by_word)}")
    if any(changes.values()):
        facts = paths.changed(facts, changes["set"], changes["unset"])
    if stands:
        facts = with_standing(facts, stands)
    if allowed:
        refused = decide(facts)
        facts = msgspec.structs.replace(facts, consents=frozenset({refused.consent or nonce_in(refused.reason)}))
    return facts


def nonce_in(reason: str) -> str:
    """The consent that a reason asks for, empty for none."""
    return reason.partition("peerboot consent ")[2].partition("`")[0]


def _identity(parts: list[str], place: list[str], system: str) -> Identity:
    plain, keys = words(parts)
    pod, count = plain[0], plain[2]
    (where, *_), places = words(place)
    namespace, _, statefulset = where.partition("/")
    return Identity(
        namespace=namespace,
        service=places.get("service", "peers"),
        statefulset=statefulset,
        pod=pod,
        ordinal=int(pod.rpartition("-")[2]),
        system=system,
        domain=places.get("domain", "cluster.local"),
        start=int(keys.get("start", 0)),
        replicas=None if count == "?" else int(count),
    )


def _disk(parts: list[str]) -> Disk:
    plain, keys = words(parts)
    kind: Any = plain[0]
    return Disk(
        kind=kind,
        cluster=keys.get("cluster", ""),
        member=keys.get("member", ""),
        running="running" in plain,
        reason=keys.get("reason", ""),
        warning=keys.get("warning", ""),
        logged="unlogged" not in plain,
        led="led" in plain,
        end=primary.standing(keys["end"]) if "end" in keys else None,
        forks=primary.forks(keys),
        making="making" in plain,
        term=ends.place(keys)[0] if "log" in keys else int(keys.get("tl", 0)),
        index=ends.place(keys)[1],
        lost=tuple(keys["lost"].split(",")) if "lost" in keys else (),
        voters=pods(keys["voters"]) if "voters" in keys else None,
        since=NOW - float(keys.get("for", 100)),
    )


def _pair(text: str) -> tuple[str, str]:
    cluster, _, member = text.partition("/")
    return cluster, member


def _record(identity: Identity, parts: list[str]) -> Record:
    plain, keys = words(parts)
    seal, claim = keys.get("seal"), keys.get("claim")
    nonce = keys.get("nonce", "")
    sealed = pods(keys["sealed-voters"]) if "sealed-voters" in keys else None
    claimed = pods(keys.get("claim-voters", ""))
    return Record(
        nonce=nonce,
        birth=birth_of(identity, keys["born"]) if "born" in keys else None,
        permitted_wall=1.0 if "permitted" in plain else None,
        seal=Seal(cluster=_pair(seal)[0], member=_pair(seal)[1], voters=sealed) if seal else None,
        claim=Claim(cluster=_pair(claim)[0], member=_pair(claim)[1], nonce=nonce, voters=claimed) if claim else None,
        former=(birth_of(identity, keys["former"]).token,) if "former" in keys else (),
        forced=ends.forced(identity, keys, plain),
        foreign=keys.get("foreign", ""),
        elsewhere=keys.get("elsewhere", ""),
        problem=keys.get("problem", ""),
        torn="torn" in plain,
        unwritten="unwritten" in plain,
        crown=int(keys.get("crown", 0)),
        let_go=int(keys.get("let-go", 0)),
        intent=primary.intent(keys, plain),
    )


def _peers(identity: Identity, rows: list[list[str]]) -> tuple[Mapping[str, Sighting], Mapping[str, Evidence]]:
    sightings, evidence = {}, {}
    for parts in rows:
        plain, keys = words(parts)
        pod, kind = plain[0], plain[1]
        at = NOW - float(keys.get("age", 1))
        sightings[pod] = Sighting(pod=pod, port=7070, addresses=("10.0.0.1",), first_at=900.0, last_at=at)
        if kind == "unknown":
            evidence[pod] = Evidence(pod=pod, at=at, reason=keys.get("reason", ""))
            continue
        disk: Any = kind
        word = Statement(
            namespace=identity.namespace,
            service=identity.service,
            statefulset=identity.statefulset,
            system=identity.system,
            pod=pod,
            boot=f"boot-{pod}",
            replicas=int(keys["of"]) if "of" in keys else identity.replicas,
            start=identity.start,
            disk=disk,
            nonce=keys.get("nonce", f"n{pod.rpartition('-')[2]}"),
            permitted="permitted" in plain,
            token=birth_of(identity, keys["born"]).token if "born" in keys else "",
            cluster=keys.get("cluster", ""),
            member=keys.get("member", ""),
            serving="serving" in plain,
            running="running" in plain,
            turn=int(keys.get("turn", 0)),
            decision=keys.get("decision", ""),
            fingerprint=keys.get("settings", ""),
            log_end=ends.end(keys),
            stood=float(keys.get("stood", 0)),
            **primary.of_a_word(keys, plain),
        )
        evidence[pod] = Evidence(pod=pod, at=at, statement=word, fresh="silent" not in plain)
    return sightings, evidence


def _rest(identity: Identity, by_word: dict[str, list[list[str]]]) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if anchor := by_word.pop("anchor", None):
        _, keys = words(anchor[0])
        if "holds" in keys:
            token = birth_of(identity, keys["holds"]).token
            undo = keys.get("undo", "")
            where = "ConfigMap db-anchor" if undo else "/anchor/birth.json"
            rest["anchor"] = Anchor(state="holds", token=token, at=keys.get("at", ""), where=where, undo=undo)
        elif "unknown" in keys:
            rest["anchor"] = Anchor(state="unknown", reason=keys["unknown"])
        else:
            rest["anchor"] = Anchor(state="empty", where="/anchor/birth.json", older=keys.get("older"))
    if twin := by_word.pop("twin", None):
        rest["twin"] = twin[0][0]
    if hold := by_word.pop("hold", None):
        rest["holds"] = (Hold(id="h1", scope="pod", who="ann", why=hold[0][0], made_wall=1.0),)
    rest["removals"] = tuple(Removal(pod=row[0], who="ann", at=990.0) for row in by_word.pop("removal", []))
    rest["learners"] = {
        row[0]: LearnerTrack(member=row[0], since=100.0, moved_at=100.0) for row in by_word.pop("stalled", [])
    }
    rest["undone"] = by_word.pop("undone", [[""]])[0][0]
    rest["looked"] = by_word.pop("looked", [["yes"]])[0][0] != "no"
    stopping = by_word.pop("stopping", None)
    rest["stopping"] = stopping is not None
    rest["turn"] = int(words(stopping[0])[1].get("turn", 1)) if stopping else 0
    if live := by_word.pop("live", None):
        rest["live"] = _live(live[0])
    if predicted := by_word.pop("predicted", None):
        rest["predicted_cluster"] = predicted[0][0]
    return rest


def _live(parts: list[str]) -> Live:
    plain, keys = words(parts)
    if "unknown" in keys:
        return Live(state="unknown", reason=keys["unknown"])
    count = int(plain[0])
    return Live(
        state="known",
        replicas=count,
        start=int(keys.get("start", 0)),
        pods=int(keys.get("pods", count)),
        settled="unsettled" not in plain,
        deleting="deleting" in plain,
        ordered="ordered" in plain,
        claims=("data",) if "claims" in plain else (),
        at=NOW - float(keys.get("age", 1)),
    )
