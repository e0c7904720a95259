"""Files for HAProxy, PgBouncer and libpq: what is in them, when they change, and what is refused in one line.

What the programs make of them is in ``tests/real/test_postgres_routes.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from peerboot import settings
from peerboot.errors import SettingsError
from peerboot.systems.postgres import routes
from peerboot.systems.postgres.routes import KINDS, Role, Routes, files
from peerboot.systems.postgres.settings import SETTINGS
from tests.postgres.test_config import identity, made

PODS = ("pg-0", "pg-1", "pg-2")
ALL = Routes(kinds=KINDS, databases=("app",))
ZONE = "pg.prod.svc.cluster.local"


def prepared(**environ: str) -> Routes:
    """What these settings ask for."""
    given = {
        "PEERBOOT_SYSTEM": "postgres", "PEERBOOT_SERVICE": "pg", "POD_NAME": "pg-0", "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none", **environ,
    }  # fmt: skip
    return routes.prepare(settings.read(given, systems={"postgres": SETTINGS}))


def roles(text: str) -> dict[str, Role]:
    """By a letter for each pod: ``p`` primary, ``r`` replica, ``u`` unknown, ``-`` not told."""
    words: dict[str, Role] = {"p": "primary", "r": "replica", "u": "unknown"}
    return {pod: words[letter] for pod, letter in zip(PODS, text, strict=True) if letter != "-"}


def written(text: str, wanted: Routes = ALL, **more: Any) -> Mapping[str, str]:
    """The files for these roles."""
    return files(made(**more), wanted, PODS, roles(text))


# ------------------------------------------------------------------- settings


def test_nothing_is_written_unless_it_is_asked_for() -> None:
    """The default."""
    found = prepared()
    assert (found, found.names, files(made(), found, PODS, roles("prr"))) == (Routes(), (), {})


def test_what_is_asked_for() -> None:
    """In one list each, with blanks and in any order; the port is that of peerboot itself."""
    found = prepared(
        PEERBOOT_POSTGRES_ROUTES="pgbouncer, haproxy,haproxy", PEERBOOT_POSTGRES_DATABASES="app, other-1.2_3,",
        PEERBOOT_METRICS_LISTEN="0.0.0.0:9000", POD_IPS="10.0.0.1,fd00::1",
    )  # fmt: skip
    assert found == Routes(kinds=("haproxy", "pgbouncer"), databases=("app", "other-1.2_3"), roles_port=9000)
    assert found.names == ("haproxy.cfg", "router.sh", "pgbouncer.ini")


def test_where_pods_have_ipv6_haproxy_listens_there_too() -> None:
    """By the first address of the Pod."""
    found = prepared(PEERBOOT_POSTGRES_ROUTES="haproxy", POD_IPS="fd00::1,10.0.0.1")
    assert (found.bind, found.family) == ("::", "ipv6")
    assert "    bind :::5000 v4v6\n" in files(made(), found, PODS, {})["haproxy.cfg"]


IN = "in PEERBOOT_POSTGRES_DATABASES"
UNREADABLE = "is no name that PgBouncer can read there: use letters, digits, dots, dashes and _"


@pytest.mark.parametrize(
    ("routed", "databases", "said"),
    [
        ("envoy", "", "PEERBOOT_POSTGRES_ROUTES has 'envoy': use haproxy, pgbouncer, libpq"),
        ("", "a b", f"'a b' {IN} {UNREADABLE}"),
        ("", "*", f"'*' {IN} {UNREADABLE}"),
        ("", "a" * 61, f"'{'a' * 61}' {IN} is longer than 60 bytes: it gets _ro at its end"),
        ("", "pgbouncer", f"'pgbouncer' {IN} is PgBouncer's own name for its console: drop it there"),
        ("", "a_ro,a", f"'a_ro' {IN} is what reads of 'a' would be called: drop one of them there"),
        ("", ",".join(f"a{n}" for n in range(65)), "PEERBOOT_POSTGRES_DATABASES names 65 databases: 64 at most"),
    ],
    ids=["kind", "blank", "star", "long", "console", "twin", "many"],
)
def test_what_cannot_be_written_is_refused(routed: str, databases: str, said: str) -> None:
    """One line: which setting, what is wrong, what to write."""
    with pytest.raises(SettingsError) as caught:
        prepared(PEERBOOT_POSTGRES_ROUTES=routed, PEERBOOT_POSTGRES_DATABASES=databases)
    assert str(caught.value) == said


@pytest.mark.parametrize("listen", ["127.0.0.1:7072", "[::1]:7072"])
def test_haproxy_has_to_reach_the_roles(listen: str) -> None:
    """A port on loopback is nobody else's; the other files need none."""
    with pytest.raises(SettingsError) as caught:
        prepared(PEERBOOT_POSTGRES_ROUTES="haproxy", PEERBOOT_METRICS_LISTEN=listen)
    assert str(caught.value) == (
        f"PEERBOOT_METRICS_LISTEN={listen} is reached from its own Pod only, and HAProxy asks there for the roles of "
        "all servers: let it listen on [::]:7072"
    )
    assert prepared(PEERBOOT_POSTGRES_ROUTES="pgbouncer,libpq", PEERBOOT_METRICS_LISTEN=listen).roles_port == 7072


# --------------------------------------------------------------- when they change


@pytest.mark.parametrize("text", ["prr", "rrp", "rrr", "ppr", "uuu", "---"])
def test_only_pgbouncers_file_names_the_primary(text: str) -> None:
    """HAProxy's and libpq's are the same whatever the roles are."""
    found, first = written(text), written("prr")
    assert {name: found[name] for name in found if name != "pgbouncer.ini"} == {
        name: first[name] for name in ("haproxy.cfg", "router.sh", "pg_service.conf")
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prr", ("pg-0", "pg-1,pg-2")), ("rpr", ("pg-1", "pg-0,pg-2")), ("pru", ("pg-0", "pg-1")),
        ("pr-", ("pg-0", "pg-1")), ("puu", ("pg-0", "pg-0")), ("rrr", None), ("ppr", None), ("uuu", None),
        ("---", None), ("rru", None),
    ],
)  # fmt: skip
def test_pgbouncer_has_one_primary_and_the_replicas_that_stream(text: str, expected: tuple[str, str] | None) -> None:
    """Reads go to the primary where no replica is known. With no primary, or two, there is no new file: the last one
    stays.
    """
    lines = written(text).get("pgbouncer.ini", "")
    found = re.findall(r"^app(?:_ro)? = host=(\S+) port=5432 dbname=app$", lines, re.MULTILINE)
    assert (tuple(hosts.replace(f".{ZONE}", "") for hosts in found) or None) == expected


def test_a_primary_that_is_none_of_the_pods() -> None:
    """What a pod says that the set has no more is no place to send clients to."""
    assert "pgbouncer.ini" not in files(made(), ALL, PODS[1:], roles("prr"))


def test_an_empty_set_changes_nothing() -> None:
    """A list of nobody would take all clients away."""
    assert files(made(), ALL, (), roles("prr")) == {}


# ---------------------------------------------------------------------- contents


def test_pgbouncers_file() -> None:
    """Keys first, for the section of the user's own file goes on; then all databases."""
    assert written("prr")["pgbouncer.ini"].splitlines() == [
        "; Written by peerboot; changes are lost. Your own file ends with this line, in its section [pgbouncer]:",
        ";   %include /run/peerboot/pgbouncer.ini",
        "server_fast_close = 1",
        "server_login_retry = 1",
        "dns_max_ttl = 5",
        "",
        "[databases]",
        f"app = host=pg-0.{ZONE} port=5432 dbname=app",
        f"app_ro = host=pg-1.{ZONE},pg-2.{ZONE} port=5432 dbname=app",
        f"* = host=pg-0.{ZONE} port=5432",
    ]


def test_pgbouncer_under_tls() -> None:
    """The server's certificate is verified by the CA of the servers themselves."""
    found = written("prr", PEERBOOT_POSTGRES_TLS_DIR="/tls")["pgbouncer.ini"].splitlines()
    assert found[5:8] == ["server_tls_sslmode = verify-full", "server_tls_ca_file = /run/peerboot/ca.crt", ""]


def test_haproxy_asks_each_peerboot() -> None:
    """Two backends, each with all servers, checked by role on peerboot's port."""
    text = written("prr", Routes(kinds=("haproxy",), roles_port=9000))["haproxy.cfg"]
    servers = [f"    server {pod} {pod}.{ZONE}:5432 check port 9000" for pod in PODS]
    assert [line for line in text.splitlines() if line.startswith("    server ")] == servers * 2
    assert re.findall(r"option httpchk (.*)", text) == ["OPTIONS /primary", "OPTIONS /replica"]


HOSTS = ",".join(f"pg-{n}.{ZONE}" for n in range(3))
PLACES = HOSTS.replace(",", ":5432,") + ":5432"


def test_libpqs_file() -> None:
    """A service for writes and one for reads, each with the same as an address for libpq and for JDBC."""
    assert written("prr")["pg_service.conf"].splitlines() == [
        "# Written by peerboot; changes are lost. It is the same whichever server is the primary: copy what you need.",
        "",
        f"# postgresql://{PLACES}/app?target_session_attrs=read-write&connect_timeout=3",
        f"# jdbc:postgresql://{PLACES}/app?targetServerType=primary&connectTimeout=3",
        "[pg]",
        f"host={HOSTS}",
        "port=5432",
        "connect_timeout=3",
        "target_session_attrs=read-write",
        "",
        f"# postgresql://{PLACES}/app?target_session_attrs=prefer-standby&connect_timeout=3",
        f"# jdbc:postgresql://{PLACES}/app?targetServerType=preferSecondary&connectTimeout=3",
        "[pg_ro]",
        f"host={HOSTS}",
        "port=5432",
        "connect_timeout=3",
        "target_session_attrs=prefer-standby",
    ]


def test_libpq_under_tls() -> None:
    """Verified in the service and in the addresses."""
    lines = written("prr", PEERBOOT_POSTGRES_TLS_DIR="/tls")["pg_service.conf"].splitlines()
    assert sum(line.endswith("&sslmode=verify-full&sslrootcert=/run/peerboot/ca.crt") for line in lines) == 4
    assert (lines.count("sslmode=verify-full"), lines.count("sslrootcert=/run/peerboot/ca.crt")) == (2, 2)


def test_without_a_database_of_its_own_the_address_has_postgres() -> None:
    """There always is one of that name."""
    assert "/postgres?target" in written("prr", Routes(kinds=("libpq",)))["pg_service.conf"]


def test_addresses_of_ipv6_in_brackets() -> None:
    """Where a port follows; libpq's and PgBouncer's lists have none."""
    config = made(identity("pg-0", 1), PEERBOOT_POSTGRES_HOST="fd00::{ordinal}")
    found = files(config, ALL, ("pg-0",), {"pg-0": "primary"})
    assert "    server pg-0 [fd00::0]:5432 check port 7072\n" in found["haproxy.cfg"]
    assert "# postgresql://[fd00::0]:5432/app?" in found["pg_service.conf"]
    assert "\nhost=fd00::0\n" in found["pg_service.conf"]
    assert "\n* = host=fd00::0 port=5432\n" in found["pgbouncer.ini"]
