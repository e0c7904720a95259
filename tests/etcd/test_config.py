"""The config file that peerboot writes, given to real servers of three releases."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from peerboot.errors import SettingsError
from peerboot.lab.network import Network
from peerboot.lab.servers import VERSIONS, Server, find
from peerboot.model import Birth, Disk, Identity, Limits, Member
from peerboot.systems.etcd import baseconfig, datadir
from peerboot.systems.etcd.config import EtcdConfig
from tests.etcd import damage
from tests.etcd.conftest import Made, copied
from tests.etcd.server import Etcd

GONE_IN_3_7 = ("experimental-", "proxy", "enable-v2", "discovery")
"""What begins so was renamed or removed by then (server/config, CHANGELOG-3.6 and -3.7)."""
NOT_IN_OLD_HELP = {"enable-grpc-gateway"}
"""3.4 and 3.5 do not show it; every call of the tests in test_calls.py shows that it works there."""


def config_of(
    network: Network, data_dir: Path, replicas: int = 1, base: Mapping[str, object] | None = None
) -> EtcdConfig:
    """The config of ``db-0``."""
    identity = Identity(
        namespace="lab", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd",
        domain="cluster.local", start=0, replicas=replicas, ips=(network.fixed(0),),
    )  # fmt: skip
    return EtcdConfig(
        identity=identity, data_dir=str(data_dir), wal_dir="", bind="pod", peer_host=network.peer_host, peer_port=2380,
        client_port=2379, metrics_port=2381, base=baseconfig.check_base(base or {}), limits=Limits(),
    )  # fmt: skip


def birth_of(*pods: str) -> Birth:
    """A birth of these pods."""
    return Birth(token="0123456789abcdef0123456789abcdef", members=dict.fromkeys(pods, "n"))


@pytest.fixture
def db0(start: Callable[..., Etcd], network: Network) -> Callable[[Server], Etcd]:
    """Makes ``db-0``'s server, not started."""
    return lambda server: start(server, "db-0", host=network.fixed(0))


def test_first_permit_forms(every_etcd: Server, db0: Callable[[Server], Etcd], network: Network) -> None:
    """The file of a birth forms the cluster whose id was predicted, with the ids that follow from the token."""
    etcd = db0(every_etcd)
    config = config_of(network, etcd.data_dir)
    etcd.start(config.form_file(birth_of("db-0"), "test"))
    etcd.until_serving()
    assert etcd.ids()[0] == config.predicted_cluster(birth_of("db-0"))


def test_the_users_own_keys_are_in_force(db0: Callable[[Server], Etcd], network: Network) -> None:
    """A key of the base config changes what the server does."""
    etcd = db0(find(VERSIONS[-1]))
    config = config_of(network, etcd.data_dir, base={"max-request-bytes": 64 << 10, "auto-compaction-retention": "1h"})
    etcd.start(config.form_file(birth_of("db-0"), "test"))
    etcd.until_serving()
    etcd.put("small", "x")
    with pytest.raises(OSError, match="HTTP Error 4"):
        etcd.put("large", "x" * (200 << 10))


def test_first_permit_joins(
    every_etcd: Server, start: Callable[..., Etcd], db0: Callable[[Server], Etcd], network: Network
) -> None:
    """The file of a join makes the server the member that was added, whatever the list calls the others."""
    seed = start(every_etcd, "db-1", host=network.fixed(1))
    seed.start()
    seed.until_serving()
    etcd = db0(every_etcd)
    config = config_of(network, etcd.data_dir, replicas=2)
    seed.until(lambda: added(seed, config.peer_url("db-0")), "a learner may be added")
    rows = seed.post("/v3/cluster/member/list", {})["members"]
    members = [
        Member(id=f"{int(row['ID']):x}", name=row.get("name", ""), peer_urls=tuple(row["peerURLs"])) for row in rows
    ]
    own = next(m.id for m in members if m.peer_urls == (config.peer_url("db-0"),))
    etcd.start(config.join_file(members, own, "test"))
    disk = Disk(kind="blank")

    def joined() -> bool:
        nonlocal disk
        disk = datadir.read(etcd.data_dir)
        return disk.kind == "data"

    etcd.until(joined, "it has data")
    assert (disk.cluster, disk.member) == (seed.ids()[0], own)


def added(seed: Etcd, url: str) -> bool:
    """Whether a learner could be added; right after its start a server refuses."""
    try:
        seed.post("/v3/cluster/member/add", {"peerURLs": [url], "isLearner": True})
    except OSError:
        return False
    return True


def test_resume_permit_starts_with_data(every_etcd: Server, db0: Callable[[Server], Etcd], network: Network) -> None:
    """With its data the server starts with the file that names only itself, and keeps its ids."""
    etcd = db0(every_etcd)
    config = config_of(network, etcd.data_dir)
    etcd.start(config.form_file(birth_of("db-0"), "test"))
    etcd.until_serving()
    etcd.put("key", "value")
    before = etcd.ids()
    etcd.kill()
    etcd.start(config.resume_file(datadir.read(etcd.data_dir)))
    etcd.until_serving()
    assert (etcd.ids(), etcd.get("key")) == (before, "value")


def _blank(_: Path, __: Made) -> None:
    return


def _log_gone(data_dir: Path, made: Made) -> None:
    copied(made.young, data_dir)
    damage.log_deleted(data_dir)


def _all_logs_gone(data_dir: Path, made: Made) -> None:
    copied(made.grown, data_dir)
    damage.log_deleted(data_dir)


def _failed_start(data_dir: Path, made: Made) -> None:
    copied(made.blank, data_dir)


@pytest.mark.parametrize("prepare", [_blank, _failed_start, _log_gone, _all_logs_gone])
def test_resume_permit_without_a_log_starts_nothing(
    made: Made, db0: Callable[[Server], Etcd], network: Network, prepare: Callable[[Path, Made], None]
) -> None:
    """Without a log, on a blank disk or beside a database that was kept, the server exits and forms nothing."""
    etcd = db0(made.server)
    prepare(etcd.data_dir, made)
    config = config_of(network, etcd.data_dir, replicas=3)
    etcd.start(config.resume_file(Disk(kind="data", cluster="c", member="m")))
    assert etcd.exit_code() != 0
    assert not list((etcd.data_dir / "member" / "wal").glob("*.wal"))


def test_first_permit_of_three_forms_nothing_alone(
    every_etcd: Server, db0: Callable[[Server], Etcd], network: Network
) -> None:
    """One of three that were born together has no quorum alone, and holds nothing beyond its bootstrap."""
    etcd = db0(every_etcd)
    config = config_of(network, etcd.data_dir, replicas=3)
    etcd.start(config.form_file(birth_of("db-0", "db-1", "db-2"), "test"))
    etcd.until(lambda: datadir.read(etcd.data_dir).kind == "bootstrap", "it has its bootstrap")
    assert datadir.read(etcd.data_dir).cluster == config.predicted_cluster(birth_of("db-0", "db-1", "db-2"))


# --------------------------------------------------------------------- keys


def help_of(version: str) -> str:
    """Every flag of one release."""
    command = [str(find(version).path), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def flags() -> dict[str, set[str]]:
    """Flags by release."""
    words = {version: help_of(version).replace("'", " ").replace("=", " ").split() for version in VERSIONS}
    return {version: {word.lstrip("-") for word in found if word.startswith("--")} for version, found in words.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_key_that_peerboot_writes_is_known(
    version: str, flags: dict[str, set[str]], network: Network, tmp_path: Path
) -> None:
    """etcd ignores unknown keys silently: each of ours is a flag of every release, and none was renamed in 3.7."""
    config = config_of(network, tmp_path)
    text = config.form_file(birth_of("db-0"), "test")
    keys = {line.partition(":")[0] for line in text.splitlines() if not line.startswith("#")}
    assert keys - flags[version] <= (NOT_IN_OLD_HELP if version != VERSIONS[-1] else set())
    assert keys <= set(baseconfig.OWNED)
    assert {key for key in keys if key.startswith(GONE_IN_3_7)} == set()


@pytest.mark.parametrize("key", baseconfig.ALLOWED)
def test_every_key_that_is_allowed_exists(key: str, flags: dict[str, set[str]]) -> None:
    """Each key that a user may set is a flag of one of the releases at least."""
    known = set.union(*flags.values())
    assert key in known


@pytest.mark.parametrize("key", [*baseconfig.OWNED, *baseconfig.UNSAFE])
def test_keys_that_are_refused(key: str) -> None:
    """What peerboot has to know, and what has destroyed clusters, is refused by name."""
    with pytest.raises(SettingsError, match=f"'{key}'"):
        baseconfig.check_base({key: "x"})


def test_a_mistyped_key_names_the_nearest() -> None:
    """etcd would ignore it silently."""
    with pytest.raises(SettingsError, match="did you mean 'snapshot-count'"):
        baseconfig.check_base({"snapshot-counts": 5})
