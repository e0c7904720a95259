"""The other variants of the manifests form and heal as the default does, on the same node."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Object
from tests.kubernetes.sets import EtcdSet, find, pod_spec

MakeSet = Callable[..., EtcdSet]


def smaller(objects: list[Object]) -> None:
    """Whole processors, as --guaranteed asks for, are more than the node has for three Pods."""
    spec = pod_spec(objects)
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        for amounts in container["resources"].values():
            if "cpu" in amounts:
                amounts["cpu"] = "200m"


def test_ordered_ready_deleted_with_its_anchor_and_made_again(new_set: MakeSet, measure: Measure) -> None:
    """As ``kubectl delete -f`` and ``apply`` do it, and the disk of ordinal 0 is lost meanwhile. It is blank, alone and
    the anchor is empty, as on the first day; but the claim of ordinal 1 exists: it waits and says what to do. Done,
    the others come with their data, and it joins them.
    """
    db = new_set("--ordered-ready")
    db.apply()
    db.wait_ready(150)
    ids = db.wait_voters()
    with db.writer("ordered") as writer:
        time.sleep(1)
    db.kube.run("delete", "statefulset", db.name, "--wait=true", seconds=90)
    db.kube.until("all Pods are gone", 90, lambda: True if not db.uids() else None)
    db.kube.run("delete", "configmap", f"{db.name}-anchor")
    db.lose_disk(0, recreate=False)
    db.kube.apply(db.objects)
    said = r"data-etcd-1 exists.*`kubectl --namespace \S+ (delete statefulset etcd --cascade=orphan)`"
    found = db.kube.until("it says so", 60, lambda: re.search(said, db.kube.logs(db.pod(0))))
    assert (db.ready(), list(db.uids())) == (None, [db.pod(0)])
    db.kube.run(*found[1].split())
    find(db.objects, "StatefulSet")["spec"]["podManagementPolicy"] = "Parallel"
    began = time.monotonic()
    db.kube.apply(db.objects)
    db.wait_ready(150)
    after = db.wait_voters()
    measure("--ordered-ready made again without its anchor and a disk: once it is Parallel", time.monotonic() - began)
    assert [ids[name] == after[name] for name in db.pods] == [False, True, True]
    assert writer.lost() == set()


@pytest.mark.parametrize("option", ["--plain-sidecar", "--ordered-ready", "--no-rbac", "--guaranteed", "--events"])
def test_a_variant_forms_and_a_lost_disk_joins(new_set: MakeSet, measure: Measure, option: str) -> None:
    """Three voters, and a Pod that lost its disk becomes a new member while the others keep their ids."""
    db = new_set(option, edit=smaller)
    db.apply()
    began = time.monotonic()
    db.wait_ready(150)
    measure(f"three Pods Ready, {option}", time.monotonic() - began)
    ids, old = db.wait_voters(), db.uids()
    began = time.monotonic()
    db.lose_disk(2)
    db.wait_ready(120, old=[old[db.pod(2)]])
    after = db.wait_voters()
    measure(f"a Pod and its volume deleted, {option}", time.monotonic() - began)
    assert [ids[name] == after[name] for name in db.pods] == [True, True, False]
    if option == "--events":
        told = [each for each in db.kube.list("events") if each.get("source", {}).get("component") == "peerboot"]
        reported = [each for each in db.kube.list("events") if each.get("reportingComponent") == "peerboot"]
        assert {"Form", "Serving"} & {each["reason"] for each in [*told, *reported]}
