"""Kafka as `peerboot manifest kafka` secures it: all that is chosen by options at once, in real Pods."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kafka_sets import BIN, TOOLS, make_split
from tests.kubernetes.kube import Cluster, Kube

pytestmark = pytest.mark.node
CHOSEN = (
    *("--tls-secret", "kafka-tls", "--users-secret", "kafka-users", "--base-config", "kafka-base"),
    *("--listener", "EXTERNAL:SASL_SSL:9094", "--rack-label", "app.kubernetes.io/instance"),
)
"""Clients are told the Pods' own names, and the rack is a label that every Pod has: neither needs more of the node."""
READY = 200
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
CLIENT = """\
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="orders" password="theirs";
ssl.truststore.type=PEM
ssl.truststore.location=/run/peerboot/truststore.pem
"""


def _certificate(folder: Path, names: list[str]) -> dict[str, bytes]:
    """tls.crt, tls.key and ca.crt of a new CA."""
    ca, key = folder / "ca.crt", folder / "ca.key"
    _openssl("req", "-x509", *CURVE, "-subj", "/CN=ca", "-keyout", str(key), "-out", str(ca))
    _openssl(
        "req", "-x509", *CURVE, "-subj", "/CN=kafka", "-addext", f"subjectAltName={','.join(names)}",
        "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth",
        "-CA", str(ca), "-CAkey", str(key), "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"),
    )  # fmt: skip
    return {name: (folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt")}


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S603, S607 - our own words


def _make_what_is_named(kube: Kube, folder: Path) -> None:
    """The two Secrets and the ConfigMap, as stderr of the command asks for them."""
    zone = f"{kube.namespace}.svc.cluster.local"
    peers = [f"{name}-peers.{zone}" for name in ("kafka", "kafka-controllers")]
    names = [f"DNS:{name}" for each in peers for name in (f"*.{each}", each)] + [f"DNS:kafka.{zone}"]
    users = {"peerboot": b"ours\n", "orders": b"theirs\n"}
    for name, files in (("kafka-tls", _certificate(folder, names)), ("kafka-users", users)):
        data = {key: base64.b64encode(value).decode() for key, value in files.items()}
        kube.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}])
    base = {"server.properties": "num.partitions=6\n"}
    kube.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kafka-base"}, "data": base}])


def test_two_secured_sets_serve_clients_that_log_in(kafka_cluster: Cluster, measure: Measure, tmp_path: Path) -> None:
    """With what the command asks for, and nothing else, all six Pods are Ready. A client that logs in at the further
    listener makes a topic, which has the number of partitions of the ConfigMap; brokers have the rack of their label.
    """
    controllers, brokers = make_split(kafka_cluster, f"secured-{time.monotonic_ns() % 100_000_000}", *CHOSEN)
    kube = brokers.kube
    _make_what_is_named(kube, tmp_path)
    began = time.monotonic()
    for each in (controllers, brokers):
        each.apply()
    for each in (controllers, brokers):
        each.wait_ready(READY)
    measure("Kafka, two sets, secured: six Pods Ready", time.monotonic() - began)
    variables = " ".join(f"{name}='{value}'" for name, value in TOOLS.items())
    script = f"""
set -e
cat > /tmp/client.properties <<'END'
{CLIENT}END
export {variables}
ask="{BIN}/kafka-topics.sh --bootstrap-server kafka.{kube.namespace}.svc.cluster.local:9094 --command-config \
    /tmp/client.properties --topic orders"
$ask --create
$ask --describe
"""
    said = kube.exec("kafka-0", "sh", "-c", script, container="kafka", seconds=120)
    assert ("PartitionCount: 6" in said, "ReplicationFactor: 3" in said) == (True, True)
    rack = kube.exec("kafka-0", "grep", "^broker.rack=", "/run/peerboot/server.properties", container="kafka")
    assert rack == "broker.rack=kafka\n"
    kube.run("delete", "namespace", kube.namespace, "--wait=false")
