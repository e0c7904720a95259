"""A real Prometheus and its promtool, of this machine or of Debian's package: what tests alerts and dashboard.

Nothing is installed: the package is unpacked into the lab's cache, once. ``python -m peerboot.lab.prometheus``
provides it and says where it is from.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peerboot.lab.errors import LabError
from peerboot.lab.servers import cache_dir, making, run_tool, unpack_debian

SYSTEM_BIN = Path("/usr/bin")
"""Where Debian's package has its programs, if it is installed."""
PACKAGE = "prometheus"
PROGRAMS = ("prometheus", "promtool")
VERSION = re.compile(r"^prometheus, version (\d+\.\d+\S*)")
TOOL_SECONDS = 20


@dataclass(frozen=True)
class Prometheus:
    """Both programs, ready to be run."""

    version: str
    server: Path
    promtool: Path
    origin: str
    """Where they come from, in words."""


def find(say: Callable[[str], None] = lambda _text: None) -> Prometheus:
    """The programs, unpacked now when they have to be and are not yet. Raises ``LabError``."""
    if all(os.access(SYSTEM_BIN / name, os.X_OK) for name in PROGRAMS):
        home, origin = SYSTEM_BIN, f"of this machine's package {PACKAGE}"
    else:
        home, origin = _from_debian(say), f"from Debian's package {PACKAGE}"
    return Prometheus(_version_of(home / "prometheus"), home / "prometheus", home / "promtool", origin)


def _from_debian(say: Callable[[str], None]) -> Path:
    """It is linked to the C library alone, so it needs no package beside its own."""
    target = cache_dir() / "prometheus-debian"
    if not target.is_dir():
        say("Unpacking Prometheus of Debian's package, once …")
        with making(target) as part:
            if part is not None:
                part.mkdir(parents=True)
                with tempfile.TemporaryDirectory(prefix="peerboot-deb-") as directory:
                    unpack_debian("Prometheus", (PACKAGE,), directory)
                    for name in PROGRAMS:
                        shutil.copy2(Path(directory) / "usr/bin" / name, part / name)
                _version_of(part / "prometheus")
    return target


def _version_of(path: Path) -> str:
    said = run_tool([str(path), "--version"], "/", None, TOOL_SECONDS)
    found = VERSION.search(said)
    if found is None:
        raise LabError(f"{path} is no Prometheus: it says {said.strip()[:100]!r}")
    return found[1]


def main() -> int:
    """Provide it and print it; exit 1 when it cannot be had."""
    try:
        found = find(lambda text: print(text, flush=True))
    except LabError as error:
        print(f"Prometheus: {error}", flush=True)
        return 1
    print(f"Prometheus {found.version} {found.origin}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
