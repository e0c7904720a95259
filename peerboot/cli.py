"""The commands; the only reader of argv and the environment."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peerboot import __version__
from peerboot.errors import PeerbootError

EXAMPLES = {
    "init": "PEERBOOT_SYSTEM=etcd PEERBOOT_REPLICAS=3 PEERBOOT_SERVICE=peers … peerboot init",
    "sidecar": "PEERBOOT_SYSTEM=etcd PEERBOOT_REPLICAS=3 PEERBOOT_SERVICE=peers … peerboot sidecar",
    "status": "kubectl exec db-0 -c peerboot -- peerboot status",
    "plan": "kubectl exec db-0 -c peerboot -- peerboot plan",
    "explain": "kubectl exec db-0 -c peerboot -- peerboot explain -n 5",
    "peers": "kubectl exec db-0 -c peerboot -- peerboot peers --watch",
    "remove": "kubectl exec db-0 -c peerboot -- peerboot remove db-2 --yes",
    "consent": "kubectl exec db-0 -c peerboot -- peerboot consent 3f9c0a12be",
    "hold": "kubectl exec db-0 -c peerboot -- peerboot hold --all --for 2h --why 'node upgrade'",
    "resume": "kubectl exec db-0 -c peerboot -- peerboot resume --all",
    "settings": "peerboot settings --system etcd",
    "systems": "peerboot systems",
    "lab": "peerboot lab demo etcd",
}


def build_parser() -> argparse.ArgumentParser:
    """All commands, each with an example in its ``--help``."""
    parser = argparse.ArgumentParser(
        prog="peerboot",
        description="Brings a clustered server up in a StatefulSet, and says why.",
        epilog="Settings are environment variables: see `peerboot settings`.",
    )
    parser.add_argument("--version", action="version", version=f"peerboot {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, *, as_json: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"Example: {EXAMPLES[name]}",
        )
        if as_json:
            sub.add_argument("--json", action="store_true", help="print for a machine")
        return sub

    add("init", "Decide and act until the server may start, write its files, exit 0.")
    add("sidecar", "The same, then keep watching: promote, repair, serve health and census.")
    add("status", "The whole set in one table, and one sentence below.", as_json=True)
    add("plan", "One read-only look: what would happen now, with evidence, calls and file changes.", as_json=True)
    explain = add("explain", "The last decisions, in words.", as_json=True)
    explain.add_argument("-n", type=_count, default=10, help="how many (default 10)")
    watch = add("peers", "The peer set as seen in DNS now.", as_json=True)
    watch.add_argument("--watch", action="store_true", help="go on until interrupted")
    remove = add("remove", "Your word that this pod's member is gone for good; shows the plan first.", as_json=True)
    remove.add_argument("pod", metavar="POD")
    remove.add_argument("--yes", action="store_true", help="do it, not only show it")
    consent = add("consent", "Allow one refused plan, once, on exactly the evidence that it printed.", as_json=True)
    consent.add_argument("nonce", metavar="NONCE")
    hold = add("hold", "Pause automatic changes; servers with their own data still start.", as_json=True)
    hold.add_argument("--all", action="store_true", help="for the whole set, not only this pod")
    hold.add_argument("--for", dest="duration", default="", metavar="2h", help="end by itself after so long")
    hold.add_argument("--why", default="", help="shown to everybody who wonders")
    resume = add("resume", "End a hold.", as_json=True)
    resume.add_argument("--all", action="store_true", help="end the holds of the whole set too")
    settings = add("settings", "Every setting with default, unit and reason.", as_json=True)
    settings.add_argument("--system", default="", help="one system's own settings too")
    settings.add_argument("--json-schema", action="store_true", help="a JSON schema of the settings file")
    add("systems", "Every system that PEERBOOT_SYSTEM can name.", as_json=True)
    _add_lab(commands)
    return parser


def _add_lab(commands: Any) -> None:
    from peerboot.lab import commands as lab

    lab.register(commands)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 200:
        raise argparse.ArgumentTypeError("between 1 and 200")
    return value


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        return _run(args, os.environ)
    except PeerbootError as error:
        print(f"peerboot: {error}", file=sys.stderr)
        _last_words(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # a bug: say so, keep the traceback for the report
        import traceback

        traceback.print_exc()
        text = f"this is a bug in peerboot: {type(error).__name__}: {error}. Please report it with the lines above."
        print(f"peerboot: {text}", file=sys.stderr)
        _last_words(text)
        return 70


def _last_words(text: str) -> None:
    """The termination log also for what goes wrong before anything is set up."""
    path = os.environ.get("PEERBOOT_TERMINATION_LOG", "/dev/termination-log")
    try:
        if path and Path(path).exists():
            Path(path).write_text(text[:4000] + "\n", encoding="utf-8")
    except OSError:
        return


def _run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    match args.command:
        case "init" | "sidecar":
            from peerboot import container

            return asyncio.run(container.run(args.command, environ))
        case "lab":
            from peerboot.lab import commands as lab

            return lab.run(args)
        case "settings" | "systems":
            from peerboot import catalogue

            return catalogue.main(args)
        case "plan" | "peers":
            from peerboot import look

            return asyncio.run(look.main(args, environ))
        case _:
            from peerboot import admin

            return asyncio.run(admin.main(args, environ))


Printer = Callable[[Mapping[str, Any]], None]


def emit(args: argparse.Namespace, data: Mapping[str, Any], text: Printer) -> None:
    """Print for a machine or for a person."""
    if args.json:
        print(json.dumps(data, indent=1))
    else:
        text(data)


if __name__ == "__main__":
    sys.exit(main())
