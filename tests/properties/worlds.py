"""Facts of all kinds, drawn from few words so that they often speak of the same things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from peerboot.birth import token_of
from peerboot.cases.primary import derived
from peerboot.cases.reader import TRAITS, parse
from peerboot.decide import decide
from peerboot.model import (
    Anchor,
    Birth,
    Claim,
    ClusterView,
    Disk,
    Evidence,
    Facts,
    Hold,
    Identity,
    LearnerTrack,
    Live,
    Member,
    Record,
    Registration,
    Removal,
    Seal,
    ServerView,
    Statement,
)
from tests.cases.test_cases import blocks
from tests.properties import primaries
from tests.properties.permits import NAMES, a_permit

NOW = 1000.0
PODS = ("db-0", "db-1", "db-2", "db-3")
SECRET = "hunter2"
"""Stands in a file of peerboot's and must never be told."""
KINDS: Any = st.sampled_from(("blank", "blank", "interrupted", "partial", "bootstrap", "data", "corrupt", "unknown"))
NONCES = st.sampled_from(("n0", "n1", "n2", "n3"))
AGES = st.sampled_from((0.0, 1.0, 40.0, 400.0))


def cluster_ids(system: str) -> tuple[str, str]:
    """The id of the own cluster and of another one, as the system writes them."""
    return (primaries.OURS, primaries.OTHER) if system == "postgres" else ("c1", "c2")


def clusters(system: str) -> st.SearchStrategy[str]:
    """No cluster, mostly the own one, or another."""
    ours, other = cluster_ids(system)
    return st.sampled_from(("", ours, ours, other))


def birth_of(replicas: int, extra: str = "") -> Birth:
    """The birth of the pods whose nonces are as they were first."""
    members = {pod: f"n{i}{extra}" for i, pod in enumerate(PODS[:replicas])}
    return Birth(token=token_of(members), members=members)


def id_of(system: str, number: int, more: str = "") -> str:
    """The id of a pod's member as the system writes it; ``more``: of another disk."""
    if system == "postgres":
        return f"db_{number}"
    return f"{number}:d{more}" if system == "kafka" else f"m{number}{more}"


def identities(system: str) -> st.SearchStrategy[Identity]:
    """Any Pod of a set of one to three, also one that is not expected, or an unknown number."""
    return st.builds(
        lambda i, replicas: Identity(
            namespace="prod",
            service="peers",
            statefulset="db",
            pod=PODS[i],
            ordinal=i,
            system=system,
            domain="cluster.local",
            replicas=replicas,
        ),
        st.sampled_from((0, 1, 1, 2, 3)),
        st.sampled_from((3, 3, 3, 2, 1, None)),
    )


@st.composite
def statements(draw: st.DrawFn, pod: str, identity: Identity) -> Statement:
    """What another pod says."""
    born = draw(st.sampled_from((None, None, birth_of(3), birth_of(3, "b"))))
    kind = draw(KINDS)
    own = f"n{pod[-1]}"
    return Statement(
        namespace="prod",
        service="peers",
        statefulset="db",
        system=identity.system,
        pod=pod,
        boot="b1",
        replicas=draw(st.sampled_from((identity.replicas, identity.replicas, identity.replicas, 5))),
        disk=kind,
        nonce=draw(st.sampled_from((own, own, own, "n1", ""))),
        token=born.token if born else "",
        permitted=draw(st.booleans()) if born or kind != "blank" else False,
        cluster=draw(clusters(identity.system)) if kind not in ("blank", "unknown") else "",
        member=id_of(identity.system, int(pod[-1])),
        serving=draw(st.booleans()) if kind == "data" else False,
        running=draw(st.booleans()),
        decision=draw(st.sampled_from(("wait", "join", "form"))),
        **(draw(primaries.said(pod, identity)) if identity.system == "postgres" else {}),
    )


@st.composite
def evidence(draw: st.DrawFn, identity: Identity) -> dict[str, Evidence]:
    """What was heard of other pods, first hand or not at all."""
    found = {}
    for pod in PODS:
        if pod == identity.pod or not draw(st.sampled_from((True, True, True, False))):
            continue
        word = draw(st.one_of(st.none(), statements(pod, identity), statements(pod, identity)))
        reason = "" if word else "connection refused"
        found[pod] = Evidence(pod=pod, at=NOW - draw(AGES), statement=word, reason=reason, fresh=draw(st.booleans()))
    return found


@st.composite
def views(draw: st.DrawFn, system: str) -> ClusterView:
    """What the servers say."""
    if system == "postgres":
        return draw(primaries.views())
    members = tuple(
        Member(
            id=draw(st.sampled_from((id_of(system, i), id_of(system, i), id_of(system, i, "x")))),
            name=pod,
            pod=pod,
            peer_urls=(f"http://{pod}:2380",),
            client_urls=(f"http://{pod}:2379",) if draw(st.sampled_from((True, True, False))) else (),
            learner=draw(st.sampled_from((False, False, False, True))),
        )
        for i, pod in enumerate(PODS)
        if draw(st.booleans())
    )
    seen = tuple(
        ServerView(
            pod=member.pod,
            address="10.0.0.1",
            cluster=draw(clusters(system)),
            member=member.id,
            members=members,
            applied=draw(st.sampled_from((0, 9))),
            healthy=draw(st.booleans()),
            learner=member.learner,
        )
        for member in members
        if draw(st.booleans())
    )
    quorum = bool(members) and draw(st.booleans())
    registrations = [
        Registration(pod=f"db-{number}", id=str(number), holds=draw(st.sampled_from(("", "", "2 replicas"))))
        for number in draw(st.sets(st.integers(2, 5), max_size=2))
        if system == "kafka"
    ]
    return ClusterView(
        registrations=tuple(registrations),
        quorum=quorum,
        cluster=draw(st.sampled_from(cluster_ids(system))) if quorum else "",
        members=members if quorum else (),
        views=seen,
        unresolved=draw(st.sampled_from(((), (), ("db-9.peers",)))),
        at=NOW,
    )


@st.composite
def records(draw: st.DrawFn, system: str) -> Record:
    """What lies in the state directory."""
    own = id_of(system, 1)
    claimed = id_of(system, 1, "x") if system == "etcd" else ""
    ours, other = cluster_ids(system)
    nonce = draw(st.sampled_from(("n0", "n1", "n1", "n2", "")))
    problem = draw(st.sampled_from(("", "", "", "state.json is torn", "state.json is of a newer peerboot")))
    return Record(
        nonce=nonce,
        birth=draw(st.sampled_from((None, None, birth_of(3), birth_of(2)))),
        permitted_wall=draw(st.sampled_from((None, 1.0))),
        seal=draw(st.sampled_from((None, None, Seal(cluster=ours, member=own), Seal(cluster=other, member=own)))),
        claim=draw(st.sampled_from((None, None, Claim(cluster=ours, member=claimed, nonce=nonce)))),
        foreign=draw(st.sampled_from(("", "", "", "prod/web-1"))),
        problem=problem,
        torn="torn" in problem,
    )


LIVES = st.one_of(
    st.just(Live()),
    st.just(Live(state="unknown", reason="connection refused")),
    st.builds(
        Live,
        state=st.just("known"),
        replicas=st.integers(0, 5),
        start=st.sampled_from((0, 0, 0, 1)),
        pods=st.integers(0, 5),
        settled=st.booleans(),
        deleting=st.sampled_from((False, False, True)),
        at=st.sampled_from((NOW - 1, NOW - 1, NOW - 100)),
    ),
)
"""What the API may have said."""


@st.composite
def random_facts(draw: st.DrawFn, system: str) -> Facts:
    """Facts of a system whose parts were drawn without regard to each other."""
    identity = draw(identities(system))
    # Of a directory of Postgres there is either all that a server needs, or not.
    kind = draw(KINDS.filter(lambda kind: system != "postgres" or kind not in ("interrupted", "partial", "bootstrap")))
    held = kind in ("interrupted", "partial", "bootstrap", "data")
    member = id_of(system, identity.ordinal)
    disk = Disk(
        kind=kind,
        # Whoever reads Kafka's or Postgres' directories names cluster and member of every disk that can start.
        cluster=(draw(clusters(system)) or cluster_ids(system)[0] * (system != "etcd")) if held else "",
        member=draw(st.sampled_from((member, id_of(system, 9), "" if system == "etcd" else member))) if held else "",
        reason="bad CRC" if kind in ("corrupt", "unknown", "partial") else "",
        running=draw(st.sampled_from((False, False, True))),
        logged=kind != "bootstrap" or system == "etcd",
        since=NOW - draw(st.sampled_from((0.5, 100.0))),
    )
    permit: Any = draw(st.sampled_from(("absent", "absent", "first", "resume")))
    hold = Hold(id="h", scope=draw(st.sampled_from(("pod", "set"))), who="ann", why="", made_wall=1.0)
    anchors = (Anchor(), Anchor(), Anchor(state="empty"), Anchor(state="holds", token="t"), Anchor(state="unknown"))
    mark = "resume" if permit == "resume" else "first"
    stalled = id_of(system, 2)
    record = draw(records(system))
    found = Facts(
        now=NOW,
        identity=identity,
        mode=draw(st.sampled_from(("manage", "manage", "manage", "observe"))),
        disk=disk,
        record=draw(primaries.with_past(record, identity.pod)) if system == "postgres" else record,
        evidence=draw(evidence(identity)),
        twin=draw(st.sampled_from(("", "", "", "10.0.0.9"))),
        cluster=draw(views(system)),
        anchor=draw(st.sampled_from(anchors)),
        live=draw(LIVES),
        stopping=draw(st.booleans()),
        turn=draw(st.sampled_from((0, -1, 1, 2))),
        holds=draw(st.sampled_from(((), (), (hold,)))),
        removals=draw(st.sampled_from(((), (), (Removal(pod="db-2", who="ann", at=990.0),)))),
        learners={stalled: LearnerTrack(member=stalled, since=1.0, moved_at=1.0)} if draw(st.booleans()) else {},
        files={} if permit == "absent" else {NAMES[system]: a_permit(system, mark, SECRET)},
        traits=msgspec.structs.replace(TRAITS[system], quorum_of=draw(st.sampled_from(("", "", "ctl"))))
        if system == "kafka"
        else TRAITS[system],
        permit=permit,
        permit_was_given=permit != "absent" or draw(st.booleans()),
        own_urls=(draw(st.sampled_from((f"http://{identity.pod}:2380", "http://other:2380"))),) * (system == "etcd"),
        predicted_cluster=draw(st.sampled_from(("", "c1"))) if system != "postgres" else "",
        looked=draw(st.sampled_from((True, True, True, False))),
    )
    return draw(primaries.with_writes(found)) if system == "postgres" else found


CASES = tuple(parse(text.partition("\n----\n")[0], path.parents[1].name) for path, _, text in blocks())
PARTS: tuple[str, ...] = (
    "mode",
    "disk",
    "record",
    "evidence",
    "twin",
    "cluster",
    "anchor",
    "holds",
    "removals",
    "looked",
    "own_urls",
)
PARTS += ("live", "stopping", "turn")
OF_WRITES = ("confirm", "hands_to", "traits")
"""Parts where one server takes the writes."""


@st.composite
def facts(draw: st.DrawFn, cases: Sequence[Facts] = CASES) -> Facts:
    """Facts of a case in which some parts were exchanged for others, or none, or all; a person may have allowed what
    they are refused for.
    """
    found: Facts = draw(st.sampled_from(cases))
    primary = found.traits.has_primary
    parts = draw(st.sets(st.sampled_from((*PARTS, "permit", *(OF_WRITES if primary else ()))), max_size=3))
    if parts:
        other = draw(random_facts(found.identity.system))
        if len(parts) == 3 and draw(st.booleans()):
            found = other
        elif "permit" in parts:
            parts |= {"files", "permit_was_given"}
        if "evidence" in parts:
            parts |= {"asks"}
        found = msgspec.structs.replace(found, **{part: getattr(other, part) for part in parts})
        found = msgspec.structs.replace(
            found, evidence={pod: word for pod, word in found.evidence.items() if pod != found.identity.pod}
        )
        found = derived(found) if primary else found
    return allowed(found) if draw(st.booleans()) else found


def over_any_facts(law: Callable[[Facts], None]) -> Callable[[], None]:
    """Hold a law against every case as it stands, then against facts drawn around them."""
    return _over(CASES, law)


def over_any_primary(law: Callable[[Facts], None]) -> Callable[[], None]:
    """The same with the systems in which one server takes the writes."""
    return _over([found for found in CASES if found.traits.has_primary], law)


def _over(cases: Sequence[Facts], law: Callable[[Facts], None]) -> Callable[[], None]:
    drawn = given(facts(cases))(law)
    test: Any = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))(drawn)
    for found in cases:
        test = example(found)(test)
    checked: Callable[[], None] = test
    return checked


def allowed(found: Facts) -> Facts:
    """The same facts after a person has allowed what they are refused for."""
    asked = decide(found)
    nonce = asked.consent or asked.reason.partition("peerboot consent ")[2].partition("`")[0]
    return msgspec.structs.replace(found, consents=frozenset({nonce}) if nonce else frozenset())
