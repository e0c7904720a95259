"""What etcd adds to the manifests. Pure values."""

from __future__ import annotations

from peerboot.manifest.server import Port, Server, Use
from peerboot.manifest.writer import why
from peerboot.systems.etcd.choices import adapted
from peerboot.systems.etcd.probes import ORDERED, PARALLEL

IMAGE = "etcd:v3.6.16"
"""etcd's own image, by the name that it has in your registry. ``--server-image`` takes any other of 3.4 to 3.7."""
SERVER = Server(
    name="etcd",
    image=IMAGE,
    command=("etcd", "--config-file=/run/peerboot/etcd.yaml"),
    user=65532,
    volume="/data",
    data_dir="/data/etcd",
    ports=(
        Port("client", 2379, "clients"),
        Port("peer", 2380, "peers"),
        Port("metrics", 2381, "scrapers"),
    ),
    use=Use(
        why="Measured: 33 MiB with an empty database; the rest is for keys and for the file of 2 GiB that etcd maps.",
        cpu="100m",
        memory="256Mi",
        memory_limit="2Gi",
        guaranteed_cpu="1",
    ),
    storage_why=(
        "For the database, at most 2 GiB unless your quota-backend-bytes says more, once more while it is "
        "defragmented, and a log and snapshots of some hundred MiB. What was set aside when a disk became another one "
        "is kept here too, until you delete it. Fast disks count more than large ones: each write waits for one. It "
        "can grow later, claim by claim (`kubectl edit pvc`), where its class allows that; a StatefulSet's own "
        "template cannot be changed."
    ),
    parallel=PARALLEL,
    ordered=ORDERED,
    takes=("--tls-secret", "--tls", "--users-secret", "--base-config", "--take-over"),
    adapt=adapted,
    help=(
        "--tls-secret encrypts and verifies members and clients. --users-secret has the password of etcd's user root,\n"
        "where etcd asks for one."
    ),
    container={
        **why(
            "Without its file etcd exits at once and is started again with back-off: peerboot gives and takes the "
            "file. Its last lines are shown by `kubectl describe pod`."
        ),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    },
)
