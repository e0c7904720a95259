"""A model of the Kubernetes API as peerboot meets it: one StatefulSet, ConfigMaps, events, and who may do what.

The same model answers the real client over TLS in ``tests/doors``, where a contract holds it against a real API
server, and the fake door of the stories in this folder.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from peerboot.outside.http import HttpError, Reply
from peerboot.outside.kubernetes import Kubernetes, KubernetesError

Weather = Literal["fine", "silence", "refused", "unauthorized", "forbidden", "broken"]
PATH = re.compile(
    r"/(apis/apps/v1|api/v1)/namespaces/([a-z0-9-]+)/(statefulsets|configmaps|events|persistentvolumeclaims)(?:/([a-z0-9.-]+))?"
)
DRY_RUN = "?dryRun=All"
RIGHTS = {
    ("GET", "statefulsets", "db"), ("GET", "configmaps", "db-anchor"), ("PUT", "configmaps", "db-anchor"),
    ("GET", "persistentvolumeclaims", "data-db-1"),
}  # fmt: skip
"""What the Role of the manifests gives, by resourceNames; and ``create`` on events."""
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 422: "Invalid", 503: "Unavailable"}


@dataclass
class Api:
    """What is in etcd behind one API server, for one namespace."""

    replicas: int = 3
    start: int = 0
    pods: Callable[[], int] | None = None
    """How many Pods of the set exist now, by default as many as there ought to be."""
    behind: bool = False
    """The StatefulSet controller has not seen the last ``.spec`` yet."""
    deleting: bool = False
    ordered: bool = False
    """``podManagementPolicy: OrderedReady``."""
    claims: set[str] = field(default_factory=set)
    """PersistentVolumeClaims that exist."""
    exists: bool = True
    forbidden: set[str] = field(default_factory=set)
    """Resources that the Role leaves out."""
    read_only: bool = False
    """The Role lacks every verb but ``get``."""
    weather: Weather = "fine"
    config_maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    _version: int = 1
    _generation: int = 1

    def scale(self, replicas: int) -> None:
        """``kubectl scale``."""
        self.replicas, self._generation = replicas, self._generation + 1

    def ship(self, name: str = "db-anchor", **more: Any) -> None:
        """``kubectl apply`` of an empty ConfigMap."""
        self._version += 1
        meta = {"name": name, "namespace": "prod", "resourceVersion": str(self._version), "labels": {"app": "db"}}
        self.config_maps[name] = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta, **more}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """One request that was let in: HTTP status and JSON."""
        self.asked.append((method, path))
        found = PATH.fullmatch(path.removesuffix(DRY_RUN))
        if self.weather == "unauthorized":
            return _no(401, "Unauthorized")
        if self.weather == "broken":
            return _no(503, "etcdserver: no leader")
        if found is None:
            return _no(404, "the server could not find the requested resource")
        resource, name = found[3], found[4] or ""
        may = (method, resource, name) in RIGHTS or (method, resource, name) == ("POST", "events", "")
        may = may and resource not in self.forbidden
        if not may or found[2] != "prod" or self.weather == "forbidden" or (self.read_only and method != "GET"):
            return _no(403, f'{resource} "{name}" is forbidden: User "system:serviceaccount:prod:db" cannot do that')
        if resource == "events":
            self.events.append(json.loads(body))
            return 201, body
        if resource == "statefulsets":
            return (200, json.dumps(self.stateful_set()).encode()) if self.exists else _no(404, f'"{name}" not found')
        if resource == "persistentvolumeclaims":
            return (200, b"{}") if name in self.claims else _no(404, f'{resource} "{name}" not found')
        return self._config_map(method, name, body, dry_run=path.endswith(DRY_RUN))

    def stateful_set(self) -> dict[str, Any]:
        """As the API writes it."""
        seen = self._generation - self.behind
        spec: dict[str, Any] = {"replicas": self.replicas, "serviceName": "peers"}
        spec |= {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
        spec |= {} if self.ordered else {"podManagementPolicy": "Parallel"}
        spec |= {"ordinals": {"start": self.start}} if self.start else {}
        meta: dict[str, Any] = {"name": "db", "namespace": "prod", "uid": "u-1", "generation": self._generation}
        meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if self.deleting else {}
        status = {"replicas": self.pods() if self.pods else self.replicas, "observedGeneration": seen}
        return {"kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": meta, "spec": spec, "status": status}

    def _config_map(self, method: str, name: str, body: bytes, *, dry_run: bool) -> tuple[int, bytes]:
        kept = self.config_maps.get(name)
        if kept is None:
            return _no(404, f'configmaps "{name}" not found')
        if method == "PUT":
            new = json.loads(body)
            if new["metadata"]["resourceVersion"] != kept["metadata"]["resourceVersion"]:
                return _no(409, f'Operation cannot be fulfilled on configmaps "{name}": the object has been modified')
            if kept.get("immutable") and (new.get("data"), new.get("immutable")) != (kept.get("data"), True):
                return _no(422, f'ConfigMap "{name}" is invalid: field is immutable when `immutable` is set')
            if dry_run:
                return 200, json.dumps(new).encode()
            self._version += 1
            new["metadata"]["resourceVersion"] = str(self._version)
            self.config_maps[name] = kept = new
        return 200, json.dumps(kept).encode()


def _no(code: int, message: str) -> tuple[int, bytes]:
    status = {"kind": "Status", "status": "Failure", "reason": REASONS[code], "code": code, "message": message}
    return code, json.dumps(status).encode()


class FakeKubernetes(Kubernetes):
    """The real door, with its words, but neither files nor sockets below it."""

    def __init__(self, api: Api, **more: Any) -> None:
        super().__init__("https://10.96.0.1:443", "prod", **more)
        self._api = api

    async def _send(self, method: str, path: str, content: bytes | None) -> Reply:
        await asyncio.sleep(0.005)
        match self._api.weather:
            case "silence":
                self._api.asked.append((method, path))
                await asyncio.sleep(5.0)
                raise KubernetesError("silent", f"10.96.0.1:443: {HttpError('no answer in 5 s')}")
            case "refused":
                self._api.asked.append((method, path))
                raise KubernetesError("refused", "10.96.0.1:443: connection refused")
        status, body = self._api.answer(method, path, content or b"")
        return Reply(status, {}, body)
