"""The set of a simulation: Pods of the real ``run``, as in ``tests/run``, over doors that lose, delay, reorder and lie.

What a fault does is here; when it is done to whom is in ``schedule.py``. Everything that happens by chance is drawn
from one generator, whose seed is the schedule's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from peerboot.errors import PeerbootError
from peerboot.outside import elsewhere
from peerboot.outside.dns import Reply as DnsReply
from peerboot.outside.dns import Spelling
from peerboot.outside.http import HttpError, Reply
from peerboot.systems.etcd import ids
from tests.run.etcd_model import Files
from tests.run.turned import TurnedClock
from tests.run.world import ZONE, FakeDns, FakeHttp, Pod, World
from tests.simulation.raft import Exit, Member
from tests.simulation.server import Server, host_of
from tests.simulation.truth import Truth

GARBAGE = b"\x07" * 4096
"""What a damaged log holds; the model's server knows it."""
NONCE = re.compile(r"peerboot consent ([0-9a-f]{10})")
MARKS = ("member/snap/db", "member/wal")


@dataclass
class Weather:
    """What the network does to a request between Pods, and how likely."""

    loss: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    """The longest that one takes, in seconds."""


class DnsView:
    """One replica of the cluster's DNS: what ``FakeDns`` asks of a world, maybe as it was a while ago."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self.stale: list[SimpleNamespace] | None = None

    wrong: frozenset[str] = frozenset()

    @property
    def weather(self) -> str:
        return self._world.weather

    @property
    def ttl(self) -> float:
        return self._world.ttl

    def published(self) -> list[SimpleNamespace]:
        now = [SimpleNamespace(dns_name=p.dns_name, ip=p.ip) for p in self._world.published()]
        if self.stale is None:
            return now
        if self.stale != now:
            self._world.fired["stale-dns"] += 1
        return self.stale


class SimDns(FakeDns):
    """Each question goes to any of the replicas."""

    def __init__(self, world: SimWorld) -> None:
        super().__init__(world)
        self._sim = world

    def _turn(self) -> None:
        self._world = self._sim.random.choice(self._sim.replicas)  # type: ignore[assignment]

    async def srv(self, name: str, spelling: Spelling = "plain") -> DnsReply:
        self._turn()
        return await super().srv(name, spelling)

    async def addresses(self, name: str) -> DnsReply:
        self._turn()
        return await super().addresses(name)

    async def _outage(self, kind: str) -> DnsReply | None:
        found = await super()._outage(kind)
        if self._sim.weather != "fine":
            self._sim.fired["dns-outage"] += 1
        return found


class SimHttp(FakeHttp):
    """Requests that are lost, answers that are lost, and requests that arrive when nobody waits for them any more."""

    def __init__(self, world: SimWorld, owner: str) -> None:
        super().__init__(world, owner)
        self._sim = world

    async def fetch(self, method: str, url: str, **more: Any) -> Reply:
        sim, timeout = self._sim, float(more["timeout"])
        weather, draw = sim.air, sim.random.random
        if weather.reorder and draw() < weather.reorder:
            sim.spawn(self._late(method, url, 0.2 + draw() * 15.0, more))
        elif weather.loss and draw() < weather.loss:
            sim.fired["loss"] += 1
            if draw() < 0.5:  # it is the answer that is lost
                sim.spawn(self._quietly(method, url, more))
        else:
            if weather.delay:
                pause = draw() * weather.delay
                sim.fired["delay"] += 1
                if pause >= timeout:
                    await asyncio.sleep(timeout)
                    raise HttpError(f"no answer in {timeout:g} s")
                await asyncio.sleep(pause)
            return await super().fetch(method, url, **more)
        await asyncio.sleep(timeout)
        raise HttpError(f"no answer in {timeout:g} s")

    async def _late(self, method: str, url: str, after: float, more: Mapping[str, Any]) -> None:
        await asyncio.sleep(after)
        self._sim.fired["reorder"] += 1
        await self._quietly(method, url, more)

    async def _quietly(self, method: str, url: str, more: Mapping[str, Any]) -> None:
        try:
            await super().fetch(method, url, **more)
        except HttpError:
            return


class NodeClock(TurnedClock):
    """The clock of one node, which somebody may set."""

    def __init__(self, world: SimWorld, pod: str) -> None:
        super().__init__(world.random.getrandbits(32))
        self._world, self._pod = world, pod

    def wall(self) -> float:
        return super().wall() + self._world.jumped[self._pod]


@dataclass
class Trace:
    """What was seen in one simulation, for the report and the checkers."""

    rules: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    removals: list[str] = field(default_factory=list)
    """Each with its rule, for a person who reads why a seed failed."""
    told: list[str] = field(default_factory=list)
    """What happened, line by line, with its time."""


class SimWorld(World):
    """Fulfils ``raft.Net`` too."""

    def __init__(self, root: Path, pods: int, seed: int, **environ: str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.truth = Truth()
        self.trace = Trace()
        self.fired: Counter[str] = Counter()
        """How often each fault really met something."""
        self.air = Weather()
        self.jumped: dict[str, float] = defaultdict(float)
        self.slow: dict[str, float] = {}
        """Seconds that a write to the disk of a Pod takes."""
        self.deaths: dict[str, int] = {}
        """After how many more actions the peerboot of a Pod dies."""
        self.slow_start = 0.05
        self.said: dict[str, float] = {}
        """Pods that a person said are gone for good, and when."""
        self.broken: set[str] = set()
        """Volumes on which a fault garbled or hid what etcd or peerboot wrote."""
        self.hands: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.faults_over = False
        self.found: list[str] = []
        """What a checker found while it happened."""
        self.had: dict[Path, set[str]] = {}
        """By volume, the members whose data was seen there."""
        self.wanted: list[tuple[float, int]] = []
        """How many Pods the StatefulSet wanted, and when."""
        self._late: set[asyncio.Task[None]] = set()
        self._addresses = 10
        self._new_ids = 0
        self.environ = environ
        super().__init__(root, pods, seed=seed, of=0, **environ)
        self.poll = 0.25
        self.replicas: list[DnsView] = [DnsView(self), DnsView(self)]

    # ------------------------------------------------------------------- doors

    def clock_of(self, pod: Pod) -> TurnedClock:
        return NodeClock(self, pod.name)

    def dns_of(self, _pod: Pod) -> Any:
        return SimDns(self)

    def http_of(self, pod: Pod) -> Any:
        return SimHttp(self, pod.name)

    def seek(self, pod: Pod) -> Callable[[], str]:
        return lambda: elsewhere.find(pod.state_dir.parent, MARKS, (pod.data_dir,))

    def server_of(self, pod: Pod) -> Server:
        return Server(self, pod.name, pod.output_dir / "etcd.yaml", slow_start=self.slow_start)

    # --------------------------------------------------------------------- net

    def chance(self) -> float:
        return self.random.random()

    def new_id(self, url: str) -> str:
        self._new_ids += 1
        return ids.hexed(ids.member_id([url], str(self._new_ids)))

    def servers(self) -> Iterator[tuple[Pod, Member]]:
        """Each member that runs, with its Pod."""
        for pod in self.up.values():
            if pod.server is not None and pod.server.member is not None:
                yield pod, pod.server.member

    def members_at(self, url: str) -> list[Member]:
        host = host_of(url)
        return [member for pod, member in self.servers() if pod.name == host]

    def answering(self, who: str, url: str) -> list[Member]:
        return [m for m in self.members_at(url) if (who, m.name) not in self.cut]

    def reach(self, one: Member, other: Member) -> bool:
        return (one.name, other.name) not in self.cut and (other.name, one.name) not in self.cut

    def data_of(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for pod in self.pods:
            cluster, _, stage = self.disk_of(pod)
            if stage == "data":
                found[cluster].append(pod.name)
        return found

    def disk_of(self, pod: Pod) -> tuple[str, str, str]:
        """What really lies in a Pod's data directory: cluster, member, stage; empty for no log."""
        files = Files(pod.data_dir)
        if not files.wal.is_file() or not files.remembered.is_file() or files.wal.read_bytes()[:16] == GARBAGE[:16]:
            return "", "", ""
        kept = json.loads(files.remembered.read_text())
        return kept["cluster"], kept["member"], kept["stage"]

    # ------------------------------------------------------------------- hands

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that goes on beside all else, and ends with the world."""
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def tell(self, what: str) -> None:
        """One line of the story."""
        self.trace.told.append(f"{self.now - 1000:8.2f} {what}")

    def put_up(self, pod: Pod) -> None:
        """The Pod is made anew, at another address: mostly a new one, now and then one that another Pod just had."""
        if pod.tasks:
            return
        self._addresses += 1
        free = [f"10.1.0.{i}" for i in range(1, 9) if f"10.1.0.{i}" not in self.up]
        pod.ip = self.random.choice(free) if free and self.random.random() < 0.3 else f"10.1.1.{self._addresses % 250}"
        pod.environ["POD_IPS"] = pod.ip
        pod.start()

    def named(self, name: str) -> Pod | None:
        """The Pod of the set with that name."""
        return next((pod for pod in self.pods if pod.name == name), None)

    def writing_to(self, output_dir: Path) -> Pod | None:
        """The Pod, a twin too, that has this output directory."""
        return next((pod for pod in self.up.values() if pod.output_dir == output_dir), None)

    def made(self, ordinal: int) -> Pod:
        """One more Pod of the set, not started."""
        return self._made(ordinal)

    def peer_url(self, name: str) -> str:
        """Of a Pod, as peerboot writes it."""
        return f"http://{name}.{ZONE}:2380"

    def copied(self, pod: Pod, entries: int) -> None:
        """A disk is another moment's, or another member's: where its member is a voter now, no program on it could see
        what it has forgotten. Of one that is no voter any more nothing is excused.
        """
        cluster, member, _ = self.disk_of(pod)
        if cluster and member in self.voters_of(cluster)[0]:
            before = self.truth.rolled_back.get(cluster, entries)
            self.truth.rolled_back[cluster] = min(before, entries)

    def heal(self) -> None:
        """Faults stop: all that has an end ends."""
        self.weather, self.ttl, self.slow_start = "fine", 5.0, 0.05
        self.air = Weather()
        self.cut.clear()
        self.hidden.clear()
        self.slow.clear()
        self.deaths.clear()
        self.api.weather = "fine"
        for replica in self.replicas:
            replica.stale = None
        self.faults_over = True

    async def stop(self) -> None:
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await super().stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def note(self) -> None:
        """What is there now, for the checkers."""
        self.wanted.append((self.now, self.api.replicas))
        for pod in self.pods:
            _, member, stage = self.disk_of(pod)
            if stage == "data":
                self.had.setdefault(pod.home / "volume", set()).add(member)

    def forget(self, pod: Pod) -> None:
        """A fault takes what was on a volume."""
        self.had.pop(pod.home / "volume", None)

    def wanted_before(self, then: float) -> int:
        """How many Pods were wanted at that time."""
        return next((n for at, n in reversed(self.wanted) if at <= then), self.api.replicas)

    async def say_who_is_gone(self) -> None:
        """Where no API tells how many Pods there are, a person says of members whose Pods were scaled away that they
        are gone for good.
        """
        serving = [pod for pod in self.pods if pod.node is not None and pod.rule == "serving"]
        if self.environ.get("PEERBOOT_REPLICAS_FROM") == "statefulset" or not serving or not self.truth.served:
            return
        cluster = self.disk_of(serving[0])[0]
        for name in sorted(set(self.voters_of(cluster)[0].values()) - {pod.name for pod in self.pods}):
            self.tell(f"a person says at {serving[0].name} that {name} is gone for good")
            with contextlib.suppress(PeerbootError):
                await serving[0].view.admin("remove", {"who": "ann", "pod": name, "yes": True})
                self.said[name] = self.now

    async def person(self) -> None:
        """Somebody reads what the Pods say and does what is asked for: gives a consent, restarts a server, makes the
        sealed anchor anew where all data is gone. No consent where servers have data and no quorum.
        """
        nothing_left = not self.data_of()
        await self.say_who_is_gone()
        for pod in tuple(self.pods):
            node = pod.node
            if node is None:
                self.put_up(pod)
                continue
            decision = node.decision
            named = decision.rule in ("stale-birth", "stuck-bootstrap", "removed-member", "first-start")
            if (named or "this Pod's server to stop" in decision.waits_for) and pod.server is not None:
                self.tell(f"a person restarts the server of {pod.name}")
                if pod.server.member is not None:
                    pod.server.member.exits = Exit(137, "killed")
                continue
            if decision.rule == "out-of-range" and pod.environ.get("PEERBOOT_REPLICAS_FROM") != "statefulset":
                self.tell(f"a person raises PEERBOOT_REPLICAS for {pod.name}")
                pod.environ["PEERBOOT_REPLICAS"] = str(len(self.pods))
                await pod.stop()
                self.put_up(pod)
                continue
            rolled_back = self.disk_of(pod)[0] in self.truth.rolled_back
            if decision.rule == "own-data" and rolled_back and not (pod.server is not None and pod.server.member):
                # etcd itself says so, over and over: the disk has forgotten what the leader knows that it had.
                self.tell(f"a person gives {pod.name} a new volume, for its server panics")
                await pod.stop()
                self.forget(pod)
                shutil.rmtree(pod.home / "volume", ignore_errors=True)
                self.put_up(pod)
                continue
            if decision.rule == "anchor-forbids" and nothing_left:
                self.tell("a person makes the anchor anew")
                self.api.ship()
            nonce = NONCE.search(decision.reason)
            # A backup that was restored everywhere is what a person wants to start with.
            restored = decision.rule == "foreign-data" and len(self.data_of()) == 1
            if nonce and (nothing_left or restored or (node.facts is not None and node.facts.cluster.quorum)):
                self.tell(f"a person consents at {pod.name} to {decision.rule}")
                with contextlib.suppress(PeerbootError):
                    await pod.view.admin("consent", {"who": "ann", "nonce": nonce[1]})

    # ----------------------------------------------------------------- verdict

    def voters_of(self, cluster: str) -> tuple[dict[str, str], bool]:
        """Pod names by voter id of what a cluster agreed on last, by the judge; and whether a learner is listed."""
        found: dict[str, tuple[str, bool]] = {}
        for _, kind, *rest in self.truth.logs.get(cluster, []):
            if kind == "add":
                found[rest[0]] = (host_of(rest[2][0]), rest[3])
            elif kind == "remove":
                found.pop(rest[0], None)
            elif kind == "promote" and rest[0] in found:
                found[rest[0]] = (found[rest[0]][0], False)
        return {i: pod for i, (pod, learner) in found.items() if not learner}, any(x for _, x in found.values())

    def belongs(self, pod: Pod) -> bool:
        """Whether peerboot's state on a Pod's volume is readable and that Pod's own, or there is none."""
        try:
            kept = json.loads((pod.state_dir / "state.json").read_text())
        except FileNotFoundError:
            return True
        except ValueError:
            return False
        return bool(kept["pod"] == pod.name and not kept["torn"])

    def settled(self) -> bool:
        """Every Pod serves in the one cluster whose voters are exactly the Pods, and nothing is left to do."""
        names = sorted(pod.name for pod in self.pods)
        for pod in self.pods:
            if pod.node is None or pod.rule != "serving" or pod.server is None or not pod.server.ready:
                return False
        clusters = {member.state.cluster for _, member in self.servers()}
        if len(clusters) != 1:
            return False
        voters, learners = self.voters_of(clusters.pop())
        return sorted(voters.values()) == names and not learners

    def told(self) -> str:
        """What every Pod says, for a person who looks at a seed that failed."""
        lines = [f"settled: {self.settled()}; clusters that served: {self.truth.served}"]
        for pod in self.pods:
            said = f"{pod.node.decision.kind} ({pod.rule}): {pod.node.decision.reason}" if pod.node else "no peerboot"
            lines.append(f"{pod.name}: {said} [{self.disk_of(pod)}, exit {pod.exit_code} {pod.error}]")
            if pod.server is not None and pod.server.member is not None:
                member = pod.server.member
                lines.append(
                    f"  server {member.id} leader {member.leader} commit {member.state.commit}/{len(member.state.log)} "
                    f"{[(m.id, host_of(m.peer_urls[0]), m.name, m.learner) for m in member.members.values()]}"
                )
        return "\n".join(lines)
