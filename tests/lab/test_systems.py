"""What a lab makes of each system, below the servers themselves: containers, hosts file, addresses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peerboot.lab import cluster
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.container import Container, Timing
from peerboot.lab.errors import LabError
from peerboot.lab.network import Hosts
from peerboot.lab.pod import Pod, PodSpec
from peerboot.lab.servers import Server
from peerboot.lab.systems import SYSTEMS

ETCD = Server("3.6.0", Path("/opt/etcd"), "nowhere")
KAFKA = Server("4.3.1", Path("/opt/home"), "nowhere", "kafka")
ZONE = "peers.lab.svc.cluster.local"


async def spec_of(root: Path, server: Server, **more: Any) -> tuple[Lab, PodSpec]:
    """A lab, which is over, and what it would have made its first Pod of."""
    lab = Lab(LabSpec(root=root, server=server, **more))
    try:
        await lab.dns.start(lab.network.dns)
        return lab, await lab.pod_spec(0)
    finally:
        await lab.stop()


async def test_the_containers_of_kafka(root: Path) -> None:
    """The server's runs the launch script, with the home and small heaps; peerboot's knows every directory."""
    _, spec = await spec_of(root, KAFKA)
    assert spec.server[-2:] == ("sh", f"{spec.directory}/run/launch.sh")
    assert spec.server_env == {
        "KAFKA_HOME": "/opt/home", "KAFKA_HEAP_OPTS": "-Xms32m -Xmx256m",
        "KAFKA_OPTS": f"-Djdk.net.hosts.file={root}/hosts -Djava.security.properties=/opt/home/config/java.security",
    }  # fmt: skip
    expected = {
        "PEERBOOT_SYSTEM": "kafka", "PEERBOOT_SERVER_BIND": "pod", "PEERBOOT_KAFKA_ROLES": "combined",
        "PEERBOOT_DATA_DIR": f"{root}/volumes/db-0/metadata", "PEERBOOT_KAFKA_LOG_DIRS": f"{root}/volumes/db-0/logs",
        "PEERBOOT_STATE_DIR": f"{root}/volumes/db-0/.peerboot",
    }  # fmt: skip
    assert {name: spec.env[name] for name in expected} == expected
    assert "offsets.topic.num.partitions=1\n" in Path(spec.env["PEERBOOT_BASE_CONFIG_FILE"]).read_text()
    assert [name for name in spec.env if "ETCD" in name] == []


async def test_the_containers_of_etcd(root: Path) -> None:
    """The server's runs the binary with the config file, in no environment of its own."""
    _, spec = await spec_of(root, ETCD)
    assert spec.server[-2:] == ("/opt/etcd", f"--config-file={spec.directory}/run/etcd.yaml")
    assert (spec.server_env, spec.env["PEERBOOT_SYSTEM"]) == ({}, "etcd")
    assert spec.env["PEERBOOT_DATA_DIR"] == f"{root}/volumes/db-0/etcd"
    assert [name for name in spec.env if "KAFKA" in name or "BASE_CONFIG" in name] == []


async def test_what_a_test_sets_wins(root: Path) -> None:
    """Its own settings replace those that the system brings along."""
    _, spec = await spec_of(root, KAFKA, env={"PEERBOOT_KAFKA_ROLES": "controller"})
    assert spec.env["PEERBOOT_KAFKA_ROLES"] == "controller"


@pytest.mark.parametrize(
    ("server", "names", "setting"),
    [(ETCD, False, "PEERBOOT_ETCD_PEER_HOST"), (KAFKA, True, "")],
    ids=["etcd", "kafka"],
)
async def test_without_a_mount_namespace(
    root: Path, monkeypatch: pytest.MonkeyPatch, server: Server, names: bool, setting: str
) -> None:
    """Kafka reads the lab's hosts file all the same and has names; etcd has addresses that stay."""
    monkeypatch.setattr(cluster, "namespace_command", lambda _hosts: None)
    lab, spec = await spec_of(root, server)
    host = lab.network.peer_host
    assert (lab.names, [name for name, value in spec.env.items() if value == host]) == (names, [setting] * (not names))
    assert (spec.address == lab.network.fixed(0)) is not names


async def test_kafka_with_addresses_instead_of_names(root: Path) -> None:
    """Where a scenario wants no names, the servers advertise addresses that stay."""
    lab, spec = await spec_of(root, KAFKA, names=False)
    assert (lab.names, spec.env["PEERBOOT_KAFKA_HOST"]) == (False, lab.network.peer_host)
    assert spec.address == lab.network.fixed(0)


def test_clients_find_the_port_of_the_system(root: Path) -> None:
    """Each system has its own."""
    assert {name: system.client_port for name, system in SYSTEMS.items()} == {
        "etcd": 2379, "kafka": 9092, "postgres": 5432,
    }  # fmt: skip
    assert [name for name, system in SYSTEMS.items() if system.name != name] == []
    assert list(root.iterdir()) == []


def test_blanks_in_the_lab_s_path_are_refused(root: Path) -> None:
    """Kafka's scripts would take one option for two; it is said before a network is taken."""
    with pytest.raises(LabError, match=r"has blanks in it, .*: name another directory$"):
        Lab(LabSpec(root=root / "a b", server=KAFKA))
    assert list(root.iterdir()) == []


async def test_the_service_is_a_name_of_every_published_pod(root: Path) -> None:
    """As in DNS; a Pod that is withdrawn is in none of its names, and a Service of nobody has none."""
    lab = Lab(LabSpec(root=root, server=KAFKA))
    try:
        await lab.dns.start(lab.network.dns)
        empty = lab.hosts.path.read_text()
        specs = [await lab.pod_spec(ordinal) for ordinal in (0, 1)]
        for spec in specs:
            spec.publish()
        both = lab.hosts.path.read_text().splitlines()
        specs[0].withdraw()
        one = lab.hosts.path.read_text().splitlines()
        specs[1].withdraw()
        assert lab.hosts.path.read_text() == empty == "127.0.0.1 localhost\n"
    finally:
        await lab.stop()
    first, second = (spec.address for spec in specs)
    assert both[1:] == [
        f"{first} db-0.{ZONE} db-0", f"{second} db-1.{ZONE} db-1", f"{first} {ZONE}", f"{second} {ZONE}"
    ]  # fmt: skip
    assert one[1:] == [f"{second} db-1.{ZONE} db-1", f"{second} {ZONE}"]


def test_a_reader_finds_no_rest_of_the_former_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is changed in place; before it is cut, its end is empty lines, not the half of an address."""
    hosts = Hosts(tmp_path / "hosts")
    all_nine = [f"127.1.2.{n}" for n in range(9)]
    hosts.write({**{f"db-{n}.{ZONE}": [one] for n, one in enumerate(all_nine)}, ZONE: all_nine})
    seen = []
    cut = os.ftruncate

    def truncate(fd: int, length: int) -> None:
        seen.append(hosts.path.read_text())
        cut(fd, length)

    monkeypatch.setattr(os, "ftruncate", truncate)
    hosts.write({f"db-0.{ZONE}": ["127.1.2.9"], ZONE: ["127.1.2.9"]})
    assert [text.split() for text in seen] == [hosts.path.read_text().split()]
    assert (len(seen[0]) > len(hosts.path.read_text()), hosts.path.read_text().count("\n")) == (True, 3)


async def test_the_server_has_its_environment(root: Path) -> None:
    """What its system gives it, and of the lab's own what every program needs."""
    output = root / "seen"
    spec = PodSpec(
        name="db-0", ordinal=0, uid="u", address="127.0.0.1", volume=root, directory=root, logs=root, env={},
        server=("sh", "-c", f"echo $KAFKA_HOME:$PEERBOOT_SYSTEM >{output}"), server_env={"KAFKA_HOME": "/opt/home"},
        timing=Timing(restart=60),
    )  # fmt: skip
    pod = Pod(spec)
    pod.server.start()
    await until(lambda: pod.server.exits != [])
    await pod.server.stop(0.0)
    assert output.read_text() == "/opt/home:\n"


@pytest.mark.parametrize("killed", [False, True], ids=["exits", "killed"])
async def test_what_a_container_started_ends_with_it(root: Path, killed: bool) -> None:
    """As with the first process of a real one: a format under way does not go on without its script."""
    pid = root / "pid"
    container = Container(
        "server", ("sh", "-c", f"sleep 300 & echo $! >{pid}.new; mv {pid}.new {pid}; {'wait' if killed else 'exit 3'}"),
        {"PATH": os.environ["PATH"]}, root / "log", Timing(restart=60),
    )  # fmt: skip
    container.start()
    await until(pid.exists)
    child = int(pid.read_text())
    if killed:
        assert alive(child)
        await container.stop(0.0)
    await until(lambda: not alive(child))
    await container.stop(0.0)
    assert [ended.code for ended in container.exits] == [-9 if killed else 3]


async def until(true: Callable[[], bool]) -> None:
    """Wait for it, for 20 seconds."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
