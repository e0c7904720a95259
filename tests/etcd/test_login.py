"""How peerboot logs in where a real etcd asks who it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from peerboot.lab.network import Network
from peerboot.lab.servers import Server
from peerboot.outside.http import Http, Reply
from peerboot.systems.etcd import calls
from peerboot.systems.etcd.calls import CallError
from peerboot.systems.etcd.reach import Login, Reach
from tests.etcd.server import Etcd
from tests.etcd.test_calls import outcome

PASSWORD = "p w"
SECONDS = 10.0


@dataclass(frozen=True)
class Counted(Reach):
    """Knows what was asked."""

    asked: list[str] = field(default_factory=list)

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
        self.asked.append(url.rpartition("/")[2])
        return await super().fetch(method, url, body=body, headers=headers, timeout=timeout, limit=limit)

    @property
    def logins(self) -> int:
        """How often it asked for a token."""
        return self.asked.count("authenticate")


@pytest.fixture
def url(every_etcd: Server, start: Callable[..., Etcd], network: Network) -> str:
    """A server that asks for passwords."""
    server = start(every_etcd, "db-0", host=network.fixed(5))
    server.start()
    server.until_serving()
    asyncio.run(_asks(server.client_url))
    return server.client_url


async def _asks(url: str) -> None:
    http = Http()
    try:
        for path, body in (
            ("user/add", {"name": "root", "password": PASSWORD}),
            ("role/add", {"name": "root"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("enable", {}),
        ):
            await calls._post(http, url, f"/v3/auth/{path}", body, SECONDS)
    finally:
        await http.close()


async def _read(door: Reach, url: str) -> str:
    """A read that root alone may do."""
    return await outcome(lambda: calls.read_index(door, url, SECONDS))


async def _at_once(password: str, url: str) -> tuple[list[str], Counted]:
    door = Counted(Http(), login=Login(password) if password else None)
    try:
        found = await asyncio.gather(*(_read(door, url) for _ in range(8)))
        return [*found, await _read(door, url)], door
    finally:
        await door.http.close()


def test_many_calls_need_one_token(url: str) -> None:
    """Eight at once and one later log in once. A token that etcd does not know any more is replaced."""
    found, door = asyncio.run(_at_once(PASSWORD, url))
    assert (found, door.logins) == (["ok"] * 9, 1)
    assert door.login is not None
    door.login.token = "gone.1"
    again, later = asyncio.run(_with(door.login, url))
    assert (again, later.logins) == ("ok", 1)


async def _with(login: Login, url: str) -> tuple[str, Counted]:
    login.lock = asyncio.Lock()
    door = Counted(Http(), login=login)
    try:
        return await _read(door, url), door
    finally:
        await door.http.close()


def test_a_refused_login_is_not_tried_at_every_call(url: str) -> None:
    """Each would cost etcd a bcrypt: one try, and all calls say why until the next."""
    found, door = asyncio.run(_at_once("another", url))
    assert (found, door.logins) == (["auth"] * 9, 1)
    assert door.login is not None
    why = calls.remedy(door.login.refused, door.login)
    assert why == ": PEERBOOT_ETCD_ROOT_PASSWORD_FILE has not the password of its user root"


def test_without_a_password(url: str) -> None:
    """It is said which setting is missing."""
    found, door = asyncio.run(_at_once("", url))
    assert (found, door.logins) == (["auth"] * 9, 0)
    with pytest.raises(CallError) as raised:
        asyncio.run(_refused(url))
    assert "set PEERBOOT_ETCD_ROOT_PASSWORD_FILE" in calls.remedy(str(raised.value), None)


async def _refused(url: str) -> None:
    http = Http()
    try:
        await calls.read_index(http, url, SECONDS)
    finally:
        await http.close()
