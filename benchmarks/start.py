"""From the start of ``peerboot sidecar`` to its first DNS question, in milliseconds, and what was imported by then.

``python -m benchmarks.start [RUNS]``. Warm and cold: cold, the interpreter's and the packages' files are dropped from
the page cache first. With and without a CPU quota of a tenth of a core: that needs a control group, which root can
make; without one the row says so.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.tables import AS_IN_THE_IMAGE, show, spread

QUOTA, PERIOD = 10_000, 100_000
"""Microseconds: 100m, a tenth of a core."""
PAUSE = "150-350, counted from the start"
"""A Pod's record appears 0.1 to 0.6 s after its start; to ask earlier can cost 30 s (peers.first_pause)."""
SETTLE = 0.02
WATCHED = ("dns", "aiohttp", "structlog", "msgspec", "yaml", "prometheus_client", "asyncio", "ssl")


def first_question(enter: Callable[[], None], root: Path, *flags: str) -> tuple[float, str]:
    """Milliseconds from exec to the first packet, and what stderr said by then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(60)
        (root / "out").mkdir(exist_ok=True)
        (root / "key").write_bytes(b"k" * 64)
        env = {
            "PEERBOOT_SYSTEM": "etcd", "PEERBOOT_REPLICAS": "3", "PEERBOOT_SERVICE": "peers", "POD_NAME": "db-0",
            "POD_NAMESPACE": "bench", "POD_IPS": "127.77.0.1",
            "PEERBOOT_NAMESERVERS": f"127.0.0.1:{listener.getsockname()[1]}",
            "PEERBOOT_DATA_DIR": str(root / "volume/etcd"), "PEERBOOT_STATE_DIR": str(root / "volume/.peerboot"),
            "PEERBOOT_OUTPUT_DIR": str(root / "out"), "PEERBOOT_SECRET_FILE": str(root / "key"),
            "PEERBOOT_LISTEN": "127.77.0.1:7070", "PEERBOOT_METRICS_LISTEN": "127.77.0.1:7072",
            "PATH": os.environ["PATH"],
        }  # fmt: skip
        (root / "volume").mkdir(exist_ok=True)
        with (root / "stderr").open("wb") as log:
            began = time.monotonic()
            process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, *flags, *AS_IN_THE_IMAGE[1:], "sidecar"], env=env, stderr=log, stdout=log,
                stdin=subprocess.DEVNULL, cwd="/",
                preexec_fn=enter,  # noqa: PLW1509 - there is one thread
            )  # fmt: skip
            try:
                listener.recv(4096)
                took = time.monotonic() - began
                said = (root / "stderr").read_text(encoding="utf-8", errors="replace")
            finally:
                process.kill()
                process.wait()
    return took * 1000, said


@contextlib.contextmanager
def quota() -> Iterator[Callable[[], None] | None]:
    """A control group with a tenth of a core for a child to enter; None where none can be made."""
    name = f"peerboot-bench-{secrets.token_hex(4)}"
    for base, files in (
        (Path("/sys/fs/cgroup/cpu"), {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(QUOTA)}),
        (Path("/sys/fs/cgroup"), {"cpu.max": f"{QUOTA} {PERIOD}"}),
    ):
        group = base / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            for file, value in files.items():
                (group / file).write_text(value)
        except OSError:
            group.rmdir()
            continue
        try:
            yield partial(_enter, group)
        finally:
            time.sleep(SETTLE)
            group.rmdir()
        return
    yield None


def _enter(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def forget_pages() -> None:
    """Drop the interpreter's and the packages' files from the page cache."""
    paths = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platlib", "purelib")}
    paths.add(Path(__file__).parents[1] / "peerboot")
    files = [Path(sys.executable).resolve(), *(file for path in paths for file in path.rglob("*") if file.is_file())]
    for file in files:
        with contextlib.suppress(OSError), file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(runs: int) -> None:
    """Every way in turn."""
    rows = [["quota", "page cache", "ms to the first question", "of which a pause on purpose"]]
    with quota() as limited:
        ways: list[tuple[str, Callable[[], None] | None]] = [("none", lambda: None), ("100m", limited)]
        for label, enter in ways:
            for cold in (False, True):
                if enter is None:
                    rows.append([label, "cold" if cold else "warm", "no control group can be made here", ""])
                    continue
                taken = []
                for _ in range(runs):
                    if cold:
                        forget_pages()
                    with tempfile.TemporaryDirectory(prefix="pb-") as root:
                        taken.append(first_question(enter, Path(root))[0])
                rows.append([label, "cold" if cold else "warm", spread(taken, 0), PAUSE])
    show(f"Start to first DNS question (median, least and greatest of {runs})", rows)
    with tempfile.TemporaryDirectory(prefix="pb-") as root:
        said = first_question(lambda: None, Path(root), "-X", "importtime")[1]
    own = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \|(\s*)(\S+)", said)
    total = sum(int(row[0]) for row in own) / 1000
    names = {row[3].partition(".")[0] for row in own}
    print(f"  imported by then: {len(own)} modules in {total:.0f} ms (under measurement);", end=" ")
    print("of note: " + ", ".join(f"{name} {'yes' if name in names else 'no'}" for name in WATCHED))
    costly = sorted(own, key=lambda row: -int(row[0]))[:8]
    print("  the most expensive alone: " + ", ".join(f"{row[3]} {int(row[0]) / 1000:.1f}" for row in costly))


def bare(runs: int) -> float:
    """Milliseconds that the interpreter alone takes, for comparison."""
    taken = []
    for _ in range(runs):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        taken.append((time.monotonic() - began) * 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    measure(count)
    print(f"  `python -c pass`: {bare(count):.0f} ms")
