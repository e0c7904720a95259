"""The model of etcd's membership against real servers: the same schedules on both, and both must say the same.

A schedule is text, a step a line. What each step showed is compared: who is listed and as what, whether there is a
quorum, the outcome of each change by peerboot's own words for etcd's messages, how a process ended and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from peerboot.lab.network import Network
from peerboot.lab.servers import find
from peerboot.outside.http import Http, HttpError, Reply
from peerboot.systems.etcd import calls, ids
from peerboot.systems.etcd.calls import CallError
from tests.etcd.server import Etcd
from tests.run.alone import config_of
from tests.run.turned import run
from tests.simulation.raft import Member
from tests.simulation.server import Server
from tests.simulation.truth import Truth

SCHEDULES = {
    "a-learners-life": """
        start a new a,b,c
        start b new a,b,c
        start c new a,b,c
        serves a
        serves b
        serves c
        rest
        list a
        add-learner a d
        list b
        add-learner b e
        promote a d
        start d existing a,b,c,d
        serves-as-learner d
        list d
        promote-until a d
        promote a d
        serves d
        list d
        rest
        remove a d
        exit d
        list b
        remove a d
        start d resume
        ends d
    """,
    "quorum-comes-and-goes": """
        start a new a,b,c
        start b new a,b,c
        start c new a,b,c
        serves a
        rest
        kill b
        kill c
        list a
        add-learner a d
        start b resume
        serves a
        list a
        remove a c
        list a
        rest
        remove a b
        exit b
        serves a
        list a
        remove a a
    """,
    "a-lost-disk-under-its-old-id": """
        start a new a,b,c
        start b new a,b,c
        start c new a,b,c
        serves a
        serves c
        lead a
        rest
        kill c
        wipe c
        start c new a,b,c
        exit c
        start c existing a,b
        exit c
        start c existing a,b,c
        exit c
        wipe c
        remove a c
        start c existing a,b,c
        exit c
        list a
    """,
    "a-voter-that-never-starts": """
        start a new a
        serves a
        add-voter a b
        list a
        start b existing a,b
        serves b
        list b
    """,
    "force-new-cluster": """
        start a new a,b,c
        start b new a,b,c
        start c new a,b,c
        serves a
        serves b
        kill b
        kill c
        kill a
        start a force
        serves a
        list a
        start b resume
        ends b
    """,
}

ENDS = (
    ("permanently removed", "removed"),
    ("already been bootstrapped", "has run"),
    ("member count is unequal", "another list"),
    ("couldn't find local name", "not named"),
    ("tocommit", "its log is too short"),
    ("no match found", "not listed"),
)


class Lab(Protocol):
    """Servers by name, real or modelled."""

    http: Any

    def host(self, name: str) -> str: ...

    async def start(self, name: str, keys: Mapping[str, Any]) -> None: ...

    async def kill(self, name: str) -> None: ...

    def wipe(self, name: str) -> None: ...

    async def ended(self, name: str) -> tuple[int, str]:
        """Exit code and log."""


async def until(what: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Ask again and again; fails when it never is so."""
    end = asyncio.get_running_loop().time() + seconds
    while not await what():
        assert asyncio.get_running_loop().time() < end, "it never came to be so"
        await asyncio.sleep(0.2)


class Player:
    """Plays a schedule on one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ids: dict[str, str] = {}

    def url(self, name: str, port: int) -> str:
        return f"http://{self.lab.host(name)}:{port}"

    async def play(self, text: str) -> list[str]:
        """What each step showed."""
        shown = []
        for line in filter(None, map(str.strip, text.splitlines())):
            verb, *rest = line.split()
            found = await getattr(self, "do_" + verb.replace("-", "_"))(*rest)
            shown.append(f"{line}: {found}")
        return shown

    async def listed(self, name: str) -> calls.Listed:
        return await calls.member_list(self.lab.http, config_of("x"), self.url(name, 2379), 9.0)

    async def do_start(self, name: str, how: str, names: str = "") -> str:
        names = names or name
        keys: dict[str, Any] = {
            "initial-cluster": ",".join(f"{n}={self.url(n, 2380)}" for n in names.split(",")),
            "initial-cluster-state": "new" if how == "new" else "existing",
        }
        await self.lab.start(name, keys | ({"force-new-cluster": True} if how == "force" else {}))
        return "started"

    async def do_kill(self, name: str) -> str:
        await self.lab.kill(name)
        return "killed"

    async def do_wipe(self, name: str) -> str:
        self.lab.wipe(name)
        return "wiped"

    async def do_rest(self) -> str:
        await asyncio.sleep(6.5)  # etcd wants members to have been connected for five seconds
        return "rested"

    async def do_serves(self, name: str) -> str:
        async def serves() -> bool:
            with contextlib.suppress(CallError):
                found = await self.listed(name)
                self._note(found)
                own = next((m for m in found.members if m.id == found.server), None)
                return own is not None and own.started and not own.learner
            return False

        await until(serves)
        return "serves"

    async def do_serves_as_learner(self, name: str) -> str:
        async def serves() -> bool:
            with contextlib.suppress(CallError):
                return (await calls.status(self.lab.http, self.url(name, 2379), 2.0)).learner
            return False

        await until(serves)
        return "serves"

    async def do_lead(self, name: str) -> str:
        """Leadership moves there, if it is not there yet."""
        state = await calls.status(self.lab.http, self.url(name, 2379), 2.0)
        if state.leader != state.member:
            other = next(n for n, i in self.ids.items() if i == state.leader)
            await calls.change(self.lab.http, self.url(other, 2379), "transfer-leadership", state.member, ())

        async def leads() -> bool:
            now = await calls.status(self.lab.http, self.url(name, 2379), 2.0)
            return now.leader == now.member

        await until(leads)
        await self.listed(name)
        await asyncio.sleep(1.0)
        return "leads"

    async def do_exit(self, name: str) -> str:
        code, log = await self.lab.ended(name)
        why = next((word for part, word in ENDS if part in log), log[-300:])
        return f"exit {code}, {why}"

    async def do_ends(self, name: str) -> str:
        """Where the exit code hangs on what was under way: 0, or 1 when it had not yet published itself."""
        return (await self.do_exit(name)).partition(", ")[2]

    def _note(self, found: calls.Listed) -> None:
        by_url = {url: m.id for m in found.members for url in m.peer_urls}
        for name in "abcde":
            if self.url(name, 2380) in by_url:
                self.ids[name] = by_url[self.url(name, 2380)]

    async def do_list(self, name: str) -> str:
        try:
            found = await self.listed(name)
        except CallError as error:
            state = await calls.status(self.lab.http, self.url(name, 2379), 2.0)
            return f"{error.outcome}, {'a' if state.leader else 'no'} leader"
        self._note(found)
        names = {i: n for n, i in self.ids.items()}
        rows = (
            f"{names[m.id]}{' learner' if m.learner else ''}{'' if m.started else ' unstarted'}" for m in found.members
        )
        return ", ".join(sorted(rows))

    async def _change(self, via: str, verb: str, target: str) -> str:
        urls = (self.url(target, 2380),) if verb == "add-learner" else ()
        try:
            added = await calls.change(self.lab.http, self.url(via, 2379), verb, self.ids.get(target, ""), urls)
        except CallError as error:
            return error.outcome
        if added:
            self.ids[target] = added
        return "ok"

    async def do_add_learner(self, via: str, target: str) -> str:
        return await self._change(via, "add-learner", target)

    async def do_add_voter(self, via: str, target: str) -> str:
        body = json.dumps({"peerURLs": [self.url(target, 2380)]}).encode()
        url = f"{self.url(via, 2379)}/v3/cluster/member/add"
        try:
            reply = await self.lab.http.fetch("POST", url, body=body, timeout=9.0)
        except HttpError:
            return "silent"
        if reply.status == 200:
            self.ids[target] = ids.hexed(int(json.loads(reply.body)["member"]["ID"]))
        return "ok" if reply.status == 200 else f"HTTP {reply.status}"

    async def do_promote(self, via: str, target: str) -> str:
        return await self._change(via, "promote", target)

    async def do_promote_until(self, via: str, target: str) -> str:
        async def promoted() -> bool:
            return await self._change(via, "promote", target) == "ok"

        await until(promoted)
        return "ok"

    async def do_remove(self, via: str, target: str) -> str:
        said = await self._change(via, "remove", target)
        if said == "unhealthy":
            # On a busy machine two servers may have lost each other for a moment; etcd remembers it for five seconds.
            await self.do_rest()
            said = await self._change(via, "remove", target)
        return said


# ------------------------------------------------------------------------ real


class RealLab:
    """Processes on loopback addresses."""

    def __init__(self, root: Path) -> None:
        self.root, self.network, self.http = root, Network(), Http()
        self._hosts = {name: self.network.another() for name in "abcde"}
        self._servers: dict[str, Etcd] = {}

    def host(self, name: str) -> str:
        return self._hosts[name]

    async def start(self, name: str, keys: Mapping[str, Any]) -> None:
        root = self.root / name
        (root / "etcd.log").unlink(missing_ok=True)
        self._servers[name] = Etcd(find("3.6"), root, self.host(name), name, keys)
        self._servers[name].start()

    async def kill(self, name: str) -> None:
        await asyncio.to_thread(self._servers[name].kill)

    def wipe(self, name: str) -> None:
        shutil.rmtree(self.root / name / "etcd")

    async def ended(self, name: str) -> tuple[int, str]:
        server = self._servers[name]
        return await asyncio.to_thread(server.exit_code), server.log

    async def close(self) -> None:
        await self.http.close()
        for server in self._servers.values():
            server.kill()
        self.network.close()


async def on_real(root: Path, text: str) -> list[str]:
    """What real servers showed."""
    lab = RealLab(root)
    try:
        return await Player(lab).play(text)
    finally:
        await lab.close()


# ----------------------------------------------------------------------- model


class ModelLab:
    """The same of the model: a net of its own, without peerboot."""

    def __init__(self, root: Path) -> None:
        self.root, self.truth, self.http = root, Truth(), self
        self._servers: dict[str, tuple[Server, asyncio.Task[int]]] = {}
        self._added = 0
        self._drawn = 0

    def host(self, name: str) -> str:
        return f"10.0.0.{'abcde'.index(name) + 1}"

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def chance(self) -> float:
        self._drawn += 1
        return self._drawn * 0.618 % 1

    def new_id(self, url: str) -> str:
        self._added += 1
        return ids.hexed(ids.member_id([url], str(self._added)))

    def members_at(self, url: str) -> Iterable[Member]:
        host = urlsplit(url).hostname
        return [s.member for n, (s, _) in self._servers.items() if s.member is not None and self.host(n) == host]

    def answering(self, who: str, url: str) -> Iterable[Member]:
        del who
        return self.members_at(url)

    def reach(self, one: Member, other: Member) -> bool:
        del one, other
        return True

    def data_of(self) -> dict[str, list[str]]:
        return {}

    async def fetch(self, method: str, url: str, *, timeout: float, body: bytes = b"{}", **_more: Any) -> Reply:
        """As ``Http`` does."""
        parts = urlsplit(url)
        name = next(n for n in "abcde" if self.host(n) == parts.hostname)
        server = self._servers[name][0] if name in self._servers else None
        if server is None or server.member is None:
            raise HttpError("connection refused")
        try:
            async with asyncio.timeout(timeout):
                if method == "GET":
                    return await server.peer_port(parts.path)
                return await server.client_port(parts.path, json.loads(body))
        except TimeoutError:
            raise HttpError("no answer") from None

    async def start(self, name: str, keys: Mapping[str, Any]) -> None:
        url = f"http://{self.host(name)}"
        config = {
            "name": name, "data-dir": str(self.root / name), "initial-cluster-token": "token-1",
            "initial-advertise-peer-urls": f"{url}:2380", "advertise-client-urls": f"{url}:2379", **keys,
        }  # fmt: skip
        file = self.root / f"{name}.yaml"
        file.write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in config.items()))
        server = Server(self, name, file)
        self._servers[name] = (server, asyncio.create_task(server.run()))

    async def kill(self, name: str) -> None:
        task = self._servers[name][1]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def wipe(self, name: str) -> None:
        shutil.rmtree(self.root / name)

    async def ended(self, name: str) -> tuple[int, str]:
        server, task = self._servers[name]
        async with asyncio.timeout(120):
            return await task, server.log


@contextlib.asynccontextmanager
async def modelled(root: Path) -> AsyncIterator[ModelLab]:
    """Servers of the model, killed in the end."""
    lab = ModelLab(root)
    try:
        yield lab
    finally:
        for name in tuple(lab._servers):
            await lab.kill(name)


async def on_model(root: Path, text: str) -> list[str]:
    """What the model showed."""
    async with modelled(root) as lab:
        return await Player(lab).play(text)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What real servers showed in each schedule; all at the same time, for mostly they wait."""

    def played(name: str) -> list[str]:
        return asyncio.run(on_real(tmp_path_factory.mktemp("real"), SCHEDULES[name]))

    with ThreadPoolExecutor(len(SCHEDULES)) as pool:
        return dict(zip(SCHEDULES, pool.map(played, SCHEDULES), strict=True))


@pytest.mark.parametrize("name", SCHEDULES)
def test_model_says_what_real_servers_say(name: str, real: dict[str, list[str]], tmp_path: Path) -> None:
    """Each step of the schedule shows the same on both."""
    assert real[name] == run(on_model(tmp_path, SCHEDULES[name]))
