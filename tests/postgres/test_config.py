"""The files that Postgres reads: what peerboot writes, what a user may add, and what is refused in one line.

What the servers make of them is in ``tests/real/test_postgres_config.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from peerboot import settings
from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.systems.postgres import config, texts
from peerboot.systems.postgres.settings import SETTINGS

ODD = "p:w'd \\ä"


def identity(pod: str = "pg-0", replicas: int | None = 3) -> Identity:
    """One of three."""
    return Identity(
        namespace="prod", service="pg", statefulset=pod.rpartition("-")[0], pod=pod,
        ordinal=int(pod.rpartition("-")[2]), system="postgres", domain="cluster.local", replicas=replicas,
    )  # fmt: skip


def made(
    who: Identity | None = None, /, *, base: Mapping[str, object] | None = None, password: str = ODD, **environ: Any
) -> config.PostgresConfig:
    """The config that these settings lead to."""
    who = who or identity()
    given = {
        "PEERBOOT_SYSTEM": "postgres", "PEERBOOT_SERVICE": "pg", "POD_NAME": who.pod, "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none", **environ,
    }  # fmt: skip
    parsed = settings.read(given, systems={"postgres": SETTINGS})
    pair = config.Pair("a certificate", "a key", "an authority") if parsed.extra["postgres_tls_dir"] else None
    return config.prepare(parsed, who, base or {}, password, pair)


def lines(text: str) -> dict[str, str]:
    """Name and value, as they are written."""
    found = dict(line.split(" = ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert re.fullmatch(r"'[0-9a-f]{16}'", found.pop(config.GENERATION))
    return found


def test_other_settings_are_another_generation() -> None:
    """By it a server tells what it has loaded; certificates that were renewed count too."""
    one, two = made(), made(PEERBOOT_POSTGRES_WAL_KEEP="1GB")
    renewed = [replace(one, pair=config.Pair(name, "k", "a")) for name in ("one", "two")]
    texts = [found.conf() for found in (one, two, one, *renewed)]
    told = [text.rpartition(f"{config.GENERATION} = ")[2] for text in texts]
    assert (told[0] == told[2], len(set(told))) == (True, 4)


HOSTS = ",".join(f"pg-{n}.pg.prod.svc.cluster.local" for n in range(3))

# --------------------------------------------------------------------- written


def test_a_server_of_three() -> None:
    """All that it has to be told: the list of hosts is that of the Pods, and no target of a restore can be left."""
    assert lines(made(identity("pg-1")).conf()) == {
        "hot_standby_feedback": "'on'",
        "max_wal_senders": "'10'",
        "max_replication_slots": "'10'",
        "listen_addresses": "'*'",
        "port": "'5432'",
        "cluster_name": "'pg-1'",
        "hot_standby": "'on'",
        "wal_log_hints": "'on'",
        "wal_keep_size": "'512MB'",
        "max_slot_wal_keep_size": "'2GB'",
        "wal_retrieve_retry_interval": "'1s'",
        "recovery_target": "''",
        "recovery_target_lsn": "''",
        "recovery_target_name": "''",
        "recovery_target_time": "''",
        "recovery_target_timeline": "'latest'",
        "recovery_target_xid": "''",
        "password_encryption": "'scram-sha-256'",
        "primary_conninfo": f"'host={HOSTS} port=5432 user=peerboot dbname=postgres passfile=/run/peerboot/pgpass "
        "connect_timeout=3 application_name=pg_1 target_session_attrs=read-write'",
        "primary_slot_name": "''",
        "synchronous_standby_names": "''",
    }


def test_what_changes_while_it_runs() -> None:
    """The slot once it exists, and the standbys that confirm: never more than there are."""
    found = made(PEERBOOT_POSTGRES_SYNCHRONOUS="2")
    assert lines(found.conf(slot=True))["primary_slot_name"] == "'pg_0'"
    assert lines(found.conf(synchronous=("pg-1", "pg-2")))["synchronous_standby_names"] == '\'ANY 2 ("pg_1","pg_2")\''
    assert lines(found.conf(synchronous=("pg-1",)))["synchronous_standby_names"] == "'ANY 1 (\"pg_1\")'"
    assert lines(made().conf(synchronous=("pg-1",)))["synchronous_standby_names"] == "''"


def test_with_certificates_everything_is_verified() -> None:
    """The server's own files lie in the output directory, which both containers see."""
    found = made(PEERBOOT_POSTGRES_TLS_DIR="/tls")
    written = lines(found.conf())
    assert {key: written[key] for key in written if key.startswith("ssl")} == {
        "ssl": "'on'", "ssl_cert_file": "'/run/peerboot/tls.crt'", "ssl_key_file": "'/run/peerboot/tls.key'",
        "ssl_ca_file": "'/run/peerboot/ca.crt'",
    }  # fmt: skip
    assert found.source(["pg-2"]) == (
        "host=pg-2.pg.prod.svc.cluster.local port=5432 user=peerboot dbname=postgres passfile=/run/peerboot/pgpass "
        "connect_timeout=3 sslmode=verify-full sslrootcert=/run/peerboot/ca.crt"
    )
    assert found.hba().splitlines() == [
        "hostssl replication peerboot all scram-sha-256", "hostssl postgres peerboot all scram-sha-256",
    ]  # fmt: skip


def test_the_other_files() -> None:
    """No password is in a connection string, nor in SQL."""
    found = made(PEERBOOT_POSTGRES_PORT="6000", PEERBOOT_OUTPUT_DIR="/run/it's here")
    assert found.source(["pg-0", "pg-2"], application_name="x y") == (
        "host=pg-0.pg.prod.svc.cluster.local,pg-2.pg.prod.svc.cluster.local port=6000 user=peerboot dbname=postgres "
        "passfile='/run/it\\'s here/pgpass' connect_timeout=3 application_name='x y'"
    )
    assert found.hba() == "host replication peerboot all scram-sha-256\nhost postgres peerboot all scram-sha-256\n"
    assert found.passwords() == "*:*:*:peerboot:p\\:w'd \\\\ä\n"
    salt = bytes(range(16))
    roles = found.roles(salt).splitlines()
    assert roles[0] == f"CREATE ROLE peerboot LOGIN REPLICATION PASSWORD '{texts.verifier(ODD, salt)}';"
    assert roles[1:] == [line.format(role="peerboot") for line in config.GRANTS]
    assert all(line.endswith(";") for line in roles)
    assert ODD not in repr(found)


def test_the_fingerprint_is_of_what_all_must_share() -> None:
    """The same for all Pods of a set; another host or port is another one."""
    alike = {made(identity(f"pg-{n}")).fingerprint for n in range(3)}
    other = {made(PEERBOOT_POSTGRES_PORT="6000").fingerprint, made(PEERBOOT_POSTGRES_HOST="{pod}").fingerprint}
    other.add(made(PEERBOOT_POSTGRES_TLS_DIR="/tls").fingerprint)
    assert (len(alike), len(alike | other)) == (1, 4)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{pod}", "pg-2"),
        ("{pod}.{service}", "pg-2.pg"),
        ("10.0.{ordinal}.1", "10.0.2.1"),
        ("fd00::{ordinal}", "fd00::2"),
        ("{namespace}-{ordinal:02d}.{domain}", "prod-02.cluster.local"),
    ],
)
def test_host_templates(template: str, expected: str) -> None:
    """Any that tells the Pods apart."""
    assert made(PEERBOOT_POSTGRES_HOST=template).host_of("pg-2") == expected


def test_a_data_directory_has_no_slash_at_its_end() -> None:
    """What is made beside it has the same name and more."""
    assert made(PEERBOOT_DATA_DIR="/var/lib/pg//").data_dir == "/var/lib/pg"
    assert made().data_dir == "/var/lib/postgresql/data/pgdata"


# ------------------------------------------------------------------ user's own


def test_every_key_of_the_users_is_kept() -> None:
    """As text, names in lower case as the server has them; one that peerboot gives a default is the user's."""
    base = {
        "Shared_Buffers": "1GB", "hot_standby_feedback": False, "work_mem": " 8MB ", "max_connections": 200,
        "my.own_$etting": "it's a \\", "fsync": "on", "synchronous_commit": "remote_apply", "log_line_prefix": "",
    }  # fmt: skip
    written = lines(made(base=base).conf())
    assert {key: written[key] for key in map(str.lower, base)} == {
        "shared_buffers": "'1GB'", "hot_standby_feedback": "'False'", "work_mem": "' 8MB '", "max_connections": "'200'",
        "my.own_$etting": "'it''s a \\\\'", "fsync": "'on'", "synchronous_commit": "'remote_apply'",
        "log_line_prefix": "''",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("replicas", "given", "expected"),
    [(3, None, "10"), (3, " 8 ", "10"), (3, 40, "40"), (9, None, "22"), (None, "7", "10")],
)
def test_there_are_always_enough_senders(replicas: int | None, given: object, expected: str) -> None:
    """Never fewer than the set needs, and never fewer than a primary may have had."""
    base = {} if given is None else {"MAX_WAL_SENDERS": given, "max_replication_slots": given}
    written = lines(made(identity(replicas=replicas), base=base).conf())
    assert (written["max_wal_senders"], written["max_replication_slots"]) == (f"'{expected}'",) * 2


@pytest.mark.parametrize("key", config.OWNED)
@pytest.mark.parametrize("write", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
def test_what_peerboot_owns_is_refused(key: str, write: Any) -> None:
    """In any case of letters, as the server reads names."""
    with pytest.raises(SettingsError) as refused:
        made(base={write(key): "x"})
    assert str(refused.value) == (
        f"{write(key)!r} in PEERBOOT_BASE_CONFIG_FILE belongs to peerboot, which has to know it: drop it there"
    )


def test_all_that_peerboot_writes_is_its_own() -> None:
    """Or a user's line would be lost without a word."""
    written = set(lines(made(PEERBOOT_POSTGRES_TLS_DIR="/tls").conf())) - {"hot_standby_feedback", *config.NUMBERS}
    assert written - set(config.OWNED) == set()


@pytest.mark.parametrize("value", ["off", "OFF", "of", "false", "f", "no", "n", "0", False, 0, " off "])
@pytest.mark.parametrize("key", ["fsync", "full_page_writes"])
def test_what_loses_data_is_refused_however_it_is_written(key: str, value: object) -> None:
    """As the server reads a switch: any beginning of off, false or no, and 0."""
    with pytest.raises(SettingsError, match=f"^{key} = .* in PEERBOOT_BASE_CONFIG_FILE is refused: a crash [^\n]*$"):
        made(base={key: value})


@pytest.mark.parametrize("value", ["on", "o", "true", "1", "yes", True])
def test_a_switch_that_is_on_is_taken(value: object) -> None:
    """What the server does not understand it says itself."""
    assert lines(made(base={"fsync": value}).conf())["fsync"] == f"'{value}'"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PEERBOOT_POSTGRES_HOST": "{pod}.{zone}"}, "has an unknown field: use pod, ordinal, service"),
        ({"PEERBOOT_POSTGRES_HOST": "{}"}, "has an unknown field"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod"}, "has an unknown field"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod.name}"}, "has an unknown field"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod[a]}"}, "has an unknown field"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod[a"}, "has an unknown field"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod:d}"}, "has an unknown field"),
        ({"PEERBOOT_POSTGRES_HOST": "pg.{namespace}"}, "is the same for every pod: use {pod} or {ordinal} in it"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod},b"}, "is no host name"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod} b"}, "is no host name"),
        ({"PEERBOOT_POSTGRES_HOST": "{pod}='b'"}, "is no host name"),
        ({"PEERBOOT_POSTGRES_HOST": "/run/{pod}"}, "is no host name"),
        ({"PEERBOOT_POSTGRES_HOST": "@{pod}"}, "is no host name"),
        ({"PEERBOOT_POSTGRES_WAL_KEEP": "512"}, "PEERBOOT_POSTGRES_WAL_KEEP='512' is no size of Postgres: write it as"),
        ({"PEERBOOT_POSTGRES_WAL_KEEP": "1 GB"}, "is no size of Postgres"),
        ({"PEERBOOT_POSTGRES_WAL_KEEP": "1gb"}, "is no size of Postgres"),
        ({"PEERBOOT_POSTGRES_SLOT_WAL_KEEP": "-1"}, "PEERBOOT_POSTGRES_SLOT_WAL_KEEP='-1' is no size of Postgres"),
        ({"PEERBOOT_POSTGRES_SLOT_WAL_KEEP": "2048TB"}, "is no size of Postgres"),
        ({"PEERBOOT_POSTGRES_SLOT_WAL_KEEP": "2097152GB"}, "is no size of Postgres"),
        ({"PEERBOOT_POSTGRES_SYNCHRONOUS": "3"}, "asks for more standbys than the 3 pods of PEERBOOT_REPLICAS leave"),
        ({"PEERBOOT_DATA_DIR": "//"}, "PEERBOOT_DATA_DIR"),
    ],
    ids=lambda part: next(iter(part.values())) if isinstance(part, dict) else "",
)
def test_a_setting_that_cannot_stay_is_named(environ: dict[str, Any], words: str) -> None:
    """One line, with what to write instead, and exit code 2."""
    with pytest.raises(SettingsError) as refused:
        made(**environ)
    assert words in str(refused.value)
    assert ("\n" in str(refused.value), refused.value.exit_code) == (False, 2)


@pytest.mark.parametrize("password", ["", "two\nlines", "a\rreturn", "zero\0"])
def test_a_password_that_no_file_can_hold_is_refused(password: str) -> None:
    """Without showing it."""
    with pytest.raises(SettingsError, match=r"^PEERBOOT_POSTGRES_PASSWORD_FILE [^\n]*$") as refused:
        made(password=password)
    assert not password or repr(password)[1:-1] not in str(refused.value)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ({"max_wal_senders": "many"}, "max_wal_senders = many in PEERBOOT_BASE_CONFIG_FILE is no number: write one"),
        ({"max_wal_senders": "-1"}, "is no number"),
        ({"max_replication_slots": "٣"}, "is no number"),
        ({"max_replication_slots": "1234567"}, "is no number"),
        ({"wal_level": "Minimal "}, "wal_level = Minimal in PEERBOOT_BASE_CONFIG_FILE is refused: no standby could"),
        ({"a b": "x"}, "'a b' in PEERBOOT_BASE_CONFIG_FILE is no name of a setting"),
        ({"port ": "1"}, "'port ' in PEERBOOT_BASE_CONFIG_FILE is no name of a setting"),
        ({"x = 'y'\nport": "1"}, "is no name of a setting"),
        ({"#x": "1"}, "is no name of a setting"),
        ({"": "1"}, "is no name of a setting"),
        ({"work_mem\n": "1"}, "is no name of a setting"),
        ({"x.y": "two\nlines"}, "x.y in PEERBOOT_BASE_CONFIG_FILE has more than one line: write it in one"),
        ({"x.y": "zero\0"}, "x.y in PEERBOOT_BASE_CONFIG_FILE has more than one line"),
    ],
    ids=lambda part: repr(part) if isinstance(part, dict) else "",
)
def test_a_base_that_cannot_stay_is_named(base: dict[str, object], words: str) -> None:
    """One line, whatever is in it, and exit code 2."""
    with pytest.raises(SettingsError) as refused:
        made(base=base)
    assert words in str(refused.value)
    assert ("\n" in str(refused.value), refused.value.exit_code) == (False, 2)


def test_a_pod_that_gives_no_slot_is_refused() -> None:
    """Two Pods with one slot would take each other's log, so none is made shorter."""
    longest = identity("p" * 61 + "-0", replicas=1)
    assert f"application_name={'p' * 61}_0 " in made(longest).conf()
    with pytest.raises(SettingsError, match=r"gives no name of a slot: [^\n]*: name the StatefulSet so$"):
        made(identity("p" * 61 + "-0", replicas=11))


@pytest.mark.parametrize("value", ["off", "LOCAL", "false", "no"])
def test_no_setting_takes_back_that_commits_wait(value: str) -> None:
    """Nobody would see that they do not; without synchronous standbys it is the user's own choice."""
    with pytest.raises(SettingsError) as refused:
        made(base={"synchronous_commit": value}, PEERBOOT_POSTGRES_SYNCHRONOUS="1")
    assert str(refused.value) == (
        f"synchronous_commit = {value} in PEERBOOT_BASE_CONFIG_FILE takes back what PEERBOOT_POSTGRES_SYNCHRONOUS=1 "
        "asks for: drop one of them"
    )
    assert f"synchronous_commit = '{value}'" in made(base={"synchronous_commit": value}).conf()
