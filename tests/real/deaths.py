"""When the peerboots of a lab die, for stories that are told once for each action (``tests/real/mortal.py``)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from peerboot.lab.cluster import Lab
from tests.real.mortal import VARIABLE

TRIES = 3
"""A Pod may find that another was quicker to promote it; not so often."""


class Mortal:
    """Chooses when a Pod's peerboot dies, and knows whether it did and what it had begun."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def _file(self, ordinal: int) -> Path:
        return self._lab.spec.root / f"die-{ordinal}"

    @property
    def environment(self) -> dict[int, dict[str, str]]:
        """For each ordinal's Pods."""
        return {ordinal: {VARIABLE: str(self._file(ordinal))} for ordinal in self._lab.ordinals}

    def choose(self, ordinal: int, moment: str, action: str) -> None:
        """From now on it dies at that moment of that action."""
        for suffix in (".died", ".seen"):
            self._file(ordinal).with_suffix(suffix).unlink(missing_ok=True)
        part = self._file(ordinal).with_suffix(".new")
        part.write_text(f"{moment} {action}")
        part.replace(self._file(ordinal))

    def died(self, ordinal: int) -> bool:
        """Whether it did. It will not die any more."""
        self._file(ordinal).unlink(missing_ok=True)
        return self._file(ordinal).with_suffix(".died").exists()

    def seen(self, ordinal: int) -> set[str]:
        """Every action that its processes have begun since then."""
        seen = self._file(ordinal).with_suffix(".seen")
        return set(seen.read_text().splitlines()) if seen.exists() else set()


async def spared(chosen: Iterable[str], told: Callable[[str], Awaitable[bool]], certain: Iterable[str]) -> list[str]:
    """Tell a story for each action at which somebody is to die, up to ``TRIES`` times until somebody does.

    ``told`` says whether it came about. The result names those of ``certain`` (names without their number) at whose
    first time nobody died. What else was seen once may not come again: how often a file is written is a matter of which
    news came together.
    """
    actions = sorted(chosen, key=_numbered)
    first = {_numbered(action)[0]: action for action in reversed(actions)}
    never = [action for action in actions if not await _dies(told, action)]
    return [action for action in never if action in {first.get(name) for name in certain}]


def _numbered(action: str) -> tuple[str, int]:
    name, _, number = action.rpartition(" #")
    return name, int(number)


async def _dies(told: Callable[[str], Awaitable[bool]], action: str) -> bool:
    for _ in range(TRIES):
        if await told(action):
            return True
    return False


class Deaths:
    """The actions that are still to be cut off, shared by labs."""

    def __init__(self, moment: str, known: Iterable[str], *, more: bool = False) -> None:
        """``more``: every other action that is seen has its turn too, once: those that only come about at times."""
        self.moment = moment
        self._known = set(known)
        self._seen = set(known)
        self._more = more
        self._todo = deque(known)
        self._tries: Counter[str] = Counter()
        self._struck: set[str] = set()

    def take(self) -> str:
        """The next action, empty when none is left."""
        return self._todo.popleft() if self._todo else ""

    def note(self, action: str, died: bool, seen: Iterable[str]) -> None:
        """Whether the Pod died at its action, and what else it did."""
        self._tries[action] += 1
        if died:
            self._struck.add(action)
        elif action in self._known and self._tries[action] < TRIES:
            self._todo.append(action)
        if self._more:
            self._todo.extend(sorted(set(seen) - self._seen))
            self._seen.update(seen)

    @property
    def left_out(self) -> set[str]:
        """Known actions at which nobody died."""
        return self._known - self._struck
