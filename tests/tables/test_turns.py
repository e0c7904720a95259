"""Turns to stop: every interleaving of what two and three Pods do, by the real rules, that are told to stop at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from peerboot.model import Disk, Evidence, Facts, Identity, Record, Statement
from peerboot.rules.stopping import CHOOSES, next_turn, stopping_first


class Pod(NamedTuple):
    """Where one Pod is: it says that it chooses, hears each other one, takes a turn, hears each again, and stops or
    hears them once more.
    """

    turn: int = 0
    heard: tuple[int | None, ...] = ()
    """The turns of the others as heard in this round, None for not yet."""
    chose: bool = False
    stops: bool = False


World = tuple[Pod, ...]


@cache
def _word(pod: int, turn: int) -> Evidence:
    statement = Statement(
        namespace="prod", service="peers", statefulset="db", system="kafka", pod=f"db-{pod}", boot=f"b{pod}",
        disk="data", turn=turn,
    )  # fmt: skip
    return Evidence(pod=f"db-{pod}", at=1.0, statement=statement)


@cache
def facts(pod: int, turn: int, heard: tuple[int, ...]) -> Facts:
    """What one Pod knows."""
    others = [other for other in range(len(heard) + 1) if other != pod]
    me = Identity(
        namespace="prod", service="peers", statefulset="db", pod=f"db-{pod}", ordinal=pod, system="kafka",
        domain="cluster.local", replicas=len(heard) + 1,
    )  # fmt: skip
    evidence = {f"db-{other}": _word(other, theirs) for other, theirs in zip(others, heard, strict=True)}
    return Facts(
        now=1.0, identity=me, disk=Disk(kind="data"), record=Record(), peers={}, evidence=evidence, turn=turn,  # type: ignore[arg-type]  # nobody asks DNS
    )  # fmt: skip


def steps(world: World, number: int) -> Iterator[Pod]:
    """What one Pod may do next."""
    me = world[number]
    nothing = (None,) * (len(world) - 1)
    if me.stops:
        return
    if me.turn == 0:
        yield Pod(CHOOSES, nothing)
        return
    others = [pod for other, pod in enumerate(world) if other != number]
    for index, known in enumerate(me.heard):
        if known is None:
            heard = (*me.heard[:index], others[index].turn, *me.heard[index + 1 :])
            yield me._replace(heard=heard)
    heard_all = tuple(known for known in me.heard if known is not None)
    if len(heard_all) < len(me.heard):
        return
    knows = facts(number, me.turn, heard_all)
    if not me.chose:
        yield Pod(next_turn(knows), nothing, chose=True)
    else:
        yield me._replace(heard=nothing, stops=not stopping_first(knows))


@pytest.mark.parametrize("pods", [2, 3])
def test_one_at_a_time_and_never_none(pods: int) -> None:
    """However they interleave, no two of them stop before the first is back, and one of them always may go on."""
    start: World = (Pod(),) * pods
    seen, left, most = {start}, [start], 0
    while left:
        world = left.pop()
        most = max(most, sum(pod.stops for pod in world))
        after = [(*world[:number], pod, *world[number + 1 :]) for number in range(pods) for pod in steps(world, number)]
        settled = all(pod.chose and None not in pod.heard for pod in world)
        if settled and not any(pod.stops for pod in world):
            fresh = [
                stopping_first(facts(n, pod.turn, tuple(o.turn for i, o in enumerate(world) if i != n)))
                for n, pod in enumerate(world)
            ]
            assert [len(first) for first in fresh].count(0) == 1, world
        for one in after:
            if one not in seen:
                seen.add(one)
                left.append(one)
    assert most == 1
    assert len(seen) > 30
