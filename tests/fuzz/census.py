"""The census: any bytes as what a peer answers to ``/v1/node``, and as what one is asked.

Input: a byte of flags, then replies (``harness.parts``), each with a byte of its own flags, a line that is its MAC
header, and the body. A reply may be signed here for the very question, so that what lies behind the signature is
reached; or for the question before (a replay), or with another key.

Held: nothing is raised; what becomes evidence was signed with the key for this question, is of this set, schema and
pod, and is as old as its question; an earlier process never counts after a later one; a request is answered only to who
has the key.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import hmac
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from peerboot import census
from peerboot.model import SCHEMA, Identity, Statement
from peerboot.outside.http import Http, HttpError, Reply
from tests.fuzz.harness import changed_json, expect, expect_line, joined, lines_of, parts

KEY, OTHER = b"k" * 32, b"o" * 32
NO_AUTH, ANSWER = 0x01, 0x02
SIGNED, OTHER_KEY, REPLAY, REFUSED, FAILED, LATER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
MOST = 6
LONGEST = 4096
ME = Identity(
    namespace="prod", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd", domain="cluster.local",
    replicas=3, ips=("127.0.0.99",),
)  # fmt: skip
PEER = "db-1"
WORDS = (*(f'"{name}":'.encode() for name in Statement.__struct_fields__), b'"db-1"', b'"error":"key"', b'"say":')


@dataclass
class Fake:
    """The client's place: replies in turn, each noted with whether it was to be believed."""

    replies: list[bytes]
    auth: bool
    now: float = 1000.0
    before: str = "00" * 16
    at: int = 0
    believed: dict[str, set[float]] = field(default_factory=dict)
    """By the boot of each proper word, when it was asked for."""

    async def fetch(self, method: str, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> Reply:
        """As ``Http.fetch``."""
        del method, url, timeout
        if self.at >= len(self.replies):
            raise HttpError("no answer in 2 s")
        raw = self.replies[self.at]
        self.at += 1
        flags = raw[0] if raw else FAILED
        given, _, body = raw[1:].partition(b"\n")
        body = body[:limit]
        challenge, previous = headers["Peerboot-Challenge"], self.before
        self.before = challenge
        if flags & FAILED:
            raise HttpError("connection refused")
        shown = {"peerboot-mac": given.decode("utf-8", "surrogateescape")}
        if flags & SIGNED:
            key, question = OTHER if flags & OTHER_KEY else KEY, previous if flags & REPLAY else challenge
            shown["peerboot-mac"] = signature(key, "answer", ME.pod, headers["Peerboot-To"], question, body)
        status = 409 if flags & REFUSED else 200
        honest = flags & SIGNED and not flags & (OTHER_KEY | REPLAY)
        if status == 200 and (honest or not self.auth) and headers["Peerboot-To"] == PEER:
            self._note(body)
        return Reply(status, shown, body)

    def _note(self, body: bytes) -> None:
        try:
            said = json.loads(body.decode("utf-8", "replace"), parse_int=lambda digits: int(digits[:20]))
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict) or said.get("schema", SCHEMA) != SCHEMA or said.get("pod") != PEER:
            return
        if all(said.get(name) == getattr(ME, name) for name in ("namespace", "service", "statefulset", "system")):
            self.believed.setdefault(str(said.get("boot")), set()).add(self.now)


@dataclass
class Turned:
    """A clock that is as late as the fake says."""

    fake: Fake
    count: int = 0

    def now(self) -> float:
        return self.fake.now

    def wall(self) -> float:
        return 1.7e9

    async def sleep(self, seconds: float) -> None:
        self.fake.now += seconds

    def jitter(self) -> float:
        return 0.5

    def token(self, size: int = 16) -> str:
        self.count += 1
        return f"{self.count:0{2 * size}x}"


def signature(key: bytes, label: str, asker: str, answerer: str, challenge: str, rest: bytes) -> str:
    """The MAC, written anew after the words of ``census.mac``."""
    words = ("peerboot-census", str(SCHEMA), label, ME.namespace, ME.service, ME.statefulset, ME.system)
    message = b""
    for part in (*(word.encode() for word in (*words, asker, answerer, challenge)), rest):
        message += len(part).to_bytes(8, "big") + part
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def check(data: bytes) -> None:
    """One input."""
    flags = data[0] if data else 0
    if flags & ANSWER:
        _answering(data[1:], auth=not flags & NO_AUTH)
    else:
        LOOP.run_until_complete(_asking(parts(data[1:], MOST), auth=not flags & NO_AUTH))


async def _asking(replies: list[bytes], *, auth: bool) -> None:
    fake = Fake(replies, auth)
    http = Http()
    http.fetch = fake.fetch  # type: ignore[method-assign, assignment]
    asker = census.Census(ME, http, Turned(fake), lambda: (KEY,), "boot-db-0", auth=auth)
    accepted: list[str] = []
    for _ in range(MOST):
        if fake.at >= len(replies):
            break
        head = replies[fake.at][:1]
        fake.now += 20.0 if head and head[0] & LATER else 1.0
        places = (("127.0.0.1", 7070),) if len(replies) % 2 else (("127.0.0.1", 7070), ("::1", 7070))
        await asker.ask({PEER: places, ME.pod: (("127.0.0.3", 7070),)})
        evidence = asker.evidence(fake.now)[PEER]
        msgspec.json.encode(evidence)
        expect_line(evidence.reason, "a reason")
        word = evidence.statement
        if word is None:
            expect(evidence.reason and not evidence.fresh, "unknown without a reason, or fresh")
            continue
        expect(word.pod == PEER and word.boot, f"a word of {word.pod!r}, boot {word.boot!r}")
        expect(word.boot in fake.believed, f"evidence of a process that never proved its word: {word.boot!r}")
        expect(evidence.at in fake.believed[word.boot], "it was not said when it is said to have been")
        expect(not evidence.fresh or evidence.at == fake.now, "fresh, and older than the last question")
        if evidence.fresh and accepted[-1:] != [word.boot]:
            expect(word.boot not in accepted, f"{word.boot!r} counts again after a later process")
            accepted.append(word.boot)


def _answering(content: bytes, *, auth: bool) -> None:
    headers = {}
    for line in lines_of(content):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value
    word = Statement(
        namespace=ME.namespace, service=ME.service, statefulset=ME.statefulset, system=ME.system, pod=ME.pod,
        boot="boot-db-0", disk="blank", nonce="nonce",
    )  # fmt: skip
    asker, to, challenge = (headers.get(f"peerboot-{name}", "") for name in ("from", "to", "challenge"))
    if headers.get("sign") == "yes" and (asker + to + challenge).isascii():
        headers["peerboot-mac"] = signature(KEY, "ask", asker, to, challenge, b"")
    status, back, body = census.answer(ME, (KEY,), auth, headers, word)
    if status != 200:
        expect(b"nonce" not in body and "Peerboot-Mac" not in back, "a refusal that tells something")
        return
    right = signature(KEY, "ask", asker, ME.pod, challenge, b"")
    expect(not auth or headers.get("peerboot-mac") == right, f"answered to who has no key: {headers}")
    proof = signature(KEY, "answer", asker, ME.pod, challenge, body)
    expect(not auth or back["Peerboot-Mac"] == proof, "its own word is not signed")


def mutate(data: bytes, chance: random.Random) -> bytes | None:
    """A field of a signed statement changed; or one reply repeated, or told in another place."""
    if not data or data[0] & ANSWER:
        return None
    replies = parts(data[1:], MOST)
    if not replies:
        return None
    one = chance.randrange(len(replies))
    match chance.randrange(6):
        case 0:
            replies.append(replies[one])
        case 1:
            replies.insert(0, replies.pop(one))
        case 2:
            replies[one] = bytes([chance.randrange(64)]) + replies[one][1:]
        case _:
            head, newline, body = replies[one].partition(b"\n")
            fresh = changed_json(body, chance)
            if fresh is None:
                return None
            replies[one] = head + newline + fresh
    return data[:1] + joined(*replies)


LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)
