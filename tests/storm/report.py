"""What a storm prints: a line a minute, and tables at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Result:
    """Everything that is told at the end."""

    seed: str
    minutes: float
    rounds: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    held_back: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    longest_gap: float = 0.0
    settled: Sequence[float] = ()
    members_replaced: int = 0
    taken_back: int = 0
    damaged: int = 0
    exits: Mapping[str, int] = field(default_factory=dict)
    waits: Mapping[str, int] = field(default_factory=dict)
    memory: str = ""
    verdict: str = ""
    violations: Sequence[str] = ()
    kept: str = ""


def table(title: str, rows: Mapping[str, object]) -> list[str]:
    """Names left, figures right."""
    width = max((len(name) for name in rows), default=0)
    return [f"{title}:", *(f"  {name:{width}}  {value:>6}" for name, value in rows.items()), ""]


def told(result: Result) -> str:
    """The end of a storm in words and figures."""
    faults = {
        name: f"{count}" + (f" (held back by the law: {held})" if (held := result.held_back.get(name, 0)) else "")
        for name, count in sorted(result.faults.items())
    }
    names = ("put", "get", "cas", "ok", "failed", "unknown")
    operations = {name: result.operations.get(name, 0) for name in names}
    settled = sorted(result.settled)
    times = f"median {settled[len(settled) // 2]:.1f} s, longest {settled[-1]:.1f} s" if settled else "never"
    lines = [
        *table(f"faults in {result.rounds} rounds", faults),
        *table("operations by kind and outcome", operations),
        *table("exits of containers by code", dict(sorted(result.exits.items()))),
        *table("looks at a Pod that said", dict(sorted(result.waits.items(), key=lambda row: -row[1])[:25])),
        f"longest time without an answered operation: {result.longest_gap:.1f} s",
        f"settled after the faults of a round had ended: {times}",
        f"members replaced: {result.members_replaced}",
        f"members whose data did not read, which were replaced for that: {result.damaged}",
        f"learners taken back before they ran: {result.taken_back}",
        f"memory of peerboots: {result.memory}",
        f"history: {result.verdict}",
        f"record: {result.kept}",
        "",
    ]
    end = [f"VIOLATION: {violation}" for violation in result.violations]
    if result.violations:
        end.append(f"replay its schedule: make storm MINUTES={result.minutes:g} SEED={result.seed}")
    else:
        end.append(f"storm of {result.minutes:g} minutes, seed {result.seed}: no violation")
    return "\n".join([*lines, *end])
