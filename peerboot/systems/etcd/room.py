"""How much room the volume of etcd's data has, and what takes it up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from peerboot.outside.files import nearest_existing

SEGMENT = 64 << 20
"""etcd allocates each segment of its log in advance (wal.go, SegmentSizeBytes), and ends when it cannot."""
KEPT = ("member.aside-*", "member.before-force-*")
MOST_KEPT = 64


def trouble(data_dir: Path) -> str:
    """What to do about a volume without room for one more segment; empty where there is. Never raises."""
    try:
        volume = os.statvfs(nearest_existing(data_dir))
    except OSError:
        return ""
    free, whole = volume.f_bavail * volume.f_frsize, volume.f_blocks * volume.f_frsize
    if free >= SEGMENT or not whole:
        return ""
    kept = [path for pattern in KEPT for path in sorted(data_dir.glob(pattern))][:MOST_KEPT]
    taken = sum(_size(path) for path in kept) >> 20
    aside = f" What was set aside there takes {taken} MiB ({kept[0].name} …): delete what nobody wants." if kept else ""
    # Without the exact number, which changes at every look.
    return (
        f"The volume of {data_dir} has less than {SEGMENT >> 20} MiB free of {whole >> 20} MiB, which etcd's next "
        "segment of log takes: it takes no snapshot, and ends when it cannot write."
        f"{aside} Else make the volume larger."
    )


def _size(path: Path) -> int:
    return sum(_blocks(file) for file in _files(path))


def _files(path: Path) -> Iterator[Path]:
    for place, _, names in os.walk(path):
        yield from (Path(place) / name for name in names)


def _blocks(file: Path) -> int:
    try:
        return file.lstat().st_blocks * 512
    except OSError:
        return 0
