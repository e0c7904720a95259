"""The other variants of the manifests form and heal as the default does, on the same node."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Object
from tests.kubernetes.sets import EtcdSet, pod_spec

MakeSet = Callable[..., EtcdSet]


def smaller(objects: list[Object]) -> None:
    """Whole processors, as --guaranteed asks for, are more than the node has for three Pods."""
    spec = pod_spec(objects)
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        for amounts in container["resources"].values():
            if "cpu" in amounts:
                amounts["cpu"] = "200m"


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
