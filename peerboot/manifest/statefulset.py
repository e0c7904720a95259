"""A StatefulSet as Kubernetes' API has it (apps/v1), as far as it is looked at. Pure.

Names are checked as the API server checks them, so that whatever says them needs no quotes.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from peerboot.errors import SettingsError

DEEPEST = 40
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
"""RFC 1123, as of objects, containers and volumes."""
Maybe = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$", max_length=253)]
"""The same, or empty."""
Id = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class Shape(msgspec.Struct, rename="camel"):
    """What of an object is looked at, with the types that Kubernetes gives it; whatever else there is stays."""


class Mount(Shape):
    """Of a container."""

    name: Name
    mount_path: Annotated[str, msgspec.Meta(pattern=r"^/[^\x00-\x1f]*$")]
    sub_path: str = ""
    sub_path_expr: str = ""


class Key(Shape):
    """Of a Secret."""

    name: Name
    key: Annotated[str, msgspec.Meta(pattern=r"^[-._a-zA-Z0-9]+$")]


class From(Shape):
    """Where a variable comes from."""

    secret_key_ref: Key | None = None
    config_map_key_ref: dict[str, Any] | None = None


class Variable(Shape):
    """Of a container's environment."""

    name: str
    value: str = ""
    value_from: From | None = None


class Security(Shape):
    """Of a Pod or a container."""

    run_as_user: Id | None = None
    run_as_group: Id | None = None
    fs_group: Id | None = None


class Port(Shape):
    """Of a container."""

    container_port: int
    name: str = ""


class Container(Shape):
    """One of a Pod's."""

    name: Name
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    env: list[Variable] = []
    env_from: list[dict[str, Any]] = []
    lifecycle: dict[str, Any] = {}
    ports: list[Port] = []
    resources: dict[str, Any] = {}
    volume_mounts: list[Mount] = []
    security_context: Security = msgspec.field(default_factory=Security)


class Named(Shape):
    """A volume, or what is only named."""

    name: Name


class Pod(Shape):
    """``spec`` of a Pod."""

    containers: list[Container]
    init_containers: list[Named] = []
    volumes: list[Named] = []
    security_context: Security = msgspec.field(default_factory=Security)
    service_account_name: Maybe = ""
    host_network: bool = False
    termination_grace_period_seconds: int = 30


class PodMeta(Shape):
    """``metadata`` of a Pod template."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}


class Template(Shape):
    """Of the Pods."""

    metadata: PodMeta
    spec: Pod


class Selector(Shape):
    """Of the Pods."""

    match_labels: dict[str, str] = {}
    match_expressions: list[dict[str, Any]] = []


class Ordinals(Shape):
    """Of the Pods."""

    start: int = 0


class Claim(Shape):
    """Template of the Pods' volume."""

    metadata: Named
    spec: dict[str, Any]


class Spec(Shape):
    """``spec`` of a StatefulSet."""

    selector: Selector
    template: Template
    replicas: int = 1
    service_name: Maybe = ""
    ordinals: Ordinals = msgspec.field(default_factory=Ordinals)
    volume_claim_templates: list[Claim] = []


class Meta(Shape):
    """``metadata`` of a StatefulSet."""

    name: Name
    namespace: Maybe = ""


class Set(Shape):
    """The whole."""

    metadata: Meta
    spec: Spec


def parse(text: bytes, source: str) -> tuple[Set, Any]:
    """The set in what kubectl prints, and the tree that it was made of. Raises ``SettingsError``, naming the source."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise wrong(source, "is no JSON: give what `kubectl get statefulset NAME -o json` prints") from None
    kind = found.get("kind") if isinstance(found, dict) else None
    if kind != "StatefulSet":
        shown = f"an object of kind {kind[:40]!r}" if isinstance(kind, str) else "an object without a kind"
        say = f"has {shown}, not a StatefulSet: give what `kubectl get statefulset NAME -o json` prints"
        raise wrong(source, say)
    if _is_deep(found):
        raise wrong(source, f"is nested more than {DEEPEST} deep, which no StatefulSet is: give what kubectl prints")
    try:
        return msgspec.convert(found, Set), found
    except msgspec.ValidationError as error:
        say = f"has no StatefulSet as Kubernetes has them ({error}): give the whole of what kubectl prints"
        raise wrong(source, say) from None


def wrong(source: str, what: str) -> SettingsError:
    """One line that names the source."""
    return SettingsError(f"{source}: the file {what}")


def _is_deep(found: object) -> bool:
    level = [found]
    for _ in range(DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [one for each in inner for one in each]
        if not level:
            return False
    return True
