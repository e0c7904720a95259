"""A set forms, as a user applies it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Cluster, Kube, make_namespace
from tests.kubernetes.sets import EtcdSet

FOLDER = Path(__file__).parents[2] / "examples/etcd"
EXAMPLES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
MakeSet = Callable[..., EtcdSet]


def test_three_pods_form_one_cluster(new_set: MakeSet, measure: Measure) -> None:
    """After one Secret and one ``kubectl apply``, three Pods are Ready and are the three voters of one cluster."""
    db = new_set()
    db.apply()
    began = time.monotonic()
    db.wait_ready()
    measure("three Pods Ready after kubectl apply", time.monotonic() - began)
    assert set(db.wait_voters()) == {"etcd-0", "etcd-1", "etcd-2"}
    with db.writer("forms") as writer:
        time.sleep(1)
    assert writer.lost() == set()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_taken_by_the_api(cluster: Cluster, path: Path) -> None:
    """Each file of examples/etcd passes ``kubectl apply --dry-run=server`` where Pod Security is enforced."""
    namespaces = {
        each["metadata"]["namespace"]
        for each in yaml.safe_load_all(path.read_text())
        if each and "namespace" in each["metadata"]
    }
    kube = make_namespace(cluster, min(namespaces, default="examples"))
    done = kube.run("apply", "--dry-run=server", "-f", str(path))
    assert done.stderr == ""


def test_the_kustomization_is_taken_by_the_api(cluster: Cluster) -> None:
    """``kubectl apply -k`` of the folder passes too; it names the namespace ``default``."""
    done = Kube(cluster, "default").run("apply", "--dry-run=server", "-k", str(FOLDER))
    assert done.stderr == ""


@pytest.mark.node
def test_a_cache_of_denials_costs_no_early_question(new_set: MakeSet, measure: Measure) -> None:
    """Where CoreDNS caches for 30 s all that it is asked, too early questions included, the set forms all the same."""
    db = new_set()
    with db.kube.node.corefile("Corefile.cache30"):
        db.apply()
        began = time.monotonic()
        db.wait_ready()
        measure("three Pods Ready with plain `cache 30`", time.monotonic() - began)


@pytest.mark.node
def test_nine_pods_form_and_heal(new_set: MakeSet, measure: Measure) -> None:
    """Nine Pods, whose SRV answer is longer than 512 bytes, form one cluster of nine."""
    db = new_set(replicas=9)
    db.apply()
    began = time.monotonic()
    db.wait_ready(180)
    measure("nine Pods Ready", time.monotonic() - began)
    assert set(db.wait_voters()) == set(db.pods)
    with db.kube.node.dropped(("-p", "tcp", "--dport", "53")):
        # DNS over UDP alone: EDNS makes the whole answer fit.
        began = time.monotonic()
        db.lose_disk(4)
        db.wait_ready(180)
        measure("one of nine lost its disk, TCP/53 closed", time.monotonic() - began)
        assert set(db.wait_voters()) == set(db.pods)
