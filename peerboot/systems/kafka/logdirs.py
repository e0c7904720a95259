"""What Kafka's directories hold, read without tools and without changing them.

``kafka-storage format`` goes through the directories in no certain order, and writes in each ``bootstrap.checkpoint``,
then, in the metadata directory of a dynamic quorum, ``__cluster_metadata-0/…0-0.checkpoint``, and ``meta.properties``
last, by a rename of ``meta.properties.tmp``: ``preWriteHandler.handle(...); PropertiesUtils.writePropertiesFile(...)``
(metadata.storage.Formatter.doFormat, MetaPropertiesEnsemble.Copier.writeLogDirChanges). No server starts without the
last: a directory without it was at most half formatted, unless there are records or partitions in it.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peerboot.model import Disk
from peerboot.outside import files
from peerboot.systems.kafka import ids, lock, properties

QUORUM_LOG = "__cluster_metadata-0"
MOST_LOG_DIRS = 64
MOST_ENTRIES = 4096
MOST_PROPERTIES = 64 << 10
PARTITION = re.compile(r".+-[0-9]+(\.[0-9a-f]+-(delete|future|stray))?")
"""LocalLog.parseTopicPartitionName: a broker does not start on a log directory with a folder of another name."""
NEITHER = ("remote-log-index-cache",)
"""Folders of the broker's own in a log directory."""
NODE = re.compile(r"[+-]?[0-9]{1,10}")
"""What Integer.parseInt takes: no blanks around it."""
SEGMENT = re.compile(r"[0-9]{20}\.log")
SNAPSHOT = re.compile(r"([0-9]{20})-([0-9]{10})\.checkpoint")
FORMATTED = (0, 0)
"""End offset and epoch of the one snapshot that ``format`` writes; every other is of a log that had records."""
MOST_BATCHES = 20_000
MOST_INDEXED = 64
BATCH = struct.Struct(">qiib")
"""Start of a record batch: base offset, length of what follows these first 12 bytes, leader epoch, magic."""
LAST_DELTA_AT, HEADER, SIZE_AT = 23, 61, 12
"""Of a batch of magic 2: where the last offset's delta stands, how long the header is, where its length counts from."""
INDEXED = struct.Struct(">ii")
"""One entry of an offset index: offset less the segment's first, position in the segment."""


@dataclass(frozen=True)
class Meta:
    """One ``meta.properties``."""

    path: Path
    cluster: str
    node: int
    directory: str
    """Empty where the line is missing: Kafka takes a new one by chance."""


@dataclass(frozen=True)
class LogEnd:
    """What ``__cluster_metadata-0`` holds."""

    used: bool = False
    """A server ran with it, or wrote to it: there is more than ``format`` leaves."""
    held: bool = False
    """It has or had a record."""
    voted: bool = False
    """There is a ``quorum-state``."""
    term: int = 0
    index: int = 0
    """Leader epoch and last offset; zeros also where finding them would take too long."""
    damage: str = ""


class MetaError(Exception):
    """A ``meta.properties`` that is damaged: which, and what is wrong with it."""


class NotOursError(Exception):
    """Nothing is damaged, and it is not for this peerboot or this Pod to judge."""


def read(metadata_dir: Path, log_dirs: Sequence[Path], node: int) -> Disk:
    """The disk as Kafka would find it; never raises, never changes anything."""
    directories = (metadata_dir, *log_dirs)
    if len(log_dirs) > MOST_LOG_DIRS:
        return Disk(kind="unknown", reason=f"{len(log_dirs)} log directories are more than {MOST_LOG_DIRS}")
    running = lock.is_locked(directories)
    try:
        disk = _read(metadata_dir, tuple(log_dirs), node, running)
        if not running and lock.is_locked(directories):
            # A server started while this was read, so two files may be of different moments.
            disk = _read(metadata_dir, tuple(log_dirs), node, running=True)
        return disk
    except (NotOursError, files.FilesError) as error:
        return Disk(kind="unknown", reason=str(error), running=running)
    except OSError as error:
        reason = f"{error.filename or metadata_dir} cannot be read: {files.why(error)}"
        return Disk(kind="unknown", reason=reason, running=running)


def _read(metadata_dir: Path, log_dirs: tuple[Path, ...], node: int, running: bool) -> Disk:
    logs, warnings = _logs(log_dirs, node)
    try:
        own, damage = _meta(metadata_dir, node), ""
    except MetaError as error:
        own, damage = None, str(error)
    metas = [*([own] if own else []), *logs]
    cluster = metas[0].cluster if len({meta.cluster for meta in metas}) == 1 else ""
    if own is not None and not own.directory:
        damage = (
            f"{own.path} has no directory.id, and a voter without that line silently stops being one: bring it back"
        )
    if contradiction := _contradiction(metas):
        # Which directory is the wrong one is for a person to see: nothing goes aside for it.
        raise NotOursError(contradiction)
    end = _log_end(metadata_dir / QUORUM_LOG)
    if not damage and own is None and (end.used or end.voted):
        # A server ran with it. Formatted again, it would start with this log under another id.
        damage = f"{metadata_dir} has a {QUORUM_LOG} of a server that ran, but no meta.properties: bring that file back"
    if not damage and end.damage and not end.held and not running:
        damage = end.damage
    if damage:
        return Disk(kind="corrupt", cluster=cluster, reason=damage, running=running, term=end.term, index=end.index)
    lost = tuple(map(str, blank_log_dirs(log_dirs)))
    if own is None:
        return _without_metadata(metadata_dir, log_dirs, logs, warnings, running, lost)
    warnings += [_blank_log_dirs_say(lost), end.damage if not running else ""]
    if end.used and not end.voted:
        # Measured on 4.3.1: it starts, and takes the epoch from its log.
        warnings.append(
            f"{metadata_dir / QUORUM_LOG / 'quorum-state'} is missing: whom this voter voted for is forgotten"
        )
    return Disk(
        kind="data" if end.held or any(_partitions(path) for path in log_dirs) else "bootstrap",
        cluster=own.cluster,
        member=ids.member_id(node, own.directory),
        warning="; ".join(filter(None, warnings)),
        running=running,
        term=end.term,
        index=end.index,
        logged=end.held,
        lost=lost,
    )


def blank_log_dirs(log_dirs: Sequence[Path]) -> tuple[Path, ...]:
    """Those without ``meta.properties`` and without partitions, be they there or not. Raises ``OSError``."""
    return tuple(path for path in log_dirs if not os.path.lexists(path / "meta.properties") and not _partitions(path))


def _blank_log_dirs_say(lost: tuple[str, ...]) -> str:
    names = ", ".join(lost)
    return f"{names} is blank: it is formatted anew, and its replicas come from the other brokers" if names else ""


def _logs(log_dirs: tuple[Path, ...], node: int) -> tuple[list[Meta], list[str]]:
    """What the log directories' ``meta.properties`` say, and remarks on what keeps a broker from starting there."""
    found, warnings = [], []
    for path in log_dirs:
        try:
            meta = _meta(path, node)
        except MetaError as error:
            # What makes the node a member is not in it: a controller need not be replaced for it.
            warnings.append(f"{error}; till then the broker goes on without that directory, if it has another")
            continue
        if meta is not None:
            found.append(meta)
        names = [name for name in _folders(path) if name not in NEITHER]
        if QUORUM_LOG in names:
            raise NotOursError(
                f"{path / QUORUM_LOG} is in a log directory, and Kafka starts only with it in metadata.log.dir: "
                "if it was moved there, move it back into PEERBOOT_DATA_DIR; a server that kept its metadata with its "
                "logs is not taken over, so start it as before"
            )
        if odd := next((name for name in names if not PARTITION.fullmatch(name)), None):
            warnings.append(f"{path / odd} is no partition, and a broker does not start with it: move it away")
        if meta is None and _partitions(path):
            warnings.append(f"{path} has partitions, but no meta.properties: bring that file back")
    return found, warnings


def _without_metadata(
    metadata_dir: Path,
    log_dirs: tuple[Path, ...],
    logs: list[Meta],
    warnings: list[str],
    running: bool,
    lost: tuple[str, ...],
) -> Disk:
    """A metadata directory where no server ever ran."""
    holding = [f"{meta.path.parent} is of cluster {meta.cluster}" for meta in logs]
    holding += [f"{path} has partitions" for path in log_dirs if _partitions(path)]
    # One that cannot be read is there.
    holding += [f"{path} is damaged" for path in log_dirs if os.path.lexists(path / "meta.properties")]
    if not holding:
        return Disk(kind="blank", running=running, lost=lost)
    reason = f"{metadata_dir} is blank, but {holding[0]}"
    cluster = logs[0].cluster if logs else ""
    warning = "; ".join(warnings)
    return Disk(kind="partial", cluster=cluster, reason=reason, warning=warning, running=running, lost=lost)


def _meta(directory: Path, node: int) -> Meta | None:
    """What ``meta.properties`` says, None where there is none.

    Raises ``MetaError``, ``NotOursError``, ``FilesError`` or ``OSError``.
    """
    path = directory / "meta.properties"
    next(_names(directory), None)  # a directory that may not be read is not one that is not there
    content = files.read_small(path, MOST_PROPERTIES)
    if content is None:
        return None
    try:
        found = properties.parse(content.decode("latin-1"))  # as Properties.load(InputStream) does
    except ValueError as error:
        raise MetaError(f"{path} does not read ({error}): bring it back") from None
    version = found.get("version", "0" if "broker.id" in found else "").strip()
    if version not in ("", "1"):
        raise NotOursError(f"{path} is of version {version[:20]}, which this peerboot does not know: take a newer one")
    for key in ("version", "cluster.id", "node.id"):
        if not found.get(key):
            raise MetaError(f"{path} has no {key}: bring it back")
    if not NODE.fullmatch(found["node.id"]):
        raise MetaError(f"{path} has node.id {found['node.id'][:20]!r}, which is no number: bring it back")
    name = found.get("directory.id", "")
    if name and not ids.is_uuid(name):
        raise MetaError(f"{path} has directory.id {name[:40]!r}, which is none: bring it back")
    if int(found["node.id"]) != node:
        theirs = int(found["node.id"])
        raise NotOursError(f"{path} is of node {theirs}, this Pod is node {node}: another Pod's volume is mounted")
    return Meta(path, found["cluster.id"], node, name)


def _contradiction(found: Sequence[Meta]) -> str:
    """What two directories of one node cannot both say."""
    for at, one in enumerate(found):
        for other in found[:at]:
            if one.cluster != other.cluster:
                return (
                    f"{other.path} is of cluster {other.cluster}, {one.path} of cluster {one.cluster}: "
                    "mount the right volume, or move the wrong directory away"
                )
            if one.directory and one.directory == other.directory:
                return f"{other.path} and {one.path} have one directory.id: one is a copy, move that away"
    return ""


def _partitions(directory: Path) -> bool:
    """Whether a log directory has any partition, be it marked for deletion."""
    return any(PARTITION.fullmatch(name) and not lock.is_nothing(name) for name in _folders(directory))


def _folders(directory: Path) -> Iterator[str]:
    return (entry.name for entry in _names(directory) if entry.is_dir())


def _names(directory: Path) -> Iterator[os.DirEntry[str]]:
    """Entries of a directory, none where there is none."""
    try:
        with os.scandir(directory) as entries:
            yield from (entry for _, entry in zip(range(MOST_ENTRIES), entries, strict=False))
    except FileNotFoundError:
        return


# ------------------------------------------------------------ the quorum's log


def _log_end(directory: Path) -> LogEnd:
    """Where the log ends: a torn last batch is normal, after a crash as while a server writes it."""
    names = sorted(entry.name for entry in _names(directory))
    snapshots = [(int(found[1]), int(found[2])) for name in names if (found := SNAPSHOT.fullmatch(name))]
    snapshots = [snapshot for snapshot in snapshots if snapshot != FORMATTED]
    voted, used, damage = "quorum-state" in names, bool(snapshots), ""
    for name in reversed([name for name in names if SEGMENT.fullmatch(name)]):
        path = directory / name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # a running server has removed it since
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                continue
            used = True
            start = _indexed(path, fd, status.st_size)
            end, cut = _last_batch(fd, status.st_size, start, int(name[:20]))
        finally:
            os.close(fd)
        if end is not None:
            return LogEnd(True, True, voted, *end, damage=damage)
        if not cut:
            damage = damage or f"{path} does not read from its first record: Kafka would drop it and all that follows"
    if snapshots:
        offset, epoch = snapshots[-1]
        return LogEnd(True, True, voted, epoch, offset - 1, damage)
    return LogEnd(used, voted=voted, damage=damage)


def _batch(fd: int, size: int, at: int, least: int) -> tuple[int, int, int] | None:
    """Leader epoch, last offset and end of the whole batch there, None when there is none."""
    header = os.pread(fd, HEADER, at)
    if len(header) < HEADER:
        return None
    base, length, epoch, magic = BATCH.unpack_from(header)
    delta = int(struct.unpack_from(">i", header, LAST_DELTA_AT)[0])
    end = at + SIZE_AT + length
    if magic != 2 or length < HEADER - SIZE_AT or end > size or base < least or delta < 0 or epoch < 0:
        return None
    return epoch, base + delta, end


def _last_batch(fd: int, size: int, at: int, least: int) -> tuple[tuple[int, int] | None, bool]:
    """Leader epoch and last offset of the last whole batch from there on, None when there is none; and then, whether
    what is there is a batch that was cut off. Checksums are not looked at: the standard library has no CRC-32C.
    """
    last = None
    for _ in range(MOST_BATCHES):
        found = _batch(fd, size, at, least)
        if found is None:
            return last, _is_cut(fd, size, at)
        last, at = found[:2], found[2]
        least = last[1] + 1
    return (0, 0), False


def _is_cut(fd: int, size: int, at: int) -> bool:
    """Whether a batch was only begun there: too short, or zeros where the data did not reach the disk."""
    header = os.pread(fd, HEADER, at)
    if len(header) < HEADER or not any(header):
        return True
    _, length, _, magic = BATCH.unpack_from(header)
    return bool(magic == 2 and at + SIZE_AT + length > size)


def _indexed(path: Path, log: int, size: int) -> int:
    """The last batch that the offset index leads to, so that not all of a segment is read; 0 where it leads nowhere.

    Kafka adds an entry every 4096 bytes. An open index is longer than its content, which zeros follow.
    """
    first = int(path.stem)
    try:
        fd = os.open(path.with_suffix(".index"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        low, high = 0, os.fstat(fd).st_size // INDEXED.size
        while low < high:
            middle = (low + high) // 2
            if _entry(fd, middle)[1] > 0:
                low = middle + 1
            else:
                high = middle
        for number in range(low - 1, max(-1, low - 1 - MOST_INDEXED), -1):
            offset, position = _entry(fd, number)
            # Where it is written before the log, a crash may leave it ahead.
            found = _batch(log, size, position, first)
            if found is not None and found[1] <= first + offset and position:
                return position
        return 0
    except OSError:
        return 0
    finally:
        os.close(fd)


def _entry(fd: int, number: int) -> tuple[int, int]:
    raw = os.pread(fd, INDEXED.size, number * INDEXED.size)
    return INDEXED.unpack(raw) if len(raw) == INDEXED.size else (0, 0)
