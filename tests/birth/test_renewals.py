"""Births with permits, first starts that are cut off, renewals and joins, by the shipped rules; and wrong ones."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from tests.birth import unsafe
from tests.birth.explore import Heard, Outcome, Rec, Shipped, explore
from tests.birth.renewals import Interchangeable, Renewals, State, needs_a_person, wedges, word_of


def rows(world: Renewals, outcome: Outcome) -> set[tuple[Rec, ...]]:
    """The records of all pods, in each state that was visited."""
    states: dict[State, object] = outcome.seen
    return {tuple(world.recs[number] for number in state[0]) for state in states}


@pytest.mark.parametrize(
    ("pods", "seed", "losses", "renewals", "states"),
    [
        pytest.param(2, False, 2, 2, 5_000, id="2-pods"),
        pytest.param(2, True, 2, 2, 15_000, id="2-pods-seed"),
        pytest.param(3, False, 2, 1, 100_000, id="3-pods"),
        pytest.param(3, True, 1, 1, 60_000, id="3-pods-seed"),
    ],
)
def test_shipped_rules_are_safe_and_wedge_nobody(
    pods: int, seed: bool, losses: int, renewals: int, states: int
) -> None:
    """Two clusters never serve while disks of both hold data, no disk with data is renewed, nothing that was
    acknowledged is begun again, no disk that has lost its data gets a permit as the member that it was; and from each
    state, when faults stop, all pods end in one cluster, whoever acts first, unless a person has to decide.
    """
    world = Interchangeable(Shipped(pods, seed), losses=losses, renewals=renewals)
    outcome = explore(world)
    assert (outcome.finished, outcome.trace) == (True, ())
    assert outcome.formed > 100
    assert outcome.states > states
    assert wedges(world.rules, rows(world, outcome)) == []


def test_what_waits_for_a_person() -> None:
    """Of all rows of three pods with a lost disk, only those wait for a person in which data is left that too few can
    bring back, or in which only peerboot's own state remembers a cluster.
    """
    world = Interchangeable(Shipped(3), losses=1, renewals=1)
    waiting = {row for row in rows(world, explore(world)) if needs_a_person(world.rules, row)}
    assert waiting
    for row in waiting:
        kept = {rec.stage for rec in row}
        assert kept & {"data", "joined", "emptied"}
        assert kept & {"blank", "cut", "emptied"}


@pytest.mark.parametrize(
    ("rules", "losses", "renewals"),
    [
        pytest.param(unsafe.MemorySurvives(3), 1, 1, id="memory-survives-a-renewal"),
        pytest.param(unsafe.MemorySurvives(2, seed=True), 2, 2, id="memory-survives-a-renewal-seed"),
        pytest.param(unsafe.NonceReused(3), 1, 1, id="nonce-reused"),
        pytest.param(unsafe.NonceReused(2, seed=True), 2, 2, id="nonce-reused-seed"),
        pytest.param(unsafe.RenewsData(3), 1, 1, id="renews-data"),
        pytest.param(unsafe.RenewsData(2, seed=True), 2, 2, id="renews-data-seed"),
        pytest.param(unsafe.StartsAgain(3), 1, 1, id="starts-again"),
        pytest.param(unsafe.StartsAgain(2, seed=True), 1, 1, id="starts-again-seed"),
        pytest.param(unsafe.EntersAsItWas(3), 1, 1, id="enters-as-it-was"),
        pytest.param(unsafe.EntersAsItWas(2, seed=True), 1, 1, id="enters-as-it-was-seed"),
    ],
)
def test_unsafe_rule_is_caught(rules: Shipped, losses: int, renewals: int) -> None:
    """The same exploration finds the harm that each wrong rule does."""
    outcome = explore(Interchangeable(rules, losses=losses, renewals=renewals))
    assert outcome.trace
    assert any(
        harm in outcome.trace[-1] for harm in ("two clusters", "begun again", "although it has data", "may have run")
    )


class NeverRenews(Shipped):
    """A birth that came to nothing is never given up."""

    def renews(self, p: int, own: Rec, heard: Heard) -> bool:  # noqa: ARG002 - whatever it is asked
        return False


def test_without_renewals_pods_are_wedged() -> None:
    """The check for wedges can fail: with no renewals, first starts that were cut off leave a set that never forms."""
    world = Interchangeable(Shipped(3), losses=0, renewals=0)
    assert wedges(NeverRenews(3), rows(world, explore(world)))


@pytest.mark.parametrize(
    ("pods", "seed", "losses", "renewals"),
    [(2, False, 2, 1), (2, True, 1, 1), (3, False, 0, 1)],
    ids=["2-pods", "2-pods-seed", "3-pods"],
)
def test_lean_memory_reaches_the_same(pods: int, seed: bool, losses: int, renewals: int) -> None:
    """Leaving out words that can matter no more leads to exactly the rows of records that all words lead to."""
    every = Renewals(Shipped(pods, seed), losses=losses, renewals=renewals, lean=False)
    lean = Renewals(Shipped(pods, seed), losses=losses, renewals=renewals)
    assert rows(every, explore(every)) == rows(lean, explore(lean))


def questions() -> list[tuple[Rec, Heard]]:
    """What pod 0 of three may be asked: every kind of own record with every pair of words, tokens equal and not."""
    token, other = (0, 0, 0), (0, 1, 0)
    stages = ("blank", "permitted", "cut", "interrupted", "bootstrap", "data", "joined", "emptied")
    own = [Rec(), *(Rec(0, token, stage) for stage in stages)]
    words = [None, Rec(), Rec(1), *(Rec(0, t, stage) for t in (token, other) for stage in stages)]
    return [(mine, (None, one, two)) for mine in own for one, two in product(words, words)]


def test_words_that_count_as_one_are_told_apart_by_no_rule() -> None:
    """What a running server says, or an interrupted disk, is answered like the word that stands for it."""
    rules, compared = Shipped(3), 0
    for own, heard in questions():
        alike = tuple(word and word_of(word) for word in heard)
        if alike != heard:
            compared += 1
            assert rules.births(0, own, heard) == rules.births(0, own, alike)
            assert rules.renews(0, own, heard) == rules.renews(0, own, alike)
    assert compared > 1_000


def test_pods_are_interchangeable() -> None:
    """Both rules answer alike when pods change places, so of states that differ only in names one is enough."""
    rules = Shipped(3)
    for own, heard in questions():
        for order in permutations(range(3)):
            moved = tuple(renamed(heard[p], order) for p in order)
            mine = renamed(own, order)
            assert mine is not None
            at = order.index(0)
            expected = {tuple(token[p] for p in order) for token in rules.births(0, own, heard)}
            assert expected == rules.births(at, mine, moved)
            assert rules.renews(0, own, heard) == rules.renews(at, mine, moved)


def renamed(rec: Rec | None, order: tuple[int, ...]) -> Rec | None:
    """The record with its token's nonces in another order."""
    if rec is None or rec.token is None:
        return rec
    return rec._replace(token=tuple(rec.token[p] for p in order))
