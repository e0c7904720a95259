"""The server side over real sockets: what each path says, and what a stranger can make it hold."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peerboot.errors import PeerbootError, RefusedError, SettingsError
from peerboot.outside import listen
from peerboot.outside.http import Http, Reply
from peerboot.roles import PATHS as ROLE_PATHS
from peerboot.roles import Role
from peerboot.serve import EXPOSITION, Bounds, Metric, Serve, exposition

METRICS: list[Metric] = [
    (
        "decision",
        "Which.",
        "gauge",
        [({"decision": "wait", "rule": "a"}, 0.0), ({"decision": "form", "rule": "b"}, 1.0)],
    ),
    ("dns_queries", "Sent.", "counter", [({"result": 'found"\n\\'}, 7.0)]),
]


class FakeView:
    """Says what the test wants, and counts what it was asked."""

    def __init__(self) -> None:
        self.live = self.ready = self.started = True
        self.stops = 0
        self.stop = asyncio.Event()
        self.stop.set()
        self.heard: list[Mapping[str, str]] = []
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.error: PeerbootError | None = None
        self.is_now = Role(pod="pg-1", system="postgres", up=True, serves=True)

    def alive(self) -> tuple[bool, str]:
        return self.live, "last pass 0.1 s ago"

    def startup(self) -> tuple[bool, str]:
        return self.started, "form (first-permit): the server starts"

    async def readiness(self) -> tuple[bool, str]:
        return self.ready, "it serves"

    async def prestop(self) -> str:
        self.stops += 1
        await self.stop.wait()
        return "staying a member"

    def census(
        self, headers: Mapping[str, str], shown: tuple[str, ...] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        assert shown is None
        self.heard.append(headers)
        return 401, {"Content-Type": "application/json", "Peerboot-Mac": "m"}, b'{"error":"key"}'

    def metrics(self) -> list[Metric]:
        return METRICS

    def peers(self) -> Mapping[str, Any]:
        return {"outcome": "found"}

    def decision(self) -> bytes:
        return b'{"kind":"wait"}'

    async def role(self) -> Role:
        return self.is_now

    async def admin(self, name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((name, payload))
        if self.error is not None:
            raise self.error
        return {"say": "done"}


class Rig:
    """A server on free ports, and a client."""

    def __init__(self, directory: Path, bounds: Bounds | None = None, leave_timeout: float = 20.0) -> None:
        self.view = FakeView()
        self.serve = Serve(self.view, leave_timeout, bounds)
        self.http = Http()
        self.admin_socket = str(directory / "admin.sock")
        self.pods, self.machines = free_port(), free_port()

    async def __aenter__(self) -> Rig:
        try:
            await self.serve.start(f"127.0.0.1:{self.pods}", f"127.0.0.1:{self.machines}", self.admin_socket)
        except SettingsError:
            await self.serve.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.serve.stop()
        await self.http.close()

    async def ask(
        self, path: str, method: str = "GET", port: int = 0, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request to the pods' port, or another."""
        url = f"http://127.0.0.1:{port or self.pods}{path}"
        return await self.http.fetch(method, url, headers=headers, timeout=5)

    async def admin(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """One request to the admin socket."""
        http = Http(unix=self.admin_socket)
        try:
            return await http.fetch(method, f"http://peerboot{path}", body=body, timeout=5)
        finally:
            await http.close()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A server with the usual bounds."""
    async with Rig(tmp_path) as made:
        yield made


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server ends the connection, which it must within ten seconds."""
    got = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while data := await reader.read(65536):
                got += data
    return got


# ------------------------------------------------------------------------ paths


@pytest.mark.parametrize(("attribute", "path"), [("live", "/livez"), ("started", "/startupz"), ("ready", "/readyz")])
@pytest.mark.parametrize(("yes", "status"), [(True, 200), (False, 503)], ids=["yes", "no"])
async def test_a_probe_gives_the_verdict_as_status_with_its_sentence(
    rig: Rig, attribute: str, path: str, yes: bool, status: int
) -> None:
    """HEAD and OPTIONS give the same status and no body, for load balancers that ask so."""
    setattr(rig.view, attribute, yes)
    replies = [await rig.ask(path, method) for method in ("GET", "HEAD", "OPTIONS")]
    assert [reply.status for reply in replies] == [status] * 3
    assert [bool(reply.body) for reply in replies] == [True, False, False]


PATHS = {
    "/livez": "pods", "/startupz": "pods", "/readyz": "pods", "/prestop": "pods", "/v1/node": "pods",
    "/metrics": "machines", "/v1/peers": "machines", "/v1/decision": "machines",
    **dict.fromkeys(ROLE_PATHS, "machines"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "where"), PATHS.items(), ids=PATHS.keys())
async def test_each_path_is_on_one_port_only(rig: Rig, path: str, where: str) -> None:
    """A network policy for metrics opens neither census nor prestop, and the other way round."""
    ports = {"pods": rig.pods, "machines": rig.machines}
    found = [name for name, port in ports.items() if (await rig.ask(path, port=port)).status != 404]
    assert found == [where]


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_commanded_over_the_network(rig: Rig, path: str) -> None:
    """No path knows a method that changes anything."""
    port = rig.pods if PATHS[path] == "pods" else rig.machines
    found = [(await rig.ask(path, method, port)).status for method in ("POST", "PUT", "DELETE", "PATCH")]
    assert (found, rig.view.asked) == ([405] * 4, [])


async def test_the_admin_requests_are_not_on_the_network(rig: Rig) -> None:
    """Hold, resume, consent and remove are on the socket of mode 0600 alone."""
    names = ("status", "explain", "plan", "hold", "resume", "consent", "remove")
    found = [(await rig.ask(f"/{name}", port=port)).status for name in names for port in (rig.pods, rig.machines)]
    assert found == [404] * 14


async def test_the_census_hands_on_headers_in_lower_case_and_gives_what_it_says(rig: Rig) -> None:
    """Status, headers and body are the census's own."""
    found = await rig.ask("/v1/node", headers={"Peerboot-From": "db-1"})
    assert (found.status, found.headers["peerboot-mac"], found.body) == (401, "m", b'{"error":"key"}')
    assert [h["peerboot-from"] for h in rig.view.heard] == ["db-1"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
async def test_the_census_is_asked_with_get_only(rig: Rig, method: str) -> None:
    """Nobody has a use for half a statement."""
    assert ((await rig.ask("/v1/node", method)).status, rig.view.heard) == (405, [])


# ---------------------------------------------------------------------- prestop


async def test_prestop_waits_for_the_verdict(rig: Rig) -> None:
    """It evaluates and returns when staying or leaving is settled."""
    found = await rig.ask("/prestop")
    assert (found.status, found.body, rig.view.stops) == (200, b"staying a member\n", 1)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
async def test_prestop_is_not_evaluated_for_who_only_asks_whether_it_is_there(rig: Rig, method: str) -> None:
    """A scanner starts nothing."""
    found = await rig.ask("/prestop", method)
    assert (found.status, found.headers["allow"], rig.view.stops) == (200, "GET, HEAD, OPTIONS", 0)


async def test_prestop_ends_at_the_leave_timeout(tmp_path: Path) -> None:
    """The grace period goes on: it answers, and says that the server stops all the same."""
    async with Rig(tmp_path, leave_timeout=0.2) as rig:
        rig.view.stop.clear()
        found = await rig.ask("/prestop")
    assert (found.status, found.body) == (200, b"not done within 0.2 s; the server stops all the same\n")


# ---------------------------------------------------------------------- metrics


async def test_metrics_are_valid_exposition_with_the_prefix(rig: Rig) -> None:
    """Prometheus' own parser reads names, types and labels back, whatever stands in a label."""
    found = await rig.ask("/metrics", port=rig.machines)
    families = list(text_string_to_metric_families(found.body.decode()))
    samples = [(s.name, s.labels, s.value) for family in families for s in family.samples]
    assert found.headers["content-type"] == EXPOSITION
    assert [(family.name, family.type) for family in families] == [
        ("peerboot_decision", "gauge"),
        ("peerboot_dns_queries", "counter"),
    ]
    assert samples == [
        ("peerboot_decision", {"decision": "wait", "rule": "a"}, 0.0),
        ("peerboot_decision", {"decision": "form", "rule": "b"}, 1.0),
        ("peerboot_dns_queries_total", {"result": 'found"\n\\'}, 7.0),
    ]


def test_no_metrics_are_an_empty_exposition() -> None:
    """Not an error."""
    assert exposition([]) == b""


async def test_peers_and_decision_are_json(rig: Rig) -> None:
    """For machines, on the metrics port."""
    found = [await rig.ask(path, port=rig.machines) for path in ("/v1/peers", "/v1/decision")]
    assert [reply.body for reply in found] == [b'{"outcome": "found"}', b'{"kind":"wait"}']
    assert [reply.headers["content-type"].split(";")[0] for reply in found] == ["application/json"] * 2


# ------------------------------------------------------------------------ roles


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/primary", 503), ("/replica", 200), ("/replica?lag=1MB", 200), ("/replica?lag=1%20kB", 503),
        ("/replica?lag=much", 400), ("/replica?lag=1&lag=1", 400),
    ],
)  # fmt: skip
async def test_a_role_is_a_status(rig: Rig, path: str, status: int) -> None:
    """With GET there is a line of JSON that says why; HEAD and OPTIONS give the same status without a body."""
    rig.view.is_now = Role(pod="pg-1", system="postgres", up=True, serves=True, streams=True, lag=2000)
    replies = [await rig.ask(path, method, rig.machines) for method in ("GET", "HEAD", "OPTIONS")]
    assert [reply.status for reply in replies] == [status] * 3
    assert [reply.body.count(b"\n") for reply in replies] == [1, 0, 0]
    assert set(json.loads(replies[0].body)) == {"pod", "role", "say"}
    assert replies[0].headers["content-type"].split(";")[0] == "application/json"


async def test_a_name_that_means_nothing_in_the_system_is_not_found(rig: Rig) -> None:
    """The line says which names do."""
    rig.view.is_now = Role(pod="db-0", system="etcd", style="leader", up=True, serves=True)
    found = await rig.ask("/primary", port=rig.machines)
    assert (found.status, json.loads(found.body)["say"]) == (
        404, "/primary means nothing here: etcd has no primary; ask /leader or /health",
    )  # fmt: skip


# ----------------------------------------------------------------- admin socket


async def test_the_admin_socket_is_for_the_own_user(rig: Rig) -> None:
    """Mode 0600, whatever the umask."""
    assert stat.S_IMODE(os.lstat(rig.admin_socket).st_mode) == 0o600


async def test_an_admin_request_reaches_the_view(rig: Rig) -> None:
    """Name and payload as they were sent."""
    found = await rig.admin("POST", "/hold", b'{"all": true}')
    assert (found.status, found.body, rig.view.asked) == (200, b'{"say": "done"}', [("hold", {"all": True})])


@pytest.mark.parametrize(
    ("error", "code"), [(SettingsError("no"), 2), (RefusedError("no"), 5)], ids=["a wrong question", "a refusal"]
)
async def test_a_no_carries_the_exit_code(rig: Rig, error: PeerbootError, code: int) -> None:
    """The command on the other side leaves with it."""
    rig.view.error = error
    found = await rig.admin("GET", "/status")
    assert (found.status, found.body) == (409, b'{"error": "no", "say": "no", "exit_code": %d}' % code)


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b"\xff", b"[" * 4000], ids=["list", "text", "bytes", "depth"])
async def test_a_body_that_is_no_object_is_refused(rig: Rig, body: bytes) -> None:
    """Without asking the view."""
    assert ((await rig.admin("POST", "/hold", body)).status, rig.view.asked) == (400, [])


async def test_a_body_that_is_too_long_is_refused(rig: Rig) -> None:
    """Four kilobytes are plenty for a person's words."""
    assert ((await rig.admin("POST", "/hold", b" " * 5000)).status, rig.view.asked) == (413, [])


@pytest.mark.parametrize("name", ["hold", "resume", "consent", "remove"])
async def test_a_look_changes_nothing(rig: Rig, name: str) -> None:
    """GET is refused where something would change."""
    assert ((await rig.admin("GET", f"/{name}")).status, rig.view.asked) == (405, [])


async def test_a_socket_that_an_earlier_process_left_is_replaced(tmp_path: Path) -> None:
    """A crash leaves the file; nobody listens on it."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "admin.sock"))
    async with Rig(tmp_path) as rig:
        assert (await rig.admin("GET", "/status")).status == 200


async def test_a_socket_that_somebody_listens_on_is_an_error(rig: Rig, tmp_path: Path) -> None:
    """Two peerboots with one output directory: the second says so, the first goes on."""
    with pytest.raises(SettingsError, match="another peerboot listens there"):
        await Rig(tmp_path).__aenter__()
    assert (await rig.admin("GET", "/status")).status == 200


async def test_a_socket_whose_queue_is_full_is_somebodys(tmp_path: Path) -> None:
    """A busy process is not a dead one: its socket stays."""
    path = str(tmp_path / "admin.sock")
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(path)
        busy.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            with contextlib.suppress(BlockingIOError):
                waiting.connect(path)
        with pytest.raises(OSError, match="another peerboot listens there"):
            listen.unix(path)


async def test_a_file_in_the_place_of_the_socket_stays(tmp_path: Path) -> None:
    """Only what peerboot makes is replaced."""
    (tmp_path / "admin.sock").write_text("mine")
    with pytest.raises(SettingsError, match="a file that is not a socket is there"):
        await Rig(tmp_path).__aenter__()
    assert (tmp_path / "admin.sock").read_text() == "mine"


async def test_a_socket_path_that_is_too_long_says_so(tmp_path: Path) -> None:
    """The kernel's limit is named before it cuts the path."""
    rig = Rig(tmp_path / ("x" * 120))
    with pytest.raises(SettingsError, match="is longer than 107 bytes: use a shorter path"):
        await rig.__aenter__()


# -------------------------------------------------------------------- addresses


async def test_an_address_in_use_says_which_setting(rig: Rig, tmp_path: Path) -> None:
    """One line with the name of the setting; nothing stays open."""
    other = Serve(FakeView())
    taken = f"127.0.0.1:{rig.pods}"
    with pytest.raises(SettingsError, match=f"PEERBOOT_LISTEN={taken} cannot be listened on: "):
        await other.start(taken, f"127.0.0.1:{free_port()}", str(tmp_path / "other.sock"))
    await other.stop()


async def test_every_address_of_both_families_is_listened_on() -> None:
    """``[::]`` takes IPv4 too."""
    port = free_port()
    with listen.tcp("::", port):
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=5) as made:
                assert made.getpeername()[1] == port


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
async def test_where_ipv6_is_off_every_ipv4_address_is_listened_on(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The default of PEERBOOT_LISTEN works there too."""
    real = socket.create_server

    def without_ipv6(address: tuple[str, int], **options: Any) -> socket.socket:
        if options.get("family") == socket.AF_INET6:
            raise OSError(code, "no IPv6 here")
        return real(address, **options)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    with listen.tcp("::", free_port()) as made:
        assert made.family == socket.AF_INET


async def test_an_ipv6_port_in_use_does_not_end_in_half_of_it() -> None:
    """Else the IPv6 half would lead to another process."""
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            listen.tcp("::", taken.getsockname()[1]).close()


EARLY = """
import asyncio, socket, sys
from importlib.abc import MetaPathFinder

class Watch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "aiohttp":
            sys.meta_path.remove(self)
            with socket.create_connection(("127.0.0.1", PORT), timeout=5):
                print("listening before aiohttp is imported")

sys.meta_path.insert(0, Watch())
from peerboot.serve import Serve

async def main():
    serve = Serve(None)
    await serve.start("127.0.0.1:PORT", "127.0.0.1:OTHER", "")
    await serve.stop()

asyncio.run(main())
"""


async def test_sockets_listen_before_the_http_library_is_loaded() -> None:
    """Loading takes longer than all else. A peer that asks meanwhile waits a moment; it is not refused."""
    program = EARLY.replace("PORT", str(free_port())).replace("OTHER", str(free_port()))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert out.decode().splitlines() == ["listening before aiohttp is imported"]


# ---------------------------------------------------------------------- strangers

SMALL = Bounds(pods=8, idle=0.3, lifetime=1.0, linger=0.1)
IDLE, LINGER = Bounds(idle=0.3, linger=60.0, lifetime=60.0), Bounds(idle=60.0, linger=0.1, lifetime=60.0)
LIFETIME = Bounds(idle=60.0, linger=60.0, lifetime=0.5)


async def drip(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    """Send a little now and then, until the other side has enough."""
    with contextlib.suppress(ConnectionError):
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0.05)


SLOW = {
    "nothing at all": (b"", b"", IDLE),
    "a header byte a moment": (b"GET /livez HTTP/1.1\r\nHost: x\r\nA: ", b"x", IDLE),
    "a header a moment": (b"GET /livez HTTP/1.1\r\n", b"A: b\r\n", IDLE),
    "a second request a byte a moment": (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"G", IDLE),
    "a body byte a moment": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"x", LINGER),
    "a chunk a moment": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
        LINGER,
    ),
    "a whole request a moment": (b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", LIFETIME),
    "a header byte a moment, whatever the library bounds": (b"GET /livez HTTP/1.1\r\nHost: x\r\nA: ", b"x", LIFETIME),
}


@pytest.mark.parametrize(("first", "again", "bounds"), SLOW.values(), ids=SLOW.keys())
async def test_a_slow_client_is_cut_off(tmp_path: Path, first: bytes, again: bytes, bounds: Bounds) -> None:
    """Whoever sends a little now and then holds a connection for a while and not for ever."""
    async with Rig(tmp_path, bounds, leave_timeout=0.0) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.pods)
        dripping = asyncio.create_task(drip(writer, first, again))
        await rest_of(reader)
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()
        assert (await rig.ask("/livez")).status == 200


async def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer larger than all buffers does not hold its connection for ever."""
    monkeypatch.setattr(FakeView, "decision", lambda _self: b"x" * (32 << 20))
    async with Rig(tmp_path, SMALL, leave_timeout=0.0) as rig:
        with socket.create_connection(("127.0.0.1", rig.machines), timeout=10) as deaf:
            deaf.sendall(b"GET /v1/decision HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(SMALL.lifetime)
            got = 0
            with contextlib.suppress(ConnectionError):
                while data := await asyncio.to_thread(deaf.recv, 1 << 20):
                    got += len(data)
    assert got < 32 << 20


async def test_many_who_hold_on_do_not_keep_others_out(tmp_path: Path) -> None:
    """When all places are taken the oldest connection goes; the kubelet's probe is answered."""
    async with Rig(tmp_path, Bounds(pods=8)) as rig, contextlib.AsyncExitStack() as stack:
        holding = []
        for _ in range(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.pods)
            stack.callback(writer.close)
            writer.write(b"GET /livez HTTP/1.1\r\n")
            holding.append(reader)
        found = await rig.ask("/livez")
        cut = [await rest_of(reader) for reader in holding[:33]]
        assert (found.status, cut, [reader.at_eof() for reader in holding[33:]]) == (200, [b""] * 33, [False] * 7)


GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc" * 20,
    "no HTTP": b"HELO there\r\n\r\n",
    "a method without end": b"G" * 20_000,
    "a path without end": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "a header without end": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
    "too many headers": b"GET /livez HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    "a bad length": b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a bad chunk": b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a bad chunk later": b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    "a header that is no text": b"GET /v1/node HTTP/1.1\r\nHost: x\r\nPeerboot-From: \xff\xfe\0\r\n\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_answered_with_4xx_or_the_end_and_never_logged(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger cannot fill the log, nor write into it."""
    with caplog.at_level(logging.DEBUG):
        async with Rig(tmp_path, SMALL, leave_timeout=0.0) as rig:
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.pods)
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
            got = await rest_of(reader)
            writer.close()
            assert (await rig.ask("/livez")).status == 200
    said = got[: len("HTTP/1.1 400")]
    assert (
        said in (b"", b"HTTP/1.0 400", b"HTTP/1.1 400", b"HTTP/1.1 200", b"HTTP/1.1 401"),
        [r for r in caplog.records if r.name != "asyncio"],
    ) == (
        True,
        [],
    )


async def test_a_bug_behind_a_path_is_logged_and_not_shown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The stranger gets 500 without a word of what went wrong."""

    def broken() -> tuple[bool, str]:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(rig.view, "alive", broken)
    found = await rig.ask("/livez")
    assert (found.status, b"inside" in found.body, "inside" in caplog.text) == (500, False, True)


async def test_stopping_ends_what_is_in_progress(tmp_path: Path) -> None:
    """A prestop that waits does not hold the end up, and the ports are free."""
    rig = Rig(tmp_path)
    async with rig:
        rig.view.stop.clear()
        asking = asyncio.create_task(rig.ask("/prestop"))
        async with asyncio.timeout(5):
            while not rig.view.stops:  # noqa: ASYNC110 - the view is plain on purpose
                await asyncio.sleep(0.01)
    await asyncio.gather(asking, return_exceptions=True)
    with listen.tcp("127.0.0.1", rig.pods), listen.tcp("127.0.0.1", rig.machines):
        assert asking.exception() is not None
