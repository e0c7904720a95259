"""Directories beside the data directory: each is on a volume, or the start ends in one line, with nothing written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from peerboot import container, preflight
from peerboot.errors import SettingsError
from peerboot.outside import files

ELSEWHERE = "/no-volume-here/logs"
"""Not there, so that it would lie on the root file system wherever this runs."""


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A Pod of Kafka whose data directory is on a volume; another volume is mounted beside it."""
    for name in ("data", "more", "out"):
        (tmp_path / name).mkdir()
    _mounted(monkeypatch, "/", f"{tmp_path}/data", f"{tmp_path}/more", f"{tmp_path}/out")
    return {
        "PEERBOOT_SYSTEM": "kafka",
        "PEERBOOT_SERVICE": "kafka",
        "PEERBOOT_CENSUS_AUTH": "none",
        "PEERBOOT_CLUSTER_DOMAIN": "cluster.local",
        "PEERBOOT_DATA_DIR": f"{tmp_path}/data/metadata",
        "PEERBOOT_KAFKA_LOG_DIRS": f"{tmp_path}/data/logs",
        "PEERBOOT_OUTPUT_DIR": f"{tmp_path}/out",
        "POD_NAME": "kafka-0",
        "POD_NAMESPACE": "prod",
    }


def _mounted(monkeypatch: pytest.MonkeyPatch, *places: str) -> None:
    for door in (files, preflight):
        monkeypatch.setattr(door, "mount_points", lambda: frozenset(map(Path, places)))


def _check(env: dict[str, str]) -> Path:
    made = container.set_up(env)
    return preflight.check(made.settings, made.data_dir, made.system.further_dirs)


@pytest.mark.parametrize("logs", ["{0}/data/logs", "{0}/more/logs,{0}/data/logs", "{0}/more"])
def test_volumes_may_be_many(tmp_path: Path, env: dict[str, str], logs: str) -> None:
    """Log directories may lie on the data directory's volume and on others, not there yet or mounted right there."""
    env["PEERBOOT_KAFKA_LOG_DIRS"] = logs.format(tmp_path)
    assert tmp_path / "data" / ".peerboot" == _check(env)


def test_a_log_directory_on_no_volume(tmp_path: Path, env: dict[str, str]) -> None:
    """It would be gone with the container, and acknowledged records with it; nothing is written before that is said."""
    env["PEERBOOT_KAFKA_LOG_DIRS"] = f"{tmp_path}/more/logs,{ELSEWHERE}"
    expected = (
        f"PEERBOOT_KAFKA_LOG_DIRS: {ELSEWHERE} is on no volume that peerboot's container has, and PEERBOOT_DATA_DIR="
        f"{tmp_path}/data/metadata is on one: what a server writes to its container alone is lost when that restarts; "
        "mount the volume in both containers, or name a directory on it"
    )
    with pytest.raises(SettingsError) as caught:
        asyncio.run(container.run("sidecar", env))
    assert (expected, 2) == (str(caught.value), caught.value.exit_code)
    assert [tmp_path / "data", tmp_path / "more", tmp_path / "out"] == sorted(tmp_path.rglob("*"))


def test_who_observes_is_warned_of_it(tmp_path: Path, env: dict[str, str]) -> None:
    """A peerboot that only observes is nobody's gate: a Pod that runs so already starts as before, with a warning."""
    env |= {"PEERBOOT_KAFKA_LOG_DIRS": f"{ELSEWHERE},{tmp_path}/out/logs", "PEERBOOT_MODE": "observe"}
    assert tmp_path / "data" / ".peerboot" == _check(env)
    says = [text for text in container._warnings(container.set_up(env)) if "PEERBOOT_KAFKA_LOG_DIRS" in text]
    assert [text[:84] for text in says] == [
        f"PEERBOOT_KAFKA_LOG_DIRS: {ELSEWHERE} is on no volume that peerboot's container has"[:84],
        f"PEERBOOT_KAFKA_LOG_DIRS: {tmp_path}/out/logs lies inside PEERBOOT_OUTPUT_DIR"[:84],
    ]
    env["PEERBOOT_MODE"] = "manage"
    assert not [text for text in container._warnings(container.set_up(env)) if "PEERBOOT_KAFKA_LOG_DIRS" in text]


def test_a_link_counts_as_where_it_leads(tmp_path: Path, env: dict[str, str]) -> None:
    """A link on the volume that leads away from it is named as it was written; one that leads nowhere is repaired."""
    link = tmp_path / "data" / "logs"
    for target, said in (("/dev/..", f"{link} is on no volume"), (ELSEWHERE, ".* leads nowhere: repair that path")):
        link.symlink_to(target)
        with pytest.raises(SettingsError, match=f"^PEERBOOT_KAFKA_LOG_DIRS: {said}"):
            _check(env)
        link.unlink()
    link.symlink_to("../more")
    _check(env)


def test_a_log_directory_in_memory(tmp_path: Path, env: dict[str, str]) -> None:
    """The output directory is mounted, and yet nothing may stay there."""
    env["PEERBOOT_KAFKA_LOG_DIRS"] = f"{tmp_path}/out/logs"
    with pytest.raises(SettingsError) as caught:
        _check(env)
    assert str(caught.value) == (
        f"PEERBOOT_KAFKA_LOG_DIRS: {tmp_path}/out/logs lies inside PEERBOOT_OUTPUT_DIR={tmp_path}/out: that is in "
        "memory and is gone with the Pod; name a directory on a volume"
    )


@pytest.mark.parametrize(
    ("places", "root"),
    [(("/",), "/no-volume-here"), ((), "/dev/shm")],  # noqa: S108 - looked at
    ids=["the data is on no volume", "mounts are not known"],
)
def test_where_nothing_is_known_nothing_is_refused(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, places: tuple[str, ...], root: str
) -> None:
    """The data is on no volume either, as without a container, or it cannot be read what is mounted: it starts."""
    _mounted(monkeypatch, *places)
    env |= {"PEERBOOT_DATA_DIR": f"{root}/no-such/metadata", "PEERBOOT_STATE_DIR": f"{root}/no-such/.peerboot"}
    # Who observes needs no right to write there.
    env |= {"PEERBOOT_KAFKA_LOG_DIRS": ELSEWHERE, "PEERBOOT_MODE": "observe"}
    assert Path(f"{root}/no-such/.peerboot") == _check(env)


def test_controllers_have_no_log_directories(env: dict[str, str]) -> None:
    """For them the setting means nothing, and its default may lie nowhere."""
    env |= {"PEERBOOT_KAFKA_ROLES": "controller", "PEERBOOT_KAFKA_LOG_DIRS": ELSEWHERE}
    assert container.set_up(env).system.further_dirs == ()
    _check(env)


def test_etcd_s_log_directory(env: dict[str, str]) -> None:
    """etcd's own log has every acknowledged write of the last minutes: it is on a volume too."""
    env = {name: text for name, text in env.items() if "KAFKA" not in name} | {"PEERBOOT_SYSTEM": "etcd"}
    _check(env)
    with pytest.raises(SettingsError, match=f"^PEERBOOT_ETCD_WAL_DIR: {ELSEWHERE} is on no volume"):
        _check({**env, "PEERBOOT_ETCD_WAL_DIR": ELSEWHERE})
