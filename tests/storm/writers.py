"""Clients of the cluster in a storm: each keeps to one member for a while; they put, get and swap values of a few keys.

Every few seconds there are new keys, so that the history of each stays short enough to be checked; some reads go to
keys of before, and at the end all are read once more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from peerboot.lab.client import Client, ClientError
from peerboot.outside.http import Http
from tests.storm.history import History, Operation

CLIENTS = 6
KEYS = 4
EPOCH = 15.0
"""Seconds for which the same keys are used."""
PAUSE = 0.1
TIMEOUT = 3.0
STAYS = 40
"""Operations for which a client keeps to one member, at most."""
REFUSED = ("refused", "unreachable")
"""Words of errors that say that the request never left."""


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _value_of(reply: Mapping[str, Any]) -> str:
    found = reply.get("kvs") or []
    return base64.b64decode(found[0].get("value", "")).decode() if found else ""


async def carry_out(operation: Operation, client: Client, timeout: float = TIMEOUT) -> None:
    """Ask, and note what came of it. Cancelled, it is of unknown outcome."""
    key = _coded(operation.key)
    operation.call = time.monotonic_ns()
    try:
        if operation.kind == "get":
            operation.found = _value_of(await client.call("/v3/kv/range", {"key": key}, timeout))
        elif operation.kind == "put":
            await client.call("/v3/kv/put", {"key": key, "value": _coded(operation.value)}, timeout)
        else:
            reply = await client.call("/v3/kv/txn", _swap(key, operation), timeout)
            operation.swapped = bool(reply.get("succeeded"))
            if not operation.swapped:
                operation.found = _value_of(reply["responses"][0]["response_range"])
        operation.outcome = "ok"
    except ClientError as error:
        operation.error = str(error)[:120]
        operation.outcome = "failed" if any(word in operation.error.lower() for word in REFUSED) else "unknown"
    finally:
        operation.ended = time.monotonic_ns()


def _swap(key: str, operation: Operation) -> dict[str, Any]:
    if operation.old:
        compare = {"key": key, "target": "VALUE", "result": "EQUAL", "value": _coded(operation.old)}
    else:
        compare = {"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}
    write = {"request_put": {"key": key, "value": _coded(operation.value)}}
    return {"compare": [compare], "success": [write], "failure": [{"request_range": {"key": key}}]}


class Clients:
    """Several at once, until they are stopped."""

    def __init__(self, history: History, urls: Callable[[], Mapping[str, str]], seed: str) -> None:
        """``urls``: the servers that there are now, by Pod."""
        self.history = history
        self._urls = urls
        self._seed = seed
        self._began = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._count = 0

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._ask(number)) for number in range(CLIENTS)]

    async def stop(self) -> None:
        """End; raises what any of them died of."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        self._tasks = []

    @property
    def epoch(self) -> int:
        """Which keys are used now."""
        return int((time.monotonic() - self._began) / EPOCH)

    def keys(self) -> list[str]:
        """Every key so far."""
        return [f"storm/{epoch:04d}/{number}" for epoch in range(self.epoch + 1) for number in range(KEYS)]

    def _next(self, client: int, chance: random.Random, known: dict[str, str]) -> Operation:
        epoch = self.epoch
        if epoch and chance.random() < 0.08:
            key = f"storm/{chance.randrange(epoch):04d}/{chance.randrange(KEYS)}"
            return Operation(client, key, "get", 0)
        key = f"storm/{epoch:04d}/{chance.randrange(KEYS)}"
        kind = chance.choices(("put", "get", "cas"), (30, 40, 30))[0]
        if kind == "get":
            return Operation(client, key, "get", 0)
        self._count += 1
        value = f"{client}.{self._count}"
        return Operation(client, key, kind, 0, value, known.get(key, "") if kind == "cas" else "")  # type: ignore[arg-type]

    async def _ask(self, number: int) -> None:
        chance, known = random.Random(f"{self._seed}/client {number}"), dict[str, str]()  # noqa: S311 - a seed replays
        http = Http()
        try:
            while True:
                urls = dict(self._urls())
                if not urls:
                    await asyncio.sleep(PAUSE)
                    continue
                pod = chance.choice(sorted(urls))
                client = Client(urls[pod], http)
                for _ in range(chance.randint(1, STAYS)):
                    operation = self._next(number, chance, known)
                    operation.member = pod
                    try:
                        await carry_out(operation, client)
                    finally:
                        self.history.add(operation)
                    if operation.outcome != "ok":
                        break
                    wrote = operation.kind == "put" or operation.swapped
                    known[operation.key] = operation.value if wrote else operation.found
                    await asyncio.sleep(PAUSE * (0.5 + chance.random()))
                else:
                    continue
                # Another one is asked next; not at once, for where all are down that would be a loop without a pause.
                await asyncio.sleep(PAUSE)
        finally:
            await http.close()

    async def read_all(self, url: str, pod: str) -> list[str]:
        """Every key once more, linearizable, into the history; returns those that were not answered."""
        http, left = Http(), []
        try:
            client = Client(url, http)
            for key in self.keys():
                operation = Operation(CLIENTS, key, "get", 0, member=pod)
                for _ in range(10):
                    await carry_out(operation, client, 10.0)
                    if operation.outcome == "ok":
                        break
                    await asyncio.sleep(0.5)
                self.history.add(operation)
                if operation.outcome != "ok":
                    left.append(key)
        finally:
            with contextlib.suppress(Exception):
                await http.close()
        return left
