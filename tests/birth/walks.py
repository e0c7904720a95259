"""Random walks through births of more pods than can be explored: each seed is one life of a set."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.birth.explore import Births, Shipped

WEIGHTS = {
    "hears": (5, 20, 60),
    "is born": (1, 10, 40),
    "joins": (0.01, 1, 6),
    "loses its disk": (0.5, 3, 10),
    "restarts": (0.01, 0.2),
}
"""How likely each kind of step may be; each walk draws its own mix, for no single mix comes everywhere."""


@dataclass(frozen=True)
class Walk:
    """What one walk came to."""

    steps: int
    formed: int
    """In how many states a cluster served."""
    born: int
    wrong: str
    trace: tuple[str, ...]


def walk(rules: Shipped, seed: int, length: int) -> Walk:
    """Take so many steps at random, with any number of lost disks and restarts; stop at the first violation."""
    world = Births(rules, losses=length, restarts=length, joins=True)
    dice = random.Random(seed)  # noqa: S311 - a walk that can be taken again, not a secret
    weights = {kind: dice.choice(mix) for kind, mix in WEIGHTS.items()}
    state, formed, born, trace = world.first(), 0, 0, []
    for taken in range(length):
        kinds: dict[str, list[tuple[tuple[object, ...], str]]] = {}
        for label, after in world.steps(state):
            kinds.setdefault(str(label[0]), []).append((label, after))
        kind = dice.choices(list(kinds), [weights[kind] for kind in kinds])[0]
        label, state = dice.choice(kinds[kind])
        trace.append(" ".join(str(part) for part in label))
        born += kind == "is born"
        formed += world.serving(state) > 0
        wrong = world.wrong(state)
        if wrong:
            return Walk(taken + 1, formed, born, wrong, tuple(trace))
    return Walk(length, formed, born, "", tuple(trace))
