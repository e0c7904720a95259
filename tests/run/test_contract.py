"""The fakes of this folder against the real things: each fact is asked of both, and both must say the same.

DNS: the fake door against the real one and the lab's server on real sockets. HTTP: the fake client against the real
one. etcd: the model against a real server, by the calls that peerboot makes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from peerboot.lab.dns import LabDns
from peerboot.lab.network import Network
from peerboot.lab.servers import find
from peerboot.outside.clock import SystemClock
from peerboot.outside.dns import Dns, Reply
from peerboot.outside.http import Http, HttpError
from peerboot.systems.etcd import calls
from peerboot.systems.etcd.calls import CallError
from tests.etcd.server import Etcd
from tests.run.alone import config_of
from tests.run.turned import run
from tests.run.world import ZONE, FakeDns, FakeHttp, Weather, world

SET = f"_peerboot._tcp.{ZONE}"
PODS = {"db-0": "10.1.0.1", "db-1": "10.1.0.2", "db-2": "10.1.0.3"}
WEATHERS: dict[Weather, str] = {"fine": "ok", "servfail": "servfail", "nxdomain": "nxdomain", "silence": "silent"}

# ------------------------------------------------------------------------ DNS


async def answers(dns: Any) -> dict[str, tuple[object, ...]]:
    """What both doors say to every kind of question that peerboot asks."""
    return {
        "set": of(await dns.srv(SET)),
        "other-port": of(await dns.srv(f"_other._tcp.{ZONE}")),
        "service": of(await dns.addresses(ZONE)),
        "pod": of(await dns.addresses(f"db-1.{ZONE}")),
        "no-pod": of(await dns.addresses(f"db-9.{ZONE}")),
        "namespace": of(await dns.addresses("prod.svc.cluster.local")),
        "version": of(await dns.txt("dns-version.cluster.local")),
        "other-domain": of(await dns.txt("dns-version.other.domain")),
    }


def of(reply: Reply) -> tuple[object, ...]:
    """A reply without its times, and its reason without the server's address."""
    srv = tuple(sorted((s.name, s.port, s.addresses) for s in reply.srv))
    reason = re.sub(r"127\.[0-9.]+|10\.0\.0\.10", "IP", reply.reason)
    return reply.outcome, srv, reply.addresses, reply.texts, reply.nodata, reason


def faked(tmp_path: Path, weather: Weather) -> dict[str, tuple[object, ...]]:
    """The fake's answers."""

    async def ask() -> dict[str, tuple[object, ...]]:
        async with world(tmp_path) as made:
            made.start()
            await asyncio.sleep(5)
            made.weather = weather
            return await answers(FakeDns(made))

    return run(ask())


async def real_answers(weather: Weather) -> dict[str, tuple[object, ...]]:
    """The real door's answers, from the lab's server."""
    server = LabDns(service="peers", namespace="prod", port_name="peerboot")
    await server.start()
    try:
        for pod, address in PODS.items():
            server.publish(pod, [address])
        endpoint = await server.endpoint("asker")
        server.fault(WEATHERS[weather])
        return await answers(Dns([endpoint], SystemClock(), try_timeout=0.2, lifetime=0.4))
    finally:
        await server.stop()


@pytest.mark.parametrize("weather", WEATHERS)
def test_dns(weather: Weather, tmp_path: Path) -> None:
    """In every weather the fake answers each question as the real door does."""
    assert asyncio.run(real_answers(weather)) == faked(tmp_path, weather)


# ----------------------------------------------------------------------- HTTP


async def said(http: Any, url: str, timeout: float, limit: int = 65536) -> str:
    """The reason why there is no reply, or its status."""
    try:
        return str((await http.fetch("GET", url, timeout=timeout, limit=limit)).status)
    except HttpError as error:
        return str(error)


async def real_reasons() -> dict[str, str]:
    """What the real client says of real sockets."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if path == b"/silent":
            await reader.read()  # until the client gives up
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    http = Http()
    try:
        reasons = {
            "silence": await said(http, f"http://127.0.0.1:{port}/silent", 0.2),
            "too-large": await said(http, f"http://127.0.0.1:{port}/", 2.0, 10),
        }
    finally:
        await http.close()
        server.close()
        await server.wait_closed()
    http = Http()
    try:
        return {**reasons, "refused": await said(http, f"http://127.0.0.1:{port}/", 2.0)}
    finally:
        await http.close()


async def fake_reasons(tmp_path: Path) -> dict[str, str]:
    """What the fake client says of the same."""
    async with world(tmp_path) as made:
        await made.formed()
        http = FakeHttp(made, "db-0")
        return {
            "silence": await said(http, "http://10.9.9.9:7070/", 0.2),
            "too-large": await said(http, "http://10.1.0.2:2380/members", 2.0, 10),
            "refused": await said(http, "http://10.1.0.2:9999/", 2.0),
        }


def test_http(tmp_path: Path) -> None:
    """The fake gives up with the same words as the real client."""
    assert asyncio.run(real_reasons()) == run(fake_reasons(tmp_path))


# ----------------------------------------------------------------------- etcd


async def word(call: Callable[[], Awaitable[object]]) -> str:
    """How a call ended."""
    try:
        await call()
    except CallError as error:
        return error.outcome
    return "ok"


async def membership(http: Any, host: str) -> dict[str, object]:
    """The life of a cluster of one with a learner that never starts, in the words of peerboot's calls."""
    config, url = config_of(host), f"http://{host}:2379"
    listed = await calls.member_list(http, config, url, 5.0)
    status = await calls.status(http, url, 5.0)
    own = listed.members[0]
    found: dict[str, object] = {
        "listed": [(m.started, m.learner, m.id == status.member) for m in listed.members],
        "leads": status.leader == status.member == listed.server,
        "cluster": status.cluster == listed.cluster,
        "moves": status.applied > 0,
        "learner": status.learner,
    }
    new, other = "http://10.200.0.1:2380", "http://10.200.0.2:2380"
    added: list[str] = []

    async def add() -> None:
        added.append(await calls.change(http, url, "add-learner", "", (new,)))

    found["add-own-url"] = await word(lambda: calls.change(http, url, "add-learner", "", own.peer_urls))
    found["add"] = await word(add)
    found["add-a-second"] = await word(lambda: calls.change(http, url, "add-learner", "", (other,)))
    found["promote-unstarted"] = await word(lambda: calls.change(http, url, "promote", added[0], ()))
    found["promote-voter"] = await word(lambda: calls.change(http, url, "promote", own.id, ()))
    found["promote-nobody"] = await word(lambda: calls.change(http, url, "promote", "1234", ()))
    found["transfer-to-nobody"] = await word(lambda: calls.change(http, url, "transfer-leadership", "1234", ()))
    found["transfer-to-a-learner"] = await word(lambda: calls.change(http, url, "transfer-leadership", added[0], ()))
    cluster, peers = await calls.peer_members(http, config, f"http://{host}:2380", 5.0)
    found["peer-port"] = (cluster == listed.cluster, sorted((m.learner, m.started) for m in peers))
    found["update"] = await word(lambda: calls.change(http, url, "update-peer-urls", own.id, own.peer_urls))
    found["remove"] = await word(lambda: calls.change(http, url, "remove", added[0], ()))
    found["remove-again"] = await word(lambda: calls.change(http, url, "remove", added[0], ()))
    found["remove-last"] = await word(lambda: calls.change(http, url, "remove", own.id, ()))
    return found


async def modelled(tmp_path: Path) -> dict[str, object]:
    """The model's answers."""
    async with world(tmp_path, 1) as made:
        await made.formed()
        found = await membership(FakeHttp(made, "db-0"), "10.1.0.1")
        # Here the removal of the last member was tried on purpose.
        made.clusters.harm.clear()
        return found


async def served(tmp_path: Path) -> dict[str, object]:
    """A real server's answers."""
    network = Network()
    etcd = Etcd(find("3.6"), tmp_path / "real", network.another())
    http = Http()
    try:
        etcd.start()
        await asyncio.to_thread(etcd.until_serving)
        return await membership(http, etcd.address)
    finally:
        await http.close()
        etcd.kill()
        network.close()


def test_etcd(tmp_path: Path) -> None:
    """The modelled etcd answers peerboot's calls as a real one does."""
    assert asyncio.run(served(tmp_path)) == run(modelled(tmp_path))
