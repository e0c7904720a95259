"""``peerboot postgres promote``, ``switchover`` and ``rebuild``: a person's word about this Pod's server.

Each speaks to this Pod's running peerboot, which decides; nothing here changes a server.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

from peerboot.errors import RefusedError
from peerboot.outside import adminsocket
from peerboot.printing import emit, say
from peerboot.settings import Settings

EXEC = "kubectl exec pg-1 -c peerboot -- peerboot postgres"
TEXTS = {
    "promote": "Let this Pod's server take the writes, while none does; shows the plan first.",
    "switchover": "Let this Pod's server take over the writes from the one that takes them; shows the plan first.",
    "rebuild": "Set this Pod's data aside and copy the server that takes the writes; shows the plan first.",
}
RULES = {
    "promote": ("no-primary", "promote-waits"),
    "rebuild": ("cannot-follow", "newer-timeline", "same-timeline", "foreign-cluster"),
}
"""By command the refusals that it overrules."""
NOT_NOW = {
    "promote": "while a server takes the writes, `peerboot postgres switchover` moves them",
    "rebuild": "it is for a server that cannot follow; to copy a good one anew, delete its Pod and its claim",
}
CONSENT = re.compile(r"`peerboot consent ([0-9a-f]+)` would (.*?)\.?$")


def register(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    for name, text in TEXTS.items():
        sub = commands.add_parser(name, help=text, description=text, epilog=f"Example: {EXEC} {name} --yes")
        sub.add_argument("--yes", action="store_true", help="do it, not only show it")
        sub.add_argument("--json", action="store_true", help="print for a machine")


def in_a_pod(args: argparse.Namespace) -> str:
    """What was typed, with the Pod to run it in."""
    flags = "".join(f" --{flag}" for flag in ("yes", "json") if getattr(args, flag, False))
    return f"{EXEC} {args.subcommand}{flags}"


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Carry a command out; returns the exit code. Raises ``PeerbootError``."""
    path, who = settings.socket_path, adminsocket.person({})
    if args.subcommand == "switchover":
        payload = {"who": who, "yes": args.yes}
        emit(args, await adminsocket.ask(path, "POST", "switchover", payload), _show)
        return 0
    now = await adminsocket.ask(path, "GET", "plan")
    found = CONSENT.search(now["reason"]) if now["rule"] in RULES[args.subcommand] else None
    if found is None:
        raise RefusedError(
            f"{args.subcommand} is not the question now: {NOT_NOW[args.subcommand]}. {now['pod']} says: {now['reason']}"
        )
    nonce, would = found.groups()
    if not args.yes:
        lines = [f"peerboot would {would}", *now.get("evidence_lines", ())]
        answer = {"say": f"{now['reason'].partition(' If you know better')[0]}", "lines": lines, "consent": nonce}
        emit(args, answer, _show_plan)
        return 0
    emit(args, await adminsocket.ask(path, "POST", "consent", {"nonce": nonce, "who": who}), _show)
    return 0


def _show_plan(data: Mapping[str, Any]) -> None:
    _show(data)
    print("Nothing was done: add --yes.")


def _show(data: Mapping[str, Any]) -> None:
    say(data["say"])
    for line in data.get("lines", ()):
        say(line, "  ")
