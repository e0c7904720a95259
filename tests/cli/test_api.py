"""Settings that need the Kubernetes API, outside of a cluster: no exit, one warning, and the wait says why."""

from __future__ import annotations

import signal

import pytest

from tests.cli.rig import BOUND, Pod, until

OUTSIDE = "KUBERNETES_SERVICE_HOST is not set, so this is no Pod of a cluster"
ALL = {
    "PEERBOOT_REPLICAS_FROM": "statefulset",
    "PEERBOOT_ANCHOR": "configmap:db-anchor",
    "PEERBOOT_EVENTS": "pod",
    "POD_UID": "u-1",
}


@pytest.mark.parametrize(
    ("where", "say"),
    [
        ({}, OUTSIDE),
        (
            {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"},
            "/var/run/secrets/kubernetes.io/serviceaccount/token is not there",
        ),
    ],
    ids=["no cluster", "no token"],
)
def test_outside_of_a_cluster_it_stays_up_and_says_so_once(pod: Pod, where: dict[str, str], say: str) -> None:
    """All three settings that need the API share the one warning; nothing forms, for the anchor is not known."""
    with pod.running("sidecar", changes={**ALL, **where, "PEERBOOT_REPLICAS": "1"}) as process:
        until("a decision", lambda: pod.rule == "anchor-unknown")
        until("the reason", lambda: say in pod.status)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=BOUND)
    assert process.returncode == 0
    assert err.count("The Kubernetes API cannot be asked") == 1, err
    assert err.count(say) >= 1
