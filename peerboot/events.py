"""Each change of decision as an Event of this Pod, for ``kubectl describe pod``; only with PEERBOOT_EVENTS=pod.

They are told, never relied upon: one attempt each, at most one in ten seconds, a few kept while the API is silent.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from peerboot.printing import one_line
from peerboot.report import sentence

if TYPE_CHECKING:
    from peerboot.model import Decision, Identity
    from peerboot.outside.clock import Clock
    from peerboot.outside.kubernetes import Kubernetes

PAUSE = 10.0
"""Seconds between two events."""
LONG = 10.0
"""A wait that has stood for so long is a warning."""
KEPT = 8
MESSAGE = 1024
"""Characters that the API takes (events.k8s.io/v1: note)."""


@dataclass
class _Change:
    """One decision, from its first moment."""

    decision: Decision
    at: float
    wall: float
    told: str = ""
    """The type under which it was told last."""

    def type(self, now: float) -> str:
        """``Normal``, or ``Warning`` for what keeps a server from starting."""
        kind = self.decision.kind
        return "Warning" if kind == "refuse" or (kind == "wait" and now - self.at >= LONG) else "Normal"


class Events:
    """Tells what ``note`` was told."""

    def __init__(self, identity: Identity, kubernetes: Kubernetes, clock: Clock) -> None:
        self._identity = identity
        self._kubernetes = kubernetes
        self._clock = clock
        self._waiting: deque[_Change] = deque(maxlen=KEPT)
        self._last: _Change | None = None

    def note(self, decision: Decision) -> None:
        """Take the decision of a pass; another kind or rule than before will be told."""
        last = self._last
        if last is not None and (last.decision.kind, last.decision.rule) == (decision.kind, decision.rule):
            last.decision = decision
            return
        self._last = _Change(decision, self._clock.now(), self._clock.wall())
        self._waiting.append(self._last)

    async def loop(self) -> None:
        """Tell one after the other."""
        while True:
            told = await self.tell_next()
            await self._clock.sleep(PAUSE if told else 0.5)

    def _next(self) -> _Change | None:
        """The oldest change that was not told; else a wait that has become a long one."""
        if self._waiting:
            return self._waiting.popleft()
        last = self._last
        return last if last is not None and last.told != last.type(self._clock.now()) else None

    async def tell_next(self) -> bool:
        """One attempt to tell what is due. The door says once that it cannot; an event that is lost is lost."""
        from peerboot.outside.kubernetes import KubernetesError

        change = self._next()
        if change is None:
            return False
        now, last = self._clock.now(), change is self._last
        # What was over before it could be told did not last.
        change.told = change.type(now if last else change.at)
        with contextlib.suppress(KubernetesError):
            await self._kubernetes.create_event(msgspec.json.encode(self._event(change)))
        return True

    def _event(self, change: _Change) -> dict[str, object]:
        """core/v1 Event."""
        who, decision = self._identity, change.decision
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{who.pod}.", "namespace": who.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": who.namespace,
                "name": who.pod,
                "uid": who.uid,
            },
            "type": change.told,
            "reason": "".join(part.capitalize() for part in decision.rule.split("-")),
            "message": one_line(sentence(decision), MESSAGE),
            "source": {"component": "peerboot"},
            "reportingComponent": "peerboot",
            "reportingInstance": who.pod,
            "firstTimestamp": _stamp(change.wall),
            "lastTimestamp": _stamp(change.wall if change is not self._last else self._clock.wall()),
            "count": 1,
        }


def _stamp(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
