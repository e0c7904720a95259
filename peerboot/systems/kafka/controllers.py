"""Where the controllers are: in this set, or in one of their own. Pure."""

from __future__ import annotations

import re

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Settings

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123."""


def taken(node: int, whose: str, mine: str) -> str:
    """What is wrong with a cluster where another server has this node's id, for ``ClusterView.unmanaged``."""
    return (
        f"has a {whose} with node id {node}, which would be this {mine}'s too, and ids are unique over all sets. Set "
        "PEERBOOT_KAFKA_NODE_ID_BASE here, to 100 for example, while nothing of this Pod's lies on its disk; else take "
        "the other one away"
    )


def quorum_service(settings: Settings, identity: Identity) -> str:
    """The full name of the controllers' headless Service; raises ``SettingsError``."""
    roles, named = settings.extra["kafka_roles"], settings.extra["kafka_controllers"]
    if roles != "controller" and settings.extra["kafka_brokers"] is not None:
        raise SettingsError(
            f"PEERBOOT_KAFKA_BROKERS is for PEERBOOT_KAFKA_ROLES=controller, and this is {roles}: here the brokers are "
            "PEERBOOT_REPLICAS; drop it"
        )
    if roles != "broker":
        if named:
            raise SettingsError(
                f"PEERBOOT_KAFKA_CONTROLLERS={named} is for PEERBOOT_KAFKA_ROLES=broker, and this is {roles}, whose "
                "own Service is the controllers': drop it, or set the roles"
            )
        return identity.zone
    name, _, namespace = named.partition(".")
    if not LABEL.fullmatch(name) or not LABEL.fullmatch(namespace or "x"):
        raise SettingsError(
            f"PEERBOOT_KAFKA_CONTROLLERS={named!r} is no name of a Service: with PEERBOOT_KAFKA_ROLES=broker it names "
            "the controllers' headless one, as kafka-controllers-peers, or with .NAMESPACE after it"
        )
    if settings.anchor:
        raise SettingsError(
            "PEERBOOT_ANCHOR remembers the birth of a cluster, and brokers of a set of their own form none: set it for "
            "the controllers"
        )
    found = f"{name}.{namespace or identity.namespace}.svc.{identity.domain}"
    if found == identity.zone:
        raise SettingsError(
            f"PEERBOOT_KAFKA_CONTROLLERS={named} is this set's own Service: name that of the controllers' StatefulSet"
        )
    return found
