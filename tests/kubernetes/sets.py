"""A StatefulSet as a user applies it, and what is known of it; etcd's more than others."""

from __future__ import annotations

import base64
import copy
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from tests.kubernetes.kube import Cluster, Kube, KubeError, Object, make_namespace
from tests.kubernetes.writer import Gateway, UnansweredError, Writer

Made = TypeVar("Made", bound="PodSet")
READY_SECONDS = 120
Edit = Callable[[list[Object]], None]


def manifest(cluster: Cluster, *options: str, system: str = "etcd") -> list[Object]:
    """What ``peerboot manifest`` prints, for the images of this test run; of a set that is there nothing is new."""
    images = [f"--image={cluster.image}", f"--server-image={cluster.server_image(system)}"]
    done = subprocess.run(  # noqa: S603 - peerboot itself
        [
            sys.executable, "-m", "peerboot", "manifest", system, *images,
            *(() if "--take-over" in options else ("--storage=1Gi",)), *options,
        ],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if done.returncode != 0:
        raise KubeError(f"peerboot manifest {system} {' '.join(options)}: {done.stderr.strip()[-300:]}")
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def find(objects: Iterable[Object], kind: str, which: Callable[[Object], bool] = lambda _: True) -> Object:
    """The one object of a kind."""
    (found,) = [each for each in objects if each["kind"] == kind and which(each)]
    return found


def headless(objects: Iterable[Object]) -> Object:
    """The governing Service."""
    return find(objects, "Service", lambda each: each["spec"].get("clusterIP") == "None")


def pod_spec(objects: Iterable[Object]) -> Object:
    """The Pod template's spec."""
    spec: Object = find(objects, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def sidecar(objects: Iterable[Object]) -> Object:
    """peerboot's container."""
    spec = pod_spec(objects)
    (found,) = [each for each in (*spec.get("initContainers", ()), *spec["containers"]) if each["name"] == "peerboot"]
    return dict_of(found)


def dict_of(value: object) -> Object:
    """The value, which is a mapping."""
    assert isinstance(value, dict)
    return value


@dataclass
class PodSet:
    """One StatefulSet with its Services and volumes, in a namespace of its own."""

    kube: Kube
    objects: list[Object]
    name: str
    peers: str
    client: str
    replicas: int
    secret: str
    keys: list[str] = field(default_factory=lambda: [new_key()])
    """The census keys, the first signs."""

    # ---------------------------------------------------------------- made

    def apply(self, *, volumes: int | None = None) -> None:
        """As a user does: the Secret, then everything else."""
        for ordinal in range(self.replicas if volumes is None else volumes):
            self.kube.volume(self.claim(ordinal), self.access)
        self.write_secret(self.keys)
        self.kube.apply(self.objects)

    def write_secret(self, keys: list[str]) -> None:
        """The census keys of all Pods."""
        self.keys = keys
        self.write_keys({"census": keys})

    def write_keys(self, files: dict[str, list[str]]) -> None:
        """The Secret: census keys by file, one a line."""
        data = {
            name: base64.b64encode("".join(f"{key}\n" for key in keys).encode()).decode()
            for name, keys in files.items()
        }
        self.kube.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.secret}, "data": data}])

    def look_at_secrets(self) -> None:
        """A kubelet looks at mounted Secrets once a minute or so; one whose Pod changes looks at once."""
        for pod in self.pods:
            self.kube.run("annotate", "--overwrite", "pod", pod, f"peerboot.test/key={time.monotonic_ns()}")

    def pod(self, ordinal: int) -> str:
        """A Pod's name."""
        return f"{self.name}-{ordinal}"

    @property
    def pods(self) -> list[str]:
        """Of all replicas."""
        return [self.pod(ordinal) for ordinal in range(self.replicas)]

    def claim(self, ordinal: int) -> str:
        """The PersistentVolumeClaim of a Pod's data."""
        return f"{self._template['metadata']['name']}-{self.pod(ordinal)}"

    @property
    def access(self) -> str:
        """The access mode of the claims."""
        (mode,) = self._template["spec"]["accessModes"]
        return str(mode)

    @property
    def _template(self) -> Object:
        return dict_of(find(self.objects, "StatefulSet")["spec"]["volumeClaimTemplates"][0])

    # ---------------------------------------------------------------- seen

    def state(self, pod: str) -> Object | None:
        """The Pod object."""
        return self.kube.get("pod", pod)

    def uid(self, pod: str) -> str:
        """Tells two Pods of one name apart."""
        found = self.state(pod)
        assert found is not None, f"{pod} is not there"
        return str(found["metadata"]["uid"])

    def uids(self) -> dict[str, str]:
        """Of every Pod that is there."""
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in self._pods()}

    def _pods(self) -> list[Object]:
        wanted = set(self.pods)
        return [each for each in self.kube.list("pods") if each["metadata"]["name"] in wanted]

    def container(self, pod: str, name: str) -> Object:
        """The status of one container."""
        status = dict_of(self.state(pod))["status"]
        every = (*status.get("initContainerStatuses", ()), *status["containerStatuses"])
        (found,) = [each for each in every if each["name"] == name]
        return dict_of(found)

    def kill_container(self, pod: str, name: str) -> int:
        """SIGKILL to one container, from the node's inside; how often it had been restarted before."""
        before = self.container(pod, name)
        self.kube.node.run(
            "ctr", "-n", "k8s.io", "task", "kill", "-s", "KILL", before["containerID"].rpartition("/")[2]
        )
        return int(before["restartCount"])

    def ready(self, old: Iterable[str] = ()) -> bool | None:
        """Whether every replica is Ready, none of them one of the ``old`` uids; None: not yet."""
        pods, gone = self._pods(), set(old)
        stay = [each["metadata"] for each in pods if is_ready(each) and "deletionTimestamp" not in each["metadata"]]
        fine = [each for each in stay if each["uid"] not in gone]
        return True if len(fine) == self.replicas == len(pods) else None

    def wait_ready(self, seconds: float = READY_SECONDS, old: Iterable[str] = ()) -> None:
        """Until every replica is Ready."""
        self.kube.until(f"{self.replicas} Pods Ready", seconds, lambda: self.ready(old))

    # ---------------------------------------------------------------- disturbed

    def delete_pods(self, *pods: str, more: Iterable[str] = ()) -> None:
        """Delete without waiting."""
        self.kube.run("delete", "pod", *pods, "--wait=false", *more)

    def scale(self, replicas: int) -> None:
        """``kubectl scale``; volumes for the claims that there were not yet."""
        for ordinal in range(self.replicas, replicas):
            if self.kube.get("pvc", self.claim(ordinal)) is None:
                self.kube.volume(self.claim(ordinal), self.access)
        beyond = [self.pod(ordinal) for ordinal in range(replicas, self.replicas)]
        self.replicas = replicas
        self.kube.run("scale", "statefulset", self.name, f"--replicas={replicas}")
        gone = {each["metadata"]["uid"] for each in self.kube.list("pods") if each["metadata"]["name"] in beyond}

        def over() -> bool | None:
            return None if gone & {each["metadata"]["uid"] for each in self.kube.list("pods")} else True

        if beyond:
            self.kube.until(f"{', '.join(beyond)} are gone", 150, over)

    def lose_disk(self, *ordinals: int, recreate: bool = True) -> None:
        """The claims and the Pods are deleted; new, empty volumes take their places."""
        claims = [self.claim(ordinal) for ordinal in ordinals]
        self.kube.run("delete", "pvc", *claims, "--wait=false")
        if recreate:
            self.delete_pods(*(self.pod(ordinal) for ordinal in ordinals))
        for claim in claims:
            self.renew_volume(claim)

    def renew_volume(self, claim: str) -> None:
        """Once the old claim is gone, make an empty volume for the next one of its name."""
        was = self.kube.get("pvc", claim)
        old = was["metadata"]["uid"] if was and "deletionTimestamp" in was["metadata"] else ""
        if old:

            def gone() -> bool | None:
                now = self.kube.get("pvc", claim)
                return True if now is None or now["metadata"]["uid"] != old else None

            self.kube.until(f"{claim} is gone", 60, gone)
        self.kube.volume(claim, self.access)


@dataclass
class EtcdSet(PodSet):
    """etcd, and what is known of its members."""

    trust: ssl.SSLContext | None = None
    """How clients see TLS, once it has some."""

    def gateway(self, pod: str = "") -> Gateway:
        """The client Service, or one Pod's own client port."""
        if pod:
            state = self.state(pod)
            assert state is not None
            return Gateway(self.kube, self.client, str(state["status"]["podIP"]), self.trust)
        service = self.kube.get("service", self.client)
        assert service is not None
        return Gateway(self.kube, self.client, str(service["spec"]["clusterIP"]), self.trust)

    def writer(self, label: str) -> Writer:
        """A client that writes all the while."""
        return Writer(self.gateway(), f"{label}-{time.monotonic_ns():x}/")

    def members(self) -> dict[str, Object]:
        """Name to member; learners too."""

        def look() -> dict[str, Object] | None:
            try:
                rows = self.gateway().members()
            except UnansweredError:
                return None
            return {row.get("name") or row["peerURLs"][0]: {**row, "id": id_} for id_, row in rows.items()}

        return self.kube.until("a linearizable member list", 30, look)

    def voters(self) -> dict[str, str]:
        """Name to member id, of started voting members."""
        return {name: row["id"] for name, row in self.members().items() if not row.get("isLearner") and row.get("name")}

    def wait_voters(self, seconds: float = 60) -> dict[str, str]:
        """Until the voters are exactly the replicas' Pods; their ids."""

        def look() -> dict[str, str] | None:
            members, voters = self.members(), self.voters()
            return voters if set(members) == set(voters) == set(self.pods) else None

        return self.kube.until(f"voters are {', '.join(self.pods)}", seconds, look)


def is_ready(pod: Object) -> bool:
    """The Pod's condition Ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def new_key() -> str:
    """A census key."""
    return base64.b64encode(os.urandom(32)).decode()


def make_set(
    cluster: Cluster, namespace: str, *options: str, replicas: int = 3, edit: Edit = lambda _: None
) -> EtcdSet:
    """A set of etcds in a new namespace, not yet applied. ``edit`` may spoil the manifests."""
    return new_set_of(EtcdSet, cluster, namespace, manifest(cluster, f"--replicas={replicas}", *options), edit)


def new_set_of(
    kind: type[Made], cluster: Cluster, namespace: str, objects: list[Object], edit: Edit = lambda _: None
) -> Made:
    """A set with these manifests in a new namespace, not yet applied."""
    return set_of(kind, make_namespace(cluster, namespace), objects, edit)


def set_of(kind: type[Made], kube: Kube, objects: list[Object], edit: Edit = lambda _: None) -> Made:
    """The same in a namespace that is there."""
    objects = copy.deepcopy(objects)
    for container in _containers(objects):
        container["imagePullPolicy"] = kube.cluster.pull_policy
    right = copy.deepcopy(objects)
    edit(objects)
    services = [each for each in right if each["kind"] == "Service" and each["spec"].get("clusterIP") != "None"]
    volumes: list[dict[str, Any]] = pod_spec(right)["volumes"]
    (secret,) = [each["secret"]["secretName"] for each in volumes if each["name"] == "census"]
    return kind(
        kube=kube,
        objects=objects,
        name=find(right, "StatefulSet")["metadata"]["name"],
        peers=headless(right)["metadata"]["name"],
        client=services[0]["metadata"]["name"] if services else "",
        replicas=find(right, "StatefulSet")["spec"]["replicas"],
        secret=secret,
    )


def _containers(objects: list[Object]) -> list[Object]:
    spec = pod_spec(objects)
    return [*spec.get("initContainers", ()), *spec["containers"]]
