"""Postgres set up for one Pod: the other files of this folder, put together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from peerboot import certified
from peerboot.certified import Certified
from peerboot.model import Call, ClusterView, Decision, Disk, Done, Facts, Finding, Fork, Limits, Plan, Traits
from peerboot.outside.files import FilesError, read_small
from peerboot.outside.http import Http
from peerboot.printing import one_line
from peerboot.renewed import Renewed
from peerboot.systems.postgres import assess, calls, config, datadir, launch, lock, material, routes, texts
from peerboot.systems.postgres.plan import FILES, NO_ROUTES, PERMIT_NAME, plan

MOST_WORDS = 64 * 1024
MOST_SHOWN = 500
"""Bytes of the script's last words that are read, and characters that are shown."""


class Postgres:
    """Postgres set up for one Pod; fulfils ``peerboot.systems.Prepared``."""

    permit_name = PERMIT_NAME
    files: tuple[str, ...] = FILES
    own_urls: tuple[str, ...] = ()
    """Servers find each other by name."""
    further_dirs: tuple[tuple[str, Path], ...] = ()
    marks: tuple[str, ...] = ("PG_VERSION", "global/pg_control")
    also_resolve: tuple[str, ...] = ()
    limits = Limits()
    traits = Traits(
        admits="started-first", hands_over=False, cluster_of_one=False, writes="primary", by_seed=True, watch=2.0
    )

    def __init__(
        self,
        made: config.PostgresConfig,
        output_dir: Path,
        anew: Callable[[], config.PostgresConfig] | None = None,
        stamp: Callable[[], object] = lambda: None,
        *,
        observes: bool = False,
        wanted: routes.Routes = NO_ROUTES,
    ) -> None:
        """``anew``: reads mounted files again; ``stamp``: says whether they changed. ``wanted``: files for clients."""
        self._made = Renewed(made, anew, stamp)
        self.data_dir = Path(made.data_dir)
        self.fingerprint = made.fingerprint
        self.traits = msgspec.structs.replace(self.traits, promotes=made.promote)
        self._output_dir, self._observes, self._routes = output_dir, observes, wanted
        self.files = (*FILES, *wanted.names)
        self._primary = ""
        self._alone_since: float | None = None

    @property
    def config(self) -> config.PostgresConfig:
        """By what the mounted files say now."""
        return self._made.config

    def read_disk(self) -> Disk:
        # Before the data: what gets its name meanwhile is data then, and not neither of both.
        making = os.path.lexists(f"{self.data_dir}{launch.NEW}")
        found = datadir.read(self.data_dir)
        if lock.may_be_rewound(found.rewinding, self._output_dir):
            # What is half of two histories now is none of them, and nothing to be set aside either.
            return Disk(kind="unknown", reason="pg_rewind is at work on it")
        whole, state = found.kind == "data", found.control
        return Disk(
            kind=found.kind,
            cluster=state.sysid if state is not None and whole else "",
            member=texts.slot(self.config.identity.pod) if whole else "",
            reason=found.reason,
            running=self.is_running(),
            term=found.timeline if whole else 0,
            index=max(state.checkpoint, state.least) if state is not None and whole else 0,
            forks=tuple(Fork(term=fork.timeline, position=fork.position) for fork in found.forks) if whole else (),
            led=found.was_primary and not found.backup,
            end=datadir.end_of(found),
            making=found.kind == "blank" and making,
        )

    def is_running(self) -> bool:
        if self._observes:
            # launch.sh is not there to say it, and nothing is done to the data either.
            return os.path.lexists(self.data_dir / "postmaster.pid")
        return lock.is_running(self.data_dir, self._output_dir)

    def permit_kind(self, content: str | None) -> Literal["absent", "first", "resume"]:
        """A first permit whose plan was carried out lets a server start with its data only, as a resume permit does."""
        if content is None:
            return "absent"
        permit = launch.read_permit(content)
        used = permit is not None and (self._output_dir / launch.used_name(permit.plan)).exists()
        return "resume" if used or (permit is not None and permit.kind == "resume") else "first"

    def predicted_cluster(self, facts: Facts) -> str:  # noqa: ARG002 - initdb makes the system identifier by the clock
        return ""

    async def look(
        self,
        http: Http,  # noqa: ARG002 - Postgres speaks its own protocol
        addresses: Mapping[str, tuple[str, ...]],
        *,
        rest: bool,
        timeout: float,
        now: float,
        told: Mapping[str, str] | None = None,  # noqa: ARG002 - a server's word says of which set it is
    ) -> ClusterView:
        view = await assess.look(self.config, addresses, rest=rest, timeout=timeout, now=now, primary=self._primary)
        writing = [one.pod for one in view.views if one.part is not None and one.part.writes]
        self._primary = writing[0] if len(writing) == 1 else self._primary
        view = assess.with_gauges(self._with_words(self._followed(view, now)), self.config.identity.pod)
        return self._made.with_trouble(view, self.config.identity.pod)

    def _followed(self, view: ClusterView, now: float) -> ClusterView:
        """The view, with how long the own server has copied nobody although one takes writes."""
        own = view.view_of(self.config.identity.pod)
        if own is None or own.part is None or own.part.writes or own.part.streams or not view.quorum:
            self._alone_since = None
            return view
        since = self._alone_since = now if self._alone_since is None else self._alone_since
        return assess.with_stuck(view, own.pod, now - since)

    def _with_words(self, view: ClusterView) -> ClusterView:
        """Why the server's container does not come to start one, as its script says."""
        said, pod = self._last_words(), self.config.identity.pod
        if not said:
            return view
        found = Finding(name="launch", say=f"The server's container of {pod} says: {said}", pod=pod)
        return msgspec.structs.replace(view, findings=(found, *view.findings))

    def _last_words(self) -> str:
        """What ``launch.sh`` said last, while it did not start a server after that; empty for nothing."""
        with contextlib.suppress(FilesError):
            words = read_small(self._output_dir / launch.STATUS_NAME, MOST_WORDS) or b""
            # In the middle of a sentence of the script stands the cause, which may name a file.
            return one_line(words.decode("utf-8", "replace"), MOST_SHOWN)
        return ""

    def certificates(self) -> tuple[Certified, ...]:
        """Fulfils ``peerboot.systems.ShowsCertificates``."""
        pair = self.config.pair
        return certified.read(material.TLS, pair.certificate, pair.authority) if pair is not None else ()

    def hosts_to_resolve(self, view: ClusterView) -> tuple[str, ...]:  # noqa: ARG002 - a server asks again by itself
        return ()

    def plan(self, facts: Facts, decision: Decision) -> Plan:
        self._made.renew()
        return plan(self.config, facts, decision, self._routes)

    async def call(
        self,
        http: Http,  # noqa: ARG002 - Postgres speaks its own protocol
        call: Call,
        view: ClusterView,
        addresses: Mapping[str, tuple[str, ...]],
    ) -> Done:
        return await calls.change(self.config, call, view, addresses)

    def move_aside(self, stamp: str, part: Literal["all", "member"]) -> str:  # noqa: ARG002 - it is one and the same
        return lock.move_aside(self.data_dir, self._output_dir, stamp)
