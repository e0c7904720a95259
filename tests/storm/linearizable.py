"""Porcupine's word on a history. ``python -m tests.storm.linearizable`` builds the checker; given a file, it checks it.

The checker is a Go program of this folder: Porcupine is what the field uses, and there is none like it for Python.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from peerboot.lab import servers
from peerboot.lab.errors import LabError

SOURCES = Path(__file__).parent / "checker"
NAMES = ("main.go", "go.mod", "go.sum")
LIMIT = 120
"""Seconds for a whole history. What is not decided by then counts as a failure."""


class Verdict(msgspec.Struct, frozen=True):
    """What the checker says of a history."""

    verdict: str
    """``linearizable``, ``violated`` or ``undecided``."""
    operations: int
    checked: int
    keys: int
    unknown: int
    seconds: float
    violated: list[str] | None = None
    undecided: list[str] | None = None

    @property
    def sentence(self) -> str:
        """In words."""
        what = f"{self.operations} operations on {self.keys} keys, {self.unknown} of unknown outcome"
        names = ", ".join([*(self.violated or ()), *(self.undecided or ())][:5])
        return f"{self.verdict}: {what}, {self.seconds:g} s" + (f"; see {names}" if names else "")


def find() -> Path:
    """The checker, built now when it is not there yet. Raises ``LabError``."""
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in NAMES)).hexdigest()[:12]
    target = servers.cache_dir() / f"storm-checker-{digest}"
    if target.exists():
        return target
    with servers.making(target) as part, tempfile.TemporaryDirectory(prefix="peerboot-checker-") as directory:
        if part is not None:
            for name in NAMES:
                shutil.copy(SOURCES / name, directory)
            env = {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0"}
            command = [servers.find_go(), "build", "-trimpath", "-ldflags=-s -w", "-o", str(part), "."]
            servers.run_tool(command, directory, env, servers.BUILD_SECONDS)
    return target


def check(history: Path, limit: int = LIMIT) -> Verdict:
    """The verdict on a file that ``history.py`` wrote. Raises ``LabError`` when it cannot be read."""
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [find(), f"-limit={limit}s", str(history)], capture_output=True, text=True, check=False, timeout=limit + 120
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"the checker did not end within {limit + 120} s: {history}") from None
    if not done.stdout:
        raise LabError(f"the checker cannot read {history}: {done.stderr.strip()[:300]}")
    return msgspec.json.decode(done.stdout, type=Verdict)


def main(argv: list[str]) -> int:
    """Build the checker, and check what is named; 1 unless all are linearizable."""
    try:
        print(f"the storm's checker, with Porcupine: {find().name}")
        verdicts = [check(Path(name)) for name in argv]
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for verdict in verdicts:
        print(verdict.sentence)
    return int(any(verdict.verdict != "linearizable" for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
