"""The server's side of SASL, for fakes: PLAIN, and SCRAM as RFC 5802 has it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import struct
from weakref import WeakKeyDictionary

from peerboot.outside.kafka import wire
from tests.kafka.fake import Answer, Request, answer_bytes
from tests.kafka.vectors import find

SALT, ROUNDS = b"pepper", 4096
NOT_TAKEN = find("SaslAuthenticateResponse", "not taken").raw
NAMES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


def token(message: bytes, lifetime_ms: int = 0) -> bytes:
    """SaslAuthenticate's answer with the server's message."""
    return wire.int16(0) + wire.string(None) + wire.data(message) + struct.pack(">q", lifetime_ms) + wire.NO_TAGS


class Doorman:
    """Knows one user's password, or pretends to: then its last word is ``wrong``."""

    def __init__(self, user: str, password: str, wrong: bytes = b"") -> None:
        self._user, self._password, self._wrong = user, password.encode(), wrong
        self._mechanism: WeakKeyDictionary[asyncio.StreamWriter, str] = WeakKeyDictionary()
        self._said: WeakKeyDictionary[asyncio.StreamWriter, bytes] = WeakKeyDictionary()
        self._inside: WeakKeyDictionary[asyncio.StreamWriter, bool] = WeakKeyDictionary()

    def answers(self, inside: dict[int, Answer]) -> dict[int, Answer]:
        """The login, and behind it these; before it a call closes the connection, as in Kafka."""
        return {17: self._handshake, 36: self._authenticate, **{key: self._guarded(one) for key, one in inside.items()}}

    def _guarded(self, answer: Answer) -> Answer:
        async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
            if writer in self._inside:
                await answer(request, writer)
            else:
                writer.close()

        return behave

    async def _handshake(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._mechanism[writer] = request.body[2:].decode()
        writer.write(answer_bytes(request, find("SaslHandshakeResponse", "taken").raw))
        await writer.drain()

    async def _authenticate(self, request: Request, writer: asyncio.StreamWriter) -> None:
        message = wire.Reader(request.body).data()
        if self._mechanism[writer] == "PLAIN":
            taken = message == b"\0" + self._user.encode() + b"\0" + self._password
            body = token(b"") if taken else NOT_TAKEN
        else:
            body = self._scram(NAMES[self._mechanism[writer]], message, writer)
            taken = body != NOT_TAKEN and writer not in self._said
        if taken:
            self._inside[writer] = True
        writer.write(answer_bytes(request, body))
        await writer.drain()

    def _scram(self, name: str, message: bytes, writer: asyncio.StreamWriter) -> bytes:
        salted = hashlib.pbkdf2_hmac(name, self._password, SALT, ROUNDS)
        if writer not in self._said:
            bare = message.removeprefix(b"n,,")
            nonce = bare.rpartition(b",r=")[2] + b"XYZ"
            first = b"r=" + nonce + b",s=" + base64.b64encode(SALT) + b",i=%d" % ROUNDS
            self._said[writer] = bare + b"," + first
            return token(first)
        without, _, proof = message.rpartition(b",p=")
        whole = self._said.pop(writer) + b"," + without
        key = hmac.digest(salted, b"Client Key", name)
        signature = hmac.digest(hashlib.new(name, key).digest(), whole, name)
        if bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True)) != key:
            return NOT_TAKEN
        proved = hmac.digest(hmac.digest(salted, b"Server Key", name), whole, name)
        return token(self._wrong or b"v=" + base64.b64encode(proved))
