"""The checker can refuse: histories by hand, each wrong in one way, and one that is right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from peerboot.lab.errors import LabError
from tests.storm.history import History, Operation
from tests.storm.linearizable import check

HISTORIES = Path(__file__).parent / "histories"
WRONG = sorted(path for path in HISTORIES.glob("*.jsonl") if path.stem != "good")


def checked(path: Path, tmp_path: Path) -> tuple[str, list[str] | None]:
    """The verdict on a copy, for the checker draws beside what it refuses; and the keys that it names."""
    verdict = check(Path(shutil.copy(path, tmp_path)))
    return verdict.verdict, verdict.violated


def test_a_good_history_is_accepted(tmp_path: Path) -> None:
    """With writes of unknown outcome that took place, late, or never, and one that was refused."""
    assert checked(HISTORIES / "good.jsonl", tmp_path) == ("linearizable", None)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_history_is_refused(path: Path, tmp_path: Path) -> None:
    """With the key that it is wrong for, and a page that draws it."""
    assert checked(path, tmp_path) == ("violated", ["a"])
    assert len(list(tmp_path.glob("*.html"))) == 1


def test_what_the_writers_write_is_what_the_checker_reads(tmp_path: Path) -> None:
    """Each field arrives: without any one of them this history would be another."""
    with History(tmp_path / "history.jsonl") as history:
        history.add(Operation(0, "k", "put", 1, "1", outcome="ok", ended=2))
        history.add(Operation(0, "k", "cas", 3, "2", "1", outcome="ok", swapped=True, ended=4))
        history.add(Operation(1, "k", "cas", 5, "3", "1", outcome="ok", found="2", ended=6))
        history.add(Operation(1, "k", "put", 7, "4", ended=8))
        history.add(Operation(2, "k", "get", 9, outcome="ok", found="4", ended=10))
    verdict = check(history.path)
    assert (verdict.verdict, verdict.operations, verdict.unknown) == ("linearizable", 5, 1)
    assert (history.counts["ok"], history.counts["unknown"], history.total) == (4, 1, 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no operation"),
        ("{", "line 1"),
        ('{"key": "a", "kind": "get", "outcome": "perhaps"}\n', "no operation"),
        ('{"key": "a", "kind": "put", "outcome": "ok", "value": "1"}\n' * 2, "not unique"),
        ('{"key": "a", "kind": "get", "outcome": "ok", "call": 2, "return": 1}\n', "before it is called"),
    ],
    ids=["empty", "no-json", "unknown-word", "same-value-twice", "time-runs-back"],
)
def test_what_is_no_history_is_an_error(text: str, said: str, tmp_path: Path) -> None:
    """Nothing that cannot be understood counts as good."""
    path = tmp_path / "history.jsonl"
    path.write_text(text)
    with pytest.raises(LabError, match=said):
        check(path)
