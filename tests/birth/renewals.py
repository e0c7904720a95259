"""Exhaustive exploration of the birth rule together with permits, first starts and renewals.

Staleness is modelled without steps of hearing: for each pod and each other one, the state holds *every* word that the
other one could have said since this one's memory began, and whenever a rule is asked any combination of them may be
what was heard. That allows more than can happen (a later question may rest on an older word), so what is safe here is
safe. A restart only takes words away, so it needs no step of its own.

Words that the rules cannot tell apart count as one (``tests/birth/test_exhaustive.py`` asks the rules).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations, product

from tests.birth.explore import NOBODY, Heard, Rec, Shipped, Token

Step = tuple[tuple[object, ...], "State"]
State = tuple[tuple[int, ...], tuple[int, ...], int, int, frozenset[Token]]
"""Record by pod; by hearer and speaker the set of words as bits; disks lost; renewals; tokens that have served."""

STARTED = ("bootstrap", "data")
ABLE = ("permitted", "interrupted", "bootstrap")
"""A server that runs or may: the leader of its cluster can feed it."""


def word_of(rec: Rec) -> Rec:
    """The one record that stands for all that the rules cannot tell apart when another pod says them."""
    if rec.stage in ("permitted", "bootstrap"):
        return rec._replace(stage="permitted")
    return rec._replace(stage="cut") if rec.stage == "interrupted" else rec


class Renewals:
    """Births, permits, first starts that are cut off, elections, acknowledged data, lost disks, renewals.

    Violations: two tokens have served and each still has a disk with its data; a disk with data is renewed; a
    cluster that has acknowledged data is begun a second time by pods that have none of it.
    """

    def __init__(self, rules: Shipped, *, losses: int, renewals: int, lean: bool = True) -> None:
        self.rules = rules
        self.n = rules.pods
        self.losses, self.renewals, self.lean = losses, renewals, lean
        self.recs: list[Rec] = []
        self.numbers: dict[Rec, int] = {}
        self.births = lru_cache(maxsize=None)(self._births)
        self.renewable = lru_cache(maxsize=None)(self._renewable)
        self.relevant = lru_cache(maxsize=None)(self._relevant)
        self._asked: dict[tuple[int, int, Heard], tuple[frozenset[Token], bool]] = {}

    def number(self, rec: Rec) -> int:
        """The number of an interned record."""
        if rec not in self.numbers:
            self.numbers[rec] = len(self.recs)
            self.recs.append(rec)
        return self.numbers[rec]

    def word(self, number: int) -> int:
        """The bit of what a pod with this record says."""
        return 1 << self.number(word_of(self.recs[number]))

    def first(self) -> State:
        blank = self.number(Rec())
        return (
            (blank,) * self.n,
            tuple(0 if p == q else self.word(blank) for p in range(self.n) for q in range(self.n)),
            0,
            0,
            frozenset(),
        )

    def serving(self, state: State) -> int:
        return len(state[4])

    def wrong(self, state: State) -> str:
        recs = [self.recs[number] for number in state[0]]
        if len(state[4]) > 1:
            return f"two clusters: {sorted(map(str, state[4]))} in {recs}"
        for token in state[4]:
            again = {p for p, rec in enumerate(recs) if rec.token == token and rec.stage == "bootstrap"}
            if self.rules.forms(token, again):
                return f"{token} is begun again by {sorted(again)}, which have none of its data: {recs}"
        for p, rec in enumerate(recs):
            if rec.stage == "data" and self.rules.renews_data(p, rec):
                return f"{p} is renewed although it has data"
        return ""

    def steps(self, state: State) -> Iterator[Step]:
        recs = [self.recs[number] for number in state[0]]
        for p, rec in enumerate(recs):
            row = state[1][p * self.n : (p + 1) * self.n]
            if rec.token is None:
                for token in sorted(self.births(p, state[0][p], row), key=str):
                    yield ("is born", p, token), self.become(state, p, rec._replace(token=token))
            else:
                yield from self.server(state, recs, p)
            if rec.token is not None and state[3] < self.renewals and self.renewable(p, state[0][p], row):
                if rec.stage in ("interrupted", "bootstrap"):
                    yield ("moves aside and dies", p), self.become(state, p, rec._replace(stage="cut"))
                new = Rec(rec.nonce if self.rules.nonce_reused else rec.nonce + 1)
                yield ("is renewed", p), self.become(state, p, new, renewed=1, forgets=not self.rules.memory_survives)
            if state[2] < self.losses:
                yield ("loses its disk", p), self.become(state, p, Rec(rec.nonce + 1), lost=1, forgets=True)
                if rec.stage == "data":
                    yield (
                        ("loses its data only", p),
                        self.become(state, p, rec._replace(stage="cut"), lost=1, forgets=True),
                    )

    def server(self, state: State, recs: list[Rec], p: int) -> Iterator[Step]:
        """What the permit and the server of pod ``p`` may do next."""
        rec, token = recs[p], recs[p].token
        assert token is not None
        nexts = {
            "blank": ("permitted",),
            "permitted": ("cut", "interrupted", "bootstrap"),
            "interrupted": ("bootstrap",),
            "cut": ("permitted",) if self.rules.starts_again(rec) else (),
        }
        for stage in nexts.get(rec.stage, ()):
            yield ("goes from", rec.stage, "to", stage, p), self.become(state, p, rec._replace(stage=stage))
        same = {q for q, other in enumerate(recs) if other.token == token}
        if rec.stage == "bootstrap" and self.rules.forms(token, {q for q in same if recs[q].stage in STARTED}):
            yield ("leads", p), self.become(state, p, rec._replace(stage="data"))
        elif rec.stage in ABLE and any(recs[q].stage == "data" for q in same):
            yield ("is fed", p), self.become(state, p, rec._replace(stage="data"))

    def become(
        self, state: State, p: int, rec: Rec, *, lost: int = 0, renewed: int = 0, forgets: bool = False
    ) -> State:
        """The state in which pod ``p`` has this record, with the words that all could have heard."""
        n = self.n
        numbers, words = list(state[0]), list(state[1])
        numbers[p] = self.number(rec)
        said = self.word(numbers[p])
        for q in range(n):
            if q == p:
                continue
            if self.recs[numbers[q]].stage != "data":
                words[q * n + p] |= said
            # What a pod with data has heard matters no more: no rule asks it until its disk is lost.
            if rec.stage == "data":
                words[p * n + q] = 0
            elif forgets:
                words[p * n + q] = self.word(numbers[q])
        holders: dict[Token, set[int]] = {}
        for q, number in enumerate(numbers):
            if self.recs[number].stage == "data" and (token := self.recs[number].token) is not None:
                holders.setdefault(token, set()).add(q)
        if self.lean:
            spent = state[3] + renewed >= self.renewals
            words = [
                bits
                for q in range(n)
                for bits in self.relevant(q, numbers[q], tuple(words[q * n : (q + 1) * n]), spent)
            ]
        served = frozenset(t for t, pods in holders.items() if t in state[4] or self.rules.forms(t, pods))
        return tuple(numbers), tuple(words), state[2] + lost, state[3] + renewed, served

    def _relevant(self, p: int, own: int, row: tuple[int, ...], spent: bool) -> tuple[int, ...]:
        """The words that can still matter to pod ``p``, those that work alike as one.

        A token that does not name this disk's nonce can never become its birth; once it is born, no token but its own
        matters; and of several words the rules need only the most permissive.
        """
        rec = self.recs[own]
        if rec.stage == "data" or (rec.token is not None and spent):
            return (0,) * self.n
        useless = self.number(Rec(NOBODY, (NOBODY,) * self.n, "cut"))
        result = []
        for q, bits in enumerate(row):
            kept = 0
            for i in range(bits.bit_length()):
                if not bits >> i & 1:
                    continue
                word = self.recs[i]
                mine = (
                    word.token == rec.token
                    if rec.token is not None
                    else word.token is not None and word.token[p] == rec.nonce
                )
                unborn = word.token is None and (rec.token is None or word.nonce == rec.token[q])
                if mine or unborn:
                    kept |= 1 << i
                elif word.stage != "data":
                    kept |= 1 << useless
            # For a born pod the useless word is the best one: its speaker holds nothing and cannot go on.
            result.append(1 << useless if rec.token is not None and kept >> useless & 1 else kept)
        return tuple(result)

    def heard(self, p: int, row: tuple[int, ...]) -> Iterator[Heard]:
        """Every combination of words that pod ``p`` may have heard."""
        choices = [
            [None] if q == p else [r for i, r in enumerate(self.recs) if bits >> i & 1] for q, bits in enumerate(row)
        ]
        return product(*choices)

    def ask(self, p: int, own: int, heard: Heard) -> tuple[frozenset[Token], bool]:
        """Both rules, asked once for each different question."""
        known = self._asked.get((p, own, heard))
        if known is None:
            rec = self.recs[own]
            born = frozenset(self.rules.births(p, rec, heard)) if rec.token is None else frozenset()
            known = self._asked[p, own, heard] = (born, rec.token is not None and self.rules.renews(p, rec, heard))
        return known

    def _births(self, p: int, own: int, row: tuple[int, ...]) -> frozenset[Token]:
        return frozenset(token for heard in self.heard(p, row) for token in self.ask(p, own, heard)[0])

    def _renewable(self, p: int, own: int, row: tuple[int, ...]) -> bool:
        return any(self.ask(p, own, heard)[1] for heard in self.heard(p, row))


def settles(rules: Shipped, recs: tuple[Rec, ...], order: tuple[int, ...], rounds: int = 12) -> str:
    """Let all pods hear each other and act in this order until a cluster serves; why not, empty when one does.

    No faults any more: servers that are started write their bootstrap, and those that wait for a leader can be stopped.
    """
    now = list(recs)
    for _ in range(rounds):
        for p in order:
            rec = now[p]
            heard = tuple(None if q == p else other for q, other in enumerate(now))
            if rec.token is None:
                now[p] = next((rec._replace(token=token) for token in rules.births(p, rec, heard)), rec)
            elif rules.renews(p, rec, heard):
                now[p] = Rec(max(r.nonce for r in now) + 1)
            elif rec.stage in ("blank", "permitted"):
                now[p] = rec._replace(stage="permitted" if rec.stage == "blank" else "bootstrap")
        for token in {rec.token for rec in now if rec.token is not None}:
            if rules.forms(token, {p for p, rec in enumerate(now) if rec.token == token and rec.stage == "bootstrap"}):
                return ""
    return f"nobody goes on: {now}"


def wedges(rules: Shipped, states: dict[tuple[Rec, ...], object]) -> list[str]:
    """Of these rows of records without data, those from which, in some order of acting, no cluster ever forms."""
    found = []
    for recs in states:
        if any(rec.stage == "data" for rec in recs):
            continue
        for order in permutations(range(rules.pods)):
            wedged = settles(rules, recs, order)
            if wedged:
                found.append(f"from {recs} in order {order}: {wedged}")
    return found
