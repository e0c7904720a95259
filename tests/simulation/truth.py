"""What really happened to the writes of a simulation, whoever says what: the judge of splits and of lost writes.

Every server tells what it holds to be committed. Two servers that hold different entries to be committed at one place
of one cluster are two clusters, or have lost a write: whichever it is, it is harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = tuple[Any, ...]
"""One entry of a log: term, kind, and what the kind needs."""


@dataclass
class Removal:
    """One member that was taken out of a list, by which call."""

    member: str
    pod: str
    by: str
    at: float


@dataclass
class Truth:
    """Of one simulation, over all clusters and all servers that there ever were."""

    logs: dict[str, list[Row]] = field(default_factory=dict)
    """By cluster id: the entries that any server held to be committed, the first word counts."""
    served: list[str] = field(default_factory=list)
    """Clusters in which a leader had an entry of its own term committed, in order."""
    acked: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By key that a client was told is written: cluster and place in its log."""
    harm: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    """Harm that follows from a rolled-back disk alone, which no program on that disk could have seen."""
    rolled_back: dict[str, int] = field(default_factory=dict)
    """By cluster: the least number of entries that a disk was rolled back to and then started with."""

    def commit(self, cluster: str, index: int, row: Row, who: str) -> None:
        """A server holds this entry to be committed."""
        log = self.logs.setdefault(cluster, [])
        if index == len(log):
            log.append(row)
        elif index < len(log) and log[index] != row:
            self.hurt(
                cluster, index, f"{who} holds {row} for entry {index} of cluster {cluster}, others held {log[index]}"
            )

    def hurt(self, cluster: str, index: int, what: str) -> None:
        """Harm at a place of a log; explained where a disk that counted for this place was rolled back."""
        at = self.rolled_back.get(cluster)
        (self.explained if at is not None and at <= index else self.harm).append(what)

    def serves(self, cluster: str, data_of: dict[str, list[str]]) -> None:
        """A cluster serves for the first time: no volume may have the data of another one that has served."""
        others = sorted(c for c in self.served if data_of.get(c))
        if others:
            where = ", ".join(data_of[others[0]])
            self.harm.append(f"two clusters: {cluster} serves while {where} has the data of {others[0]}")
        self.served.append(cluster)

    def leads(self, cluster: str, who: str, keys: set[str]) -> None:
        """A new leader serves: what clients were told is written must be there."""
        for key, (where_acked, index) in self.acked.items():
            if where_acked == cluster and key not in keys:
                self.hurt(cluster, index, f"{key} was acknowledged in {cluster} and {who}, which leads, lacks it")
