"""A client of the lab's etcd: single requests, and a writer that counts what was acknowledged."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from peerboot.outside.http import Http, HttpError
from peerboot.systems.etcd.calls import ASKS_WHO


class ClientError(Exception):
    """A request was not answered with 200; what it would have done may have happened all the same."""


@dataclass
class Login:
    """Who logs in where etcd asks for passwords, and what each server gave out for it."""

    name: str
    password: str = field(repr=False)
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    """By URL: a server knows the tokens that were given out since its start."""


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Client:
    """One etcd server over its JSON gateway."""

    def __init__(self, url: str, http: Http, login: Login | None = None) -> None:
        self._url = url
        self._http = http
        self._login = login

    async def _post(self, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        try:
            return await self._told(path, body, timeout)
        except ClientError as error:
            if self._login is None or not any(words in str(error) for words in ASKS_WHO):
                raise
        self._login.tokens.pop(self._url, None)
        who = {"name": self._login.name, "password": self._login.password}
        self._login.tokens[self._url] = str((await self._told("/v3/auth/authenticate", who, timeout))["token"])
        return await self._told(path, body, timeout)

    async def _told(self, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        token = self._login.tokens.get(self._url) if self._login is not None else None
        try:
            reply = await self._http.fetch(
                "POST",
                f"{self._url}{path}",
                body=json.dumps(body).encode(),
                headers={"Authorization": token} if token else {},
                timeout=timeout,
                limit=16 << 20,
            )
            data = json.loads(reply.body)
        except (HttpError, ValueError) as error:
            raise ClientError(str(error)) from None
        if reply.status != 200 or not isinstance(data, dict):
            raise ClientError(f"HTTP {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}")
        return data

    async def put(self, key: str, value: str, timeout: float = 2.0) -> None:
        """Write; returns when etcd has acknowledged it. Raises ``ClientError``."""
        await self._post("/v3/kv/put", {"key": _coded(key), "value": _coded(value)}, timeout)

    async def get(self, key: str, timeout: float = 2.0, *, serializable: bool = False) -> str | None:
        """Read, linearizable unless told otherwise; None when there is no such key. Raises ``ClientError``."""
        body = {"key": _coded(key), "serializable": serializable}
        found = (await self._post("/v3/kv/range", body, timeout)).get("kvs") or []
        return base64.b64decode(found[0].get("value", "")).decode() if found else None

    async def prefix(self, prefix: str, timeout: float = 10.0, *, serializable: bool = False) -> dict[str, str]:
        """Every key that begins so, with its value."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        body = {"key": _coded(prefix), "range_end": _coded(end), "serializable": serializable}
        rows = (await self._post("/v3/kv/range", body, timeout)).get("kvs") or []
        return {base64.b64decode(row["key"]).decode(): base64.b64decode(row.get("value", "")).decode() for row in rows}

    async def members(self, timeout: float = 5.0) -> dict[str, dict[str, Any]]:
        """The linearizable member list by id in hex."""
        rows = (await self._post("/v3/cluster/member/list", {"linearizable": True}, timeout)).get("members") or []
        return {f"{int(row['ID']):x}": row for row in rows}

    async def call(self, path: str, body: Mapping[str, Any], timeout: float = 10.0) -> dict[str, Any]:
        """Any other request of the gateway. Raises ``ClientError``."""
        return await self._post(path, body, timeout)


@dataclass
class Writer:
    """Writes numbered keys to whichever server takes them, and remembers those that were acknowledged."""

    urls: Callable[[], list[str]]
    """The servers to try, asked anew before each write: addresses change."""
    prefix: str = "key/"
    pause: float = 0.01
    trust: ssl.SSLContext | None = None
    """How it sees TLS; None: there is none."""
    login: Login | None = None
    acknowledged: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    _task: asyncio.Task[None] | None = None
    _http: Http = field(init=False)

    def __post_init__(self) -> None:
        self._http = Http(tls=self.trust)

    def start(self) -> None:
        """Write in the background until stopped."""
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        number = turn = 0
        while True:
            key, value = f"{self.prefix}{number:06d}", f"value {number}"
            urls = self.urls()
            if urls:
                try:
                    await Client(urls[turn % len(urls)], self._http, self.login).put(key, value, timeout=1.5)
                except ClientError:
                    self.failures += 1
                    turn += 1
                else:
                    self.acknowledged[key] = value
                    number += 1
            # A failed write is tried again under the same key: whether it took place does not matter then.
            await asyncio.sleep(self.pause if urls else 0.1)

    async def stop(self) -> None:
        """Stop writing; what was acknowledged stays known."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._http.close()

    async def missing(self, url: str, *, serializable: bool = False) -> list[str]:
        """Acknowledged keys that a server does not have, or has with another value."""
        http = Http(tls=self.trust)
        try:
            found = await Client(url, http, self.login).prefix(self.prefix, serializable=serializable)
        finally:
            await http.close()
        return sorted(key for key, value in self.acknowledged.items() if found.get(key) != value)
