"""Serve: probes, census, metrics and the admin socket. The server side of aiohttp, imported when it starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from peerboot.errors import PeerbootError, SettingsError
from peerboot.settings import split_listen

if TYPE_CHECKING:
    from aiohttp import web

CENSUS_AT_ONCE = 64
ADMIN_BODY = 4096
UNIX_PATH_MAX = 107

Metric = tuple[str, str, str, list[tuple[dict[str, str], float]]]
"""Name without prefix, help, ``gauge`` or ``counter``, samples."""


class View(Protocol):
    """What is served; ``node.py`` gives it."""

    def alive(self) -> tuple[bool, str]:
        """Whether the loop does work."""

    def startup(self) -> tuple[bool, str]:
        """Whether the server may start."""

    async def readiness(self) -> tuple[bool, str]:
        """Whether this member serves, by the server's own word."""

    async def prestop(self) -> str:
        """Returns when this member has left or staying is right."""

    def census(self, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """The reply to one census request."""

    def metrics(self) -> list[Metric]:
        """All metrics now."""

    def peers(self) -> Mapping[str, Any]:
        """The peer set."""

    def decision(self) -> bytes:
        """The decision with evidence and ledger, JSON."""

    async def admin(self, name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """One admin request; raises ``PeerbootError`` to say no."""


class Serve:
    """Three listeners: pods and kubelet, metrics, admin socket."""

    def __init__(self, view: View, leave_timeout: float = 20.0) -> None:
        self._view = view
        self._leave_timeout = leave_timeout
        self._runners: list[web.AppRunner] = []
        self._answering = 0

    async def start(self, listen: str, metrics_listen: str, admin_socket: str) -> None:
        """Start all; raises ``SettingsError`` when an address cannot be listened on."""
        from aiohttp import web

        self._web = web
        await self._tcp(
            "PEERBOOT_LISTEN",
            listen,
            {
                "/livez": self._livez,
                "/startupz": self._startupz,
                "/readyz": self._readyz,
                "/prestop": self._prestop,
                "/v1/node": self._node,
            },
        )
        await self._tcp(
            "PEERBOOT_METRICS_LISTEN",
            metrics_listen,
            {"/metrics": self._metrics, "/v1/peers": self._peers, "/v1/decision": self._decision},
        )
        if admin_socket:
            await self._unix(admin_socket)

    async def stop(self) -> None:
        """Stop all within about a second."""
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()

    def _app(self, routes: Mapping[str, Callable[[Any], Awaitable[Any]]]) -> Any:
        app = self._web.Application(client_max_size=ADMIN_BODY)
        for path, handler in routes.items():
            app.router.add_route("GET", path, handler)
            app.router.add_route("HEAD", path, handler)
            app.router.add_route("OPTIONS", path, handler)
        return app

    async def _runner(self, app: Any) -> Any:
        runner = self._web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.5,
            handle_signals=False,
            max_line_size=4096,
            max_field_size=4096,
            keepalive_timeout=75.0,
        )
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _tcp(self, name: str, listen: str, routes: Mapping[str, Callable[[Any], Awaitable[Any]]]) -> None:
        host, port = split_listen(name, listen)
        runner = await self._runner(self._app(routes))
        try:
            sock = _listening(host, port)
        except OSError as error:
            raise SettingsError(
                f"{name}={listen} cannot be listened on: {error.strerror or error}; use another address or port"
            ) from None
        await self._web.SockSite(runner, sock).start()

    async def _unix(self, path: str) -> None:
        if len(os.fsencode(path)) > UNIX_PATH_MAX:
            raise SettingsError(
                f"PEERBOOT_ADMIN_SOCKET={path} is longer than {UNIX_PATH_MAX} bytes: use a shorter path"
            )
        app = self._web.Application(client_max_size=ADMIN_BODY)
        for name in ("status", "explain", "plan"):
            app.router.add_route("GET", f"/{name}", self._admin)
        for name in ("hold", "resume", "consent", "remove"):
            app.router.add_route("POST", f"/{name}", self._admin)
        runner = await self._runner(app)
        try:
            _clear_stale_socket(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            before = os.umask(0o177)
            try:
                sock.bind(path)
            finally:
                os.umask(before)
            sock.listen(8)
        except OSError as error:
            raise SettingsError(f"PEERBOOT_ADMIN_SOCKET={path} cannot be made: {error.strerror or error}") from None
        await self._web.SockSite(runner, sock).start()

    # ------------------------------------------------------------- handlers

    def _answer(self, verdict: tuple[bool, str]) -> Any:
        ok, text = verdict
        return self._web.Response(status=200 if ok else 503, text=text + "\n")

    async def _livez(self, _request: Any) -> Any:
        return self._answer(self._view.alive())

    async def _startupz(self, _request: Any) -> Any:
        return self._answer(self._view.startup())

    async def _readyz(self, _request: Any) -> Any:
        return self._answer(await self._view.readiness())

    async def _prestop(self, request: Any) -> Any:
        if request.method != "GET":
            return self._web.Response()
        try:
            async with asyncio.timeout(self._leave_timeout):
                text = await self._view.prestop()
        except TimeoutError:
            text = f"not done within {self._leave_timeout:g} s; the server stops all the same"
        return self._web.Response(text=text + "\n")

    async def _node(self, request: Any) -> Any:
        if self._answering >= CENSUS_AT_ONCE:
            return self._web.Response(status=503, text="busy\n")
        self._answering += 1
        try:
            status, headers, body = self._view.census({k.lower(): v for k, v in request.headers.items()})
        finally:
            self._answering -= 1
        return self._web.Response(status=status, headers=headers, body=body)

    async def _metrics(self, _request: Any) -> Any:
        return self._web.Response(body=exposition(self._view.metrics()), content_type="text/plain", charset="utf-8")

    async def _peers(self, _request: Any) -> Any:
        return self._web.json_response(self._view.peers())

    async def _decision(self, _request: Any) -> Any:
        return self._web.Response(body=self._view.decision(), content_type="application/json")

    async def _admin(self, request: Any) -> Any:
        try:
            payload = json.loads(await request.read() or b"{}") if request.method == "POST" else {}
            if not isinstance(payload, dict):
                raise ValueError("not an object")
        except ValueError:
            return self._web.json_response({"error": "request", "say": "the body is not a JSON object"}, status=400)
        try:
            return self._web.json_response(await self._view.admin(request.path.strip("/"), payload))
        except PeerbootError as error:
            return self._web.json_response({"error": "no", "say": str(error)}, status=409)


def _listening(host: str, port: int) -> socket.socket:
    """A listening socket; ``::`` is dual stack and falls back to IPv4 where IPv6 is off."""
    if host == "::":
        with contextlib.suppress(OSError):
            if socket.has_dualstack_ipv6():
                return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        host = "0.0.0.0"  # noqa: S104 - the user asked for every address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def _clear_stale_socket(path: str) -> None:
    """Remove a socket that an earlier process left; one that still answers is an error."""
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(path)
        except OSError:
            Path(path).unlink(missing_ok=True)
            return
    raise OSError(98, "another peerboot listens there")


def exposition(metrics: list[Metric]) -> bytes:
    """Prometheus text format. The library is imported at the first scrape: who does not scrape does not pay."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

    class Now(Collector):
        def collect(self) -> Any:
            for name, text, kind, samples in metrics:
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
