"""The writer of YAML: what it writes is read as what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerboot.manifest.writer import Row, Why, comment, document, scalar, why
from peerboot.outside import yaml

TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS
PLAIN_ROWS = st.recursive(SCALARS, lambda inner: st.dictionaries(TEXTS, inner, max_size=3).map(Row), max_leaves=4)
TREES = st.dictionaries(
    TEXTS,
    st.recursive(
        PLAIN_ROWS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, min_size=1, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


@given(TREES)
def test_what_is_written_is_read_back(tree: dict[str, Any]) -> None:
    """Any tree of mappings, lists and scalars comes back as it was."""
    assert yaml.load(document(tree)) == tree


@pytest.mark.parametrize(
    "word",
    ["yes", "No", "on", "null", "~", "1", "1e3", "0x1f", "1_000", "2001-01-01", "12:30", ".5", ".inf", "a: b", ""],
)
def test_words_that_mean_something_else_are_quoted(word: str) -> None:
    """Text that a reader could take for a number, a truth, a date or nothing stays text."""
    assert scalar(word) == f'"{word}"'


def test_comments_stand_where_they_belong() -> None:
    """Above the entry or the item that they are about, as deep as it is."""
    tree = {
        **why("first"),
        "a": [Why("item"), {**why("inside"), "b": 1, "c": Row(d="e")}, "plain"],
        "f": {"g": [1, "two"], **why("last"), "h": {}},
    }
    assert document(tree) == (
        "---\n# first\na:\n  # item\n  # inside\n  - b: 1\n    c: {d: e}\n  - plain\n"
        "f:\n  g: [1, two]\n  # last\n  h: {}\n"
    )


def test_comments_are_wrapped_and_commands_are_not() -> None:
    """A sentence is broken between words; a line that begins with two spaces is a command and stays whole."""
    lines = comment("word " * 40 + "\n  " + "command " * 30)
    assert [len(line) > 118 for line in lines] == [False, False, True]
    assert all(line.startswith("# ") for line in lines)
