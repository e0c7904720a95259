"""Run one schedule: the real ``run`` in every Pod, writers beside it, the faults, then rest."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from peerboot import act, decide
from peerboot.model import Action, Call, Decision, Done, Facts
from peerboot.systems.etcd.spec import Etcd
from tests.run.turned import run
from tests.run.world import Killed, Pod
from tests.simulation import checkers
from tests.simulation.faults import FAULTS
from tests.simulation.schedule import Event, Schedule
from tests.simulation.world import SimWorld

SETTLE = 240.0
"""Seconds that a set has to come to rest once all faults have stopped."""
PATIENCE = 100.0
"""Seconds after which a set that lacks a majority of its data is left to wait."""
PERSON = 45.0
"""Seconds after which a person does what the refusals ask for, and again."""


HANDED = ("restart", "wipe", "swap", "clone", "damage")
"""Faults that stop Pods for as long as they last."""


@dataclass(frozen=True)
class Result:
    """What became of a schedule."""

    schedule: Schedule
    wrong: tuple[str, ...]
    rules: Mapping[str, int]
    faults: Mapping[str, int]
    actions: Mapping[str, int]
    end: str
    """``serves``, ``waits`` (a majority of the data is gone for good) or ``new`` (all of it)."""
    writes: int
    explained: int
    told: tuple[str, ...]
    digest: str
    """Over everything that happened: the same seed gives the same."""


def simulate(schedule: Schedule, root: Path | None = None) -> Result:
    """Tell one schedule to its end. Files are real, in memory where the machine has such a file system."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in there
    parent = root or (memory if os.access(memory, os.W_OK) else None)
    home = Path(tempfile.mkdtemp(prefix="peerboot-sim-", dir=parent))
    try:
        return run(_told(schedule, home / "set"))
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _told(schedule: Schedule, root: Path) -> Result:
    w = SimWorld(root, schedule.pods, schedule.seed, **_environ(schedule))
    if schedule.anchored:
        w.api.ship()
    with hooked(w):
        try:
            wrong, end = await _story(w, schedule)
        finally:
            wrong_end = checkers.kept(w)
            await w.stop()
    found = tuple(dict.fromkeys((*w.truth.harm, *w.found, *wrong, *wrong_end)))
    lines = (*w.trace.told, *w.trace.removals, *(f"{k} {v}" for k, v in sorted(w.trace.rules.items())), *found)
    text = "\n".join((*lines, *map(str, w.truth.logs.values())))
    return Result(
        schedule, found, dict(w.trace.rules), dict(w.fired), dict(w.trace.actions), end, len(w.truth.acked),
        len(w.truth.explained), tuple(w.trace.told), hashlib.sha256(text.encode()).hexdigest()[:16],
    )  # fmt: skip


def _environ(schedule: Schedule) -> dict[str, str]:
    return dict(schedule.environ)


async def _story(w: SimWorld, schedule: Schedule) -> tuple[list[str], str]:
    if not schedule.environ.get("PEERBOOT_REPLICAS", "x"):
        for pod in w.pods:
            pod.environ.pop("PEERBOOT_REPLICAS")
    for pod in w.pods:
        w.put_up(pod)
    writer = asyncio.create_task(_write(w))
    watcher = asyncio.create_task(_watch(w))
    events = [asyncio.create_task(_event(w, event)) for event in schedule.events]
    try:
        await asyncio.sleep(max((e.at + e.lasts for e in schedule.events), default=0.0) + 20.0)
        await asyncio.gather(*events)
        w.heal()
        w.tell("all faults have stopped")
        for pod in w.pods:
            w.put_up(pod)
        wrong, end = await _rest(w, schedule)
        return [*wrong, *checkers.written(w), *checkers.silent(w)], end
    finally:
        for task in (writer, watcher, *events):
            task.cancel()
        await asyncio.gather(writer, watcher, *events, return_exceptions=True)


async def _event(w: SimWorld, event: Event) -> None:
    await asyncio.sleep(event.at)
    async with contextlib.AsyncExitStack() as hands:
        for ordinal in sorted(event.pods) if event.kind in HANDED else ():  # two hands on one Pod take turns
            await hands.enter_async_context(w.hands[f"db-{ordinal}"])
        if event.kind == "scale":
            await hands.enter_async_context(w.hands["scale"])
        w.tell(str(event))
        await FAULTS[event.kind].do(w, event)


async def _write(w: SimWorld) -> None:
    """A client that writes at whichever server it is led to."""
    number = 0
    while True:
        await asyncio.sleep(0.5 + w.random.random())
        pods = [pod for pod in w.up.values() if pod.server is not None and pod.server.ready]
        if pods:
            number += 1
            w.spawn(_put(w.random.choice(pods).server, f"k{number}"))


async def _put(server: Any, key: str) -> None:
    await server.put(key)


async def _watch(w: SimWorld) -> None:
    """What each volume once had, and how many Pods were wanted when."""
    while True:
        w.note()
        await asyncio.sleep(1.0)


async def _rest(w: SimWorld, schedule: Schedule) -> tuple[list[str], str]:
    """Wait until the set has come to rest; a person does what the refusals say."""
    begun, next_word = w.now, w.now + PERSON
    while not w.settled():
        able = checkers.whole(w) if w.now - begun > PATIENCE else True
        # Before there is a cluster all expected have to be there, and a set that was scaled down meanwhile waits.
        too_few = not schedule.environ.get("PEERBOOT_REPLICAS", "x") or len(w.pods) < schedule.pods
        if able is False or (able is None and too_few):
            return [], "waits"
        if w.now - begun > SETTLE:
            return [f"nothing is in its way, and it does not settle within {SETTLE:g} s:\n{w.told()}"], "stuck"
        if w.now >= next_word:
            next_word += PERSON
            await w.person()
        await asyncio.sleep(0.5)
    return [], "serves" if len(w.truth.served) == 1 else "new"


@contextlib.contextmanager
def hooked(w: SimWorld) -> Iterator[None]:
    """peerboot's own functions, watched: what is decided and done, deaths and slow disks between two actions."""
    perform, call, judge = act.perform, Etcd.call, decide.decide

    def decided(facts: Facts) -> Decision:
        decision = judge(facts)
        w.trace.rules[decision.rule] += 1
        return decision

    def strike(pod: Pod | None, what: str) -> None:
        left = w.deaths.get(pod.name) if pod is not None else None
        if pod is None or left is None:
            return
        w.deaths[pod.name] = left - 1
        if left <= 1:
            del w.deaths[pod.name]
            w.fired["crash"] += 1
            w.tell(f"peerboot of {pod.name} dies after: {what}")
            raise Killed(what)

    async def performed(action: Action, doors: act.Doors) -> Done:
        pod = w.writing_to(doors.output_dir)
        if pod is not None and pod.name in w.slow:
            w.fired["slow-disk"] += 1
            await asyncio.sleep(w.slow[pod.name])
        if isinstance(action, Call) and action.name == "remove" and pod is not None:
            w.found += filter(None, [checkers.removal(w, pod, action)])
        done = await perform(action, doors)
        w.trace.actions[act.name_of(action)] += 1
        if pod is not None:
            rule = pod.node.decision.rule if pod.node is not None else "?"
            w.tell(f"{pod.name} ({rule}): {act.describe(action)}: {done.say or 'done'}")
        strike(pod, act.describe(action))
        return done

    async def called(self: Etcd, http: Any, wanted: Call, *rest: Any) -> Done:
        done = await call(self, http, wanted, *rest)
        pod = next((p for p in w.up.values() if p.node is not None and p.node.doors.system is self), None)
        strike(pod, f"{wanted.name}, not yet written down")
        return done

    tokens = Counter[str]()

    def token(size: int) -> str:
        tokens["hold"] += 1
        return f"{tokens['hold']:0{2 * size}x}"

    with (
        mock.patch.object(act, "perform", performed),
        mock.patch.object(Etcd, "call", called),
        mock.patch.object(decide, "decide", decided),
        mock.patch.object(os, "fsync", return_value=None),
        mock.patch.object(secrets, "token_hex", token),
    ):
        yield
