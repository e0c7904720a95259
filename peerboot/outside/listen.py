"""The door for others: listening sockets, and connections that are bounded in number and in time."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

BACKLOG = 128
UNIX_BACKLOG = 8
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def tcp(host: str, port: int) -> socket.socket:
    """A listening socket; ``::`` is dual stack and falls back to IPv4 where IPv6 is off. Raises ``OSError``."""
    if host == "::":
        try:
            if socket.has_dualstack_ipv6():
                return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        except OSError as error:
            # An address in use must not end in half of it: the IPv6 half would be another process.
            if error.errno not in NO_IPV6:
                raise
        host = "0.0.0.0"  # noqa: S104 - the user asked for every address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def unix(path: str) -> socket.socket:
    """A listening socket of mode 0600 in place of one that an earlier process left. Raises ``OSError``."""
    _clear_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        sock.bind(path)
        sock.listen(UNIX_BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _clear_stale(path: str) -> None:
    """Remove a socket on which nobody listens any more; one that is listened on, or another file, is an error."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is not a socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
        except BlockingIOError:
            # Its queue is full: somebody is there, and busy.
            pass
    raise OSError(errno.EADDRINUSE, "another peerboot listens there")


class Guard:
    """Makes the protocols of one server, at most ``most`` at once, none for longer than ``lifetime`` seconds.

    When it is full the oldest connection is cut: whoever asks and leaves is served although others hold on.
    """

    def __init__(self, inner: Callable[[], asyncio.Protocol], most: int, lifetime: float) -> None:
        self._inner = inner
        self._most = most
        self._lifetime = lifetime
        self._open: dict[_Guarded, asyncio.Transport] = {}

    def __call__(self) -> asyncio.Protocol:
        return _Guarded(self, self._inner())

    def __len__(self) -> int:
        """Connections open now."""
        return len(self._open)

    async def cut(self) -> None:
        """End all connections now, also those whose other side does not read."""
        for transport in self._open.values():
            transport.abort()
        await asyncio.sleep(0)

    def admit(self, who: _Guarded, transport: asyncio.Transport) -> asyncio.TimerHandle:
        """Count a connection in; returns the timer that ends it."""
        if len(self._open) >= self._most:
            oldest = next(iter(self._open))
            self._open.pop(oldest).abort()
        self._open[who] = transport
        return asyncio.get_running_loop().call_later(self._lifetime, transport.abort)

    def leave(self, who: _Guarded) -> None:
        """Count a connection out."""
        self._open.pop(who, None)


class _Guarded(asyncio.Protocol):
    """One connection: everything goes to the protocol inside."""

    def __init__(self, guard: Guard, inner: asyncio.Protocol) -> None:
        self._guard = guard
        self._inner = inner
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._timer = self._guard.admit(self, transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._guard.leave(self)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
