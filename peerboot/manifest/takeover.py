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
from typing import Annotated, Any

import msgspec

from peerboot.errors import SettingsError
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
WHOLE = re.compile(r"/[^\s$\"']*")
"""A path without what only the container's shell or the kubelet knows."""
DATA_DIR = re.compile(r"(?<![\w-])--?data-dir[=\s]+[\"']?([^\s\"']*)")
CONFIG_FILE = re.compile(r"(?<![\w-])--?config-file[=\s]")
URLS = re.compile(r"-urls[=\s\"']+(\S+)")
OURS = ("output", "files", "tmp", "census", "token", "tls", "users", "base")
"""Volumes that what is printed has beside that for data."""
DEEPEST = 40


class _Shape(msgspec.Struct, rename="camel"):
    """What of an object is looked at, with the types that Kubernetes gives it; whatever else there is stays."""


class _Mount(_Shape):
    name: str
    mount_path: Annotated[str, msgspec.Meta(pattern=r"^/[^\x00-\x1f]*$")]
    sub_path: str = ""
    sub_path_expr: str = ""


class _Key(_Shape):
    name: str
    key: str


class _From(_Shape):
    secret_key_ref: _Key | None = None


class _Variable(_Shape):
    name: str
    value: str = ""
    value_from: _From | None = None


class _Security(_Shape):
    run_as_user: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] | None = None
    run_as_group: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] | None = None
    fs_group: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] | None = None


class _Port(_Shape):
    container_port: int
    name: str = ""


class _Container(_Shape):
    name: str
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    env: list[_Variable] = []
    env_from: list[dict[str, Any]] = []
    ports: list[_Port] = []
    resources: dict[str, Any] = {}
    volume_mounts: list[_Mount] = []
    security_context: _Security = msgspec.field(default_factory=_Security)


class _Named(_Shape):
    name: str


class _Pod(_Shape):
    containers: list[_Container]
    init_containers: list[_Named] = []
    volumes: list[_Named] = []
    security_context: _Security = msgspec.field(default_factory=_Security)


class _PodMeta(_Shape):
    labels: dict[str, str]


class _Template(_Shape):
    metadata: _PodMeta
    spec: _Pod


class _Selector(_Shape):
    match_labels: dict[str, str] = {}
    match_expressions: list[dict[str, Any]] = []


class _Ordinals(_Shape):
    start: int = 0


class _Claim(_Shape):
    metadata: _Named
    spec: dict[str, Any]


class _Spec(_Shape):
    selector: _Selector
    template: _Template
    replicas: int = 1
    service_name: str = ""
    ordinals: _Ordinals = msgspec.field(default_factory=_Ordinals)
    volume_claim_templates: list[_Claim] = []


class _Meta(_Shape):
    name: str
    namespace: str = ""


class _Set(_Shape):
    metadata: _Meta
    spec: _Spec


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
        """Whether some URL of a member has TLS."""
        return any("https://" in url for word in self.words for url in URLS.findall(word.replace("_URLS=", "-urls=")))

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
        """What the Pods have besides and what is printed has not, in words."""
        found = [f"container {each['name']}" for each in self.pod["containers"] if each is not self.container]
        found += [f"init container {each['name']}" for each in self.pod.get("initContainers") or []]
        known = {"containers", "initContainers", "volumes", *PLACED, *REPLACED}
        return (*found, *sorted(str(key) for key, value in self.pod.items() if key not in known and value))


def read(text: bytes) -> Taken:
    """The set in that JSON; raises ``SettingsError``."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise _wrong("is no JSON: give what `kubectl get statefulset NAME -o json` prints") from None
    kind = found.get("kind") if isinstance(found, dict) else None
    if kind != "StatefulSet":
        shown = f"of kind {kind[:40]!r}" if isinstance(kind, str) else "without a kind"
        raise _wrong(
            f"has an object {shown}, not a StatefulSet: give what `kubectl get statefulset NAME -o json` prints"
        )
    if _is_deep(found):
        raise _wrong(f"is nested more than {DEEPEST} deep, which no StatefulSet is: give what kubectl prints")
    try:
        shape = msgspec.convert(found, _Set)
    except msgspec.ValidationError as error:
        raise _wrong(
            f"has no StatefulSet as Kubernetes has them ({error}): give the whole of what kubectl prints"
        ) from None
    return _taken(shape, found)


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"{SOURCE}: the file {what}")


def _is_deep(found: object) -> bool:
    level = [found]
    for _ in range(DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [one for each in inner for one in each]
        if not level:
            return False
    return True


def _taken(found: _Set, raw: Any) -> Taken:
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
    volumes = [claim, *(volume.name for volume in spec.template.spec.volumes)]
    if taken := sorted(set(volumes) & set(OURS)):
        raise _wrong(f"has a volume {taken[0]}, and so has peerboot: {BY_HAND}")
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


def _server(pod: _Pod, claim: str) -> tuple[int, _Mount]:
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


def _is_unread(server: _Container) -> bool:
    told = "\n".join((*server.command, *server.args))
    return bool(server.env_from or CONFIG_FILE.search(told) or any(v.name == "ETCD_CONFIG_FILE" for v in server.env))


def _data_dir(server: _Container) -> str:
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
    where = data_dir or taken.data_dir
    if not where:
        raise SettingsError(
            f"{SOURCE}: nothing in {taken.name} says where its server keeps its data: add --data-dir PATH"
        )
    path = posixpath.normpath(where)
    if not path.startswith(f"{taken.volume}/"):
        raise SettingsError(
            f"{SOURCE}: the data of {taken.name} is in {where[:100]}, and that is no directory below {taken.volume}, "
            "where its volume is: what is no longer good is renamed aside there, so that it has to lie in a directory "
            "of its own on the volume; if this is wrong, say --data-dir PATH"
        )
    return Wanted(taken=taken, data_dir=path, user=found, observe=observe)


def birth_of(namespace: str, name: str) -> str:
    """What the anchor of a cluster that is there holds (``peerboot/anchor.py``), the same whenever it is printed."""
    token = hashlib.sha256(f"taken over: {namespace}/{name}".encode()).hexdigest()[:32]
    return f'{{"version":1,"token":"{token}"}}'
