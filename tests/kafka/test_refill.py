"""No interleaving loses what was committed when a blank voter of a static quorum is let in by peerboot's rule (ADR 13).

The same search finds a loss once the rule is weakened, so it can fail.
"""

from __future__ import annotations

import pytest

from tests.kafka.refill_model import Allows, Lead, explore, first, real_rule

MOST = 350_000
"""Worlds, of which no search here needs all."""


def quorum_stands(_node: int, _leader: int, lead: Lead, words: tuple[str, ...], _waited: bool) -> bool:
    """Let it in while a majority follows a leader."""
    return len(lead.alive) >= len(words) // 2


def at_once(node: int, leader: int, lead: Lead, words: tuple[str, ...], _waited: bool) -> bool:
    """The rule without its ten seconds."""
    return real_rule(node, leader, lead, words, True)


def test_nothing_is_lost() -> None:
    """Three voters, one write, one election and one lost disk, in every order, with crashes at any moment: each leader
    has all that was committed. (With two lost disks the same holds in 311 564 worlds, which takes half a minute.)
    """
    path, worlds = explore(first(3, (1, 1, 1)), real_rule, MOST)
    assert path == []
    assert 50_000 < worlds < MOST


def test_a_disk_that_is_lost_is_let_in_again() -> None:
    """The rule does not just refuse: a lost disk comes back within the same bounds."""

    def never(*what: object) -> bool:
        seen.append(real_rule(*what))
        return False

    seen: list[bool] = []
    explore(first(3, (0, 0, 1)), never, MOST)
    assert (True in seen, False in seen) == (True, True)


@pytest.mark.parametrize(
    ("rule", "left"),
    [pytest.param(quorum_stands, (1, 1, 1), id="a quorum is enough"), pytest.param(at_once, (1, 1, 2), id="at once")],
)
def test_a_weaker_rule_loses_something(rule: Allows, left: tuple[int, int, int]) -> None:
    """One that lags leads with the blank one's vote; a leader that was deposed lets in who elected its successor."""
    path, _ = explore(first(3, left), rule, MOST)
    assert any("is formatted by the word of" in step for step in path)
