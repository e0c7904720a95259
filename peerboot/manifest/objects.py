"""Every object around the StatefulSet, and all of them as one text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from peerboot.manifest import pods
from peerboot.manifest.options import Among, Options
from peerboot.manifest.server import Need, Port, Server
from peerboot.manifest.takeover import birth_of
from peerboot.manifest.writer import Row, Tree, Why, comment, document, why

CENSUS_PORT = 7070
METRICS_PORT = 7072
NOT_FOR_CLIENTS = "the others find it. Not for clients"
DNS_PORTS = (53, 5353, 8053)
API_PORTS = (443, 6443)


def render(options: Options, server: Server) -> str:
    """The whole text, ready for ``kubectl apply``."""
    return (
        "\n".join(comment(_head(options, server))) + "\n" + "".join(document(tree) for tree in objects(options, server))
    )


def objects(options: Options, server: Server) -> Iterator[Tree]:
    """Every object, in the order in which they have to exist."""
    if options.with_namespace:
        yield _namespace(options)
    if options.secret:
        yield _secret(options, server)
    for each, adds in parts(options, server):
        yield from _of_one(each, adds)


def parts(o: Options, server: Server) -> Iterator[tuple[Options, Server]]:
    """Each StatefulSet, as it is chosen and what the system adds to it: one, or those of ``--split``."""
    if not o.split:
        yield o, _adapted(o, server)
        return
    names = {part.suffix: f"{o.name}{part.suffix}" for part in server.split}
    ports = {part.suffix: _numbers(part.server, "peers") for part in server.split}
    for part in server.split:
        among = Among(
            name=o.name,
            forms=part.forms,
            asked_by=tuple(names[other.suffix] for other in server.split if part.suffix in other.asks),
            asks=tuple((names[suffix], ports[suffix]) for suffix in part.asks),
        )
        env = {
            key: value if isinstance(key, Why) else value.format(name=o.name, replicas=o.replicas)
            for key, value in part.server.env.items()
        }
        each = replace(
            o,
            name=names[part.suffix],
            # One of each is a set to try things with. Two of a kind that votes are worse than one.
            replicas=part.number if part.number and o.replicas > 1 else o.replicas,
            storage=(o.controller_storage or part.storage) if part.storage else o.storage,
            among=among,
        )
        yield each, _adapted(each, replace(part.server, env=env))


def needs(o: Options, server: Server) -> list[Need]:
    """What a person has to make beside the Secret; of several sets most is the same."""
    return list(dict.fromkeys(need for _, part in parts(o, server) for need in part.needs))


def _adapted(o: Options, server: Server) -> Server:
    if o.takes_over is not None:
        server = replace(
            server, volume=o.takes_over.taken.volume, data_dir=o.takes_over.data_dir, user=o.takes_over.user
        )
    return server if server.adapt is None else server.adapt(server, o)


def _of_one(options: Options, server: Server) -> Iterator[Tree]:
    # A set that was there has Services, a budget and policies: they are somebody's, and stay as they are.
    new = options.takes_over is None
    if new:
        yield _peers_service(options, server)
    if new and _numbers(server, "clients"):
        yield _client_service(options, server)
    if server.files:
        yield _files(options, server)
    if options.rbac:
        if options.account == options.rights:
            yield _account(options, server)
        if options.anchor:
            yield _anchor(options, server)
        yield from _role(options, server)
    if options.events:
        yield from _events_role(options, server)
    if new:
        yield _budget(options, server)
        yield _network_policy(options, server)
    for tree in server.more:
        yield {**tree, "metadata": _meta(options, server, tree["metadata"]["name"])}
    yield pods.stateful_set(options, server)


def _head(o: Options, server: Server) -> str:
    again = "Change the options rather than this file, and make it anew."
    if o.takes_over is not None:
        again = (
            "Once all Pods are changed delete `updateStrategy` below, keep this file, and change it as your own: it is "
            "the set from then on."
        )
    elif o.rbac and not o.ordered:
        again += (
            "\nOne line is the exception: after `kubectl scale` set `replicas:` to what it is now, each time, or the "
            "next apply scales back. --replicas is PEERBOOT_REPLICAS too, the number of the first day, and another one "
            "there restarts all Pods."
        )
    if o.secret:
        key = "The Secret below holds a random key. DO NOT COMMIT THIS FILE: who has the key can speak for a Pod."
    elif not o.by_key:
        key = "Its Pods know each other by their certificate, so that there is no census key to make."
    else:
        key = (
            "Before it starts, its Pods wait for a Secret, which no template can make for you. Make it once; it is the "
            f"key with which the Pods sign what they tell each other of their disks:\n  {o.secret_command}"
        )
    if found := needs(o, server):
        key += "\nMake these too, without which no Pod starts:"
        for need in found:
            key += f"\n- {need.what}" + (need.command and f":\n  {need.command}")
    lost = f"\nMade with --no-rbac. What is lost: {o.lost_without_rbac}." if not o.rbac else ""
    return f"Made by `{o.made_by}`. {again}\n{key}{lost}"


def _meta(o: Options, server: Server, name: str) -> dict[str, Any]:
    where = {"namespace": o.namespace} if o.namespace else {}
    return {"name": name, **where, "labels": pods.labels(o, server)}


def _namespace(o: Options) -> Tree:
    enforced = {
        **why("Refuses Pods that ask for more than the profile `restricted` allows; those below ask for less."),
        "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/enforce-version": "latest",
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": o.namespace, **(enforced if o.pod_security else {})},
    }


def _secret(o: Options, server: Server) -> Tree:
    return {
        **why("DO NOT COMMIT: a secret in a repository is none."),
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _meta(o, server, o.secret_name),
        "stringData": {"census": f"{o.secret}\n"},
    }


def _peers_service(o: Options, server: Server) -> Tree:
    peers = [Port("peerboot", CENSUS_PORT, "peers")]
    peers += [port for port in server.ports if port.reached_by == "peers" or port.named]
    who = "clients and the others find it" if any(port.named for port in peers) else NOT_FOR_CLIENTS
    if server.roles:
        peers.append(Port("roles", METRICS_PORT, "clients"))
    return {
        **why(f"The governing Service: it gives each Pod the name under which {who}."),
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(o, server, o.peers),
        "spec": {
            "clusterIP": "None",
            **why(
                "Pods have to find each other before any of them is ready: readiness needs a cluster, and a cluster "
                "needs Pods that found each other."
            ),
            "publishNotReadyAddresses": True,
            "selector": pods.labels(o, server),
            "ports": [
                Why(
                    "Targets are numbers: a name would be looked up in the containers, and not be found in a plain "
                    "init container. peerboot asks DNS for the port by its name here."
                ),
                *(_service_port(port) for port in peers),
            ],
        },
    }


def _client_service(o: Options, server: Server) -> Tree:
    clients = [port for port in server.ports if port.reached_by == "clients"]
    name = f"{o.name}{server.client_suffix}"
    return {
        **why(server.clients.format(name=name, port=clients[0].number)),
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(o, server, name),
        "spec": {"selector": pods.labels(o, server), "ports": [_service_port(port) for port in clients]},
    }


def _files(o: Options, server: Server) -> Tree:
    return {
        **why("Yours to change; a Pod sees it at its next start."),
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(o, server, o.files),
        "data": server.files,
    }


def _service_port(port: Port) -> Row:
    return Row(name=port.name, port=port.number, targetPort=port.number)


def _account(o: Options, server: Server) -> Tree:
    return {
        **why("An account of its own, so that the rights below are nobody else's."),
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _meta(o, server, o.account),
        "automountServiceAccountToken": False,
    }


def _anchor(o: Options, server: Server) -> Tree:
    held = o.takes_over is not None
    return {
        **why(
            "The anchor: a memory of the cluster outside of its volumes. It says from the start that there is one, so "
            "that Pods which come up on blank disks, or look for their data in the wrong place, wait or refuse and "
            "never form another one. Delete it only together with the volumes. Where all disks are lost and an empty "
            "cluster is to form, delete `data` and `immutable` here first."
            if held
            else "The anchor: a memory of the cluster outside of its volumes. It is shipped empty; peerboot writes the "
            "birth into it, once, and seals it. After that the loss of all disks is refused, instead of looking like "
            "the first day. `kubectl apply` leaves alone what was written, and a cluster that serves writes an empty "
            "one again. Delete it only together with the volumes: to delete the set and keep the data, say `kubectl "
            "delete statefulset`, not `kubectl delete -f` of this file."
        ),
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(o, server, o.anchor),
        **({"data": {"birth": birth_of(o.namespace, o.name)}, "immutable": True} if held else {}),
    }


def _role(o: Options, server: Server) -> Iterator[Tree]:
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": _meta(o, server, o.rights),
        "rules": [
            Why("The live number of replicas: a member leaves because its Pod was scaled away, and for no other stop."),
            Row(apiGroups=["apps"], resources=["statefulsets"], resourceNames=[o.name], verbs=["get"]),
            *(_rights_of_the_anchor(o) if o.anchor else ()),
            *(_claim_of_the_second(o) if o.ordered else ()),
        ],
    }
    yield _binding(o, server, o.rights)


def _rights_of_the_anchor(o: Options) -> tuple[Any, ...]:
    return (
        Why("The anchor. `create` cannot be limited to a name, which is why it is shipped empty."),
        Row(apiGroups=[""], resources=["configmaps"], resourceNames=[o.anchor], verbs=["get", "update"]),
    )


def _claim_of_the_second(o: Options) -> tuple[Any, ...]:
    return (
        Why(
            "Ordinal 0 forms alone only when the claim of ordinal 1 never existed: an anchor that was deleted and made "
            "anew is empty too."
        ),
        Row(apiGroups=[""], resources=["persistentvolumeclaims"], resourceNames=[f"data-{o.name}-1"], verbs=["get"]),
    )


def _events_role(o: Options, server: Server) -> Iterator[Tree]:
    name = f"{o.name}-events"
    yield {
        **why("Of its own, for it cannot be limited by name: whoever has it can tell events about any object here."),
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": _meta(o, server, name),
        "rules": [Row(apiGroups=[""], resources=["events"], verbs=["create"])],
    }
    yield _binding(o, server, name)


def _binding(o: Options, server: Server, role: str) -> Tree:
    where = {"namespace": o.namespace} if o.namespace else {}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _meta(o, server, role),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [Row(kind="ServiceAccount", name=o.account, **where)],
    }


def _budget(o: Options, server: Server) -> Tree:
    return {
        **why(
            "Drains and upgrades of nodes take one Pod at a time. They wait until it is Ready again, which with "
            "OrderedReady says only that its server runs: look at `peerboot status` before you drain the next node."
            if o.ordered
            else "Drains and upgrades of nodes take one Pod at a time, and wait until it is ready again."
        ),
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(o, server, o.name),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": pods.labels(o, server)}},
    }


def _network_policy(o: Options, server: Server) -> Tree:
    def pods_of(name: str) -> list[Tree]:
        return [{"podSelector": {"matchLabels": pods.labels(replace(o, name=name), server)}}]

    clients, scrapers = _numbers(server, "clients"), _numbers(server, "scrapers")
    own, own_ports = pods_of(o.name), _tcp(CENSUS_PORT, *_numbers(server, "peers", "clients"))
    asked_by, asks = (o.among.asked_by, o.among.asks) if o.among else ((), ())
    api: list[Any] = [
        Why("The Kubernetes API, as the Service's port and as the API server's own. Where yours is another, add it."),
        {"ports": _tcp(*API_PORTS)},
    ]
    return {
        **why(
            "Works where the network enforces it. Probes and /prestop come from the node's kubelet, which needs none."
        ),
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(o, server, o.name),
        "spec": {
            "podSelector": {"matchLabels": pods.labels(o, server)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                Why(f"Only the set's own Pods: {_among_themselves(server)}."),
                {"from": own, "ports": own_ports},
                *({"from": pods_of(name), "ports": _tcp(*_numbers(server, "peers"))} for name in asked_by),
                *(_from_clients(o, server, clients) if clients else ()),
                Why(
                    f"Metrics of {'server and ' if scrapers else ''}peerboot, for a Prometheus in a namespace of this "
                    "name." + ("" if scrapers else " The server has no port for its own.")
                ),
                {
                    "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                    "ports": _tcp(*scrapers, METRICS_PORT),
                },
            ],
            "egress": [
                {"to": own, "ports": own_ports},
                *({"to": pods_of(name), "ports": _tcp(*numbers)} for name, numbers in asks),
                Why(
                    "DNS anywhere, for a node-local cache (169.254.20.10) is no Pod that a selector could name. TCP as "
                    "well as UDP: the answers of larger sets do not fit into a datagram. Most networks look at the "
                    "port of the DNS server's own Pod: 5353 on OpenShift, 8053 on Gardener. Where yours is another, "
                    "add it."
                ),
                {"ports": [Row(protocol=protocol, port=port) for port in DNS_PORTS for protocol in ("UDP", "TCP")]},
                *(api if o.rbac else []),
            ],
        },
    }


def _among_themselves(server: Server) -> str:
    match (bool(_numbers(server, "peers")), bool(_numbers(server, "clients"))):
        case (True, True):
            return "census, the server's port for its peers, and that for clients, as one"
        case (False, True):
            return "census, and the server's port for clients, as one"
        case _:
            return "census, and the server's port for its peers"


def _from_clients(o: Options, server: Server, numbers: tuple[int, ...]) -> tuple[Any, ...]:
    return (
        Why(f'{server.from_clients}\n  from: [{{podSelector: {{matchLabels: {{{o.name}-client: "true"}}}}}}]'),
        {"ports": _tcp(*numbers, *((METRICS_PORT,) if server.roles else ()))},
    )


def _numbers(server: Server, *who: str) -> tuple[int, ...]:
    return tuple(port.number for port in server.ports if port.reached_by in who)


def _tcp(*numbers: int) -> list[Row]:
    return [Row(protocol="TCP", port=number) for number in numbers]
