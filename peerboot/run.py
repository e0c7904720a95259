"""One pass in stage order, and the bounded loop around it.

The loops of ``loops.py`` fill ``Memory``; a pass turns memory into facts, decides, plans, acts and reports. It wakes at
once when there is news.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from peerboot import __version__, act, asks, assess, decide, finish
from peerboot.anchor import Keeper
from peerboot.loops import Doors, Loops
from peerboot.model import Call, Decision, Done, Facts, Plan, Removal
from peerboot.outside import files
from peerboot.pace import Pace
from peerboot.recorder import Recorder, redactor_of
from peerboot.report import Report, answers
from peerboot.rules.words import DATA_KINDS

if TYPE_CHECKING:
    from peerboot.events import Events
    from peerboot.model import Hold, Identity, Statement
    from peerboot.settings import Settings

__all__ = ["Doors", "Node", "Pace"]

BATCH = 0.02
"""Seconds for which news are taken together, so that no stream of them keeps the process from all else."""
NEVER_READY = ("two-primaries",)
TRANSITION_RULES = ("first-permit", "first-start", "born", "claimed", "form", "join", "promote-learner", "forced")


@dataclass
class Node:
    """One peerboot: ``init`` until the server may start, or ``sidecar`` for as long as the Pod lives."""

    settings: Settings
    identity: Identity
    doors: Doors
    report: Report
    mode: Literal["init", "sidecar", "plan"]
    boot: str
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        self.loops = Loops(self.identity, self.doors, self.pace)
        self.memory = self.loops.memory
        self.news = self.loops.news
        self.anchor = Keeper(self.settings.anchor, self.doors.kubernetes)
        self.events: Events | None = None
        if self.settings.replicas_from == "statefulset":
            self.loops.ask_for_live()
        if self.settings.events == "pod" and self.doors.kubernetes is not None and self.mode != "plan":
            from peerboot.events import Events

            self.events = Events(self.identity, self.doors.kubernetes, self.doors.clock)
        kept = None if self.observing else self.doors.state.path
        known = redactor_of(self.settings, self.identity)
        self.recorder = Recorder(kept, self.boot, known, self.doors.system.permit_name)
        self.words = act.Words()
        self.tally = act.Tally()
        self.facts: Facts | None = None
        self.passed = asyncio.Event()
        """Set when a pass has ended, for those that wait for what became of their word."""
        self.last_pass = self.memory.started_at
        self._done_at: float | None = None
        self._said: dict[str, str] = {}
        self._dns_task: asyncio.Task[None] | None = None
        self._written_holds = self.memory.holds

    # -------------------------------------------------------------- helpers

    @property
    def decision(self) -> Decision:
        """The decision in force."""
        return self.loops.decision

    @property
    def output_dir(self) -> Path:
        return Path(self.settings.output_dir)

    @property
    def observing(self) -> bool:
        return self.settings.mode == "observe" or self.mode == "plan"

    def statement(self) -> Statement:
        """What ``/v1/node`` says now."""
        return assess.statement_of(
            self.identity,
            self.memory,
            boot=self.boot,
            fingerprint=self.doors.system.fingerprint,
            version=__version__,
            now=(now := self.doors.clock.now()),
            decision=(self.decision.kind, self.decision.rule, self.decision.reason),
            stood=now - self.loops.decided_at,
            **asks.words(self.facts, self.decision, self.doors.state.read()),
        )

    async def look(self) -> None:
        """One look at the servers now."""
        await self.loops.look()

    def ready(self) -> bool:
        """This member is in the cluster and healthy, by the server's own word."""
        view = assess.fresh_view(self.memory.view, self.doors.clock.now())
        return self.decision.rule not in NEVER_READY and assess.is_ready(self.memory.disk, view, self.identity.pod)

    def add_removal(self, pod: str, member: str, who: str) -> None:
        """A person's word that this member of a pod is gone for good."""
        self.words.removals[pod] = (Removal(pod=pod, who=who, at=self.doors.clock.now()), member)
        self.news.set()

    async def next_pass(self) -> Facts:
        """The facts of a pass that began after this was called."""
        # The pass under way may have looked before the word was given: the one after it has not.
        for _ in range(2):
            self.passed.clear()
            self.news.set()
            await self.passed.wait()
        assert self.facts is not None  # noqa: S101 - a pass has just made them
        return self.facts

    # ------------------------------------------------------------- its life

    async def run(self) -> int:
        """Until done (``init``), or until cancelled (``sidecar``). Returns the exit code."""
        if not self.observing:
            self.report.first_words(self.decision)
        self.first_question()
        tasks = [asyncio.create_task(loop) for loop in self._loops()]
        if self._dns_task is not None:
            tasks.append(self._dns_task)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return 0
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _loops(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._passes()
        yield self.loops.census()
        yield self.loops.servers()
        yield self.recorder.loop(self.doors.clock)
        if self.settings.replicas_from == "statefulset":
            yield self.loops.live()
        if self.anchor.remote:
            yield self.loops.anchor(self.anchor)
        if self.events is not None:
            yield self.events.loop()

    def first_question(self) -> None:
        """Start asking DNS; may be called before ``run``, so that the question travels while libraries load."""
        if self._dns_task is None:
            self._dns_task = asyncio.create_task(self.loops.dns())

    async def stop(self) -> None:
        """End the DNS loop if ``run`` never took it over."""
        if self._dns_task is not None:
            self._dns_task.cancel()
            await asyncio.gather(self._dns_task, return_exceptions=True)

    async def _passes(self) -> None:
        """Decide and act whenever there is news; end when ``init`` is done or has to give up."""
        self.memory.holds = self._written_holds = self.doors.state.read_holds()
        await self.loops.first_anchor(self.anchor)
        busy = 0
        while True:
            self.news.clear()
            progressed = await self.one_pass()
            if self.mode == "init" and self._finished():
                return
            await self.doors.clock.sleep(BATCH)
            busy = busy + 1 if progressed else 0
            if 0 < busy < 20:
                continue
            pause = self.pace.pass_busy if self._in_transition() else self.pace.pass_rest
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    # At rest news can wait for the second; in between only the lock is looked at.
                    await (self.doors.clock.sleep(pause) if self.loops.resting else self.news.wait())

    def _in_transition(self) -> bool:
        return self.decision.rule in TRANSITION_RULES or (
            self.memory.disk.running and self.memory.disk.kind not in DATA_KINDS
        )

    def _finished(self) -> bool:
        """Whether ``init`` is done; raises when it has to give up."""
        facts = self.facts
        if facts is None:
            return False
        done = finish.finished(
            facts,
            self.decision,
            stood=self.doors.clock.now() - self.loops.decided_at,
            failure=self.tally.call_failure if self.tally.failed_calls >= self.pace.api_failures else "",
            refuse_settle=self.pace.refuse_settle,
            diagnose_after=self.settings.diagnose_after,
            deadline=self.settings.deadline,
        )
        now = self.doors.clock.now()
        if not done:
            self._done_at = None
        elif self._done_at is None:
            self._done_at = now
        if not done and facts.permit != "absent":
            waiting = ", ".join(finish.waits_to_be_born(facts))
            text = f"The config is written; init answers until {waiting} said that they are born too."
            self._say_once("born", text, self.doors.log.info)
        fresh = facts.record.birth is not None and facts.disk.kind == "blank" and bool(self.identity.others)
        linger = self.pace.linger * self.pace.census_round(len(self.identity.others)) if fresh else 0.0
        return self._done_at is not None and now - self._done_at >= linger

    # ------------------------------------------------------------- one pass

    async def one_pass(self) -> bool:
        """Look at the own disk, decide, act, report. True when an action changed something."""
        facts, decision = self._decide()
        plan = self.doors.system.plan(facts, decision)
        if act.needs_fresh_look(plan):
            facts, decision, plan = await self._confirmed(decision)
        noted = self.mode != "plan" and self.report.note(decision, self.doors.clock.wall())
        done = await self._carry_out(plan)
        self.recorder.note(facts, decision, plan, done, self.doors.clock.wall(), changed=noted)
        if done:
            # Facts anew after acting, for a report that tells what is, with the decision that led to it.
            self.facts = facts = self._observe(fresh=True)
        self._keep_holds()
        self._tell(facts, decision, noted=noted)
        self.passed.set()
        return any(d.ok for d in done)

    def _decide(self, *, fresh: bool = False) -> tuple[Facts, Decision]:
        facts = self._observe(fresh=fresh)
        if asks.confirm(self.memory, facts, self.doors.clock.token):
            self.loops.ask_soon.set()
        decision = decide.decide(facts)
        self.facts = facts
        self.tally.changes += self.loops.follow(decision)
        self.tally.follow(decision, self.doors.clock.now())
        return facts, decision

    def _observe(self, *, fresh: bool = False) -> Facts:
        """Own disk and files, then everything known as one value. ``fresh``: a stopped server's data is read anew."""
        memory, doors, now = self.memory, self.doors, self.doors.clock.now()
        self.last_pass = now
        memory.see_record(doors.state.read(), now)
        running = doors.system.is_running()
        if memory.is_to_be_read(doors.system.traits, running=running, fresh=fresh, now=now):
            memory.see_disk(doors.system.read_disk(), now)
        if memory.record.nonce == "" and not self.observing and self._may_make_nonce():
            memory.see_record(doors.state.ensure_nonce(), now)
        if memory.disk.kind == "blank" or self.decision.rule == "serving":
            memory.anchor = self.anchor.read()
        facts = self._facts(now)
        if self.words.forget_outdated(facts):
            facts = self._facts(now)
        return facts

    def _may_make_nonce(self) -> bool:
        record = self.memory.record
        return not record.problem and not record.foreign and self.memory.disk.kind != "unknown"

    def _facts(self, now: float) -> Facts:
        system = self.doors.system
        texts, problem = act.read_files(self.output_dir, system.files)
        if problem:
            self._say_once("files", f"{problem}. It is tried again.", self.doors.log.error)
        text = texts.get(system.permit_name)
        facts = assess.facts_of(
            self.identity,
            self.memory,
            {
                "mode": "observe" if self.observing else "manage",
                "fingerprint": system.fingerprint,
                "consents": frozenset(self.words.consents),
                "removals": tuple(removal for removal, _ in self.words.removals.values()),
                "files": texts,
                "permit": system.permit_kind(text),
                "permit_was_given": text is not None or act.was_withdrawn(self.output_dir, system.permit_name),
                "own_urls": system.own_urls,
                "limits": system.limits,
                "traits": system.traits,
                "undone": self.tally.undone,
            },
            now=now,
            wall=self.doors.clock.wall(),
            patience=self.pace.patience,
        )
        return msgspec.structs.replace(facts, predicted_cluster=system.predicted_cluster(facts))

    async def _confirmed(self, decision: Decision) -> tuple[Facts, Decision, Plan]:
        """Before anything that is hard to take back: look once more. A plan only if the verdict is the same then."""
        now = self.doors.clock.now()
        if now >= self.tally.not_before and (now - self.memory.view.at > 0.5 or decision.kind in ("replace", "renew")):
            await self.look()
        if decision.rule == "forced" and now >= self.tally.not_before:
            await self.loops.hear()
        facts, second = self._decide(fresh=True)
        same = (second.kind, second.rule, second.target) == (decision.kind, decision.rule, decision.target)
        if now < self.tally.not_before or not same:
            return facts, second, Plan()
        return facts, second, self.doors.system.plan(facts, second)

    async def _carry_out(self, plan: Plan) -> tuple[Done, ...]:
        if not plan.actions:
            return ()
        done = await act.carry_out(
            plan,
            act.Doors(
                system=self.doors.system,
                state=self.doors.state,
                http=self.doors.http,
                output_dir=self.output_dir,
                anchor=self.anchor,
                words=self.words,
                stamp=self.doors.state.stamp(),
                addresses=self.loops.addresses(),
                view=self.memory.view,
                alive=self._alive,
            ),
        )
        for result in done:
            self._account(result)
        if any(isinstance(result.action, Call) for result in done):
            await self.look()
        return done

    def _alive(self) -> None:
        """A pass that takes long is none that is stuck."""
        self.last_pass = self.doors.clock.now()

    def _account(self, result: Done) -> None:
        """Count and log what was done, or why not."""
        what = act.describe(result.action)
        self.tally.count(result, now=self.doors.clock.now(), wall=self.doors.clock.wall())
        if result.ok:
            self._said.pop("action", None)
            self.doors.log.info(f"Done: {what}." + (f" {result.say}" if result.say else ""))
            return
        text = f"Not done: {what}: {result.say}. It is looked at again before the next try."
        if isinstance(result.action, Call):
            self.tally.call_failure = text
        self._say_once("action", text, self.doors.log.info)

    # -------------------------------------------------------------- telling

    def _say_once(self, about: str, text: str, say: Callable[[str], None]) -> None:
        """Not again until it reads otherwise."""
        if self._said.get(about) != text:
            self._said[about] = text
            say(text)

    def _keep_holds(self) -> None:
        """Holds that were heard of outlive this process."""
        if self.memory.holds == self._written_holds or self.observing:
            return
        try:
            self.keep_holds(self.memory.holds)
        except files.FilesError as error:
            text = f"Holds are in force but not kept: {error}. It is tried again."
            self._say_once("holds", text, self.doors.log.error)

    def keep_holds(self, holds: tuple[Hold, ...]) -> None:
        """Make holds durable, then let them be in force; raises ``FilesError``."""
        self.doors.state.write_holds(holds)
        self.memory.holds = self._written_holds = holds
        self.news.set()

    def _tell(self, facts: Facts, decision: Decision, *, noted: bool) -> None:
        if self.tally.started_after is None and "startup=yes" in answers(facts, ready=False):
            self.tally.started_after = self.doors.clock.now() - self.memory.started_at
        if self.mode == "plan":
            return
        for one in (*facts.cluster.findings, *facts.notices):
            self._say_once(f"{one.name} {one.pod}", one.say, partial(self.doors.log.warning, finding=one.name))
        if self.events is not None:
            self.events.note(decision)
        wall = self.doors.clock.wall()
        # By the facts of this decision, so that the two lines of status.txt speak of the same moment.
        ready = decision.rule not in NEVER_READY and assess.is_ready(facts.disk, facts.cluster, self.identity.pod)
        changed = self.report.tell(facts, decision, ready=ready, wall=wall) or noted
        if changed and not self.observing:
            self.doors.state.append_decision(
                {"wall": wall, "kind": decision.kind, "rule": decision.rule, "reason": decision.reason}
            )
