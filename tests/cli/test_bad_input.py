"""Every wrong, missing or contradictory setting: one line (what, why, what to do), exit 2, nothing written."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.cli.rig import KEY, Pod, Result

Changes = Mapping[str, str | None]

BY_ENVIRONMENT: dict[str, tuple[Changes, str]] = {
    "no system": ({"PEERBOOT_SYSTEM": None}, "PEERBOOT_SYSTEM is not set: set it to etcd, kafka or postgres"),
    "unknown system": ({"PEERBOOT_SYSTEM": "etdc"}, "PEERBOOT_SYSTEM='etdc' is not known: use etcd, kafka or postgres"),
    "system of a later release": (
        {"PEERBOOT_SYSTEM": "patroni"},
        "PEERBOOT_SYSTEM='patroni' comes with a later release: use etcd, kafka or postgres",
    ),
    "unknown mode": ({"PEERBOOT_MODE": "watch"}, "PEERBOOT_MODE='watch' is not known: use manage or observe"),
    "no pods": (
        {"PEERBOOT_REPLICAS": "0"},
        "PEERBOOT_REPLICAS='0' is out of range: write a number from 1 to 1000",
    ),
    "less than no pods": (
        {"PEERBOOT_REPLICAS": "-1"},
        "PEERBOOT_REPLICAS='-1' is out of range: write a number from 1 to 1000",
    ),
    "pods beyond int32": (
        {"PEERBOOT_REPLICAS": "2147483648"},
        "PEERBOOT_REPLICAS='2147483648' is out of range: write a number from 1 to 1000",
    ),
    "a word for a number": (
        {"PEERBOOT_REPLICAS": "three"},
        "PEERBOOT_REPLICAS='three' is not a whole number: write one from 1 to 1000",
    ),
    "live replicas": (
        {"PEERBOOT_REPLICAS_FROM": "deployment"},
        "PEERBOOT_REPLICAS_FROM='deployment' is not known: use none or statefulset",
    ),
    "ordinals start too high": (
        {"PEERBOOT_ORDINALS_START": "2147483647"},
        "PEERBOOT_ORDINALS_START=2147483647 leaves no room for PEERBOOT_REPLICAS=3: the last ordinal may be 2147483647",
    ),
    "pod of no set": (
        {"POD_NAME": "db"},
        "POD_NAME='db' does not end in an ordinal such as -0: peerboot runs in the Pods of a StatefulSet",
    ),
    "no service": (
        {"PEERBOOT_SERVICE": None},
        "PEERBOOT_SERVICE is not set: the governing headless Service (`.spec.serviceName`)",
    ),
    "service that is no label": (
        {"PEERBOOT_SERVICE": "Peers.shop"},
        "PEERBOOT_SERVICE='Peers.shop' is not a DNS label: use 1 to 63 lower-case letters, digits, hyphens",
    ),
    "no namespace": (
        {"POD_NAMESPACE": None},
        "POD_NAMESPACE is not set: take it from metadata.namespace of the downward API",
    ),
    "bad addresses": (
        {"POD_IPS": "10.0.0.300"},
        "POD_IPS='10.0.0.300' is not a list of IP addresses: take status.podIPs of the downward API",
    ),
    "bad name servers": (
        {"PEERBOOT_NAMESERVERS": "dns.example"},
        (
            "PEERBOOT_NAMESERVERS='dns.example' is not a list of nameservers: "
            "write it like 10.0.0.10 or 10.0.0.10:53,[fd00::a]:53"
        ),
    ),
    "name server without an address": (
        {"PEERBOOT_NAMESERVERS": "10.0.0.10,"},
        (
            "PEERBOOT_NAMESERVERS='10.0.0.10,' is not a list of nameservers: "
            "write it like 10.0.0.10 or 10.0.0.10:53,[fd00::a]:53"
        ),
    ),
    "more name servers than are asked": (
        {"PEERBOOT_NAMESERVERS": "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4"},
        "PEERBOOT_NAMESERVERS names 4 addresses: 3 at most",
    ),
    "bad cluster domain": (
        {"PEERBOOT_CLUSTER_DOMAIN": "cluster..local"},
        "PEERBOOT_CLUSTER_DOMAIN='cluster..local' is not a domain: write it like cluster.local",
    ),
    "data dir relative": (
        {"PEERBOOT_DATA_DIR": "data/etcd"},
        "PEERBOOT_DATA_DIR='data/etcd' is not an absolute path: write one that starts with /",
    ),
    "output dir relative": (
        {"PEERBOOT_OUTPUT_DIR": "./out"},
        "PEERBOOT_OUTPUT_DIR='./out' is not an absolute path: write one that starts with /",
    ),
    "settings file relative": (
        {"PEERBOOT_CONFIG_FILE": "peerboot.yaml"},
        "PEERBOOT_CONFIG_FILE='peerboot.yaml' is not an absolute path: write one that starts with /",
    ),
    "the key where its file belongs": (
        {"PEERBOOT_SECRET_FILE": KEY},
        "PEERBOOT_SECRET_FILE is not an absolute path: write one that starts with /, not the key itself",
    ),
    "data dir is a mount": (
        {"PEERBOOT_DATA_DIR": "/proc"},
        (
            "PEERBOOT_DATA_DIR=/proc is the mount itself, so its content could not be renamed aside: "
            "use a sub-directory, for example /proc/data"
        ),
    ),
    "data dir on no volume": (
        {"PEERBOOT_DATA_DIR": "/nowhere/etcd", "PEERBOOT_STATE_DIR": None},
        "PEERBOOT_DATA_DIR=/nowhere/etcd is not on a volume of its own: mount the volume, or set PEERBOOT_STATE_DIR",
    ),
    "state on another file system": (
        {"PEERBOOT_STATE_DIR": "/proc/peerboot"},
        (
            "PEERBOOT_STATE_DIR=/proc/peerboot is on another file system than PEERBOOT_DATA_DIR={root}/volume/etcd: "
            "a lost disk would not take the state with it; put both on the same volume"
        ),
    ),
    "state inside data": (
        {"PEERBOOT_STATE_DIR": "{root}/volume/etcd/.peerboot"},
        (
            "PEERBOOT_STATE_DIR={root}/volume/etcd/.peerboot lies inside PEERBOOT_DATA_DIR={root}/volume/etcd: "
            "it would move aside with the data; use a directory beside it"
        ),
    ),
    "data inside output": (
        {"PEERBOOT_DATA_DIR": "{root}/out/etcd"},
        (
            "PEERBOOT_DATA_DIR={root}/out/etcd lies inside PEERBOOT_OUTPUT_DIR={root}/out: "
            "that is in memory and is gone with the Pod; use a directory beside it"
        ),
    ),
    "output dir missing": (
        {"PEERBOOT_OUTPUT_DIR": "{root}/no/out"},
        "PEERBOOT_OUTPUT_DIR: {root}/no/out is not there: mount an emptyDir with medium Memory there",
    ),
    "output dir is a file": (
        {"PEERBOOT_OUTPUT_DIR": "{root}/secret/census"},
        "PEERBOOT_OUTPUT_DIR: {root}/secret/census is not a directory: name another path",
    ),
    "volume is a file": (
        {"PEERBOOT_DATA_DIR": "{root}/secret/census/etcd"},
        "PEERBOOT_DATA_DIR: {root}/secret/census is not a directory: name another path",
    ),
    "socket's directory missing": (
        {"PEERBOOT_ADMIN_SOCKET": "{root}/no/admin.sock"},
        "PEERBOOT_ADMIN_SOCKET: {root}/no is not there: mount an emptyDir with medium Memory there",
    ),
    "no secret": (
        {"PEERBOOT_SECRET_FILE": None},
        (
            "PEERBOOT_SECRET_FILE is not set: name a file with a key of 32 bytes or more, "
            "or set PEERBOOT_CENSUS_AUTH=none to let anybody speak for a pod"
        ),
    ),
    "a secret that is not used": (
        {"PEERBOOT_CENSUS_AUTH": "none"},
        "PEERBOOT_SECRET_FILE is set, yet PEERBOOT_CENSUS_AUTH=none: drop one of them",
    ),
    "a census over TLS without a directory": (
        {"PEERBOOT_CENSUS_AUTH": "tls", "PEERBOOT_SECRET_FILE": None},
        (
            "PEERBOOT_CENSUS_AUTH=tls, and PEERBOOT_CENSUS_TLS_DIR is not set: name the directory with tls.crt, "
            "tls.key and ca.crt; that of the server's own certificate will do, where it is for this Pod's DNS name and "
            "for serverAuth and clientAuth"
        ),
    ),
    "a census over TLS with a key": (
        {"PEERBOOT_CENSUS_AUTH": "tls", "PEERBOOT_CENSUS_TLS_DIR": "{root}/secret"},
        "PEERBOOT_SECRET_FILE is set, yet PEERBOOT_CENSUS_AUTH=tls: drop one of them",
    ),
    "a census by either without the key": (
        {
            "PEERBOOT_CENSUS_AUTH": "hmac,tls",
            "PEERBOOT_CENSUS_TLS_DIR": "{root}/secret",
            "PEERBOOT_SECRET_FILE": None,
        },
        (
            "PEERBOOT_SECRET_FILE is not set: name a file with a key of 32 bytes or more, or set "
            "PEERBOOT_CENSUS_AUTH=tls once all Pods have hmac,tls"
        ),
    ),
    "a directory of certificates that is not used": (
        {"PEERBOOT_CENSUS_TLS_DIR": "{root}/secret"},
        (
            "PEERBOOT_CENSUS_TLS_DIR is set, yet PEERBOOT_CENSUS_AUTH=hmac: set hmac,tls, and tls once all Pods have "
            "that, or drop the directory"
        ),
    ),
    "a census over TLS without its files": (
        {"PEERBOOT_CENSUS_AUTH": "tls", "PEERBOOT_CENSUS_TLS_DIR": "{root}/secret", "PEERBOOT_SECRET_FILE": None},
        (
            "PEERBOOT_CENSUS_TLS_DIR: {root}/secret/tls.crt is not there: the Secret has to have tls.crt, tls.key and "
            "ca.crt, as cert-manager makes it with an issuer that has a CA"
        ),
    ),
    "an unknown way to know each other": (
        {"PEERBOOT_CENSUS_AUTH": "key,tls"},
        "PEERBOOT_CENSUS_AUTH='key,tls' is not known: use hmac or tls or hmac,tls or none",
    ),
    "secret missing": (
        {"PEERBOOT_SECRET_FILE": "{root}/secret/other"},
        "PEERBOOT_SECRET_FILE={root}/secret/other is not there: mount the Secret",
    ),
    "secret is a directory": (
        {"PEERBOOT_SECRET_FILE": "{root}/secret"},
        (
            "PEERBOOT_SECRET_FILE: {root}/secret cannot be read: it is not a regular file: "
            "mount a Secret that the Pod's fsGroup may read"
        ),
    ),
    "one port for both": (
        {"PEERBOOT_LISTEN": "[::]:7070", "PEERBOOT_METRICS_LISTEN": "127.0.0.1:7070"},
        "PEERBOOT_LISTEN and PEERBOOT_METRICS_LISTEN are both on port 7070: give them different ports",
    ),
    "one port for the server's": (
        {"PEERBOOT_ETCD_PEER_PORT": "2379"},
        "PEERBOOT_ETCD_PEER_PORT, _CLIENT_PORT and _METRICS_PORT must differ: give each its own",
    ),
    "address without a port": (
        {"PEERBOOT_LISTEN": "localhost"},
        "PEERBOOT_LISTEN='localhost' is not an address to listen on: write it like [::]:7070 or 10.0.0.1:7070",
    ),
    "bind to no address": (
        {"PEERBOOT_SERVER_BIND": "pod", "POD_IPS": None},
        "PEERBOOT_SERVER_BIND=pod needs POD_IPS: take it from status.podIPs of the downward API",
    ),
    "anchor without a name": (
        {"PEERBOOT_ANCHOR": "configmap:"},
        "PEERBOOT_ANCHOR='configmap:' names no ConfigMap: write configmap:NAME, one in this Pod's namespace",
    ),
    "TLS without its files": (
        {"PEERBOOT_ETCD_PEER_TLS_DIR": "/nowhere/tls"},
        (
            "PEERBOOT_ETCD_PEER_TLS_DIR: /nowhere/tls/tls.crt is not there: the Secret has to have tls.crt, tls.key "
            "and ca.crt, as cert-manager makes it with an issuer that has a CA"
        ),
    ),
    "Postgres without a password": (
        {"PEERBOOT_SYSTEM": "postgres"},
        (
            "PEERBOOT_POSTGRES_PASSWORD_FILE is not set: "
            "mount a Secret with the password of the role peerboot, and name its file"
        ),
    ),
    "Postgres' password missing": (
        {"PEERBOOT_SYSTEM": "postgres", "PEERBOOT_POSTGRES_PASSWORD_FILE": "{root}/none"},
        (
            "PEERBOOT_POSTGRES_PASSWORD_FILE: {root}/none is not there: "
            "mount a Secret with the password of the role peerboot"
        ),
    ),
    "duration without a unit": (
        {"PEERBOOT_DEADLINE": "60"},
        "PEERBOOT_DEADLINE='60' is not a duration: write it like 500ms, 10s, 2m or 1h",
    ),
    "mistyped name": (
        {"PEERBOOT_REPLICA": "3"},
        "PEERBOOT_REPLICA is not a setting: did you mean PEERBOOT_REPLICAS?",
    ),
    "name like no other": (
        {"PEERBOOT_XYZZY": "1"},
        "PEERBOOT_XYZZY is not a setting: `peerboot settings` lists them all",
    ),
    "settings file missing": (
        {"PEERBOOT_CONFIG_FILE": "{root}/none.yaml"},
        "PEERBOOT_CONFIG_FILE={root}/none.yaml is not there: mount the file",
    ),
    "settings file is a directory": (
        {"PEERBOOT_CONFIG_FILE": "{root}/secret"},
        (
            "PEERBOOT_CONFIG_FILE: {root}/secret cannot be read: it is not a regular file: "
            "mount a file that the Pod's user may read"
        ),
    ),
}


@pytest.mark.parametrize("case", BY_ENVIRONMENT)
def test_a_wrong_environment_is_one_line(pod: Pod, case: str) -> None:
    """A setting that cannot be meant gives one line and exit 2, and neither volume nor output is touched."""
    changes, line = BY_ENVIRONMENT[case]
    before = pod.everything()
    result = pod.run("init", changes=changes)
    expected = line.replace("{root}", str(pod.root))
    assert Result(2, "", f"peerboot: {expected}\n") == result
    assert before == pod.everything()
    assert f"{expected}\n" == pod.last_words


OUTSIDE = "db-3 is not one of the expected pods db-0 to db-2: check PEERBOOT_REPLICAS=3 and PEERBOOT_ORDINALS_START=0"


def test_an_ordinal_outside_the_range_forms_nothing(pod: Pod) -> None:
    """A blank disk of a pod beyond the expected: `init` says so at once, as one line of its log, and makes no nonce."""
    before = pod.everything()
    result = pod.run("init", changes={"POD_NAME": "db-3"})
    assert (f"error   db-3 {OUTSIDE} exit_code=2\n", 2) == (result.err.partition(" ")[2], result.code)
    assert before == pod.everything()
    assert f"{OUTSIDE}\n" == pod.last_words


def test_an_ordinal_outside_the_range_starts_with_its_data(pod: Pod) -> None:
    """A disk that was used is no place to stop for a wrong number: the rules decide, here until the deadline."""
    (pod.root / "volume" / "etcd" / "member" / "wal").mkdir(parents=True)
    (pod.root / "volume" / "etcd" / "member" / "wal" / "0000000000000000-0000000000000000.wal").write_bytes(b"x" * 64)
    result = pod.run("init", changes={"POD_NAME": "db-3", "PEERBOOT_DEADLINE": "10ms"})
    assert result.code == 4, result.err


FILES = {
    "garbage": (b"\x00\xff\xfe\x01", "is not text in UTF-8: write it anew"),
    "control characters": (
        b"a: \x01",
        "is not YAML that can be used: line 1: a control character: correct it there",
    ),
    "not YAML": (
        b"a: [1\nb: 2\n",
        "is not YAML that can be used: line 2: expected ',' or ']', but got ':': correct it there",
    ),
    "a list": (b"- a\n", "does not hold names with values: write lines like `name: value`"),
    "a number for a name": (b"1: a\n", "does not hold names with values: write lines like `name: value`"),
    "a name twice": (
        b"x: 1\ny: 2\nx: 3\n",
        "is not YAML that can be used: line 3: 'x' stands twice: correct it there",
    ),
    "aliases": (
        b"x: &a 1\ny: *a\n",
        "is not YAML that can be used: line 2: aliases (*) are not supported: correct it there",
    ),
    "a Python object": (
        b"x: !!python/object:os.system 1\n",
        (
            "is not YAML that can be used: line 1: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system': correct it there"
        ),
    ),
    "two documents": (
        b"x: 1\n---\ny: 2\n",
        "is not YAML that can be used: line 2: but found another document: correct it there",
    ),
}


@pytest.mark.parametrize("name", ["PEERBOOT_CONFIG_FILE", "PEERBOOT_BASE_CONFIG_FILE"])
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_mapping_is_one_line(pod: Pod, case: str, name: str) -> None:
    """A YAML file of either kind that cannot be used is named, with its line."""
    content, say = FILES[case]
    path = pod.root / "given.yaml"
    path.write_bytes(content)
    before = pod.everything()
    result = pod.run("init", changes={name: str(path)})
    assert (f"peerboot: {name}={path} {say}\n", 2) == (result.err, result.code)
    assert before == pod.everything()


IN_FILES = {
    "unknown setting": (
        "PEERBOOT_CONFIG_FILE",
        "replcas: 3",
        "replcas in PEERBOOT_CONFIG_FILE is not a setting: did you mean replicas?",
    ),
    "settings file in the settings file": (
        "PEERBOOT_CONFIG_FILE",
        "config_file: /other.yaml",
        "config_file stands in PEERBOOT_CONFIG_FILE: drop it, only one file is read",
    ),
    "a yes for a word": (
        "PEERBOOT_CONFIG_FILE",
        "log_level: yes",
        "log_level in PEERBOOT_CONFIG_FILE is not text or a number: put it in quotes",
    ),
    "wrong value in the file": (
        "PEERBOOT_CONFIG_FILE",
        "leave_timeout: 20",
        "PEERBOOT_LEAVE_TIMEOUT='20' is not a duration: write it like 500ms, 10s, 2m or 1h",
    ),
    "owned key": (
        "PEERBOOT_BASE_CONFIG_FILE",
        "initial-cluster-state: new",
        "'initial-cluster-state' in PEERBOOT_BASE_CONFIG_FILE belongs to peerboot, which has to know it: drop it there",
    ),
    "unsafe key": (
        "PEERBOOT_BASE_CONFIG_FILE",
        "force-new-cluster: true",
        "'force-new-cluster' in PEERBOOT_BASE_CONFIG_FILE is refused: it forms a cluster of one again at every start",
    ),
    "unknown key": (
        "PEERBOOT_BASE_CONFIG_FILE",
        "snapshot-cuont: 5",
        (
            "'snapshot-cuont' in PEERBOOT_BASE_CONFIG_FILE is no key of etcd 3.4 to 3.7, "
            "and etcd would ignore it silently: did you mean 'snapshot-count'?"
        ),
    ),
}


@pytest.mark.parametrize("case", IN_FILES)
def test_a_wrong_key_in_a_file_is_one_line(pod: Pod, case: str) -> None:
    """A key in either file that cannot stay is named, with what is near or why not."""
    name, content, line = IN_FILES[case]
    path = pod.root / "given.yaml"
    path.write_text(content + "\n")
    before = pod.everything()
    result = pod.run("init", changes={name: str(path)})
    assert (f"peerboot: {line}\n", 2) == (result.err, result.code)
    assert before == pod.everything()


SECRETS = {
    "empty": (b"\n\n", "is empty: put a key of 32 bytes or more in it"),
    "short": (b"hunter2\n", ": key 1 has 7 bytes: use 32 or more"),
    "second one short": (b"k" * 32 + b"\nhunter2\n", ": key 2 has 7 bytes: use 32 or more"),
    "too many": ((b"k" * 32 + b"\n") * 9, "has 9 keys: 8 at most, one a line"),
    "too long": (b"k" * 70_000, "cannot be read: it is longer than 65536 bytes"),
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_bad_secret_is_named_but_never_shown(pod: Pod, case: str) -> None:
    """What is wrong with a key is said by its number and length; no part of it is in any output."""
    content, say = SECRETS[case]
    (pod.root / "secret" / "census").write_bytes(content)
    before = pod.everything()
    result = pod.run("sidecar")
    assert (result.err.count("\n"), result.code) == (1, 2)
    assert say in result.err
    for word in ("hunter2", "kkkkkk"):
        assert word not in result.err + result.out + pod.last_words
    assert before == pod.everything()


def test_directories_are_compared_where_links_lead(pod: Pod) -> None:
    """A data dir that a symbolic link puts inside the state dir is refused, although it is not written so."""
    state = pod.root / "volume" / ".peerboot"
    (state / "etcd").mkdir(parents=True)
    (pod.root / "volume" / "etcd").symlink_to(state / "etcd")
    before = pod.everything()
    result = pod.run("init")
    line = (
        f"peerboot: PEERBOOT_DATA_DIR={state}/etcd lies inside PEERBOOT_STATE_DIR={state}: "
        "the server's files and peerboot's own would mix; use a directory beside it\n"
    )
    assert (line, 2) == (result.err, result.code)
    assert before == pod.everything()


@pytest.mark.parametrize("target", ["nowhere", "etcd"], ids=["to nothing", "to itself"])
def test_a_broken_link_is_one_line(pod: Pod, target: str) -> None:
    """A data dir that is a link to nothing, or to itself, is named with its path."""
    path = pod.root / "volume" / "etcd"
    path.symlink_to(target)
    result = pod.run("init")
    assert (result.err.count("\n"), result.code) == (1, 2)
    assert result.err.startswith("peerboot: PEERBOOT_DATA_DIR: ")
    assert [path] == list((pod.root / "volume").iterdir())


REMEDY = "set runAsUser and fsGroup of the Pod to the server's, and mount it for writing"
NOT_ALLOWED = {
    "output dir": ("out", 0o555, f"PEERBOOT_OUTPUT_DIR: {{root}}/out cannot be written by uid {{uid}}: {REMEDY}"),
    "volume": ("volume", 0o555, f"PEERBOOT_STATE_DIR: {{root}}/volume cannot be written by uid {{uid}}: {REMEDY}"),
    "secret": (
        "secret/census",
        0o000,
        (
            "PEERBOOT_SECRET_FILE: {root}/secret/census cannot be read: permission denied for uid {uid}: "
            "mount a Secret that the Pod's fsGroup may read"
        ),
    ),
}


@pytest.mark.parametrize("case", NOT_ALLOWED)
def test_what_this_user_may_not_do_is_one_line(ordinary_pod: Pod, case: str) -> None:
    """An output dir or volume that cannot be written, a secret that cannot be read: said with the uid."""
    pod, (path, mode, line) = ordinary_pod, NOT_ALLOWED[case]
    before = pod.everything()
    old = (pod.root / path).stat().st_mode
    (pod.root / path).chmod(mode)
    result = pod.run("init", ordinary=True)
    (pod.root / path).chmod(old)
    expected = line.format(root=pod.root, uid=pod.root.stat().st_uid)
    assert (f"peerboot: {expected}\n", 2) == (result.err, result.code)
    assert before == pod.everything()
