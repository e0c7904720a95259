"""Kafka's settings. Light: every peerboot reads the names of all systems' settings, whichever it runs. Pure."""

from __future__ import annotations

from peerboot.values import Setting

DEFAULT_HOST = "{pod}.{service}.{namespace}.svc.{domain}"
DEFAULT_DATA_DIR = "/var/lib/kafka/data/metadata"
DEFAULT_LOG_DIRS = "/var/lib/kafka/data/logs"
MOST_NODE = (1 << 31) - 1
FIELDS = ("pod", "ordinal", "service", "namespace", "domain")
"""Of the hosts and ports that are templates."""
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
LISTENER = "NAME:PROTOCOL:PORT[:HOST[:ADVERTISED PORT]]"

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "PEERBOOT_KAFKA_ROLES",
        "choice",
        "combined",
        "What each Pod's server is: broker and controller in one, or only one of them, and then the other is a "
        "StatefulSet of its own.",
        choices=("combined", "controller", "broker"),
    ),
    Setting(
        "PEERBOOT_KAFKA_CONTROLLERS",
        "text",
        "",
        "For brokers of a set of their own: the name of their controllers' headless Service, or NAME.NAMESPACE.",
    ),
    Setting(
        "PEERBOOT_KAFKA_BROKERS",
        "int",
        "",
        "For controllers of a set of their own, which give new topics their number of copies: how many brokers there "
        "are; three or more if it is not told.",
        low=1,
        high=MOST_NODE,
    ),
    Setting(
        "PEERBOOT_KAFKA_QUORUM",
        "choice",
        "dynamic",
        "How a new cluster keeps its controllers' voters: in its log, or as a static list in every server's file, "
        "which never changes (static-3.8: for Kafka 3.7 and 3.8). What a cluster that is there has counts more.",
        choices=("dynamic", "static", "static-3.8"),
    ),
    Setting(
        "PEERBOOT_KAFKA_LOG_DIRS",
        "text",
        DEFAULT_LOG_DIRS,
        "The broker's log directories, separated by commas, on the volume of the data directory or on others that both "
        "containers mount. The data directory, which holds the controller's metadata, is none of them.",
    ),
    Setting(
        "PEERBOOT_KAFKA_NODE_ID_BASE",
        "int",
        "0",
        "A Pod's node id is its ordinal plus this. Ids must be unique over all sets of one cluster.",
        high=MOST_NODE,
    ),
    Setting("PEERBOOT_KAFKA_CONTROLLER_PORT", "int", "9093", "Port of the controllers' listener.", low=1, high=65535),
    Setting("PEERBOOT_KAFKA_BROKER_PORT", "int", "9092", "Port of the brokers' listener.", low=1, high=65535),
    Setting(
        "PEERBOOT_KAFKA_HOST",
        "text",
        DEFAULT_HOST,
        "Host that a server advertises. Fields: " + " ".join(f"{{{f}}}" for f in FIELDS) + ".",
    ),
    Setting(
        "PEERBOOT_KAFKA_CORRUPT_RECHECK",
        "duration",
        "30s",
        "How long metadata must read as damaged before it is replaced; a slow mount looks the same.",
        unit="duration",
    ),
    Setting(
        "PEERBOOT_KAFKA_OBSERVER_STALL",
        "duration",
        "5m",
        "An observer without progress for so long is waited for no longer by the next that wants to join.",
        unit="duration",
    ),
    Setting(
        "PEERBOOT_KAFKA_SECURITY",
        "choice",
        "PLAINTEXT",
        "How controllers and brokers speak among themselves, and clients at the brokers' listener. With SSL each side "
        "shows a certificate, with SASL each logs in: controllers by PLAIN.",
        choices=PROTOCOLS,
    ),
    Setting(
        "PEERBOOT_KAFKA_LISTENERS",
        "text",
        "",
        f"Further listeners for clients, separated by commas: {LISTENER}. A host and the port that clients are told "
        "may have the fields of PEERBOOT_KAFKA_HOST; a port may also be a sum, as 31090+{ordinal}.",
    ),
    Setting(
        "PEERBOOT_KAFKA_TLS_DIR",
        "path",
        "",
        "A mounted Secret with tls.crt, tls.key and ca.crt, as cert-manager makes them, for every listener.",
    ),
    Setting(
        "PEERBOOT_KAFKA_CLIENT_AUTH",
        "choice",
        "none",
        "Whether clients of the further listeners with SSL have to show a certificate that ca.crt has signed.",
        choices=("none", "requested", "required"),
    ),
    Setting(
        "PEERBOOT_KAFKA_SASL_MECHANISM",
        "choice",
        "SCRAM-SHA-512",
        "How brokers and clients log in where a listener has SASL.",
        choices=MECHANISMS,
    ),
    Setting(
        "PEERBOOT_KAFKA_SASL_USER",
        "text",
        "peerboot",
        "The user as whom controllers, brokers and peerboot log in to each other.",
    ),
    Setting(
        "PEERBOOT_KAFKA_USERS_DIR",
        "path",
        "",
        "A mounted Secret with a password under each user's name. PLAIN knows these users, and SCRAM when it forms.",
    ),
    Setting(
        "PEERBOOT_KAFKA_RACK",
        "text",
        "",
        "The broker's rack, for example the zone of its node; replicas are spread over racks.",
    ),
    Setting(
        "PEERBOOT_KAFKA_RACK_FILE",
        "path",
        "",
        "A file whose only line is the rack, in place of PEERBOOT_KAFKA_RACK; with PEERBOOT_KAFKA_RACK_LABEL a file "
        "of the downward API with the Pod's labels.",
    ),
    Setting(
        "PEERBOOT_KAFKA_RACK_LABEL",
        "text",
        "",
        "The label of PEERBOOT_KAFKA_RACK_FILE that is the rack, as topology.kubernetes.io/zone.",
    ),
)
