"""The reader of etcd's data directory against directories that real servers of three releases have made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerboot.lab.servers import VERSIONS, Server
from peerboot.systems.etcd import datadir, ids, lock, wal
from tests.etcd import damage
from tests.etcd.conftest import Made, copied
from tests.etcd.server import Etcd


def kind_and_ids(data_dir: Path) -> tuple[str, str, str]:
    """What decides."""
    disk = datadir.read(data_dir)
    return disk.kind, disk.cluster, disk.member


# -------------------------------------------------------------------- blank


def _lost_and_found(data_dir: Path) -> None:
    (data_dir / "lost+found").mkdir(parents=True)


def _empty_member(data_dir: Path) -> None:
    (data_dir / "member").mkdir(parents=True)


def _unfinished_log(data_dir: Path) -> None:
    # etcd makes a log under another name and renames it.
    (data_dir / "member" / "wal.tmp").mkdir(parents=True)
    (data_dir / "member" / "snap").mkdir()
    (data_dir / "member" / "wal.tmp" / "0000000000000000-0000000000000000.wal").write_bytes(b"\1" * 64)


def _aside(data_dir: Path) -> None:
    (data_dir / "member.aside-20260102T030405Z" / "wal").mkdir(parents=True)


BLANK: dict[str, Callable[[Path], None]] = {
    "no-directory": lambda _: None,
    "empty-directory": lambda path: path.mkdir(),
    "lost-and-found": _lost_and_found,
    "empty-member": _empty_member,
    "unfinished-log": _unfinished_log,
    "data-moved-aside": _aside,
}


@pytest.mark.parametrize("make", BLANK.values(), ids=BLANK)
def test_blank(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Whatever is no log and no database with members is blank, and reading makes nothing."""
    make(tmp_path / "etcd")
    before = sorted(tmp_path.rglob("*"))
    assert datadir.read(tmp_path / "etcd").kind == "blank"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_start_leaves_a_blank_disk(made: Made) -> None:
    """A server that could not join leaves a database without members and no log."""
    assert kind_and_ids(made.blank) == ("blank", "", "")


# ---------------------------------------------------------------- with data


def test_interrupted(made: Made, tmp_path: Path) -> None:
    """A log that only says whose it is holds nothing; the ids are those that the server would have had."""
    etcd = copied(made.bootstrap, tmp_path / "etcd")
    _, cluster, member = kind_and_ids(etcd)
    damage.interrupt(etcd, made.blank)
    assert kind_and_ids(etcd) == ("interrupted", cluster, member)


def test_entries_without_a_state_are_interrupted_too(made: Made, tmp_path: Path) -> None:
    """Bootstrap entries were written, the state that commits them was not: nobody was told anything."""
    etcd = copied(made.bootstrap, tmp_path / "etcd")
    segment = damage.last_segment(etcd)
    damage.cut(segment, damage.frames(segment)[5][0])
    shutil.copy(made.blank / damage.DATABASE, etcd / damage.DATABASE)
    assert datadir.read(etcd).kind == "interrupted"


def test_bootstrap(made: Made) -> None:
    """One of three that was started alone has written the first configuration changes and nothing else."""
    assert datadir.read(made.bootstrap).kind == "bootstrap"


def test_data(made: Made) -> None:
    """A member that has served is data, with the ids that it said."""
    assert kind_and_ids(made.young) == ("data", made.cluster, made.member)


def test_data_with_snapshots_and_segments(made: Made) -> None:
    """After snapshots and a second segment the ids are still known."""
    wal, snap = made.grown / "member" / "wal", made.grown / "member" / "snap"
    assert len(list(wal.glob("*.wal"))) >= 2
    assert list(snap.glob("*.snap"))
    assert kind_and_ids(made.grown) == ("data", made.grown_cluster, made.grown_member)


def test_where_the_log_ends(made: Made) -> None:
    """The last entry's term and index, also where older segments are gone."""
    young, grown = datadir.read(made.young), datadir.read(made.grown)
    assert (young.term >= 2, 0 < young.index < grown.index) == (True, True)


def test_the_ids_are_those_that_are_computed(made: Made) -> None:
    """Member and cluster id follow from the peer URLs and the token, as etcd computes them."""
    member = ids.member_id([made.young_url], "token-1")
    assert (ids.hexed(ids.cluster_id([member])), ids.hexed(member)) == (made.cluster, made.member)
    assert ids.static_cluster([made.young_url], "token-1") == made.cluster


def test_the_members_in_the_database(made: Made) -> None:
    """The members bucket has this member's URL."""
    assert datadir.members_of(made.young / damage.DATABASE) == {made.member: (made.young_url,)}


# ------------------------------------------------------------------ damaged


@pytest.mark.parametrize("state", ["young", "grown"])
@pytest.mark.parametrize("way", damage.CORRUPTING)
def test_corrupt(way: str, state: str, made_36: Made, tmp_path: Path) -> None:
    """Each damage that etcd would not start with, or would start with and lose writes, is corrupt."""
    etcd = copied(getattr(made_36, state), tmp_path / "etcd")
    damage.CORRUPTING[way](etcd)
    disk = datadir.read(etcd)
    assert (disk.kind, disk.reason != "") == ("corrupt", True)


@pytest.mark.parametrize("way", damage.CORRUPTING)
@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_corrupt_in_older_releases(way: str, version: str, made_of: Callable[[str], Made], tmp_path: Path) -> None:
    """The same damages in what the older releases write."""
    etcd = copied(made_of(version).young, tmp_path / "etcd")
    damage.CORRUPTING[way](etcd)
    assert datadir.read(etcd).kind == "corrupt"


def test_database_missing(made: Made, tmp_path: Path) -> None:
    """Without its database a young member is rebuilt from the log, and says so; one with snapshots does not start."""
    young = copied(made.young, tmp_path / "young")
    damage.database_missing(young)
    disk = datadir.read(young)
    assert (disk.kind, disk.warning) == ("data", "snap/db is missing; etcd rebuilds it from its log")
    grown = copied(made.grown, tmp_path / "grown")
    damage.database_missing(grown)
    assert datadir.read(grown).kind == "corrupt"


def test_torn_last_record(made: Made, tmp_path: Path) -> None:
    """A last record of which a sector was not written is what a crash leaves; the database is not ahead of it."""
    etcd = copied(made.young, tmp_path / "etcd")
    segment = damage.last_segment(etcd)
    start, _ = damage.frames(segment)[-1]
    damage.cut(segment, start)
    # A record over several sectors of which only the first was written.
    damage.overwrite(segment, start, (2000).to_bytes(8, "little") + b"\x08\x02\x10\x01\x1a\xc7\x0f" + b"\x01" * 256)
    disk = datadir.read(etcd)
    assert (disk.kind, disk.warning) == ("data", "the last record of the log was cut off; etcd drops it")


def test_a_file_that_ends_inside_a_record_is_torn(made: Made, start: Callable[..., Etcd]) -> None:
    """etcd repairs such a log and serves: it is data."""
    server = start(made.server)
    etcd = copied(made.young, server.data_dir)
    # One more record, of which the database knows nothing.
    segment = damage.last_segment(etcd)
    end = damage.frames(segment)[-1][1]
    damage.overwrite(segment, end, (400).to_bytes(8, "little") + b"\x08\x02\x10\x01\x1a\x88\x03" + b"\x01" * 100)
    with segment.open("r+b") as file:
        file.truncate(end + 100)
    assert datadir.read(etcd).kind == "data"
    server.start()
    server.until_serving()
    assert server.get("key1") == "value"


@pytest.mark.parametrize("source", ["bootstrap", "young"])
def test_what_follows_an_early_end_is_not_overlooked(source: str, made_36: Made, tmp_path: Path) -> None:
    """A log that reads as hardly begun, with more behind the gap, is no log that was hardly begun."""
    etcd = copied(getattr(made_36, source), tmp_path / "etcd")
    segment = damage.last_segment(etcd)
    at = damage.frames(segment)[3][0]
    damage.overwrite(segment, at, bytes(8))
    shutil.copy(made_36.blank / damage.DATABASE, etcd / damage.DATABASE)
    assert datadir.read(etcd).kind == "corrupt"
    with segment.open("r+b") as file:
        file.truncate(at)
        file.truncate(40 << 20)
    damage.overwrite(segment, 39 << 20, b"\1")
    assert datadir.read(etcd).kind == "corrupt"


def test_segments_with_a_gap_are_corrupt(made_36: Made, tmp_path: Path) -> None:
    """A segment that is missing between others is damage."""
    etcd = copied(made_36.grown, tmp_path / "etcd")
    last = damage.last_segment(etcd)
    last.rename(last.with_name("0000000000000007-0000000000000043.wal"))
    assert datadir.read(etcd).kind == "corrupt"


def test_a_log_of_another_name_is_corrupt(tmp_path: Path) -> None:
    """etcd takes every ``*.wal`` for a log and does not start with it."""
    (tmp_path / "etcd/member/wal").mkdir(parents=True)
    (tmp_path / "etcd/member/wal/old.wal").write_bytes(b"")
    assert datadir.read(tmp_path / "etcd").kind == "corrupt"


@pytest.mark.parametrize("name", [".", "member", "member/snap", "member/wal"])
def test_a_file_in_place_of_a_directory_is_unknown(name: str, tmp_path: Path) -> None:
    """What is no directory cannot be looked into: unknown, not blank."""
    path = tmp_path / "etcd" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert datadir.read(tmp_path / "etcd").kind == "unknown"


# ------------------------------------------------------------------ running


def test_a_running_server_holds_the_lock(every_etcd: Server, start: Callable[..., Etcd]) -> None:
    """While a server runs its directory reads as running, and cannot be moved aside; afterwards it can, kept whole."""
    etcd = start(every_etcd)
    etcd.start()
    etcd.until_serving()
    disk = datadir.read(etcd.data_dir)
    assert (disk.kind, disk.running, disk.cluster, disk.member) == ("data", True, *etcd.ids())
    with pytest.raises(lock.BusyError):
        lock.move_aside(etcd.data_dir, None, "20260102T030405Z")
    etcd.put("key", "value")
    etcd.kill()
    assert (datadir.read(etcd.data_dir).kind, datadir.read(etcd.data_dir).running) == ("data", False)
    aside = lock.move_aside(etcd.data_dir, None, "20260102T030405Z")
    assert datadir.read(etcd.data_dir).kind == "blank"
    Path(aside).rename(etcd.data_dir / "member")
    etcd.start()
    etcd.until_serving()
    assert etcd.get("key") == "value"


def test_a_server_that_starts_meanwhile_is_not_taken_for_damage(
    made_36: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database ahead of the log is no damage when a server began to write between the two readings."""
    etcd = copied(made_36.young, tmp_path / "etcd")
    damage.tail_lost(etcd)
    locked = iter([False, True])
    monkeypatch.setattr(lock, "is_locked", lambda *_args: next(locked))
    disk = datadir.read(etcd)
    assert (disk.kind, disk.running) == ("data", True)


def test_looking_never_stops_a_server_from_starting(start: Callable[..., Etcd], made_36: Made) -> None:
    """A reader that looks without pause takes the database's lock for moments; the server waits for it and starts."""
    etcd = start(made_36.server)
    copied(made_36.young, etcd.data_dir)
    etcd.start()

    def looked() -> bool:
        for _ in range(20):
            datadir.read(etcd.data_dir)
        return datadir.read(etcd.data_dir).running

    etcd.until(looked, "it holds the lock")
    etcd.until_serving()
    assert etcd.get("key1") == "value"


def test_a_log_deleted_under_a_running_server_is_not_blank(start: Callable[..., Etcd], made_36: Made) -> None:
    """Its database still names members."""
    etcd = start(made_36.server)
    copied(made_36.young, etcd.data_dir)
    etcd.start()
    etcd.until_serving()
    damage.log_deleted(etcd.data_dir)
    assert (datadir.read(etcd.data_dir).kind, datadir.read(etcd.data_dir).running) == ("corrupt", True)


def test_separate_log_directory(every_etcd: Server, start: Callable[..., Etcd], tmp_path: Path) -> None:
    """With a ``wal-dir`` of its own the log is read there; without it the rest is corrupt, not blank."""
    wal = tmp_path / "wal"
    etcd = start(every_etcd, **{"wal-dir": str(wal)})
    etcd.start()
    etcd.until_serving()
    cluster, member = etcd.ids()
    etcd.stop()
    disk = datadir.read(etcd.data_dir, wal)
    assert (disk.kind, disk.cluster, disk.member) == ("data", cluster, member)
    assert datadir.read(etcd.data_dir).kind == "corrupt"
    lock.move_aside(etcd.data_dir, wal, "20260102T030405Z")
    assert datadir.read(etcd.data_dir, wal).kind == "blank"
    assert len(list(wal.glob("*.aside-*"))) == 1


# -------------------------------------------------------------------- bounds

READS = """
import pathlib, re, sys
from peerboot.systems.etcd import datadir

def kilobytes(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\\s+(\\d+) kB", status, re.MULTILINE)[1])

pathlib.Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
datadir.read(pathlib.Path(sys.argv[1]))
print(kilobytes("VmHWM") - before)
"""
"""Prints by how many kilobytes the memory of this process grew at most."""


def test_a_full_segment_is_read_in_small_pieces(made_36: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 MB of small records only the first and the last are taken apart, and never is much of it in memory."""
    etcd = copied(made_36.young, tmp_path / "etcd")
    count = damage.fill(damage.last_segment(etcd), 60 << 20)
    damage.database_missing(etcd)
    taken: list[int] = []
    take = wal._take

    def counted(log: wal.Log, kind: int, body: bytes) -> None:
        taken.append(kind)
        take(log, kind, body)

    monkeypatch.setattr(wal, "_take", counted)
    disk = datadir.read(etcd)
    assert (disk.kind, disk.cluster, disk.member) == ("data", made_36.cluster, made_36.member)
    assert 0 < len(taken) < count // 10
    # By the kernel's account of a process of its own: tracemalloc takes ten times as long as the reading.
    done = subprocess.run([sys.executable, "-c", READS, etcd], check=True, capture_output=True, text=True)  # noqa: S603 - our own words
    assert 0 <= int(done.stdout) < 16 << 10


@pytest.fixture(scope="module")
def small(made_of: Callable[[str], Made], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories with what was never written cut off, so that a thousand copies cost little."""
    root, made = tmp_path_factory.mktemp("small"), made_of(VERSIONS[-1])
    for state in ("bootstrap", "young"):
        etcd = copied(getattr(made, state), root / state)
        segment = damage.last_segment(etcd)
        with segment.open("r+b") as file:
            file.truncate(damage.frames(segment)[-1][1] + 4096)
        for path in (etcd / "member" / "wal").glob("*.tmp"):
            path.unlink()
        database = etcd / damage.DATABASE
        with database.open("r+b") as file:
            file.truncate(min(database.stat().st_size, 64 * 1024))
    return {state: root / state for state in ("bootstrap", "young")}


def _with(source: Path, target: Path, name: str, content: bytes) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    (target / "member" / "snap").mkdir(parents=True)
    (target / "member" / "wal").mkdir()
    for path in source.rglob("*"):
        if path.is_file():
            where = target / path.relative_to(source)
            where.write_bytes(content if path.name.endswith(name) else path.read_bytes())
    return target


MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(data=st.data(), state=st.sampled_from(["bootstrap", "young"]), name=st.sampled_from([".wal", "db"]))
def test_mutations(small: dict[str, Path], tmp_path: Path, data: st.DataObject, state: str, name: str) -> None:
    """Any change of bytes of a real log or database: an answer without an exception, and never ``blank``.

    The young member's data is never taken for less than data either.
    """
    source = small[state]
    content = bytearray(next(p for p in source.rglob("*") if p.name.endswith(name)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.one_of(st.binary(min_size=1, max_size=24), st.integers(1, 600).map(bytes)))
        content[at : at + len(piece)] = piece
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    kind = datadir.read(_with(source, tmp_path / "etcd", name, bytes(content))).kind
    assert kind in (("data", "corrupt") if state == "young" else ("interrupted", "bootstrap", "data", "corrupt"))


@MANY
@given(log=st.binary(max_size=3000), database=st.binary(max_size=3000))
def test_garbage(small: dict[str, Path], tmp_path: Path, log: bytes, database: bytes) -> None:
    """A log and a database of any bytes are corrupt."""
    etcd = _with(small["young"], tmp_path / "etcd", ".wal", log)
    (etcd / damage.DATABASE).write_bytes(database)
    assert datadir.read(etcd).kind == "corrupt"
