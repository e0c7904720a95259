"""Which faults come when, of a seed alone: the same seed and minutes give the same schedule.

A storm goes in rounds. In each the faults come on top of one another for a while; then there is a calm until all have
settled, and the next one begins. So how long a cluster takes to settle is measured many times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

BLOWS = 75.0
"""Seconds of a round in which faults begin."""
PAUSE = (0.5, 6.0)
"""Seconds between two faults."""
ROUND = 110.0
"""Seconds of a round and its calm, about: how many there will be is known only at the end."""
SPARED_AFTER = 0.4
"""The share of a storm after whose rounds one Pod's peerboot is not ended any more, for its memory is watched."""

WEIGHTS = {
    "kill-peerboot": 12,
    "kill-etcd": 12,
    "kill-pod": 8,
    "kill-several": 6,
    "power-cut": 2,
    "pause-etcd": 8,
    "pause-peerboot": 8,
    "wipe": 10,
    "wipe-several": 4,
    "dns": 12,
    "skew": 8,
    "full-disk": 6,
    "delete": 4,
    "force-delete": 4,
    "roll-out": 2,
    "scale": 4,
}
DNS_MODES = ("servfail", "refused", "nxdomain", "silent", "lossy", "garbage", "truncated", "stale")
SKEWS = (-31536000.0, -86400.0, -3600.0, -30.0, -2.0, 0.0, 2.0, 30.0, 3600.0, 86400.0, 31536000.0)
FILLS = ("fills", "etcd", "pod")
"""A full disk: what runs goes on, or etcd or the whole Pod is killed and has to start on it."""
PACES = (0.8, 0.9, 1.0, 1.0, 1.1, 1.25)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    at: float
    """Seconds after the round began."""
    kind: str
    pods: tuple[int, ...]
    lasts: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        """One line of the schedule."""
        pods = ",".join(map(str, self.pods))
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.at:6.1f} s  {self.kind:14} {pods}{f' {self.detail}' if self.detail else ''}{lasts}"


@dataclass(frozen=True)
class Schedule:
    """Everything that a storm does of its own."""

    seed: str
    minutes: float
    replicas: int
    small: tuple[int, ...]
    """Ordinals with a volume that is small enough to be filled."""
    witness: int
    """The ordinal whose peerboot is spared in later rounds."""

    def round(self, number: int) -> list[Fault]:
        """The faults of one round, the first of which is 0."""
        late = number * ROUND >= SPARED_AFTER * self.minutes * 60
        return list(self._faults(random.Random(f"{self.seed}/round {number}"), late))  # noqa: S311 - a seed replays

    def _faults(self, chance: random.Random, late: bool) -> Iterator[Fault]:
        at = 0.0
        while at < BLOWS:
            kind = chance.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
            fault = self._fault(chance, at, kind)
            if not (late and self._ends_witness(fault)):
                yield fault
            # Now and then several things happen at the same moment.
            at += 0.0 if chance.random() < 0.15 else chance.uniform(*PAUSE)

    def _ends_witness(self, fault: Fault) -> bool:
        harmless = fault.kind in ("kill-etcd", "pause-etcd", "pause-peerboot", "dns", "skew", "full-disk")
        return self.witness in fault.pods and not harmless

    def _fault(self, chance: random.Random, at: float, kind: str) -> Fault:
        every = tuple(range(self.replicas))
        one = (chance.randrange(self.replicas),)
        some = tuple(sorted(chance.sample(every, chance.randint(2, self.replicas // 2 + 1))))
        match kind:
            case "power-cut":
                return Fault(at, kind, every)
            case "roll-out":
                return Fault(at, kind, tuple(reversed(every)))
            case "kill-several":
                return Fault(at, kind, some, detail=chance.choice(("peerboot", "etcd", "pod")))
            case "wipe-several":
                return Fault(at, kind, some[: chance.randint(2, 4)])
            case "pause-etcd" | "pause-peerboot":
                pods = one if chance.random() < 0.7 else some
                return Fault(at, kind, pods, chance.uniform(0.5, 20.0))
            case "dns":
                pods = every if chance.random() < 0.5 else some
                return Fault(at, kind, pods, chance.uniform(3.0, 40.0), chance.choice(DNS_MODES))
            case "scale":
                fewer = chance.randint(1, 3)
                return Fault(at, kind, every[-fewer:], chance.uniform(5.0, 30.0), f"to {self.replicas - fewer}")
            case "skew":
                return Fault(at, kind, one, detail=f"{chance.choice(SKEWS):g} x{chance.choice(PACES):g}")
            case "full-disk":
                return Fault(at, kind, (chance.choice(self.small),), chance.uniform(5.0, 30.0), chance.choice(FILLS))
            case _:
                return Fault(at, kind, one)


def make(seed: str, minutes: float, replicas: int = 9) -> Schedule:
    """The schedule of a seed."""
    chance = random.Random(f"{seed}/who")  # noqa: S311 - a seed replays
    small = tuple(sorted(chance.sample(range(replicas), max(1, replicas // 3))))
    return Schedule(seed, minutes, replicas, small, chance.randrange(replicas))
