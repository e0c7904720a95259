"""The shipped birth rule over every interleaving of two and three pods, two lost disks and one restart."""

from __future__ import annotations

import pytest

from tests.birth import unsafe
from tests.birth.explore import Births, Shipped, explore

LOSSES, RESTARTS = 2, 1


def test_three_pods_have_as_many_states_as_the_model_on_paper() -> None:
    """Without joins the shipped rule has exactly the states of the abstract model that it was designed with."""
    outcome = explore(Births(Shipped(3), losses=LOSSES, restarts=RESTARTS))
    assert (outcome.trace, outcome.finished, outcome.states) == ((), True, 341_854)


@pytest.mark.parametrize("seed", [False, True], ids=["quorum", "seed"])
@pytest.mark.parametrize(("pods", "states"), [(2, 800), (3, 500_000)], ids=["two", "three"])
def test_never_two_clusters(pods: int, states: int, seed: bool) -> None:
    """However words, births, joins, lost disks and a restart follow each other, two clusters never serve side by side.

    In many of the states a cluster does serve, so the exploration is not empty.
    """
    outcome = explore(Births(Shipped(pods, seed), losses=LOSSES, restarts=RESTARTS, joins=True))
    assert (outcome.trace, outcome.finished) == ((), True)
    assert outcome.states > states
    assert outcome.formed > outcome.states // 10


@pytest.mark.parametrize(
    "variant",
    [
        unsafe.Hearsay,
        unsafe.MajorityIsEnough,
        unsafe.FirstAlone,
        unsafe.SmallerSet,
        unsafe.TokensIgnored,
        unsafe.MemorySurvives,
        unsafe.NonceReused,
        unsafe.BirthForgotten,
    ],
)
def test_a_rule_that_is_wrong_in_one_point_is_caught(variant: type[Shipped]) -> None:
    """The same exploration finds how two clusters come about when one point of the rule is left out."""
    outcome = explore(Births(variant(3), losses=LOSSES, restarts=RESTARTS))
    assert (outcome.safe, outcome.trace != ()) == (False, True)
