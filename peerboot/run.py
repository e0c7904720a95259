"""One pass in stage order, and the bounded loops around it.

Three loops look at the world, each at its own pace: DNS, census, servers. They only fill ``Memory``. The main
loop turns memory into facts, decides, plans, acts and reports; it wakes at once when one of them has news.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from peerboot import __version__, act, anchor, assess, birth, decide, peers
from peerboot.errors import DeadlineError, DiscoveryError, PeerbootError, RefusedError, SystemApiError
from peerboot.model import Call, Decision, Done, Facts, MoveAside, Plan, Removal, Renew
from peerboot.outside import files
from peerboot.report import Report, sentence
from peerboot.rules.words import DATA_KINDS

if TYPE_CHECKING:
    from peerboot.census import Census
    from peerboot.discovery import Discovery
    from peerboot.log import Log
    from peerboot.model import Identity
    from peerboot.outside.clock import Clock
    from peerboot.outside.dns import Dns
    from peerboot.outside.http import Http
    from peerboot.settings import Settings
    from peerboot.statedir import StateDir
    from peerboot.systems import Prepared

TRANSITION_RULES = ("first-permit", "first-start", "born", "claimed", "form", "join", "promote-learner")


@dataclass(frozen=True)
class Pace:
    """Seconds between looks. Fleet-wide nothing grows faster than the number of Pods at rest."""

    pass_busy: float = 0.1
    """While a server is about to start for the first time: its permit is good for one start."""
    pass_rest: float = 1.0
    """The only thing looked at so often is the lock of the data directory."""
    servers_busy: float = 0.5
    servers_rest: float = 10.0
    census_busy: float = 0.5
    census_rest: float = 10.0
    census_rest_peers: int = 4
    """At rest so many peers are asked a time, in turn, whatever the size of the set."""
    look_timeout: float = 2.5
    patience: float = 4.0
    """A disk with data starts after so long even when nobody answered."""
    refuse_settle: float = 5.0
    """``init`` leaves on a refusal that has stood for so long."""
    api_failures: int = 8
    """``init`` leaves when the system's admin API failed so many times in a row."""


@dataclass
class Doors:
    """The world, as this process reaches it."""

    clock: Clock
    dns: Dns
    http: Http
    discovery: Discovery
    census: Census
    state: StateDir
    system: Prepared
    log: Log


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
        self.memory = assess.Memory(started_at=self.doors.clock.now())
        self.words = act.Words()
        self.decision = Decision(kind="wait", rule="starting", reason="peerboot has just started.")
        self.decided_at = self.memory.started_at
        self.facts: Facts | None = None
        self.last_pass = self.memory.started_at
        self.news = asyncio.Event()
        self.look_soon = asyncio.Event()
        self.ask_soon = asyncio.Event()
        self._call_not_before = 0.0
        self._failures = 0
        self._said = ""
        self._turn = 0
        self._dns_task: asyncio.Task[None] | None = None
        self._diagnosed_at = 0.0
        self._all_seen_at: float | None = None

    # -------------------------------------------------------------- helpers

    @property
    def output_dir(self) -> Path:
        return Path(self.settings.output_dir)

    @property
    def observing(self) -> bool:
        return self.settings.mode == "observe" or self.mode == "plan"

    @property
    def resting(self) -> bool:
        """This member serves and nothing is to be done."""
        return self.decision.rule == "serving"

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Addresses by pod, own ones from the downward API, where DNS may be late or wrong."""
        found = {pod: s.addresses for pod, s in self.memory.peers.sightings.items() if s.addresses}
        found[self.identity.pod] = self.identity.ips or found.get(self.identity.pod, ("127.0.0.1",))
        return found

    def statement(self) -> object:
        """What ``/v1/node`` says now."""
        return assess.statement_of(
            self.identity,
            self.memory,
            boot=self.boot,
            fingerprint=self.doors.system.fingerprint,
            version=__version__,
            now=self.doors.clock.now(),
            decision=(self.decision.kind, self.decision.rule, self.decision.reason),
        )

    # ---------------------------------------------------------------- loops

    async def run(self) -> int:
        """Until done (``init``), or until cancelled (``sidecar``). Returns the exit code."""
        if not self.observing:
            self._first_words()
        self.first_question()
        loops = [asyncio.create_task(loop()) for loop in (self.census_loop, self.servers_loop)]
        if self._dns_task is not None:
            loops.append(self._dns_task)
        main = asyncio.create_task(self.main_loop())
        try:
            done, _ = await asyncio.wait([main, *loops], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return 0
        finally:
            for task in (main, *loops):
                task.cancel()
            await asyncio.gather(main, *loops, return_exceptions=True)

    def first_question(self) -> None:
        """Start asking DNS; may be called before ``run``, so that the question travels while libraries load."""
        if self._dns_task is None:
            self._dns_task = asyncio.create_task(self.dns_loop())

    async def stop(self) -> None:
        """End the DNS loop if ``run`` never took it over."""
        if self._dns_task is not None:
            self._dns_task.cancel()
            await asyncio.gather(self._dns_task, return_exceptions=True)

    def last_sentence(self) -> str:
        """The decision in force, for the termination log."""
        return sentence(self.decision)

    async def dns_loop(self) -> None:
        """Ask for the set, fold the answer, wait as long as its pace says."""
        clock, attempt = self.doors.clock, 0
        await clock.sleep(peers.first_pause(len(self.identity.expected), clock.jitter()))
        while True:
            answer = await self.doors.discovery.ask()
            self.memory.peers = peers.fold(self.memory.peers, answer, clock.now())
            self.memory.asked_dns = True
            await self._diagnose()
            self.news.set()
            self.ask_soon.set()
            missing = set(self.identity.expected) - set(self.memory.peers.sightings)
            attempt = attempt + 1 if missing or not self.resting else 0
            await clock.sleep(
                peers.pace(
                    n=max(self.identity.replicas or 0, len(self.memory.peers.sightings), 1),
                    phase="rest" if self.resting and not missing else "boot",
                    answer=answer,
                    attempt=attempt,
                    jitter=clock.jitter(),
                )
            )

    async def _diagnose(self) -> None:
        """Extra questions when this Pod's own record stays away: what is set up wrongly has a name."""
        now, own = self.doors.clock.now(), self.identity.pod in self.memory.peers.sightings
        if own:
            self._all_seen_at = now
            self.memory.findings = ()
            return
        since = self._all_seen_at if self._all_seen_at is not None else self.memory.started_at
        answer = self.memory.peers.answer
        if answer is None or answer.outcome == "unknown" or now - since < 5 or now - self._diagnosed_at < 10:
            return
        self._diagnosed_at = now
        known = {finding.name: finding.at for finding in self.memory.findings}
        found = await self.doors.discovery.diagnose(answer)
        self.memory.findings = tuple(
            msgspec.structs.replace(finding, at=known.get(finding.name, now)) for finding in found
        )
        for finding in self.memory.findings:
            if finding.name not in known:
                self.doors.log.warning(finding.say, finding=finding.name)

    async def census_loop(self) -> None:
        """Ask the others about their own disks: everyone while anything is open, a few in turn at rest."""
        clock = self.doors.clock
        while True:
            self.ask_soon.clear()
            targets = {pod: tuple((a, s.port) for a in s.addresses) for pod, s in self.memory.peers.sightings.items()}
            if self.resting:
                targets = self._next_few(targets)
            if targets:
                await self.doors.census.ask(targets)
                self.memory.asked_census = True
                now = clock.now()
                self.memory.evidence = self.doors.census.evidence(now)
                self.memory.twin = self.doors.census.twin()
                self._take_holds()
                self.news.set()
            elif self.memory.asked_dns:
                self.memory.asked_census = True
            size = max(len(targets), 1)
            pause = self.pace.census_rest if self.resting else max(self.pace.census_busy, size / 20)
            pause *= 0.9 + 0.2 * clock.jitter()
            if self.resting or not targets:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await (self.news.wait() if not targets and not self.resting else clock.sleep(pause))
            else:
                await clock.sleep(pause)

    def _next_few(self, targets: dict[str, tuple[tuple[str, int], ...]]) -> dict[str, tuple[tuple[str, int], ...]]:
        pods = sorted(pod for pod in targets if pod != self.identity.pod)
        few = min(self.pace.census_rest_peers, len(pods))
        chosen = [pods[(self._turn + i) % len(pods)] for i in range(few)]
        self._turn += few
        return {pod: targets[pod] for pod in chosen}

    def _take_holds(self) -> None:
        """Holds of the whole set spread by word of mouth and outlive this process."""
        heard = tuple(h for e in self.memory.evidence.values() if e.statement and e.fresh for h in e.statement.holds)
        merged = assess.merge_holds(self.memory.holds, heard)
        if merged != self.memory.holds:
            self.memory.holds = merged
            if not self.observing:
                self.doors.state.write_holds(merged)

    async def servers_loop(self) -> None:
        """Ask the servers: own first and alone at rest, everyone while anything is open."""
        while True:
            self.look_soon.clear()
            await self.look()
            pause = self.pace.servers_rest if self.resting else self.pace.servers_busy
            if self.decision.rule in ("own-data", "promote-learner", "first-start", "interrupted-listed"):
                pause = min(pause, self.pace.servers_busy / 2)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * (0.9 + 0.2 * self.doors.clock.jitter())):
                    await self.look_soon.wait()

    async def look(self) -> None:
        """One bounded look at the servers; names that a joining server needs are resolved too."""
        clock, system = self.doors.clock, self.doors.system
        view = await system.look(
            self.doors.http, self.addresses(), rest=self.resting, timeout=self.pace.look_timeout, now=clock.now()
        )
        if view.quorum and self.memory.disk.kind not in DATA_KINDS:
            view = msgspec.structs.replace(view, unresolved=await self._unresolved(system.hosts_to_resolve(view)))
        before = self.memory.view
        # Before DNS has answered once the look saw nobody; it does not count as having asked.
        self.memory.see_view(view, clock.now())
        self.memory.asked_servers = self.memory.asked_dns
        if msgspec.structs.replace(before, at=view.at) != view or self.decision.kind == "wait":
            self.news.set()

    async def _unresolved(self, hosts: tuple[str, ...]) -> tuple[str, ...]:
        known = {self.identity.name_of(pod) for pod, s in self.memory.peers.sightings.items() if s.addresses}
        asked = [host for host in hosts[:64] if host not in known]
        replies = await asyncio.gather(*(self.doors.dns.addresses(host) for host in asked))
        return tuple(host for host, reply in zip(asked, replies, strict=True) if reply.outcome != "found")

    # ----------------------------------------------------------- main loop

    async def main_loop(self) -> None:
        """Decide and act whenever there is news; end when ``init`` is done or has to give up."""
        self.memory.holds = self.doors.state.read_holds()
        busy = 0
        while True:
            self.news.clear()
            progressed = await self.one_pass()
            if self.mode == "init" and self._finished():
                return
            busy = busy + 1 if progressed else 0
            if 0 < busy < 20:
                continue
            pause = self.pace.pass_busy if self._in_transition() else self.pace.pass_rest
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    # At rest news can wait for the second; in between only the lock is looked at.
                    await (asyncio.sleep(pause) if self.resting else self.news.wait())

    def _in_transition(self) -> bool:
        return self.decision.rule in TRANSITION_RULES or (
            self.memory.disk.running and self.memory.disk.kind not in DATA_KINDS
        )

    async def one_pass(self) -> bool:
        """Look at the own disk, decide, act, report. True when an action changed something."""
        facts, decision = self._decide()
        plan = self.doors.system.plan(facts, decision)
        if _needs_fresh_look(plan) and not await self._confirmed(facts, decision):
            self.news.set()
            return False
        if facts is not self.facts:
            facts = self.facts or facts
        done = await self._carry_out(plan)
        changed = any(d.ok for d in done)
        if done:
            facts, _ = self._refresh(decision)
        self._tell(facts, decision)
        return changed

    def _decide(self) -> tuple[Facts, Decision]:
        facts = self._observe()
        decision = decide.decide(facts)
        if (decision.kind, decision.rule) != (self.decision.kind, self.decision.rule):
            self.look_soon.set()
        self.facts, self.decision = facts, decision
        return facts, decision

    def _refresh(self, decision: Decision) -> tuple[Facts, Decision]:
        """Facts anew after acting, for a report that tells what is, with the decision that led to it."""
        self.facts = self._observe()
        return self.facts, decision

    def _observe(self) -> Facts:
        """Own disk and files, then everything known as one value."""
        memory, doors, now = self.memory, self.doors, self.doors.clock.now()
        self.last_pass = now
        memory.record = doors.state.read()
        running = doors.system.is_running()
        settled = memory.disk.kind == "data" and memory.disk.running and running
        if not settled:
            memory.see_disk(doors.system.read_disk(), now)
        if memory.record.nonce == "" and not self.observing and self._may_make_nonce():
            memory.record = doors.state.ensure_nonce()
        if memory.disk.kind == "blank":
            memory.anchor = anchor.read(self.settings.anchor)
        return self._facts(now)

    def _may_make_nonce(self) -> bool:
        record = self.memory.record
        return not record.problem and not record.foreign and self.memory.disk.kind != "unknown"

    def _facts(self, now: float) -> Facts:
        system = self.doors.system
        content = files.read_small(self.output_dir / system.permit_name, 1 << 20)
        text = content.decode("utf-8", "replace") if content is not None else None
        facts = assess.facts_of(
            self.identity,
            self.memory,
            {
                "mode": "observe" if self.observing else "manage",
                "fingerprint": system.fingerprint,
                "consents": frozenset(self.words.consents),
                "removals": tuple(self.words.removals),
                "files": {} if text is None else {system.permit_name: text},
                "permit": system.permit_kind(text),
                "own_urls": system.own_urls,
                "limits": system.limits,
            },
            now=now,
            wall=self.doors.clock.wall(),
            patience=self.pace.patience,
        )
        return msgspec.structs.replace(facts, predicted_cluster=system.predicted_cluster(facts))

    async def _confirmed(self, facts: Facts, decision: Decision) -> bool:
        """Before anything that is hard to take back: look once more, and decide the same."""
        if facts.now < self._call_not_before:
            return False
        if self.doors.clock.now() - self.memory.view.at > 0.5 or decision.kind in ("replace", "renew"):
            await self.look()
        again, second = self._decide()
        return (second.kind, second.rule, second.target) == (decision.kind, decision.rule, decision.target) and bool(
            again
        )

    async def _carry_out(self, plan: Plan) -> tuple[Done, ...]:
        if not plan.actions:
            return ()
        stamp = self.doors.state.stamp()
        done = await act.carry_out(
            plan,
            act.Doors(
                system=self.doors.system,
                state=self.doors.state,
                http=self.doors.http,
                output_dir=self.output_dir,
                anchor=self.settings.anchor,
                words=self.words,
                stamp=stamp,
                addresses=self.addresses(),
                view=self.memory.view,
            ),
        )
        for result in done:
            self._account(result)
        if any(isinstance(result.action, Call) for result in done):
            await self.look()
        return done

    def _account(self, result: Done) -> None:
        """Log what was done; after a failure the next try waits a little longer each time."""
        what = describe(result.action)
        if result.ok:
            self._failures, self._call_not_before, self._said = 0, 0.0, ""
            self.doors.log.info(f"Done: {what}." + (f" {result.say}" if result.say else ""))
            return
        self._failures += 1
        self._call_not_before = self.doors.clock.now() + min(0.2 * 1.5**self._failures, 5.0)
        text = f"Not done: {what}: {result.say}. It is looked at again before the next try."
        if text != self._said:
            self._said = text
            self.doors.log.info(text)

    # -------------------------------------------------------------- telling

    def ready(self) -> bool:
        """This member is in the cluster and healthy, by the server's own word."""
        view = assess.fresh_view(self.memory.view, self.doors.clock.now())
        return assess.is_serving(self.memory.disk, view, self.identity.pod)

    def _first_words(self) -> None:
        """Nothing that an earlier process left in the output directory may speak for this one."""
        with contextlib.suppress(OSError, files.FilesError):
            files.write_whole(
                self.output_dir / "status.txt", f"{sentence(self.decision)}\nstartup=no ready=no\n".encode(), 0o640
            )

    def _tell(self, facts: Facts, decision: Decision) -> None:
        if self.mode == "plan":
            return
        wall = self.doors.clock.wall()
        if self.report.tell(facts, decision, ready=self.ready(), wall=wall):
            self.decided_at = self.doors.clock.now()
            if not self.observing:
                self.doors.state.append_decision(
                    {"wall": wall, "kind": decision.kind, "rule": decision.rule, "reason": decision.reason}
                )

    def _finished(self) -> bool:
        """Whether ``init`` is done; raises when it has to give up."""
        facts, decision, now = self.facts, self.decision, self.doors.clock.now()
        if facts is None:
            return False
        if facts.permit != "absent":
            # A pod that was born keeps answering until every other has said so too, or the slower
            # ones would never hear of it: init ends before the sidecar begins.
            record = facts.record
            waiting = birth.all_born(facts) if record.birth is not None and facts.disk.kind == "blank" else ()
            if not waiting:
                return True
            self._wait_for_born(waiting)
        stood = now - self.decided_at
        if decision.kind == "refuse" and facts.looked and stood >= self.pace.refuse_settle:
            raise RefusedError(decision.reason)
        for finding in self.memory.findings:
            if finding.exit_code and now - finding.at >= self.settings.diagnose_after and decision.kind == "wait":
                raise DiscoveryError(finding.say)
        if self._failures >= self.pace.api_failures and self._said:
            raise SystemApiError(self._said)
        if self.settings.deadline and now - self.memory.started_at >= self.settings.deadline:
            raise DeadlineError(
                f"PEERBOOT_DEADLINE of {self.settings.deadline:g} s is over while it waited: {sentence(decision)}"
            )
        return False

    def _wait_for_born(self, waiting: tuple[str, ...]) -> None:
        text = f"The config is written; init answers until {', '.join(waiting)} said that they are born too."
        if text != self._said:
            self._said = text
            self.doors.log.info(text)

    # ------------------------------------------------------- people's words

    def add_removal(self, pod: str, who: str) -> None:
        """A person's word that a pod's member is gone for good."""
        now = self.doors.clock.now()
        self.words.removals.append(Removal(pod=pod, who=who, at=now))
        self.news.set()


def _needs_fresh_look(plan: Plan) -> bool:
    return any(isinstance(action, Call | MoveAside | Renew) for action in plan.actions)


def describe(action: object) -> str:
    """One action in words, without contents."""
    data = msgspec.to_builtins(action)
    words = {
        "write": lambda: f"wrote {data['name']}",
        "withdraw": lambda: f"withdrew {data['name']}",
        "birth": lambda: f"recorded birth {data['birth']['token']}",
        "permit": lambda: "recorded that the server may run",
        "seal": lambda: f"remembered cluster {data['seal']['cluster']}, member {data['seal']['member']}",
        "renew": lambda: "gave the disk a new nonce",
        "aside": lambda: "moved the data aside",
        "anchor": lambda: "wrote the anchor" if data["token"] else "set the anchor aside",
        "consent": lambda: f"used consent {data['nonce']}",
        "removal": lambda: f"{data['pod']} is removed",
        "call": lambda: f"{data['name']} {data['member'] or ', '.join(data['urls'])}".strip(),
    }
    return words[data["type"]]()


def exit_code_of(error: BaseException) -> int:
    """The process's exit code for an error that ended it."""
    return error.exit_code if isinstance(error, PeerbootError) else 70
