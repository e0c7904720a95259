"""What is known to go wrong when etcd is updated, found before it does: by the own database, the own settings, the
versions that run, and a server that does not come up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from peerboot.model import ClusterView, Disk, Finding
from peerboot.systems.etcd import datadir, releases
from peerboot.systems.etcd.bolt import BoltError

COMES_WITHIN = 15.0
"""Seconds in which a server that may start has answered, mostly; a finding only, which goes with the first answer."""
READ_EVERY = 10.0
"""Seconds between two readings of the own database."""
Listed = Mapping[str, bool]
"""Whether each member is a learner, by id."""


class Traps:
    """Looks at each look of the servers; remembers since when the own one is silent, and what its database said."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.may_run = False
        """The decision in force lets the server run."""
        self._silent_since: float | None = None
        self._database: Listed = {}
        self._read_at = -READ_EVERY
        self._differed: tuple[Finding, ...] = ()
        self._versions: Mapping[str, str] = {}

    def found(self, own: str, base: Mapping[str, object], view: ClusterView, disk: Disk) -> tuple[Finding, ...]:
        """All that is so now."""
        version = next((one.version for one in view.views if one.pod == own), "")
        versions = view.release.versions if view.release is not None else {}
        # At rest each Pod asks its own server alone, and what the others said stays so until they say otherwise.
        listed = {member.pod for member in view.members}
        self._versions = {pod: said for pod, said in {**self._versions, **versions}.items() if pod in listed}
        return (
            *releases.skipped(self._versions),
            *releases.before_3_6({own: version}),
            *releases.settings_lost(base, version),
            *self._by_database(own, view, version),
            *self._down(own, view, disk),
        )

    def _by_database(self, own: str, view: ClusterView, version: str) -> tuple[Finding, ...]:
        """The same difference in two readings: the server writes to it, and a list changes a moment before it does."""
        if not view.quorum or not releases.believes_its_log(version):
            self._differed = ()
            return ()
        if view.at - self._read_at >= READ_EVERY:
            before, self._read_at = self._database, view.at
            self._database = self._members()
            now = releases.database_differs(own, self._database, view.members, version)
            self._differed = now if now == releases.database_differs(own, before, view.members, version) else ()
        return self._differed

    def _members(self) -> Listed:
        try:
            return datadir.learners_of(self._data_dir / "member" / "snap" / "db")
        except (BoltError, OSError):
            # It is written to by its server; what cannot be read says nothing.
            return {}

    def _down(self, own: str, view: ClusterView, disk: Disk) -> tuple[Finding, ...]:
        """The own server may run and says nothing, though it has had the time."""
        if not self.may_run or view.view_of(own) is not None or any(one.pod == own for one in view.findings):
            self._silent_since = None
            return ()
        if self._silent_since is None:
            self._silent_since = view.at
        agreed = (view.release.agreed if view.release is not None else "") or disk.version
        if view.at - self._silent_since < COMES_WITHIN or not agreed:
            return ()
        blank = disk.kind not in ("data", "bootstrap")
        kept = {} if blank or not releases.believes_its_log(agreed) else self._members()
        return (releases.does_not_come(own, agreed, blank=blank, learners=sum(kept.values())),)
