"""What a person's choices and the image's release add to Kafka's manifest. Pure.

A listener is checked by the code that reads the setting, so that no manifest is printed whose Pods would end with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from peerboot.errors import SettingsError
from peerboot.manifest.options import Options
from peerboot.manifest.server import Mount, Port, Server
from peerboot.manifest.writer import Row, Tree, why
from peerboot.model import Identity
from peerboot.settings import read
from peerboot.systems.kafka import config
from peerboot.systems.kafka.listeners import Listener
from peerboot.systems.kafka.security import Material
from peerboot.systems.kafka.settings import DEFAULT_HOST, SETTINGS

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
LEAST, LEAST_DYNAMIC, LEAST_COMPLETE = (3, 7), (3, 9), (4, 0)
NUMBERED = {"kafka": {3: 3, 4: 4}, "cp-kafka": {7: 3, 8: 4}}
"""Images whose tags begin with a release: its first number to that of Kafka's. Confluent's 7.9 is Kafka 3.9."""


def adapted(server: Server, o: Options) -> Server:
    """The server's part of one StatefulSet with all that was chosen; raises ``SettingsError``."""
    env, mounts, notes = _release(o)
    broker = server.env.get("PEERBOOT_KAFKA_ROLES") != "controller"
    for more in (_secured(o), _labels(o) if broker else None, _base(o)):
        if more is not None:
            env, mounts, notes = {**env, **more[0]}, (*mounts, *more[1]), (*notes, *more[2])
    env = {**server.env, **env}
    found: tuple[Listener, ...] = ()
    if broker and o.listeners:
        env = {**env, **LISTENERS_COMMENT, "PEERBOOT_KAFKA_LISTENERS": ",".join(o.listeners)}
        found = _checked(env, o)
    return replace(
        server,
        env=env,
        mounts=mounts,
        notes=(*notes, *_outside(found)),
        ports=(*server.ports, *(Port(f"client-{one.port}", one.port, "clients") for one in found)),
        from_clients=_from_clients(server, o, found),
    )


More = tuple[Tree, tuple[Mount, ...], tuple[str, ...]]
"""Settings, mounts, and what to tell a person."""

# --------------------------------------------------------------- the release


def release(image: str) -> tuple[int, int] | None:
    """Kafka's release by an image's tag; None where the tag says nothing that is understood."""
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    found = re.match(r"v?(\d{1,3})\.(\d{1,3})(?=[.-]|$)", tag)
    first = NUMBERED.get(name, {}).get(int(found[1])) if found else None
    return (first, int(found[2])) if found and first is not None else None


def _release(o: Options) -> More:
    found = release(o.server_image)
    if found is None or found >= LEAST_COMPLETE:
        return {}, (), ()
    is_kafka = f"--server-image={o.server_image} is Kafka {found[0]}.{found[1]}"
    if found < LEAST:
        raise SettingsError(f"{is_kafka}, which peerboot does not run: name one of 3.7 to 4.3")
    if found >= LEAST_DYNAMIC:
        say = (
            f"{is_kafka}, the first release whose voters can be replaced (KIP-853), and its command that makes a "
            "static quorum a dynamic one does not do so: prefer 4.1 or later"
        )
        return {}, (), (say,)
    if o.split:
        raise SettingsError(
            f"{is_kafka}, which has static quorums only, and brokers of a set of their own run beside a dynamic one: "
            "drop --split, or name 3.9 or later"
        )
    env = {
        **why(
            "The image's release has static quorums only: no controller can be added or removed. Change it to `static` "
            "when you go to 3.9 or later; from 4.1 on `peerboot kafka migrate` makes it a dynamic one."
        ),
        "PEERBOOT_KAFKA_QUORUM": "static-3.8",
    }
    say = (
        f"{is_kafka}, which has static quorums only: PEERBOOT_KAFKA_QUORUM=static-3.8 is set, and no controller can be "
        "added or removed; prefer 4.1 or later"
    )
    return env, (), (say,)


# ------------------------------------------------------------ TLS and logins


def _secured(o: Options) -> More | None:
    if not (o.tls_secret or o.users_secret):
        return None
    protocol = ("SASL_SSL" if o.tls_secret else "SASL_PLAINTEXT") if o.users_secret else "SSL"
    env: Tree = {
        **why(
            "Of controllers and brokers among themselves, and of clients at the port 9092. Choose it on the day that "
            "the set is made: Pods that have another one do not understand each other."
        ),
        "PEERBOOT_KAFKA_SECURITY": protocol,
    }
    mounts: list[Mount] = []
    notes: list[str] = []
    if o.tls_secret:
        env = {**env, "PEERBOOT_KAFKA_TLS_DIR": TLS_DIR}
        mounts.append(_tls(o))
        notes.append(_certificate(o))
    if o.users_secret:
        env = {**env, "PEERBOOT_KAFKA_USERS_DIR": USERS_DIR}
        mounts.append(_users(o))
        notes += _logins(o)
    return env, tuple(mounts), tuple(notes)


def _tls(o: Options) -> Mount:
    say = (
        "tls.crt, tls.key and ca.crt, as cert-manager makes them. peerboot writes them for the server, in its memory; "
        "a renewed one takes effect when the server is restarted."
    )
    return Mount("tls", TLS_DIR, {"secret": Row(secretName=o.tls_secret, defaultMode=0o440)}, say)


def _users(o: Options) -> Mount:
    say = f"A password under each user's name; controllers and brokers log in to each other as `{USER}`."
    return Mount("users", USERS_DIR, {"secret": Row(secretName=o.users_secret, defaultMode=0o440)}, say)


def _certificate(o: Options) -> str:
    """The names under which controllers and brokers of all sets are found, and clients begin."""
    others = (*o.among.asked_by, *(name for name, _ in o.among.asks)) if o.among else ()
    zone = f"{o.namespace or 'NAMESPACE'}.svc.DOMAIN"
    peers = [f"{name}-peers.{zone}" for name in sorted({o.name, *others})]
    names = ", ".join(f"*.{name}, {name}" for name in peers)
    begin = f"{o.among.name if o.among else o.name}.{zone}"
    return (
        f"the Secret {o.tls_secret} has tls.crt, tls.key and ca.crt, for server auth and client auth; its names are "
        f"{names}, what clients begin with ({begin}), and every host of a --listener (DOMAIN: as cluster.local)"
    )


def _logins(o: Options) -> Iterator[str]:
    where = f" --namespace {o.namespace}" if o.namespace else ""
    yield (
        f"the Secret {o.users_secret} has a password under each user's name, and {USER} is one: head -c 24 "
        f"/dev/urandom | base64 | kubectl create secret generic {o.users_secret}{where} --from-file={USER}=/dev/stdin"
    )
    if not o.tls_secret:
        yield "without --tls-secret passwords and records go over the network as they are"


# ------------------------------------------------------- rack, own properties


def _labels(o: Options) -> More | None:
    if not o.rack_label:
        return None
    env = {
        **why(
            "The broker's rack is a label of its Pod, which Kubernetes 1.35 copies from the node where it is the zone "
            "or the region. A Pod without it does not start, and says so: it would be a broker without a rack."
        ),
        "PEERBOOT_KAFKA_RACK_FILE": f"{LABELS_DIR}/labels",
        "PEERBOOT_KAFKA_RACK_LABEL": o.rack_label,
    }
    source = {"downwardAPI": {"items": [Row(path="labels", fieldRef=Row(fieldPath="metadata.labels"))]}}
    say = (
        f"before Kubernetes 1.35 no Pod has the label {o.rack_label} by itself, and a broker without it does not start"
    )
    return env, (Mount("labels", LABELS_DIR, source, "The Pod's own labels."),), (say,)


def _base(o: Options) -> More | None:
    if not o.base_config:
        return None
    env = {
        **why("Your own properties; one that peerboot has to own, or that endangers data, is named and refused."),
        "PEERBOOT_BASE_CONFIG_FILE": f"{BASE_DIR}/{BASE_FILE}",
    }
    source = {"configMap": Row(name=o.base_config)}
    where = f" --namespace {o.namespace}" if o.namespace else ""
    say = (
        f"the ConfigMap {o.base_config} has your properties under the key {BASE_FILE}: kubectl create configmap "
        f"{o.base_config}{where} --from-file={BASE_FILE}"
    )
    return env, (Mount("base", BASE_DIR, source, "Yours to change; a Pod takes it at its next start."),), (say,)


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
        return config.prepare(settings, me, {}, Material(users={USER: USER})).security.extra
    except SettingsError as error:
        text = str(error)
        for setting, option in OPTION_OF.items():
            text = text.replace(setting, option)
        raise SettingsError(text) from None


def _outside(found: tuple[Listener, ...]) -> Iterator[str]:
    for one in found:
        if one.host != DEFAULT_HOST:
            yield (
                f"clients of {one.name} are told {one.host}:{one.shown_port}: make a Service for each Pod that leads "
                f"from there to its port {one.port}, by the selector statefulset.kubernetes.io/pod-name"
            )


def _from_clients(server: Server, o: Options, found: tuple[Listener, ...]) -> str:
    """The comment is about what is open: SSL without a login asks only at the cluster's own listeners who is there."""
    unasked = [one.name for one in found if not one.protocol.startswith("SASL")]
    if unasked and (o.tls_secret or o.users_secret):
        return f"Clients from anywhere. {', '.join(unasked)} asks nobody for a password, so name yours where you can:"
    if o.tls_secret or o.users_secret:
        who = "log in" if o.users_secret else "show a certificate"
        return f"Clients from anywhere: they have to {who}. Name yours all the same, where you can:"
    return server.from_clients
