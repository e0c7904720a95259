"""One listening port for plain connections and for TLS, told apart by their first byte.

The kubelet's probes are plain and have no certificate, and DNS tells one port of a Pod. So both are on one, and what is
said on a plain connection is said to nobody in particular.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import partial

HANDSHAKE = 0x16
"""The first byte of TLS (RFC 8446, section 5.1: ContentType handshake); HTTP begins with a letter."""
RETRY = 1.0
"""Seconds until the next try where no connection can be taken, for want of descriptors."""

Made = Callable[[], asyncio.Protocol]


class Either:
    """Takes connections from one socket; at most ``most`` that have yet to say what they are, each for ``seconds``.

    When these are full the oldest is cut, as ``listen.Guard`` does with those that follow.
    """

    def __init__(
        self, plain: Made, secured: Made, context: Callable[[], ssl.SSLContext], *, most: int, seconds: float
    ) -> None:
        """``context``: asked for at each handshake, so that a renewed certificate counts at once."""
        self._plain, self._secured, self._context = plain, secured, context
        self._most, self._seconds = most, seconds
        self._entering: dict[asyncio.Task[None], None] = {}
        self._taking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Connections that have yet to say what they are, or shake hands."""
        return len(self._entering)

    def start(self, sock: socket.socket) -> None:
        """Take connections from now on."""
        sock.setblocking(False)
        self._taking = asyncio.create_task(self._take(sock))

    async def close(self) -> None:
        """Take none any more, and end those that are entering."""
        tasks = [*self._entering, *([self._taking] if self._taking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(RETRY)
                continue
            if len(self._entering) >= self._most:
                oldest = next(iter(self._entering))
                self._entering.pop(oldest)
                oldest.cancel()
            task = loop.create_task(self._enter(sock))
            self._entering[task] = None
            task.add_done_callback(partial(self._entered, sock))
            # A connection that is there already is taken without a pause; all else has its turn all the same.
            await asyncio.sleep(0)

    def _entered(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._entering.pop(task, None)
        if task.cancelled():
            # Here, for one that is cancelled before it began does nothing by itself.
            sock.close()

    async def _enter(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                first = await _peek(sock)
                if first == HANDSHAKE:
                    await loop.connect_accepted_socket(
                        self._secured, sock, ssl=self._context(), ssl_handshake_timeout=self._seconds
                    )
                elif first is not None:
                    await loop.connect_accepted_socket(self._plain, sock)
                else:
                    sock.close()
        except (OSError, TimeoutError):  # a handshake that fails is an OSError too
            sock.close()


async def _peek(sock: socket.socket) -> int | None:
    """The first byte, which stays there to be read; None where the other side is gone."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock.fileno(), there.set)
    try:
        while True:
            await there.wait()
            there.clear()
            with contextlib.suppress(BlockingIOError, InterruptedError):
                return next(iter(sock.recv(1, socket.MSG_PEEK)), None)
    finally:
        loop.remove_reader(sock.fileno())
