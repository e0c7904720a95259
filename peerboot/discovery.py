"""Discovery: what DNS says of the set. One SRV question; extra questions only to name what is set up wrongly."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Container
from typing import TYPE_CHECKING

from peerboot.model import Answer, Finding, Identity, Target

if TYPE_CHECKING:
    from peerboot.outside.clock import Clock
    from peerboot.outside.dns import Dns, Reply, Spelling, Srv

FOLLOW_UPS = 64
"""At most so many names are asked for one by one after an answer without addresses."""
AT_ONCE = 8
SPELLINGS: tuple[tuple[float, Spelling], ...] = ((0.0, "do"), (2.0, "plain"), (8.0, "cd"), (40.0, "plain"))
"""How the question is spelt so many seconds after the first one.

The first question is normally too early: this Pod's record appears up to a second after its first process. Where DNS
caches, the miss would then be repeated to all Pods for 30 s. Caches keep one answer for each setting of the DO and CD
bits, so an early miss under one of them leaves the next spelling fresh; without a cache they make no difference.
"""


class Discovery:
    """Asks about one set."""

    def __init__(self, identity: Identity, port_name: str, dns: Dns, clock: Clock) -> None:
        self._identity = identity
        self._port_name = port_name
        self._dns = dns
        self._clock = clock
        self._first_at: float | None = None
        self._followed: dict[str, tuple[float, tuple[str, ...]]] = {}
        self.strangers: tuple[str, ...] = ()
        """Targets in the last answer that are no pods of this Service: they are ignored."""
        self.asked = 0
        """Questions about the set that came to an end."""
        self.spent = 0.0
        """Seconds for all of them together."""

    @property
    def question(self) -> str:
        """The SRV name, absolute without the trailing dot."""
        return f"_{self._port_name}._tcp.{self._identity.zone}"

    async def ask(self) -> Answer:
        """One SRV question for the whole set; addresses from the additional section, follow-ups only without glue."""
        began = self._clock.now()
        answer = await self._answered()
        self.asked, self.spent = self.asked + 1, self.spent + self._clock.now() - began
        return answer

    async def _answered(self) -> Answer:
        self._dns.spelling = self._spelling()
        reply = await self._dns.srv(self.question)
        now = self._clock.now()
        if reply.outcome != "found":
            return Answer(
                outcome=reply.outcome, ttl=reply.ttl, reason=reply.reason, complete=reply.outcome == "absent", at=now
            )
        ours = [record for record in reply.srv if self._pod(record) is not None]
        self.strangers = tuple(record.name for record in reply.srv if self._pod(record) is None)[:8]
        addresses = await self._glue(ours)
        targets = tuple(
            Target(pod=self._pod(record) or "", name=record.name, port=record.port, addresses=addresses[record.name])
            for record in ours
        )
        return Answer(
            outcome="found",
            targets=targets,
            # Where all targets are somebody else's, the answer says nothing of this set.
            complete=bool(targets),
            reason="" if targets else f"no target in {self._identity.zone}",
            ttl=reply.ttl,
            at=now,
            via="tcp" if reply.via == "tcp" else "udp",
        )

    def _spelling(self) -> Spelling:
        now = self._clock.now()
        if self._first_at is None:
            self._first_at = now
        return [spelling for after, spelling in SPELLINGS if now - self._first_at >= after][-1]

    def _pod(self, record: Srv) -> str | None:
        """The pod that a target stands for: one label before the Service's own name."""
        pod, _, zone = record.name.partition(".")
        return pod if zone == self._identity.zone.lower() else None

    async def _glue(self, records: list[Srv]) -> dict[str, tuple[str, ...]]:
        """Addresses by target. Where the answer has none the target's own records say them, kept for their TTL."""
        now = self._clock.now()
        addresses = {record.name: record.addresses for record in records}
        bare = [name for name, known in addresses.items() if not known]
        self._followed = {name: self._followed[name] for name in bare if self._followed.get(name, (0.0,))[0] > now}
        gate = asyncio.Semaphore(AT_ONCE)

        async def follow(name: str) -> None:
            async with gate:
                reply = await self._dns.addresses(name)
            if reply.outcome == "found":
                self._followed[name] = now + reply.ttl, reply.addresses

        await asyncio.gather(*(follow(name) for name in [n for n in bare if n not in self._followed][:FOLLOW_UPS]))
        return addresses | {name: known for name, (_, known) in self._followed.items()}

    async def diagnose(self, answer: Answer) -> tuple[Finding, ...]:
        """Name what is set up wrongly, for a set whose answer lacks this Pod. Asks five more questions.

        Here the cluster domain is verified: every cluster's DNS has ``dns-version.<domain>``.
        """
        me = self._identity
        service, namespace, version = await asyncio.gather(
            self._dns.addresses(me.zone),
            self._dns.addresses(f"{me.namespace}.svc.{me.domain}"),
            self._dns.txt(f"dns-version.{me.domain}"),
        )
        return findings_of(me, self._port_name, answer, service, namespace, version, self.strangers)


def findings_of(
    identity: Identity,
    port_name: str,
    answer: Answer,
    service: Reply,
    namespace: Reply,
    version: Reply,
    strangers: tuple[str, ...] = (),
) -> tuple[Finding, ...]:
    """What is wrong, by what DNS says of the set, the Service's addresses, the namespace and the domain. Pure.

    What is unknown is evidence of nothing: then there is no finding.
    """
    if answer.outcome == "unknown" or service.outcome == "unknown":
        return ()
    if answer.outcome == "found":
        return _of_targets(identity, port_name, answer, service, strangers)
    if service.outcome == "found":
        return (
            _finding(
                "no-port-name",
                f"Service {identity.service} has no port named {port_name!r}: DNS has addresses for it but no SRV "
                f"record. Add the port to the Service, or name the one it has (name: {port_name}, port: 7070); no Pod "
                "has to restart.",
            ),
        )
    if version.outcome == "found" or namespace.nodata:
        return (_not_published(identity),)
    if version.outcome == "unknown" or namespace.outcome == "unknown":
        return ()
    return (_wrong_domain(identity, "DNS knows no cluster there"),)


def _of_targets(
    identity: Identity, port_name: str, answer: Answer, service: Reply, strangers: tuple[str, ...]
) -> tuple[Finding, ...]:
    """There are SRV records, but maybe not this Pod's."""
    if any(target.pod == identity.pod for target in answer.targets):
        return ()
    head = f"{identity.service}.{identity.namespace}.svc."
    others = {name.partition(f".{head}")[2] for name in strangers} - {""}
    if not answer.targets and others:
        return (_wrong_domain(identity, f"DNS answers with names of {min(others)}"),)
    own = set(identity.ips)
    mine = [target for target in answer.targets if own & set(target.addresses)]
    dashed = [target for target in answer.targets if is_dashed_address(target.pod, identity)]
    if any(target in dashed for target in mine) or (dashed and len(dashed) == len(answer.targets)):
        return (
            _finding(
                "dashed-ip-targets",
                f"Service {identity.service} lists its Pods by address, not by name: it is not the StatefulSet's "
                f"governing Service, for .spec.serviceName of StatefulSet {identity.statefulset} names another, and "
                f"both must be the same. To keep that one, set PEERBOOT_SERVICE to it (`kubectl --namespace "
                f"{identity.namespace} get statefulset {identity.statefulset} -o jsonpath={{.spec.serviceName}}`) and "
                f"apply. To keep {identity.service}, `kubectl --namespace {identity.namespace} delete statefulset "
                f"{identity.statefulset} --cascade=orphan` and apply it with serviceName: {identity.service}. Then "
                "delete its Pods; the volumes stay.",
            ),
        )
    if mine:
        return (
            _finding(
                "own-name-missing",
                f"DNS lists this Pod's address as {mine[0].pod}, not as {identity.pod}: check hostname and subdomain "
                "of the Pod, and whether another Pod uses the address (hostNetwork).",
            ),
        )
    if own & set(service.addresses):
        return (
            _finding(
                "no-port-name",
                f"Service {identity.service} has this Pod's address but no SRV record for it: targetPort of the port "
                f"{port_name!r} is a name that no container of this Pod declares. Declare it, or write its number.",
            ),
        )
    return (_not_published(identity),)


def alone(identity: Identity, seen: Container[str]) -> tuple[Finding, ...]:
    """What may be wrong where DNS lists of all expected pods only the first, which waits for the others. Pure."""
    if not identity.others or identity.pod != identity.expected[0] or any(pod in seen for pod in identity.others):
        return ()
    return (
        Finding(
            name="alone",
            say=f"DNS lists none of the other {len(identity.others)} pods. If StatefulSet {identity.statefulset} is "
            "OrderedReady, they are not made before this Pod is ready, which it cannot be without them. Make the set "
            f"anew with podManagementPolicy: Parallel, which cannot be changed: `kubectl --namespace "
            f"{identity.namespace} delete statefulset {identity.statefulset} --cascade=orphan`, then apply it; the "
            "volumes stay.",
        ),
    )


def is_dashed_address(label: str, identity: Identity) -> bool:
    """Whether a target's label is an address with dashes, ``10-1-2-3`` or ``fd00--1``, and no pod of the set."""
    if identity.ordinal_of(label) is not None:
        return False
    for mark in (".", ":"):
        try:
            ipaddress.ip_address(label.replace("-", mark))
        except ValueError:
            continue
        return True
    return False


def _wrong_domain(identity: Identity, seen: str) -> Finding:
    return _finding(
        "wrong-domain",
        f"{identity.domain!r} (from {identity.domain_source}) is not the cluster's domain: {seen}. Set "
        "PEERBOOT_CLUSTER_DOMAIN to it, or dnsPolicy of the Pod to ClusterFirst (with hostNetwork: "
        "ClusterFirstWithHostNet).",
    )


def _not_published(identity: Identity) -> Finding:
    return _finding(
        "not-published",
        f"DNS does not list {identity.pod} in Service {identity.service}. Most often that Service lacks "
        f"publishNotReadyAddresses: true; else there is none in namespace {identity.namespace}, or its selector does "
        f"not match this Pod (`kubectl --namespace {identity.namespace} get service {identity.service} -o yaml`). No "
        "Pod has to restart.",
    )


def _finding(name: str, say: str) -> Finding:
    return Finding(name=name, say=say, exit_code=3)
