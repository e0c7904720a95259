"""Every ``cases/*.txt`` of every system says what is decided and done for its facts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peerboot.cases.outcome import outcome_of
from peerboot.cases.reader import parse

SYSTEMS = Path(__file__).parents[2] / "peerboot" / "systems"


def blocks() -> Iterator[tuple[Path, int, str]]:
    """Each case: its file, its number in the file, its text."""
    for path in sorted(SYSTEMS.glob("*/cases/*.txt")):
        for number, text in enumerate(path.read_text().split("\n====\n"), 1):
            yield path, number, text


CASES = list(blocks())


def outcome(text: str, system: str) -> str:
    """The part below ``----`` as it ought to be."""
    return outcome_of(parse(text.partition("\n----\n")[0], system))


IDS = [f"{path.parents[1].name}-{path.stem}-{number}" for path, number, _ in CASES]


@pytest.mark.parametrize(("path", "number", "text"), CASES, ids=IDS)
def test_case(path: Path, number: int, text: str, request: pytest.FixtureRequest) -> None:
    """The facts of a case lead to exactly the decision and the actions that it lists."""
    given, _, expected = text.partition("\n----\n")
    actual = outcome(text, path.parents[1].name)
    if request.config.getoption("--rewrite"):
        every = path.read_text().split("\n====\n")
        every[number - 1] = f"{given}\n----\n{actual}" + ("\n" if number == len(every) else "")
        path.write_text("\n====\n".join(every))
        expected = actual
    assert expected.strip() == actual


def test_there_are_cases() -> None:
    """The runner found the case files of etcd, at least one a row of its decision table."""
    etcd = [path.name for path, _, _ in CASES if path.parents[1].name == "etcd"]
    rows = {name.split("-")[1] for name in etcd if name.startswith("row-")}
    expected = {f"{row:02d}" for row in range(1, 27) if row != 19}
    assert expected == rows & expected
