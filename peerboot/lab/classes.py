"""The classes of a lab's Kafka, read and checked once for all of its JVMs (class data sharing, JEP 350).

A server spends most of its start on reading and verifying some 9,000 classes, and a lab starts many. One start writes
them into an archive beside the Kafka's home, which each later JVM maps into its memory: with JDK 17 a server needs
1.1 s of a processor until it serves instead of 1.8, a tool 0.5 instead of 0.8.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from peerboot.lab.network import Network
from peerboot.lab.servers import making

SECONDS = 90
"""For the whole, on two busy cores; alone it takes ten."""
SERVES = "Kafka Server started"
CLUSTER = "shareshareshareshares0"
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:9093
listeners=CONTROLLER://{host}:9093,INTERNAL://{host}:9092
inter.broker.listener.name=INTERNAL
listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT
log.dirs={folder}/data
log.cleaner.dedupe.buffer.size=2097152
"""


def share(home: Path, say: Callable[[], None]) -> Path:
    """The archive of a home, which its scripts use when it is not empty; made now when it is not there yet. It is
    empty where this machine's java makes none: everything works without, and this is not tried again.
    """
    target = home.with_name(f"{home.name}.jsa")
    if target.exists():
        return target
    say()
    with making(target) as part:
        if part is not None:
            with contextlib.closing(Network()) as network:
                try:
                    _write(home, part, network.fixed(0))
                except (OSError, subprocess.SubprocessError):
                    part.unlink(missing_ok=True)
            part.touch()
    return target


def _write(home: Path, archive: Path, host: str) -> None:
    """A server starts, and writes the archive when it stops."""
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    try:
        config, log = folder / "server.properties", folder / "log"
        config.write_text(PROPERTIES.format(host=host, folder=folder), encoding="utf-8")
        with log.open("wb") as out:
            command = [f"{home}/bin/kafka-storage.sh", "format", f"--cluster-id={CLUSTER}", "-c", str(config)]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=SECONDS, check=True)  # noqa: S603 - our own script
            env = {**os.environ, "KAFKA_OPTS": f"-XX:ArchiveClassesAtExit={archive}"}
            with subprocess.Popen(  # noqa: S603 - our own script
                [f"{home}/bin/kafka-server-start.sh", str(config)], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=env,
            ) as process:  # fmt: skip
                try:
                    end = time.monotonic() + SECONDS
                    while SERVES not in log.read_text(errors="replace"):
                        if process.poll() is not None or time.monotonic() > end:
                            return
                        time.sleep(0.1)
                    process.send_signal(signal.SIGTERM)
                    process.wait(SECONDS)
                finally:
                    process.kill()
    finally:
        shutil.rmtree(folder)
