"""Commands that speak to this Pod's running peerboot over its admin socket."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from peerboot.outside import adminsocket
from peerboot.printing import ago, columns, emit, say, table
from peerboot.settings import parse_duration

DEFAULT_SOCKET = "/run/peerboot/admin.sock"


def socket_path(environ: Mapping[str, str]) -> str:
    """PEERBOOT_ADMIN_SOCKET, or ``admin.sock`` in PEERBOOT_OUTPUT_DIR."""
    explicit = environ.get("PEERBOOT_ADMIN_SOCKET")
    output = environ.get("PEERBOOT_OUTPUT_DIR")
    return explicit or (f"{output}/admin.sock" if output else DEFAULT_SOCKET)


async def ask(
    environ: Mapping[str, str], method: str, name: str, payload: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """One question to the running peerboot.

    Raises ``SettingsError`` when none answers, and what the other side raised when it says no.
    """
    return await adminsocket.ask(socket_path(environ), method, name, payload)


async def main(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """status, explain, remove, consent, hold, resume."""
    who = adminsocket.person(environ)
    match args.command:
        case "status":
            emit(args, await ask(environ, "GET", "status"), show_status)
        case "explain":
            data = await ask(environ, "GET", "explain")
            emit(args, {**data, "ledger": data["ledger"][-args.n :]}, show_ledger)
        case "remove":
            payload = {"pod": args.pod, "who": who, "yes": args.yes}
            emit(args, await ask(environ, "POST", "remove", payload), show_said)
        case "consent":
            emit(args, await ask(environ, "POST", "consent", {"nonce": args.nonce, "who": who}), show_said)
        case "hold":
            seconds = parse_duration("--for", args.duration) if args.duration else None
            payload = {"all": args.all, "seconds": seconds, "why": args.why, "who": who}
            emit(args, await ask(environ, "POST", "hold", payload), show_said)
        case "resume":
            emit(args, await ask(environ, "POST", "resume", {"all": args.all, "who": who}), show_said)
    return 0


def show_status(data: Mapping[str, Any]) -> None:
    """POD DNS CENSUS DISK MEMBER ROLE LAG DECISION SINCE, and one sentence below."""
    rows = [["POD", "DNS", "CENSUS", "DISK", "MEMBER", "ROLE", "LAG", "DECISION", "SINCE"]]
    rows += [[str(cell) for cell in row] for row in data["rows"]]
    print(table(rows, columns()))
    print()
    say(data["sentence"])
    if release := data.get("release"):
        say(release["say"])
    for line in data.get("notes", ()):
        say(line)


def show_ledger(data: Mapping[str, Any]) -> None:
    """The last decisions, oldest first."""
    now = data.get("wall") or time.time()
    for entry in data["ledger"]:
        stamp = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(entry["wall"]))
        print(f"{stamp} ({ago(now - entry['wall'])} ago)  {entry['kind']} ({entry['rule']})")
        say(entry["reason"], "    ")
    if not data["ledger"]:
        print("Nothing has been decided yet.")


def show_said(data: Mapping[str, Any]) -> None:
    """One sentence, then lines if there are some."""
    say(data["say"])
    for line in data.get("lines", ()):
        say(line, "  ")
