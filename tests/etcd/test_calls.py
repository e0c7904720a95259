"""etcd's admin API and the look at its servers, against real servers of three releases and against impostors."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
import pytest

from peerboot.lab.network import Network
from peerboot.lab.servers import Server
from peerboot.model import ClusterView, Identity, Limits
from peerboot.outside.http import Http
from peerboot.systems.etcd import assess, calls, ids
from peerboot.systems.etcd.calls import CallError
from peerboot.systems.etcd.config import EtcdConfig
from tests.etcd.server import Etcd

TIMEOUT = 5.0
TOKEN = "token-1"


def config_of(network: Network, replicas: int = 3) -> EtcdConfig:
    """The config of ``db-0`` in a set whose pods have fixed addresses."""
    identity = Identity(
        namespace="lab", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd",
        domain="cluster.local", start=0, replicas=replicas,
    )  # fmt: skip
    return EtcdConfig(
        identity=identity, data_dir="/data/etcd", wal_dir="", bind="pod", peer_host=network.peer_host, peer_port=2380,
        client_port=2379, metrics_port=2381, base={}, limits=Limits(),
    )  # fmt: skip


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """A client."""
    found = Http()
    yield found
    await found.close()


async def outcome(call: Callable[[], Awaitable[object]]) -> str:
    """The word for what became of a call."""
    try:
        await call()
    except CallError as error:
        return error.outcome
    return "ok"


async def until(call: Callable[[], Awaitable[object]], *words: str, seconds: float = 60.0) -> str:
    """Try again until the call has one of these outcomes; raises ``TimeoutError``."""
    async with asyncio.timeout(seconds):
        # A server does not say when its state has changed.
        while (found := await outcome(call)) not in words:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def test_membership_in_every_word(
    every_etcd: Server, start: Callable[..., Etcd], network: Network, http: Http
) -> None:
    """List, status, add a learner, promote, update, remove: each answer of a real server has its word.

    In the end quorum is lost: nothing is acknowledged any more, and the look says so.
    """
    config = config_of(network)
    pods = [f"db-{i}" for i in range(3)]
    hosts = {pod: config.host_of(pod) for pod in pods}
    cluster = ",".join(f"{pod}={config.peer_url(pod)}" for pod in pods)
    servers = [
        start(every_etcd, pod, host=hosts[pod], **{"initial-cluster": cluster, "initial-cluster-token": TOKEN})
        for pod in pods
    ]
    for server in servers:
        server.start()
    for server in servers:
        await asyncio.to_thread(server.until_serving)
    url = servers[0].client_url

    planned = {pod: ids.hexed(ids.member_id([config.peer_url(pod)], TOKEN)) for pod in pods}
    listed = await calls.member_list(http, config, url, TIMEOUT)
    assert listed.cluster == ids.static_cluster([config.peer_url(pod) for pod in pods], TOKEN)
    assert {m.pod: m.id for m in listed.members} == planned
    assert all(m.started and not m.learner for m in listed.members)
    status = await calls.status(http, url, TIMEOUT)
    assert (status.cluster, status.member, status.version) == (listed.cluster, planned["db-0"], every_etcd.version)
    assert status.leader in planned.values()
    addresses = {pod: (hosts[pod],) for pod in pods}
    view = await look(config, http, addresses, rest=False, timeout=TIMEOUT, now=1.0)
    assert (view.quorum, view.cluster, view.members, view.unreachable) == (True, listed.cluster, listed.members, ())
    assert {v.pod: v.healthy for v in view.views} == dict.fromkeys(pods, True)

    new, newer = f"http://{network.fixed(7)}:2380", f"http://{network.fixed(8)}:2380"
    # Right after its start a cluster calls itself unhealthy for five seconds.
    assert (
        await until(lambda: calls.change(http, url, "add-learner", "", (config.peer_url("db-1"),)), "already", "ok")
        == "already"
    )
    added: list[str] = []

    async def add() -> None:
        added.append(await calls.change(http, url, "add-learner", "", (new,)))

    assert await until(add, "ok") == "ok"
    assert await outcome(lambda: calls.change(http, url, "add-learner", "", (newer,))) == "busy"
    assert await outcome(lambda: calls.change(http, url, "promote", added[0], ())) == "not-in-sync"
    assert await outcome(lambda: calls.change(http, url, "promote", planned["db-1"], ())) == "already"
    assert await outcome(lambda: calls.change(http, url, "promote", "1234", ())) == "already"
    assert await outcome(lambda: calls.change(http, url, "remove", "1234", ())) == "already"
    of_peer = await calls.peer_members(http, config, config.peer_url("db-0"), TIMEOUT)
    assert of_peer[0] == listed.cluster
    assert {m.id: m.learner for m in of_peer[1]} == {**dict.fromkeys(planned.values(), False), added[0]: True}
    assert await outcome(lambda: calls.change(http, url, "remove", added[0], ())) == "ok"
    assert await outcome(lambda: calls.change(http, url, "update-peer-urls", planned["db-2"], (newer,))) == "ok"
    moved = await calls.member_list(http, config, url, TIMEOUT)
    assert next(m.peer_urls for m in moved.members if m.id == planned["db-2"]) == (newer,)

    for server in servers[1:]:
        server.kill()
    await until(lambda: calls.read_index(http, url, TIMEOUT), "no-quorum", "silent")
    assert await until(
        lambda: calls.change(http, url, "remove", planned["db-1"], ()), "no-quorum", "silent", "unhealthy"
    )
    status = await calls.status(http, url, TIMEOUT)
    assert (status.member, status.leader) == (planned["db-0"], "")
    view = await look(config, http, addresses, rest=True, timeout=TIMEOUT, now=2.0)
    assert (view.quorum, view.members, view.unreachable) == (False, (), ("db-1", "db-2"))
    assert [(v.pod, v.cluster, v.healthy) for v in view.views] == [("db-0", listed.cluster, False)]


async def look(
    config: EtcdConfig, http: Http, addresses: Mapping[str, tuple[str, ...]], *, rest: bool, timeout: float, now: float
) -> ClusterView:
    """What all servers say, without TLS."""
    doors = assess.Doors(config, http)
    return await assess.look(doors, addresses, rest=rest, timeout=timeout, now=now, prefer="")


@pytest.mark.parametrize("short", ["", ".peers", ".peers.lab", ".peers.lab.svc"])
async def test_a_short_name_proves_nothing(
    start: Callable[..., Etcd], every_etcd: Server, network: Network, http: Http, short: str
) -> None:
    """A server that its cluster knows by a short name may be of a set in another namespace, which may have the same
    cluster id: its list counts only when the peerboot at that address says so, or for the own server, and the finding
    says so. The member is the Pod's then, and whoever joins asks DNS for its whole name.
    """
    config = dataclasses.replace(config_of(network), peer_host="{pod}.{service}.{namespace}.svc.{domain}")
    host, url = network.fixed(0), f"http://db-0{short}:2380"
    server = start(every_etcd, "db-0", host=host)
    server.start()
    await asyncio.to_thread(server.until_serving)
    # Some releases resolve it at their first start, and nothing here does.
    own = (await calls.status(http, server.client_url, TIMEOUT)).member
    await calls.change(http, server.client_url, "update-peer-urls", own, (url,))
    doors, places = assess.Doors(config, http), {"db-0": (host,)}
    alone = await assess.look(doors, places, rest=False, timeout=TIMEOUT, now=1.0, prefer="")
    assert (alone.quorum, [(found.name, found.pod) for found in alone.findings]) == (False, [("not-of-set", "db-0")])
    cluster = alone.views[0].cluster
    assert [(view.cluster, view.healthy) for view in alone.views] == [(cluster, False)]
    other = dataclasses.replace(config, identity=msgspec.structs.replace(config.identity, pod="db-1", ordinal=1))
    theirs = assess.Doors(other, http)
    # The same id somewhere else, or on the own disk, says nothing of whose server this is.
    mine = short.endswith(".svc")
    for prefer, told in (("", {network.fixed(9): cluster}), (cluster, {}), (cluster, {host: "another"})):
        seen = await assess.look(theirs, places, rest=False, timeout=TIMEOUT, now=1.0, prefer=prefer, told=told)
        # With this namespace in the name it cannot be another one's.
        assert seen.quorum == (mine and prefer == cluster)
        assert [found.name for found in seen.findings] == ([] if prefer else ["not-of-set"])
    for who, prefer, told in ((doors, cluster, {}), (theirs, "", {host: cluster})):
        seen = await assess.look(who, places, rest=False, timeout=TIMEOUT, now=1.0, prefer=prefer, told=told)
        assert (seen.quorum, seen.cluster, seen.findings) == (True, cluster, ())
        assert [(member.pod, member.peer_urls) for member in seen.members] == [("db-0", (url,))]
    assert assess.hosts_of(other, seen) == ("db-0.peers.lab.svc.cluster.local",)


async def test_a_lone_one_of_three_is_seen_by_its_peer_port(
    every_etcd: Server, start: Callable[..., Etcd], network: Network, http: Http
) -> None:
    """Before there is a quorum the client port accepts and never answers; the peer port tells the cluster."""
    config = config_of(network)
    pods = [f"db-{i}" for i in range(3)]
    cluster = ",".join(f"{pod}={config.peer_url(pod)}" for pod in pods)
    lone = start(every_etcd, "db-0", host=config.host_of("db-0"), **{"initial-cluster": cluster})
    lone.start()
    addresses = {"db-0": (config.host_of("db-0"),)}
    expected = ids.static_cluster([config.peer_url(pod) for pod in pods], TOKEN)

    async def seen() -> None:
        view = await look(config, http, addresses, rest=False, timeout=1.0, now=1.0)
        if [(v.cluster, v.healthy, v.leader) for v in view.views] != [(expected, False, "")] or view.quorum:
            raise CallError("other", "not yet")

    assert await until(seen, "ok") == "ok"
    assert await outcome(lambda: calls.status(http, lone.client_url, 0.5)) == "silent"


# ---------------------------------------------------------------- impostors


GOOD_STATUS = {
    "header": {"cluster_id": "5", "member_id": "6"},
    "leader": "6",
    "raftAppliedIndex": "9",
    "version": "3.6.1",
}
BODIES: dict[str, object] = {
    "no-json": b"<html>",
    "not-utf-8": b"\xff\xfe\x00",
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "no-header": {},
    "header-a-list": {"header": [], "members": []},
    "ids-negative": {"header": {"cluster_id": "-1", "member_id": "6"}, "members": []},
    "ids-zero": {"header": {"cluster_id": "0", "member_id": "6"}, "members": [{"ID": "6"}]},
    "ids-of-no-number": {"header": {"cluster_id": "x", "member_id": "6"}, "members": []},
    "ids-endless": {"header": {"cluster_id": "9" * 6000, "member_id": "6"}, "members": []},
    "ids-of-128-bits": {"header": {"cluster_id": str(1 << 100), "member_id": "6"}, "members": []},
}
MEMBERS: dict[str, object] = {
    "members-a-number": 7,
    "members-of-numbers": [7],
    "urls-a-number": [{"ID": "6", "peerURLs": 7}],
    "urls-broken": [{"ID": "6", "peerURLs": ["http://[::1"]}],
    "too-many": [{"ID": "6"}] * 2000,
}


@contextlib.asynccontextmanager
async def impostor(reply: bytes, *, endless: bool = False) -> AsyncIterator[str]:
    """A server that answers everything alike; ``endless``: it never stops."""
    tasks: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            while endless:
                writer.write(b" " * 1024)
                await writer.drain()
                await asyncio.sleep(0.001)
            await writer.drain()
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def response(body: object, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole HTTP response."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content
    )


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_answers_that_are_not_etcds(body: object, http: Http, network: Network) -> None:
    """Whatever answers in place of etcd: an outcome, never an exception, never a list."""
    config = config_of(network)
    async with impostor(response(body, headers="X-Etcd-Cluster-ID: zz\r\n")) as url:
        assert await outcome(lambda: calls.member_list(http, config, url, TIMEOUT)) == "other"
        assert await outcome(lambda: calls.status(http, url, TIMEOUT)) == "other"
        assert await outcome(lambda: calls.change(http, url, "add-learner", "", ("http://a:1",))) == "other"
        assert await outcome(lambda: calls.peer_members(http, config, url, TIMEOUT)) == "other"


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
async def test_lists_of_another_shape(members: object, http: Http, network: Network) -> None:
    """Half a list would be worse than none: it is refused whole."""
    config = config_of(network)
    async with impostor(response({**GOOD_STATUS, "members": members})) as url:
        assert await outcome(lambda: calls.member_list(http, config, url, TIMEOUT)) == "other"
    async with impostor(response(members, headers="X-Etcd-Cluster-ID: 5\r\n")) as url:
        assert await outcome(lambda: calls.peer_members(http, config, url, TIMEOUT)) == "other"


async def test_an_empty_list_proves_no_quorum(http: Http, network: Network) -> None:
    """A server that lists no member at all says nothing about a cluster."""
    config = config_of(network)
    async with impostor(response({**GOOD_STATUS, "members": []})) as url:
        assert await outcome(lambda: calls.member_list(http, config, url, TIMEOUT)) == "other"


@pytest.mark.parametrize(
    ("reply", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", True),
        (response(b" " * (calls.LIMIT + 1)), False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"", False),
    ],
    ids=["never-ending", "too-large", "broken-off", "not-http", "nothing"],
)
async def test_answers_without_an_end(reply: bytes, endless: bool, http: Http, network: Network) -> None:
    """Huge, slow, cut off or no HTTP at all: bounded, and counted as silence."""
    config = config_of(network)
    async with impostor(reply, endless=endless) as url:
        assert await outcome(lambda: calls.status(http, url, 0.5)) == "silent"
        assert await outcome(lambda: calls.peer_members(http, config, url, 0.5)) == "silent"


@pytest.mark.parametrize(("part", "word"), calls.MESSAGES)
@pytest.mark.parametrize("shape", ["both", "message-only"])
async def test_errors_are_told_by_their_text(part: str, word: str, shape: str, http: Http) -> None:
    """The same error has another status and another shape in each release; the text is the same."""
    text = f"etcdserver: {part.capitalize()}"
    body = {"code": 9, "message": text} | ({"error": text} if shape == "both" else {})
    async with impostor(response(body, "412 Precondition Failed")) as url:
        assert await outcome(lambda: calls.change(http, url, "promote", "6", ())) == word


async def test_the_text_of_an_error_is_one_line(http: Http) -> None:
    """What a server says goes to logs and terminals: printable, one line, bounded."""
    body = {"message": "a\x1b[31m\nb" + "c" * 5000}
    async with impostor(response(body, "500 Error")) as url:
        with pytest.raises(CallError) as caught:
            await calls.change(http, url, "promote", "6", ())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 310
