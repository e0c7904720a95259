"""The StatefulSet: its Pod's containers, probes and rights. Pure."""

from __future__ import annotations

from typing import Any

from peerboot.manifest import volumes
from peerboot.manifest.options import Options
from peerboot.manifest.server import FILES_DIR, Mount, Server, Use
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


def labels(o: Options, server: Server) -> dict[str, str]:
    """Labels of every object, and what selects the Pods."""
    return {"app.kubernetes.io/name": server.name, "app.kubernetes.io/instance": o.name}


def stateful_set(o: Options, server: Server) -> Tree:
    """The set itself."""
    where = {"namespace": o.namespace} if o.namespace else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": o.name, **where, "labels": labels(o, server)},
        "spec": {
            "serviceName": o.peers,
            "replicas": o.replicas,
            **_management(o),
            "selector": {"matchLabels": labels(o, server)},
            "template": {
                "metadata": {
                    "labels": labels(o, server),
                    **why("What `kubectl logs` and `kubectl exec` take without -c; peerboot is `-c peerboot`."),
                    "annotations": {"kubectl.kubernetes.io/default-container": server.name},
                },
                "spec": _pod(o, server),
            },
            **why(
                "persistentVolumeClaimRetentionPolicy stays what it is by default, Retain: a volume is deleted by you. "
                "A Pod that comes back on an old one is recognised."
            ),
            "volumeClaimTemplates": [volumes.claim(o, server)],
        },
    }


def _management(o: Options) -> Tree:
    if not o.ordered:
        return {
            **why(
                "All Pods are made at once: a cluster forms when every Pod has said that its disk is blank, and with "
                "OrderedReady the second would not exist before the first is ready."
            ),
            "podManagementPolicy": "Parallel",
        }
    return {
        **why(
            "With OrderedReady a Pod is made only when the one before is ready. So ordinal 0 forms alone, while the "
            "anchor is empty, and the others join one after the other. What it costs: Ready cannot mean that a Pod "
            "serves, or none would come up after an outage of all; and after an outage of all in which the disk of "
            "ordinal 0 is lost nobody comes up by itself: ordinal 0 waits for the cluster that the anchor remembers, "
            "and the Pods that hold it are not made before ordinal 0 is ready. Then, and better before, change to "
            "Parallel, which needs the set anew, though neither Pods nor volumes:\n"
            f"  kubectl delete statefulset {o.name} --cascade=orphan\n"
            "and apply what is made without --ordered-ready."
        ),
        "podManagementPolicy": "OrderedReady",
        **why("Ready says only that the server runs, so the next Pod gives this one some time to be in the cluster."),
        "minReadySeconds": 10,
    }


def _pod(o: Options, server: Server) -> Tree:
    return {
        **({"serviceAccountName": o.name} if o.rbac else {}),
        **_token_remark(o),
        "automountServiceAccountToken": False,
        **why("No variables for each Service of the namespace: their names can be those of settings."),
        "enableServiceLinks": False,
        **why(
            f"For /prestop ({server.leave} s at most), then the server's own end, then peerboot, which ends last and "
            f"takes up to {server.leave} s more to finish a leave that was begun."
            + (server.grace_why and f" {server.grace_why}")
        ),
        "terminationGracePeriodSeconds": server.grace,
        **_pod_security(server),
        **_spread(o, server),
        **_containers(o, server),
        "volumes": volumes.volumes(o, server),
    }


def _token_remark(o: Options) -> Tree:
    if not o.rbac:
        return why("Nobody here asks the Kubernetes API.")
    return why("The server does not ask the Kubernetes API; peerboot gets a token by the volume `token`, alone.")


def _pod_security(server: Server) -> Tree:
    return {
        "securityContext": {
            **why(
                "One user for both: the server's files are readable by its user alone, and peerboot reads them. On "
                "OpenShift delete the three numbers, it gives a user of its own."
            ),
            "runAsNonRoot": True,
            "runAsUser": server.user,
            "runAsGroup": server.user,
            "fsGroup": server.user,
            **why("Otherwise each start would change the group of every file on the volume."),
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    }


def _spread(o: Options, server: Server) -> Tree:
    def over(key: str) -> Tree:
        return {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels(o, server)},
        }

    return {
        **why("Over zones and nodes as far as there are any; a volume that is bound to a node still wins."),
        "topologySpreadConstraints": [over("topology.kubernetes.io/zone"), over("kubernetes.io/hostname")],
    }


# ---------------------------------------------------------------- containers


def _containers(o: Options, server: Server) -> Tree:
    if o.native:
        return {
            "initContainers": [
                Why(
                    "A native sidecar: the server's container starts when its startup probe succeeds, and it goes on "
                    "beside it. Needs Kubernetes 1.29; for 1.25 to 1.28 there is --plain-sidecar."
                ),
                {
                    "name": "peerboot",
                    **_program(o, "sidecar"),
                    "restartPolicy": "Always",
                    **_watched(o, server),
                },
            ],
            "containers": [_server(o, server)],
        }
    return {
        "initContainers": [
            Why(
                "Before Kubernetes 1.29 there are no native sidecars, so peerboot is here twice: this one ends when "
                "the server may start. An init container can have no probes: what it waits for is in its log, "
                "`kubectl logs POD -c peerboot-init`."
            ),
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
        ],
    }


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
        **CONFINED,
        **_resources(o, PEERBOOT_USE),
        "volumeMounts": [
            Row(name="data", mountPath=server.volume),
            Row(name="output", mountPath=OUTPUT_DIR),
            Row(name="census", mountPath="/secret", readOnly=True),
            *([Row(name="token", mountPath=ACCOUNT, readOnly=True)] if o.rbac else []),
            *_mounted(server.mounts),
        ],
    }


def _mounted(mounts: tuple[Mount, ...]) -> list[Row]:
    return [
        Row(name=mount.name, mountPath=mount.path, **({} if mount.written else {"readOnly": True})) for mount in mounts
    ]


def _environment(o: Options, server: Server) -> list[Any]:
    return [
        Row(name="PEERBOOT_SYSTEM", value=server.name),
        *_counts(o),
        Why("The governing Service of this set, whose port named `peerboot` DNS is asked for."),
        Row(name="PEERBOOT_SERVICE", value=o.peers),
        Why("A sub-directory of the volume: what is no longer good is renamed aside, never deleted."),
        Row(name="PEERBOOT_DATA_DIR", value=server.data_dir),
        Row(name="PEERBOOT_SECRET_FILE", value="/secret/census"),
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
    readiness = {
        **why(server.ready),
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 7070},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 5,
        },
    }
    return {
        "name": server.name,
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
        "ports": [Row(name=port.name, containerPort=port.number) for port in server.ports],
        **CONFINED,
        **_resources(o, server.use),
        "volumeMounts": [
            Row(name="data", mountPath=server.volume),
            Row(name="output", mountPath=OUTPUT_DIR, **({} if server.writes_output else {"readOnly": True})),
            *([Row(name="files", mountPath=FILES_DIR, readOnly=True)] if server.files else []),
            *([Row(name="tmp", mountPath="/tmp")] if server.tmp else []),  # noqa: S108 - of the container
            *_mounted(server.own_mounts),
        ],
    }


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
