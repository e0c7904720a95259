"""Kafka set up for one Pod: the other files of this folder, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from peerboot import birth, certified
from peerboot.certified import Certified
from peerboot.errors import PeerbootError
from peerboot.model import Call, ClusterView, Decision, Disk, Done, Facts, Limits, Plan, Registration, Traits
from peerboot.outside.http import Http
from peerboot.renewed import Renewed
from peerboot.rules.words import DATA_KINDS
from peerboot.systems.kafka import (
    assess,
    brokers,
    calls,
    config,
    controllers,
    copies,
    health,
    launch,
    lock,
    logdirs,
    material,
    ownbroker,
    quorumstate,
    registered,
    unheard,
    unregister,
)
from peerboot.systems.kafka.plan import FILES, PERMIT_NAME, plan

OwnWord = tuple[health.Word, tuple[Registration, ...], assess.Seen | None]
"""Of this Pod's broker: how well it is, who is gone and registered still, and what it was told of the quorum."""


class Kafka:
    """Kafka set up for one Pod; fulfils ``peerboot.systems.Prepared``."""

    permit_name = PERMIT_NAME
    files: tuple[str, ...] = FILES
    own_urls: tuple[str, ...] = ()
    """A controller whose own endpoint changed tells the others itself (UpdateRaftVoter)."""
    traits = Traits(admits="started-first", hands_over=False, cluster_of_one=False, in_turn=True)
    """Of a set that has controllers."""

    def __init__(
        self,
        made: config.KafkaConfig,
        output_dir: Path,
        anew: Callable[[], config.KafkaConfig] | None = None,
        stamp: Callable[[], object] = lambda: None,
    ) -> None:
        """``anew``: reads mounted files again; ``stamp``: says whether they changed."""
        self._made = Renewed(made, anew, stamp)
        self.also_resolve: tuple[str, ...] = ()
        if not made.is_controller:
            self.also_resolve = (made.quorum_service,)
            self.traits = msgspec.structs.replace(self.traits, quorum_of=made.quorum_service.partition(".svc.")[0])
        elif made.quorum != "dynamic":
            self.traits = msgspec.structs.replace(self.traits, fixed=True)
        self.metadata_dir = Path(made.metadata_dir)
        self.log_dirs = tuple(Path(path) for path in made.log_dirs)
        self.further_dirs = tuple(("PEERBOOT_KAFKA_LOG_DIRS", path) for path in self.log_dirs)
        self.marks: tuple[str, ...] = ("meta.properties", logdirs.QUORUM_LOG)
        self.fingerprint = made.fingerprint
        self.limits: Limits = made.limits
        self._output_dir = output_dir
        self._own_cluster, self._own_member = "", ""
        self._lost: tuple[str, ...] = ()
        self._empty = False
        self._registry = registered.Registry()
        self._watch = health.Watch()
        self._unheard = unheard.Unheard()

    @property
    def config(self) -> config.KafkaConfig:
        """By what the mounted files say now."""
        return self._made.config

    def read_disk(self) -> Disk:
        disk = logdirs.read(self.metadata_dir, self.log_dirs, self.config.node)
        if disk.kind in DATA_KINDS and self.config.is_controller:
            named = quorumstate.voters(self.metadata_dir)
            pods = tuple(sorted(map(self.config.pod_of, named))) if named is not None else None
            pods = pods if pods is None or all(pods) else None
            disk = msgspec.structs.replace(disk, voters=pods)
            if pods and self.config.quorum == "dynamic":
                # It may also be a list from before the quorum was made dynamic, which Kafka leaves there for a while.
                note = "its quorum-state has a list of voters: if no leader comes, set PEERBOOT_KAFKA_QUORUM=static"
                disk = msgspec.structs.replace(disk, warning="; ".join(filter(None, (disk.warning, note))))
        self._own_cluster, self._own_member = disk.cluster, disk.member
        self._lost = disk.lost if not disk.running else ()
        self._empty = disk.kind in ("blank", "partial") and not disk.running
        return disk

    def is_running(self) -> bool:
        return lock.is_locked((self.metadata_dir, *self.log_dirs))

    def permit_kind(self, content: str | None) -> Literal["absent", "first", "resume"]:
        """A first permit whose plan was carried out lets a server start with its data only, as a resume permit does."""
        if content is None:
            return "absent"
        permit = launch.read_permit(content)
        used = permit is not None and (self._output_dir / launch.marker_name(permit.plan)).exists()
        return "resume" if used or (permit is not None and permit.kind == "resume") else "first"

    def predicted_cluster(self, facts: Facts) -> str:
        return self.config.predicted_cluster(facts.record.birth or birth.may_be_born(facts).birth)

    async def look(
        self,
        http: Http,  # noqa: ARG002 - Kafka speaks its own protocol
        addresses: Mapping[str, tuple[str, ...]],
        *,
        rest: bool,
        timeout: float,
        now: float,
        told: Mapping[str, str] | None = None,  # noqa: ARG002 - a server's word says of which set it is
    ) -> ClusterView:
        broker = asyncio.create_task(self._own_broker(addresses, rest=rest, timeout=timeout, now=now))
        try:
            view = await self._look(addresses, broker, rest=rest, timeout=timeout, now=now)
            word, gone, _ = await broker
            view = self._made.with_trouble(health.with_word(self.config, view, word), self.config.identity.pod)
            return msgspec.structs.replace(view, registrations=gone)
        finally:
            broker.cancel()

    async def _own_broker(
        self, addresses: Mapping[str, tuple[str, ...]], *, rest: bool, timeout: float, now: float
    ) -> OwnWord:
        """All that a look asks of this Pod's broker, over one connection; the leader's word last. Never raises."""
        config = self.config
        async with ownbroker.opened(config, addresses.get(config.identity.pod, ()), timeout) as found:
            word = await self._watch.ask(config, found, rest=rest, now=now)
            mine = found if isinstance(found, ownbroker.OwnBroker) else None
            gone = await self._registry.look(config, mine, addresses, now)
            return word, gone, await brokers.passed_on(config, mine) if not config.is_controller else None

    async def _look(
        self,
        addresses: Mapping[str, tuple[str, ...]],
        broker: asyncio.Task[OwnWord],
        *,
        rest: bool,
        timeout: float,
        now: float,
    ) -> ClusterView:
        config, prefer = self.config, self._own_cluster
        if config.is_controller:
            view = await assess.look(
                config, addresses, rest=rest, timeout=timeout, now=now, prefer=prefer, member=self._own_member
            )
        else:
            _, _, told = await broker
            view = await brokers.look(config, addresses, told, timeout=timeout, now=now, prefer=prefer)
            view = self._unheard.told(config, view, runs=self.is_running(), now=now)
        return await self._with_losses(view, addresses, timeout) if view.quorum else view

    async def _with_losses(
        self, view: ClusterView, addresses: Mapping[str, tuple[str, ...]], timeout: float
    ) -> ClusterView:
        """What the cluster says of a disk that lost something, before its server may start without that."""
        change = msgspec.structs.replace
        if self.config.roles == "controller" and self._empty:
            # A broker of another set may have the id; a controller that is formatted with it would lock it out.
            if await copies.is_registered(self.config, view, addresses, timeout) is True:
                return change(view, unmanaged=controllers.taken(self.config.node, "broker", "controller"))
            return view
        if not self._lost:
            return view
        found = await copies.look(self.config, view, addresses, timeout)
        if found.clash:
            clash = controllers.taken(self.config.node, f"broker at {found.clash}", "broker")
            return change(view, unmanaged=clash, asked_for=self._lost)
        return change(
            view,
            only_here=found.only_here,
            rescue=copies.RESCUE,
            untold=found.untold,
            soon=found.soon,
            asked_for=self._lost,
        )

    def certificates(self) -> tuple[Certified, ...]:
        """Fulfils ``peerboot.systems.ShowsCertificates``."""
        made = self.config.security.material
        return certified.read(material.TLS, made.certificate, made.authority) if made.certificate else ()

    def hosts_to_resolve(self, view: ClusterView) -> tuple[str, ...]:
        return assess.hosts_of(self.config, view)

    def plan(self, facts: Facts, decision: Decision) -> Plan:
        self._made.renew()
        return plan(self.config, facts, decision)

    async def call(
        self,
        http: Http,  # noqa: ARG002 - Kafka speaks its own protocol
        call: Call,
        view: ClusterView,
        addresses: Mapping[str, tuple[str, ...]],
    ) -> Done:
        """Ask the leader: no other controller carries a change out, and none forwards it."""
        if call.name == "unregister":
            try:
                said = await unregister.by_itself(self.config, addresses, int(call.member))
            except PeerbootError as error:
                return Done(action=call, ok=False, say=str(error))
            return Done(action=call, ok=True, say=said)
        leader = next((v for v in view.views if v.cluster == view.cluster and v.leader and v.member == v.leader), None)
        if leader is None or not leader.address:
            return Done(action=call, ok=False, say="the leader's address is not known")
        try:
            await calls.change(self.config, leader.pod, leader.address, call.name, call.member, view.cluster)
        except calls.CallError as error:
            return Done(action=call, ok=error.already, say=f"{leader.pod} says: {error}")
        return Done(action=call, ok=True)

    def move_aside(self, stamp: str, part: Literal["all", "member"]) -> str:
        return lock.move_aside(self.metadata_dir, self.log_dirs, stamp, part)
