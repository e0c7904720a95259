"""The contract of ``tests/doors/api_contract.py``, on a real API server: the model that other tests use is like it."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.doors.api_contract import Contract, Place
from tests.kubernetes.kube import Cluster, Kube, Object, make_namespace
from tests.kubernetes.node import CLONE_NEWNET

pytestmark = pytest.mark.node
RIGHTS: list[Object] = [
    {"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": ["db"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["db-anchor"], "verbs": ["get", "update"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "resourceNames": ["data-db-1"], "verbs": ["get"]},
]


def _objects() -> list[Object]:
    """The set's Pods are never made: no node has that label."""
    rbac = "rbac.authorization.k8s.io"
    labels = {"app": "db"}
    nowhere = {"nodeSelector": {"no": "where"}, "containers": [{"name": "none", "image": "none"}]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "db"}},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "db"}, "rules": RIGHTS},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "db"},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "db"},
            "subjects": [{"kind": "ServiceAccount", "name": "db"}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "db-anchor"}},
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "db"},
            "spec": {
                "replicas": 3,
                "serviceName": "peers",
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": nowhere},
            },
        },
    ]


@pytest.fixture(scope="module")
def prod(cluster: Cluster) -> Iterator[Kube]:
    """The namespace that the contract names."""
    kube = make_namespace(cluster, "prod")
    yield kube
    kube.run("delete", "namespace", "prod", "--wait=false", check=False)


@pytest.fixture
def real_api(prod: Kube, tmp_path: Path) -> Place:
    """Everything as it is shipped, and what is projected into a Pod."""
    prod.run("delete", "configmap", "db-anchor", "--ignore-not-found")
    prod.apply(_objects())
    config = yaml.safe_load(prod.node.kubeconfig.read_text())
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(prod.out("create", "token", "db"))
    root = prod.get("configmap", "kube-root-ca.crt")
    assert root is not None
    (account / "ca.crt").write_text(root["data"]["ca.crt"])
    subprocess.run(  # noqa: S603 - a fixed program
        ["/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=other", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "other.crt")],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return Place(config["clusters"][0]["cluster"]["server"], account, tmp_path / "other.crt")


@pytest.fixture
def place(real_api: Place, prod: Kube) -> Iterator[Place]:
    """This thread is in the node's network as long as the test lasts, for the API server is only there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as home:
        prod.node.join_network()
        yield real_api
        assert libc.setns(home.fileno(), CLONE_NEWNET) == 0


class TestContract(Contract):
    """On the node's API server."""
