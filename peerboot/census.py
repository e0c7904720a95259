"""The census: every peerboot tells the others, first hand and authenticated, what is on its own disk.

A request carries a fresh challenge; the reply's MAC covers it together with namespace, service, set, system, both pod
names and the exact body. So a reply cannot be forged, replayed, or taken for another pod's. All that is not a
proper word is *unknown with the reason*, never blank.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from peerboot import __version__
from peerboot.model import SCHEMA, Evidence, Identity, Statement
from peerboot.outside.clock import Clock
from peerboot.outside.http import Http, HttpError, Reply
from peerboot.printing import one_line

PATH = "/v1/node"
BODY_LIMIT = 64 * 1024
PAST_BOOTS = 16
CHALLENGE = re.compile(r"[0-9a-f]{32}")
POD = re.compile(r"[a-z0-9][-a-z0-9.]{0,252}")
MAX_ADDRESSES = 8
"""Of one pod that are asked."""
DOUBT = 10.0
"""Seconds for which a pod name stays in doubt after two processes answered under it."""

Keys = Callable[[], tuple[bytes, ...]]
T = TypeVar("T")
NO_STATEMENT = "it answered something that is not a census statement"


# ------------------------------------------------------------------------ MAC


def mac(key: bytes, label: str, identity: Identity, asker: str, answerer: str, challenge: str, rest: bytes) -> str:
    """HMAC-SHA256 in hex over every part with its length before it, so that no two messages read alike.

    ``label`` is ``ask`` or ``answer``: a request can never be played back as a reply.
    """
    parts = (
        "peerboot-census",
        str(SCHEMA),
        label,
        identity.namespace,
        identity.service,
        identity.statefulset,
        identity.system,
        asker,
        answerer,
        challenge,
    )
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for part in (*(text.encode() for text in parts), rest):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def verified(
    keys: tuple[bytes, ...],
    given: str,
    label: str,
    identity: Identity,
    asker: str,
    answerer: str,
    challenge: str,
    rest: bytes,
) -> bool:
    """Whether any of the keys made this MAC. All are tried, in constant time each."""
    said = given.encode("utf-8", "replace")
    expected = [mac(key, label, identity, asker, answerer, challenge, rest).encode() for key in keys]
    fits = [hmac.compare_digest(value, said) for value in expected]
    return any(fits)


# ------------------------------------------------------------- answering side


def answer(
    identity: Identity, keys: tuple[bytes, ...], auth: bool, headers: Mapping[str, str], statement: Statement
) -> tuple[int, dict[str, str], bytes]:
    """The reply to one census request: status, headers, body. ``headers`` have lower-case names."""
    asker, to = headers.get("peerboot-from", ""), headers.get("peerboot-to", "")
    challenge, schema = headers.get("peerboot-challenge", ""), headers.get("peerboot-schema", "")
    if schema != str(SCHEMA):
        return _no(409, "schema", f"this peerboot speaks census schema {SCHEMA}")
    if not (CHALLENGE.fullmatch(challenge) and POD.fullmatch(asker) and POD.fullmatch(to)):
        return _no(
            400, "request", "a census request needs Peerboot-From, Peerboot-To and a challenge of 16 bytes in hex"
        )
    if auth and not verified(keys, headers.get("peerboot-mac", ""), "ask", identity, asker, to, challenge, b""):
        return _no(401, "key", "the census key, namespace, Service, StatefulSet or system differs")
    if to != identity.pod:
        return _no(421, "pod", f"this is {identity.pod}")
    body = msgspec.json.encode(statement)
    reply = {"Content-Type": "application/json"}
    if auth:
        reply["Peerboot-Mac"] = mac(keys[0], "answer", identity, asker, identity.pod, challenge, body)
    return 200, reply, body


def _no(status: int, error: str, say: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, msgspec.json.encode({"error": error, "say": say})


# ---------------------------------------------------------------- asking side


class _Told(msgspec.Struct):
    """What every release's statement has."""

    schema: int
    pod: str
    version: str = ""


@dataclass(frozen=True)
class _Heard:
    """What one address said to one question."""

    address: str
    at: float
    """When it was asked: the word is no older."""
    word: Statement | None = None
    reason: str = ""
    """Why there is no proper word."""


@dataclass
class _Known:
    """What is remembered of one pod."""

    boot: str = ""
    past: list[str] = field(default_factory=list)
    statement: Statement | None = None
    at: float = 0.0
    address: str = ""
    failure: str = "not asked yet"
    failed_at: float = 0.0
    fresh: bool = False
    doubt: str = ""
    """Not empty: who stands behind the name is in doubt, and why."""
    doubt_at: float = 0.0


class Census:
    """Asks the others and remembers, for the life of this process, what each said itself."""

    def __init__(
        self,
        identity: Identity,
        http: Http,
        clock: Clock,
        keys: Keys,
        boot: str,
        *,
        auth: bool = True,
        timeout: float = 2.0,
        fan_out: int = 16,
    ) -> None:
        self._identity = identity
        self._http = http
        self._clock = clock
        self.keys = keys
        self._boot = boot
        self._auth = auth
        self._timeout = timeout
        self._gate = asyncio.Semaphore(fan_out)
        self._known: dict[str, _Known] = {}
        self._twin = ""
        self._twin_at = 0.0
        self.asked = 0
        """Requests sent so far."""

    async def ask(self, targets: Mapping[str, tuple[tuple[str, int], ...]]) -> None:
        """Ask every address of every given pod once, all bounded, and remember the answers."""
        places = [
            (pod, address, port)
            for pod, found in targets.items()
            for address, port in found[:MAX_ADDRESSES]
            if not (pod == self._identity.pod and address in self._identity.ips)
        ]
        answers = await asyncio.gather(*(self._one(pod, address, port) for pod, address, port in places))
        by_pod: dict[str, list[_Heard]] = {pod: [] for pod in targets}
        for (pod, _, _), heard in zip(places, answers, strict=True):
            by_pod[pod].append(heard)
        for pod, said in by_pod.items():
            if pod == self._identity.pod:
                self._see_twin(said)
            else:
                self._fold(self._known.setdefault(pod, _Known()), pod, said)

    def evidence(self, now: float) -> Mapping[str, Evidence]:
        """By pod, for all that were ever asked."""
        del now
        return {
            pod: Evidence(
                pod=pod,
                at=known.at if known.statement else known.failed_at,
                statement=known.statement,
                reason="" if known.fresh else known.failure,
                address=known.address,
                fresh=known.fresh,
            )
            for pod, known in self._known.items()
        }

    def twin(self) -> str:
        """Where another process answers under this Pod's own name; empty when none did lately."""
        return self._twin if self._clock.now() - self._twin_at < DOUBT else ""

    async def _one(self, pod: str, address: str, port: int) -> _Heard:
        """A proper first-hand word, or why there is none."""
        me, challenge, keys = self._identity, self._clock.token(16), self.keys()
        host = f"[{address}]" if ":" in address else address
        headers = {
            "Peerboot-Schema": str(SCHEMA),
            "Peerboot-From": me.pod,
            "Peerboot-To": pod,
            "Peerboot-Challenge": challenge,
        }
        if self._auth:
            headers["Peerboot-Mac"] = mac(keys[0], "ask", me, me.pod, pod, challenge, b"")
        async with self._gate:
            self.asked += 1
            at = self._clock.now()
            try:
                reply = await self._http.fetch(
                    "GET", f"http://{host}:{port}{PATH}", headers=headers, timeout=self._timeout, limit=BODY_LIMIT
                )
            except HttpError as error:
                return _Heard(address, at, reason=str(error))
        word = self._read(pod, reply, challenge, keys)
        return _Heard(address, at, reason=word) if isinstance(word, str) else _Heard(address, at, word)

    def _read(self, pod: str, reply: Reply, challenge: str, keys: tuple[bytes, ...]) -> Statement | str:
        me = self._identity
        if reply.status != 200:
            return _refusal(reply)
        given = reply.headers.get("peerboot-mac", "")
        if self._auth and not verified(keys, given, "answer", me, me.pod, pod, challenge, reply.body):
            return "its reply is not signed with a census key of this Pod, or was made for another question"
        word = _decoded(reply.body, Statement)
        if word is None:
            return _unlike(reply.body)
        if not word.boot:
            return NO_STATEMENT
        if word.schema != SCHEMA:
            return f"it speaks census schema {word.schema}, this Pod {SCHEMA}"
        for name in ("namespace", "service", "statefulset", "system"):
            if getattr(word, name) != getattr(me, name):
                return f"it is of another cluster: its {name} is {one_line(getattr(word, name), 63)}"
        if word.pod != pod:
            return f"{one_line(word.pod, 63)} answered in its place"
        return word

    def _fold(self, known: _Known, pod: str, said: list[_Heard]) -> None:
        """Remember what one pod's addresses said. An older word of the same process stays when none came."""
        now = self._clock.now()
        words = [(heard, heard.word) for heard in said if heard.word is not None]
        if doubt := _doubt(known, pod, words):
            known.doubt, known.doubt_at = doubt, now
        elif now - known.doubt_at >= DOUBT:
            known.doubt = ""
        if known.doubt:
            # Nothing said before counts any more either: who said it is not known.
            known.statement, known.fresh, known.failure, known.failed_at = None, False, known.doubt, now
            return
        if not words:
            reasons = sorted({heard.reason for heard in said}) or ["DNS gives no address for it"]
            known.fresh, known.failure, known.failed_at = False, "; ".join(reasons), now
            return
        heard, word = words[0]
        if known.boot and known.boot != word.boot:
            known.past = [*known.past, known.boot][-PAST_BOOTS:]
        known.boot, known.statement, known.fresh = word.boot, word, True
        known.at, known.address = heard.at, heard.address

    def _see_twin(self, said: list[_Heard]) -> None:
        places = [heard.address for heard in said if heard.word is not None and heard.word.boot != self._boot]
        if places:
            self._twin, self._twin_at = ", ".join(places), self._clock.now()


def _doubt(known: _Known, pod: str, words: list[tuple[_Heard, Statement]]) -> str:
    """Why it is not known who stands behind a pod name, empty when it is.

    A Pod has one address of each family, so one process at two of a family is no Pod (a copy of a machine, a relay).
    """
    boots = {word.boot for _, word in words}
    places = sorted(heard.address for heard, _ in words)
    if len(boots) > 1:
        return f"two Pods answer as {pod}: {' and '.join(places)}"
    if len({":" in place for place in places}) < len(places):
        return f"{pod} answers at {' and '.join(places)} at once"
    if boots & set(known.past):
        return f"an earlier process of {pod} answered at {places[0]} after a later one"
    return ""


def _decoded(body: bytes, kind: type[T]) -> T | None:
    """A peer's JSON, None for anything else. The length is bounded already; depth is not."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _unlike(body: bytes) -> str:
    """Why a signed reply is no statement that this release can read. A newer one may say what this one has no word
    for; what it means is not guessed, so nothing of it counts.
    """
    told = _decoded(body, _Told)
    if told is None:
        return NO_STATEMENT
    if told.schema != SCHEMA:
        return f"it speaks census schema {told.schema}, this Pod {SCHEMA}"
    try:
        msgspec.json.decode(body, type=Statement)
        return NO_STATEMENT
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)
    say = f"it is peerboot {one_line(told.version, 32) or 'of no version'}, and says what {__version__} has no word for"
    return f"{say} ({one_line(why, 100)}): unknown until both have one version"


def _refusal(reply: Reply) -> str:
    """What a reply other than 200 says. Nobody signed it, so its words are shown as text, and short."""
    data = _decoded(reply.body, dict[str, str]) or {}
    say = one_line(data.get("say", ""), 100)
    match data.get("error", ""):
        case "key":
            return (
                "its census key (PEERBOOT_SECRET_FILE) differs from this Pod's: give all Pods the same key, which they "
                "read again by themselves; if they have, it is of another set, and the Service's selector is wrong"
            )
        case "schema":
            return f"it speaks another census schema: {say}"
        case "pod":
            return f"another pod answered in its place: {say}"
        case _:
            return f"it answered HTTP {reply.status}"
