"""The files that the server reads, from the settings. Pure.

``peerboot.conf`` is included at the end of the server's own ``postgresql.conf`` and lies outside of the data directory,
for a clone and a rewind bring their source's files along. All that names other servers can be reloaded: the list of
hosts is that of the expected pods, and libpq takes the first of them that takes writes (``target_session_attrs``), so
that a standby finds a new primary by itself, without a file being written (0.9 s, measured on 15 and 17).
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Settings
from peerboot.systems.postgres import texts
from peerboot.systems.postgres.settings import DEFAULT_DATA_DIR, FIELDS

ROLE = "peerboot"
DATABASE = "postgres"
SIZE = re.compile(r"(0|[1-9][0-9]{0,8})(kB|MB|GB|TB)")
MOST_SIZES = {"kB": 999_999_999, "MB": 999_999_999, "GB": (1 << 21) - 1, "TB": (1 << 11) - 1}
"""The server counts in megabytes, as a signed number of 32 bits."""
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:%-]*[A-Za-z0-9.])?")
"""A name or an address: libpq takes one with a slash or an at sign in front for a socket."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
"""Of a setting (guc-file.l)."""
SPARE_SENDERS = 4
"""Connections of the primary for replication beside two for each pod, its standby's and that of its peerboot's look: a
clone takes two."""
LEAST_SENDERS = 10
"""Postgres' own default. What a standby has below its primary keeps it from starting, so it never goes down."""
GENERATION = "peerboot.generation"
"""A setting of the server's that no part of it reads: a name with a dot is anybody's (custom placeholder, guc.c)."""
GRANTS = (
    # What looking needs, the promotion, a reload, the checkpoint before a rewind, and pg_rewind itself.
    "GRANT pg_monitor TO {role};",
    "GRANT pg_checkpoint TO {role};",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO {role};",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO {role};",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO {role};",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO {role};",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO {role};",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO {role};",
)
OWNED = (
    "primary_conninfo", "primary_slot_name", "synchronous_standby_names", "listen_addresses", "port", "hot_standby",
    "wal_log_hints", "wal_keep_size", "max_slot_wal_keep_size", "wal_retrieve_retry_interval", "cluster_name",
    "recovery_target_timeline", "password_encryption", "ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file",
    "data_directory", "hba_file", "config_file", "recovery_target", "recovery_target_action",
    "recovery_target_inclusive", "recovery_target_lsn", "recovery_target_name", "recovery_target_time",
    "recovery_target_xid", "promote_trigger_file", "recovery_min_apply_delay", GENERATION,
)  # fmt: skip
TARGETS = (
    "recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid",
)  # fmt: skip
"""Where a restore ends. Left in a file it ends a standby's recovery too, which may promote it then, unasked."""
UNSAFE = {
    ("fsync", "off"): "a crash would lose what was acknowledged",
    ("full_page_writes", "off"): "a crash could tear pages, and pg_rewind refuses",
    ("wal_level", "minimal"): "no standby could copy it",
}
NUMBERS = ("max_wal_senders", "max_replication_slots")
"""The user's own count if it is more than what the set needs."""


@dataclass(frozen=True)
class Pair:
    """The server's certificate and key, and the authority by which the others are verified, all in PEM."""

    certificate: str
    key: str = field(repr=False)
    authority: str
    trust: ssl.SSLContext | None = None
    """How peerboot verifies the servers that it asks."""


@dataclass(frozen=True)
class PostgresConfig:
    """One Pod's server; made by ``prepare``."""

    identity: Identity
    data_dir: str
    output_dir: str
    port: int
    host: str
    password: str = field(repr=False)
    promote: Literal["last-primary", "best-when-full", "manual"] = "last-primary"
    synchronous: int = 0
    pair: Pair | None = None
    bind: Literal["any", "pod"] = "any"
    wal_keep: str = "512MB"
    slot_wal_keep: str = "2GB"
    base: Mapping[str, str] = field(default_factory=dict)

    def host_of(self, pod: str) -> str:
        """The host by which a pod's server is found."""
        me = self.identity
        return self.host.format(
            pod=pod, ordinal=me.ordinal_of(pod), service=me.service, namespace=me.namespace, domain=me.domain
        )

    @property
    def tls(self) -> bool:
        """Whether connections between Pods are encrypted and verified."""
        return self.pair is not None

    @property
    def trust(self) -> ssl.SSLContext | None:
        """How peerboot verifies the servers that it asks; None: it asks without TLS."""
        return self.pair.trust if self.pair is not None else None

    def tls_files(self) -> dict[str, str]:
        """The server's pair and authority, by name of the file."""
        if self.pair is None:
            return {}
        return {"tls.crt": self.pair.certificate, "tls.key": self.pair.key, "ca.crt": self.pair.authority}

    @property
    def fingerprint(self) -> str:
        """Hash of what all pods must share, or standbys would not find their primary."""
        shared = [self.host, self.port, self.tls, self.identity.domain, self.identity.service]
        return hashlib.sha256(json.dumps(shared).encode()).hexdigest()[:16]

    # ------------------------------------------------------------ contents

    def source(self, pods: Sequence[str], **more: str) -> str:
        """How libpq reaches one of these pods, without the password, which stands in ``pgpass``."""
        parts = {
            "host": ",".join(self.host_of(pod) for pod in pods),
            "port": str(self.port),
            "user": ROLE,
            "dbname": DATABASE,
            "passfile": f"{self.output_dir}/pgpass",
            "connect_timeout": "3",
        }
        if self.tls:
            parts |= {"sslmode": "verify-full", "sslrootcert": f"{self.output_dir}/ca.crt"}
        return texts.conninfo({**parts, **more})

    def conf(self, *, slot: bool = False, synchronous: Sequence[str] = ()) -> str:
        """``peerboot.conf``. ``slot``: this pod's slot exists at the primary; else the server would ask for it in vain.
        ``synchronous``: pods of which some have to confirm each commit; a name that is no pod's any more would let
        commits wait for ever.
        """
        me = self.identity
        mine = texts.slot(me.pod)
        senders = max(LEAST_SENDERS, 2 * len(me.expected) + SPARE_SENDERS)
        owned = {
            "listen_addresses": ",".join(me.ips) if self.bind == "pod" and me.ips else "*",
            "port": str(self.port),
            "cluster_name": me.pod,
            "hot_standby": "on",
            "wal_log_hints": "on",
            "wal_keep_size": self.wal_keep,
            "max_slot_wal_keep_size": self.slot_wal_keep,
            "wal_retrieve_retry_interval": "1s",
            **dict.fromkeys(TARGETS, ""),
            "recovery_target_timeline": "latest",
            "password_encryption": "scram-sha-256",
            "primary_conninfo": self.source(
                me.expected or (me.pod,), application_name=mine, target_session_attrs="read-write"
            ),
            "primary_slot_name": mine if slot else "",
            "synchronous_standby_names": self._standbys(synchronous),
        }
        if self.tls:
            files = {"ssl_cert_file": "tls.crt", "ssl_key_file": "tls.key", "ssl_ca_file": "ca.crt"}
            owned |= {"ssl": "on", **{key: f"{self.output_dir}/{name}" for key, name in files.items()}}
        counts = {key: str(max(senders, int(self.base.get(key, "0")))) for key in NUMBERS}
        first = "# Written by peerboot; changes are lost. Your own settings go into PEERBOOT_BASE_CONFIG_FILE.\n"
        # hot_standby_feedback is a default: a query on a standby is not cancelled by the primary's vacuum.
        lines = {"hot_standby_feedback": "on", **self.base, **counts, **owned}
        text = first + "".join(f"{key} = {texts.setting(value)}\n" for key, value in lines.items())
        # By it a server tells which of these it has loaded. Certificates count too: it reads them anew with the rest.
        told = hashlib.sha256("\n".join((text, *self.tls_files().values())).encode()).hexdigest()[:16]
        return text + f"{GENERATION} = {texts.setting(told)}\n"

    def _standbys(self, pods: Sequence[str]) -> str:
        count = min(self.synchronous, len(pods))
        names = ",".join(texts.name(texts.slot(pod)) for pod in pods)
        return f"ANY {count} ({names})" if count else ""

    def hba(self) -> str:
        """The lines that come first in ``pg_hba.conf``: addresses of Pods change, so any, with a password."""
        kind = "hostssl" if self.tls else "host"
        return "".join(f"{kind} {what} {ROLE} all scram-sha-256\n" for what in ("replication", DATABASE))

    def passwords(self) -> str:
        """``pgpass``: mode 0600, or libpq takes nothing from it."""
        return texts.password_line(ROLE, self.password) + "\n"

    def roles(self, salt: bytes) -> str:
        """``roles.sql`` of a new cluster, each statement on a line of its own. ``salt``: 16 random bytes."""
        made = f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD {texts.literal(texts.verifier(self.password, salt))};"
        return "\n".join([made, *(line.format(role=ROLE) for line in GRANTS)]) + "\n"


def prepare(
    settings: Settings, identity: Identity, base: Mapping[str, object], password: str, pair: Pair | None = None
) -> PostgresConfig:
    """The config of this Pod; raises ``SettingsError``."""
    extra = settings.extra
    _check_host(extra["postgres_host"])
    for name in ("wal_keep", "slot_wal_keep"):
        size = SIZE.fullmatch(extra[f"postgres_{name}"])
        if size is None or int(size[1]) > MOST_SIZES[size[2]]:
            raise SettingsError(
                f"PEERBOOT_POSTGRES_{name.upper()}={extra[f'postgres_{name}']!r} is no size of Postgres: write it as "
                "512MB or 2GB, below 2048TB"
            )
    data_dir = (settings.data_dir or DEFAULT_DATA_DIR).rstrip("/")
    if not data_dir:
        raise SettingsError("PEERBOOT_DATA_DIR=/ is no place for a data directory: name one below the volume's mount")
    if not password or any(char in password for char in "\n\r\0"):
        raise SettingsError(
            "PEERBOOT_POSTGRES_PASSWORD_FILE has to name a file with the password of the role peerboot, in one line: "
            "what is there is empty or has more"
        )
    try:
        for pod in {identity.pod, *identity.expected}:
            texts.slot(pod)
    except ValueError as error:
        raise SettingsError(f"{error}: name the StatefulSet so") from None
    synchronous, replicas = extra["postgres_synchronous"], identity.replicas
    if replicas is not None and synchronous >= replicas > 0:
        raise SettingsError(
            f"PEERBOOT_POSTGRES_SYNCHRONOUS={synchronous} asks for more standbys than the {replicas} pods of "
            "PEERBOOT_REPLICAS leave beside the primary: commits would wait for ever; lower it"
        )
    checked = _checked(base)
    if synchronous and _switch(checked.get("synchronous_commit", "on").strip()) in ("off", "local"):
        raise SettingsError(
            f"synchronous_commit = {checked['synchronous_commit'].strip()} in PEERBOOT_BASE_CONFIG_FILE takes back "
            f"what PEERBOOT_POSTGRES_SYNCHRONOUS={synchronous} asks for: drop one of them"
        )
    return PostgresConfig(
        identity=identity,
        data_dir=data_dir,
        output_dir=settings.output_dir,
        port=extra["postgres_port"],
        host=extra["postgres_host"],
        password=password,
        promote=extra["postgres_promote"],
        synchronous=synchronous,
        pair=pair,
        bind=settings.server_bind,
        wal_keep=extra["postgres_wal_keep"],
        slot_wal_keep=extra["postgres_slot_wal_keep"],
        base=checked,
    )


def _check_host(host: str) -> None:
    fields = {"service": "b", "namespace": "c", "domain": "d"}
    try:
        first, second = (host.format(pod=f"a-{n}", ordinal=n, **fields) for n in (0, 1))
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        raise SettingsError(
            f"PEERBOOT_POSTGRES_HOST={host!r} has an unknown field: use {', '.join(FIELDS)} in braces"
        ) from None
    if first == second:
        raise SettingsError(
            f"PEERBOOT_POSTGRES_HOST={host!r} is the same for every pod: use {{pod}} or {{ordinal}} in it"
        )
    if not HOST.fullmatch(first):
        raise SettingsError(
            f"PEERBOOT_POSTGRES_HOST={host!r} is no host name: use letters, digits, dots, dashes and colons only"
        )


def _checked(base: Mapping[str, object]) -> Mapping[str, str]:
    """The user's own settings, names in lower case; raises ``SettingsError`` for the first that cannot stay."""
    where = "PEERBOOT_BASE_CONFIG_FILE"
    found: dict[str, str] = {}
    for given, value in base.items():
        # Blanks at the end of a value count: log_line_prefix has one.
        key, text = str(given).lower(), str(value).rstrip("\r\n")
        if not NAME.fullmatch(key):
            raise SettingsError(f"{given!r} in {where} is no name of a setting: write it as Postgres does")
        if any(char in text for char in "\n\r\0"):
            raise SettingsError(f"{given} in {where} has more than one line: write it in one")
        if key in OWNED:
            raise SettingsError(f"{given!r} in {where} belongs to peerboot, which has to know it: drop it there")
        if why := UNSAFE.get((key, _switch(text.strip()))):
            raise SettingsError(f"{given} = {text.strip()} in {where} is refused: {why}")
        if key in NUMBERS and not re.fullmatch(r" *[0-9]{1,6} *", text):
            raise SettingsError(f"{given} = {text} in {where} is no number: write one")
        found[key] = text
    return found


def _switch(text: str) -> str:
    """``off`` for all that the server takes for it (parse_bool in bool.c), else the value in lower case."""
    low = text.lower()
    return "off" if low in ("0", "of", "off") or (low and ("false".startswith(low) or "no".startswith(low))) else low
