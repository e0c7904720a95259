"""One etcd process of the simulation: its start by disk or config, its life, and its two ports.

What it refuses and in which words is etcd 3.6's (the facts are in the docstrings); ``test_etcd.py`` replays the same
schedules of membership operations on real servers and compares.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peerboot.outside.http import HttpError, Reply
from peerboot.systems.etcd import ids
from tests.run.etcd_model import Entry, Files, config_of
from tests.simulation.raft import Exit, Member, Net, State

HEALTH = 5.0
"""Seconds for which members must have been connected before etcd lets the membership change (HealthInterval)."""
TIMEOUT = 7.0
"""Seconds after which etcd gives up a request that needs a quorum."""
BUSY, IDLE = 0.1, 0.25
"""Seconds between two steps."""


class Server:
    """Fulfils what ``tests.run.world.Pod`` wants of a server."""

    def __init__(self, net: Net, name: str, config_file: Path, *, slow_start: float = 0.05) -> None:
        self.net, self.name = net, name
        self.member: Member | None = None
        self.ready = False
        """It has published itself: from then on the client port answers."""
        self.log = ""
        self._config_file = config_file
        self._slow_start = slow_start
        self._config: dict[str, Any] = {}

    async def run(self) -> int:
        """Until it exits by itself; returns the exit code."""
        try:
            self._config = config_of(self._config_file.read_text())
        except FileNotFoundError:
            self.log = "error verifying flags, open config file: no such file or directory"
            return 1
        files = Files(Path(self._config["data-dir"]))
        try:
            lock = files.open_database()
        except OSError:
            self.log = "the database is locked"
            return 1
        try:
            await asyncio.sleep(0.02)
            await self._begin(files)
            await self._live()
        except Exit as exits:
            self.log = str(exits)
            return exits.code
        finally:
            self.member = None
            os.close(lock)
        return 1

    # ------------------------------------------------------------------- start

    async def _begin(self, files: Files) -> None:
        """A member by its disk if that holds a log, else by the config."""
        config = self._config
        if files.wal.exists():
            if files.wal.read_bytes()[:16] == b"\x07" * 16:
                raise Exit(1, "walpb: crc mismatch")
            state = State.read(files)
            state.view = []  # it was told to this process's predecessor
            self.member = Member(self.net, self.name, files, state)
            if config.get("force-new-cluster"):
                self._force_new()
            return
        initial = dict(pair.split("=", 1) for pair in config["initial-cluster"].split(","))
        own_url = config["initial-advertise-peer-urls"]
        if self.name not in initial:
            raise Exit(1, f"couldn't find local name {self.name!r} in the initial cluster configuration")
        if config["initial-cluster-state"] == "new":
            token = config["initial-cluster-token"]
            entries = [Entry(ids.hexed(ids.member_id([url], token)), n, [url]) for n, url in initial.items()]
            state = State(ids.static_cluster(initial.values(), token), ids.hexed(ids.member_id([own_url], token)))
            self._must_not_have_run(initial, own_url, state.member)
        else:
            state, entries = self._joined(initial, own_url), []
        files.write(state.member, state.cluster, "interrupted")
        state.write(files)
        self.member = member = Member(self.net, self.name, files, state)
        await asyncio.sleep(self._slow_start)
        if entries and not state.log:
            state.log = [(1, "add", e.id, e.name, tuple(e.peer_urls), False) for e in entries]
            member.stage("bootstrap")
            member.commit_to(len(state.log))

    def _others(self, initial: Mapping[str, str], own_url: str) -> list[Member]:
        """Those that answer on their peer ports, in the order of the list."""
        found = []
        for url in initial.values():
            if url != own_url:
                found += list(self.net.answering(self.name, url))
        return found

    def _must_not_have_run(self, initial: Mapping[str, str], own_url: str, member: str) -> None:
        """The one guard that etcd has: the first peer that answers lists this id as one that has run."""
        for other in self._others(initial, own_url)[:1]:
            entry = other.members.get(member)
            if entry is not None and entry.client_urls:
                raise Exit(1, f"member {member} has already been bootstrapped")

    def _joined(self, initial: Mapping[str, str], own_url: str) -> State:
        answers = [m for m in self._others(initial, own_url) if m.members or m.state.view]
        if not answers:
            raise Exit(1, "cannot fetch cluster info from peer urls: could not retrieve cluster information")
        listed = answers[0].members or {e["id"]: Entry(**e) for e in answers[0].state.view}
        if len(listed) != len(initial):
            raise Exit(1, "error validating peerURLs: member count is unequal")
        entry = next((m for m in listed.values() if own_url in m.peer_urls), None)
        if entry is None:
            raise Exit(1, "PeerURLs: no match found for existing member")
        return State(answers[0].state.cluster, entry.id, view=[asdict(m) for m in listed.values()])

    def _force_new(self) -> None:
        """Drop what is not committed, and all other members."""
        member = self.member
        if member is None:
            return
        state = member.state
        del state.log[state.commit :]
        others = [i for i in member.members if i != member.id]
        state.term += 1
        own = member.entry()
        if own is not None and own.learner:
            state.log.append((state.term, "promote", member.id))
        state.log += [(state.term, "remove", i) for i in others]
        member.commit_to(len(state.log))

    # -------------------------------------------------------------------- life

    async def _live(self) -> None:
        member = self.member
        if member is None:
            return
        published, moved = 0, -1
        client_url = self._config["advertise-client-urls"]
        while True:
            member.tick()
            entry = member.entry()
            if not self.ready and entry is not None:
                leader = member.known_leader()
                if published and member.state.commit >= published and entry.client_urls == [client_url]:
                    self.ready = True
                elif leader is not None and (not published or leader.state.commit >= published):
                    published = leader.append("publish", member.id, self.name, client_url)
            busy = not self.ready or moved != member.state.commit
            moved = member.state.commit
            await asyncio.sleep(BUSY if busy else IDLE)

    async def put(self, key: str, within: float = 5.0) -> bool:
        """A client's write at this server: true once it is acknowledged."""
        member = self.member
        if not self.ready or member is None:
            return False
        place = await self._proposed(member, within, "put", key)
        if place:
            self.net.truth.acked[key] = (member.state.cluster, place - 1)
        return place > 0

    async def _proposed(self, member: Member, within: float, kind: str, *rest: Any) -> int:
        """The place of a new entry once it is applied here, 0 when that is not known in time."""
        end = self.net.now + within
        while (leader := member.known_leader()) is None:
            if self.net.now >= end or self.member is not member:
                return 0
            await asyncio.sleep(0.1)
        if kind in ("add", "remove", "promote", "update") and leader.changing():
            await asyncio.sleep(within)  # raft drops a second change; nobody says so
            return 0
        row = (leader.state.term, kind, *rest)
        place = leader.append(kind, *rest)
        while self.net.now < end:
            if self.member is not member and kind != "remove":
                return 0
            log = member.state.log
            if member.state.commit >= place:
                return place if log[place - 1] == row else 0
            await asyncio.sleep(0.1)
        return 0

    # -------------------------------------------------------------------- HTTP

    async def peer_port(self, path: str) -> Reply:
        """``GET /members``: its own view, with the cluster id in a header, before there is a quorum too."""
        member = self.member
        if path != "/members" or member is None:
            raise HttpError("it closed the connection without an answer")
        entries = list(member.members.values()) or [Entry(**e) for e in member.state.view]
        rows = [e.row(number=True) for e in entries] if entries else None
        return Reply(200, {"x-etcd-cluster-id": member.state.cluster}, json.dumps(rows).encode())

    async def client_port(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The JSON gateway: bound to no place until the member has published itself."""
        member = self.member
        if member is None:
            raise HttpError("connection refused")
        if not self.ready:
            await asyncio.sleep(3600)
        header = {
            "cluster_id": str(int(member.state.cluster, 16)),
            "member_id": str(int(member.id, 16)),
            "raft_term": str(member.state.term),
        }
        leader = member.known_leader()
        own = member.entry()
        learner = own is not None and own.learner
        if path == "/v3/maintenance/status":
            data = {"header": header, "version": "3.6.16", "raftAppliedIndex": str(member.applied)}
            data |= {"leader": str(int(leader.id, 16))} if leader is not None else {}
            return _json(200, data | ({"isLearner": True} if learner else {}))
        if learner:
            return _no(503, 14, "etcdserver: rpc not supported for learner")
        if path == "/v3/cluster/member/list":
            return await self._list(member, header)
        if path == "/v3/maintenance/transfer-leadership":
            return self._transfer(member, ids.hexed(int(body["targetID"])), header)
        return await self._change(member, path.rpartition("/")[2], body, header)

    async def _list(self, member: Member, header: Mapping[str, str]) -> Reply:
        end = self.net.now + TIMEOUT
        while True:
            leader = member.known_leader()
            if (
                leader is not None
                and leader.leads
                and leader.replicate()
                and member.state.commit >= leader.state.commit
            ):
                rows = [m.row() for m in member.members.values()]
                return _json(200, {"header": header, "members": rows})
            if self.net.now >= end:
                return _no(503, 14, "etcdserver: request timed out")
            await asyncio.sleep(0.25)

    def _transfer(self, member: Member, target: str, header: Mapping[str, str]) -> Reply:
        if not member.leads:
            return _no(400, 9, "etcdserver: not leader")
        entry, heir = member.members.get(target), member.peer(target)
        if entry is None or entry.learner or heir is None:
            return _no(400, 9, "etcdserver: bad leader transferee")
        member.replicate()
        member.leader = ""
        if not heir.campaign():
            member.leader = member.id
        return _json(200, {"header": header})

    async def _change(self, member: Member, name: str, body: Mapping[str, Any], header: Mapping[str, str]) -> Reply:
        target = ids.hexed(int(body.get("ID", "0")))
        entry = member.members.get(target)
        refused = self._refused(member, name, body, entry)
        if refused is not None:
            return refused
        match name:
            case "add":
                url = body["peerURLs"][0]
                learner = bool(body.get("isLearner"))
                target = self.net.new_id(url)
                row: tuple[Any, ...] = ("add", target, "", (url,), learner)
            case "remove" | "promote":
                row = (name, target)
            case "update":
                row = (name, target, tuple(body["peerURLs"]))
            case _:
                return _no(404, 5, "Not Found")
        if not await self._proposed(member, TIMEOUT, *row):
            return _no(503, 14, "etcdserver: request timed out")
        now = member.members
        added = {"member": now[target].row()} if name == "add" and target in now else {}
        return _json(200, {"header": header, "members": [m.row() for m in now.values()], **added})

    def _refused(self, member: Member, name: str, body: Mapping[str, Any], entry: Entry | None) -> Reply | None:
        """What ``strict-reconfig-check`` says before anything is proposed (server.go, mayAddMember and so on)."""
        members, now = member.members, self.net.now
        voters = [m for m in members.values() if not m.learner]
        steady = [m for m in voters if m.id == member.id or now - member.active.get(m.id, now) >= HEALTH]
        if name == "add":
            url, learner = body["peerURLs"][0], bool(body.get("isLearner"))
            started = sum(1 for m in voters if m.name)
            if not learner and started < (len(voters) + 1) // 2 + 1 and not (len(voters) == 1 and started == 1):
                return _no(500, 2, "etcdserver: re-configuration failed due to not enough started members")
            if len(voters) > 1 and len(steady) < (len(voters) + 1) // 2 + 1:
                return _no(503, 14, "etcdserver: unhealthy cluster")
            if any(url in m.peer_urls for m in members.values()):
                return _no(400, 9, "etcdserver: Peer URLs already exists")
            if learner and any(m.learner for m in members.values()):
                return _no(400, 9, "etcdserver: too many learner members in cluster")
            return None
        if entry is None:
            return _no(404, 5, "etcdserver: member not found")
        if name == "remove" and not entry.learner:
            left = [m for m in voters if m.id != entry.id]
            if sum(1 for m in left if m.name) < len(left) // 2 + 1:
                return _no(500, 2, "etcdserver: re-configuration failed due to not enough started members")
            up = entry.id == member.id or entry.id in member.active
            if up and len(steady) - 1 < (len(voters) - 1) // 2 + 1:
                return _no(503, 14, "etcdserver: unhealthy cluster")
        if name == "promote":
            if not entry.learner:
                return _no(400, 9, "etcdserver: can only promote a learner member")
            leader = member.known_leader()
            has = leader.progress.get(entry.id, 0) if leader is not None else 0
            if leader is None or leader.peer(entry.id) is None or has < 0.9 * len(leader.state.log):
                return _no(400, 9, "etcdserver: can only promote a learner member which is in sync with leader")
        return None


def host_of(url: str) -> str:
    """The host of a peer URL, without its domain."""
    return (urlsplit(url).hostname or "").partition(".")[0]


def _json(status: int, data: Mapping[str, Any]) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(data).encode())


def _no(status: int, code: int, message: str) -> Reply:
    return _json(status, {"error": message, "code": code, "message": message})
