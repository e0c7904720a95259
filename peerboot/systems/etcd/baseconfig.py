"""The user's own keys of etcd's config file: which may stand there. Pure.

With ``--config-file`` etcd ignores every flag and variable, and it accepts unknown keys silently (measured), so each is
checked here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from peerboot.errors import SettingsError
from peerboot.systems.etcd.releases import RENAMED

OWNED = (
    "name",
    "data-dir",
    "wal-dir",
    "listen-peer-urls",
    "listen-client-urls",
    "listen-metrics-urls",
    "initial-advertise-peer-urls",
    "advertise-client-urls",
    "initial-cluster",
    "initial-cluster-state",
    "initial-cluster-token",
    "strict-reconfig-check",
    "pre-vote",
    "enable-grpc-gateway",
)
UNSAFE = {
    "force-new-cluster": "it forms a cluster of one again at every start",
    "unsafe-no-fsync": "it loses acknowledged writes in a crash",
    "discovery": "peerboot does the discovery",
    "discovery-srv": "it lists only Pods that exist now, so the cluster's size would be wrong",
    "discovery-srv-name": "peerboot does the discovery",
    "discovery-proxy": "peerboot does the discovery",
    "discovery-fallback": "peerboot does the discovery",
    "discovery-token": "peerboot does the discovery",
    "discovery-endpoints": "peerboot does the discovery",
    "client-transport-security": "set PEERBOOT_ETCD_CLIENT_TLS_DIR, so that peerboot can ask there too",
    "peer-transport-security": "set PEERBOOT_ETCD_PEER_TLS_DIR, so that peerboot can ask there too",
}
ALLOWED = (
    "auth-token",
    "auth-token-ttl",
    "auto-compaction-mode",
    "auto-compaction-retention",
    "backend-batch-interval",
    "backend-batch-limit",
    "backend-bbolt-freelist-type",
    "bcrypt-cost",
    "cipher-suites",
    "cors",
    "election-timeout",
    "enable-pprof",
    "grpc-keepalive-interval",
    "grpc-keepalive-min-time",
    "grpc-keepalive-timeout",
    "heartbeat-interval",
    "host-whitelist",
    "initial-election-tick-advance",
    "log-format",
    "log-level",
    "log-outputs",
    "log-rotation-config-json",
    "enable-log-rotation",
    "logger",
    "max-concurrent-streams",
    "max-learners",
    "max-request-bytes",
    "max-snapshots",
    "max-txn-ops",
    "max-wals",
    "metrics",
    "quota-backend-bytes",
    "self-signed-cert-validity",
    "snapshot-count",
    "socket-reuse-address",
    "socket-reuse-port",
    "tls-max-version",
    "tls-min-version",
    "feature-gates",
    "v2-deprecation",
    "listen-client-http-urls",
    "enable-v2",
    *RENAMED,
)


def check_base(base: Mapping[str, object]) -> Mapping[str, Any]:
    """The user's own keys, each checked; raises ``SettingsError`` for the first that cannot stay."""
    for key, value in base.items():
        where = "PEERBOOT_BASE_CONFIG_FILE"
        if key in OWNED:
            raise SettingsError(f"{key!r} in {where} belongs to peerboot, which has to know it: drop it there")
        if key in UNSAFE:
            raise SettingsError(f"{key!r} in {where} is refused: {UNSAFE[key]}")
        if key not in ALLOWED and not key.startswith("experimental-"):
            close = difflib.get_close_matches(str(key), (*ALLOWED, *OWNED), n=1, cutoff=0.6)
            hint = f"did you mean {close[0]!r}?" if close else "drop it"
            raise SettingsError(
                f"{key!r} in {where} is no key of etcd 3.4 to 3.7, and etcd would ignore it silently: {hint}"
            )
        if not isinstance(value, str | int | float | bool | list):
            raise SettingsError(f"{key!r} in {where} must be text, a number or true/false")
    return dict(base)
