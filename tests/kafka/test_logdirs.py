"""The reader of Kafka's directories, against directories made by hand; test_logdirs_real.py has the servers' own."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerboot.model import Disk
from peerboot.systems.kafka import logdirs, properties

CLUSTER, META_ID, LOG_ID = "bL7vmpYoRcSTJpf6jO-LDQ", "UC8UpY3eTKS2i-38xb17jg", "d9nxQ8aDQGKY12eevNwr1A"
QUORUM, SEGMENT = "__cluster_metadata-0", "0" * 20 + ".log"
BOOTSTRAP = "0" * 20 + "-" + "0" * 10 + ".checkpoint"


def batch(base: int, epoch: int = 1, records: int = 1, size: int = 100) -> bytes:
    """A record batch of magic 2 whose records are zeros."""
    header = struct.pack(">qiibIhi", base, size - 12, epoch, 2, 0, 0, records - 1)
    return header + bytes(size - len(header))


def batches(count: int, base: int = 0, epoch: int = 1) -> bytes:
    """That many, one record each."""
    return b"".join(batch(base + number, epoch) for number in range(count))


@dataclass
class Dirs:
    """One node's directories."""

    root: Path
    cluster: str = CLUSTER
    node: int = 1
    logs: tuple[str, ...] = ("logs",)
    metadata: Path = field(init=False)

    def __post_init__(self) -> None:
        self.metadata = self.root / "metadata"

    @property
    def log(self) -> Path:
        """The first log directory."""
        return self.root / self.logs[0]

    @property
    def quorum(self) -> Path:
        return self.metadata / QUORUM

    def meta(self, directory: Path, name: str | None, **changed: str | None) -> None:
        """Write meta.properties; ``None`` leaves a key out, and of ``name`` the directory id."""
        keys = {"version": "1", "cluster.id": self.cluster, "node.id": str(self.node), "directory.id": name}
        keys |= {key.replace("_", "."): value for key, value in changed.items()}
        directory.mkdir(parents=True, exist_ok=True)
        known = {key: value for key, value in keys.items() if value is not None}
        (directory / "meta.properties").write_text(f"#\n#Tue Nov 24 20:00:00 UTC 2026\n{properties.render(known)}")

    def format(self) -> None:
        """As ``kafka-storage format`` leaves them."""
        self.checkpoints()
        self.meta(self.metadata, META_ID)
        for number, name in enumerate(self.logs):
            (self.root / name).mkdir(exist_ok=True)
            (self.root / name / "bootstrap.checkpoint").write_bytes(batch(0))
            self.meta(self.root / name, LOG_ID[:-1] + "AQgw"[number])

    def checkpoints(self) -> None:
        """As it leaves the metadata directory when it is killed before meta.properties."""
        self.quorum.mkdir(parents=True, exist_ok=True)
        (self.metadata / "bootstrap.checkpoint").write_bytes(batch(0))
        (self.quorum / BOOTSTRAP).write_bytes(batch(0))

    def ran(self, content: bytes = b"", *, voted: bool = True) -> None:
        """As a server leaves the quorum's log; without content 20 records of epoch 3."""
        self.quorum.mkdir(parents=True, exist_ok=True)
        (self.quorum / SEGMENT).write_bytes(content or batches(20, epoch=3))
        if voted:
            (self.quorum / "quorum-state").write_text('{"leaderId":1,"leaderEpoch":3,"data_version":1}')

    def read(self) -> Disk:
        return logdirs.read(self.metadata, tuple(self.root / name for name in self.logs), self.node)


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    """Nothing made yet."""
    return Dirs(tmp_path)


def told(disk: Disk) -> tuple[str, str, str]:
    """What decides."""
    return disk.kind, disk.cluster, disk.member


MEMBER = f"1:{META_ID}"

# -------------------------------------------------------------------- blank


def _empty(dirs: Dirs) -> None:
    dirs.metadata.mkdir()
    dirs.log.mkdir()


def _mkfs(dirs: Dirs) -> None:
    _empty(dirs)
    for path in (dirs.metadata, dirs.log):
        (path / "lost+found").mkdir()
        (path / ".lock").touch()


def _killed_format(dirs: Dirs) -> None:
    dirs.checkpoints()
    (dirs.metadata / "meta.properties.tmp").write_text("version=1\n")
    dirs.log.mkdir()
    (dirs.log / "bootstrap.checkpoint").write_bytes(batch(0))
    (dirs.log / "meta.properties.tmp").touch()


def _part_of_a_snapshot(dirs: Dirs) -> None:
    dirs.checkpoints()
    (dirs.quorum / BOOTSTRAP).rename(dirs.quorum / f"{BOOTSTRAP}.1234.part")


def _aside(dirs: Dirs) -> None:
    _empty(dirs)
    (dirs.root / "metadata.aside-S" / QUORUM).mkdir(parents=True)
    (dirs.log / "topic-0.aside-20260102").mkdir()


BLANK: dict[str, Callable[[Dirs], None]] = {
    "no-directory": lambda _: None,
    "empty": _empty,
    "new-file-system": _mkfs,
    "killed-format": _killed_format,
    "part-of-a-snapshot": _part_of_a_snapshot,
    "moved-aside": _aside,
}


@pytest.mark.parametrize("make", BLANK.values(), ids=BLANK)
def test_blank(make: Callable[[Dirs], None], dirs: Dirs) -> None:
    """No server starts without meta.properties: what a killed format left is nothing."""
    make(dirs)
    assert dirs.read() == Disk(kind="blank", lost=(str(dirs.root / "logs"),))


def test_a_controller_has_no_log_dirs(tmp_path: Path) -> None:
    """Where there are no log directories none is missing."""
    dirs = Dirs(tmp_path, logs=())
    assert dirs.read() == Disk(kind="blank")
    dirs.meta(dirs.metadata, META_ID)
    assert dirs.read() == Disk(kind="bootstrap", cluster=CLUSTER, member=MEMBER, logged=False)


# ------------------------------------------------------- bootstrap and data


def test_bootstrap(dirs: Dirs) -> None:
    """Formatted, and never got an entry: not by a start either, nor by a first write that was cut off."""
    dirs.format()
    expected = Disk(kind="bootstrap", cluster=CLUSTER, member=MEMBER, logged=False)
    assert dirs.read() == expected
    (dirs.quorum / SEGMENT).touch()
    assert dirs.read() == expected
    for torn in (b"\0\0\0", batch(0)[:-1], bytes(4096)):
        dirs.ran(torn)
        assert dirs.read() == expected


def test_data(dirs: Dirs) -> None:
    """One record is enough, and the end of the log is told."""
    dirs.format()
    dirs.ran(batch(0, epoch=7, records=3))
    assert dirs.read() == Disk(kind="data", cluster=CLUSTER, member=MEMBER, term=7, index=2)


def test_data_by_a_snapshot(dirs: Dirs) -> None:
    """A snapshot other than format's own is of records; its name has the offset after its last one."""
    dirs.format()
    dirs.ran(b"\0")
    (dirs.quorum / f"{500:020d}-{4:010d}.checkpoint").touch()
    (dirs.quorum / f"{900:020d}-{5:010d}.checkpoint.part").touch()
    assert dirs.read() == Disk(kind="data", cluster=CLUSTER, member=MEMBER, term=4, index=499)


@pytest.mark.parametrize("name", ["topic-0", "a-b-17", "topic-0.0123456789abcdef0123456789abcdef-stray"])
def test_data_by_a_partition(name: str, dirs: Dirs) -> None:
    """A partition is data, whatever the metadata says."""
    dirs.format()
    (dirs.log / name).mkdir()
    assert told(dirs.read()) == ("data", CLUSTER, MEMBER)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (b"", 19),
        (batch(20)[:30], 19),
        (batch(20)[:-1], 19),
        (batch(20, records=5), 24),
        (bytes(5000), 19),
        (b"\xff" * 500, 19),
        (batch(3), 19),  # of an older life of these blocks: offsets only grow
    ],
    ids=["whole", "short-header", "short-batch", "one-more", "zeros", "noise", "old"],
)
def test_the_last_whole_batch(tail: bytes, expected: int, dirs: Dirs) -> None:
    """A torn end is normal and worth no word."""
    dirs.format()
    dirs.ran(batches(20, epoch=3) + tail)
    disk = dirs.read()
    assert (disk.kind, disk.index, disk.warning) == ("data", expected, "")


def test_the_last_segment(dirs: Dirs) -> None:
    """The newest segment with a record counts, not an empty one after it or one that is marked for deletion."""
    dirs.format()
    dirs.ran()
    (dirs.quorum / f"{20:020d}.log").write_bytes(batches(5, base=20, epoch=9))
    (dirs.quorum / f"{25:020d}.log").touch()
    (dirs.quorum / f"{99:020d}.log.deleted").write_bytes(batches(5, base=99))
    disk = dirs.read()
    assert (disk.kind, disk.term, disk.index) == ("data", 9, 24)


def test_a_segment_that_goes(dirs: Dirs) -> None:
    """A server may remove a segment between its name and its bytes: that is no damage."""
    dirs.format()
    dirs.ran()
    (dirs.quorum / f"{20:020d}.log").symlink_to("gone")
    disk = dirs.read()
    assert (disk.kind, disk.index, disk.warning) == ("data", 19, "")


def _index(entries: Iterable[tuple[int, int]], zeros: int = 0) -> bytes:
    return b"".join(struct.pack(">ii", *entry) for entry in entries) + bytes(8 * zeros)


EVERY = [(number, number * 100) for number in range(1000, 60_000, 1000)]
INDEXES = {
    "open": (_index(EVERY, zeros=100_000), 59_999),
    "closed": (_index(EVERY), 59_999),
    "ahead-of-the-log": (_index([*EVERY, (70_000, 7_000_000)], zeros=3), 59_999),
    "not-at-a-batch": (_index([*EVERY, (59_500, 5_950_007)]), 59_999),
    "odd-size": (_index(EVERY) + b"\0\1\2", 59_999),
    # Without one it would have to read everything: not known is better than wrong.
    "none": (b"", 0),
    "noise": (b"\x7f" * 8000, 0),
}


@pytest.mark.parametrize(("index", "expected"), INDEXES.values(), ids=INDEXES)
def test_a_long_segment(index: bytes, expected: int, dirs: Dirs) -> None:
    """A week's segment has a million batches: the offset index leads near its end."""
    dirs.format()
    dirs.ran(batches(60_000))
    (dirs.quorum / SEGMENT).with_suffix(".index").write_bytes(index)
    disk = dirs.read()
    assert (disk.kind, disk.index) == ("data", expected)


# ------------------------------------------------------------------ partial


def _log_formatted(dirs: Dirs) -> str:
    dirs.meta(dirs.log, LOG_ID)
    return f"{dirs.log} is of cluster {CLUSTER}"


def _log_has_partitions(dirs: Dirs) -> str:
    (dirs.log / "topic-0").mkdir(parents=True)
    return f"{dirs.log} has partitions"


def _log_damaged(dirs: Dirs) -> str:
    dirs.meta(dirs.log, LOG_ID, cluster_id=None)
    return f"{dirs.log} is damaged"


PARTIAL = {"formatted": _log_formatted, "partitions": _log_has_partitions, "damaged": _log_damaged}


@pytest.mark.parametrize("killed_format", [False, True])
@pytest.mark.parametrize("make", PARTIAL.values(), ids=PARTIAL)
def test_partial(make: Callable[[Dirs], str], killed_format: bool, dirs: Dirs) -> None:
    """Without its metadata a node with logs is not blank; format would make a new quorum of it."""
    what = make(dirs)
    if killed_format:
        dirs.checkpoints()
    disk = dirs.read()
    cluster = CLUSTER if make is _log_formatted else ""
    assert (*told(disk), disk.reason) == ("partial", cluster, "", f"{dirs.metadata} is blank, but {what}")


# ------------------------------------------------------------------ corrupt


def _no_meta(dirs: Dirs) -> str:
    (dirs.metadata / "meta.properties").unlink()
    dirs.ran()
    return f"{dirs.metadata} has a {QUORUM} of a server that ran, but no meta.properties"


def _no_meta_only_a_vote(dirs: Dirs) -> str:
    dirs.ran(b"\0")
    (dirs.quorum / SEGMENT).unlink()
    (dirs.metadata / "meta.properties").unlink()
    return "of a server that ran, but no meta.properties"


def _empty_meta(dirs: Dirs) -> str:
    (dirs.metadata / "meta.properties").write_bytes(b"")
    return f"{dirs.metadata}/meta.properties has no version: bring it back"


def _noise(dirs: Dirs) -> str:
    (dirs.metadata / "meta.properties").write_bytes(b"\xff\x00\x80" * 40)
    return "/meta.properties has no version: bring it back"


def _bad_escape(dirs: Dirs) -> str:
    (dirs.metadata / "meta.properties").write_text("version=1\ncluster.id=\\u12\n")
    return r"/meta.properties does not read (line 2: \u is not followed by four hex digits): bring it back"


def _without(key: str) -> Callable[[Dirs], str]:
    def make(dirs: Dirs) -> str:
        dirs.meta(dirs.metadata, META_ID, **{key.replace(".", "_"): None})
        return f"{dirs.metadata}/meta.properties has no {key}"

    return make


def _bad_node(dirs: Dirs) -> str:
    dirs.meta(dirs.metadata, META_ID, node_id="1 ")
    return "/meta.properties has node.id '1 ', which is no number"


def _no_directory(dirs: Dirs) -> str:
    dirs.meta(dirs.metadata, None)
    return "/meta.properties has no directory.id, and a voter without that line silently stops being one: bring it back"


def _bad_directory(dirs: Dirs) -> str:
    dirs.meta(dirs.metadata, "AAAAAAAAAAAAAAAAAAAAAQ")
    return "/meta.properties has directory.id 'AAAAAAAAAAAAAAAAAAAAAQ', which is none"


def _copied(dirs: Dirs) -> str:
    dirs.meta(dirs.log, META_ID)
    return f"{dirs.metadata}/meta.properties and {dirs.log}/meta.properties have one directory.id: one is a copy"


def _two_clusters(dirs: Dirs) -> str:
    dirs.meta(dirs.log, LOG_ID, cluster_id="other")
    return f"{dirs.metadata}/meta.properties is of cluster {CLUSTER}, {dirs.log}/meta.properties of cluster other"


def _no_records(dirs: Dirs) -> str:
    dirs.ran(b"\xff" * 500)
    return f"{dirs.quorum / SEGMENT} does not read from its first record"


CORRUPT: dict[str, Callable[[Dirs], str]] = {
    "no-meta": _no_meta,
    "no-meta-only-a-vote": _no_meta_only_a_vote,
    "empty": _empty_meta,
    "noise": _noise,
    "bad-escape": _bad_escape,
    **{f"no-{key}": _without(key) for key in ("version", "cluster.id", "node.id")},
    "bad-node": _bad_node,
    "no-directory": _no_directory,
    "bad-directory": _bad_directory,
    "no-records": _no_records,
}


@pytest.mark.parametrize("make", CORRUPT.values(), ids=CORRUPT)
def test_corrupt(make: Callable[[Dirs], str], dirs: Dirs) -> None:
    """What Kafka would not start with, or would start with and be another; the cluster where all that reads agree."""
    dirs.format()
    what = make(dirs)
    disk = dirs.read()
    assert (disk.kind, disk.cluster, what in disk.reason) == ("corrupt", CLUSTER, True), disk.reason


def test_two_log_dirs_of_two_clusters(tmp_path: Path) -> None:
    """The same where the metadata is lost: which cluster it was of cannot be told."""
    dirs = Dirs(tmp_path, logs=("one", "two"))
    dirs.meta(tmp_path / "one", LOG_ID)
    dirs.meta(tmp_path / "two", META_ID, cluster_id="other")
    assert told(dirs.read()) == ("unknown", "", "")


# ------------------------------------------------------------------ unknown


def _other_node(dirs: Dirs) -> str:
    dirs.node = 2
    return f"{dirs.log}/meta.properties is of node 1, this Pod is node 2: another Pod's volume is mounted"


def _version_2(dirs: Dirs) -> str:
    dirs.meta(dirs.metadata, META_ID, version="2", cluster_id=None)
    return f"{dirs.metadata}/meta.properties is of version 2, which this peerboot does not know: take a newer one"


def _version_0(dirs: Dirs) -> str:
    (dirs.log / "meta.properties").write_text(f"broker.id=1\ncluster.id={CLUSTER}\n")
    return f"{dirs.log}/meta.properties is of version 0, which this peerboot does not know: take a newer one"


def _metadata_in_a_log_dir(dirs: Dirs) -> str:
    (dirs.log / QUORUM).mkdir()
    return (
        f"{dirs.log / QUORUM} is in a log directory, and Kafka starts only with it in metadata.log.dir: if it was "
        "moved there, move it back into PEERBOOT_DATA_DIR; a server that kept its metadata with its logs is not taken "
        "over, so start it as before"
    )


def _a_file(dirs: Dirs) -> str:
    dirs.metadata.rename(dirs.root / "away")
    dirs.metadata.touch()
    return f"{dirs.metadata} cannot be read: a part of its path is not a directory"


def _a_pipe(dirs: Dirs) -> str:
    (dirs.metadata / "meta.properties").unlink()
    os.mkfifo(dirs.metadata / "meta.properties")
    return f"{dirs.metadata}/meta.properties cannot be read: it is not a regular file"


def _too_long(dirs: Dirs) -> str:
    (dirs.log / "meta.properties").write_text("#" * 70_000)
    return f"{dirs.log}/meta.properties cannot be read: it is longer than 65536 bytes"


def _loop(dirs: Dirs) -> str:
    dirs.log.rename(dirs.root / "away")
    dirs.log.symlink_to(dirs.log)
    return f"{dirs.log} cannot be read: it is a symbolic link"


UNKNOWN = {
    "other-node": _other_node,
    "copied": _copied,
    "two-clusters": _two_clusters,
    "version-2": _version_2,
    "version-0": _version_0,
    "metadata-in-a-log-dir": _metadata_in_a_log_dir,
    "file": _a_file,
    "pipe": _a_pipe,
    "too-long": _too_long,
    "loop": _loop,
}


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown(make: Callable[[Dirs], str], dirs: Dirs) -> None:
    """What cannot be looked at or is not this Pod's is neither blank nor damaged."""
    dirs.format()
    what = make(dirs)
    disk = dirs.read()
    assert (*told(disk), what in disk.reason) == ("unknown", "", "", True), disk.reason


@pytest.mark.parametrize("name", ["metadata", "logs"])
def test_no_permission(name: str, dirs: Dirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what may not be read."""
    dirs.format()
    real = os.scandir

    def scandir(path: Path) -> object:
        if path == dirs.root / name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    reason = f"{dirs.root / name} cannot be read: permission denied for uid {os.getuid()}"
    assert (dirs.read().kind, dirs.read().reason) == ("unknown", reason)


def test_io_error(dirs: Dirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a log that the disk does not give."""
    dirs.format()
    dirs.ran()

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error", str(dirs.quorum / SEGMENT))

    monkeypatch.setattr(os, "pread", fail)
    disk = dirs.read()
    assert (disk.kind, disk.reason) == (
        "unknown",
        f"{dirs.quorum / SEGMENT} cannot be read: the disk reports an I/O error",
    )


def test_too_many_log_dirs(tmp_path: Path) -> None:
    """64 are looked at."""
    most = tuple(f"{n}" for n in range(64))
    assert Dirs(tmp_path, logs=most).read() == Disk(kind="blank", lost=tuple(f"{tmp_path}/{n}" for n in most))
    disk = Dirs(tmp_path, logs=tuple(f"{n}" for n in range(65))).read()
    assert (disk.kind, disk.reason) == ("unknown", "65 log directories are more than 64")


# ----------------------------------------------------------------- warnings


def test_a_blank_log_dir(tmp_path: Path) -> None:
    """A log directory that was lost is told; the member is whole."""
    dirs = Dirs(tmp_path, logs=("one", "two", "three"))
    dirs.format()
    dirs.ran()
    (tmp_path / "two" / "meta.properties").unlink()
    (tmp_path / "three").rename(tmp_path / "away")
    disk = dirs.read()
    blank = (
        f"{tmp_path}/two, {tmp_path}/three is blank: it is formatted anew, and its replicas come from the other brokers"
    )
    assert (disk.kind, disk.warning) == ("data", blank)
    paths = tuple(tmp_path / name for name in dirs.logs)
    assert logdirs.blank_log_dirs(paths) == paths[1:]
    (tmp_path / "two" / "topic-0").mkdir()
    assert logdirs.blank_log_dirs(paths) == paths[2:]
    assert f"{tmp_path}/two has partitions, but no meta.properties: bring that file back" in dirs.read().warning


def _lost_and_found(dirs: Dirs) -> str:
    (dirs.log / "lost+found").mkdir()
    return f"{dirs.log}/lost+found is no partition, and a broker does not start with it: move it away"


def _lost_vote(dirs: Dirs) -> str:
    (dirs.quorum / "quorum-state").unlink()
    return f"{dirs.quorum}/quorum-state is missing: whom this voter voted for is forgotten"


def _damaged_log_dir(dirs: Dirs) -> str:
    (dirs.log / "meta.properties").write_text("")
    return (
        f"{dirs.log}/meta.properties has no version: bring it back; "
        "till then the broker goes on without that directory, if it has another"
    )


def _damaged_last_segment(dirs: Dirs) -> str:
    path = dirs.quorum / f"{20:020d}.log"
    path.write_bytes(b"\xff" * 500)
    return f"{path} does not read from its first record: Kafka would drop it and all that follows"


WARNINGS = {
    "lost-and-found": _lost_and_found,
    "lost-vote": _lost_vote,
    "damaged-log-dir": _damaged_log_dir,
    "damaged-last-segment": _damaged_last_segment,
}


@pytest.mark.parametrize("make", WARNINGS.values(), ids=WARNINGS)
def test_warning(make: Callable[[Dirs], str], dirs: Dirs) -> None:
    """Worth a word, and it is a member all the same."""
    dirs.format()
    dirs.ran()
    assert dirs.read().warning == ""
    what = make(dirs)
    disk = dirs.read()
    assert (*told(disk), disk.warning) == ("data", CLUSTER, MEMBER, what)


def test_kafkas_own_files(dirs: Dirs) -> None:
    """What brokers and tiered storage put beside partitions is worth no word; a log directory's own id is Kafka's."""
    dirs.format()
    dirs.ran()
    for name in ("recovery-point-offset-checkpoint", "cleaner-offset-checkpoint", "log-start-offset-checkpoint"):
        (dirs.log / name).touch()
    (dirs.log / "remote-log-index-cache").mkdir()
    dirs.meta(dirs.log, None)
    assert (dirs.read().kind, dirs.read().warning) == ("data", "")


# ---------------------------------------------------------------- any bytes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(meta=st.binary(max_size=200), log=st.binary(max_size=300), index=st.binary(max_size=64))
def test_any_bytes(meta: bytes, log: bytes, index: bytes, dirs: Dirs) -> None:
    """Whatever lies there it is read, and never as a blank disk."""
    dirs.ran(log or b"\0")
    (dirs.quorum / SEGMENT).with_suffix(".index").write_bytes(index)
    (dirs.metadata / "meta.properties").write_bytes(meta)
    assert dirs.read().kind in ("corrupt", "unknown")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 3000), tail=st.binary(max_size=200))
def test_any_tail(cut: int, tail: bytes, dirs: Dirs) -> None:
    """Cut off anywhere, and with anything after it, the whole batches before it are data; no batch is none."""
    dirs.format()
    dirs.ran(batches(30)[:cut] or b"\0")
    assert (dirs.read().kind, dirs.read().index) == ("data" if cut >= 100 else "bootstrap", max(cut // 100 - 1, 0))
    dirs.ran(batches(30) + b"\xff" * 20 + tail)
    assert (dirs.read().kind, dirs.read().index) == ("data", 29)


def test_looking_changes_nothing(dirs: Dirs) -> None:
    """Not a byte, not a time, not a name."""
    dirs.format()
    dirs.ran()
    (dirs.metadata / ".lock").touch()

    def state() -> list[tuple[Path, int, int]]:
        return [(path, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in sorted(dirs.root.rglob("*"))]

    before = state()
    dirs.read()
    assert state() == before
