"""Settings of Postgres. Light: every peerboot reads the names of all systems' settings, whichever it runs. Pure."""

from __future__ import annotations

from peerboot.values import Setting

DEFAULT_HOST = "{pod}.{service}.{namespace}.svc.{domain}"
DEFAULT_DATA_DIR = "/var/lib/postgresql/data/pgdata"
FIELDS = ("pod", "ordinal", "service", "namespace", "domain")
"""Of the host, which is a template."""

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "PEERBOOT_POSTGRES_PASSWORD_FILE",
        "path",
        "",
        "A file with the password of the role `peerboot`, as which standbys copy the primary and peerboot asks all "
        "servers; the same in all Pods.",
    ),
    Setting(
        "PEERBOOT_POSTGRES_PROMOTE",
        "choice",
        "last-primary",
        "Whose server may take writes without a person's word, once all Pods have agreed: the last one that did, the "
        "one that has most, or none.",
        choices=("last-primary", "best-when-full", "manual"),
    ),
    Setting(
        "PEERBOOT_POSTGRES_SYNCHRONOUS",
        "int",
        "0",
        "So many standbys have a transaction on disk before its commit returns; 0: a commit waits for none.",
        low=0,
        high=8,
    ),
    Setting("PEERBOOT_POSTGRES_PORT", "int", "5432", "Port of the servers.", low=1, high=65535),
    Setting(
        "PEERBOOT_POSTGRES_HOST",
        "text",
        DEFAULT_HOST,
        "Host by which the servers find each other. Fields: {pod} {ordinal} {service} {namespace} {domain}.",
    ),
    Setting(
        "PEERBOOT_POSTGRES_TLS_DIR",
        "path",
        "",
        "A mounted Secret with tls.crt, tls.key and ca.crt, as cert-manager makes them, for the servers; connections "
        "between Pods are encrypted and verified then.",
    ),
    Setting(
        "PEERBOOT_POSTGRES_WAL_KEEP",
        "text",
        "512MB",
        "wal_keep_size: log that is kept for a standby that is away and for pg_rewind.",
    ),
    Setting(
        "PEERBOOT_POSTGRES_SLOT_WAL_KEEP",
        "text",
        "2GB",
        "max_slot_wal_keep_size: log that the slot of a standby that is away keeps at most, so that it cannot fill the "
        "volume.",
    ),
    Setting(
        "PEERBOOT_POSTGRES_ROUTES",
        "text",
        "",
        "Files for what leads clients to the primary, with commas between: haproxy, pgbouncer, libpq.",
    ),
    Setting(
        "PEERBOOT_POSTGRES_DATABASES",
        "text",
        "",
        "Databases, with commas between, that PgBouncer offers for reading too, under the name with _ro at its end.",
    ),
)
