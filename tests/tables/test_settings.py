"""The table of settings against what was promised, and settings against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from peerboot.errors import SettingsError
from peerboot.settings import Settings, as_mapping, config_path, read
from peerboot.settings_table import GENERAL
from peerboot.values import Setting

OWN = (Setting("PEERBOOT_STORE_PORT", "int", "9000", "Its port.", low=1, high=65535),)
SYSTEMS: Mapping[str, tuple[Setting, ...]] = {
    "store": OWN,
    "other": (Setting("PEERBOOT_OTHER_SIZE", "int", "1", "A."),),
}
LEAST = {
    "PEERBOOT_SYSTEM": "store",
    "PEERBOOT_SERVICE": "peers",
    "PEERBOOT_SECRET_FILE": "/secret/census",
    "POD_NAME": "db-0",
    "POD_NAMESPACE": "shop",
}

PROMISED = {
    "PEERBOOT_SYSTEM": None,
    "PEERBOOT_MODE": "manage",
    "PEERBOOT_REPLICAS": "",
    "PEERBOOT_REPLICAS_FROM": "none",
    "PEERBOOT_ORDINALS_START": "0",
    "PEERBOOT_SERVICE": None,
    "PEERBOOT_PORT_NAME": "peerboot",
    "POD_NAME": "",
    "POD_NAMESPACE": "",
    "POD_UID": "",
    "POD_IPS": "",
    "PEERBOOT_CLUSTER_DOMAIN": "auto",
    "PEERBOOT_NAMESERVERS": "",
    "PEERBOOT_DATA_DIR": "",
    "PEERBOOT_STATE_DIR": "",
    "PEERBOOT_OUTPUT_DIR": "/run/peerboot",
    "PEERBOOT_BASE_CONFIG_FILE": "",
    "PEERBOOT_LISTEN": "[::]:7070",
    "PEERBOOT_METRICS_LISTEN": "[::]:7072",
    "PEERBOOT_ADMIN_SOCKET": "",
    "PEERBOOT_SECRET_FILE": "",
    "PEERBOOT_CENSUS_AUTH": "hmac",
    "PEERBOOT_ANCHOR": "",
    "PEERBOOT_SERVER_BIND": "any",
    "PEERBOOT_EVENTS": "none",
    "PEERBOOT_DEADLINE": "0",
    "PEERBOOT_LEAVE_TIMEOUT": "20s",
    "PEERBOOT_TERMINATION_LOG": "/dev/termination-log",
    "PEERBOOT_LOG_FORMAT": "text",
    "PEERBOOT_LOG_LEVEL": "info",
    "PEERBOOT_CONFIG_FILE": "",
}
"""Name and default of every general setting that is a promise to users; None is required, empty is none."""


def _read(
    changes: Mapping[str, str | None] | None = None, file: Mapping[str, object] | None = None, **more: Any
) -> Settings:
    texts = {**LEAST, **(changes or {})}
    return read({name: text for name, text in texts.items() if text is not None}, file, SYSTEMS, **more)


def _error(*args: Any, **more: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        _read(*args, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_and_defaults_are_as_promised() -> None:
    """No promised setting is missing, renamed or has another default; one more may be there."""
    rows = {row.name: row.default for row in GENERAL}
    assert {name: default for name, default in rows.items() if name in PROMISED} == PROMISED
    assert {"PEERBOOT_CENSUS_TLS_DIR", "PEERBOOT_DIAGNOSE_AFTER"} == set(rows) - set(PROMISED)


def test_every_row_is_a_field_of_its_own() -> None:
    """The table and the class say the same, and every row says why one would change it."""
    fields = set(Settings.__dataclass_fields__) - {"extra", "name_from_host"}
    assert fields == {row.field for row in GENERAL}
    assert len({row.key for row in GENERAL}) == len(GENERAL)
    assert [row.name for row in GENERAL if len(row.reason) < 15] == []


def test_the_least_that_must_be_said() -> None:
    """Five settings are enough to start (not to form); all others have their defaults, parsed."""
    made = _read()
    assert (made.system, made.mode, made.replicas, made.ordinals_start) == ("store", "manage", None, 0)
    assert (
        made.cluster_domain,
        made.nameservers,
        made.data_dir,
        made.anchor,
        made.output_dir,
    ) == ("", (), "", "", "/run/peerboot")
    assert (made.deadline, made.leave_timeout, made.diagnose_after) == (0.0, 20.0, 60.0)
    assert (
        made.extra,
        made.socket_path,
        made.name_from_host,
    ) == ({"store_port": 9000}, "/run/peerboot/admin.sock", False)


def test_only_the_own_settings_of_the_system_are_extra() -> None:
    """Another system's setting is a known name, but no value of this one."""
    assert _read({"PEERBOOT_STORE_PORT": "9001", "PEERBOOT_OTHER_SIZE": "5"}).extra == {"store_port": 9001}


@pytest.mark.parametrize(
    ("changes", "host", "file", "expected"),
    [
        ({}, "web-7", "other", ("db-0", "shop", False)),
        ({"POD_NAME": None}, "web-7", "other", ("web-7", "shop", True)),
        ({"POD_NAME": ""}, "web-7.peers.shop", "other", ("web-7", "shop", True)),
        ({"POD_NAMESPACE": None}, "web-7", "other\n", ("db-0", "other", False)),
    ],
    ids=["given", "host name", "host name with a domain", "service account's file"],
)
def test_where_the_pod_is_known_from(
    changes: dict[str, str | None], host: str, file: str, expected: tuple[str, str, bool]
) -> None:
    """POD_NAME falls back to the first label of the host name, POD_NAMESPACE to the service account's file."""
    made = _read(changes, hostname=host, namespace_file=file)
    assert expected == (made.pod_name, made.pod_namespace, made.name_from_host)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"POD_NAME": None}, "POD_NAME is not set: take it from metadata.name of the downward API"),
        ({"POD_NAMESPACE": None}, "POD_NAMESPACE is not set: take it from metadata.namespace of the downward API"),
        ({"PEERBOOT_SYSTEM": None}, "PEERBOOT_SYSTEM is not set: set it to other or store"),
        ({"PEERBOOT_SYSTEM": "sotre"}, "PEERBOOT_SYSTEM='sotre' is not known: use other or store"),
        ({"PEERBOOT_SYSTEM": "patroni"}, "PEERBOOT_SYSTEM='patroni' comes with a later release: use other or store"),
        ({"PEERBOOT_SERVICE": ""}, "PEERBOOT_SERVICE is not set: the governing headless Service (`.spec.serviceName`)"),
    ],
    ids=lambda value: next(iter(value)) + " " + str(next(iter(value.values()))) if isinstance(value, dict) else "",
)
def test_what_must_be_said_is_asked_for(changes: dict[str, str | None], line: str) -> None:
    """A missing setting is named with what it is or where to take it from."""
    assert line == _error(changes)


@pytest.mark.parametrize(
    ("name", "say"),
    [
        ("PEERBOOT_REPLICA", "PEERBOOT_REPLICA is not a setting: did you mean PEERBOOT_REPLICAS?"),
        ("PEERBOOT_STORE_PROT", "PEERBOOT_STORE_PROT is not a setting: did you mean PEERBOOT_STORE_PORT?"),
        ("PEERBOOT_POD_NAME", "PEERBOOT_POD_NAME is not a setting: did you mean POD_NAME?"),
        ("PEERBOOT_", "PEERBOOT_ is not a setting: `peerboot settings` lists them all"),
        ("PEERBOOT_QQQQ", "PEERBOOT_QQQQ is not a setting: `peerboot settings` lists them all"),
        ("PEERBOOT_A\nB", "'PEERBOOT_A\\nB' is not a setting: `peerboot settings` lists them all"),
    ],
)
def test_an_unknown_name_is_an_error(name: str, say: str) -> None:
    """With the nearest known name, compared without the prefix that all share."""
    assert say == _error({name: "1"})


@pytest.mark.parametrize(
    "name", ["PEERBOOTX", "PATH", "peerboot_replica", "PEERBOOT_TEST_X", "PEERBOOT_LAB_X"], ids=lambda name: name
)
def test_names_of_others_are_left_alone(name: str) -> None:
    """Only names with the exact prefix are ours; the project's own tests and lab have theirs."""
    assert _read() == _read({name: "x"})


def test_one_mistake_of_several_is_always_the_same() -> None:
    """The first in order is told, whatever the order of the environment."""
    wrong = {"PEERBOOT_ZZZ": "1", "PEERBOOT_AAA": "1"}
    assert _error(wrong) == _error(dict(reversed(wrong.items())))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PEERBOOT_STATE_DIR": "/data/x", "PEERBOOT_DATA_DIR": "/data/x/"}, "are both /data/x: use two directories"),
        ({"PEERBOOT_STATE_DIR": "/data/x/../x/s", "PEERBOOT_DATA_DIR": "/data/x"}, "would move aside with the data"),
        ({"PEERBOOT_STATE_DIR": "/data", "PEERBOOT_DATA_DIR": "/data/x"}, "and peerboot's own would mix"),
        ({"PEERBOOT_OUTPUT_DIR": "/data/x/o", "PEERBOOT_DATA_DIR": "/data/x"}, "would move aside with the data"),
        ({"PEERBOOT_OUTPUT_DIR": "/s/o", "PEERBOOT_STATE_DIR": "/s"}, "its files must not outlive the Pod"),
        ({"PEERBOOT_DATA_DIR": "/run/peerboot/d"}, "in memory and is gone with the Pod"),
        ({"PEERBOOT_STATE_DIR": "/run/peerboot/s"}, "in memory and is gone with the Pod"),
        ({"PEERBOOT_OUTPUT_DIR": "/", "PEERBOOT_DATA_DIR": "/data/x"}, "in memory and is gone with the Pod"),
        ({"PEERBOOT_OUTPUT_DIR": "/" + "o" * 97}, "PEERBOOT_ADMIN_SOCKET is longer than 107 bytes"),
        ({"PEERBOOT_METRICS_LISTEN": "0.0.0.0:7070"}, "are both on port 7070: give them different ports"),
        ({"PEERBOOT_SERVER_BIND": "pod"}, "PEERBOOT_SERVER_BIND=pod needs POD_IPS"),
        ({"PEERBOOT_ORDINALS_START": "2147483647", "PEERBOOT_REPLICAS": "2"}, "leaves no room for"),
        ({"PEERBOOT_CENSUS_AUTH": "none"}, "drop one of them"),
        ({"PEERBOOT_CENSUS_AUTH": "tls", "PEERBOOT_CENSUS_TLS_DIR": "/tls"}, "drop one of them"),
        ({"PEERBOOT_CENSUS_AUTH": "hmac,tls"}, "PEERBOOT_CENSUS_TLS_DIR is not set"),
        ({"PEERBOOT_CENSUS_TLS_DIR": "/tls"}, "yet PEERBOOT_CENSUS_AUTH=hmac"),
        ({"PEERBOOT_SECRET_FILE": None}, "or set PEERBOOT_CENSUS_AUTH=none"),
    ],
)
def test_contradictions_are_told(changes: dict[str, str | None], words: str) -> None:
    """Two settings that cannot be meant together: both are named, and which to change."""
    assert words in _error(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"PEERBOOT_DATA_DIR": "/data/etcd", "PEERBOOT_STATE_DIR": "/data/etcd-state"},
        {"PEERBOOT_OUTPUT_DIR": "/" + "o" * 95},
        {"PEERBOOT_LISTEN": "127.0.0.1:7070", "PEERBOOT_METRICS_LISTEN": "127.0.0.2:7070"},
        {"PEERBOOT_ORDINALS_START": "2147483647", "PEERBOOT_REPLICAS": "1"},
        {"PEERBOOT_SECRET_FILE": None, "PEERBOOT_CENSUS_AUTH": "none"},
        {"PEERBOOT_SECRET_FILE": None, "PEERBOOT_CENSUS_AUTH": "tls", "PEERBOOT_CENSUS_TLS_DIR": "/tls"},
        {"PEERBOOT_CENSUS_AUTH": "hmac,tls", "PEERBOOT_CENSUS_TLS_DIR": "/tls"},
        {"PEERBOOT_REPLICAS": "1000"},
    ],
    ids=[
        "names that begin alike",
        "longest socket",
        "one port, two addresses",
        "last ordinal",
        "no auth",
        "TLS",
        "either",
        "most pods",
    ],
)
def test_what_is_just_allowed(changes: dict[str, str | None]) -> None:
    """The near misses of the contradictions are fine."""
    assert _read(changes).system == "store"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), ("3", 3), ("", None)],
    ids=["number", "text", "empty is not set"],
)
def test_a_value_of_the_file(value: object, expected: int | None) -> None:
    """Numbers may stand with or without quotes."""
    assert expected == _read(file={"replicas": value}).replicas


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}], ids=repr)
def test_what_is_no_text_is_told(value: object) -> None:
    """YAML's yes, nothing, lists and mappings are not guessed into text."""
    assert (
        _error(file={"replicas": value}) == "replicas in PEERBOOT_CONFIG_FILE is not text or a number: put it in quotes"
    )


def test_a_list_of_the_file_is_bounded() -> None:
    """Addresses may be a YAML list, of as many as the text may name."""
    assert _read(file={"nameservers": ["10.0.0.1", "10.0.0.2"]}).nameservers == ("10.0.0.1", "10.0.0.2")
    assert _error(file={"pod_ips": ["10.0.0.1"] * 100_000}) == "POD_IPS names 17 addresses: 16 at most"


@pytest.mark.parametrize(
    ("environment", "expected"), [("4", 4), (None, 3), ("", 3)], ids=["said", "not said", "said with nothing"]
)
def test_the_environment_wins(environment: str | None, expected: int) -> None:
    """A variable that is set to nothing counts as not set."""
    assert expected == _read({"PEERBOOT_REPLICAS": environment}, {"replicas": 3}).replicas


def test_the_settings_file_is_named_by_an_absolute_path() -> None:
    """It is read before the others, so its name is checked by itself."""
    assert (config_path({}), config_path({"PEERBOOT_CONFIG_FILE": "/etc/p.yaml"})) == ("", "/etc/p.yaml")
    with pytest.raises(SettingsError, match="is not an absolute path"):
        config_path({"PEERBOOT_CONFIG_FILE": "p.yaml"})


def test_an_empty_file_says_nothing() -> None:
    """YAML reads a file of comments as nothing at all."""
    assert as_mapping("X", None) == {}
