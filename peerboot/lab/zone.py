"""What a cluster's DNS says of one headless Service: the records of CoreDNS's ``kubernetes`` plugin. No sockets.

SRV records carry priority 0, weight 100 divided by the endpoints, and the addresses of all targets in the additional
section. A Service without endpoints is NXDOMAIN, as the specification has it: it cannot be told from a missing one.
"""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.renderer
import dns.rrset

VERSION_TTL = 28800
SOA_MAX_TTL = 300
UDP_MIN = 512
TCP_MAX = 65535
OPT_SIZE = 11
MAX_POINTER = 0x4000
UPSTREAM_TTL = 86400
"""How long the root's "no such name" may be kept: names outside the zone are forwarded, and nobody knows them."""


@dataclass(frozen=True)
class Endpoint:
    """One Pod as an EndpointSlice lists it."""

    hostname: str
    addresses: tuple[str, ...]
    port_named: bool
    only_for: frozenset[str] | None
    target: str


@dataclass(frozen=True)
class Records:
    """One answer before it is cut to a size. Each record stands alone, so that any of them may be dropped."""

    rcode: dns.rcode.Rcode
    answer: tuple[dns.rrset.RRset, ...] = ()
    authority: tuple[dns.rrset.RRset, ...] = ()
    additional: tuple[dns.rrset.RRset, ...] = ()
    authoritative: bool = True

    @property
    def every(self) -> Iterator[dns.rrset.RRset]:
        """All records of all sections."""
        yield from (*self.answer, *self.authority, *self.additional)


@dataclass
class Zone:
    """The Service's endpoints and what is answered for each name."""

    service: str
    namespace: str
    domain: str
    port_name: str
    port: int
    ttl: int
    glue: bool = True
    """False: SRV answers come without addresses, which the specification allows."""
    version: bool = True
    """False: no ``dns-version`` record, as some DNS servers have it."""
    _endpoints: dict[tuple[str, str], Endpoint] = field(default_factory=dict)
    _serial: int = field(default_factory=lambda: int(time.time()))

    @property
    def name(self) -> str:
        """The Service's name without the trailing dot."""
        return f"{self.service}.{self.namespace}.svc.{self.domain}"

    def publish(
        self,
        pod: str,
        addresses: Sequence[str],
        *,
        hostname: str | None,
        port_named: bool,
        key: str,
        only_for: Collection[str] | None,
        target_domain: str | None,
    ) -> None:
        """List a Pod, or list it anew; see ``LabDns.publish``."""
        label = hostname or pod
        target = f"{label}.{self.service}.{self.namespace}.svc.{target_domain or self.domain}."
        named = frozenset(only_for) if only_for is not None else None
        self._endpoints[pod, key] = Endpoint(label, tuple(addresses), port_named, named, target)
        self._serial += 1

    def withdraw(self, pod: str, key: str) -> None:
        """List a Pod no longer."""
        if self._endpoints.pop((pod, key), None) is not None:
            self._serial += 1

    def answer(self, question: dns.name.Name, rdtype: dns.rdatatype.RdataType, who: str) -> Records:
        """The records for one question; names compare without regard to case and are echoed as asked."""
        name = question.to_text(omit_final_dot=True).lower()
        if name != self.domain and not name.endswith("." + self.domain):
            soa = _record(
                ".", UPSTREAM_TTL, "SOA", "a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 86400"
            )
            return Records(dns.rcode.NXDOMAIN, authority=(soa,), authoritative=False)
        if name == f"dns-version.{self.domain}" and rdtype == dns.rdatatype.TXT and self.version:
            return Records(dns.rcode.NOERROR, (_record(question, VERSION_TTL, "TXT", '"1.1.0"'),))
        parents = (self.domain, f"svc.{self.domain}", f"{self.namespace}.svc.{self.domain}")
        matched = self._matched(name, who)
        if not matched:
            return self._negative(dns.rcode.NOERROR if name in parents else dns.rcode.NXDOMAIN)
        if rdtype == dns.rdatatype.SRV:
            return self._srv(question, matched)
        if rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            kind = dns.rdatatype.to_text(rdtype)
            texts = dict.fromkeys(a for e in matched for a in e.addresses if _kind(a) == kind)
            found = [_record(question, self.ttl, kind, text) for text in texts]
            if found:
                return Records(dns.rcode.NOERROR, _shuffled(found))
        return self._negative(dns.rcode.NOERROR)

    def _matched(self, name: str, who: str) -> list[Endpoint]:
        """The endpoints that a name stands for: all of the Service, those of a port, or those of one host name."""
        if name != self.name and not name.endswith("." + self.name):
            return []
        ours = [e for e in self._endpoints.values() if e.addresses and (e.only_for is None or who in e.only_for)]
        labels = name.removesuffix(self.name).rstrip(".").split(".") if name != self.name else []
        if not labels:
            return ours
        if len(labels) == 1:
            return [e for e in ours if e.hostname.lower() == labels[0] and e.target.endswith(f".{self.name}.")]
        # Two labels are port and protocol; CoreDNS does without the underscores.
        if [label.removeprefix("_") for label in labels] == [self.port_name, "tcp"]:
            return [e for e in ours if e.port_named]
        return []

    def _srv(self, question: dns.name.Name, matched: list[Endpoint]) -> Records:
        pairs = [(e.target, address) for e in matched for address in e.addresses]
        weight = max(1, 100 // max(1, len(pairs)))
        targets = dict.fromkeys(target for target, _ in pairs)
        answer = [_record(question, self.ttl, "SRV", f"0 {weight} {self.port} {target}") for target in targets]
        glue = [_record(t, self.ttl, _kind(a), a) for t, a in dict.fromkeys(pairs)] if self.glue else []
        return Records(dns.rcode.NOERROR, tuple(answer), additional=_shuffled(glue))

    def _negative(self, rcode: dns.rcode.Rcode) -> Records:
        return Records(rcode, authority=(self.soa(),))

    def nothing(self) -> Records:
        """NXDOMAIN, for a server that has lost its data."""
        return self._negative(dns.rcode.NXDOMAIN)

    def soa(self) -> dns.rrset.RRset:
        """The zone's SOA: its MINIMUM and its own TTL say how long an absence may be kept."""
        text = f"ns.dns.{self.domain}. hostmaster.{self.domain}. {self._serial} 7200 1800 86400 {self.ttl}"
        return _record(f"{self.domain}.", min(self.ttl, SOA_MAX_TTL), "SOA", text)


def _record(owner: str | dns.name.Name, ttl: int, kind: str, text: str) -> dns.rrset.RRset:
    name = dns.name.from_text(owner) if isinstance(owner, str) else owner
    rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, text)
    return dns.rrset.from_rdata(name, ttl, rdata)


def _kind(address: str) -> str:
    return "AAAA" if ipaddress.ip_address(address).version == 6 else "A"


def _shuffled(records: Iterable[dns.rrset.RRset]) -> tuple[dns.rrset.RRset, ...]:
    """Addresses come in another order each time (the ``loadbalance`` plugin); SRV records do not."""
    mixed = list(records)
    random.shuffle(mixed)
    return tuple(mixed)


def aged(records: Records, name: dns.name.Name, ttl: int) -> Records:
    """A cached answer: every TTL is what is left, and the name is spelt as asked this time."""

    def older(rrset: dns.rrset.RRset) -> dns.rrset.RRset:
        owner = name if rrset.name == name else rrset.name
        return dns.rrset.from_rdata_list(owner, max(ttl, 0), list(rrset))

    return replace(
        records,
        answer=tuple(map(older, records.answer)),
        authority=tuple(map(older, records.authority)),
        additional=tuple(map(older, records.additional)),
    )


def render(query: dns.message.Message, records: Records, *, tcp: bool = False, cut: bool = False) -> bytes:
    """The message, as large as the asker takes; TC is set when any record was left out, an additional one too."""
    edns = query.edns >= 0
    limit = TCP_MAX if tcp else max(UDP_MIN, query.payload) if edns else UDP_MIN
    flags = dns.flags.QR | (query.flags & dns.flags.RD) | (records.rcode & 0xF)
    flags |= dns.flags.AA if records.authoritative else dns.flags.RA
    out: Any = dns.renderer.Renderer(query.id, flags, limit)  # type: ignore[no-untyped-call]
    question = query.question[0]
    out.add_question(question.name, question.rdtype)
    if edns:
        out.reserve(OPT_SIZE)
    sections = (
        (dns.renderer.ANSWER, records.answer),
        (dns.renderer.AUTHORITY, records.authority),
        (dns.renderer.ADDITIONAL, records.additional),
    )
    try:
        for section, rrsets in sections:
            for rrset in rrsets:
                out.add_rrset(section, rrset)
                if rrset.rdtype == dns.rdatatype.SRV:
                    # A target is never compressed, but later names may point at it: so CoreDNS's sizes are met.
                    start = out.output.tell() - len(rrset[0].target.to_wire())
                    if start < MAX_POINTER:
                        out.compress[rrset[0].target] = start
    except dns.exception.TooBig:
        cut = True
    if edns:
        out.release_reserved()
        opt = dns.message.make_query(".", "NS", use_edns=0, payload=query.payload).opt
        if opt is not None:
            out.add_opt(opt)
    if cut:
        out.flags |= dns.flags.TC
    out.write_header()
    wire: bytes = out.get_wire()
    return wire
