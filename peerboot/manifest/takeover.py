"""What a StatefulSet that runs already keeps when peerboot takes it over, read from its JSON. Pure.

Shape: ``kubectl get statefulset NAME -o json`` (apps/v1 StatefulSet). What is kept is what the Pods, their volumes and
whoever finds them hang on: names, labels, the governing Service, the claims, the server's image, user and volume. Each
error is one line.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from peerboot.errors import SettingsError
from peerboot.manifest.writer import Tree

SOURCE = "--take-over"
WHOLE = re.compile(r"/[^\s$\"']*")
"""A path without what only the container's shell or the kubelet knows."""
DATA_DIR = re.compile(rf"(?<![\w-])--?data-dir[=\s]+[\"']?({WHOLE.pattern})(?=[\s\"']|$)")


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
    volume: str
    """Where the server has the volume."""
    sub_path: str = ""
    """Of the volume, which the server has there."""
    data_dir: str = ""
    """As the server is told; empty: nothing here says it."""
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
        """Whether some word of the server's container is a URL with TLS."""
        return any("https://" in word for word in self.words)

    @property
    def words(self) -> tuple[str, ...]:
        """Everything that the server's container is told."""
        return tuple(_words(self.container))

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its environment."""
        return tuple(str(variable.get("name", "")) for variable in self.container.get("env") or [])


def read(text: str) -> Taken:
    """The set in that JSON; raises ``SettingsError``."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("is no JSON: give what `kubectl get statefulset NAME -o json` prints") from None
    kind = found.get("kind") if isinstance(found, dict) else None
    if kind != "StatefulSet":
        shown = "an object without a kind" if not isinstance(kind, str) else f"a {kind[:40]}"
        raise _wrong(f"is {shown}, not a StatefulSet: give what `kubectl get statefulset NAME -o json` prints")
    try:
        return _taken(found)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        raise _wrong("lacks what every StatefulSet has: give the whole of what kubectl prints") from None


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"{SOURCE}: the file {what}")


def _taken(found: Tree) -> Taken:
    spec, template = found["spec"], found["spec"]["template"]
    name = str(found["metadata"]["name"])
    if spec["selector"].get("matchExpressions"):
        raise _wrong(f"selects the Pods of {name} by expressions, which nothing here writes: make the set by hand")
    claims = spec.get("volumeClaimTemplates") or []
    if len(claims) != 1:
        names = ", ".join(str(each["metadata"]["name"]) for each in claims) or "none"
        raise _wrong(
            f"has {len(claims)} volumes of its own for each Pod ({names}), and what is printed has one: make the set "
            "by hand"
        )
    claim = {"metadata": {"name": str(claims[0]["metadata"]["name"])}, "spec": _claim_spec(claims[0]["spec"])}
    container, mount = _server(template["spec"], claim["metadata"]["name"])
    security = {**(template["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    return Taken(
        name=name,
        namespace=str(found["metadata"].get("namespace", "")),
        replicas=int(spec.get("replicas", 1)),
        service=str(spec["serviceName"]),
        selector=_texts(spec["selector"]["matchLabels"]),
        labels=_texts(template["metadata"]["labels"]),
        claim=claim,
        container=container,
        pod=template["spec"],
        volume=str(mount["mountPath"]).rstrip("/"),
        sub_path=str(mount.get("subPath", "")),
        data_dir=_data_dir(container),
        user=_number(security.get("runAsUser")),
        group=_number(security.get("runAsGroup")),
        fs_group=_number(security.get("fsGroup")),
    )


def _claim_spec(spec: Tree) -> Tree:
    kept = ("accessModes", "storageClassName", "resources", "volumeMode", "selector", "volumeAttributesClassName")
    return {key: spec[key] for key in kept if key in spec}


def _server(pod: Tree, claim: str) -> tuple[Tree, Tree]:
    """The container that has the volume, and where."""
    having = [
        (container, mount)
        for container in pod["containers"]
        for mount in container.get("volumeMounts") or []
        if mount["name"] == claim
    ]
    if len(having) != 1:
        names = ", ".join(str(container["name"]) for container, _ in having) or "none"
        raise _wrong(
            f"has {len(having)} mounts of the volume {claim} ({names}), and the server is known by being the only one: "
            "make the set by hand"
        )
    return having[0]


def _texts(found: Tree) -> Mapping[str, str]:
    return {str(key): str(value) for key, value in found.items()}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(container: Tree) -> Iterator[str]:
    for key in ("command", "args"):
        yield from (str(word) for word in container.get(key) or [])
    yield from (str(variable.get("value", "")) for variable in container.get("env") or [])


def _data_dir(container: Tree) -> str:
    """``--data-dir`` of the command line or of a script in it, or ETCD_DATA_DIR; nothing that only a shell knows."""
    words = "\n".join(str(word) for key in ("command", "args") for word in container.get(key) or [])
    if given := DATA_DIR.search(words):
        return given[1]
    for variable in container.get("env") or []:
        value = str(variable.get("value", ""))
        if variable.get("name") == "ETCD_DATA_DIR" and WHOLE.fullmatch(value):
            return value
    return ""


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
