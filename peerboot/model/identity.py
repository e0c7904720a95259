"""Who this Pod is."""

from __future__ import annotations

from peerboot.model.base import Value


class Identity(Value, frozen=True, kw_only=True):
    """Who this Pod is. Everything here is fixed for the life of the process."""

    namespace: str
    service: str
    """The governing headless Service."""
    statefulset: str
    pod: str
    ordinal: int
    """The numeric tail of the pod name."""
    system: str
    uid: str = ""
    """Pod UID, empty when the downward API does not give it."""
    ips: tuple[str, ...] = ()
    """Own addresses (POD_IPS), empty when not given."""
    domain: str
    """Cluster domain without a leading or trailing dot, for example ``cluster.local``."""
    domain_source: str = "setting"
    """``setting``, ``resolv.conf``, ``hosts`` or ``default``."""
    start: int = 0
    """``.spec.ordinals.start``."""
    replicas: int | None = None
    """Expected pods when forming; None when not told."""

    @property
    def zone(self) -> str:
        """The headless Service's own name, absolute, without the trailing dot."""
        return f"{self.service}.{self.namespace}.svc.{self.domain}"

    def name_of(self, pod: str) -> str:
        """The FQDN of one pod of this set, without the trailing dot."""
        return f"{pod}.{self.zone}"

    @property
    def fqdn(self) -> str:
        """This Pod's own FQDN, without the trailing dot."""
        return self.name_of(self.pod)

    @property
    def expected(self) -> tuple[str, ...]:
        """The pods that ought to exist; empty when ``replicas`` is unknown."""
        if self.replicas is None:
            return ()
        return tuple(f"{self.statefulset}-{i}" for i in range(self.start, self.start + self.replicas))

    @property
    def others(self) -> tuple[str, ...]:
        """The expected pods other than this one (the *peers*)."""
        return tuple(pod for pod in self.expected if pod != self.pod)

    def ordinal_of(self, pod: str) -> int | None:
        """The ordinal of a pod of this set, None for a name of another set."""
        head, dash, tail = pod.rpartition("-")
        if not dash or head != self.statefulset or not (tail.isascii() and tail.isdigit()):
            return None
        return int(tail) if tail == str(int(tail)) else None
