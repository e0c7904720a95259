"""Exhaustive exploration of the birth rule together with permits, first starts and renewals.

Staleness is modelled without steps of hearing: for each pod and each other one, the state holds *every* word that the
other one could have said since this one's memory began, and whenever a rule is asked any combination of them may be
what was heard. That allows more than can happen (a later question may rest on an older word), so what is safe here is
safe. A restart only takes words away, so it needs no step of its own.

Words that the rules cannot tell apart count as one (``tests/birth/test_renewals.py`` asks the rules).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations, product

from tests.birth.explore import NO_BIRTH, NOBODY, Heard, Rec, Shipped, Token

Step = tuple[tuple[object, ...], "State"]
State = tuple[tuple[int, ...], tuple[int, ...], int, int, frozenset[Token]]
"""Record by pod; by hearer and speaker the set of words as bits; disks lost; renewals; tokens that have served."""

STARTED = ("bootstrap", "data", "joined")
HOLDERS = ("data", "joined")
ABLE = ("permitted", "interrupted", "bootstrap")
"""A server that runs or may: the leader of its cluster can feed it."""


def word_of(rec: Rec) -> Rec:
    """The one record that stands for all that the rules cannot tell apart when another pod says them."""
    if rec.stage in ("permitted", "bootstrap"):
        return rec._replace(stage="permitted")
    return rec._replace(stage="cut") if rec.stage == "interrupted" else rec


class Renewals:
    """Births, permits, first starts that are cut off, elections, acknowledged data, lost disks, renewals, joins.

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
        self.starts_again = lru_cache(maxsize=None)(self._starts_again)
        self.enters = lru_cache(maxsize=None)(self._enters)
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
            if rec.stage in ("cut", "emptied") and self.starts_as_it_was(state, recs, p):
                return f"{p} starts with a disk that has nothing as a member that may have run: {rec}"
        return ""

    def starts_as_it_was(self, state: State, recs: list[Rec], p: int) -> bool:
        """Whether a pod that has lost its data gets a permit although it took no new nonce: it may have voted."""
        row = state[1][p * self.n : (p + 1) * self.n]
        alone = recs[p].stage == "emptied" and self.starts_again(p, state[0][p], row)
        return alone or any("starts" in self.enters(p, state[0][p], token) for token in self.quorums(state, recs))

    def quorums(self, state: State, recs: list[Rec]) -> list[Token]:
        """The tokens whose clusters have quorum now."""
        return [
            token
            for token in state[4]
            if self.rules.forms(token, {q for q, r in enumerate(recs) if r.token == token and r.stage in HOLDERS})
        ]

    def steps(self, state: State) -> Iterator[Step]:
        recs = [self.recs[number] for number in state[0]]
        for p, rec in enumerate(recs):
            row = state[1][p * self.n : (p + 1) * self.n]
            yield from self.entering(state, recs, p)
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
                if rec.stage in HOLDERS:
                    left = rec._replace(stage="cut" if rec.stage == "data" else "emptied")
                    yield ("loses its data only", p), self.become(state, p, left, lost=1)

    def entering(self, state: State, recs: list[Rec], p: int) -> Iterator[Step]:
        """What pod ``p``, which has no data, may do about a cluster that has quorum now."""
        rec = recs[p]
        if rec.stage in HOLDERS:
            return
        for token in self.quorums(state, recs):
            what = self.enters(p, state[0][p], token)
            if "joins" in what:
                yield ("joins", p, token), self.become(state, p, Rec(rec.nonce, token, "joined"))
            if "new disk" in what:
                new = Rec(rec.nonce if self.rules.nonce_reused else rec.nonce + 1)
                yield ("gives up", p), self.become(state, p, new, forgets=not self.rules.memory_survives)

    def server(self, state: State, recs: list[Rec], p: int) -> Iterator[Step]:
        """What the permit and the server of pod ``p`` may do next."""
        rec, token = recs[p], recs[p].token
        row = state[1][p * self.n : (p + 1) * self.n]
        assert token is not None
        nexts = {
            "blank": ("permitted",),
            "permitted": ("cut", "interrupted", "bootstrap"),
            "interrupted": ("bootstrap",),
            "cut": ("permitted",) if self.starts_again(p, state[0][p], row) else (),
        }
        for stage in nexts.get(rec.stage, ()):
            yield ("goes from", rec.stage, "to", stage, p), self.become(state, p, rec._replace(stage=stage))
        same = {q for q, other in enumerate(recs) if other.token == token}
        if rec.stage == "bootstrap" and self.rules.forms(token, {q for q in same if recs[q].stage in STARTED}):
            yield ("leads", p), self.become(state, p, rec._replace(stage="data"))
        elif rec.stage in ABLE and self.rules.feeds(token, {q for q in same if recs[q].stage in HOLDERS}):
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
            words[q * n + p] |= said
            if forgets:
                words[p * n + q] = self.word(numbers[q])
        holders: dict[Token, set[int]] = {}
        for q, number in enumerate(numbers):
            if self.recs[number].stage in HOLDERS and (token := self.recs[number].token) is not None:
                holders.setdefault(token, set()).add(q)
        if self.lean:
            rows = [self.relevant(q, numbers[q], tuple(words[q * n : (q + 1) * n])) for q in range(n)]
            words = [bits for row in rows for bits in row]
        served = frozenset(t for t, pods in holders.items() if t in state[4] or self.rules.forms(t, pods))
        return tuple(numbers), tuple(words), state[2] + lost, state[3] + renewed, served

    def _relevant(self, p: int, own: int, row: tuple[int, ...]) -> tuple[int, ...]:
        """The words that can still matter to pod ``p``, those that work alike as one.

        A token that does not name this disk's nonce can never become its birth; once it is born, no token but its own
        matters; and of several words the rules need only the most permissive.
        """
        rec = self.recs[own]
        if rec.stage in ("joined", "emptied"):
            return (0,) * self.n
        useless = self.number(Rec(NOBODY, (NOBODY,) * self.n, "cut"))
        result = []
        for q, bits in enumerate(row):
            kept = 0
            for i in range(bits.bit_length()):
                if not bits >> i & 1:
                    continue
                word = self.recs[i]
                mine = word.stage not in NO_BIRTH and (
                    word.token == rec.token
                    if rec.token is not None
                    else word.token is not None and word.token[p] == rec.nonce
                )
                unborn = word.token is None and (rec.token is None or word.nonce == rec.token[q])
                if mine or unborn:
                    kept |= 1 << i
                elif word.stage not in ("data", *NO_BIRTH):
                    kept |= 1 << useless
            # For a born pod the useless word is the best one: its speaker holds nothing and cannot go on.
            result.append(1 << useless if rec.token is not None and kept >> useless & 1 else kept)
        return tuple(result)

    def heard(self, p: int, row: tuple[int, ...]) -> Iterator[Heard]:
        """Every combination of words that pod ``p`` may have heard."""
        words = [[r for i, r in enumerate(self.recs) if bits >> i & 1] if bits else [] for bits in row]
        return product(*([None] if q == p else [None, *said] for q, said in enumerate(words)))

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

    def _enters(self, p: int, own: int, token: Token) -> frozenset[str]:
        return self.rules.enters(p, self.recs[own], token)

    def _starts_again(self, p: int, own: int, row: tuple[int, ...]) -> bool:
        return any(self.rules.starts_again(p, self.recs[own], heard) for heard in self.heard(p, row))

    def _renewable(self, p: int, own: int, row: tuple[int, ...]) -> bool:
        return any(self.ask(p, own, heard)[1] for heard in self.heard(p, row))


class Interchangeable(Renewals):
    """The same, visiting one of all states that differ only in which pod is which.

    The rules treat pods alike (``tests/birth/test_renewals.py`` asks them); in a seed system all but the first.
    """

    def __init__(self, rules: Shipped, *, losses: int, renewals: int) -> None:
        super().__init__(rules, losses=losses, renewals=renewals)
        movable = range(1 if rules.seed else 0, self.n)
        self.orders = [(*range(movable.start), *order) for order in permutations(movable)]
        """``order[i]`` is the pod that becomes pod ``i``."""
        self._records: list[dict[int, int]] = [{} for _ in self.orders]
        self._words: list[dict[int, int]] = [{} for _ in self.orders]

    def steps(self, state: State) -> Iterator[Step]:
        for label, after in super().steps(state):
            yield label, self.canonical(after)

    def canonical(self, state: State) -> State:
        """The one of all states that are the same but for the pods' names."""
        rows = [tuple(self.record(k, state[0][p]) for p in order) for k, order in enumerate(self.orders)]
        least = min(rows)
        return min(
            (self.renamed(state, k, least) for k, row in enumerate(rows) if row == least),
            key=lambda s: (s[1], sorted(map(str, s[4]))),
        )

    def record(self, k: int, number: int) -> int:
        """The number of a record with its token's nonces in another order."""
        known = self._records[k].get(number)
        if known is None:
            rec = self.recs[number]
            known = self._records[k][number] = self.number(rec._replace(token=self.token(k, rec.token)))
        return known

    def token(self, k: int, token: Token | None) -> Token | None:
        return None if token is None else tuple(token[p] for p in self.orders[k])

    def renamed(self, state: State, k: int, numbers: tuple[int, ...]) -> State:
        """The state with its pods in another order."""
        order, n = self.orders[k], self.n
        words = tuple(self.words(k, state[1][p * n + q]) for p in order for q in order)
        return numbers, words, state[2], state[3], frozenset(tuple(t[p] for p in order) for t in state[4])

    def words(self, k: int, bits: int) -> int:
        """The same words with their tokens' nonces in another order."""
        known = self._words[k].get(bits)
        if known is None:
            known = 0
            for i in range(bits.bit_length()):
                if bits >> i & 1:
                    known |= 1 << self.record(k, i)
            self._words[k][bits] = known
        return known


class Asked:
    """Rules that are asked once for each different question."""

    def __init__(self, rules: Shipped) -> None:
        self.forms = rules.forms
        self.births = lru_cache(maxsize=None)(rules.births)
        self.renews = lru_cache(maxsize=None)(rules.renews)
        self.enters = lru_cache(maxsize=None)(rules.enters)
        self.starts_again = lru_cache(maxsize=None)(rules.starts_again)


def settles(rules: Asked, recs: tuple[Rec, ...], order: tuple[int, ...], rounds: int = 12) -> str:
    """Let all pods hear each other and act in this order until all are in one cluster; why not, empty when they are.

    No faults any more: servers that are started write their bootstrap, lead or are fed, and those that wait for a
    leader can be stopped.
    """
    now = list(recs)
    for _ in range(rounds):
        for p in order:
            now[p] = acts(rules, now, p)
        if all(rec.stage in HOLDERS and rec.token == now[0].token for rec in now):
            return ""
    return f"nobody goes on: {now}"


def acts(rules: Asked, now: list[Rec], p: int) -> Rec:
    """What becomes of pod ``p`` when it has heard all others as they are now and does what the rules say."""
    rec = now[p]
    if rec.stage in HOLDERS:
        return rec
    new = Rec(max(r.nonce for r in now) + 1)
    for token in {r.token for r in now if r.token is not None and r.stage in HOLDERS}:
        if rules.forms(token, {q for q, r in enumerate(now) if r.token == token and r.stage in STARTED}):
            if rec.token == token and rec.stage in ABLE:
                return rec._replace(stage="data")
            what = rules.enters(p, rec, token)
            return Rec(rec.nonce, token, "joined") if "joins" in what else new if "new disk" in what else starts(rec)
    heard = tuple(None if q == p else other for q, other in enumerate(now))
    if rec.token is None:
        return next((rec._replace(token=token) for token in rules.births(p, rec, heard)), rec)
    if rules.renews(p, rec, heard):
        return new
    same = {q for q, r in enumerate(now) if r.token == rec.token and r.stage in STARTED}
    if rec.stage == "bootstrap" and rules.forms(rec.token, same):
        return rec._replace(stage="data")
    if rec.stage == "interrupted" and rules.starts_again(p, rec, heard):
        return rec._replace(stage="bootstrap")
    return starts(rec)


def starts(rec: Rec) -> Rec:
    """The next step of a birth that goes as planned."""
    return rec._replace(stage={"blank": "permitted", "permitted": "bootstrap"}.get(rec.stage, rec.stage))


def needs_a_person(rules: Shipped, recs: tuple[Rec, ...]) -> bool:
    """Whether data is left of a cluster that too few pods can bring back: nobody goes on by himself, as the laws want.

    So it is while only peerboot's own state remembers a cluster.
    """
    able = (*ABLE, *HOLDERS, "blank")
    return any(rec.stage == "emptied" for rec in recs) or any(
        rec.token is not None
        and rec.stage in HOLDERS
        and not rules.forms(rec.token, {q for q, r in enumerate(recs) if r.token == rec.token and r.stage in able})
        for rec in recs
    )


def wedges(rules: Shipped, states: set[tuple[Rec, ...]]) -> list[str]:
    """Of these rows of records, those from which, in some order of acting, the pods never end in one cluster."""
    found, asked = [], Asked(rules)
    for recs in states:
        if needs_a_person(rules, recs):
            continue
        for order in permutations(range(rules.pods)):
            wedged = settles(asked, recs, order)
            if wedged:
                found.append(f"from {recs} in order {order}: {wedged}")
    return found
