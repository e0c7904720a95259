"""The reader of Kafka's directories, its locks and what is moved aside, against real servers of two releases.

Needs a JDK, so it is no part of ``make test``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from peerboot.lab.jars import find
from peerboot.lab.network import Network
from peerboot.model import Disk
from peerboot.systems.kafka import ids, lock, logdirs

VERSIONS = ("3.9.2", "4.3.1")
TOKEN = "0123456789abcdef0123456789abcdef"
CLUSTER, DIRECTORY = ids.cluster_id(TOKEN), ids.directory_id(TOKEN, "kafka-0")
MEMBER = ids.member_id(1, DIRECTORY)
SECONDS = 90
ENVIRON = {**os.environ, "KAFKA_LAB_LOG_LEVEL": "INFO"}
DUMPS = {"3.9.2": "kafka.tools.DumpLogSegments", "4.3.1": "org.apache.kafka.tools.DumpLogSegments"}


@dataclass
class Server:
    """One node, a controller and, unless ``broker`` is false, a broker with two log directories."""

    version: str
    folder: Path
    host: str
    broker: bool = True

    def run(self, main: str, *arguments: str) -> list[str]:
        """A command line that becomes one java."""
        return [f"{find(self.version).path}/bin/kafka-run-class.sh", main, *arguments]

    def told(self) -> str:
        """The end of its log."""
        log = self.folder / "log"
        return log.read_text(errors="replace")[-9000:] if log.exists() else ""

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def logs(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in ("one", "two")) if self.broker else ()

    @property
    def quorum(self) -> Path:
        return self.metadata / logdirs.QUORUM_LOG

    def read(self) -> Disk:
        return logdirs.read(self.metadata, self.logs, 1)

    def write(self) -> None:
        """server.properties."""
        listeners = f"CONTROLLER://{self.host}:9093" + (f",PLAIN://{self.host}:9092" if self.broker else "")
        lines = [
            f"process.roles={'broker,controller' if self.broker else 'controller'}",
            "node.id=1",
            f"controller.quorum.bootstrap.servers={self.host}:9093",
            "controller.listener.names=CONTROLLER",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT",
            f"listeners={listeners}",
            f"advertised.listeners={listeners}",
            f"metadata.log.dir={self.metadata}",
            f"log.dirs={','.join(map(str, self.logs or (self.metadata,)))}",
            "log.cleaner.dedupe.buffer.size=2097152",
            *(["inter.broker.listener.name=PLAIN"] if self.broker else []),
        ]
        (self.folder / "server.properties").write_text("\n".join(lines) + "\n")

    def output(self, command: list[str]) -> str:
        """What a tool of Kafka says."""
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)  # noqa: S603 - our own words
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def format_command(self) -> list[str]:
        """As the first voter of a birth."""
        voters = f"--initial-controllers=1@{self.host}:9093:{DIRECTORY}"
        options = [f"--cluster-id={CLUSTER}", voters, "-c", str(self.folder / "server.properties")]
        return self.run("kafka.tools.StorageTool", "format", *options)

    def format(self) -> None:
        self.output(self.format_command())

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Its process, killed at the end of the block."""
        command = self.run("kafka.Kafka", str(self.folder / "server.properties"))
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRON)  # noqa: S603 - our own words
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def until(self, process: subprocess.Popen[bytes], true: Callable[[], bool], pause: float = 0.1) -> None:
        """Until it is so."""
        end = time.monotonic() + SECONDS
        while not true():
            assert process.poll() is None, self.told()
            assert time.monotonic() < end, self.told()
            time.sleep(pause)

    def serving(self, process: subprocess.Popen[bytes]) -> None:
        """Until it has started, and written its first records."""
        self.until(process, lambda: "Kafka Server started" in (self.folder / "log").read_text(errors="replace"))
        self.until(process, lambda: self.read().index > 5)

    def refuses(self) -> str:
        """What a server says that ends by itself."""
        with self.started() as process:
            assert process.wait(SECONDS) == 1, self.told()
        return self.told()


@pytest.fixture
def network() -> Iterator[Network]:
    """Addresses of our own."""
    taken = Network()
    try:
        yield taken
    finally:
        taken.close()


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path: Path, network: Network) -> Server:
    """A combined node, formatted by nobody yet."""
    made = Server(request.param, tmp_path, network.fixed(0))
    made.write()
    return made


def told(disk: Disk) -> tuple[str, str, str, str]:
    """What decides, and what is said."""
    return disk.kind, disk.cluster, disk.member, disk.warning


def test_a_life(server: Server) -> None:
    """Blank, formatted, started, killed, started, stopped, moved aside, blank: each is told as what it is."""
    directories = (server.metadata, *server.logs)
    assert server.read() == Disk(kind="blank", lost=tuple(map(str, server.logs)))
    server.format()
    assert server.read() == Disk(kind="bootstrap", cluster=CLUSTER, member=MEMBER, logged=False)

    with server.started() as process:
        server.serving(process)
        assert [lock.is_locked([path]) for path in directories] == [True, True, True]
        assert (*told(server.read()), server.read().running) == ("data", CLUSTER, MEMBER, "", True)
        with pytest.raises(lock.BusyError):
            lock.move_aside(server.metadata, server.logs, "S", "all")
    # Killed, it leaves its lock files, and nobody holds them.
    assert [(path / ".lock").exists() for path in directories] == [True, True, True]
    disk = server.read()
    assert (*told(disk), disk.running, disk.term) == ("data", CLUSTER, MEMBER, "", False, 1)
    _as_kafka_reads_it(server, disk)

    with lock.held(directories[1:2]):
        assert f"Failed to acquire lock on file .lock in {directories[1]}" in server.refuses()
    with lock.held(directories[:1]):
        assert f"Failed to acquire lock on file .lock in {directories[0]}" in server.refuses()

    with server.started() as process:
        server.until(process, lambda: server.read().term > disk.term)
        server.serving(process)
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    # Stopped, it removes the files.
    assert [(path / ".lock").exists() for path in directories] == [False, False, False]
    last = server.read()
    assert (*told(last), last.index > disk.index) == ("data", CLUSTER, MEMBER, "", True)
    _as_kafka_reads_it(server, last)

    lock.move_aside(server.metadata, server.logs, "S", "member")
    disk = server.read()
    assert (disk.kind, disk.cluster) == ("partial", CLUSTER)
    lock.move_aside(server.metadata, server.logs, "S", "all")
    assert server.read() == Disk(kind="blank", lost=tuple(map(str, server.logs)))
    server.format()
    assert server.read() == Disk(kind="bootstrap", cluster=CLUSTER, member=MEMBER, logged=False)


def _as_kafka_reads_it(server: Server, disk: Disk) -> None:
    """Kafka's own tool finds the same end of the log."""
    segments = sorted(server.quorum.glob("*.log"))
    said = server.output(server.run(DUMPS[server.version], "--files", str(segments[-1])))
    found = re.findall(r"lastOffset: (\d+) .*partitionLeaderEpoch: (\d+) ", said)
    assert (str(disk.index), str(disk.term)) == found[-1]


def test_a_controller(server: Server) -> None:
    """A controller only locks its metadata directory."""
    server.broker = False
    server.write()
    server.format()
    with server.started() as process:
        server.serving(process)
        assert lock.is_locked([server.metadata])
        assert (*told(server.read()), server.read().running) == ("data", CLUSTER, MEMBER, "", True)


def test_format_killed(server: Server) -> None:
    """Killed at any moment, format leaves a disk that is blank, bootstrap, or partial: a log directory was first."""
    signs = [path / "bootstrap.checkpoint" for path in (server.metadata, *server.logs)]
    for moment in range(8):
        with subprocess.Popen(server.format_command(), stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own words
            server.until(process, lambda: any(path.exists() for path in signs), pause=0)
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment / 100)
            process.kill()
        formatted = [path for path in (server.metadata, *server.logs) if (path / "meta.properties").exists()]
        expected = "bootstrap" if server.metadata in formatted else "partial" if formatted else "blank"
        assert server.read().kind == expected, formatted
        lock.move_aside(server.metadata, server.logs, str(moment), "all")
        assert server.read() == Disk(kind="blank", lost=tuple(map(str, server.logs)))


def test_refused_by_kafka(server: Server) -> None:
    """What is warned of or unknown is what a real server does not start with."""
    server.format()
    one, two = server.logs

    (two / "lost+found").mkdir()
    assert "is no partition, and a broker does not start with it" in server.read().warning
    assert "'lost+found' is not in the form of topic-partition" in server.refuses()
    (two / "lost+found").rmdir()

    (one / "meta.properties").rename(one / "away")
    assert f"{one} is blank: it is formatted anew" in server.read().warning
    assert f"No `meta.properties` found in {one}" in server.refuses()
    (one / "away").rename(one / "meta.properties")

    (one / logdirs.QUORUM_LOG).mkdir()
    assert server.read().kind == "unknown"
    assert "unexpected metadata location" in server.refuses()
    (one / logdirs.QUORUM_LOG).rmdir()

    # Each of these started its quorum before it gave up, so there are records now.
    assert told(server.read()) == ("data", CLUSTER, MEMBER, "")
    (server.metadata / "meta.properties").unlink()
    disk = server.read()
    assert (disk.kind, disk.cluster) == ("corrupt", CLUSTER)
    assert f"{server.metadata} has a {logdirs.QUORUM_LOG} of a server that ran, but no meta.properties" in disk.reason
    assert f"No `meta.properties` found in {server.metadata}" in server.refuses()
