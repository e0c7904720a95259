"""``peerboot lab …``: a cluster of real servers on this machine, kept by a process in the background."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peerboot.lab.errors import LabError

DNS_MODES = ("ok", "servfail", "refused", "nxdomain", "silent", "garbage", "truncated", "endless")
KILLS = {
    "server": "the server's container alone; it is restarted without asking anybody",
    "peerboot": "peerboot's container alone",
    "pod": "everything in the Pod at once, as a node that loses its power",
    "delete": "the Pod, gracefully, as `kubectl delete pod` does",
    "force": "the Pod, as `kubectl delete pod --force` does: two Pods overlap on one volume",
}
STARTING = 20.0
EXAMPLE = "Example: peerboot lab up etcd && peerboot lab wipe db-0 && peerboot lab exec db-1 status"


def register(commands: Any) -> None:
    """Add ``lab`` and its sub-commands."""
    text = "A cluster of real servers on this machine, to try things out; `lab demo etcd` tells a story."
    lab = commands.add_parser("lab", help=text, description=text, epilog=EXAMPLE)
    lab.add_argument(
        "--dir", type=Path, default=None, help="where the lab lies (default: in the user's state directory)"
    )
    sub = lab.add_subparsers(dest="lab_command", required=True, metavar="COMMAND")

    up = sub.add_parser("up", help="start a cluster and wait until it is healthy", epilog=EXAMPLE)
    up.add_argument("system", choices=("etcd",))
    up.add_argument("--replicas", type=int, default=3, choices=range(1, 10), metavar="N", help="how many Pods (1 to 9)")
    up.add_argument(
        "--etcd", choices=("3.4", "3.5", "3.6"), default="", help="which release (default: the newest here)"
    )
    up.add_argument(
        "--cache", type=float, default=0.0, metavar="SECONDS", help="DNS keeps answers so long, 30 as old Corefiles"
    )
    up.add_argument("--init", action="store_true", help="init container and plain sidecar, as before Kubernetes 1.29")
    up.add_argument("--no-wait", action="store_true", help="do not wait until it is healthy")

    status = sub.add_parser("status", help="every Pod, with the sentence that it says of itself", epilog=EXAMPLE)
    status.add_argument("--json", action="store_true", help="print for a machine")

    kill = sub.add_parser("kill", help="kill something of a Pod", epilog=EXAMPLE)
    kill.add_argument("pod", metavar="POD")
    kill.add_argument(
        "--what", choices=tuple(KILLS), default="server", help="; ".join(f"{k}: {v}" for k, v in KILLS.items())
    )
    kill.add_argument("--stay-down", action="store_true", help="no new Pod until `lab start`")

    wipe = sub.add_parser(
        "wipe", help="a Pod's node and its volume are lost; a new Pod gets an empty one", epilog=EXAMPLE
    )
    wipe.add_argument("pod", metavar="POD")
    wipe.add_argument("--stay-down", action="store_true", help="no new Pod until `lab start`")

    start = sub.add_parser("start", help="start a Pod that stayed down", epilog=EXAMPLE)
    start.add_argument("pod", metavar="POD")

    dns = sub.add_parser("dns", help="what DNS answers from now on", epilog="Example: peerboot lab dns servfail db-0")
    dns.add_argument("mode", choices=DNS_MODES)
    dns.add_argument("pod", metavar="POD", nargs="?", default="", help="to this Pod alone (default: to all)")
    dns.add_argument("--delay", type=float, default=None, metavar="SECONDS", help="answers come so much later")

    run_in = sub.add_parser(
        "exec", help="run a peerboot command in a Pod", epilog="Example: peerboot lab exec db-1 plan"
    )
    run_in.add_argument("pod", metavar="POD")
    run_in.add_argument("command_line", nargs=argparse.REMAINDER, metavar="COMMAND")

    sub.add_parser("down", help="end it and remove what it made", epilog=EXAMPLE)

    demo = sub.add_parser(
        "demo",
        help="a story of about a minute: form, lose disks, heal, explain",
        epilog="Example: peerboot lab demo etcd",
    )
    demo.add_argument("system", choices=("etcd",))
    demo.add_argument(
        "--etcd", choices=("3.4", "3.5", "3.6"), default="", help="which release (default: the newest here)"
    )


def run(args: argparse.Namespace) -> int:
    """One lab command; returns the exit code. Raises ``LabError``."""
    root: Path = args.dir or default_dir()
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


def default_dir() -> Path:
    """``peerboot/lab`` in XDG_STATE_HOME, which is ``~/.local/state`` when not set."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "peerboot" / "lab"


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
    except (OSError, ValueError):
        raise LabError(f"no lab runs in {root}: start one with `peerboot lab up etcd`") from None
    if "error" in answer:
        raise LabError(str(answer["error"]))
    return answer


def _up(args: argparse.Namespace, root: Path) -> int:
    from peerboot.lab.servers import best, find

    try:
        ask(root, {"command": "status"})
    except LabError:
        pass
    else:
        raise LabError(f"a lab runs in {root} already: `peerboot lab down` ends it")
    server, remark = (find(args.etcd, print), "") if args.etcd else best(print)
    if remark:
        print(remark)
    root.mkdir(parents=True, exist_ok=True)
    plan = {
        "server": args.etcd or server.version.rpartition(".")[0],
        "replicas": args.replicas,
        "cache": args.cache,
        "init": args.init,
    }
    with (root / "lab.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "peerboot.lab.daemon", str(root), json.dumps(plan)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
    print(f"etcd {server.version} ({server.origin}), {args.replicas} Pods, in {root}")
    began, shown = time.monotonic(), ""
    while time.monotonic() - began < (STARTING if args.no_wait else 120.0):
        if process.poll() is not None:
            tail = (root / "lab.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise LabError(f"the lab's process ended: {' '.join(tail)}")
        try:
            status = ask(root, {"command": "status"}, 5.0)
        except LabError:
            time.sleep(0.1)
            continue
        lines = "\n".join(f"  {pod['pod']}: {pod['sentence']}" for pod in status["pods"] if pod["sentence"])
        if lines != shown:
            print(lines, flush=True)
            shown = lines
        if args.no_wait or status["ready"]:
            print(f"healthy after {time.monotonic() - began:.1f} s" if status["ready"] else "started")
            return 0
        time.sleep(0.2)
    raise LabError("it is not healthy after two minutes: `peerboot lab status` says what it waits for")


def _status(args: argparse.Namespace, root: Path) -> int:
    status = ask(root, {"command": "status"})
    if args.json:
        print(json.dumps(status, indent=1))
        return 0
    from peerboot.admin import table

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
    command = [sys.executable, "-m", "peerboot", *(args.command_line or ["status"])]
    return subprocess.run(command, env={**os.environ, **answer["env"]}, check=False).returncode  # noqa: S603 - this very program


def _down(root: Path) -> int:
    print(ask(root, {"command": "down"})["say"])
    until = time.monotonic() + 30
    while (root / "control.sock").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return 0
