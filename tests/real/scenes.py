"""What several scenarios do and look at."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from peerboot.lab.client import Client, ClientError, Login, Writer
from peerboot.lab.cluster import Lab
from peerboot.outside.http import Http
from peerboot.systems.etcd import datadir

T = TypeVar("T")
MakeLab = Callable[..., AbstractAsyncContextManager[Lab]]
PASSING = ("leader changed", "connection refused")
"""Words of errors that end by themselves within seconds."""
STAYS = 2.5
"""Seconds for which something must stay as it is, to be believed. Every loop has looked several times by then."""


async def formed(lab: Lab) -> Lab:
    """Create all Pods and wait until all serve."""
    await lab.start()
    await lab.until_ready(120)
    if lab.spec.login is not None:
        await ask_for_passwords(lab, lab.spec.login)
    return lab


async def ask_for_passwords(lab: Lab, root: Login) -> None:
    """As an operator has etcd do it: a user root with the role of that name, and then authentication."""
    async with client(lab, 0) as asked:
        await asked.call("/v3/auth/user/add", {"name": root.name, "password": root.password})
        await asked.call("/v3/auth/user/grant", {"user": root.name, "role": "root"})
        await asked.call("/v3/auth/enable", {})


@contextlib.asynccontextmanager
async def client(lab: Lab, ordinal: int) -> AsyncIterator[Client]:
    """A client of one Pod's server."""
    http = Http(tls=lab.spec.trust)
    try:
        yield Client(lab.client_url(ordinal), http, lab.spec.login)
    finally:
        await http.close()


@contextlib.asynccontextmanager
async def writing(lab: Lab) -> AsyncIterator[Writer]:
    """Writes without pause; at the end no server may miss a write that was acknowledged."""
    urls = lambda: [lab.client_url(o) for o in sorted(lab.pods)]  # noqa: E731 - it is asked anew each time
    writer = Writer(urls, pause=0.02, trust=lab.spec.trust, login=lab.spec.login)
    writer.start()
    try:
        yield writer
        await lab.until("a few writes are acknowledged", lambda: _written(writer))
    finally:
        await writer.stop()
    for ordinal in sorted(lab.pods):
        assert await missing(writer, lab, ordinal) == []


async def missing(writer: Writer, lab: Lab, ordinal: int) -> list[str]:
    """The acknowledged writes that one Pod's server does not have."""
    return await _while_elected(lambda: writer.missing(lab.client_url(ordinal)))


async def _while_elected(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while a leader is elected, for the server then drops questions that it has begun with, and while it
    comes back: what peerboot says of it is up to a second old.
    """
    async with asyncio.timeout(15):
        while True:
            try:
                return await ask()
            except ClientError as error:
                if not any(words in str(error) for words in PASSING):
                    raise
                await asyncio.sleep(0.1)


async def _written(writer: Writer) -> bool:
    return len(writer.acknowledged) > 5


async def members(lab: Lab, ordinal: int = 0) -> dict[str, dict[str, Any]]:
    """The linearizable list by member id, asked of one Pod's server; while a leader is elected, again."""
    async with client(lab, ordinal) as asked:
        return await _while_elected(asked.members)


async def ids(lab: Lab, ordinal: int = 0) -> dict[str, str]:
    """Member id by name."""
    return {row.get("name", "?"): id_ for id_, row in (await members(lab, ordinal)).items()}


def own_id(lab: Lab, ordinal: int) -> tuple[str, str]:
    """Cluster and member id on a Pod's disk."""
    disk = datadir.read(lab.data_dir(ordinal))
    return disk.cluster, disk.member


async def healthy(lab: Lab, ordinal: int = 0, voters: int = 3) -> dict[str, str]:
    """All Pods serve, with as many voters, in one cluster; returns member id by name."""
    await lab.until_ready(120)
    listed = await members(lab, ordinal)
    assert (len(listed), [row for row in listed.values() if row.get("isLearner")]) == (voters, [])
    assert len({own_id(lab, o)[0] for o in lab.ordinals}) == 1
    return {row.get("name", "?"): id_ for id_, row in listed.items()}


async def stays(lab: Lab, ordinal: int, *rules: str, seconds: float = STAYS) -> None:
    """Once the Pod's decision is one of these it stays so for a while; none other in between."""
    await lab.until_rule(ordinal, *rules)
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        rule = await lab.rule(ordinal)
        assert rule in rules, f"{lab.pod_name(ordinal)} decides {rule}, not one of {rules}"
        await asyncio.sleep(0.1)


def decided(lab: Lab, ordinal: int) -> list[str]:
    """Every decision that a Pod's peerboot has logged, as ``kind/rule``, in order."""
    return re.findall(r" (\w+/[\w-]+): ", lab.log(ordinal))


def did(lab: Lab, ordinal: int, action: str) -> int:
    """How often a Pod's peerboot has logged that it did something that begins so."""
    return lab.log(ordinal).count(f"Done: {action}")


def aside(lab: Lab, ordinal: int) -> list[str]:
    """What was moved aside in a Pod's data directory."""
    return sorted(path.name for path in lab.data_dir(ordinal).glob("*.aside-*"))


async def put(lab: Lab, ordinal: int, key: str, value: str) -> None:
    """Write one key through one Pod's server."""
    async with client(lab, ordinal) as asked:
        await asked.put(key, value, timeout=10.0)


async def get(lab: Lab, ordinal: int, key: str) -> str | None:
    """Read one key, linearizable, through one Pod's server."""
    async with client(lab, ordinal) as asked:
        return await asked.get(key, timeout=10.0)


def consent_in(reason: str) -> str:
    """The nonce that a refusal offers."""
    found = re.search(r"peerboot consent (\w+)", reason)
    assert found is not None, reason
    return found[1]
