"""``controller.quorum.voters``: the list of a static quorum (``kraft.version`` 0) in every server's file. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from peerboot.errors import SettingsError

if TYPE_CHECKING:
    from peerboot.systems.kafka.config import KafkaConfig

VOTERS = "controller.quorum.voters"
Quorum = Literal["dynamic", "static", "static-3.8"]
"""``static-3.8``: 3.7 and 3.8, which start with no file whose ``advertised.listeners`` has a controllers' listener."""


def quorum(given: Quorum, roles: str) -> Quorum:
    """The setting, checked against the roles; raises ``SettingsError``."""
    if given != "dynamic" and roles == "broker":
        raise SettingsError(
            f"PEERBOOT_KAFKA_QUORUM={given} is for sets with controllers: brokers of a set of their own run beside a "
            "dynamic quorum only, in this release"
        )
    return given


def adapted(config: KafkaConfig, owned: Mapping[str, str], pods: Sequence[str]) -> dict[str, str]:
    """What peerboot owns in ``server.properties``, for these pods as fixed voters; for none as it is.

    From 3.9 on a controller's place is advertised although the list tells it: when the quorum becomes a dynamic one
    that is where the others find it.
    """
    made = dict(owned)
    if pods:
        del made["controller.quorum.bootstrap.servers"]
        made |= voters(config, pods)
    if config.quorum == "static-3.8":
        places = made.pop("advertised.listeners", "").split(",")
        if told := ",".join(place for place in places if not place.startswith("CONTROLLER:")):
            made["advertised.listeners"] = told
    return made


def voters(config: KafkaConfig, pods: Sequence[str]) -> dict[str, str]:
    """The key that names these pods' controllers, the same text on every server; empty for none."""
    where = ((config.node_of(pod), config.host_of(pod)) for pod in sorted(pods, key=config.node_of))
    listed = [f"{node}@{f'[{host}]' if ':' in host else host}:{config.controller_port}" for node, host in where]
    return {VOTERS: ",".join(listed)} if listed else {}
