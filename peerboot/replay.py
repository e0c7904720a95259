"""``peerboot replay``: the timeline of a bundle, for people and machines, and where this release decides otherwise."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from peerboot.again import Again, again, chosen, read, stamp
from peerboot.cases.plans import STANDING
from peerboot.moments import Bundle
from peerboot.printing import ago, emit, printable, say
from peerboot.redact import Redactor
from peerboot.report import pieces

OTHERWISE = 1
"""The exit code when this release decides otherwise."""


def main(args: argparse.Namespace) -> int:
    """Print the timeline, one moment of it, or cases; returns the exit code."""
    bundle = read(args.file)
    moments = [*bundle.moments, *([bundle.now] if bundle.now is not None else [])]
    if args.as_case:
        from peerboot import recast

        text = recast.cases(args.file, bundle, chosen(args.as_case, moments), short=args.short)
        print("\n".join(map(printable, text.split("\n"))), end="")
        return 0
    wanted = chosen(args.at or "all", moments)
    found = [again(number, moment) for number, moment in wanted]
    emit(args, told(bundle, found, one=bool(args.at)), show)
    return 0 if all(one.same for one in found) else OTHERWISE


# -------------------------------------------------------------------- telling


def told(bundle: Bundle, found: list[Again], *, one: bool) -> dict[str, Any]:
    """The timeline as built-in values."""
    first = found[0].moment.wall if found else bundle.made_wall
    return {
        "pod": bundle.pod,
        "namespace": bundle.namespace,
        "system": bundle.system,
        "made": bundle.made_wall,
        "version": bundle.version,
        "source": bundle.source,
        "left_out": bundle.left_out,
        "earlier": [] if one else [entry for entry in bundle.journal if _wall(entry) < first],
        "decisions": [_told(bundle, again, whole=one) for again in found],
        "same": all(again.same for again in found),
    }


def _wall(entry: dict[str, object]) -> float:
    wall = entry.get("wall")
    return float(wall) if isinstance(wall, int | float) else 0.0


def _told(bundle: Bundle, found: Again, *, whole: bool) -> dict[str, Any]:
    moment, decision = found.moment, found.decision
    then = [planned.say for planned in moment.actions if not planned.say.endswith(tuple(f" {n}" for n in STANDING))]
    redact = Redactor().text
    data: dict[str, Any] = {
        "number": found.number,
        "now": moment is bundle.now,
        "wall": moment.wall,
        "boot": moment.boot,
        "version": moment.version,
        "kind": moment.decision.kind,
        "rule": moment.decision.rule,
        "reason": moment.decision.reason,
        "waits_for": list(moment.decision.waits_for),
        "may_run": moment.decision.may_run,
        "allowed": list(moment.allowed),
        "actions": then,
        "outcomes": [msgspec.to_builtins(outcome) for outcome in moment.outcomes],
        "same": found.same,
        "trouble": found.trouble,
        "decision_now": None,
        "actions_now": [redact(action) for action in found.actions],
    }
    if decision is not None:
        data["decision_now"] = {
            "kind": decision.kind,
            "rule": decision.rule,
            "reason": redact(decision.reason),
            "waits_for": list(decision.waits_for),
            "may_run": decision.may_run,
        }
    if whole:
        data["evidence"] = [piece._asdict() for piece in pieces(found.facts, moment.wall)]
    return data


def show(data: Mapping[str, Any]) -> None:
    """For a person."""
    for line in _lines(data):
        say(line.lstrip(" "), " " * (len(line) - len(line.lstrip(" "))))


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    where = "the running peerboot" if data["source"] == "running" else "what was left on the disk"
    yield (
        f"{data['system']}, Pod {data['namespace']}/{data['pod']}: a bundle of {stamp(data['made'])} by peerboot "
        f"{data['version']}, from {where}"
    )
    for entry in data["earlier"]:
        yield f"   {stamp(_wall(entry))}  {entry.get('kind')} ({entry.get('rule')}), of which only this line is left"
    if data["left_out"]:
        yield f"   {data['left_out']} decisions were left out for room"
    for one in data["decisions"]:
        yield from _of_one(one)
    others = [str(one["number"]) for one in data["decisions"] if not one["same"]]
    count = len(data["decisions"])
    if others:
        yield f"This release decides otherwise at {', '.join(others)}."
    else:
        yield "This release decides the same." if count == 1 else f"This release decides the same, all {count} times."


def _of_one(one: Mapping[str, Any]) -> Iterator[str]:
    when = ", when the bundle was made" if one["now"] else ""
    yield f"{one['number']:>2} {stamp(one['wall'])}  {one['kind']} ({one['rule']}){when}"
    yield f"     {one['reason']}"
    for rule in one["allowed"]:
        yield f"     a person had consented to: {rule}"
    for piece in one.get("evidence", ()):
        age = f"{ago(piece['age'])} before" if piece["age"] else "then" if piece["age"] is not None else "never"
        yield f"     {piece['about']}, {piece['source']}, {age}: {piece['says']}"
    for done in one["outcomes"]:
        result = f": {done['result']}" if done["result"] else ""
        times = f" ({done['times']} times)" if done["times"] > 1 else ""
        yield f"     {'done' if done['ok'] else 'NOT done'}: {done['say']}{result}{times}"
    now = one["decision_now"]
    if not one["same"] and now is not None:
        yield f"     this release: {now['kind']} ({now['rule']}): {now['reason']}"
    if one["trouble"]:
        yield f"     this release comes to no decision: {one['trouble']}"
    planned, actions = set(one["actions"]), set(one["actions_now"])
    if one["same"] and not one["now"] and planned != actions:
        yield f"     this release would, by default settings: {'; '.join(one['actions_now']) or 'do nothing'}"
