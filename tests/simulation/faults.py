"""The faults of a simulation: each by a name, how its particulars are drawn, and how it is done to a world.

A fault with an end lasts ``event.lasts`` seconds and undoes itself; whatever stops a Pod puts it up again. One that met
nothing (no message to lose, no data to wipe) does not count as fired.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from peerboot.errors import PeerbootError
from tests.run.etcd_model import Entry, Files
from tests.run.world import Pod
from tests.simulation.raft import Exit, State
from tests.simulation.schedule import Event
from tests.simulation.server import Server, host_of
from tests.simulation.world import GARBAGE, SimWorld

Do = Callable[[SimWorld, Event], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    say: str
    do: Do


def _pods(w: SimWorld, event: Event) -> list[Pod]:
    """Those that the event names and that are in the set now."""
    return [w.pods[i] for i in event.pods if i < len(w.pods)]


async def _lasts(w: SimWorld, event: Event) -> None:
    del w
    await asyncio.sleep(event.lasts)


async def _stopped(w: SimWorld, pod: Pod) -> None:
    """The Pod is gone, at once."""
    w.tell(f"{pod.name} is stopped")
    await pod.stop()


# --------------------------------------------------------------------- network


async def loss(w: SimWorld, event: Event) -> None:
    """Requests or answers between Pods are lost."""
    w.air.loss = event.amount
    await _lasts(w, event)
    w.air.loss = 0.0


async def delay(w: SimWorld, event: Event) -> None:
    """They take up to so many seconds."""
    w.air.delay = event.amount
    await _lasts(w, event)
    w.air.delay = 0.0


async def reorder(w: SimWorld, event: Event) -> None:
    """They arrive late, when nobody waits for them any more."""
    w.air.reorder = event.amount
    await _lasts(w, event)
    w.air.reorder = 0.0


async def cut(w: SimWorld, event: Event) -> None:
    """From all others, or from one, in one direction or in both."""
    for pod in _pods(w, event)[:1]:
        others = [p.name for p in w.pods if p is not pod]
        if event.how != "all":
            others = others[:1]
        pairs = {(pod.name, o) for o in others}
        pairs |= {(o, pod.name) for o in others} if event.how != "one-way" else set()
        w.cut |= pairs
        w.fired["cut"] += bool(pairs)
        await _lasts(w, event)
        w.cut -= pairs


async def stale_dns(w: SimWorld, event: Event) -> None:
    """One replica goes on to say what it says now."""
    view = w.replicas[int(event.amount) % len(w.replicas)]
    view.stale = view.published()
    await _lasts(w, event)
    view.stale = None


async def dns_outage(w: SimWorld, event: Event) -> None:
    """All of DNS."""
    w.weather = event.how  # type: ignore[assignment]
    await _lasts(w, event)
    w.weather = "fine"


async def api_outage(w: SimWorld, event: Event) -> None:
    """Counted by requests that met it."""
    w.api.weather = event.how  # type: ignore[assignment]
    asked = len(w.api.asked)
    await _lasts(w, event)
    w.fired["api-outage"] += len(w.api.asked) - asked
    w.api.weather = "fine"


# ------------------------------------------------------------------- processes


async def restart(w: SimWorld, event: Event) -> None:
    """The Pods are deleted and made anew, with their volumes."""
    pods = _pods(w, event)
    for pod in pods:
        await _stopped(w, pod)
    w.fired["restart"] += len(pods)
    await _lasts(w, event)
    for pod in pods:
        if pod in w.pods:
            w.put_up(pod)


async def crash(w: SimWorld, event: Event) -> None:
    """peerboot dies right after one of its next actions; counted where it strikes."""
    for pod in _pods(w, event):
        w.deaths[pod.name] = int(event.amount)
    await _lasts(w, event)


async def kill_server(w: SimWorld, event: Event) -> None:
    """etcd alone dies; the kubelet starts it again without asking."""
    for pod in _pods(w, event):
        if pod.server is not None and pod.server.member is not None:
            pod.server.member.exits = Exit(137, "killed")
            w.fired["kill-server"] += 1


async def slow_disk(w: SimWorld, event: Event) -> None:
    """Writes of peerboot and of etcd take seconds; counted where one does."""
    for pod in _pods(w, event):
        w.slow[pod.name] = event.amount
    end = w.now + event.lasts
    while w.now < end:
        for pod in _pods(w, event):
            if pod.server is not None and pod.server.member is not None:
                pod.server.member.slow_until = w.now + event.amount
                w.fired["slow-disk"] += 1
        await asyncio.sleep(event.amount + 1.0)
    for pod in _pods(w, event):
        w.slow.pop(pod.name, None)


async def slow_start(w: SimWorld, event: Event) -> None:
    """Servers create their log and get no further for a while: cut off, they leave it so."""
    w.slow_start = event.amount
    w.fired["slow-start"] += 1
    await _lasts(w, event)
    w.slow_start = 0.05


async def clock_jump(w: SimWorld, event: Event) -> None:
    """The wall clock of a node; its steady clock goes on."""
    for pod in _pods(w, event):
        w.jumped[pod.name] += event.amount
        w.fired["clock-jump"] += 1


async def twin(w: SimWorld, event: Event) -> None:
    """A second Pod of one name: with a volume of its own, or (``same``) with the very volume of the first."""
    for pod in _pods(w, event)[:1]:
        folder = pod.folder or pod.name if event.how == "same" else f"twin-{len(w.trace.told)}"
        environ = {k: v for k, v in pod.environ.items() if k.startswith("PEERBOOT_REPL") or k == "PEERBOOT_ANCHOR"}
        environ |= {k: v for k, v in pod.environ.items() if k.startswith("PEERBOOT_ETCD")}
        other = w.pod(pod.name, f"10.1.2.{len(w.trace.told) % 250 + 1}", folder, f"run-{len(w.trace.told)}", **environ)
        w.tell(f"a twin of {pod.name} comes up ({event.how})")
        other.start()
        w.fired["twin"] += pod.node is not None
        await _lasts(w, event)
        w.tell(f"the twin of {pod.name} is gone")
        await other.stop()


# --------------------------------------------------------------------- volumes


async def wipe(w: SimWorld, event: Event) -> None:
    """The Pods come back with new volumes."""
    pods = _pods(w, event)
    for pod in pods:
        await _stopped(w, pod)
    for pod in pods:
        w.fired["wipe"] += pod.data_dir.exists()
        w.tell(f"the volume of {pod.name} is replaced")
        shutil.rmtree(pod.home / "volume", ignore_errors=True)
        w.forget(pod)
        w.broken.discard(pod.name)
    await _lasts(w, event)
    for pod in pods:
        if pod in w.pods:
            w.put_up(pod)


def exchange(one: Path, other: Path) -> None:
    """Two directories change places."""
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


async def swap(w: SimWorld, event: Event) -> None:
    """Two Pods come back with each other's volume; ``back``: after a while a person puts that right."""
    pods = _pods(w, event)[:2]
    if len(pods) < 2 or not all((pod.home / "volume").exists() for pod in pods):
        return
    for turn in range(2 if event.how == "back" else 1):
        for pod in pods:
            await _stopped(w, pod)
        for pod in pods:
            w.forget(pod)
        exchange(pods[0].home / "volume", pods[1].home / "volume")
        w.tell(f"the volumes of {pods[0].name} and {pods[1].name} change places")
        w.fired["swap"] += not turn
        for pod in pods:
            if pod in w.pods:
                w.put_up(pod)
        if event.how == "back" and not turn:
            await _lasts(w, event)


async def restore(w: SimWorld, event: Event) -> None:
    """A snapshot of a volume is taken, and put back later: all of it, or (``data``) without peerboot's own state."""
    for pod in _pods(w, event)[:1]:
        kept = w.root / f"snapshot-{len(w.trace.told)}"
        if not (pod.home / "volume").exists():
            return
        shutil.copytree(pod.home / "volume", kept)
        await _lasts(w, event)
        async with w.hands[pod.name]:
            await _stopped(w, pod)
            before = w.disk_of(pod)
            length = _length(pod.data_dir)
            if event.how == "data":
                w.forget(pod)
                shutil.rmtree(pod.data_dir, ignore_errors=True)
                if (kept / "etcd").exists():
                    shutil.copytree(kept / "etcd", pod.data_dir)
            else:
                w.forget(pod)
                shutil.rmtree(pod.home / "volume", ignore_errors=True)
                shutil.copytree(kept, pod.home / "volume")
            w.broken.discard(pod.name)
            w.tell(f"the volume of {pod.name} is as it was ({event.how})")
            now = _length(pod.data_dir)
            w.fired["restore"] += (before, length) != (w.disk_of(pod), now)
            w.copied(pod, now)
            if pod in w.pods:
                w.put_up(pod)


async def clone(w: SimWorld, event: Event) -> None:
    """Data of one Pod is copied over that of another one; what peerboot remembers there stays, or goes too."""
    pods = _pods(w, event)[:2]
    if len(pods) < 2 or not (pods[0].data_dir / "member").exists():
        return
    await _stopped(w, pods[1])
    w.forget(pods[1])
    shutil.rmtree(pods[1].data_dir, ignore_errors=True)
    if event.how == "all":
        shutil.rmtree(pods[1].state_dir, ignore_errors=True)
    shutil.copytree(pods[0].data_dir, pods[1].data_dir)
    w.tell(f"the data of {pods[0].name} is copied to {pods[1].name} ({event.how})")
    w.fired["clone"] += 1
    w.copied(pods[1], _length(pods[1].data_dir))
    await _lasts(w, event)
    if pods[1] in w.pods:
        w.put_up(pods[1])


def _length(data_dir: Path) -> int:
    files = Files(data_dir)
    return len(State.read(files).log) if files.remembered.exists() else 0


async def damage(w: SimWorld, event: Event) -> None:
    """A file is garbled, hidden or put elsewhere while the Pod is down; ``unreadable`` passes."""
    for pod in _pods(w, event)[:1]:
        await _stopped(w, pod)
        wal, state = Files(pod.data_dir).wal, pod.state_dir / "state.json"
        hidden = pod.data_dir / "member" / "hidden"
        w.tell(f"damage of {pod.name}: {event.how}")
        if event.how == "log" and wal.exists():
            wal.write_bytes(GARBAGE)
            w.broken.add(pod.name)
        elif event.how == "state" and state.exists():
            state.write_bytes(state.read_bytes()[:40])
            w.broken.add(pod.name)
        elif event.how == "elsewhere" and (pod.data_dir / "member").exists():
            shutil.rmtree(pod.state_dir, ignore_errors=True)
            pod.data_dir.rename(pod.data_dir.with_name("moved"))
            w.broken.add(pod.name)
        elif event.how == "unreadable" and wal.exists():
            wal.parent.rename(hidden)
            wal.parent.write_bytes(b"")
        else:
            w.put_up(pod)
            return
        w.fired["damage"] += 1
        w.put_up(pod)
        if event.how == "unreadable":
            await _lasts(w, event)
            await _stopped(w, pod)
            wal.parent.unlink()
            hidden.rename(wal.parent)
            w.put_up(pod)


# ---------------------------------------------------------------------- people


async def scale(w: SimWorld, event: Event) -> None:
    """``kubectl scale``; Pods that go are ended gracefully, or (``killed``) at once."""
    replicas = int(event.amount)
    if replicas == len(w.pods):
        return
    w.tell(f"scaled to {replicas}")
    w.fired["scale"] += 1
    w.api.scale(replicas)
    for ordinal in range(len(w.pods), replicas):
        w.pods.append(w.made(ordinal))
        w.put_up(w.pods[-1])
    gone = w.pods[replicas:][::-1]
    del w.pods[replicas:]

    async def end(pod: Pod) -> None:
        if event.how == "killed" or pod.node is None:
            await pod.stop()
        else:
            w.tell(f"{pod.name} ends: {await pod.terminate()}")

    await asyncio.gather(*(end(pod) for pod in gone))


async def _say(w: SimWorld, at: Pod, name: str, **more: object) -> bool:
    """One word of a person at a Pod; whether it was taken."""
    if at.node is None:
        return False
    try:
        await at.view.admin(name, {"who": "ann", **more})
    except PeerbootError as error:
        w.tell(f"{name} at {at.name} is not taken: {error}")
        return False
    w.tell(f"{name} at {at.name}: {more}")
    return True


async def hold(w: SimWorld, event: Event) -> None:
    """A person holds changes for a while."""
    for pod in _pods(w, event)[:1]:
        w.fired["hold"] += await _say(w, pod, "hold", all=event.how == "all", seconds=max(event.lasts, 1.0))


async def gone_for_good(w: SimWorld, event: Event) -> None:
    """A person says at one Pod that another one is gone for good."""
    pods = _pods(w, event)[:2]
    if len(pods) == 2 and await _say(w, pods[0], "remove", pod=pods[1].name, yes=True):
        w.said[pods[1].name] = w.now
        w.fired["gone-for-good"] += 1


async def by_hand(w: SimWorld, event: Event) -> None:
    """Somebody with etcdctl changes the membership, past peerboot."""
    for pod in _pods(w, event)[:1]:
        found = next(((p.server, m) for p, m in w.servers() if m.leads and isinstance(p.server, Server)), None)
        if found is None:
            return
        _, leader = found
        entry: Entry | None = next((m for m in leader.members.values() if pod.name == _label(m)), None)
        if event.how == "remove" and entry is not None and len(leader.voters()) > 1:
            leader.append("remove", entry.id)
        elif event.how == "update" and entry is not None:
            leader.append("update", entry.id, (entry.peer_urls[0].replace(":2380", ":2399"),))
        elif event.how in ("add-voter", "add-learner") and entry is None:
            url = w.peer_url(pod.name)
            leader.append("add", w.new_id(url), "", (url,), event.how == "add-learner")
        else:
            return
        w.tell(f"by hand: {event.how} {pod.name}")
        w.fired["by-hand"] += 1


def _label(entry: Entry) -> str:
    return host_of(entry.peer_urls[0])


async def lift(w: SimWorld, event: Event) -> None:
    """The anchor is deleted and made anew, by a person."""
    w.api.ship()
    w.fired["anchor-anew"] += 1
    await _lasts(w, event)


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("loss", "requests and answers between Pods are lost", loss),
        Fault("delay", "they take long, some too long", delay),
        Fault("reorder", "requests arrive after later ones, when nobody waits for them any more", reorder),
        Fault("cut", "one Pod does not hear others, or is not heard", cut),
        Fault("stale-dns", "one of two replicas of DNS says what was so before", stale_dns),
        Fault("dns-outage", "DNS says SERVFAIL, NXDOMAIN or nothing", dns_outage),
        Fault("api-outage", "the Kubernetes API is silent, refuses, forbids or fails", api_outage),
        Fault("restart", "Pods are deleted and made anew", restart),
        Fault("crash", "peerboot dies right after an action", crash),
        Fault("kill-server", "etcd dies", kill_server),
        Fault("slow-disk", "writes take seconds", slow_disk),
        Fault("slow-start", "servers create their log and get no further", slow_start),
        Fault("clock-jump", "a node's clock is set forwards or back", clock_jump),
        Fault("twin", "a second Pod of one name", twin),
        Fault("wipe", "volumes are replaced by new ones", wipe),
        Fault("swap", "two Pods get each other's volume", swap),
        Fault("restore", "a snapshot of a volume is put back", restore),
        Fault("clone", "one Pod's data is copied to another", clone),
        Fault("damage", "files are garbled, hidden or put elsewhere", damage),
        Fault("scale", "the set is scaled", scale),
        Fault("hold", "a person holds automatic changes", hold),
        Fault("gone-for-good", "a person says that a Pod is gone for good", gone_for_good),
        Fault("by-hand", "somebody changes the membership past peerboot", by_hand),
        Fault("anchor-anew", "the anchor is deleted and made anew", lift),
    )
}
