"""What a person chooses for Kafka: TLS, logins, listeners, rack, properties; and what the image's tag says."""

from __future__ import annotations

import copy
import re
import shlex
from typing import Any

import pytest

from peerboot import cli, identity
from peerboot.outside import yaml
from peerboot.settings import read
from peerboot.systems.kafka import choices, config
from peerboot.systems.kafka.security import Material
from peerboot.systems.kafka.settings import SETTINGS
from tests.manifest.parsed import env, mounts, variant
from tests.shape import pages
from tools import manifests

SECURED = {
    "PEERBOOT_KAFKA_SECURITY": "SASL_SSL",
    "PEERBOOT_KAFKA_TLS_DIR": "/etc/kafka-tls",
    "PEERBOOT_KAFKA_USERS_DIR": "/etc/kafka-users",
    "PEERBOOT_BASE_CONFIG_FILE": "/etc/kafka-base/server.properties",
}
BROKERS = {
    "PEERBOOT_KAFKA_LISTENERS": "EXTERNAL:SASL_SSL:9094:kafka-{ordinal}.example.org",
    "PEERBOOT_KAFKA_RACK_FILE": "/etc/pod-labels/labels",
    "PEERBOOT_KAFKA_RACK_LABEL": "topology.kubernetes.io/zone",
}
TLS = {"secret": {"secretName": "kafka-tls", "defaultMode": 0o440}}
USERS = {"secret": {"secretName": "kafka-users", "defaultMode": 0o440}}
LABELS = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
BASE = {"configMap": {"name": "kafka-base"}}


def _chosen(name: str) -> dict[str, str]:
    """What is set besides that which a set without choices has."""
    [program] = variant(name).programs
    given = env(program)
    plain = {"kafka-secured": "kafka.yaml"}.get(name, name.replace("-secured", ""))
    return {key: value for key, value in given.items() if key not in env(variant(plain).programs[0])}


@pytest.mark.parametrize(
    ("name", "settings", "volumes"),
    [
        ("kafka-secured", SECURED | BROKERS, {"tls": TLS, "users": USERS, "labels": LABELS, "base": BASE}),
        ("split-secured:kafka", SECURED | BROKERS, {"tls": TLS, "users": USERS, "labels": LABELS, "base": BASE}),
        ("split-secured:kafka-controllers", SECURED, {"tls": TLS, "users": USERS, "base": BASE}),
    ],
    ids=["one set", "brokers", "controllers"],
)
def test_what_was_chosen_is_set_and_mounted(name: str, settings: dict[str, str], volumes: dict[str, object]) -> None:
    """Every choice is a setting, whose files peerboot's container mounts, read only, and the server's does not;
    controllers of a set of their own have no listeners for clients and no rack.
    """
    found = variant(name)
    assert _chosen(name) == settings
    [program] = found.programs
    usual = {"data", "output", "census", "token"}
    assert set(mounts(program)) - usual == set(volumes)
    assert set(mounts(found.server)) & set(volumes) == set()
    assert [m["name"] for m in program["volumeMounts"] if m["name"] in volumes and not m.get("readOnly")] == []
    there = {v["name"]: {key: value for key, value in v.items() if key != "name"} for v in found.pod["volumes"]}
    assert {key: value for key, value in there.items() if key in volumes} == volumes
    paths = {
        path.rpartition("/")[0] if path.endswith((".properties", "/labels")) else path for path in settings.values()
    }
    assert {mounts(program)[name] for name in volumes} == {path for path in paths if path.startswith("/")}


def test_peerboot_takes_what_was_chosen() -> None:
    """From the environment of the manifest peerboot makes a server.properties with these listeners, for this Pod."""
    [program] = variant("split-secured:kafka").programs
    plain = {key: value for key, value in env(program).items() if not key.startswith("POD_")}
    pod = {"POD_NAME": "kafka-1", "POD_NAMESPACE": "shop", "PEERBOOT_CLUSTER_DOMAIN": "cluster.local"}
    settings = read(plain | pod, systems={"kafka": SETTINGS})
    material = Material(users={"peerboot": "secret"}, rack="zone-a")
    made = config.prepare(settings, identity.derive(settings, "", ""), {}, material)
    lines = made.properties().splitlines()
    assert [line for line in lines if line.startswith(("listeners=", "advertised.listeners=", "broker.rack="))] == [
        "listeners=INTERNAL://[::]:9092,EXTERNAL://[::]:9094",
        (
            "advertised.listeners=INTERNAL://kafka-1.kafka-peers.shop.svc.cluster.local:9092,"
            "EXTERNAL://kafka-1.example.org:9094"
        ),
        "broker.rack=zone-a",
    ]


def test_clients_reach_a_further_listener() -> None:
    """Its port is one of the container, of the client Service and of what the network lets in, and of no controller."""
    found = variant("kafka-two-listeners")
    ports = {"client": 9092, "client-9094": 9094, "client-9095": 9095}
    assert {port["name"]: port["port"] for port in found.one("Service", "kafka")["spec"]["ports"]} == ports
    own = {port["name"]: port["containerPort"] for port in found.server["ports"]}
    assert own == ports | {"controller": 9093}
    assert variant("split-secured:kafka-controllers").ports("clients") == []
    assert variant("split-secured:kafka").ports("clients") == [("client", 9092), ("client-9094", 9094)]


@pytest.mark.parametrize(
    ("options", "protocol", "who"),
    [
        ((), None, "# Clients from anywhere. The server asks nobody for a password, so name yours where you can:"),
        (("--tls-secret", "t"), "SSL", "# Clients from anywhere: they have to show a certificate."),
        (("--users-secret", "u"), "SASL_PLAINTEXT", "# Clients from anywhere: they have to log in."),
        (("--tls-secret", "t", "--users-secret", "u"), "SASL_SSL", "# Clients from anywhere: they have to log in."),
        (
            ("--tls-secret", "t", "--users-secret", "u", "--listener", "EXTERNAL:SSL:9094"),
            "SASL_SSL",
            "# Clients from anywhere. EXTERNAL asks nobody for a password,",
        ),
    ],
    ids=["nothing", "TLS", "logins", "both", "a listener that asks nobody"],
)
def test_secrets_say_how_all_speak(options: tuple[str, ...], protocol: str | None, who: str) -> None:
    """TLS by one Secret, logins by the other; the network policy says whether clients are asked who they are."""
    text = manifests.make(*options, system="kafka")[2]
    said = [line.strip(" -{},").removeprefix("name: PEERBOOT_KAFKA_SECURITY, value: ") for line in text.splitlines()
            if "PEERBOOT_KAFKA_SECURITY" in line]  # fmt: skip
    assert said == ([protocol] if protocol else [])
    assert who in text


WRONG = {
    "TLS's Secret": (["--tls-secret", "TLS"], "--tls-secret='TLS' is not a name of a Secret"),
    "users' Secret": (["--users-secret", "a b"], "--users-secret='a b' is not a name of a Secret"),
    "ConfigMap": (["--base-config", "my_base"], "--base-config='my_base' is not a name of a ConfigMap"),
    "label": (
        ["--rack-label", "zone of the node"],
        "--rack-label='zone of the node' is not a label: write it like topology.kubernetes.io/zone",
    ),
    "listener": (
        ["--listener", "EXTERNAL:9094"],
        (
            "--listener: 'EXTERNAL:9094' is not NAME:PROTOCOL:PORT[:HOST[:ADVERTISED PORT]]: write it like "
            "EXTERNAL:SASL_SSL:9094:{pod}.kafka.example.org"
        ),
    ),
    "listener of two sets": (
        ["--split", "--listener", "EXTERNAL:SASL:9094"],
        "--listener: EXTERNAL has protocol 'SASL': use PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL",
    ),
    "listener's port": (
        ["--listener", "EXTERNAL:PLAINTEXT:9093"],
        "--listener: port 9093 of EXTERNAL is that of CONTROLLER: choose another",
    ),
    "peerboot's port": (
        ["--listener", "EXTERNAL:PLAINTEXT:7070"],
        "--listener: port 7070 of EXTERNAL is that of PEERBOOT_LISTEN: choose another",
    ),
    "two of one name": (
        ["--listener", "A:PLAINTEXT:9094", "--listener", "A:PLAINTEXT:9095"],
        "--listener has two listeners named A: give each its own name",
    ),
    "one name for all": (
        ["--listener", "EXTERNAL:PLAINTEXT:9094:kafka.example.org"],
        (
            "--listener: clients would be told kafka.example.org:9094 for every pod of EXTERNAL: use {pod} or "
            "{ordinal} in its host or port"
        ),
    ),
    "listener with TLS and no Secret": (
        ["--listener", "EXTERNAL:SSL:9094"],
        (
            "a listener has SSL or SASL_SSL, but --tls-secret is not set: mount a Secret with tls.crt, tls.key and "
            "ca.crt, and name it"
        ),
    ),
    "listener with logins and no Secret": (
        ["--tls-secret", "kafka-tls", "--listener", "EXTERNAL:SASL_SSL:9094"],
        (
            "a listener has SASL_SSL or SASL_PLAINTEXT, but --users-secret is not set: mount a Secret with a password "
            "for each user, and name it"
        ),
    ),
    "listener's host with a space": (
        ["--listener", "EXTERNAL:PLAINTEXT:9094:{pod}_x y"],
        (
            "--listener: clients of EXTERNAL would be told the host 'kafka-0_x y', which is no name that DNS or a "
            "certificate can have: use letters, digits, hyphens and dots"
        ),
    ),
    "one Secret for both": (
        ["--tls-secret", "kafka-all", "--users-secret", "kafka-all"],
        "--tls-secret and --users-secret are both kafka-all, and each key of the latter is a user: make two",
    ),
    "the census key's Secret for TLS": (
        ["--tls-secret", "kafka-census"],
        "--tls-secret=kafka-census is the Secret of the key that Pods sign with: use one of its own",
    ),
    "the census key's Secret for users, of two sets": (
        ["--split", "--name", "log", "--users-secret", "log-census"],
        "--users-secret=log-census is the Secret of the key that Pods sign with: use one of its own",
    ),
    "the anchor": (
        ["--base-config", "kafka-anchor"],
        "--base-config=kafka-anchor is a ConfigMap of this manifest's own: use another name",
    ),
    "the log's files, of two sets": (
        ["--split", "--base-config", "kafka-controllers-files"],
        "--base-config=kafka-controllers-files is a ConfigMap of this manifest's own: use another name",
    ),
    "controllers' storage of one set": (
        ["--controller-storage", "16Gi"],
        (
            "--controller-storage is for the controllers of --split: add --split, or drop it; --storage is for each "
            "volume of a set that is both"
        ),
    ),
    "controllers' storage": (
        ["--split", "--controller-storage", "16GB"],
        "--controller-storage='16GB' is not a size: write it like 8Gi or 500Mi",
    ),
}


@pytest.mark.parametrize(("args", "say"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_choice_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], say: str) -> None:
    """Exit 2, one line that names the option, nothing on stdout."""
    assert cli.main(["manifest", "kafka", *args]) == 2
    assert capsys.readouterr() == ("", f"peerboot: {say}\n")


CHOICES = ("--listener", "--rack-label", "--base-config", "--quorum")


@pytest.mark.parametrize("option", ["--listener", "--rack-label", "--quorum", "--controller-storage"])
def test_choices_that_only_some_systems_have(capsys: pytest.CaptureFixture[str], option: str) -> None:
    """For etcd, which has none of them: exit 2, one line."""
    assert cli.main(["manifest", "etcd", option, "x"]) == 2
    assert capsys.readouterr() == (
        "",
        f"peerboot: {option} is not for etcd: its manifest has no such choice: drop it\n",
    )


def test_what_is_left_to_do_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two sets too: how each object that the Pods need is made, the certificate's names, Services for clients."""
    image = ("--image", "registry.example/peerboot:1", "--server-image", "registry.example/kafka:4.3.1")
    assert cli.main(["manifest", "kafka", "--split", "--namespace", "shop", *image, *manifests.KAFKA_SECURED]) == 0
    _secret, *lines = capsys.readouterr().err.splitlines()
    assert lines == [
        (
            "peerboot: the Secret kafka-tls has tls.crt, tls.key and ca.crt, for server auth and client auth; its "
            "names are *.kafka-peers.shop.svc.DOMAIN, kafka-peers.shop.svc.DOMAIN, "
            "*.kafka-controllers-peers.shop.svc.DOMAIN, kafka-controllers-peers.shop.svc.DOMAIN, what clients begin "
            "with (kafka.shop.svc.DOMAIN), and every host of a --listener (DOMAIN: as cluster.local)"
        ),
        (
            "peerboot: the Secret kafka-users has a password under each user's name, and peerboot is one: head -c 24 "
            "/dev/urandom | base64 | kubectl create secret generic kafka-users --namespace shop "
            "--from-file=peerboot=/dev/stdin"
        ),
        (
            "peerboot: the ConfigMap kafka-base has your properties under the key server.properties: kubectl create "
            "configmap kafka-base --namespace shop --from-file=server.properties"
        ),
        (
            "peerboot: before Kubernetes 1.35 no Pod has the label topology.kubernetes.io/zone by itself, and a broker "
            "without it does not start: there drop --rack-label, and let an init container before peerboot write the "
            "zone of its node into the file of PEERBOOT_KAFKA_RACK_FILE"
        ),
        (
            "peerboot: clients of EXTERNAL are told kafka-{ordinal}.example.org:9094: make a Service for each Pod that "
            "leads from there to its port 9094, by the selector statefulset.kubernetes.io/pod-name"
        ),
        "peerboot: kafka-controllers has 3 Pods, whatever --replicas says, which is for the other set",
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("etcd.yaml", ["For the database"]),
        ("kafka.yaml", ["For what clients write"]),
        ("split:kafka", ["For the log of the metadata", "For what clients write"]),
    ],
    ids=["etcd", "kafka", "kafka split"],
)
def test_every_volume_says_what_it_is_for(name: str, words: list[str]) -> None:
    """Each claim has a reason beside its size: brokers' by what clients write, controllers' by the metadata."""
    claims = re.findall(r"volumeClaimTemplates:.*?resources:", variant(name).text, re.DOTALL)
    assert [next(word for word in words if f"# {word}" in claim) for claim in claims] == words


def _page() -> str:
    return (pages.ROOT / "examples/kafka/README.md").read_text()


def _shown(kind: str) -> list[dict[str, Any]]:
    """The page's objects of that kind."""
    loaded = [yaml.load(text) for text in pages.blocks(_page(), "yaml")]
    return [one for one in loaded if isinstance(one, dict) and one["kind"] == kind]


@pytest.mark.parametrize("path", ["examples/kafka/README.md", "peerboot/systems/kafka/README.md"])
def test_the_commands_of_the_pages_are_taken(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each `peerboot manifest kafka` in a page prints objects, and names all five choices in one of them."""
    text = (pages.ROOT / path).read_text().replace("REGISTRY", "registry.example").replace("TAG", "4.3.1")
    shown = [shlex.split(command.partition("|")[0]) for command, _ in pages.commands(text) if " manifest " in command]
    for words in shown:
        assert (words[:3], cli.main(words[1:])) == (["peerboot", "manifest", "kafka"], 0)
    assert [
        words for words in shown if {"--tls-secret", "--users-secret", "--listener", "--rack-label"} < set(words)
    ] != []
    assert "kind: StatefulSet" in capsys.readouterr().out


def test_the_certificate_of_the_page_has_the_names_that_are_asked_for() -> None:
    """cert-manager's Certificate has the names and usages that the command asks for, in the Secret that it names."""
    [certificate] = _shown("Certificate")
    chosen, server, _ = manifests.make("--namespace", "shop", *manifests.KAFKA_SECURED, system="kafka")
    [asked] = [
        need.what for need in choices.adapted(server, chosen).needs if need.what.startswith("the Secret kafka-tls")
    ]
    names = {name.replace("cluster.local", "DOMAIN") for name in certificate["spec"]["dnsNames"]} - {"*.example.org"}
    assert names == set(re.findall(r"[*a-z.-]*kafka[a-z-]*\.shop\.svc\.DOMAIN", asked))
    assert certificate["spec"]["secretName"] == chosen.tls_secret
    assert [usage for usage in certificate["spec"]["usages"] if usage not in asked] == []


def test_the_service_of_the_page_leads_to_one_pod() -> None:
    """By the label that the StatefulSet's controller gives each Pod, to a port of the server's container."""
    found, services = variant("kafka-secured"), _shown("Service")
    assert [service["spec"]["type"] for service in services] == ["LoadBalancer", "NodePort"]
    for service in services:
        assert service["spec"]["selector"] == {"statefulset.kubernetes.io/pod-name": f"{found.options.name}-0"}
        [port] = service["spec"]["ports"]
        assert (port["name"], port["targetPort"]) in found.ports("clients")


def _patched(found: Any, operations: list[dict[str, Any]]) -> Any:
    """After a JSON patch (RFC 6902) that only adds to lists."""
    whole = copy.deepcopy(found)
    for each in operations:
        *path, last = each["path"].removeprefix("/").split("/")
        there = whole
        for part in path:
            there = there[int(part) if isinstance(there, list) else part]
        assert (each["op"], type(there)) == ("add", list)
        there.insert(len(there) if last == "-" else int(last), each["value"])
    return whole


@pytest.mark.parametrize("name", ["kafka.yaml", "kafka-3.8", "split:kafka"])
def test_the_rack_of_a_node_is_written_before_peerboot_reads_it(name: str) -> None:
    """The page's patch fits the manifest: its container is the first, all that is mounted is a volume of the Pod, and
    peerboot reads the file that it writes.
    """
    [patch] = [found for text in pages.blocks(_page(), "yaml") if isinstance(found := yaml.load(text), list)]
    spec = _patched(variant(name).one("StatefulSet"), patch)["spec"]
    pod = spec["template"]["spec"]
    first, peerboot = pod["initContainers"]
    assert (first["name"], peerboot["name"]) == ("rack", "peerboot")
    volumes = {each["name"] for each in pod["volumes"]} | {c["metadata"]["name"] for c in spec["volumeClaimTemplates"]}
    assert [m["name"] for each in (first, peerboot) for m in each["volumeMounts"] if m["name"] not in volumes] == []
    [file] = [each["value"] for each in peerboot["env"] if each["name"] == "PEERBOOT_KAFKA_RACK_FILE"]
    assert first["command"][-1].endswith(f" > {file}")
    assert {"name": "rack", "mountPath": "/rack", "readOnly": True} in peerboot["volumeMounts"]
