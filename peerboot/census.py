"""The census: every peerboot tells the others, first hand and authenticated, what is on its own disk.

A request carries a fresh challenge; the reply's MAC covers it together with namespace, service, set, both pod names and
the exact body. So a reply cannot be forged, replayed, or taken for another pod's. All that is not a proper
word is *unknown with the reason*, never blank.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from peerboot.model import SCHEMA, Evidence, Identity, Statement
from peerboot.outside.clock import Clock
from peerboot.outside.http import Http, HttpError, Reply

PATH = "/v1/node"
BODY_LIMIT = 64 * 1024
PAST_BOOTS = 16
CHALLENGE_HEX = 32

Keys = Callable[[], tuple[bytes, ...]]


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
    expected = [mac(key, label, identity, asker, answerer, challenge, rest) for key in keys]
    return any([hmac.compare_digest(value.encode(), given.encode("utf-8", "replace")) for value in expected])


# ------------------------------------------------------------- answering side


def answer(
    identity: Identity, keys: tuple[bytes, ...], auth: bool, headers: Mapping[str, str], statement: Statement
) -> tuple[int, dict[str, str], bytes]:
    """The reply to one census request: status, headers, body. ``headers`` have lower-case names."""
    asker, to = headers.get("peerboot-from", ""), headers.get("peerboot-to", "")
    challenge, schema = headers.get("peerboot-challenge", ""), headers.get("peerboot-schema", "")
    if schema != str(SCHEMA):
        return _no(409, "schema", f"this peerboot speaks census schema {SCHEMA}")
    if len(challenge) != CHALLENGE_HEX or not asker or len(asker) > 253:
        return _no(400, "request", "a census request needs Peerboot-From and a challenge of 16 bytes in hex")
    if auth and not verified(keys, headers.get("peerboot-mac", ""), "ask", identity, asker, to, challenge, b""):
        return _no(401, "key", "the census key, namespace, Service or StatefulSet differs")
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
        questions = [(pod, a, p) for pod, places in targets.items() for a, p in places[:8] if not self._is_self(pod, a)]
        replies = await asyncio.gather(*(self._one(pod, a, p) for pod, a, p in questions))
        by_pod: dict[str, list[tuple[str, Statement | str]]] = {}
        for (pod, address, _), reply in zip(questions, replies, strict=True):
            by_pod.setdefault(pod, []).append((address, reply))
        for pod, answers in by_pod.items():
            if pod == self._identity.pod:
                self._see_twin(answers)
            else:
                self._fold(pod, answers)
        if self._identity.pod in targets and self._identity.pod not in by_pod:
            self._twin = ""

    def _is_self(self, pod: str, address: str) -> bool:
        return pod == self._identity.pod and address in self._identity.ips

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
        return self._twin

    async def _one(self, pod: str, address: str, port: int) -> Statement | str:
        """A proper first-hand word, or why there is none."""
        me, challenge, keys = self._identity, self._clock.token(CHALLENGE_HEX // 2), self.keys()
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
            try:
                reply = await self._http.fetch(
                    "GET", f"http://{host}:{port}{PATH}", headers=headers, timeout=self._timeout, limit=BODY_LIMIT
                )
            except HttpError as error:
                return str(error)
        return self._read(pod, reply, challenge, keys)

    def _read(self, pod: str, reply: Reply, challenge: str, keys: tuple[bytes, ...]) -> Statement | str:
        me = self._identity
        if reply.status != 200:
            return _refusal(reply)
        given = reply.headers.get("peerboot-mac", "")
        if self._auth and not verified(keys, given, "answer", me, me.pod, pod, challenge, reply.body):
            return "its reply is not signed with a census key of this Pod, or was made for another question"
        try:
            word = msgspec.json.decode(reply.body, type=Statement)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "it answered something that is not a census statement"
        if word.schema != SCHEMA:
            return f"it speaks census schema {word.schema}, this Pod {SCHEMA}"
        for name in ("namespace", "service", "statefulset", "system"):
            if getattr(word, name) != getattr(me, name):
                return f"it is of another cluster: its {name} is {getattr(word, name)[:63]}"
        if word.pod != pod:
            return f"{word.pod[:63]} answered in its place"
        return word

    def _fold(self, pod: str, answers: list[tuple[str, Statement | str]]) -> None:
        known, now = self._known.setdefault(pod, _Known()), self._clock.now()
        words = [(address, word) for address, word in answers if isinstance(word, Statement)]
        boots = {word.boot for _, word in words}
        if len(boots) > 1:
            places = " and ".join(sorted(address for address, _ in words))
            self._forget(known, f"two Pods answer as {pod}: {places}", now)
            return
        if not words:
            known.fresh, known.failure, known.failed_at = False, "; ".join(sorted({str(r) for _, r in answers})), now
            return
        address, word = words[0]
        if word.boot in known.past:
            self._forget(known, f"an earlier process of {pod} answered at {address} after a later one", now)
            return
        if known.boot and known.boot != word.boot:
            known.past = [*known.past, known.boot][-PAST_BOOTS:]
        known.boot, known.statement, known.at, known.address, known.fresh = word.boot, word, now, address, True

    @staticmethod
    def _forget(known: _Known, failure: str, now: float) -> None:
        """Nothing said before counts any more: who said it is in doubt."""
        known.statement, known.fresh, known.failure, known.failed_at = None, False, failure, now

    def _see_twin(self, answers: list[tuple[str, Statement | str]]) -> None:
        self._twin = ", ".join(
            address for address, word in answers if isinstance(word, Statement) and word.boot != self._boot
        )


def _refusal(reply: Reply) -> str:
    try:
        data = msgspec.json.decode(reply.body, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        data = {}
    match data.get("error", ""):
        case "key":
            return "the census key differs (rotate in three steps), or it is of another set"
        case "schema":
            return f"it speaks another census schema: {data.get('say', '')[:100]}"
        case "pod":
            return f"another pod answered in its place: {data.get('say', '')[:100]}"
        case _:
            return f"it answered HTTP {reply.status}"
