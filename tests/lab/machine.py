"""A machine for tests of where programs come from: packages whose programs only tell what they were asked for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

APT = """#!/bin/sh
echo "$*" >>"$0.log"
: >one.deb
"""


class Machine:
    """A PATH, a cache and programs of its own."""

    def __init__(self, root: Path, packed: Mapping[str, str], unpack: str) -> None:
        """``packed``: the text of each program in the package. ``unpack``: that of dpkg-deb, which finds them in
        DIRECTORY.
        """
        self.bin, self.cache, self.installed, self.packed = (root / name for name in ("path", "cache", "bin", "deb"))
        for directory in (self.bin, self.installed, self.packed):
            directory.mkdir()
        for tool in ("sh", "mkdir", "cp"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        for name, text in packed.items():
            self.program(self.packed, name, text)
        self.program(self.bin, "apt-get", APT)
        self.program(self.bin, "dpkg-deb", unpack.replace("DIRECTORY", str(self.packed)))

    def program(self, directory: Path, name: str, text: str) -> None:
        """Put one there."""
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)

    def asked(self) -> list[str]:
        """Every call of apt-get."""
        log = self.bin / "apt-get.log"
        return log.read_text().splitlines() if log.exists() else []
