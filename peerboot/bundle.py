"""``peerboot bundle``: what this Pod's peerboot knows of an incident, as one JSON document to look at and to send."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peerboot import admin, bundled, container, preflight, recorder
from peerboot.errors import PeerbootError, SettingsError
from peerboot.outside import files
from peerboot.outside.clock import SystemClock
from peerboot.statedir import StateDir


async def main(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask the running peerboot, or read what the last one left; print it, or write it whole to a file."""
    try:
        data = await admin.ask(environ, "GET", "bundle")
    except SettingsError as error:
        data = _from_disk(environ, str(error))
    text = json.dumps(data, indent=1)
    if not args.output:
        print(text)
        return 0
    try:
        files.write_whole(Path(args.output), f"{text}\n".encode(), 0o600)
    except files.FilesError as error:
        raise SettingsError(f"{error}: name another file, or print it and redirect it") from None
    count = len(data.get("moments", ()))
    print(f"{args.output}: {'1 decision' if count == 1 else f'{count} decisions'}; `peerboot replay` reads it")
    return 0


def _from_disk(environ: Mapping[str, str], silent: str) -> Mapping[str, Any]:
    """What the last peerboot left on this volume. Raises ``SettingsError`` when there is nothing."""
    try:
        made = container.set_up(environ)
        directory = preflight.state_dir(made.settings, made.data_dir)
    except PeerbootError as error:
        raise SettingsError(f"{silent}; nor can what the last one left be found: {error}") from None
    clock = SystemClock()
    moments = recorder.left(directory)
    journal = StateDir(directory, made.identity, clock).read_journal(bundled.JOURNAL)
    if not moments and not journal:
        raise SettingsError(f"{silent}; nor has one left anything in {directory}")
    return {
        **bundled.head(made.identity, clock.wall()),
        "source": "disk",
        "left_out": 0,
        "now": None,
        **bundled.body(moments, journal, made.settings, made.identity),
    }
