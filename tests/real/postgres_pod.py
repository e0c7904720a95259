"""A container that runs ``launch.sh`` with a real Postgres; the test is its sidecar and its kubelet."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from peerboot.lab.network import Network, dying_with_parent
from peerboot.lab.postgres import VERSIONS, as_user, find
from peerboot.lab.servers import Server
from peerboot.launchscript import STATUS_NAME
from peerboot.model import Identity
from peerboot.systems.postgres import config, launch
from peerboot.systems.postgres.launch import Permit, permit_text

WITHIN = 60.0
SUPERUSER, PASSWORD = "su'per \\user", "p:w'd \\ä"
QUICK = ("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "autovacuum=off")
"""Options of the server: a test's machine has two cores, and no power cut."""
IN_RECOVERY = "SELECT pg_is_in_recovery()"
STREAMS = "SELECT status FROM pg_stat_wal_receiver"
SYSID = re.compile(r"Database system identifier: *(\d+)")


def plan(number: int) -> str:
    """The name of the plan with that number."""
    return f"{number:016x}"


class Pod:
    """One Pod's volume, output directory and container. All waiting is bounded, and raises ``TimeoutError``."""

    def __init__(self, server: Server, root: Path, host: str, ordinal: int, options: Sequence[str] = QUICK) -> None:
        self.server, self.options = server, options
        self.root = root / f"pod {ordinal}"
        self.out, self.data = self.root / "it's out", self.root / "the vol" / "pg data"
        for directory in (self.root, self.out, self.data.parent):
            directory.mkdir()
        who = Identity(
            namespace="prod", service="pg", statefulset="pg", pod=f"pg-{ordinal}", ordinal=ordinal, system="postgres",
            domain="cluster.local", replicas=2,
        )  # fmt: skip
        self.made = config.PostgresConfig(
            identity=who, data_dir=str(self.data), output_dir=str(self.out), port=5432, host=host, password=PASSWORD,
            wal_keep="64MB", base={"unix_socket_directories": "", "log_line_prefix": "%m: "},
        )  # fmt: skip
        self.user = as_user()
        """What comes before the script's command: whose container it is."""
        self.environ = {"PATH": f"{server.path}/bin:/usr/bin:/bin", "TZ": "UTC"}
        self.write(launch.LAUNCH_NAME, launch.script())
        self.settings()
        # The superuser from everywhere is the test's own, for tables to look at.
        self.write(launch.HBA_NAME, self.made.hba() + "host all postgres all scram-sha-256\n")
        self.passwords(PASSWORD)
        self.write(launch.ROLES_NAME, self.made.roles(bytes(16)))
        self.write("superuser", f"{SUPERUSER}\n")
        self._process: subprocess.Popen[bytes] | None = None
        self._lives = -1

    # ------------------------------------------------------------ the sidecar

    def write(self, name: str, text: str) -> None:
        """A file of peerboot's, replaced atomically as peerboot does."""
        temp = self.out / f".{name}.tmp"
        temp.write_text(text)
        temp.chmod(0o600)
        temp.rename(self.out / name)

    def settings(self, *, slot: bool = False) -> None:
        """``peerboot.conf``; here each server listens on its own address only."""
        address = self.made.host_of(self.made.identity.pod)
        text = self.made.conf(slot=slot).replace("listen_addresses = '*'", f"listen_addresses = '{address}'")
        self.write(launch.SETTINGS_NAME, text)

    def passwords(self, password: str) -> None:
        text = self.made.passwords() if password == PASSWORD else f"*:*:*:*:{password}\n"
        self.write(launch.PASSWORDS_NAME, text)

    def source(self) -> str:
        """How the others reach this server."""
        return self.made.source([self.made.identity.pod]).replace(str(self.out), "/nowhere")

    def permit(self, number: int, work: str, source: Pod | None = None, slot: str = "") -> None:
        """With the system identifier of the source, or of its own data."""
        kind = "first" if work in ("init", "clone") else "resume"
        given = {"kind": kind, "plan": plan(number), "work": work, "data": str(self.data)}
        if work != "init":
            given["system"] = (self if source is None or work == "rewind" else source).sysid()
        if source is not None:
            given |= {"source": source.made.source([source.made.identity.pod], passfile=f"{self.out}/pgpass")}
            given |= {"slot": slot}
        self.write(launch.PERMIT_NAME, permit_text(Permit(**given), "by hand"))  # type: ignore[arg-type]

    def end(self) -> None:
        """Withdraw the permit and ask the script's watcher to end the server."""
        (self.out / launch.PERMIT_NAME).unlink()
        self.write(launch.STOP_NAME, "")
        self.ended()

    # ------------------------------------------------------------ the kubelet

    def start(self) -> None:
        """Start the container."""
        # Each of its processes has the pipe; it is at its end when the last one of them is gone.
        self._lives, lives = os.pipe()
        script = str(self.out / launch.LAUNCH_NAME)
        command = [*self.user, *dying_with_parent(), "sh", script, "postgres", *self.options]
        with (self.root / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the script under test
                command, env=self.environ, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[lives], start_new_session=True,
            )  # fmt: skip
        os.close(lives)

    @property
    def log(self) -> str:
        """What the container has printed since its last start."""
        path = self.root / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def words(self) -> str:
        """What peerboot reads of it."""
        path = self.out / STATUS_NAME
        return path.read_text() if path.exists() else ""

    def kill(self) -> None:
        """End it as a power cut does, all of its processes; nothing happens when none runs."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(WITHIN)
            self._gone()

    def halt(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT to what the script runs."""
        self._signal(number)

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The signal to process 1 only, as the kubelet sends it; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        code = self._process.wait(WITHIN)
        # With process 1 its container ends: the child of pg_basebackup goes on when its primary hangs.
        self._signal(signal.SIGKILL)
        self._gone()
        return code

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _gone(self) -> None:
        assert select.select([self._lives], [], [], WITHIN)[0], f"something of it goes on: {self.log[-3000:]}"
        os.close(self._lives)
        self._process = None

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Poll while it runs."""
        assert self._process is not None
        end = time.monotonic() + WITHIN
        while not true():
            assert self._process.poll() is None, f"it exited: {self.log}"
            if time.monotonic() > end:
                raise TimeoutError(f"not within {WITHIN:g} s: {what}: {self.log[-3000:]}")
            time.sleep(0.01)

    def until_said(self, words: str) -> None:
        self.until(lambda: words in self.log, f"it says {words}")

    def until_sql(self, query: str, expected: str, user: str = "peerboot") -> None:
        self.until(lambda: self._psql(query, user).stdout.strip() == expected, f"{query} is {expected}")

    # ------------------------------------------------------------- the server

    def run(self, program: str, *arguments: str) -> str:
        """One of the release's programs; what it printed."""
        env = {**self.environ, "LC_ALL": "C", "PGPASSWORD": PASSWORD if "-Upeerboot" in arguments else SUPERUSER}
        done = subprocess.run(  # noqa: S603 - the lab's programs
            [f"{self.server.path}/bin/{program}", *arguments],
            env=env, cwd="/", capture_output=True, text=True, timeout=WITHIN, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def sysid(self) -> str:
        found = SYSID.search(self.run("pg_controldata", "-D", str(self.data)))
        assert found is not None
        return found[1]

    def _psql(self, query: str, user: str) -> subprocess.CompletedProcess[str]:
        env = {**self.environ, "PGCONNECT_TIMEOUT": "5", "PGPASSWORD": PASSWORD if user == "peerboot" else SUPERUSER}
        place = ("-h", self.made.host_of(self.made.identity.pod), "-p", "5432", "-U", user, "-d", "postgres")
        return subprocess.run(  # noqa: S603 - the lab's psql
            [f"{self.server.path}/bin/psql", "-X", "-q", "-A", "-t", *place, "-c", query],
            env=env, cwd="/", capture_output=True, text=True, timeout=WITHIN, check=False,
        )  # fmt: skip

    def sql(self, query: str, user: str = "peerboot") -> str:
        """What it answers to peerboot's role, without decoration."""
        done = self._psql(query, user)
        assert done.returncode == 0, f"{query}: {done.stderr}{self.log[-3000:]}"
        return done.stdout.strip()

    def refused(self, query: str) -> str:
        """Why it does not do what the superuser asks."""
        done = self._psql(query, "postgres")
        assert done.returncode != 0, done.stdout
        return done.stderr.strip()


class Pods:
    """Those of one test, on a network of their own."""

    def __init__(self, server: Server, root: Path, stack: ExitStack) -> None:
        self.server, self.root, self._stack = server, root, stack
        self._network = Network()
        stack.callback(self._network.close)

    def another(self, ordinal: int, options: tuple[str, ...] = QUICK) -> Pod:
        """A Pod with a blank volume; what runs in it ends with the test."""
        pod = Pod(self.server, self.root, self._network.peer_host, ordinal, options)
        self._stack.callback(pod.kill)
        return pod


@pytest.fixture(params=VERSIONS)
def pods(request: pytest.FixtureRequest, short_root: Path) -> Iterator[Pods]:
    """With servers of each release in turn."""
    with ExitStack() as stack:
        yield Pods(find(request.param), short_root, stack)


@pytest.fixture(params=(VERSIONS[0], VERSIONS[-1]))
def few_pods(request: pytest.FixtureRequest, short_root: Path) -> Iterator[Pods]:
    """With servers of the oldest release and of the newest: for what the tools of one say the others say too."""
    with ExitStack() as stack:
        yield Pods(find(request.param), short_root, stack)


def a_primary(pod: Pod) -> None:
    """Made by the first plan and told to take writes."""
    pod.permit(1, "init")
    pod.start()
    pod.until_sql(IN_RECOVERY, "t")
    assert pod.sql("SELECT pg_promote()") == "t"
    pod.sql("CREATE TABLE t (said text)", "postgres")
