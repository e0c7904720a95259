"""A small model of a static quorum with disks that get lost: every interleaving within bounds, the real rule asked.

What is modelled: logs, epochs, elections by Raft's rule, what a leader counts of each voter (also of one whose disk is
gone by now), leaders that were deposed and do not know it, what a blank Pod has heard of each other one. Left out:
votes that are forgotten, for an election is one step here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from typing import NamedTuple

from peerboot.model import Disk, Evidence, Facts, Record, Statement, Traits
from peerboot.outside.kafka.values import Quorum, Replica
from peerboot.rules import fixed
from peerboot.systems.kafka import assess
from tests.kafka.test_config import identity, made

LOST = (-1,)
"""In place of what was committed: a leader lacks some of it, or another thing was committed in its place."""
NOW, NOW_MS = 1000.0, 1_700_000_000_000


class Lead(NamedTuple):
    """What one that leads, or believes it, knows of the others."""

    epoch: int
    ends: tuple[int, ...]
    """Where each log ended when it fetched last; -1: it has not fetched from this one."""
    alive: frozenset[int]
    """Those that fetched within the last seconds."""
    mark: int
    """High watermark, -1 before the first commit."""


class World(NamedTuple):
    """Everything at one moment."""

    logs: tuple[tuple[int, ...], ...]
    """Each entry is the epoch that it was written in."""
    epochs: tuple[int, ...]
    up: frozenset[int]
    blank: frozenset[int]
    waited: frozenset[int]
    """Those blank ones that have been so for long enough."""
    words: tuple[tuple[str, ...], ...]
    """By a blank one: what each other has said since."""
    leads: tuple[Lead | None, ...]
    committed: tuple[int, ...]
    left: tuple[int, int, int]
    """How many writes, elections and lost disks may still come."""


def first(count: int, left: tuple[int, int, int]) -> World:
    """All have one entry, which is committed; the first leads."""
    lead = Lead(1, (1,) * count, frozenset(range(count)), 1)
    return World(
        logs=((1,),) * count, epochs=(1,) * count, up=frozenset(range(count)), blank=frozenset(), waited=frozenset(),
        words=(("",) * count,) * count, leads=(lead, *(None,) * (count - 1)), committed=(1,), left=left,
    )  # fmt: skip


Allows = Callable[[int, int, Lead, tuple[str, ...], bool], bool]


@cache
def real_rule(node: int, leader: int, lead: Lead, words: tuple[str, ...], waited: bool) -> bool:
    """Whether peerboot's own code lets this blank disk be formatted, by this leader's word."""
    count = len(words)
    config = made(identity(f"kafka-{node}", count), PEERBOOT_KAFKA_QUORUM="static")
    voters = tuple(
        Replica(
            id=v, directory="", end_offset=lead.ends[v], caught_up_ms=-1,
            fetched_ms=NOW_MS if v == leader else NOW_MS - 100 if v in lead.alive else NOW_MS - 9000,
        )
        for v in range(count)
    )  # fmt: skip
    told = Quorum(leader=leader, epoch=lead.epoch, high_watermark=lead.mark, voters=voters, observers=())
    seen = [assess.Seen(f"kafka-{leader}", "10.0.0.9", "c1", leader, told)]
    view = assess._view(config, seen, (), {}, "", NOW)
    who = config.identity
    heard = {
        f"kafka-{v}": Evidence(
            pod=f"kafka-{v}", at=NOW - 1,
            statement=Statement(
                namespace="prod", service="kafka", statefulset="kafka", system="kafka", pod=f"kafka-{v}", boot="b",
                disk="blank" if word == "blank" else "data", running=word == "data",
            ),
        )
        for v, word in enumerate(words) if word and v != node
    }  # fmt: skip
    facts = Facts(
        now=NOW, identity=who, disk=Disk(kind="blank", since=NOW - (100 if waited else 4)), record=Record(nonce="n"),
        evidence=heard, cluster=view, traits=Traits(admits="started-first", fixed=True),
    )  # fmt: skip
    return view.quorum and fixed.lacks(facts) is None


def put(row: tuple, at: int, value: object) -> tuple:  # type: ignore[type-arg]
    """The same tuple with one other value."""
    return (*row[:at], value, *row[at + 1 :])


def steps(w: World, allows: Allows) -> Iterator[tuple[str, World]]:
    """Everything that may happen next."""
    count = len(w.logs)
    writes, elections, losses = w.left
    for v in range(count):
        lead = w.leads[v]
        if lead is not None and v in w.up:
            yield from _leading(w, v, lead)
        if v in w.up:
            down = w._replace(up=w.up - {v}, leads=put(w.leads, v, None))
            yield f"{v} crashes", down
            if losses:
                yield f"{v} loses its disk", down._replace(
                    logs=put(w.logs, v, ()), epochs=put(w.epochs, v, 0), blank=w.blank | {v}, waited=w.waited - {v},
                    words=put(w.words, v, ("",) * count), left=(writes, elections, losses - 1),
                )  # fmt: skip
            if elections:
                yield from _elected(w, v)
        elif v in w.blank:
            yield from _blank(w, v, allows)
        else:
            yield f"{v} starts", w._replace(up=w.up | {v})
    late = tuple(lead and lead._replace(alive=frozenset()) for lead in w.leads)
    yield "seconds pass", w._replace(leads=late, waited=w.blank)


def _leading(w: World, v: int, lead: Lead) -> Iterator[tuple[str, World]]:
    writes, elections, losses = w.left
    log, count = w.logs[v], len(w.logs)
    if writes:
        yield f"{v} writes", w._replace(logs=put(w.logs, v, (*log, lead.epoch)), left=(writes - 1, elections, losses))
    for f in sorted(w.up - {v}):
        if w.epochs[f] > lead.epoch:
            continue
        met = w._replace(epochs=put(w.epochs, f, lead.epoch), leads=put(w.leads, f, None))
        same = next((i for i, pair in enumerate(zip(log, w.logs[f], strict=False)) if pair[0] != pair[1]),
                    min(len(log), len(w.logs[f])))  # fmt: skip
        for what, end in (("asks", same), ("copies", len(log))):
            known = lead._replace(ends=put(lead.ends, f, end), alive=lead.alive | {f})
            logs = put(w.logs, f, log) if what == "copies" else w.logs
            yield f"{f} {what} {v}", met._replace(logs=logs, leads=put(met.leads, v, known))
    mark = sorted((*lead.ends[:v], len(log), *lead.ends[v + 1 :]))[count - (count // 2 + 1)]
    if mark > lead.mark and mark > 0 and log[mark - 1] == lead.epoch:
        told = max(w.committed, log[:mark], key=len)
        told = told if told[: len(w.committed)] == w.committed and told[:mark] == log[:mark] else LOST
        yield f"{v} commits {mark}", w._replace(leads=put(w.leads, v, lead._replace(mark=mark)), committed=told)


def _elected(w: World, v: int) -> Iterator[tuple[str, World]]:
    writes, elections, losses = w.left
    count = len(w.logs)
    willing = [o for o in w.up - {v} if (w.logs[o][-1:], len(w.logs[o])) <= (w.logs[v][-1:], len(w.logs[v]))]
    for others in combinations(sorted(willing), count // 2):
        # What everybody has forgotten with a disk may come again.
        epoch = max(w.epochs[o] for o in (v, *others)) + 1
        log = (*w.logs[v], epoch)
        told = w.committed if w.logs[v][: len(w.committed)] == w.committed else LOST
        epochs, leads = w.epochs, w.leads
        for o in (v, *others):
            epochs, leads = put(epochs, o, epoch), put(leads, o, None)
        lead = Lead(epoch, put((-1,) * count, v, len(log)), frozenset(), -1)
        yield (
            f"{v} is elected by {others}",
            w._replace(
                logs=put(w.logs, v, log),
                epochs=epochs,
                leads=put(leads, v, lead),
                committed=told,
                left=(writes, elections - 1, losses),
            ),
        )


def _blank(w: World, v: int, allows: Allows) -> Iterator[tuple[str, World]]:
    for o in range(len(w.logs)):
        word = "blank" if o in w.blank else "data" if o in w.up else ""
        if o != v and word and word != w.words[v][o]:
            yield f"{v} hears that {o} is {word}", w._replace(words=put(w.words, v, put(w.words[v], o, word)))
    for leader in w.up:
        lead = w.leads[leader]
        if lead is None:
            continue
        known = lead._replace(ends=put(lead.ends, leader, len(w.logs[leader])))
        if allows(v, leader, known, w.words[v], v in w.waited):
            yield f"{v} is formatted by the word of {leader}", w._replace(blank=w.blank - {v}, waited=w.waited - {v})


def explore(start: World, allows: Allows, most: int) -> tuple[list[str], int]:
    """The shortest way to a loss, empty when there is none, and how many worlds were seen; at most ``most``."""
    before: dict[World, tuple[World, str] | None] = {start: None}
    queue = deque([start])
    while queue and len(before) < most:
        w = queue.popleft()
        for what, then in steps(w, allows):
            if then in before:
                continue
            before[then] = (w, what)
            if then.committed == LOST:
                path, at = [], before[then]
                while at is not None:
                    path.append(at[1])
                    at = before[at[0]]
                return path[::-1], len(before)
            queue.append(then)
    return [], len(before)
