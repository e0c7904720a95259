"""What secures the listeners: TLS from PEM files, SASL with PLAIN or SCRAM. Pure; ``material.py`` reads the files.

Controllers log in to each other by PLAIN only (measured on 3.9.2 and 4.3.1). SCRAM's credentials lie in the
metadata log, which a set of controllers cannot read before it has elected a leader, and without a login none is
elected: such a set never forms, also with ``--add-scram``. Brokers read them from the controllers, so they may use it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Settings
from peerboot.systems.kafka import listeners
from peerboot.systems.kafka.listeners import CONTROLLER, INTERNAL, Listener

if TYPE_CHECKING:
    import ssl

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
ROUNDS = 8192
"""Of SCRAM; Kafka's own default is 4096, its most 16384."""
KEYSTORE, TRUSTSTORE, SCRAM = "keystore.pem", "truststore.pem", "scram"
"""Files that peerboot writes for the server."""
MODULES = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Material:
    """What was read from mounted files. No text that is made of it has a secret in it."""

    certificate: str = ""
    key: str = field(default="", repr=False)
    authority: str = ""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Password by name."""
    rack: str = ""
    trust: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    """For peerboot's own connections: whom to trust, and what to show."""


@dataclass(frozen=True)
class Security:
    """How the listeners of this Pod are secured."""

    own: str = "PLAINTEXT"
    """Protocol of the cluster's own listeners."""
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str = ""
    client_auth: str = "none"
    extra: tuple[Listener, ...] = ()
    material: Material = Material()
    tls_dir: str = ""
    output_dir: str = ""

    @property
    def tls(self) -> bool:
        """Whether any listener has TLS."""
        return any(_has_tls(protocol) for protocol in self._protocols)

    @property
    def sasl(self) -> bool:
        """Whether any listener has SASL."""
        return any(_has_sasl(protocol) for protocol in self._protocols)

    @property
    def _protocols(self) -> tuple[str, ...]:
        return self.own, *(one.protocol for one in self.extra)

    @property
    def map(self) -> str:
        """``listener.security.protocol.map``."""
        pairs = {CONTROLLER: self.own, INTERNAL: self.own, **{one.name: one.protocol for one in self.extra}}
        return ",".join(f"{name}:{protocol}" for name, protocol in pairs.items())

    def add_to(self, identity: Identity, ports: dict[str, int], told: dict[str, str]) -> None:
        """The further listeners, where they listen and what clients are told, after the cluster's own."""
        for one in self.extra:
            host, port = one.advertised(identity, identity.pod)
            ports[one.name], told[one.name] = one.port, f"{one.name}://{f'[{host}]' if ':' in host else host}:{port}"

    def files(self) -> dict[str, str]:
        """Files for the server beside server.properties, by name; those with TLS's key are secrets."""
        if not self.tls:
            return {}
        made = self.material
        return {
            KEYSTORE: f"{made.key.strip()}\n{made.certificate.strip()}\n",
            TRUSTSTORE: f"{made.authority.strip()}\n",
        }

    def properties(self) -> dict[str, str]:
        """Keys of server.properties, none where all is plain text."""
        found: dict[str, str] = {}
        if self.tls:
            for store, name in (("keystore", KEYSTORE), ("truststore", TRUSTSTORE)):
                found |= {f"ssl.{store}.type": "PEM", f"ssl.{store}.location": f"{self.output_dir}/{name}"}
            for one in self.extra:
                if one.protocol == "SSL":
                    found[f"listener.name.{one.name.lower()}.ssl.client.auth"] = self.client_auth
        if self.own == "SSL":
            # Nothing else says who may write the cluster's metadata.
            found |= {f"listener.name.{name.lower()}.ssl.client.auth": "required" for name in (CONTROLLER, INTERNAL)}
        if _has_sasl(self.own):
            found["sasl.mechanism.controller.protocol"] = "PLAIN"
            found["sasl.mechanism.inter.broker.protocol"] = self.mechanism
            found |= self._login(CONTROLLER, "PLAIN")
            found |= self._login(INTERNAL, self.mechanism)
        for one in self.extra:
            if _has_sasl(one.protocol):
                found |= self._login(one.name, self.mechanism)
        return found

    def _login(self, name: str, mechanism: str) -> dict[str, str]:
        own = name in (CONTROLLER, INTERNAL)
        as_user = (
            [f"username={_quoted(self.user)}", f"password={_quoted(self.material.users[self.user])}"] if own else []
        )
        if mechanism == "PLAIN":
            # Only the cluster itself may log in to its controllers.
            users = {self.user: self.material.users[self.user]} if name == CONTROLLER else self.material.users
            words = ["plain.PlainLoginModule required", *as_user]
            words += [f"user_{user}={_quoted(password)}" for user, password in sorted(users.items())]
        else:
            words = ["scram.ScramLoginModule required", *as_user]
        prefix = f"listener.name.{name.lower()}"
        return {
            f"{prefix}.sasl.enabled.mechanisms": mechanism,
            f"{prefix}.{mechanism.lower()}.sasl.jaas.config": f"{MODULES}.{' '.join(words)};",
        }

    def scram(self, nonce: str) -> str:
        """Lines for ``kafka-storage format --add-scram`` (KIP-900), one for each user; empty where SCRAM is not used.

        They have salted passwords in place of passwords, so that nothing has to be quoted, and what the tool's
        arguments show opens no other door. ``nonce``: of this disk; each disk has salts of its own.
        """
        if not (self.sasl and self.mechanism in HASHES):
            return ""
        lines = []
        for user, password in sorted(self.material.users.items()):
            salt = hashlib.sha256(f"peerboot\n{nonce}\n{self.mechanism}\n{user}".encode()).digest()
            salted = _salted(HASHES[self.mechanism], password, salt)
            fields = f'salt="{_base64(salt)}",saltedpassword="{_base64(salted)}"'
            lines.append(f"{self.mechanism}=[name={user},iterations={ROUNDS},{fields}]\n")
        return "".join(lines)

    def login(self, kind: Literal["controller", "broker"]) -> tuple[Mechanism, str, str] | None:
        """Mechanism, user and password for peerboot's own connections."""
        if not _has_sasl(self.own):
            return None
        return "PLAIN" if kind == "controller" else self.mechanism, self.user, self.material.users[self.user]


@lru_cache(maxsize=256)
def _salted(name: str, password: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac(name, password.encode(), salt, ROUNDS)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _quoted(text: str) -> str:
    """As Kafka's JaasConfig reads it back, by java.io.StreamTokenizer."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _has_tls(protocol: str) -> bool:
    return protocol.endswith("SSL")


def _has_sasl(protocol: str) -> bool:
    return protocol.startswith("SASL")


# ------------------------------------------------------------------- settings


def prepare(settings: Settings, identity: Identity, material: Material) -> Security:
    """What the settings say, and what was read for them; raises ``SettingsError``."""
    extra = settings.extra
    made = Security(
        own=extra["kafka_security"],
        mechanism=extra["kafka_sasl_mechanism"],
        user=extra["kafka_sasl_user"],
        client_auth=extra["kafka_client_auth"],
        extra=listeners.further(settings, identity),
        material=material,
        tls_dir=extra["kafka_tls_dir"],
        output_dir=settings.output_dir,
    )
    _check_files(made, extra["kafka_users_dir"])
    return made


def _check_files(made: Security, users_dir: str) -> None:
    for wanted, given, name, kind, has in (
        (made.tls, made.tls_dir, "PEERBOOT_KAFKA_TLS_DIR", "SSL or SASL_SSL", "tls.crt, tls.key and ca.crt"),
        (made.sasl, users_dir, "PEERBOOT_KAFKA_USERS_DIR", "SASL_SSL or SASL_PLAINTEXT", "a password for each user"),
    ):
        if wanted and not given:
            raise SettingsError(f"a listener has {kind}, but {name} is not set: mount a Secret with {has}, and name it")
        if given and not wanted:
            raise SettingsError(
                f"{name} is set, but no listener uses it: set PEERBOOT_KAFKA_SECURITY or a protocol in "
                f"PEERBOOT_KAFKA_LISTENERS to {kind}, or drop it"
            )
    if _has_sasl(made.own) and made.user not in made.material.users:
        raise SettingsError(
            f"PEERBOOT_KAFKA_SASL_USER={made.user} has no password in PEERBOOT_KAFKA_USERS_DIR={users_dir}: add one "
            "under that name"
        )
    if made.client_auth != "none" and not any(one.protocol == "SSL" for one in made.extra):
        raise SettingsError(
            f"PEERBOOT_KAFKA_CLIENT_AUTH={made.client_auth} is for listeners with SSL, and PEERBOOT_KAFKA_LISTENERS "
            "has none: add one, or drop it"
        )
