"""One real Postgres without peerboot: what it writes is what the reader has to understand."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from peerboot.lab.network import dying_with_parent
from peerboot.lab.postgres import as_user
from peerboot.lab.servers import Server

PORT = 5432
WITHIN = 60.0
ENV = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": "5"}
QUICK = {
    "unix_socket_directories": "", "fsync": "off", "shared_buffers": "16MB", "autovacuum": "off",
    "wal_keep_size": "64MB",
}  # fmt: skip
"""Nothing that is read here; a test's machine has two cores."""
HBA = "".join(f"host {what} all 127.0.0.0/8 trust\n" for what in ("all", "replication"))


class Postgres:
    """Runs one server; its files survive it. All waiting is bounded, and raises ``TimeoutError``."""

    def __init__(self, server: Server, data_dir: Path, address: str) -> None:
        self.server, self.data_dir, self.address = server, data_dir, address
        self._log = data_dir.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._lives = -1

    def command(self, name: str, *arguments: str) -> list[str]:
        """A program of the release's, as a user whom it takes."""
        return [*as_user(), *dying_with_parent(), f"{self.server.path}/bin/{name}", *arguments]

    def run(self, name: str, *arguments: str) -> str:
        """Run a program to its end and return what it printed."""
        command = self.command(name, *arguments)
        done = subprocess.run(command, env=ENV, cwd="/", capture_output=True, text=True, timeout=WITHIN, check=False)  # noqa: S603 - the lab's programs
        assert done.returncode == 0, f"{name} ended with {done.returncode}: {done.stdout}{done.stderr}{self.log}"
        return done.stdout

    def init(self, *options: str) -> None:
        """initdb, with everybody let in from this machine's loopback."""
        self.run("initdb", "-D", str(self.data_dir), "-U", "postgres", "-A", "trust", "--no-sync", *options)
        (self.data_dir / "pg_hba.conf").write_text(HBA)

    def start(self, **settings: str) -> None:
        """Start it; nothing is waited for."""
        given = {"listen_addresses": self.address, "port": f"{PORT}", **QUICK, **settings}
        options = [word for key, value in given.items() for word in ("-c", f"{key}={value}")]
        # Each of its processes has the pipe; it is at its end when the last one of them is gone.
        self._lives, lives = os.pipe()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a server of the lab's, no shell
                self.command("postgres", "-D", str(self.data_dir), *options),
                env=ENV, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[lives],
            )  # fmt: skip
        os.close(lives)

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """The end of what it has printed."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Poll while it runs."""
        assert self._process is not None
        end = time.monotonic() + WITHIN
        while not true():
            assert self._process.poll() is None, f"it exited: {self.log}"
            if time.monotonic() > end:
                raise TimeoutError(f"not within {WITHIN:g} s: {what}: {self.log}")
            time.sleep(0.02)

    def until_it_answers(self) -> None:
        """Until it accepts connections, for reading at least."""
        self.until(lambda: self._psql("SELECT 1").returncode == 0, "it answers")

    def _psql(self, query: str) -> subprocess.CompletedProcess[str]:
        place = ("-h", self.address, "-p", f"{PORT}", "-U", "postgres", "-d", "postgres")
        command = self.command("psql", "-X", "-q", "-A", "-t", *place, "-c", query)
        return subprocess.run(command, env=ENV, cwd="/", capture_output=True, text=True, timeout=WITHIN, check=False)  # noqa: S603 - the lab's psql

    def sql(self, query: str) -> str:
        """What it answers, without decoration."""
        done = self._psql(query)
        assert done.returncode == 0, f"{query}: {done.stderr}{self.log}"
        return done.stdout.strip()

    def clone(self, data_dir: Path, address: str, *options: str) -> Postgres:
        """A base backup; of a primary's it becomes a standby with ``-R``."""
        place = ("-h", self.address, "-p", f"{PORT}", "-U", "postgres")
        self.run("pg_basebackup", *place, "-D", str(data_dir), "--checkpoint=fast", "--no-sync", *options)
        return Postgres(self.server, data_dir, address)

    def promote(self) -> None:
        """Let it take writes; returns when it does."""
        assert self.sql("SELECT pg_promote(true, 60)") == "t"

    def stop(self) -> None:
        """A fast shutdown; nothing happens when it has ended already."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut does, all of its processes."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(WITHIN)
        os.read(self._lives, 1)
        os.close(self._lives)
        self._process = None
