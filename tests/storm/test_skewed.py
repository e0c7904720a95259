"""The clocks of a storm's peerboots are really wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.storm import skewed

PROGRAM = """
import sys, time
from pathlib import Path
from tests.storm import skewed
wall, now = time.time, time.monotonic
skewed.LOOKS = 0.0
path = Path(sys.argv[1])
skewed.install(path)
from peerboot.outside.clock import SystemClock
clock = SystemClock()
print(round((clock.wall() - wall()) / 3600))
skewed.write(path, 7200.0)
print(round((clock.wall() - wall()) / 3600))
real, skewed_now = now(), clock.now()
time.sleep(0.2)
real, skewed_now = now() - real, clock.now() - skewed_now
print(round(skewed_now / real))
"""


def test_the_clocks_of_a_process_are_wrong(tmp_path: Path) -> None:
    """Its time of day by what the file says at that moment, its monotonic clock by the pace that it began with."""
    clock = tmp_path / "clock"
    skewed.write(clock, -3600.0, 5.0)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, str(clock)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["-1", "2", "5"]


def test_a_clock_that_nobody_set_is_right(tmp_path: Path) -> None:
    """No file: nothing is added, and the pace is that of others."""
    assert skewed.read(tmp_path / "none") == (0.0, 1.0)
