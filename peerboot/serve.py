"""Serve: probes, census, metrics and the admin socket. The server side of aiohttp, imported when it starts.

Whoever can reach the Pod can reach this. So nothing here commands anything but the admin socket, whose mode is
0600, and all that a stranger can make it hold is bounded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from peerboot import roles, trust
from peerboot.errors import PeerbootError, SettingsError
from peerboot.outside import http, listen
from peerboot.settings import split_listen

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

    from peerboot.outside.either import Either

    Handler = Callable[[web.Request], Awaitable[web.Response]]

PATH = "/v1/node"
METHODS = "GET, HEAD, OPTIONS"
ADMIN_BODY = 4096
HEADER_LINE = 4096
UNIX_PATH_MAX = 107
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

Metric = tuple[str, str, str, list[tuple[dict[str, str], float]]]
"""Name without prefix, help, kind, samples. Of a ``summary`` these are two, with the label ``part``: count and sum; the
other kinds are ``gauge`` and ``counter``."""


class View(Protocol):
    """What is served; ``view.py`` gives it."""

    def alive(self) -> tuple[bool, str]:
        """Whether the loop does work."""

    def startup(self) -> tuple[bool, str]:
        """Whether the server may start."""

    async def readiness(self) -> tuple[bool, str]:
        """Whether this member serves, by the server's own word."""

    async def prestop(self) -> str:
        """Returns when this member has left or staying is right."""

    def census(
        self, headers: Mapping[str, str], shown: tuple[str, ...] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """The reply to one census request; ``shown``: DNS names of the certificate, None without TLS."""

    def metrics(self) -> list[Metric]:
        """All metrics now."""

    def peers(self) -> Mapping[str, Any]:
        """The peer set."""

    def decision(self) -> bytes:
        """The decision with evidence and ledger, JSON."""

    async def role(self) -> roles.Role:
        """What the own server is, by a look of now."""

    async def admin(self, name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """One admin request; raises ``PeerbootError`` to say no."""


@dataclass(frozen=True)
class Bounds:
    """What strangers can make this process hold."""

    pods: int = 512
    secured: int = 256
    """In place of that where one port is for TLS too, of each kind, besides ``at_the_door``: all together stay below
    the 1024 descriptors that a process may have where nobody raised that."""
    at_the_door: int = 128
    """Connections that have yet to say what they are, or to shake hands."""
    """Connections at once on PEERBOOT_LISTEN. At start-up all others of a large set ask at once."""
    machines: int = 64
    """On PEERBOOT_METRICS_LISTEN."""
    people: int = 16
    """On the admin socket."""
    idle: float = 20.0
    """Seconds within which a whole request has to come; longer than clients keep an idle connection."""
    lifetime: float = 60.0
    """Seconds after which any connection ends, slow readers' too."""
    linger: float = 1.0
    """Seconds for which a body that nobody asked for is read."""
    entering: float = 10.0
    """Seconds in which a connection has to say what it is, and shake hands, where one port is for TLS too."""


class Serve:
    """Three listeners: pods and kubelet, metrics, admin socket."""

    def __init__(
        self,
        view: View,
        leave_timeout: float = 20.0,
        bounds: Bounds | None = None,
        secured: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """``secured``: how the census is answered over TLS, asked for at each handshake; None where it is not."""
        self._view = view
        self._secured = secured
        self._either: Either | None = None
        self._leave_timeout = leave_timeout
        self._bounds = bounds or Bounds()
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._guards: list[listen.Guard] = []
        self._runners: list[web.AppRunner] = []

    async def start(self, pods_listen: str, metrics_listen: str, admin_socket: str) -> None:
        """Start all; raises ``SettingsError`` when an address cannot be listened on."""
        # All sockets first: whoever asks while the library is still loading waits a moment instead of
        # being refused.
        pods = self._tcp("PEERBOOT_LISTEN", pods_listen)
        machines = self._tcp("PEERBOOT_METRICS_LISTEN", metrics_listen)
        people = self._unix(admin_socket) if admin_socket else None
        # In a thread, so that what is due meanwhile (the first DNS question) is not late by this import.
        await asyncio.to_thread(http.load, "aiohttp.web")
        from aiohttp import web

        self._web = web
        bounds = self._bounds
        most = bounds.pods if self._secured is None else bounds.secured
        plain = await self._guarded(self._for_pods(), most, bounds.lifetime + self._leave_timeout)
        if self._secured is None:
            await self._serve(pods, plain)
        else:
            from peerboot.outside.either import Either

            others = await self._guarded(self._for_others(), bounds.secured, bounds.lifetime)
            self._either = Either(plain, others, self._secured, most=bounds.at_the_door, seconds=bounds.entering)
            self._either.start(pods)
        await self._serve(machines, await self._guarded(self._for_machines(), bounds.machines, bounds.lifetime))
        if people is not None:
            await self._serve(people, await self._guarded(self._for_people(), bounds.people, bounds.lifetime))

    async def stop(self) -> None:
        """Stop all within about a second."""
        for server in self._servers:
            server.close()
        if self._either is not None:
            await self._either.close()
            self._either = None
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        for guard in self._guards:
            await guard.cut()
        for sock in self._sockets:
            sock.close()
        for kept in (self._servers, self._runners, self._guards, self._sockets):
            kept.clear()

    # ------------------------------------------------------------ listeners

    def _tcp(self, name: str, text: str) -> socket.socket:
        host, port = split_listen(name, text)
        try:
            sock = listen.tcp(host, port)
        except OSError as error:
            raise SettingsError(
                f"{name}={text} cannot be listened on: {error.strerror or error}; use another address or port"
            ) from None
        self._sockets.append(sock)
        return sock

    def _unix(self, path: str) -> socket.socket:
        if len(os.fsencode(path)) > UNIX_PATH_MAX:
            raise SettingsError(
                f"PEERBOOT_ADMIN_SOCKET={path} is longer than {UNIX_PATH_MAX} bytes: use a shorter path"
            )
        try:
            sock = listen.unix(path)
        except OSError as error:
            raise SettingsError(f"PEERBOOT_ADMIN_SOCKET={path} cannot be made: {error.strerror or error}") from None
        self._sockets.append(sock)
        return sock

    async def _serve(self, sock: socket.socket, guard: listen.Guard) -> None:
        self._servers.append(await asyncio.get_running_loop().create_server(guard, sock=sock))

    async def _guarded(self, app: web.Application, most: int, lifetime: float) -> listen.Guard:
        runner = self._web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.5,
            handle_signals=False,
            max_line_size=HEADER_LINE,
            max_field_size=HEADER_LINE,
            keepalive_timeout=self._bounds.idle,
            lingering_time=self._bounds.linger,
            logger=_logger(),
        )
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None  # noqa: S101 - setup() made it
        guard = listen.Guard(runner.server, most, lifetime)
        self._guards.append(guard)
        return guard

    # --------------------------------------------------------------- routes

    def _for_pods(self) -> web.Application:
        app = self._web.Application(client_max_size=ADMIN_BODY)
        self._add(app, "/livez", self._livez)
        self._add(app, "/startupz", self._startupz)
        self._add(app, "/readyz", self._readyz)
        app.router.add_route("GET", "/prestop", self._prestop)
        for method in ("HEAD", "OPTIONS"):
            # They ask whether it is there, not whether this member may stop.
            app.router.add_route(method, "/prestop", self._nothing)
        app.router.add_route("GET", PATH, self._node)
        return app

    def _for_others(self) -> web.Application:
        """Over TLS, where everybody has shown a certificate: the other Pods' questions and nothing else."""
        app = self._web.Application(client_max_size=ADMIN_BODY)
        app.router.add_route("GET", PATH, self._node_secured)
        return app

    def _for_machines(self) -> web.Application:
        app = self._web.Application(client_max_size=ADMIN_BODY)
        self._add(app, "/metrics", self._metrics)
        self._add(app, "/v1/peers", self._peers)
        self._add(app, "/v1/decision", self._decision)
        for path in roles.PATHS:
            self._add(app, path, self._role)
        return app

    def _for_people(self) -> web.Application:
        app = self._web.Application(client_max_size=ADMIN_BODY)
        for name in ("status", "explain", "plan", "bundle"):
            app.router.add_route("GET", f"/{name}", self._admin)
        for name in ("hold", "resume", "consent", "remove", "switchover"):
            app.router.add_route("POST", f"/{name}", self._admin)
        return app

    def _add(self, app: web.Application, path: str, handler: Handler) -> None:
        """GET and HEAD; OPTIONS gives the same status without a body, for load balancers that ask so."""

        async def options(request: web.Request) -> web.Response:
            status = (await handler(request)).status
            bare: web.Response = self._web.Response(status=status, headers={"Allow": METHODS})
            return bare

        app.router.add_route("GET", path, handler)
        app.router.add_route("HEAD", path, handler)
        app.router.add_route("OPTIONS", path, options)

    # ------------------------------------------------------------- handlers

    def _answer(self, verdict: tuple[bool, str]) -> web.Response:
        ok, text = verdict
        return self._web.Response(status=200 if ok else 503, text=text + "\n")

    async def _livez(self, _request: web.Request) -> web.Response:
        return self._answer(self._view.alive())

    async def _startupz(self, _request: web.Request) -> web.Response:
        return self._answer(self._view.startup())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return self._answer(await self._view.readiness())

    async def _prestop(self, _request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(self._leave_timeout):
                text = await self._view.prestop()
        except TimeoutError:
            text = f"not done within {self._leave_timeout:g} s; the server stops all the same"
        return self._web.Response(text=text + "\n")

    async def _nothing(self, _request: web.Request) -> web.Response:
        return self._web.Response(headers={"Allow": METHODS})

    async def _node(self, request: web.Request) -> web.Response:
        status, headers, body = self._view.census({k.lower(): v for k, v in request.headers.items()})
        return self._web.Response(status=status, headers=headers, body=body)

    async def _node_secured(self, request: web.Request) -> web.Response:
        transport = request.transport
        names = trust.names_of(transport.get_extra_info("peercert") if transport is not None else None)
        status, headers, body = self._view.census({k.lower(): v for k, v in request.headers.items()}, names)
        return self._web.Response(status=status, headers=headers, body=body)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return self._web.Response(body=exposition(self._view.metrics()), headers={"Content-Type": EXPOSITION})

    async def _peers(self, _request: web.Request) -> web.Response:
        return self._web.json_response(self._view.peers())

    async def _decision(self, _request: web.Request) -> web.Response:
        return self._web.Response(body=self._view.decision(), content_type="application/json")

    async def _role(self, request: web.Request) -> web.Response:
        status, text = roles.answer(request.path, list(request.query.items()), await self._view.role())
        return self._web.Response(status=status, text=text + "\n", content_type="application/json")

    async def _admin(self, request: web.Request) -> web.Response:
        try:
            payload = json.loads(await request.read() or b"{}") if request.method == "POST" else {}
        except (ValueError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            return self._web.json_response({"error": "request", "say": "the body is not a JSON object"}, status=400)
        try:
            return self._web.json_response(await self._view.admin(request.path.strip("/"), payload))
        except PeerbootError as error:
            said = {"error": "no", "say": str(error), "exit_code": error.exit_code}
            return self._web.json_response(said, status=409)


def _logger() -> logging.Logger:
    """aiohttp's log without strangers' garbage: each piece would be a traceback with their bytes in it."""
    from aiohttp import http_exceptions, web

    def is_bug(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, http_exceptions.HttpProcessingError | web.RequestPayloadError)

    logger = logging.getLogger("peerboot.serve")
    if not logger.filters:
        logger.addFilter(is_bug)
    return logger


def exposition(metrics: list[Metric]) -> bytes:
    """Prometheus text format. The library is imported at the first scrape: who does not scrape does not pay."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
    from prometheus_client.registry import Collector

    class Now(Collector):
        def collect(self) -> Any:
            for name, text, kind, samples in metrics:
                if kind == "summary":
                    parts = {keys["part"]: value for keys, value in samples}
                    yield SummaryMetricFamily(f"peerboot_{name}", text, int(parts["count"]), parts["sum"])
                    continue
                labels = sorted({label for keys, _ in samples for label in keys})
                family: Any = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(
                    f"peerboot_{name}", text, labels=labels
                )
                for keys, value in samples:
                    family.add_metric([keys.get(label, "") for label in labels], value)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Now())
    return generate_latest(registry)
