"""The DNS door against a server that misbehaves on purpose: real packets, one of three outcomes, never an exception."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerboot import peers
from peerboot.discovery import Discovery
from peerboot.lab.dns import LabDns, Mode
from peerboot.model import Answer, Identity, PeerSet
from peerboot.outside.clock import SystemClock
from peerboot.outside.dns import Dns, Reply, Srv

ZONE = "web.default.svc.cluster.local"
SRV = f"_peerboot._tcp.{ZONE}"
TRY = 0.05
"""Seconds for which a silent server is waited for."""


@pytest.fixture
async def lab() -> AsyncIterator[LabDns]:
    """A server for Service ``web``, with no Pods yet."""
    made = LabDns(service="web", namespace="default")
    await made.start()
    yield made
    await made.stop()


def fill(lab: LabDns, count: int) -> None:
    """Publish ``web-0`` and on."""
    for i in range(count):
        lab.publish(f"web-{i}", [f"10.0.{i // 250}.{i % 250 + 1}"])


async def door(lab: LabDns, *who: str, patient: bool = True) -> Dns:
    """The door of the asker ``web-0``, or one whose name servers are those of several askers."""
    servers = [await lab.endpoint(name) for name in who or ("web-0",)]
    return Dns(servers, SystemClock(), try_timeout=2.0 if patient else TRY, lifetime=5.0 if patient else 20 * TRY)


# ------------------------------------------------------------- outcomes by fault


@pytest.mark.parametrize(
    ("mode", "outcome", "reason"),
    [
        (Mode.SERVFAIL, "unknown", "SERVFAIL from 127.0.0.1"),
        (Mode.REFUSED, "unknown", "REFUSED from 127.0.0.1"),
        (Mode.NXDOMAIN, "absent", "NXDOMAIN"),
        (Mode.SILENT, "unknown", "no answer from 127.0.0.1"),
        (Mode.GARBAGE, "unknown", "garbage (BadResponse) from 127.0.0.1"),
        (Mode.TRUNCATED, "unknown", "TCP failed (connection closed) from 127.0.0.1"),
        (Mode.ENDLESS, "unknown", "no answer from 127.0.0.1"),
    ],
    ids=str,
)
async def test_faults(lab: LabDns, mode: Mode, outcome: str, reason: str) -> None:
    """Only NXDOMAIN says that a name is absent; failure, refusal, silence and garbage say nothing of it."""
    fill(lab, 3)
    lab.fault(mode)
    dns_door = await door(lab, patient=mode not in (Mode.SILENT, Mode.GARBAGE, Mode.ENDLESS))
    reply = await dns_door.srv(SRV)
    assert (outcome, reason, ()) == (reply.outcome, reply.reason, reply.srv)


async def test_failure_passes(lab: LabDns) -> None:
    """Once a server that failed is well again the next question is answered."""
    fill(lab, 1)
    lab.fault(Mode.SERVFAIL)
    asker = await door(lab)
    outcomes = [(await asker.srv(SRV)).outcome]
    lab.fault(Mode.OK)
    outcomes.append((await asker.srv(SRV)).outcome)
    assert outcomes == ["unknown", "found"]


async def test_a_failing_server_is_asked_once(lab: LabDns) -> None:
    """A server that said SERVFAIL would say it again: the question is not repeated at once."""
    lab.fault(Mode.SERVFAIL)
    await (await door(lab)).srv(SRV)
    assert dict(lab.questions) == {"web-0": 1}


async def test_tcp_where_udp_is_lost(lab: LabDns) -> None:
    """After two lost UDP messages TCP is tried, which passes where UDP does not."""
    fill(lab, 1)
    lab.fault(Mode.LOSSY)
    reply = await (await door(lab, patient=False)).srv(SRV)
    assert (reply.outcome, reply.via, lab.questions["web-0"]) == ("found", "tcp", 3)


async def test_closed_port() -> None:
    """Where nobody listens the answer is unknown."""
    reply = await Dns(["127.0.0.1:1"], SystemClock(), try_timeout=TRY, lifetime=20 * TRY).srv(SRV)
    assert reply.outcome == "unknown"


async def test_no_servers() -> None:
    """Without a name server there is nobody to ask."""
    reply = await Dns([], SystemClock()).srv(SRV)
    assert (reply.outcome, reply.reason) == ("unknown", "no name server is configured")


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".b", ".".join(["abcdefgh"] * 32), "\ud800.b"], ids=ascii)
async def test_not_a_name(lab: LabDns, name: str) -> None:
    """What is no DNS name is unknown, and nothing is sent."""
    reply = await (await door(lab)).srv(name)
    assert (reply.outcome, dict(lab.questions)) == ("unknown", {})


# ------------------------------------------------------------- several servers


@pytest.mark.parametrize(
    ("first", "second", "outcome", "reason"),
    [
        (Mode.OK, Mode.SERVFAIL, "found", ""),
        (Mode.SERVFAIL, Mode.OK, "found", ""),
        (Mode.SILENT, Mode.OK, "found", ""),
        (Mode.GARBAGE, Mode.OK, "found", ""),
        (Mode.NXDOMAIN, Mode.OK, "found", ""),
        (Mode.NXDOMAIN, Mode.NXDOMAIN, "absent", "NXDOMAIN"),
        (Mode.NXDOMAIN, Mode.SERVFAIL, "unknown", "NXDOMAIN from 127.0.0.1; SERVFAIL from 127.0.0.1"),
        (Mode.SERVFAIL, Mode.REFUSED, "unknown", "SERVFAIL from 127.0.0.1; REFUSED from 127.0.0.1"),
        (Mode.SILENT, Mode.NXDOMAIN, "unknown", "no answer from 127.0.0.1; NXDOMAIN from 127.0.0.1"),
    ],
    ids=str,
)
async def test_two_servers(lab: LabDns, first: Mode, second: Mode, outcome: str, reason: str) -> None:
    """One server with records is enough; a name is absent only when every server says so."""
    fill(lab, 1)
    lab.fault(first, "a")
    lab.fault(second, "b")
    silent = Mode.SILENT in (first, second) or Mode.GARBAGE in (first, second)
    reply = await (await door(lab, "a", "b", patient=not silent)).srv(SRV)
    assert (outcome, reason) == (reply.outcome, reply.reason)


async def test_who_knows_is_asked_first(lab: LabDns) -> None:
    """A dead first server costs one time-out, not one for each question; three servers at most are asked."""
    fill(lab, 1)
    lab.fault(Mode.SILENT, "a")
    asker = await door(lab, "a", "b", "c", "d", patient=False)
    for _ in range(3):
        assert (await asker.srv(SRV)).outcome == "found"
    lab.fault(Mode.SERVFAIL)
    await asker.srv(SRV)
    assert dict(lab.questions) == {"a": 2, "b": 4, "c": 1}


# ------------------------------------------------------------------ contents


async def test_found(lab: LabDns) -> None:
    """Targets come with port and addresses, in order, in lower case, whatever the spelling of the question."""
    lab.publish("web-10", ["10.0.0.3"])
    lab.publish("web-1", ["10.0.0.2", "fd00::2"])
    lab.publish("web-0", ["10.0.0.1"], hostname="WEB-0")
    expected = (
        Srv(f"web-0.{ZONE}", 7070, ("10.0.0.1",)),
        Srv(f"web-1.{ZONE}", 7070, ("10.0.0.2", "fd00::2")),
        Srv(f"web-10.{ZONE}", 7070, ("10.0.0.3",)),
    )
    assert Reply("found", ttl=5.0, via="udp", srv=expected) == await (await door(lab)).srv(SRV.upper())


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        pytest.param("dual", ("10.0.0.1", "fd00::1"), id="dual-stack"),
        pytest.param("six", ("fd00::6",), id="ipv6-only"),
        pytest.param("twin", ("10.0.0.3", "10.0.0.4"), id="two-pods-of-one-name"),
    ],
)
async def test_addresses(lab: LabDns, name: str, addresses: tuple[str, ...]) -> None:
    """A and AAAA count together: one family's NODATA takes nothing from the other's answer."""
    lab.publish("dual", ["10.0.0.1", "fd00::1"])
    lab.publish("six", ["fd00::6"])
    lab.publish("twin", ["10.0.0.3"], key="old")
    lab.publish("twin", ["10.0.0.4"], key="new")
    reply = await (await door(lab)).addresses(f"{name}.{ZONE}")
    assert ("found", addresses) == (reply.outcome, reply.addresses)


@pytest.mark.parametrize(
    ("name", "nodata"),
    [(f"web-9.{ZONE}", False), ("default.svc.cluster.local", True)],
    ids=["nxdomain", "nodata"],
)
async def test_no_addresses(lab: LabDns, name: str, nodata: bool) -> None:
    """A name without addresses is absent, and whether it exists is told apart."""
    fill(lab, 1)
    reply = await (await door(lab)).addresses(name)
    assert ("absent", nodata, 5.0) == (reply.outcome, reply.nodata, reply.ttl)


@pytest.mark.parametrize(
    ("count", "via", "messages"),
    [(6, "udp", 1), (16, "udp", 1), (17, "tcp", 2), (100, "tcp", 2)],
    ids=str,
)
async def test_tcp_when_cut_off(lab: LabDns, count: int, via: str, messages: int) -> None:
    """16 Pods fit into 1232 bytes; a larger set comes over TCP, whole, and the next time without the detour."""
    fill(lab, count)
    asker = await door(lab)
    reply = await asker.srv(SRV)
    assert (count, via, messages) == (len(reply.srv), reply.via, asker.asked)
    assert all(record.addresses for record in reply.srv)
    await asker.srv(SRV)
    assert asker.asked == messages + 1


async def test_udp_again_where_tcp_fails(lab: LabDns) -> None:
    """A set that has become small is found again over UDP where TCP does not pass."""
    fill(lab, 20)
    asker = await door(lab)
    outcomes = [(await asker.srv(SRV)).via]
    lab.fault(Mode.TRUNCATED)
    outcomes.append((await asker.srv(SRV)).outcome)
    lab.fault(Mode.OK)
    for i in range(3, 20):
        lab.withdraw(f"web-{i}")
    outcomes.append((await asker.srv(SRV)).via)
    assert outcomes == ["tcp", "unknown", "udp"]


async def test_too_large_even_for_tcp(lab: LabDns) -> None:
    """What does not fit into 64 KiB is unknown: a part of a set is not the set."""
    fill(lab, 850)
    reply = await (await door(lab)).srv(SRV)
    assert (reply.outcome, reply.reason) == ("unknown", "an answer cut off even over TCP from 127.0.0.1")


async def test_missing_glue(lab: LabDns) -> None:
    """Without addresses in the answer the targets are there all the same."""
    fill(lab, 2)
    lab.zone.glue = False
    reply = await (await door(lab)).srv(SRV)
    assert [(f"web-{i}.{ZONE}", ()) for i in range(2)] == [(s.name, s.addresses) for s in reply.srv]


# ---------------------------------------------- answers that no cluster's DNS gives

Answerer = Callable[[dns.message.Message], Sequence[bytes]]


@contextlib.asynccontextmanager
async def scripted(answer: Answerer, over_tcp: bytes | None = None) -> AsyncIterator[str]:
    """A server that sends what ``answer`` gives for each UDP question, and raw bytes to who connects by TCP."""

    class Udp(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for wire in answer(dns.message.from_wire(data)):
                self.transport.sendto(wire, addr)  # type: ignore[attr-defined]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What is hung up on before it was read would be a reset, and not the end of an answer.
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        await reader.readexactly(size)
        writer.write(over_tcp or b"")
        writer.close()

    loop = asyncio.get_running_loop()
    for _ in range(50):
        # The kernel gives a free port of one kind; its number may be taken in the other.
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            transport, _ = await loop.create_datagram_endpoint(Udp, local_addr=("127.0.0.1", port))
            break
        except OSError:
            server.close()
    else:
        pytest.fail("no port is free for both UDP and TCP")
    if over_tcp is None:
        server.close()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        transport.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


def good(query: dns.message.Message) -> dns.message.Message:
    """A right answer: one Pod with its address."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", "SRV", f"0 1 7070 web-0.{ZONE}."))
    reply.additional.append(dns.rrset.from_text(f"web-0.{ZONE}.", 5, "IN", "A", "10.0.0.1"))
    return reply


def changed(query: dns.message.Message, change: Callable[[dns.message.Message], object]) -> bytes:
    """The right answer with something wrong about it."""
    reply = good(query)
    change(reply)
    return reply.to_wire()


def _rename(reply: dns.message.Message) -> None:
    other = dns.message.make_query("other.invalid.", "SRV", id=reply.id)
    reply.question = other.question


WRONG: dict[str, Answerer] = {
    "empty": lambda _query: [b""],
    "zeros": lambda _query: [bytes(512)],
    "the-question-itself": lambda query: [query.to_wire()],
    "another-id": lambda query: [changed(query, lambda m: setattr(m, "id", m.id ^ 1))],
    "another-question": lambda query: [changed(query, _rename)],
    "no-question": lambda query: [changed(query, lambda m: m.question.clear())],
    "half": lambda query: [good(query).to_wire()[:40]],
    "trailing-bytes": lambda query: [good(query).to_wire() + b"more"],
    "a-pointer-to-itself": lambda query: [query.to_wire()[:2] + b"\x84\0\0\1\0\0\0\0\0\0\xc0\x0c\0\x21\0\1"],
    "an-update": lambda query: [changed(query, lambda m: setattr(m, "flags", m.flags | 0x2800))],
    "huge": lambda _query: [b"\xff" * 60000],
}


@pytest.mark.parametrize("kind", WRONG)
async def test_wrong_messages_are_no_answers(kind: str) -> None:
    """What is not an answer to the question is passed over, and the right one after it counts: nobody can spoil it."""
    wrong = WRONG[kind]
    async with scripted(lambda query: [*wrong(query), good(query).to_wire()]) as server:
        reply = await Dns([server], SystemClock()).srv(SRV)
    assert ("found", (Srv(f"web-0.{ZONE}", 7070, ("10.0.0.1",)),)) == (reply.outcome, reply.srv)


@pytest.mark.parametrize("kind", WRONG)
async def test_wrong_messages_alone_are_unknown(kind: str) -> None:
    """A server that sends nothing else says nothing."""
    async with scripted(WRONG[kind], over_tcp=b"") as server:
        reply = await Dns([server], SystemClock(), try_timeout=0.02, lifetime=1.0).srv(SRV)
    assert (reply.outcome, reply.srv) == ("unknown", ())


@pytest.mark.parametrize(
    "wire",
    [b"", b"\0", b"\0\0", b"\xff\xffabc", struct.pack("!H", 64) + bytes(64)],
    ids=["closed", "half-a-length", "nothing", "short", "zeros"],
)
async def test_garbage_over_tcp(wire: bytes) -> None:
    """A cut-off answer whose TCP answer is garbage is unknown."""
    async with scripted(lambda q: [changed(q, lambda m: setattr(m, "flags", m.flags | 0x200))], wire) as server:
        reply = await Dns([server], SystemClock()).srv(SRV)
    assert (reply.outcome, reply.srv) == ("unknown", ())


def _nothing_but_soa(ttl: int, minimum: int) -> Answerer:
    def answer(query: dns.message.Message) -> list[bytes]:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 {minimum}"
        reply.authority.append(dns.rrset.from_text("cluster.local.", ttl, "IN", "SOA", soa))
        return [reply.to_wire()]

    return answer


@pytest.mark.parametrize(
    ("ttl", "minimum", "expected"),
    [(30, 30, 30.0), (7, 30, 7.0), (300, 5, 5.0), (0, 30, 0.0), (2**31 - 1, 2**31 - 1, 86400.0)],
    ids=["fresh", "falling-in-a-cache", "minimum", "expired", "absurd"],
)
async def test_negative_ttl(ttl: int, minimum: int, expected: float) -> None:
    """An absence may be kept for the smaller of the SOA's own TTL, which falls in a cache, and its MINIMUM."""
    async with scripted(_nothing_but_soa(ttl, minimum)) as server:
        reply = await Dns([server], SystemClock()).srv(SRV)
    assert ("absent", expected) == (reply.outcome, reply.ttl)


async def test_records_of_another_name_are_no_absence() -> None:
    """An answer to this question that only has such records of another name is muddled: it says nothing of this one."""

    def answer(query: dns.message.Message) -> list[bytes]:
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text("other.invalid.", 5, "IN", "SRV", f"0 1 7070 web-0.{ZONE}."))
        return [reply.to_wire()]

    async with scripted(answer) as server:
        reply = await Dns([server], SystemClock()).srv(SRV)
    assert ("unknown", f"an answer about another name from {server.partition(':')[0]}") == (reply.outcome, reply.reason)


async def test_absent_without_soa() -> None:
    """Without a SOA nothing says how long an absence may be kept."""
    async with scripted(lambda query: [dns.message.make_response(query).to_wire()]) as server:
        reply = await Dns([server], SystemClock()).srv(SRV)
    assert (reply.outcome, reply.ttl, reply.nodata) == ("absent", 0.0, True)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (["a CNAME b.invalid.", "b A 10.0.0.1"], ("found", ("10.0.0.1",))),
        (["b A 10.0.0.1"], ("unknown", ())),
        (["a CNAME b.invalid.", "b CNAME a.invalid."], ("unknown", ())),
    ],
    ids=["alias", "unasked", "loop"],
)
async def test_aliases(chain: list[str], expected: tuple[str, tuple[str, ...]]) -> None:
    """An alias is followed within the answer; records that nobody asked for are not taken, a loop ends."""

    def answer(query: dns.message.Message) -> list[bytes]:
        reply = dns.message.make_response(query)
        for line in chain if query.question[0].rdtype == dns.rdatatype.A else chain[:1] * ("CNAME" in chain[-1]):
            owner, kind, text = line.split()
            reply.answer.append(dns.rrset.from_text(f"{owner}.invalid.", 5, "IN", kind, text))
        return [reply.to_wire()]

    async with scripted(answer) as server:
        reply = await Dns([server], SystemClock()).addresses("a.invalid")
    assert expected == (reply.outcome, reply.addresses)


@settings(max_examples=60, deadline=None)
@given(noise=st.lists(st.binary(max_size=600), max_size=5), keep_id=st.booleans())
def test_any_bytes(noise: list[bytes], keep_id: bool) -> None:
    """Whatever bytes come first, with the question's own id too, the right answer after them is the answer."""

    def answer(query: dns.message.Message) -> list[bytes]:
        head = struct.pack("!H", query.id) if keep_id else b""
        return [*(head + wire for wire in noise), good(query).to_wire()]

    async def one() -> Reply:
        async with scripted(answer) as server:
            return await Dns([server], SystemClock()).srv(SRV)

    reply = asyncio.run(one())
    assert ("found", (Srv(f"web-0.{ZONE}", 7070, ("10.0.0.1",)),)) == (reply.outcome, reply.srv)


@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(2, 200), st.integers(1, 255)), min_size=1, max_size=6))
def test_any_damaged_answer(flips: list[tuple[int, int]]) -> None:
    """A right answer with some bytes changed gives one of the three outcomes, bounded, and never an exception."""

    def answer(query: dns.message.Message) -> list[bytes]:
        wire = bytearray(good(query).to_wire())
        for at, mask in flips:
            wire[2 + at % (len(wire) - 2)] ^= mask
        return [bytes(wire), good(query).to_wire()]

    async def one() -> Reply:
        async with scripted(answer, over_tcp=b"") as server:
            return await Dns([server], SystemClock()).srv(SRV)

    reply = asyncio.run(one())
    assert reply.outcome in ("found", "absent", "unknown")
    assert len(reply.reason) <= 300
    assert len(reply.srv) <= 2


# -------------------------------------------------------- discovery, end to end


class Clock(SystemClock):
    """A clock that a test turns; it tells the lab's cache and the discovery the same time."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


def identity(**more: object) -> Identity:
    """Pod ``web-0`` of three."""
    given: dict[str, object] = {
        "namespace": "default",
        "service": "web",
        "statefulset": "web",
        "pod": "web-0",
        "ordinal": 0,
        "system": "etcd",
        "ips": ("10.0.0.1",),
        "domain": "cluster.local",
        "replicas": 3,
        **more,
    }
    return Identity(**given)  # type: ignore[arg-type]


async def story(cache: float, ready: float, until: float) -> float:
    """Seconds from the first question until all three Pods are found, their records appearing after ``ready``."""
    clock = Clock()
    lab = LabDns(service="web", namespace="default", ttl=30, cache=cache, now=clock.now)
    await lab.start()
    try:
        discovery = Discovery(identity(), "peerboot", await door(lab), clock)
        start, attempt, known = clock.at, 0, PeerSet()
        while len(known.sightings) < 3 and clock.at - start < until:
            if clock.at - start >= ready:
                fill(lab, 3)
            answer = await discovery.ask()
            known = peers.fold(known, answer, clock.at)
            attempt += 1
            clock.at += peers.pace(n=3, phase="boot", answer=answer, attempt=attempt, jitter=0.5)
        assert known.answer is not None
        return known.answer.at - start
    finally:
        await lab.stop()


@pytest.mark.parametrize("cache", [0.0, 30.0], ids=["live", "cache-30"])
async def test_an_early_question_costs_little(cache: float) -> None:
    """The first question comes before the records: with a cache that keeps misses too the set is found soon."""
    assert await story(cache, ready=0.4, until=60.0) <= 3.0


async def test_a_late_set_is_found_with_a_cache() -> None:
    """Records that appear only when two spellings are spoiled already are found by the third, not after 30 s."""
    assert await story(30.0, ready=6.0, until=60.0) <= 15.0


FINDINGS = [
    pytest.param("governing", {}, (), id="right"),
    pytest.param("nothing", {}, ("not-published",), id="not-published"),
    pytest.param("others", {}, ("not-published",), id="only-others-published"),
    pytest.param("unnamed", {}, ("no-port-name",), id="no-named-port"),
    pytest.param("own-unnamed", {}, ("no-port-name",), id="own-pod-without-the-named-port"),
    pytest.param("dashed", {}, ("dashed-ip-targets",), id="dashed-addresses"),
    pytest.param("dashed", {"ips": ()}, ("dashed-ip-targets",), id="dashed-addresses-own-unknown"),
    pytest.param("dashed-six", {"ips": ("fd00::1",)}, ("dashed-ip-targets",), id="dashed-ipv6"),
    pytest.param("renamed", {}, ("own-name-missing",), id="own-address-under-another-name"),
    pytest.param("governing", {"domain": "corp.example"}, ("wrong-domain",), id="wrong-domain"),
    pytest.param("foreign", {}, ("wrong-domain",), id="targets-of-another-domain"),
    pytest.param("failing", {}, (), id="servfail-is-no-finding"),
    pytest.param("silent", {}, (), id="silence-is-no-finding"),
]


def publish(lab: LabDns, case: str) -> None:
    """Set a Service up, wrongly mostly."""
    pods = {f"web-{i}": f"10.0.0.{i + 1}" for i in range(3)}
    for pod, address in pods.items():
        dashed = address.replace(".", "-")
        match case:
            case "governing":
                lab.publish(pod, [address])
            case "others" if pod != "web-0":
                lab.publish(pod, [address])
            case "unnamed":
                lab.publish(pod, [address], port_named=False)
            case "own-unnamed":
                lab.publish(pod, [address], port_named=pod != "web-0")
            case "dashed":
                lab.publish(pod, [address], hostname=dashed)
            case "dashed-six":
                lab.publish(pod, [f"fd00::{address[-1]}"], hostname=f"fd00--{address[-1]}")
            case "renamed":
                lab.publish(pod, [address], hostname="other" if pod == "web-0" else None)
            case "foreign":
                lab.publish(pod, [address], target_domain="real.domain")
    if case in ("failing", "silent"):
        lab.fault({"failing": Mode.SERVFAIL, "silent": Mode.SILENT}[case])


@pytest.mark.parametrize(("case", "more", "expected"), FINDINGS)
async def test_findings(lab: LabDns, case: str, more: dict[str, object], expected: tuple[str, ...]) -> None:
    """What is set up wrongly gets its name, by what DNS really says; a DNS that fails is no finding."""
    publish(lab, case)
    discovery = Discovery(identity(**more), "peerboot", await door(lab, patient=case != "silent"), SystemClock())
    findings = await discovery.diagnose(await discovery.ask())
    assert [(name, 3) for name in expected] == [(finding.name, finding.exit_code) for finding in findings]
    assert all("\n" not in finding.say for finding in findings)


async def test_a_found_set(lab: LabDns) -> None:
    """One message answers for the whole set, dual stack counted by name and ordinals from five on as any other."""
    for i in (5, 6, 10):
        lab.publish(f"web-{i}", [f"10.0.0.{i}", f"fd00::{i}"])
    asker = await door(lab)
    answer = await Discovery(identity(pod="web-5", start=5), "peerboot", asker, SystemClock()).ask()
    found = [(target.pod, target.port, target.addresses) for target in answer.targets]
    assert [(f"web-{i}", 7070, (f"10.0.0.{i}", f"fd00::{i}")) for i in (10, 5, 6)] == found
    assert (answer.outcome, answer.complete, answer.via, asker.asked) == ("found", True, "udp", 1)


async def test_missing_glue_is_asked_for_once_a_ttl(lab: LabDns) -> None:
    """Addresses that did not come along are asked for by name, and kept for as long as their TTL says."""
    fill(lab, 3)
    lab.zone.glue = False
    clock, asker = Clock(), await door(lab)
    discovery = Discovery(identity(), "peerboot", asker, clock)
    asked = []
    for at in (0.0, 4.0, 6.0):
        clock.at = 1000.0 + at
        answer = await discovery.ask()
        assert [f"10.0.0.{i + 1}" for i in range(3)] == [target.addresses[0] for target in answer.targets]
        asked.append(asker.asked)
    assert asked == [7, 8, 15]


async def test_unknown_or_foreign_is_no_miss(lab: LabDns) -> None:
    """Neither an outage nor an answer about another zone takes anybody out of the set, however long it lasts."""
    fill(lab, 3)
    clock = Clock()
    discovery = Discovery(identity(), "peerboot", await door(lab), clock)
    known = peers.fold(PeerSet(), await discovery.ask(), clock.at)
    answers: list[Answer] = []
    for mode in (Mode.SERVFAIL, Mode.NXDOMAIN, Mode.OK):
        lab.fault(mode)
        if mode is Mode.OK:
            publish(lab, "foreign")
        for _ in range(5):
            clock.at += 120.0
            answers.append(await discovery.ask())
            known = peers.fold(known, answers[-1], clock.at)
    assert [answer.outcome for answer in answers] == ["unknown"] * 5 + ["absent"] * 5 + ["found"] * 5
    assert {"web-0", "web-1", "web-2"} == set(known.sightings)
    assert tuple(f"web-{i}.web.default.svc.real.domain" for i in range(3)) == discovery.strangers


def test_start_does_not_pay_for_dns() -> None:
    """dnspython is imported by the first question, not by whoever might ask one."""
    code = "import sys, peerboot.discovery, peerboot.outside.dns; print('dns' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "False\n"


# ------------------------------------------------------------- told to stop


@pytest.mark.parametrize("later", range(8))
async def test_a_cancellation_that_comes_with_the_answer_counts(
    lab: LabDns, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    """Told to stop so many turns of the event loop after the packet came, the question ends cancelled or was over."""
    from dns._asyncio_backend import _DatagramProtocol

    fill(lab, 1)
    asker = await door(lab)
    loop, came = asyncio.get_running_loop(), _DatagramProtocol.datagram_received

    async def ask_for_ever() -> None:
        while True:
            await asker.srv(SRV)

    task = asyncio.create_task(ask_for_ever())

    def cancel(turns: int) -> None:
        if turns:
            loop.call_soon(cancel, turns - 1)
        else:
            task.cancel()

    def received(self: _DatagramProtocol, data: bytes, address: tuple[str, int]) -> None:
        came(self, data, address)  # type: ignore[no-untyped-call]
        monkeypatch.setattr(_DatagramProtocol, "datagram_received", came)
        cancel(later)

    monkeypatch.setattr(_DatagramProtocol, "datagram_received", received)
    done, _ = await asyncio.wait([task], timeout=2)
    task.cancel()
    assert done == {task}
