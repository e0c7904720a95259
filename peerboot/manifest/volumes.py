"""The Pod's volumes, and the claim of the one that keeps the data. Pure."""

from __future__ import annotations

from typing import Any

from peerboot.manifest.options import Options
from peerboot.manifest.server import Server
from peerboot.manifest.writer import Row, Tree, Why, why

ONCE = "ReadWriteOnce"
MODE = Why("288 is 0440: readable by the Pod's group, fsGroup, and by nobody else.")


def volumes(o: Options, server: Server) -> list[Any]:
    """Of the Pod, beside the one for data."""
    token = [
        Why("What the kubelet would mount everywhere, for peerboot alone; the token is renewed every hour."),
        {
            "name": "token",
            "projected": {
                "sources": [
                    {"serviceAccountToken": Row(path="token", expirationSeconds=3600)},
                    {"configMap": Row(name="kube-root-ca.crt", items=[Row(key="ca.crt", path="ca.crt")])},
                    {"downwardAPI": Row(items=[Row(path="namespace", fieldRef=Row(fieldPath="metadata.namespace"))])},
                ]
            },
        },
    ]
    return [
        Why("The server's config file, in memory: a new Pod starts without one, and so without permission to start."),
        {"name": "output", "emptyDir": Row(medium="Memory", sizeLimit="8Mi")},
        *([{"name": "files", "configMap": Row(name=o.files)}] if server.files else []),
        *_tmp(server),
        *_as_before(o),
        *([MODE, {"name": "census", "secret": Row(secretName=o.secret_name, defaultMode=0o440)}] if o.by_key else []),
        *(token if o.rbac else []),
        *([] if o.by_key else [MODE]),
        *(
            each
            for mount in {mount.name: mount for mount in (*server.mounts, *server.own_mounts)}.values()
            for each in (Why(mount.why), {"name": mount.name, **mount.source})
        ),
    ]


def _tmp(server: Server) -> list[Any]:
    if not server.tmp:
        return []
    return [
        Why("The server's root file system cannot be written; what it must unpack goes here."),
        {"name": "tmp", "emptyDir": Row(sizeLimit=server.tmp)},
    ]


def _as_before(o: Options) -> list[Any]:
    """What the server's container has, where it stays as it was."""
    if not o.observes or o.takes_over is None:
        return []
    found = o.takes_over.taken.pod.get("volumes") or []
    return [Why("Of the server, as they were."), *found] if found else []


def data(o: Options, server: Server) -> Row:
    """Where containers have the volume for data."""
    below = o.takes_over.taken.sub_path if o.takes_over is not None else ""
    return Row(name=o.claim, mountPath=server.volume, **({"subPath": below} if below else {}))


def claim(o: Options, server: Server) -> Tree:
    """Of the volume for data."""
    if o.takes_over is not None:
        return {
            **why("As it was, so that each Pod keeps the volume that it has."),
            **o.takes_over.taken.claim,
        }
    named = {} if o.storage_class is None else {"storageClassName": o.storage_class}
    return {
        "metadata": {"name": "data"},
        "spec": {
            **_access(o, server),
            **named,
            **(why(server.storage_why) if server.storage_why else {}),
            "resources": {"requests": {"storage": o.storage}},
        },
    }


def _access(o: Options, server: Server) -> Tree:
    """Native sidecars and ReadWriteOncePod both came with Kubernetes 1.29."""
    mode = o.access or (server.access if o.native else ONCE)
    return {**(why(server.access_why) if mode == server.access and server.access_why else {}), "accessModes": [mode]}
