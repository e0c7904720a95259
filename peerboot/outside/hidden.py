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
NAMED = re.compile(r"(?i)(?:password|passwd|passphrase|secret|token|jaas|credential)[^=:\n]{0,80}[=:][ \t]*(.+)")
"""A line of a server's settings whose name says that its value is a secret."""


def contents(paths: Iterable[Path]) -> list[str]:
    """What those files, or the files in those directories, hold; certificates are no secrets."""
    files = (file for path in paths for file in _files(path)[:MOST_FILES] if file.suffix not in PUBLIC)
    return [text for text in map(_text, files) if text]


def stamp(paths: Iterable[Path]) -> Stamp:
    """Changes when one of those files changes; cheap."""
    return mounted.stamp([file for path in paths for file in _files(path)[:MOST_FILES]])


def named_in(path: Path) -> list[str]:
    """The values in a file of settings whose names say that they are secrets."""
    return [value.strip().strip("'\";") for value in NAMED.findall(_text(path))[:MOST_FILES]]


def _files(path: Path) -> list[Path]:
    try:
        return sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return (read_small(path, MOST_BYTES) or b"").decode("utf-8", "replace")
    except FilesError:
        return ""
