"""One listener of one server: its URL, whom to trust there, and the token of who is logged in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peerboot.outside.http import Http, Reply

if TYPE_CHECKING:
    import ssl

AUTHENTICATE = "/v3/auth/authenticate"
"""Where a password becomes a token."""


@dataclass
class Login:
    """etcd's user root, and the token by which the servers know it: a token is good for all members until it is idle
    for ``auth-token-ttl`` (300 s). etcd takes it without the word Bearer (measured on 3.5).
    """

    password: str = field(repr=False)
    token: str = field(default="", repr=False)
    not_before: float = 0.0
    """In the loop's seconds: until then no other login is tried."""
    refused: str = ""
    """Why the last one was."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


@dataclass(frozen=True)
class Reach:
    """Asked like ``Http`` itself, which is the same without TLS and login."""

    http: Http
    tls: ssl.SSLContext | None = None
    name: str = ""
    """What the server's certificate has to be for."""
    login: Login | None = None

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
        limit: int = 65536,
    ) -> Reply:
        """As ``Http.fetch``."""
        # 3.4 does not log in anybody who shows a token that it does not know any more.
        token = self.login.token if self.login and not url.endswith(AUTHENTICATE) else ""
        shown = {"Authorization": token} if token else {}
        secured: dict[str, Any] = {} if self.tls is None else {"tls": self.tls, "tls_name": self.name}
        return await self.http.fetch(
            method, url, body=body, headers={**(headers or {}), **shown}, timeout=timeout, limit=limit, **secured
        )


Asked = Http | Reach
"""What a call goes through."""
