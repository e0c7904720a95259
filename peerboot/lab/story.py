"""What the stories of ``peerboot lab demo`` share: scenes in order, each of which checks that what it tells is true."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn, Protocol, Self

from peerboot.lab.cluster import Lab
from peerboot.lab.demo_sight import Scene
from peerboot.lab.errors import LabError
from peerboot.lab.servers import Server


@dataclass(frozen=True)
class Step:
    """What came of one scene."""

    number: int
    text: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came of the whole story."""

    steps: tuple[Step, ...]
    cluster: str
    writes: int


@dataclass(frozen=True)
class Texts:
    """What stays on the terminal; ``{version}``, ``{cluster}``, ``{writes}``, ``{program}`` are filled in."""

    head: str
    account: str
    notes: tuple[str, ...]
    trying: tuple[str, ...]
    """Commands to go on with."""


@dataclass(frozen=True)
class Teller:
    """Who listens to a story."""

    clusters: Callable[[], set[str]]
    """Every cluster id that was ever seen."""
    scene: Callable[[Scene], None]
    done: Callable[[Step], None]
    say: Callable[[str], None]
    """A line beside what Pods say."""


class Recorder(Protocol):
    """Who writes throughout, and remembers what was acknowledged."""

    @property
    def acknowledged(self) -> Sized:
        """One for each write."""

    async def stop(self) -> None:
        """No more writes; may be called again."""


class Story(ABC):
    """Told once. Raises ``LabError``, with every Pod's words, as soon as something is not as it should be."""

    scenes: ClassVar[tuple[Scene, ...]]
    texts: ClassVar[Texts]

    def __init__(self, recorder: Recorder, *labs: Lab) -> None:
        self.labs = labs
        self._recorder = recorder
        self.say: Callable[[str], None] = lambda _text: None

    @classmethod
    @abstractmethod
    def of(cls, root: Path, server: Server) -> Self:
        """A story with labs of its own below ``root``; nothing is started."""

    @property
    def written(self) -> int:
        """How many writes were acknowledged so far."""
        return len(self._recorder.acknowledged)

    @abstractmethod
    def parts(self) -> tuple[Callable[[], Awaitable[str]], ...]:
        """What is done in each scene; it returns what came of it."""

    @abstractmethod
    async def account(self, clusters: set[str]) -> str:
        """The last check, of everything that was acknowledged. Returns the cluster's id."""

    async def tell(self, teller: Teller) -> Outcome:
        """All of it."""
        self.say = teller.say
        steps = []
        for scene, part in zip(self.scenes, self.parts(), strict=True):
            teller.scene(scene)
            began = time.monotonic()
            text = await part()
            steps.append(Step(scene.number, text, time.monotonic() - began))
            teller.done(steps[-1])
        cluster = await self.account(teller.clusters())
        return Outcome(tuple(steps), cluster, self.written)

    async def stop(self) -> None:
        """End everything; a set that another one is beside goes after it."""
        try:
            await self._recorder.stop()
        finally:
            for lab in reversed(self.labs):
                await lab.stop()

    # ---------------------------------------------------------------- scenes

    async def ready(self, seconds: float = 60.0) -> None:
        """Every Pod is, set by set."""
        for lab in self.labs:
            await lab.until_ready(seconds)

    async def restarted(self, what: str, seconds: float = 60.0) -> None:
        """Everything is killed at once, and started again; each Pod has the id that it had (``what`` they are)."""
        before = [await self.members(lab, *lab.ordinals) for lab in self.labs]
        await asyncio.gather(*(lab.crash(ordinal) for lab in self.labs for ordinal in lab.ordinals))
        await self.ready(seconds)
        after = [await self.members(lab, *lab.ordinals) for lab in self.labs]
        self.must(after == before, f"{what} changed by a restart: {before} became {after}")

    # ---------------------------------------------------------------- checks

    def one(self, clusters: set[str]) -> str:
        """The only cluster that was seen."""
        self.must(len(clusters) == 1, f"not one cluster but these were seen: {', '.join(sorted(clusters))}")
        return next(iter(clusters))

    async def members(self, lab: Lab, *ordinals: int) -> dict[int, str]:
        """Member ids by ordinal, as each Pod tells its own."""
        found: dict[int, str] = {}

        async def told() -> bool:
            for ordinal, decision in zip(ordinals, await asyncio.gather(*map(lab.decision, ordinals)), strict=True):
                found[ordinal] = str(decision["disk"]["member"]) if "disk" in decision else ""
            return all(found.values())

        await lab.until(f"each of {', '.join(map(lab.pod_name, ordinals))} tells its member", told)
        return found

    def must(self, true: bool, what: str) -> None:
        """Go on only if it is so."""
        if not true:
            self.fail(what)

    def fail(self, what: str) -> NoReturn:
        """It is not as it was to be told."""
        raise LabError(f"{what}\n{self.labs[0].told_by_all()}")
