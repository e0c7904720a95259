"""``peerboot settings`` and ``peerboot systems``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from peerboot import systems
from peerboot.admin import table
from peerboot.settings import GENERAL, Setting


def main(args: argparse.Namespace) -> int:
    """Print the catalogue asked for."""
    if args.command == "systems":
        rows = [{"name": name, "settings": len(systems.find(name).settings)} for name in systems.names()]
        print(json.dumps(rows, indent=1) if args.json else "\n".join(str(row["name"]) for row in rows))
        return 0
    wanted = list(GENERAL)
    if args.system:
        wanted += systems.find(args.system).settings
    if args.json_schema:
        print(json.dumps(schema(wanted), indent=1))
    elif args.json:
        print(json.dumps([_plain(row) for row in wanted], indent=1))
    else:
        head = [["NAME", "DEFAULT", "MEANING"]]
        print(table(head + [[row.name, _default(row), row.reason] for row in wanted]))
    return 0


def _default(row: Setting) -> str:
    return "required" if row.default is None else row.default or "-"


def _plain(row: Setting) -> dict[str, Any]:
    return {
        "name": row.name,
        "key": row.key,
        "default": row.default,
        "unit": row.unit,
        "meaning": row.reason,
        "choices": list(row.choices),
    }


def schema(rows: list[Setting]) -> dict[str, Any]:
    """A JSON schema of the settings file."""
    properties: dict[str, Any] = {}
    for row in rows:
        entry: dict[str, Any] = {"description": row.reason}
        if row.kind == "int":
            entry |= {"type": "integer", "minimum": row.low, "maximum": row.high}
        else:
            entry["type"] = "string"
        if row.choices:
            entry["enum"] = list(row.choices)
        properties[row.key] = entry
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
