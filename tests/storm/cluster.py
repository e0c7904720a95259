"""The set of a storm: a lab whose Pods have skewed clocks, some with small volumes, and a look at its servers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peerboot.lab.client import Client, ClientError
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.container import Timing
from peerboot.lab.servers import VERSIONS, find
from peerboot.outside.http import Http
from tests.doors.api_server import ApiServer
from tests.storm import disks, skewed
from tests.storm.law import Look

TIMING = Timing(restart=0.4, backoff=0.6, backoff_most=3.0, recreate=0.8, grace=8.0)
"""What takes long in a storm is what servers take."""
LEAVES = 25.0
"""Seconds of grace for one that is scaled away: it has 20 of them to leave."""
BASE = """\
# Snapshots and cut logs every few minutes, so that who lags behind gets a snapshot from the leader.
snapshot-count: 2000
auto-compaction-mode: revision
auto-compaction-retention: "20000"
"""
ROOT = Path(__file__).parents[2]
ASKED = 3.0
TOKEN = "a-token-of-the-storm"


@dataclass(frozen=True)
class Said:
    """One server's own word: ``/v3/maintenance/status``."""

    cluster: str
    member: str
    leader: str
    applied: int
    learner: bool


class StormLab(Lab):
    """A lab that knows which of its disks were lost, and what was on them."""

    def __init__(
        self, root: Path, replicas: int, small: tuple[int, ...], notice: Callable[[str], None], api: ApiServer, ca: Path
    ) -> None:
        """``api``: answers the set's live number of replicas, as a Kubernetes API with this CA does."""
        (root / "account").mkdir(parents=True)
        (root / "account" / "token").write_text(TOKEN, encoding="ascii")
        shutil.copy(ca, root / "account" / "ca.crt")
        base = root / "base.yaml"
        base.write_text(BASE, encoding="utf-8")
        env = {
            "PYTHONPATH": str(ROOT), "PEERBOOT_BASE_CONFIG_FILE": str(base), skewed.ACCOUNT: str(root / "account"),
            "PEERBOOT_REPLICAS_FROM": "statefulset", "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(api.port),
        }  # fmt: skip
        super().__init__(
            LabSpec(
                root=root, server=find(VERSIONS[-1]), replicas=replicas, namespace="prod", env=env,
                peerboot=skewed.SKEWED, timing=TIMING,
            ),
            notice,
        )  # fmt: skip
        self.api = api.api
        self.api.replicas, self.api.pods = replicas, lambda: len(self.pods)
        self.small = small
        (root / "clocks").mkdir(exist_ok=True)
        self.pod_env = {o: {skewed.VARIABLE: str(self.clock(o))} for o in self.ordinals}
        for ordinal in small:
            disks.mount_small(self.volume(ordinal))
        self.lost: list[tuple[int, float]] = []
        """Ordinals whose disk was lost, or that were scaled away, with the loop's time."""
        self._asked = Http()

    def clock(self, ordinal: int) -> Path:
        """The file that says how wrong a Pod's clock is."""
        return self.spec.root / "clocks" / self.pod_name(ordinal)

    async def stop(self) -> None:
        await super().stop()
        await self._asked.close()
        for ordinal in self.small:
            disks.unmount(self.volume(ordinal))

    def scale(self, replicas: int) -> None:
        """``kubectl scale``, as the API tells it: those that are not wanted any more may lose their member."""
        now = asyncio.get_running_loop().time()
        self.lost += [(ordinal, now) for ordinal in self.ordinals if ordinal >= replicas]
        self.api.scale(replicas)

    async def wipe(self, ordinal: int, *, recreate: bool = True) -> None:
        self.lost.append((ordinal, asyncio.get_running_loop().time()))
        if ordinal not in self.small:
            await super().wipe(ordinal, recreate=recreate)
            return
        if ordinal in self.pods:
            await self._crash(ordinal)
        disks.unmount(self.volume(ordinal))
        disks.mount_small(self.volume(ordinal))
        if recreate:
            await self.create(ordinal)

    # ----------------------------------------------------------------- look

    def client(self, ordinal: int) -> Client:
        """Of one Pod's server. Raises ``KeyError`` where there is no such Pod now."""
        return Client(self.client_url(ordinal), self._asked)

    def urls(self) -> Mapping[str, str]:
        """The servers by Pod, as clients know them."""
        return {self.pod_name(ordinal): self.client_url(ordinal) for ordinal in sorted(self.pods)}

    async def said(self, ordinal: int) -> Said | None:
        """What one server says of itself; None where it does not answer."""
        found = await self.answer(ordinal, "/v3/maintenance/status")
        if found is None:
            return None
        header = found.get("header") or {}
        return Said(
            cluster=f"{int(header.get('cluster_id', 0)):x}", member=f"{int(header.get('member_id', 0)):x}",
            leader=f"{int(found.get('leader', 0)):x}", applied=int(found.get("raftAppliedIndex", 0)),
            learner=bool(found.get("isLearner")),
        )  # fmt: skip

    async def answer(
        self, ordinal: int, path: str, body: Mapping[str, object] | None = None, timeout: float = ASKED
    ) -> dict[str, Any] | None:
        """One server's answer to one request; None without one."""
        with contextlib.suppress(ClientError, KeyError):
            return await self.client(ordinal).call(path, body or {}, timeout)
        return None

    async def all_said(self) -> dict[int, Said]:
        """Of every server that answers."""
        ordinals = sorted(self.pods)
        found = await asyncio.gather(*(self.said(ordinal) for ordinal in ordinals))
        return {ordinal: said for ordinal, said in zip(ordinals, found, strict=True) if said is not None}

    async def members(self) -> dict[str, dict[str, Any]]:
        """The linearizable list, of the first who gives it; empty when nobody does."""
        for ordinal in sorted(self.pods):
            with contextlib.suppress(ClientError, KeyError):
                return await self.client(ordinal).members(ASKED)
        return {}

    async def look(self) -> Look:
        """For the law: the cluster as it is now, by its servers' words and by the volumes."""
        before = await self.all_said()
        committed = max((said.applied for said in before.values()), default=0)
        listed = await self.members()
        now = await self.all_said()
        ids = {ordinal: disks.identity(self.data_dir(ordinal)) for ordinal in self.ordinals}
        return Look(
            size=self.spec.replicas,
            listed={member: not row.get("isLearner") for member, row in listed.items()},
            committed=committed,
            on_disk={ordinal: found[1] for ordinal, found in ids.items() if found is not None},
            serving={ordinal: (said.member, said.applied) for ordinal, said in now.items()},
        )
