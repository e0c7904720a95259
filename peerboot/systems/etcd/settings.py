"""etcd's settings. Light: every peerboot reads the names of all systems' settings, whichever it runs. Pure."""

from __future__ import annotations

from peerboot.values import Setting

FIELDS = ("pod", "ordinal", "service", "namespace", "domain")
"""Of a host that is a template."""
DEFAULT_DATA_DIR = "/data/etcd"
DEFAULT_HOST = "{pod}.{service}.{namespace}.svc.{domain}"

SETTINGS: tuple[Setting, ...] = (
    Setting("PEERBOOT_ETCD_PEER_PORT", "int", "2380", "Port of etcd's peer listener.", low=1, high=65535),
    Setting("PEERBOOT_ETCD_CLIENT_PORT", "int", "2379", "Port of etcd's client listener.", low=1, high=65535),
    Setting(
        "PEERBOOT_ETCD_METRICS_PORT",
        "int",
        "2381",
        "Port of etcd's metrics and health listener, which answers before there is a quorum.",
        low=1,
        high=65535,
    ),
    Setting(
        "PEERBOOT_ETCD_PEER_HOST",
        "text",
        DEFAULT_HOST,
        "Host in peer and client URLs; change it to adopt a cluster that was made with other URLs. Fields: "
        + " ".join(f"{{{f}}}" for f in FIELDS)
        + ".",
    ),
    Setting(
        "PEERBOOT_ETCD_WAL_DIR",
        "path",
        "",
        "A log directory apart from the data directory, if you use one; on the same volume.",
    ),
    Setting(
        "PEERBOOT_ETCD_PEER_TLS_DIR",
        "path",
        "",
        "tls.crt, tls.key and ca.crt of the peer listener: a mounted Secret, which etcd's container has at the same "
        "path. Peers are then verified both ways.",
    ),
    Setting(
        "PEERBOOT_ETCD_CLIENT_TLS_DIR",
        "path",
        "",
        "The same of the client listener, by which peerboot asks too; may be the same directory.",
    ),
    Setting(
        "PEERBOOT_ETCD_CLIENT_AUTH",
        "choice",
        "required",
        "Whether clients have to show a certificate of the client listener's CA.",
        choices=("required", "none"),
    ),
    Setting(
        "PEERBOOT_ETCD_ROOT_PASSWORD_FILE",
        "path",
        "",
        "The password of etcd's user `root`, where etcd asks for one (`etcdctl auth enable`). peerboot logs in when it "
        "is asked to.",
        secret=True,
    ),
    Setting(
        "PEERBOOT_ETCD_LOGIN_WITHOUT_TLS",
        "choice",
        "refused",
        "`allowed`: peerboot sends that password over the network as it is, to whoever has a Pod's address. For a "
        "cluster that is taken over and asks for passwords without TLS, as its other clients send theirs.",
        choices=("refused", "allowed"),
    ),
    Setting(
        "PEERBOOT_ETCD_VERSION",
        "text",
        "",
        "The release of etcd's image, `3.6` or longer. With it a Pod whose etcd is more than one minor release "
        "newer than its cluster is refused before it starts: a blank 3.6 that joins a cluster of 3.4 ends it.",
    ),
    Setting(
        "PEERBOOT_ETCD_CORRUPT_RECHECK",
        "duration",
        "30s",
        "How long data must read as corrupt before it is replaced; a slow mount looks the same.",
        unit="duration",
    ),
    Setting(
        "PEERBOOT_ETCD_LEARNER_STALL",
        "duration",
        "5m",
        "A learner without progress for so long is removed, because it blocks all who want to join.",
        unit="duration",
    ),
)
