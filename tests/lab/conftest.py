"""The lab's commands as a person runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

PEERBOOT = (sys.executable, "-m", "peerboot")


def peerboot(*args: str, timeout: float = 150.0) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(  # noqa: S603 - this very program
        [*PEERBOOT, *args], capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def root() -> Generator[Path, None, None]:
    """A directory for a lab, with a path that is short enough for sockets, wherever pytest keeps its own."""
    path = Path(tempfile.mkdtemp(prefix="lab-"))
    yield path
    subprocess.run([*PEERBOOT, "lab", "--dir", str(path), "down"], capture_output=True, timeout=60, check=False)  # noqa: S603
    shutil.rmtree(path, ignore_errors=True)
