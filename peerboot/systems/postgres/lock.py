"""Whether a server runs on the data directory, and moving it aside while none does.

Postgres' own lock, ``postmaster.pid``, names a process of the server's container, which has process ids of its own:
from here it cannot be told whether that one lives (measured: a second server started on the same directory in another
PID and IPC namespace). So ``launch.sh`` says it: the file ``waiting`` lies beside the permit from its first line until
just before it becomes the server. A container that was killed is started again with ``launch.sh``, which says so anew.
That no server of another Pod runs there is the volume's business (``ReadWriteOncePod``).
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from peerboot.outside.files import FilesError, is_mount_root, read_small, rename_aside
from peerboot.permits import MOST_BYTES
from peerboot.systems.postgres import datadir
from peerboot.systems.postgres.launch import PERMIT_NAME, REWINDS_NAME, WAITING_NAME, cut_off_name, used_name


class BusyError(OSError):
    """A server may run on it, or the directory cannot be renamed."""


def is_running(data_dir: Path, output_dir: Path) -> bool:
    """Whether a server of this Pod runs there, or may: one that ended in order removed ``postmaster.pid``, and for one
    that was killed ``launch.sh`` has yet to say that it waits.
    """
    if os.path.lexists(output_dir / WAITING_NAME) or not os.path.lexists(data_dir / "postmaster.pid"):
        return False
    return any(os.path.lexists(output_dir / name) for name in (PERMIT_NAME, f"{PERMIT_NAME}.withdrawn"))


def may_be_rewound(plan: str | None, output_dir: Path) -> bool:
    """Whether pg_rewind may be at work now, in this very Pod. ``plan``: what the mark beside the data names; None:
    there is no mark.
    """
    if plan is None or any(os.path.lexists(output_dir / name(plan)) for name in (cut_off_name, used_name)):
        return False
    # Not the permit: another may stand there by now, and a rewind is let come to its end whatever the permit says.
    with contextlib.suppress(FilesError):
        begun = (read_small(output_dir / REWINDS_NAME, MOST_BYTES) or b"").decode("utf-8", "replace").split()
        return bool(begun) and plan in ("", *begun)
    return True


def move_aside(data_dir: Path, output_dir: Path, stamp: str) -> str:
    """Rename the data directory aside; returns where to. Raises ``OSError`` or ``FilesError``."""
    if is_mount_root(data_dir):
        raise BusyError(errno.EBUSY, f"{data_dir} is a mount point, which cannot be renamed: use one below it")
    # Without a permit launch.sh becomes no server, so nothing comes between these two looks and the renaming.
    if os.path.lexists(output_dir / PERMIT_NAME):
        raise BusyError(errno.EBUSY, f"{PERMIT_NAME} is there, so a server may start on {data_dir} at any moment")
    if is_running(data_dir, output_dir):
        raise BusyError(errno.EBUSY, f"a server may still run on {data_dir}")
    if may_be_rewound(datadir.read(data_dir).rewinding, output_dir):
        raise BusyError(errno.EBUSY, f"pg_rewind may be at work on {data_dir}: if it is not, restart this Pod")
    if not data_dir.is_dir():
        return "nowhere, there was none"
    return str(rename_aside(data_dir, stamp))
