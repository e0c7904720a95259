"""What many simulations came to: runs per rule and per fault, and what never fired although it could have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from peerboot import decide
from tests.simulation.faults import FAULTS
from tests.simulation.simulate import Result

OTHERS = {
    "unmanaged-cluster": "a Kafka quorum of a kind that peerboot cannot change",
    "not-a-voter": "Kafka's static quorum",
    "lists-differ": "Kafka's static quorum",
    "formatted-by-hand": "Kafka's static quorum",
    "list-unknown": "Kafka's static quorum",
    "refill-waits": "Kafka's static quorum",
    "refill": "Kafka's static quorum",
    "log-lost": "etcd's reader calls a log without entries interrupted or corrupt, never unlogged",
    "last-copy": "Kafka's brokers, whose disks hold what no other has",
    "stop-waits": "servers that stop in turn: Kafka's",
    "unregister": "Kafka's brokers",
    "former-self": "servers that start before they are added: Kafka's controllers",
    "quorum-elsewhere": "Kafka's brokers as a set of their own",
    "two-primaries": "Postgres",
    "newer-timeline": "Postgres",
    "same-timeline": "Postgres",
    "diverged": "Postgres",
    "give-way": "Postgres",
    "hand-over-writes": "Postgres",
    "leave-writes": "Postgres",
    "cannot-follow": "Postgres",
    "promote": "Postgres",
    "ask-to-promote": "Postgres",
    "promote-waits": "Postgres",
    "no-primary": "Postgres",
    "seed-first": "Postgres, whose cluster one Pod makes",
}
"""Rules that no set of etcd's can reach, each with whose trait it is about; ``tests/cases`` and their systems' tests
have them.
"""

NOT_YET = {"forced": "the person here gives no consent while servers have data and no quorum"}
"""Rules of etcd's that the simulation does not reach, each with the reason."""

MUST = tuple(name for row in decide.describe() if (name := row.name) not in {**OTHERS, **NOT_YET})
"""Rules that a run of many seeds has to reach."""


@dataclass
class Report:
    """Sums over results."""

    runs: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    """In how many runs each rule decided at least once."""
    faults: Counter[str] = field(default_factory=Counter)
    """In how many runs each fault met something."""
    ends: Counter[str] = field(default_factory=Counter)
    stories: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    explained: int = 0
    failed: list[int] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Take one result."""
        self.runs += 1
        self.rules.update(dict.fromkeys((r for r, n in result.rules.items() if n), 1))
        self.faults.update(dict.fromkeys((f for f, n in result.faults.items() if n), 1))
        self.ends[result.end] += 1
        self.stories[result.schedule.story] += 1
        self.writes += result.writes
        self.explained += result.explained > 0
        self.failed += [result.schedule.seed] if result.wrong else []

    def never(self) -> list[str]:
        """Rules and faults that fired in no run."""
        return [f"rule {r}" for r in MUST if not self.rules[r]] + [f"fault {f}" for f in FAULTS if not self.faults[f]]

    def strangers(self) -> list[str]:
        """Rules that decided although they are said to be other systems'."""
        return sorted(set(self.rules) & set(OTHERS))

    def text(self) -> str:
        """Two tables and a few figures."""
        lines = [f"{self.runs} runs: {_counted(self.ends)}", f"stories: {_counted(self.stories)}"]
        lines += [f"{self.writes} acknowledged writes; in {self.explained} runs a rolled-back disk alone explains harm"]
        lines += ["", "runs  rule", *_rows(self.rules, (*MUST, *sorted(set(self.rules) - set(MUST))))]
        lines += ["", "runs  fault", *_rows(self.faults, FAULTS)]
        lines += ["", f"not etcd's: {', '.join(OTHERS)}", f"not reached yet: {', '.join(NOT_YET)}"]
        return "\n".join(lines)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.most_common())


def _rows(counts: Counter[str], names: Iterable[str]) -> list[str]:
    return [f"{counts[name]:4}  {name}" for name in names]
