"""Law 2, by the shipped rules, over every interleaving of two and three pods; and rules that are wrong on purpose."""

from __future__ import annotations

import pytest

from tests.birth import unsafe
from tests.birth.explore import Births, Outcome, Shipped, explore


def summary(outcome: Outcome) -> tuple[bool, bool, tuple[str, ...]]:
    """Whether all was explored, whether anything formed at all, and how it went wrong."""
    return outcome.finished, outcome.formed > 0, outcome.trace


@pytest.mark.parametrize(
    ("pods", "seed", "losses", "restarts", "joins", "states"),
    [
        pytest.param(2, False, 3, 1, False, 2_030, id="2-pods"),
        pytest.param(2, True, 3, 1, False, 1_870, id="2-pods-seed"),
        pytest.param(2, False, 3, 1, True, 2_030, id="2-pods-joins"),
        pytest.param(2, True, 3, 1, True, 2_945, id="2-pods-seed-joins"),
        # The abstract model, which this check was modelled on, has exactly as many: same steps, same memory.
        pytest.param(3, False, 2, 1, False, 341_854, id="3-pods"),
        pytest.param(3, False, 2, 1, True, 576_190, id="3-pods-joins"),
        pytest.param(3, True, 2, 1, True, 860_805, id="3-pods-seed-joins"),
    ],
)
def test_shipped_rule_is_safe(pods: int, seed: bool, losses: int, restarts: int, joins: bool, states: int) -> None:
    """Two clusters never serve while holders of both have their disks, whatever is stale, lost or restarted.

    The number of states is exact: a rule that forms less, or a world in which less can happen, changes it.
    """
    outcome = explore(Births(Shipped(pods, seed), losses=losses, restarts=restarts, joins=joins))
    assert summary(outcome) == (True, True, ())
    assert states == outcome.states


@pytest.mark.parametrize(
    ("rules", "losses", "restarts", "joins"),
    [
        pytest.param(unsafe.Hearsay(3), 1, 0, False, id="hearsay"),
        pytest.param(unsafe.Hearsay(3, seed=True), 1, 0, False, id="hearsay-seed"),
        pytest.param(unsafe.MajorityIsEnough(3), 1, 0, False, id="majority-is-enough"),
        pytest.param(unsafe.MajorityIsEnough(3, seed=True), 1, 0, False, id="majority-is-enough-seed"),
        pytest.param(unsafe.FirstAlone(3), 0, 0, False, id="first-alone"),
        pytest.param(unsafe.FirstAlone(2, seed=True), 1, 0, True, id="first-alone-seed"),
        pytest.param(unsafe.SmallerSet(3), 1, 0, False, id="smaller-set"),
        pytest.param(unsafe.SmallerSet(2, seed=True), 1, 0, False, id="smaller-set-seed"),
        pytest.param(unsafe.TokensIgnored(3), 2, 0, False, id="tokens-ignored"),
        pytest.param(unsafe.TokensIgnored(2, seed=True), 1, 0, False, id="tokens-ignored-seed"),
        pytest.param(unsafe.MemorySurvives(3), 1, 0, False, id="memory-survives-the-disk"),
        pytest.param(unsafe.MemorySurvives(2, seed=True), 1, 0, False, id="memory-survives-the-disk-seed"),
        pytest.param(unsafe.NonceReused(3), 1, 0, False, id="nonce-reused"),
        pytest.param(unsafe.NonceReused(2, seed=True), 1, 0, False, id="nonce-reused-seed"),
        pytest.param(unsafe.BirthForgotten(2), 1, 1, False, id="birth-forgotten"),
        pytest.param(unsafe.BirthForgotten(3, seed=True), 1, 1, False, id="birth-forgotten-seed"),
    ],
)
def test_unsafe_rule_is_caught(rules: Shipped, losses: int, restarts: int, joins: bool) -> None:
    """The same exploration finds a shortest way to the harm that each wrong rule does."""
    outcome = explore(Births(rules, losses=losses, restarts=restarts, joins=joins))
    assert "two clusters" in outcome.trace[-1] or "has nothing of it" in outcome.trace[-1]
    assert any("is born" in step for step in outcome.trace)


def test_hearsay_fails_as_the_rule_says() -> None:
    """0 and 1 form, 0 loses its disk, 2 still believes that 1 is blank and is born with the new 0, 0 adopts from 2."""
    outcome = explore(Births(unsafe.Hearsay(3), losses=1, restarts=0))
    told = [step for step in outcome.trace if "hears" not in step]
    assert told == [
        "is born 0 (0, 0, 0)",
        "is born 1 (0, 0, 0)",
        "loses its disk 0",
        "is born 2 (1, 0, 0)",
        "is born 0 (1, 0, 0)",
        "two clusters: (0, 0, 0) held by [1]; (1, 0, 0) held by [0, 2]",
    ]
