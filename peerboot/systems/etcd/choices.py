"""What a person's choices add to etcd's manifest. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from peerboot.errors import SettingsError
from peerboot.manifest.options import Options
from peerboot.manifest.server import Mount, Need, Server
from peerboot.manifest.takeover import Taken
from peerboot.manifest.writer import Row, Tree, why
from peerboot.systems.etcd.baseconfig import ALLOWED
from peerboot.systems.etcd.probes import SECURED_ORDERED, SECURED_PARALLEL

TLS_DIR, USERS_DIR, BASE_DIR = "/etc/etcd-tls", "/etc/etcd-users", "/etc/etcd-base"
BASE_FILE = "etcd.yaml"
ASKS = (
    "etcd asks for passwords, of every client, once you have said so (`etcdctl user add root`, `etcdctl auth enable`); "
    "peerboot logs in from then on"
)
ROOT_PASSWORD = "ETCD_ROOT_PASSWORD"  # noqa: S105 - the name of a variable, of the Bitnami chart
QUOTA = "quota-backend-bytes"
ROOT = "root"
"""The key of the Secret with etcd's passwords: the user who changes members."""


def adapted(server: Server, o: Options) -> Server:
    """The server's part with all that was chosen; raises ``SettingsError``."""
    env: Tree = dict(server.env)
    mounts: tuple[Mount, ...] = ()
    own: tuple[Mount, ...] = ()
    needs: tuple[Need, ...] = ()
    notes: tuple[str, ...] = ()
    if release := _release(o.server_image or server.image):
        env = {
            **env,
            **why("Of etcd's image, and changed with it: a release that its cluster could not bear is refused."),
            "PEERBOOT_ETCD_VERSION": release,
        }
    if o.tls_secret:
        env = {
            **env,
            **why(
                "Members and clients are encrypted, and verified both ways. A set that runs without gets it by a "
                "rolling update."
            ),
            "PEERBOOT_ETCD_PEER_TLS_DIR": TLS_DIR,
            "PEERBOOT_ETCD_CLIENT_TLS_DIR": TLS_DIR,
        }
        mounts = own = (_tls(o),)
        needs = (_issuer(o) if o.tls else _certificate(o),)
        server = replace(
            server,
            parallel=SECURED_PARALLEL,
            ordered=SECURED_ORDERED,
            clients=(
                f"For clients, who show a certificate of the same CA: https://{{name}}.{_zone(o)}:{{port}} leads to "
                "Pods that are ready. No shorter name is in the certificate."
            ),
            from_clients=(
                "Clients from anywhere: they have to show a certificate"
                + (", and to log in once etcd asks for it" if o.users_secret else "")
                + ". Name yours all the same, where you can:"
            ),
        )
    if o.users_secret:
        if not o.tls_secret and o.takes_over is not None:
            env = {
                **env,
                **why(
                    "It asks for passwords without TLS, so that every client sends its own over the network as it is."
                ),
                "PEERBOOT_ETCD_LOGIN_WITHOUT_TLS": "allowed",
            }
        elif not o.tls_secret:
            raise SettingsError(
                f"--users-secret={o.users_secret} without --tls-secret would send etcd's password over the network as "
                "it is: add --tls-secret NAME"
            )
        env = {**env, "PEERBOOT_ETCD_ROOT_PASSWORD_FILE": f"{USERS_DIR}/{ROOT}"}
        mounts, needs = (*mounts, _root(o)), (*needs, _password(o))
        notes = (ASKS,) if o.takes_over is None else ()
    if o.base_config:
        env = {
            **env,
            **why("Your own settings; one that peerboot has to own, or that endangers data, is named and refused."),
            "PEERBOOT_BASE_CONFIG_FILE": f"{BASE_DIR}/{BASE_FILE}",
        }
        mounts, needs = (*mounts, _base(o)), (*needs, _settings(o))
    if o.takes_over is not None:
        notes = (*notes, *_taken_over(o, o.takes_over.taken))
    more = (_made(o),) if o.tls else ()
    own = (*server.own_mounts, *own)
    return replace(server, env=env, tls_dir=TLS_DIR, mounts=mounts, own_mounts=own, needs=needs, notes=notes, more=more)


def _release(image: str) -> str:
    """``3.6`` of an image whose tag says so; empty for any other."""
    found = re.search(r":v?(3\.\d+)(?:[.-][\w.-]*)?$", image.partition("@")[0])
    return found[1] if found else ""


def _tls(o: Options) -> Mount:
    say = (
        "tls.crt, tls.key and ca.crt, as cert-manager makes them, at one path for peerboot and for etcd, which takes a "
        "renewed certificate at its next connection and another ca.crt at its next start."
    )
    return Mount("tls", TLS_DIR, {"secret": Row(secretName=o.tls_secret, defaultMode=0o440)}, say)


def _zone(o: Options) -> str:
    return f"{o.namespace or 'NAMESPACE'}.svc.{o.cluster_domain if o.tls else 'DOMAIN'}"


def _issuer(o: Options) -> Need:
    return Need(
        f"{_kind(o)[0]} {_kind(o)[1]} of cert-manager issues the certificate, and has a CA of its own (one of ACME has "
        "none, and without it the Secret has no ca.crt)"
    )


def _kind(o: Options) -> tuple[str, str]:
    kind, _, name = o.issuer.rpartition("/")
    return kind or "Issuer", name


def _made(o: Options) -> Tree:
    zone, (kind, name) = _zone(o), _kind(o)
    pods = [f"{o.name}-{ordinal}.{o.peers}.{zone}" for ordinal in range(o.replicas)]
    return {
        **why("Written into the Secret by cert-manager, and renewed there: etcd takes it without a restart."),
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": o.tls_secret},
        "spec": {
            "secretName": o.tls_secret,
            "issuerRef": Row(kind=kind, name=name),
            "privateKey": Row(algorithm="ECDSA", size=256, rotationPolicy="Always"),
            **why(
                "Members show it when they connect to each other, and etcd's gateway shows it to etcd itself"
                + (", and peerboot when it asks and when it is asked." if o.by_tls else ".")
            ),
            "usages": ["digital signature", "key encipherment", "server auth", "client auth"],
            **why(
                "No common name: once etcd asks for passwords its gateway refuses who has one. Each Pod by its name, "
                "for members let one in that has a wildcard only when DNS has a reverse name for its address; the "
                "wildcard is for Pods of a later scale-up until they are named here."
            ),
            "dnsNames": [*pods, f"*.{o.peers}.{zone}", f"{o.name}.{zone}"],
        },
    }


def _certificate(o: Options) -> Need:
    zone = _zone(o)
    pods = ", ".join(f"{o.name}-{ordinal}.{o.peers}.{zone}" for ordinal in range(o.replicas))
    return Need(
        f"the Secret {o.tls_secret} has tls.crt, tls.key and ca.crt, of an issuer with a CA of its own, for server "
        f"auth and client auth, without a common name; its names are {pods}, *.{o.peers}.{zone} for Pods of a later "
        f"scale-up, and for clients {o.name}.{zone} (DOMAIN: as cluster.local); or let cert-manager make "
        "it: --tls cert-manager"
    )


def _root(o: Options) -> Mount:
    source: Tree = {"secret": {"secretName": o.users_secret, "items": [Row(key=ROOT, path=ROOT)], "defaultMode": 0o440}}
    return Mount("users", USERS_DIR, source, "The password of etcd's user root, by which peerboot changes members.")


def _password(o: Options) -> Need:
    what = f"the Secret {o.users_secret} has the password of etcd's user root under the key {ROOT}"
    if o.takes_over is not None:
        secret = o.takes_over.taken.secrets.get(ROOT_PASSWORD)
        if secret is None:
            return Need(f"{what}, the one that etcd knows")
        return Need(
            what,
            f'kubectl get secret {secret[0]}{o.in_namespace} -o go-template=\'{{{{index .data "{secret[1]}" | '
            f"base64decode}}}}' | kubectl create secret generic {o.users_secret}{o.in_namespace} "
            f"--from-file={ROOT}=/dev/stdin",
        )
    return Need(
        what,
        f"head -c 24 /dev/urandom | base64 | kubectl create secret generic {o.users_secret}{o.in_namespace} "
        f"--from-file={ROOT}=/dev/stdin",
    )


def _base(o: Options) -> Mount:
    say = "Yours to change; a Pod takes it at its next start."
    return Mount("base", BASE_DIR, {"configMap": Row(name=o.base_config)}, say)


def _settings(o: Options) -> Need:
    return Need(
        f"the ConfigMap {o.base_config} has your settings of etcd, as its config file has them, under the key "
        f"{BASE_FILE}",
        f"kubectl create configmap {o.base_config}{o.in_namespace} --from-file={BASE_FILE}",
    )


# ---------------------------------------------------------------- taking over


def _taken_over(o: Options, taken: Taken) -> Iterator[str]:
    """What a person has to know of a set that was there; raises ``SettingsError`` for what would not go on."""
    if taken.has_tls and not o.tls_secret:
        raise SettingsError(
            f"--take-over: the servers of {taken.name} have TLS, and without it a changed one would not be let in: add "
            "--tls-secret NAME, a Secret with tls.crt, tls.key and ca.crt of the CA that they trust"
        )
    for which, port in (("client", "2379"), ("peer", "2380")):
        ports = _ports(taken, which)
        if ports and ports != [port]:
            raise SettingsError(
                f"--take-over: the servers of {taken.name} listen for {which}s on {', '.join(ports)}, and what is "
                f"printed on {port}: make the set by hand"
            )
    if (secret := taken.secrets.get(ROOT_PASSWORD)) and not o.users_secret:
        yield (
            f"its servers have a password for root, from the Secret {secret[0]}: where etcd asks for it (`etcdctl auth "
            "status`), add --users-secret NAME"
        )
    if taken.unread:
        yield (
            "its servers are told more in a file, or in variables that come from a ConfigMap or a Secret, which was "
            "not read: TLS, a log directory or settings there are yours to carry over"
        )
    if (found := sorted(filter(_is_carried, _settings_of(taken)))) and not o.base_config:
        yield (
            f"its servers have settings of their own, which are not carried over: {', '.join(found)}; put them "
            f"into a file {BASE_FILE}, as etcd's config file has them, and add --base-config CONFIGMAP"
        )
    if QUOTA in _settings_of(taken) and not (o.base_config or o.observes):
        raise SettingsError(
            f"--take-over: the servers of {taken.name} have a {QUOTA}, and without it a larger database would take no "
            f"writes: put it into a file {BASE_FILE}, as etcd's config file has it, and add --base-config CONFIGMAP"
        )
    if hidden := sorted(_settings_of(taken) & {"wal-dir"}):
        raise SettingsError(
            f"--take-over: the servers of {taken.name} have {hidden[0]}, which what is printed has not: make the set "
            "by hand"
        )


def _ports(taken: Taken, which: str) -> list[str]:
    """On which its container says that it listens, and can be reached."""
    text = "\n".join(taken.words).replace(f"_{which.upper()}_URLS=", f"-{which}-urls=")
    found = re.findall(rf"-{which}-urls[=\s\"']+(\S+)", text)
    return sorted({port for urls in found for port in re.findall(r":(\d{1,5})\b", urls)})


def _is_carried(name: str) -> bool:
    """Whether it may stand in a base config, and is no matter of peerboot's own."""
    return name in ALLOWED or name.startswith("experimental-")


def _settings_of(taken: Taken) -> set[str]:
    """Names of etcd's options that its container mentions, also within a script."""
    text = "\n".join(taken.words)
    named = re.findall(r"^ETCD_([A-Z0-9_]+)=", text, re.MULTILINE)
    return {*re.findall(r"(?<![\w-])--?([a-z][a-z0-9-]+)", text), *(name.lower().replace("_", "-") for name in named)}
