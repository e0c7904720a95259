"""Births of five and seven pods, too many to explore: many random lives of a set."""

from __future__ import annotations

import pytest

from tests.birth import unsafe
from tests.birth.explore import Shipped
from tests.birth.walks import walk


@pytest.mark.parametrize("seed", [False, True], ids=["quorum", "seed"])
@pytest.mark.parametrize("pods", [5, 7])
def test_shipped_rule_is_safe(pods: int, seed: bool) -> None:
    """In 30,000 steps with as many lost disks and restarts as come, two clusters never serve, and many form."""
    walks = [walk(Shipped(pods, seed), number, 1_000) for number in range(30)]
    assert {""} == {taken.wrong for taken in walks}
    assert sum(taken.steps for taken in walks) == 30_000
    assert sum(taken.formed > 0 for taken in walks) >= 10
    assert sum(taken.born for taken in walks) > 100


@pytest.mark.parametrize(
    ("rules", "number"),
    [
        pytest.param(unsafe.Hearsay(5), 433, id="hearsay-5"),
        pytest.param(unsafe.Hearsay(7, seed=True), 214, id="hearsay-7-seed"),
        pytest.param(unsafe.MajorityIsEnough(7, seed=True), 470, id="majority-is-enough-7-seed"),
        pytest.param(unsafe.TokensIgnored(5), 26, id="tokens-ignored-5"),
        pytest.param(unsafe.TokensIgnored(7), 253, id="tokens-ignored-7"),
        pytest.param(unsafe.MemorySurvives(7, seed=True), 111, id="memory-survives-the-disk-7-seed"),
        pytest.param(unsafe.BirthForgotten(5), 209, id="birth-forgotten-5"),
    ],
)
def test_unsafe_rule_is_caught(rules: Shipped, number: int) -> None:
    """The same walks come upon the harm of wrong rules; where the shipped rule takes the same walk, all is well."""
    assert "two clusters" in walk(rules, number, 160).wrong
    assert walk(Shipped(rules.pods, rules.seed), number, 160).wrong == ""


def test_a_seed_replays() -> None:
    """One seed is one life."""
    assert walk(Shipped(5), 7, 100) == walk(Shipped(5), 7, 100)
