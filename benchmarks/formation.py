"""How long a cluster takes to form, against the same etcd with a hand-written static config, in one run.

``python -m benchmarks.formation [RUNS]``. Both ways run in the same lab, on the same addresses and with the same
restarts of the server. Without peerboot the server's container starts at once and finds every name in place, which is
more than a cluster gives; with peerboot a Pod's name appears 0.3 s after its start, as measured on a node, and the
server's container starts when the startup probe passes. Healthy: every server's own /health says so.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.tables import AS_IN_THE_IMAGE, show, spread
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.container import Container
from peerboot.lab.errors import LabError
from peerboot.lab.servers import Server, find
from peerboot.outside.http import Http, HttpError

SIZES = (3, 5, 9)
METRICS_PORT = 2381
BOUND = 60.0


async def until(true: Callable[[], Awaitable[bool]], began: float) -> float:
    """Seconds since ``began`` at which something became so."""
    while not await true():
        if time.monotonic() - began > BOUND:
            raise LabError(f"not healthy within {BOUND:g} s")
        await asyncio.sleep(0.02)
    return time.monotonic() - began


class Health:
    """Asks servers whether they are healthy; one that was is not asked again."""

    def __init__(self, addresses: list[str]) -> None:
        self._left = set(addresses)
        self._http = Http()

    async def all(self) -> bool:
        healthy = await asyncio.gather(*(self._one(address) for address in sorted(self._left)))
        self._left -= {address for address, yes in zip(sorted(self._left), healthy, strict=True) if yes}
        return not self._left

    async def _one(self, address: str) -> bool:
        try:
            reply = await self._http.fetch("GET", f"http://{address}:{METRICS_PORT}/health", timeout=0.5)
        except HttpError:
            return False
        return reply.status == 200 and json.loads(reply.body).get("health") == "true"

    async def close(self) -> None:
        await self._http.close()


async def with_peerboot(server: Server, size: int, root: Path) -> tuple[float, float]:
    """Seconds from "all Pods started" to all config files written, and to all servers healthy."""
    lab = Lab(LabSpec(root=root, server=server, replicas=size, peerboot=AS_IN_THE_IMAGE))
    async with lab:
        began = time.monotonic()
        health = Health([pod.spec.address for pod in lab.pods.values()])

        async def written() -> bool:
            return all((pod.output / "etcd.yaml").exists() for pod in lab.pods.values())

        try:
            return await until(written, began), await until(health.all, began)
        finally:
            await health.close()


async def static(server: Server, size: int, root: Path) -> float:
    """Seconds from start to all healthy, with config files that a person wrote."""
    lab = Lab(LabSpec(root=root, server=server, replicas=size))
    await lab.start(only=())
    servers: list[Container] = []
    try:
        specs = [await lab.pod_spec(ordinal) for ordinal in lab.ordinals]
        zone = f"{lab.spec.service}.{lab.spec.namespace}.svc.{lab.spec.domain}"
        cluster = ",".join(f"{spec.name}=http://{spec.name}.{zone}:2380" for spec in specs)
        for spec in specs:
            run = spec.directory / "run"
            run.mkdir(parents=True)
            spec.volume.mkdir(parents=True)
            (run / "etcd.yaml").write_text(
                f"name: {spec.name}\ndata-dir: {spec.volume}/etcd\n"
                f"listen-peer-urls: http://{spec.address}:2380\nlisten-client-urls: http://{spec.address}:2379\n"
                f"listen-metrics-urls: http://{spec.address}:{METRICS_PORT}\n"
                f"initial-advertise-peer-urls: http://{spec.name}.{zone}:2380\n"
                f"advertise-client-urls: http://{spec.name}.{zone}:2379\n"
                f"initial-cluster: {cluster}\ninitial-cluster-state: new\n"
                "initial-cluster-token: static\npre-vote: true\n"
            )
            spec.publish()
        began = time.monotonic()
        for spec in specs:
            log, env = spec.logs / f"{spec.name}.log", {"PATH": "/usr/bin:/bin"}
            container = Container("server", spec.server, env, log, spec.timing)
            servers.append(container)
            container.start()
        health = Health([spec.address for spec in specs])
        try:
            return await until(health.all, began)
        finally:
            await health.close()
    finally:
        await asyncio.gather(*(container.stop(0.0) for container in servers))
        await lab.stop()


async def measure(runs: int) -> None:
    """Both ways in turn, for each size."""
    server = find("3.6")
    rows = [["Pods", "configs written", "healthy", "healthy, static", "ratio", "more", "within 1.1 x + 0.5 s"]]
    for size in SIZES:
        written, healthy, plain = [], [], []
        for _ in range(runs):
            with tempfile.TemporaryDirectory(prefix="pb-") as root:
                one, two = await with_peerboot(server, size, Path(root))
            written.append(one)
            healthy.append(two)
            with tempfile.TemporaryDirectory(prefix="pb-") as root:
                plain.append(await static(server, size, Path(root)))
        ours, theirs = statistics.median(healthy), statistics.median(plain)
        rows.append([
            str(size), spread(written), spread(healthy), spread(plain), f"{ours / theirs:.2f}", f"{ours - theirs:+.2f}",
            "yes" if ours <= 1.1 * theirs + 0.5 else "no",
        ])  # fmt: skip
    show(f"Seconds from all Pods started (etcd {server.version}; median, least and greatest of {runs})", rows)


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
