"""``peerboot kafka drain``, ``unregister`` and ``migrate``: what a person asks for, and what is printed.

What talks to Kafka is imported when a command is run: ``--help`` does without.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from peerboot.errors import RefusedError, SettingsError, SystemApiError
from peerboot.printing import emit, one_line, say

if TYPE_CHECKING:
    from peerboot.systems.kafka.config import KafkaConfig
    from peerboot.systems.kafka.drain import Step
    from peerboot.systems.kafka.drain_run import Wish
    from peerboot.systems.kafka.survey import Survey

EXEC = "kubectl exec kafka-0 -c peerboot -- peerboot kafka"
TEXTS = {
    "drain": "Move all replicas away from brokers, so that they can go; shows the plan first.",
    "unregister": "Make the cluster forget a broker that is gone and holds nothing; shows the plan first.",
    "migrate": "Make a static quorum of controllers a dynamic one, for good (4.1 or later); shows the plan first.",
}
EXAMPLES = {
    "drain": f"{EXEC} drain kafka-3 --throttle 50MB/s --yes",
    "unregister": f"{EXEC} unregister kafka-3 --yes",
    "migrate": f"{EXEC} migrate --yes",
}
SHOWN = 20
"""Partitions of a plan that are shown to a person; ``--json`` has all."""
INTERRUPTED, MOST_TYPED = 130, 500


def register(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    for name, text in TEXTS.items():
        sub = commands.add_parser(name, help=text, description=text, epilog=f"Example: {EXAMPLES[name]}")
        if name != "migrate":
            several = "+" if name == "drain" else None
            sub.add_argument("brokers", metavar="POD|NODE_ID", nargs=several, help="by its Pod, or by its node id")
        sub.add_argument("--yes", action="store_true", help="do it, not only show it")
        sub.add_argument("--json", action="store_true", help="print for a machine; progress goes to stderr")
        if name == "drain":
            sub.add_argument("--throttle", default="", metavar="RATE", help="at most so much at each broker, as 50MB/s")
            sub.add_argument(
                "--undo", action="store_true", help="end the cordon of an earlier drain; what was moved stays moved"
            )


def in_a_pod(args: argparse.Namespace) -> str:
    """What was typed, with the Pod to run it in; for a shell, so that it can be copied whatever a name is."""
    names = getattr(args, "brokers", [])
    words = [args.subcommand, *([names] if isinstance(names, str) else names)]
    if getattr(args, "throttle", ""):
        words += ["--throttle", args.throttle]
    words += [f"--{flag}" for flag in ("undo", "yes", "json") if getattr(args, flag, False)]
    return f"{EXEC} {one_line(shlex.join(words), MOST_TYPED)}"


async def run(
    args: argparse.Namespace,
    config: KafkaConfig,
    find: Callable[[], Awaitable[Mapping[str, tuple[str, ...]]]],
    *,
    observes: bool,
) -> int:
    """Carry a command out; returns the exit code. ``find``: asks DNS. Raises ``PeerbootError``."""
    from peerboot.outside.kafka import KafkaError
    from peerboot.systems.kafka import throttle
    from peerboot.systems.kafka.reach import Brokers

    if args.subcommand == "migrate":
        from peerboot.systems.kafka import migrate

        return await migrate.run(args, config, await find(), observes=observes)
    if not config.is_broker:
        raise SettingsError(
            "the Pods of this set are controllers only (PEERBOOT_KAFKA_ROLES): run it in the Pod of a broker"
        )
    if observes and args.yes:
        raise SettingsError("PEERBOOT_MODE=observe changes nothing: run it without --yes, or in a Pod that manages")
    names = [args.brokers] if isinstance(args.brokers, str) else args.brokers
    nodes = {node_of(config, name): name for name in names}
    rate = throttle.rate_of(args.throttle) if getattr(args, "throttle", "") else 0
    addresses = await find()
    called = {node: config.pod_of(node) if addresses.get(config.pod_of(node)) else name for node, name in nodes.items()}
    try:
        async with Brokers(config, addresses) as brokers:
            if args.subcommand == "drain":
                return await _drain(args, brokers, called, rate)
            return await _unregister(args, brokers, called)
    except KafkaError as error:
        raise SystemApiError(
            f"Kafka does not answer as it should: {error}: look at the brokers, run it again"
        ) from None


def node_of(config: KafkaConfig, name: str) -> int:
    """The node id of a pod of this set, or the number itself; raises ``SettingsError``."""
    if name.isascii() and name.isdigit() and len(name) < 11:
        return int(name)
    try:
        return config.node_of(name)
    except ValueError:
        me = config.identity
        raise SettingsError(
            f"{one_line(name, 80)!r} is neither a pod of {me.statefulset} nor a node id: write {me.statefulset}-3, or 3"
        ) from None


# ---------------------------------------------------------------------- drain


async def _drain(args: argparse.Namespace, brokers: Any, called: Mapping[int, str], rate: int) -> int:
    from peerboot.outside.clock import SystemClock
    from peerboot.systems.kafka import drain, drain_run, survey

    wish = drain_run.Wish(nodes=called, rate=rate)
    found = await survey.whole(brokers, wish.nodes)
    if args.undo:
        return await _undo(args, brokers, found, wish)
    drain_run.refuse(found, wish)
    steps = drain.steps(found.parts, found.brokers, wish.nodes)
    closed = drain_run.closable(found, wish, brokers)
    told = planned(found, wish, steps, _again(args), closed)
    if not args.yes:
        emit(args, told, show)
        return 0
    if not args.json and not told["done"]:
        show({**told, "say": f"{told['holds']}. Moving."})
    stream = sys.stderr if args.json else sys.stdout
    run = drain_run.Drain(brokers, wish, SystemClock(), partial(_tell, stream))
    task = asyncio.ensure_future(run.run(found))
    with _interrupts(task):
        try:
            await task
        except asyncio.CancelledError:
            moved = f"{run.progress.done} of {drain.count(run.progress.parts, 'partition')}"
            stays = "stays" if len(closed) == 1 else "stay"
            cordon = f" {_cordoned(closed)} {stays} cordoned (`--undo` ends that)." if closed else ""
            rest = "the others are as they were" if run.tidy else "others may still be moving"
            _tell(stream, f"Interrupted: {moved} moved, {rest}.{cordon} Run it again to go on.")
            return INTERRUPTED
    holds = "holds" if len(wish.nodes) == 1 else "hold"
    done = {**told, "done": True, "say": f"{wish.called} {holds} no replicas now. {_next(found, wish)}", "notes": []}
    emit(args, done if args.json else {**done, "lines": []}, show)
    return 0


def _tell(stream: Any, text: str) -> None:
    print(text, file=stream, flush=True)


def _again(args: argparse.Namespace) -> str:
    names = [args.brokers] if isinstance(args.brokers, str) else args.brokers
    more = f" --throttle {args.throttle}" if getattr(args, "throttle", "") else ""
    return f"peerboot kafka {args.subcommand} {' '.join(names)}{more} --yes"


def _cordoned(nodes: Sequence[int]) -> str:
    return " and ".join(f"broker {node}" for node in nodes)


def planned(found: Survey, wish: Wish, steps: Sequence[Step], again: str, closed: Sequence[int]) -> dict[str, Any]:
    """The plan as data: what a person reads, and each move."""
    from peerboot.systems.kafka import drain, throttle

    held = drain.held(found.parts, wish.nodes)
    size = sum(max(step.size, 0) for step in steps)
    bytes_of = f", {drain.amount(size)}" if size else ""
    copies = sum(len(set(wish.nodes) & {*part.replicas, *part.before}) for part in held)
    holds = f"{wish.called} {'holds' if len(wish.nodes) == 1 else 'hold'} {drain.count(copies, 'replica')}{bytes_of}"
    notes = []
    gets: dict[int, int] = {}
    for step in steps:
        for node in step.added:
            gets[node] = gets.get(node, 0) + 1
    if gets:
        notes.append(", ".join(f"broker {n} gets {drain.count(k, 'replica')}" for n, k in sorted(gets.items())) + ".")
    filled = {node for part in found.parts for node in (*part.replicas, *part.before)}
    if empty := sorted(set(gets) - filled) if not found.cordons else []:
        notes.append(
            f"Broker {empty[0]} has no replicas now: if it was drained and is to go too, name it here as well, for "
            "before 4.3 Kafka does not know."
        )
    if under := len(held) - len(steps):
        notes.append(f"{drain.count(under, 'move')} of an earlier run {'is' if under == 1 else 'are'} under way.")
    if alone := drain.only_copies(found.parts, found.brokers, wish.nodes):
        notes.append(
            f"{drain.count(len(alone), 'partition')}, as {alone[0].name}, "
            f"{'has its' if len(alone) == 1 else 'have their'} only good copy there: keep it up until this is done."
        )
    dead = [node for node in wish.nodes if not (node in found.brokers and found.brokers[node].alive)]
    if dead and held:
        notes.append(f"Broker {dead[0]} is not alive: its replicas are made anew from the others.")
    if found.throttles.leftovers() and not found.moves:
        notes.append("Limits on replication that an earlier reassignment left are taken away first.")
    if wish.rate:
        notes.append(f"At each broker at most {throttle.shown(wish.rate)} are copied, until it is done.")
    if held and not found.cordons:
        notes.append("Kafka before 4.3 may place new topics there meanwhile: what is there at the end is moved too.")
    elif held and set(closed) == set(wish.nodes):
        notes.append("No new replicas are placed there from the beginning on (cordoned.log.dirs).")
    elif held and closed:
        notes.append(
            f"No new replicas are placed at {_cordoned(closed)} from the beginning on (cordoned.log.dirs); only a "
            "broker that is alive and in DNS takes that."
        )
    lines = [f"{s.name}: {_ids(s.before)} -> {_ids(s.after)}" + _size(s.size) for s in steps]
    text = (
        f"{holds}. This would happen; `{again}` does it:" if held else f"{holds}: nothing to do. {_next(found, wish)}"
    )
    return {
        "cluster": found.cluster,
        "brokers": sorted(wish.nodes),
        "holds": holds,
        "moves": [
            {"topic": s.topic, "partition": s.index, "from": s.before, "to": s.after, "bytes": max(s.size, 0)}
            for s in steps
        ],
        "lines": lines,
        "notes": notes,
        "done": not held,
        "say": text,
    }


def _next(found: Survey, wish: Wish) -> str:
    gone = all(not found.brokers[node].alive for node in wish.nodes if node in found.brokers)
    then = "run " + " and ".join(f"`peerboot kafka unregister {name}`" for name in wish.nodes.values())
    if gone:
        return f"Next: {then}."
    soon = "" if found.cordons else " soon, for Kafka before 4.3 may place new topics there"
    return f"Next: scale the StatefulSet down{soon}; when the Pod is gone, {then}."


def _ids(nodes: Sequence[int]) -> str:
    return ",".join(map(str, nodes))


def _size(size: int) -> str:
    from peerboot.systems.kafka.drain import amount

    return f" ({amount(size)})" if size >= 0 else ""


def show(data: Mapping[str, Any]) -> None:
    """For a person."""
    say(data["say"])
    lines = data.get("lines", ())
    for line in lines[:SHOWN]:
        say(line, "  ")
    if len(lines) > SHOWN:
        say(f"… and {len(lines) - SHOWN} more (--json has all)", "  ")
    for line in data.get("notes", ()):
        say(line)
    sys.stdout.flush()


@contextlib.contextmanager
def _interrupts(task: asyncio.Future[None]) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or hang-up cancels, and the tidying up that follows is not disturbed by a second."""
    loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    said = False

    def stop() -> None:
        nonlocal said
        if not said:
            said = True
            task.cancel()

    for one in signals:
        loop.add_signal_handler(one, stop)
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


async def _undo(args: argparse.Namespace, brokers: Any, found: Survey, wish: Wish) -> int:
    from peerboot.systems.kafka import throttle

    if not found.cordons:
        raise RefusedError("there is nothing to undo: Kafka before 4.3 does not cordon brokers, and moves stay moved")
    if args.yes:
        mine = [throttle.uncordon(node) for node in wish.nodes]
        failed = await brokers.leader(lambda kafka: kafka.alter_configs(mine))
        if failed:
            raise SystemApiError(f"the cordon of broker {failed[0].name} was not ended: {failed[0].message}")
        text = f"{wish.called} gets new replicas again. What was moved away stays where it is."
    else:
        again = f"peerboot kafka drain {' '.join(args.brokers)} --undo --yes"
        text = f"{wish.called} would get new replicas again; `{again}` does it."
    emit(args, {"brokers": sorted(wish.nodes), "done": args.yes, "say": text}, show)
    return 0


# ----------------------------------------------------------------- unregister


async def _unregister(args: argparse.Namespace, brokers: Any, called: Mapping[int, str]) -> int:
    from peerboot.systems.kafka import unregister

    [(node, name)] = called.items()
    text, needed = unregister.check(await unregister.look(brokers), brokers, node, name)
    if needed and args.yes:
        text = await unregister.carry_out(brokers, node, name)
    elif needed:
        text = f"{text} This would happen; `{_again(args)}` does it: the cluster forgets it."
    emit(args, {"broker": node, "done": args.yes or not needed, "say": text}, show)
    return 0
