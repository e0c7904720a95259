"""The door to mounted secrets, to know what must not be told: their contents, never for use. Never raises."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from peerboot.outside import mounted
from peerboot.outside.files import FilesError, read_small
from peerboot.outside.mounted import Stamp

MOST_FILES, MOST_BYTES = 64, 64 * 1024
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
PUBLIC = (".crt", ".pub")
MOST_BASE, MOST_VALUES = 1 << 20, 2048
"""Bytes of a base config, as many as are read of it, and values in it."""


def contents(paths: Iterable[Path]) -> list[str]:
    """What those files, or the files in those directories, hold; certificates are no secrets."""
    files = (file for path in paths for file in _files(path)[:MOST_FILES] if file.suffix not in PUBLIC)
    return [text for text in map(_text, files) if text]


def stamp(paths: Iterable[Path]) -> Stamp:
    """Changes when one of those files changes; cheap."""
    return mounted.stamp([file for path in paths for file in _files(path)[:MOST_FILES]])


def values_in(path: Path) -> list[str]:
    """Every value in a file of the user's own settings: which of them are secrets nobody can tell by their names. Lines
    that go on another one are values.
    """
    found, goes_on = [], False
    for line in _text(path, MOST_BASE).splitlines()[:MOST_VALUES]:
        value = line if goes_on else re.split(r"[=:]", line, maxsplit=1)[-1]
        goes_on = line.endswith("\\")
        whole = value.strip().rstrip("\\").strip().rstrip(",;").strip("'\"")
        found += [whole, *(word.strip("'\";,") for word in re.split(r"[\s=]", whole))]
    return [value for value in found if value]


def _files(path: Path) -> list[Path]:
    try:
        return sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    except OSError:
        return []


def _text(path: Path, most: int = MOST_BYTES) -> str:
    try:
        return (read_small(path, most) or b"").decode("utf-8", "replace")
    except FilesError:
        return ""
