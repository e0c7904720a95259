"""The permit that ``launch.sh`` waits for, as text: one line ``key=value`` for each part. What all systems have of it.

Pure. ``launchscript.py`` is the reader of the other side, and takes exactly what is taken here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from peerboot.printing import one_line

MOST_BYTES = 65536
"""Of a permit; the script reads no more of it either."""
LEAST_PLAN, MOST_PLAN = 16, 64
MOST_REASON = 500
END = "end"
"""The key of the last line, which repeats the plan: a text that was cut off has none."""


def text_of(parts: Iterable[tuple[str, str]], plan: str, reason: str) -> str:
    """The content of the permit file: the reason as a comment, the parts, the end."""
    lines = [
        f"# peerboot lets this server start: {one_line(reason, MOST_REASON) or 'no reason given'}",
        *(f"{key}={value}" for key, value in parts),
        f"{END}={plan}",
    ]
    return "\n".join(lines) + "\n"


def parts_of(text: str, keys: Collection[str], many: str = "") -> tuple[dict[str, str], list[str]] | None:
    """The value of each key, and all values of the key ``many``; None for what is no permit, whatever its system."""
    if len(text) >= MOST_BYTES or len(text.encode(errors="replace")) >= MOST_BYTES:
        return None  # the first bounds the work of the second
    found: dict[str, str] = {}
    several: list[str] = []
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or key in found or not value.isprintable():
            return None
        if many and key == many:
            several.append(value)
        else:
            found[key] = value
    end = found.pop(END, "")
    if found.keys() - set(keys) or end != found.get("plan", "") or not _is_plan(end):
        return None
    return found, several


def _is_plan(plan: str) -> bool:
    """It becomes part of a file's name."""
    return LEAST_PLAN <= len(plan) <= MOST_PLAN and not plan.strip("0123456789abcdef")
