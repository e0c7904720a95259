"""The log of a server that was killed, made to count as committed: real servers of each release, started on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peerboot.lab.network import Network
from peerboot.lab.servers import Server
from peerboot.systems.etcd import datadir, wal
from peerboot.systems.etcd.commit import commit_all
from tests.etcd.conftest import Made, copied
from tests.etcd.server import Etcd

Start = Callable[..., Etcd]


def _wal(data_dir: Path) -> Path:
    return data_dir / "member" / "wal"


def _log(data_dir: Path) -> wal.Log:
    log = wal.read(_wal(data_dir))
    assert log is not None
    return log


def _forget_the_commit(data_dir: Path) -> None:
    """Cut off what was written behind the last entry: a hard state that only moves the commit index is not synced."""
    path = wal.segments(_wal(data_dir))[-1][2]
    with wal.opened(path) as file:
        ends = [end + -(end - at - 8) % 8 for at, end, kind in wal.frames(file, wal.Log()) if kind == wal.ENTRY]
    with path.open("r+b") as writes:
        writes.seek(ends[-1])
        writes.write(bytes(4096))


def test_the_last_acknowledged_write_is_kept(
    every_etcd: Server, network: Network, start: Start, tmp_path: Path
) -> None:
    """Three servers acknowledge a write and are killed. On a follower's disk it is an entry that nobody knows to be
    committed: `force-new-cluster` alone drops it; with one record more at the end of the log it is there.
    """
    hosts = [network.another() for _ in range(3)]
    cluster = ",".join(f"m{i}=http://{host}:2380" for i, host in enumerate(hosts))
    keys = {"initial-cluster": cluster, "backend-batch-interval": 60_000_000_000}
    servers = [start(every_etcd, f"m{i}", host, **keys) for i, host in enumerate(hosts)]
    for server in servers:
        server.start()
    for server in servers:
        server.until_serving()
    status = [server.post("/v3/maintenance/status", {}) for server in servers]
    follower = next(s for s, said in zip(servers, status, strict=True) if said["leader"] != said["header"]["member_id"])
    leader = next(s for s, said in zip(servers, status, strict=True) if said["leader"] == said["header"]["member_id"])
    for number in range(5):
        leader.put("key", f"{number}")
    leader.put("last", "acknowledged")
    # Acknowledged by two of three: the third may be this one.
    follower.until(lambda: follower.get("last") == "acknowledged", "it has the last write too")
    for server in servers:
        server.kill()
    _forget_the_commit(follower.data_dir)
    log = _log(follower.data_dir)
    assert log.commit < log.last_index
    dropped, kept = copied(follower.data_dir, tmp_path / "dropped"), copied(follower.data_dir, tmp_path / "kept")
    assert commit_all(_wal(kept)) == log.last_index - log.commit
    assert (_log(kept).commit, _log(kept).last_index, _log(kept).last_term) == (
        log.last_index, log.last_index, log.last_term,
    )  # fmt: skip
    assert commit_all(_wal(kept)) == 0
    assert [_forced(start, every_etcd, follower, path) for path in (dropped, kept)] == ["", "acknowledged"]


def _forced(start: Start, server: Server, was: Etcd, data_dir: Path) -> str:
    """The last write, by a server that was started on a directory with all others dropped."""
    one = start(server, was.keys["name"], was.address)
    one.keys = {**was.keys, "data-dir": str(data_dir), "force-new-cluster": True}
    one.start()
    one.until_serving()
    said = one.get("last")
    one.kill()
    return said


def test_a_log_of_many_segments(made: Made, tmp_path: Path, start: Start) -> None:
    """Segments and snapshots, and a server that starts on it with all that it had."""
    data_dir = copied(made.grown, tmp_path / "grown")
    _forget_the_commit(data_dir)
    before = _log(data_dir)
    commit_all(_wal(data_dir))
    assert (_log(data_dir).commit, _log(data_dir).last_term) == (before.last_index, before.last_term)
    assert datadir.read(data_dir).kind == "data"
    one = start(made.server)
    one.keys["data-dir"] = str(data_dir)
    one.start()
    one.until_serving()
    assert one.get("key") == "49"


def test_a_record_that_was_cut_off_goes(made: Made, tmp_path: Path) -> None:
    """Half a record behind the end is none: the new one takes its place, and nothing is left behind it."""
    data_dir = copied(made.young, tmp_path / "young")
    path = wal.segments(_wal(data_dir))[-1][2]
    with wal.opened(path) as file:
        ends = [end for _, end, kind in wal.frames(file, wal.Log()) if kind == wal.STATE]
    with path.open("r+b") as writes:
        writes.truncate(ends[-1] - 3)
    torn = _log(data_dir)
    assert (torn.torn, torn.commit < torn.last_index) == (True, True)
    commit_all(_wal(data_dir))
    after = _log(data_dir)
    assert (after.torn, after.commit, after.last_index) == (False, torn.last_index, torn.last_index)


def test_a_damaged_log_is_not_touched(made_36: Made, tmp_path: Path) -> None:
    """What does not read is nobody's to add to."""
    data_dir = copied(made_36.young, tmp_path / "young")
    path = wal.segments(_wal(data_dir))[-1][2]
    with path.open("r+b") as writes:
        writes.seek(40)
        writes.write(b"garbage")
    before = path.read_bytes()
    with pytest.raises(wal.WalError):
        commit_all(_wal(data_dir))
    assert before == path.read_bytes()


def test_where_a_new_segment_has_no_entry_yet(made_36: Made, tmp_path: Path) -> None:
    """The term of the last entry is in the segment before: a log is never taken for shorter than it is."""
    data_dir = copied(made_36.grown, tmp_path / "grown")
    before = _log(data_dir)
    found = wal.segments(_wal(data_dir))
    with wal.opened(found[-1][2]) as file:
        heads = next(at for at, _, kind in wal.frames(file, wal.Log()) if kind == wal.ENTRY)
    with found[-1][2].open("r+b") as writes:
        writes.truncate(heads)
        writes.truncate(64 << 20)
    log = _log(data_dir)
    assert (log.last_index, log.last_term) == (found[-1][1] - 1, before.last_term)
    disk = datadir.read(data_dir)
    assert disk.kind == "corrupt" or disk.log_end is not None
