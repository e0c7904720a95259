"""The commands; the only reader of argv and the environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NoReturn

from peerboot import __version__
from peerboot.errors import PeerbootError, SettingsError, bug

LIVES = ("init", "sidecar")
"""The commands that are a container's own; the others are run by a person, often beside one of these."""
MAX_COUNT = 200
NEEDED = "PEERBOOT_SYSTEM=etcd PEERBOOT_SERVICE=peers PEERBOOT_REPLICAS=3 PEERBOOT_SECRET_FILE=/secret/census"
EXAMPLES = {
    "init": f"{NEEDED} peerboot init",
    "sidecar": f"{NEEDED} peerboot sidecar",
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
    "manifest": "peerboot manifest etcd | kubectl apply -f -",
    "etcd": "kubectl exec etcd-0 -c peerboot -- peerboot etcd restore",
    "kafka": "kubectl exec kafka-0 -c peerboot -- peerboot kafka drain kafka-3",
    "postgres": "kubectl exec pg-1 -c peerboot -- peerboot postgres switchover --yes",
    "bundle": "kubectl exec db-0 -c peerboot -- peerboot bundle > db-0.bundle",
    "replay": "peerboot replay db-0.bundle --at 3",
    "lab": "peerboot lab demo etcd",
}
OWN = {
    "etcd": "Commands that etcd alone has: show how a snapshot is restored.",
    "kafka": "Commands that kafka alone has: drain a broker, unregister one, migrate a static quorum.",
    "postgres": "Commands that postgres alone has: promote a server, switch over to one, rebuild one.",
}
"""Systems with commands of their own."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which does not wrap an example."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **more})

    def error(self, message: str) -> NoReturn:
        self.exit(SettingsError.exit_code, f"{self.prog}: {message}: see `{self.prog} --help`\n")


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """All commands, each with an example in its ``--help``.

    Those of manifest, lab and single systems are made only when asked for.
    """
    parser = Parser(
        prog="peerboot",
        description="Brings a clustered server up in a StatefulSet, and says why.",
        epilog="Settings are environment variables: see `peerboot settings`.\n\nExample: peerboot lab demo etcd",
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
    add("sidecar", "Do what init does, then keep watching: promote, repair, serve health and census.")
    add("status", "The whole set in one table (LAG in log entries), and one sentence below.", as_json=True)
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
    bundle = add("bundle", "All that is known of an incident, redacted, as one JSON document to send.")
    bundle.add_argument("--output", default="", metavar="FILE", help="write it to a file in place of printing it")
    replay = add("replay", "Decide once more, offline, what a bundle tells of; 1: this release differs.", as_json=True)
    replay.add_argument("file", metavar="FILE", help="what `peerboot bundle` printed; - for standard input")
    replay.add_argument("--at", default="", metavar="N", help="one decision alone, with all of its evidence")
    replay.add_argument("--as-case", default="", metavar="N|all", help="print a case for the tests of the rules")
    replay.add_argument("--short", action="store_true", help="with --as-case: only what the outcome rests on")
    if argv[:1] == ["manifest"]:
        from peerboot import template

        template.register(commands, argv)
    else:
        add("manifest", "Everything for `kubectl apply`, with comments that say why.")
    for name, text in OWN.items():
        if argv[:1] == [name]:
            from peerboot import own

            own.register(commands, name)
        else:
            add(name, text)
    if argv[:1] == ["lab"]:
        from peerboot.lab import commands as lab

        lab.register(commands)
    else:
        add("lab", "A cluster of real servers on this machine.")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_COUNT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_COUNT}")
    return int(text)


def _parse(args: Sequence[str]) -> argparse.Namespace:
    """What was typed; the line about what is not known names the help of the command that it was given to."""
    parser = build_parser(args)
    found, unknown = parser.parse_known_args(args)
    if unknown:
        parser.prog = f"{parser.prog} {found.command}"
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return found


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = sys.argv[1:] if argv is None else argv
    try:
        try:
            return _run(_parse(args), os.environ, args)
        finally:
            if sys.stdout is not None:  # it was closed before the start
                sys.stdout.flush()
    except PeerbootError as error:
        print(f"peerboot: {error}", file=sys.stderr)
        _last_words(args, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError as error:
        # Whoever read the output has seen enough; what is left must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _bug(args, error) if args[0] in LIVES else 0
    except Exception as error:  # noqa: BLE001 - the last one to catch it: exit 70, with the traceback for the report
        return _bug(args, error)


def _bug(args: Sequence[str], error: Exception) -> int:
    import traceback

    traceback.print_exception(error)
    print(f"peerboot: {bug(error)}", file=sys.stderr)
    _last_words(args, bug(error))
    return PeerbootError.exit_code


def _last_words(args: Sequence[str], text: str) -> None:
    """The termination log for what goes wrong before the settings are known; never that of a container beside us."""
    if args[0] in LIVES:
        from peerboot.outside.files import write_last_words

        write_last_words(os.environ.get("PEERBOOT_TERMINATION_LOG") or "/dev/termination-log", text)


def _run(args: argparse.Namespace, environ: Mapping[str, str], argv: list[str]) -> int:
    match args.command:
        case "init" | "sidecar":
            from peerboot import container

            return _finish(container.run(args.command, environ))
        case "lab":
            from peerboot.lab import commands as lab

            return lab.run(args)
        case "manifest":
            from peerboot import template

            return template.main(args, argv)
        case "settings" | "systems":
            from peerboot import catalogue

            return catalogue.main(args)
        case name if name in OWN:
            from peerboot import own

            return _finish(own.main(args, environ))
        case "bundle":
            from peerboot import bundle

            return _finish(bundle.main(args, environ))
        case "replay":
            from peerboot import replay

            return replay.main(args)
        case "plan" | "peers":
            from peerboot import look

            return _finish(look.main(args, environ))
        case _:
            from peerboot import admin

            return _finish(admin.main(args, environ))


def _finish(work: Coroutine[Any, Any, int]) -> int:
    import asyncio

    return asyncio.run(work)


if __name__ == "__main__":
    sys.exit(main())
