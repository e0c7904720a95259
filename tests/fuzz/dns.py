"""DNS answers: any bytes, as what name servers answer by UDP and by TCP, through the door and through discovery.

Input: a byte of flags, then packets (``harness.parts``), which the two servers give one after the other; the id of a
packet becomes the question's unless a flag says otherwise.

Held: nothing is raised; ``absent`` is only said when both servers said so in an answer to this very question that holds
no record of the kind; what is found has an owner, a port and addresses that are some; a TTL is bounded.
"""

from __future__ import annotations

import asyncio
import atexit
import ipaddress
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any

import dns.asyncbackend
import dns.exception

from peerboot.discovery import Discovery
from peerboot.model import Answer, Identity
from peerboot.outside import dns as door
from tests.fuzz.harness import expect, expect_line, joined, parts

WORDS = (
    b"\x00\x21\x00\x01", b"\x00\x01\x00\x01", b"\x00\x1c\x00\x01", b"\x00\x05\x00\x01", b"\x00\x06\x00\x01",
    b"\x00\x10\x00\x01", b"\x00\x27\x00\x01", b"\xc0\x0c", b"\xc0\x1b", b"\x85\x80", b"\x85\x83", b"\x87\x80",
    b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00", b"\x04web0\x00",
)  # fmt: skip
LONGEST = 2048
ZONE = "web.default.svc.cluster.local"
SERVERS = ("127.0.0.1", "127.0.0.2")
MOST_PACKETS, MOST_RECEIVED = 8, 16
KINDS, TRY = 3, 2.0
AGAIN, OWN_ID, RAW_STREAM, DIAGNOSE = 0x04, 0x08, 0x10, 0x20
TYPES = {"SRV": 33, "TXT": 16, "A": 1, "AAAA": 28}
NAME = re.compile(r"(?:[!-~]+)")


class Still:
    """A clock that only goes on when somebody is waited for."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return 1.7e9

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)

    def jitter(self) -> float:
        return 0.5

    def token(self, size: int = 16) -> str:
        return "ab" * size


@dataclass
class Servers:
    """What both name servers have to say, and what they said."""

    flags: int
    packets: Sequence[bytes]
    rest: bytes
    clock: Still
    given: int = 0
    said: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    """Server, question, answer."""

    def following(self, server: str, question: bytes) -> bytes | None:
        """The next packet, None when there is none."""
        if not self.packets or self.given >= MOST_RECEIVED:
            return None
        if self.given >= len(self.packets) and not self.flags & AGAIN:
            return None
        packet = self.packets[self.given % len(self.packets)]
        self.given += 1
        if not self.flags & OWN_ID:
            packet = question[:2] + packet[2:]
        self.said.append((server, question, packet))
        return packet

    def name(self) -> str:
        return "fuzz"

    def datagram_connection_required(self) -> bool:
        return False

    async def make_socket(
        self, af: int, kind: int, proto: int = 0, source: Any = None, destination: Any = None, timeout: Any = None
    ) -> Socket:
        """As dnspython's back-ends have it."""
        del kind, proto, source, timeout
        return Socket(self, af, destination)


class Socket:
    """Both kinds of dnspython's sockets in one."""

    def __init__(self, servers: Servers, family: int, destination: Any) -> None:
        self.family = family
        self._servers = servers
        self._destination = destination
        self._question = b""
        self._stream: bytes | None = None

    async def __aenter__(self) -> Socket:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace

    async def sendto(self, what: bytes, destination: Any, timeout: float | None) -> int:
        del timeout
        self._question, self._destination = what, destination
        return len(what)

    async def recvfrom(self, size: int, timeout: float | None) -> tuple[bytes, Any]:
        del timeout
        packet = self._servers.following(self._destination[0], self._question)
        if packet is None:
            self._servers.clock.at += TRY
            raise dns.exception.Timeout
        return packet[:size], self._destination

    async def sendall(self, what: bytes, timeout: float | None) -> None:
        del timeout
        self._question = what[2:]

    async def recv(self, size: int, timeout: float | None) -> bytes:
        del timeout
        if self._stream is None:
            packet = self._servers.following(self._destination[0], self._question)
            self._stream = b"" if packet is None else len(packet).to_bytes(2, "big") + packet
            if self._servers.flags & RAW_STREAM:
                self._stream = self._servers.rest
                self._servers.said.append((self._destination[0], self._question, self._stream[2:]))
        piece, self._stream = self._stream[:size], self._stream[size:]
        return piece


def check(data: bytes) -> None:
    """One input."""
    flags = data[0] if data else 0
    servers = Servers(flags, parts(data[1:], MOST_PACKETS), data[1:], Still())
    kept = dns.asyncbackend._default_backend
    dns.asyncbackend._default_backend = servers  # type: ignore[assignment]  # the seam that dnspython has for that
    door._query = _made_once
    try:
        LOOP.run_until_complete(_ask(flags, servers))
    finally:
        dns.asyncbackend._default_backend, door._query = kept, _query


async def _ask(flags: int, servers: Servers) -> None:
    asked = door.Dns(SERVERS, servers.clock)
    match flags % KINDS:
        case 0:
            finder = Discovery(IDENTITY, "peerboot", asked, servers.clock)
            answer = await finder.ask()
            _is_answer(answer)
            expect(answer.outcome != "absent" or _both_said_absent(servers, ("SRV",)), f"absent by {servers.said}")
            if flags & DIAGNOSE:
                for finding in await finder.diagnose(answer):
                    expect_line(finding.say, "a finding")
        case 1:
            reply = await asked.addresses(f"web-0.{ZONE}")
            _is_reply(reply)
            expect(reply.outcome != "found" or reply.addresses, "found without an address")
            expect(reply.outcome != "absent" or _both_said_absent(servers, ("A", "AAAA")), f"absent by {servers.said}")
        case _:
            reply = await asked.txt("dns-version.cluster.local")
            _is_reply(reply)
            expect(reply.outcome != "absent" or _both_said_absent(servers, ("TXT",)), f"absent by {servers.said}")


def _is_answer(answer: Answer) -> None:
    expect(answer.outcome in ("found", "absent", "unknown"), answer.outcome)
    expect(0 <= answer.ttl <= door.MAX_TTL, f"a TTL of {answer.ttl}")
    expect_line(answer.reason, "a reason")
    expect(answer.outcome != "unknown" or not (answer.complete or answer.targets), "unknown, and yet it says something")
    for target in answer.targets:
        expect(target.name == f"{target.pod}.{ZONE}", f"{target.name} is no pod of the Service")
        expect(NAME.fullmatch(target.name), f"a target named {target.name!r}")
        expect(0 <= target.port <= 65535, f"port {target.port}")
        for address in target.addresses:
            ipaddress.ip_address(address)


def _is_reply(reply: door.Reply) -> None:
    expect(reply.outcome in ("found", "absent", "unknown"), reply.outcome)
    expect(0 <= reply.ttl <= door.MAX_TTL, f"a TTL of {reply.ttl}")
    expect_line(reply.reason, "a reason")
    expect(
        len(reply.srv) + len(reply.addresses) + len(reply.texts) <= 2 * door.MAX_RECORDS, "more records than allowed"
    )
    expect(reply.outcome == "found" or not (reply.srv or reply.addresses or reply.texts), "it found what is not found")
    for address in reply.addresses:
        ipaddress.ip_address(address)


_query = door._query


@lru_cache(maxsize=256)
def _made_once(name: str, kind: str, spelling: door.Spelling) -> Any:
    """The door's own question, and its bytes, made once: half of an input's time would go there."""
    question = _query(name, kind, spelling)
    wire = question.to_wire()
    question.to_wire = lambda *_args, **_more: wire  # type: ignore[method-assign]
    return question


def _both_said_absent(servers: Servers, kinds: tuple[str, ...]) -> bool:
    """Whether for each kind each server gave a packet that says so, by a reading of its own."""
    return all(
        any(server == place and _says_absent(question, packet, TYPES[kind]) for place, question, packet in servers.said)
        for server in SERVERS
        for kind in kinds
    )


def _says_absent(question: bytes, packet: bytes, kind: int) -> bool:
    asked = question[12 : _after_name(question, 12) + 4]
    if int.from_bytes(asked[-4:-2], "big") != kind or len(packet) < 12:
        return False
    one_question = packet[4:6] == b"\0\1"
    at = _after_name(packet, 12) + 4
    same = packet[12:at].lower() == asked.lower()
    answers = packet[2] & 0x80 and not packet[2] & 0x7A and packet[3] & 0x0F in (0, 3)
    if packet[:2] != question[:2] or not (one_question and same and answers):
        return False
    for _ in range(int.from_bytes(packet[6:8], "big")):
        at = _after_name(packet, at)
        if int.from_bytes(packet[at : at + 2], "big") == kind:
            return False
        at += 10 + int.from_bytes(packet[at + 8 : at + 10], "big")
    return True


def _after_name(packet: bytes, at: int) -> int:
    while at < len(packet):
        size = packet[at]
        if size == 0:
            return at + 1
        if size & 0xC0 == 0xC0:
            return at + 2
        at += 1 + size
    return at


def mutate(data: bytes, chance: random.Random) -> bytes | None:
    """One packet gone, doubled, or in another place; or another code in its header."""
    packets = parts(data[1:], MOST_PACKETS)
    if not packets:
        return None
    one = chance.randrange(len(packets))
    match chance.randrange(4):
        case 0:
            packets.append(packets[one])
        case 1:
            packets.insert(0, packets.pop(one))
        case 2:
            packets[one] = packets[one][:3] + bytes([chance.randrange(256)]) + packets[one][4:]
        case _:
            packets[one] = packets[one][:2] + bytes([chance.choice((0x84, 0x85, 0x86, 0x87))]) + packets[one][3:]
    return data[:1] + joined(*packets)


IDENTITY = Identity(
    namespace="default", service="web", statefulset="web", pod="web-0", ordinal=0, system="etcd",
    domain="cluster.local", replicas=3, ips=("10.0.0.1",),
)  # fmt: skip
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)
