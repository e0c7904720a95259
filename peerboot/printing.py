"""Printing for people and machines: ages, tables, lines fit for a terminal. Imports nothing of peerboot."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

REASON_LIMIT = 120
SHORTEST = 6
"""Characters below which no column of a table is cut."""

Printer = Callable[[Mapping[str, Any]], None]


def printable(text: str) -> str:
    """The same length, with a space for everything that a terminal or a log would act on."""
    if text.isprintable():  # nearly all are, and every pass makes some
        return text
    return "".join(c if c.isprintable() else " " for c in text)


def one_line(text: str, limit: int = REASON_LIMIT) -> str:
    """Text from outside made fit for a log, a terminal and the first line of a file: printable, one line, bounded.

    Of a longer one the middle goes: what is to be done often stands at the end.
    """
    flat = " ".join(printable(text).split())
    if len(flat) <= limit:
        return flat
    head = limit * 2 // 3
    return f"{flat[:head]} … {flat[len(flat) - (limit - head - 3) :]}"


def any_of(names: Sequence[str]) -> str:
    """``etcd``, ``etcd or kafka``, ``etcd, kafka or postgres``."""
    return " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def all_of(names: Sequence[str]) -> str:
    """``db-0``, ``db-0 and db-1``, ``db-0, db-1 and db-2``."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def emit(args: argparse.Namespace, data: Mapping[str, Any], text: Printer) -> None:
    """Print for a machine or for a person."""
    if args.json:
        print(json.dumps(data, indent=1))
    else:
        text(data)


def ago(seconds: float | None) -> str:
    """``12s``, ``3m``, ``2h``, ``5d``; ``-`` for what never was."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def table(rows: list[list[str]], width: int = 0) -> str:
    """Columns padded to their widest cell; with ``width`` the widest are cut until a row fits in it."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    gap = 2
    if width and sum(widths) + gap * (len(widths) - 1) > width:
        gap = 1
        while sum(widths) + gap * (len(widths) - 1) > width and max(widths) > SHORTEST:
            widths[widths.index(max(widths))] -= 1
    return "\n".join(
        (" " * gap).join(_cut(cell, w).ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"


def columns() -> int:
    """The width of the terminal (or COLUMNS), 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def say(text: str, indent: str = "") -> None:
    """Print one line; on a terminal broken between words, elsewhere whole, so that it can be searched."""
    text = one_line(text, len(text))
    if not sys.stdout.isatty():
        print(indent + text)
        return
    fill = textwrap.TextWrapper(columns(), break_on_hyphens=False, break_long_words=False)
    fill.initial_indent, fill.subsequent_indent = indent, indent and indent + "  "
    print(fill.fill(text))
