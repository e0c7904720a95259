"""etcd whose first start is cut off between the making of its log and the first entries, as by a power cut.

The lab runs what ``server`` makes in place of etcd. On a Pod's first start it runs etcd until there is a log, kills it,
and leaves the log as it was made; every later start is etcd itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import yaml

from peerboot.lab.servers import Server
from tests.etcd import damage

BEGINS_WITHIN = 30.0


def server(etcd: Server, directory: Path, pods: Collection[str]) -> Server:
    """A server for the lab; the first start of these pods is cut off."""
    directory.mkdir(parents=True)
    for pod in pods:
        (directory / pod).touch()
    script = directory / "etcd"
    root = Path(__file__).parents[2]
    script.write_text(
        f'#!/bin/sh\ncd "{root}" && exec "{sys.executable}" -m tests.real.cut_off "{directory}" "{etcd.path}" "$@"\n'
    )
    script.chmod(0o755)
    return replace(etcd, path=script)


def main(directory: Path, etcd: str, arguments: list[str]) -> None:
    """Run etcd, or the beginning of it."""
    permit = Path(arguments[0].removeprefix("--config-file="))
    if not permit.exists():
        sys.exit(1)
    config = yaml.safe_load(permit.read_text())
    marker = directory / config["name"]
    if not marker.exists():
        os.execv(etcd, [etcd, *arguments])  # noqa: S606 - the lab's own server
    data_dir = Path(config["data-dir"])
    process = subprocess.Popen([etcd, *arguments])  # noqa: S603
    end = time.monotonic() + BEGINS_WITHIN
    while not list((data_dir / "member" / "wal").glob("*.wal")) and time.monotonic() < end:
        time.sleep(0.001)
    process.kill()
    process.wait()
    segment = damage.last_segment(data_dir)
    damage.cut(segment, damage.frames(segment)[2][1])
    # A batch of the database may be on disk already when a busy machine is slow to kill.
    (data_dir / damage.DATABASE).unlink(missing_ok=True)
    shutil.rmtree(data_dir / "member" / "wal.tmp", ignore_errors=True)
    marker.unlink()
    sys.exit(137)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
