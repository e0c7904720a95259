"""A schedule: what is done to a set, and when. Data, derived from a seed alone, so that it can be printed, replayed and
shrunk. One line an event.

Half of the seeds draw events at random. The other half tell one of ``STORIES``, with times, Pods and further events
drawn, for some rules need two or three things to happen one after the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

FAULTS_END = 120.0
"""Seconds after which nothing more is done to the set."""


@dataclass(frozen=True)
class Event:
    """One thing that is done to the set."""

    at: float
    kind: str
    pods: tuple[int, ...] = ()
    """Ordinals."""
    lasts: float = 0.0
    amount: float = 0.0
    how: str = ""

    def __str__(self) -> str:
        pods = ",".join(f"db-{i}" for i in self.pods)
        parts = [f"at {self.at:6.2f}", self.kind, pods, self.how]
        parts += [f"amount {self.amount:g}"] if self.amount else []
        parts += [f"for {self.lasts:.2f} s"] if self.lasts else []
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Schedule:
    """A set and what is done to it."""

    seed: int
    pods: int
    events: tuple[Event, ...]
    environ: dict[str, str] = field(default_factory=dict)
    anchored: bool = False
    story: str = "random"

    def __str__(self) -> str:
        more = " ".join(f"{k}={v}" for k, v in sorted(self.environ.items()))
        head = (
            f"seed {self.seed}: {self.pods} pods, {self.story}{', anchored' if self.anchored else ''} {more}".rstrip()
        )
        return "\n".join([head, *(f"  {event}" for event in self.events)])


Draw = random.Random
Story = Callable[[Draw, int], tuple[Event, ...]]

OUTAGES = ("silence", "refused", "unauthorized", "forbidden", "broken")
DNS = ("servfail", "nxdomain", "silence")


def one(draw: Draw, n: int, at: float) -> Event:
    """Any event."""
    kind = draw.choice(KINDS)
    lasts = draw.choice((1.0, 5.0, 15.0, 40.0)) * (0.5 + draw.random())
    pods = tuple(draw.sample(range(n), n))
    some = pods[: draw.choice((1, 1, 1, 2, n))]
    event = Event(at, kind, some, lasts)
    match kind:
        case "loss" | "reorder":
            return replace(event, pods=(), amount=draw.choice((0.05, 0.2, 0.5)))
        case "delay":
            return replace(event, pods=(), amount=draw.choice((0.3, 1.0, 4.0)))
        case "cut":
            return replace(event, pods=pods[:1], how=draw.choice(("all", "all", "one", "one-way")))
        case "stale-dns":
            return replace(event, pods=(), amount=float(draw.randrange(2)), lasts=lasts + 15)
        case "dns-outage":
            return replace(event, pods=(), how=draw.choice(DNS))
        case "api-outage":
            return replace(event, pods=(), how=draw.choice(OUTAGES), lasts=lasts + 10)
        case "crash":
            return replace(event, amount=float(draw.randint(1, 6)), pods=pods[: draw.choice((1, n))], lasts=0.0)
        case "slow-disk":
            return replace(event, amount=draw.choice((0.5, 2.0, 6.0)))
        case "slow-start":
            return replace(event, pods=(), amount=draw.choice((1.0, 5.0)))
        case "clock-jump":
            return replace(event, amount=draw.choice((-86400.0, -3600.0, -5.0, 5.0, 3600.0, 86400.0)), lasts=0.0)
        case "twin":
            return replace(event, pods=pods[:1], how=draw.choice(("own", "same")))
        case "swap":
            return replace(event, pods=pods[:2], how=draw.choice(("back", "back", "stay")))
        case "restore":
            return replace(event, pods=pods[:1], how=draw.choice(("all", "data")))
        case "clone":
            return replace(event, pods=pods[:2], how=draw.choice(("all", "data")))
        case "damage":
            return replace(event, pods=pods[:1], how=draw.choice(("log", "log", "state", "unreadable", "elsewhere")))
        case "scale":
            return replace(event, pods=(), amount=float(draw.randint(1, 5)), how=draw.choice(("", "", "killed")))
        case "hold":
            return replace(event, pods=pods[:1], how=draw.choice(("all", "pod")))
        case "gone-for-good":
            return replace(event, pods=pods[:2], lasts=0.0)
        case "by-hand":
            how = draw.choice(("remove", "remove", "update", "add-learner"))
            return replace(event, pods=pods[:1], how=how, lasts=0.0)
    return event


KINDS = (
    "loss", "delay", "reorder", "cut", "cut", "stale-dns", "dns-outage", "api-outage", "restart", "restart", "crash",
    "crash", "kill-server", "slow-disk", "slow-start", "clock-jump", "twin", "wipe", "wipe", "swap", "restore", "clone",
    "damage", "scale", "hold", "gone-for-good", "by-hand",
)  # fmt: skip


# --------------------------------------------------------------------- stories


def born_twice(draw: Draw, n: int) -> tuple[Event, ...]:
    """First starts that are cut off, some with a lost disk."""
    lost = tuple(range(n))[: draw.randint(0, n - 1)]
    at = 1.5 + draw.random() * 3
    return (
        Event(0.0, "slow-start", (), draw.choice((5.0, 30.0)), draw.choice((2.0, 60.0))),
        Event(at, "restart", tuple(range(n))[: draw.choice((1, n, n))], 1.0 + draw.random() * 5),
        *((Event(at + 8, "wipe", lost, 2.0),) if lost else ()),
    )


def half_born(draw: Draw, n: int) -> tuple[Event, ...]:
    """Some bootstrap while the others are cut off or lose their disks."""
    few = tuple(draw.sample(range(n), max(1, n // 2)))
    rest = tuple(i for i in range(n) if i not in few) or (0,)
    at = 2.0 + draw.random() * 1.5
    return (
        Event(0.0, "crash", rest, 0.0, float(draw.randint(1, 3))),
        Event(at, "wipe", rest, draw.choice((0.5, 20.0))),
        Event(at + 30, "restart", few, 2.0),
        *((Event(at + 70, "restart", few, 2.0),) if draw.random() < 0.5 else ()),
    )


def born_crash(draw: Draw, n: int) -> tuple[Event, ...]:
    """peerboot dies between its birth and its server's start, and the disk is lost or its server's start cut off."""
    who = tuple(draw.sample(range(n), draw.randint(1, n)))
    at = 1.2 + draw.random() * 1.5
    return (
        Event(0.0, "crash", who, 0.0, float(draw.randint(1, 4))),
        Event(0.0, "slow-start", (), 20.0, draw.choice((1.0, 5.0, 60.0))),
        Event(at, "restart", who, draw.choice((0.2, 5.0))),
        Event(at + 15, draw.choice(("restart", "wipe")), who[:1], draw.choice((0.2, 10.0))),
    )


def all_lost(draw: Draw, n: int) -> tuple[Event, ...]:
    """All disks at once, then maybe one comes back."""
    back = (Event(20.0, "restore", (draw.randrange(n),), 40.0 + draw.random() * 40, 0.0, draw.choice(("all", "data"))),)
    return (*(back if draw.random() < 0.6 else ()), Event(30.0, "wipe", tuple(range(n)), draw.choice((1.0, 10.0))))


def came_back(draw: Draw, n: int) -> tuple[Event, ...]:
    """A disk is lost and its member replaced; then the old disk comes back."""
    who = (draw.randrange(n),)
    how = draw.choice(("all", "all", "data"))
    return (Event(20.0, "restore", who, 50.0, 0.0, how), Event(30.0 + draw.random() * 5, "wipe", who, 1.0))


def grown_pair(draw: Draw, n: int) -> tuple[Event, ...]:
    """A voter is added by hand to a cluster of one, for a disk that is another by now."""
    del n
    return (
        Event(20.0, "scale", (), 0.0, 2.0),
        Event(20.05, "by-hand", (1,), 0.0, 0.0, draw.choice(("add-voter", "add-voter", "add-learner"))),
    )


def shrunk(draw: Draw, n: int) -> tuple[Event, ...]:
    """Scaled down and up again, with the API away or a member unhealthy."""
    more: tuple[Event, ...] = ()
    if draw.random() < 0.5:
        more = (Event(29.0 + draw.random() * 3, "api-outage", (), 20.0, 0.0, draw.choice(OUTAGES)),)
    if draw.random() < 0.3:
        more = (*more, Event(27.0, "cut", (0,), 20.0, 0.0, "all"))
    to = float(draw.randint(1, max(1, n - 1)))
    return (
        *more,
        Event(30.0, "scale", (), 0.0, to, draw.choice(("", "", "killed"))),
        Event(80.0, "scale", (), 0.0, float(n)),
    )


def half_shrunk(draw: Draw, n: int) -> tuple[Event, ...]:
    """Scaled down while too few serve to let one go, and back up."""
    return (
        Event(25.0, "restart", (0,), 40.0),
        Event(30.0, "scale", (), 0.0, float(max(1, n - 1))),
        Event(75.0, "scale", (), 0.0, float(n)),
        *((Event(90.0, "wipe", (draw.randrange(n),), 1.0),) if draw.random() < 0.5 else ()),
    )


def stuck_learner(draw: Draw, n: int) -> tuple[Event, ...]:
    """One joins, and is cut off or gone before it is promoted."""
    who = (draw.randrange(n),)
    return (
        Event(20.0, "wipe", who, 1.0),
        Event(20.0, "slow-start", (), 60.0, draw.choice((0.05, 50.0))),
        Event(23.5 + draw.random() * 1.5, draw.choice(("cut", "restart")), who, 70.0, 0.0, "all"),
    )


def two_voters_lost(draw: Draw, n: int) -> tuple[Event, ...]:
    """Several disks one after the other, with a hold or a word of a person."""
    first, second = draw.sample(range(n), 2) if n > 1 else (0, 0)
    return (
        Event(18.0, "hold", (first,), 30.0, 0.0, draw.choice(("all", "pod"))),
        Event(20.0, "wipe", (first,), 1.0),
        Event(30.0 + draw.random() * 40, "wipe", (second,), draw.choice((1.0, 30.0))),
        Event(40.0 + draw.random() * 40, "gone-for-good", (second, first)),
    )


def away(draw: Draw, n: int) -> tuple[Event, ...]:
    """One Pod is away and a person removes it; or its URL is changed, or its lock is held by a former Pod."""
    who = draw.randrange(n)
    other = (who + 1) % n
    kind = draw.choice(("gone", "update", "lock"))
    if kind == "update":
        return (Event(30.0, "by-hand", (who,), 0.0, 0.0, "update"), Event(31.0, "restart", (who,), 1.0))
    if kind == "lock":
        return (Event(30.0, "twin", (who,), 30.0, 0.0, "same"), Event(30.0, "cut", (who,), 10.0, 0.0, "all"))
    return (Event(30.0, "restart", (who,), 50.0), Event(40.0, "gone-for-good", (other, who)))


def other_set(draw: Draw, n: int) -> tuple[Event, ...]:
    """All lost and formed anew, then disks of the first cluster come back, one or more."""
    who = draw.sample(range(n), draw.randint(1, n))
    how = draw.choice(("all", "data"))
    back = tuple(Event(20.0, "restore", (i,), 60.0 + 0.1 * i, 0.0, how) for i in who)
    return (*back, Event(30.0, "wipe", tuple(range(n)), 1.0), Event(79.0, "restart", tuple(range(n)), 3.0))


def unreadable(draw: Draw, n: int) -> tuple[Event, ...]:
    """Files are damaged, with the others there or not."""
    who = draw.randrange(n)
    others = tuple(i for i in range(n) if i != who)
    how = draw.choice(("log", "state", "unreadable", "elsewhere"))
    more = (Event(25.0, "restart", others, 60.0),) if others and draw.random() < 0.5 else ()
    first = (Event(28.0, "wipe", (who,), 0.5),) if how == "state" and draw.random() < 0.7 else ()
    at = 30.0 if not first else 28.9
    return (*more, *first, Event(at, "damage", (who,), 20.0, 0.0, how))


STORIES: dict[str, Story] = {
    "born-twice": born_twice, "half-born": half_born, "born-crash": born_crash, "all-lost": all_lost,
    "came-back": came_back, "grown-pair": grown_pair, "shrunk": shrunk, "half-shrunk": half_shrunk,
    "stuck-learner": stuck_learner, "two-lost": two_voters_lost, "away": away, "other-set": other_set,
    "unreadable": unreadable,
}  # fmt: skip


def of_seed(seed: int) -> Schedule:
    """The schedule of a seed."""
    draw = random.Random(f"peerboot {seed}")  # noqa: S311 - repeatable on purpose
    pods = draw.choice((1, 2, 3, 3, 3, 3, 3, 4, 5))
    environ = {"PEERBOOT_ETCD_CORRUPT_RECHECK": "5s", "PEERBOOT_ETCD_LEARNER_STALL": "30s"}
    anchored = draw.random() < 0.3
    if draw.random() < 0.6:
        environ["PEERBOOT_REPLICAS_FROM"] = "statefulset"
    name = draw.choice(tuple(STORIES)) if draw.random() < 0.5 else "random"
    if name == "grown-pair":
        pods = 1
    elif name in ("shrunk", "half-shrunk", "two-lost", "away"):
        pods = max(pods, 2)
    if anchored:
        environ["PEERBOOT_ANCHOR"] = "configmap:db-anchor"
    events = list(STORIES[name](draw, pods)) if name != "random" else []
    early = draw.random() < 0.3
    for _ in range(draw.choice((0, 0, 1, 2)) if events else draw.randint(1, 6)):
        at = draw.random() * (8.0 if early else 100.0)
        events.append(one(draw, pods, at))
    if anchored and draw.random() < 0.2:
        events.append(Event(draw.random() * 100, "anchor-anew"))
    if draw.random() < 0.02 and name == "random":
        environ["PEERBOOT_REPLICAS"] = ""
    clipped = (replace(e, lasts=max(0.0, min(e.lasts, FAULTS_END - e.at))) for e in events)
    return Schedule(seed, pods, tuple(sorted(clipped, key=lambda e: e.at)), environ, anchored, name)
