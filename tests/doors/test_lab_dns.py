"""The lab's DNS answers as CoreDNS does: without that, what is proved against it is proved of nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from peerboot.lab.dns import LabDns, Mode

ZONE = "web.default.svc.cluster.local"
SRV = f"_peerboot._tcp.{ZONE}"


@pytest.fixture
async def lab() -> AsyncIterator[LabDns]:
    """A server for Service ``web``, with no Pods yet."""
    made = LabDns(service="web", namespace="default")
    await made.start()
    yield made
    await made.stop()


class Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


async def ask(
    lab: LabDns,
    name: str,
    kind: str = "SRV",
    *,
    who: str = "web-0",
    payload: int | None = 1232,
    tcp: bool = False,
    do: bool = False,
    timeout: float = 2.0,
) -> dns.message.Message:
    """One question by UDP or TCP; without a ``payload`` it has no OPT record."""
    host, _, port = (await lab.endpoint(who)).rpartition(":")
    query = dns.message.make_query(name + ".", kind, use_edns=None if payload is None else 0, payload=payload)
    if do:
        query.want_dnssec()
    transport = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await transport(query, host.strip("[]"), port=int(port), timeout=timeout)


def lines(message: dns.message.Message, section: int) -> list[str]:
    """The records of a section, sorted, one a line."""
    return sorted(line for rrset in message.sections[section] for line in rrset.to_text().splitlines())


def fill(lab: LabDns, count: int, first: int = 0) -> None:
    """Publish ``web-<first>`` and on."""
    for i in range(first, first + count):
        lab.publish(f"web-{i}", [f"10.0.{i // 250}.{i % 250 + 1}"])


RCODES = [
    # name, type, rcode, answers
    pytest.param(SRV, "SRV", "NOERROR", 3, id="port-of-the-service"),
    pytest.param(ZONE, "A", "NOERROR", 3, id="service-a"),
    pytest.param(ZONE, "AAAA", "NOERROR", 0, id="service-other-family-is-nodata"),
    pytest.param(ZONE, "SRV", "NOERROR", 3, id="plain-srv-at-the-service"),
    pytest.param(ZONE, "TXT", "NOERROR", 0, id="service-other-type-is-nodata"),
    pytest.param(f"web-1.{ZONE}", "A", "NOERROR", 1, id="pod-a"),
    pytest.param(f"web-1.{ZONE}", "AAAA", "NOERROR", 0, id="pod-other-family-is-nodata"),
    pytest.param(f"web-1.{ZONE}", "SRV", "NOERROR", 1, id="pod-srv"),
    pytest.param(f"peerboot.tcp.{ZONE}", "SRV", "NOERROR", 3, id="underscores-are-optional"),
    pytest.param(f"web-9.{ZONE}", "A", "NXDOMAIN", 0, id="unknown-pod"),
    pytest.param(f"_other._tcp.{ZONE}", "SRV", "NXDOMAIN", 0, id="wrong-port-name"),
    pytest.param(f"_peerboot._udp.{ZONE}", "SRV", "NXDOMAIN", 0, id="wrong-protocol"),
    pytest.param(f"_tcp.{ZONE}", "SRV", "NXDOMAIN", 0, id="protocol-only"),
    pytest.param(f"x.web-0.{ZONE}", "A", "NXDOMAIN", 0, id="two-labels-are-port-and-protocol"),
    pytest.param(f"a.b.c.{ZONE}", "A", "NXDOMAIN", 0, id="three-labels"),
    pytest.param("other.default.svc.cluster.local", "A", "NXDOMAIN", 0, id="another-service"),
    pytest.param("web.other.svc.cluster.local", "A", "NXDOMAIN", 0, id="another-namespace"),
    pytest.param("default.svc.cluster.local", "A", "NOERROR", 0, id="existing-namespace-is-nodata"),
    pytest.param("svc.cluster.local", "A", "NOERROR", 0, id="svc-is-nodata"),
    pytest.param("dns-version.cluster.local", "TXT", "NOERROR", 1, id="dns-version"),
    pytest.param("dns-version.cluster.local", "A", "NXDOMAIN", 0, id="dns-version-has-no-address"),
]


@pytest.mark.parametrize(("name", "kind", "rcode", "answers"), RCODES)
async def test_codes(lab: LabDns, name: str, kind: str, rcode: str, answers: int) -> None:
    """Each name is answered, is NODATA or is NXDOMAIN as by CoreDNS, and an empty answer carries the SOA."""
    fill(lab, 3)
    reply = await ask(lab, name, kind)
    assert (rcode, answers) == (dns.rcode.to_text(reply.rcode()), sum(map(len, reply.answer)))
    soas = [rrset for rrset in reply.authority if rrset.rdtype == dns.rdatatype.SOA]
    assert (answers == 0) == bool(soas)
    assert bool(reply.flags & dns.flags.AA)


async def test_a_service_without_endpoints_is_nxdomain(lab: LabDns) -> None:
    """With no Pod listed the Service looks as if it did not exist; the SOA's MINIMUM and TTL are the TTL."""
    reply = await ask(lab, SRV)
    soa = reply.authority[0]
    assert (reply.rcode(), soa.ttl, soa[0].minimum) == (dns.rcode.NXDOMAIN, 5, 5)


async def test_another_zone_is_somebody_elses(lab: LabDns) -> None:
    """Names outside the cluster domain are forwarded: nobody knows them, and the answer is not authoritative."""
    reply = await ask(lab, "web.default.svc.other.domain", "A")
    assert (reply.rcode(), bool(reply.flags & dns.flags.AA)) == (dns.rcode.NXDOMAIN, False)


async def test_the_wire_answer_of_the_specification() -> None:
    """CoreDNS's own test data: one SRV for each host name, weight 100/6, an address for each target."""
    lab = LabDns(service="hdls1", namespace="testns", port_name="http", port=80)
    await lab.start()
    try:
        for address in ("172.0.0.2", "172.0.0.3", "5678:abcd::1", "5678:abcd::2"):
            lab.publish(address, [address], hostname=address.replace(".", "-").replace(":", "-"))
        lab.publish("dup", ["172.0.0.4"], hostname="dup-name", key="old")
        lab.publish("dup", ["172.0.0.5"], hostname="dup-name", key="new")
        zone = "hdls1.testns.svc.cluster.local."
        reply = await ask(lab, f"_http._tcp.{zone[:-1]}")
        names = ["172-0-0-2", "172-0-0-3", "5678-abcd--1", "5678-abcd--2", "dup-name"]
        assert [f"_http._tcp.{zone} 5 IN SRV 0 16 80 {name}.{zone}" for name in names] == lines(reply, 1)
        assert [
            f"172-0-0-2.{zone} 5 IN A 172.0.0.2",
            f"172-0-0-3.{zone} 5 IN A 172.0.0.3",
            f"5678-abcd--1.{zone} 5 IN AAAA 5678:abcd::1",
            f"5678-abcd--2.{zone} 5 IN AAAA 5678:abcd::2",
            f"dup-name.{zone} 5 IN A 172.0.0.4",
            f"dup-name.{zone} 5 IN A 172.0.0.5",
        ] == lines(reply, 3)
    finally:
        await lab.stop()


@pytest.mark.parametrize(
    ("count", "payload", "tcp", "whole"),
    [
        pytest.param(6, None, False, True, id="6-fit-in-512"),
        pytest.param(7, None, False, False, id="7-do-not-fit-in-512"),
        pytest.param(16, 1232, False, True, id="16-fit-in-1232"),
        pytest.param(17, 1232, False, False, id="17-do-not-fit-in-1232"),
        pytest.param(17, None, True, True, id="17-fit-over-tcp"),
        pytest.param(850, 1232, True, False, id="850-do-not-fit-over-tcp"),
    ],
)
async def test_sizes(lab: LabDns, count: int, payload: int | None, tcp: bool, whole: bool) -> None:
    """An answer is cut at the size asked for, and TC is set when anything is left out, an address alone too."""
    fill(lab, count)
    reply = await ask(lab, SRV, payload=payload, tcp=tcp)
    assert whole == (not reply.flags & dns.flags.TC)
    assert whole == (sum(map(len, reply.additional)) == count)


async def test_nine_without_edns(lab: LabDns) -> None:
    """Measured on a real cluster: of nine members without EDNS 512 bytes hold some SRV records and no address."""
    fill(lab, 9)
    reply = await ask(lab, SRV, payload=None)
    assert (bool(reply.flags & dns.flags.TC), len(lines(reply, 1)), len(lines(reply, 3))) == (True, 8, 0)


async def test_case_is_echoed(lab: LabDns) -> None:
    """Names compare without regard to case, and the question comes back spelt as it was asked."""
    fill(lab, 1)
    reply = await ask(lab, f"_PeerBoot._TCP.{ZONE.upper()}")
    assert (f"_PeerBoot._TCP.{ZONE.upper()}.", 1) == (reply.question[0].name.to_text(), len(reply.answer))


async def test_two_pods_of_one_name(lab: LabDns) -> None:
    """While an old Pod ends and the new one of its name runs, both addresses are listed under one target."""
    lab.publish("web-0", ["10.0.0.1"], key="old")
    lab.publish("web-0", ["10.0.0.2"], key="new")
    reply = await ask(lab, SRV)
    assert (len(lines(reply, 1)), [t.split()[-1] for t in lines(reply, 3)]) == (1, ["10.0.0.1", "10.0.0.2"])
    lab.withdraw("web-0", key="old")
    assert [t.split()[-1] for t in lines(await ask(lab, SRV), 3)] == ["10.0.0.2"]


async def test_shared_address(lab: LabDns) -> None:
    """Pods on the host's network share an address: one A record at the Service, but an SRV record each."""
    lab.publish("web-0", ["10.0.0.1"])
    lab.publish("web-1", ["10.0.0.1"])
    assert (len(lines(await ask(lab, ZONE, "A"), 1)), len(lines(await ask(lab, SRV), 1))) == (1, 2)


async def test_port_without_a_name(lab: LabDns) -> None:
    """A port without a name is in the plain SRV answer only; a Pod whose port has none is missing in the other."""
    lab.publish("web-0", ["10.0.0.1"], port_named=False)
    assert (await ask(lab, SRV)).rcode() == dns.rcode.NXDOMAIN
    assert len(lines(await ask(lab, ZONE), 1)) == 1
    lab.publish("web-1", ["10.0.0.2"])
    assert (len(lines(await ask(lab, SRV), 1)), len(lines(await ask(lab, ZONE, "A"), 1))) == (1, 2)


async def test_replicas_disagree(lab: LabDns) -> None:
    """An endpoint may know a Pod that another one does not know yet."""
    lab.publish("web-0", ["10.0.0.1"])
    lab.publish("web-1", ["10.0.0.2"], only_for=["web-1"])
    assert (len(lines(await ask(lab, SRV), 1)), len(lines(await ask(lab, SRV, who="web-1"), 1))) == (1, 2)


async def test_missing_glue_and_other_zone(lab: LabDns) -> None:
    """SRV answers may come without addresses, and with targets of another zone."""
    lab.publish("web-0", ["10.0.0.1"], target_domain="other.domain")
    lab.zone.glue = False
    reply = await ask(lab, SRV)
    assert [t.split()[-1] for t in lines(reply, 1)] == ["web-0.web.default.svc.other.domain."]
    assert lines(reply, 3) == []


async def test_endpoints_are_apart(lab: LabDns) -> None:
    """Each asker keeps its own address, fault and count."""
    fill(lab, 1)
    lab.fault("servfail", "web-1")
    assert await lab.endpoint("web-0") == await lab.endpoint("web-0") != await lab.endpoint("web-1")
    codes = [(await ask(lab, SRV, who=who)).rcode() for who in ("web-0", "web-1", "web-1")]
    assert codes == [dns.rcode.NOERROR, dns.rcode.SERVFAIL, dns.rcode.SERVFAIL]
    assert (dict(lab.questions), dict(lab.faults())) == ({"web-0": 1, "web-1": 2}, {"web-1": "servfail"})
    lab.fault(Mode.OK)
    assert dict(lab.faults()) == {}


@pytest.mark.parametrize(
    ("mode", "rcode"),
    [(Mode.SERVFAIL, dns.rcode.SERVFAIL), (Mode.REFUSED, dns.rcode.REFUSED), (Mode.NXDOMAIN, dns.rcode.NXDOMAIN)],
    ids=str,
)
async def test_faults_with_a_code(lab: LabDns, mode: Mode, rcode: dns.rcode.Rcode) -> None:
    """A fault with a response code is told over UDP and TCP alike, with no records but the SOA."""
    fill(lab, 1)
    lab.fault(mode)
    for tcp in (False, True):
        reply = await ask(lab, SRV, tcp=tcp)
        assert (rcode, 0) == (reply.rcode(), len(reply.answer))


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.LOSSY], ids=str)
async def test_silence(lab: LabDns, mode: Mode) -> None:
    """A silent server says nothing over UDP; a lossy one answers over TCP."""
    fill(lab, 1)
    lab.fault(mode)
    with pytest.raises(dns.exception.Timeout):
        await ask(lab, SRV, timeout=0.05)
    if mode is Mode.LOSSY:
        assert len((await ask(lab, SRV, tcp=True)).answer) == 1
    else:
        with pytest.raises(dns.exception.Timeout):
            await ask(lab, SRV, tcp=True, timeout=0.05)


async def test_truncated_and_tcp_closed(lab: LabDns) -> None:
    """Cut off over UDP, and over TCP the connection just ends."""
    fill(lab, 1)
    lab.fault(Mode.TRUNCATED)
    assert (await ask(lab, SRV)).flags & dns.flags.TC
    with pytest.raises((EOFError, OSError)):
        await ask(lab, SRV, tcp=True)


async def test_garbage_comes_in_four_kinds(lab: LabDns) -> None:
    """Random bytes, another id, another question and half a message: none is an answer to the question."""
    fill(lab, 1)
    lab.fault(Mode.GARBAGE)
    host, _, port = (await lab.endpoint("web-0")).rpartition(":")
    query = dns.message.make_query(SRV + ".", "SRV")
    taken, sizes = 0, set()
    for _ in range(4):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendto(sock, query.to_wire(), (host, int(port)))
            wire = await asyncio.wait_for(loop.sock_recv(sock, 65535), 2.0)
        sizes.add(len(wire))
        with contextlib.suppress(Exception):
            taken += query.is_response(dns.message.from_wire(wire))
    assert (taken, len(sizes) >= 3) == (0, True)


async def test_stale_answers(lab: LabDns) -> None:
    """Those who get them see what was listed when that began, each what it was for it; the others see what is."""
    fill(lab, 1)
    lab.fault("stale", "web-0")
    fill(lab, 1, 1)
    lab.fault("stale", "web-1")
    fill(lab, 1, 2)
    seen = {who: len((await ask(lab, ZONE, "A", who=who)).answer[0]) for who in ("web-0", "web-1", "web-2")}
    assert seen == {"web-0": 1, "web-1": 2, "web-2": 3}
    lab.fault("stale")
    lab.withdraw("web-0")
    assert [len((await ask(lab, ZONE, "A", who=f"web-{i}")).answer[0]) for i in range(3)] == [3, 3, 3]
    lab.fault("ok")
    assert len((await ask(lab, ZONE, "A")).answer[0]) == 2


async def test_delay(lab: LabDns) -> None:
    """A delayed answer leaves after its time and not before; others are not held up."""
    fill(lab, 1)
    lab.delay(60.0, "web-0")
    slow = asyncio.create_task(ask(lab, SRV, timeout=120.0))
    assert len((await ask(lab, SRV, who="web-1")).answer) == 1
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    lab.delay(0.01)
    assert len((await ask(lab, SRV)).answer) == 1


async def cached(time: Time) -> LabDns:
    """A server with CoreDNS's plain ``cache 30`` and kubeadm's ``ttl 30``."""
    lab = LabDns(service="web", namespace="default", ttl=30, cache=30.0, now=time)
    await lab.start()
    return lab


async def test_cache_keeps_what_was_found_and_what_was_not() -> None:
    """With a plain ``cache 30`` an early miss, and an early partial set, stay for 30 s, their TTLs falling."""
    time = Time()
    lab = await cached(time)
    try:
        seen = []
        for at, publish in ((0, 0), (10, 1), (29, 0), (30, 0), (45, 1), (59, 0), (60, 0)):
            time.at = at
            fill(lab, publish, first=0 if at == 10 else 1)
            reply = await ask(lab, SRV)
            records = [*reply.answer, *reply.authority]
            seen.append((at, sum(map(len, reply.answer)), {rrset.ttl for rrset in records}))
        assert [
            (0, 0, {30}),
            (10, 0, {20}),
            (29, 0, {1}),
            (30, 1, {30}),
            (45, 1, {15}),
            (59, 1, {1}),
            (60, 2, {30}),
        ] == seen
    finally:
        await lab.stop()


async def test_cache_keeps_five_seconds_at_least() -> None:
    """A cache keeps nothing for less than five seconds, whatever the TTL says."""
    time = Time()
    lab = LabDns(service="web", namespace="default", ttl=1, cache=30.0, now=time)
    await lab.start()
    try:
        answers = []
        for at in (0.0, 4.9, 5.0):
            time.at = at
            answers.append(len((await ask(lab, SRV)).answer))
            fill(lab, 1)
        assert answers == [0, 0, 1]
    finally:
        await lab.stop()


async def test_cache_tells_endpoints_names_types_and_bits_apart() -> None:
    """A miss is kept for one endpoint, name, type and DO bit; the case of the name makes no difference."""
    lab = await cached(Time())
    try:
        await ask(lab, SRV)
        fill(lab, 1)
        found = {
            "same": len((await ask(lab, SRV)).answer),
            "case": len((await ask(lab, SRV.upper())).answer),
            "do": len((await ask(lab, SRV, do=True)).answer),
            "type": len((await ask(lab, ZONE, "A")).answer),
            "endpoint": len((await ask(lab, SRV, who="web-1")).answer),
        }
        assert found == {"same": 0, "case": 0, "do": 1, "type": 1, "endpoint": 1}
    finally:
        await lab.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_stop_leaves_nothing(host: str) -> None:
    """After ``stop`` no task runs and the port is free again, even with answers and connections under way."""
    before = asyncio.all_tasks()
    lab = LabDns(service="web", namespace="default")
    await lab.start(host)
    fill(lab, 1)
    address = (await lab.endpoint("web-0")).rpartition(":")
    assert len((await ask(lab, SRV)).answer) == 1
    lab.delay(60.0)
    reader, writer = await asyncio.open_connection(host, int(address[2]))
    wire = dns.message.make_query(SRV + ".", "SRV").to_wire()
    writer.write(struct.pack("!H", len(wire)) + wire)
    waiting = asyncio.create_task(ask(lab, SRV, timeout=60.0))
    for _ in range(1000):
        if lab.questions["web-0"] == 3:
            break
        await asyncio.sleep(0.002)
    assert lab.questions["web-0"] == 3
    await lab.stop()
    assert await reader.read() == b""
    writer.close()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert before == asyncio.all_tasks()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, int(address[2])))
