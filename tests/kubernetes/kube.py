"""kubectl with bounded time, in one namespace, and what tests ask of it again and again."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from tests.kubernetes.node import Node

T = TypeVar("T")
Object = dict[str, Any]
POLL = 0.2
STORAGE_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/no-provisioner",
    "volumeBindingMode": "WaitForFirstConsumer",
}


class KubeError(AssertionError):
    """kubectl said no, or something did not come to pass in time."""


@dataclass
class Cluster:
    """A Kubernetes cluster: the test node's, or the one of KUBECONFIG."""

    node: Node | None
    image: str
    etcd_image: str
    kafka_image: str = ""
    """Made when it is first asked for, by the fixture ``kafka_cluster``."""
    postgres_image: str = ""
    """The same, by ``postgres_cluster``."""
    volumes: int = 0
    """Made so far; each has a name of its own."""
    namespaces: list[str] = field(default_factory=list)

    def command(self, *args: str) -> tuple[list[str], dict[str, str]]:
        """A kubectl command line and its environment."""
        if self.node is None:
            return ["kubectl", *args], dict(os.environ)
        env = {**os.environ, "KUBECONFIG": str(self.node.kubeconfig)}
        return [*self.node.enter, str(self.node.kubectl), *args], env

    def server_image(self, system: str) -> str:
        """The image of a system's server."""
        return {"etcd": self.etcd_image, "kafka": self.kafka_image, "postgres": self.postgres_image}[system]

    @property
    def pull_policy(self) -> str:
        """The node has no registry."""
        return "Never" if self.node else "IfNotPresent"


@dataclass
class Kube:
    """One namespace of it."""

    cluster: Cluster
    namespace: str

    @property
    def node(self) -> Node:
        """The test node; tests that need its inside are marked ``node``."""
        assert self.cluster.node is not None, "this test needs the test node: mark it so"
        return self.cluster.node

    def run(
        self, *args: str, stdin: str | None = None, seconds: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """One kubectl in the namespace. Raises ``KubeError`` unless told not to."""
        command, env = self.cluster.command("-n", self.namespace, *args)
        try:
            done = subprocess.run(  # noqa: S603 - kubectl
                command, input=stdin, text=True, capture_output=True, check=False, timeout=seconds, env=env
            )
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(command, 124, "", f"no answer in {seconds} s")
        if check and done.returncode != 0:
            raise KubeError(f"kubectl {' '.join(args)[:120]}: {done.stderr.strip()[-600:]}")
        return done

    def out(self, *args: str, seconds: float = 30) -> str:
        """What it prints."""
        return self.run(*args, seconds=seconds).stdout

    def get(self, kind: str, name: str) -> Object | None:
        """One object, None when it is not there."""
        text = self.out("get", kind, name, "--ignore-not-found", "-o", "json")
        found: Object | None = json.loads(text) if text.strip() else None
        return found

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """All of a kind."""
        more = ["-l", selector] if selector else []
        items: list[Object] = json.loads(self.out("get", kind, *more, "-o", "json"))["items"]
        return items

    def apply(self, objects: Sequence[Mapping[str, Any]], *more: str) -> str:
        """``kubectl apply -f -``."""
        return self.run("apply", *more, "-f", "-", stdin=yaml.safe_dump_all(objects), seconds=60).stdout

    def until(self, what: str, seconds: float, look: Callable[[], T | None]) -> T:
        """What ``look`` gives as soon as it gives something; an error of kubectl counts as nothing yet."""
        end = time.monotonic() + seconds
        last = ""
        while time.monotonic() < end:
            try:
                if (found := look()) is not None:
                    return found
            except KubeError as error:
                last = f" ({error})"
            time.sleep(POLL)
        raise KubeError(f"not within {seconds:.0f} s: {what}{last}\n{self.told()}")

    def told(self) -> str:
        """What a person would look at: the Pods, and the end of every log."""
        parts = [self.run("get", "pods,pvc,sts", "-o", "wide", check=False).stdout]
        pods = self.run("get", "pods", "-o", "name", check=False).stdout.split()
        for pod in pods[:9]:
            for container in ("peerboot", "etcd", "kafka", "postgres"):
                log = self.run("logs", pod, "-c", container, "--tail=8", check=False)
                if f"container {container} is not valid" not in log.stderr:
                    parts.append(f"--- {pod} {container}\n{log.stdout or log.stderr}")
        return "\n".join(parts)

    def logs(self, pod: str, container: str = "peerboot", *more: str) -> str:
        """A container's log; empty while it has none."""
        return self.run("logs", pod, "-c", container, *more, check=False).stdout

    def exec(self, pod: str, *command: str, container: str = "peerboot", seconds: float = 30) -> str:
        """A command in a container."""
        return self.out("exec", pod, "-c", container, "--", *command, seconds=seconds)

    def describe(self, pod: str) -> str:
        """``kubectl describe pod``."""
        return self.run("describe", "pod", pod, check=False).stdout

    def volume(self, claim: str, access: str = "ReadWriteOnce") -> None:
        """A new, empty PersistentVolume for one claim; nothing where the cluster makes volumes itself."""
        if self.cluster.node is None:
            return
        self.cluster.volumes += 1
        name = f"{self.namespace}-{claim}-{self.cluster.volumes}"
        self.node.make_folder(name)
        self.apply([_volume(name, self.namespace, claim, access)])

    def volume_folder(self, claim: str) -> str:
        """The name of the folder behind a bound claim."""
        found = self.get("pvc", claim)
        assert found is not None
        return str(found["spec"]["volumeName"])


def _volume(name: str, namespace: str, claim: str, access: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "8Gi"},
            "accessModes": [access],
            "storageClassName": "standard",
            "persistentVolumeReclaimPolicy": "Retain",
            # Unlike hostPath, a local volume is given to the Pod's fsGroup, as storage in a real cluster is.
            "local": {"path": f"/mnt/{name}"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}
                    ]
                }
            },
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
        },
    }


def make_namespace(cluster: Cluster, name: str) -> Kube:
    """A namespace that enforces Pod Security ``restricted``."""
    kube = Kube(cluster, name)
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": levels}}])
    cluster.namespaces.append(name)
    return kube
