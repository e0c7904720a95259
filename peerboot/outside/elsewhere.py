"""A server's data that lies elsewhere on the volume than where it is looked for. Read only, and with bounds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

MOST_DIRECTORIES, MOST_ENTRIES, DEPTH = 512, 512, 5
"""What is looked at: so many directories, so many entries of each, so far below the volume's root."""
LEFT_OUT = frozenset({".peerboot", "lost+found", ".snapshot"})
ASIDE = ".aside-"
"""In the name of what peerboot itself has set aside."""


def find(root: Path, marks: Iterable[str], own: Iterable[Path]) -> str:
    """The first directory below ``root``, nearest first, that has one of ``marks``; empty where none is found.

    ``marks``: relative paths, as ``snap/db``. ``own``: where the data is looked for anyway. Links are not followed, and
    what cannot be read is left out: this finds a mistake, it does not prove that there is none.
    """
    wanted, left = tuple(marks), deque([(root, 0)])
    known = {os.path.realpath(path) for path in own}
    for _ in range(MOST_DIRECTORIES):
        if not left or not wanted:
            break
        directory, depth = left.popleft()
        if os.path.realpath(directory) in known:
            continue
        if any(os.path.lexists(directory / mark) for mark in wanted):
            return str(directory)
        if depth < DEPTH:
            left += ((path, depth + 1) for path in _below(directory))
    return ""


def _below(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            found = [entry for entry in islice(entries, MOST_ENTRIES) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(Path(entry.path) for entry in found if entry.name not in LEFT_OUT and ASIDE not in entry.name)
