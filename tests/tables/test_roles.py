"""What a load balancer is answered, for each path, each role and each query."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peerboot import roles
from peerboot.model import ServerView, Traits
from peerboot.roles import PATHS, Role, answer, role_of, size_of


def made(**more: Any) -> Role:
    """A server of Postgres that serves."""
    given: dict[str, Any] = {"up": True, "serves": True, "why": "serving: all is well", **more}
    return Role(pod="pg-1", system="postgres", **given)


ROLES = {
    "primary": made(leads=True),
    "sync": made(streams=True, lag=0, sync="sync"),
    "quorum": made(streams=True, lag=0, sync="quorum"),
    "potential": made(streams=True, lag=0, sync="potential"),
    "async": made(streams=True, lag=0, sync="async"),
    "untold": made(streams=True),
    "not-streaming": made(sync="async", lag=0),
    "not-serving-primary": made(leads=True, serves=False),
    "not-serving-replica": made(streams=True, sync="async", serves=False),
    "silent": made(up=False, serves=False),
}
STREAMING = {"sync", "quorum", "potential", "async", "untold"}
YES = {
    "/": {"primary"}, "/primary": {"primary"}, "/read-write": {"primary"}, "/leader": {"primary"},
    "/replica": STREAMING, "/read-only": STREAMING | {"primary"},
    "/sync": {"sync"}, "/synchronous": {"sync"}, "/read-only-sync": {"sync", "primary"},
    "/quorum": {"quorum"}, "/read-only-quorum": {"quorum", "primary"},
    "/async": {"async", "potential"}, "/asynchronous": {"async", "potential"},
    "/health": set(ROLES) - {"silent"},
}  # fmt: skip


def say(path: str, role: Role, query: str = "") -> tuple[int, str]:
    """Status and reason; a query as ``lag=1MB&x=y``."""
    pairs = [tuple(part.split("=", 1)) for part in query.split("&") if part]
    status, text = answer(path, [(key, value) for key, value in pairs], role)
    return status, json.loads(text)["say"]


@pytest.mark.parametrize("path", PATHS)
def test_each_path_is_yes_for_its_roles_only(path: str) -> None:
    """Of each role: 200, or 503; what is not known is no."""
    found = {name: say(path, role)[0] for name, role in ROLES.items()}
    assert found == {name: 200 if name in YES[path] else 503 for name in ROLES}


@pytest.mark.parametrize(
    ("role", "path", "expected"),
    [
        ("primary", "/primary", ("primary", "it takes writes")),
        ("primary", "/replica", ("primary", "it takes writes")),
        ("async", "/primary", ("replica", "it is a standby")),
        ("async", "/replica", ("replica", "it streams")),
        ("async", "/sync", ("replica", "its primary's word of it is 'async'")),
        ("untold", "/async", ("replica", "its primary's word is not known")),
        ("not-streaming", "/replica", ("replica", "it is a standby that does not stream from the primary")),
        ("not-serving-primary", "/primary", ("unknown", "it does not serve: serving: all is well")),
        ("silent", "/primary", ("unknown", "not known now: serving: all is well")),
        ("silent", "/health", ("unknown", "the server does not answer: serving: all is well")),
    ],
)
def test_the_body_says_why(role: str, path: str, expected: tuple[str, str]) -> None:
    """One line of JSON: the Pod, what it is, and the reason."""
    _, text = answer(path, [], ROLES[role])
    assert (json.loads(text), "\n" in text) == ({"pod": "pg-1", "role": expected[0], "say": expected[1]}, False)


# ------------------------------------------------------------------------ lag


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("1048576", 1 << 20), ("16B", 16), ("1kB", 1 << 10), ("1024kB", 1 << 20), ("1KB", 1 << 10),
        ("1MB", 1 << 20), ("1 MB", 1 << 20), ("1MiB", 1 << 20), ("2gb", 2 << 30), ("3TiB", 3 << 40),
        ("", None), ("-1", None), ("1.5MB", None), ("1M", None), ("MB", None), ("1MB ", None), ("1EB", None),
        ("9" * 19, None), ("٣", None),
    ],
)  # fmt: skip
def test_a_size_as_postgres_writes_it(text: str, expected: int | None) -> None:
    """Units are powers of two, with or without ``i``."""
    assert size_of(text) == expected


@pytest.mark.parametrize("path", [path for path in roles.REPLICAS if "sync" not in path and "quorum" not in path])
@pytest.mark.parametrize(("lag", "expected"), [(0, 200), (1 << 20, 200), ((1 << 20) + 1, 503), (None, 503)])
def test_a_replica_may_be_so_far_behind(path: str, lag: int | None, expected: int) -> None:
    """Up to the number, that one included; not known is too far."""
    assert say(path, made(streams=True, lag=lag), "lag=1MB")[0] == expected


def test_how_far_it_is_behind_is_told() -> None:
    """With what was asked for."""
    assert say("/replica", made(streams=True, lag=70), "lag=64B") == (
        503, "it streams, 70 bytes behind; up to 64 were asked for",
    )  # fmt: skip


def test_the_primary_is_not_behind() -> None:
    """Where it may be read too it is no question how far."""
    assert say("/read-only", ROLES["primary"], "lag=0")[0] == 200


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/replica", "lag=much", "lag='much' is no size: write it as 1048576, 1024kB or 1MB"),
        ("/replica", "lag=1&lag=2", "lag is there twice: write it once"),
        ("/replica", "tag_a=b", "'tag_a' is no question to /replica: ask /replica?lag=1MB, or without a query"),
        ("/replica", "replication_state=in archive recovery",
         "'replication_state' is no question to /replica: ask /replica?lag=1MB, or without a query"),
        ("/primary", "lag=1MB", "'lag' is no question to /primary: ask /replica?lag=1MB, or without a query"),
        ("/health", "x=", "'x' is no question to /health: ask /replica?lag=1MB, or without a query"),
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_read_is_no_yes(path: str, query: str, expected: str) -> None:
    """Whatever the role is: a check that was written wrongly shows at once, not at the next switchover."""
    assert {say(path, role, query) for role in ROLES.values()} == {(400, expected)}


def test_a_query_of_patronis_that_holds_anyway() -> None:
    """A replica streams, or is none."""
    assert say("/replica", ROLES["async"], "replication_state=streaming&lag=0")[0] == 200


# -------------------------------------------------------------- other systems


def own(leader: str = "a", member: str = "a") -> ServerView:
    """A server that answered."""
    return ServerView(pod="db-0", address="10.0.0.1", leader=leader, member=member, healthy=True)


@pytest.mark.parametrize(
    ("view", "serves", "expected"),
    [
        (own(), True, {"/leader": 200, "/health": 200}),
        (own(leader="b"), True, {"/leader": 503, "/health": 200}),
        (own(leader="", member=""), True, {"/leader": 503, "/health": 200}),
        (own(), False, {"/leader": 503, "/health": 200}),
        (None, False, {"/leader": 503, "/health": 503}),
    ],
    ids=["leader", "follower", "no-leader", "not-serving", "silent"],
)
def test_where_all_members_take_writes(view: ServerView | None, serves: bool, expected: dict[str, int]) -> None:
    """Who leads can be asked; primary and replica mean nothing, and the line says so."""
    role = role_of("db-0", "etcd", Traits(), view, serves=serves, why="x")
    found = {path: answer(path, [], role)[0] for path in PATHS}
    assert found == dict.fromkeys(PATHS, 404) | expected
    assert say("/primary", role) == (
        404, "/primary means nothing here: etcd has no primary; ask /leader or /health",
    )  # fmt: skip


def test_where_no_server_leads() -> None:
    """Brokers that are a set of their own: the leader is one of another set's."""
    role = role_of("kafka-0", "kafka", Traits(quorum_of="controllers"), own(leader="c"), serves=True, why="x")
    assert {path: answer(path, [], role)[0] for path in PATHS} == dict.fromkeys(PATHS, 404) | {"/health": 200}
    assert say("/leader", role) == (
        404, "/leader means nothing here: these servers have no leader among themselves; ask /health",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("view", "serves", "expected"),
    [(own(), True, "leader"), (own("b"), True, "follower"), (own(), False, "unknown")],
    ids=["leader", "follower", "not-serving"],
)
def test_the_role_in_a_word(view: ServerView, serves: bool, expected: str) -> None:
    """What it is, or that it is not known."""
    role = role_of("db-0", "etcd", Traits(), view, serves=serves, why="x")
    assert json.loads(answer("/health", [], role)[1])["role"] == expected
