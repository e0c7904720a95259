"""``peerboot lab …``: a cluster of real servers on this machine, kept by a process in the background."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerboot.lab.errors import LabError

if TYPE_CHECKING:
    from peerboot.lab.servers import Server

DNS_MODES = ("ok", "servfail", "refused", "nxdomain", "silent", "garbage", "truncated", "endless")
KILLS = {
    "server": "the server's container alone; it is restarted without asking anybody",
    "peerboot": "peerboot's container alone",
    "pod": "everything in the Pod at once, as a node that loses its power",
    "delete": "the Pod, gracefully, as `kubectl delete pod` does",
    "force": "the Pod, as `kubectl delete pod --force` does: two Pods overlap on one volume",
}
LOG = "lab.log"
NO_NAMES = "This machine allows no hosts file of the lab's own: URLs hold addresses instead of names."
STARTING = 20.0
HEALTHY = 120.0
ENDING = 30.0
MOST_SECONDS = 3600
MOST_PATH = 107 - len("/pods/ctl-9-99999/run/admin.sock")
"""Bytes of the lab's directory: the path of a Unix socket has 107."""
KAFKAS = ("3.9.2", "4.1.2", "4.3.1")
EXAMPLE = "Example: peerboot lab up etcd && peerboot lab wipe db-0 && peerboot lab exec db-1 status"


def register(commands: Any) -> None:
    """Add ``lab`` and its sub-commands."""
    text = "A cluster of real servers on this machine, to try things out; `lab demo` tells a story."
    lab = commands.add_parser("lab", help=text, description=text, epilog=EXAMPLE)
    lab.add_argument(
        "--dir", type=Path, default=None, help="where the lab lies (default: in the user's state directory)"
    )
    sub = lab.add_subparsers(dest="lab_command", required=True, metavar="COMMAND")

    up = sub.add_parser("up", help="start a cluster and wait until it is healthy", epilog=EXAMPLE)
    up.add_argument("system", choices=("etcd", "kafka", "postgres"))
    up.add_argument(
        "--replicas", type=int, default=3, choices=range(1, 10), metavar="N", help="how many Pods, 1 to 9 (3)"
    )
    _add_releases(up)
    up.add_argument(
        "--cache", type=seconds, default=0.0, metavar="SECONDS", help="DNS keeps answers so long, 30 as old Corefiles"
    )
    up.add_argument("--split", action="store_true", help="kafka: so many controllers, and so many brokers beside them")
    up.add_argument("--init", action="store_true", help="init container and plain sidecar, as before Kubernetes 1.29")
    up.add_argument("--no-wait", action="store_true", help="do not wait until it is healthy")

    status = sub.add_parser("status", help="every Pod, with the sentence that it says of itself", epilog=EXAMPLE)
    status.add_argument("--json", action="store_true", help="print for a machine")

    kill = sub.add_parser(
        "kill", help="kill something of a Pod", epilog="Example: peerboot lab kill db-2 --what pod --stay-down"
    )
    kill.add_argument("pod", metavar="POD")
    kill.add_argument(
        "--what", choices=tuple(KILLS), default="server", help="; ".join(f"{k}: {v}" for k, v in KILLS.items())
    )
    kill.add_argument("--stay-down", action="store_true", help="no new Pod until `lab start`")

    wipe = sub.add_parser(
        "wipe",
        help="a Pod's node and its volume are lost; a new Pod gets an empty one",
        epilog="Example: peerboot lab wipe db-0",
    )
    wipe.add_argument("pod", metavar="POD")
    wipe.add_argument("--stay-down", action="store_true", help="no new Pod until `lab start`")

    start = sub.add_parser("start", help="start a Pod that stayed down", epilog="Example: peerboot lab start db-2")
    start.add_argument("pod", metavar="POD")

    dns = sub.add_parser("dns", help="what DNS answers from now on", epilog="Example: peerboot lab dns servfail db-0")
    dns.add_argument("mode", choices=DNS_MODES)
    dns.add_argument("pod", metavar="POD", nargs="?", default="", help="to this Pod alone (default: to all)")
    dns.add_argument(
        "--delay",
        type=seconds,
        default=None,
        metavar="SECONDS",
        help="answers come so much later (`ok` alone: no more)",
    )

    run_in = sub.add_parser(
        "exec", help="run a peerboot command in a Pod", epilog="Example: peerboot lab exec db-1 plan"
    )
    run_in.add_argument("pod", metavar="POD")
    run_in.add_argument("command_line", nargs=argparse.REMAINDER, metavar="COMMAND")

    sub.add_parser("down", help="end it and remove what it made", epilog="Example: peerboot lab down")

    text = (
        "A story, checked as it is told: form, lose disks, heal, restart; kafka's also scales, while a producer writes."
    )
    demo = sub.add_parser("demo", help=text, description=text, epilog="Example: peerboot lab demo kafka --kafka 3.9.2")
    demo.add_argument("system", choices=("etcd", "kafka", "postgres"))
    _add_releases(demo)


def _add_releases(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--etcd", choices=("3.4", "3.5", "3.6"), default="", help="which release (default: the newest here)"
    )
    command.add_argument("--postgres", choices=("15", "16", "17", "18"), default="", help="which release (default: 17)")
    command.add_argument(
        "--kafka", choices=KAFKAS, default="", help="which release (default: the newest); it needs a JDK and Maven"
    )


def seconds(text: str) -> float:
    """A bounded number of seconds."""
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= MOST_SECONDS):
        raise argparse.ArgumentTypeError(f"between 0 and {MOST_SECONDS} seconds")
    return value


def run(args: argparse.Namespace) -> int:
    """One lab command; returns the exit code. Raises ``LabError``."""
    root = checked_dir(args.dir or default_dir())
    match args.lab_command:
        case "up":
            return _up(args, root)
        case "demo":
            from peerboot.lab import demo

            return demo.main(args)
        case "status":
            return _status(args, root)
        case "exec":
            return _exec(args, root)
        case "down":
            return _down(root)
        case name:
            payload = {
                key: value for key, value in vars(args).items() if key in ("pod", "what", "stay_down", "mode", "delay")
            }
            print(ask(root, {"command": name, **payload})["say"])
            return 0


def _call(root: Path) -> str:
    """How to call the lab in this directory again."""
    return "peerboot lab" if root == default_dir() else f"peerboot lab --dir {root}"


def default_dir() -> Path:
    """``peerboot/lab`` in XDG_STATE_HOME, which is ``~/.local/state`` when not set."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "peerboot" / "lab"


def checked_dir(root: Path) -> Path:
    """The same; raises ``LabError`` when a Unix socket below it would have too long a path."""
    if len(os.fsencode(root.absolute())) > MOST_PATH:
        raise LabError(f"{root} is too long a path for Unix sockets below it: name one of at most {MOST_PATH} bytes")
    return root.absolute()


def ask(root: Path, request: Mapping[str, Any], timeout: float = 120.0) -> Mapping[str, Any]:
    """One request to the lab's process; raises ``LabError`` when there is none or when it says no."""

    async def exchange() -> bytes:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(str(root / "control.sock"), limit=4 << 20)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                await writer.drain()
                return await reader.readline()
            finally:
                writer.close()

    try:
        answer: Mapping[str, Any] = json.loads(asyncio.run(exchange()))
    except TimeoutError:
        raise LabError(f"the lab in {root} does not answer within {timeout:g} s: see {root / LOG}") from None
    except (OSError, ValueError):
        raise LabError(f"no lab runs in {root}: start one with `{_call(root)} up etcd`") from None
    if "error" in answer:
        raise LabError(str(answer["error"]))
    return answer


def _up(args: argparse.Namespace, root: Path) -> int:
    from peerboot.lab.network import Network

    release_of(args)
    if args.split and args.system != "kafka":
        raise LabError(f"--split parts Kafka's controllers from its brokers, which {args.system} has not: drop it")
    if _runs(root):
        raise LabError(f"a lab runs in {root} already: `{_call(root)} down` ends it")
    # Before minutes go into building a server: is there a network?
    Network().close()
    server, release = provided(args)
    plan = {
        "system": args.system,
        "server": release,
        "replicas": args.replicas,
        "cache": args.cache,
        "init": args.init,
        "split": args.split,
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        log = (root / LOG).open("ab")
    except OSError as error:
        raise LabError(f"{error.filename}: {error.strerror}: name another directory with --dir") from None
    with log:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "peerboot.lab.daemon", str(root), json.dumps(plan)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
    pods = "one Pod" if args.replicas == 1 else f"{args.replicas} Pods"
    if args.split:
        pods = f"{args.replicas} controllers (ctl-0 …) and {args.replicas} brokers (brk-0 …)"
    print(f"{args.system} {server.version} ({server.origin}), {pods}, in {root}", flush=True)
    try:
        return _until_up(process, root, wait=not args.no_wait)
    except BaseException as error:
        # Interrupted, or its output was closed: what was begun ends too, and the process removes what it made.
        process.terminate()
        process.wait(ENDING)
        _tidy(root)
        if isinstance(error, KeyboardInterrupt):
            print("Interrupted. The lab has ended, nothing is left behind.", flush=True)
        raise


def release_of(args: argparse.Namespace) -> str:
    """The release that is asked for; empty when none is. Raises ``LabError`` for one of another system."""
    releases: dict[str, str] = {"etcd": args.etcd, "kafka": args.kafka, "postgres": args.postgres}
    release = releases.pop(args.system)
    if wrong := [f"--{name}" for name, other in releases.items() if other]:
        raise LabError(f"{wrong[0]} names no release of {args.system}: drop it")
    return release


def provided(args: argparse.Namespace) -> tuple[Server, str]:
    """The server that is asked for, or the newest that can be had here, made now; and its release for the daemon.

    Raises ``LabError``.
    """
    from peerboot.lab import jars, postgres, servers

    release = release_of(args)
    if args.system == "postgres":
        release = release or postgres.OF_THE_LAB
        return postgres.find(release, print), release
    if args.system == "kafka":
        release = release or jars.VERSIONS[-1]
        return jars.find(release, print), release
    server, remark = (servers.find(release, print), "") if release else servers.best(print)
    if remark:
        print(remark, flush=True)
    return server, release or server.version.rpartition(".")[0]


def _runs(root: Path) -> bool:
    try:
        ask(root, {"command": "status"}, 10.0)
    except LabError:
        return False
    return True


def _until_up(process: subprocess.Popen[bytes], root: Path, *, wait: bool) -> int:
    began, told = time.monotonic(), dict[str, str]()
    while time.monotonic() - began < (HEALTHY if wait else STARTING):
        if process.poll() is not None:
            tail = (root / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise LabError(" ".join(tail) or f"the lab's process ended with {process.returncode}")
        try:
            status = ask(root, {"command": "status"}, 5.0)
        except LabError:
            time.sleep(0.1)
            continue
        for pod in status["pods"]:
            verdict = pod["sentence"].partition(":")[0]
            if wait and verdict and told.get(pod["pod"]) != verdict:
                told[pod["pod"]] = verdict
                print(f"{time.monotonic() - began:5.1f} s  {pod['pod']}: {pod['sentence']}", flush=True)
        if status["ready"] or not wait:
            if not status["names"]:
                print(NO_NAMES)
            print(f"Healthy after {time.monotonic() - began:.1f} s." if status["ready"] else "Started.", end=" ")
            print(f"`{_call(root)} status` shows it, `{_call(root)} down` ends it.", flush=True)
            return 0
        time.sleep(0.2)
    told_so = [f"{pod}: {verdict}" for pod, verdict in sorted(told.items()) if verdict != "idle (serving)"]
    raise LabError(f"not healthy after {HEALTHY:g} s, so it was ended again: {', '.join(told_so) or 'nobody answers'}")


def _status(args: argparse.Namespace, root: Path) -> int:
    status = ask(root, {"command": "status"})
    if args.json:
        print(json.dumps(status, indent=1))
        return 0
    from peerboot.printing import table

    rows = [["POD", "ADDRESS", "PHASE", "READY", "RESTARTS", "DNS"]]
    rows += [
        [p["pod"], p["address"], p["phase"], "yes" if p["ready"] else "no", str(p["restarts"]), p["dns"]]
        for p in status["pods"]
    ]
    print(table(rows))
    print()
    for pod in status["pods"]:
        print(f"{pod['pod']}: {pod['sentence'] or '-'}")
    print(f"\nlogs: {status['logs']}")
    return 0


def _exec(args: argparse.Namespace, root: Path) -> int:
    answer = ask(root, {"command": "exec", "pod": args.pod})
    words = args.command_line[1:] if args.command_line[:1] == ["--"] else args.command_line
    # The environment of peerboot's container, and of ours only what concerns the terminal.
    own = {name: os.environ[name] for name in ("TERM", "COLUMNS", "NO_COLOR") if name in os.environ}
    command = [sys.executable, "-m", "peerboot", *(words or ["status"])]
    return subprocess.run(command, env={**own, **answer["env"]}, check=False).returncode  # noqa: S603 - this very program


def _down(root: Path) -> int:
    say = ask(root, {"command": "down"})["say"]
    until = time.monotonic() + ENDING
    while any((root / name).exists() for name in ("lab.json", "control.sock")):
        if time.monotonic() > until:
            raise LabError(f"the lab did not end within {ENDING:g} s: see {root / LOG}")
        time.sleep(0.05)
    _tidy(root)
    print(say)
    return 0


def _tidy(root: Path) -> None:
    """What the lab's process cannot remove itself: its own log, and the directory when nothing else is in it."""
    with contextlib.suppress(OSError):
        (root / LOG).unlink(missing_ok=True)
        root.rmdir()
