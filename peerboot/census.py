"""The census: every peerboot tells the others, first hand and authenticated, what is on its own disk.

A request carries a fresh challenge; the reply's MAC covers it together with namespace, service, set, system, both pod
names and the exact body. So a reply cannot be forged, replayed, or taken for another pod's. All that is not a
proper word is *unknown with the reason*, never blank.

Over TLS (ADR 27) both show a certificate for their own pod's DNS name, and no MAC is needed. Where the key proves it
too, TLS is tried first, and either is enough.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from peerboot import __version__, trust
from peerboot.model import SCHEMA, Evidence, Finding, Identity, Statement
from peerboot.outside.clock import Clock
from peerboot.outside.http import Http, HttpError, Reply, TlsError
from peerboot.printing import one_line
from peerboot.signing import mac, verified

if TYPE_CHECKING:
    from peerboot.outside.pair import Mounted

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

# ------------------------------------------------------------- answering side


def answer(
    identity: Identity,
    keys: tuple[bytes, ...],
    auth: bool,
    headers: Mapping[str, str],
    statement: Statement,
    *,
    tls: bool = False,
    shown: tuple[str, ...] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """The reply to one census request: status, headers, body. ``headers`` have lower-case names.

    ``auth``: a key proves who speaks; ``tls``: a certificate does. ``shown``: the DNS names of the one that was shown
    and verified; None on a connection without TLS.
    """
    asker, to = headers.get("peerboot-from", ""), headers.get("peerboot-to", "")
    challenge, schema = headers.get("peerboot-challenge", ""), headers.get("peerboot-schema", "")
    if schema != str(SCHEMA):
        return _no(409, "schema", f"this peerboot speaks census schema {SCHEMA}")
    if not (CHALLENGE.fullmatch(challenge) and POD.fullmatch(asker) and POD.fullmatch(to)):
        return _no(
            400, "request", "a census request needs Peerboot-From, Peerboot-To and a challenge of 16 bytes in hex"
        )
    if shown is not None:
        if identity.ordinal_of(asker) is None or not trust.is_for(shown, identity.name_of(asker)):
            return _no(403, "certificate", f"it is not for {identity.name_of(asker)}, or that is no Pod of this set")
    elif tls and not auth:
        return _no(426, "tls", "this peerboot answers the census over TLS alone")
    elif auth and not verified(keys, headers.get("peerboot-mac", ""), "ask", identity, asker, to, challenge, b""):
        return _no(401, "key", "the census key, namespace, Service, StatefulSet or system differs")
    if to != identity.pod:
        return _no(421, "pod", f"this is {identity.pod}")
    body = msgspec.json.encode(statement)
    reply = {"Content-Type": "application/json"}
    if shown is not None:
        reply["Peerboot-Challenge"] = challenge
    elif auth:
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
        tls: Mounted | None = None,
        timeout: float = 2.0,
        fan_out: int = 16,
    ) -> None:
        """``auth``: a key proves who speaks; ``tls``: this Pod's certificate, where one does."""
        self._identity = identity
        self._http = http
        self._clock = clock
        self.keys = keys
        self._boot = boot
        self._auth = auth
        self.tls = tls
        self._by_key: dict[str, str] = {}
        """By pod that was heard by the key, though TLS was tried: why not over TLS."""
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

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with this Pod's certificate, and who is not heard over TLS yet."""
        if self.tls is None:
            return ()
        me, pair = self._identity, self.tls.pair()
        wrong = trust.troubles(pair.certificate, pair.authority_until, me.fqdn, self._clock.wall())
        found = [Finding(name=n, say=s, pod=me.pod if u else "") for n, s, u in trust.told(wrong, by_key=self._auth)]
        if self.tls.trouble:
            say = f"{self.tls.trouble}. What was read before still counts."
            found.append(Finding(name="census-certificate-unusable", say=say))
        if self._by_key:
            found.append(Finding(name="census-by-key-alone", say=trust.by_key(self._by_key)))
        return tuple(found)

    async def _one(self, pod: str, address: str, port: int) -> _Heard:
        """A proper first-hand word, or why there is none."""
        place = f"{f'[{address}]' if ':' in address else address}:{port}{PATH}"
        loop = asyncio.get_running_loop()
        async with self._gate:
            at, began = self._clock.now(), loop.time()
            if self.tls is None:
                said: Statement | str = await self._by_mac(pod, place, self._timeout)
            else:
                said, refused = await self._by_certificate(pod, place)
                if self._auth and refused:
                    why, left = said, self._timeout - (loop.time() - began)
                    said = await self._by_mac(pod, place, max(left, 0.1))
                    said = self._heard_by_key(pod, str(why), said)
                elif not isinstance(said, str):
                    self._by_key.pop(pod, None)
        return _Heard(address, at, reason=said) if isinstance(said, str) else _Heard(address, at, said)

    def _heard_by_key(self, pod: str, why: str, said: Statement | str) -> Statement | str:
        if isinstance(said, str):
            return f"over TLS: {why}; by the key: {said}"
        self._by_key[pod] = why
        return said

    async def _by_mac(self, pod: str, place: str, timeout: float) -> Statement | str:
        """Its word over a plain connection, or why there is none."""
        me, challenge, keys = self._identity, self._clock.token(16), self.keys()
        headers = self._headers(pod, challenge)
        if self._auth:
            headers["Peerboot-Mac"] = mac(keys[0], "ask", me, me.pod, pod, challenge, b"")
        self.asked += 1
        try:
            reply = await self._http.fetch("GET", f"http://{place}", headers=headers, timeout=timeout, limit=BODY_LIMIT)
        except HttpError as error:
            return str(error)
        given, signed = reply.headers.get("peerboot-mac", ""), reply.status == 200 and self._auth
        if signed and not verified(keys, given, "answer", me, me.pod, pod, challenge, reply.body):
            return "its reply is not signed with a census key of this Pod, or was made for another question"
        return self._read(pod, reply)

    async def _by_certificate(self, pod: str, place: str) -> tuple[Statement | str, bool]:
        """Its word over TLS, or why there is none; and whether it is one of TLS, so that a key might help.

        The address is dialled, and the certificate that is shown there has to be for the pod's own name. Each question
        is a connection of its own: who answered another one proves nothing.
        """
        assert self.tls is not None  # noqa: S101 - only then it is called
        challenge, host = self._clock.token(16), self._identity.name_of(pod)
        headers = {**self._headers(pod, challenge), "Connection": "close"}
        self.asked += 1
        try:
            reply = await self._http.fetch(
                "GET", f"https://{place}", headers=headers, timeout=self._timeout, limit=BODY_LIMIT,
                tls=self.tls.pair().asks, tls_name=host,
            )  # fmt: skip
        except TlsError as error:
            return trust.untrusted(str(error), host), True
        except HttpError as error:
            return str(error), False
        if reply.status == 200 and reply.headers.get("peerboot-challenge", "") != challenge:
            return "its reply was made for another question", False
        return self._read(pod, reply), reply.status == 403

    def _headers(self, pod: str, challenge: str) -> dict[str, str]:
        return {
            "Peerboot-Schema": str(SCHEMA),
            "Peerboot-From": self._identity.pod,
            "Peerboot-To": pod,
            "Peerboot-Challenge": challenge,
        }

    def _read(self, pod: str, reply: Reply) -> Statement | str:
        """What is in a reply that is the pod's own, if it is a word of this set."""
        me = self._identity
        if reply.status != 200:
            return _refusal(reply)
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
        case "tls":
            return (
                "it answers over TLS alone (PEERBOOT_CENSUS_AUTH=tls): set hmac,tls in all Pods first, and tls once "
                "all have that"
            )
        case "certificate":
            return f"it does not take this Pod's certificate (PEERBOOT_CENSUS_TLS_DIR): {say}"
        case "pod":
            return f"another pod answered in its place: {say}"
        case _:
            return f"it answered HTTP {reply.status}"
