"""What happens to volumes and members in these scenarios: copied, swapped, cut off on their first start, removed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from peerboot.lab.client import ClientError
from peerboot.lab.cluster import Lab
from peerboot.lab.network import Network
from peerboot.lab.servers import Server
from peerboot.outside.http import Http, HttpError
from tests.etcd.server import Etcd
from tests.real.scenes import client

PEER_PORT = 2380
CUT = "cut"
"""A file of this name on a volume: the next start of a server on it is cut off."""

CUTTING = '''#!{python}
"""Runs etcd; where the volume says so, kills it as soon as it has made its log, and leaves of that only the making."""
import os, pathlib, subprocess, sys, time
sys.path.insert(0, {tree!r})
import yaml
from tests.etcd.damage import frames, interrupt, last_segment
etcd, config = {etcd!r}, pathlib.Path(sys.argv[1].partition("=")[2])
try:
    data = pathlib.Path(yaml.safe_load(config.read_text())["data-dir"])
    mark = data.parent / {cut!r}
    cut = mark.exists()
except OSError:
    cut = False
if not cut:
    os.execv(etcd, [etcd, *sys.argv[1:]])
server = subprocess.Popen([etcd, *sys.argv[1:]])
while server.poll() is None and not any((data / "member" / "wal").glob("*.wal")):
    time.sleep(0.002)
server.kill()
server.wait()
if len(frames(last_segment(data))) > 3:
    interrupt(data, pathlib.Path({failed!r}))
mark.unlink()
# The next start is to come when peerboot has seen this one's end. How fast a kubelet restarts is not what is tested.
end = time.monotonic() + 30
while config.exists() and time.monotonic() < end:
    time.sleep(0.02)
sys.exit(137)
'''


def cutting(server: Server, root: Path) -> Server:
    """The same server; on volumes with a file ``cut`` its first start is cut off before anything is written."""
    network = Network()
    try:
        failed = Etcd(server, root / "failed", network.another(), keys={"initial-cluster-state": "existing"})
        failed.start()
        assert failed.exit_code() != 0
    finally:
        network.close()
    script = root / "cutting-etcd"
    tree = str(Path(__file__).parents[2])
    script.write_text(
        CUTTING.format(python=sys.executable, tree=tree, etcd=str(server.path), cut=CUT, failed=str(failed.data_dir))
    )
    script.chmod(0o755)
    return dataclasses.replace(server, path=script)


def cut_first_start(lab: Lab, *ordinals: int) -> None:
    """The first server on each of these volumes will be cut off."""
    for ordinal in ordinals:
        lab.volume(ordinal).mkdir(parents=True, exist_ok=True)
        (lab.volume(ordinal) / CUT).touch()


def token(lab: Lab, ordinal: int) -> str:
    """What the Pod was born into, by its state directory."""
    record = json.loads((lab.volume(ordinal) / ".peerboot" / "state.json").read_text())
    return str((record.get("birth") or {}).get("token", ""))


def has_nothing(lab: Lab, *ordinals: int) -> bool:
    """No server has ever written anything on these volumes, and none of them was born."""
    return all(not (lab.data_dir(o) / "member").exists() and token(lab, o) == "" for o in ordinals)


def content(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def saved(lab: Lab, ordinal: int) -> Path:
    """A copy of a volume that no server uses now."""
    return Path(shutil.copytree(lab.volume(ordinal), lab.spec.root / "saved" / f"{ordinal}"))


def give(lab: Lab, ordinal: int, volume: Path) -> None:
    """The Pod's volume is from now on a copy of this one."""
    shutil.rmtree(lab.volume(ordinal), ignore_errors=True)
    shutil.copytree(volume, lab.volume(ordinal))


async def all_gone(lab: Lab) -> None:
    """Every Pod is gone at once; the volumes stay."""
    await asyncio.gather(*(lab.crash(o, recreate=False) for o in list(lab.pods)))


async def until_says(lab: Lab, ordinal: int, text: str) -> None:
    """Wait until the reason of the Pod's decision holds this text."""

    async def says() -> bool:
        return text in str((await lab.decision(ordinal)).get("reason", ""))

    await lab.until(f"{lab.pod_name(ordinal)} says: {text}", says)


async def until_waits_for(lab: Lab, ordinal: int, *what: str) -> None:
    """Wait until the Pod waits for exactly this."""

    async def waits() -> bool:
        return (await lab.decision(ordinal)).get("waits_for") == [*what]

    await lab.until(f"{lab.pod_name(ordinal)} waits for {what}", waits)


async def peer_members(lab: Lab, asked: int) -> tuple[int, bytes]:
    """What one server answers its peers who ask for the members: status and text; 0 where it does not answer."""
    http = Http(tls=lab.spec.trust)
    host = lab.client_address(asked).rpartition(":")[0]
    try:
        reply = await http.fetch(
            "GET", f"{'https' if lab.spec.trust else 'http'}://{host}:{PEER_PORT}/members", timeout=5.0
        )
    except HttpError:
        return 0, b""
    finally:
        await http.close()
    return reply.status, reply.body


async def listed_by(lab: Lab, asked: int) -> dict[str, list[str]]:
    """Peer URLs by member id as one server sees them, with or without quorum."""
    _, text = await peer_members(lab, asked)
    return {f"{int(row['id']):x}": row["peerURLs"] for row in json.loads(text)}


async def change(
    lab: Lab, asked: int, what: str, body: Mapping[str, object], done: Callable[[], Awaitable[bool]]
) -> None:
    """A membership change by hand. etcd refuses it until all members were connected for 5 s, and forgets it when there
    is no leader at that moment: it is asked for again until the list shows it.
    """

    async def goes() -> bool:
        if await done():
            return True
        async with client(lab, asked) as etcd:
            with contextlib.suppress(ClientError):
                await etcd.call(f"/v3/cluster/member/{what}", body, timeout=2.0)
        return await done()

    await lab.until(f"{what} by hand", goes, 30)


async def remove(lab: Lab, asked: int, member: str) -> None:
    """Remove a member by hand, asking another Pod's server."""

    async def done() -> bool:
        return member not in await listed_by(lab, asked)

    await change(lab, asked, "remove", {"ID": str(int(member, 16))}, done)


async def add(lab: Lab, asked: int, urls: list[str], *, learner: bool) -> str:
    """Add a member by hand; returns its id."""

    async def done() -> bool:
        return urls in (await listed_by(lab, asked)).values()

    await change(lab, asked, "add", {"peerURLs": urls, "isLearner": learner}, done)
    return next(id_ for id_, listed in (await listed_by(lab, asked)).items() if listed == urls)


def same(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names whose member is still the same one."""
    return sorted(name for name in now if before.get(name) == now[name])
