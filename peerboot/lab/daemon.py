"""The process behind ``peerboot lab up``: keeps a lab and takes requests over ``control.sock``, one JSON line each."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import shutil
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from peerboot.errors import PeerbootError
from peerboot.lab import jars, postgres, servers
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.errors import LabError
from peerboot.lab.sets import two_sets

REQUEST_LIMIT = 64 * 1024
MADE = ("volumes", "pods", "secrets", "logs", "hosts", "lab.json", "control.sock")
"""What a lab makes in its directory, and ``lab down`` removes. ``lab.json`` says that the directory is a lab's, and is
locked for as long as the lab lives."""
OTHERS = ("lab.log",)


class Daemon:
    """The sets of one lab, and its socket."""

    def __init__(self, root: Path, labs: Sequence[Lab]) -> None:
        """``labs``: that which another is beside comes first."""
        self._root = root
        self._labs = labs
        self._over = asyncio.Event()
        self._one = asyncio.Lock()

    async def run(self) -> None:
        """Until a request, SIGTERM or SIGINT ends it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        path = self._root / "control.sock"
        server = await asyncio.start_unix_server(self._connected, str(path), limit=REQUEST_LIMIT)
        path.chmod(0o600)
        async with contextlib.AsyncExitStack() as stack:
            for lab in self._labs:
                await stack.enter_async_context(lab)
            await self._over.wait()
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(110):
                request = json.loads(await reader.readline())
                # One change at a time; a look is always possible.
                looks = request["command"] in ("status", "exec", "down")
                async with contextlib.nullcontext() if looks else self._one:
                    answer = await self._answer(request)
        except (ValueError, KeyError, TypeError) as error:
            answer = {"error": f"not a request: {error}"}
        except (PeerbootError, OSError, TimeoutError) as error:
            answer = {"error": str(error) or "it took too long"}
        with contextlib.suppress(OSError):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        command = request["command"]
        if command == "status":
            return await self._status()
        if command == "down":
            self._over.set()
            return {"say": "The lab has ended; its volumes, logs and secrets are removed."}
        if command == "dns":
            return self._dns(request)
        lab, ordinal = self._pod(str(request["pod"]), there=command not in ("start", "wipe"))
        name = lab.pod_name(ordinal)
        match command:
            case "exec":
                return {"env": lab.pods[ordinal].env}
            case "start":
                if ordinal in lab.pods:
                    raise LabError(f"{name} is there already")
                await lab.create(ordinal)
                return {"say": f"{name} starts."}
            case "wipe":
                await lab.wipe(ordinal, recreate=not request["stay_down"])
                return {"say": f"{name} lost its node and its volume." + self._next(request)}
            case "kill":
                return await self._kill(lab, ordinal, str(request["what"]), request)
        raise LabError(f"{command!r} is no command of a lab")

    async def _kill(self, lab: Lab, ordinal: int, what: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        name, stays = lab.pod_name(ordinal), bool(request["stay_down"])
        if what in ("server", "peerboot"):
            if stays:
                raise LabError("a container alone cannot stay down: its kubelet restarts it; use --what pod")
            lab.kill(ordinal, what)
            return {"say": f"The {what} container of {name} is killed; it is restarted alone."}
        if what == "pod":
            await lab.crash(ordinal, recreate=not stays)
            return {"say": f"Everything in {name} was killed at once." + self._next(request)}
        await lab.delete(ordinal, force=what == "force", recreate=not stays)
        return {"say": f"{name} was deleted." + self._next(request)}

    @staticmethod
    def _next(request: Mapping[str, Any]) -> str:
        return " It stays down until `peerboot lab start`." if request["stay_down"] else " A new Pod starts."

    def _dns(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        pod, mode, delay = str(request.get("pod") or ""), str(request["mode"]), request.get("delay")
        labs = (self._pod(pod, there=False)[0],) if pod else self._labs
        for lab in labs:
            lab.dns.fault(mode, pod or None)
            if delay is not None or mode == "ok":
                lab.dns.delay(float(delay or 0), pod or None)
        late = f", {delay:g} s late" if delay else ""
        return {"say": f"DNS is {mode}{late} for {pod or 'all Pods'}."}

    def _pod(self, pod: str, *, there: bool) -> tuple[Lab, int]:
        names = {lab.pod_name(ordinal): (lab, ordinal) for lab in self._labs for ordinal in lab.ordinals}
        if pod not in names:
            raise LabError(f"{pod!r} is no Pod of this lab: use one of {', '.join(names)}")
        lab, ordinal = names[pod]
        if there and ordinal not in lab.pods:
            raise LabError(f"{pod} is down: `peerboot lab start {pod}` starts it")
        return lab, ordinal

    async def _status(self) -> Mapping[str, Any]:
        pods = [pod for found in await asyncio.gather(*map(_look, self._labs)) for pod in found]
        return {
            "pods": pods, "ready": all(pod["ready"] for pod in pods), "logs": str(self._root / "logs"),
            "names": all(lab.names for lab in self._labs),
        }  # fmt: skip


async def _look(lab: Lab) -> list[Mapping[str, Any]]:
    """Every expected Pod of a set."""
    faults = lab.dns.faults()
    ready = dict(zip(lab.ordinals, await asyncio.gather(*(lab.ready(o) for o in lab.ordinals)), strict=True))
    pods: list[Mapping[str, Any]] = []
    for ordinal in lab.ordinals:
        pod, name = lab.pods.get(ordinal), lab.pod_name(ordinal)
        pods.append({
            "pod": name, "address": pod.spec.address if pod else "-",
            # By its file too, which is written a moment after the answer: who reads this reads its sentence next.
            "ready": pod is not None and ready[ordinal] and pod.says_ready(),
            "phase": pod.phase if pod else "down", "sentence": pod.sentence() if pod else "",
            "restarts": max(pod.server.starts - 1, 0) + max(pod.sidecar.starts - 1, 0) if pod else 0,
            "dns": faults.get(name, faults.get("*", "ok")),
        })  # fmt: skip
    return pods


@contextlib.contextmanager
def owned(root: Path, plan: Mapping[str, Any]) -> Iterator[None]:
    """The directory is this lab's for so long; afterwards what the lab made in it is gone. Raises ``LabError``."""
    marker = root / "lab.json"
    strangers = [path.name for path in root.iterdir() if path.name not in OTHERS]
    if strangers and not marker.exists():
        # What is removed in the end has plain names: it must not be somebody's own.
        raise LabError(f"{root} holds other things ({min(strangers)}): name an empty directory with --dir")
    with marker.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"a lab runs in {root} already: `peerboot lab down` ends it") from None
        _remove(root, keep=("lab.json",))  # of one that was killed
        lock.truncate(0)
        lock.write(json.dumps(plan) + "\n")
        lock.flush()
        try:
            yield
        finally:
            _remove(root)


def _remove(root: Path, keep: Collection[str] = ()) -> None:
    for made in (root / name for name in MADE if name not in keep):
        if made.is_dir():
            shutil.rmtree(made)
        else:
            made.unlink(missing_ok=True)


async def main(root: Path, plan: Mapping[str, Any]) -> None:
    """Keep a lab until told to stop."""
    find = {"kafka": jars.find, "postgres": postgres.find}.get(plan["system"], servers.find)
    spec = LabSpec(
        root=root, server=find(plan["server"]), replicas=plan["replicas"], cache=plan["cache"],
        style="init" if plan["init"] else "native",
    )  # fmt: skip
    with owned(root, plan):
        await Daemon(root, two_sets(spec, _log) if plan["split"] else (Lab(spec, _log),)).run()


def _log(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
    except PeerbootError as problem:
        print(problem, flush=True)
        sys.exit(problem.exit_code)
