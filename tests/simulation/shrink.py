"""A failing schedule made small: fewer events, then fewer Pods, then simpler events, for as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.schedule import Event, Schedule

Fails = Callable[[Schedule], bool]
MOST_RUNS = 120
"""Simulations that shrinking takes at most."""


def shrink(schedule: Schedule, fails: Fails, most: int = MOST_RUNS) -> Schedule:
    """The smallest schedule found that ``fails`` still; the given one must."""
    runs = 0
    while runs < most:
        for smaller in _smaller(schedule):
            runs += 1
            if fails(smaller):
                schedule = smaller
                break
            if runs >= most:
                return schedule
        else:
            return schedule
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Candidates, the boldest first: halves of the events (delta debugging), single ones, Pods, settings, durations."""
    events = schedule.events
    size = len(events) // 2
    while size:
        for start in range(0, len(events), size):
            yield replace(schedule, events=events[:start] + events[start + size :])
        size //= 2
    if schedule.pods > 1:
        yield _without_last_pod(schedule)
    for key in sorted(schedule.environ):
        if key in ("PEERBOOT_REPLICAS_FROM", "PEERBOOT_ANCHOR"):
            environ = {k: v for k, v in schedule.environ.items() if k != key}
            yield replace(schedule, environ=environ, anchored=schedule.anchored and key != "PEERBOOT_ANCHOR")
    for index, event in enumerate(events):
        for simpler in _simpler(event):
            yield replace(schedule, events=(*events[:index], simpler, *events[index + 1 :]))


def _without_last_pod(schedule: Schedule) -> Schedule:
    last = schedule.pods - 1
    events = []
    for event in schedule.events:
        pods = tuple(p for p in event.pods if p != last)
        if pods or not event.pods:
            events.append(replace(event, pods=pods))
    return replace(schedule, pods=last, events=tuple(events))


def _simpler(event: Event) -> Iterator[Event]:
    if len(event.pods) > 1:
        for pod in event.pods:
            yield replace(event, pods=tuple(p for p in event.pods if p != pod))
    if event.lasts > 2.0:
        yield replace(event, lasts=round(event.lasts / 2, 2))
