"""Logins: SASL PLAIN (RFC 4616) and SCRAM with SHA-256 and SHA-512 (RFC 5802, RFC 7677), without channel binding.

As in Kafka, names and passwords are UTF-8 as they are, without SASLprep. Pure: the nonce arrives as a value.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Literal

from peerboot.outside.kafka.errors import KafkaError

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
FEWEST, MOST = 4096, 65536
"""Iterations that a server may ask for. Kafka itself sets 4096 to 16384; a thousand cost up to a millisecond here."""
HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
GS2 = "n,,"
"""No channel binding, no other name to act for."""


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


class Scram:
    """One exchange: ``first``, then ``final`` with the server's answer, then ``verify`` with its last one."""

    def __init__(self, login: Login, nonce: str) -> None:
        """``nonce``: printable ASCII without comma, never used before."""
        self._hash = HASHES[login.mechanism]
        self._password = login.password.encode()
        self._nonce = nonce
        user = login.user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={user},r={nonce}"
        self._server_proof = b""

    def first(self) -> bytes:
        """client-first-message."""
        return (GS2 + self._bare).encode()

    def final(self, challenge: bytes) -> bytes:
        """client-final-message for a server-first-message. Raises ``KafkaError``: ``sasl``."""
        text, fields = _fields(challenge)
        nonce, salt, rounds = fields.get("r", ""), fields.get("s", ""), fields.get("i", "")
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise _bad("a nonce that is not an answer to ours")
        if not (rounds.isascii() and rounds.isdecimal() and len(rounds) < 10 and FEWEST <= int(rounds) <= MOST):
            raise _bad(f"{rounds[:12] or 'no'} iterations, where {FEWEST} to {MOST} are taken")
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, _base64(salt), int(rounds))
        key = self._mac(salted, b"Client Key")
        without_proof = f"c={base64.b64encode(GS2.encode()).decode()},r={nonce}"
        said = f"{self._bare},{text},{without_proof}".encode()
        signature = self._mac(hashlib.new(self._hash, key).digest(), said)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._server_proof = self._mac(self._mac(salted, b"Server Key"), said)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, answer: bytes) -> None:
        """Whether server-final-message proves that the server knows the password. Raises ``KafkaError``: ``sasl``."""
        _, fields = _fields(answer)
        if "e" in fields:
            raise KafkaError("sasl", f"the login was not accepted: {fields['e'][:100]}")
        if not hmac.compare_digest(_base64(fields.get("v", "")), self._server_proof):
            raise _bad("no proof that it knows the password: another server, or other credentials")

    def _mac(self, key: bytes, said: bytes) -> bytes:
        return hmac.digest(key, said, self._hash)


def _fields(message: bytes) -> tuple[str, dict[str, str]]:
    """``k=v,k=v``; the first of each name counts."""
    try:
        text = message.decode("ascii")
    except UnicodeDecodeError:
        raise _bad("bytes that are not SCRAM") from None
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        if len(name) != 1 or not sign or name == "m":
            raise _bad("bytes that are not SCRAM, or an extension that is mandatory")
        fields.setdefault(name, value)
    return text, fields


def _base64(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if not found:
        raise _bad("no base64 where some has to be")
    return found  # never empty, so never equal to a proof that was not computed yet


def _bad(say: str) -> KafkaError:
    return KafkaError("sasl", f"the server's login answer has {say}")
