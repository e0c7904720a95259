"""The variants as objects, and the ways through them that the tests take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from peerboot.manifest import objects
from peerboot.manifest.options import Options
from peerboot.manifest.server import Server
from peerboot.outside import yaml
from tools import manifests

Object = dict[str, Any]
ETCD = manifests.SHOWN | manifests.OTHERS
VARIANTS = ETCD | manifests.KAFKA | manifests.POSTGRES
PARTS = {
    f"{kind}:{part}": (options, part)
    for kind, options, whole in (
        ("split", ("--split",), "kafka"),
        ("split-one-plain", ("--split", "--plain-sidecar", "--replicas", "1"), "kafka"),
        ("split-without", ("--split", "--no-rbac", "--name", "log", "--namespace", "shop", "--replicas", "5"), "log"),
        ("split-secured", ("--split", "--namespace", "shop", *manifests.KAFKA_SECURED), "kafka"),
        ("split-two", ("--split", "--replicas", "2", "--storage", "100Gi", "--quorum", "dynamic"), "kafka"),
    )
    for part in (whole, f"{whole}-controllers")
}
"""Each StatefulSet of --split as a variant of its own: options, and the name of the set."""
VARIANTS |= {name: options for name, (options, _) in PARTS.items()}
NAMES, ETCD_NAMES = sorted(VARIANTS), sorted(ETCD)
POSTGRES_NAMES = sorted(manifests.POSTGRES)
KAFKA_NAMES = sorted(set(NAMES) - set(ETCD) - set(POSTGRES_NAMES))
NATIVE = sorted(name for name, options in VARIANTS.items() if "--plain-sidecar" not in options)
PLAIN = sorted(set(NAMES) - set(NATIVE))
ORDERED = sorted(name for name, options in VARIANTS.items() if "--ordered-ready" in options)
PARALLEL = sorted(set(NAMES) - set(ORDERED))
WITHOUT_RBAC = sorted(name for name, options in VARIANTS.items() if "--no-rbac" in options)
WITH_RBAC = sorted(set(NAMES) - set(WITHOUT_RBAC))


@dataclass(frozen=True)
class Variant:
    """One variant: what was chosen, and the objects that came out."""

    options: Options
    adds: Server
    """What its system adds."""
    text: str
    objects: tuple[Object, ...]

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Object:
        """The one object of that kind, or of that kind and name."""
        [found] = [o for o in self.of(kind) if name in ("", o["metadata"]["name"])]
        return found

    @property
    def set(self) -> Object:
        """The StatefulSet's spec."""
        spec: Object = self.one("StatefulSet")["spec"]
        return spec

    @property
    def template(self) -> Object:
        """The Pod template."""
        template: Object = self.set["template"]
        return template

    @property
    def pod(self) -> Object:
        """The Pod's spec."""
        spec: Object = self.template["spec"]
        return spec

    @property
    def containers(self) -> list[Object]:
        """All containers, those that run first too."""
        return [*self.pod["initContainers"], *self.pod["containers"]]

    @property
    def programs(self) -> list[Object]:
        """Every container of peerboot."""
        return [c for c in self.containers if c["name"].startswith("peerboot")]

    @property
    def server(self) -> Object:
        """The server's container."""
        return self.container(self.adds.name)

    @property
    def client_service(self) -> str:
        """The name of the Service for clients."""
        return f"{self.options.name}{self.adds.client_suffix}"

    def ports(self, who: str) -> list[tuple[str, int]]:
        """Name and number of the server's ports that these reach."""
        return [(port.name, port.number) for port in self.adds.ports if port.reached_by == who]

    def container(self, name: str) -> Object:
        """One container."""
        [found] = [c for c in self.containers if c["name"] == name]
        return found


@cache
def variant(name: str) -> Variant:
    """One variant, parsed by a loader that refuses a key given twice."""
    system = "etcd" if name in ETCD else "postgres" if name in POSTGRES_NAMES else "kafka"
    options, adds, text = manifests.make(*VARIANTS[name], system=system)
    made, which = parse(text), PARTS[name][1] if name in PARTS else options.name
    [(options, adds)] = [(o, each) for o, each in objects.parts(options, adds) if o.name == which]
    if name in PARTS:
        made = [each for each in made if each["metadata"]["labels"]["app.kubernetes.io/instance"] == which]
    return Variant(options, adds, text, tuple(made))


def parse(text: str) -> list[Object]:
    """All documents."""
    found: list[Object] = []
    for part in re.split(r"^---$", text, flags=re.MULTILINE):
        loaded = yaml.load(part)
        if loaded is not None:
            assert isinstance(loaded, dict)
            found.append(loaded)
    return found


def env(container: Object) -> dict[str, Any]:
    """The environment: text, or the downward API's path."""
    return {
        var["name"]: var["value"] if "value" in var else var["valueFrom"]["fieldRef"]["fieldPath"]
        for var in container["env"]
    }


def mounts(container: Object) -> dict[str, str]:
    """Volume -> path."""
    return {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}


def probes(container: Object) -> dict[str, Object]:
    """The probes, by name."""
    return {name: container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container}
