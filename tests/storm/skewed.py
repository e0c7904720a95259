"""peerboot with a clock of its own: wrong by what a file says, from one second to the next, and of another pace.

Use as ``LabSpec(peerboot=SKEWED)`` with ``PEERBOOT_TEST_CLOCK`` naming the file: seconds to add to the time of day,
and how fast the monotonic clock runs (chosen at the start of the process, for it never jumps). libfaketime is not used:
where it leaves the monotonic clock alone its clock_nanosleep fails with EINVAL under Python, and each process that ends
leaves files in /dev/shm. etcd asks the kernel for the time without the C library, so its clock stays right.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

SKEWED = (sys.executable, "-m", "tests.storm.skewed")
VARIABLE = "PEERBOOT_TEST_CLOCK"
ACCOUNT = "PEERBOOT_TEST_ACCOUNT"
"""Names the directory that stands for the one where a kubelet mounts the token and the CA."""
LOOKS = 0.5
"""Real seconds between two looks at the file."""


def write(path: Path, wall: float, pace: float = 1.0) -> None:
    """Set a clock."""
    part = path.with_suffix(".new")
    part.write_text(f"{wall} {pace}", encoding="ascii")
    part.replace(path)


def read(path: Path) -> tuple[float, float]:
    """Seconds to add to the time of day, and the pace; a right clock where there is no file."""
    try:
        wall, pace = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return 0.0, 1.0
    return float(wall), float(pace)


def install(path: Path) -> None:
    """From now on this process's clocks are those of the file."""
    wall_now, monotonic_now = time.time, time.monotonic
    began, (wall, pace) = monotonic_now(), read(path)
    looked = began

    def wall_skewed() -> float:
        nonlocal wall, looked
        if monotonic_now() - looked >= LOOKS:
            looked, (wall, _) = monotonic_now(), read(path)
        return wall_now() + wall

    def monotonic_skewed() -> float:
        return began + (monotonic_now() - began) * pace

    _replace(time, "time", wall_skewed)
    _replace(time, "monotonic", monotonic_skewed)


def _replace(module: object, name: str, function: Callable[[], float]) -> None:
    setattr(module, name, function)


def main() -> int:
    """The command line as ever."""
    install(Path(os.environ[VARIABLE]))
    # Only now: who imports a function of time by its name gets the skewed one.
    from peerboot import cli
    from peerboot.outside.kubernetes import Kubernetes

    if ACCOUNT in os.environ:
        defaults = Kubernetes.__init__.__kwdefaults__ or {}
        defaults["account"] = Path(os.environ[ACCOUNT])
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
