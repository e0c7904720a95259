"""What is lost comes back by itself, and nothing that was acknowledged is gone."""

from __future__ import annotations

import time

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.sets import EtcdSet


def test_all_pods_deleted_at_once(etcd: EtcdSet, measure: Measure) -> None:
    """The cluster is the same afterwards: member ids unchanged, every acknowledged write there."""
    ids, old = etcd.wait_voters(), etcd.uids()
    with etcd.writer("all") as writer:
        etcd.delete_pods(*etcd.pods)
        began = time.monotonic()
        etcd.wait_ready(old=old.values())
        took = time.monotonic() - began
        assert etcd.wait_voters() == ids
    assert writer.lost() == set()
    measure("all Pods deleted at once", took, writer.told())


@pytest.mark.parametrize("ordinal", [0, 2])
def test_a_pod_and_its_volume_deleted(etcd: EtcdSet, measure: Measure, ordinal: int) -> None:
    """The Pod joins as a new member, ordinal 0 like any other; the two others keep their ids and go on serving."""
    ids, lost, old = etcd.wait_voters(), etcd.pod(ordinal), etcd.uids()
    with etcd.writer(f"disk{ordinal}") as writer:
        began = time.monotonic()
        etcd.lose_disk(ordinal)
        etcd.wait_ready(old=[old[lost]])
        after = etcd.wait_voters()
        took = time.monotonic() - began
    assert {name: after[name] for name in after if name != lost} == {name: ids[name] for name in ids if name != lost}
    assert after[lost] != ids[lost]
    assert writer.lost() == set()
    measure(f"a Pod and its volume deleted, ordinal {ordinal}", took, writer.told())


def test_rollout_restart_changes_no_member(etcd: EtcdSet, measure: Measure) -> None:
    """``kubectl rollout restart`` replaces every Pod, and no member: ids are what they were."""
    ids, old = etcd.wait_voters(), etcd.uids()
    with etcd.writer("rollout") as writer:
        began = time.monotonic()
        etcd.kube.run("rollout", "restart", f"statefulset/{etcd.name}")
        etcd.wait_ready(180, old=old.values())
        took = time.monotonic() - began
        assert etcd.wait_voters() == ids
    assert writer.lost() == set()
    measure("rollout restart", took, writer.told())


@pytest.mark.node
def test_only_the_server_container_killed(etcd: EtcdSet, measure: Measure) -> None:
    """The kubelet starts etcd again alone, on the permit that stands there; the Pod stays, the member too."""
    ids, pod = etcd.wait_voters(), etcd.pod(1)
    uid = etcd.uid(pod)
    restarts = etcd.kill_container(pod, "etcd")
    began = time.monotonic()

    def again() -> bool | None:
        now = etcd.container(pod, "etcd")
        return True if now["restartCount"] > restarts and now["ready"] else None

    etcd.kube.until("etcd runs again", 60, again)
    took = time.monotonic() - began
    etcd.wait_ready()
    assert (etcd.uid(pod), etcd.wait_voters()) == (uid, ids)
    measure("only the server container killed", took)


def test_a_forced_deletion(etcd: EtcdSet, measure: Measure) -> None:
    """With ``--force`` two Pods of one name share a volume for seconds; the newcomer waits, and the member stays."""
    ids, pod, old = etcd.wait_voters(), etcd.pod(2), etcd.uids()
    with etcd.writer("force") as writer:
        began = time.monotonic()
        etcd.delete_pods(pod, more=["--force", "--grace-period=0"])
        etcd.wait_ready(old=[old[pod]])
        took = time.monotonic() - began
        assert etcd.wait_voters() == ids
    assert writer.lost() == set()
    measure("--force deletion", took, writer.told())


@pytest.mark.node
def test_a_node_reboots(etcd: EtcdSet, measure: Measure) -> None:
    """Everything is killed at once; the members come back as they were, with all that was acknowledged."""
    ids = etcd.wait_voters()
    with etcd.writer("reboot") as writer:
        time.sleep(1)
    began = time.monotonic()
    etcd.kube.node.reboot()

    def answers() -> dict[str, str] | None:
        return ids if etcd.voters() == ids else None

    etcd.kube.until("the same voters answer", 120, answers)
    etcd.wait_ready()
    measure("node reboot, from the power cut", time.monotonic() - began)
    assert etcd.wait_voters() == ids
    assert writer.lost() == set()
