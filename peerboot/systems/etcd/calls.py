"""etcd's admin API over its JSON gateway (3.4 to 3.6), each call bounded, each outcome in a closed set of words.

The gateway writes 64-bit numbers as decimal text and leaves out zeros. Its HTTP status differs between releases for
one and the same error, so outcomes are told by the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from peerboot.model import Member
from peerboot.outside.http import HttpError, TlsError
from peerboot.printing import one_line
from peerboot.systems.etcd.config import EtcdConfig
from peerboot.systems.etcd.ids import hexed
from peerboot.systems.etcd.reach import AUTHENTICATE, Asked, Login, Reach

LIMIT = 1 << 20
MAX_MEMBERS = 1000
ROOT = "root"
LOGIN_PAUSE = 10.0
"""Seconds after a refused login."""
CHANGE_TIMEOUT = 8.0
"""A membership change that lost a race may never be answered (measured); after this the list is read again."""

Outcome = Literal[
    "ok", "already", "busy", "unhealthy", "not-in-sync", "no-quorum", "silent", "shut", "auth", "invalid", "other"
]

MESSAGES: tuple[tuple[str, Outcome], ...] = (
    ("too many learner members", "busy"),
    ("peer urls already exists", "already"),
    ("member id already exist", "already"),
    ("member not found", "already"),
    ("can only promote a learner member which is in sync", "not-in-sync"),
    ("can only promote a learner member", "already"),
    ("unhealthy cluster", "unhealthy"),
    ("not enough started members", "unhealthy"),
    ("rpc not supported for learner", "other"),
    ("request timed out", "no-quorum"),
    ("no leader", "no-quorum"),
    ("leader changed", "no-quorum"),
    ("member urls are invalid", "invalid"),
    ("user name is empty", "auth"),
    ("invalid auth token", "auth"),
    ("permission denied", "auth"),
    ("revision of auth store is old", "auth"),
    ("authentication failed", "auth"),
    ("commonname of client sending a request against gateway", "auth"),
)


ASKS_WHO = ("user name is empty", "permission denied", "invalid auth token")
"""What etcd says to somebody who is not logged in."""


def remedy(text: str, login: Login | None) -> str:
    """What to do about such an answer, after the text; empty for another one."""
    if login is not None and "authentication failed" in text:
        return ": PEERBOOT_ETCD_ROOT_PASSWORD_FILE has not the password of its user root"
    if login is not None or not any(words in text for words in ASKS_WHO):
        return ""
    return ": it asks for a password, so mount that of its user root, and set PEERBOOT_ETCD_ROOT_PASSWORD_FILE"


class CallError(Exception):
    """A call that was not carried out; ``outcome`` says how. ``shut``: TLS did not come about."""

    def __init__(self, outcome: Outcome, say: str) -> None:
        super().__init__(say)
        self.outcome = outcome


@dataclass(frozen=True)
class Listed:
    """A member list as one server gave it."""

    cluster: str
    server: str
    """Id of the member that answered."""
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Status:
    """``/v3/maintenance/status``."""

    cluster: str
    member: str
    leader: str
    applied: int
    version: str
    learner: bool


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """What is taken apart here comes from the network: another shape than etcd's is one more outcome."""
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise CallError("other", "an answer that is not etcd's") from None


async def _post(http: Asked, url: str, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """One call; where etcd asks who it is, as its root, by a token that is asked for when there is no good one."""
    try:
        return await _call(http, url, path, body, timeout)
    except CallError as error:
        login = http.login if isinstance(http, Reach) else None
        if error.outcome != "auth" or login is None:
            raise
        await _log_in(http, url, login, timeout)
    return await _call(http, url, path, body, timeout)


async def _log_in(http: Asked, url: str, login: Login, timeout: float) -> None:
    """Get a token, one at a time; one that another call got meanwhile is used. Each costs etcd a bcrypt and a write, so
    one that was refused is not asked for again at once.
    """
    old = login.token
    async with login.lock:
        if login.token != old:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < login.not_before:
            raise CallError("auth", login.refused)
        asked = {"name": ROOT, "password": login.password}
        try:
            data = await _call(http, url, AUTHENTICATE, asked, timeout)
        except CallError as error:
            if error.outcome == "auth":
                login.not_before, login.refused = loop.time() + LOGIN_PAUSE, str(error)
            raise
        token = data.get("token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise CallError("other", "a token that is not etcd's")
        login.token = token


async def _call(http: Asked, url: str, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    try:
        reply = await http.fetch(
            "POST",
            f"{url}{path}",
            body=json.dumps(body).encode(),
            timeout=timeout,
            limit=LIMIT,
            headers={"Content-Type": "application/json"},
        )
    except HttpError as error:
        raise _unheard(error) from None
    try:
        data = json.loads(reply.body)
    except (RecursionError, ValueError):
        raise CallError("other", f"HTTP {reply.status} without JSON") from None
    if not isinstance(data, dict):
        raise CallError("other", f"HTTP {reply.status} without a JSON object")
    if reply.status == 200 and "error" not in data:
        return data
    text = one_line(str(data.get("message") or data.get("error") or f"HTTP {reply.status}"), 300)
    lowered = text.lower()
    raise CallError(next((word for part, word in MESSAGES if part in lowered), "other"), text)


def _unheard(error: HttpError) -> CallError:
    return CallError("shut" if isinstance(error, TlsError) else "silent", str(error))


def _id(value: object) -> str:
    """A 64-bit id in hex; raises ``ValueError``."""
    found = int(str(value))
    if not 0 <= found < 1 << 64:
        raise ValueError("no 64-bit id")
    return hexed(found)


def _own_id(value: object) -> str:
    """An id that every server has; raises ``ValueError`` for zero."""
    found = _id(value)
    if found == "0":
        raise ValueError("no id")
    return found


def _members(config: EtcdConfig, rows: object) -> tuple[Member, ...]:
    """Raises ``ValueError`` and its like for rows of another shape: half a list would be worse than none."""
    if rows is None:
        return ()
    if not isinstance(rows, list) or len(rows) > MAX_MEMBERS:
        raise ValueError("no list of members")
    found = []
    for row in rows:
        peer_urls = tuple(str(url) for url in row.get("peerURLs") or ())
        found.append(
            Member(
                id=_id(row.get("ID", row.get("id", 0))),
                name=str(row.get("name", "")),
                pod=config.pod_of(peer_urls),
                peer_urls=peer_urls,
                client_urls=tuple(str(url) for url in row.get("clientURLs") or ()),
                learner=bool(row.get("isLearner", False)),
            )
        )
    return tuple(sorted(found, key=lambda m: m.id))


async def member_list(http: Asked, config: EtcdConfig, url: str, timeout: float) -> Listed:
    """The list by a linearizable read (3.5 and later; 3.4 gives its own view)."""
    data = await _post(http, url, "/v3/cluster/member/list", {"linearizable": True}, timeout)
    with _reading():
        header, members = data["header"], _members(config, data["members"])
        if not members:
            raise ValueError("a cluster without members")
        return Listed(_own_id(header["cluster_id"]), _own_id(header["member_id"]), members)


async def status(http: Asked, url: str, timeout: float) -> Status:
    """What one server says of itself, with or without quorum."""
    data = await _post(http, url, "/v3/maintenance/status", {}, timeout)
    with _reading():
        header = data["header"]
        leader = _id(data.get("leader", 0))
        return Status(
            cluster=_own_id(header["cluster_id"]),
            member=_own_id(header["member_id"]),
            leader="" if leader == "0" else leader,
            applied=int(str(data.get("raftAppliedIndex", 0) or 0)),
            version=str(data.get("version", ""))[:32],
            learner=bool(data.get("isLearner", False)),
        )


async def versions(http: Asked, url: str, timeout: float) -> tuple[str, str]:
    """The version that the cluster goes by and, from 3.6 on, that of its data; empty while it is not decided. Raises
    ``CallError``.
    """
    try:
        reply = await http.fetch("GET", f"{url}/version", timeout=timeout, limit=LIMIT)
    except HttpError as error:
        raise _unheard(error) from None
    with _reading():
        data = json.loads(reply.body)
        return str(data.get("etcdcluster", ""))[:32], str(data.get("storage", ""))[:32]


async def read_index(http: Asked, url: str, timeout: float) -> None:
    """One linearizable read: whoever answers had a quorum just now. Raises ``CallError``."""
    await _post(http, url, "/v3/kv/range", {"key": "AA==", "limit": "1", "keys_only": True}, timeout)


async def peer_members(http: Asked, config: EtcdConfig, url: str, timeout: float) -> tuple[str, tuple[Member, ...]]:
    """Cluster id and list from the peer port, which answers before there is a quorum; its own view, maybe old."""
    try:
        reply = await http.fetch("GET", f"{url}/members", timeout=timeout, limit=LIMIT)
        rows = json.loads(reply.body) if reply.status == 200 else None
    except HttpError as error:
        raise _unheard(error) from None
    except (RecursionError, ValueError):
        raise CallError("other", "its peer port answered something else") from None
    cluster = reply.headers.get("x-etcd-cluster-id", "")
    if reply.status != 200 or not cluster:
        raise CallError("other", f"its peer port answered HTTP {reply.status}")
    with _reading():
        return hexed(int(cluster, 16)), _members(config, rows)


async def change(http: Asked, url: str, name: str, member: str, urls: tuple[str, ...]) -> str:
    """One change of membership or leadership; the new member's id for ``add-learner``. Raises ``CallError``."""
    number = str(int(member, 16)) if member else ""
    paths: dict[str, tuple[str, dict[str, Any]]] = {
        "add-learner": ("cluster/member/add", {"peerURLs": list(urls), "isLearner": True}),
        "remove": ("cluster/member/remove", {"ID": number}),
        "promote": ("cluster/member/promote", {"ID": number}),
        "update-peer-urls": ("cluster/member/update", {"ID": number, "peerURLs": list(urls)}),
        "transfer-leadership": ("maintenance/transfer-leadership", {"targetID": number}),
    }
    path, body = paths[name]
    data = await _post(http, url, f"/v3/{path}", body, CHANGE_TIMEOUT)
    with _reading():
        return _id((data.get("member") or {})["ID"]) if name == "add-learner" else ""
