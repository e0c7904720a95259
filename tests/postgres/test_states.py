"""The reader of the directory against what real servers of four major releases leave, and initdbs killed half-way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from peerboot.lab.postgres import VERSIONS, find
from peerboot.model import Standing
from peerboot.systems.postgres import control, datadir
from tests.postgres.conftest import SETTINGS, Made, Sample
from tests.postgres.server import PORT, WITHIN, Postgres

LEVELS = ("minimal", "replica", "logical")
SWITCH = {"on": True, "off": False, "yes": True, "no": False}


def position(text: str) -> int:
    """A position as it is printed."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def as_told(told: Mapping[str, str]) -> control.Control:
    """All fields in the words of pg_controldata."""
    written = datetime.strptime(told["pg_control last modified"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    return control.Control(
        version=int(told["pg_control version number"]),
        catalog=int(told["Catalog version number"]),
        sysid=told["Database system identifier"],
        state=told["Database cluster state"],
        written=int(written.timestamp()),
        checkpoint=position(told["Latest checkpoint location"]),
        redo=position(told["Latest checkpoint's REDO location"]),
        timeline=int(told["Latest checkpoint's TimeLineID"]),
        previous=int(told["Latest checkpoint's PrevTimeLineID"]),
        least=position(told["Minimum recovery ending location"]),
        least_timeline=int(told["Min recovery ending loc's timeline"]),
        backup_start=position(told["Backup start location"]),
        backup_end=position(told["Backup end location"]),
        backup_end_required=SWITCH[told["End-of-backup record required"]],
        wal_level=LEVELS.index(told["wal_level setting"]),
        hints=SWITCH[told["wal_log_hints setting"]],
        connections=int(told["max_connections setting"]),
        workers=int(told["max_worker_processes setting"]),
        senders=int(told["max_wal_senders setting"]),
        prepared=int(told["max_prepared_xacts setting"]),
        locks=int(told["max_locks_per_xact setting"]),
        segment=int(told["Bytes per WAL segment"]),
        checksums=int(told["Data page checksum version"]),
    )


def test_every_field_is_what_the_release_prints(made: Made) -> None:
    """In each state, of each release: the reader's word is pg_controldata's."""
    expected = {name: as_told(sample.told) for name, sample in made.samples.items()}
    assert expected == {name: sample.data.control for name, sample in made.samples.items()}


def test_no_field_is_shown_by_zeros_alone(made: Made) -> None:
    """Each field has another value than 0 in some state, so that one read from the wrong place is noticed."""
    read = [sample.data.control for sample in made.samples.values()]
    seen = {field for found in read if found for field, value in found._asdict().items() if value}
    # Of the four, 18 alone has checksums unless told otherwise.
    expected = set(control.Control._fields) - (set() if made.major == "18" else {"checksums"})
    assert expected == seen


def test_settings_are_those_of_the_server(made: Made) -> None:
    """Each number is in the field of its own setting."""
    found = made.samples["running"].data.control
    assert found is not None
    names = {
        "wal_level": LEVELS[found.wal_level], "wal_log_hints": "on" if found.hints else "off",
        "max_connections": f"{found.connections}", "max_worker_processes": f"{found.workers}",
        "max_wal_senders": f"{found.senders}", "max_prepared_transactions": f"{found.prepared}",
        "max_locks_per_transaction": f"{found.locks}",
    }  # fmt: skip
    assert (names, found.segment) == (SETTINGS, 4 << 20)


FLAGS = {
    # standby, backup, stopped, was_primary; state; timeline; status of the postmaster
    "fresh": (False, False, True, True, "shut down", 1, None),
    "running": (False, False, False, True, "in production", 1, "ready"),
    "backup": (True, True, False, False, "in production", 1, None),
    "restore-begun": (True, False, False, False, "in archive recovery", 1, "starting"),
    "restore-of-a-standby-begun": (True, False, False, False, "in archive recovery", 1, "starting"),
    "standby": (True, False, False, False, "in archive recovery", 1, "ready"),
    "standby-stopped": (True, False, True, False, "shut down in recovery", 1, None),
    "crashed": (False, False, False, True, "in production", 1, "ready"),
    "promoted": (False, False, False, True, "in production", 2, "ready"),
    "rewound": (True, True, False, False, "in archive recovery", 2, None),
    "stopped": (False, False, True, True, "shut down", 2, None),
    "promoted-twice": (False, False, True, True, "shut down", 3, None),
}
"""A standby that lets readers in says ``ready`` as a primary does: its status tells no role."""


def flags(sample: Sample) -> tuple[bool, bool, bool, bool, str, int, str | None]:
    """In the order of ``FLAGS``."""
    data = sample.data
    assert data.control is not None
    status = data.postmaster.status if data.postmaster else None
    return data.standby, data.backup, data.stopped, data.was_primary, data.control.state, data.timeline, status


def test_how_far_a_primary_is_that_was_shut_down(made: Made) -> None:
    """One byte beyond the place where the record of its shutdown begins; of one in any other state it is not known."""
    ends = {name: datadir.end_of(sample.data) for name, sample in made.samples.items()}
    expected = dict.fromkeys(FLAGS)
    for name, term in {"fresh": 1, "stopped": 2, "promoted-twice": 3}.items():
        begins = position(made.samples[name].told["Latest checkpoint location"])
        expected[name] = Standing(term=term, position=begins + 1)
    assert expected == ends


def test_what_each_state_is(made: Made) -> None:
    """Each is data of the release, and nothing of what decides is taken for something else."""
    found = {name: flags(sample) for name, sample in made.samples.items()}
    assert found == FLAGS
    kinds = {(sample.data.kind, sample.data.reason, sample.data.major) for sample in made.samples.values()}
    assert kinds == {("data", "", int(made.major))}


def test_all_are_one_cluster(made: Made) -> None:
    """initdb's identity is on each copy."""
    assert len({sample.data.control.sysid for sample in made.samples.values() if sample.data.control}) == 1


def test_the_server_that_runs(made: Made) -> None:
    """Its process id and port are in postmaster.pid."""
    running = {name: sample for name, sample in made.samples.items() if sample.pid}
    found = {name: sample.data.postmaster and sample.data.postmaster[:2] for name, sample in running.items()}
    assert found == {name: (sample.pid, PORT) for name, sample in running.items()}


def test_forks_are_where_the_standby_had_come_to(made: Made) -> None:
    """A timeline ends where the standby had replayed to, by its own word before it was promoted."""
    first, second = (position(text) for text in made.forks)
    found = {name: sample.data.forks for name, sample in made.samples.items() if sample.data.timeline > 1}
    assert found == {
        "promoted": (datadir.Fork(1, first),),
        "rewound": (datadir.Fork(1, first),),
        "stopped": (datadir.Fork(1, first),),
        "promoted-twice": (datadir.Fork(1, first), datadir.Fork(2, second)),
    }


def test_forks_are_where_the_next_timeline_begins(made: Made) -> None:
    """There the log of the new timeline has the record that ends recovery."""
    shown = [re.search(r"lsn: (\S+),.*END_OF_RECOVERY tli (\d+); prev tli (\d+)", text) for text in made.ended]
    found = [(int(match[2]), int(match[3]), position(match[1])) for match in shown if match]
    forks = made.samples["promoted-twice"].data.forks
    assert found == [(fork.timeline + 1, fork.timeline, fork.position) for fork in forks]


def test_the_history_that_a_primary_gives(made: Made) -> None:
    """What a standby is told by the protocol is read as the file is."""
    assert datadir.parse_history(made.history) == made.samples["promoted-twice"].data.forks


# ------------------------------------------------------------------- killed


def _is(name: str) -> Callable[[Path], bool]:
    return lambda data_dir: (data_dir / name).exists()


def _all_copied(data_dir: Path) -> bool:
    """The last database has as many files as the other one that is copied from the same."""
    try:
        return len(list((data_dir / "base/5").iterdir())) >= len(list((data_dir / "base/4").iterdir()))
    except FileNotFoundError:
        return False


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "folders": _is("pg_wal"),
    "version": _is("PG_VERSION"),
    "control": _is("global/pg_control"),
    "template0": _is("base/4/PG_VERSION"),
    "postgres-begun": _is("base/5"),
    "postgres-copied": _all_copied,
}


def was_killed(server: Postgres, command: list[str], moment: Callable[[Path], bool]) -> bool:
    """Kill a program with all of its children; False when it had done its work already."""
    with subprocess.Popen(  # noqa: S603 - the lab's programs
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", env={"LC_ALL": "C"}
    ) as process:
        end = time.monotonic() + WITHIN
        while process.poll() is None and not moment(server.data_dir):
            assert time.monotonic() < end
            time.sleep(0.0002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=WITHIN)  # the pipe is at its end when its children are gone
    if not _all_copied(server.data_dir):
        return True
    told = server.run("pg_controldata", str(server.data_dir))
    return re.search(r"cluster state: +shut down$", told, re.MULTILINE) is None


def killed(server: Postgres, moment: str, *options: str) -> None:
    """An initdb that does not come to its end."""
    command = server.command("initdb", "-D", str(server.data_dir), "-U", "postgres", "-A", "trust", "--no-sync")
    for _ in range(20):
        if was_killed(server, [*command, *options], MOMENTS[moment]):
            return
        # On a busy machine it may have done all of its work before it is killed.
        for path in server.data_dir.parent.iterdir():
            shutil.rmtree(path)
    pytest.fail("it is never killed in time")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("major", VERSIONS)
def test_an_initdb_that_is_killed_leaves_no_data(tmp_path: Path, major: str, moment: str) -> None:
    """At whatever moment it is corrupt, for a server that starts there may lack databases."""
    server = Postgres(find(major), tmp_path / "data", "")
    killed(server, moment)
    assert datadir.read(server.data_dir).kind == "corrupt"


@pytest.mark.parametrize("moment", ["folders", "postgres-begun"])
@pytest.mark.parametrize("major", VERSIONS)
def test_a_log_elsewhere(tmp_path: Path, major: str, moment: str) -> None:
    """``--waldir``, which the official image has as POSTGRES_INITDB_WALDIR: killed it is corrupt, or unknown where its
    volume is not there; whole it is data as any other.
    """
    server, wal = Postgres(find(major), tmp_path / "data", ""), tmp_path / "wal"
    killed(server, moment, "--waldir", str(wal))
    assert datadir.read(server.data_dir).kind == "corrupt"
    shutil.rmtree(server.data_dir)
    shutil.rmtree(wal)
    server.init("--waldir", str(wal))
    found = datadir.read(server.data_dir)
    assert (found.kind, found.timeline, (server.data_dir / "pg_wal").readlink()) == ("data", 1, wal)
    wal.rename(tmp_path / "not mounted")
    assert datadir.read(server.data_dir).kind == "unknown"
