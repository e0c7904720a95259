"""Carry out a plan through the doors, in order; the first failure ends it and the next pass looks again."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerboot.model import (
    Action,
    Call,
    Claim,
    ClusterView,
    CommitLog,
    CopyData,
    Decision,
    Done,
    EndRemoval,
    Facts,
    MoveAside,
    Plan,
    RecordBirth,
    RecordClaim,
    RecordCrown,
    RecordForced,
    RecordIntent,
    RecordPermit,
    RecordSeal,
    Removal,
    Renew,
    UseConsent,
    WithdrawPermit,
    WriteAnchor,
    WriteFile,
)
from peerboot.outside import files
from peerboot.rules.words import consent_nonce

if TYPE_CHECKING:
    from peerboot.anchor import Keeper
    from peerboot.outside.http import Http
    from peerboot.statedir import StateDir
    from peerboot.systems import Prepared


HARD = Call | MoveAside | Renew | EndRemoval | RecordForced | CopyData | CommitLog
"""Actions that are hard to take back."""


@dataclass
class Words:
    """What people have said to this process. It dies with it, and each word with what it was said about."""

    consents: dict[str, str] = field(default_factory=dict)
    """The rule by nonce."""
    removals: dict[str, tuple[Removal, str]] = field(default_factory=dict)
    """By pod, each with the member id that is to go."""

    def forget_outdated(self, facts: Facts) -> bool:
        """Drop each consent whose evidence has changed, for good, and each removal of a member that was replaced."""
        before = len(self.consents) + len(self.removals)
        for nonce, rule in tuple(self.consents.items()):
            if consent_nonce(facts, rule) != nonce:
                del self.consents[nonce]
        for pod, (_, member) in tuple(self.removals.items()):
            entry = facts.cluster.entry_of(pod)
            if facts.cluster.quorum and entry is not None and entry.id != member:
                del self.removals[pod]
        return len(self.consents) + len(self.removals) < before


@dataclass
class Tally:
    """What this process has done: for metrics, and for the pace of tries."""

    changes: int = 0
    """Of the decision."""
    acted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Actions by name and result."""
    failures: int = 0
    """In a row, of any action."""
    failed_calls: int = 0
    """In a row, of admin calls."""
    call_failure: str = ""
    undone: str = ""
    """The last failure of a copy, in words; empty once one was made."""
    not_before: float = 0.0
    """Until then nothing is tried that is hard to take back: after failures it waits a little longer each time."""
    written_wall: float | None = None
    """When the permit was last written."""
    started_after: float | None = None
    """Seconds from this process's start until the server might start."""
    joins_since: float | None = None
    """When this process saw that its disk has to join; None once it serves."""
    rejoined_after: float | None = None
    """Seconds from there until it served, of the last time."""

    def follow(self, decision: Decision, now: float) -> None:
        """Note how long joining takes, from the decision that it has to be until the member serves."""
        since = self.joins_since
        if decision.kind in ("join", "replace"):
            self.joins_since = now if since is None else since
        elif decision.rule == "serving" and since is not None:
            self.joins_since, self.rejoined_after = None, now - since

    def count(self, result: Done, *, now: float, wall: float) -> None:
        """Take one action's outcome."""
        action = result.action
        if isinstance(action, CopyData):
            self.undone = "" if result.ok else result.say
        self.acted[name_of(action), "ok" if result.ok else "failed"] += 1
        if result.ok:
            self.failures, self.not_before = 0, 0.0
            self.failed_calls = 0 if isinstance(action, Call) else self.failed_calls
            if isinstance(action, WriteFile) and action.permit:
                self.written_wall = wall
            return
        self.failures += 1
        self.failed_calls += isinstance(action, Call)
        self.not_before = now + min(0.2 * 1.5**self.failures, 5.0)


@dataclass(frozen=True)
class Doors:
    """What actions go through."""

    system: Prepared
    state: StateDir
    http: Http
    output_dir: Path
    anchor: Keeper
    words: Words
    stamp: str
    """Time stamp for names of what is moved aside, for example ``20260102T030405Z``."""
    addresses: Mapping[str, tuple[str, ...]]
    view: ClusterView
    alive: Callable[[], None] = lambda: None
    """Called every second while one action takes long."""


async def carry_out(plan: Plan, doors: Doors) -> tuple[Done, ...]:
    """Each action with what became of it. Never raises for what the world does (disk full, server gone)."""
    done: list[Done] = []
    for action in plan.actions:
        try:
            result = await perform(action, doors)
        except (OSError, files.FilesError) as error:
            result = Done(action=action, ok=False, say=str(error))
        done.append(result)
        if not result.ok:
            break
    return tuple(done)


async def perform(action: Action, doors: Doors) -> Done:
    """One effect. A crash right before or after it leaves a state that the rules know."""
    match action:
        case WriteFile(name=name, content=content, mode=mode):
            files.write_whole(doors.output_dir / name, content.encode(), mode)
        case WithdrawPermit(name=name):
            withdraw_permit(doors.output_dir, name)
        case RecordBirth(birth=birth):
            doors.state.record_birth(birth)
        case RecordPermit():
            doors.state.record_permit()
        case RecordClaim(claim=claim):
            doors.state.record_claim(claim)
        case RecordSeal(seal=seal):
            doors.state.record_seal(seal)
        case RecordCrown(term=term):
            doors.state.record_crown(term)
        case RecordIntent(intent=intent):
            doors.state.record_intent(intent)
        case RecordForced(forced=forced):
            doors.state.record_forced(forced)
        case CopyData(name=name):
            return await _copy(action, name, doors)
        case CommitLog():
            return await _commit(action, doors)
        case Renew(why=why):
            doors.state.renew(why)
        case MoveAside(part=part):
            where = doors.system.move_aside(doors.stamp, part)
            return Done(action=action, ok=True, say=f"the data is kept at {where}")
        case WriteAnchor():
            return await _anchor(action, doors)
        case UseConsent(nonce=nonce):
            doors.words.consents.pop(nonce, None)
        case EndRemoval(pod=pod):
            doors.words.removals.pop(pod, None)
        case Call():
            return await _call(action, doors)
    return Done(action=action, ok=True)


def needs_fresh_look(plan: Plan) -> bool:
    """Whether it has anything that is hard to take back. A person's word too is over only when a list of now shows it:
    at rest the last one is seconds old.
    """
    return any(isinstance(action, HARD) for action in plan.actions)


def read_files(output_dir: Path, names: Iterable[str]) -> tuple[dict[str, str], str]:
    """The content of those files that are there, and what was wrong with one. A file that cannot be read counts as
    there and empty: a permit may let a server start whether peerboot can read it or not.
    """
    texts, problem = {}, ""
    for name in names:
        try:
            content = files.read_small(output_dir / name, 1 << 20)
        except files.FilesError as error:
            content, problem = b"", str(error)
        if content is not None:
            texts[name] = content.decode("utf-8", "replace")
    return texts, problem


def was_withdrawn(output_dir: Path, name: str) -> bool:
    """Whether a permit that was given in this Pod has been withdrawn since."""
    return os.path.lexists(output_dir / f"{name}.withdrawn")


def withdraw_permit(output_dir: Path, name: str) -> None:
    """Rename the permit file to ``<name>.withdrawn``; a missing one is fine."""
    try:
        (output_dir / name).replace(output_dir / f"{name}.withdrawn")
    except FileNotFoundError:
        return


async def _copy(action: CopyData, name: str, doors: Doors) -> Done:
    """Away from the loop, which goes on answering: gigabytes take minutes. Cut off, the next try goes on."""
    from peerboot.outside.copying import Stop, size_text

    stop = Stop()
    system: Any = doors.system  # one whose traits say so: ``ForcesOne``
    copying = asyncio.create_task(asyncio.to_thread(system.copy_data, name, stop))
    try:
        while not copying.done():
            await asyncio.wait({copying}, timeout=1.0)
            doors.alive()
    finally:
        stop.set()
    where, size = await copying
    return Done(action=action, ok=True, say=f"the copy is {where}, {size_text(size)}")


async def _commit(action: CommitLog, doors: Doors) -> Done:
    system: Any = doors.system
    count = await asyncio.to_thread(system.commit_log)
    return Done(action=action, ok=True, say=f"{count} entries more" if count else "it says so already")


async def _anchor(action: WriteAnchor, doors: Doors) -> Done:
    token = action.token
    if not token:
        kept = doors.anchor.forget(doors.stamp)
        return Done(action=action, ok=True, say=f"the old anchor is kept at {kept}")
    now = await doors.anchor.write(token, action.replaces, doors.stamp)
    ok = now.state == "holds" and now.token == token
    return Done(action=action, ok=ok, say="" if ok else f"the anchor says otherwise: {now.token or now.reason}")


async def _call(call: Call, doors: Doors) -> Done:
    if call.claim:
        # What cannot be written down is not asked for: it would be taken back, and asked for again, without an end.
        doors.state.write_again()
    done = await doors.system.call(doors.http, call, doors.view, doors.addresses)
    if done.ok and call.claim and done.member:
        # The claim is durable before the server may start. Killed before this line, the added learner
        # belongs to nobody: the next start removes it and adds another.
        record = doors.state.read()
        doors.state.record_claim(Claim(cluster=doors.view.cluster, member=done.member, nonce=record.nonce))
    return done


def name_of(action: Action) -> str:
    """A stable word for an action, for metrics: the call's own name, or its kind."""
    return action.name if isinstance(action, Call) else str(action.__struct_config__.tag)


def describe(action: Action) -> str:
    """One action in words, without contents."""
    match action:
        case WriteFile(name=name):
            return f"wrote {name}"
        case WithdrawPermit(name=name):
            return f"withdrew {name}"
        case RecordBirth(birth=birth):
            return f"recorded birth {birth.token}"
        case RecordPermit():
            return "recorded that the server may run"
        case RecordClaim(claim=claim):
            return f"recorded that this disk joins cluster {claim.cluster}"
        case RecordSeal(seal=seal):
            return f"remembered cluster {seal.cluster}, member {seal.member}"
        case RecordCrown(term=term):
            told = f"its server takes the writes, on timeline {term}" if term else "another may take the writes"
            return f"remembered that {told}"
        case RecordIntent(intent=intent):
            if intent is None:
                return "asks for the writes no more"
            return "recorded that the call is made" if intent.called else "asks for the writes"
        case RecordForced(forced=forced):
            if forced is None:
                return "ended the word that this disk becomes a cluster of one"
            step = "there is a copy of it" if forced.copy else "a copy of it comes first"
            step = "its server may do it" if forced.given else step
            return f"recorded that this disk becomes a cluster of one: {step}"
        case CopyData(name=name):
            return f"copied the data to {name}"
        case CommitLog():
            return "had all that its log holds count as committed"
        case Renew():
            return "gave the disk a new nonce"
        case MoveAside():
            return "moved the data aside"
        case WriteAnchor(token=token):
            return "wrote the anchor" if token else "set the anchor aside"
        case UseConsent(nonce=nonce):
            return f"used consent {nonce}"
        case EndRemoval(pod=pod):
            return f"{pod} is removed"
        case Call(name=name, member=member, urls=urls):
            return f"{name} {member or ', '.join(urls)}".strip()
