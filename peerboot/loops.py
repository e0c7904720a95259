"""The loops that look at the world, each at its own pace: DNS, census, servers, and where a setting asks for it the
Kubernetes API. They only fill ``Memory``.

None of them writes, calls or decides. The pace follows the decision in force, which the pass hands in; ``news`` wakes
the pass at once when one of them learned something.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from peerboot import assess, discovery, peers
from peerboot.model import Decision, Finding, Live
from peerboot.pace import Pace
from peerboot.rules.words import DATA_KINDS

if TYPE_CHECKING:
    from peerboot.anchor import Keeper
    from peerboot.census import Census
    from peerboot.discovery import Discovery
    from peerboot.log import Log
    from peerboot.model import Identity, Sighting
    from peerboot.outside.clock import Clock
    from peerboot.outside.dns import Dns
    from peerboot.outside.http import Http
    from peerboot.outside.kubernetes import Kubernetes
    from peerboot.statedir import StateDir
    from peerboot.systems import Prepared

HASTE_RULES = ("own-data", "promote-learner", "first-start", "interrupted-listed", "no-primary", "promote-waits")
"""While one of these is in force a server is about to serve, or to be promoted."""

DNS_ROUND = 30.0
"""Seconds that a question with follow-ups and a diagnosis takes at most, each of them being bounded."""
LOOK_ROUND = 60.0
"""The same of a look at 64 servers, all of them silent."""
CENSUS_EACH = 1.0
"""The same of one pod that is asked: eight silent addresses of two seconds, sixteen at once."""
LOST_AFTER, ALONE_AFTER = 3.0, 4.0
"""Seconds without this Pod's record, or with no other's, until the cause is looked for: it is told within ten."""
API_ROUND = 10.0
"""The same of one question to the API."""
MOST_ELSEWHERE = 8
"""Names beyond this set that a system may ask for."""

Places = dict[str, tuple[tuple[str, int], ...]]


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
    kubernetes: Kubernetes | None = None
    """Only where a setting asks for it."""


class Loops:
    """Looks for one node."""

    def __init__(self, identity: Identity, doors: Doors, pace: Pace) -> None:
        self.identity = identity
        self.doors = doors
        self.pace = pace.watching(doors.system.traits.watch)
        self.memory = assess.Memory(started_at=doors.clock.now())
        self.decision = Decision(kind="wait", rule="starting", reason="peerboot has just started.")
        """The decision in force."""
        self.decided_at = self.memory.started_at
        """Since when its kind and rule are."""
        self.news = asyncio.Event()
        self.look_soon = asyncio.Event()
        self.ask_soon = asyncio.Event()
        self._ask_api_soon = asyncio.Event()
        self._ask_dns_soon = asyncio.Event()
        self._gaps_since: float | None = None
        """Since when a member's pod is missing from DNS or not wanted."""
        self.curious = False
        """A person asked: nobody rests before everything was looked at."""
        self.head_start = 0.0
        """Seconds that this process took before the loops began: the first question's pause counts from its start."""
        self.due: dict[str, float] = {}
        """By loop, when its next round has to be over at the latest, if it is alive."""
        self._turn = 0
        self._others: dict[str, tuple[str, ...]] = {}
        self._diagnosed_at = 0.0
        self._own_seen_at: float | None = None

    @property
    def resting(self) -> bool:
        """This member serves and nothing is to be done."""
        return self.decision.rule == "serving" and not self.memory.stopping and not self.curious

    def follow(self, decision: Decision) -> bool:
        """Take the pass's decision, which sets the pace; True when it is of another kind or rule than before."""
        changed = (decision.kind, decision.rule) != (self.decision.kind, self.decision.rule)
        self.decision = decision
        if changed:
            stood, self.decided_at = self.doors.clock.now() - self.decided_at, self.doors.clock.now()
            self.look_soon.set()
            self._ask_api_soon.set()
            # What is known at rest may be as old as its records: who is silent may have a new address.
            self._ask_dns_soon.set()
            if stood >= self.pace.calm_after:
                # The calm pause under way belongs to what is over.
                self.ask_soon.set()
        return changed

    def _calmly(self, pause: float) -> float:
        """A pause, longer once it has waited for long: what may never come is not asked for in haste for ever."""
        stood = self.doors.clock.now() - self.decided_at
        waits = self.decision.kind in ("wait", "refuse")
        return max(pause, self.pace.calm) if waits and stood >= self.pace.calm_after else pause

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Addresses by pod, own ones from the downward API, where DNS may be late or wrong."""
        found = {pod: s.addresses for pod, s in self._seen().items() if s.addresses}
        found[self.identity.pod] = self.identity.ips or found.get(self.identity.pod, ("127.0.0.1",))
        return found

    def _seen(self) -> dict[str, Sighting]:
        """The pods of this set in DNS; a Service may list others, and nobody asks those."""
        return {p: s for p, s in self.memory.peers.sightings.items() if self.identity.ordinal_of(p) is not None}

    def _expect(self, name: str, seconds: float) -> None:
        """This round, or the pause after it, takes so long at most."""
        self.due[name] = self.doors.clock.now() + seconds

    async def _pause(self, name: str, pause: float, soon: asyncio.Event | None) -> None:
        """So many seconds, or until that is set."""
        self._expect(name, pause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await (soon.wait() if soon else self.doors.clock.sleep(pause))

    # ------------------------------------------------------------------ DNS

    async def dns(self) -> None:
        """Ask for the set, fold the answer, wait as long as its pace says."""
        clock, attempt = self.doors.clock, 0
        pause = peers.first_pause(len(self.identity.expected), clock.jitter())
        await clock.sleep(max(pause - self.head_start, 0.0))
        while True:
            self._ask_dns_soon.clear()
            self._expect("DNS", DNS_ROUND)
            answer = await self.doors.discovery.ask()
            known = self.addresses()
            self.memory.peers = peers.fold(self.memory.peers, answer, clock.now())
            self.memory.dns_results[answer.outcome] += 1
            self.memory.asked_dns = True
            if self.addresses() != known:
                self.ask_soon.set()
            await self._diagnose()
            self.news.set()
            if self._gaps_since is None and self._gaps():
                self._ask_api_soon.set()
            missing = set(self.identity.expected) - set(self.memory.peers.sightings)
            attempt = attempt + 1 if missing or not self.resting else 0
            pause = peers.pace(
                n=max(self.identity.replicas or 0, len(self.memory.peers.sightings), 1),
                phase="rest" if self.resting and not missing else "boot",
                answer=answer,
                attempt=attempt,
                jitter=clock.jitter(),
            )
            await self._pause("DNS", pause, self._ask_dns_soon if self.resting else None)

    async def _diagnose(self) -> None:
        """Extra questions when this Pod's own record stays away: what is set up wrongly has a name."""
        now, own = self.doors.clock.now(), self.identity.pod in self.memory.peers.sightings
        if own:
            self._own_seen_at = now
            waits = self.decision.rule == "wait-for-all" and now - self.memory.started_at >= ALONE_AFTER
            self._found(discovery.alone(self.identity, self._seen()) if waits else ())
            return
        since = self._own_seen_at if self._own_seen_at is not None else self.memory.started_at
        answer = self.memory.peers.answer
        if answer is None or answer.outcome == "unknown" or now - since < LOST_AFTER or now - self._diagnosed_at < 10:
            return
        self._diagnosed_at = now
        self._found(await self.doors.discovery.diagnose(answer))

    def _found(self, found: Iterable[Finding]) -> None:
        """What is set up wrongly now; each is logged when it is new, and keeps its time."""
        now = self.doors.clock.now()
        known = {finding.name: finding.at for finding in self.memory.findings}
        self.memory.findings = tuple(
            msgspec.structs.replace(finding, at=known.get(finding.name, now)) for finding in found
        )
        for new in (finding for finding in self.memory.findings if finding.name not in known):
            self.doors.log.warning(new.say, finding=new.name)

    # --------------------------------------------------------------- census

    async def census(self) -> None:
        """Ask the others about their own disks: everyone while anything is open, a few in turn at rest."""
        while True:
            self.ask_soon.clear()
            targets = self._places()
            if self.resting:
                targets = self._next_few(targets)
            self._expect("census", len(targets) * CENSUS_EACH)
            if targets:
                await self._ask(targets)
            elif self.memory.asked_dns:
                self.memory.asked_census = True
            pause = self.pace.census_rest if self.resting else self._calmly(self.pace.census_round(len(targets)))
            # Somebody new in DNS is asked at once.
            pause *= 0.9 + 0.2 * self.doors.clock.jitter()
            await self._pause("census", pause, None if self.resting else self.ask_soon)

    def _places(self) -> Places:
        return {pod: tuple((a, s.port) for a in s.addresses) for pod, s in self._seen().items()}

    async def _ask(self, targets: Places) -> None:
        await self.doors.census.ask(targets)
        self.memory.asked_census = True
        now = self.doors.clock.now()
        if self.memory.hear(self.doors.census.evidence(now), now, self.doors.census.findings()):
            self.look_soon.set()
        self.memory.twin = self.doors.census.twin()
        self._hear_holds()
        self.news.set()

    async def hear(self) -> None:
        """Ask everybody once, now."""
        if targets := self._places():
            await self._ask(targets)

    def _next_few(self, targets: Places) -> Places:
        pods = sorted(pod for pod in targets if pod != self.identity.pod)
        few = min(self.pace.census_rest_peers, len(pods))
        chosen = [pods[(self._turn + i) % len(pods)] for i in range(few)]
        self._turn += few
        return {pod: targets[pod] for pod in chosen}

    def _hear_holds(self) -> None:
        """Holds of the whole set spread by word of mouth; the pass makes them durable."""
        heard = tuple(h for e in self.memory.evidence.values() if e.statement and e.fresh for h in e.statement.holds)
        self.memory.holds = assess.merge_holds(self.memory.holds, heard)

    # -------------------------------------------------------------- servers

    async def servers(self) -> None:
        """Ask the servers: own first and alone at rest, everyone while anything is open."""
        while True:
            self.look_soon.clear()
            self._expect("servers", LOOK_ROUND)
            await self.look()
            servers = self.pace.servers_round(len(self.addresses()))
            pause = self.pace.servers_rest if self.resting else self._calmly(servers)
            if self.decision.rule in HASTE_RULES:
                pause = min(pause, self.pace.servers_busy / 2)
            await self._pause("servers", pause * (0.9 + 0.2 * self.doors.clock.jitter()), self.look_soon)

    async def look(self) -> None:
        """One bounded look at the servers; names that a joining server needs are resolved too."""
        clock, system, knew = self.doors.clock, self.doors.system, self.memory.asked_dns
        addresses = self.addresses() | await self._elsewhere()
        told = self.memory.served(since=clock.now() - system.limits.fresh)
        rest, most, now = self.resting, self.pace.look_timeout, clock.now()
        view = await system.look(self.doors.http, addresses, rest=rest, timeout=most, now=now, told=told)
        if view.quorum and self.memory.disk.kind not in DATA_KINDS:
            view = msgspec.structs.replace(view, unresolved=await self._unresolved(system.hosts_to_resolve(view)))
        before = self.memory.view
        # A look that began before DNS had answered once knew no addresses; it does not count as having asked.
        asked = self.memory.asked_servers or knew
        self.memory.see_view(view, clock.now())
        self.memory.asked_servers = asked
        if msgspec.structs.replace(before, at=view.at) != view or self.decision.kind == "wait":
            self.news.set()

    async def _elsewhere(self) -> dict[str, tuple[str, ...]]:
        """Addresses behind the names of other sets. At rest those known are good enough; DNS that is silent keeps
        them, and a name that is gone has none.
        """
        names = () if self.resting and self._others else self.doors.system.also_resolve[:MOST_ELSEWHERE]
        replies = await asyncio.gather(*(self.doors.dns.addresses(name) for name in names))
        for name, reply in zip(names, replies, strict=True):
            if reply.outcome != "unknown":
                self._others[name] = reply.addresses
        return {name: found for name, found in self._others.items() if found}

    async def _unresolved(self, hosts: tuple[str, ...]) -> tuple[str, ...]:
        known = {self.identity.name_of(pod) for pod, s in self.memory.peers.sightings.items() if s.addresses}
        asked = [host for host in hosts[:64] if host not in known]
        replies = await asyncio.gather(*(self.doors.dns.addresses(host) for host in asked))
        return tuple(host for host, reply in zip(asked, replies, strict=True) if reply.outcome != "found")

    # ------------------------------------------------------- Kubernetes API

    def ask_for_live(self) -> None:
        """From now on the live number of replicas is asked for, and unknown until the API has answered."""
        self.memory.live = Live(state="unknown", reason="it was not asked yet")

    async def ask_live(self) -> None:
        """Ask the API once, bounded, for the live number of replicas; a failure keeps the last one. Never raises."""
        from peerboot import live
        from peerboot.outside.kubernetes import KubernetesError

        api, before, asked_at = self.doors.kubernetes, self.memory.live, self.doors.clock.now()
        if api is None or before.state == "none":
            return
        try:
            found = live.read(await api.stateful_set(self.identity.statefulset), self.identity, asked_at)
        except KubernetesError as error:
            found = Live(state="unknown", reason=str(error))
        # Another question may have been answered meanwhile.
        before, self.memory.live = self.memory.live, live.newer(self.memory.live, found, asked_at)
        if not live.same(before, self.memory.live):
            self.news.set()

    async def live(self) -> None:
        """Ask the API for the live number of replicas: often until it answered once and while anything is open."""
        clock = self.doors.clock
        while True:
            self._ask_api_soon.clear()
            self._expect("Kubernetes API", API_ROUND)
            await self.ask_live()
            pause = self._live_pause() * (0.9 + 0.2 * clock.jitter())
            self._expect("Kubernetes API", pause + self.pace.api_least)
            await clock.sleep(min(self.pace.api_least, pause))
            await self._pause("Kubernetes API", max(pause - self.pace.api_least, 0.0), self._ask_api_soon)

    def _live_pause(self) -> float:
        now, pace = self.doors.clock.now(), self.pace
        if not self._gaps():
            self._gaps_since = None
        elif self._gaps_since is None:
            self._gaps_since = now
        if self.memory.live.state != "known":
            return self._api_haste(pace.api_first) if now - self.memory.started_at < pace.calm_after else pace.api_open
        if self._gaps_since is not None:
            return self._api_haste(pace.api_soon) if now - self._gaps_since < pace.calm_after else pace.api_open
        return pace.api_rest if self.resting else pace.api_open

    def _api_haste(self, pause: float) -> float:
        """Twenty questions a second of the whole set, or one of each Pod in ``api_open`` seconds."""
        return max(pause, min(len(self._seen()) / 20, self.pace.api_open))

    def _gaps(self) -> bool:
        """Whether a listed member's pod of this set is missing from DNS, or not wanted by the live number."""
        live, peers = self.memory.live, self.memory.peers.sightings
        for member in self.memory.view.members:
            ordinal = self.identity.ordinal_of(member.pod)
            if ordinal is not None and (member.pod not in peers or (live.state == "known" and not live.wants(ordinal))):
                return True
        return False

    async def first_anchor(self, keeper: Keeper) -> None:
        """Before the first pass of a blank disk, so that it does not begin with a wait for what is not asked yet."""
        if not keeper.remote:
            return
        # The first pass goes on with what is read here: a log of many megabytes is not read twice at a start.
        self.memory.see_disk(self.doors.system.read_disk(), self.doors.clock.now())
        if self.memory.disk.kind == "blank":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pace.api_head_start):
                    await keeper.ask()

    def _later_claim(self) -> str:
        """The claim of the first Pod beyond the expected, where that is not made before these are ready."""
        live, who = self.memory.live, self.identity
        if not live.ordered or not live.claims or who.replicas is None:
            return ""
        return f"{live.claims[0]}-{who.statefulset}-{who.start + who.replicas}"

    async def anchor(self, keeper: Keeper) -> None:
        """Read an anchor that is kept in the API while this disk is blank and no cluster serves, and now and then while
        it serves: one that was made anew is written again.
        """
        clock, memory, looked = self.doors.clock, self.memory, -self.pace.anchor_rest
        while True:
            self._expect("anchor", API_ROUND)
            pause = self.pace.census_busy / 2
            if memory.disk.kind == "blank" and not assess.fresh_view(memory.view, clock.now()).quorum:
                claim = self._later_claim()
                if await keeper.ask(claim):
                    self.news.set()
                unknown = keeper.read().state == "unknown" or memory.live.state == "unknown"
                pause = self._calmly(self._api_haste(self.pace.api_first) if unknown else self.pace.api_open)
            elif memory.disk.kind != "unknown":
                pause = self.pace.api_first
                if self.decision.rule == "serving" and clock.now() - looked >= self.pace.anchor_rest:
                    looked = clock.now()
                    if await keeper.ask() and keeper.read().state == "empty":
                        self.news.set()
            await self._pause("anchor", pause * (0.9 + 0.2 * clock.jitter()), None)
