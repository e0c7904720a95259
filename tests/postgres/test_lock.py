"""Whether a server of this Pod runs, by what ``launch.sh`` says, and what is moved aside while none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerboot.systems.postgres import launch, lock

PLAN = "0123456789abcdef"


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """A data directory with the file of a server, and an output directory."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    (data / "postmaster.pid").touch()
    return data, out


@pytest.mark.parametrize(
    ("names", "there", "expected"),
    [
        ((), True, False),  # a new Pod: what ran here was another one's
        (("run.ok",), True, True),
        (("run.ok.withdrawn",), True, True),
        (("run.ok", "waiting"), True, False),
        (("run.ok",), False, False),
    ],
)
def test_who_runs(place: tuple[Path, Path], names: tuple[str, ...], there: bool, expected: bool) -> None:
    """A permit was given, the server's own file is there, and the script does not say that it waits."""
    data, out = place
    for name in names:
        (out / name).touch()
    if not there:
        (data / "postmaster.pid").unlink()
    assert lock.is_running(data, out) == expected


@pytest.mark.parametrize(
    ("names", "words"),
    [(("run.ok", "waiting"), "run.ok is there"), (("run.ok.withdrawn",), "a server may still run")],
)
def test_nothing_is_moved_from_under_a_server(place: tuple[Path, Path], names: tuple[str, ...], words: str) -> None:
    """Neither while one may run, nor while one may start."""
    data, out = place
    for name in names:
        (out / name).touch()
    with pytest.raises(OSError, match=words):
        lock.move_aside(data, out, "20260101T000000Z")
    assert data.is_dir()


def test_data_is_kept(place: tuple[Path, Path]) -> None:
    """Under another name, beside its place."""
    data, out = place
    (out / "waiting").touch()
    kept = lock.move_aside(data, out, "20260101T000000Z")
    assert (data.exists(), (Path(kept) / "postmaster.pid").exists()) == (False, True)


@pytest.mark.parametrize(
    ("mark", "begun", "names", "expected"),
    [
        (None, PLAN, (), False),
        (PLAN, PLAN, (), True),
        ("", PLAN, (), True),
        (PLAN, f"{'e' * 16}\n{PLAN}", (), True),
        (PLAN, None, (), False),  # a new Pod: nothing of this one is at work
        (PLAN, PLAN, (f"cut-off.{PLAN}",), False),
        (PLAN, PLAN, (f"used.{PLAN}",), False),
        ("f" * 16, PLAN, (), False),
    ],
)
def test_a_rewind_at_work(
    tmp_path: Path, mark: str | None, begun: str | None, names: tuple[str, ...], expected: bool
) -> None:
    """Its mark is there, it is this Pod's, and the script has not said that it ended or was cut off."""
    if begun is not None:
        (tmp_path / launch.REWINDS_NAME).write_text(f"{begun}\n")
    for one in names:
        (tmp_path / one).touch()
    assert lock.may_be_rewound(mark, tmp_path) == expected


def test_a_directory_that_is_rewound_stays(place: tuple[Path, Path]) -> None:
    """Also when the permit was taken back or replaced meanwhile: the script lets a rewind come to its end."""
    data, out = place
    (out / "waiting").touch()
    (out / launch.REWINDS_NAME).write_text(f"{PLAN}\n")
    data.with_name("data.rewinding").write_text(f"{PLAN}\n")
    with pytest.raises(OSError, match="pg_rewind may be at work"):
        lock.move_aside(data, out, "20260101T000000Z")
    (out / f"cut-off.{PLAN}").touch()
    assert lock.move_aside(data, out, "20260101T000000Z")
