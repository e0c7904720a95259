"""Files for what leads clients to the primary: HAProxy, PgBouncer and libpq. Pure.

Only PgBouncer's names the primary. HAProxy asks peerboot for each server's role (``peerboot/roles.py``), and libpq asks
the servers themselves, so their files change with the Pods of the set only, and can be copied elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote

from peerboot.errors import SettingsError
from peerboot.settings import Settings, split_listen
from peerboot.systems.postgres.config import DATABASE, PostgresConfig
from peerboot.systems.postgres.router import ROUTER

Kind = Literal["haproxy", "pgbouncer", "libpq"]
Role = Literal["primary", "replica", "unknown"]

KINDS: tuple[Kind, ...] = get_args(Kind)
HAPROXY_NAME = "haproxy.cfg"
PGBOUNCER_NAME = "pgbouncer.ini"
LIBPQ_NAME = "pg_service.conf"
ROUTER_NAME = "router.sh"
NAMES: dict[Kind, tuple[str, ...]] = {
    "haproxy": (HAPROXY_NAME, ROUTER_NAME), "pgbouncer": (PGBOUNCER_NAME, ROUTER_NAME), "libpq": (LIBPQ_NAME,),
}  # fmt: skip
WRITE_PORT, READ_PORT = 5000, 5001
READS = "_ro"
DATABASE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""What PgBouncer's parser takes in front of an equals sign; quotes are a syntax error there (1.18)."""
MOST_NAME = 63 - len(READS)
"""Bytes of a database's name: PgBouncer's own names end at 63 too."""
MOST_DATABASES = 64


@dataclass(frozen=True)
class Routes:
    """What a user asked for; made by ``prepare``."""

    kinds: tuple[Kind, ...] = ()
    databases: tuple[str, ...] = ()
    roles_port: int = 7072
    """Where the peerboot of each Pod tells its server's role."""
    bind: str = "*"
    """The address on which HAProxy listens."""
    family: Literal["ipv4", "ipv6"] = "ipv4"
    """Of addresses, where a name has both."""

    @property
    def names(self) -> tuple[str, ...]:
        """The files that ``files`` may give."""
        return tuple(dict.fromkeys(name for kind in self.kinds for name in NAMES[kind]))


def prepare(settings: Settings) -> Routes:
    """What these settings ask for; raises ``SettingsError``."""
    chosen = _listed(settings.extra["postgres_routes"])
    if others := [one for one in chosen if one not in KINDS]:
        raise SettingsError(f"PEERBOOT_POSTGRES_ROUTES has {others[0]!r}: use {', '.join(KINDS)}")
    databases = _listed(settings.extra["postgres_databases"])
    _check_databases(databases)
    host, port = split_listen("PEERBOOT_METRICS_LISTEN", settings.metrics_listen)
    if "haproxy" in chosen and (host.startswith("127.") or host == "::1"):
        raise SettingsError(
            f"PEERBOOT_METRICS_LISTEN={settings.metrics_listen} is reached from its own Pod only, and HAProxy asks "
            "there for the roles of all servers: let it listen on [::]:7072"
        )
    first = settings.pod_ips[0] if settings.pod_ips else ""
    return Routes(
        kinds=tuple(kind for kind in KINDS if kind in chosen),
        databases=databases,
        roles_port=port,
        bind="::" if ":" in first else "*",
        family="ipv6" if ":" in first else "ipv4",
    )


def files(config: PostgresConfig, wanted: Routes, pods: Sequence[str], roles: Mapping[str, Role]) -> dict[str, str]:
    """Content by name. A file that is not among them stays as it is: PgBouncer's is not while no server is known to
    take writes, or more than one does, and without ``pods`` none is.

    ``pods``: all that the set has, in order. ``roles``: by the servers' own words of now; a missing one is unknown.
    """
    if not pods:
        return {}
    made: dict[str, str] = {}
    for kind in wanted.kinds:
        if kind == "haproxy":
            made[HAPROXY_NAME] = haproxy(config, wanted, pods)
        elif kind == "libpq":
            made[LIBPQ_NAME] = libpq(config, wanted, pods)
        elif (primary := primary_of(roles)) in pods:
            made[PGBOUNCER_NAME] = pgbouncer(config, wanted, primary, [pod for pod in pods if is_replica(roles, pod)])
        if ROUTER_NAME in NAMES[kind]:
            made[ROUTER_NAME] = ROUTER
    return made


def primary_of(roles: Mapping[str, Role]) -> str:
    """The one pod whose server takes writes, empty when there is none or more than one."""
    found = [pod for pod, role in roles.items() if role == "primary"]
    return found[0] if len(found) == 1 else ""


def is_replica(roles: Mapping[str, Role], pod: str) -> bool:
    """Whether it is known that it streams from the primary now."""
    return roles.get(pod) == "replica"


# ------------------------------------------------------------------- HAProxy


def haproxy(config: PostgresConfig, wanted: Routes, pods: Sequence[str]) -> str:
    """``haproxy.cfg``, for 2.6 and newer.

    - A check is a look of now, so one is enough (``rise 1``), and a server whose role is gone loses its clients: they
      would write to a standby, or to a second primary (``shutdown-sessions``).
    - Two failed checks (``fall 2``), for a peerboot that restarts is no reason to cut a primary off. Until then, up to
      three seconds, a primary that stopped is taken for one beside the new one. It refuses connections, and those go
      to the other one (``redispatch``); if it is back as a standby by then, it refuses writes.
    - ``balance first``: of two that are taken for primaries all new clients get the same one.
    - Where no replica can be had reads go to the primary.
    - While DNS cannot be asked a server keeps its address (``hold``); by default all are out after 30 seconds of it.
    """
    port, server = wanted.roles_port, "inter 2s fastinter 1s downinter 1s fall 2 rise 1"
    names = f"resolvers peerboot init-addr none resolve-prefer {wanted.family}"
    lines = [
        f"# Written by peerboot; changes are lost. Writes: port {WRITE_PORT}. Reads: port {READ_PORT}.",
        "# It is the same whichever server is the primary. Options of your own: another file, after this one (-f).",
        "global",
        "    fd-hard-limit 10000",
        "    log stdout format raw local0 info",
        "",
        "defaults peerboot",
        "    mode tcp",
        "    log global",
        "    option tcplog",
        "    option dontlog-normal",
        "    option clitcpka",
        "    option srvtcpka",
        "    option redispatch 1",
        "    timeout connect 4s",
        "    timeout check 3s",
        "    timeout client 1d",
        "    timeout server 1d",
        f"    default-server {server} on-marked-down shutdown-sessions {names}",
        "",
        "resolvers peerboot",
        "    parse-resolv-conf",
        "    hold valid 5s",
        *(f"    hold {reason} 1h" for reason in ("other", "refused", "timeout")),
        "",
        *_front("writes", wanted, WRITE_PORT, []),
        *_front("reads", wanted, READ_PORT, ["    use_backend replicas if { nbsrv(replicas) gt 0 }"]),
    ]
    for name, path, balance in (("primary", "/primary", "first"), ("replicas", "/replica", "leastconn")):
        lines += [
            f"backend {name} from peerboot",
            f"    balance {balance}",
            f"    option httpchk OPTIONS {path}",
            "    http-check expect status 200",
            *(f"    server {pod} {_place(config, pod)} check port {port}" for pod in pods),
            "",
        ]
    return "\n".join(lines[:-1]) + "\n"


def _front(name: str, wanted: Routes, port: int, rules: Sequence[str]) -> list[str]:
    bind = f":::{port} v4v6" if wanted.bind == "::" else f"{wanted.bind}:{port}"
    return [f"frontend {name} from peerboot", f"    bind {bind}", *rules, "    default_backend primary", ""]


# ----------------------------------------------------------------- PgBouncer


def pgbouncer(config: PostgresConfig, wanted: Routes, primary: str, replicas: Sequence[str]) -> str:
    """``pgbouncer.ini``, which the user's own file includes as its last line, inside of its section ``[pgbouncer]``.

    Who may log in, the pools and the port are the user's own. A section of that name here would set all of the user's
    settings back to their defaults, or theirs all of these (libusual's cfparser.c; seen with 1.18), so the keys come
    first, without a section.
    """
    write = f"host={config.host_of(primary)} port={config.port}"
    read = f"host={','.join(config.host_of(pod) for pod in replicas or (primary,))} port={config.port}"
    lines = [
        "; Written by peerboot; changes are lost. Your own file ends with this line, in its section [pgbouncer]:",
        f";   %include {config.output_dir}/{PGBOUNCER_NAME}",
        # Connections to a server that is the primary no more end at once, in session pools too.
        "server_fast_close = 1",
        # After a connection that failed the next one is tried so many seconds later; the default is 15.
        "server_login_retry = 1",
        "dns_max_ttl = 5",
    ]
    if config.tls:
        lines += ["server_tls_sslmode = verify-full", f"server_tls_ca_file = {config.output_dir}/ca.crt"]
    lines += ["", "[databases]"]
    for name in wanted.databases:
        lines += [f"{name} = {write} dbname={name}", f"{name}{READS} = {read} dbname={name}"]
    return "\n".join([*lines, f"* = {write}"]) + "\n"


# --------------------------------------------------------------------- libpq


def libpq(config: PostgresConfig, wanted: Routes, pods: Sequence[str]) -> str:
    """``pg_service.conf``, and the same as addresses for clients that know no service file.

    ``read-write`` is known since libpq 10, ``prefer-standby`` since 14.
    """
    name, database = config.identity.statefulset, (*wanted.databases, DATABASE)[0]
    tls = {"sslmode": "verify-full", "sslrootcert": f"{config.output_dir}/ca.crt"} if config.tls else {}
    common = {
        "host": ",".join(config.host_of(pod) for pod in pods),
        "port": str(config.port),
        "connect_timeout": "3",
        **tls,
    }
    lines = [
        "# Written by peerboot; changes are lost. It is the same whichever server is the primary: copy what you need.",
        *(["# sslrootcert is where the CA is in this Pod; another client has it elsewhere."] if tls else []),
    ]
    services = {name: ("read-write", "primary"), name + READS: ("prefer-standby", "preferSecondary")}
    for service, (attributes, server_type) in services.items():
        lines += [
            "",
            f"# {_address('postgresql', config, pods, database)}?"
            + _query({"target_session_attrs": attributes, "connect_timeout": "3", **tls}),
            f"# {_address('jdbc:postgresql', config, pods, database)}?"
            + _query({"targetServerType": server_type, "connectTimeout": "3", **tls}),
            f"[{service}]",
            *(f"{key}={value}" for key, value in common.items()),
            f"target_session_attrs={attributes}",
        ]
    return "\n".join(lines) + "\n"


def _address(scheme: str, config: PostgresConfig, pods: Sequence[str], database: str) -> str:
    return f"{scheme}://{','.join(_place(config, pod) for pod in pods)}/{quote(database, safe='')}"


def _query(parts: Mapping[str, str]) -> str:
    return "&".join(f"{key}={quote(value, safe='/')}" for key, value in parts.items())


def _place(config: PostgresConfig, pod: str) -> str:
    host = config.host_of(pod)
    return f"[{host}]:{config.port}" if ":" in host else f"{host}:{config.port}"


# ------------------------------------------------------------------ settings


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _check_databases(databases: Sequence[str]) -> None:
    where = "PEERBOOT_POSTGRES_DATABASES"
    if len(databases) > MOST_DATABASES:
        raise SettingsError(f"{where} names {len(databases)} databases: {MOST_DATABASES} at most")
    for name in databases:
        if not DATABASE_NAME.fullmatch(name):
            raise SettingsError(
                f"{name!r} in {where} is no name that PgBouncer can read there: use letters, digits, dots, dashes and _"
            )
        if len(name) > MOST_NAME:
            raise SettingsError(f"{name!r} in {where} is longer than {MOST_NAME} bytes: it gets {READS} at its end")
        if name == "pgbouncer":
            raise SettingsError(f"{name!r} in {where} is PgBouncer's own name for its console: drop it there")
        if name + READS in databases:
            raise SettingsError(
                f"{name + READS!r} in {where} is what reads of {name!r} would be called: drop one of them there"
            )
