"""What Postgres adds to the manifests. Pure values; ``choices.py`` has what comes of a person's choices."""

from __future__ import annotations

from typing import Any

from peerboot.manifest.server import Mount, Port, Server, Use
from peerboot.manifest.writer import Row, Why, why
from peerboot.systems.postgres.choices import adapted
from peerboot.systems.postgres.settings import DEFAULT_DATA_DIR

IMAGE = "postgres:17.10"
"""The official one. ``--server-image`` takes others made from it, of 15 to 18."""
NEVER = (1 << 31) - 1
"""The largest failureThreshold."""

PROBES: dict[str, Any] = {
    **why(
        "Yes when the port is open, which needs no other Pod. It never ends a wait: `launch.sh` waits for its permit "
        "before there is any server, copies a whole database before its first start, and says for what it waits; a "
        "restart would begin that anew."
    ),
    "startupProbe": {
        "tcpSocket": {"port": "postgres"},
        "periodSeconds": 2,
        "timeoutSeconds": 2,
        "failureThreshold": NEVER,
    },
    **why(
        "Only whether it still takes connections, which it does during recovery too. Who takes the writes, and whether "
        "a standby keeps up, must never end a server: in a partition that would end them all."
    ),
    "livenessProbe": {
        "tcpSocket": {"port": "postgres"},
        "periodSeconds": 15,
        "timeoutSeconds": 10,
        "failureThreshold": 8,
    },
}
ENTRYPOINT = why(
    "In place of the image's own entrypoint, by which each Pod would make a cluster of its own. `launch.sh` is "
    "peerboot's: it makes the first data directory with the image's own tools and first-start files "
    "(docker-entrypoint-initdb.d), copies it for the others, and becomes the server, always as one that copies. Its "
    "last lines are shown by `kubectl describe pod`."
)
ENVIRONMENT = [
    Why("For the first start alone: the superuser postgres, whose password is in the Secret."),
    Row(name="POSTGRES_PASSWORD_FILE", value="/etc/postgres-superuser/postgres"),
    Why(
        "The same. Checksums of every page, which Postgres has by default from 18 on; a password also by TCP within "
        "the Pod. By the socket there is none, for `kubectl exec` and for the image's own first-start files."
    ),
    Row(name="POSTGRES_INITDB_ARGS", value="--data-checksums --auth-host=scram-sha-256"),
]
SCRATCH = (
    Mount(
        "sockets",
        "/var/run/postgresql",
        {"emptyDir": Row(medium="Memory", sizeLimit="1Mi")},
        "The server's socket, for `kubectl exec POD -- psql`.",
        written=True,
    ),
    Mount(
        "shared",
        "/dev/shm",  # noqa: S108 - of the container
        {"emptyDir": Row(medium="Memory", sizeLimit="256Mi")},
        "For queries that work in parallel. A container has 64 MiB there otherwise, and they fail beyond that. It is "
        "part of the memory limit.",
        written=True,
    ),
)
STORAGE = (
    "For the database, its log (512 MB are always kept, and up to 2 GB more for a standby that is away), and a second "
    "copy of all: when a person has a Pod copied anew, what it had is set aside first and kept until you delete it. A "
    "server whose volume is full stops. It can grow later, claim by claim (`kubectl edit pvc`), where its class allows "
    "that; a StatefulSet's own template cannot be changed."
)
ACCESS = (
    "Two servers on one volume destroy it, and Postgres does not notice one in another Pod. This mode keeps a second "
    "Pod out also where somebody deleted the first by force. It takes a CSI driver and Kubernetes 1.29; where a claim "
    "stays Pending because the driver does not know it, use --access-mode ReadWriteOnce, which keeps out other nodes "
    "only, and never delete a Pod by force."
)
GRACE = (
    "A server that is stopped ends its clients' transactions, sends the standbys what they lack, and writes a "
    "checkpoint, which takes longer the more memory it has; one that is killed reads its log through at its start. The "
    "image says that it is stopped by SIGINT; by SIGTERM it would wait for its clients to go."
)
HELP = """\
For postgres:
  --tls-secret      keys tls.crt, tls.key and ca.crt, for the servers
  --users-secret    keys postgres (the superuser's password) and peerboot (that of the role by which
                    standbys copy and peerboot asks); NAME-users without this option
  --base-config     key postgresql.conf
  --promote         whose server may take the writes without a person's word, once all Pods agree:
                    last-primary, which is the default, best-when-full, or manual
  --synchronous     0, which is the default: a commit waits for no standby"""

SERVER = Server(
    name="postgres",
    image=IMAGE,
    command=("sh", "/run/peerboot/launch.sh"),
    user=999,
    volume=DEFAULT_DATA_DIR.rpartition("/")[0],
    data_dir=DEFAULT_DATA_DIR,
    ports=(Port("postgres", 5432, "clients", named=True),),
    use=Use(
        why="Measured: 46 MiB with little in it, page cache included. It is for Postgres' defaults (shared_buffers 128 "
        "MB, 100 connections); where you set more, a limit of four times the shared_buffers is a beginning.",
        cpu="100m",
        memory="256Mi",
        memory_limit="1Gi",
        guaranteed_cpu="1",
    ),
    parallel=PROBES,
    not_ordered=(
        "its servers agree who takes the writes when all Pods are heard, and with OrderedReady one is made only when "
        "those before it are ready: drop it, all Pods are made at once"
    ),
    ready=(
        "By the server's own word, as peerboot last heard it: it takes the writes, or copies the one that does, on the "
        "same timeline. pg_isready says yes of any server that takes connections, also of one that copies nobody or "
        "that went another way. The port is peerboot's."
    ),
    client_suffix="-read",
    roles=True,
    grace=120,
    grace_why=GRACE,
    writes_output=True,
    tmp="64Mi",
    storage_why=STORAGE,
    access="ReadWriteOncePod",
    access_why=ACCESS,
    own_mounts=SCRATCH,
    takes=("--tls-secret", "--users-secret", "--base-config", "--promote", "--synchronous"),
    adapt=adapted,
    container={**ENTRYPOINT, "terminationMessagePolicy": "FallbackToLogsOnError", "env": ENVIRONMENT},
    example=(
        "peerboot manifest postgres --namespace shop --tls-secret postgres-tls --synchronous 1 | kubectl apply -f -"
    ),
    help=HELP,
    votes=False,
)
