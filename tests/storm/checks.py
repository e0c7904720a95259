"""What must hold all the time of a storm, and when it is calm. Whatever does not is a violation, and ends the storm."""

from __future__ import annotations

import asyncio
import base64
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from peerboot.lab.client import ClientError
from tests.storm import disks
from tests.storm.cluster import StormLab
from tests.storm.faults import Faults

LOOKS = 2.0
"""Seconds between two looks at everything."""
SENTENCE_WITHIN = 45.0
"""Seconds from the start of a peerboot to its first sentence, however loaded the machine is."""
SLACK = 15.0
"""Seconds by which a look may be late to see a new member."""
ENDS = (-9, -15, 0)
"""How a peerboot may end: by a kill, or told to stop. Whatever else is its own doing."""
GROWTH, ROOM = 1.25, 12 << 10
"""How much a peerboot's memory may grow from its second minute on: this share, and so many KiB."""
WARM = 60.0
EXITED = re.compile(r"(?P<pod>\S+): (?P<what>peerboot|server|init) exited with (?P<code>-?\d+) ")
UNCAUGHT = re.compile(r"Traceback \(most recent call last\)|never retrieved|a bug in peerboot")
REMOVES = re.compile(r" (?:(?:replace|leave)/[\w-]+|idle/(?:clean-up|reap-learner|remove-by-word)): |Done: remove ")
"""A decision that names its reason, which is logged before the call, or the call that was answered."""
DAMAGED = re.compile(r" replace/corrupt-replaced: ")
MEMBER = re.compile(r"\b[0-9a-f]{12,16}\b")


@dataclass
class Memory:
    """One process's resident memory in KiB, at its second minute and now, and its age in seconds."""

    first: int
    now: int
    began: float
    age: float = 0.0


@dataclass
class Watch:
    """Looks again and again, and keeps what it saw."""

    lab: StormLab
    say: Callable[[str], None]
    faults: Faults | None = None
    violations: list[str] = field(default_factory=list)
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    clusters: dict[str, str] = field(default_factory=dict)
    """Every cluster id ever seen, with where it was seen first."""
    seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Every member id ever listed: its Pod, and when it was seen first (the loop's time)."""
    ran: set[str] = field(default_factory=set)
    """Those that were seen with a name or a vote: a learner without a name has never run."""
    gone: dict[str, str] = field(default_factory=dict)
    """Members that are listed no more, with their Pod."""
    exits: Counter[str] = field(default_factory=Counter)
    damaged: list[tuple[str, float]] = field(default_factory=list)
    """Pods whose data did not read, by the decision to set it aside, with the loop's time."""
    waits: Counter[str] = field(default_factory=Counter)
    """Looks at which a Pod's sentence was of this kind and rule."""
    ready: int = 0
    memory: dict[int, Memory] = field(default_factory=dict)
    most_memory: int = 0
    _silent: dict[str, float] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)
    _removals: set[str] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None

    def violated(self, what: str) -> None:
        """Note it and end the storm."""
        if what not in self.violations:
            self.violations.append(what)
            self.say(f"VIOLATION: {what}")
        self.broken.set()

    def notice(self, text: str) -> None:
        """What the lab says of containers."""
        found = EXITED.match(text)
        if found is None:
            return
        code = int(found["code"])
        self.exits[f"{found['what']} {code}"] += 1
        if found["what"] != "server" and code not in ENDS:
            self.violated(f"{text}: nobody ended it")

    def start(self) -> None:
        """Look in the background."""
        self._task = asyncio.create_task(self._look_again())
        # It ends only when it is stopped, or by an error, which ends the storm then.
        self._task.add_done_callback(lambda _task: self.broken.set())

    async def stop(self) -> None:
        """End; raises what it died of."""
        if self._task is None:
            return
        self._task.cancel()
        [result] = await asyncio.gather(self._task, return_exceptions=True)
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result

    async def _look_again(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOKS)

    async def look(self) -> None:
        """One look at everything."""
        self._sentences()
        self._disks()
        self._memory()
        self._logs()
        for ordinal, said in (await self.lab.all_said()).items():
            self._cluster(said.cluster, f"the server of {self.lab.pod_name(ordinal)}")
        await self._members()

    # -------------------------------------------------------- two clusters

    def _cluster(self, cluster: str, where: str) -> None:
        self.clusters.setdefault(cluster, where)
        if len(self.clusters) > 1:
            self.violated(f"two clusters: {', '.join(f'{id_} ({at})' for id_, at in self.clusters.items())}")

    def _disks(self) -> None:
        for ordinal in self.lab.ordinals:
            found = disks.identity(self.lab.data_dir(ordinal))
            if found is not None:
                self._cluster(found[0], f"the disk of {self.lab.pod_name(ordinal)}")

    # -------------------------------------------------------------- members

    async def _members(self) -> None:
        """A member may go only when its Pod's disk was lost or damaged, or the Pod scaled away, since it was added; or
        if it is a learner that has never run, which its Pod takes back when it could not write down that it is its own.
        """
        listed = await self.lab.members()
        now = asyncio.get_running_loop().time()
        for member, row in listed.items():
            self.seen.setdefault(member, (pod_of(row), now))
            if row.get("name") or not row.get("isLearner"):
                self.ran.add(member)
            if member in self.gone:
                self.violated(f"member {member} of {self.gone[member]} is listed again")
        if not listed:
            return
        self._logs()
        for member in set(self.seen) - set(listed) - set(self.gone):
            pod, since = self.seen[member]
            self.gone[member] = pod
            lost = [at for ordinal, at in self.lab.lost if self.lab.pod_name(ordinal) == pod and at >= since - SLACK]
            lost += [at for damaged, at in self.damaged if damaged == pod and at >= since - SLACK]
            if member in self.ran and not lost:
                self.violated(
                    f"member {member} of {pod} was removed: no disk of that Pod was lost, nor was it scaled away, "
                    "since it came"
                )

    def unnamed(self) -> list[str]:
        """Members that went, and no peerboot's log says that it removed them, in the run of the storm so far."""
        self._logs()
        return sorted(member for member in self.gone if member not in self._removals)

    # ------------------------------------------------------------ sentences

    def _sentences(self) -> None:
        now, self.ready = asyncio.get_running_loop().time(), 0
        for ordinal, pod in self.lab.pods.items():
            sentence = pod.sentence()
            self.ready += pod.says_ready()
            if sentence:
                self.waits[" ".join(sentence.split(" ", 2)[:2]).rstrip(":")] += 1
                self._silent.pop(pod.spec.uid, None)
                kind, _, reason = sentence.partition(": ")
                if not reason.strip():
                    self.violated(f"{pod.spec.name} says {kind} and no reason")
                continue
            stopped = self.faults is not None and self.faults.stopped[ordinal] > 0
            since = self._silent.setdefault(pod.spec.uid, now)
            if stopped or pod.sidecar.pid is None:
                # It cannot say anything; its time begins anew.
                self._silent[pod.spec.uid] = now
            elif now - since > SENTENCE_WITHIN:
                self.violated(f"{pod.spec.name} ({pod.spec.uid}) has said nothing for {now - since:.0f} s")

    # ------------------------------------------------------- logs and memory

    def _logs(self) -> None:
        for path in sorted((self.lab.spec.root / "logs").glob("*.peerboot.log")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                text = file.read()
            # The last line may be half of one.
            end = text.rfind(b"\n") + 1
            self._read[path] = self._read.get(path, 0) + end
            for line in text[:end].decode("utf-8", "replace").splitlines():
                if UNCAUGHT.search(line):
                    self.violated(f"{path.name}: {line[:200]}")
                if DAMAGED.search(line):
                    self.damaged.append((path.name.partition(".")[0], asyncio.get_running_loop().time()))
                    self.say(f"damaged: {path.name}: {line[:300]}")
                if REMOVES.search(line):
                    self._removals.update(MEMBER.findall(line))

    def _memory(self) -> None:
        now = asyncio.get_running_loop().time()
        for pod in self.lab.pods.values():
            pid = pod.sidecar.pid
            resident = _resident(pid) if pid is not None else 0
            if pid is None or not resident:
                continue
            self.most_memory = max(self.most_memory, resident)
            kept = self.memory.setdefault(pid, Memory(resident, resident, now))
            kept.age, kept.now = now - kept.began, resident
            if kept.age < WARM:
                kept.first = resident
            elif resident > kept.first * GROWTH + ROOM:
                self.violated(
                    f"the peerboot of {pod.spec.name} has {resident >> 10} MiB after {kept.age:.0f} s, "
                    f"and had {kept.first >> 10} MiB after a minute"
                )

    def oldest(self) -> Memory | None:
        """Of the process that lived longest."""
        return max(self.memory.values(), key=lambda one: one.age, default=None)

    # ----------------------------------------------------------------- calm

    async def unsettled(self) -> str:
        """What is not yet as it should be when nothing goes wrong any more; empty when all is well."""
        lab, size = self.lab, self.lab.spec.replicas
        said = await lab.all_said()
        if len(said) < size:
            return f"{len(said)} of {size} servers answer"
        listed = await lab.members()
        expected = {lab.pod_name(ordinal) for ordinal in lab.ordinals}
        if sorted(row.get("name", "") for row in listed.values()) != sorted(expected):
            return f"members: {sorted(row.get('name', '?') for row in listed.values())}"
        learners = [row.get("name", "") for row in listed.values() if row.get("isLearner")]
        if learners:
            return f"learners: {learners}"
        wrong = [o for o in said if listed.get(said[o].member, {}).get("name") != lab.pod_name(o)]
        if wrong:
            return f"servers that are not the member of their Pod: {wrong}"
        leaders = {one.leader for one in said.values()}
        if len(leaders) != 1 or leaders == {"0"}:
            return f"leaders: {sorted(leaders)}"
        ready = [ordinal for ordinal in lab.ordinals if not await lab.ready(ordinal)]
        if ready:
            return f"not ready: {ready}: {lab.pods[ready[0]].sentence()[:200]}"
        return ""

    async def same_everywhere(self) -> None:
        """A write that is new is read at every member, and all have the same hash of everything at its revision."""
        key, value = "storm/calm", f"{asyncio.get_running_loop().time()}"
        body = {"key": _coded(key), "value": _coded(value)}
        first = await _until(lambda: self.lab.client(0).call("/v3/kv/put", body, 10.0))
        revision = str(first["header"]["revision"])
        hashes = dict[tuple[str, str, str], list[str]]()
        for ordinal in self.lab.ordinals:
            name = self.lab.pod_name(ordinal)
            client = self.lab.client(ordinal)
            read = await _until(partial(client.get, key, 10.0))
            if read != value:
                self.violated(f"{name} reads {read} where {value} was acknowledged before")
            asked = partial(client.call, "/v3/maintenance/hashkv", {"revision": revision}, 10.0)
            found = await _until(asked)
            what = tuple(str(found.get(part, "0")) for part in ("hash", "hash_revision", "compact_revision"))
            hashes.setdefault((what[0], what[1], what[2]), []).append(name)
        # Members compact at moments of their own, and the hash is of what is left: compared where that is the same.
        by_compaction = Counter((revision, compacted) for _, revision, compacted in hashes)
        if any(count > 1 for count in by_compaction.values()):
            self.violated(f"members differ at one revision: {hashes}")


def pod_of(row: Mapping[str, Any]) -> str:
    """The Pod of a member: by its peer URL, for one that was never started has no name."""
    urls = row.get("peerURLs") or ["//?"]
    return str(urls[0]).partition("//")[2].partition(".")[0].partition(":")[0]


async def _until(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again for half a minute, while a leader is elected."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await ask()
            except (ClientError, KeyError):
                await asyncio.sleep(0.3)


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _resident(pid: int) -> int:
    """KiB; 0 where there is no such process any more, or it is still the program that starts it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (OSError, ValueError):
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) if found else 0
