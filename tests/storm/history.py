"""What clients asked of the cluster and what came of it: one line of JSON an operation, written as it ends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

Outcome = Literal["ok", "failed", "unknown"]


class Operation(msgspec.Struct):
    """One call of one client; times are nanoseconds of this machine's monotonic clock."""

    client: int
    key: str
    kind: Literal["put", "get", "cas"]
    call: int
    value: str = ""
    """What put and cas write: no two operations write the same."""
    old: str = ""
    """What cas expects; empty: no such key."""
    outcome: Outcome = "unknown"
    """``failed``: certainly without effect. ``unknown``: it may have taken place, or may yet do so."""
    swapped: bool = False
    found: str = ""
    """What get, or a cas that did not write, has seen; empty: no such key."""
    member: str = ""
    """Whose server was asked."""
    error: str = ""
    # "return" is a word of Python's, and the checker is a Go program.
    ended: int = msgspec.field(default=0, name="return")


class History:
    """The file, and the counts that are shown. Nothing of it is kept in memory, for a storm may be long."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.path = path
        self.counts: Counter[str] = Counter()
        self.longest_gap = 0.0
        """Seconds between two operations that were answered, whoever asked."""
        self.gap_ended = 0
        self._answered = 0
        self._encoder = msgspec.json.Encoder()

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, operation: Operation) -> None:
        """It is over, one way or the other."""
        self._file.write(self._encoder.encode(operation) + b"\n")
        self.counts[operation.outcome] += 1
        self.counts[operation.kind] += 1
        if operation.outcome == "ok":
            gap = (operation.ended - self._answered) / 1e9 if self._answered else 0.0
            if gap > self.longest_gap:
                self.longest_gap, self.gap_ended = gap, operation.ended
            self._answered = operation.ended

    @property
    def total(self) -> int:
        """All operations."""
        return sum(self.counts[outcome] for outcome in ("ok", "failed", "unknown"))

    def flush(self) -> None:
        """So that the checker sees all of it."""
        self._file.flush()
