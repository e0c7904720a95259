"""A set that people made by hand, OrderedReady and without peerboot, is taken over in real Pods (docs/adoption.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.conftest import TAG, Measure
from tests.kubernetes.kube import Cluster, Kube, Object
from tests.kubernetes.node import script
from tests.kubernetes.sets import EtcdSet, manifest, pod_spec
from tools import image

pytestmark = pytest.mark.node
ROOT = Path(__file__).parents[2]
LONG = 180
SETTINGS = "auto-compaction-retention: '1'\nquota-backend-bytes: 4294967296\n"


@pytest.fixture(scope="session")
def shell_image(cluster: Cluster) -> str:
    """etcd's image with a shell, for a set that is started by a script."""
    assert cluster.node is not None
    with image.alone():
        name = image.build_etcd(image.LOCAL_BASE, f"{TAG}-shell")
        script("image", str(image.export(name)))
    return name


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kube]:
    """A namespace as most are: it enforces nothing."""
    made = Kube(cluster, f"adopt-{time.monotonic_ns() % 100_000_000}")
    made.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}}])
    yield made
    made.run("delete", "namespace", made.namespace, "--wait=false", check=False)


def by_hand(kube: Kube, server_image: str) -> EtcdSet:
    """The example, applied, with three voters."""
    objects: list[Object] = [*yaml.safe_load_all((ROOT / "examples/etcd-adopt/before.yaml").read_text())]
    container = objects[-1]["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": server_image, "imagePullPolicy": kube.cluster.pull_policy}
    db = EtcdSet(kube, objects, "etcd", "etcd", "etcd-client", 3, "etcd-census")
    for ordinal in range(3):
        kube.volume(db.claim(ordinal))
    kube.apply(objects)
    db.wait_ready()
    return db


def test_a_set_made_by_hand(cluster: Cluster, kube: Kube, shell_image: str, measure: Measure, tmp_path: Path) -> None:
    """Made anew around its Pods, as Parallel; then peerboot looks, then it manages, Pod by Pod, while a client writes.
    The members stay, a disk that is lost midway joins, and no acknowledged write is missing.
    """
    db = by_hand(kube, shell_image)
    before, pods = db.wait_voters(), db.uids()
    old = tmp_path / "old.json"
    old.write_text(kube.out("get", "statefulset", "etcd", "-o", "json"))
    taken = ("--take-over", str(old))
    with db.writer("adopt") as writer:
        db.write_secret(db.keys)
        kube.run("delete", "statefulset", "etcd", "--cascade=orphan")
        found = '{"spec":{"publishNotReadyAddresses":true,"ports":[{"name":"peerboot","port":7070,"targetPort":7070}]}}'
        kube.run("patch", "service", "etcd", "-p", found)
        began = time.monotonic()
        _apply(kube, manifest(cluster, *taken, "--observe"))
        kube.until("the Pods are the new set's", 30, lambda: _owned(kube, db))
        assert db.uids() == pods

        _change_down_to(kube, 0)
        db.wait_ready(LONG, old=pods.values())
        assert db.wait_voters() == before
        measure("etcd: three Pods that peerboot only looks at, by hand before", time.monotonic() - began)
        for pod in db.pods:
            assert "idle (peer-url-differs)" in kube.exec(pod, "peerboot", "plan")
            assert "default.etcd" in kube.exec(pod, "ls", "-A", "/var/lib/etcd", container="server")
            assert ".peerboot" not in kube.exec(pod, "ls", "-A", "/var/lib/etcd", container="server")

        looked_at = db.uids()
        kube.run("create", "configmap", "etcd-base", f"--from-literal=etcd.yaml={SETTINGS}")
        _apply(kube, manifest(cluster, *taken, "--base-config=etcd-base"))
        began = time.monotonic()
        _change_down_to(kube, 2)
        db.wait_ready(LONG, old=[looked_at[db.pod(2)]])
        assert db.wait_voters() == before
        assert [db.uids()[pod] == looked_at[pod] for pod in db.pods] == [True, True, False]
        managed = db.uids()
        db.lose_disk(2)
        db.wait_ready(LONG, old=[managed[db.pod(2)]])
        joined = db.wait_voters()
        assert [joined[pod] == before[pod] for pod in db.pods] == [True, True, False]
        _change_down_to(kube, 0)
        db.wait_ready(LONG, old=[looked_at[pod] for pod in db.pods[:2]])
        after = db.wait_voters()
        measure("etcd: the same Pods managed, with a disk lost midway", time.monotonic() - began)
        assert after == joined
        kube.until("each peer URL is the Pod's whole name", 30, lambda: _whole_names(kube, db))
    assert writer.lost() == set()
    made = kube.get("statefulset", "etcd")
    assert made is not None
    assert made["spec"]["podManagementPolicy"] == "Parallel"


def _apply(kube: Kube, objects: list[Object]) -> None:
    spec = pod_spec(objects)
    for container in (*spec["initContainers"], *spec["containers"]):
        container["imagePullPolicy"] = kube.cluster.pull_policy
    kube.apply(objects)


def _owned(kube: Kube, db: EtcdSet) -> bool | None:
    found = kube.get("statefulset", "etcd")
    assert found is not None
    owners = [ref["uid"] for pod in db.pods for ref in (db.state(pod) or {})["metadata"].get("ownerReferences", ())]
    return True if owners == [found["metadata"]["uid"]] * 3 else None


def _change_down_to(kube: Kube, partition: int) -> None:
    wanted = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}}
    kube.run("patch", "statefulset", "etcd", "-p", json.dumps(wanted))


def _whole_names(kube: Kube, db: EtcdSet) -> bool | None:
    urls = [url for member in db.members().values() for url in member["peerURLs"]]
    zone = f"etcd.{kube.namespace}.svc.cluster.local:2380"
    return True if sorted(urls) == [f"http://{pod}.{zone}" for pod in db.pods] else None
