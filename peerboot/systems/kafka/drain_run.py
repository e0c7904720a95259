"""Draining, carried out: a batch at a time, each watched to its end, and nothing left behind when it stops half-way.

Whatever was planned is asked of the cluster anew before each round, so it may be killed at any line and run again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from peerboot.errors import RefusedError, SystemApiError
from peerboot.outside.clock import Clock
from peerboot.systems.kafka import drain, survey, throttle
from peerboot.systems.kafka.drain import Step, count, who
from peerboot.systems.kafka.reach import Brokers
from peerboot.systems.kafka.survey import Survey

if TYPE_CHECKING:
    from peerboot.outside.kafka import Kafka
    from peerboot.outside.kafka.values import ConfigChange, Failure

BATCH = 50
"""Partitions that move at the same time."""
ROUNDS = 5
"""How often what is there at the end is looked at again: Kafka puts new topics on any broker that is not cordoned."""
POLL = 1.0
STALL = 600.0
"""Seconds without any progress after which a batch counts as hanging."""
SETTLE = 10.0
"""Seconds in which brokers have heard of what the controllers committed."""
BLIND = 3600.0
"""The same where nobody can be asked what was copied, as with brokers of another StatefulSet."""
TELL = 5.0
"""Seconds between two lines of progress."""
CLEAN = 30.0
"""Seconds that tidying up may take."""
GONE = (3, 85)
"""The topic was deleted meanwhile; there is nothing to cancel."""


@dataclass(frozen=True)
class Wish:
    """What the person asked for."""

    nodes: Mapping[int, str]
    """The brokers to drain, and how they were called."""
    rate: int = 0
    """Bytes in a second; 0: as fast as it goes."""

    @property
    def called(self) -> str:
        """``broker 3 (kafka-3)``."""
        return " and ".join(who(node, name) for node, name in self.nodes.items())


@dataclass
class Progress:
    """How far it is, and how long it will take at the pace so far."""

    began: float
    parts: int = 0
    size: int = 0
    done: int = 0
    moved: int = 0

    def line(self, now: float, copied: int) -> str:
        """For a person: ``12/96 partitions, 1.2 GB of 9.6 GB, 48.0 MB/s, about 3 min left``."""
        words = [f"{self.done}/{count(self.parts, 'partition')}"]
        moved, took = min(self.moved + copied, self.size), max(now - self.began, 0.001)
        if self.size:
            words.append(f"{drain.amount(moved)} of {drain.amount(self.size)}")
        if self.size and moved:
            words.append(throttle.shown(int(moved / took)))
        share = moved / self.size if self.size and moved else self.done / self.parts if self.parts else 1.0
        if 0 < share < 1:
            words.append(f"about {_span(took * (1 - share) / share)} left")
        return ", ".join(words)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def refuse(found: Survey, wish: Wish) -> None:
    """Raise ``RefusedError`` for the first reason not to begin."""
    unknown = [node for node in wish.nodes if node not in found.brokers and not drain.held(found.parts, [node])]
    if unknown:
        raise RefusedError(
            f"{who(unknown[0], wish.nodes[unknown[0]])} is not registered in cluster {found.cluster} and has no "
            f"replicas: name one of {', '.join(map(str, sorted(found.brokers)))}"
        )
    for reason in (drain.foreign, drain.too_few, drain.stuck, drain.lame):
        if say := reason(found.parts, found.brokers, wish.nodes):
            raise RefusedError(f"{wish.called} cannot be drained now: {say}")
    if say := drain.too_full(drain.steps(found.parts, found.brokers, wish.nodes), found.brokers):
        raise RefusedError(f"{wish.called} cannot be drained now: {say}")
    if wish.rate and found.throttles.standing:
        raise RefusedError(
            f"--throttle is refused: the topic {found.throttles.standing} has a limit on replication that is meant to "
            "stay (its list is *), and one number cannot be two limits: run it without, the limit holds for it too"
        )
    if wish.rate and found.moves and (found.throttles.rates or found.throttles.lists) and not _ours(found, wish):
        raise RefusedError(
            "--throttle is refused: another reassignment is under way with a limit of its own: wait until it has ended"
        )


def closable(found: Survey, wish: Wish, brokers: Brokers) -> tuple[int, ...]:
    """Those that can be cordoned: the broker itself takes it; the controllers take only the end of it (on 4.3.1)."""
    if not found.cordons:
        return ()
    return tuple(n for n in wish.nodes if n in found.brokers and found.brokers[n].alive and brokers.reaches(n))


def _ours(found: Survey, wish: Wish) -> bool:
    """Whether every reassignment under way is of a partition that is drained here."""
    mine = {(part.topic, part.index) for part in drain.held(found.parts, wish.nodes)}
    return set(found.moves) <= mine


@dataclass
class Drain:
    """One run."""

    brokers: Brokers
    wish: Wish
    clock: Clock
    tell: Callable[[str], None]
    progress: Progress = field(default_factory=lambda: Progress(0.0))
    limited: set[int] = field(default_factory=set)
    """Brokers that got a rate from this run."""
    listed: Sequence[Step] = ()
    """Moves whose topics have lists of this run."""
    under_way: dict[tuple[str, int], Step] = field(default_factory=dict)
    tidy: bool = True
    """Nothing of this run is left behind; False: it could not see to that."""

    async def run(self, found: Survey) -> None:
        """Until they hold nothing. Raises ``SystemApiError``; what was begun is tidied up also when it is cancelled."""
        self.progress.began = self.clock.now()
        # Once the limits of an earlier run are gone, its moves must not go on alone.
        self.under_way = self._adopted(found)
        try:
            await self._prepare(found)
            for number in range(ROUNDS):
                await self._round(found)
                found = await self._looked_again()
                if not drain.held(found.parts, self.wish.nodes):
                    return
                if number + 1 < ROUNDS:
                    refuse(found, self.wish)
                    self.tell("New replicas were placed there meanwhile, or moves were cancelled: once more.")
        finally:
            await self._tidy()
        left = drain.held(found.parts, self.wish.nodes)
        raise SystemApiError(
            f"{self.wish.called} still holds {count(len(left), 'partition')} after {ROUNDS} rounds, as {left[0].name}: "
            "something places new replicas there all the time; stop that (no new topics), and run it again"
        )

    # -------------------------------------------------------------- before

    async def _prepare(self, found: Survey) -> None:
        """An earlier run's limits end, the brokers get no more replicas."""
        if not found.moves or _ours(found, self.wish):
            await self._alter(found.throttles.leftovers())
        for node in closable(found, self.wish, self.brokers):
            await self._changed([throttle.cordon(node)], partial(self.brokers.one, node))

    async def _alter(self, changes: Sequence[ConfigChange]) -> None:
        """A broker's settings by the controllers, for no broker takes those of another; topics' by any broker."""
        from peerboot.outside.kafka.values import BROKER

        await self._changed([one for one in changes if one.kind == BROKER], self.brokers.leader)
        await self._changed([one for one in changes if one.kind != BROKER], self.brokers.any)

    async def _changed(
        self,
        changes: Sequence[ConfigChange],
        ask: Callable[[Callable[[Kafka], Awaitable[tuple[Failure, ...]]]], Awaitable[tuple[Failure, ...]]],
    ) -> None:
        from peerboot.outside.kafka import KafkaError

        if not changes:
            return
        try:
            told = await ask(lambda kafka: kafka.alter_configs(changes))
        except KafkaError as error:
            raise SystemApiError(f"a setting was not changed: {error}: run it again") from None
        failed = [one for one in told if one.code not in GONE]
        if failed:
            raise SystemApiError(f"the settings of {failed[0].name} were not changed: {failed[0].message}")

    # --------------------------------------------------------------- rounds

    async def _round(self, found: Survey) -> None:
        """Everything that is there now, a batch at a time; first what an earlier run began."""
        self.under_way = self._adopted(found)
        adopted = tuple(self.under_way.values())
        todo = drain.steps(found.parts, found.brokers, self.wish.nodes)
        self.progress.parts += len(todo) + len(adopted)
        self.progress.size += sum(max(step.size, 0) for step in (*todo, *adopted))
        if adopted:
            # They all move already, however many they are.
            await self._limit(adopted, found)
            await self._end(adopted)
        for batch in drain.batches(todo, BATCH):
            await self._limit(batch, found)
            await self._begin(batch)
            await self._end(batch)

    def _adopted(self, found: Survey) -> dict[tuple[str, int], Step]:
        return {
            (part.topic, part.index): Step(
                topic=part.topic, index=part.index, before=part.before, after=part.replicas, size=part.size
            )
            for part in drain.held(found.parts, self.wish.nodes)
            if drain.adopted(part, self.wish.nodes, found.brokers)
        }

    async def _limit(self, batch: Sequence[Step], found: Survey) -> None:
        if self.wish.rate:
            nodes = {node for step in batch for node in (*step.before, *step.added)} & set(found.brokers)
            self.limited |= nodes
            self.listed = batch
            await self._alter([*throttle.limit(nodes, self.wish.rate), *throttle.listed(batch, add=True)])

    async def _end(self, batch: Sequence[Step]) -> None:
        await self._watch(self.under_way)
        if self.wish.rate:
            await self._alter(throttle.listed(batch, add=False))
            self.listed = ()

    async def _looked_again(self) -> Survey:
        """What is there now. A broker's own list is behind the controllers' by moments, in which an ended move looks as
        if it had not begun.
        """
        until = self.clock.now() + SETTLE
        while True:
            found = await survey.whole(self.brokers, self.wish.nodes)
            if not drain.held(found.parts, self.wish.nodes) or self.clock.now() >= until:
                return found
            await self.clock.sleep(POLL)

    async def _begin(self, batch: Sequence[Step]) -> None:
        from peerboot.outside.kafka import KafkaError

        self.under_way = {(step.topic, step.index): step for step in batch}
        moves = {key: step.after for key, step in self.under_way.items()}
        try:
            refused = await self.brokers.any(lambda kafka: kafka.alter_reassignments(moves))
        except KafkaError as error:
            if not error.sent:
                self.under_way = {}
                raise SystemApiError(f"the moves were not begun: {error}: run it again") from None
            # It may have arrived: what is under way is seen, and what is not is planned again.
            self.tell(f"Nobody said whether these moves were begun ({error}); looking.")
            return
        for one in refused:
            self.under_way.pop((one.topic, one.partition), None)
            self.progress.done += one.code in GONE
        bad = [one for one in refused if one.code not in GONE]
        if bad:
            raise SystemApiError(f"{bad[0].topic}-{bad[0].partition} was not moved: {bad[0].message}: run it again")

    async def _watch(self, under_way: dict[tuple[str, int], Step]) -> None:
        """Until none of these is under way any more, with a line of progress now and then."""
        from peerboot.outside.kafka import KafkaError

        moved_at = told_at = self.clock.now()
        seen, trouble, blind = 0, "", False
        while under_way:
            asked: dict[str, list[int]] = {}
            for topic, index in under_way:
                asked.setdefault(topic, []).append(index)
            try:
                moves = await self.brokers.any(lambda kafka, asked=asked: kafka.list_reassignments(asked))  # type: ignore[misc]
                ended, trouble = set(under_way) - {(move.topic, move.partition) for move in moves}, ""
            except KafkaError as error:
                ended, trouble = set(), str(error)
            for key in ended:
                step = under_way.pop(key)
                self.progress.done += 1
                self.progress.moved += max(step.size, 0)
            now = self.clock.now()
            due = bool(ended) or now - told_at >= TELL
            copied = await self._copied(under_way) if due else None
            blind = copied is None if due else blind
            if ended or (copied is not None and copied > seen):
                moved_at, seen = now, copied or 0
            if due:
                told_at = now
                self.tell(self.progress.line(now, copied or 0) + (f"; no answer: {trouble}" if trouble else ""))
            if under_way and now - moved_at >= (BLIND if blind and not trouble else STALL):
                raise SystemApiError(await self._hang(under_way, trouble, now - moved_at))
            if under_way:
                await self.clock.sleep(POLL)

    async def _copied(self, under_way: Mapping[tuple[str, int], Step]) -> int | None:
        """Bytes that those who get them have; None where none can be asked."""
        wanted: dict[int, dict[str, list[int]]] = {}
        for step in under_way.values():
            for node in step.added:
                wanted.setdefault(node, {}).setdefault(step.topic, []).append(step.index)
        found = await survey.copied(self.brokers, wanted)
        return None if found is None else sum(found.values())

    async def _hang(self, under_way: Mapping[tuple[str, int], Step], trouble: str, seconds: float) -> str:
        from peerboot.outside.kafka import KafkaError

        names = [step.name for step in under_way.values()]
        some = ", ".join(names[: drain.NAMED]) + (f" and {len(names) - drain.NAMED} more" if len(names) > 3 else "")
        dead: list[int] = []
        try:
            alive = {node.id for node in (await self.brokers.any(lambda kafka: kafka.metadata([]))).brokers}
            dead = sorted({node for step in under_way.values() for node in step.after} - alive)
        except KafkaError as error:
            trouble = str(error)
        if dead:
            why, do = (
                f"broker {dead[0]}, which is to have them, is down",
                "start it, or run it again, which then says more",
            )
        elif trouble:
            why, do = f"no broker answers ({trouble})", "bring the brokers back and run it again"
        else:
            why, do = (
                "nothing was copied",
                "look at the logs of the brokers that get them and of the leaders, run it again",
            )
        return f"{some} did not move for {int(seconds)} s: {why}: {do}"

    # ---------------------------------------------------------------- after

    async def _tidy(self) -> None:
        """What is under way is cancelled, and limits end: a move that lost its limit would run at full speed."""
        try:
            async with asyncio.timeout(CLEAN):
                await self._cancel()
                await self._alter([*throttle.listed(self.listed, add=False), *throttle.unlimit(self.limited)])
        except (TimeoutError, SystemApiError) as error:
            self.tidy = False
            why = str(error) or f"not done within {CLEAN:g} s"
            self._say(f"Could not tidy up ({why}): moves and limits may still be there; the next run ends them.")

    def _say(self, text: str) -> None:
        """Tell it to whom is still there: that nobody reads any more is one of the reasons to be here."""
        with contextlib.suppress(OSError):
            self.tell(text)

    async def _cancel(self) -> None:
        from peerboot.outside.kafka import KafkaError

        if not self.under_way:
            return
        moves = dict.fromkeys(self.under_way)
        try:
            await self.brokers.any(lambda kafka: kafka.alter_reassignments(moves))
        except KafkaError as error:
            raise SystemApiError(str(error)) from None
        self._say(f"{count(len(moves), 'move')} under way cancelled; those partitions are as they were.")
