"""The anchor: a memory of the birth outside the volumes, which turns the loss of all disks into a refusal.

``file:/path`` keeps it in a file on storage that all Pods share. It is written once, compare-and-set by a hard link
that fails when the name exists, and never changed after.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from peerboot.model import SCHEMA, Anchor
from peerboot.outside.files import FilesError, read_small, rename_aside, write_whole

LIMIT = 4096


class _Content(msgspec.Struct):
    version: int
    token: str


def _path(spec: str) -> Path:
    return Path(spec.removeprefix("file:"))


def read(spec: str) -> Anchor:
    """What it says; ``unknown`` with the reason when its directory is not there or it cannot be read. Never raises."""
    if not spec:
        return Anchor()
    path = _path(spec)
    try:
        content = read_small(path, LIMIT)
        if content is None:
            if not path.parent.is_dir():
                return Anchor(state="unknown", reason=f"{path.parent} is not there", where=str(path))
            return Anchor(state="empty", where=str(path))
        return Anchor(state="holds", token=msgspec.json.decode(content, type=_Content).token, where=str(path))
    except (FilesError, msgspec.DecodeError) as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))


def write(spec: str, token: str) -> Anchor:
    """Write the token unless somebody has written one; returns what it says then."""
    path = _path(spec)
    temp = path.with_name(f"{path.name}.{token}")
    try:
        write_whole(temp, msgspec.json.encode(_Content(version=SCHEMA, token=token)), 0o644)
        try:
            path.hardlink_to(temp)
        except FileExistsError:
            pass  # another Pod was first; what it wrote decides
        finally:
            temp.unlink(missing_ok=True)
    except (OSError, FilesError) as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))
    return read(spec)


def forget(spec: str, stamp: str) -> str:
    """Rename it aside, for a person allowed to form anew; returns where to, empty when there was none."""
    path = _path(spec)
    return str(rename_aside(path, stamp)) if path.exists() else ""
