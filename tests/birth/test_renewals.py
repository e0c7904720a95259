"""Births that came to nothing, lost disks and lost data: every interleaving, with the server's first start in steps."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.birth import unsafe
from tests.birth.explore import Rec, Shipped, explore
from tests.birth.renewals import Interchangeable, wedges


@pytest.mark.parametrize("seed", [False, True], ids=["quorum", "seed"])
def test_two_pods(seed: bool) -> None:
    """Two pods, two losses, two renewals: never two clusters, never a member that comes back with a blank disk."""
    outcome = explore(Interchangeable(Shipped(2, seed), losses=2, renewals=2))
    assert (outcome.trace, outcome.finished, outcome.formed > 100) == ((), True, True)


def test_three_pods() -> None:
    """Three pods, two losses and a renewal: never two clusters, never a member that comes back with a blank disk."""
    outcome = explore(Interchangeable(Shipped(3), losses=2, renewals=1))
    assert (outcome.trace, outcome.finished) == ((), True)
    assert (outcome.states > 100_000, outcome.formed > 5_000) == (True, True)


@pytest.mark.parametrize("seed", [False, True], ids=["quorum", "seed"])
def test_nobody_waits_for_ever(seed: bool) -> None:
    """From every state of three pods with a loss and a renewal, all end in one cluster once faults stop.

    Left out are states in which data is left of a cluster that too few pods can bring back: there a person decides.
    The exploration of the seed system finds nothing wrong either.
    """
    world = Interchangeable(Shipped(3, seed), losses=1, renewals=1)
    outcome = explore(world)
    assert (outcome.trace, outcome.finished) == ((), True)
    rows = {tuple(world.recs[number] for number in state[0]) for state in outcome.seen}
    assert len(rows) > 1_000
    assert wedges(world.rules, rows) == []


@pytest.mark.parametrize(
    "variant",
    [unsafe.RenewsData, unsafe.StartsAgain, unsafe.EntersAsItWas, unsafe.NonceReused, unsafe.MemorySurvives],
)
def test_a_rule_that_is_wrong_in_one_point_is_caught(variant: type[Shipped]) -> None:
    """The same exploration finds the harm when one point of the rules is left out."""
    outcome = explore(Interchangeable(variant(3), losses=1, renewals=1))
    assert (outcome.safe, outcome.trace != ()) == (False, True)


def test_the_rules_treat_pods_alike() -> None:
    """Renaming the pods renames the answer and changes nothing else: so one of all orders is enough to visit."""
    rules = Shipped(3)
    recs = [Rec(0, (0, 1, 2)), Rec(1), Rec(2, (0, 1, 2), "bootstrap")]
    answers = set()
    for order in permutations(range(3)):
        token = tuple((0, 1, 2)[p] for p in order)
        row = [recs[p]._replace(token=token if recs[p].token else None) for p in order]
        blank = order.index(1)
        heard = tuple(None if q == blank else rec for q, rec in enumerate(row))
        answers.add(rules.births(blank, row[blank], heard) == {token})
    assert answers == {True}
