"""What etcd adds to the manifests. Pure values.

Measured on 3.4.23 and 3.6.16, alike on one member of three without the others and on one with an empty log (killed
during its very first start): the client port accepts and never answers, ``/metrics`` of the metrics listener answers
200 in milliseconds, ``/health`` there 503; ``/livez`` 200 on 3.6, 404 on 3.4 (it came with 3.5.11).
"""

from __future__ import annotations

from peerboot.manifest.server import Port, Server, Use
from peerboot.manifest.writer import why

IMAGE = "etcd:v3.6.16"
"""etcd's own image, by the name that it has in your registry. ``--server-image`` takes any other of 3.4 to 3.7."""
HALF_HOUR = 1800
"""Seconds. Longer than a member with 8 GiB takes to get its first snapshot over a slow network, and longer than the ten
minutes after which the kubelet forgets its back-off."""

LIVENESS = {
    **why(
        "Whether the process answers at all, by the one page that does on every release with or without a quorum "
        "(/livez came with 3.5.11, /health needs a leader). A restart brings no quorum, it only takes a member away."
    ),
    "livenessProbe": {
        "httpGet": {"path": "/metrics", "port": "metrics"},
        "periodSeconds": 15,
        "timeoutSeconds": 10,
        "failureThreshold": 8,
    },
}
PARALLEL = {
    **why(
        "The client port answers once this member has been in a quorum since its start. One that has not for half an "
        "hour is restarted: it does no harm to one that waits for the others, and helps one whose very first start "
        "was cut off: that has an empty log, would hang for ever, and only when it has stopped can peerboot mend it."
    ),
    "startupProbe": {
        "httpGet": {"path": "/version", "port": "client"},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": HALF_HOUR,
    },
    **LIVENESS,
}
ORDERED = {
    **why(
        "The client port answers once this member has been in a quorum since its start, and then without one too. One "
        "that does not for half an hour is restarted: it hangs, or has an empty log of a first start that was cut off."
    ),
    "livenessProbe": {
        "httpGet": {"path": "/version", "port": "client"},
        "periodSeconds": 15,
        "timeoutSeconds": 10,
        "failureThreshold": HALF_HOUR // 15,
    },
    **why("Only that it runs: if this needed a quorum, the second Pod would not be made after an outage of all."),
    "readinessProbe": {
        "httpGet": {"path": "/metrics", "port": "metrics"},
        "periodSeconds": 2,
        "timeoutSeconds": 5,
        "failureThreshold": 5,
    },
}

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
    container={
        **why(
            "Without its file etcd exits at once and is started again with back-off: peerboot gives and takes the "
            "file. Its last lines are shown by `kubectl describe pod`."
        ),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    },
)
