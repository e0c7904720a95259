"""What a person sees of a set that serves, and of one that waits for what only a person can bring back."""

from __future__ import annotations

from collections.abc import Callable

from tests.kubernetes.kube import Object
from tests.kubernetes.pages import seen
from tests.kubernetes.sets import EtcdSet, find

MakeSet = Callable[..., EtcdSet]


def test_a_set_that_serves_and_loses_two_disks(new_set: MakeSet) -> None:
    """The first minute's log, the Pods, the table, the last decisions. Then quorum is gone for ever: the blank Pods say
    what a person has to do, and the third has its data.
    """
    db = new_set()
    db.apply()
    db.wait_ready()
    pod = db.pod(0)
    seen(db, "log-first-minute", f"logs {pod} -c peerboot", r"form/born.*idle/serving")
    seen(db, "get-pods", "get pods", r"2/2 +Running")
    seen(db, "status", f"exec {pod} -c peerboot -- peerboot status", r"MEMBER.*serving")
    seen(db, "explain", f"exec {pod} -c peerboot -- peerboot explain", r"serving")
    db.lose_disk(1, 2)
    cause = r"A quorum needs 2 disks with its data.*only etcd-0 has any"
    seen(db, "describe-quorum-lost", f"describe pod {db.pod(1)}", rf"Unhealthy.*{cause}", 120)
    seen(db, "status-quorum-lost", f"exec {db.pod(1)} -c peerboot -- peerboot status", cause)


def test_one_pod_is_missing(new_set: MakeSet) -> None:
    """A Pod that does not come: the others name it, in events and in the table."""

    def fewer(objects: list[Object]) -> None:
        find(objects, "StatefulSet")["spec"]["replicas"] = 2

    db = new_set(edit=fewer)
    db.apply()
    pod = db.pod(0)
    missing = r"Not heard: etcd-2 \(not in DNS\)"
    seen(db, "describe-wait-missing", f"describe pod {pod}", rf"Unhealthy.*wait \(wait-for-all\).*{missing}")
    seen(db, "status-wait-missing", f"exec {pod} -c peerboot -- peerboot status", missing)
