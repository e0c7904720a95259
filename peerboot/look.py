"""``peerboot plan`` and ``peerboot peers``: read-only looks from a process of their own."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import io
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from peerboot import container, preflight
from peerboot.decide import decide
from peerboot.model import (
    Action,
    Call,
    CommitLog,
    CopyData,
    EndRemoval,
    Facts,
    MoveAside,
    RecordBirth,
    RecordClaim,
    RecordCrown,
    RecordForced,
    RecordIntent,
    RecordPermit,
    RecordSeal,
    Renew,
    UseConsent,
    WithdrawPermit,
    WriteAnchor,
    WriteFile,
)
from peerboot.outside.clock import SystemClock
from peerboot.printing import ago, columns, emit, printable, say, table
from peerboot.report import pieces, sentence

if TYPE_CHECKING:
    from peerboot.run import Node
    from peerboot.systems import Prepared

PATIENCE = 6.0
CENSUS_TIME = 2.5
"""Seconds in which every pod that is in DNS has answered or failed to."""


async def main(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Look once (or on and on with ``--watch``) and print."""
    if args.command == "peers":
        return await _peers(args, environ)
    emit(args, await plan(environ), show_plan)
    return 0


async def plan(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """One read-only pass: decision, evidence with ages, and the actions that would follow."""
    from peerboot.log import Log

    made = container.set_up(environ)
    state = preflight.state_dir(made.settings, made.data_dir)
    log = Log("text", "error", made.identity.pod, io.StringIO())
    node = container.make_node(made, "plan", SystemClock(), log, state)
    node.loops.curious = True
    task = asyncio.create_task(node.run())
    try:
        await _looked_around(node, task)
        if node.facts is None:
            raise RuntimeError("no pass was made")
        wall = node.doors.clock.wall()
        data = node.report.as_data(node.facts, node.decision, ready=node.ready(), wall=wall)
        return _told(node.doors.system, node.facts, data, wall, observes=made.settings.mode == "observe")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await node.stop()
        await node.doors.http.close()


async def _looked_around(node: Node, task: asyncio.Task[int]) -> None:
    """Return when everybody has been asked and what was heard is enough, or after ``PATIENCE`` seconds."""
    clock, memory = node.doors.clock, node.memory
    until = clock.now() + PATIENCE
    while clock.now() < until:
        await asyncio.sleep(0.1)
        if task.done():
            task.result()
        heard = set(memory.evidence) >= set(node.identity.others)
        # Who is not in DNS is never asked; where a cluster serves that is not worth waiting for.
        enough = heard or (memory.view.quorum and clock.now() >= until - PATIENCE + CENSUS_TIME)
        if node.facts is not None and memory.looked(clock.now(), PATIENCE) and enough:
            return


def _told(system: Prepared, facts: Facts, data: Mapping[str, Any], wall: float, *, observes: bool) -> Mapping[str, Any]:
    """The decision as if peerboot managed, whatever the mode, and what would follow from it. Who observes lets no
    server start: one that runs there is the Pod's own, as if it had been let.
    """
    real = msgspec.structs.replace(facts, mode="manage", permit_was_given=facts.permit_was_given or observes)
    if not facts.identity.ips:
        # This Pod's own sidecar answers under its name too. Without POD_IPS it looks like a second Pod.
        real = msgspec.structs.replace(real, twin="")
    decision = decide(real)
    actions = system.plan(real, decision).actions
    return {
        "pod": facts.identity.pod,
        "sentence": sentence(decision),
        "kind": decision.kind,
        "rule": decision.rule,
        "evidence": list(decision.evidence),
        "pieces": [piece._asdict() for piece in pieces(real, wall)],
        "census": data["evidence"],
        "dns": data["dns"],
        "dns_outcome": data["dns_outcome"],
        "servers": [msgspec.to_builtins(view) for view in facts.cluster.views],
        "findings": data["findings"],
        "actions": [would(action) for action in actions],
        "diff": [line for action in actions if isinstance(action, WriteFile) for line in diff(facts, action)],
    }


# ------------------------------------------------------------------ actions


def would(action: Action) -> str:
    """What one action would do."""
    match action:
        case WriteFile():
            return f"write {action.name}" + (", with which the server may start" if action.permit else "")
        case WithdrawPermit():
            return f"withdraw {action.name}, so that the server cannot start"
        case RecordBirth():
            return f"record birth {action.birth.token} of {', '.join(sorted(action.birth.members))}"
        case RecordPermit():
            return "record that the server may run"
        case RecordClaim():
            return f"record that this disk joins cluster {action.claim.cluster}"
        case RecordSeal():
            return f"remember cluster {action.seal.cluster}, member {action.seal.member}"
        case RecordCrown():
            told = f"its server takes the writes, on timeline {action.term}" if action.term else "another may take them"
            return f"remember that {told}"
        case RecordIntent():
            return "ask all others to let this Pod's server take the writes" if action.intent else "ask no more"
        case RecordForced():
            return "record that this disk becomes a cluster of one" if action.forced else "end that word"
        case CopyData():
            return f"copy the data to {action.name}"
        case CommitLog():
            return "have all that its log holds count as committed"
        case Renew():
            return f"give the disk a new nonce: {action.why}"
        case MoveAside():
            return f"rename the data aside: {action.why}"
        case WriteAnchor():
            return f"write {action.token} to the anchor" if action.token else "set the anchor aside"
        case UseConsent():
            return f"use up consent {action.nonce}"
        case EndRemoval():
            return f"end the removal of {action.pod}"
        case Call():
            what = " ".join(part for part in (action.name, action.member, *action.urls) if part)
            return f"call {what}" + (f" at {action.pod}" if action.pod else "")


def diff(facts: Facts, action: WriteFile) -> list[str]:
    """How a file would change; of one with secrets only that it would."""
    before, after = facts.files.get(action.name, ""), action.content
    if action.mode & 0o077 == 0:
        return [] if before == after else [f"{action.name} would change; it holds secrets and is not shown"]
    return list(
        difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"{action.name} (now)" if before else "/dev/null",
            f"{action.name} (then)",
            lineterm="",
        )
    )


def show_plan(data: Mapping[str, Any]) -> None:
    """For a person."""
    say(data["sentence"])
    print("\nEvidence:")
    for piece in data["pieces"]:
        age = f"{ago(piece['age'])} ago" if piece["age"] else "now" if piece["age"] is not None else "never"
        say(f"{piece['about']}, {piece['source']}, {age}: {piece['says']}", "  ")
    print("\nIt would:")
    for action in data["actions"] or ["do nothing"]:
        say(action, "  ")
    if data["diff"]:
        print()
        for line in data["diff"]:
            print(printable(line))


async def _peers(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from peerboot.discovery import Discovery
    from peerboot.outside.dns import Dns

    made = container.set_up(environ)
    clock = SystemClock()
    discovery = Discovery(made.identity, made.settings.port_name, Dns(made.nameservers, clock), clock)
    last: object = None
    while True:
        answer = await discovery.ask()
        data = {
            "question": discovery.question,
            "outcome": answer.outcome,
            "reason": answer.reason,
            "ttl": answer.ttl,
            "complete": answer.complete,
            "peers": [msgspec.to_builtins(target) for target in answer.targets],
            "missing": [pod for pod in made.identity.expected if pod not in {t.pod for t in answer.targets}],
        }
        shown = {key: value for key, value in data.items() if key != "ttl"}
        if shown != last:
            last = shown
            print(json.dumps(data), flush=True) if args.json else show_peers(data)
        if not args.watch:
            return 0 if answer.outcome == "found" else 1
        sys.stdout.flush()
        await clock.sleep(2.0)


def show_peers(data: Mapping[str, Any]) -> None:
    """For a person."""
    reason = f" ({data['reason']})" if data["reason"] else ""
    say(f"{data['question']}: {data['outcome']}{reason}, may be cached for {data['ttl']:g} s")
    if data["peers"]:
        rows = [[p["pod"], ", ".join(p["addresses"]) or "-", str(p["port"])] for p in data["peers"]]
        print(table([["POD", "ADDRESSES", "PORT"], *rows], columns()))
    if data["missing"]:
        say(f"{'missing' if data['outcome'] != 'unknown' else 'not known'}: {', '.join(data['missing'])}")
