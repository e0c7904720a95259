"""A schedule is made of its seed alone, and brings every fault."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.storm import schedule
from tests.storm.schedule import Fault

HOUR = 60.0
ROUNDS = 33


def all_faults(seed: str, minutes: float = HOUR) -> list[Fault]:
    """Of as many rounds as an hour has."""
    planned = schedule.make(seed, minutes)
    return [fault for number in range(ROUNDS) for fault in planned.round(number)]


def test_a_seed_replays() -> None:
    """The same seed and minutes give the same faults, whatever was asked before; another seed gives others."""
    planned, again = schedule.make("7", HOUR), schedule.make("7", HOUR)
    assert planned == again
    assert planned.round(5) == [again.round(number) for number in range(6)][5]
    assert all_faults("7") != all_faults("8")


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_every_fault_comes_within_an_hour(seed: str) -> None:
    """And every way of DNS to fail, clocks that are wrong in both directions, and a kill of each kind of several."""
    faults = all_faults(seed)
    assert {fault.kind for fault in faults} == set(schedule.WEIGHTS)
    assert {fault.detail for fault in faults if fault.kind == "dns"} == set(schedule.DNS_MODES)
    assert {fault.detail for fault in faults if fault.kind == "kill-several"} == {"peerboot", "etcd", "pod"}
    skews = {float(fault.detail.partition(" ")[0]) for fault in faults if fault.kind == "skew"}
    assert min(skews) < 0 < max(skews)


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_ten_minutes_bring_nearly_every_fault(seed: str) -> None:
    """So that the storm of each hand-in means something: all but one or two of the rarest."""
    planned = schedule.make(seed, 10.0)
    kinds = Counter(fault.kind for number in range(5) for fault in planned.round(number))
    assert len(kinds) >= len(schedule.WEIGHTS) - 2


def test_only_small_volumes_are_filled() -> None:
    """The others lie on the disk of this machine."""
    planned = schedule.make("7", HOUR)
    filled = {fault.pods for fault in all_faults("7") if fault.kind == "full-disk"}
    assert filled == {(ordinal,) for ordinal in planned.small}


def test_one_peerboot_is_spared_later_on() -> None:
    """Nothing ends the witness's peerboot after the first rounds: its memory is watched."""
    planned = schedule.make("7", HOUR)
    harmless = {"kill-etcd", "pause-etcd", "pause-peerboot", "dns", "skew", "full-disk"}
    first = round(schedule.SPARED_AFTER * HOUR * 60 / schedule.ROUND) + 1
    ended = [
        number
        for number in range(ROUNDS)
        for fault in planned.round(number)
        if planned.witness in fault.pods and fault.kind not in harmless
    ]
    assert 0 < max(ended) < first
