"""Settings: any text as the file, any names and values as the environment; and as etcd's base config file.

Input: a byte of flags, then the file, then lines ``NAME=VALUE`` (``harness.parts``).

Held: ``SettingsError`` with one line and exit code 2, or settings whose every text is printable, whose lists are no
longer than allowed, and which are not contradictory; a secret setting's value is in no error.
"""

from __future__ import annotations

import contextlib
import random
from functools import cache

from peerboot import systems
from peerboot.errors import SettingsError
from peerboot.outside.yaml import settings_of
from peerboot.settings import Settings, config_path, contradictions, read
from peerboot.settings_table import GENERAL
from peerboot.values import MAX_LIST, MAX_TEXT, Setting
from tests.fuzz.harness import expect, expect_line, joined, parts

LONGEST = 4096
BARE, BASE = 0x01, 0x02
MINIMUM = {
    "PEERBOOT_SYSTEM": "etcd", "PEERBOOT_SERVICE": "db", "POD_NAME": "db-0", "POD_NAMESPACE": "default",
    "PEERBOOT_CENSUS_AUTH": "none",
}  # fmt: skip


@cache
def rows() -> dict[str, tuple[Setting, ...]]:
    """Each system's own settings."""
    return {name: systems.settings_of(name) for name in systems.BUILT_IN}


ALL = (*GENERAL, *(row for own in rows().values() for row in own))
WORDS = (
    *(row.key.encode() + b": " for row in GENERAL),
    *(row.name.encode() + b"=" for row in ALL),
    b"!!int ", b"!!float ", b"!!bool ", b"!!timestamp ", b"!!binary ", b"!!set ", b"!!omap ", b"!!null ", b"&a ", b"*a",
    b"<<: ", b"? ", b"- ", b"{", b"[", b"|\n ", b">\n ", b"---\n", b"%YAML 1.1\n", b"0x", b".nan", b".inf", b"1e9",
    b"[::]:7070", b"10.0.0.1:53", b"fe80::1%", b"configmap:", b"file:/", b"500ms", b"2m", b"\xc2\x85", b"\xe2\x80\xa8",
)  # fmt: skip


def check(data: bytes) -> None:
    """One input."""
    flags = data[0] if data else 0
    file, lines = (*parts(data[1:], 2), b"", b"")[:2]
    environ = {} if flags & BARE else dict(MINIMUM)
    for line in lines.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals and b"\0" not in line:
            environ[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    text = ""
    with contextlib.suppress(UnicodeDecodeError):
        text = file.decode("utf-8")
    if flags & BASE:
        with contextlib.suppress(SettingsError):
            _loaded(text)
        return
    try:
        config_path(environ)
        found = read(environ, settings_of(text, "the file"), rows(), hostname="db-0.x", namespace_file="default\n")
    except SettingsError as error:
        _is_error(error, environ, text)
        return
    _is_valid(found)


def _loaded(text: str) -> None:
    try:
        systems.find("etcd").parse_base(text, "the file")
    except SettingsError as error:
        _is_error(error, {}, text)
        raise


def _is_error(error: SettingsError, environ: dict[str, str], file: str) -> None:
    expect_line(str(error), "an error")
    expect(error.exit_code == 2, f"exit code {error.exit_code}")
    for row in ALL:
        value = environ.get(row.name, "")
        others = "".join(f"{name} {text}" for name, text in environ.items() if name != row.name)
        if row.secret and len(value) > 12 and value not in others + file:
            expect(value not in str(error), f"the value of {row.name} is in its error")


def _is_valid(found: Settings) -> None:
    contradictions(found)
    values = {row.field: getattr(found, row.field) for row in GENERAL} | dict(found.extra)
    for name, value in values.items():
        texts = value if isinstance(value, tuple) else (value,)
        expect(len(texts) <= MAX_LIST, f"{name} has {len(texts)} values")
        for text in texts:
            expect(text is None or isinstance(text, str | int | float), f"{name} is {text!r}")
            if isinstance(text, str):
                expect(text.isprintable() and len(text) <= MAX_TEXT, f"{name} is {text!r}")
            elif isinstance(text, float):
                expect(0 <= text <= 366 * 86400, f"{name} is {text}")
    expect(found.replicas is None or 0 <= found.replicas < 2**31, f"{found.replicas} replicas")


def mutate(data: bytes, chance: random.Random) -> bytes | None:
    """A value that some setting has becomes another setting's; or a line stands in the file, or in the environment."""
    file, lines = (*parts(data[1:], 2), b"", b"")[:2]
    row = chance.choice(ALL)
    value = chance.choice((*row.choices, row.default or "", "0", "-1", "a" * 70, "[::1]:1", "/x", "1h", "::", "1,2"))
    if chance.random() < 0.5:
        file += f"\n{row.key}: {value}".encode()
    else:
        lines += f"\n{row.name}={value}".encode()
    return data[:1] + joined(file, lines)
