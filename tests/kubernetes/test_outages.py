"""What fails around a healthy set leaves it alone."""

from __future__ import annotations

import time

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Object
from tests.kubernetes.sets import EtcdSet, is_ready, new_key
from tests.kubernetes.writer import Writer

OUTAGE = 120


def _restarts(etcd: EtcdSet) -> dict[str, int]:
    def count(pod: Object) -> int:
        status = pod["status"]
        return sum(
            each["restartCount"] for each in (*status["containerStatuses"], *status.get("initContainerStatuses", ()))
        )

    return {name: count(pod) for name in etcd.pods if (pod := etcd.state(name)) is not None}


@pytest.mark.node
def test_dns_is_stopped_and_a_pod_deleted_meanwhile(etcd: EtcdSet, measure: Measure) -> None:
    """Without CoreDNS for two minutes a healthy set goes on; a Pod that is replaced then has its data, and starts."""
    ids, pod, old = etcd.wait_voters(), etcd.pod(1), etcd.uids()
    others = [name for name in etcd.pods if name != pod]
    with etcd.writer("dns") as writer:
        with etcd.kube.node.without_dns():
            end = time.monotonic() + OUTAGE
            etcd.delete_pods(pod)
            unready = set[str]()

            def running() -> bool | None:
                state = etcd.state(pod)
                statuses = state["status"].get("containerStatuses", ()) if state else ()
                fresh = state is not None and state["metadata"]["uid"] != old[pod]
                return True if fresh and any("running" in each["state"] for each in statuses) else None

            began = time.monotonic()
            etcd.kube.until("the new Pod's etcd runs without DNS", 60, running)
            measure("a Pod with data starts while DNS is down", time.monotonic() - began)
            while time.monotonic() < end:
                unready |= {name for name in others if not is_ready(etcd.state(name) or {})}
                time.sleep(2)
        began = time.monotonic()
        etcd.wait_ready(old=[old[pod]])
        measure("Ready after CoreDNS is back", time.monotonic() - began)
        assert etcd.wait_voters() == ids
    assert unready == set()
    assert writer.lost() == set()
    measure("(CoreDNS stopped)", OUTAGE, writer.told())


@pytest.mark.node
def test_the_api_server_stands_still(etcd: EtcdSet, measure: Measure) -> None:
    """With the API server frozen for two minutes writes go on, no container restarts, and no member changes."""
    ids, restarts = etcd.wait_voters(), _restarts(etcd)
    with etcd.writer("api") as writer:
        before = etcd.kube.until("the Service leads to these Pods alone", 60, lambda: _without_errors(writer))
        with etcd.kube.node.frozen("kube-apiserver"):
            time.sleep(OUTAGE)
            during = writer.told()
        began = time.monotonic()
        etcd.wait_ready()
        took = time.monotonic() - began
    assert etcd.wait_voters() == ids
    assert _restarts(etcd) == restarts
    assert (writer.errors[before:], writer.lost()) == ([], set())
    measure("Ready after the API server is back", took, during)


def _without_errors(writer: Writer) -> int | None:
    """How many errors there were, once some seconds go by without: a Pod that the test before replaced may still be an
    endpoint of the Service, and while the API server stands still it would stay one.
    """
    count = len(writer.errors)
    time.sleep(3)
    return count if len(writer.errors) == count else None


@pytest.mark.node
def test_a_partition_heals(etcd: EtcdSet, measure: Measure) -> None:
    """A Pod that is cut off from the others is not removed, and is a member like before when it is back."""
    ids, pod = etcd.wait_voters(), etcd.pod(0)
    state = etcd.state(pod)
    assert state is not None
    ip = state["status"]["podIP"]
    others = [other["status"]["podIP"] for name in etcd.pods if name != pod and (other := etcd.state(name))]
    rules = [rule for other in others for rule in (("-s", ip, "-d", other), ("-s", other, "-d", ip))]
    with etcd.kube.node.dropped(*rules):
        time.sleep(40)
        healthy = etcd.gateway(etcd.pod(1))
        assert {row["name"]: id_ for id_, row in healthy.members().items()} == ids
    began = time.monotonic()
    etcd.wait_ready()
    assert etcd.wait_voters() == ids
    measure("a partition heals", time.monotonic() - began)


@pytest.mark.node
def test_tcp_53_is_closed(etcd: EtcdSet, measure: Measure) -> None:
    """With DNS over UDP alone a Pod that lost its disk finds its peers and joins."""
    ids, old = etcd.wait_voters(), etcd.uids()
    with etcd.kube.node.dropped(("-p", "tcp", "--dport", "53")):
        began = time.monotonic()
        etcd.lose_disk(1)
        etcd.wait_ready(old=[old[etcd.pod(1)]])
        after = etcd.wait_voters()
        measure("a disk lost with TCP/53 closed", time.monotonic() - began)
    assert {name: after[name] == ids[name] for name in ids} == {"etcd-0": True, "etcd-1": False, "etcd-2": True}


def test_a_secret_is_rotated_in_three_steps(etcd: EtcdSet, measure: Measure) -> None:
    """Added second, made first, the old one dropped: at every step each Pod still hears all others, and stays Ready."""
    old, new = etcd.keys[0], new_key()
    restarts, began = _restarts(etcd), time.monotonic()
    for step in ([old, new], [new, old], [new]):
        etcd.write_secret(step)
        wanted = "".join(f"{key}\n" for key in step)

        def mounted(wanted: str = wanted) -> bool | None:
            read = "print(open('/secret/census').read(), end='')"
            shown = [etcd.kube.exec(pod, "python3", "-c", read) for pod in etcd.pods]
            return True if shown == [wanted] * 3 else None

        etcd.look_at_secrets()
        etcd.kube.until("every Pod has the keys", 150, mounted)
        etcd.kube.until("every Pod hears all", 30, lambda: True if _all_heard(etcd) else None)
    measure("a secret rotated in three steps", time.monotonic() - began)
    etcd.wait_ready()
    assert _restarts(etcd) == restarts


def _all_heard(etcd: EtcdSet) -> bool:
    shown = etcd.kube.exec(etcd.pod(0), "peerboot", "status")
    return "key differs" not in shown and all(pod in shown for pod in etcd.pods)
