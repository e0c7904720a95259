"""Kafka as two StatefulSets: controllers, and brokers beside them that ask the controllers' Service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from peerboot.lab.cluster import Lab, LabSpec

CONTROLLERS, CONTROLLER_SERVICE = "ctl", "controllers"
BROKERS, BROKER_SERVICE = "brk", "brokers"
BASE = 100
"""Node id of the first broker: the controllers have those from 0 on."""


def controllers_env(brokers: int) -> Mapping[str, str]:
    """Settings of the controllers' Pods, when so many brokers are beside them."""
    return {"PEERBOOT_KAFKA_ROLES": "controller", "PEERBOOT_KAFKA_BROKERS": str(brokers)}


def brokers_env() -> Mapping[str, str]:
    """Settings of the brokers' Pods."""
    return {
        "PEERBOOT_KAFKA_ROLES": "broker",
        "PEERBOOT_KAFKA_CONTROLLERS": CONTROLLER_SERVICE,
        "PEERBOOT_KAFKA_NODE_ID_BASE": str(BASE),
    }


def two_sets(spec: LabSpec, notice: Callable[[str], None] = lambda _text: None) -> tuple[Lab, Lab]:
    """As many controllers as brokers, below one directory; nothing is started."""
    controllers = Lab(
        replace(spec, statefulset=CONTROLLERS, service=CONTROLLER_SERVICE, env=controllers_env(spec.replicas)), notice
    )
    brokers = Lab(
        replace(spec, statefulset=BROKERS, service=BROKER_SERVICE, env=brokers_env(), beside=controllers), notice
    )
    return controllers, brokers
