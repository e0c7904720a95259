"""Real servers of each major release, and what their directories were read as in each of their states."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from peerboot.lab.network import Network
from peerboot.lab.postgres import VERSIONS, find
from peerboot.systems.postgres import datadir
from tests.postgres.server import PORT, WITHIN, Postgres

SETTINGS = {
    "wal_level": "logical", "wal_log_hints": "on", "max_connections": "50", "max_worker_processes": "7",
    "max_wal_senders": "9", "max_prepared_transactions": "3", "max_locks_per_transaction": "70",
}  # fmt: skip
"""None of them is the default, and no two numbers are the same."""


class Sample(NamedTuple):
    """One directory at one moment, in the reader's words and in the server's own."""

    data: datadir.Data
    told: Mapping[str, str]
    """What pg_controldata printed: value by name."""
    pid: int
    """Of the server that ran then, 0: none."""


class Made(NamedTuple):
    """What one release was seen in."""

    major: str
    samples: Mapping[str, Sample]
    forks: tuple[str, ...]
    """Where the standby had replayed to before each of its promotions, by its own word."""
    ended: tuple[str, ...]
    """The record that began each of its timelines, as pg_waldump shows it."""
    history: str
    """The history file of the last timeline, as the server gives it to a standby."""


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Addresses that nobody else uses."""
    found = Network()
    yield found
    found.close()


@pytest.fixture(scope="session")
def made_of(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """The states of one release, gone through at the first call."""
    kept: dict[str, Made | Exception] = {}

    def make(major: str) -> Made:
        if major not in kept:
            root = tmp_path_factory.mktemp(f"postgres-{major}-")
            try:
                with ExitStack() as stack:
                    kept[major] = _Making(major, root, network, stack).all()
            except Exception as error:  # noqa: BLE001 - raised below, for every test without another try
                kept[major] = error
            shutil.rmtree(root)  # 200 MB, of which nothing is read any more
        made = kept[major]
        if isinstance(made, Exception):
            raise made
        return made

    return make


@pytest.fixture(params=VERSIONS)
def made(request: pytest.FixtureRequest, made_of: Callable[[str], Made]) -> Made:
    """The states of each release in turn."""
    return made_of(request.param)


class _Making:
    def __init__(self, major: str, root: Path, network: Network, stack: ExitStack) -> None:
        self.major, self.root, self.network, self.stack = major, root, network, stack
        self.samples: dict[str, Sample] = {}

    def all(self) -> Made:
        """A primary, its backups, a standby that becomes a primary twice."""
        first = self.keep(Postgres(find(self.major), self.root / "first", self.network.another()))
        first.init("--wal-segsize=4")
        # In the file, for pg_rewind starts a server too, which would note the default otherwise, and then refuse.
        with (first.data_dir / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())
        self.sample("fresh", first)
        first.start()
        first.until_it_answers()
        self.sample("running", first, first.pid)
        second = self.keep(first.clone(self.root / "second", self.network.another(), "-R"))
        self.sample("backup", second)
        self.sample("restore-begun", self.begun(first, "third"))
        second.start()
        self.followed(first, second)
        # It writes down what it has come to when it copies a checkpoint.
        first.sql("CHECKPOINT")
        self.followed(first, second)
        second.sql("CHECKPOINT")
        self.sample("standby", second, second.pid)
        first.sql("CREATE TABLE more AS SELECT generate_series(1, 20000)")
        self.followed(first, second)
        self.sample("restore-of-a-standby-begun", self.begun(second, "fourth"))
        second.stop()
        self.sample("standby-stopped", second)
        second.start()
        self.followed(first, second)
        first.kill()
        self.sample("crashed", first)
        return self.promoted(second, first)

    def promoted(self, server: Postgres, former: Postgres) -> Made:
        """Twice, for a history of two lines; meanwhile the primary before it is rewound to be its standby."""
        server.until(lambda: server.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0", "it has lost its primary")
        forks = [server.sql("SELECT pg_last_wal_replay_lsn()")]
        server.promote()
        self.sample("promoted", server, server.pid)
        # 15 finds nothing to rewind before this.
        server.sql("CHECKPOINT")
        source = f"host={server.address} port={PORT} user=postgres dbname=postgres"
        former.run("pg_rewind", "-D", str(former.data_dir), f"--source-server={source}", "-R", "--no-sync")
        self.sample("rewound", former)
        server.stop()
        self.sample("stopped", server)
        (server.data_dir / "standby.signal").touch()
        server.start()
        server.until_it_answers()
        forks.append(server.sql("SELECT pg_last_wal_replay_lsn()"))
        server.promote()
        place = f"host={server.address} port={PORT} user=postgres replication=yes"
        history = server.run("psql", "-X", "-A", "-t", "-d", place, "-c", "TIMELINE_HISTORY 3").partition("|")[2]
        server.stop()
        self.sample("promoted-twice", server)
        wal = ("pg_waldump", "--path", str(server.data_dir / "pg_wal"), "--limit=1")
        ended = tuple(
            server.run(*wal, f"--timeline={number}", f"--start={fork}") for number, fork in enumerate(forks, 2)
        )
        return Made(self.major, self.samples, tuple(forks), ended, history)

    def begun(self, source: Postgres, name: str) -> Postgres:
        """A backup whose log ends before the backup did, so that a server that starts on it never gets there."""
        server = self.keep(source.clone(self.root / name, self.network.another(), "-X", "fetch"))
        wal = server.data_dir / "pg_wal"
        label = (server.data_dir / "backup_label").read_text()
        found = re.search(r"^CHECKPOINT LOCATION: (\S+)", label, re.MULTILINE)
        assert found is not None
        records = server.run("pg_waldump", "--path", str(wal), f"--start={found[1]}", "--limit=2")
        after = re.findall(r"lsn: ([0-9A-F]+)/([0-9A-F]+)", records)[1]
        position = int(after[0], 16) << 32 | int(after[1], 16)
        segments = sorted(path for path in wal.iterdir() if len(path.name) == 24)
        assert int(segments[0].name[-8:], 16) == position >> 22
        offset = position % (1 << 22)
        with segments[0].open("r+b") as file:
            file.seek(offset)
            file.write(bytes((1 << 22) - offset))
        for segment in segments[1:]:
            segment.unlink()
        (server.data_dir / "standby.signal").touch()
        server.start(primary_conninfo="")

        def has_begun() -> bool:
            return self.told(server)["Backup start location"] != "0/0"

        server.until(has_begun, "it notes where the backup began")
        server.kill()
        return server

    def keep(self, server: Postgres) -> Postgres:
        self.stack.callback(server.kill)
        return server

    def followed(self, primary: Postgres, standby: Postgres) -> None:
        standby.until_it_answers()
        written = primary.sql("SELECT pg_current_wal_flush_lsn()")
        query = f"SELECT COALESCE(pg_last_wal_replay_lsn() >= '{written}', false)"
        standby.until(lambda: standby.sql(query) == "t", "it has replayed what its primary had written")

    def told(self, server: Postgres) -> dict[str, str]:
        """What pg_controldata says."""
        lines = server.run("pg_controldata", str(server.data_dir)).splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def sample(self, name: str, server: Postgres, pid: int = 0) -> None:
        """Both words, of the same moment: a server that runs may write the file between them."""
        end = time.monotonic() + WITHIN
        while time.monotonic() < end:
            before = datadir.read(server.data_dir)
            told = self.told(server)
            if datadir.read(server.data_dir) == before:
                self.samples[name] = Sample(before, told, pid)
                return
        raise TimeoutError("the directory never stays the same")
