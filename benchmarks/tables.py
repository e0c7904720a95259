"""What the measurements share: medians with spread, tables, and peerboot as it runs in its image."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

AS_IN_THE_IMAGE = (
    sys.executable,
    "-c",
    "import sys; sys.modules['rich'] = None; from peerboot.cli import main; sys.exit(main())",
)
"""Without rich: it draws the lab's screen and is not in the image, but structlog imports it where it is."""


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``1.23 (1.10-1.40)``: median, least, greatest."""
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def show(title: str, rows: Sequence[Sequence[str]]) -> None:
    """A title, and rows with padded columns; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)
