"""Commands that speak to this Pod's running peerboot over its admin socket."""

from __future__ import annotations

import argparse
import getpass
import json
import time
from collections.abc import Mapping
from typing import Any

from peerboot.cli import emit
from peerboot.errors import PeerbootError, SettingsError
from peerboot.outside.http import Http, HttpError
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
    """One question to the running peerboot; raises ``SettingsError`` when none answers, ``PeerbootError`` when it says no."""
    path = socket_path(environ)
    http = Http(unix=path)
    try:
        body = json.dumps(payload).encode() if payload is not None else None
        reply = await http.fetch(method, f"http://peerboot/{name}", body=body, timeout=10.0, limit=4 << 20)
    except HttpError as error:
        raise SettingsError(
            f"no peerboot answers at {path} ({error}): run this in the peerboot container "
            "(kubectl exec POD -c peerboot -- …), or set PEERBOOT_ADMIN_SOCKET"
        ) from None
    finally:
        await http.close()
    try:
        data: Mapping[str, Any] = json.loads(reply.body)
    except ValueError:
        raise PeerbootError(f"peerboot at {path} answered HTTP {reply.status} without JSON") from None
    if reply.status >= 400:
        error = SettingsError(str(data.get("say") or data.get("error") or f"HTTP {reply.status}"))
        raise error
    return data


async def main(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """status, explain, remove, consent, hold, resume."""
    who = environ.get("USER") or _user()
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


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # OpenShift gives UIDs that have no passwd entry.
        import os

        return f"uid {os.getuid()}"


def ago(seconds: float | None) -> str:
    """``12s``, ``3m``, ``2h``, ``5d``; ``-`` for what never was."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def table(rows: list[list[str]]) -> str:
    """Columns padded to their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def show_status(data: Mapping[str, Any]) -> None:
    """POD DNS CENSUS DISK MEMBER ROLE LAG DECISION SINCE, and one sentence below."""
    rows = [["POD", "DNS", "CENSUS", "DISK", "MEMBER", "ROLE", "LAG", "DECISION", "SINCE"]]
    rows += [[str(cell) for cell in row] for row in data["rows"]]
    print(table(rows))
    print()
    print(data["sentence"])
    for line in data.get("notes", ()):
        print(line)


def show_ledger(data: Mapping[str, Any]) -> None:
    """The last decisions, oldest first."""
    now = data.get("wall") or time.time()
    for entry in data["ledger"]:
        stamp = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(entry["wall"]))
        print(f"{stamp} ({ago(now - entry['wall'])} ago)  {entry['kind']} ({entry['rule']})")
        print(f"    {entry['reason']}")


def show_said(data: Mapping[str, Any]) -> None:
    """One sentence, then lines if there are some."""
    print(data["say"])
    for line in data.get("lines", ()):
        print(f"  {line}")
