"""What ``peerboot status`` looks at anew, and shows of each server where one takes the writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peerboot.model import ClusterView
from peerboot.rules import disaster
from peerboot.rules.parts import position

if TYPE_CHECKING:
    from peerboot.loops import Loops
    from peerboot.run import Node

UNKNOWN = ("-", "-", "-")


def copy_columns(view: ClusterView, pod: str) -> tuple[str, str, str]:
    """Member, role and lag of one pod's server: the bytes that it has yet to take in, with their unit; where it copies
    nobody now, how far it is. ``-`` for what did not answer.
    """
    found = view.view_of(pod)
    if found is None or found.part is None:
        return UNKNOWN
    part, place = found.part, f"timeline {found.part.term} at {position(found.part.position)}"
    if part.writes:
        return found.member, "primary", "-"
    if part.streams and part.lag >= 0:
        return found.member, "standby", amount(part.lag) + (", paused" if part.paused else "")
    return found.member, "standby", place + (", paused" if part.paused else "")


def amount(count: int) -> str:
    """``0``, ``216 B``, ``61 MB``: as Postgres counts, in powers of 1024."""
    if not count:
        return "0"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024:
            return f"{count} {unit}"
        count //= 1024
    return f"{count} TB"


async def look_at_all(loops: Loops) -> None:
    """One bounded look at all servers, where status shows more of them than each Pod knows at rest: their lag where
    they copy one, their versions where the system tells those.
    """
    tells = loops.doors.system.traits.has_primary or loops.memory.view.release is not None
    if tells and loops.resting:
        loops.curious = True
        try:
            await loops.look()
        finally:
            loops.curious = False


def log_ends(node: Node) -> list[str]:
    """While no quorum is seen, where the log on this disk ends, read now, and the others' by their own words; empty for
    a disk without data.
    """
    disk = node.doors.system.read_disk()
    if disk.kind != "data" or not disk.index or node.doors.system.traits.has_primary:
        # Of a server that copies it is known only once that runs: its own sentence says it.
        return []
    end = f"term {disk.term}, index {disk.index}" + (f", last written {disk.written}" if disk.written else "")
    order = "the highest term counts first, then the highest index"
    words = {pod: one.statement for pod, one in sorted(node.memory.evidence.items()) if one.statement}
    others = [f"{pod}: {disaster.end_text(word.log_end)}" for pod, word in words.items() if word.log_end]
    said = f" By their own words, {'; '.join(others)}." if others else ""
    return [f"No quorum is seen. The log on this disk ends with {end}: where they are compared, {order}.{said}"]
