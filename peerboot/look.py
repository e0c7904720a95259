"""``peerboot plan`` and ``peerboot peers``: read-only looks from a process of their own."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import io
import json
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from peerboot import container, preflight
from peerboot.act import describe
from peerboot.admin import ago, table
from peerboot.cli import emit
from peerboot.model import Facts, WriteFile
from peerboot.outside.clock import SystemClock
from peerboot.report import sentence

PATIENCE = 6.0


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
    task = asyncio.create_task(node.run())
    try:
        until = node.doors.clock.now() + PATIENCE
        while node.doors.clock.now() < until and not task.done():
            await asyncio.sleep(0.1)
            heard = set(node.memory.evidence) >= set(node.identity.others)
            if (
                node.facts is not None
                and node.memory.looked(node.doors.clock.now(), PATIENCE)
                and (heard or node.memory.view.quorum)
            ):
                break
        facts = node.facts
        if facts is None:
            raise RuntimeError("no pass was made")
        return _told(
            node.doors.system,
            facts,
            node.report.as_data(facts, node.decision, ready=node.ready(), wall=node.doors.clock.wall()),
        )
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await node.stop()
        await node.doors.http.close()


def _told(system: Any, facts: Facts, data: Mapping[str, Any]) -> Mapping[str, Any]:
    from peerboot.decide import decide

    real = msgspec.structs.replace(facts, mode="manage")
    decision = decide(real)
    actions = system.plan(real, decision).actions
    diffs = []
    for action in actions:
        if isinstance(action, WriteFile):
            before = facts.files.get(action.name, "").splitlines()
            diffs += list(
                difflib.unified_diff(
                    before, action.content.splitlines(), f"{action.name} (now)", f"{action.name} (then)", lineterm=""
                )
            )
    return {
        "pod": facts.identity.pod,
        "sentence": sentence(decision),
        "kind": decision.kind,
        "rule": decision.rule,
        "evidence": list(decision.evidence),
        "census": data["evidence"],
        "dns": data["dns"],
        "dns_outcome": data["dns_outcome"],
        "servers": [msgspec.to_builtins(view) for view in facts.cluster.views],
        "findings": data["findings"],
        "actions": [describe(action) for action in actions],
        "diff": diffs,
    }


def show_plan(data: Mapping[str, Any]) -> None:
    """For a person."""
    print(data["sentence"])
    print("\nEvidence:")
    rows = [["  POD", "DNS", "SAYS", "AGE", "REMARK"]]
    for pod, cell in data["census"].items():
        rows.append([f"  {pod}", data["dns"].get(pod, "-"), cell["kind"], ago(cell["age"]), cell["text"]])
    print(table(rows))
    for line in (*data["evidence"], *data["findings"]):
        print(f"  {line}")
    print("\nIt would:")
    for action in data["actions"] or ["do nothing"]:
        print(f"  {action}")
    if data["diff"]:
        print("\n" + "\n".join(data["diff"]))


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
    print(f"{data['question']}: {data['outcome']}{reason}, may be cached for {data['ttl']:g} s")
    if data["peers"]:
        print(
            table(
                [
                    ["POD", "ADDRESSES", "PORT"],
                    *([p["pod"], ", ".join(p["addresses"]) or "-", str(p["port"])] for p in data["peers"]),
                ]
            )
        )
    if data["missing"]:
        print(f"missing: {', '.join(data['missing'])}")
