"""``postgres -C`` of each major release: what the server takes for the settings that peerboot has written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from peerboot.lab.postgres import VERSIONS, as_user, find
from peerboot.systems.postgres import texts
from tests.postgres.test_config import identity, lines, made


def read_back(version: str, directory: Path, name: str) -> str:
    """What the server of that release takes a setting for."""
    command = [*as_user(), f"{find(version).path}/bin/postgres", "-D", str(directory), "-C", name]
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)  # noqa: S603 - the lab's programs
    assert (done.returncode, done.stderr) == (0, ""), (name, done.stdout, done.stderr)
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_server_reads_what_was_written(tmp_path: Path, version: str) -> None:
    """Each setting, with values that have quotes, blanks and backslashes, over what was there by hand before."""
    directory = tmp_path / "pg data"
    directory.mkdir(mode=0o700)
    output = "/run/it's \\ here"
    base = {"log_line_prefix": "it's \\ %m: ", "my.own": "'", "Work_Mem": "8MB", "search_path": '"$user", a'}
    found = made(
        identity("pg-2", 12), base=base, PEERBOOT_OUTPUT_DIR=output, PEERBOOT_POSTGRES_TLS_DIR="/tls",
        PEERBOOT_POSTGRES_SYNCHRONOUS="2", PEERBOOT_POSTGRES_WAL_KEEP="2047TB", PEERBOOT_POSTGRES_SLOT_WAL_KEEP="0MB",
    )  # fmt: skip
    text = found.conf(slot=True, synchronous=("pg-0", "pg-1", "pg-3"))
    text = text.replace("ssl = 'on'\n", "")  # two of the wheels are without OpenSSL
    (directory / "postgresql.auto.conf").touch()
    own = directory / "own's.conf"
    own.write_text(text)
    (directory / "postgresql.conf").write_text(
        "port = 1\nrecovery_target_time = '2020-01-01 00:00:00'\nrecovery_target_action = promote\n"
        f"primary_conninfo = 'host=old'\ninclude = {texts.setting(str(own))}\n"
    )
    expected = {
        "listen_addresses": "*", "port": "5432", "cluster_name": "pg-2", "hot_standby": "on", "wal_log_hints": "on",
        "wal_keep_size": str(2047 << 20), "max_slot_wal_keep_size": "0", "wal_retrieve_retry_interval": "1000",
        "recovery_target": "", "recovery_target_lsn": "", "recovery_target_name": "", "recovery_target_time": "",
        "recovery_target_timeline": "latest", "recovery_target_xid": "", "password_encryption": "scram-sha-256",
        "primary_conninfo": found.source(
            found.identity.expected, application_name="pg_2", target_session_attrs="read-write"
        ),
        "primary_slot_name": "pg_2", "synchronous_standby_names": 'ANY 2 ("pg_0","pg_1","pg_3")',
        "ssl_cert_file": f"{output}/tls.crt", "ssl_key_file": f"{output}/tls.key", "ssl_ca_file": f"{output}/ca.crt",
        "max_wal_senders": "28", "max_replication_slots": "28", "hot_standby_feedback": "on",
        "log_line_prefix": "it's \\ %m: ", "my.own": "'", "work_mem": "8192", "search_path": '"$user", a',
    }  # fmt: skip
    assert set(lines(text)) == {key.lower() for key in expected}
    assert {name: read_back(version, directory, name) for name in expected} == expected
