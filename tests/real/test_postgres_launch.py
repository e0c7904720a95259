"""``launch.sh`` with real servers of each major release: what it makes, copies and rewinds, and how it comes back."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from peerboot.lab.postgres import find
from peerboot.systems.postgres import launch
from tests.real.postgres_pod import IN_RECOVERY, PASSWORD, QUICK, STREAMS, Pods, a_primary, plan, pods

__all__ = ["pods"]

PASSWORDS = "give all Pods of the set the same PEERBOOT_POSTGRES_PASSWORD_FILE; it is tried again\n"
ROWS = "SELECT string_agg(said, ',' ORDER BY said) FROM t"


def test_a_life(pods: Pods) -> None:
    """Born, promoted, copied, crashed, overtaken, rewound: every start is a standby's, and no row is lost unseen.

    Each step is taken by the role peerboot, which is no superuser.
    """
    a, b = pods.another(0), pods.another(1)

    # Born: as a standby, though nobody else has ever been.
    a.start()
    a.until_said("waiting for the permit")
    assert (a.out / launch.WAITING_NAME).exists()
    a.permit(1, "init")
    a.until_sql(IN_RECOVERY, "t")
    assert not (a.out / launch.WAITING_NAME).exists()
    assert a.refused("CREATE TABLE t (said text)").endswith("cannot execute CREATE TABLE in a read-only transaction")
    assert a.sql("SELECT pg_promote()") == "t"
    assert a.sql("SHOW data_checksums") == "on"
    assert a.sql("SELECT rolsuper, rolreplication, rolcreaterole FROM pg_roles WHERE rolname = 'peerboot'") == "f|t|f"
    a.sql("CREATE TABLE t (said text)", "postgres")
    a.sql("INSERT INTO t VALUES ('first')", "postgres")

    # Copied, with a slot that keeps the log meanwhile.
    assert a.sql("SELECT slot_name FROM pg_create_physical_replication_slot('pg_1', true)") == "pg_1"
    b.settings(slot=True)
    b.permit(2, "clone", a, slot="pg_1")
    b.start()
    b.until_sql(STREAMS, "streaming")
    assert b.sql("SELECT slot_name FROM pg_stat_wal_receiver") == "pg_1"
    assert (b.sql(ROWS, "postgres"), b.sysid()) == ("first", a.sysid())
    b.kill()

    # Crashed, with rows that the copy has not got, and back with its first permit, which is of long ago.
    a.sql("INSERT INTO t VALUES ('only a')", "postgres")
    timeline = a.sql("SELECT timeline_id FROM pg_control_checkpoint()")
    a.kill()
    assert not (a.data / "standby.signal").exists()
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert a.sql(ROWS, "postgres") == "first,only a"
    assert a.sql("SELECT timeline_id FROM pg_control_checkpoint()") == timeline
    assert a.refused("INSERT INTO t VALUES ('x')").endswith("cannot execute INSERT in a read-only transaction")
    a.kill()

    # Overtaken: the copy is promoted, and what was the primary does not fit its history any more.
    b.start()
    b.until_sql(IN_RECOVERY, "t")
    assert b.sql("SELECT pg_promote()") == "t"
    b.sql("CHECKPOINT")
    b.sql("INSERT INTO t VALUES ('only b')", "postgres")
    a.start()
    a.until_said("forked off current database system timeline")
    assert a.sql(ROWS, "postgres") == "first,only a"
    killed = pods.server.version.startswith(("16", "17"))
    if killed:
        a.kill()
    else:
        a.end()
    log_of_before = {path.name: path.read_bytes() for path in (a.data / "pg_wal").iterdir() if path.is_file()}

    # A password that is wrong costs nothing.
    a.passwords("wrong")
    a.permit(3, "rewind", b)
    a.start()
    assert a.ended() == 1
    assert 'password authentication failed for user "peerboot"' in a.log
    assert a.words.startswith("pg_rewind did not reach the primary, for 'pg_rewind: error: connection to server at ")
    assert a.words.endswith(PASSWORDS)
    assert not Path(f"{a.data}.rewinding").exists()

    # Rewound: the rows of before are in the log that was kept aside.
    a.passwords(PASSWORD)
    a.start()
    a.until_sql(STREAMS, "streaming")
    a.until_sql(ROWS, "first,only b", "postgres")
    aside = Path(f"{a.data}.before-{plan(3)}") / "pg_wal"
    assert {path.name: path.read_bytes() for path in aside.iterdir() if path.is_file()} == log_of_before
    assert any(b"only a" in content for content in log_of_before.values())
    assert not Path(f"{a.data}.rewinding").exists()

    # A target of a restore of long ago, which would have it promote itself.
    a.end()
    past = "recovery_target_time = '2020-01-01 00:00:00'\nrecovery_target_action = 'promote'\n"
    for name in ("postgresql.conf", "postgresql.auto.conf"):
        with (a.data / name).open("a") as file:
            file.write(past)
    b.sql("INSERT INTO t VALUES ('later')", "postgres")
    a.permit(4, "start")
    a.start()
    a.until_sql(ROWS, "first,later,only b", "postgres")
    assert (a.sql(IN_RECOVERY), a.sql("SHOW recovery_target_time")) == ("t", "")

    # The plan that it was born by is used up.
    a.end()
    shutil.rmtree(a.data)
    a.permit(1, "init")
    a.start()
    a.until_said(f"plan {plan(1)} was used already and makes nothing again")
    assert not a.data.exists()


def test_what_is_cut_off_has_no_name(pods: Pods) -> None:
    """initdb killed at several moments, statements that fail, a primary that dies while it is copied."""
    a, b = pods.another(0), pods.another(1)
    roles = (a.out / launch.ROLES_NAME).read_text()
    a.write(launch.ROLES_NAME, roles.replace("pg_monitor", "nobody_at_all"))
    a.permit(1, "init")
    a.start()
    assert a.ended() == 1
    assert 'role "nobody_at_all" does not exist' in a.log
    assert a.words.startswith("no cluster was made, for 'FATAL:  role \"nobody_at_all\" does not exist', so nothing is")
    assert not a.data.exists()
    a.write(launch.ROLES_NAME, roles)

    for seconds in (0.05, 0.2, 0.4, 0.6):
        a.start()
        time.sleep(seconds)
        a.kill()
        assert not a.data.exists() or (a.data / "standby.signal").exists()
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert a.sql("SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database") == "postgres,template0,template1"
    assert a.sql("SELECT pg_promote()") == "t"
    a.sql("CREATE TABLE t AS SELECT repeat('x', 1000) AS said FROM generate_series(1, 100000)", "postgres")

    b.passwords("wrong")
    b.permit(2, "clone", a)
    b.start()
    assert b.ended() == 1
    assert 'password authentication failed for user "peerboot"' in b.log
    assert b.words.startswith("the primary was not copied, for 'pg_basebackup: error: connection to server at ")
    assert b.words.endswith(PASSWORDS)
    b.passwords(PASSWORD)

    b.start()
    new = Path(f"{b.data}.peerboot-new")
    b.until((new / "base").exists, "the copy has begun")
    b.halt(signal.SIGSTOP)
    a.kill()
    b.halt(signal.SIGCONT)
    assert b.ended() == 1
    assert b.words.startswith("the primary was not copied, for 'pg_basebackup: error: ")
    assert b.words.endswith("see whether the primary runs and is reached from here; it is tried again\n")
    assert (b.data.exists(), new.exists()) == (False, False)

    a.start()
    a.until_sql(IN_RECOVERY, "t")
    b.start()
    b.until_sql("SELECT count(*) FROM t", "100000", "postgres")
    # Copied from a standby, for nobody takes writes; it is one itself.
    assert b.sql(IN_RECOVERY) == "t"


IMAGE = r"""#!/usr/bin/env bash
# A stand-in for the official image's docker-entrypoint.sh: functions of the same names that do the same, but that the
# server's socket is where SOCKETS says.
set -Eeo pipefail
docker_setup_env() {
    : "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}" "${POSTGRES_INITDB_ARGS:=}"
    POSTGRES_HOST_AUTH_METHOD=${POSTGRES_HOST_AUTH_METHOD:-}
    export POSTGRES_USER POSTGRES_DB POSTGRES_PASSWORD
}
docker_create_db_directories() { mkdir -p "$PGDATA"; chmod 00700 "$PGDATA" || :; }
docker_verify_minimum_env() {
    if [ -z "$POSTGRES_PASSWORD" ]; then echo 'Error: superuser password is not specified.' >&2; exit 1; fi
}
docker_init_database_dir() {
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
}
pg_setup_hba_conf() {
    [ "$1" != postgres ] || shift
    local auth; auth=$(postgres -C password_encryption "$@")
    printf '\nhost all all all %s\n' "$auth" >>"$PGDATA/pg_hba.conf"
}
docker_temp_server_start() {
    [ "$1" != postgres ] || shift
    set -- "$@" -c listen_addresses='' -p 5432
    pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
}
docker_temp_server_stop() { pg_ctl -D "$PGDATA" -m fast -w stop; }
docker_process_sql() {
    local runner=(psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc)
    [ -z "$POSTGRES_DB" ] || runner+=(--dbname "$POSTGRES_DB")
    PGHOST=$SOCKETS "${runner[@]}" "$@"
}
docker_setup_db() {
    local there
    there=$(POSTGRES_DB= docker_process_sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only \
        <<<"SELECT 1 FROM pg_database WHERE datname = :'db';")
    [ -z "$there" ] || return 0
    POSTGRES_DB= docker_process_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
}
docker_process_init_files() {
    local f
    for f; do
        case $f in
            *.sh) if [ -x "$f" ]; then "$f"; else . "$f"; fi ;;
            *.sql) docker_process_sql -f "$f" ;;
            *) echo "ignoring $f" ;;
        esac
    done
}
is_sourced() { [ "${FUNCNAME[1]:-}" = source ]; }
if ! is_sourced; then echo 'its _main is not for peerboot' >&2; exit 1; fi
"""


def test_the_image_makes_it_as_it_is_used_to(pods: Pods) -> None:
    """The user's files in docker-entrypoint-initdb.d run at the birth, with the server's options, and in no copy."""
    sockets, hooks = pods.root / "s", pods.root / "docker-entrypoint-initdb.d"
    options = (*QUICK, "-c", "my.option=it's  *")
    a, b = pods.another(0, options), pods.another(1, options)
    sockets.mkdir(mode=0o777)
    hooks.mkdir()
    (pods.root / "bin").mkdir()
    entrypoint = pods.root / "bin" / "docker-entrypoint.sh"
    entrypoint.write_text(IMAGE)
    entrypoint.chmod(0o755)
    for pod in (a, b):
        pod.write(launch.LAUNCH_NAME, launch.script().replace("/docker-entrypoint-initdb.d", str(hooks)))
        pod.environ["PATH"] += f":{pods.root / 'bin'}"
        pod.environ |= {
            "POSTGRES_USER": "owner", "POSTGRES_DB": "app", "POSTGRES_PASSWORD": "it's secret", "SOCKETS": str(sockets),
            "POSTGRES_INITDB_ARGS": "--no-sync", "RAN": str(pods.root / "ran"), "PGDATA": "/nowhere/else",
        }  # fmt: skip
        pod.options = (*options, "-c", f"unix_socket_directories={sockets}/{pod.made.identity.ordinal}")
        pod.environ["SOCKETS"] = f"{sockets}/{pod.made.identity.ordinal}"
        Path(pod.environ["SOCKETS"]).mkdir()
    (hooks / "1.sh").write_text('#!/bin/sh\nprintf "%s\\n" "$PGDATA" >>"$RAN"\n')
    (hooks / "1.sh").chmod(0o755)
    (hooks / "2.sql").write_text("CREATE TABLE said AS SELECT current_setting('my.option') AS it;\n")
    (hooks / "3.sql").write_text("SELECT no_such_function();\n")

    # One that fails ends the birth, and the server that it was made with.
    a.permit(1, "init")
    a.start()
    assert a.ended() == 1
    assert "function no_such_function() does not exist" in a.log
    assert "the image's first start failed" in a.words
    assert not a.data.exists()

    (hooks / "3.sql").unlink()
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    a.kill()
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert (pods.root / "ran").read_text().splitlines() == [f"{a.data}.peerboot-new"] * 2
    place = ("-X", "-A", "-t", "-h", str(sockets / "0"), "-p5432", "-Uowner", "-dapp")
    assert a.run("psql", *place, "-c", "SELECT it FROM said").strip() == "it's  *"
    assert a.sql("SELECT pg_promote()") == "t"

    b.permit(2, "clone", a)
    b.start()
    b.until_sql(STREAMS, "streaming")
    assert len((pods.root / "ran").read_text().splitlines()) == 2


def test_fifteens_trigger_file_is_refused(short_root: Path) -> None:
    """The last release that has it: whoever writes that file would make a second primary."""
    with ExitStack() as stack:
        a = Pods(find("15"), short_root, stack).another(0)
        a_primary(a)
        a.end()
        with (a.data / "postgresql.conf").open("a") as file:
            file.write(f"promote_trigger_file = '{short_root}/x'\n")
        a.permit(2, "start")
        a.start()
        assert a.ended() == 1
        assert "postgresql.conf has promote_trigger_file, by which this server could take writes" in a.log
