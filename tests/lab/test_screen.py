"""The demo's screen, from a moment made by hand."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from peerboot.lab.demo import STORIES, last_lines
from peerboot.lab.etcd_story import SCENES
from peerboot.lab.screen import frame, joined
from peerboot.lab.servers import Server
from peerboot.lab.story import Outcome, Step
from tests.lab import canned

SIZES = [(80, 24), (100, 40), (200, 60), (60, 15), (20, 5)]
SGR = re.compile(r"\x1b\[([0-9;]*)m")


def drawn(width: int, height: int, *, scene: int = 4, reason: str = canned.BLANK, no_color: bool = False) -> str:
    """What the terminal gets."""
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=height,
        color_system="standard",
        _environ={"NO_COLOR": "1"} if no_color else {},
    )
    console.print(joined(frame(canned.sight(scene, reason=reason), width, height)), end="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines(text: str) -> list[str]:
    """Without colour."""
    return SGR.sub("", text).split("\n")


@pytest.mark.parametrize(("width", "height"), SIZES, ids=str)
def test_it_fits_the_terminal(width: int, height: int) -> None:
    """No line is wider and there are no more of them than the terminal has."""
    shown = lines(drawn(width, height))
    assert [line for line in shown if len(line) > width] == []
    assert len(shown) <= height


def test_nothing_is_missing_at_80x24() -> None:
    """Scene, a Pod's own words, what each sees in DNS, evidence with ages, ledger and client have room at once."""
    shown = lines(drawn(80, 24))
    assert len(shown) == 24
    assert "step 5 of 6" in shown[0]
    assert shown[1:3] == [SCENES[4].doing, f"Look: {SCENES[4].look}"]
    assert shown[3].startswith("  db-0: wait (cluster-exists): A cluster exists")
    assert [line.split() for line in shown[7:12]] == [
        ["db-0", "blank", "-", "-", "??.??", "servfail", "wait:", "cluster-exists"],
        ["db-1", "blank", "-", "-", "01.34", "wait:", "cluster-exists"],
        ["db-2", "-", "-", "-", "-", "down"],
        ["db-3", "data", "32a3bc56", "running", "01.34", "resume:", "own-data"],
        ["db-4", "data", "1fce3e22", "leader", "01.34", "idle:", "serving"],
    ]
    assert shown[13].split("  ")[:2] == [" db-0", "blank, own"]
    cells = [shown[17][start : start + 14].strip() for start in range(6, 76, 14)]
    assert cells == ["data 1 s", "(boots) 125 s", "not yet", "data 1 s", "data, own"]
    assert [line[:10] for line in shown[19:23]] == [" 18.0 db-0", " 18.5 db-0", " 19.0 db-0", " 19.5 db-0"]
    assert shown[23].startswith(" CLIENT: 920 acknowledged writes, now waiting: no quorum")


def test_more_room_shows_more_of_the_ledger() -> None:
    """A higher terminal has more lines of it, up to all."""
    assert [sum("db-0 wait/" in line for line in lines(drawn(80, height))) for height in (24, 40, 70)] == [4, 18, 40]


@pytest.mark.parametrize("scene", range(len(SCENES)), ids=lambda number: f"scene-{number}")
def test_the_words_of_each_scene_fit(scene: int) -> None:
    """What is done and what to look at are read to their ends at 80 columns."""
    assert [line for line in lines(drawn(80, 24, scene=scene))[:3] if line.endswith("…")] == []


def test_no_color_leaves_no_colour() -> None:
    """With NO_COLOR set, bold, dim and reverse are left, and no colour; without it there are colours."""
    codes = {code for found in SGR.findall(drawn(80, 24, no_color=True)) for code in found.split(";")}
    assert codes <= {"0", "1", "2", "7"}
    assert "33" in {code for found in SGR.findall(drawn(80, 24)) for code in found.split(";")}


def test_what_a_pod_says_cannot_steer_the_terminal() -> None:
    """Control characters in a reason are drawn as spaces: nothing is left beside colours and line ends."""
    text = SGR.sub("", drawn(80, 24, reason="a\x1b[2Jb\x07c\rd\x9be"))
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert "a [2Jb c d e" in text


@pytest.mark.parametrize("system", STORIES)
def test_the_last_lines_fit_80x24(system: str) -> None:
    """Times, account of the writes and what to try next are on one screen."""
    steps = tuple(Step(number, "x" * 66, 27.6) for number in (1, 2, 3, 4, 5, 5, 6))
    outcome = Outcome(steps, "f2466ba72b1364fcq01234", 123456)
    shown = last_lines(STORIES[system].texts, outcome, Server("3.6.16", Path("etcd"), ""), 255.7)
    assert [line for line in shown if len(line) > 80] == []
    assert len(shown) <= 23
