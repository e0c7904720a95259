"""Every connection of peerboot's to a broker or controller of this set begins here, so that all are made alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from peerboot.systems.kafka.config import KafkaConfig

if TYPE_CHECKING:
    from peerboot.outside.kafka import Bounds, Kafka

Kind = Literal["controller", "broker"]


def connect(config: KafkaConfig, pod: str, address: str, kind: Kind, bounds: Bounds | None = None) -> Kafka:
    """A client of one server, by the address of its pod; use it with ``async with``.

    With TLS the certificate has to name the host that the pod advertises, not the address; that of a controller of
    another set, whose pod is not known, the Service by which Kafka finds it as well.
    """
    from peerboot.outside.kafka import Address, Kafka, Login

    port = config.controller_port if kind == "controller" else config.broker_port
    name = config.host_of(pod) if pod else config.quorum_service
    security = config.security
    tls = security.material.trust if security.own.endswith("SSL") else None
    said = security.login(kind)
    login = Login(*said) if said else None
    where = [Address(address, port)]
    return Kafka(where, kind=kind, tls=tls, tls_name=name, login=login, bounds=bounds, follow=False)
