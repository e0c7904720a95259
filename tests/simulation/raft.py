"""One member's part in raft, as far as membership and acknowledged writes hang on it.

Each member has its own log, term, vote and commit, durable in ``model.json`` beside etcd's own files, so that disks can
be wiped, copied and rolled back with all that follows. An election and one round of replication are each one step
without an await: what is left out are messages under way between members, not what members hold. As in etcd: a change
of the membership counts when it is applied; a leader remembers what a follower had, so that one which lost it panics
(etcd#3504); a leader elected since does not know, and lets a blank one vote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.run.etcd_model import Entry, Files
from tests.simulation.truth import Row, Truth

ELECTION = (0.6, 1.4)
"""Seconds without a leader after which a voter asks for votes, at random between the two."""
LEASE = 0.5
"""Seconds after a leader's word in which nobody is voted for."""
CONF = ("add", "remove", "promote", "update")


class Exit(Exception):  # noqa: N818 - an exit is no error of ours
    """The process ends by itself."""

    def __init__(self, code: int, say: str) -> None:
        super().__init__(say)
        self.code = code


class Net(Protocol):
    """What a member knows of the world."""

    truth: Truth

    @property
    def now(self) -> float: ...

    def chance(self) -> float: ...

    def members_at(self, url: str) -> Iterable[Member]:
        """Members that run behind the host of a peer URL."""

    def answering(self, who: str, url: str) -> Iterable[Member]:
        """Members behind that host whose peer port answers the Pod of that name."""

    def new_id(self, url: str) -> str:
        """The id of a member that is added."""

    def reach(self, one: Member, other: Member) -> bool:
        """Whether the two can talk, both ways."""

    def data_of(self) -> dict[str, list[str]]:
        """By cluster: the Pods whose mounted volume has data of it."""


@dataclass
class State:
    """What is durable of one member."""

    cluster: str
    member: str
    term: int = 1
    vote: str = ""
    commit: int = 0
    stage: str = "interrupted"
    log: list[Row] = field(default_factory=list)
    view: list[dict[str, Any]] = field(default_factory=list)
    """The list with which it joined, told while nothing is applied."""

    @staticmethod
    def read(files: Files) -> State:
        kept = json.loads(files.remembered.read_text())
        return State(
            **{**kept, "log": [tuple(tuple(x) if isinstance(x, list) else x for x in row) for row in kept["log"]]}
        )

    def write(self, files: Files) -> None:
        files.remembered.write_text(json.dumps(vars(self)))


class Member:
    """A running member of a cluster."""

    def __init__(self, net: Net, name: str, files: Files, state: State) -> None:
        self.net, self.name, self.files, self.state = net, name, files, state
        self.members: dict[str, Entry] = {}
        self.removed: set[str] = set()
        self.keys: set[str] = set()
        self.applied = 0
        self.leader = ""
        """The member that leads as far as this one knows."""
        self.heard = net.now
        self.quorum_at = -1e9
        self.patience = self._patience()
        self.progress: dict[str, int] = {}
        """As leader: how much of the log each member has; dies with the leadership."""
        self.active: dict[str, float] = {}
        """Since when each other member has been connected."""
        self.slow_until = 0.0
        self.exits: Exit | None = None
        self._kept = self._mark()
        for row in state.log[: state.commit]:
            self._apply(row)

    # -------------------------------------------------------------- what it is

    @property
    def id(self) -> str:
        return self.state.member

    @property
    def leads(self) -> bool:
        return self.leader == self.id

    def entry(self) -> Entry | None:
        return self.members.get(self.id)

    def voters(self) -> list[str]:
        return [i for i, m in self.members.items() if not m.learner]

    def last(self) -> tuple[int, int]:
        log = self.state.log
        return (log[-1][0], len(log)) if log else (0, 0)

    def _patience(self) -> float:
        return ELECTION[0] + (ELECTION[1] - ELECTION[0]) * self.net.chance()

    def _mark(self) -> tuple[object, ...]:
        s = self.state
        return s.term, s.vote, s.commit, s.stage, len(s.log), s.log[-1] if s.log else None

    def save(self) -> None:
        """Durable before anybody is told."""
        mark = self._mark()
        if mark != self._kept:
            self._kept = mark
            self.state.write(self.files)

    def peer(self, member: str) -> Member | None:
        """Another member if it runs and can be talked to; one that waits for its disk cannot."""
        entry, now = self.members.get(member), self.net.now
        if entry is None or now < self.slow_until:
            return None
        for found in (m for url in entry.peer_urls for m in self.net.members_at(url)):
            same = found.state.cluster == self.state.cluster and found.id == member
            if same and found.exits is None and now >= found.slow_until and self.net.reach(self, found):
                return found
        return None

    # ---------------------------------------------------------------- applying

    def _apply(self, row: Row) -> None:
        _, kind, *rest = row
        self.applied += 1
        if kind == "add":
            member, name, urls, learner = rest
            self.members[member] = Entry(member, name, list(urls), learner=learner)
        elif kind == "put":
            self.keys.add(rest[0])
        elif rest and (entry := self.members.get(rest[0])) is not None:
            if kind == "remove":
                del self.members[rest[0]]
                self.removed.add(rest[0])
                self.progress.pop(rest[0], None)
            elif kind == "promote":
                entry.learner = False
            elif kind == "update":
                entry.peer_urls = list(rest[1])
            elif kind == "publish":
                entry.name, entry.client_urls = rest[1], [rest[2]]

    def commit_to(self, index: int) -> None:
        """Entries up to there are committed: applied, and told to the judge."""
        state = self.state
        for i in range(state.commit, min(index, len(state.log))):
            self.net.truth.commit(state.cluster, i, state.log[i], self.name)
            state.commit = i + 1
            self._apply(state.log[i])
        if state.commit and state.stage != "data" and any(row[0] > 1 for row in state.log[: state.commit]):
            self.stage("data")
        self.save()

    def stage(self, stage: str) -> None:
        """How far its own log is, as peerboot's reader will find it."""
        self.state.stage = stage
        self.files.write(self.id, self.state.cluster, stage)

    # ------------------------------------------------------------------- steps

    def tick(self) -> None:
        """One step. Raises ``Exit``."""
        now = self.net.now
        if self.exits is not None:
            raise self.exits
        if now < self.slow_until:
            return
        self._look(now)
        if self.id in self.removed:
            raise Exit(0, "the member has been permanently removed from the cluster")
        if self.leads:
            self.replicate()
        elif now - self.heard > self.patience:
            self.campaign()
        if self.exits is not None:
            raise self.exits

    def _look(self, now: float) -> None:
        for member in self.members:
            other = self.peer(member) if member != self.id else None
            if other is None:
                self.active.pop(member, None)
                continue
            self.active.setdefault(member, now)
            if self.id in other.removed:
                raise Exit(0, "the member has been permanently removed from the cluster")

    def replicate(self) -> bool:
        """As leader: bring everybody to its log, commit what a majority has. Whether a majority answered."""
        state, now = self.state, self.net.now
        found: dict[str, Member] = {}
        for member in list(self.members):
            if member == self.id or (other := self.peer(member)) is None:
                continue
            if other.state.term > state.term:
                state.term, self.leader, self.heard = other.state.term, "", now
                self.save()
                return False
            if other.follow(self):
                found[member] = other
                self.progress[member] = len(state.log)
        self.progress[self.id] = len(state.log)
        voters = self.voters()
        need = len(voters) // 2 + 1
        if sum(1 for v in voters if v in found or v == self.id) < need:
            if now - self.quorum_at > ELECTION[1]:
                self.leader, self.heard = "", now
            return False
        self.quorum_at = self.heard = now
        has = sorted((self.progress.get(v, 0) for v in voters), reverse=True)
        commit = has[need - 1]
        if commit > state.commit and state.log[commit - 1][0] == state.term:
            self.commit_to(commit)
            self._serves()
        for other in found.values():
            other.commit_to(state.commit)
        return True

    def _serves(self) -> None:
        """What a leader has committed is told to the judge."""
        truth, cluster = self.net.truth, self.state.cluster
        if cluster not in truth.served:
            truth.serves(cluster, self.net.data_of())
        if self.state.log[self.state.commit - 1][1] == "noop":
            truth.leads(cluster, self.name, self.keys)

    def follow(self, leader: Member) -> bool:
        """Take a leader's log. False when this one ends instead."""
        mine, theirs = self.state.log, leader.state.log
        if len(mine) < min(leader.progress.get(self.id, 0), leader.state.commit):
            self.exits = Exit(2, f"panic: tocommit({leader.state.commit}) is out of range [lastIndex({len(mine)})]")
            return False
        common = min(len(mine), len(theirs))
        while common and mine[common - 1] != theirs[common - 1]:
            common -= 1
        if common < self.state.commit:
            what = f"{self.name} holds entry {common} of {self.state.cluster} to be committed, and its leader lacks it"
            self.net.truth.hurt(self.state.cluster, common, what)
            self.exits = Exit(2, "panic: conflict with committed entry")
            return False
        mine[common:] = theirs[common:]
        self.state.term, self.leader, self.heard = leader.state.term, leader.id, self.net.now
        self.save()
        return True

    def campaign(self) -> bool:
        """Ask for votes, after having asked whether they would be given (pre-vote)."""
        self.patience, voters = self._patience(), self.voters()
        if self.id not in voters:
            return False
        now, need, votes, term = self.net.now, len(voters) // 2 + 1, [self], self.state.term
        for other in filter(None, (self.peer(v) for v in voters if v != self.id)):
            content = other.leads or (other.leader != "" and now - other.heard < LEASE)
            if not (content and other.leader != self.id) and other.last() <= self.last():
                votes.append(other)
                term = max(term, other.state.term)
        if len(votes) < need:
            return False
        for voter in votes:
            voter.state.term, voter.state.vote = term + 1, self.id
            voter.leader, voter.heard = self.id, now
            voter.save()
        self.progress, self.quorum_at = {}, now
        self.append("noop")
        return True

    def append(self, kind: str, *rest: Any) -> int:
        """As leader: a new entry, and a round; its place."""
        self.state.log.append((self.state.term, kind, *rest))
        self.save()
        index = len(self.state.log)
        self.replicate()
        return index

    def changing(self) -> bool:
        """Whether a change of the membership is under way: the next would be dropped without a word."""
        return any(row[1] in CONF for row in self.state.log[self.state.commit :])

    def known_leader(self) -> Member | None:
        """The leader, if it can be reached now."""
        return self if self.leads else self.peer(self.leader) if self.leader else None
