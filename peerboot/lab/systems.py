"""What differs between the systems that a lab runs: one small value for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from peerboot.lab.errors import LabError
from peerboot.lab.servers import Server
from peerboot.outside.files import write_whole


class LabSystem(Protocol):
    """What the lab must know of a system."""

    name: str
    """For PEERBOOT_SYSTEM."""
    data: str
    """Name of the server's data directory on the volume."""
    client_port: int
    host_setting: str
    """The setting that puts addresses into the servers' files, where they should know no names."""
    reads_hosts: bool
    """Whether its servers can be told to read the lab's hosts file, so that no mount namespace is needed."""

    def command(self, server: Server, output: Path) -> tuple[str, ...]:
        """The server container's command; peerboot writes into ``output``."""
        ...

    def server_env(self, server: Server, hosts: Path) -> Mapping[str, str]:
        """Further environment of the server's container. Raises ``LabError``."""
        ...

    def env(self, volume: Path) -> Mapping[str, str]:
        """Further environment of peerboot's container."""
        ...


class Etcd:
    """Its config file is the permit."""

    name = data = "etcd"
    client_port = 2379
    host_setting = "PEERBOOT_ETCD_PEER_HOST"
    reads_hosts = False

    def command(self, server: Server, output: Path) -> tuple[str, ...]:
        return str(server.path), f"--config-file={output}/etcd.yaml"

    def server_env(self, server: Server, hosts: Path) -> Mapping[str, str]:  # noqa: ARG002 - it needs none
        return {}

    def env(self, volume: Path) -> Mapping[str, str]:  # noqa: ARG002 - it needs none
        return {}


class Kafka:
    """A script waits for the permit. Each server is broker and controller, and takes some 150 MiB."""

    name = "kafka"
    data = "metadata"
    client_port = 9092
    host_setting = "PEERBOOT_KAFKA_HOST"
    reads_hosts = True

    def command(self, server: Server, output: Path) -> tuple[str, ...]:  # noqa: ARG002 - it is in the environment
        return "sh", f"{output}/launch.sh"

    def server_env(self, server: Server, hosts: Path) -> Mapping[str, str]:
        # A JVM with this option resolves by that file and nothing else, reads it at each look-up (JDK 17) and finds
        # every line of a name.
        names = f"-Djdk.net.hosts.file={hosts}"
        ages = f"-Djava.security.properties={server.path}/config/java.security"
        if len(f"{names} {ages}".split()) > 2:
            # The scripts of Kafka split KAFKA_OPTS at blanks and know no quotes.
            raise LabError(f"{hosts.parent} or {server.path} has blanks in it, which Kafka takes for two options: "
                           "name another directory")  # fmt: skip
        return {
            "KAFKA_HOME": str(server.path),
            "KAFKA_HEAP_OPTS": "-Xms32m -Xmx256m",
            "KAFKA_OPTS": f"{names} {ages}",
        }

    def env(self, volume: Path) -> Mapping[str, str]:
        return {
            "PEERBOOT_KAFKA_ROLES": "combined",
            "PEERBOOT_KAFKA_LOG_DIRS": str(volume / "logs"),
            "PEERBOOT_BASE_CONFIG_FILE": str(Path(__file__).parent / "kafka" / "base.properties"),
        }


class Postgres:
    """A script waits for the permit. One of them takes the writes, the others copy it."""

    name = "postgres"
    data = "pgdata"
    client_port = 5432
    host_setting = "PEERBOOT_POSTGRES_HOST"
    reads_hosts = False

    def command(self, server: Server, output: Path) -> tuple[str, ...]:  # noqa: ARG002 - it is in the environment
        from peerboot.lab.postgres import NEVER_ROOT

        return "sh", "-c", NEVER_ROOT, "sh", "sh", f"{output}/launch.sh"

    def server_env(self, server: Server, hosts: Path) -> Mapping[str, str]:  # noqa: ARG002 - hosts are mounted
        from peerboot.lab.postgres import SUPERUSER_PASSWORD, as_user

        as_user()
        path = f"{server.path}/bin:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "LANG": "C.UTF-8", "POSTGRES_PASSWORD": SUPERUSER_PASSWORD}

    def env(self, volume: Path) -> Mapping[str, str]:
        password = volume.parent.parent / "secrets" / "postgres"
        if not password.exists():
            write_whole(password, b"a password of the lab\n", 0o600)
        return {
            "PEERBOOT_POSTGRES_PASSWORD_FILE": str(password),
            "PEERBOOT_BASE_CONFIG_FILE": str(Path(__file__).parent / "pg" / "base.conf"),
        }


SYSTEMS: Mapping[str, LabSystem] = {"etcd": Etcd(), "kafka": Kafka(), "postgres": Postgres()}
