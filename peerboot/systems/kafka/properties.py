"""Java properties, read and written as java.util.Properties does. Pure.

Own code, for the package javaproperties 0.8.2 costs 53 ms and 12 MiB at import (measured), which every Pod would pay.
``tests/kafka/test_properties.py`` holds a JDK's answers to nasty inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MOST_TEXT = 1 << 20
"""Characters."""
MOST_KEYS = 10_000
LINE_END = re.compile(r"(\r\n|\r|\n)")
SPACE = " \t\f"
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
UNESCAPES = {value: f"\\{key}" for key, value in ESCAPES.items()}


def parse(text: str) -> dict[str, str]:
    """Values by key, the last of a key wins; raises ``ValueError`` with one line.

    Half of a surrogate pair, which Java takes, is refused: nothing that is written in UTF-8 could hold it.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"it is longer than {MOST_TEXT} characters")
    found: dict[str, str] = {}
    for number, line in _logical(text):
        key, value = _split(line)
        found[_unescaped(key, number)] = _unescaped(value, number)
        if len(found) > MOST_KEYS:
            raise ValueError(f"it has more than {MOST_KEYS} keys")
    return found


def render(values: Mapping[str, str]) -> str:
    """Lines, in this order, which Java reads back to the same; ASCII only.

    As Properties.store, but without its date, and ``= : # !`` stand as they are inside a value, where they mean
    nothing: people read this file.
    """
    return "".join(f"{_escaped(key, key=True)}={_escaped(value, key=False)}\n" for key, value in values.items())


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers: comments and empty ones left out, those that end in a backslash joined."""
    whole, began = "", 0
    pieces = LINE_END.split(text)  # line, end, line, end, ..., last line, which is empty after an end
    for at in range(0, len(pieces), 2):
        line, end = pieces[at].lstrip(SPACE), pieces[at + 1] if at + 1 < len(pieces) else ""
        if not whole:
            # So Java: after a line of one backslash alone a line is looked at as if it were the first.
            if not line or line[0] in "#!":
                continue
            began = at // 2 + 1
        goes_on = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        whole += line[:-1] if goes_on else line
        # Java drops the last backslash of a text, and takes what is before it for a line, be it empty. Of a last
        # \r\n it reads the \n on its own, and then an empty line is none.
        ends = not goes_on or not end or (end != "\r\n" and at + 3 == len(pieces) and not pieces[at + 2])
        if ends:
            yield began, whole
            whole = ""
    if whole:
        yield began, whole


def _split(line: str) -> tuple[str, str]:
    """Key and value at the first separator that is not escaped: ``=``, ``:`` or white space."""
    at = 0
    while at < len(line) and line[at] not in f"=:{SPACE}":
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(SPACE)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(SPACE)
    return key, rest


def _unescaped(text: str, number: int) -> str:
    parts, at = [], 0
    while (slash := text.find("\\", at)) >= 0:
        parts.append(text[at:slash])
        letter = text[slash + 1 : slash + 2]
        at = slash + 2
        if letter == "u":
            digits = text[at : at + 4]
            if len(digits) < 4 or any(d not in "0123456789abcdefABCDEF" for d in digits):
                raise ValueError(f"line {number}: \\u is not followed by four hex digits")
            parts.append(chr(int(digits, 16)))
            at += 4
        else:
            parts.append(ESCAPES.get(letter, letter))
    parts.append(text[at:])
    try:
        # Java's characters are UTF-16: two escapes may make one character.
        return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError(f"line {number}: half of a surrogate pair stands alone") from None


def _escaped(text: str, *, key: bool) -> str:
    parts = []
    for at, letter in enumerate(text):
        if letter in UNESCAPES:
            parts.append(UNESCAPES[letter])
        elif letter == " ":
            parts.append("\\ " if key or at == 0 else " ")
        elif letter == "\\" or (letter in "=:#!" and (key or at == 0)):
            parts.append(f"\\{letter}")
        elif not " " <= letter <= "~":
            units = letter.encode("utf-16-be", "surrogatepass")
            parts += [f"\\u{units[i] << 8 | units[i + 1]:04X}" for i in range(0, len(units), 2)]
        else:
            parts.append(letter)
    return "".join(parts)
