"""Trees to YAML with comments. Pure; no library writes comments, and the little that is needed here fits on a page.

A tree is made of ``dict``, ``list``, text, whole and other numbers, booleans and ``None``.
``Why`` is a comment: as a key of a mapping (whose value does not matter) or as an item of a list it stands above what
follows. ``Row`` is a mapping on one line, ``Text`` a text of several lines as the value of a mapping.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 118
PLAIN = re.compile(
    r"[A-Za-z/.]([A-Za-z0-9_./@-]|:(?=[A-Za-z0-9_./@-]))*|--[a-z][a-z0-9=/._-]*|[1-9][0-9]{0,8}(m|s|[KMGT]i)"
)
"""Text that is itself without quotes, for any reader of YAML 1.1 or 1.2, wherever it stands."""
QUOTES = ('"', '"')
PAIR = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
WORDS = re.compile(r"(true|false|yes|no|on|off|y|n|null|[.](inf|nan)|[.][0-9_.e]*)", re.IGNORECASE)
"""Words that some readers take for a truth, for nothing or for a number."""

Tree = Mapping[str, Any]


class Why(str):
    """A comment."""

    __slots__ = ()


class Row(dict[str, Any]):
    """A mapping on one line."""


class Text(str):
    """Lines that each end with a line break, written as they are; none begins with a blank."""

    __slots__ = ()


def why(text: str) -> dict[str, Any]:
    """A comment as an entry of a mapping, to be unpacked where it belongs."""
    return {Why(text): None}


def document(tree: Tree) -> str:
    """One document, with the line before it that begins it."""
    return "\n".join(["---", *_mapping(tree), ""])


def comment(text: str, indent: int = 0) -> list[str]:
    """Lines of a comment; a line that begins with two spaces (a command) stays as it is."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("  ") or not line:
            lines.append(f"# {line}".rstrip())
        else:
            lines += [
                f"# {part}"
                for part in textwrap.wrap(line, WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False)
            ]
    return lines


def scalar(value: object) -> str:
    """A scalar as YAML. A JSON scalar is a YAML scalar; what is safe without quotes has none."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and not WORDS.fullmatch(value):
        return value
    if isinstance(value, float):
        # Without a point YAML 1.1 takes a number with an exponent for a text.
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    # JSON has two escapes for a character beyond the first 65536, YAML one.
    return PAIR.sub(_one_escape, json.dumps(value))


def _one_escape(pair: re.Match[str]) -> str:
    return f"\\U{ord(json.loads(pair[0].join(QUOTES))):08x}"


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return scalar(value)


def _is_short(value: object) -> bool:
    """A list of plain values is written on one line too."""
    if isinstance(value, list):
        return not any(isinstance(item, Why | Mapping | list) for item in value)
    return not isinstance(value, Mapping) or isinstance(value, Row) or not value


def _mapping(tree: Tree, indent: int = 0) -> list[str]:
    lines: list[str] = []
    for key, value in tree.items():
        if isinstance(key, Why):
            lines += comment(key, indent)
        elif isinstance(value, Text):
            lines += [f"{scalar(key)}: |", *_shifted(value.splitlines(), "  ")]
        elif _is_short(value):
            lines.append(f"{scalar(key)}: {_flow(value)}")
        else:
            lines.append(f"{scalar(key)}:")
            lines += _shifted(_block(value, indent + 2), "  ")
    return lines


def _block(value: Tree | list[Any], indent: int) -> list[str]:
    return _sequence(value, indent) if isinstance(value, list) else _mapping(value, indent)


def _sequence(items: list[Any], indent: int) -> list[str]:
    lines: list[str] = []
    for item in items:
        if isinstance(item, Why):
            lines += comment(item, indent)
            continue
        inner = [_flow(item)] if _is_short(item) else _block(item, indent + 2)
        head = 0
        while inner[head].startswith("#"):  # comments on a whole item stand above its dash
            head += 1
        lines += [*inner[:head], f"- {inner[head]}", *_shifted(inner[head + 1 :], "  ")]
    return lines


def _shifted(lines: Iterable[str], by: str) -> list[str]:
    return [f"{by}{line}" for line in lines]
