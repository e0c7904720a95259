"""A system's configuration, made anew when a mounted Secret has changed: the kubelet changes files under a Pod."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from peerboot.errors import SettingsError
from peerboot.model import ClusterView, Finding

Config = TypeVar("Config")


class Renewed(Generic[Config]):
    """What counts of it now."""

    def __init__(
        self, made: Config, anew: Callable[[], Config] | None = None, stamp: Callable[[], object] = lambda: None
    ) -> None:
        """``anew``: reads mounted files again; ``stamp``: says whether they changed, and is cheap."""
        self.config = made
        self._anew, self._stamp, self._read_at, self._trouble = anew, stamp, stamp(), ""

    def renew(self) -> None:
        """Take what a changed Secret has; while that is broken, what was read before counts."""
        now = self._stamp()
        if self._anew is None or now == self._read_at:
            return
        self._read_at = now
        try:
            self.config, self._trouble = self._anew(), ""
        except SettingsError as error:
            self._trouble = str(error)

    def with_trouble(self, view: ClusterView, pod: str) -> ClusterView:
        """Secrets that cannot be used, before all else: they may be why somebody does not let peerboot in."""
        if not self._trouble:
            return view
        say = f"The Secrets of {pod} cannot be used, and what was read before counts: {self._trouble}."
        found = Finding(name="secrets-unusable", say=say, pod=pod)
        return msgspec.structs.replace(view, findings=(found, *view.findings))
