"""Facts of any moment as those of the moment of every case: ages stay what they were, to the millisecond."""

from __future__ import annotations

from typing import Any

import msgspec

from peerboot.cases.paths import tree_of
from peerboot.cases.words import NOW
from peerboot.model import Facts

MOMENTS = frozenset({"at", "now", "since", "started_at", "nonce_at", "first_at", "last_at", "moved_at"})
"""Fields that are seconds of one process's clock."""


def seconds(value: float) -> str:
    """A number of seconds that reads as the same number again."""
    return f"{value:.0f}" if value.is_integer() else repr(value)


def moved(facts: Facts, to: float = NOW) -> Facts:
    """The same facts at another moment, by default that of a case."""
    if facts.now == to:
        return facts
    return msgspec.convert(_moved(tree_of(facts), facts.now, to), Facts)


def _moved(tree: Any, now: float, to: float) -> Any:
    if isinstance(tree, list):
        return [_moved(one, now, to) for one in tree]
    if not isinstance(tree, dict):
        return tree
    found: dict[Any, Any] = {}
    for name, value in tree.items():
        if name == "asks" and isinstance(value, dict):
            found[name] = {ask: _at(at, now, to) for ask, at in value.items()}
        elif name in MOMENTS and isinstance(value, int | float):
            found[name] = _at(value, now, to)
        else:
            found[name] = _moved(value, now, to)
    return found


def _at(at: float, now: float, to: float) -> float:
    """Nothing and less than nothing are no moments: that was never."""
    return at if at <= 0 else to - round(now - at, 3)
