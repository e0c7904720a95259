"""A model of etcd as peerboot meets it: files that its reader reads, locks, the gateway's answers, and who has quorum.

It knows just enough of what was measured on real servers to be wrong to fool: data is never consulted before it starts,
a blank disk with ``new`` forms whatever it was told to, a removed member exits, the client port hangs until the first
quorum. What would have lost data on a real one is written to ``Clusters.harm``, which every story asserts to be empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peerboot.checksum import crc32c, fnv64a
from peerboot.outside.http import HttpError, Reply
from peerboot.systems.etcd import ids
from peerboot.systems.etcd.bolt import META, PAGE

ELECTION = 0.3
"""Seconds until voters that run have a leader."""
PAGE_SIZE = 4096

# ------------------------------------------------------------------------ disk


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _number(key: int, value: int) -> bytes:
    return _varint(key << 3) + _varint(value)


def _blob(key: int, value: bytes) -> bytes:
    return _varint(key << 3 | 2) + _varint(len(value)) + value


def wal_bytes(member: int, cluster: int, stage: str) -> bytes:
    """A log of one segment: ``interrupted`` has its heads only, ``bootstrap`` a configuration change, ``data`` more."""
    records: list[tuple[int, bytes]] = [(1, _number(1, member) + _number(2, cluster)), (5, _number(1, 0))]
    change = _number(1, 1) + _number(2, 1) + _number(3, 1) + _blob(4, b"")
    if stage != "interrupted":
        records += [(2, change), (3, _number(1, 1) + _number(3, 1))]
    if stage == "data":
        records += [(2, _number(2, 2) + _number(3, 2) + _blob(4, b"x")), (3, _number(1, 2) + _number(3, 2))]
    out, crc = bytearray(), 0
    for kind, body in [(4, b""), *records]:
        crc = crc32c(crc, body) if kind != 4 else crc
        record = _number(1, kind) + _number(2, crc) + (_blob(3, body) if body else b"")
        padding = (8 - len(record) % 8) % 8
        out += struct.pack("<Q", len(record) | ((0x80 | padding) << 56 if padding else 0)) + record + bytes(padding)
    return bytes(out) + bytes(512)


def bolt_bytes() -> bytes:
    """A database without buckets."""
    pages = []
    for number in (0, 1):
        meta = META.pack(0xED0CDAED, 2, PAGE_SIZE, 0, 3, 0, 2, 4, number)
        pages.append(PAGE.pack(number, 0x04, 0, 0) + meta + fnv64a(meta).to_bytes(8, "little"))
    pages += [PAGE.pack(2, 0x10, 0, 0), PAGE.pack(3, 0x02, 0, 0)]
    return b"".join(page.ljust(PAGE_SIZE, b"\0") for page in pages)


BOLT = bolt_bytes()


@dataclass
class Files:
    """One data directory."""

    data_dir: Path

    @property
    def wal(self) -> Path:
        return self.data_dir / "member" / "wal" / "0000000000000000-0000000000000000.wal"

    @property
    def database(self) -> Path:
        return self.data_dir / "member" / "snap" / "db"

    @property
    def remembered(self) -> Path:
        """The model's own note: cluster, member and the list as this server last knew it."""
        return self.data_dir / "member" / "model.json"

    def write(self, member: str, cluster: str, stage: str) -> None:
        self.wal.parent.mkdir(parents=True, exist_ok=True)
        self.wal.write_bytes(wal_bytes(int(member, 16), int(cluster, 16), stage))

    def note(self, content: Mapping[str, Any]) -> None:
        self.remembered.write_text(json.dumps(content))

    def open_database(self) -> int:
        """The database's descriptor with its lock; raises ``OSError`` when another server holds it."""
        self.database.parent.mkdir(parents=True, exist_ok=True)
        if not self.database.exists():
            self.database.write_bytes(BOLT)
        fd = os.open(self.database, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd


def config_of(text: str) -> dict[str, Any]:
    """peerboot's config file: comments and ``key: JSON scalar`` lines."""
    pairs = (line.partition(": ") for line in text.splitlines() if line and not line.startswith("#"))
    return {key: json.loads(value) for key, _, value in pairs}


# --------------------------------------------------------------------- cluster


@dataclass
class Entry:
    """One member."""

    id: str
    name: str
    peer_urls: list[str]
    client_urls: list[str] = field(default_factory=list)
    learner: bool = False

    def row(self, number: bool = False) -> dict[str, Any]:
        """As the gateway shows it (numbers as text, what is empty left out), or as the peer port does."""
        key, value = ("id", int(self.id, 16)) if number else ("ID", str(int(self.id, 16)))
        found: dict[str, Any] = {key: value, "name": self.name, "peerURLs": self.peer_urls}
        found |= {"clientURLs": self.client_urls} if self.client_urls else {}
        return found | ({"isLearner": True} if self.learner else {})


@dataclass
class Cluster:
    """What the members of one cluster agreed on."""

    id: str
    members: dict[str, Entry]
    servers: dict[str, Server] = field(default_factory=dict)
    """Those that run, by member id."""
    applied: int = 5
    served: bool = False
    led_by: str = ""
    """Who was made leader by a transfer; until it stops, the voter with the lowest id leads."""

    def quorum(self, now: float) -> bool:
        voters = [m.id for m in self.members.values() if not m.learner]
        up = [i for i in voters if i in self.servers and now - self.servers[i].since >= ELECTION]
        found = bool(voters) and len(up) >= len(voters) // 2 + 1
        self.served |= found
        return found

    def leader(self) -> str:
        able = sorted(i for i in self.servers if i in self.members and not self.members[i].learner)
        return self.led_by if self.led_by in able else next(iter(able), "0")


class Clusters:
    """Every cluster there ever was in a story, and what went wrong."""

    def __init__(self) -> None:
        self.by_id: dict[str, Cluster] = {}
        self.harm: list[str] = []
        self.refusal = ""
        """Not empty: every membership change is refused with these words."""
        self.history: list[tuple[str, str]] = []
        """Changes that were made: what, and the name of the member in question, if it has one."""
        self.slow_start = False
        """Servers create their log and get no further."""
        self.deaf_learners = False
        """Learners get nothing from their leader."""
        self._added = 0

    @property
    def served(self) -> list[str]:
        """The clusters that ever had quorum; more than one is a split, or everything was lost."""
        return [cluster.id for cluster in self.by_id.values() if cluster.served]

    def bootstrap(self, initial: Mapping[str, str], token: str, own: str) -> tuple[Cluster, str]:
        """The cluster of a static bootstrap and the own member id."""
        entries = {ids.hexed(ids.member_id([url], token)): (name, url) for name, url in initial.items()}
        key = ids.static_cluster(initial.values(), token)
        member = ids.hexed(ids.member_id([initial[own]], token))
        cluster = self.by_id.get(key)
        if cluster is None:
            members = {i: Entry(i, name, [url]) for i, (name, url) in entries.items()}
            cluster = self.by_id[key] = Cluster(key, members)
        elif member not in cluster.members or cluster.members[member].client_urls:
            self.harm.append(f"{own} was born again into {key}, where member {member} has already run")
        return cluster, member

    def next_id(self, url: str) -> str:
        self._added += 1
        return ids.hexed(ids.member_id([url], str(self._added)))


# ---------------------------------------------------------------------- server


class Server:
    """One etcd process."""

    idle = 0.2
    """Seconds between its looks at the cluster once it serves."""

    def __init__(
        self, clusters: Clusters, name: str, config_file: Path, reachable: Callable[[str], Server | None]
    ) -> None:
        self.clusters = clusters
        self.name = name
        self.since = 0.0
        self.ready = False
        """It has seen a quorum: from then on the client port answers."""
        self.applied = 0
        self.view: list[Entry] = []
        self.cluster: Cluster | None = None
        self.member = ""
        self.log = ""
        self._config_file = config_file
        self._reachable = reachable

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def run(self) -> int:
        """Until it exits by itself; returns the exit code."""
        try:
            config = config_of(self._config_file.read_text())
        except FileNotFoundError:
            self.log = "error verifying flags, open config file: no such file or directory"
            return 1
        files = Files(Path(config["data-dir"]))
        try:
            lock = files.open_database()
        except OSError:
            self.log = "the database is locked"
            return 1
        try:
            await asyncio.sleep(0.02)
            code = self._bootstrap(files, config)
            if code is not None:
                return code
            return await self._serve(files, config)
        finally:
            if self.cluster is not None:
                self.cluster.servers.pop(self.member, None)
            os.close(lock)

    def _bootstrap(self, files: Files, config: Mapping[str, Any]) -> int | None:
        """Take part in a cluster, by the disk if it holds something, else by the config."""
        if files.wal.exists():
            note = json.loads(files.remembered.read_text())
            self.member, self.view = note["member"], [Entry(**row) for row in note["view"]]
            self.cluster = self.clusters.by_id[note["cluster"]]
            return None
        initial = dict(pair.split("=", 1) for pair in config["initial-cluster"].split(","))
        if config["initial-cluster-state"] == "new":
            self.cluster, self.member = self.clusters.bootstrap(initial, config["initial-cluster-token"], self.name)
            self.view = list(self.cluster.members.values())
        else:
            problem = self._join(initial, config["initial-advertise-peer-urls"])
            if problem:
                self.log = problem
                return 1
        self._remember(files, "interrupted")
        return None

    def _join(self, initial: Mapping[str, str], own_url: str) -> str:
        others = [url for url in initial.values() if url != own_url]
        answers = [
            s for url in others if (s := self._reachable(urlsplit(url).hostname or "")) is not None and s.cluster
        ]
        if not answers or answers[0].cluster is None:
            return "cannot fetch cluster info from peer urls"
        self.cluster = answers[0].cluster
        listed = self.cluster.members
        if len(listed) != len(initial):
            return "error validating peerURLs: member count is unequal"
        entry = next((m for m in listed.values() if own_url in m.peer_urls), None)
        if entry is None:
            return "PeerURLs: no match found for existing member"
        if entry.client_urls:
            self.clusters.harm.append(f"{self.name} started blank as member {entry.id}, which has already run")
        self.member, self.view = entry.id, list(listed.values())
        return ""

    def _remember(self, files: Files, stage: str) -> None:
        cluster = self.cluster
        if cluster is None:
            raise RuntimeError("it is in no cluster")
        files.write(self.member, cluster.id, stage)
        view = [vars(entry) for entry in self.view]
        files.note({"cluster": cluster.id, "member": self.member, "view": view, "stage": stage})

    async def _serve(self, files: Files, config: Mapping[str, Any]) -> int:
        cluster = self.cluster
        if cluster is None:
            raise RuntimeError("it is in no cluster")
        stage = json.loads(files.remembered.read_text())["stage"]
        self.since = self.now
        cluster.servers[self.member] = self
        await asyncio.sleep(3600 if self.clusters.slow_start else 0.05)
        if stage == "interrupted" and config["initial-cluster-state"] == "new":
            stage = "bootstrap"
            self._remember(files, stage)
        while True:
            if cluster.quorum(self.now):
                entry = cluster.members.get(self.member)
                if entry is None:
                    self.log = "the member has been permanently removed from the cluster"
                    return 0
                fed = not (entry.learner and self.clusters.deaf_learners)
                if fed:
                    self.applied, self.ready = cluster.applied, True
                    if not entry.client_urls:
                        entry.client_urls, entry.name = [config["advertise-client-urls"]], self.name
                        cluster.applied += 1
                    if stage != "data" or [vars(e) for e in self.view] != [vars(e) for e in cluster.members.values()]:
                        stage, self.view = "data", [Entry(**vars(e)) for e in cluster.members.values()]
                        self._remember(files, stage)
            await asyncio.sleep(self.idle if stage == "data" and cluster.members[self.member].client_urls else 0.05)

    # ----------------------------------------------------------------- HTTP

    async def peer_port(self, path: str) -> Reply:
        """``GET /members``: its own view, with the cluster id in a header, before there is a quorum too."""
        cluster = self.cluster
        if path != "/members" or cluster is None:
            raise HttpError("it closed the connection without an answer")
        fed = self.ready and cluster.quorum(self.now)
        rows = [entry.row(number=True) for entry in (cluster.members.values() if fed else self.view)]
        return Reply(200, {"x-etcd-cluster-id": cluster.id}, json.dumps(rows).encode())

    async def client_port(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The JSON gateway."""
        cluster = self.cluster
        if not self.ready or cluster is None:
            await asyncio.sleep(3600)
            raise HttpError("never answered")
        quorum = cluster.quorum(self.now)
        header = {"cluster_id": str(int(cluster.id, 16)), "member_id": str(int(self.member, 16)), "raft_term": "2"}
        own = cluster.members.get(self.member)
        learner = own is not None and own.learner
        if path == "/v3/maintenance/status":
            data = {"header": header, "version": "3.6.14", "raftAppliedIndex": str(self.applied)}
            data |= {"leader": str(int(cluster.leader(), 16))} if quorum else {}
            return _json(200, data | ({"isLearner": True} if learner else {}))
        if path == "/version":
            return _json(200, {"etcdserver": "3.6.14", "etcdcluster": "3.6.0", "storage": "3.6.0"})
        if learner:
            return _no(503, 14, "etcdserver: rpc not supported for learner")
        if not quorum:
            await asyncio.sleep(7.0)
            return _no(503, 14, "etcdserver: request timed out")
        if path == "/v3/cluster/member/list":
            return _json(200, {"header": header, "members": [m.row() for m in cluster.members.values()]})
        if self.clusters.refusal:
            return _no(503, 14, self.clusters.refusal)
        cluster.applied += 1
        if path == "/v3/maintenance/transfer-leadership":
            return self._transfer(cluster, ids.hexed(int(body["targetID"])), header)
        return self._change(cluster, path.rpartition("/")[2], body, header)

    def _transfer(self, cluster: Cluster, target: str, header: Mapping[str, str]) -> Reply:
        if self.member != cluster.leader():
            return _no(400, 9, "etcdserver: not leader")
        if target not in cluster.servers or cluster.members[target].learner:
            return _no(400, 9, "etcdserver: bad leader transferee")
        cluster.led_by = target
        self.clusters.history.append(("transfer-leadership", cluster.members[target].name))
        return _json(200, {"header": header})

    def _change(self, cluster: Cluster, name: str, body: Mapping[str, Any], header: Mapping[str, str]) -> Reply:
        target = ids.hexed(int(body.get("ID", "0")))
        if name == "add":
            if any(m.learner for m in cluster.members.values()):
                return _no(400, 9, "etcdserver: too many learner members in cluster")
            url = body["peerURLs"][0]
            if any(url in m.peer_urls for m in cluster.members.values()):
                return _no(400, 9, "etcdserver: Peer URLs already exists")
            added = Entry(self.clusters.next_id(url), "", [url], learner=bool(body.get("isLearner")))
            cluster.members[added.id] = added
            self.clusters.history.append((name, ""))
            return _json(200, {"header": header, "member": added.row()})
        if target not in cluster.members:
            return _no(404, 5, "etcdserver: member not found")
        named = cluster.members[target].name
        match name:
            case "remove":
                voters = [m for m in cluster.members.values() if not m.learner and m.id != target]
                up = [m for m in voters if m.id in cluster.servers]
                if not cluster.members[target].learner and len(up) < len(voters) // 2 + 1:
                    self.clusters.harm.append(f"member {target} was to be removed although quorum would not stand")
                    return _no(500, 2, "etcdserver: re-configuration failed due to not enough started members")
                del cluster.members[target]
            case "promote":
                if not cluster.members[target].learner:
                    return _no(400, 9, "etcdserver: can only promote a learner member")
                if target not in cluster.servers or self.clusters.deaf_learners:
                    return _no(400, 9, "etcdserver: can only promote a learner member which is in sync with leader")
                cluster.members[target].learner = False
            case "update":
                cluster.members[target].peer_urls = list(body["peerURLs"])
            case _:
                return _no(404, 5, "Not Found")
        self.clusters.history.append((name, named))
        return _json(200, {"header": header})


def _json(status: int, data: Mapping[str, Any]) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(data).encode())


def _no(status: int, code: int, message: str) -> Reply:
    return _json(status, {"error": message, "code": code, "message": message})


async def stopped(task: asyncio.Task[int]) -> None:
    """Kill a server's task and wait until it is gone."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
