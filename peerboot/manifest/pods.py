"""The StatefulSet and its Pod. Pure."""

from __future__ import annotations

from peerboot.manifest import volumes
from peerboot.manifest.containers import containers
from peerboot.manifest.options import Options
from peerboot.manifest.server import Server
from peerboot.manifest.takeover import Wanted
from peerboot.manifest.writer import Tree, why


def labels(o: Options, server: Server) -> dict[str, str]:
    """Labels of every object, and what selects the Pods."""
    if o.takes_over is not None:
        return dict(o.takes_over.taken.selector)
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
                    **_pod_labels(o, server),
                    **why("What `kubectl logs` and `kubectl exec` take without -c; peerboot is `-c peerboot`."),
                    "annotations": {
                        **(o.takes_over.taken.annotations if o.takes_over is not None else {}),
                        "kubectl.kubernetes.io/default-container": _container_name(o, server),
                    },
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


def _pod_labels(o: Options, server: Server) -> Tree:
    if o.takes_over is None:
        return {"labels": labels(o, server)}
    return {**why("All that its Pods had: Services select by them."), "labels": dict(o.takes_over.taken.labels)}


def _container_name(o: Options, server: Server) -> str:
    return server.name if o.takes_over is None else str(o.takes_over.taken.container["name"])


def _management(o: Options) -> Tree:
    if o.takes_over is not None:
        patch = f'{{"spec":{{"updateStrategy":{{"rollingUpdate":{{"partition":{o.replicas - 1}}}}}}}}}'
        return {
            **why(
                "Nothing restarts by itself: you say how far, from the last Pod to the first. `partition` is the "
                f"lowest ordinal that is changed:\n  kubectl patch statefulset {o.name}{o.in_namespace} -p '{patch}'\n"
                "Look at `peerboot status` before you take the next. A Pod that is lost meanwhile comes back changed."
            ),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": o.replicas}},
            **why("All Pods are made at once after an outage: one that waits for others needs them to be there."),
            "podManagementPolicy": "Parallel",
        }
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
        **({"serviceAccountName": o.account} if o.rbac else {}),
        **_quiet(o),
        **why(
            f"For /prestop ({server.leave} s at most), then the server's own end, then peerboot, which ends last and "
            f"takes up to {server.leave} s more to finish a leave that was begun."
            + (server.grace_why and f" {server.grace_why}")
        ),
        "terminationGracePeriodSeconds": _grace(o, server),
        **_pod_security(o, server),
        **_spread(o, server),
        **containers(o, server),
        "volumes": volumes.volumes(o, server),
    }


def _grace(o: Options, server: Server) -> int:
    """Nobody gets less time to stop than there was."""
    return server.grace if o.takes_over is None else max(server.grace, o.takes_over.taken.grace)


def _quiet(o: Options) -> Tree:
    """Nothing that the server was not meant to have; where it stays as it was, what it has."""
    if o.observes and o.takes_over is not None:
        was = o.takes_over.taken.pod
        return {key: was[key] for key in ("automountServiceAccountToken", "enableServiceLinks") if key in was}
    return {
        **_token_remark(o),
        "automountServiceAccountToken": False,
        **why("No variables for each Service of the namespace: their names can be those of settings."),
        "enableServiceLinks": False,
    }


def _token_remark(o: Options) -> Tree:
    if not o.rbac:
        return why("Nobody here asks the Kubernetes API.")
    return why("The server does not ask the Kubernetes API; peerboot gets a token by the volume `token`, alone.")


def _pod_security(o: Options, server: Server) -> Tree:
    if o.takes_over is not None:
        return _looked_at(o.takes_over) if o.observes else _as_before(o.takes_over)
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


def _looked_at(wanted: Wanted) -> Tree:
    """Of the Pod nothing changes but that peerboot can read its Secret."""
    was = dict(wanted.taken.pod.get("securityContext") or {})
    group = {} if wanted.fs_group is None or "fsGroup" in was else {"fsGroup": wanted.fs_group}
    return {"securityContext": {**was, **group}}


def _as_before(wanted: Wanted) -> Tree:
    taken = wanted.taken
    ids = {"runAsUser": wanted.user, "runAsGroup": taken.group, "fsGroup": wanted.fs_group}
    return {
        "securityContext": {
            **why("The user that owns the data, for both: peerboot reads the server's files."),
            **({"runAsNonRoot": True} if wanted.user else {}),
            **{key: number for key, number in ids.items() if number is not None},
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    }


def _spread(o: Options, server: Server) -> Tree:
    if o.takes_over is not None:
        return dict(o.takes_over.taken.placed)

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
