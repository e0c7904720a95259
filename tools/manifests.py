"""The manifests of examples/, of each system, which ``make docs`` writes (tools/docs.py).

The variants that are shown there, and every other that is worth a try on a real API server, each as a command line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from peerboot import IMAGE, cli, systems, template
from peerboot.manifest import objects
from peerboot.manifest.options import Options
from peerboot.manifest.server import Server

FOLDER, KAFKA_FOLDER = "examples/etcd", "examples/kafka"
SHOWN: dict[str, tuple[str, ...]] = {
    "etcd.yaml": (),
    "no-rbac.yaml": ("--no-rbac",),
    "guaranteed.yaml": ("--guaranteed",),
    "plain-sidecar.yaml": ("--plain-sidecar",),
    "ordered-ready.yaml": ("--ordered-ready",),
    "events.yaml": ("--events",),
}
"""File in examples/etcd -> options."""
OTHERS: dict[str, tuple[str, ...]] = {
    "namespace": ("--namespace", "shop", "--with-namespace"),
    "namespace-without-pod-security": ("--namespace", "shop", "--with-namespace", "--pod-security", "none"),
    "secret": ("--with-secret",),
    "one": ("--replicas", "1"),
    "five-elsewhere": (
        *("--name", "store", "--namespace", "shop", "--replicas", "5", "--storage", "20Gi", "--storage-class", "fast"),
        *(
            "--image",
            "registry.example:5000/tools/peerboot:1",
            "--server-image",
            "registry.example/etcd@sha256:" + "0" * 64,
        ),
    ),
    "by-hand": ("--storage-class", ""),
    "secured": ("--tls-secret", "etcd-tls", "--users-secret", "etcd-users", "--namespace", "shop"),
    "secured-ordered": ("--tls-secret", "etcd-tls", "--ordered-ready", "--plain-sidecar"),
    "census-tls": ("--tls-secret", "etcd-tls", "--census-auth", "tls"),
    "census-either": ("--tls-secret", "etcd-tls", "--census-auth", "hmac,tls", "--plain-sidecar"),
    "plain-no-rbac": ("--plain-sidecar", "--no-rbac"),
    "plain-ordered-guaranteed-events": ("--plain-sidecar", "--ordered-ready", "--guaranteed", "--events"),
    "everything": (
        *("--namespace", "shop", "--with-namespace", "--with-secret", "--guaranteed", "--events", "--native-sidecar"),
        *("--ordered-ready", "--name", "a" * 52),
    ),
}
"""Further variants, by a name of their own."""
KAFKA_SHOWN: dict[str, tuple[str, ...]] = {"kafka.yaml": ()}
"""File in examples/kafka -> options."""
KAFKA_SPLIT_FOLDER = "examples/kafka-split"
KAFKA_SPLIT: dict[str, tuple[str, ...]] = {"kafka-split.yaml": ("--split",)}
"""File in examples/kafka-split -> options."""
KAFKA_SECURED = (
    *("--tls-secret", "kafka-tls", "--users-secret", "kafka-users", "--base-config", "kafka-base"),
    *(
        "--listener",
        "EXTERNAL:SASL_SSL:9094:kafka-{ordinal}.example.org",
        "--rack-label",
        "topology.kubernetes.io/zone",
    ),
)
"""Everything encrypted and everybody logged in, clients outside, racks, and properties of one's own."""
KAFKA: dict[str, tuple[str, ...]] = KAFKA_SHOWN | {
    "kafka-secured": KAFKA_SECURED,
    "kafka-two-listeners": ("--plain-sidecar", "--listener", "A:PLAINTEXT:9094", "--listener", "B:PLAINTEXT:9095"),
    "kafka-3.8": ("--server-image", "apache/kafka:3.8.1"),
    "kafka-static": ("--server-image", "apache/kafka:4.1.0", "--quorum", "static"),
    "kafka-plain-no-rbac": ("--plain-sidecar", "--no-rbac"),
    "kafka-five-everything": (
        *("--namespace", "shop", "--with-namespace", "--with-secret", "--guaranteed", "--events"),
        *("--name", "log", "--replicas", "5", "--storage", "100Gi"),
        *("--server-image", "registry.example/team/cp-kafka:8.1.0"),
    ),
}
"""Variants of Kafka's, by name."""


POSTGRES_FOLDER = "examples/postgres"
POSTGRES_SHOWN: dict[str, tuple[str, ...]] = {"postgres.yaml": ()}
"""File in examples/postgres -> options."""
POSTGRES: dict[str, tuple[str, ...]] = POSTGRES_SHOWN | {
    "postgres-chosen": (
        *("--tls-secret", "postgres-tls", "--users-secret", "pg-logins", "--base-config", "postgres-base"),
        *("--promote", "best-when-full", "--synchronous", "1"),
    ),
    "postgres-18": ("--server-image", "registry.example/postgres:18.4-alpine3.23"),
    "postgres-plain-no-rbac": ("--plain-sidecar", "--no-rbac"),
    "postgres-five-everything": (
        *("--namespace", "shop", "--with-namespace", "--with-secret", "--guaranteed", "--events", "--name", "ledger"),
        *("--replicas", "5", "--storage", "100Gi", "--storage-class", "fast", "--access-mode", "ReadWriteOnce"),
        *("--server-image", "registry.example/team/postgis:17-3.5"),
    ),
}
"""Variants of Postgres', by name."""


def make(*options: str, system: str = "etcd") -> tuple[Options, Server, str]:
    """One variant as the command line makes it: what was chosen, what the system adds, the text."""
    argv = ["manifest", system, *options]
    server = systems.server_of(system)
    chosen = template.chosen(cli.build_parser(argv).parse_args(argv), server, " ".join(["peerboot", *argv]))
    return chosen, server, objects.render(chosen, server)


def variants() -> dict[str, str]:
    """Every variant as text, by name; for tests that apply them."""
    made = {name: _text(options) for name, options in (SHOWN | OTHERS).items()}
    made |= {name: _text(options, "kafka") for name, options in (KAFKA | KAFKA_SPLIT).items()}
    return made | {name: _text(options, "postgres") for name, options in POSTGRES.items()}


def _text(options: tuple[str, ...], system: str = "etcd") -> str:
    return make(*options, system=system)[2]


def kustomization(system: str, resource: str = "") -> str:
    """An overlay that changes what is most often changed."""
    name, _, tag = IMAGE.partition(":")
    server, _, server_tag = systems.server_of(system).image.partition(":")
    return f"""\
# `kubectl apply -k .`: the default manifest with images and namespace of your own.
# Prefixes and suffixes for names are no use here: peerboot is told names by its settings. Make it anew with --name.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: default
resources: [{resource or system}.yaml]
images:
  - name: {name}
    newName: {name}  # your registry's, for example registry.example/{name}
    newTag: "{tag}"
  - name: {server}
    newName: {server}  # {system}'s own, as your nodes can pull it
    newTag: "{server_tag}"
"""


FILES: dict[str, Callable[[], str]] = {
    **{f"{FOLDER}/{name}": partial(_text, options) for name, options in SHOWN.items()},
    f"{FOLDER}/kustomization.yaml": partial(kustomization, "etcd"),
    **{f"{KAFKA_FOLDER}/{name}": partial(_text, options, "kafka") for name, options in KAFKA_SHOWN.items()},
    f"{KAFKA_FOLDER}/kustomization.yaml": partial(kustomization, "kafka"),
    **{f"{KAFKA_SPLIT_FOLDER}/{name}": partial(_text, options, "kafka") for name, options in KAFKA_SPLIT.items()},
    f"{KAFKA_SPLIT_FOLDER}/kustomization.yaml": partial(kustomization, "kafka", "kafka-split"),
    **{f"{POSTGRES_FOLDER}/{name}": partial(_text, options, "postgres") for name, options in POSTGRES_SHOWN.items()},
    f"{POSTGRES_FOLDER}/kustomization.yaml": partial(kustomization, "postgres"),
}
"""Every generated file, by its path in the project; `make docs` writes them."""
