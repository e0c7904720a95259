"""A StatefulSet without machines: real peerboot nodes, all stages, over fake doors for DNS and HTTP, with time turned.

Files are real. DNS and HTTP are faked at peerboot's own doors (``test_contract.py`` holds them against the real ones),
etcd is the model of ``etcd_model.py``. A pod has a kubelet that starts the server when peerboot's startup probe says
so, and from then on restarts it alone, without asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from peerboot import identity, settings
from peerboot.census import Census
from peerboot.discovery import Discovery
from peerboot.errors import PeerbootError
from peerboot.log import Log
from peerboot.outside.dns import Reply as DnsReply
from peerboot.outside.dns import Spelling, Srv
from peerboot.outside.http import HttpError, Reply
from peerboot.report import Report
from peerboot.run import Doors, Node, Pace
from peerboot.statedir import StateDir
from peerboot.systems.etcd.spec import SYSTEM
from peerboot.view import NodeView
from tests.run.api_model import Api, FakeKubernetes
from tests.run.etcd_model import Clusters, Server, stopped
from tests.run.turned import TurnedClock

ZONE = "peers.prod.svc.cluster.local"
KEY = b"0123456789abcdef0123456789abcdef"
Weather = Literal["fine", "servfail", "nxdomain", "silence"]
Mode = Literal["init", "sidecar", "both"]
"""``both``: ``init`` as init container, then ``sidecar`` beside the server, as before native sidecars."""


class Serving(Protocol):
    """One process of the modelled etcd, this folder's or the simulation's."""

    member: Any
    ready: bool
    log: str

    async def run(self) -> int: ...

    async def peer_port(self, path: str) -> Reply: ...

    async def client_port(self, path: str, body: Mapping[str, Any]) -> Reply: ...


class Killed(BaseException):
    """The process is gone at once, as by SIGKILL."""


# ------------------------------------------------------------------------ DNS


class FakeDns:
    """Fulfils what is used of ``peerboot.outside.dns.Dns``, for one asking pod."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked = 0

    async def srv(self, name: str, spelling: Spelling = "plain") -> DnsReply:
        del spelling  # nothing is cached here
        outage = await self._outage("SRV")
        if outage:
            return outage
        world = self._world
        if name != f"_peerboot._tcp.{ZONE}" or "wrong-domain" in world.wrong:
            return _absent()
        if "no-port-name" in world.wrong:
            return _absent(nodata=True)
        names: dict[str, list[str]] = {}
        for pod in world.published():
            names.setdefault(f"{pod.dns_name}.{ZONE}", []).append(pod.ip)
        if not names:
            return _absent()
        srv = tuple(Srv(name, 7070, tuple(sorted(ips))) for name, ips in sorted(names.items()))
        return DnsReply("found", ttl=world.ttl, via="udp", srv=srv)

    async def addresses(self, name: str) -> DnsReply:
        self.asked += 1  # two questions, A and AAAA; the second is counted below
        outage = await self._outage("A")
        if outage:
            return outage
        published = self._world.published()
        if "wrong-domain" in self._world.wrong:
            return _absent()
        if name == "prod.svc.cluster.local":
            return _absent(nodata=True)
        ips = sorted(pod.ip for pod in published if name in (ZONE, f"{pod.dns_name}.{ZONE}"))
        return DnsReply("found", ttl=5.0, via="udp", addresses=tuple(ips)) if ips else _absent()

    async def txt(self, name: str) -> DnsReply:
        outage = await self._outage("TXT")
        if outage:
            return outage
        if name != "dns-version.cluster.local" or "wrong-domain" in self._world.wrong:
            return _absent()
        return DnsReply("found", ttl=5.0, via="udp", texts=("1.1.0",))

    async def _outage(self, _kind: str) -> DnsReply | None:
        self.asked += 1
        await asyncio.sleep(0.001)
        match self._world.weather:
            case "servfail":
                return DnsReply("unknown", reason="SERVFAIL from 10.0.0.10")
            case "nxdomain":
                return _absent()
            case "silence":
                await asyncio.sleep(5.0)
                return DnsReply("unknown", reason="no answer from 10.0.0.10")
        return None


def _absent(nodata: bool = False) -> DnsReply:
    reason = "no such records" if nodata else "NXDOMAIN"
    return DnsReply("absent", ttl=5.0, reason=reason, via="udp", nodata=nodata)


# ----------------------------------------------------------------------- HTTP


class FakeHttp:
    """Fulfils ``peerboot.outside.http.Http`` for one asking pod: routes to peerboots and servers of the world."""

    def __init__(self, world: World, owner: str) -> None:
        self._world = world
        self._owner = owner
        self.asked = 0

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
        limit: int = 65536,
    ) -> Reply:
        self.asked += 1
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(0.002)
                reply = await self._route(
                    method, parts.hostname or "", parts.port or 80, parts.path, body, headers or {}
                )
        except TimeoutError:
            raise HttpError(f"no answer in {timeout:g} s") from None
        if len(reply.body) > limit:
            raise HttpError(f"a body larger than {limit} bytes")
        return reply

    async def _route(
        self, method: str, host: str, port: int, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        pod = self._world.at(host)
        if pod is None or (self._owner, pod.name) in self._world.cut:
            await asyncio.sleep(3600)
            raise HttpError("never answered")
        if port == 7070 and pod.node is not None and method == "GET" and path == "/v1/node":
            status, given, content = NodeView(pod.node).census({k.lower(): v for k, v in headers.items()})
            return Reply(status, {k.lower(): v for k, v in given.items()}, content)
        if pod.speak is not None and port == 7070:
            return pod.speak({k.lower(): v for k, v in headers.items()})
        if pod.server is not None and port == 2380 and method == "GET":
            return await pod.server.peer_port(path)
        if pod.server is not None and port == 2379 and method == "POST":
            return await pod.server.client_port(path, json.loads(body or b"{}"))
        raise HttpError("connection refused")

    async def close(self) -> None:
        return


# ----------------------------------------------------------------------- pods


@dataclass
class Pod:
    """One Pod: its volume outlives it, its output directory does not."""

    world: World
    name: str
    ip: str
    environ: dict[str, str]
    node: Node | None = None
    server: Serving | None = None
    """The model of its etcd, while that runs."""
    exit_code: int | None = None
    """Of ``init``, or of a sidecar that ended by itself."""
    error: str = ""
    started_at: float = 0.0
    restarts: int = 0
    """How often the server's container was started in this Pod."""
    stream: io.StringIO = field(default_factory=io.StringIO)
    dns_name: str = ""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    frozen: bool = False
    """The kubelet starts no server."""
    speak: Callable[[Mapping[str, str]], Reply] | None = None
    """Answers the census in place of a peerboot, in sets too large for real ones."""
    folder: str = ""
    """Where its volume is kept, by default a folder of its own name."""
    output: str = "run"
    """Its output directory in there, which two Pods never share."""

    @property
    def home(self) -> Path:
        return self.world.root / (self.folder or self.name)

    @property
    def data_dir(self) -> Path:
        return self.home / "volume" / "etcd"

    @property
    def state_dir(self) -> Path:
        return self.home / "volume" / ".peerboot"

    @property
    def output_dir(self) -> Path:
        return self.home / self.output

    @property
    def view(self) -> NodeView:
        return NodeView(self.live)

    @property
    def live(self) -> Node:
        """The running peerboot; fails when none runs."""
        if self.node is None:
            raise AssertionError(f"{self.name} runs no peerboot: {self.error or self.exit_code}")
        return self.node

    @property
    def rule(self) -> str:
        return self.live.decision.rule

    @property
    def log(self) -> str:
        return self.stream.getvalue()

    def start(self, mode: Mode = "sidecar") -> None:
        """The kubelet starts the Pod: a new output directory, peerboot, and the server when it may."""
        shutil.rmtree(self.output_dir, ignore_errors=True)
        self.output_dir.mkdir(parents=True)
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.started_at = self.world.now
        self.exit_code, self.error, self.restarts = None, "", 0
        self.tasks = [asyncio.create_task(self._both() if mode == "both" else self._peerboot(mode))]
        if mode == "sidecar":
            self.tasks.append(asyncio.create_task(self._kubelet()))
        self.world.up[self.ip] = self

    async def stop(self) -> None:
        """The Pod is gone, its volume stays."""
        self.world.up.pop(self.ip, None)
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.node = self.server = None

    async def terminate(self) -> str:
        """The kubelet ends it gracefully: first the server's preStop, which asks peerboot; returns what that said."""
        self.frozen = True  # a container that ends while its Pod does is not started again
        try:
            async with asyncio.timeout(self.live.settings.leave_timeout):
                said = await self.view.prestop()
        except TimeoutError:
            said = "not in time"
        await self.stop()
        self.frozen = False
        return said

    async def restart_peerboot(self) -> None:
        """Only the peerboot container ends and starts again."""
        task = self.tasks[0]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.tasks[0] = asyncio.create_task(self._peerboot("sidecar"))

    def wipe(self) -> None:
        """The volume is replaced by a new one."""
        shutil.rmtree(self.home / "volume")

    def make_node(self, mode: Literal["init", "sidecar"]) -> Node:
        """As ``container.make_node`` does, over the fake doors."""
        world, clock = self.world, self.world.clock_of(self)
        made = settings.read(self.environ, systems={"etcd": SYSTEM.settings})
        who = identity.derive(made, "search prod.svc.cluster.local svc.cluster.local cluster.local", "")
        dns, http = world.dns_of(self), world.http_of(self)
        boot = clock.token(8)
        log = Log("text", "info", self.name, self.stream)
        asks = made.replicas_from != "none" or made.events != "none" or made.anchor.startswith("configmap:")
        doors = Doors(
            clock=clock,
            dns=dns,
            http=http,
            discovery=Discovery(who, made.port_name, dns, clock),
            census=Census(who, http, clock, world.keys_of(self.name), boot),
            state=StateDir(self.state_dir, who, clock, world.seek(self)),
            system=SYSTEM.prepare(made, who, {}),
            log=log,
            kubernetes=FakeKubernetes(world.api, warn=log.warning, tell=log.info) if asks else None,
        )
        report = Report(self.output_dir, log, "")
        return Node(made, who, doors, report, mode, boot, pace=world.pace)

    async def _peerboot(self, mode: Literal["init", "sidecar"]) -> None:
        """The peerboot container, started again when its process was killed."""
        while True:
            self.node = self.make_node(mode)
            try:
                self.exit_code = await self.node.run()
                return
            except PeerbootError as error:
                self.exit_code, self.error = error.exit_code, str(error)
                return
            except Killed:
                await self.node.stop()
            except Exception as error:
                self.exit_code, self.error = 70, repr(error)
                raise
            finally:
                self.node = None
            await asyncio.sleep(1.0)

    async def _both(self) -> None:
        """The init container to its end; a second later the containers of the Pod are there."""
        await self._peerboot("init")
        await asyncio.sleep(1.0)
        if self.exit_code == 0:
            self.tasks.append(asyncio.create_task(self._kubelet()))
            await self._peerboot("sidecar")

    async def _kubelet(self) -> None:
        """The startup gate once; then the server is restarted with back-off, without asking anybody."""
        await self.world.until(lambda: self.node is not None and NodeView(self.node).startup()[0], within=1e9)
        pause = 0.5
        while True:
            await self.world.until(lambda: not self.frozen, within=1e9)
            self.restarts += 1
            self.server = self.world.server_of(self)
            running = asyncio.create_task(self.server.run())
            begun = self.world.now
            try:
                await asyncio.wait([running])
                running.result()
            finally:
                await stopped(running)
                self.server = None
            pause = 0.5 if self.world.now - begun > 10 else min(pause * 2, 10.0)
            await asyncio.sleep(pause)


# ---------------------------------------------------------------------- world


class World:
    """One set of N pods, its DNS and its network."""

    def __init__(self, root: Path, n: int = 3, *, of: int = 0, seed: int = 0, **environ: str) -> None:
        """``of``: how many pods are expected, when more than the ``n`` that are made."""
        self.root = root
        self.clock = TurnedClock(seed)
        self.pace = Pace()
        self.poll = 0.05
        """Seconds between two looks of the kubelet, and of a test that waits."""
        self.clusters = Clusters()
        self.may_serve = 1
        """Clusters that may have served when the story ends: more than one only where a person's word made it so."""
        self.api = Api(replicas=n, pods=lambda: len({pod.name for pod in self.up.values()}))
        self.weather: Weather = "fine"
        self.ttl = 5.0
        """Of the records of the set in DNS, in seconds."""
        self.wrong: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        """Who hears nothing from whom: the asking pod, the asked."""
        self.hidden: set[str] = set()
        """Pods that DNS does not list."""
        self.keys: dict[str, tuple[bytes, ...]] = {}
        self.up: dict[str, Pod] = {}
        self._environ = {"PEERBOOT_REPLICAS": str(of or n), **environ}
        self.pods = [self._made(i) for i in range(n)]

    @property
    def now(self) -> float:
        return self.clock.now()

    def _made(self, ordinal: int) -> Pod:
        self.api.claims.add(f"data-db-{ordinal}")
        return self.pod(f"db-{ordinal}", f"10.1.0.{ordinal + 1}", **self._environ)

    # What the simulation replaces, Pod by Pod.

    def clock_of(self, _pod: Pod) -> TurnedClock:
        """The clock of its node."""
        return self.clock

    def dns_of(self, _pod: Pod) -> Any:
        """How it asks DNS."""
        return FakeDns(self)

    def http_of(self, pod: Pod) -> Any:
        """How it asks other Pods and servers."""
        return FakeHttp(self, pod.name)

    def seek(self, _pod: Pod) -> Callable[[], str]:
        """What finds a server's data elsewhere on its volume."""
        return lambda: ""

    def server_of(self, pod: Pod) -> Any:
        """A server of its, not yet started."""
        return Server(self.clusters, pod.name, pod.output_dir / "etcd.yaml", self.server_named)

    async def scale(self, replicas: int) -> list[str]:
        """``kubectl scale`` with podManagementPolicy Parallel: all at once; what /prestop said, by the last first."""
        self.api.scale(replicas)
        for ordinal in range(len(self.pods), replicas):
            self.pods.append(self._made(ordinal))
            self.pods[-1].start()
        gone = self.pods[replicas:][::-1]
        said = list(await asyncio.gather(*(pod.terminate() for pod in gone)))
        del self.pods[replicas:]
        return said

    def pod(self, name: str, ip: str, folder: str = "", output: str = "run", **environ: str) -> Pod:
        """One more Pod, not started."""
        home = self.root / (folder or name)
        given = {
            "PEERBOOT_SYSTEM": "etcd",
            "PEERBOOT_SERVICE": "peers",
            "PEERBOOT_DATA_DIR": str(home / "volume" / "etcd"),
            "PEERBOOT_STATE_DIR": str(home / "volume" / ".peerboot"),
            "PEERBOOT_OUTPUT_DIR": str(home / output),
            "PEERBOOT_SECRET_FILE": "/secret/census",
            "PEERBOOT_ADMIN_SOCKET": "/run/peerboot/admin.sock",
            "POD_NAME": name,
            "POD_NAMESPACE": "prod",
            "POD_IPS": ip,
            **environ,
        }
        return Pod(self, name, ip, given, dns_name=name, folder=folder, output=output)

    def keys_of(self, name: str) -> Callable[[], tuple[bytes, ...]]:
        """The census keys as they are in the Pod's Secret now."""
        return lambda: self.keys.get(name, (KEY,))

    def published(self) -> list[Pod]:
        """The Pods that DNS lists: those that have run for half a second."""
        return [p for p in self.up.values() if p.name not in self.hidden and self.now - p.started_at >= 0.5]

    def at(self, host: str) -> Pod | None:
        """The Pod at an address."""
        return self.up.get(host)

    def server_named(self, host: str) -> Server | None:
        """The server behind a host name, as another server reaches it."""
        label = host.partition(".")[0]
        servers = (pod.server for pod in self.up.values() if pod.name == label)
        return next((server for server in servers if isinstance(server, Server)), None)

    def part(self, name: str) -> None:
        """The network lets nothing through between one Pod and all others."""
        for other in self.pods:
            if other.name != name:
                self.cut |= {(name, other.name), (other.name, name)}

    def start(self, mode: Mode = "sidecar") -> None:
        """Start all Pods at once."""
        for pod in self.pods:
            pod.start(mode)

    async def stop(self) -> None:
        """Stop all Pods, twins too."""
        for pod in [*self.up.values(), *self.pods]:
            await pod.stop()

    async def until(self, what: Callable[[], bool], within: float = 120.0) -> float:
        """Turn time until something is so; returns how long it took, fails when it is not within so many seconds."""
        begun = self.now
        while not what():
            if self.now - begun > within:
                raise AssertionError(f"not within {within:g} s:\n{self.told()}")
            await asyncio.sleep(self.poll)
        return self.now - begun

    def settled(self) -> bool:
        """Every Pod serves in the one cluster whose voters are exactly the Pods, and nothing is left to do."""
        live = [c for c in self.clusters.by_id.values() if c.servers]
        return (
            len(live) == 1
            and sorted(m.name for m in live[0].members.values()) == sorted(pod.name for pod in self.pods)
            and not any(m.learner for m in live[0].members.values())
            and all(pod.node is not None and pod.rule == "serving" for pod in self.pods)
        )

    def members(self) -> dict[str, str]:
        """Member id by pod, of the cluster whose servers run."""
        live = [c for c in self.clusters.by_id.values() if c.servers]
        return {m.name or m.peer_urls[0]: m.id for c in live for m in c.members.values()}

    async def formed(self, mode: Mode = "sidecar") -> dict[str, str]:
        """Start all, wait until one cluster has formed of them; member ids by pod."""
        self.start(mode)
        await self.until(self.settled)
        return self.members()

    async def still(self, seconds: float, what: Callable[[], bool] = lambda: True) -> None:
        """Let time pass; something must be so all the while."""
        end = self.now + seconds
        while self.now < end:
            await asyncio.sleep(0.25)
            if not what():
                raise AssertionError(f"not so any more:\n{self.told()}")

    def told(self) -> str:
        """What every Pod says, for a test that fails."""
        lines = []
        for pod in self.pods:
            said = f"{pod.node.decision.kind} ({pod.rule}): {pod.node.decision.reason}" if pod.node else "no peerboot"
            disk = pod.node.memory.disk.kind if pod.node else "?"
            lines.append(f"{pod.name}: {said} [disk {disk}, exit {pod.exit_code} {pod.error}]")
            lines += pod.log.splitlines()[-12:]
        clusters = [
            f"{c.id}: {[(m.name, m.id, m.learner) for m in c.members.values()]}" for c in self.clusters.by_id.values()
        ]
        return "\n".join([*lines, *clusters, *self.clusters.harm])


@contextlib.asynccontextmanager
async def world(root: Path, n: int = 3, **more: Any) -> AsyncIterator[World]:
    """A set of N pods; at the end no harm may have been done, no second cluster have served, and nothing be left."""
    made = World(root, n, **more)
    try:
        yield made
        assert made.clusters.harm == []
        assert len(made.clusters.served) <= made.may_serve, f"two clusters:\n{made.told()}"
    finally:
        await made.stop()
