"""What a person's choices add to Kafka's manifest; ``releases.py`` has what the image says. Pure.

A listener is checked by the code that reads the setting, so that no manifest is printed whose Pods would end with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from peerboot.errors import SettingsError
from peerboot.manifest.options import Options
from peerboot.manifest.server import Mount, Need, Port, Server
from peerboot.manifest.writer import Row, Tree, why
from peerboot.model import Identity
from peerboot.settings import read
from peerboot.systems.kafka import config, releases
from peerboot.systems.kafka.listeners import Listener
from peerboot.systems.kafka.security import Material
from peerboot.systems.kafka.settings import DEFAULT_HOST, SETTINGS
from peerboot.values import shown

TLS_DIR, USERS_DIR, LABELS_DIR, BASE_DIR = "/etc/kafka-tls", "/etc/kafka-users", "/etc/pod-labels", "/etc/kafka-base"
BASE_FILE = "server.properties"
"""The key of a ConfigMap with a person's own properties."""
USER = "peerboot"
"""The default of PEERBOOT_KAFKA_SASL_USER."""
OPTION_OF = {
    "PEERBOOT_KAFKA_LISTENERS": "--listener",
    "PEERBOOT_KAFKA_TLS_DIR": "--tls-secret",
    "PEERBOOT_KAFKA_USERS_DIR": "--users-secret",
}
"""What a person gives here in place of a setting, for errors that name it."""
COPIED = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
"""The labels of a node that Kubernetes 1.35 gives to its Pods."""
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
MOST_HOST = 253


@dataclass(frozen=True)
class More:
    """What one choice adds."""

    env: Tree = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    needs: tuple[Need, ...] = ()
    notes: tuple[str, ...] = ()


def adapted(server: Server, o: Options) -> Server:
    """The server's part of one StatefulSet with all that was chosen; raises ``SettingsError``."""
    chosen = [More(releases.quorum(o), notes=tuple(releases.notes(o)))]
    broker = server.env.get("PEERBOOT_KAFKA_ROLES") != "controller"
    if o.tls_secret or o.users_secret:
        chosen.append(_secured(o))
    if o.rack_label and broker:
        chosen.append(_labels(o))
    if o.base_config:
        chosen.append(_base(o))
    env = dict(server.env)
    for more in chosen:
        env |= more.env
    found: tuple[Listener, ...] = ()
    if broker and o.listeners:
        env = {**env, **LISTENERS_COMMENT, "PEERBOOT_KAFKA_LISTENERS": ",".join(o.listeners)}
        found = _checked(env, o)
    return replace(
        server,
        env=env,
        tls_dir=TLS_DIR,
        mounts=tuple(mount for more in chosen for mount in more.mounts),
        needs=tuple(need for more in chosen for need in more.needs),
        notes=(*(note for more in chosen for note in more.notes), *_clients_of(found, o)),
        ports=(*server.ports, *(Port(f"client-{one.port}", one.port, "clients") for one in found)),
        from_clients=_from_clients(server, o, found),
    )


# ------------------------------------------------------------ TLS and logins


def _secured(o: Options) -> More:
    protocol = ("SASL_SSL" if o.tls_secret else "SASL_PLAINTEXT") if o.users_secret else "SSL"
    env: Tree = {
        **why(
            "Of controllers and brokers among themselves, and of clients at the port 9092. Choose it on the day that "
            "the set is made: Pods that have another one do not understand each other."
        ),
        "PEERBOOT_KAFKA_SECURITY": protocol,
    }
    mounts: list[Mount] = []
    needs: list[Need] = []
    if o.tls_secret:
        env = {**env, "PEERBOOT_KAFKA_TLS_DIR": TLS_DIR}
        mounts.append(_tls(o))
        needs.append(_certificate(o))
    if o.users_secret:
        env = {**env, "PEERBOOT_KAFKA_USERS_DIR": USERS_DIR}
        mounts.append(_users(o))
        needs.append(_logins(o))
    bare = () if o.tls_secret else ("without --tls-secret passwords and records go over the network as they are",)
    return More(env, tuple(mounts), tuple(needs), bare)


def _tls(o: Options) -> Mount:
    say = (
        "tls.crt, tls.key and ca.crt, as cert-manager makes them. peerboot writes them for the server, in its memory; "
        "a renewed one takes effect when the server is restarted."
    )
    return Mount("tls", TLS_DIR, {"secret": Row(secretName=o.tls_secret, defaultMode=0o440)}, say)


def _users(o: Options) -> Mount:
    say = (
        f"A password under each user's name; controllers and brokers log in to each other as `{USER}`. SCRAM takes the "
        "users once, when the set forms: later ones have to be told to Kafka, by kafka-configs.sh."
    )
    return Mount("users", USERS_DIR, {"secret": Row(secretName=o.users_secret, defaultMode=0o440)}, say)


def _certificate(o: Options) -> Need:
    """The names under which controllers and brokers of all sets are found, and clients begin."""
    others = (*o.among.asked_by, *(name for name, _ in o.among.asks)) if o.among else ()
    zone = f"{o.namespace or 'NAMESPACE'}.svc.DOMAIN"
    peers = [f"{name}-peers.{zone}" for name in sorted({o.name, *others})]
    names = ", ".join(f"*.{name}, {name}" for name in peers)
    begin = f"{o.among.name if o.among else o.name}.{zone}"
    return Need(
        f"the Secret {o.tls_secret} has tls.crt, tls.key and ca.crt, for server auth and client auth; its names are "
        f"{names}, what clients begin with ({begin}), and every host of a --listener (DOMAIN: as cluster.local)"
    )


def _logins(o: Options) -> Need:
    where = f" --namespace {o.namespace}" if o.namespace else ""
    return Need(
        f"the Secret {o.users_secret} has a password under each user's name, and {USER} is one",
        f"head -c 24 /dev/urandom | base64 | kubectl create secret generic {o.users_secret}{where} "
        f"--from-file={USER}=/dev/stdin",
    )


# ------------------------------------------------------- rack, own properties


def _labels(o: Options) -> More:
    env = {
        **why(
            "The broker's rack is a label of its Pod, which Kubernetes 1.35 copies from the node where it is the zone "
            "or the region. A Pod without it does not start, and says so: it would be a broker without a rack."
        ),
        "PEERBOOT_KAFKA_RACK_FILE": f"{LABELS_DIR}/labels",
        "PEERBOOT_KAFKA_RACK_LABEL": o.rack_label,
    }
    source = {"downwardAPI": {"items": [Row(path="labels", fieldRef=Row(fieldPath="metadata.labels"))]}}
    if o.rack_label in COPIED:
        say = (
            f"before Kubernetes 1.35 no Pod has the label {o.rack_label} by itself, and a broker without it does not "
            "start: there drop --rack-label, and let an init container before peerboot write the zone of its node into "
            "the file of PEERBOOT_KAFKA_RACK_FILE"
        )
    else:
        say = (
            f"no Pod has the label {o.rack_label} by itself (Kubernetes 1.35 copies {' and '.join(COPIED)} from the "
            "node, no others), in the template it would be the same for all, and a broker without it does not start: "
            "something of yours has to set it on each Pod when that is made"
        )
    return More(env, (Mount("labels", LABELS_DIR, source, "The Pod's own labels."),), notes=(say,))


def _base(o: Options) -> More:
    env = {
        **why("Your own properties; one that peerboot has to own, or that endangers data, is named and refused."),
        "PEERBOOT_BASE_CONFIG_FILE": f"{BASE_DIR}/{BASE_FILE}",
    }
    source = {"configMap": Row(name=o.base_config)}
    where = f" --namespace {o.namespace}" if o.namespace else ""
    need = Need(
        f"the ConfigMap {o.base_config} has your properties under the key {BASE_FILE}",
        f"kubectl create configmap {o.base_config}{where} --from-file={BASE_FILE}",
    )
    say = "Yours to change; a Pod takes it at its next start." + (
        " Controllers and brokers both have it, and each takes what is for it." if o.among else ""
    )
    return More(env, (Mount("base", BASE_DIR, source, say),), (need,))


# ----------------------------------------------------------------- listeners


LISTENERS_COMMENT = why(
    "Further ones for clients. Each broker tells them its own host and port, which have to lead to that very Pod: for "
    "clients outside a Service for each, with the selector statefulset.kubernetes.io/pod-name, is yours to make."
)


def _checked(env: Tree, o: Options) -> tuple[Listener, ...]:
    """The further listeners, as peerboot in the Pod will read them."""
    told = {key: value for key, value in env.items() if key.startswith("PEERBOOT_KAFKA_")}
    pod = {"POD_NAME": "kafka-0", "POD_NAMESPACE": "shop", "PEERBOOT_SERVICE": "kafka-peers"}
    own = {"PEERBOOT_SYSTEM": "kafka", "PEERBOOT_CENSUS_AUTH": "none", "PEERBOOT_REPLICAS": str(o.replicas)}
    me = Identity(
        namespace="shop",
        service="kafka-peers",
        statefulset="kafka",
        pod="kafka-0",
        ordinal=0,
        system="kafka",
        domain="cluster.local",
        replicas=o.replicas,
    )
    try:
        settings = read({**told, **pod, **own}, systems={"kafka": SETTINGS})
        # What only the Secret knows is not known here.
        found = config.prepare(settings, me, {}, Material(users={USER: USER})).security.extra
    except SettingsError as error:
        text = str(error)
        for setting, option in OPTION_OF.items():
            text = text.replace(setting, option)
        raise SettingsError(text) from None
    for one in found:
        host, _ = one.advertised(me, me.pod)
        if len(host) > MOST_HOST or not HOST.fullmatch(host):
            raise SettingsError(
                f"--listener: clients of {one.name} would be told the host {shown(host)}, which is no name that DNS "
                "or a certificate can have: use letters, digits, hyphens and dots"
            )
    return found


def _clients_of(found: tuple[Listener, ...], o: Options) -> Iterator[str]:
    """What clients of each further listener are told, and which door it opens in a set that is otherwise closed."""
    for one in found:
        if one.host == DEFAULT_HOST:
            yield (
                f"clients of {one.name} are told each Pod's own name in the cluster and port {one.shown_port}: for "
                "those outside, which cannot look it up, add a HOST to --listener"
            )
        else:
            yield (
                f"clients of {one.name} are told {one.host}:{one.shown_port}: make a Service for each Pod that leads "
                f"from there to its port {one.port}, by the selector statefulset.kubernetes.io/pod-name"
            )
        if (o.tls_secret or o.users_secret) and not one.protocol.startswith("SASL"):
            yield (
                f"{one.name} is {one.protocol} and does not ask clients who they are, unlike the set's own listeners: "
                f"whoever reaches port {one.port} may do everything, unless an authorizer forbids it to User:ANONYMOUS"
            )
        if o.tls_secret and not one.protocol.endswith("SSL"):
            yield f"{one.name} is {one.protocol}: all that its clients send goes over the network as it is"


def _from_clients(server: Server, o: Options, found: tuple[Listener, ...]) -> str:
    """The comment is about what is open: SSL without a login asks only at the cluster's own listeners who is there."""
    unasked = [one.name for one in found if not one.protocol.startswith("SASL")]
    if unasked and (o.tls_secret or o.users_secret):
        return f"Clients from anywhere. {', '.join(unasked)} asks nobody for a password, so name yours where you can:"
    if o.tls_secret or o.users_secret:
        who = "log in" if o.users_secret else "show a certificate"
        return f"Clients from anywhere: they have to {who}. Name yours all the same, where you can:"
    return server.from_clients
