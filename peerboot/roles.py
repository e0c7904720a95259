"""What load balancers ask of the own server's role: a path and its query to a status and a line. Pure.

Names and meaning are those of Patroni 4.1 (``docs/rest_api.rst``), so that what asks Patroni can ask peerboot. It is
stricter in one thing: a standby that does not stream from the primary is no replica, for it looks healthy all the same.
Not there: ``tag_…`` in a query, and ``/standby-leader``, as there are no clusters of standbys alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal

from peerboot.model import ServerView, Traits, Value

Style = Literal["primary", "leader", "none"]
"""Which names mean something: one server takes the writes; one leads, and all take writes; neither."""

WRITES = ("/", "/primary", "/read-write", "/leader")
REPLICAS = ("/replica", "/read-only", "/sync", "/synchronous", "/async", "/asynchronous", "/quorum", "/read-only-sync",
            "/read-only-quorum")  # fmt: skip
HEALTH = "/health"
PATHS = (*WRITES, *REPLICAS, HEALTH)
KNOWN: dict[Style, tuple[str, ...]] = {"primary": PATHS, "leader": ("/leader", HEALTH), "none": (HEALTH,)}

SIZE = re.compile(r"([0-9]{1,18}) ?([kmgt]?i?b)?", re.IGNORECASE)
UNITS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
"""In powers of two, with an ``i`` or without: as Postgres counts."""


class Role(Value, frozen=True, kw_only=True):
    """What the own server is, by a look of now. All that is not known is as if it were not so."""

    pod: str
    system: str
    style: Style = "primary"
    up: bool = False
    """It has answered."""
    serves: bool = False
    """It is in the cluster and serves, by its own word and peerboot's readiness."""
    why: str = ""
    """Why it does not."""
    leads: bool = False
    """It takes the writes; where all do, it is the leader."""
    streams: bool = False
    """As a standby it gets the primary's log now."""
    lag: int | None = None
    """Bytes of log that the standby has yet to replay; None: not known."""
    sync: str = ""
    """How the primary waits for the standby, in the words of pg_stat_replication; empty: not known."""


class _BadQueryError(Exception):
    """The question cannot be answered as it stands."""


def role_of(pod: str, system: str, traits: Traits, own: ServerView | None, *, serves: bool, why: str) -> Role:
    """The role of a server by its own word; ``own`` is None when it did not answer."""
    part = own.part if own is not None else None
    if traits.has_primary:
        return Role(
            pod=pod,
            system=system,
            up=own is not None,
            serves=serves,
            why=why,
            leads=part is not None and part.writes,
            streams=part is not None and part.streams,
            lag=part.lag if part is not None and part.lag >= 0 else None,
            sync=part.sync if part is not None else "",
        )
    return Role(
        pod=pod,
        system=system,
        style="none" if traits.quorum_of else "leader",
        up=own is not None,
        serves=serves,
        why=why,
        leads=own is not None and own.leader != "" and own.leader == own.member,
    )


def answer(path: str, query: Sequence[tuple[str, str]], role: Role) -> tuple[int, str]:
    """200 when the server is what the path asks for, 503 when it is not or nobody knows; 404 for a name that means
    nothing in this system, 400 for a query that cannot be read. The text is one line of JSON with the reason.
    """
    if path not in KNOWN[role.style]:
        return 404, _text(role, _nothing_such(path, role))
    try:
        most = _lag_of(path, query)
    except _BadQueryError as error:
        return 400, _text(role, str(error))
    ok, say = _verdict(path, most, role)
    return 200 if ok else 503, _text(role, say)


def size_of(text: str) -> int | None:
    """Bytes of ``1048576``, ``1024kB``, ``1MB`` or ``1MiB``; None for what is no size."""
    found = SIZE.fullmatch(text)
    if found is None:
        return None
    return int(found[1]) << UNITS[(found[2] or "").lower()[:1]]


# ------------------------------------------------------------------ verdicts


def _verdict(path: str, most: int | None, role: Role) -> tuple[bool, str]:
    if path == HEALTH:
        return role.up, "the server answers" if role.up else f"the server does not answer: {role.why}"
    if not role.up or not role.serves:
        return False, f"not known now: {role.why}" if not role.up else f"it does not serve: {role.why}"
    if role.style == "leader":
        return role.leads, "it leads" if role.leads else "it does not lead"
    if path in WRITES:
        return role.leads, "it takes writes" if role.leads else "it is a standby"
    if role.leads:
        return path.startswith("/read-only"), "it takes writes"
    return _replica(path, most, role)


def _replica(path: str, most: int | None, role: Role) -> tuple[bool, str]:
    if not role.streams:
        return False, "it is a standby that does not stream from the primary"
    is_asked_for = SYNC.get(path)
    if is_asked_for is not None and not is_asked_for(role.sync):
        return False, f"its primary's word of it is {role.sync!r}" if role.sync else "its primary's word is not known"
    if most is None:
        return True, "it streams"
    if role.lag is None:
        return False, "how many bytes it is behind is not known"
    return role.lag <= most, f"it streams, {role.lag} bytes behind; up to {most} were asked for"


SYNC: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(("/sync", "/synchronous", "/read-only-sync"), lambda sync: sync == "sync"),
    **dict.fromkeys(("/quorum", "/read-only-quorum"), lambda sync: sync == "quorum"),
    **dict.fromkeys(("/async", "/asynchronous"), lambda sync: sync in ("async", "potential")),
}
"""What the primary's word has to be: with ``sync`` each commit waits for this one, with ``quorum`` for some of them."""


def _nothing_such(path: str, role: Role) -> str:
    others = " or ".join(KNOWN[role.style])
    if role.style == "leader":
        return f"{path} means nothing here: {role.system} has no primary; ask {others}"
    return f"{path} means nothing here: these servers have no leader among themselves; ask {others}"


def _lag_of(path: str, query: Sequence[tuple[str, str]]) -> int | None:
    """The most that a replica may be behind, None when any may be; raises ``_BadQueryError``."""
    found: int | None = None
    for key, value in query:
        if (key, value) == ("replication_state", "streaming") and path in REPLICAS:
            continue  # as it has to be anyway
        if key != "lag" or path not in REPLICAS:
            raise _BadQueryError(f"{key[:40]!r} is no question to {path}: ask /replica?lag=1MB, or without a query")
        size = size_of(value)
        if size is None:
            raise _BadQueryError(f"lag={value[:40]!r} is no size: write it as 1048576, 1024kB or 1MB")
        if found is not None:
            raise _BadQueryError("lag is there twice: write it once")
        found = size
    return found


def _text(role: Role, say: str) -> str:
    if role.style == "primary":
        word = "primary" if role.leads else "replica"
    elif role.style == "leader":
        word = "leader" if role.leads else "follower"
    else:
        word = "server"
    told = {"pod": role.pod, "role": word if role.up and role.serves else "unknown", "say": say}
    return json.dumps(told, ensure_ascii=False)
