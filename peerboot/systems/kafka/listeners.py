"""The cluster's own two listeners, and the further ones for clients: what PEERBOOT_KAFKA_LISTENERS says. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Settings, split_listen
from peerboot.systems.kafka.settings import FIELDS, LISTENER, PROTOCOLS
from peerboot.values import shown

CONTROLLER, INTERNAL = "CONTROLLER", "INTERNAL"
"""Names of the cluster's own two listeners."""
MOST_LISTENERS, MOST_PORT = 16, 65535


@dataclass(frozen=True)
class Listener:
    """One for clients."""

    name: str
    protocol: str
    port: int
    host: str
    """Template."""
    shown_port: str
    """Template."""

    def advertised(self, identity: Identity, pod: str) -> tuple[str, int]:
        """What clients of that pod are told; raises ``ValueError`` and ``KeyError`` for a template that is none."""
        fields = _fields(identity, pod)
        base, plus, rest = self.shown_port.partition("+")
        parts = [part.format(**fields) for part in ((base, rest) if plus else (base,))]
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(self.shown_port)
        return self.host.format(**fields), sum(int(part) for part in parts)


def _fields(identity: Identity, pod: str) -> dict[str, Any]:
    me = identity
    return {
        "pod": pod,
        "ordinal": me.ordinal_of(pod),
        "service": me.service,
        "namespace": me.namespace,
        "domain": me.domain,
    }


def further(settings: Settings, identity: Identity) -> tuple[Listener, ...]:
    """Those for clients, in the order of the setting; raises ``SettingsError``."""
    extra, where = settings.extra, "PEERBOOT_KAFKA_LISTENERS"
    texts = [part.strip() for part in extra["kafka_listeners"].split(",") if part.strip()]
    if texts and extra["kafka_roles"] == "controller":
        raise SettingsError(f"{where} is for brokers, and PEERBOOT_KAFKA_ROLES=controller serves no clients: drop it")
    if len(texts) > MOST_LISTENERS:
        raise SettingsError(f"{where} has {len(texts)} listeners: {MOST_LISTENERS} at most")
    taken = {extra["kafka_controller_port"]: CONTROLLER, extra["kafka_broker_port"]: INTERNAL}
    for name, listen in (("PEERBOOT_LISTEN", settings.listen), ("PEERBOOT_METRICS_LISTEN", settings.metrics_listen)):
        taken[split_listen(name, listen)[1]] = name
    found: list[Listener] = []
    for text in texts:
        one = _listener(text, extra["kafka_host"], where)
        if one.name in (CONTROLLER, INTERNAL):
            raise SettingsError(f"{where}: {one.name} is the name of the cluster's own listener: choose another one")
        if any(one.name == other.name for other in found):
            raise SettingsError(f"{where} has two listeners named {one.name}: give each its own name")
        if one.port in taken:
            raise SettingsError(f"{where}: port {one.port} of {one.name} is that of {taken[one.port]}: choose another")
        _check_advertised(one, identity, where)
        taken[one.port] = one.name
        found.append(one)
    return tuple(found)


def _listener(text: str, host: str, where: str) -> Listener:
    parts = text.split(":")
    if not 3 <= len(parts) <= 5 or not all(parts):
        raise SettingsError(
            f"{where}: {shown(text)} is not {LISTENER}: write it like EXTERNAL:SASL_SSL:9094:{{pod}}.kafka.example.org"
        )
    name, protocol, port = parts[:3]
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,62}", name):
        raise SettingsError(f"{where}: {shown(name)} is no name of a listener: use upper-case letters, digits and _")
    if protocol not in PROTOCOLS:
        raise SettingsError(f"{where}: {name} has protocol {shown(protocol)}: use {' or '.join(PROTOCOLS)}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= MOST_PORT):
        raise SettingsError(f"{where}: {name} has port {shown(port)}: use one from 1 to {MOST_PORT}")
    return Listener(
        name, protocol, int(port), parts[3] if len(parts) > 3 else host, parts[4] if len(parts) > 4 else port
    )


def _check_advertised(one: Listener, identity: Identity, where: str) -> None:
    last = max(identity.ordinal, identity.start + (identity.replicas or 1) - 1)
    pods = [f"{identity.statefulset}-{ordinal}" for ordinal in (last, last + 1)]
    try:
        first, second = (one.advertised(identity, pod) for pod in pods)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise SettingsError(
            f"{where}: {one.name} is told to clients as {shown(f'{one.host}:{one.shown_port}')}, which has an unknown "
            f"field or no number for a port: use {', '.join(FIELDS)} in braces"
        ) from None
    if first == second:
        raise SettingsError(
            f"{where}: clients would be told {first[0]}:{first[1]} for every pod of {one.name}: use {{pod}} or "
            "{ordinal} in its host or port"
        )
    if not 1 <= first[1] <= MOST_PORT:
        raise SettingsError(
            f"{where}: {one.name} of {pods[0]} would have port {first[1]}: use a sum, as 31090+{{ordinal}}, of at most "
            f"{MOST_PORT}"
        )
