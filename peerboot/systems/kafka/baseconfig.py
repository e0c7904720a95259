"""The user's own keys of ``server.properties``, from PEERBOOT_BASE_CONFIG_FILE, and those that cannot be. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from peerboot.errors import SettingsError

OWNED = (
    "process.roles",
    "node.id",
    "broker.id",
    "controller.quorum.bootstrap.servers",
    "controller.listener.names",
    "inter.broker.listener.name",
    "security.inter.broker.protocol",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "metadata.log.dir",
    "log.dir",
    "log.dirs",
    "broker.rack",
)
UNSAFE = {
    "controller.quorum.voters": "with it an empty disk of a dynamic cluster believes itself a voter, and two of them "
    "elect a leader without data; peerboot writes it where PEERBOOT_KAFKA_QUORUM=static",
    "controller.quorum.auto.join.enable": "a controller that was removed at scale-down would add itself again; "
    "peerboot adds those that belong",
    "broker.id.generation.enable": "node ids come from the ordinals",
    "zookeeper.connect": "peerboot forms KRaft clusters only",
    "zookeeper.metadata.migration.enable": "peerboot forms KRaft clusters only",
}
UNSAFE_VALUES = {
    ("unclean.leader.election.enable", "true"): "a replica that lags would lead, and acknowledged records be lost",
    ("controlled.shutdown.enable", "false"): "each restart would leave partitions without a leader for seconds",
}


def check(base: Mapping[str, object], own: Container[str], brokers: int | None, told_by: str) -> Mapping[str, str]:
    """The user's own keys, each checked; raises ``SettingsError`` for the first that cannot stay."""
    where = "PEERBOOT_BASE_CONFIG_FILE"
    checked: dict[str, str] = {}
    for key, value in base.items():
        text = str(value)
        if key in OWNED or key in own:
            raise SettingsError(f"{key!r} in {where} belongs to peerboot, which has to know it: drop it there")
        if key in UNSAFE:
            raise SettingsError(f"{key!r} in {where} is refused: {UNSAFE[key]}")
        if why := UNSAFE_VALUES.get((key, text.strip().lower())):
            raise SettingsError(f"{key}={text.strip()} in {where} is refused: {why}")
        checked[key] = text
    _check_copies(checked, brokers, told_by, where)
    return checked


def _check_copies(base: Mapping[str, str], brokers: int | None, told_by: str, where: str) -> None:
    """More copies than brokers: topics could not be made, and consumers would wait for ever."""
    for key in _factors(base):
        text = base[key].strip()
        if not (text.isascii() and text.isdigit()) and text != "-1":
            raise SettingsError(f"{key}={text!r} in {where} is not a whole number: write one")
        if brokers is not None and text.isdigit() and int(text) > brokers:
            raise SettingsError(
                f"{key}={text} in {where} is more than the {brokers} brokers of {told_by}: no such topic could be "
                f"made; lower it, or raise {told_by}"
            )


def _factors(base: Mapping[str, Any]) -> Iterable[str]:
    names = ("default.replication.factor", "min.insync.replicas")
    ends = (".topic.replication.factor", "log.replication.factor")
    return [key for key in base if key in names or key.endswith(ends)]
