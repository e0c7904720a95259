"""A lab: a headless Service, a StatefulSet with ``podManagementPolicy: Parallel``, and real servers in its Pods."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from peerboot.lab.client import Login
from peerboot.lab.container import Timing
from peerboot.lab.dns import LabDns
from peerboot.lab.errors import LabError
from peerboot.lab.network import Hosts, Network, dying_with_parent, namespace_command
from peerboot.lab.pod import METRICS_PORT, PORT, Pod, PodSpec
from peerboot.lab.servers import Server
from peerboot.lab.systems import SYSTEMS
from peerboot.outside.files import write_whole


@dataclass(frozen=True)
class LabSpec:
    """What a lab is made of."""

    root: Path
    """Everything lies below it; it is made if it is not there."""
    server: Server
    """It also says which system the lab runs."""
    replicas: int = 3
    start: int = 0
    statefulset: str = "db"
    service: str = "peers"
    namespace: str = "lab"
    domain: str = "cluster.local"
    style: Literal["native", "init"] = "native"
    names: bool = True
    """False: addresses instead of names in the servers' URLs, even where names are possible."""
    ttl: int = 5
    cache: float = 0.0
    """Seconds for which DNS keeps answers, also "no such name": a Corefile with plain ``cache 30``."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Further settings for every Pod's peerboot."""
    peerboot: Sequence[str] = (sys.executable, "-m", "peerboot")
    timing: Timing = field(default_factory=Timing)
    trust: ssl.SSLContext | None = None
    """How clients of the servers see TLS; None: they have none."""
    login: Login | None = None
    """Who clients of etcd are, where it asks for passwords."""
    beside: Lab | None = None
    """Another StatefulSet of the same cluster and system: these Pods find its Pods by name. Both may have one root."""


class Lab:
    """Use as ``async with Lab(spec) as lab``: at the end every process that it started is gone."""

    def __init__(self, spec: LabSpec, notice: Callable[[str], None] = lambda _text: None) -> None:
        self.spec = spec
        self.notice = notice
        self.system = SYSTEMS[spec.server.system]
        self._server_env = self.system.server_env(spec.server, spec.root / "hosts")
        self.network = Network()
        self.pods: dict[int, Pod] = {}
        """The Pods that exist, by ordinal: of two with one name the newer one."""
        self._ending: set[Pod] = set()
        """Those that were taken away and are not gone yet: whoever took them away may be cancelled."""
        self.pod_env: dict[int, dict[str, str]] = {}
        """Settings for the peerboot of one ordinal's next Pods."""
        self.pod_server: dict[int, Server] = {}
        """The server of one ordinal's next Pods, where it is another than the set's: an image that rolls out."""
        self.dns = LabDns(
            service=spec.service,
            namespace=spec.namespace,
            domain=spec.domain,
            port=PORT,
            ttl=spec.ttl,
            cache=spec.cache,
        )
        spec.root.mkdir(parents=True, exist_ok=True)
        self._sets: list[Lab] = spec.beside._sets if spec.beside is not None else []
        """All labs that run one cluster: their servers know each other's names."""
        beside = spec.beside if spec.beside is not None and spec.beside.spec.root == spec.root else None
        self.hosts: Hosts = beside.hosts if beside is not None else Hosts(spec.root / "hosts")
        self._sets.append(self)
        mounts = spec.names and not self.system.reads_hosts
        self._prefix = namespace_command(self.hosts.path) if mounts else None
        self._addresses: dict[str, str] = {}
        if spec.beside is not None:
            self.dns.beside.append(spec.beside.dns.zone)
        self._made = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> bool:
        """Whether the servers' URLs hold names."""
        return self.spec.names and (self.system.reads_hosts or self._prefix is not None)

    @property
    def ordinals(self) -> range:
        """Of the expected Pods."""
        return range(self.spec.start, self.spec.start + self.spec.replicas)

    def pod_name(self, ordinal: int) -> str:
        """``db-0``."""
        return f"{self.spec.statefulset}-{ordinal}"

    def volume(self, ordinal: int) -> Path:
        """The directory that stands for a Pod's persistent volume."""
        return self.spec.root / "volumes" / self.pod_name(ordinal)

    def data_dir(self, ordinal: int) -> Path:
        """The server's data directory on that volume."""
        return self.volume(ordinal) / self.system.data

    def secret_file(self, ordinal: int) -> Path:
        """The census keys as this Pod sees them."""
        return self.spec.root / "secrets" / self.pod_name(ordinal)

    def log(self, ordinal: int, container: str = "peerboot") -> str:
        """What a container of that name has printed so far, in this Pod and in former ones."""
        path = self.spec.root / "logs" / f"{self.pod_name(ordinal)}.{container}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # ------------------------------------------------------- start and stop

    async def __aenter__(self) -> Lab:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self, only: Collection[int] | None = None) -> None:
        """Start DNS and create the Pods, all at once; with ``only`` just those."""
        (self.spec.root / "logs").mkdir(exist_ok=True)
        (self.spec.root / "secrets").mkdir(mode=0o700, exist_ok=True)
        key = secrets.token_hex(32).encode() + b"\n"
        for ordinal in self.ordinals:
            if not self.secret_file(ordinal).exists():
                write_whole(self.secret_file(ordinal), key, 0o600)
        await self.dns.start(self.network.dns)
        for ordinal in self.ordinals:
            if only is None or ordinal in only:
                await self.create(ordinal)

    async def stop(self) -> None:
        """Kill everything, end DNS."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(pod.crash() for pod in (*self.pods.values(), *self._ending)))
        self.pods.clear()
        self._ending.clear()
        await self.dns.stop()
        self.network.close()

    # ------------------------------------------------------------- the Pods

    async def create(self, ordinal: int) -> Pod:
        """A new Pod of that ordinal: new uid, new address, the volume as it is."""
        pod = Pod(await self.pod_spec(ordinal))
        self.pods[ordinal] = pod
        pod.start()
        return pod

    async def pod_spec(self, ordinal: int) -> PodSpec:
        """What the next Pod of that ordinal is made of; it is not created."""
        spec, name = self.spec, self.pod_name(ordinal)
        self._made += 1
        address = self.network.another() if self.names else self.network.fixed(ordinal)
        uid = f"uid-{self._made}-{name}"
        prefix = (*(self._prefix or ()), *dying_with_parent())
        directory = spec.root / "pods" / f"{name}-{self._made}"
        return PodSpec(
            name=name, ordinal=ordinal, uid=uid, address=address, volume=self.volume(ordinal), directory=directory,
            logs=spec.root / "logs", env=await self._env(ordinal, uid, address),
            server=(*prefix, *self.system.command(self.pod_server.get(ordinal, spec.server), directory / "run")),
            server_env=self._server_env,
            timing=spec.timing, style=spec.style, peerboot=(*dying_with_parent(), *spec.peerboot),
            publish=lambda: self._publish(name, address, uid), withdraw=lambda: self._withdraw(name, address, uid),
            notice=self.notice,
        )  # fmt: skip

    async def _env(self, ordinal: int, uid: str, address: str) -> dict[str, str]:
        spec, volume = self.spec, self.volume(ordinal)
        env = {
            "PEERBOOT_SYSTEM": self.system.name, "PEERBOOT_REPLICAS": str(spec.replicas),
            "PEERBOOT_ORDINALS_START": str(spec.start), "PEERBOOT_SERVICE": spec.service,
            "PEERBOOT_CLUSTER_DOMAIN": spec.domain,
            "PEERBOOT_NAMESERVERS": await self.dns.endpoint(self.pod_name(ordinal)),
            "PEERBOOT_DATA_DIR": str(self.data_dir(ordinal)), "PEERBOOT_STATE_DIR": str(volume / ".peerboot"),
            "PEERBOOT_SECRET_FILE": str(self.secret_file(ordinal)), "PEERBOOT_SERVER_BIND": "pod",
            "PEERBOOT_LISTEN": f"{address}:{PORT}", "PEERBOOT_METRICS_LISTEN": f"{address}:{METRICS_PORT}",
            "POD_NAME": self.pod_name(ordinal), "POD_NAMESPACE": spec.namespace, "POD_UID": uid, "POD_IPS": address,
            "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        if not self.names:
            env[self.system.host_setting] = self.network.peer_host
            env["PEERBOOT_LAB_NOTE"] = (
                "This machine allows no hosts file of the lab's own: URLs hold addresses instead of names."
            )
        return {**env, **self.system.env(volume), **spec.env, **self.pod_env.get(ordinal, {})}

    def _publish(self, name: str, address: str, uid: str) -> None:
        self.dns.publish(name, [address], key=uid)
        self._addresses[name] = address
        self._write_hosts()

    def _withdraw(self, name: str, address: str, uid: str) -> None:
        self.dns.withdraw(name, key=uid)
        if self._addresses.get(name) == address:
            del self._addresses[name]
            self._write_hosts()

    def _write_hosts(self) -> None:
        lines = {name: found for lab in self._sets for name, found in lab._host_lines().items()}
        for lab in self._sets:
            lab.hosts.write(lines, [one.dns.zone.name for one in self._sets])

    def _host_lines(self) -> dict[str, list[str]]:
        """Addresses by name: of each Pod, and of the Service, which stands for all of them."""
        zone, found = self.dns.zone.name, sorted(self._addresses.items())
        return {**{f"{pod}.{zone}": [address] for pod, address in found}, zone: [address for _, address in found]}

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def delete(
        self, ordinal: int, *, grace: float | None = None, force: bool = False, recreate: bool = True
    ) -> None:
        """As ``kubectl delete pod`` does; returns when the next Pod exists (or, without one, when this is gone).

        ``force``: the next Pod starts while the old one still runs, on the same volume.
        """
        pod, timing = self._taken(ordinal), self.spec.timing
        seconds = timing.grace if grace is None else grace
        if force:
            await asyncio.sleep(timing.force_withdrawn)
            pod.spec.withdraw()
            self._spawn(self._end_forced(pod, timing.force_term - timing.force_withdrawn, seconds))
            await asyncio.sleep(timing.force_next - timing.force_withdrawn)
        else:
            await pod.terminate(seconds)
            self._ending.discard(pod)
            if recreate:
                await asyncio.sleep(max(timing.recreate - timing.publish, 0.0))
        if recreate:
            await self.create(ordinal)

    def _taken(self, ordinal: int) -> Pod:
        pod = self.pods.pop(ordinal)
        self._ending.add(pod)
        return pod

    async def _end_forced(self, pod: Pod, wait: float, grace: float) -> None:
        await asyncio.sleep(wait)
        await pod.terminate(grace)
        self._ending.discard(pod)

    async def _crash(self, ordinal: int) -> None:
        pod = self._taken(ordinal)
        await pod.crash()
        self._ending.discard(pod)

    async def crash(self, ordinal: int, *, recreate: bool = True) -> None:
        """Kill everything in the Pod at once, as a node does that loses its power; then a new Pod, same volume."""
        await self._crash(ordinal)
        if recreate:
            await self.create(ordinal)

    async def wipe(self, ordinal: int, *, recreate: bool = True) -> None:
        """The same, and the volume is lost: the new Pod gets an empty one."""
        if ordinal in self.pods:
            await self._crash(ordinal)
        if self.volume(ordinal).exists():
            # Processes that have yet to notice that their server was killed may still write there, by this name too.
            lost = self.spec.root / f"lost-{self._made}"
            self.volume(ordinal).rename(lost)
            shutil.rmtree(lost, ignore_errors=True)
        if recreate:
            await self.create(ordinal)

    def kill(self, ordinal: int, container: str = "server", number: signal.Signals = signal.SIGKILL) -> None:
        """A signal to one container alone; its kubelet restarts it without asking anybody."""
        pod = self.pods[ordinal]
        {"server": pod.server, "peerboot": pod.sidecar}[container].signal(number)

    # ----------------------------------------------------------- what it is

    async def ready(self, ordinal: int) -> bool:
        """Whether the Pod's member serves, by its own word."""
        pod = self.pods.get(ordinal)
        return pod is not None and (await pod.get("/readyz"))[0] == 200

    async def all_ready(self) -> bool:
        """Whether every expected Pod is ready."""
        return all(await asyncio.gather(*(self.ready(ordinal) for ordinal in self.ordinals)))

    async def decision(self, ordinal: int) -> Mapping[str, Any]:
        """``/v1/decision`` of one Pod; empty when it does not answer."""
        pod = self.pods.get(ordinal)
        status, text = await pod.get("/v1/decision", METRICS_PORT) if pod is not None else (0, "")
        if status != 200:
            return {}
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(text, type=dict[str, Any])
        return {}

    async def rule(self, ordinal: int) -> str:
        """Name of the rule in force in one Pod, empty when it does not answer."""
        return str((await self.decision(ordinal)).get("rule", ""))

    def client_address(self, ordinal: int) -> str:
        """Where clients reach the Pod's server: ``127.1.2.100:9092``."""
        return f"{self.pods[ordinal].spec.address}:{self.system.client_port}"

    def client_url(self, ordinal: int) -> str:
        """The same for a server that speaks HTTP, as etcd does."""
        return f"{'http' if self.spec.trust is None else 'https'}://{self.client_address(ordinal)}"

    async def until(self, what: str, true: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> float:
        """Wait until something is so; returns the seconds it took. Raises ``LabError`` that tells what is instead."""
        began = time.monotonic()
        while not await true():
            if time.monotonic() - began > seconds:
                raise LabError(f"not within {seconds:g} s: {what}\n{self.told_by_all()}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def until_ready(self, seconds: float = 60.0, only: Collection[int] | None = None) -> float:
        """Wait until the Pods are ready (all, or ``only`` those)."""

        async def ready() -> bool:
            return all(await asyncio.gather(*(self.ready(o) for o in (self.ordinals if only is None else only))))

        return await self.until(f"ready: {'all' if only is None else sorted(only)}", ready, seconds)

    async def until_rule(self, ordinal: int, *rules: str, seconds: float = 60.0) -> Mapping[str, Any]:
        """Wait until one of the rules is in force in a Pod; returns its decision."""

        async def there() -> bool:
            return await self.rule(ordinal) in rules

        await self.until(f"{self.pod_name(ordinal)} decides {' or '.join(rules)}", there, seconds)
        return await self.decision(ordinal)

    def told(self) -> str:
        """Every Pod's phase, sentence and last lines of log, for a failure."""
        lines = []
        for ordinal, pod in sorted(self.pods.items()):
            lines.append(f"{pod.spec.name} {pod.spec.address} {pod.phase}: {pod.sentence()}")
            lines += [f"    server exits: {pod.server.exits[-3:]}, sidecar exits: {pod.sidecar.exits[-3:]}"]
            lines += [f"    {line[:300]}" for line in self.log(ordinal).splitlines()[-12:]]
            lines += [f"    server| {line[:240]}" for line in self.log(ordinal, "server").splitlines()[-3:]]
        return "\n".join(lines)

    def told_by_all(self) -> str:
        """The same of every set of the cluster."""
        return "\n".join(lab.told() for lab in self._sets)
