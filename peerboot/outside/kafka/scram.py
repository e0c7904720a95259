"""Logins: SASL PLAIN (RFC 4616) and SCRAM with SHA-256 and SHA-512, without channel binding.

As in Kafka, names and passwords are UTF-8 as they are, without SASLprep. Pure: the nonce arrives as a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from peerboot.outside.kafka.errors import KafkaError
from peerboot.outside.scram import Exchange

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


@dataclass(frozen=True)
class Login:
    """Who logs in, and how. The password is in no text that is made of it."""

    mechanism: Mechanism
    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        """``ValueError`` for what no server could read."""
        if self.mechanism not in ("PLAIN", *HASHES):
            raise ValueError(f"SASL mechanism {self.mechanism!r}: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 are known")
        if not self.user or not self.password or "\0" in self.user + self.password:
            raise ValueError("a SASL user and password are not empty and have no NUL")
        (self.user + self.password).encode()


def plain(login: Login) -> bytes:
    """PLAIN's only message."""
    return b"\0" + login.user.encode() + b"\0" + login.password.encode()


class Scram(Exchange):
    """One exchange; raises ``KafkaError``: ``sasl``."""

    def __init__(self, login: Login, nonce: str) -> None:
        """``nonce``: printable ASCII without comma, never used before."""
        super().__init__(
            HASHES[login.mechanism], login.user, login.password, nonce, error=lambda say: KafkaError("sasl", say)
        )
