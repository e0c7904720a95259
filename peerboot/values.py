"""One setting: its row in the table, and its value from the text that a user wrote. Pure.

Every error is one line: which setting, what is wrong, what to write instead. The value of a setting marked as
secret is never part of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from peerboot.errors import SettingsError

SettingKind = Literal[
    "text",
    "int",
    "duration",
    "path",
    "choice",
    "listen",
    "addresses",
    "nameservers",
    "label",
    "domain",
    "anchor",
]

MAX_TEXT = 4096
MAX_LIST = 16
MAX_NAMESERVERS = 3
"""As the C library has it (resolv.conf(5), MAXNS); more would never be asked."""
MAX_LABEL = 63
MAX_NAME = 253
"""Characters of a whole DNS name in text form (RFC 1035, 255 octets on the wire)."""
YEAR = 366 * 86400

DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Setting:
    """One row of the table of settings."""

    name: str
    """The environment variable."""
    kind: SettingKind
    default: str | None
    """As a user would write it; None: required; empty: none, or what ``unset`` says."""
    reason: str
    """What it is for and why one would change it, one or two sentences."""
    unit: str = ""
    choices: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    """Values that a later release brings."""
    low: int = 0
    """Least value, of a duration in seconds."""
    high: int = (1 << 31) - 1
    """Greatest value, of a duration in seconds."""
    field: str = ""
    """Name in ``Settings``; empty for a system's own."""
    unset: str = ""
    """What holds in words when it is not given and has no default that one could write."""
    secret: bool = False
    """The value never appears in an error or a log."""

    @property
    def key(self) -> str:
        """Its name in the settings file, and in ``Settings.extra``."""
        return self.name.removeprefix("PEERBOOT_").lower()

    @property
    def most(self) -> int:
        """How many addresses a list may have."""
        return MAX_NAMESERVERS if self.kind == "nameservers" else MAX_LIST


def shown(text: str) -> str:
    """A user's text for an error: quoted, control characters escaped, not endless."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def is_label(text: str) -> bool:
    """A DNS label as Kubernetes has it: 1 to 63 lower-case letters, digits, hyphens inside (RFC 1123)."""
    return LABEL.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """One or more labels with dots between them, without a dot at either end."""
    return len(text) <= MAX_NAME and all(is_label(part) for part in text.split("."))


def parse_duration(name: str, text: str, low: int = 0, high: int = YEAR) -> float:
    """Seconds of ``500ms``, ``10s``, ``2m``, ``1h`` or ``0``; raises ``SettingsError``."""
    if text == "0":
        seconds = 0.0
    else:
        match = DURATION.fullmatch(text)
        if match is None:
            raise SettingsError(f"{name}={shown(text)} is not a duration: write it like 500ms, 10s, 2m or 1h")
        seconds = float(match[1]) * UNITS[match[2]]
    if not low <= seconds <= min(high, YEAR):
        raise SettingsError(
            f"{name}={shown(text)} is out of range: write one from {low}s to {min(high, YEAR) // 3600}h"
        )
    return seconds


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Raises ``ValueError``. Python takes anything for a zone (``fe80::1%eth0``), an interface's name has no blanks."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(text)
    return ipaddress.ip_address(text)


def split_address(text: str) -> tuple[str, int]:
    """``[::]:7070`` or ``10.0.0.1:7070`` as (address, port); raises ``ValueError``."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address = _ip(bare)
    # A v6 address needs its brackets, or its last group would read as the port; a v4 one has none.
    if (address.version == 6) != host.startswith("[") or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError(text)
    if not 1 <= int(port) <= 65535:
        raise ValueError(text)
    return str(address), int(port)


def split_listen(name: str, text: str) -> tuple[str, int]:
    """An address to listen on as (address, port); raises ``SettingsError``."""
    try:
        return split_address(text)
    except ValueError:
        raise SettingsError(
            f"{name}={shown(text)} is not an address to listen on: write it like [::]:7070 or 10.0.0.1:7070"
        ) from None


def split_nameserver(text: str) -> tuple[str, int]:
    """``10.0.0.10``, ``10.0.0.10:5353``, ``fd00::a`` or ``[fd00::a]:5353`` as (address, port).

    Raises ``ValueError``.
    """
    try:
        return str(_ip(text)), 53
    except ValueError:
        return split_address(text)


def parse(row: Setting, text: str) -> Any:
    """The value of one setting from its text; raises ``SettingsError`` in one line.

    int: int; duration: seconds as float; addresses and nameservers: tuple of text; all others: text.
    """
    name = row.name
    said = name if row.secret else f"{name}={shown(text)}"
    if len(text) > MAX_TEXT:
        raise SettingsError(f"{name} is longer than {MAX_TEXT} characters: shorten it")
    match row.kind:
        case "int":
            return _int(row, said, text)
        case "duration":
            return parse_duration(name, text, row.low, row.high)
        case "path":
            return _path(row, said, text)
        case "choice":
            if text not in row.choices:
                how = "comes with a later release" if text in row.later else "is not known"
                raise SettingsError(f"{said} {how}: use {' or '.join(row.choices)}")
            return text
        case "listen":
            split_listen(name, text)
            return text
        case "label":
            if not is_label(text):
                raise SettingsError(
                    f"{said} is not a DNS label: use 1 to {MAX_LABEL} lower-case letters, digits, hyphens"
                )
            return text
        case "domain":
            if text == "auto":
                return ""
            domain = text.lower().removesuffix(".")
            if not is_domain(domain):
                raise SettingsError(f"{said} is not a domain: write it like cluster.local")
            return domain
        case "addresses" | "nameservers":
            return _list(row, said, text)
        case "anchor":
            return _anchor(said, text)
        case "text":
            if not text.isprintable():
                raise SettingsError(f"{name} holds characters that cannot be printed: write plain text")
            return text


def _int(row: Setting, said: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise SettingsError(f"{said} is not a whole number: write one from {row.low} to {row.high}")
    if not row.low <= int(text) <= row.high:
        raise SettingsError(f"{said} is out of range: write a number from {row.low} to {row.high}")
    return int(text)


def _path(row: Setting, said: str, text: str) -> str:
    if not text.startswith("/") or not text.isprintable():
        # Somebody may have put the key itself where its file's name belongs: then the text is not shown.
        more = ", not the key itself" if row.secret else ""
        raise SettingsError(f"{said} is not an absolute path: write one that starts with /{more}")
    return text


def _list(row: Setting, said: str, text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if len(parts) > row.most:
        raise SettingsError(f"{row.name} names {len(parts)} addresses: {row.most} at most")
    try:
        if row.kind == "addresses":
            return tuple(str(_ip(part)) for part in parts)
        for part in parts:
            split_nameserver(part)
    except ValueError:
        if row.kind == "addresses":
            raise SettingsError(
                f"{said} is not a list of IP addresses: take status.podIPs of the downward API"
            ) from None
        raise SettingsError(
            f"{said} is not a list of nameservers: write it like 10.0.0.10 or 10.0.0.10:53,[fd00::a]:53"
        ) from None
    return parts


def _anchor(said: str, text: str) -> str:
    if text.startswith("configmap:"):
        name = text.removeprefix("configmap:")
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", name):
            raise SettingsError(f"{said} names no ConfigMap: write configmap:NAME, one in this Pod's namespace")
        return text
    path = text.removeprefix("file:")
    if path == text or not path.startswith("/") or path.endswith("/") or not text.isprintable():
        raise SettingsError(f"{said} is not an anchor: write configmap:NAME, or file:/path on storage that all share")
    return text


# ---------------------------------------------------------------- for people


def table(rows: Iterable[Setting]) -> list[dict[str, str]]:
    """The rows as text, for people: name, key, kind, default (``written`` where one can write it), unit,
    values, reason.
    """
    return [
        {
            "name": row.name,
            "key": row.key,
            "kind": row.kind,
            "default": "required" if row.default is None else row.default or row.unset or "none",
            "written": row.default or "",
            "unit": row.unit,
            "values": _values(row),
            "reason": row.reason,
        }
        for row in rows
    ]


def _values(row: Setting) -> str:
    if row.choices:
        return ", ".join(row.choices)
    return f"{row.low} to {row.high}" if row.kind == "int" else ""


def schema(rows: Iterable[Setting]) -> dict[str, Any]:
    """A JSON schema (2020-12) of the settings file. Nothing is required in it: the environment may say it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "peerboot settings",
        "type": "object",
        "additionalProperties": False,
        "properties": {row.key: _property(row) for row in rows if row.key != "config_file"},
    }


def _property(row: Setting) -> dict[str, Any]:
    shape: dict[str, Any] = {"description": row.reason, "type": "string"}
    if row.kind == "int":
        shape |= {"type": "integer", "minimum": row.low, "maximum": row.high}
    elif row.kind == "duration":
        # A bare 0 is the only number without a unit; YAML reads it as an integer.
        pattern = r"^(0|[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h))$"
        shape |= {"type": ["string", "integer"], "pattern": pattern, "minimum": 0, "maximum": 0}
    elif row.kind in ("addresses", "nameservers"):
        shape |= {"type": ["string", "array"], "items": {"type": "string"}, "maxItems": row.most}
    elif row.kind in ("path", "anchor"):
        shape["pattern"] = "^/" if row.kind == "path" else "^(file:/|configmap:)"
    if row.choices:
        shape["enum"] = list(row.choices)
    if row.default:
        shape["default"] = int(row.default) if row.kind == "int" else row.default
    return shape
