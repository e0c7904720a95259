"""etcd as peerboot's protocol wants a system: the other files of this folder, put together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from peerboot import birth
from peerboot.model import Call, ClusterView, Decision, Disk, Done, Facts, Identity, Limits, Plan, Traits
from peerboot.outside.http import Http
from peerboot.settings import Setting, Settings
from peerboot.systems.etcd import assess, calls, config, datadir, lock
from peerboot.systems.etcd.plan import PERMIT_NAME, plan
from peerboot.systems.etcd.settings import DEFAULT_DATA_DIR, SETTINGS

if TYPE_CHECKING:
    from peerboot.manifest.server import Server

GOOD = ("ok", "already")


class Etcd:
    """etcd set up for one Pod; fulfils ``peerboot.systems.Prepared``."""

    permit_name = PERMIT_NAME
    files: tuple[str, ...] = (PERMIT_NAME,)
    traits = Traits()
    also_resolve: tuple[str, ...] = ()

    def __init__(self, made: config.EtcdConfig) -> None:
        self.config = made
        self.marks: tuple[str, ...] = ("member/snap/db", "member/wal")
        self.data_dir = Path(made.data_dir)
        self.wal_dir = Path(made.wal_dir) if made.wal_dir else None
        self.further_dirs: tuple[tuple[str, Path], ...] = ()
        if self.wal_dir:
            self.further_dirs = (("PEERBOOT_ETCD_WAL_DIR", self.wal_dir),)
        self.own_urls: tuple[str, ...] = (made.peer_url(made.identity.pod),)
        self.fingerprint = made.fingerprint
        self.limits: Limits = made.limits
        self._own_cluster = ""

    def read_disk(self) -> Disk:
        disk = datadir.read(self.data_dir, self.wal_dir)
        self._own_cluster = disk.cluster
        return disk

    def is_running(self) -> bool:
        return lock.is_locked(self.data_dir, self.wal_dir)

    def permit_kind(self, content: str | None) -> Literal["absent", "first", "resume"]:
        return config.permit_kind(content)

    def predicted_cluster(self, facts: Facts) -> str:
        return self.config.predicted_cluster(facts.record.birth or birth.may_be_born(facts).birth)

    async def look(
        self, http: Http, addresses: Mapping[str, tuple[str, ...]], *, rest: bool, timeout: float, now: float
    ) -> ClusterView:
        return await assess.look(
            self.config, http, addresses, rest=rest, timeout=timeout, now=now, prefer=self._own_cluster
        )

    def hosts_to_resolve(self, view: ClusterView) -> tuple[str, ...]:
        return assess.hosts_of(self.config, view)

    def plan(self, facts: Facts, decision: Decision) -> Plan:
        return plan(self.config, facts, decision)

    async def call(
        self,
        http: Http,
        call: Call,
        view: ClusterView,
        addresses: Mapping[str, tuple[str, ...]],  # noqa: ARG002 - the view has the address of each server that answers
    ) -> Done:
        """Ask a healthy voter other than the member in question, the leader first: it decides anyway."""
        servers = sorted(
            (
                v
                for v in view.views
                if v.healthy and not v.learner and v.cluster == view.cluster and v.member != call.member
            ),
            key=lambda v: (v.member != v.leader, v.pod),
        )
        if call.name == "transfer-leadership":
            # Only the leader can give its leadership away.
            servers = [v for v in view.views if v.healthy and v.cluster == view.cluster and v.member == v.leader]
        if call.name == "update-peer-urls":
            servers = servers or [v for v in view.views if v.healthy and v.cluster == view.cluster]
        if not servers:
            return Done(action=call, ok=False, say="no healthy voter answers")
        server = servers[0]
        host = f"[{server.address}]" if ":" in server.address else server.address
        try:
            added = await calls.change(
                http, f"http://{host}:{self.config.client_port}", call.name, call.member, call.urls
            )
        except calls.CallError as error:
            ok = error.outcome in GOOD and call.name != "add-learner"
            return Done(action=call, ok=ok, say=f"{server.pod} says: {error}")
        return Done(action=call, ok=True, member=added)

    def move_aside(self, stamp: str, part: Literal["all", "member"]) -> str:  # noqa: ARG002 - it is one and the same
        return lock.move_aside(self.data_dir, self.wal_dir, stamp)


class EtcdSystem:
    """What etcd declares; fulfils ``peerboot.systems.System``."""

    name = "etcd"
    settings: tuple[Setting, ...] = SETTINGS
    default_data_dir = DEFAULT_DATA_DIR

    def parse_base(self, text: str, source: str) -> Mapping[str, object]:
        from peerboot.outside.yaml import settings_of

        return settings_of(text, source)

    def prepare(self, settings: Settings, identity: Identity, base: Mapping[str, object]) -> Etcd:
        return Etcd(config.prepare(settings, identity, base))

    def manifest(self) -> Server:
        """Imported now: only ``peerboot manifest`` needs it."""
        from peerboot.systems.etcd import manifest

        return manifest.SERVER


SYSTEM = EtcdSystem()
