"""What a person's choices, and the tag of the image, add to Postgres' manifest. Pure.

What becomes a setting is checked by the code that reads it in the Pod, so that no manifest is printed whose Pods would
end with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from peerboot.errors import SettingsError
from peerboot.manifest.options import Options
from peerboot.manifest.server import Mount, Need, Server
from peerboot.manifest.writer import Row, Tree, Why, why
from peerboot.model import Identity
from peerboot.settings import read
from peerboot.systems.postgres import config
from peerboot.systems.postgres.settings import SETTINGS

USERS_DIR, TLS_DIR, BASE_DIR, SUPERUSER_DIR = (
    "/etc/postgres-users", "/etc/postgres-tls", "/etc/postgres-base", "/etc/postgres-superuser",
)  # fmt: skip
BASE_FILE = "postgresql.conf"
"""The key of a ConfigMap with a person's own settings."""
SUPERUSER = "postgres"
RELEASES = range(15, 19)
"""Those that peerboot was run with."""
OFFICIAL = re.compile(r"v?([0-9]+)(?:\.[0-9]+)?(?:(?:alpha|beta|rc)[0-9]+)?(?:-.*)?")
"""A tag of docker.io/postgres, and of postgis/postgis: the release of Postgres comes first."""
DERIVED = re.compile(r"(?:.*[-_])?pg([0-9]+)(?:\.[0-9]+)?(?:[-_].*)?")
"""A tag of others that are made from it, as ``pg17``, ``0.8.0-pg17``."""
ALPINE = 70
"""UID and GID of the images on Alpine."""
OPTION_OF = {
    "PEERBOOT_POSTGRES_PROMOTE": "--promote",
    "PEERBOOT_POSTGRES_SYNCHRONOUS": "--synchronous",
    "PEERBOOT_REPLICAS": "--replicas",
}
"""What a person gives here in place of a setting, for errors that name it."""


def adapted(server: Server, o: Options) -> Server:
    """The server's part with all that was chosen; raises ``SettingsError``."""
    _not_bitnami(o.server_image, server.image)
    major = release(o.server_image)
    if major is not None and major < RELEASES[0]:
        raise SettingsError(
            f"--server-image={o.server_image} is Postgres {major}, which peerboot does not run: name one of "
            f"{RELEASES[0]} to {RELEASES[-1]}"
        )
    users = o.users_secret or f"{o.name}-users"
    if o.tls_secret == users:
        raise SettingsError(f"--tls-secret={users} is the Secret of the passwords: use one of its own")
    env: Tree = {"PEERBOOT_POSTGRES_PASSWORD_FILE": f"{USERS_DIR}/{config.ROLE}"}
    mounts, needs = [_role_password(users)], [_passwords(users, o)]
    if o.tls_secret:
        env = {
            **env,
            **why(
                "Connections between Pods are encrypted and verified. Choose it on the day that the set is made: Pods "
                "that have another one do not understand each other."
            ),
            "PEERBOOT_POSTGRES_TLS_DIR": TLS_DIR,
        }
        mounts.append(_tls(o))
        needs.append(_certificate(server, o))
    if o.base_config:
        env = {
            **env,
            **why("Your own settings; one that peerboot has to own, or that endangers data, is named and refused."),
            "PEERBOOT_BASE_CONFIG_FILE": f"{BASE_DIR}/{BASE_FILE}",
        }
        mounts.append(_base(o))
        needs.append(_own_settings(o))
    env = {**env, **_agreed(o)}
    _check(env, o)
    volume, data_dir = places(server, major)
    return replace(
        server,
        user=ALPINE if "alpine" in _tag(o.server_image) else server.user,
        volume=volume,
        data_dir=data_dir,
        env=env,
        tls_dir=TLS_DIR,
        mounts=tuple(mounts),
        own_mounts=(*server.own_mounts, _superuser_password(users)),
        needs=tuple(needs),
        clients=_readers(o),
        from_clients=_from_clients(o),
        notes=tuple(_notes(o, major)),
        container={
            **server.container,
            "env": [
                *server.container["env"],
                Why("For tools that are run here by hand."),
                Row(name="PGDATA", value=data_dir),
            ],
        },
    )


# ----------------------------------------------------------------- the image


def _tag(image: str) -> str:
    name, _, tag = image.partition("@")[0].rpartition(":")
    return tag if name and "/" not in tag else ""


def release(image: str) -> int | None:
    """The major release that an image's tag names; None where it names none."""
    name, tag = image.partition("@")[0].removesuffix(f":{_tag(image)}").rpartition("/")[2], _tag(image)
    found = OFFICIAL.fullmatch(tag) if name in ("postgres", "postgis") else None
    found = found or DERIVED.fullmatch(tag)
    return int(found[1]) if found else None


def places(server: Server, major: int | None) -> tuple[str, str]:
    """Where the volume is mounted, and the data directory: as the image has them, which changed with 18."""
    if major is None or major < 18:
        return server.volume, server.data_dir
    volume = server.volume.rpartition("/")[0]
    return volume, f"{volume}/{major}/docker"


def _not_bitnami(image: str, official: str) -> None:
    if "bitnami" in image:
        raise SettingsError(
            f"--server-image={image} is one of Bitnami's, which keep the server's configuration outside of the data "
            "directory, where no copy of it would have it, and whose own start deletes standby.signal, so that a "
            f"second server would take writes: use the official one, as {official}"
        )


# --------------------------------------------------------------- the choices


def _passwords(users: str, o: Options) -> Need:
    return Need(
        f"the Secret {users} has the passwords of the superuser {SUPERUSER} and of the role {config.ROLE}, by which "
        "standbys copy and peerboot asks",
        f'for user in {SUPERUSER} {config.ROLE}; do echo "$user=$(head -c 24 /dev/urandom | base64)"; done | kubectl '
        f"create secret generic {users}{o.in_namespace} --from-env-file=/dev/stdin",
    )


def _one_key(users: str, key: str) -> Tree:
    return {"secret": {"secretName": users, "items": [Row(key=key, path=key)], "defaultMode": 0o440}}


def _role_password(users: str) -> Mount:
    say = (
        f"The password of the role {config.ROLE}, which may copy everything and promote, and change no row. It is told "
        "to the server when the cluster is made; another one has to be told to it too (ALTER ROLE)."
    )
    return Mount("users", USERS_DIR, _one_key(users, config.ROLE), say)


def _superuser_password(users: str) -> Mount:
    say = "The superuser's password, for the first start alone; peerboot does not see it."
    return Mount("superuser", SUPERUSER_DIR, _one_key(users, SUPERUSER), say)


def _tls(o: Options) -> Mount:
    say = (
        "tls.crt, tls.key and ca.crt, as cert-manager makes them. peerboot writes them for the server, in its memory, "
        "and has it load a renewed one."
    )
    return Mount("tls", TLS_DIR, {"secret": Row(secretName=o.tls_secret, defaultMode=0o440)}, say)


def _certificate(server: Server, o: Options) -> Need:
    zone = f"{o.namespace or 'NAMESPACE'}.svc.DOMAIN"
    client = " and client auth" if o.by_tls else ""
    return Need(
        f"the Secret {o.tls_secret} has tls.crt, tls.key and ca.crt, for server auth{client}; its names are "
        f"*.{o.peers}.{zone}, and for readers {o.name}{server.client_suffix}.{zone} (DOMAIN: as cluster.local)"
    )


def _base(o: Options) -> Mount:
    say = "Yours to change; a Pod takes it at its next start."
    return Mount("base", BASE_DIR, {"configMap": Row(name=o.base_config)}, say)


def _own_settings(o: Options) -> Need:
    return Need(
        f"the ConfigMap {o.base_config} has your settings under the key {BASE_FILE}",
        f"kubectl create configmap {o.base_config}{o.in_namespace} --from-file={BASE_FILE}",
    )


def _agreed(o: Options) -> Tree:
    """The settings of who takes the writes and who confirms them."""
    env: Tree = {}
    if o.promote:
        env = {"PEERBOOT_POSTGRES_PROMOTE": o.promote}
    if o.synchronous is not None:
        env = {
            **env,
            **why(
                "So many standbys have a transaction on disk before its commit returns. While fewer are there, commits "
                "wait."
            ),
            "PEERBOOT_POSTGRES_SYNCHRONOUS": str(o.synchronous),
        }
    return env


def _check(env: Tree, o: Options) -> None:
    """As peerboot in the Pod will read them."""
    told = {key: value for key, value in env.items() if not isinstance(key, Why)}
    pod = {"POD_NAME": f"{o.name}-0", "POD_NAMESPACE": o.namespace or "shop", "PEERBOOT_SERVICE": o.peers}
    own = {"PEERBOOT_SYSTEM": "postgres", "PEERBOOT_CENSUS_AUTH": "none", "PEERBOOT_REPLICAS": str(o.replicas)}
    me = Identity(
        namespace=pod["POD_NAMESPACE"],
        service=o.peers,
        statefulset=o.name,
        pod=pod["POD_NAME"],
        ordinal=0,
        system="postgres",
        domain="cluster.local",
        replicas=o.replicas,
    )
    try:
        # The password is in the Secret, and not known here.
        config.prepare(read({**told, **pod, **own}, systems={"postgres": SETTINGS}), me, {}, "password")
    except SettingsError as error:
        text = str(error)
        for setting, option in OPTION_OF.items():
            text = text.replace(setting, option)
        raise SettingsError(text) from None


# ------------------------------------------------------------------- clients


def _connection(o: Options) -> str:
    """How clients that write find the server. Under TLS by the names that the certificate has."""
    more = f".{o.namespace or 'NAMESPACE'}.svc.cluster.local" if o.tls_secret else ""
    hosts = ",".join(f"{o.name}-{ordinal}.{o.peers}{more}" for ordinal in range(o.replicas))
    tls = " sslmode=verify-full sslrootcert=ca.crt" if o.tls_secret else ""
    return f"host={hosts} target_session_attrs=read-write connect_timeout=3{tls}"


def _readers(o: Options) -> str:
    return (
        "For readers: {name}:{port} leads to any server that is ready, to that which takes the writes too. A Service "
        "chooses by readiness, and cannot lead to that one alone. So clients that write name all Pods, and the driver "
        f"finds it:\n  {_connection(o)}"
    )


def _from_clients(o: Options) -> str:
    how = "a password, and TLS where they ask for it" if o.tls_secret else "a password"
    return (
        f"Clients from anywhere: the server asks them for {how}. At the second port peerboot tells load balancers "
        "which server takes the writes. Name yours all the same, where you can:"
    )


def _notes(o: Options, major: int | None) -> Iterator[str]:
    if major is None:
        yield (
            f"--server-image={o.server_image} does not say which release of Postgres it is: the volume is mounted as "
            "for 17 and before, which does for 18 too, and the user is 999, that of the official image on Debian"
        )
    elif major not in RELEASES:
        yield (
            f"--server-image={o.server_image} is Postgres {major}, newer than any that peerboot was run with "
            f"({RELEASES[0]} to {RELEASES[-1]}): try it first with a set that you can do without"
        )
    if o.replicas == 1:
        yield "one Pod has no standby: what is lost with its disk is lost"
    elif o.synchronous == o.replicas - 1:
        yield f"all {o.synchronous} standbys have to confirm each commit, so commits wait while any one restarts"
    yield (
        f'clients that write connect to "{_connection(o)}"; the Service {o.name}-read leads to any server that is ready'
    )
