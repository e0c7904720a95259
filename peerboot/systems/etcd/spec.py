"""etcd as peerboot's protocol wants a system: the other files of this folder, put together."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from peerboot import birth
from peerboot.model import Call, ClusterView, Decision, Disk, Done, Facts, Finding, Identity, Limits, Plan, Traits
from peerboot.outside.http import Http
from peerboot.renewed import Renewed
from peerboot.settings import Setting, Settings
from peerboot.systems.etcd import assess, calls, config, datadir, lock, material, releases, room
from peerboot.systems.etcd.plan import PERMIT_NAME, plan
from peerboot.systems.etcd.reach import Login
from peerboot.systems.etcd.settings import DEFAULT_DATA_DIR, SETTINGS
from peerboot.systems.etcd.traps import Traps

if TYPE_CHECKING:
    import argparse

    from peerboot.certified import Certified
    from peerboot.manifest.server import Server
    from peerboot.outside.copying import Stop

GOOD = ("ok", "already")


class Etcd:
    """etcd set up for one Pod; fulfils ``peerboot.systems.Prepared``."""

    permit_name = PERMIT_NAME
    files: tuple[str, ...] = (PERMIT_NAME,)
    traits = Traits(forces=True)
    also_resolve: tuple[str, ...] = ()

    def __init__(
        self,
        made: config.EtcdConfig,
        anew: Callable[[], config.EtcdConfig] | None = None,
        stamp: Callable[[], object] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``anew``: reads mounted files again; ``stamp``: says whether they changed. ``wall``: seconds since 1970."""
        self._made = Renewed(made, anew, stamp)
        self._wall = wall
        self._login: Login | None = None
        self._refused: tuple[Finding, ...] = ()
        """Why the last call was not let through: without a password more can be read than changed."""
        self.marks: tuple[str, ...] = ("member/snap/db", "member/wal")
        self.data_dir = Path(made.data_dir)
        self.wal_dir = Path(made.wal_dir) if made.wal_dir else None
        self.further_dirs: tuple[tuple[str, Path], ...] = ()
        if self.wal_dir:
            self.further_dirs = (("PEERBOOT_ETCD_WAL_DIR", self.wal_dir),)
        self.own_urls: tuple[str, ...] = (made.peer_url(made.identity.pod),)
        self.fingerprint = made.fingerprint
        self.limits: Limits = made.limits
        self._disk = Disk(kind="unknown")
        self._traps = Traps(self.data_dir)

    @property
    def config(self) -> config.EtcdConfig:
        """By what the mounted files say now."""
        return self._made.config

    def _doors(self, http: Http) -> assess.Doors:
        password = self.config.security.password
        if self._login is None or self._login.password != password:
            self._login = Login(password) if password else None
        return assess.Doors(self.config, http, self._login)

    def read_disk(self) -> Disk:
        self._disk = datadir.read(self.data_dir, self.wal_dir)
        return self._disk

    def is_running(self) -> bool:
        return lock.is_locked(self.data_dir, self.wal_dir)

    def permit_kind(self, content: str | None) -> Literal["absent", "first", "resume"]:
        return config.permit_kind(content)

    def predicted_cluster(self, facts: Facts) -> str:
        return self.config.predicted_cluster(facts.record.birth or birth.may_be_born(facts).birth)

    async def look(
        self,
        http: Http,
        addresses: Mapping[str, tuple[str, ...]],
        *,
        rest: bool,
        timeout: float,
        now: float,
        told: Mapping[str, str] | None = None,
    ) -> ClusterView:
        view = await assess.look(
            self._doors(http),
            addresses,
            rest=rest,
            timeout=timeout,
            now=now,
            prefer=self._disk.cluster,
            told=told or {},
        )
        return self._made.with_trouble(self._with_troubles(view), self.config.identity.pod)

    def _with_troubles(self, view: ClusterView) -> ClusterView:
        """What is wrong with the own certificates, before etcd or somebody else finds it out."""
        me = self.config.identity
        troubles = self.config.security.troubles(self.config.host_of(me.pod), me.ips, self._wall())
        found = tuple(Finding(name=name, say=say, pod=me.pod if stops else "") for name, say, stops in troubles)
        if full := room.trouble(self.data_dir):
            found = (*found, Finding(name="volume-full", say=full))
        traps = self._traps.found(me.pod, self.config.base, view, self._disk)
        own = view.view_of(me.pod)
        told = releases.told_otherwise(self.config.version, me.pod, own.version if own is not None else "")
        findings = (*(view.findings or self._refused), *found, *traps, *told)
        blank = self._disk.kind not in ("data", "bootstrap")
        unfit = releases.too_new(self.config.version, view.release, blank=blank) if view.quorum else ""
        return msgspec.structs.replace(view, findings=findings, unmanaged=unfit) if findings or unfit else view

    def certificates(self) -> tuple[Certified, ...]:
        """Fulfils ``peerboot.systems.ShowsCertificates``."""
        return self.config.security.certificates()

    def hosts_to_resolve(self, view: ClusterView) -> tuple[str, ...]:
        return assess.hosts_of(self.config, view)

    def plan(self, facts: Facts, decision: Decision) -> Plan:
        self._made.renew()
        # A first permit is taken back as soon as its server holds the lock, however that start ends.
        self._traps.may_run = decision.may_run or decision.rule == "first-start"
        made = plan(self.config, facts, decision)
        if not any(isinstance(action, Call) for action in made.actions):
            self._refused = ()
        return made

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
        reach, url = self._doors(http).client(server.pod, host)
        try:
            added = await calls.change(reach, url, call.name, call.member, call.urls)
            self._refused = ()
        except calls.CallError as error:
            shut = error.outcome in assess.SHUT
            self._refused = (assess.not_let_in(server.pod, str(error), self._login),) if shut else ()
            ok = error.outcome in GOOD and call.name != "add-learner"
            say = f"{server.pod} says: {error}{calls.remedy(str(error), self._login)}"
            return Done(action=call, ok=ok, say=say)
        return Done(action=call, ok=True, member=added)

    def copy_data(self, name: str, stop: Stop) -> tuple[Path, int]:
        """Fulfils ``peerboot.systems.ForcesOne``."""
        return lock.copy_beside(self.data_dir, self.wal_dir, name, stop)

    def commit_log(self) -> int:
        """Fulfils ``peerboot.systems.ForcesOne``."""
        from peerboot.systems.etcd import commit, wal

        try:
            with lock.held(self.data_dir, self.wal_dir):
                return commit.commit_all(self.wal_dir or self.data_dir / "member" / "wal")
        except wal.WalError as error:
            raise OSError(f"the log cannot be added to: {error}") from None

    def move_aside(self, stamp: str, part: Literal["all", "member"]) -> str:  # noqa: ARG002 - it is one and the same
        return lock.move_aside(self.data_dir, self.wal_dir, stamp)


class EtcdSystem:
    """What etcd declares; fulfils ``peerboot.systems.System``."""

    name = "etcd"
    example_command = "kubectl exec etcd-0 -c peerboot -- peerboot etcd restore"
    settings: tuple[Setting, ...] = SETTINGS
    default_data_dir = DEFAULT_DATA_DIR

    def parse_base(self, text: str, source: str) -> Mapping[str, object]:
        from peerboot.outside.yaml import settings_of

        return settings_of(text, source)

    def prepare(self, settings: Settings, identity: Identity, base: Mapping[str, object]) -> Etcd:
        def made() -> config.EtcdConfig:
            return config.prepare(settings, identity, base, material.security(settings))

        return Etcd(made(), made, lambda: material.stamp(settings))

    def add_commands(self, parser: argparse.ArgumentParser) -> None:
        from peerboot.systems.etcd import commands

        commands.register(parser)

    def in_a_pod(self, args: argparse.Namespace) -> str:
        from peerboot.systems.etcd import commands

        return commands.in_a_pod(args)

    async def run_command(
        self,
        args: argparse.Namespace,
        settings: Settings,
        prepared: Etcd,
        find: Callable[[], Awaitable[Mapping[str, tuple[str, ...]]]],  # noqa: ARG002 - nobody else is asked
    ) -> int:
        from peerboot.systems.etcd import commands

        return await commands.run(args, settings, prepared.config, prepared.read_disk())

    def manifest(self) -> Server:
        """Imported now: only ``peerboot manifest`` needs it."""
        from peerboot.systems.etcd import manifest

        return manifest.SERVER


SYSTEM = EtcdSystem()
