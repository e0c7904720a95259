"""Manifests that are wrong say so: in the sidecar's log within 10 s, in ``kubectl describe pod`` within 30 s."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Object
from tests.kubernetes.pages import seen
from tests.kubernetes.sets import EtcdSet, find, headless, sidecar

LOG_SECONDS, DESCRIBE_SECONDS = 10, 30
MakeSet = Callable[..., EtcdSet]


def unpublished(objects: list[Object]) -> None:
    """The governing Service shows only Pods that are ready."""
    del headless(objects)["spec"]["publishNotReadyAddresses"]


def unnamed(objects: list[Object]) -> None:
    """The governing Service has no port `peerboot`."""
    spec = headless(objects)["spec"]
    spec["ports"] = [port for port in spec["ports"] if port["name"] != "peerboot"]


def other_service(objects: list[Object]) -> None:
    """The StatefulSet names another governing Service."""
    find(objects, "StatefulSet")["spec"]["serviceName"] = "etcd-others"


def one_after_the_other(objects: list[Object]) -> None:
    """OrderedReady, and no anchor by which ordinal 0 could form alone."""
    find(objects, "StatefulSet")["spec"]["podManagementPolicy"] = "OrderedReady"
    env = sidecar(objects)["env"]
    env[:] = [each for each in env if each["name"] != "PEERBOOT_ANCHOR"]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (unpublished, r"publishNotReadyAddresses: true"),
        (unnamed, r"no port named 'peerboot'"),
        (other_service, r"\.spec\.serviceName of StatefulSet etcd"),
        (one_after_the_other, r"OrderedReady"),
    ],
    ids=["no-publishNotReadyAddresses", "no-named-port", "wrong-serviceName", "OrderedReady-without-anchor"],
)
def test_the_cause_is_told(
    new_set: MakeSet, measure: Measure, spoil: Callable[[list[Object]], None], cause: str
) -> None:
    """The log names what to change within 10 s of the container's start, and the Pod's events within 30 s."""
    db = new_set(edit=spoil)
    db.apply()
    pod = db.pod(0)
    db.kube.until("the sidecar runs", 60, lambda: db.kube.logs(pod) or None)
    began = time.monotonic()

    def logged() -> float | None:
        lines = db.kube.logs(pod, "peerboot", "--timestamps").splitlines()
        for line in lines:
            if re.search(cause, line):
                return _when(line) - _when(lines[0])
        return None

    in_log = db.kube.until(f"the log says {cause}", 40, logged)
    found = db.kube.until(
        "describe says it", 60, lambda: re.search(rf"Unhealthy.*{cause}", db.kube.describe(pod), re.DOTALL)
    )
    in_events = time.monotonic() - began
    assert found is not None
    measure(f"cause told in the log: {spoil.__name__}", in_log, f"in describe after {in_events:.0f} s")
    assert in_log <= LOG_SECONDS
    assert in_events <= DESCRIBE_SECONDS
    seen(db, f"describe-{spoil.__name__.replace('_', '-')}", f"describe pod {pod}", rf"Unhealthy.*{cause}")
    # A Pod that waits has nothing to finish: told to stop, it is gone long before its grace period is over.
    db.kube.run("delete", "statefulset", db.name)
    db.kube.until("Pods that wait end when they are told to", 15, lambda: True if not db.uids() else None)


def _when(line: str) -> float:
    """The kubelet's time of a line of log, to the microsecond. The sidecar's first comes as soon as it runs."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", line.partition(" ")[0])).timestamp()
