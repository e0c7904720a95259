"""What the Kubernetes API says of this Pod's own StatefulSet."""

from __future__ import annotations

from typing import Literal

from peerboot.model.base import Value


class Live(Value, frozen=True, kw_only=True):
    """The live number of replicas: the last good answer, and why there is no newer one."""

    state: Literal["none", "known", "unknown"] = "none"
    """``none``: PEERBOOT_REPLICAS_FROM=none. ``unknown``: there never was a good answer; ``reason`` says why."""
    replicas: int = 0
    """``.spec.replicas``."""
    start: int = 0
    """``.spec.ordinals.start``."""
    pods: int = 0
    """``.status.replicas``: Pods of the set that exist, terminating ones included."""
    settled: bool = False
    """The controller has seen this ``.spec`` (``.status.observedGeneration``), so ``pods`` is of it."""
    deleting: bool = False
    """The StatefulSet itself is being deleted: nobody is scaled down."""
    ordered: bool = False
    """``.spec.podManagementPolicy`` is OrderedReady: a Pod is not made before the one below it is ready."""
    claims: tuple[str, ...] = ()
    """Names of ``.spec.volumeClaimTemplates``."""
    uid: str = ""
    at: float = 0.0
    """When the good answer was asked for, on this process's clock."""
    reason: str = ""
    """Why the last question was not answered, empty when it was."""

    def wants(self, ordinal: int) -> bool:
        """Whether a pod of this ordinal ought to exist."""
        return self.start <= ordinal < self.start + self.replicas
