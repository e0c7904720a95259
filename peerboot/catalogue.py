"""``peerboot settings`` and ``peerboot systems``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from peerboot import systems, values
from peerboot.errors import SettingsError
from peerboot.printing import say, table
from peerboot.settings_table import GENERAL


def main(args: argparse.Namespace) -> int:
    """Print the catalogue asked for."""
    return _systems(args) if args.command == "systems" else _settings(args)


def _systems(args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps([_system(name) for name in systems.names()], indent=1))
    else:
        print("\n".join(systems.names()))
    return 0


def _system(name: str) -> dict[str, Any]:
    try:
        return {"name": name, "settings": [row.name for row in systems.settings_of(name)]}
    except SettingsError as error:
        return {"name": name, "error": str(error)}


def _settings(args: argparse.Namespace) -> int:
    wanted = (*GENERAL, *(systems.settings_of(args.system) if args.system else ()))
    rows = values.table(wanted)
    if args.json_schema:
        print(json.dumps(values.schema(wanted), indent=1))
    elif args.json:
        print(json.dumps(rows, indent=1))
    elif sys.stdout.isatty():
        for row in rows:
            more = ", ".join(part for part in (f"default: {row['default']}", row["unit"], row["values"]) if part)
            print(f"{row['name']}  ({more})")
            say(row["reason"], "    ")
    else:
        names = ("name", "default", "unit", "values", "reason")
        head = [[name.upper() for name in names]]
        print(table(head + [[row[name] or "-" for name in names] for row in rows]))
    return 0
