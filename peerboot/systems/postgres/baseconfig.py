"""The user's own settings, in the form of ``postgresql.conf`` (src/backend/utils/misc/guc-file.l). Pure.

``include`` and its kind are refused: the file that they name is not where the server reads these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from peerboot.errors import SettingsError

LINE = re.compile(r"""\s*([A-Za-z_][A-Za-z0-9_$.]*)(?:\s*=\s*|\s+)('(?:[^'\\]|\\.|'')*'|[^\s#']+)\s*(?:\#.*)?""")
ESCAPE = re.compile(r"''|\\([0-7]{1,3}|.)")
NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
INCLUDES = ("include", "include_if_exists", "include_dir")


def parse(text: str, source: str) -> Mapping[str, object]:
    """Values by name in lower case; the last one of a name counts. Raises ``SettingsError`` for what is none."""
    found: dict[str, object] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line.rstrip("\r"))
        if match is None:
            raise SettingsError(
                f"{source}, line {number}: {line.strip()[:60]!r} is no setting of Postgres: write name = 'value'"
            )
        name, value = match[1].lower(), match[2]
        if name in INCLUDES:
            raise SettingsError(f"{source}, line {number}: {name} is not followed: put its settings into this file")
        found[name] = _unquoted(value[1:-1]) if value.startswith("'") else value
    return found


def _unquoted(text: str) -> str:
    """DeescapeQuotedString of guc-file.l."""

    def one(match: re.Match[str]) -> str:
        escaped = match[1]
        if escaped is None:
            return "'"
        if escaped[0] in "01234567":
            return chr(int(escaped, 8) & 0xFF)
        return NAMED.get(escaped, escaped)

    return ESCAPE.sub(one, text)
