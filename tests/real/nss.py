"""The library that names a user without a name, as images have it; unpacked once from Debian's package."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from peerboot.lab.servers import cache_dir, making, unpack_debian

NAME = "libnss_wrapper.so"


def directory() -> Path:
    """Where it is. Raises ``LabError``."""
    target = cache_dir() / "nss-wrapper-debian"
    if not target.is_dir():
        with making(target) as part, tempfile.TemporaryDirectory(prefix="peerboot-deb-") as place:
            if part is not None:
                part.mkdir(parents=True)
                unpack_debian("nss_wrapper", ("libnss-wrapper",), place)
                [found] = Path(place).glob(f"usr/lib/*/{NAME}")
                shutil.copy(found.resolve(), part / NAME)
    return target
