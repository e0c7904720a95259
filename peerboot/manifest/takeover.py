"""What a StatefulSet that runs already keeps when peerboot takes it over, read from its JSON. Pure.

Shape: ``kubectl get statefulset NAME -o json`` (apps/v1 StatefulSet). What is kept is what the Pods, their volumes and
whoever finds them hang on: names, labels, the governing Service, the claims, the server's image, user and volume. Each
error is one line.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peerboot.errors import SettingsError
from peerboot.manifest import statefulset
from peerboot.manifest.writer import Tree

SOURCE = "--take-over"
PLACED = (
    "affinity",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "imagePullSecrets",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "tolerations",
    "topologySpreadConstraints",
)
REPLACED = ("restartPolicy", "securityContext", "terminationGracePeriodSeconds", "automountServiceAccountToken")
"""What is printed has its own."""
WHOLE = re.compile(r"/[A-Za-z0-9._/@+-]*")
"""A path without what a shell or the kubelet would make something else of."""
DATA_DIR = re.compile(r"(?<![\w-])--?data-dir[=\s]+[\"']?([^\s\"']*)")
CONFIG_FILE = re.compile(r"(?<![\w-])--?config-file[=\s]")
URLS = re.compile(r"-urls[=\s\"']+(\S+)")
OURS = ("output", "census", "token", "tls", "users", "base")
"""Volumes that what is printed has beside that for data."""
SECURED = re.compile(
    r"(?<![\w-])--?(peer-)?(cert-file|client-cert-auth|auto-tls)\b|^ETCD_(PEER_)?(CERT_FILE|CLIENT_CERT_AUTH|AUTO_TLS)=",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A StatefulSet as it is."""

    name: str
    namespace: str
    replicas: int
    service: str
    """The governing Service."""
    selector: Mapping[str, str]
    """What selects its Pods."""
    labels: Mapping[str, str]
    """Of its Pods, which Services of others may select by."""
    claim: Tree
    """The template of its volume, as it stands there."""
    container: Tree
    """The server's, as it stands there."""
    pod: Tree
    """``spec.template.spec``, as it stands there."""
    words: tuple[str, ...]
    """All that the server's container is told: command and arguments, and its environment as ``NAME=value``."""
    secrets: Mapping[str, tuple[str, str]]
    """Variables of the server that come from a Secret: its name, and the key."""
    volume: str
    """Where the server has the volume."""
    sub_path: str = ""
    """Of the volume, which the server has there."""
    data_dir: str = ""
    """As the server is told; empty: nothing here says it for sure."""
    unread: bool = False
    """It is told more elsewhere: in a file, or in variables that come from an object."""
    annotations: Mapping[str, str]
    """Of its Pods."""
    account: str = ""
    """Their ServiceAccount; empty: the namespace's."""
    grace: int = 30
    """Seconds that they have to stop."""
    user: int | None = None
    group: int | None = None
    fs_group: int | None = None

    @property
    def image(self) -> str:
        """The server's."""
        return str(self.container["image"])

    @property
    def claim_name(self) -> str:
        """Of its volume."""
        return str(self.claim["metadata"]["name"])

    @property
    def has_tls(self) -> bool:
        """Whether some URL of a member has TLS, or it has a certificate."""
        text = "\n".join(self.words)
        secured = any("https://" in url for url in URLS.findall(text.replace("_URLS=", "-urls=")))
        return secured or SECURED.search(text) is not None

    @property
    def resources(self) -> Tree:
        """What the server asks for and may have at most."""
        return dict(self.container.get("resources") or {})

    @property
    def placed(self) -> Tree:
        """What the Pods keep beside their containers: where they run, and who pulls their images."""
        return {key: self.pod[key] for key in PLACED if self.pod.get(key)}

    @property
    def dropped(self) -> tuple[str, ...]:
        """What the Pods have besides and what is printed has not once peerboot manages, in words."""
        found = [f"container {each['name']}" for each in self.pod["containers"] if each is not self.container]
        found += [f"init container {each['name']}" for each in self.pod.get("initContainers") or []]
        found += [f"volume {each['name']}" for each in self.pod.get("volumes") or []]
        own = [
            str(each["name"]) for each in self.container.get("env") or [] if not str(each["name"]).startswith("ETCD_")
        ]
        found += [f"variable {name}" for name in own]
        found += [f"{key} of {self.container['name']}" for key in ("envFrom", "lifecycle") if self.container.get(key)]
        known = {"containers", "initContainers", "volumes", "serviceAccount", "serviceAccountName", *PLACED, *REPLACED}
        return (*found, *sorted(str(key) for key, value in self.pod.items() if key not in known and value))


def read(text: bytes) -> Taken:
    """The set in that JSON; raises ``SettingsError``."""
    return _taken(*statefulset.parse(text, SOURCE))


def _wrong(what: str) -> SettingsError:
    return statefulset.wrong(SOURCE, what)


def _taken(found: statefulset.Set, raw: Any) -> Taken:
    spec, name, pod = found.spec, found.metadata.name, raw["spec"]["template"]["spec"]
    if spec.selector.match_expressions or not spec.selector.match_labels:
        raise _wrong(f"selects the Pods of {name} by expressions, which nothing here writes: make the set by hand")
    if spec.ordinals.start:
        raise _wrong(f"numbers the Pods of {name} from {spec.ordinals.start} on, and what is printed from 0: {BY_HAND}")
    if spec.replicas < 1:
        raise _wrong(f"has no replicas of {name}, and what is taken over has to run: scale it up first")
    if not spec.service_name:
        raise _wrong(f"names no governing Service for {name}, and by that the Pods find each other: {BY_HAND}")
    claims = spec.volume_claim_templates
    if len(claims) != 1:
        names = ", ".join(each.metadata.name for each in claims) or "none"
        raise _wrong(
            f"has {len(claims)} volumes of its own for each Pod ({names}), and what is printed has one: {BY_HAND}"
        )
    claim = claims[0].metadata.name
    if claim in OURS:
        raise _wrong(f"has a volume {claim}, and so has peerboot: {BY_HAND}")
    if spec.template.spec.host_network:
        raise _wrong(f"has the Pods of {name} in the nodes' network, and what is printed has not: {BY_HAND}")
    number, mount = _server(spec.template.spec, claim)
    server = spec.template.spec.containers[number]
    if mount.sub_path_expr:
        raise _wrong(
            f"mounts a part of the volume whose name it makes itself ({mount.sub_path_expr[:60]!r}): {BY_HAND}"
        )
    words = (*server.command, *server.args, *(f"{each.name}={each.value}" for each in server.env))
    mine, theirs = server.security_context, spec.template.spec.security_context
    return Taken(
        name=name,
        namespace=found.metadata.namespace,
        replicas=spec.replicas,
        service=spec.service_name,
        selector=spec.selector.match_labels,
        labels=spec.template.metadata.labels,
        claim={
            "metadata": {"name": claim},
            "spec": {key: claims[0].spec[key] for key in KEPT if key in claims[0].spec},
        },
        container=pod["containers"][number],
        pod=pod,
        words=words,
        annotations=spec.template.metadata.annotations,
        account=spec.template.spec.service_account_name.removeprefix("default"),
        grace=spec.template.spec.termination_grace_period_seconds,
        secrets={
            each.name: (each.value_from.secret_key_ref.name, each.value_from.secret_key_ref.key)
            for each in server.env
            if each.value_from is not None and each.value_from.secret_key_ref is not None
        },
        volume=mount.mount_path.rstrip("/"),
        sub_path=mount.sub_path,
        data_dir=_data_dir(server),
        unread=_is_unread(server),
        user=mine.run_as_user if mine.run_as_user is not None else theirs.run_as_user,
        group=mine.run_as_group if mine.run_as_group is not None else theirs.run_as_group,
        fs_group=theirs.fs_group,
    )


BY_HAND = "make the set by hand"
KEPT = ("accessModes", "storageClassName", "resources", "volumeMode", "selector", "volumeAttributesClassName")


def _server(pod: statefulset.Pod, claim: str) -> tuple[int, statefulset.Mount]:
    """Which container has the volume, and where."""
    having = [
        (number, mount)
        for number, container in enumerate(pod.containers)
        for mount in container.volume_mounts
        if mount.name == claim
    ]
    if len(having) != 1 or not pod.containers[having[0][0]].image:
        names = ", ".join(pod.containers[number].name for number, _ in having) or "none"
        raise _wrong(
            f"has {len(having)} mounts of the volume {claim} ({names}), and the server is known by being the only one, "
            f"with an image: {BY_HAND}"
        )
    return having[0]


def _is_unread(server: statefulset.Container) -> bool:
    told = "\n".join((*server.command, *server.args))
    from_map = any(v.name.startswith("ETCD_") and v.value_from and v.value_from.config_map_key_ref for v in server.env)
    named = any(v.name == "ETCD_CONFIG_FILE" for v in server.env)
    return bool(server.env_from or CONFIG_FILE.search(told) or named or from_map)


def _data_dir(server: statefulset.Container) -> str:
    """``--data-dir`` of the command line or of a script in it, else ETCD_DATA_DIR; nothing that only a shell knows."""
    given = set(DATA_DIR.findall("\n".join((*server.command, *server.args))))
    if not given:
        given = {each.value for each in server.env if each.name == "ETCD_DATA_DIR"}
    sure = len(given) == 1 and not _is_unread(server)
    return next((path for path in given if sure and WHOLE.fullmatch(path)), "")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How it is to go on: what a person says besides, and the set."""

    taken: Taken
    data_dir: str
    """Where the server's data is, below its volume."""
    user: int
    observe: bool
    """peerboot looks only, and the server's container stays as it is."""

    @property
    def fs_group(self) -> int | None:
        """By which the Pod's files are read where its user owns none of them; root reads all."""
        return self.taken.fs_group if self.taken.fs_group is not None else (self.taken.group or self.user or None)


def wanted(taken: Taken, *, data_dir: str, user: int | None, observe: bool) -> Wanted:
    """Both together, checked; raises ``SettingsError``."""
    found = user if user is not None else taken.user
    if found is None:
        raise SettingsError(
            f"{SOURCE}: nothing in {taken.name} says which user its server runs as, and its files belong to that one: "
            f"add --user NUMBER (`kubectl exec {taken.name}-0 -- id -u` says it)"
        )
    if observe and (both := sorted({str(each["name"]) for each in taken.pod.get("volumes") or []} & set(OURS))):
        raise _wrong(f"has a volume {both[0]}, and so has peerboot: {BY_HAND}")
    where = data_dir or taken.data_dir
    if not where:
        raise SettingsError(
            f"{SOURCE}: nothing in {taken.name} says where its server keeps its data: add --data-dir PATH"
        )
    path = posixpath.normpath(where)
    if not path.startswith(f"{taken.volume}/") or not WHOLE.fullmatch(path):
        raise SettingsError(
            f"{SOURCE}: the data of {taken.name} is in {where[:100]!r}, and that is no directory below {taken.volume}, "
            "where its volume is: what is no longer good is renamed aside there, so that it has to lie in a directory "
            "of its own on the volume; if this is wrong, say --data-dir PATH"
        )
    return Wanted(taken=taken, data_dir=path, user=found, observe=observe)


def birth_of(namespace: str, name: str) -> str:
    """What the anchor of a cluster that is there holds (``peerboot/anchor.py``), the same whenever it is printed."""
    token = hashlib.sha256(f"taken over: {namespace}/{name}".encode()).hexdigest()[:32]
    return f'{{"version":1,"token":"{token}"}}'
