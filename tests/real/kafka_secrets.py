"""Certificates and users of a secured set, as mounted Secrets have them, and clients that know them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from peerboot.lab.cluster import Lab
from peerboot.outside.kafka import Address, Bounds, Kafka, Login
from peerboot.systems.kafka import properties

ZONE = "peers.lab.svc.cluster.local"
USER, CLIENT = "peerboot", "orders"
NASTY = "s, e]c'r\"e\\t =1 ${x} \u00fc\u20ac"
"""A password that every quoting has to survive."""
SECURE_PORT = 9094


@dataclass(frozen=True)
class Secrets:
    """Directories, and what is in them."""

    folder: Path
    zone: str = ZONE
    """Of the Service for whose Pods the certificate is."""

    @property
    def tls(self) -> Path:
        """tls.crt, tls.key, ca.crt."""
        return self.folder / "tls"

    @property
    def users(self) -> Path:
        """A password under each name."""
        return self.folder / "users"

    @property
    def trust(self) -> ssl.SSLContext:
        """A client's, with the certificate of the set."""
        found = ssl.create_default_context(cafile=str(self.tls / "ca.crt"))
        found.load_cert_chain(self.tls / "tls.crt", self.tls / "tls.key")
        return found

    def password(self, user: str) -> str:
        """Of the Secret."""
        return (self.users / user).read_text().removesuffix("\n")

    def client(self, security: str, mechanism: str = "SCRAM-SHA-512", user: str = CLIENT) -> Path:
        """A configuration file of Kafka's own clients."""
        store = self.folder / "client.pem"
        store.write_text((self.folder / "client.key").read_text() + (self.tls / "tls.crt").read_text())
        login = "scram.ScramLoginModule" if mechanism.startswith("SCRAM") else "plain.PlainLoginModule"
        quoted = self.password(user).replace("\\", "\\\\").replace('"', '\\"')
        jaas = f'org.apache.kafka.common.security.{login} required username="{user}" password="{quoted}";'
        lines = {
            "security.protocol": security, "ssl.truststore.type": "PEM", "ssl.keystore.type": "PEM",
            "ssl.truststore.location": str(self.tls / "ca.crt"), "ssl.keystore.location": str(store),
        }  # fmt: skip
        lines |= {"sasl.mechanism": mechanism, "sasl.jaas.config": jaas} if security.startswith("SASL") else {}
        path = self.folder / f"{security}-{mechanism}-{user}.properties".lower()
        path.write_text(properties.render(lines))
        return path


CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def certify(secrets: Secrets) -> None:
    """A new key and certificate of the same CA, put there as the kubelet does: each whole."""
    names = f"subjectAltName=DNS:*.{secrets.zone},DNS:{secrets.zone}"
    new = secrets.folder / "new"
    new.mkdir(exist_ok=True)
    _openssl(
        "req", "-x509", *CURVE, "-subj", "/CN=kafka", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE",
        "-CA", str(secrets.tls / "ca.crt"), "-CAkey", str(secrets.folder / "ca.key"), "-keyout", str(new / "tls.key"),
        "-out", str(new / "tls.crt"),
    )  # fmt: skip
    # As cert-manager's default, and not what Kafka reads.
    _openssl("pkey", "-traditional", "-in", str(new / "tls.key"), "-out", str(new / "old"))
    (new / "tls.key").rename(secrets.folder / "client.key")
    (new / "old").rename(new / "tls.key")
    for name in ("tls.key", "tls.crt"):
        (new / name).replace(secrets.tls / name)


def make(folder: Path, zone: str = ZONE) -> Secrets:
    """A new CA, a certificate for every Pod of the lab and for its Service, and two users."""
    made = Secrets(folder, zone)
    made.tls.mkdir(parents=True)
    made.users.mkdir()
    ca, key = made.tls / "ca.crt", folder / "ca.key"
    _openssl("req", "-x509", *CURVE, "-subj", "/CN=ca", "-keyout", str(key), "-out", str(ca))
    certify(made)
    (made.users / USER).write_text(NASTY)
    (made.users / CLIENT).write_text("orders' own\n")
    return made


def beside(secrets: Secrets, folder: Path, zone: str) -> Secrets:
    """Those of another set of the same cluster: the same CA and users, and a certificate for that set's names only."""
    made = Secrets(folder, zone)
    shutil.copytree(secrets.folder, folder)
    certify(made)
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S603, S607 - our own words


def controllers(lab: Lab, secrets: Secrets, *, sasl: bool = True, tls: bool = True, password: str = "") -> Kafka:
    """A client of the lab's controllers."""
    login = Login("PLAIN", USER, password or secrets.password(USER)) if sasl else None
    places = [Address(pod.spec.address, 9093) for pod in lab.pods.values()]
    trust = secrets.trust if tls else None
    bounds = Bounds(open=2, read=3, call=8)
    return Kafka(places, kind="controller", tls=trust, tls_name=secrets.zone, login=login, bounds=bounds)


def secret_files(lab: Lab, ordinal: int) -> dict[str, str]:
    """Mode of each file in a Pod's output directory that holds a secret."""
    folder = lab.pods[ordinal].output
    names = ("keystore.pem", "scram", "server.properties")
    return {name: oct((folder / name).stat().st_mode & 0o777) for name in names if (folder / name).exists()}
