"""The little language of ``cases/*.txt``: facts above ``----``, decision and actions below, prose in comments.

Facts, one a line (order does not matter, what is not said is absent):

    self db-1 of 3 [start=0]            this Pod; ``of ?`` when replicas are not told
    disk data cluster=c1 member=m1 [running] [unlogged] [for=40] [reason="…"] [warning="…"] [lost=/l1,/l2]
         [voters=db-0,db-1,db-2] [log=3@4711]
    record nonce=n1 [born=n0,n1,n2] [permitted] [seal=c1/m1] [claim=c1/m9] [former=n0,n1,n2]
           [foreign="…"] [problem="…" [torn | unwritten]] [sealed-voters=db-0,db-1,db-2] [claim-voters=db-0,db-1,db-2]
           [forced=c1/m1 log=3@4711 [forced-of=db-0,db-1,db-2] [copied] [given]]
    permit first                        absent (default), first, resume, withdrawn
    peer db-0 blank nonce=n0 [born=n0,n1,n2] [permitted] [serving] [running] [cluster=c1] [member=m0] [age=3] [of=5]
           [turn=1] [log=3@4711] [silent]    silent: it does not answer any more
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

``primary_text.py`` has what is about who takes the writes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from peerboot.birth import token_of
from peerboot.decide import decide
from peerboot.model import (
    Anchor,
    Answer,
    Birth,
    Claim,
    ClusterView,
    Copies,
    Disk,
    Evidence,
    Facts,
    Forced,
    Hold,
    Identity,
    Kept,
    LearnerTrack,
    Live,
    LogEnd,
    Member,
    PeerSet,
    Record,
    Registration,
    Removal,
    Seal,
    ServerView,
    Sighting,
    Statement,
)
from peerboot.systems.etcd.spec import Etcd
from peerboot.systems.kafka.prepared import Kafka
from peerboot.systems.postgres.prepared import Postgres
from tests.cases import primary_text

NOW = 1000.0
TRAITS = {"etcd": Etcd.traits, "kafka": Kafka.traits, "postgres": Postgres.traits}


def _words(parts: list[str]) -> tuple[list[str], dict[str, str]]:
    plain = [part for part in parts if "=" not in part]
    return plain, dict(part.split("=", 1) for part in parts if "=" in part)


def _birth(start: int, nonces: str) -> Birth:
    members = {f"db-{start + i}": nonce for i, nonce in enumerate(nonces.split(","))}
    return Birth(token=token_of(members), members=members)


def parse(text: str, system: str = "etcd") -> Facts:
    """Facts of one case of a system; raises ``ValueError`` for a line that it does not know."""
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    by_word: dict[str, list[list[str]]] = {}
    for parts in filter(None, lines):
        by_word.setdefault(parts[0], []).append(parts[1:])
    identity = msgspec.structs.replace(_identity(by_word.pop("self")[0]), system=system)
    values: dict[str, Any] = {
        "now": NOW,
        "identity": identity,
        "started_at": 900.0,
        "own_urls": (url_of(identity, identity.pod),) if system == "etcd" else (),
        "traits": TRAITS[system],
    }
    if elsewhere := by_word.pop("quorum-of", None):
        values["traits"] = msgspec.structs.replace(TRAITS[system], quorum_of=elsewhere[0][0])
    if by_word.pop("fixed", None) is not None:
        values["traits"] = msgspec.structs.replace(TRAITS[system], fixed=True)
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
    values["cluster"] = _cluster(identity, by_word)
    values |= _rest(identity, by_word)
    values["mode"] = "manage" if by_word.pop("observe", None) is None else "observe"
    allowed = by_word.pop("allowed", None) is not None
    facts = primary_text.add_to(Facts(**values), by_word)
    if by_word:
        raise ValueError(f"unknown lines: {sorted(by_word)}")
    if allowed:
        refused = decide(facts)
        facts = msgspec.structs.replace(facts, consents=frozenset({refused.consent or _nonce_in(refused.reason)}))
    return facts


def _nonce_in(reason: str) -> str:
    return reason.partition("peerboot consent ")[2].partition("`")[0]


def url_of(identity: Identity, pod: str) -> str:
    """The peer URL of a pod as the cases' cluster lists it."""
    return f"http://{identity.name_of(pod)}:2380"


def _identity(parts: list[str]) -> Identity:
    plain, keys = _words(parts)
    pod, count = plain[0], plain[2]
    return Identity(
        namespace="prod",
        service="peers",
        statefulset="db",
        pod=pod,
        ordinal=int(pod.rpartition("-")[2]),
        system="etcd",
        domain="cluster.local",
        start=int(keys.get("start", 0)),
        replicas=None if count == "?" else int(count),
    )


def _disk(parts: list[str]) -> Disk:
    plain, keys = _words(parts)
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
        end=primary_text.standing(keys["end"]) if "end" in keys else None,
        forks=primary_text.forks(keys),
        making="making" in plain,
        term=_log(keys)[0] if "log" in keys else int(keys.get("tl", 0)),
        index=_log(keys)[1],
        lost=tuple(keys["lost"].split(",")) if "lost" in keys else (),
        voters=_pods(keys["voters"]) if "voters" in keys else None,
        since=NOW - float(keys.get("for", 100)),
    )


def _log(keys: Mapping[str, str]) -> tuple[int, int]:
    term, _, index = keys.get("log", "0@0").partition("@")
    return int(term), int(index)


def _forced(identity: Identity, keys: Mapping[str, str], plain: list[str]) -> Forced | None:
    if "forced" not in keys:
        return None
    cluster, member = _pair(keys["forced"])
    end = LogEnd(term=_log(keys)[0], index=_log(keys)[1])
    copy = f"member.before-force-{end.term}-{end.index}" if "copied" in plain else ""
    voters = _pods(keys["forced-of"]) if "forced-of" in keys else identity.expected
    return Forced(cluster=cluster, member=member, end=end, voters=voters, copy=copy, given="given" in plain)


def _pods(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _pair(text: str) -> tuple[str, str]:
    cluster, _, member = text.partition("/")
    return cluster, member


def _record(identity: Identity, parts: list[str]) -> Record:
    plain, keys = _words(parts)
    seal, claim = keys.get("seal"), keys.get("claim")
    nonce = keys.get("nonce", "")
    sealed = _pods(keys["sealed-voters"]) if "sealed-voters" in keys else None
    claimed = _pods(keys.get("claim-voters", ""))
    return Record(
        nonce=nonce,
        birth=_birth(identity.start, keys["born"]) if "born" in keys else None,
        permitted_wall=1.0 if "permitted" in plain else None,
        seal=Seal(cluster=_pair(seal)[0], member=_pair(seal)[1], voters=sealed) if seal else None,
        claim=Claim(cluster=_pair(claim)[0], member=_pair(claim)[1], nonce=nonce, voters=claimed) if claim else None,
        former=(_birth(identity.start, keys["former"]).token,) if "former" in keys else (),
        forced=_forced(identity, keys, plain),
        foreign=keys.get("foreign", ""),
        elsewhere=keys.get("elsewhere", ""),
        problem=keys.get("problem", ""),
        torn="torn" in plain,
        unwritten="unwritten" in plain,
        crown=int(keys.get("crown", 0)),
        let_go=int(keys.get("let-go", 0)),
        intent=primary_text.intent(keys, plain),
    )


def _peers(identity: Identity, rows: list[list[str]]) -> tuple[Mapping[str, Sighting], Mapping[str, Evidence]]:
    sightings, evidence = {}, {}
    for parts in rows:
        plain, keys = _words(parts)
        pod, kind = plain[0], plain[1]
        at = NOW - float(keys.get("age", 1))
        sightings[pod] = Sighting(pod=pod, port=7070, addresses=("10.0.0.1",), first_at=900.0, last_at=at)
        if kind == "unknown":
            evidence[pod] = Evidence(pod=pod, at=at, reason=keys.get("reason", ""))
            continue
        disk: Any = kind
        word = Statement(
            namespace="prod",
            service="peers",
            statefulset="db",
            system=identity.system,
            pod=pod,
            boot=f"boot-{pod}",
            replicas=int(keys["of"]) if "of" in keys else identity.replicas,
            start=identity.start,
            disk=disk,
            nonce=keys.get("nonce", f"n{pod.rpartition('-')[2]}"),
            permitted="permitted" in plain,
            token=_birth(identity.start, keys["born"]).token if "born" in keys else "",
            cluster=keys.get("cluster", ""),
            member=keys.get("member", ""),
            serving="serving" in plain,
            running="running" in plain,
            turn=int(keys.get("turn", 0)),
            decision=keys.get("decision", ""),
            fingerprint=keys.get("settings", ""),
            log_end=LogEnd(term=_log(keys)[0], index=_log(keys)[1]) if "log" in keys else None,
            **primary_text.of_a_word(keys, plain),
        )
        evidence[pod] = Evidence(pod=pod, at=at, statement=word, fresh="silent" not in plain)
    return sightings, evidence


def _cluster(identity: Identity, by_word: dict[str, list[list[str]]]) -> ClusterView:
    quorum = by_word.pop("quorum", None)
    members = []
    for parts in by_word.pop("member", []):
        plain, keys = _words(parts)
        url = keys.get("url", url_of(identity, plain[1]))
        unstarted = "unstarted" in plain
        members.append(
            Member(
                id=plain[0],
                name="" if unstarted else plain[1],
                pod=plain[1],
                peer_urls=(url,),
                client_urls=() if unstarted else (url.replace("2380", "2379"),),
                learner="learner" in plain,
            )
        )
    views = []
    for parts in by_word.pop("server", []):
        plain, keys = _words(parts)
        member = keys.get("member", "")
        views.append(
            ServerView(
                pod=plain[0],
                address="10.0.0.1",
                cluster=keys.get("cluster", ""),
                member=member,
                leader=member if "leader" in plain else "",
                healthy="healthy" in plain,
                learner="learner" in plain,
                open="closed" not in plain,
                why=keys.get("why", ""),
                complete="complete" in plain,
                applied=int(keys.get("applied", 0)),
                members=tuple(members),
                part=primary_text.part(keys, plain),
            )
        )
    return ClusterView(
        quorum=quorum is not None,
        cluster=quorum[0][0] if quorum else "",
        fixed=quorum is not None and "fixed" in quorum[0],
        members=tuple(members) if quorum else (),
        views=tuple(views),
        unresolved=tuple(parts[0] for parts in by_word.pop("unresolved", [])),
        unreachable=tuple(parts[0] for parts in by_word.pop("unreachable", [])),
        unmanaged=by_word.pop("unmanaged", [[""]])[0][0],
        only_here=tuple(by_word.pop("only-here", [[]])[0]),
        rescue=by_word.pop("rescue", [[""]])[0][0],
        untold=by_word.pop("untold", [[""]])[0][0],
        soon=by_word.pop("soon", [[""]])[0][0],
        asked_for=tuple(by_word.pop("asked-for", [[]])[0]),
        elsewhere=by_word.pop("elsewhere", [[""]])[0][0],
        kept=_kept(identity, by_word.pop("kept", None)),
        copies=tuple(_copies(parts) for parts in by_word.pop("copies", [])),
        copies_untold=by_word.pop("copies-untold", [[""]])[0][0],
        registrations=tuple(
            Registration(pod=parts[0], id=parts[1], holds="".join(parts[2:3]), remedy="".join(parts[3:4]))
            for parts in by_word.pop("registered", [])
        ),
        at=NOW - 0.1,
    )


def _kept(identity: Identity, lines: list[list[str]] | None) -> Kept | None:
    if lines is None:
        return None
    plain, keys = _words(lines[0])
    alone = tuple(filter(None, keys.get("alone", "").split(",")))
    return Kept(
        what="".join(plain[:1]),
        alone=alone,
        alone_more=int(keys.get("more", 0)),
        unsynced=tuple(filter(None, keys.get("unsynced", "").split(","))),
        untold=keys.get("untold", ""),
        remedy=f"`peerboot kafka drain {identity.pod} --yes`",
    )


def _copies(parts: list[str]) -> Copies:
    plain, keys = _words(parts)
    pods = {key: tuple(filter(None, keys.get(key, "").split(","))) for key in ("in", "behind")}
    more, least = int(keys.get("more", 0)), int(keys.get("least", 1))
    return Copies(name=plain[0], more=more, in_sync=pods["in"], behind=pods["behind"], least=least)


def _rest(identity: Identity, by_word: dict[str, list[list[str]]]) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if anchor := by_word.pop("anchor", None):
        _, keys = _words(anchor[0])
        if "holds" in keys:
            token = _birth(identity.start, keys["holds"]).token
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
    rest["turn"] = int(_words(stopping[0])[1].get("turn", 1)) if stopping else 0
    if live := by_word.pop("live", None):
        rest["live"] = _live(live[0])
    if predicted := by_word.pop("predicted", None):
        rest["predicted_cluster"] = predicted[0][0]
    return rest


def _live(parts: list[str]) -> Live:
    plain, keys = _words(parts)
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
