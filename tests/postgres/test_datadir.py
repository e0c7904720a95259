"""The reader of the directory without servers: blank, foreign, cut off, damaged, unreadable, and its small files."""

from __future__ import annotations

import os
import pwd
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerboot.systems.postgres import control, datadir
from peerboot.systems.postgres.datadir import Fork, Postmaster
from tests.postgres import vectors
from tests.postgres.vectors import CHECKED, in_state, made, padded, patched

MAJORS = sorted(CHECKED)


def tree(root: Path) -> dict[str, bytes]:
    """Everything that is in it."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def kind_and_reason(data_dir: Path) -> tuple[str, str]:
    """What decides, and what a person reads."""
    found = datadir.read(data_dir)
    return found.kind, found.reason


# -------------------------------------------------------------------- blank


def _with(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).mkdir()

    return make


def _link(path: Path) -> None:
    (path.parent / "volume").mkdir()
    path.symlink_to("volume")


BLANK: dict[str, Callable[[Path], None]] = {
    "no-directory": lambda _: None,
    "empty-directory": _with(),
    "lost-and-found": _with("lost+found"),
    "snapshots": _with("lost+found", ".snapshot"),
    "link-to-empty": _link,
}


@pytest.mark.parametrize("make", BLANK.values(), ids=BLANK)
def test_blank(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Nothing that a server wrote."""
    make(tmp_path / "data")
    assert datadir.read(tmp_path / "data") == datadir.Data("blank")


def test_a_link_to_nothing_is_not_blank(tmp_path: Path) -> None:
    """The volume that it leads to may only not be mounted; what is there is not known."""
    (tmp_path / "data").symlink_to(tmp_path / "volume" / "data")
    assert kind_and_reason(tmp_path / "data") == (
        "unknown", f"{tmp_path}/data is a link to {tmp_path}/volume/data, and nothing is there: is its volume mounted?"
    )  # fmt: skip


# --------------------------------------------------------- no or other data


def _file(name: str, text: str = "") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)

    return make


def _without(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        made(path)
        for name in names:
            shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()

    return make


def _holding(content: bytes, major: int = 17) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        made(path, major, content)

    return make


NO_DATABASE = "no database is in it but the templates: an initdb that was cut off"
NO_CONTROL = "it has a PG_VERSION and no global/pg_control: an initdb or a copy that was cut off"
KNOWN = "this peerboot knows 15 to 18"
WRONG: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "foreign-files": (
        _file("member/snap/db"), "corrupt",
        "PLACE holds files (member), but no PG_VERSION: it is no directory of Postgres",
    ),
    "many-foreign-files": (
        _with("d", "c", "b", "a", "lost+found"), "corrupt",
        "PLACE holds files (a, b, c), but no PG_VERSION: it is no directory of Postgres",
    ),
    "names-of-other-encodings": (
        _with(os.fsdecode(b"a\xff\nb")), "corrupt",
        "PLACE holds files (a b), but no PG_VERSION: it is no directory of Postgres",
    ),
    "version-only": (_file("PG_VERSION", "17\n"), "corrupt", NO_CONTROL),
    "version-empty": (_file("PG_VERSION"), "corrupt", "its PG_VERSION names no release: an initdb that was cut off"),
    "version-garbage": (
        _file("PG_VERSION", "\0\0\0\0"), "corrupt", "its PG_VERSION names no release: an initdb that was cut off",
    ),
    "14": (_holding(padded(CHECKED[15]), 14), "unknown", f"its PG_VERSION names Postgres 14; {KNOWN}"),
    "19": (_holding(padded(CHECKED[18]), 19), "unknown", f"its PG_VERSION names Postgres 19; {KNOWN}"),
    "9.6": (_file("PG_VERSION", "9.6\n"), "unknown", f"its PG_VERSION names Postgres 9.6; {KNOWN}"),
    "another-release-than-control": (
        _holding(padded(CHECKED[16])), "corrupt", "its PG_VERSION is 17, and its pg_control is of another release",
    ),
    "control-of-19": (
        _holding(patched(18, 8, struct.pack("<I", 1900)), 18), "corrupt",
        "pg_control has version 1900; this peerboot reads 1300, 1700, 1800 (Postgres 13 to 18)",
    ),
    "no-control": (_without("global/pg_control"), "corrupt", NO_CONTROL),
    "no-global": (_without("global"), "corrupt", NO_CONTROL),
    "control-truncated": (
        _holding(padded(CHECKED[17])[:4096]), "corrupt", "pg_control has 4096 bytes instead of 8192",
    ),
    "control-empty": (_holding(b""), "corrupt", "pg_control has 0 bytes instead of 8192"),
    "control-too-long": (_holding(bytes(9000)), "corrupt", "pg_control has 8193 bytes instead of 8192"),
    "control-zeros": (
        _holding(bytes(8192)), "corrupt",
        "pg_control has version 0; this peerboot reads 1300, 1700, 1800 (Postgres 13 to 18)",
    ),
    "control-damaged": (
        _holding(b"\1" + padded(CHECKED[17])[1:]), "corrupt",
        "the checksum of pg_control does not match its content",
    ),
    "other-byte-order": (
        _holding(patched(17, 8, struct.pack(">I", 1700))), "corrupt",
        "pg_control was written by a machine of the other byte order",
    ),
    "no-postgres": (_without("base/5"), "corrupt", NO_DATABASE),
    "postgres-begun": (_without("base/5/PG_VERSION"), "corrupt", NO_DATABASE),
    "no-base": (_without("base"), "corrupt", NO_DATABASE),
    "no-log": (
        _without("pg_wal"), "corrupt", "its pg_wal is missing, with which no server starts: is it on another volume?",
    ),
    "never-shut-down": (
        _holding(in_state(17, "in production")), "corrupt",
        "it is in production, and no server ever ran on it: an initdb that was cut off",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "reason"), WRONG.values(), ids=WRONG)
def test_not_data(tmp_path: Path, make: Callable[[Path], None], kind: str, reason: str) -> None:
    """Never data and never blank, with a reason, and nothing is changed."""
    data_dir = tmp_path / "data"
    make(data_dir)
    before = tree(data_dir)
    assert kind_and_reason(data_dir) == (kind, reason.replace("PLACE", str(data_dir)))
    assert before == tree(data_dir)


def test_a_log_on_another_volume_that_is_not_mounted(tmp_path: Path) -> None:
    """A link to nothing: what the log says is not known."""
    made(tmp_path / "data")
    (tmp_path / "data" / "pg_wal").rename(tmp_path / "elsewhere")
    (tmp_path / "data" / "pg_wal").symlink_to(tmp_path / "wal")
    assert kind_and_reason(tmp_path / "data") == (
        "unknown", f"{tmp_path}/data/pg_wal is a link to {tmp_path}/wal, and nothing is there: is its volume mounted?"
    )  # fmt: skip


@pytest.mark.parametrize("place", ["inside", "linked"])
@pytest.mark.parametrize(
    ("name", "kind"), [("", "corrupt"), ("backup_label", "data"), ("recovery.signal", "data")],
    ids=["plain", "backup", "restore"],
)  # fmt: skip
def test_a_log_that_is_empty(tmp_path: Path, place: str, name: str, kind: str) -> None:
    """Another volume, or a new one: with the primary's log in its place a standby would start on pages that are beyond
    it. A backup and a restore get theirs from elsewhere.
    """
    data_dir = made(tmp_path / "data")
    log = data_dir / "pg_wal"
    (log / "000000010000000000000001").rename(log / "000000010000000000000001.partial")
    if place == "linked":
        log.rename(tmp_path / "wal")
        log.symlink_to(tmp_path / "wal")
    if name:
        (data_dir / name).touch()
    reason = "" if name else f"there is no log in {log}, which every server has: is it the right volume?"
    assert kind_and_reason(data_dir) == (kind, reason)


# ------------------------------------------------------------------- rewound

HALF = "pg_rewind has begun on it and has not ended, so some of its files are the primary's and some its own"


def _marked(data_dir: Path, text: str = "0123456789abcdef\n") -> None:
    Path(f"{data_dir}.rewinding").write_text(text)


@pytest.mark.parametrize("made_of", ["data", "rubble", "no-control"])
def test_a_rewind_that_has_not_ended(tmp_path: Path, made_of: str) -> None:
    """Never data, whatever the files say: they may be of two histories. Where its log of before is, is said."""
    data_dir = tmp_path / "data"
    if made_of == "rubble":
        _holding(b"")(data_dir)
    elif made_of == "no-control":
        _without("global/pg_control", "pg_wal")(data_dir)
    else:
        made(data_dir)
    _marked(data_dir)
    aside = tmp_path / "data.before-0123456789abcdef"
    aside.mkdir()
    before = tree(tmp_path)
    found = datadir.read(data_dir)

    assert (found.kind, found.rewinding, found.was_primary) == ("corrupt", "0123456789abcdef", False)
    assert found.reason == f"{HALF}; its log of before is in {aside}"
    assert (found.control is not None) == (made_of == "data")
    assert before == tree(tmp_path)


@pytest.mark.parametrize(("text", "plan"), [("", ""), ("\0\n", ""), ("a\nb", "a b"), ("a" * 999, "a" * 64)])
def test_a_mark_without_its_plan(tmp_path: Path, text: str, plan: str) -> None:
    """It was begun all the same: the mark counts, whatever is in it."""
    _marked(made(tmp_path / "data"), text)
    found = datadir.read(tmp_path / "data")
    assert (found.kind, found.rewinding, found.reason) == ("corrupt", plan, HALF)


def test_a_mark_that_leads_nowhere(tmp_path: Path) -> None:
    """The script takes a link for a mark too."""
    made(tmp_path / "data")
    Path(f"{tmp_path}/data.rewinding").symlink_to("nowhere")
    found = datadir.read(tmp_path / "data")
    assert (found.kind, found.rewinding) == ("corrupt", "")


def test_a_mark_without_its_directory(tmp_path: Path) -> None:
    """What it was about was set aside; the next directory has nothing to do with it."""
    _marked(tmp_path / "data")
    assert datadir.read(tmp_path / "data") == datadir.Data("blank")


def test_a_mark_that_cannot_be_read(tmp_path: Path) -> None:
    """Then nothing of the directory is known."""
    made(tmp_path / "data")
    Path(f"{tmp_path}/data.rewinding").mkdir()
    assert kind_and_reason(tmp_path / "data") == ("unknown", f"{tmp_path}/data.rewinding: Is a directory")


def test_what_is_unknown_stays_so(tmp_path: Path) -> None:
    """Of a release that this peerboot does not know, a mark says nothing more."""
    _holding(padded(CHECKED[15]), 14)(tmp_path / "data")
    _marked(tmp_path / "data")
    found = datadir.read(tmp_path / "data")
    assert (found.kind, found.rewinding) == ("unknown", "0123456789abcdef")
    assert found.reason.startswith("its PG_VERSION names Postgres 14")


def test_what_rewinds_kept(tmp_path: Path) -> None:
    """Of this directory only; the directory beside it is data as before."""
    for name in ("data.before-b", "data.before-a", "other.before-c", "data.before", "data2.before-d"):
        (tmp_path / name).mkdir()
    made(tmp_path / "data")
    assert datadir.kept(tmp_path / "data") == (tmp_path / "data.before-a", tmp_path / "data.before-b")
    assert datadir.read(tmp_path / "data").kind == "data"
    assert datadir.kept(tmp_path / "nowhere" / "data") == ()


# --------------------------------------------------------------------- data


@pytest.mark.parametrize("major", MAJORS)
def test_fresh(tmp_path: Path, major: int) -> None:
    """What initdb of each release leaves: stopped, on the first timeline, and it would take writes."""
    found = datadir.read(made(tmp_path / "data", major))
    expected = datadir.Data("data", major=major, control=control.parse(padded(CHECKED[major])), timeline=1)
    assert expected == found
    assert (found.stopped, found.was_primary) == (True, True)


def test_a_link_to_the_directory(tmp_path: Path) -> None:
    """PGDATA may be a link, and so may be its log."""
    made(tmp_path / "volume" / "data")
    (tmp_path / "volume" / "data" / "pg_wal").rename(tmp_path / "wal")
    (tmp_path / "volume" / "data" / "pg_wal").symlink_to(tmp_path / "wal")
    (tmp_path / "wal" / "00000002.history").write_text("1\t0/3000000\tno recovery target specified\n")
    (tmp_path / "data").symlink_to("volume/data")
    found = datadir.read(tmp_path / "data")
    assert (found.kind, found.timeline, found.forks) == ("data", 2, (Fork(1, 0x3000000),))


@pytest.mark.parametrize("state", [state for state in control.STATES if not state.startswith("shut down")])
def test_a_server_that_ran(tmp_path: Path, state: str) -> None:
    """A server writes postmaster.opts before it changes the state; without it only an initdb did."""
    data_dir = made(tmp_path / "data", 17, in_state(17, state))
    assert datadir.read(data_dir).kind == "corrupt"
    (data_dir / "postmaster.opts").touch()
    found = datadir.read(data_dir)
    assert (found.kind, found.stopped) == ("data", False)


def test_a_backup_in_production(tmp_path: Path) -> None:
    """Its control file is that of the server that it was taken from, whose pid and opts are not in it."""
    data_dir = made(tmp_path / "data", 17, in_state(17, "in production"))
    (data_dir / "backup_label").touch()
    found = datadir.read(data_dir)
    assert (found.kind, found.backup, found.stopped) == ("data", True, False)


@pytest.mark.parametrize(
    "name", ["base/16384", "base/13455", "pg_tblspc/16400"], ids=["made-anew", "upgraded", "tablespace"]
)
def test_databases_with_other_ids(tmp_path: Path, name: str) -> None:
    """pg_upgrade keeps the ids of a release before 15, and a person may drop ``postgres``: no initdb was cut off."""
    data_dir = made(tmp_path / "data")
    shutil.rmtree(data_dir / "base/4")
    shutil.rmtree(data_dir / "base/5")
    (data_dir / name).mkdir()
    (data_dir / name / "PG_VERSION").write_text("17\n")
    assert datadir.read(data_dir).kind == "data"


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        ((), (False, False, False, True)),
        (("standby.signal",), (True, False, False, False)),
        (("recovery.signal",), (False, True, False, False)),
        (("standby.signal", "recovery.signal"), (True, True, False, False)),
        (("backup_label",), (False, False, True, True)),
        (("backup_label", "standby.signal"), (True, False, True, False)),
        (("standby.signal.old", "backup_label.old"), (False, False, False, True)),
    ],
    ids=lambda value: "+".join(map(str, value)) or "none",
)
def test_signals(tmp_path: Path, names: tuple[str, ...], flags: tuple[bool, ...]) -> None:
    """Files that a server obeys when it starts; only without them it takes writes at once on its old timeline."""
    data_dir = made(tmp_path / "data")
    for name in names:
        (data_dir / name).touch()
    found = datadir.read(data_dir)
    assert flags == (found.standby, found.recovery, found.backup, found.was_primary)


# --------------------------------------------------------------- unreadable


@contextmanager
def somebody_else() -> Iterator[None]:
    """Root becomes another user for a while: to root nothing is closed."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", [".", "PG_VERSION", "global", "global/pg_control", "base", "base/5", "pg_wal"])
def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What may not be looked at is unknown: neither blank nor corrupt, whatever of it is closed."""
    made(tmp_path / "data")
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the directories above are closed to others too
    closed = Path("data") / name
    closed.chmod(0)
    try:
        with somebody_else():
            kind, reason = kind_and_reason(Path("data"))
    finally:
        closed.chmod(0o755)
    assert (kind, reason.startswith(str(closed)), reason.endswith(": Permission denied")) == ("unknown", True, True)


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    """Not looked into, and never raised."""
    (tmp_path / "data").write_text("")
    assert kind_and_reason(tmp_path / "data") == ("unknown", f"{tmp_path}/data: Not a directory")


@pytest.mark.parametrize("name", ["PG_VERSION", "postmaster.pid", "pg_wal/00000009.history"])
def test_a_directory_where_a_file_should_be(tmp_path: Path, name: str) -> None:
    """Nor is that."""
    data_dir = made(tmp_path / "data")
    (data_dir / name).unlink(missing_ok=True)
    (data_dir / name).mkdir()
    assert kind_and_reason(data_dir) == ("unknown", f"{data_dir}/{name}: Is a directory")


# ------------------------------------------------------------------ history


HISTORY: dict[str, tuple[str, tuple[Fork, ...]]] = {
    "one": ("1\t0/3000090\tno recovery target specified\n", (Fork(1, 0x3000090),)),
    "no-newline": ("1\t0/3000090\tno recovery target specified", (Fork(1, 0x3000090),)),
    "beyond-4-gigabytes": ("1\tA/FF\tx\n", (Fork(1, 0xA_0000_00FF),)),
    "as-the-server-writes-them": ("1\t0/A0\tx\n\n2\t0/B0\ty\n", (Fork(1, 0xA0), Fork(2, 0xB0))),
    "comments": ("# a person's\n  # more\n1\t0/A0\tx\n#2\t0/B0\ty\n", (Fork(1, 0xA0),)),
    "blanks-instead-of-tabs": ("  1   0/a0  x\n3 1/b0\n", (Fork(1, 0xA0), Fork(3, 0x1_0000_00B0))),
    "no-reason": ("1\t0/A0\n", (Fork(1, 0xA0),)),
    "windows": ("1\t0/A0\tx\r\n2\t0/B0\ty\r\n", (Fork(1, 0xA0), Fork(2, 0xB0))),
    "reason-with-a-separator": ("1\t0/A0\tbefore \u2028 2\t0/B0\n", (Fork(1, 0xA0),)),
    "empty": ("", ()),
    "garbage": ("\0\1\2\n1\n1\t\n\t0/A0\n1\t0\n1\t/\n1\tG/H\n-1\t0/A0\n1_0\t0/A0\n٣\t0/A0\n1\t0x1/-1\n", ()),
    "too-big": ("4294967296\t0/A0\n1\t123456789/A0\n1\t0/123456789\n", ()),
}  # fmt: skip


@pytest.mark.parametrize(("text", "forks"), HISTORY.values(), ids=HISTORY)
def test_history(text: str, forks: tuple[Fork, ...]) -> None:
    """Lines as the server reads them, comments and what is no such line left out."""
    assert forks == datadir.parse_history(text)


def test_a_long_history_keeps_the_newest_forks(tmp_path: Path) -> None:
    """A file of 5000 lines is longer than what is read of it; what matters is its end."""
    lines = [f"{number}\t0/{number:X}\t{'x' * 100}\n" for number in range(1, 5001)]
    (made(tmp_path / "data") / "pg_wal" / "00001389.history").write_text("".join(lines))
    found = datadir.read(tmp_path / "data")
    expected = tuple(Fork(number, number) for number in range(5001 - datadir.MOST_FORKS, 5001))
    assert (found.timeline, found.forks) == (5001, expected)


def test_a_line_that_is_cut_is_no_other_line(tmp_path: Path) -> None:
    """Where the reading begins within a line, its rest is not taken for a timeline of its own."""
    text = "1111\t0/A0\tx\n" * (datadir.MOST_HISTORY // 12 + 1)
    (made(tmp_path / "data") / "pg_wal" / "00001389.history").write_text(text)
    assert set(datadir.read(tmp_path / "data").forks) == {Fork(1111, 0xA0)}


@given(st.binary(max_size=300))
def test_any_history(data: bytes) -> None:
    """Whatever is in it: forks of numbers that a timeline and a position can have."""
    for fork in datadir.parse_history(data.decode("utf-8", "replace")):
        assert (0 < fork.timeline < 1 << 32, 0 <= fork.position < 1 << 64) == (True, True)


@pytest.mark.parametrize(
    ("names", "timeline"),
    [
        ((), 1),
        (("00000002.history", "0000000A.history"), 10),
        (("0000000A.history.partial", "0000000B.history.done", "b.history", "000000010000000000000001"), 1),
    ],
    ids=["none", "two", "others"],
)
def test_the_highest_timeline(tmp_path: Path, names: tuple[str, ...], timeline: int) -> None:
    """Of the control file and of the names of the history files."""
    data_dir = made(tmp_path / "data")
    for name in names:
        (data_dir / "pg_wal" / name).touch()
    assert datadir.read(data_dir).timeline == timeline


# ----------------------------------------------------------- postmaster.pid


POSTMASTER: dict[str, tuple[str, Postmaster | None]] = {
    "ready": ("7\n/data\n1796001415\n5432\n\n127.0.0.1\n 1 2\nready   \n", Postmaster(7, 5432, "ready")),
    "stopping": ("7\n/data\n1796001415\n5432\n/tmp\n*\n 1 2\nstopping\n", Postmaster(7, 5432, "stopping")),
    "standby": ("7\n/data\n1796001415\n5432\n/tmp\n*\n 1 2\nstandby \n", Postmaster(7, 5432, "standby")),
    "begun": ("7\n/data\n1796001415\n5432\n\n", Postmaster(7, 5432, "")),
    "single-user": ("-7\n/data\n1796001415\n0\n\n", Postmaster(-7, 0, "")),
    "long-path": (f"7\n{'/x' * 1000}\n1796001415\n5432\n\n\n 1 2\nready   \n", Postmaster(7, 5432, "ready")),
    "empty": ("", Postmaster(0, 0, "")),
    "garbage": ("seven\n", Postmaster(0, 0, "")),
    "garbage-port": ("7\n/data\n1\nx\n", Postmaster(7, 0, "")),
    "separators": ("\x1c7\n/data\n1\n\x1f5432\n", Postmaster(0, 0, "")),
    "numbers-of-others": ("1_0\n/data\n1\n+5\n", Postmaster(0, 0, "")),
}


@pytest.mark.parametrize(("text", "expected"), POSTMASTER.values(), ids=POSTMASTER)
def test_postmaster(tmp_path: Path, text: str, expected: Postmaster) -> None:
    """Its lines one, four and eight; of a file that is cut off what it has."""
    data_dir = made(tmp_path / "data")
    (data_dir / "postmaster.pid").write_text(text)
    assert expected == datadir.read(data_dir).postmaster


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_postmaster(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever is in it, it is read, and the directory is data still."""
    path = tmp_path_factory.getbasetemp() / "any"
    data_dir = path if path.exists() else made(path)
    (data_dir / "postmaster.pid").write_bytes(data)
    assert datadir.read(data_dir).kind == "data"


def test_postgres_numbers_are_the_readers() -> None:
    """The vectors are of the releases that the reader knows."""
    assert tuple(MAJORS) == datadir.MAJORS
    assert {vectors.padded(content)[8:12] for content in CHECKED.values()} == {
        struct.pack("<I", version) for version in control.VERSIONS
    }
