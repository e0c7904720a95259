"""The real programs between clients and Postgres: HAProxy and PgBouncer, of this machine or of Debian's packages.

Nothing is installed: packages are unpacked into the lab's cache, once. ``python -m peerboot.lab.routers``
provides them and says where they are from.
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
from peerboot.lab.servers import cache_dir, making, run_tool, scripts_for, unpack_debian

SYSTEM_BIN = Path("/usr/sbin")
"""Where Debian's packages have them, if they are installed; it is not on an ordinary user's PATH."""
TOOL_SECONDS = 20


@dataclass(frozen=True)
class Source:
    """How one of them is had and asked."""

    title: str
    packages: tuple[str, ...]
    """Debian's, the program's first, then libraries that a slim image lacks."""
    option: str
    """With which it prints its version."""
    version: re.Pattern[str]


@dataclass(frozen=True)
class Router:
    """One of them, ready to be started."""

    version: str
    path: Path
    origin: str
    """Where it comes from, in words."""


SOURCES = {
    "haproxy": Source(
        "HAProxy",
        (
            "haproxy", "libcap2", "libcrypt1", "libgcrypt20", "libgpg-error0", "liblua5.3-0", "liblz4-1",
            "libopentracing-c-wrapper0", "libopentracing1", "libpcre2-8-0", "libssl3", "libstdc++6", "libsystemd0",
            "libzstd1",
        ),
        "-v",
        re.compile(r"^HAProxy version (\d+\.\d+[^ -]*)"),
    ),
    "pgbouncer": Source(
        "PgBouncer",
        (
            "pgbouncer", "libaudit1", "libc-ares2", "libcap-ng0", "libcap2", "libevent-2.1-7", "libgcrypt20",
            "libgpg-error0", "liblz4-1", "libpam0g", "libssl3", "libsystemd0", "libzstd1",
        ),
        "--version",
        re.compile(r"^PgBouncer (\d+\.\d+\S*)"),
    ),
}  # fmt: skip


def find(name: str, say: Callable[[str], None] = lambda _text: None) -> Router:
    """The program of that name, unpacked now when it has to be and is not yet. Raises ``LabError``."""
    source = SOURCES[name]
    if os.access(SYSTEM_BIN / name, os.X_OK):
        path, origin = SYSTEM_BIN / name, f"of this machine's package {name}"
    else:
        path, origin = _from_debian(name, source, say), f"from Debian's package {name}"
    return Router(_version_of(path, source), path, origin)


def _from_debian(name: str, source: Source, say: Callable[[str], None]) -> Path:
    target = cache_dir() / f"{name}-debian"
    if not target.is_dir():
        say(f"Unpacking {source.title} of Debian's packages, once …")
        with making(target) as part:
            if part is not None:
                part.mkdir(parents=True)
                with tempfile.TemporaryDirectory(prefix="peerboot-deb-") as directory:
                    unpack_debian(source.title, source.packages, directory)
                    for kept in ("lib", "usr/lib", "usr/sbin"):
                        if (Path(directory) / kept).is_dir():
                            shutil.copytree(Path(directory) / kept, part / kept, symlinks=True)
                scripts_for(part, [part / "usr/sbin" / name])
                _version_of(part / "bin" / name, source)
    return target / "bin" / name


def _version_of(path: Path, source: Source) -> str:
    """As it says itself, which it does only with all of its libraries."""
    said = run_tool([str(path), source.option], "/", None, TOOL_SECONDS)
    found = source.version.search(said)
    if found is None:
        raise LabError(f"{path} is no {source.title}: it says {said.strip()[:100]!r}")
    return found[1]


def main() -> int:
    """Provide both and print them; exit 1 when one cannot be had."""
    failed = False
    for name, source in SOURCES.items():
        try:
            router = find(name, lambda text: print(text, flush=True))
        except LabError as error:
            failed = True
            print(f"{source.title}: {error}", flush=True)
        else:
            print(f"{source.title} {router.version} {router.origin}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
