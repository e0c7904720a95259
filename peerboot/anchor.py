"""The anchor: a memory of the birth outside the volumes, which turns the loss of all disks into a refusal.

``file:/path`` keeps it in a file on storage that all Pods share. It is written once, compare-and-set by a hard link
that fails when the name exists, and never changed after.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path

import msgspec

from peerboot.model import SCHEMA, Anchor
from peerboot.outside.files import (
    FilesError,
    directory_lock,
    read_small,
    rename_aside,
    sync_directory,
    why,
    write_whole,
)

LIMIT = 4096
TOKEN = re.compile(r"[0-9a-f]{16,128}")


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
            if not path.parent.is_dir():  # the shared storage is not mounted; that is not "never written"
                return Anchor(state="unknown", reason=f"{path.parent} is not there", where=str(path))
            return Anchor(state="empty", where=str(path))
        return Anchor(state="holds", token=_token(path, content), where=str(path))
    except FilesError as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))
    except OSError as error:
        return Anchor(state="unknown", reason=f"{path} cannot be read: {why(error)}", where=str(path))


def _token(path: Path, content: bytes) -> str:
    try:
        found = msgspec.json.decode(content, type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FilesError(f"{path} is half written or damaged ({error})") from None
    if found.version > SCHEMA:
        raise FilesError(f"{path} is of a newer peerboot (version {found.version}); this one knows {SCHEMA}")
    if not TOKEN.fullmatch(found.token):
        raise FilesError(f"{path} is damaged: it holds no token")
    return found.token


def write(spec: str, token: str, replaces: str = "") -> Anchor:
    """Write the token unless somebody has written one; returns what it says then. Never raises.

    ``replaces``: a token that may be written over, that of a birth which came to nothing.
    """
    path = _path(spec)
    if replaces:
        return _replace(spec, path, token, replaces)
    # All Pods of a birth write the same token at the same time: each under a name of its own.
    temp = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        write_whole(temp, msgspec.json.encode(_Content(version=SCHEMA, token=token)), 0o644)
        try:
            with contextlib.suppress(FileExistsError):  # another Pod was first; what it wrote decides
                path.hardlink_to(temp)
        finally:
            temp.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FilesError as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))
    except OSError as error:
        return Anchor(state="unknown", reason=f"{path} cannot be written: {why(error)}", where=str(path))
    return read(spec)


def _replace(spec: str, path: Path, token: str, replaces: str) -> Anchor:
    try:
        with directory_lock(path.parent):
            if read(spec).token == replaces:
                write_whole(path, msgspec.json.encode(_Content(version=SCHEMA, token=token)), 0o644)
    except FilesError as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))
    return read(spec)


def forget(spec: str, stamp: str) -> str:
    """Rename it aside, for a person allowed to form anew; returns where to. Raises ``FilesError``."""
    path = _path(spec)
    return str(rename_aside(path, stamp)) if read(spec).state != "empty" else ""
