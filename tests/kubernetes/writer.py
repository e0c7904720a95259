"""A client of the set: through the client Service, by etcd's JSON gateway, from the node's own network."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests.kubernetes.kube import Kube, KubeError

CLIENT_PORT = 2379


class UnansweredError(KubeError):
    """No 200; what the request would have done may have happened all the same."""


def coded(text: str) -> str:
    """Keys and values travel in base 64."""
    return base64.b64encode(text.encode()).decode()


@dataclass
class Gateway:
    """The client Service, or one Pod's address."""

    kube: Kube
    service: str
    address: str = ""
    """Of the Service or Pod, in the node's network; without a node the API server's proxy is used."""
    trust: ssl.SSLContext | None = None
    """Not None: by TLS, and where a server has none, because it was not restarted with it yet, without."""

    def post(self, path: str, body: Mapping[str, Any], seconds: float = 2.0) -> dict[str, Any]:
        """One request. Raises ``UnansweredError``."""
        if self.kube.cluster.node is None:
            where = f"/api/v1/namespaces/{self.kube.namespace}/services/http:{self.service}:{CLIENT_PORT}/proxy{path}"
            done = self.kube.run(
                "create", "--raw", where, "-f", "-", stdin=json.dumps(body), seconds=seconds + 5, check=False
            )
            if done.returncode != 0:
                raise UnansweredError(done.stderr.strip()[-200:])
            return dict(json.loads(done.stdout))
        return self.kube.node.in_network(lambda: self.post_here(path, body, seconds))

    def post_here(self, path: str, body: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The same from a thread that is in the node's network already; each on a connection of its own."""
        if self.trust is not None:
            with suppress(ssl.SSLError):
                secured = http.client.HTTPSConnection(self.address, CLIENT_PORT, timeout=seconds, context=self.trust)
                return self._post_by(secured, path, body)
        return self._post_by(http.client.HTTPConnection(self.address, CLIENT_PORT, timeout=seconds), path, body)

    def _post_by(self, connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            connection.request("POST", path, json.dumps(body))
            reply = connection.getresponse()
            text = reply.read(32 << 20)
        except ssl.SSLError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise UnansweredError(f"{type(error).__name__}: {error}") from None
        finally:
            connection.close()
        if reply.status != 200:
            raise UnansweredError(f"HTTP {reply.status}: {text[:200].decode('utf-8', 'replace')}")
        return dict(json.loads(text))

    def prefix(self, prefix: str) -> dict[str, str]:
        """Every key that begins so, linearizable."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        rows = self.post("/v3/kv/range", {"key": coded(prefix), "range_end": coded(end)}, 10).get("kvs") or []
        return {base64.b64decode(row["key"]).decode(): base64.b64decode(row.get("value", "")).decode() for row in rows}

    def members(self) -> dict[str, dict[str, Any]]:
        """The linearizable member list by id in hex."""
        rows = self.post("/v3/cluster/member/list", {"linearizable": True}, 5).get("members") or []
        return {f"{int(row['ID']):x}": row for row in rows}


@dataclass
class Writer:
    """Writes numbered keys while it is entered; what was acknowledged must be there afterwards."""

    gateway: Gateway
    prefix: str
    pause: float = 0.05
    acknowledged: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    longest_gap: float = 0.0
    """Seconds between two acknowledged writes."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Writer:
        """Begin, and have one write acknowledged."""
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        end = time.monotonic() + 20
        while not self.acknowledged and time.monotonic() < end:
            time.sleep(0.05)
        if not self.acknowledged:
            self._stop.set()
            raise KubeError(f"no write was acknowledged within 20 s: {self.errors[-1:]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop writing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(20)

    def _post(self) -> Callable[[Mapping[str, Any]], object]:
        if self.gateway.kube.cluster.node is None:
            return lambda body: self.gateway.post("/v3/kv/put", body)
        self.gateway.kube.node.join_network()
        return lambda body: self.gateway.post_here("/v3/kv/put", body, 2.0)

    def _write(self) -> None:
        post, count, last = self._post(), 0, time.monotonic()
        while not self._stop.is_set():
            key = f"{self.prefix}{count:06d}"
            try:
                post({"key": coded(key), "value": coded(str(count))})
            except KubeError as error:
                self.errors.append(str(error))
            else:
                self.acknowledged.add(key)
                now = time.monotonic()
                self.longest_gap, last = max(self.longest_gap, now - last), now
            count += 1
            self._stop.wait(self.pause)

    def lost(self) -> set[str]:
        """Acknowledged writes that are not there; empty is right. Asks again while there is no leader."""
        end = time.monotonic() + 30
        while True:
            with suppress(UnansweredError):
                return self.acknowledged - set(self.gateway.prefix(self.prefix))
            if time.monotonic() > end:
                raise KubeError("no read was answered within 30 s")
            time.sleep(0.3)

    def told(self) -> str:
        """For the table at the end of the run."""
        return f"{len(self.acknowledged)} writes, {len(self.errors)} errors, longest gap {self.longest_gap:.1f} s"
