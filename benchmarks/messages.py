"""Messages that one peerboot sends a minute, at rest and while a set forms, at 3 to 1000 Pods; and a compressed day.

``python -m benchmarks.messages``. The real scheduler (``peerboot.loops``, ``peers.pace``, real census and discovery)
over doors that only count, with time turned. A DNS question counts once: a set of more than sixteen asks over TCP from
its second question on. The day: three real nodes and a modelled etcd, and the process's memory as the hours go by.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks.tables import show
from peerboot import census
from peerboot.discovery import Discovery
from peerboot.log import Log
from peerboot.loops import Doors, Loops
from peerboot.model import ClusterView, Decision, Identity, Statement
from peerboot.outside.dns import Reply as DnsReply
from peerboot.outside.dns import Srv
from peerboot.outside.http import HttpError, Reply
from peerboot.pace import Pace
from peerboot.statedir import StateDir
from peerboot.systems.etcd.assess import MAX_SERVERS
from tests.run.turned import TurnedClock, run
from tests.run.world import world

SIZES = (3, 10, 100, 1000)
KEY = b"0123456789abcdef0123456789abcdef"
RESTING = Decision(kind="idle", rule="serving", reason="serves")
FORMING = Decision(kind="wait", rule="wait-for-all", reason="one is missing", waits_for=("db-1",))
MINUTES = {"at rest": 20, "forming": 5}
HOURS = (1, 6, 12, 24)
SLACK = 1.05


class Counting:
    """The doors of one Pod of a set: DNS, HTTP and the servers, all of them quick and right."""

    def __init__(self, n: int, missing: frozenset[str]) -> None:
        self.sent: Counter[str] = Counter()
        self.spelling = "plain"
        self.me = Identity(
            namespace="prod", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd",
            ips=("10.0.0.0",), domain="cluster.local", replicas=n,
        )  # fmt: skip
        self._pods = [pod for pod in self.me.expected if pod not in missing]
        self._at = {f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}": pod for i, pod in enumerate(self._pods)}

    async def srv(self, _name: str) -> DnsReply:
        self.sent["DNS"] += 1
        await asyncio.sleep(0.002)
        found = tuple(Srv(self.me.name_of(pod), 7070, (address,)) for address, pod in self._at.items())
        return DnsReply("found", ttl=30.0, via="udp", srv=found)

    async def fetch(self, _method: str, url: str, *, headers: Mapping[str, str] | None = None, **_more: Any) -> Reply:
        self.sent["census"] += 1
        await asyncio.sleep(0.002)
        pod = self._at.get(urlsplit(url).hostname or "")
        if pod is None:
            raise HttpError("connection refused")
        them = msgspec.structs.replace(self.me, pod=pod)
        word = Statement(
            namespace="prod", service="peers", statefulset="db", system="etcd", pod=pod, boot=f"boot-{pod}",
            replicas=self.me.replicas, disk="blank", nonce=pod,
        )  # fmt: skip
        asked = {name.lower(): value for name, value in (headers or {}).items()}
        status, given, body = census.answer(them, (KEY,), True, asked, word)
        return Reply(status, {name.lower(): value for name, value in given.items()}, body)

    async def look(self, _http: object, servers: Mapping[str, object], **how: Any) -> ClusterView:
        self.sent["servers"] += 1 if how["rest"] else min(len(servers), MAX_SERVERS)
        return ClusterView(at=how["now"])


async def per_minute(n: int, phase: str) -> dict[str, float]:
    """Messages a minute by kind; while forming, one Pod is missing and everybody waits for it."""
    forming = phase == "forming"
    world_ = Counting(n, frozenset({"db-1"} if forming else ()))
    clock = TurnedClock(n)
    doors: Any = world_
    with tempfile.TemporaryDirectory(prefix="pb-") as root:
        loops = Loops(
            world_.me,
            Doors(
                clock=clock, dns=doors, http=doors, discovery=Discovery(world_.me, "peerboot", doors, clock),
                census=census.Census(world_.me, doors, clock, lambda: (KEY,), "boot"),
                state=StateDir(Path(root), world_.me, clock), system=doors,
                log=Log("text", "error", "db-0", io.StringIO()),
            ),
            Pace(),
        )  # fmt: skip
        loops.follow(FORMING if forming else RESTING)
        tasks = [asyncio.create_task(loop()) for loop in (loops.dns, loops.census, loops.servers)]
        await asyncio.sleep(120)  # the pace has settled
        world_.sent.clear()
        await asyncio.sleep(60 * MINUTES[phase])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {kind: count / MINUTES[phase] for kind, count in world_.sent.items()}


def messages() -> bool:
    """The table of messages; whether nothing grows faster than the number of Pods at rest."""
    kinds = ("DNS", "census", "servers")
    rows = [["Pods", "phase", *kinds, "DNS a second, fleet-wide", "census a second, fleet-wide"]]
    rest: list[dict[str, float]] = []
    for n in SIZES:
        for phase in MINUTES:
            found = run(per_minute(n, phase))
            if phase == "at rest":
                rest.append(found)
            fleet = [f"{found.get(kind, 0) * n / 60:.1f}" for kind in ("DNS", "census")]
            rows.append([
                str(n), phase, *(f"{found.get(kind, 0):.1f}" for kind in kinds), *fleet,
            ])  # fmt: skip
    show("Messages per Pod and minute (time turned; forming: everybody waits for one that is missing)", rows)
    # A set of three has fewer than four others to ask in turn, so the second size sets the measure.
    flat = all(found[kind] <= SLACK * rest[1][kind] for found in rest for kind in kinds)
    print(f"  at rest nothing grows faster than the number of Pods: {'yes' if flat else 'NO'}")
    return flat


def resident() -> float:
    """This process's resident memory in MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def day() -> list[list[str]]:
    """A day of three nodes at rest, and the process's memory."""
    rows = [["hour", "RSS of the process, MiB", "objects"]]
    with tempfile.TemporaryDirectory(prefix="pb-") as root:
        async with world(Path(root), 3) as three:
            await three.formed()
            passed = 0
            for hour in HOURS:
                await asyncio.sleep((hour - passed) * 3600)
                passed = hour
                rows.append([str(hour), f"{resident():.1f}", str(len(gc.get_objects()))])
    return rows


def main() -> int:
    """Both tables; 1 when something grows faster than the set."""
    flat = messages()
    show("A compressed day of three nodes in one process", run(day()))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
