"""One setting's value from its text."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peerboot import values
from peerboot.errors import SettingsError
from peerboot.values import Setting, SettingKind

NAME = "PEERBOOT_X"
MORE: dict[str, dict[str, Any]] = {
    "int": {"low": 1, "high": 65535},
    "choice": {"choices": ("one", "two"), "later": ("three",)},
    "duration": {"high": 3600},
}


def row(kind: SettingKind, *, secret: bool = False) -> Setting:
    """A setting of one kind."""
    return Setting(NAME, kind, "", "For tests.", secret=secret, **MORE.get(kind, {}))


GOOD: list[tuple[SettingKind, str, object]] = [
    ("text", "db", "db"),
    ("text", "x" * values.MAX_TEXT, "x" * values.MAX_TEXT),
    ("int", "1", 1),
    ("int", "65535", 65535),
    ("int", "007", 7),
    ("duration", "0", 0.0),
    ("duration", "0s", 0.0),
    ("duration", "500ms", 0.5),
    ("duration", "1.5s", 1.5),
    ("duration", "2m", 120.0),
    ("duration", "1h", 3600.0),
    ("path", "/", "/"),
    ("path", "/a b/c", "/a b/c"),
    ("choice", "two", "two"),
    ("listen", "[::]:7070", "[::]:7070"),
    ("listen", "10.0.0.1:1", "10.0.0.1:1"),
    ("addresses", "10.0.0.1", ("10.0.0.1",)),
    ("addresses", "10.0.0.1, FD00::A", ("10.0.0.1", "fd00::a")),
    ("nameservers", "10.0.0.10,10.0.0.11:5353,fd00::a", ("10.0.0.10", "10.0.0.11:5353", "fd00::a")),
    ("nameservers", "[fd00::a]:53", ("[fd00::a]:53",)),
    ("label", "a", "a"),
    ("label", "1-x" + "y" * 60, "1-x" + "y" * 60),
    ("domain", "Cluster.Local.", "cluster.local"),
    ("domain", "my-domain", "my-domain"),
    ("domain", "auto", ""),
    ("anchor", "file:/shared/birth", "file:/shared/birth"),
    ("anchor", "configmap:etcd-anchor", "configmap:etcd-anchor"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), GOOD, ids=[f"{kind} {text[:20]}" for kind, text, _ in GOOD])
def test_good_text_has_a_value(kind: SettingKind, text: str, expected: object) -> None:
    """What a user may write, and what it is then; durations are seconds, addresses in their one spelling."""
    assert expected == values.parse(row(kind), text)


BAD: list[tuple[SettingKind, str, str]] = [
    ("text", "a\nb", "PEERBOOT_X holds characters that cannot be printed: write plain text"),
    ("text", "x" * 4097, "PEERBOOT_X is longer than 4096 characters: shorten it"),
    ("int", "0", "PEERBOOT_X='0' is out of range: write a number from 1 to 65535"),
    ("int", "65536", "PEERBOOT_X='65536' is out of range: write a number from 1 to 65535"),
    ("int", "1.0", "PEERBOOT_X='1.0' is not a whole number: write one from 1 to 65535"),
    ("int", "1_0", "PEERBOOT_X='1_0' is not a whole number: write one from 1 to 65535"),
    ("int", "٣", "PEERBOOT_X='٣' is not a whole number: write one from 1 to 65535"),
    ("int", "1\n", "PEERBOOT_X='1\\n' is not a whole number: write one from 1 to 65535"),
    ("int", "9" * 100, f"PEERBOOT_X='{'9' * 77}...' is not a whole number: write one from 1 to 65535"),
    ("duration", "10", "PEERBOOT_X='10' is not a duration: write it like 500ms, 10s, 2m or 1h"),
    ("duration", "-1s", "PEERBOOT_X='-1s' is not a duration: write it like 500ms, 10s, 2m or 1h"),
    ("duration", "1d", "PEERBOOT_X='1d' is not a duration: write it like 500ms, 10s, 2m or 1h"),
    ("duration", "2h", "PEERBOOT_X='2h' is out of range: write one from 0s to 1h"),
    ("path", "a/b", "PEERBOOT_X='a/b' is not an absolute path: write one that starts with /"),
    ("path", "/a\x00b", "PEERBOOT_X='/a\\x00b' is not an absolute path: write one that starts with /"),
    ("choice", "One", "PEERBOOT_X='One' is not known: use one or two"),
    ("choice", "three", "PEERBOOT_X='three' comes with a later release: use one or two"),
    ("label", "Web", "PEERBOOT_X='Web' is not a DNS label: use 1 to 63 lower-case letters, digits, hyphens"),
    ("label", "-a", "PEERBOOT_X='-a' is not a DNS label: use 1 to 63 lower-case letters, digits, hyphens"),
    ("domain", ".", "PEERBOOT_X='.' is not a domain: write it like cluster.local"),
    ("domain", "a..b", "PEERBOOT_X='a..b' is not a domain: write it like cluster.local"),
    ("addresses", "10.0.0.1:80", "PEERBOOT_X='10.0.0.1:80' is not a list of IP addresses: take status.podIPs of"),
    ("addresses", ",".join(["10.0.0.1"] * 17), "PEERBOOT_X names 17 addresses: 16 at most"),
    ("nameservers", "fd00::a:53:", "PEERBOOT_X='fd00::a:53:' is not a list of nameservers: write it like 10.0.0.10"),
    ("nameservers", "10.0.0.1:0", "PEERBOOT_X='10.0.0.1:0' is not a list of nameservers: write it like 10.0.0.10"),
    ("addresses", "fe80::1%a\nb", "PEERBOOT_X='fe80::1%a\\nb' is not a list of IP addresses: take status.podIPs of"),
    ("nameservers", "fe80::1%a b", "PEERBOOT_X='fe80::1%a b' is not a list of nameservers: write it like 10.0.0.10"),
    ("anchor", "/shared/birth", "PEERBOOT_X='/shared/birth' is not an anchor: write configmap:NAME, or"),
    ("anchor", "file:birth", "PEERBOOT_X='file:birth' is not an anchor: write configmap:NAME, or"),
    ("anchor", "file:/shared/", "PEERBOOT_X='file:/shared/' is not an anchor: write configmap:NAME, or"),
    ("anchor", "configmap:", "PEERBOOT_X='configmap:' names no ConfigMap: write configmap:NAME, one in this Pod's"),
    ("anchor", "configmap:A/b", "PEERBOOT_X='configmap:A/b' names no ConfigMap: write configmap:NAME, one in this"),
]
LISTEN = [
    "7070",
    ":7070",
    "::7070",
    "[::]",
    "[::]:0",
    "[::]:65536",
    "[10.0.0.1]:80",
    "fd00::1:80",
    "host:80",
    "[::]:+1",
    "[fe80::1%a\nb]:80",
    "[fe80::1%\udcff]:80",
]
BAD += [("listen", text, f"PEERBOOT_X={text!r} is not an address to listen on: write it like") for text in LISTEN]


@pytest.mark.parametrize(("kind", "text", "line"), BAD, ids=[f"{kind} {text[:20]!r}" for kind, text, _ in BAD])
def test_bad_text_is_one_line(kind: SettingKind, text: str, line: str) -> None:
    """Which setting, what is wrong, what to write instead."""
    with pytest.raises(SettingsError) as caught:
        values.parse(row(kind), text)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@given(
    kind=st.sampled_from(get_args(SettingKind)), text=st.text(max_size=200) | st.sampled_from([t for _, t, _ in BAD])
)
@example(kind="listen", text="[::1%eth0]:80")
@example(kind="int", text="-" + "9" * 12)
@example(kind="text", text="\udcff")
def test_any_text_is_a_value_or_one_line(kind: SettingKind, text: str) -> None:
    """Whatever stands in a variable: a value, or an error of one printable line that is not endless."""
    try:
        values.parse(row(kind), text)
    except SettingsError as error:
        said = str(error)
        assert said.isprintable()
        assert len(said) < 500


@pytest.mark.parametrize("kind", [kind for kind in get_args(SettingKind) if kind not in ("duration", "listen")])
def test_the_value_of_a_secret_is_never_shown(kind: SettingKind) -> None:
    """An error of a setting marked as secret names it, not what stands in it. No duration or listener is a secret."""
    text = "s3cr3t\n" * 3
    with pytest.raises(SettingsError) as caught:
        values.parse(row(kind, secret=True), text)
    assert "s3cr3t" not in str(caught.value)
    assert str(caught.value).startswith(NAME)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.10", ("10.0.0.10", 53)),
        ("10.0.0.10:5353", ("10.0.0.10", 5353)),
        ("fd00::a", ("fd00::a", 53)),
        ("[fd00::a]:5353", ("fd00::a", 5353)),
    ],
)
def test_name_servers_have_port_53(text: str, expected: tuple[str, int]) -> None:
    """A name server without a port has DNS's own."""
    assert expected == values.split_nameserver(text)


def test_the_table_for_people() -> None:
    """Default, unit and values as text: a required setting says so, a number its range, a choice its words."""
    rows = (
        Setting("PEERBOOT_A", "text", None, "Needed."),
        row("int"),
        row("choice"),
        Setting("PEERBOOT_T", "duration", "5s", "T.", unit="duration"),
    )
    shown = [(line["key"], line["default"], line["unit"], line["values"]) for line in values.table(rows)]
    assert shown == [
        ("a", "required", "", ""),
        ("x", "none", "", "1 to 65535"),
        ("x", "none", "", "one, two"),
        ("t", "5s", "duration", ""),
    ]


@pytest.mark.parametrize(
    ("setting", "shape"),
    [
        (row("int"), {"type": "integer", "minimum": 1, "maximum": 65535}),
        (row("choice"), {"type": "string", "enum": ["one", "two"]}),
        (row("path"), {"type": "string", "pattern": "^/"}),
        (row("anchor"), {"type": "string", "pattern": "^(file:/|configmap:)"}),
        (row("addresses"), {"type": ["string", "array"], "items": {"type": "string"}, "maxItems": 16}),
        (row("nameservers"), {"type": ["string", "array"], "items": {"type": "string"}, "maxItems": 3}),
        (
            Setting(NAME, "int", "7", "For tests.", high=9),
            {"type": "integer", "minimum": 0, "maximum": 9, "default": 7},
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Setting) else "",
)
def test_the_schema_says_what_parse_takes(setting: Setting, shape: dict[str, object]) -> None:
    """The schema of one key has its type and bounds."""
    assert {"description": "For tests.", **shape} == values.schema([setting])["properties"]["x"]


def test_a_duration_in_the_schema_may_be_a_bare_zero() -> None:
    """YAML reads ``0`` as a number; any other number has no unit."""
    shape = values.schema([row("duration")])["properties"]["x"]
    assert (shape["type"], shape["minimum"], shape["maximum"]) == (["string", "integer"], 0, 0)
