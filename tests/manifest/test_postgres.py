"""What a person chooses for Postgres, what the image's tag says, and what is told of it."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from peerboot import cli, identity
from peerboot.outside import yaml
from peerboot.settings import read
from peerboot.systems.postgres import choices, config
from peerboot.systems.postgres.manifest import SERVER
from peerboot.systems.postgres.settings import SETTINGS
from tests.manifest.parsed import POSTGRES_NAMES, env, mounts, probes, variant
from tests.shape import pages
from tools import manifests

IMAGES = ("--image", "registry.example/peerboot:1", "--server-image", "registry.example/postgres:17.10")
CHOSEN = {
    "PEERBOOT_POSTGRES_TLS_DIR": "/etc/postgres-tls",
    "PEERBOOT_BASE_CONFIG_FILE": "/etc/postgres-base/postgresql.conf",
    "PEERBOOT_POSTGRES_PROMOTE": "best-when-full",
    "PEERBOOT_POSTGRES_SYNCHRONOUS": "1",
}
TAGS = {
    "postgres:17.10": 17,
    "postgres:17": 17,
    "postgres:18.4-alpine3.23": 18,
    "registry.example:5000/library/postgres:v16.2-bookworm": 16,
    "postgres:19beta1": 19,
    "postgres:15.13@sha256:" + "0" * 64: 15,
    "postgis/postgis:17-3.5": 17,
    "pgvector/pgvector:pg17": 17,
    "pgvector/pgvector:0.8.0-pg18-trixie": 18,
    "timescale/timescaledb:2.22.1-pg17": 17,
    "postgres": None,
    "postgres:latest": None,
    "postgres:alpine": None,
    "registry.example:5432/postgres": None,
    "team/our-postgres:17": None,
    "postgres@sha256:" + "0" * 64: None,
}


@pytest.mark.parametrize(("image", "release"), TAGS.items(), ids=TAGS.keys())
def test_a_tag_that_is_a_release(image: str, release: int | None) -> None:
    """Of the official image and of those made from it, whose tags say which Postgres it is; any other says nothing."""
    assert choices.release(image) == release


@pytest.mark.parametrize(
    ("image", "user", "volume", "data_dir"),
    [
        ("postgres:17.10", 999, "/var/lib/postgresql/data", "/var/lib/postgresql/data/pgdata"),
        ("postgres:17.10-alpine3.23", 70, "/var/lib/postgresql/data", "/var/lib/postgresql/data/pgdata"),
        ("postgres:18.4", 999, "/var/lib/postgresql", "/var/lib/postgresql/18/docker"),
        ("postgres:19beta1-alpine", 70, "/var/lib/postgresql", "/var/lib/postgresql/19/docker"),
        ("team/our-postgres:3", 999, "/var/lib/postgresql/data", "/var/lib/postgresql/data/pgdata"),
    ],
    ids=["17", "17 on Alpine", "18", "newer, on Alpine", "not known"],
)
def test_user_and_places_are_the_images(image: str, user: int, volume: str, data_dir: str) -> None:
    """By its tag; the data lies below the mount, for a mount's root may have lost+found, and is not private."""
    chosen, server, _ = manifests.make("--server-image", image, system="postgres")
    found = choices.adapted(server, chosen)
    assert (found.user, found.volume, found.data_dir) == (user, volume, data_dir)
    assert {"name": "PGDATA", "value": data_dir} in found.container["env"]


@pytest.mark.parametrize("name", POSTGRES_NAMES)
def test_each_sees_its_own_password_alone(name: str) -> None:
    """One Secret: peerboot mounts the key of its role, the server that of the superuser, and neither the other's."""
    found = variant(name)
    secret = "pg-logins" if name == "postgres-chosen" else f"{found.options.name}-users"
    there = {v["name"]: v["secret"] for v in found.pod["volumes"] if "secret" in v}
    for volume, key in (("users", "peerboot"), ("superuser", "postgres")):
        assert there[volume] == {
            "secretName": secret, "items": [{"key": key, "path": key}], "defaultMode": 0o440,
        }  # fmt: skip
    for program in found.programs:
        assert ("superuser" in mounts(program), mounts(program)["users"]) == (False, "/etc/postgres-users")
        assert env(program)["PEERBOOT_POSTGRES_PASSWORD_FILE"] == "/etc/postgres-users/peerboot"
    own = {var["name"]: var["value"] for var in found.server["env"]}
    assert ("users" in mounts(found.server), own["POSTGRES_PASSWORD_FILE"]) == (
        False,
        f"{mounts(found.server)['superuser']}/postgres",
    )


def test_what_was_chosen_is_set_and_mounted() -> None:
    """Every choice is a setting, whose files peerboot's container mounts, read only, and the server's does not."""
    found, plain = variant("postgres-chosen"), variant("postgres.yaml")
    [program] = found.programs
    assert {key: value for key, value in env(program).items() if key not in env(plain.programs[0])} == CHOSEN
    [without] = plain.programs
    more = {name: path for name, path in mounts(program).items() if name not in mounts(without)}
    assert more == {"tls": "/etc/postgres-tls", "base": "/etc/postgres-base"}
    assert [m["name"] for m in program["volumeMounts"] if m["name"] in more and not m.get("readOnly")] == []
    assert set(mounts(found.server)) & set(more) == set()
    there = {v["name"]: {key: value for key, value in v.items() if key != "name"} for v in found.pod["volumes"]}
    assert {name: there[name] for name in more} == {
        "tls": {"secret": {"secretName": "postgres-tls", "defaultMode": 0o440}},
        "base": {"configMap": {"name": "postgres-base"}},
    }


def test_peerboot_takes_what_was_chosen() -> None:
    """From the environment of the manifest peerboot makes a peerboot.conf with these hosts, for this Pod."""
    [program] = variant("postgres-chosen").programs
    plain = {key: value for key, value in env(program).items() if not key.startswith("POD_")}
    pod = {"POD_NAME": "postgres-1", "POD_NAMESPACE": "shop", "PEERBOOT_CLUSTER_DOMAIN": "cluster.local"}
    settings = read(plain | pod, systems={"postgres": SETTINGS})
    made = config.prepare(settings, identity.derive(settings, "", ""), {}, "password")
    text = made.conf(synchronous=("postgres-0", "postgres-2"))
    assert 'synchronous_standby_names = \'ANY 1 ("postgres_0","postgres_2")\'' in text
    assert "host=postgres-0.postgres-peers.shop.svc.cluster.local,postgres-1." in text
    assert made.promote == "best-when-full"


@pytest.mark.parametrize("name", POSTGRES_NAMES)
def test_what_kills_postgres_needs_no_role_and_ends_no_wait(name: str) -> None:
    """Both ask whether the port takes connections, which it does during recovery and in any role; before it is open
    nothing ends the container, which waits for its permit and copies a database of any size.
    """
    asked = {
        probe: (spec["tcpSocket"]["port"], spec["failureThreshold"] * spec["periodSeconds"])
        for probe, spec in probes(variant(name).server).items()
        if probe != "readinessProbe"
    }
    assert asked == {"startupProbe": ("postgres", 2 * (2**31 - 1)), "livenessProbe": ("postgres", 120)}


@pytest.mark.parametrize("name", POSTGRES_NAMES)
def test_what_the_server_writes_beside_its_data_is_scratch(name: str) -> None:
    """Its root file system cannot be written, so its socket, shared memory and /tmp are emptyDirs with a limit."""
    found = variant(name)
    volumes = {v["name"]: v for v in found.pod["volumes"]}
    paths = mounts(found.server)
    for volume, path in (("sockets", "/var/run/postgresql"), ("shared", "/dev/shm"), ("tmp", "/tmp")):  # noqa: S108
        assert (paths[volume], "sizeLimit" in volumes[volume]["emptyDir"]) == (path, True)
    assert found.pod["terminationGracePeriodSeconds"] == 120


def test_the_port_is_the_one_that_postgres_listens_on() -> None:
    """The manifest's port is the default of the setting, which the environment leaves alone."""
    defaults = {row.name: row.default for row in SETTINGS}
    assert variant("postgres.yaml").ports("clients") == [("postgres", int(str(defaults["PEERBOOT_POSTGRES_PORT"])))]


WRONG = {
    "passwords' Secret": (["--users-secret", "a b"], "--users-secret='a b' is not a name of a Secret"),
    "TLS's Secret": (["--tls-secret", "TLS"], "--tls-secret='TLS' is not a name of a Secret"),
    "TLS's Secret that is the passwords'": (
        ["--tls-secret", "postgres-users"],
        "--tls-secret=postgres-users is the Secret of the passwords: use one of its own",
    ),
    "the census key's Secret for passwords": (
        ["--users-secret", "postgres-census"],
        "--users-secret=postgres-census is the Secret of the key that Pods sign with: use one of its own",
    ),
    "ConfigMap": (["--base-config", "my_base"], "--base-config='my_base' is not a name of a ConfigMap"),
    "policy": (
        ["--promote", "always"],
        "--promote='always' is not known: use last-primary or best-when-full or manual",
    ),
    "policy that is empty": (["--promote", ""], "--promote='' is empty: write its value, or drop it if you mean none"),
    "standbys below none": (["--synchronous", "-1"], "--synchronous='-1' is out of range: write a number from 0 to 8"),
    "more standbys than there are": (
        ["--synchronous", "3"],
        (
            "--synchronous=3 asks for more standbys than the 3 pods of --replicas leave beside the primary: commits "
            "would wait for ever; lower it"
        ),
    ),
    "a standby of one": (
        ["--replicas", "1", "--synchronous", "1"],
        (
            "--synchronous=1 asks for more standbys than the 1 pods of --replicas leave beside the primary: commits "
            "would wait for ever; lower it"
        ),
    ),
    "one by one": (
        ["--ordered-ready"],
        (
            "--ordered-ready is not for postgres: its servers agree who takes the writes when all Pods are heard, and "
            "with OrderedReady one is made only when those before it are ready: drop it, all Pods are made at once"
        ),
    ),
    "split": (["--split"], "--split is not for postgres: all its servers are alike: drop it"),
    "listener": (
        ["--listener", "A:SSL:9094"],
        "--listener is not for postgres: its manifest has no such choice: drop it",
    ),
    "quorum": (["--quorum", "static"], "--quorum is not for postgres: its manifest has no such choice: drop it"),
    "Bitnami's": (
        ["--server-image", "bitnami/postgresql:17"],
        (
            "--server-image=bitnami/postgresql:17 is one of Bitnami's, which keep the server's configuration outside "
            "of the data directory, where no copy of it would have it, and whose own start deletes standby.signal, so "
            "that a second server would take writes: use the official one, as postgres:17.10"
        ),
    ),
    "a release before 15": (
        ["--server-image", "postgres:14.20"],
        "--server-image=postgres:14.20 is Postgres 14, which peerboot does not run: name one of 15 to 18",
    ),
}


@pytest.mark.parametrize(("args", "say"), WRONG.values(), ids=WRONG.keys())
def test_a_choice_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], say: str) -> None:
    """Exit 2, one line that names the option, nothing on stdout."""
    assert cli.main(["manifest", "postgres", *args]) == 2
    assert capsys.readouterr() == ("", f"peerboot: {say}\n")


@pytest.mark.parametrize("system", ["etcd", "kafka"])
@pytest.mark.parametrize("option", [("--promote", "manual"), ("--synchronous", "0")], ids=lambda option: option[0])
def test_other_systems_have_no_primary(
    capsys: pytest.CaptureFixture[str], system: str, option: tuple[str, str]
) -> None:
    """Who takes the writes is no choice there: exit 2, one line."""
    assert cli.main(["manifest", system, *option]) == 2
    assert capsys.readouterr().err == (
        f"peerboot: {option[0]} is not for {system}: its manifest has no such choice: drop it\n"
    )


def test_under_tls_clients_verify_the_names_of_the_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    """Long names, which the certificate has, and its authority."""
    assert cli.main(["manifest", "postgres", "--tls-secret", "t", "--namespace", "shop", "--replicas", "2"]) == 0
    hosts = ",".join(f"postgres-{n}.postgres-peers.shop.svc.cluster.local" for n in range(2))
    more = "target_session_attrs=read-write connect_timeout=3 sslmode=verify-full sslrootcert=ca.crt"
    assert f'"host={hosts} {more}"' in capsys.readouterr().err


HOSTS = "host=postgres-0.postgres-peers,postgres-1.postgres-peers,postgres-2.postgres-peers"
CLIENTS = (
    f'clients that write connect to "{HOSTS} target_session_attrs=read-write connect_timeout=3"; the Service '
    "postgres-read leads to any server that is ready"
)
SAID: dict[str, tuple[list[str], list[str]]] = {
    "nothing chosen": ([], [CLIENTS]),
    "an even number": (
        ["--replicas", "2"],
        [CLIENTS.replace(",postgres-2.postgres-peers", "")],
    ),
    "one": (
        ["--replicas", "1"],
        [
            "one Pod has no standby: what is lost with its disk is lost",
            CLIENTS.replace(HOSTS, "host=postgres-0.postgres-peers"),
        ],
    ),
    "all standbys": (
        ["--synchronous", "2"],
        ["all 2 standbys have to confirm each commit, so commits wait while any one restarts", CLIENTS],
    ),
    "an image that says nothing": (
        ["--server-image", "team/our-postgres:3"],
        [
            (
                "--server-image=team/our-postgres:3 does not say which release of Postgres it is: the volume is "
                "mounted as for 17 and before, which does for 18 too, and the user is 999, that of the official image "
                "on Debian"
            ),
            CLIENTS,
        ],
    ),
    "a newer one": (
        ["--server-image", "team/postgres:19"],
        [
            (
                "--server-image=team/postgres:19 is Postgres 19, newer than any that peerboot was run with (15 to 18): "
                "try it first with a set that you can do without"
            ),
            CLIENTS,
        ],
    ),
}


@pytest.mark.parametrize(("options", "said"), SAID.values(), ids=SAID.keys())
def test_what_is_told(capsys: pytest.CaptureFixture[str], options: list[str], said: list[str]) -> None:
    """How the passwords are made, how clients find the one that takes the writes, and what a choice brings; nothing of
    votes, for nobody votes.
    """
    assert cli.main(["manifest", "postgres", *IMAGES, *options]) == 0
    _census, users, *lines = capsys.readouterr().err.splitlines()
    assert users == (
        "peerboot: the Secret postgres-users has the passwords of the superuser postgres and of the role peerboot, by "
        'which standbys copy and peerboot asks: for user in postgres peerboot; do echo "$user=$(head -c 24 '
        '/dev/urandom | base64)"; done | kubectl create secret generic postgres-users --from-env-file=/dev/stdin'
    )
    assert lines == [f"peerboot: {line}" for line in said]


def test_the_help_has_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    """`peerboot manifest postgres --help` says what each of its choices is."""
    with pytest.raises(SystemExit) as end:
        cli.main(["manifest", "postgres", "--help"])
    own, _, example = capsys.readouterr().out.partition("\nFor postgres:\n")[2].partition("\n\nExample: ")
    assert (end.value.code, max(map(len, own.splitlines())) <= 100) == (0, True)
    assert re.findall(r"^  (--[a-z-]+)", own, re.MULTILINE) == list(SERVER.takes)
    assert example.startswith("peerboot manifest postgres ")


def _page() -> str:
    return (pages.ROOT / "examples/postgres/README.md").read_text()


def _shown() -> list[Any]:
    return [yaml.load(text) for text in pages.blocks(_page(), "yaml")]


@pytest.mark.parametrize("path", ["examples/postgres/README.md", "peerboot/systems/postgres/README.md"])
def test_the_commands_of_the_pages_are_taken(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each `peerboot manifest postgres` in a page prints objects; one of them has TLS and synchronous standbys."""
    text = (pages.ROOT / path).read_text().replace("REGISTRY", "registry.example").replace("TAG", "17.10")
    shown = [shlex.split(command.partition("|")[0]) for command, _ in pages.commands(text) if " manifest " in command]
    for words in shown:
        assert (words[:3], cli.main(words[1:])) == (["peerboot", "manifest", "postgres"], 0)
    assert [words for words in shown if {"--tls-secret", "--synchronous"} <= set(words)] != []
    assert "kind: StatefulSet" in capsys.readouterr().out


def test_the_certificate_of_the_page_has_the_names_that_are_asked_for() -> None:
    """cert-manager's Certificate has the names and usages that the command asks for, in the Secret that it names."""
    [certificate] = [one for one in _shown() if isinstance(one, dict)]
    chosen, server, _ = manifests.make("--namespace", "shop", "--tls-secret", "postgres-tls", system="postgres")
    [asked] = [need.what for need in choices.adapted(server, chosen).needs if "tls.crt" in need.what]
    names = {name.replace("cluster.local", "DOMAIN") for name in certificate["spec"]["dnsNames"]}
    assert names == set(re.findall(r"[*a-z.-]*postgres-[a-z]+\.shop\.svc\.DOMAIN", asked))
    assert (certificate["spec"]["secretName"], certificate["spec"]["usages"]) == (chosen.tls_secret, ["server auth"])


def test_the_first_start_files_of_the_page_have_their_places() -> None:
    """The page's patch fits the manifest: the server's container mounts a volume that it adds where the image looks."""
    [patch] = [one for one in _shown() if isinstance(one, list)]
    spec = variant("postgres.yaml").one("StatefulSet")["spec"]["template"]["spec"]
    volume, mount = ({"path": each["path"], **each["value"]} for each in patch)
    assert (volume["path"], mount["path"]) == (
        "/spec/template/spec/volumes/-",
        f"/spec/template/spec/containers/{spec['containers'].index(variant('postgres.yaml').server)}/volumeMounts/-",
    )
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/docker-entrypoint-initdb.d")
    assert volume["name"] not in {each["name"] for each in spec["volumes"]}


def test_the_role_of_the_page_has_the_rights_that_it_is_made_with() -> None:
    """For data from before peerboot the page has the statements by which a new cluster's role is made."""
    [shown] = pages.blocks(_page(), "sql")
    made, *grants = shown.splitlines()
    assert made == "CREATE ROLE peerboot LOGIN REPLICATION PASSWORD '…';"
    assert grants == [line.format(role=config.ROLE) for line in config.GRANTS]


def test_the_connection_string_of_the_page_is_the_manifests() -> None:
    """What the page tells clients is what the manifest's comment and the command tell them."""
    assert f"{HOSTS} target_session_attrs=read-write" in _page()
    assert f"#   {HOSTS} target_session_attrs=read-write connect_timeout=3\n" in variant("postgres.yaml").text
