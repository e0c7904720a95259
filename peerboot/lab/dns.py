"""The headless Service's DNS server of the lab: answers as CoreDNS gives them, and misbehaves on request.

Each asking Pod has its own endpoint (a UDP and a TCP socket on one port): faults, delays and caches are per Pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode

from peerboot.lab.zone import TCP_MAX, Records, Zone, aged, render

MIN_CACHED = 5.0
"""CoreDNS keeps nothing for a shorter time, whatever the TTL."""
DRIP = 0.05
"""Seconds between the bytes of an answer that never ends."""
BIND_TRIES = 50


class Mode(StrEnum):
    """How an endpoint answers."""

    OK = "ok"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    NXDOMAIN = "nxdomain"
    """Says of every name that it does not exist."""
    SILENT = "silent"
    LOSSY = "lossy"
    """Silent over UDP, as it should be over TCP."""
    GARBAGE = "garbage"
    """Random bytes, another id, another question, half a message, in turn."""
    TRUNCATED = "truncated"
    """Every UDP answer is cut off, and TCP is closed at once."""
    ENDLESS = "endless"
    """Every UDP answer is cut off, and over TCP one never ends."""
    STALE = "stale"
    """Answers what was listed when this began."""


@dataclass
class _Endpoint:
    """The socket pair of one asker."""

    who: str
    address: str
    transport: asyncio.DatagramTransport
    server: asyncio.Server
    cache: dict[tuple[str, int, bool, bool], tuple[float, float, Records]] = field(default_factory=dict)
    """By lower-case name, type, DO and CD, as CoreDNS has it: when it was stored, for how long, what."""
    garbage: int = 0


class LabDns:
    """A cluster's DNS for one headless Service."""

    def __init__(
        self,
        *,
        service: str,
        namespace: str,
        domain: str = "cluster.local",
        port_name: str = "peerboot",
        port: int = 7070,
        ttl: int = 5,
        cache: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``cache``: keep answers so many seconds at most, found or not, as CoreDNS does with a plain ``cache 30``."""
        self.zone = Zone(service, namespace, domain, port_name, port, ttl)
        self.beside: list[Zone] = []
        """Other Services of the same cluster; their Pods are listed elsewhere."""
        self._cache = cache
        self._now = now
        self._host = "127.0.0.1"
        self._endpoints: dict[str, _Endpoint] = {}
        self._making = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._mode, self._modes = Mode.OK, dict[str, Mode]()
        self._stale: dict[str | None, Zone] = {}
        """What is told to an asker whose answers are stale; under None to all others of these."""
        self._delay, self._delays = 0.0, dict[str, float]()
        self._questions: Counter[str] = Counter()

    @property
    def questions(self) -> Mapping[str, int]:
        """Messages received, by asker."""
        return self._questions

    # ------------------------------------------------------------ what is listed

    def publish(
        self,
        pod: str,
        addresses: Sequence[str],
        *,
        hostname: str | None = None,
        port_named: bool = True,
        key: str = "",
        only_for: Collection[str] | None = None,
        target_domain: str | None = None,
    ) -> None:
        """List a Pod, or list it anew with other addresses.

        ``hostname``: another label than the pod's name, for example its dashed IP. ``port_named`` False: its port
        has no name. ``key`` tells two Pods of one name apart. ``only_for``: listed only in answers to these askers.
        ``target_domain``: the SRV target lies in another zone.
        """
        self.zone.publish(
            pod,
            addresses,
            hostname=hostname,
            port_named=port_named,
            key=key,
            only_for=only_for,
            target_domain=target_domain,
        )

    def withdraw(self, pod: str, *, key: str = "") -> None:
        """List a Pod no longer."""
        self.zone.withdraw(pod, key)

    # --------------------------------------------------------------- misbehaviour

    def fault(self, mode: Mode | str, who: str | None = None) -> None:
        """Answer in this way from now on; without ``who`` to everybody, whatever was said before."""
        if who is None:
            self._mode = Mode(mode)
            self._modes.clear()
            self._stale.clear()
        else:
            self._modes[who] = Mode(mode)
            self._stale.pop(who, None)
        if Mode(mode) is Mode.STALE:
            self._stale[who] = copy.deepcopy(self.zone)

    def delay(self, seconds: float, who: str | None = None) -> None:
        """Answer so much later; without ``who`` to everybody."""
        if who is None:
            self._delay = seconds
            self._delays.clear()
        else:
            self._delays[who] = seconds

    def faults(self) -> Mapping[str, str]:
        """The mode of each asker whose answers are not as they should be."""
        modes = {who: self._mode_of(who) for who in (*self._endpoints, *self._modes)}
        return {who: mode.value for who, mode in modes.items() if mode is not Mode.OK}

    def _mode_of(self, who: str) -> Mode:
        return self._modes.get(who, self._mode)

    # -------------------------------------------------------------------- sockets

    async def start(self, host: str = "127.0.0.1") -> None:
        """Endpoints are made on this address."""
        self._host = host

    async def endpoint(self, who: str) -> str:
        """``ip:port`` of this asker's own name server; the same at each call."""
        async with self._making:
            if who not in self._endpoints:
                self._endpoints[who] = await self._listen(who)
            return self._endpoints[who].address

    async def _listen(self, who: str) -> _Endpoint:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._spawn(self._serve_tcp(who, reader, writer))

        loop = asyncio.get_running_loop()
        for _ in range(BIND_TRIES):
            server = await asyncio.start_server(connected, self._host, 0)
            port = server.sockets[0].getsockname()[1]
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Udp(self, who), local_addr=(self._host, port)
                )
            except OSError:
                # Somebody else has the UDP port of this number.
                server.close()
                await server.wait_closed()
                continue
            host = f"[{self._host}]" if ":" in self._host else self._host
            return _Endpoint(who, f"{host}:{port}", transport, server)
        raise OSError(f"no port on {self._host} is free for both UDP and TCP")

    async def stop(self) -> None:
        """Close every socket and end every answer under way."""
        endpoints, self._endpoints = list(self._endpoints.values()), {}
        for endpoint in endpoints:
            endpoint.transport.close()
            endpoint.server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for endpoint in endpoints:
            await endpoint.server.wait_closed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def received(self, who: str, wire: bytes, send: Callable[[bytes], None]) -> None:
        """One UDP message; its answer leaves now or later."""
        self._questions[who] += 1
        wait = self._delays.get(who, self._delay)
        if wait <= 0:
            self._reply_udp(who, wire, send)
        else:
            self._spawn(self._reply_later(wait, who, wire, send))

    async def _reply_later(self, wait: float, who: str, wire: bytes, send: Callable[[bytes], None]) -> None:
        await asyncio.sleep(wait)
        self._reply_udp(who, wire, send)

    def _reply_udp(self, who: str, wire: bytes, send: Callable[[bytes], None]) -> None:
        answer = self._respond(who, wire, tcp=False)
        if answer is not None:
            send(answer)

    async def _serve_tcp(self, who: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions of one connection, in order."""
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                while self._mode_of(who) is not Mode.TRUNCATED:
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    wire = await reader.readexactly(size)
                    self._questions[who] += 1
                    await asyncio.sleep(self._delays.get(who, self._delay))
                    if self._mode_of(who) is Mode.ENDLESS:
                        await _drip(writer)
                    answer = self._respond(who, wire, tcp=True)
                    if answer is not None:
                        writer.write(struct.pack("!H", len(answer)) + answer)
                        await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # -------------------------------------------------------------------- answers

    def _respond(self, who: str, wire: bytes, *, tcp: bool) -> bytes | None:
        mode = self._mode_of(who)
        if mode is Mode.SILENT or (mode is Mode.LOSSY and not tcp):
            return None
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR or query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            return None
        match mode:
            case Mode.GARBAGE:
                return self._garbage(who, query)
            case Mode.SERVFAIL:
                return render(query, Records(dns.rcode.SERVFAIL, authoritative=False), tcp=tcp)
            case Mode.REFUSED:
                return render(query, Records(dns.rcode.REFUSED, authoritative=False), tcp=tcp)
            case Mode.NXDOMAIN:
                return render(query, self.zone.nothing(), tcp=tcp)
            case Mode.TRUNCATED | Mode.ENDLESS:
                return render(query, Records(dns.rcode.NOERROR), tcp=tcp, cut=True)
            case _:
                return render(query, self._records(who, query), tcp=tcp)

    def _records(self, who: str, query: dns.message.Message) -> Records:
        """The zone's answer, or the one in this endpoint's cache with what is left of its TTL."""
        name, kind = query.question[0].name, query.question[0].rdtype
        if self._cache <= 0:
            return self._answer(name, kind, who)
        cache = self._endpoints[who].cache
        bits = bool(query.ednsflags & dns.flags.DO), bool(query.flags & dns.flags.CD)
        key, now = (name.to_text().lower(), int(kind), *bits), self._now()
        at, lasts, records = cache.get(key, (0.0, 0.0, None))
        if records is None or now - at >= lasts:
            records = self._answer(name, kind, who)
            ttl = min((rrset.ttl for rrset in records.every), default=0)
            at, lasts = now, min(max(float(ttl), MIN_CACHED), self._cache)
            cache[key] = at, lasts, records
        return aged(records, name, int(lasts) - int(now - at))

    def _answer(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, who: str) -> Records:
        """By the Service that the name belongs to; what belongs to none is for the own one to deny."""
        text = f".{name.to_text(omit_final_dot=True).lower()}"
        own = self.zone
        if self._mode_of(who) is Mode.STALE:
            own = self._stale[who if who in self._modes else None]
        zone = next((zone for zone in self.beside if text.endswith(f".{zone.name}")), own)
        return zone.answer(name, kind, who)

    def _garbage(self, who: str, query: dns.message.Message) -> bytes:
        endpoint = self._endpoints[who]
        endpoint.garbage += 1
        good = bytearray(render(query, self.zone.answer(query.question[0].name, query.question[0].rdtype, who)))
        match endpoint.garbage % 4:
            case 1:
                return os.urandom(64)
            case 2:
                good[0] ^= 0xFF
                return bytes(good)
            case 3:
                other = dns.message.make_query(dns.name.from_text("other.invalid."), "SRV", id=query.id)
                return render(other, self.zone.nothing())
            case _:
                return bytes(good[: len(good) // 2])


class _Udp(asyncio.DatagramProtocol):
    """Hands each message to the server, with the way back."""

    def __init__(self, owner: LabDns, who: str) -> None:
        self._owner = owner
        self._who = who
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._owner.received(self._who, data, lambda answer: self._send(answer, addr))

    def _send(self, answer: bytes, addr: tuple[Any, ...]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)


async def _drip(writer: asyncio.StreamWriter) -> None:
    """An answer that is always one byte short of its end, until the asker hangs up or the server stops."""
    writer.write(struct.pack("!H", TCP_MAX))
    while True:
        writer.write(b"\0")
        await writer.drain()
        await asyncio.sleep(DRIP)
