"""The reader of pg_control without servers: damage, other machines, other releases, anything at all."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peerboot.systems.postgres import control
from tests.postgres import vectors
from tests.postgres.vectors import CHECKED, padded, patched, sealed

MAJORS = sorted(CHECKED)
VERSION = range(8, 12)
"""Bytes of pg_control_version."""


def said(data: bytes) -> str:
    """Why it is not read; empty when it is."""
    try:
        control.parse(data)
    except control.ControlError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("major", MAJORS)
def test_every_byte_is_checked(major: int) -> None:
    """No bit up to the end of the checksum changes without notice; of another version nothing is read."""
    whole = padded(CHECKED[major])
    unnoticed, unread = [], []
    for at in range(len(CHECKED[major])):
        for bit in (0, 7):
            data = bytearray(whole)
            data[at] ^= 1 << bit
            match said(bytes(data)):
                case "the checksum of pg_control does not match its content":
                    pass
                case "":
                    unnoticed.append(at)
                case _:
                    unread.append(at)
    assert (unnoticed, sorted(set(unread))) == ([], list(VERSION))


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("size", [0, 1, 291, 296, 4096, 8191, 8193, 16384])
def test_another_size(major: int, size: int) -> None:
    """Truncated or grown, it is not looked into."""
    expected = f"pg_control has {size} bytes instead of 8192"
    assert expected == said(padded(CHECKED[major]).ljust(size, b"\0")[:size])


def test_a_longer_file_is_noticed(tmp_path: Path) -> None:
    """Of a file that has grown one byte more is read than it should have."""
    vectors.made(tmp_path / "data", content=padded(CHECKED[17]) + b"\0")
    with pytest.raises(control.ControlError, match="has 8193 bytes instead of 8192"):
        control.read(tmp_path / "data")


@pytest.mark.parametrize("version", control.VERSIONS)
def test_the_other_byte_order(version: int) -> None:
    """Said as what it is, not as a version that nobody knows."""
    data = patched(17, VERSION.start, struct.pack(">I", version))
    assert said(data) == "pg_control was written by a machine of the other byte order"


@pytest.mark.parametrize("version", [0, 1201, 1301, 1701, 1900, 2**32 - 1])
def test_an_unknown_version(version: int) -> None:
    """Nothing is guessed of a release that came later, and the releases that are known are named."""
    data = patched(18, VERSION.start, struct.pack("<I", version))
    expected = f"pg_control has version {version}; this peerboot reads 1300, 1700, 1800 (Postgres 13 to 18)"
    assert expected == said(data)


@pytest.mark.parametrize("major", MAJORS)
def test_another_layout_of_numbers(major: int) -> None:
    """A float that is read back as another one: the machine was not like this one."""
    at = CHECKED[major].index(struct.pack("<d", control.FLOAT_FORMAT))
    assert said(patched(major, at, struct.pack(">d", control.FLOAT_FORMAT))) == (
        "pg_control was written by a machine with another layout of numbers"
    )


def test_a_state_that_no_release_knows() -> None:
    """It has the right checksum, so somebody else wrote it."""
    data = patched(17, vectors.STATE, struct.pack("<I", 7))
    assert said(data) == "pg_control has the state 7, which no release knows"


class Mended:
    """A file that is torn for some reads: a server writes it meanwhile."""

    def __init__(self, data_dir: Path, torn: int) -> None:
        self.path, self.whole, self.slept, self.torn = data_dir / "global" / "pg_control", padded(CHECKED[17]), 0, torn
        self.write()

    def write(self) -> None:
        """Two halves of different moments, or the whole."""
        data = bytearray(self.whole)
        if self.slept < self.torn:
            data[24:32] = struct.pack("<q", self.slept)
        self.path.write_bytes(bytes(data))

    def sleep(self, _seconds: float) -> None:
        """The server goes on."""
        self.slept += 1
        self.write()


def test_two_halves_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that comes while the server writes sees old and new bytes; the file is not damaged."""
    server = Mended(vectors.made(tmp_path / "data"), torn=2)
    monkeypatch.setattr(control, "sleep", server.sleep)
    assert control.read(tmp_path / "data") == control.parse(server.whole)
    assert server.slept == 2


@pytest.mark.parametrize("torn", [1, 100], ids=["stays the same", "changes for ever"])
def test_damage_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: int) -> None:
    """What is the same damage twice, or ever again another one, is damage."""
    server = Mended(vectors.made(tmp_path / "data"), torn=100)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if torn != 1:
            server.sleep(seconds)

    monkeypatch.setattr(control, "sleep", sleep)
    with pytest.raises(control.ControlError, match="checksum"):
        control.read(tmp_path / "data")
    assert len(waited) == (1 if torn == 1 else control.TRIES - 1)


CONTENTS = st.one_of(
    st.binary(max_size=400),
    st.tuples(
        st.binary(min_size=8, max_size=8), st.sampled_from([1300, 1700, 1800]), st.binary(min_size=284, max_size=284)
    ).map(lambda parts: parts[0] + struct.pack("<I", parts[1]) + parts[2]),
)


@given(CONTENTS, st.booleans())
@example(b"", False)
def test_anything_at_all(content: bytes, is_sealed: bool) -> None:
    """Any 8192 bytes are a control file or a sentence why not, also with the right checksum."""
    data = sealed(content[:288]) if is_sealed else padded(content)
    assert "\n" not in said(data)
    if not said(data):
        assert control.parse(data).state in control.STATES


@given(st.sampled_from(MAJORS), st.integers(20, 240), st.binary(min_size=1, max_size=16))
def test_anything_with_the_right_checksum(major: int, at: int, value: bytes) -> None:
    """Fields may hold any number: what is read has them, or is refused in a sentence."""
    data = patched(major, at, value)
    assert "\n" not in said(data)
    if not said(data):
        found, whole = control.parse(data), control.parse(padded(CHECKED[major]))
        assert (found.version, found.catalog, found.sysid) == (whole.version, whole.catalog, whole.sysid)


@pytest.mark.parametrize(
    ("position", "text"),
    [(0, "0/0"), (0x15527C8, "0/15527C8"), (0x1_0000_0000, "1/0"), (0xABCD_0000_00FF, "ABCD/FF")],
    ids=["none", "low", "high", "both"],
)
def test_a_position_as_postgres_prints_it(position: int, text: str) -> None:
    """Two halves in hexadecimal, without leading zeros."""
    assert control.lsn(position) == text
