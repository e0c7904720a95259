"""Exhaustive exploration of the shipped birth rule: every interleaving of a few pods, breadth first.

A *record* is what lies on one pod's volume: disk nonce, token, stage. A *token* is the tuple of nonces by
ordinal. :class:`Shipped` turns records into the project's own values, asks ``peerboot.birth`` and turns its answer
back, once for each different question. Its subclasses are wrong on purpose: the same exploration must catch them.

:class:`Births` explores law 2. Each pod remembers the last record that it heard of each other one, arbitrarily
stale; memory dies with the process or the disk; a majority that is born into a token serves at once, and a blank
pod may join what serves. Violation: two tokens serve while holders of both still have their disks.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec

from peerboot import birth
from peerboot.decide import decide
from peerboot.model import (
    Birth,
    ClusterView,
    Decision,
    Disk,
    DiskKind,
    Evidence,
    Facts,
    Identity,
    Member,
    Record,
    Seal,
    ServerView,
    Statement,
)

Token = tuple[int | None, ...]
"""Disk nonce by ordinal; None for a pod that the token does not name (unsafe variants only)."""

NOBODY = -1
"""The nonce that an unsafe variant invents for a pod that it has not heard."""


class Rec(NamedTuple):
    """What lies on one pod's volume."""

    nonce: int = 0
    token: Token | None = None
    stage: str = "blank"
    """``blank``, ``permitted`` (its server is about to start), ``cut`` (permitted once, nothing there, permit taken
    back), ``interrupted``, ``bootstrap``, ``data``, ``joined`` (data of ``token``'s cluster without a birth),
    ``emptied`` (was joined, and its data is gone while peerboot's own state is still there)."""


KINDS: dict[str, DiskKind] = {"permitted": "blank", "cut": "blank", "joined": "data", "emptied": "blank"}
"""What the disk reader says in each stage, where it is not the stage's own name."""

NO_BIRTH = ("joined", "emptied")
"""Stages in which ``token`` only names the cluster that the disk was sealed to."""

LISTED = ("absent", "learner", "unstarted", "started")
"""How a cluster's list may show a pod."""

Heard = tuple[Rec | None, ...]
"""By ordinal, the last record heard of each pod; None for one not heard, and for the hearer itself."""


class Shipped:
    """The shipped rules, asked about abstract records."""

    memory_survives = False
    """Unsafe: what a pod heard survives the loss of its disk, or its renewal."""
    nonce_reused = False
    """Unsafe: a new disk, or a renewed one, gets the nonce of the old one."""
    birth_forgotten = False
    """Unsafe: the birth is not on the disk yet when the server starts, and a restart forgets it."""

    def __init__(self, pods: int, seed: bool = False) -> None:
        self.pods = pods
        self.seed = seed
        self.formers = birth.by_seed if seed else birth.by_majority
        self.calls = 0
        self._identities = [self.identity(p, pods) for p in range(pods)]
        self._evidence: dict[tuple[int, Rec], Evidence] = {}

    @staticmethod
    def identity(p: int, replicas: int) -> Identity:
        """Pod ``p`` of the set, which expects so many pods."""
        return Identity(
            namespace="default",
            service="db",
            statefulset="db",
            pod=f"db-{p}",
            ordinal=p,
            system="etcd",
            domain="cluster.local",
            replicas=replicas,
        )

    def birth_of(self, token: Token) -> Birth:
        """The shipped birth record of an abstract token."""
        members = {f"db-{q}": f"disk {q} {nonce}" for q, nonce in enumerate(token) if nonce is not None}
        return Birth(token=birth.token_of(members), members=members)

    def token_from(self, born: Birth) -> Token:
        """The abstract token of a shipped birth record."""
        nonces = (born.members.get(f"db-{q}") for q in range(self.pods))
        return tuple(None if nonce is None else int(nonce.split()[-1]) for nonce in nonces)

    def evidence(self, q: int, rec: Rec) -> Evidence:
        """What a pod with this record says of itself."""
        if (q, rec) not in self._evidence:
            born = self.birth_of(rec.token) if rec.token is not None else None
            of_cluster = rec.stage in ("data", *NO_BIRTH)
            word = Statement(
                namespace="default",
                service="db",
                statefulset="db",
                system="etcd",
                pod=f"db-{q}",
                boot="1",
                replicas=self.pods,
                disk=KINDS.get(rec.stage, rec.stage),  # type: ignore[arg-type]  # stages that are no kind are in KINDS
                nonce=f"disk {q} {rec.nonce}",
                token=born.token if born is not None and rec.stage not in NO_BIRTH else "",
                permitted=rec.stage != "blank",
                cluster=self.cluster_of(rec.token) if rec.token is not None and of_cluster else "",
                decision="form" if rec.stage == "permitted" else "wait",
            )
            self._evidence[q, rec] = Evidence(pod=f"db-{q}", at=0.0, statement=word)
        return self._evidence[q, rec]

    def cluster_of(self, token: Token) -> str:
        """The id of the cluster that a token leads to."""
        return f"cluster of {self.birth_of(token).token}"

    def facts(self, p: int, own: Rec, heard: Heard, identity: Identity | None = None) -> Facts:
        """The facts of pod ``p`` while no server answers."""
        self.calls += 1
        cluster = self.cluster_of(own.token) if own.token is not None else ""
        sealed = own.stage in NO_BIRTH
        kind: DiskKind = KINDS.get(own.stage, own.stage)  # type: ignore[arg-type]  # as above
        return Facts(
            now=0.0,
            identity=identity or self._identities[p],
            disk=Disk(kind=kind, cluster="" if kind == "blank" else cluster, member="" if kind == "blank" else f"m{p}"),
            record=Record(
                nonce=f"disk {p} {own.nonce}",
                birth=self.birth_of(own.token) if own.token is not None and not sealed else None,
                permitted_wall=None if own.stage == "blank" else 0.0,
                seal=Seal(cluster=cluster, member=f"m{p}") if sealed else None,
            ),
            evidence={f"db-{q}": self.evidence(q, rec) for q, rec in enumerate(heard) if rec is not None and q != p},
            permit="first" if own.stage == "permitted" else "absent",
            predicted_cluster="" if sealed else cluster,
        )

    def with_cluster(self, p: int, own: Rec, token: Token, listed: str) -> Decision:
        """The shipped verdict of pod ``p`` while the token's cluster has quorum and lists it so, or not at all."""
        cluster = self.cluster_of(token)
        members = tuple(
            Member(
                id=f"m{q}",
                pod=f"db-{q}",
                client_urls=("http://up",) if q != p or listed == "started" else (),
                learner=q == p and listed == "learner",
            )
            for q in range(self.pods)
            if q != p or listed != "absent"
        )
        views = tuple(
            ServerView(pod=f"db-{q}", address="10.0.0.1", cluster=cluster, member=f"m{q}", healthy=True)
            for q in range(self.pods)
            if q != p
        )
        view = ClusterView(quorum=True, cluster=cluster, members=members, views=views, at=1.0)
        return decide(msgspec.structs.replace(self.facts(p, own, (None,) * self.pods), cluster=view))

    def enters(self, p: int, own: Rec, token: Token) -> frozenset[str]:
        """What pod ``p``, which has no data, may do about a cluster that has quorum: ``joins`` it as a new member,
        ``starts`` the server with this disk as it is, or takes a ``new disk`` nonce.
        """
        found = set()
        for listed in LISTED:
            decision = self.with_cluster(p, own, token, listed)
            if decision.kind == "join" and not decision.may_run:
                found.add("joins")
            elif decision.may_run:
                found.add("starts")
            elif decision.kind == "renew" or (decision.kind == "replace" and not decision.target):
                found.add("new disk")
        return frozenset(found)

    def births(self, p: int, own: Rec, heard: Heard) -> set[Token]:
        """The tokens that pod ``p`` may be born into now."""
        return self.ask(self.facts(p, own, heard))

    def ask(self, facts: Facts) -> set[Token]:
        """The shipped birth rule."""
        verdict = birth.may_be_born(facts)
        return {self.token_from(verdict.birth)} if verdict.kind == "born-now" and verdict.birth is not None else set()

    def renews(self, p: int, own: Rec, heard: Heard) -> bool:
        """The shipped renewal rule."""
        return birth.may_renew(self.facts(p, own, heard), self.formers).kind == "renew"

    def renews_data(self, p: int, own: Rec) -> bool:
        """Whether a disk with data is renewed when every other one says that it holds nothing."""
        others = tuple(None if q == p else Rec(0, own.token, "cut") for q in range(self.pods))
        return self.renews(p, own, others)

    def starts_again(self, p: int, own: Rec, heard: Heard) -> bool:
        """Whether a pod without data whose server may have run starts as planned once more, no server answering."""
        return decide(self.facts(p, own, heard)).may_run

    def forms(self, token: Token, pods: set[int]) -> bool:
        """Whether these pods are enough for the token's cluster to serve."""
        named = [q for q, nonce in enumerate(token) if nonce is not None]
        return named[0] in pods if self.seed else len(pods) > len(named) // 2

    def feeds(self, token: Token, holders: set[int]) -> bool:
        """Whether these pods, which have the data of the token's cluster, may pass it on to one that was born into it.

        Any holder may while the cluster has a leader; in a seed system the seed itself has to.
        """
        return self.forms(token, holders) if self.seed else bool(holders)


@dataclass(frozen=True)
class Outcome:
    """What an exploration found."""

    states: int
    questions: int
    """How often the shipped rules were asked."""
    formed: int
    """States in which a cluster serves: an exploration in which none does shows nothing."""
    trace: tuple[str, ...] = ()
    """The steps of a shortest violation, empty when there is none."""
    seen: dict[Any, Any] = field(default_factory=dict, repr=False)
    """Every state, with the one that it was first reached from."""
    finished: bool = True
    """False when the limit of states was reached."""

    @property
    def safe(self) -> bool:
        """Everything was explored and nothing is wrong."""
        return self.finished and not self.trace


class World(Protocol):
    """States and the steps between them."""

    rules: Shipped

    def first(self) -> Any:
        """The state in which all disks are blank."""

    def steps(self, state: Any) -> Iterator[tuple[tuple[object, ...], Any]]:
        """Each step that may be next, with the state after it."""

    def serving(self, state: Any) -> int:
        """How many clusters serve or have served and still have a living holder."""

    def wrong(self, state: Any) -> str:
        """What is violated, empty when nothing is."""


def explore(world: World, limit: int = 3_000_000) -> Outcome:
    """Visit every reachable state, at most ``limit``, breadth first; stop at the first violation."""
    gc.collect()
    gc.disable()  # Millions of small tuples, none in a cycle: looking through them again and again takes a third.
    try:
        return _explore(world, limit)
    finally:
        gc.enable()


def _explore(world: World, limit: int) -> Outcome:
    first = world.first()
    before: dict[Any, Any] = {first: None}
    queue = deque([first])
    formed = 0
    while queue:
        state = queue.popleft()
        clusters = world.serving(state)
        formed += clusters > 0
        wrong = world.wrong(state)
        if wrong:
            return Outcome(len(before), world.rules.calls, formed, (*trace_to(world, before, state), wrong), before)
        if len(before) > limit:
            return Outcome(len(before), world.rules.calls, formed, seen=before, finished=False)
        for _, after in world.steps(state):
            if after not in before:
                before[after] = state
                queue.append(after)
    return Outcome(len(before), world.rules.calls, formed, seen=before)


def trace_to(world: World, before: dict[Any, Any], state: Any) -> tuple[str, ...]:
    """The steps from the first state to this one."""
    path: list[str] = []
    while before[state] is not None:
        label = next(label for label, after in world.steps(before[state]) if after == state)
        path.append(" ".join(str(part) for part in label))
        state = before[state]
    return tuple(reversed(path))


Clusters = frozenset[tuple[Token, frozenset[int]]]
"""Tokens that serve, or served, with the pods that still hold their data."""


class Births:
    """Law 2 over explicit memories.

    A state is a string: for each pod its row (what it last heard of each pod, its own record in its own place), then
    lost disks, restarts, and the clusters; each character is the number of an interned value.
    """

    def __init__(self, rules: Shipped, *, losses: int, restarts: int, joins: bool = False) -> None:
        self.rules = rules
        self.n = rules.pods
        self.losses, self.restarts, self.joins = losses, restarts, joins
        self.values: list[Any] = [None]
        self.numbers: dict[Any, int] = {}
        self._births: dict[tuple[int, str], list[tuple[Token, str]]] = {}
        self._after: dict[tuple[str, str], str] = {}

    def char(self, value: object) -> str:
        """The character that stands for a value."""
        if value not in self.numbers:
            self.numbers[value] = len(self.values)
            self.values.append(value)
        return chr(self.numbers[value])

    def first(self) -> str:
        rows = [[chr(0)] * self.n for _ in range(self.n)]
        for p in range(self.n):
            rows[p][p] = self.char(Rec())
        return "".join("".join(row) for row in rows) + chr(0) * 2 + self.char((frozenset(), frozenset()))

    def book(self, state: str) -> tuple[Clusters, frozenset[tuple[int, Token]]]:
        """The clusters of a state, and the births that disks were lost with although their nonce lives on."""
        found: tuple[Clusters, frozenset[tuple[int, Token]]] = self.values[ord(state[-1])]
        return found

    def serving(self, state: str) -> int:
        return len(self.book(state)[0])

    def wrong(self, state: str) -> str:
        clusters, ghosts = self.book(state)
        if len(clusters) > 1:
            return "two clusters: " + "; ".join(f"{t} held by {sorted(h)}" for t, h in sorted(clusters, key=str))
        for p, token in ghosts:
            if self.values[ord(state[p * self.n + p])].token == token:
                return f"{p} is {token} again, with a disk that has nothing of it"
        return ""

    def steps(self, state: str) -> Iterator[tuple[tuple[object, ...], str]]:
        n = self.n
        own = [state[p * n + p] for p in range(n)]
        for p in range(n):
            base = p * n
            for q in range(n):
                if q != p and state[base + q] != own[q]:
                    yield ("hears", p, q), state[: base + q] + own[q] + state[base + q + 1 :]
            rec: Rec = self.values[ord(own[p])]
            if rec.token is None:
                for token, char in self.born(p, state[base : base + n]):
                    yield ("is born", p, token), self.settled(state[: base + p] + char + state[base + p + 1 :])
            yield from self.faults(state, p, rec)

    def faults(self, state: str, p: int, rec: Rec) -> Iterator[tuple[tuple[object, ...], str]]:
        """What may happen to pod ``p`` at any time: a lost disk, a restart, and joining what serves."""
        n, base, mine = self.n, p * self.n, p * self.n + p
        rules, lost, restarted = self.rules, ord(state[-3]), ord(state[-2])
        nothing = chr(0) * n
        clusters, ghosts = self.book(state)
        if lost < self.losses:
            nonce = rec.nonce if rules.nonce_reused else rec.nonce + 1
            new = self.char(Rec(nonce))
            row = (
                state[base:mine] + new + state[mine + 1 : base + n]
                if rules.memory_survives
                else nothing[:p] + new + nothing[p + 1 :]
            )
            if rules.nonce_reused and rec.token is not None and any(p in holders for _, holders in clusters):
                ghosts |= {(p, rec.token)}
            left = frozenset((token, holders - {p}) for token, holders in clusters if holders - {p})
            rest = chr(lost + 1) + state[-2] + self.char((left, ghosts))
            yield ("loses its disk", p), state[:base] + row + state[base + n : -3] + rest
        if restarted < self.restarts:
            new = self.char(Rec(rec.nonce)) if rules.birth_forgotten else state[mine]
            row = nothing[:p] + new + nothing[p + 1 :]
            if row != state[base : base + n]:
                yield ("restarts", p), state[:base] + row + state[base + n : -2] + chr(restarted + 1) + state[-1]
        if self.joins and rec.token is None:
            for token, holders in clusters:
                if rules.forms(token, set(holders)):
                    new = self.char(Rec(rec.nonce, token, "joined"))
                    joined = frozenset((t, h | {p} if t == token else h) for t, h in clusters)
                    yield ("joins", p, token), state[:mine] + new + state[mine + 1 : -1] + self.char((joined, ghosts))

    def born(self, p: int, row: str) -> list[tuple[Token, str]]:
        """What the rules let pod ``p`` be born into, knowing this row."""
        known = self._births.get((p, row))
        if known is None:
            heard: list[Rec | None] = [self.values[ord(char)] for char in row]
            own = heard[p] or Rec()
            heard[p] = None
            tokens = sorted(self.rules.births(p, own, tuple(heard)), key=str)
            known = self._births[p, row] = [(token, self.char(Rec(own.nonce, token))) for token in tokens]
        return known

    def settled(self, state: str) -> str:
        """The state with its clusters brought up to date after a birth."""
        own = state[: self.n * self.n : self.n + 1]
        known = self._after.get((own, state[-1]))
        if known is None:
            clusters, ghosts = self.book(state)
            holders = dict(clusters)
            born: dict[Token, set[int]] = {}
            for p, char in enumerate(own):
                rec = self.values[ord(char)]
                if rec.token is not None and rec.stage == "blank":
                    born.setdefault(rec.token, set()).add(p)
            for token, pods in born.items():
                if self.rules.forms(token, pods):
                    holders[token] = holders.get(token, frozenset()) | pods
            known = self._after[own, state[-1]] = self.char((frozenset(holders.items()), ghosts))
        return state[:-1] + known
