"""A set of one, for calls that need a config and nothing else of it."""

from __future__ import annotations

from peerboot.model import Identity, Limits
from peerboot.systems.etcd.config import EtcdConfig


def config_of(host: str) -> EtcdConfig:
    """The config of a set of one whose pod is at this address."""
    identity = Identity(
        namespace="prod", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd",
        domain="cluster.local", replicas=1,
    )  # fmt: skip
    return EtcdConfig(
        identity=identity, data_dir="/data/etcd", wal_dir="", bind="any", peer_host=host, peer_port=2380,
        client_port=2379, metrics_port=2381, base={}, limits=Limits(),
    )  # fmt: skip
