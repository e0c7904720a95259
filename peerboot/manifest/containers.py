"""The Pod's containers: their probes, rights, environment and use. Pure."""

from __future__ import annotations

from typing import Any

from peerboot.manifest import volumes
from peerboot.manifest.options import Options
from peerboot.manifest.server import FILES_DIR, Mount, Server, Use
from peerboot.manifest.takeover import Taken
from peerboot.manifest.writer import Row, Tree, Why, why

OUTPUT_DIR = "/run/peerboot"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
NEVER = (1 << 31) - 1
"""The largest failureThreshold: at 2 s a probe this is 136 years."""
PEERBOOT_USE = Use(
    why="Measured: 44 MiB at rest, 0.2 % of a core, 0.3 CPU seconds to start.",
    cpu="20m",
    memory="64Mi",
    memory_limit="128Mi",
    guaranteed_cpu="250m",
)
CONFINED: Tree = {
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
}


def containers(o: Options, server: Server) -> Tree:
    """Of the Pod: peerboot's, and the server's."""
    if o.native:
        return {
            "initContainers": [
                Why(
                    "A native sidecar: the server's container starts when its startup probe succeeds, and it goes on "
                    "beside it. Needs Kubernetes 1.29; for 1.25 to 1.28 there is --plain-sidecar."
                ),
                *_first(o),
                {
                    "name": "peerboot",
                    **_program(o, "sidecar"),
                    "restartPolicy": "Always",
                    **_watched(o, server),
                },
            ],
            "containers": [_server(o, server), *_beside(o)],
        }
    return {
        "initContainers": [
            Why(
                "Before Kubernetes 1.29 there are no native sidecars, so peerboot is here twice: this one ends when "
                "the server may start. An init container can have no probes: what it waits for is in its log, "
                "`kubectl logs POD -c peerboot-init`."
            ),
            *_first(o),
            {"name": "peerboot-init", **_program(o, "init"), **_needs(o, server)},
        ],
        "containers": [
            {
                **why("Goes on beside the server. It stands first, so that it is started first."),
                "name": "peerboot",
                **_program(o, "sidecar"),
                **why(
                    "A plain sidecar is told to stop at the same moment as the server. This keeps it until the "
                    "server's own call of /prestop is answered."
                ),
                **_prestop(),
                **_watched(o, server),
            },
            _server(o, server),
            *_beside(o),
        ],
    }


def _first(o: Options) -> list[Any]:
    """What ran before the server, where that stays as it was."""
    return list(o.takes_over.taken.pod.get("initContainers") or []) if o.takes_over is not None and o.observes else []


def _beside(o: Options) -> list[Any]:
    """What ran beside the server, where that stays as it was."""
    if o.takes_over is None or not o.observes:
        return []
    taken = o.takes_over.taken
    return [each for each in taken.pod["containers"] if each is not taken.container]


def _program(o: Options, command: str) -> Tree:
    return {"image": o.image, "args": [command]}


def _watched(o: Options, server: Server) -> Tree:
    return {
        **why(
            "Yes when the server may start. It asks for ever and never ends a wait: peerboot waits for what it named "
            "in the probe's output, which is in the Pod's events, and a restart would not bring that."
        ),
        "startupProbe": {
            **why("It looks again for so long before it says no, so that a yes is not late by the period."),
            "exec": {"command": ["peerboot-probe", "startup", "--for", "1.5"]},
            "periodSeconds": 2,
            **why("A Python program that waits: it takes longer than the second that is the default."),
            "timeoutSeconds": 5,
            "failureThreshold": NEVER,
        },
        **why("Only whether peerboot itself comes round. A restart of it leaves the server alone."),
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "peerboot"},
            "periodSeconds": 20,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "ports": [Row(name="peerboot", containerPort=7070), Row(name="pb-metrics", containerPort=7072)],
        **_needs(o, server),
    }


def _needs(o: Options, server: Server) -> Tree:
    """Environment, rights, use and mounts, the same wherever peerboot runs."""
    return {
        "env": _environment(o, server),
        **_confined(o),
        **_resources(o, PEERBOOT_USE),
        "volumeMounts": [
            volumes.data(o, server),
            Row(name="output", mountPath=OUTPUT_DIR),
            *([Row(name="census", mountPath="/secret", readOnly=True)] if o.by_key else []),
            *([Row(name="token", mountPath=ACCOUNT, readOnly=True)] if o.rbac else []),
            *_mounted(server.mounts),
        ],
    }


def _confined(o: Options) -> Tree:
    """As every container; in a Pod that stays as it was it is peerboot that has the user whose the data is."""
    if o.takes_over is None or not o.observes:
        return CONFINED
    group = {} if o.takes_over.taken.group is None else {"runAsGroup": o.takes_over.taken.group}
    return {"securityContext": {**CONFINED["securityContext"], "runAsUser": o.takes_over.user, **group}}


def _mounted(mounts: tuple[Mount, ...]) -> list[Row]:
    return [
        Row(name=mount.name, mountPath=mount.path, **({} if mount.written else {"readOnly": True})) for mount in mounts
    ]


def _environment(o: Options, server: Server) -> list[Any]:
    return [
        Row(name="PEERBOOT_SYSTEM", value=server.name),
        *_observing(o),
        *_counts(o),
        Why("The governing Service of this set, whose port named `peerboot` DNS is asked for."),
        Row(name="PEERBOOT_SERVICE", value=o.peers),
        Why("A sub-directory of the volume: what is no longer good is renamed aside, never deleted."),
        Row(name="PEERBOOT_DATA_DIR", value=server.data_dir),
        *_census(o, server),
        *([Row(name="PEERBOOT_ANCHOR", value=f"configmap:{o.anchor}")] if o.anchor else []),
        *([Row(name="PEERBOOT_EVENTS", value="pod")] if o.events else []),
        Why(f"How long /prestop may take; terminationGracePeriodSeconds covers it.{server.leave_why}"),
        Row(name="PEERBOOT_LEAVE_TIMEOUT", value=f"{server.leave}s"),
        *(name if isinstance(name, Why) else Row(name=name, value=value) for name, value in server.env.items()),
        *(
            Row(name=name, valueFrom=Row(fieldRef=Row(fieldPath=path)))
            for name, path in (
                ("POD_NAME", "metadata.name"),
                ("POD_NAMESPACE", "metadata.namespace"),
                ("POD_UID", "metadata.uid"),
                ("POD_IPS", "status.podIPs"),
            )
        ),
    ]


def _census(o: Options, server: Server) -> list[Any]:
    """By what Pods know each other."""
    key = [Row(name="PEERBOOT_SECRET_FILE", value="/secret/census")] if o.by_key else []
    if not o.by_tls:
        return key
    return [
        Why(
            "On the way: the key and the certificate are each enough. When all Pods have this, go on to "
            "`--census-auth tls`, or back."
            if o.by_key
            else "Pods know each other by the certificate, and there is no census key. A set that has one goes there "
            "in two steps, or its Pods would not hear each other meanwhile: `--census-auth hmac,tls` first."
        ),
        Row(name="PEERBOOT_CENSUS_AUTH", value=o.census_auth),
        Row(name="PEERBOOT_CENSUS_TLS_DIR", value=server.tls_dir),
        *key,
    ]


def _observing(o: Options) -> list[Any]:
    if not o.observes:
        return []
    return [
        Why("It looks and says what it would do; it writes nothing, changes nothing, and holds nothing back."),
        Row(name="PEERBOOT_MODE", value="observe"),
    ]


def _counts(o: Options) -> list[Any]:
    live = Row(name="PEERBOOT_REPLICAS_FROM", value="statefulset")
    if o.ordered:
        return [
            Why("Who forms: ordinal 0 alone. All others join, up to the live .spec.replicas."),
            Row(name="PEERBOOT_REPLICAS", value="1"),
            live,
        ]
    count = Row(name="PEERBOOT_REPLICAS", value=str(o.replicas))
    if o.rbac and not o.forms:
        return [
            Why(
                "How many there are on the day that they are made. `kubectl scale` needs no change of it, for the live "
                "number is read from the StatefulSet."
            ),
            count,
            live,
        ]
    if not o.rbac:
        return [
            Why("Equal to .spec.replicas. Raise it, and let all Pods restart, before you scale beyond it."),
            count,
        ]
    return [
        Why(
            "How many form the cluster: .spec.replicas of the day it is made. `kubectl scale` needs no change of it, "
            "for the live number is read from the StatefulSet."
        ),
        count,
        live,
    ]


def _server(o: Options, server: Server) -> Tree:
    if o.takes_over is not None and o.observes:
        return {**why("As it was."), **o.takes_over.taken.container}
    readiness = {
        **why(server.ready),
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 7070},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 5,
        },
    }
    taken = o.takes_over.taken if o.takes_over is not None else None
    return {
        "name": taken.container["name"] if taken is not None else server.name,
        "image": o.server_image,
        "command": list(server.command),
        **server.container,
        **why(
            "Before the server is stopped: a member whose Pod was scaled away leaves the cluster here. In any other "
            "case (a roll-out, a drain) "
            + (
                "it waits for its turn, within PEERBOOT_LEAVE_TIMEOUT, while too few of the others are in sync."
                if server.leave_why
                else "this returns at once, or within ten seconds when the Kubernetes API is silent."
            )
        ),
        **_prestop(),
        **(server.ordered if o.ordered else {**server.parallel, **readiness}),
        "ports": [
            *(Row(name=port.name, containerPort=port.number) for port in server.ports),
            *(_ports_by_other_names(taken, server) if taken is not None else ()),
        ],
        **CONFINED,
        **({"resources": taken.resources} if taken is not None and taken.resources else _resources(o, server.use)),
        "volumeMounts": [
            volumes.data(o, server),
            Row(name="output", mountPath=OUTPUT_DIR, **({} if server.writes_output else {"readOnly": True})),
            *([Row(name="files", mountPath=FILES_DIR, readOnly=True)] if server.files else []),
            *([Row(name="tmp", mountPath="/tmp")] if server.tmp else []),  # noqa: S108 - of the container
            *_mounted(server.own_mounts),
        ],
    }


def _ports_by_other_names(taken: Taken, server: Server) -> list[Any]:
    """Services of others may name them so."""
    known = {port.name for port in server.ports}
    found = [Row(port) for port in taken.container.get("ports") or [] if port.get("name", "") not in ("", *known)]
    return [Why("By the names that they had, which Services may use."), *found] if found else []


def _prestop() -> Tree:
    return {"lifecycle": {"preStop": {"httpGet": {"path": "/prestop", "port": 7070}}}}


def _resources(o: Options, use: Use) -> Tree:
    if o.guaranteed:
        both = Row(cpu=use.guaranteed_cpu, memory=use.memory_limit)
        return {
            **why(f"{use.why} Limits equal requests: QoS class Guaranteed."),
            "resources": {"requests": both, "limits": both},
        }
    return {
        **why(f"{use.why} No CPU limit: it would slow down exactly those moments in which others wait for this Pod."),
        "resources": {
            "requests": Row(cpu=use.cpu, memory=use.memory),
            "limits": Row(memory=use.memory_limit),
        },
    }
