"""Listeners, TLS and SASL in ``server.properties``, the files beside it, and what is refused in one line."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from pathlib import Path

import pytest

from peerboot import settings
from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.systems.kafka import config, material, properties
from peerboot.systems.kafka.spec import SYSTEM
from tests.doors.api_server import Certificates, make_certificates
from tests.kafka.test_config import identity

HOST = ".kafka.prod.svc.cluster.local"
LOGIN = "org.apache.kafka.common.security."


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, and a server's certificate."""
    return make_certificates(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture
def tls(tmp_path: Path, certificates: Certificates) -> Path:
    """A Secret as cert-manager makes it."""
    folder = tmp_path / "tls"
    folder.mkdir()
    for name, made in (("tls.crt", certificates.chain), ("ca.crt", certificates.ca), ("tls.key", certificates.key)):
        shutil.copy(made, folder / name)
    return folder


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """Two users; the kubelet's own names are there as well."""
    folder = tmp_path / "users"
    (folder / "..data").mkdir(parents=True)
    (folder / "peerboot").write_text('a "b" \\c, ]\n')
    (folder / "orders").write_text("o")
    return folder


def made(who: Identity | None = None, /, **environ: object) -> config.KafkaConfig:
    """The config that these settings, without their prefix, lead to."""
    who = who or identity("kafka-1")
    given = {
        "PEERBOOT_SYSTEM": "kafka", "PEERBOOT_SERVICE": "kafka", "POD_NAME": who.pod, "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none", "PEERBOOT_OUTPUT_DIR": "/run/peerboot",
        **{f"PEERBOOT_KAFKA_{name}": str(value) for name, value in environ.items()},
    }  # fmt: skip
    parsed = settings.read(given, systems={"kafka": SYSTEM.settings})
    return config.prepare(parsed, who, {}, material.read(parsed))


def keys(there: config.KafkaConfig, *parts: str) -> dict[str, str]:
    """The keys of server.properties that have one of these in their name."""
    found = properties.parse(there.properties())
    return {key: value for key, value in found.items() if any(part in key for part in parts)}


def test_further_listeners() -> None:
    """Each with its own protocol and port, and what clients are told: a name for each pod, or a port for each."""
    listeners = (
        "LB:PLAINTEXT:9094:kafka-{ordinal}.example.org:9095, NODES:PLAINTEXT:9096:nodes.example.org:31090+{ordinal}"
    )
    assert keys(made(LISTENERS=listeners), "listeners", "protocol.map") == {
        "listeners": "CONTROLLER://[::]:9093,INTERNAL://[::]:9092,LB://[::]:9094,NODES://[::]:9096",
        "advertised.listeners": f"CONTROLLER://kafka-1{HOST}:9093,INTERNAL://kafka-1{HOST}:9092,"
        "LB://kafka-1.example.org:9095,NODES://nodes.example.org:31091",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,LB:PLAINTEXT,NODES:PLAINTEXT",
    }


def test_without_security_nothing_is_said_of_it() -> None:
    """No key of TLS or SASL, no file beside server.properties, no user."""
    there = made()
    assert (keys(there, "ssl", "sasl"), there.security.files(), there.security.scram("n")) == ({}, {}, "")


def test_mutual_tls(tls: Path) -> None:
    """Both own listeners ask for a certificate: nothing else says who may write the metadata."""
    there = made(SECURITY="SSL", TLS_DIR=tls, LISTENERS="E:SSL:9094", CLIENT_AUTH="requested")
    assert keys(there, "ssl", "sasl", "protocol.map") == {
        "listener.security.protocol.map": "CONTROLLER:SSL,INTERNAL:SSL,E:SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": "/run/peerboot/keystore.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "/run/peerboot/truststore.pem",
        "listener.name.e.ssl.client.auth": "requested",
        "listener.name.controller.ssl.client.auth": "required",
        "listener.name.internal.ssl.client.auth": "required",
    }
    assert there.security.files() == {
        "keystore.pem": (tls / "tls.key").read_text() + (tls / "tls.crt").read_text(),
        "truststore.pem": (tls / "ca.crt").read_text(),
    }


def test_scram_for_brokers_and_plain_for_controllers(tls: Path, users: Path) -> None:
    """Controllers cannot read SCRAM's credentials before they have a leader; only the cluster's user is known there."""
    there = made(SECURITY="SASL_SSL", TLS_DIR=tls, USERS_DIR=users, LISTENERS="E:SASL_SSL:9094")
    own = r'username="peerboot" password="a \"b\" \\c, ]"'
    assert keys(there, "sasl") == {
        "sasl.mechanism.controller.protocol": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": f"{LOGIN}plain.PlainLoginModule required {own} "
        r'user_peerboot="a \"b\" \\c, ]";',
        "listener.name.internal.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.internal.scram-sha-512.sasl.jaas.config": f"{LOGIN}scram.ScramLoginModule required {own};",
        "listener.name.e.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.e.scram-sha-512.sasl.jaas.config": f"{LOGIN}scram.ScramLoginModule required;",
    }
    assert (there.security.login("controller"), there.security.login("broker")) == (
        ("PLAIN", "peerboot", 'a "b" \\c, ]'),
        ("SCRAM-SHA-512", "peerboot", 'a "b" \\c, ]'),
    )


def test_plain_knows_every_user_at_the_brokers(users: Path) -> None:
    """And nobody but the cluster's own at the controllers."""
    there = made(SECURITY="SASL_PLAINTEXT", SASL_MECHANISM="PLAIN", USERS_DIR=users)
    found = {key: re.findall(r"user_(\w+)=", value) for key, value in keys(there, "jaas").items()}
    assert found == {
        "listener.name.controller.plain.sasl.jaas.config": ["peerboot"],
        "listener.name.internal.plain.sasl.jaas.config": ["orders", "peerboot"],
    }


def test_users_of_scram_are_salted(users: Path) -> None:
    """One line for each; a password is in none, and another disk has other salts."""
    there = made(SECURITY="SASL_PLAINTEXT", USERS_DIR=users).security
    lines = there.scram("n1").splitlines()
    found = [re.fullmatch(r'SCRAM-SHA-512=\[name=(\w+),iterations=(\d+),salt="(.*)",saltedpassword="(.*)"\]', one)
             for one in lines]  # fmt: skip
    told = {one[1]: (one[3], one[4], int(one[2])) for one in found if one}
    assert sorted(told) == ["orders", "peerboot"]
    salt, salted, rounds = told["orders"]
    expected = hashlib.pbkdf2_hmac("sha512", b"o", base64.b64decode(salt), rounds)
    assert (base64.b64decode(salted), there.scram("n1"), there.scram("n2") != there.scram("n1")) == (
        expected,
        "\n".join([*lines, ""]),
        True,
    )


def test_no_text_shows_a_secret(tls: Path, users: Path) -> None:
    """A config that is printed by mistake has neither key nor password in it."""
    there = repr(made(SECURITY="SASL_SSL", TLS_DIR=tls, USERS_DIR=users))
    assert ("PRIVATE" in there, "\\c" in there) == (False, False)


def test_keys_that_peerboot_writes_are_its_own(tls: Path) -> None:
    """A user's file may set TLS's protocols, but not another keystore."""
    environ = {
        "PEERBOOT_SYSTEM": "kafka", "PEERBOOT_SERVICE": "kafka", "POD_NAME": "kafka-0", "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none", "PEERBOOT_KAFKA_SECURITY": "SSL", "PEERBOOT_KAFKA_TLS_DIR": str(tls),
    }  # fmt: skip
    parsed = settings.read(environ, systems={"kafka": SYSTEM.settings})
    there = config.prepare(parsed, identity(), {"ssl.enabled.protocols": "TLSv1.3"}, material.read(parsed))
    assert properties.parse(there.properties())["ssl.enabled.protocols"] == "TLSv1.3"
    with pytest.raises(
        SettingsError, match=r"'ssl.keystore.location' in PEERBOOT_BASE_CONFIG_FILE belongs to peerboot"
    ):
        config.prepare(parsed, identity(), {"ssl.keystore.location": "/a"}, material.read(parsed))


LISTENERS = "PEERBOOT_KAFKA_LISTENERS"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"LISTENERS": "EXTERNAL:9094"},
            (
                f"{LISTENERS}: 'EXTERNAL:9094' is not NAME:PROTOCOL:PORT[:HOST[:ADVERTISED PORT]]: write it like "
                "EXTERNAL:SASL_SSL:9094:{pod}.kafka.example.org"
            ),
        ),
        (
            {"LISTENERS": "external:SSL:9094"},
            f"{LISTENERS}: 'external' is no name of a listener: use upper-case letters, digits and _",
        ),
        (
            {"LISTENERS": "E:TLS:9094"},
            f"{LISTENERS}: E has protocol 'TLS': use PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL",
        ),
        ({"LISTENERS": "E:SSL:0"}, f"{LISTENERS}: E has port '0': use one from 1 to 65535"),
        (
            {"LISTENERS": "CONTROLLER:PLAINTEXT:9094"},
            f"{LISTENERS}: CONTROLLER is the name of the cluster's own listener: choose another one",
        ),
        (
            {"LISTENERS": "E:PLAINTEXT:9094,E:PLAINTEXT:9095"},
            f"{LISTENERS} has two listeners named E: give each its own name",
        ),
        (
            {"LISTENERS": "E:PLAINTEXT:9094,F:PLAINTEXT:9094"},
            f"{LISTENERS}: port 9094 of F is that of E: choose another",
        ),
        ({"LISTENERS": "E:PLAINTEXT:9092"}, f"{LISTENERS}: port 9092 of E is that of INTERNAL: choose another"),
        (
            {"LISTENERS": "E:PLAINTEXT:7070"},
            f"{LISTENERS}: port 7070 of E is that of PEERBOOT_LISTEN: choose another",
        ),
        (
            {"LISTENERS": "E:PLAINTEXT:9094:kafka.example.org"},
            (
                f"{LISTENERS}: clients would be told kafka.example.org:9094 for every pod of E: use {{pod}} or "
                "{ordinal} in its host or port"
            ),
        ),
        (
            {"LISTENERS": "E:PLAINTEXT:9094:{node}.example.org"},
            (
                f"{LISTENERS}: E is told to clients as '{{node}}.example.org:9094', which has an unknown field or no "
                "number for a port: use pod, ordinal, service, namespace, domain in braces"
            ),
        ),
        (
            {"LISTENERS": "E:PLAINTEXT:9094:a.example.org:6553{ordinal}+9"},
            f"{LISTENERS}: E of kafka-2 would have port 65541: use a sum, as 31090+{{ordinal}}, of at most 65535",
        ),
        (
            {"ROLES": "controller", "LISTENERS": "E:PLAINTEXT:9094"},
            f"{LISTENERS} is for brokers, and PEERBOOT_KAFKA_ROLES=controller serves no clients: drop it",
        ),
        (
            {"SECURITY": "SSL"},
            (
                "a listener has SSL or SASL_SSL, but PEERBOOT_KAFKA_TLS_DIR is not set: mount a Secret with tls.crt, "
                "tls.key and ca.crt, and name it"
            ),
        ),
        (
            {"LISTENERS": "E:SASL_PLAINTEXT:9094"},
            (
                "a listener has SASL_SSL or SASL_PLAINTEXT, but PEERBOOT_KAFKA_USERS_DIR is not set: mount a Secret "
                "with a password for each user, and name it"
            ),
        ),
        (
            {"CLIENT_AUTH": "required"},
            (
                "PEERBOOT_KAFKA_CLIENT_AUTH=required is for listeners with SSL, and PEERBOOT_KAFKA_LISTENERS has none: "
                "add one, or drop it"
            ),
        ),
        (
            {"SECURITY": "TLS"},
            "PEERBOOT_KAFKA_SECURITY='TLS' is not known: use PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL",
        ),
        (
            {"SASL_MECHANISM": "GSSAPI"},
            "PEERBOOT_KAFKA_SASL_MECHANISM='GSSAPI' is not known: use PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512",
        ),
        (
            {"RACK_LABEL": "zone"},
            (
                "PEERBOOT_KAFKA_RACK_LABEL=zone needs PEERBOOT_KAFKA_RACK_FILE: mount metadata.labels by a downwardAPI "
                "volume, and name that file"
            ),
        ),
        (
            {"RACK_FILE": "/nowhere", "RACK": "a"},
            "PEERBOOT_KAFKA_RACK and PEERBOOT_KAFKA_RACK_FILE are both set: drop one of them",
        ),
        (
            {"RACK_FILE": "/nowhere"},
            (
                "PEERBOOT_KAFKA_RACK_FILE: /nowhere is not there: mount it, or let an init container before this one "
                "write it"
            ),
        ),
    ],
)
def test_settings_that_contradict(environ: dict[str, str], said: str) -> None:
    """Each is one line: what, why, what to do."""
    with pytest.raises(SettingsError) as caught:
        made(**environ)
    assert str(caught.value) == said


def refused(**environ: object) -> str:
    """The one line."""
    with pytest.raises(SettingsError) as caught:
        made(**environ)
    return str(caught.value)


def test_a_secret_that_nothing_uses(tls: Path, users: Path) -> None:
    """Somebody who mounts certificates believes that the cluster is secured."""
    assert refused(TLS_DIR=tls) == (
        "PEERBOOT_KAFKA_TLS_DIR is set, but no listener uses it: set PEERBOOT_KAFKA_SECURITY or a protocol in "
        "PEERBOOT_KAFKA_LISTENERS to SSL or SASL_SSL, or drop it"
    )
    assert refused(USERS_DIR=users).startswith("PEERBOOT_KAFKA_USERS_DIR is set, but no listener uses it")


def test_secrets_that_lack_something(tls: Path, users: Path) -> None:
    """By name, and without what is in them."""
    key = (tls / "tls.key").read_text()
    (tls / "tls.key").write_text(key.replace("PRIVATE", "ENCRYPTED PRIVATE"))
    assert refused(SECURITY="SSL", TLS_DIR=tls) == (
        f"PEERBOOT_KAFKA_TLS_DIR: {tls}/tls.key cannot be used (no unencrypted private key): put a key of RSA or EC "
        "without a passphrase there, as `openssl pkcs8 -topk8 -nodes` writes it"
    )
    (tls / "tls.key").write_text(make_certificates(tls, "other").key.read_text())
    assert refused(SECURITY="SSL", TLS_DIR=tls) == (
        f"PEERBOOT_KAFKA_TLS_DIR={tls} cannot be used (key values mismatch): tls.key has to belong to tls.crt, and all "
        "three to be PEM; make the Secret anew"
    )
    (tls / "ca.crt").unlink()
    (tls / "tls.key").write_text(key)
    assert refused(SECURITY="SSL", TLS_DIR=tls) == (
        f"PEERBOOT_KAFKA_TLS_DIR: {tls}/ca.crt is not there: the Secret has to have tls.crt, tls.key and ca.crt, as "
        "cert-manager makes it with an issuer that has a CA"
    )
    assert refused(SECURITY="SASL_PLAINTEXT", USERS_DIR=users, SASL_USER="admin") == (
        f"PEERBOOT_KAFKA_SASL_USER=admin has no password in PEERBOOT_KAFKA_USERS_DIR={users}: add one under that name"
    )
    for bad in ("", "\n", "a\nb", "a\tb"):
        (users / "orders").write_text(bad)
        assert refused(SECURITY="SASL_PLAINTEXT", USERS_DIR=users) == (
            "PEERBOOT_KAFKA_USERS_DIR: the password of orders is empty or has characters that cannot be printed, which "
            "Kafka does not read back: write one line of text"
        )
    (users / "orders").rename(users / "a,b")
    assert refused(SECURITY="SASL_PLAINTEXT", USERS_DIR=users) == (
        "PEERBOOT_KAFKA_USERS_DIR: 'a,b' is no name of a user: use letters, digits, and -._ after them"
    )


def test_the_rack_from_a_file_and_from_a_label(tmp_path: Path) -> None:
    """An init container's file holds the rack alone; the downward API's holds all labels of the Pod."""
    alone, labels = tmp_path / "rack", tmp_path / "labels"
    alone.write_text("eu-1a\n")
    labels.write_text('app="kafka"\ntopology.kubernetes.io/zone="eu-1b"\n')
    zone = "topology.kubernetes.io/zone"
    assert [made(RACK_FILE=alone).rack, made(RACK_FILE=labels, RACK_LABEL=zone).rack] == ["eu-1a", "eu-1b"]
    labels.write_text('app="kafka"')
    assert refused(RACK_FILE=labels, RACK_LABEL=zone) == (
        f"PEERBOOT_KAFKA_RACK_LABEL: {labels} has no label {zone} with a value: Kubernetes 1.35 copies the zone and "
        "the region of the node to its Pods, before it a Pod has no label that you do not set"
    )
    alone.write_text("\n")
    assert refused(RACK_FILE=alone) == (
        f"PEERBOOT_KAFKA_RACK_FILE: {alone} is empty, or not one line of text: write the rack into it"
    )


def test_the_example_of_the_page(tls: Path, users: Path) -> None:
    """What Kafka's page shows for TLS and SASL is taken as it stands, and so is each of its listeners."""
    page = (Path(config.__file__).parent / "README.md").read_text()
    block = next(text for text in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "PEERBOOT_KAFKA_SECURITY" in text)
    environ = dict(line.removeprefix("PEERBOOT_KAFKA_").split("=", 1) for line in block.splitlines())
    assert (environ.pop("TLS_DIR"), environ.pop("USERS_DIR")) == ("/etc/kafka-tls", "/etc/kafka-users")
    there = made(TLS_DIR=tls, USERS_DIR=users, **environ)
    assert there.security.map == "CONTROLLER:SASL_SSL,INTERNAL:SASL_SSL,EXTERNAL:SASL_SSL"
    shown = re.findall(r"\| `(EXTERNAL:[^`]*)` \|", page)
    advertised = [made(TLS_DIR=tls, USERS_DIR=users, LISTENERS=one).security.extra[0] for one in shown]
    assert [one.advertised(identity("kafka-1"), "kafka-1") for one in advertised] == [
        ("kafka-1.example.org", 9094),
        ("kafka-1.example.org", 443),
        ("nodes.example.org", 31091),
    ]
