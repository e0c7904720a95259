"""The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding. Pure: the nonce arrives as a value."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

FEWEST, MOST = 4096, 65536
"""Iterations that a server may ask for. Kafka sets 4096 to 16384, Postgres 4096; a thousand cost up to a millisecond
here."""
GS2 = "n,,"
"""No channel binding, no other name to act for."""


class Exchange:
    """One login: ``first``, then ``final`` with the server's answer, then ``verify`` with its last one."""

    def __init__(
        self, hash_name: str, user: str, password: str, nonce: str, *, error: Callable[[str], Exception]
    ) -> None:
        """``nonce``: printable ASCII without comma, never used before. ``error``: made of one line, and raised."""
        self._hash = hash_name
        self._password = password.encode()
        self._nonce = nonce
        self._error = error
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={nonce}"
        self._server_proof = b""

    def first(self) -> bytes:
        """client-first-message."""
        return (GS2 + self._bare).encode()

    def final(self, challenge: bytes) -> bytes:
        """client-final-message for a server-first-message."""
        text, fields = self._fields(challenge)
        nonce, salt, rounds = fields.get("r", ""), fields.get("s", ""), fields.get("i", "")
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise self._bad("a nonce that is not an answer to ours")
        if not (rounds.isascii() and rounds.isdecimal() and len(rounds) < 10 and FEWEST <= int(rounds) <= MOST):
            raise self._bad(f"{rounds[:12] or 'no'} iterations, where {FEWEST} to {MOST} are taken")
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, self._base64(salt), int(rounds))
        key = self._mac(salted, b"Client Key")
        without_proof = f"c={base64.b64encode(GS2.encode()).decode()},r={nonce}"
        said = f"{self._bare},{text},{without_proof}".encode()
        signature = self._mac(hashlib.new(self._hash, key).digest(), said)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._server_proof = self._mac(self._mac(salted, b"Server Key"), said)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, answer: bytes) -> None:
        """Whether server-final-message proves that the server knows the password."""
        _, fields = self._fields(answer)
        if "e" in fields:
            raise self._error(f"the login was not accepted: {fields['e'][:100]}")
        if not hmac.compare_digest(self._base64(fields.get("v", "")), self._server_proof):
            raise self._bad("no proof that it knows the password: another server, or other credentials")

    def _mac(self, key: bytes, said: bytes) -> bytes:
        return hmac.digest(key, said, self._hash)

    def _fields(self, message: bytes) -> tuple[str, dict[str, str]]:
        """``k=v,k=v``; the first of each name counts."""
        try:
            text = message.decode("ascii")
        except UnicodeDecodeError:
            raise self._bad("bytes that are not SCRAM") from None
        fields: dict[str, str] = {}
        for part in text.split(","):
            name, sign, value = part.partition("=")
            if len(name) != 1 or not sign or name == "m":
                raise self._bad("bytes that are not SCRAM, or an extension that is mandatory")
            fields.setdefault(name, value)
        return text, fields

    def _base64(self, text: str) -> bytes:
        try:
            found = base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            found = b""
        if not found:
            raise self._bad("no base64 where some has to be")
        return found  # never empty, so never equal to a proof that was not computed yet

    def _bad(self, say: str) -> Exception:
        return self._error(f"the server's login answer has {say}")
