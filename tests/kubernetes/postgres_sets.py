"""A StatefulSet of Postgres as a user applies it, what its servers say, and a client that misses nothing."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass, field
from itertools import pairwise

from tests.kubernetes.kube import Cluster, Kube, KubeError, Object, make_namespace
from tests.kubernetes.sets import Edit, PodSet, manifest, set_of

WRITER = "writer"
SUPERUSER = "postgres"
PAUSED = "/tmp/paused"  # noqa: S108 - of a container
STREAMS = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming' ORDER BY 1"


@dataclass
class PostgresSet(PodSet):
    """One server takes the writes, the others copy it."""

    passwords: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_urlsafe(18) for name in (SUPERUSER, "peerboot")}
    )

    @property
    def users(self) -> str:
        """The Secret of the passwords."""
        return f"{self.name}-users"

    def apply(self, *, volumes: int | None = None) -> None:
        """As a user does: both Secrets, then everything else."""
        data = {name: base64.b64encode(word.encode()).decode() for name, word in self.passwords.items()}
        self.kube.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.users}, "data": data}])
        super().apply(volumes=volumes)

    # ---------------------------------------------------------------- seen

    def sql(self, pod: str, statement: str) -> str:
        """What a server answers, by its socket, as ``kubectl exec POD -- psql`` reaches it."""
        return self.kube.exec(
            pod, "psql", "-XAtq", "-U", SUPERUSER, "-d", "postgres", "-c", statement, container="postgres"
        ).strip()

    def writes(self, pod: str) -> bool:
        """Whether that server takes writes."""
        return self.sql(pod, "SELECT pg_is_in_recovery()") == "f"

    def primary(self) -> str:
        """The one server that takes writes."""
        found = self.writers()
        if len(found) != 1:
            raise KubeError(f"{found} take writes")
        return found[0]

    def writers(self) -> list[str]:
        """Every server that does."""
        return [pod for pod in self.pods if self.writes(pod)]

    def timeline(self, pod: str) -> int:
        """Of the server that takes the writes."""
        return int(self.sql(pod, "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"))

    def identifiers(self) -> set[str]:
        """System identifiers of all servers."""
        return {self.sql(pod, "SELECT system_identifier FROM pg_control_system()") for pod in self.pods}

    def wait_streaming(self, seconds: float = 60) -> str:
        """Until one takes the writes and all others copy it; that one."""

        def look() -> str | None:
            primary = self.primary()
            copies = self.sql(primary, STREAMS).split()
            others = sorted(pod.replace("-", "_") for pod in self.pods if pod != primary)
            return primary if copies == others else None

        return self.kube.until("one takes the writes and all others copy it", seconds, look)

    # -------------------------------------------------------------- a person

    def promote(self, pod: str) -> str:
        """What a person types, once it is the question; what is said then."""
        command = ("peerboot", "postgres", "promote")

        def said() -> str:
            return self.kube.exec(pod, *command, "--yes")

        return self.kube.until(f"{pod} can be promoted", 60, said)

    def switch_over(self, pod: str) -> str:
        """The same for a server that takes over from the one that takes the writes."""

        def said() -> str:
            return self.kube.exec(pod, "peerboot", "postgres", "switchover", "--yes")

        return self.kube.until(f"{pod} can take over", 60, said)


@dataclass
class Client:
    """psql in its own Pod, by the connection string of the manifest's comment. Each write has a connection of its own
    and is tried once; its log tells each.
    """

    postgres: PostgresSet
    acknowledged: set[int] = field(default_factory=set)
    told: str = ""
    """Of the writes since the last look, for the table at the end of the run."""
    _looked_at: int = 0

    @property
    def kube(self) -> Kube:
        """Where it runs."""
        return self.postgres.kube

    @property
    def hosts(self) -> str:
        """The part of a connection string that finds the server that takes the writes."""
        (service,) = [each for each in self.postgres.objects if each["metadata"]["name"] == self.postgres.client]
        assert service["kind"] == "Service"
        hosts = ",".join(f"{pod}.{self.postgres.peers}" for pod in self.postgres.pods)
        return f"host={hosts} target_session_attrs=read-write"

    def start(self) -> None:
        """Make the table and begin; one write is acknowledged at the end."""
        script = """
set -e
psql -Xq "$CONN" -c 'CREATE TABLE told (number bigint PRIMARY KEY)'
number=0
while :; do
    number=$((number + 1))
    if timeout 10 psql -Xq "$CONN" -c "INSERT INTO told VALUES ($number)"; then
        echo "told $number $(date +%s.%N)"
    else
        echo "failed $number"
    fi
    while [ -e /tmp/paused ]; do sleep 0.1; done
    sleep 0.05
done
"""
        self.kube.apply([self._pod(script)])
        self.grows()

    def _last(self) -> int:
        seen = re.findall(r"^told (\d+) ", self.kube.logs(WRITER, "tool", "--tail=200"), re.MULTILINE)
        return max(map(int, seen), default=0)

    def grows(self, seconds: float = 60) -> None:
        """A write that was begun after this call is acknowledged."""
        goal = self._last() + 2
        self.kube.until("more writes are acknowledged", seconds, lambda: True if self._last() >= goal else None)

    def pause(self) -> None:
        """Nothing is written until ``resume``; what was acknowledged has reached every standby."""
        self.kube.exec(WRITER, "touch", PAUSED, container="tool")
        primary, last = self.postgres.primary(), -1

        def still() -> bool | None:
            nonlocal last
            before, last = last, self._last()
            behind = self.postgres.sql(
                primary, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()"
            )
            return True if before == last and behind == "0" else None

        self.kube.until("the client rests and all standbys have caught up", 30, still)

    def resume(self) -> None:
        """Go on; a write is acknowledged at the end."""
        self.kube.exec(WRITER, "rm", "-f", PAUSED, container="tool")
        self.grows()

    def lost(self) -> set[int]:
        """Acknowledged writes that are not there; empty is right."""
        log = self.kube.logs(WRITER, "tool")
        rows = [(int(number), float(at)) for number, at in re.findall(r"^told (\d+) (\S+)$", log, re.MULTILINE)]
        assert rows[0][0] <= 1 + log.partition("told 1")[0].count("failed "), "the beginning of the log is gone"
        self.acknowledged = {number for number, _ in rows}
        since, self._looked_at = [row for row in rows if row[0] >= self._looked_at], rows[-1][0]
        gap = max((after - before for (_, before), (_, after) in pairwise(since)), default=0.0)
        self.told = f"{len(since)} writes, longest gap {gap:.1f} s"
        found = self.postgres.sql(self.postgres.primary(), "SELECT number FROM told")
        return self.acknowledged - set(map(int, found.split()))

    def _pod(self, script: str) -> Object:
        """Under Pod Security ``restricted``."""
        password = {"secretKeyRef": {"name": self.postgres.users, "key": SUPERUSER}}
        confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        connection = f"{self.hosts} user={SUPERUSER} dbname=postgres connect_timeout=3"
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": WRITER},
            "spec": {
                "restartPolicy": "OnFailure",
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 1,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 999,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "tool",
                        "image": self.kube.cluster.postgres_image,
                        "imagePullPolicy": self.kube.cluster.pull_policy,
                        "command": ["sh", "-c", script],
                        "env": [
                            {"name": "CONN", "value": connection},
                            {"name": "PGPASSWORD", "valueFrom": password},
                        ],
                        "securityContext": confined,
                    }
                ],
            },
        }


def make_postgres(cluster: Cluster, namespace: str, *options: str, edit: Edit = lambda _: None) -> PostgresSet:
    """A set in a new namespace, not yet applied."""
    objects = manifest(cluster, *options, system="postgres")
    return set_of(PostgresSet, make_namespace(cluster, namespace), objects, edit)
