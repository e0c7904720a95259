"""A broker that runs and that its controllers' leader does not hear of. Pure but for what it remembers.

Seen with 3.9.2, three of them at once, after all controllers and brokers had been killed: a broker that has not fetched
from the leader within ``controller.quorum.fetch.timeout.ms`` (2 s) of hearing of it asks the controllers' Service alone
from then on, over a connection that leads to one controller, and never the leader (KAFKA-19354). Started again it knows
the leader from its ``quorum-state``, and asks it at once.
"""

from __future__ import annotations

import msgspec

from peerboot.model import ClusterView, Finding
from peerboot.systems.kafka.config import KafkaConfig

PATIENCE = 60.0
"""Seconds. A broker that reads its logs through before it serves fetches from the leader all the while."""


class Unheard:
    """Since when, in the seconds of ``now``."""

    def __init__(self) -> None:
        self._since: float | None = None

    def told(self, config: KafkaConfig, view: ClusterView, *, runs: bool, now: float) -> ClusterView:
        """The view, with a sentence once it has lasted. ``runs``: the own server holds its directories."""
        own = config.identity.pod
        if not runs or not view.quorum or any(member.pod == own for member in view.members):
            self._since = None
            return view
        self._since = now if self._since is None else self._since
        if now - self._since < PATIENCE:
            return view
        say = (
            f"The broker of {own} has run for more than {PATIENCE:.0f} s and the leader of its controllers has not "
            "heard of it. Where it may reach the controllers, and its log repeats that it does not know the high water "
            "mark, it asks one that does not lead, for ever (KAFKA-19354, Kafka 3.9 to 4.1). Restart it: "
            f"`kubectl delete pod {own}`; it keeps its disk."
        )
        found = Finding(name="broker-unheard", say=say, pod=own)
        return msgspec.structs.replace(view, findings=(found, *view.findings))
