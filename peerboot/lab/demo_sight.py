"""What the demo's screen shows: every Pod's own words, collected again and again while the story goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peerboot.lab.cluster import Lab

PACE = 0.3
STALLED = 1.0
"""Seconds without an acknowledged write after which the client counts as waiting."""


@dataclass(frozen=True)
class Scene:
    """One part of the story: what is done to the cluster, what to look at, and whose words to follow."""

    number: int
    title: str
    doing: str
    look: str
    who: tuple[str, ...]


@dataclass(frozen=True)
class PodSight:
    """One Pod as it is now."""

    name: str
    phase: str
    """``down`` when there is no Pod."""
    sentence: str
    """Of its status.txt."""
    decision: Mapping[str, Any]
    """``/v1/decision``, empty when it does not answer."""
    fault: str
    """How its DNS misbehaves, empty when it does not."""


@dataclass(frozen=True)
class Told:
    """One line of the ledger of all Pods."""

    at: float
    pod: str
    kind: str
    rule: str
    reason: str


@dataclass(frozen=True)
class Sight:
    """All of it at one moment."""

    elapsed: float
    scene: Scene
    pods: tuple[PodSight, ...]
    ledger: tuple[Told, ...]
    writes: int
    stalled: bool


@dataclass
class Watcher:
    """Looks at all Pods at a steady pace. A Pod's ledger ends with its process; what was told stays known here."""

    labs: Sequence[Lab]
    written: Callable[[], int]
    """How many writes were acknowledged so far."""
    show: Callable[[Sight], None]
    scene: Scene
    clusters: set[str] = field(default_factory=set)
    """Every cluster id that any Pod ever named."""
    began: float = field(default_factory=time.monotonic)
    _began_wall: float = field(default_factory=time.time)
    _ledger: set[Told] = field(default_factory=set)
    _writes: int = 0
    _written: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self.began

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.show(await self.look())
            await asyncio.sleep(PACE)

    async def look(self) -> Sight:
        """One look at everything."""
        pods = [pod for lab in self.labs for pod in await self._pods(lab)]
        writes, now = self.written(), time.monotonic()
        if writes != self._writes:
            self._writes, self._written = writes, now
        ledger = tuple(sorted(self._ledger, key=lambda told: (told.at, told.pod)))
        stalled = bool(writes) and now - self._written > STALLED
        return Sight(self.elapsed, self.scene, tuple(pods), ledger, writes, stalled)

    async def _pods(self, lab: Lab) -> list[PodSight]:
        faults, ordinals = lab.dns.faults(), sorted({*lab.ordinals, *lab.pods})
        decisions = await asyncio.gather(*(lab.decision(ordinal) for ordinal in ordinals))
        pods = []
        for ordinal, decision in zip(ordinals, decisions, strict=True):
            pod, name = lab.pods.get(ordinal), lab.pod_name(ordinal)
            # Before its first pass a Pod has no facts to tell.
            known = pod is not None and "disk" in decision
            if known:
                self._remember(name, decision)
            pods.append(
                PodSight(
                    name=name,
                    phase=pod.phase if pod else "down",
                    sentence=pod.sentence() if pod else "",
                    decision=decision if known else {},
                    fault=faults.get(name, faults.get("*", "")),
                )
            )
        return pods

    def _remember(self, name: str, decision: Mapping[str, Any]) -> None:
        self.clusters |= {decision["disk"]["cluster"], decision["cluster"]["id"]} - {""}
        for entry in decision["ledger"]:
            at = round(entry["wall"] - self._began_wall, 3)
            self._ledger.add(Told(at, name, entry["kind"], entry["rule"], entry["reason"]))
