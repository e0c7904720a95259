"""The door to DNS (dnspython): one question, every server tried, one of three outcomes. Never raises.

EDNS with 1232 bytes (RFC 6891, DNS flag day 2020), TCP when an answer is cut off, absolute names only. A server that
fails, refuses, is silent or talks garbage says nothing about a name; only NXDOMAIN or an empty answer does, and a name
is ``absent`` only when every server says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from peerboot.model import Outcome
from peerboot.outside.clock import Clock

if TYPE_CHECKING:
    from dns.message import Message, QueryMessage

PAYLOAD = 1232
MAX_SERVERS = 3
"""As the C library has it (resolv.conf(5), MAXNS)."""
ROUNDS = 3
"""How often a server is asked that stays silent; the last time over TCP, which passes where UDP is lost."""
MAX_RECORDS = 5000
MAX_TTL = 86400.0

Spelling = Literal["plain", "do", "cd"]
"""A bit of the question (DO, CD) that caches tell apart, and that no answer about a cluster depends on."""


@dataclass(frozen=True)
class Srv:
    """One SRV record with the glue that came along."""

    name: str
    """Target, lower case, without the trailing dot."""
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Reply:
    """What DNS says to one question."""

    outcome: Outcome
    ttl: float = 0.0
    """Seconds it may be cached: the records', or the SOA's for ``absent`` (RFC 2308 section 5)."""
    reason: str = ""
    via: str = ""
    srv: tuple[Srv, ...] = ()
    addresses: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    nodata: bool = False
    """``absent`` because the name exists without such records."""
    lost: bool = False
    """``unknown`` because nothing came, which another try may cure."""


class Dns:
    """Asks the given servers in turn."""

    def __init__(
        self, servers: Sequence[str], clock: Clock, *, try_timeout: float = 2.0, lifetime: float = 5.0
    ) -> None:
        """``servers``: ``ip``, ``ip:port`` or ``[ip6]:port``."""
        self._servers = list(dict.fromkeys(_endpoint(text) for text in servers[:MAX_SERVERS]))
        self._clock = clock
        self._try_timeout = try_timeout
        self._lifetime = lifetime
        self._cut: set[str] = set()
        self.asked = 0
        """Messages sent so far."""
        self.spelling: Spelling = "plain"
        """How SRV questions are spelt; all others are plain, as the server's own resolver asks them."""

    async def srv(self, name: str) -> Reply:
        """SRV records of an absolute name, with addresses from the additional section."""
        return await self._ask(name, "SRV", self.spelling)

    async def txt(self, name: str) -> Reply:
        """TXT records."""
        return await self._ask(name, "TXT")

    async def addresses(self, name: str) -> Reply:
        """A and AAAA together: found when either has some, absent when both are, else unknown."""
        four, six = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"))
        both = tuple(sorted({*four.addresses, *six.addresses}))
        if both:
            ttls = [r.ttl for r in (four, six) if r.outcome == "found"]
            return Reply("found", ttl=min(ttls), addresses=both, via=four.via or six.via)
        for reply in (four, six):
            if reply.outcome == "unknown":
                return reply
        return Reply("absent", ttl=min(four.ttl, six.ttl), reason=four.reason, nodata=four.nodata or six.nodata)

    async def _ask(self, name: str, kind: str, spelling: Spelling = "plain") -> Reply:
        """Every server in turn until one has records; the silent ones again, within the lifetime."""
        if not self._servers:
            return Reply("unknown", reason="no name server is configured")
        deadline = self._clock.now() + self._lifetime
        said: dict[tuple[str, int], Reply] = {}
        waiting, losses = list(self._servers), 0
        for _ in range(ROUNDS):
            for server in waiting:
                left = deadline - self._clock.now()
                if left <= 0:
                    break
                tcp = name in self._cut or losses >= 2
                reply = await self._once(name, kind, spelling, server, tcp, min(self._try_timeout, left))
                if reply.outcome == "found":
                    # Whoever knows is asked first the next time.
                    self._servers.remove(server)
                    self._servers.insert(0, server)
                    return reply
                said[server] = reply
                losses += reply.lost
            # A server that said its word would only say it again; a lost packet is worth another try.
            waiting = [server for server, reply in said.items() if reply.lost]
            if not waiting:
                break
        if len(said) == len(self._servers) and all(reply.outcome == "absent" for reply in said.values()):
            return next(iter(said.values()))
        reasons = dict.fromkeys(f"{reply.reason} from {server[0]}" for server, reply in said.items())
        return Reply("unknown", reason="; ".join(reasons)[:300] or "no answer in time")

    async def _once(
        self, name: str, kind: str, spelling: Spelling, server: tuple[str, int], tcp: bool, timeout: float
    ) -> Reply:
        """One message to one server; a cut-off answer is asked again over TCP."""
        import dns.asyncquery
        import dns.exception
        import dns.flags

        try:
            query = _query(name, kind, spelling)
        except dns.exception.DNSException as error:
            return Reply("unknown", reason=f"{name!r} is not a name: {error}")
        where, port = server
        try:
            async with asyncio.timeout(timeout):
                self.asked += 1
                if not tcp:
                    # The time is bounded above alone: dnspython's own bound is asyncio.wait_for, which up to Python
                    # 3.11 swallows a cancellation that comes with the answer: a Pod would end by SIGKILL only.
                    response = await dns.asyncquery.udp(
                        query, where, port=port, ignore_unexpected=True, ignore_errors=True
                    )
                    if not response.flags & dns.flags.TC:
                        return _read(response, kind, "udp")
                    self._cut.add(name)
                    tcp = True
                    self.asked += 1
                response = await dns.asyncquery.tcp(query, where, port=port)
                if response.flags & dns.flags.TC:
                    return Reply("unknown", reason="an answer cut off even over TCP")
                return _read(response, kind, "tcp")
        except (TimeoutError, dns.exception.Timeout):
            reply = Reply("unknown", lost=True, reason="no answer over TCP" if name in self._cut else "no answer")
        except (EOFError, OSError) as error:
            closed = isinstance(error, EOFError | ConnectionResetError)
            why = "connection closed" if closed else getattr(error, "strerror", None) or type(error).__name__
            reply = Reply("unknown", reason=f"{'TCP' if tcp else 'UDP'} failed ({why})")
        except Exception as error:  # noqa: BLE001 - dnspython raises many kinds for garbage, some of them not its own
            reply = Reply("unknown", reason=f"garbage ({type(error).__name__})")
        # Where TCP does not pass the next question tries UDP first: the answer may have become shorter.
        self._cut.discard(name)
        return reply


def _query(name: str, kind: str, spelling: Spelling) -> QueryMessage:
    import dns.flags
    import dns.message
    import dns.name

    query = dns.message.make_query(
        dns.name.from_text(name + "."), kind, use_edns=0, payload=PAYLOAD, want_dnssec=spelling == "do"
    )
    if spelling == "cd":
        query.flags |= dns.flags.CD
    return query


def _endpoint(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port.removeprefix(":") or 53)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, int(port)
    return text, 53


def _text(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return text.lower()


def _read(response: Message, kind: str, via: str) -> Reply:
    """Classify a well-formed response to our question; aliases (CNAME) are followed within it."""
    import dns.rcode
    import dns.rdatatype

    rcode = response.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Reply("unknown", reason=dns.rcode.to_text(rcode))
    chain = cast("QueryMessage", response).resolve_chaining()
    if chain.answer is None and any(rrset.rdtype == dns.rdatatype.from_text(kind) for rrset in response.answer):
        return Reply("unknown", reason="an answer about another name")
    if chain.answer is None:
        nodata = rcode == dns.rcode.NOERROR
        return Reply(
            "absent",
            ttl=_negative_ttl(response),
            reason="no such records" if nodata else "NXDOMAIN",
            via=via,
            nodata=nodata,
        )
    ttl = min(float(chain.minimum_ttl), MAX_TTL)
    records = list(chain.answer)
    if len(records) > MAX_RECORDS:
        return Reply("unknown", reason=f"more than {MAX_RECORDS} records")
    if kind == "SRV":
        return Reply("found", ttl=ttl, via=via, srv=_srv(response, records))
    if kind == "TXT":
        return Reply(
            "found",
            ttl=ttl,
            via=via,
            texts=tuple(b"".join(r.strings).decode("utf-8", "replace")[:255] for r in records),
        )
    return Reply("found", ttl=ttl, via=via, addresses=tuple(sorted({record.address for record in records})))


def _srv(response: Message, records: list[Any]) -> tuple[Srv, ...]:
    import dns.rdatatype

    glue: dict[str, set[str]] = {}
    for rrset in response.additional:
        if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            glue.setdefault(_text(rrset.name), set()).update(record.address for record in rrset)
    found = {
        (_text(record.target), int(record.port))
        for record in records
        if record.target.is_absolute() and len(record.target) > 1
    }
    return tuple(Srv(name, port, tuple(sorted(glue.get(name, ())))) for name, port in sorted(found))


def _negative_ttl(response: Message) -> float:
    """The smaller of the SOA's own TTL (it falls in a cache) and its MINIMUM; 0 without a SOA."""
    import dns.rdatatype

    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(float(rrset.ttl), float(rrset[0].minimum), MAX_TTL)
    return 0.0
