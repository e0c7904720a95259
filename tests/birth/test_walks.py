"""Random lives of sets that are too large to explore; each seed is one life, and replays."""

from __future__ import annotations

import pytest

from tests.birth import unsafe
from tests.birth.explore import Shipped
from tests.birth.walks import walk

SEEDS, STEPS = 120, 400
TOLD_WRONG = (230, 781, 1582)
"""Lives of five pods in which hearsay makes two clusters."""


@pytest.mark.parametrize("pods", [5, 7])
def test_never_two_clusters(pods: int) -> None:
    """In none of many long lives of five and seven pods do two clusters serve; in most of them one does."""
    rules = Shipped(pods)
    walks = [walk(rules, seed, STEPS) for seed in range(SEEDS)]
    assert [w.trace for w in walks if w.wrong] == []
    assert sum(w.formed > 0 for w in walks) > SEEDS // 2


def test_hearsay_is_caught() -> None:
    """Walks find the harm too when a peer's word of another one's birth is believed."""
    rules = unsafe.Hearsay(5)
    assert ["two clusters" in walk(rules, seed, 300).wrong for seed in TOLD_WRONG] == [True] * 3


def test_a_seed_replays() -> None:
    """One seed is one life."""
    assert walk(Shipped(5), 7, 100) == walk(Shipped(5), 7, 100)
