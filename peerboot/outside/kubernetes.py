"""The door to the Kubernetes API: four requests over REST, with the token and the CA that the Pod has mounted.

A client library would cost a second of import. Each request is one attempt, bounded in time and bytes, over a
connection of its own: at rest there is one every half a minute, which no server keeps a connection for, and none is
left that leads to an API server which is gone. Token and CA are read anew for each (the kubelet rotates them).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import msgspec

from peerboot import __version__
from peerboot.outside.files import FilesError, read_small
from peerboot.outside.http import Http, HttpError, Reply, TlsError
from peerboot.printing import one_line

if TYPE_CHECKING:
    import ssl

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the manifests project token and ca.crt into peerboot's container alone; elsewhere automount is off."""
TIMEOUT = 5.0
"""Seconds of one request, connection and TLS included."""
LIMIT = 1 << 20
"""Bytes of an answer; a StatefulSet with its managed fields has some ten thousand."""
SMALL = 1 << 16
TOKEN = re.compile(rb"[!-~]+")

Outcome = Literal[
    "no-cluster",
    "no-token",
    "no-ca",
    "silent",
    "refused",
    "tls",
    "unauthorized",
    "forbidden",
    "not-found",
    "conflict",
    "invalid",
    "server",
    "other",
]
OF_ONE = ("forbidden", "not-found", "conflict", "invalid")
"""Outcomes that concern one resource; the others concern the API as a whole."""

BY_STATUS: Mapping[int, Outcome] = {
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    409: "conflict",
    422: "invalid",
    429: "server",
}


class KubernetesError(Exception):
    """Why a request was not carried out, in one line; ``outcome`` says how."""

    def __init__(self, outcome: Outcome, say: str) -> None:
        super().__init__(say)
        self.outcome = outcome


class _Status(msgspec.Struct):
    """What the API says with an error."""

    message: str = ""


def base_of(environ: Mapping[str, str]) -> str:
    """``https://10.96.0.1:443`` by the variables that the kubelet sets in every container; empty outside of a Pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "") or "443"
    if not host:
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class Kubernetes:
    """Requests about one namespace. Outside of a cluster each of them fails and says so: the API may come later."""

    def __init__(
        self,
        base: str,
        namespace: str,
        *,
        account: Path = ACCOUNT,
        warn: Callable[[str], None] = lambda _text: None,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """``base``: see ``base_of``. ``warn`` gets one line when it cannot be asked, ``tell`` when it can again."""
        self.namespace = namespace
        self.asked = 0
        self._base = base
        self._account = account
        self._warn = warn
        self._tell = tell
        self._ca = b""
        self._trusted: ssl.SSLContext | None = None
        self._troubles: dict[str, set[Outcome]] = {}
        """By resource, or for the whole API by nothing: what was said since it last worked."""

    # ------------------------------------------------------------- requests

    async def stateful_set(self, name: str) -> bytes:
        """JSON of one StatefulSet. Raises ``KubernetesError``, as all of these do."""
        return await self._request("get", "apis/apps/v1", "statefulsets", name)

    async def config_map(self, name: str) -> bytes:
        """JSON of one ConfigMap."""
        return await self._request("get", "api/v1", "configmaps", name)

    async def replace_config_map(self, name: str, content: bytes, *, dry_run: bool = False) -> bytes:
        """Replace it whole; ``conflict`` when it is not any more of the ``resourceVersion`` that the content names.

        ``dry_run``: only find out whether that would be allowed; nothing is kept.
        """
        return await self._request("update", "api/v1", "configmaps", name, content, "?dryRun=All" if dry_run else "")

    async def has_claim(self, name: str) -> bool:
        """Whether a PersistentVolumeClaim of that name exists. That there is none is an answer, not a failure."""
        try:
            await self._request("get", "api/v1", "persistentvolumeclaims", name)
        except KubernetesError as error:
            if error.outcome == "not-found":
                return False
            raise
        return True

    async def create_event(self, content: bytes) -> bytes:
        """One more Event."""
        return await self._request("create", "api/v1", "events", "", content)

    async def _request(
        self, verb: str, group: str, resource: str, name: str, content: bytes | None = None, query: str = ""
    ) -> bytes:
        path = f"/{group}/namespaces/{quote(self.namespace)}/{resource}" + (f"/{quote(name)}" if name else "") + query
        what = f"{verb} {resource}" + (f"/{name}" if name else "")
        self.asked += 1
        try:
            reply = await self._send({"get": "GET", "update": "PUT", "create": "POST"}[verb], path, content)
            if not 200 <= reply.status < 300:
                raise self._refusal(reply, verb, resource, name)
        except KubernetesError as error:
            self._account_for(what, error)
            raise
        self._account_for(what, None)
        return reply.body

    async def _send(self, method: str, path: str, content: bytes | None) -> Reply:
        if not self._base:
            raise KubernetesError("no-cluster", "KUBERNETES_SERVICE_HOST is not set, so this is no Pod of a cluster")
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Accept": "application/json",
            "User-Agent": f"peerboot/{__version__}",
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        where = self._base.removeprefix("https://")
        http = Http(tls=self._trust())
        try:
            return await http.fetch(
                method, self._base + path, body=content, headers=headers, timeout=TIMEOUT, limit=LIMIT
            )
        except TlsError as error:
            raise KubernetesError("tls", f"{where} is not trusted by {self._account}/ca.crt: {error}") from None
        except HttpError as error:
            outcome: Outcome = "refused" if str(error) == "connection refused" else "silent"
            raise KubernetesError(outcome, f"{where}: {error}") from None
        finally:
            await http.close()

    def _refusal(self, reply: Reply, verb: str, resource: str, name: str) -> KubernetesError:
        try:
            message = msgspec.json.decode(reply.body, type=_Status).message
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            message = ""
        said = f" ({one_line(message, 200)})" if message else ""
        outcome: Outcome = BY_STATUS.get(reply.status, "server" if reply.status >= 500 else "other")
        thing = f"{resource}/{name}" if name else resource
        match outcome:
            case "unauthorized":
                text = f"401: the API does not accept the token in {self._account}/token"
            case "forbidden":
                text = f"403: this Pod may not {verb} {thing} in {self.namespace}: a Role with that verb is not bound"
                said = ""
            case "not-found":
                text, said = f"404: there is no {thing} in {self.namespace}", ""
            case "conflict":
                text = f"409: {thing} was changed by somebody else"
            case _:
                text = f"the API answered HTTP {reply.status} to {verb} {thing}"
        return KubernetesError(outcome, text + said)

    # ---------------------------------------------------------- credentials

    def _read(self, name: str, outcome: Outcome) -> bytes:
        path = self._account / name
        try:
            content = read_small(path, SMALL)
        except FilesError as error:
            raise KubernetesError(outcome, str(error)) from None
        if content is None:
            raise KubernetesError(outcome, f"{path} is not there: project it into peerboot's container")
        return content.strip()

    def _token(self) -> str:
        token = self._read("token", "no-token")
        if not TOKEN.fullmatch(token):
            raise KubernetesError("no-token", f"{self._account}/token holds no token")
        return token.decode("ascii")

    def _trust(self) -> ssl.SSLContext:
        """Trust in the mounted CA and nobody else; made anew when it changed."""
        ca = self._read("ca.crt", "no-ca")
        if self._trusted is not None and ca == self._ca:
            return self._trusted
        import ssl

        # Not by create_default_context: since Python 3.13 it is strict about extensions that clusters' CAs lack.
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            made.load_verify_locations(cadata=ca.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise KubernetesError("no-ca", f"{self._account}/ca.crt holds no certificate") from None
        self._ca, self._trusted = ca, made
        return made

    # -------------------------------------------------------------- telling

    def _account_for(self, what: str, error: KubernetesError | None) -> None:
        """Say once that the API cannot be asked, and once that it can again. A conflict is no trouble, nor is a claim
        that does not exist.
        """
        expected = what.startswith("get persistentvolumeclaims/") and error is not None and error.outcome == "not-found"
        fine = error is None or error.outcome == "conflict" or expected
        works = error is None or error.outcome in OF_ONE
        ended = [self._troubles.pop(about, None) for about, over in (("", works), (what, fine)) if over]
        if any(ended):
            self._tell(f"The Kubernetes API answers again: {what}.")
        if error is None or fine:
            return
        said = self._troubles.setdefault(what if works else "", set())
        if error.outcome not in said:
            said.add(error.outcome)
            self._warn(f"The Kubernetes API cannot be asked to {what}: {error}. It is tried again.")
