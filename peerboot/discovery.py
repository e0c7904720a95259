"""Discovery: what DNS says of the set. One SRV question; extra questions only to name what is set up wrongly."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from peerboot.model import Answer, Finding, Identity, Target

if TYPE_CHECKING:
    from peerboot.outside.clock import Clock
    from peerboot.outside.dns import Dns, Reply, Srv

FOLLOW_UPS = 64
AT_ONCE = 8
DASHED = re.compile(r"\d{1,3}(-\d{1,3}){3}|[0-9a-f]*(-[0-9a-f]*){2,8}")


class Discovery:
    """Asks about one set."""

    def __init__(self, identity: Identity, port_name: str, dns: Dns, clock: Clock) -> None:
        self._identity = identity
        self._port_name = port_name
        self._dns = dns
        self._clock = clock
        self.strangers: tuple[str, ...] = ()
        """Targets of other zones in the last answer: somebody else's records."""

    @property
    def question(self) -> str:
        """The SRV name, absolute without the trailing dot."""
        return f"_{self._port_name}._tcp.{self._identity.zone}"

    async def ask(self) -> Answer:
        """One SRV question for the whole set; addresses from the additional section, follow-ups only without glue."""
        reply = await self._dns.srv(self.question)
        now = self._clock.now()
        if reply.outcome != "found":
            return Answer(
                outcome=reply.outcome, ttl=reply.ttl, reason=reply.reason, complete=reply.outcome == "absent", at=now
            )
        suffix = "." + self._identity.zone.lower()
        ours = [record for record in reply.srv if record.name.endswith(suffix)]
        self.strangers = tuple(record.name for record in reply.srv if not record.name.endswith(suffix))[:8]
        addresses, complete = await self._glue(ours)
        targets = tuple(
            Target(
                pod=record.name.partition(".")[0], name=record.name, port=record.port, addresses=addresses[record.name]
            )
            for record in ours
        )
        return Answer(
            outcome="found",
            targets=targets,
            complete=complete,
            ttl=reply.ttl,
            at=now,
            via="tcp" if reply.via == "tcp" else "udp",
        )

    async def _glue(self, records: list[Srv]) -> tuple[dict[str, tuple[str, ...]], bool]:
        addresses = {record.name: record.addresses for record in records}
        bare = [name for name, known in addresses.items() if not known]
        gate = asyncio.Semaphore(AT_ONCE)

        async def follow(name: str) -> Reply:
            async with gate:
                return await self._dns.addresses(name)

        replies = await asyncio.gather(*(follow(name) for name in bare[:FOLLOW_UPS]))
        for name, reply in zip(bare, replies, strict=False):
            addresses[name] = reply.addresses
        complete = len(bare) <= FOLLOW_UPS and all(reply.outcome != "unknown" for reply in replies)
        return addresses, complete

    async def diagnose(self, answer: Answer) -> tuple[Finding, ...]:
        """Name what is set up wrongly, for a set whose answer lacks this Pod. Asks at most four more questions."""
        me = self._identity
        service, zone, version = await asyncio.gather(
            self._dns.addresses(me.zone),
            self._dns.addresses(f"{me.namespace}.svc.{me.domain}"),
            self._dns.txt(f"dns-version.{me.domain}"),
        )
        return findings_of(me, self._port_name, answer, service, zone, version)


def findings_of(
    identity: Identity, port_name: str, answer: Answer, service: Reply, zone: Reply, version: Reply
) -> tuple[Finding, ...]:
    """What is wrong, by what DNS says of the set, the Service's addresses, the namespace and the domain. Pure."""
    own = set(identity.ips)
    if answer.outcome == "unknown" or service.outcome == "unknown":
        return ()
    if answer.outcome == "absent" and service.outcome == "found":
        return (
            _finding(
                "no-port-name",
                f"Service {identity.service} has no port named {port_name!r}: DNS has addresses for it but no SRV record. Add the "
                f"named port to the Service (name: {port_name}, port: 7070).",
            ),
        )
    if answer.outcome == "absent":
        gone = version.outcome == "absent" and zone.outcome == "absent" and not zone.nodata
        if gone:
            return (
                _finding(
                    "wrong-domain",
                    f"DNS knows nothing under {identity.domain!r} (from {identity.domain_source}): set PEERBOOT_CLUSTER_DOMAIN to the "
                    "cluster's domain, or dnsPolicy of the Pod to ClusterFirst.",
                ),
            )
        return (_not_published(identity),)
    mine = [target for target in answer.targets if own & set(target.addresses)]
    if any(target.pod == identity.pod for target in answer.targets):
        return ()
    if any(DASHED.fullmatch(target.pod) for target in mine) or (
        not own and answer.targets and all(DASHED.fullmatch(t.pod) for t in answer.targets)
    ):
        return (
            _finding(
                "dashed-ip-targets",
                f"Service {identity.service} lists this Pod by its address, not by its name: it is not the StatefulSet's governing "
                f"Service. Set .spec.serviceName of StatefulSet {identity.statefulset} to {identity.service}, or PEERBOOT_SERVICE to the "
                "governing one.",
            ),
        )
    if mine:
        return (
            _finding(
                "own-name-missing",
                f"DNS lists this Pod's address as {mine[0].pod}, not as {identity.pod}: check hostname and subdomain of the Pod, and "
                "whether another Pod uses the address (hostNetwork).",
            ),
        )
    return (_not_published(identity),)


def _not_published(identity: Identity) -> Finding:
    return _finding(
        "not-published",
        f"DNS does not list {identity.pod} in Service {identity.service}: set publishNotReadyAddresses: true on that Service, and check "
        f"that it exists in namespace {identity.namespace} and that its selector matches this Pod.",
    )


def _finding(name: str, say: str) -> Finding:
    return Finding(name=name, say=say, exit_code=3)
