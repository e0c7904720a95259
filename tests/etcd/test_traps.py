"""What is looked for at each look of the servers: since when the own one is silent, and what its database says."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from peerboot.model import ClusterView, Disk, Member, Release, ServerView
from peerboot.systems.etcd import datadir
from peerboot.systems.etcd.traps import COMES_WITHIN, READ_EVERY, Traps
from tests.etcd.conftest import Made

DATA = Disk(kind="data", cluster="c1", member="a0", version="3.5")
VOTERS = tuple(Member(id=f"a{n}", pod=f"db-{n}") for n in range(3))


def view(at: float, own: str = "", agreed: str = "3.5") -> ClusterView:
    """Two others serve; ``own``: the version of the own server, empty while it is silent."""
    versions = {"db-1": "3.5.33", "db-2": "3.5.33"} | ({"db-0": own} if own else {})
    views = tuple(ServerView(pod=pod, address="::1", version=one, healthy=True) for pod, one in versions.items())
    release = Release(versions=versions, agreed=agreed, say="")
    return ClusterView(quorum=True, cluster="c1", members=VOTERS, views=views, release=release, at=at)


def names(traps: Traps, seen: ClusterView, disk: Disk = DATA) -> list[str]:
    """Of the findings."""
    return [one.name for one in traps.found("db-0", {}, seen, disk)]


def test_a_silent_server_is_named_after_a_while(tmp_path: Path) -> None:
    """It may run, and has had the time; its first word ends that."""
    traps = Traps(tmp_path)
    traps.may_run = True
    assert names(traps, view(100.0)) == []
    assert names(traps, view(100.0 + COMES_WITHIN - 1)) == []
    assert names(traps, view(100.0 + COMES_WITHIN)) == ["etcd-not-up"]
    assert names(traps, view(130.0, own="3.5.33")) == []
    assert names(traps, view(131.0)) == []


@pytest.mark.parametrize("disk", [DATA, Disk(kind="blank")], ids=["data", "blank"])
def test_one_that_may_not_run_is_not_missed(tmp_path: Path, disk: Disk) -> None:
    """Who waits for something else has that sentence."""
    traps = Traps(tmp_path)
    assert names(traps, view(100.0), disk) == []
    assert names(traps, view(200.0), disk) == []


def test_without_any_version_nothing_is_guessed(tmp_path: Path) -> None:
    """Neither the servers nor the disk say what the cluster goes by."""
    traps = Traps(tmp_path)
    traps.may_run = True
    alone = ClusterView(at=100.0)
    disk = msgspec.structs.replace(DATA, version="")
    assert names(traps, alone, disk) == []
    assert names(traps, msgspec.structs.replace(alone, at=200.0), disk) == []


def test_by_the_disk_alone(tmp_path: Path) -> None:
    """With nobody else there the version in the own database says what an older server would stumble over."""
    traps = Traps(tmp_path)
    traps.may_run = True
    assert names(traps, ClusterView(at=100.0)) == []
    assert names(traps, ClusterView(at=200.0)) == ["etcd-not-up"]


def test_what_the_others_said_at_rest(tmp_path: Path) -> None:
    """At rest only the own server is asked: who has which release stays known, for those that are members."""
    traps = Traps(tmp_path)
    release = Release(versions={"db-0": "3.6.16", "db-1": "3.4.23"}, say="")
    seen = msgspec.structs.replace(view(100.0, own="3.6.16"), release=release)
    assert names(traps, seen) == ["etcd-skips-minor"]
    rest = msgspec.structs.replace(seen, release=Release(versions={"db-0": "3.6.16"}, say=""))
    assert names(traps, rest) == ["etcd-skips-minor"]
    assert names(traps, msgspec.structs.replace(rest, members=VOTERS[:1])) == []


def test_a_difference_counts_in_two_readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list changes a moment before the database does, and while it is written it may look like anything."""
    said = {"a0": False, "a1": True, "a2": False}
    monkeypatch.setattr(datadir, "learners_of", lambda _path: dict(said))
    traps = Traps(tmp_path)
    assert names(traps, view(100.0, own="3.5.33")) == []
    assert names(traps, view(101.0, own="3.5.33")) == []
    assert names(traps, view(100.0 + READ_EVERY, own="3.5.33")) == ["etcd-promotion-unwritten"]
    said["a1"] = False
    assert names(traps, view(100.0 + 2 * READ_EVERY, own="3.5.33")) == []


def test_a_real_database(made: Made) -> None:
    """What a real server wrote: its own member, a voter; and the version that its cluster went by."""
    assert datadir.learners_of(made.young / "member" / "snap" / "db") == {made.member: False}
    assert datadir.read(made.young).version == ".".join(made.server.version.split(".")[:2])
