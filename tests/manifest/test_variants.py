"""What each choice changes."""

from __future__ import annotations

import pytest

from tests.manifest.parsed import (
    ETCD_NAMES,
    NATIVE,
    ORDERED,
    PARALLEL,
    PLAIN,
    WITH_RBAC,
    WITHOUT_RBAC,
    env,
    mounts,
    probes,
    variant,
)

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_sidecar_holds_the_server_back(name: str) -> None:
    """One container of peerboot, among the init containers, that goes on and has the startup probe."""
    found = variant(name)
    [peerboot] = found.pod["initContainers"]
    assert (peerboot["name"], peerboot["args"], peerboot["restartPolicy"]) == ("peerboot", ["sidecar"], "Always")
    assert [c["name"] for c in found.pod["containers"]] == [found.adds.name]
    assert "lifecycle" not in peerboot


@pytest.mark.parametrize("name", PLAIN)
def test_before_native_sidecars_there_are_two(name: str) -> None:
    """`init`, which may have no probe, then `sidecar` beside the server, kept by a preStop of its own."""
    found = variant(name)
    [init] = found.pod["initContainers"]
    assert (init["name"], init["args"], "restartPolicy" in init, probes(init)) == ("peerboot-init", ["init"], False, {})
    assert [c["name"] for c in found.pod["containers"]] == ["peerboot", found.adds.name]
    sidecar = found.container("peerboot")
    assert (sidecar["args"], "restartPolicy" in sidecar) == (["sidecar"], False)
    assert sidecar["lifecycle"] == found.server["lifecycle"]


@pytest.mark.parametrize("name", PARALLEL)
def test_pods_that_start_together(name: str) -> None:
    """Parallel; as many form as there are replicas; Ready by peerboot's /readyz."""
    found = variant(name)
    assert (found.set["podManagementPolicy"], "minReadySeconds" in found.set) == ("Parallel", False)
    assert {env(c)["PEERBOOT_REPLICAS"] for c in found.programs} == {str(found.set["replicas"])}
    assert found.server["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 7070}


@pytest.mark.parametrize("name", sorted(set(PARALLEL) & set(ETCD_NAMES)))
def test_probes_of_etcds_that_start_together(name: str) -> None:
    """A first quorum within half an hour, by the client port, or with TLS by the listener that needs no certificate;
    alive by a page that needs no quorum.
    """
    found = variant(name)
    asked = {probe: spec["httpGet"] for probe, spec in probes(found.server).items()}
    secured = {"path": "/health?exclude=NOSPACE&exclude=CORRUPT", "port": "metrics"}
    assert asked == {
        "startupProbe": secured if found.options.tls_secret else {"path": "/version", "port": "client"},
        "livenessProbe": {"path": "/metrics", "port": "metrics"},
        "readinessProbe": {"path": "/readyz", "port": 7070},
    }


@pytest.mark.parametrize("name", ORDERED)
def test_pods_that_start_one_after_the_other(name: str) -> None:
    """Ordinal 0 forms alone, by the anchor; no probe that Ready rests on needs a quorum; the cost is told."""
    found = variant(name)
    assert (found.set["podManagementPolicy"], found.set["minReadySeconds"]) == ("OrderedReady", 10)
    for container in found.programs:
        given = env(container)
        assert (given["PEERBOOT_REPLICAS"], given["PEERBOOT_REPLICAS_FROM"]) == ("1", "statefulset")
        assert given["PEERBOOT_ANCHOR"] == f"configmap:{found.options.anchor}"
    asked = {probe: spec["httpGet"] for probe, spec in probes(found.server).items()}
    page = {"path": "/metrics", "port": "metrics"}
    assert asked == {
        "livenessProbe": page if found.options.tls_secret else {"path": "/version", "port": "client"},
        "readinessProbe": page,
    }
    said = " ".join(found.text.replace("#", " ").split())
    assert "after an outage of all in which the disk of ordinal 0 is lost nobody comes up by itself" in said


@pytest.mark.parametrize("name", WITH_RBAC)
def test_rights_are_by_name(name: str) -> None:
    """`get` on this StatefulSet, `get` and `update` on the anchor, with OrderedReady `get` on the claim of ordinal 1,
    for an account of its own; nothing else.
    """
    found = variant(name)
    own = found.options.name
    second = {
        "apiGroups": [""],
        "resources": ["persistentvolumeclaims"],
        "resourceNames": [f"data-{own}-1"],
        "verbs": ["get"],
    }
    anchor = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [f"{own}-anchor"],
        "verbs": ["get", "update"],
    }
    assert found.one("Role", own)["rules"] == [
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": [own], "verbs": ["get"]},
        *([anchor] if found.options.forms else []),
        *([second] if found.options.ordered else []),
    ]
    for binding in found.of("RoleBinding"):
        assert binding["roleRef"]["name"] in {role["metadata"]["name"] for role in found.of("Role")}
        [subject] = binding["subjects"]
        assert (subject["kind"], subject["name"]) == ("ServiceAccount", own)
    assert (found.pod["serviceAccountName"], found.one("ServiceAccount", own)["automountServiceAccountToken"]) == (
        own,
        False,
    )


@pytest.mark.parametrize("name", WITH_RBAC)
def test_the_token_is_peerboots_alone(name: str) -> None:
    """A projected volume with token, ca.crt and namespace, where the kubelet would mount it, for peerboot."""
    found = variant(name)
    assert {mounts(c)["token"] for c in found.programs} == {ACCOUNT}
    [sources] = [v["projected"]["sources"] for v in found.pod["volumes"] if v["name"] == "token"]
    assert sources == [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]


@pytest.mark.parametrize("name", WITH_RBAC)
def test_the_anchor_is_shipped_empty(name: str) -> None:
    """A ConfigMap without data, so that applying it again takes nothing away; none for a set that forms no cluster."""
    found = variant(name)
    if not found.options.forms:
        assert [o for o in found.of("ConfigMap") if "anchor" in o["metadata"]["name"]] == []
        assert {env(c).get("PEERBOOT_ANCHOR") for c in found.programs} == {None}
        return
    anchor = found.one("ConfigMap", f"{found.options.name}-anchor")
    assert {"data", "binaryData", "immutable"} & set(anchor) == set()
    assert {env(c)["PEERBOOT_ANCHOR"] for c in found.programs} == {f"configmap:{found.options.name}-anchor"}


@pytest.mark.parametrize("name", WITHOUT_RBAC)
def test_without_rights_all_that_needs_them_is_gone(name: str) -> None:
    """No account, Role, binding, anchor, token, live number; and what is lost is told."""
    found = variant(name)
    assert {o["kind"] for o in found.objects} & {"ServiceAccount", "Role", "RoleBinding"} == set()
    assert [o["metadata"]["name"] for o in found.of("ConfigMap")] == [found.options.files] * bool(found.adds.files)
    for container in found.programs:
        assert {"PEERBOOT_REPLICAS_FROM", "PEERBOOT_ANCHOR"} & set(env(container)) == set()
        assert "token" not in mounts(container)
    assert "serviceAccountName" not in found.pod
    assert "# Made with --no-rbac. What is lost: without rights" in found.text


def test_events_have_a_role_of_their_own() -> None:
    """Only --events gives `create` on events, and sets PEERBOOT_EVENTS=pod."""
    with_events, without = variant("events.yaml"), variant("etcd.yaml")
    [rule] = with_events.one("Role", "etcd-events")["rules"]
    assert rule == {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
    assert with_events.one("RoleBinding", "etcd-events")["roleRef"]["name"] == "etcd-events"
    assert {env(c)["PEERBOOT_EVENTS"] for c in with_events.programs} == {"pod"}
    assert len(without.of("Role")) == 1
    assert "PEERBOOT_EVENTS" not in env(without.container("peerboot"))


def test_the_namespace_enforces_pod_security() -> None:
    """--with-namespace prints it, with the label; --pod-security none without."""
    labels = variant("namespace").one("Namespace", "shop")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert variant("namespace").objects[0]["kind"] == "Namespace"
    assert "labels" not in variant("namespace-without-pod-security").one("Namespace")["metadata"]
    assert variant("five-elsewhere").of("Namespace") == []
