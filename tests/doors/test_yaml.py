"""The door to YAML: what a user's file may be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerboot.outside import yaml
from peerboot.outside.yaml import YamlError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# only words\n", None),
        ("a: 1\nb: two\nc: true\nd: [1, 2]\n", {"a": 1, "b": "two", "c": True, "d": [1, 2]}),
        ("a: {b: {c: 1}}\n", {"a": {"b": {"c": 1}}}),
        ("a: &x 1\n", {"a": 1}),
        ("---\na: 1\n...\n", {"a": 1}),
    ],
    ids=["nothing", "comments", "mapping", "nested", "an anchor nobody uses", "document marks"],
)
def test_what_is_read(text: str, expected: object) -> None:
    """Plain YAML is plain values."""
    assert expected == yaml.load(text)


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands twice"),
        ("x: {a: 1,\n  a: 2}\n", "line 2: 'a' stands twice"),
        ("a: &x [1]\nb:\n  - 1\n  - *x\n\n\nc: 1\n", "line 4: aliases (*) are not supported"),
        ("a: *x\n", "line 1: aliases (*) are not supported"),
        ("? [1, 2]\n: 3\n", "line 1: a key must be a plain word"),
        ("a: 1\n---\nb: 2\n", "line 2: but found another document"),
        ("a: [\n", "line 2: expected the node content, but found '<stream end>'"),
        ("\ta: 1\n", "line 1: found character '\\t' that cannot start any token"),
        ("a: 1\nb: \x07\n", "line 2: a control character"),
        ("a: !!python/name:os.system\n", "line 1: could not determine a constructor for the tag"),
        ("<<: {a: 1}\n", "line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:merge'"),
        ("a: 2026-13-45\n", "a value cannot be read: "),
        ("a: !!int ''\n", "line 1: a value is not what its tag (!!) says"),
        ("b: 1\na: !!float ''\n", "line 2: a value is not what its tag (!!) says"),
        ("a: !!bool maybe\n", "line 1: a value is not what its tag (!!) says"),
        ("a: !!timestamp noon\n", "line 1: a value is not what its tag (!!) says"),
        ("a: 0x" + "f" * 4000 + "\n", "line 1: a number of too many digits"),
        ("? " + "k" * 900 + "\n: 1\n? " + "k" * 900 + "\n: 2\n", "line 3: 'kkkkkkkkkk"),
        ("a: " + "[" * 5000 + "\n", "it is nested too deeply"),
        ("a: " + "x" * (1 << 20), "it is longer than 1048576 characters"),
    ],
    ids=[
        "key twice",
        "key twice inside",
        "alias",
        "alias of nothing",
        "list for a key",
        "two documents",
        "cut off",
        "tab",
        "control character",
        "Python",
        "merge",
        "no date",
        "no int for int",
        "no float for float",
        "no bool for bool",
        "no time for time",
        "huge number",
        "long key twice",
        "deep",
        "long",
    ],
)
def test_what_is_refused(text: str, say: str) -> None:
    """One line, with the line of the file where there is one."""
    with pytest.raises(YamlError) as caught:
        yaml.load(text)
    assert str(caught.value).startswith(say)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_bomb_of_aliases_does_not_unfold() -> None:
    """A few hundred bytes that would be gigabytes are refused at the first alias."""
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 64))
    with pytest.raises(YamlError, match="line 2: aliases"):
        yaml.load(bomb)


@settings(max_examples=200)
@given(st.text(max_size=100) | st.text(alphabet="a:-[]{}&*!|>'\"%@`#?, \n\t0", max_size=60))
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    """No text is another error, and no error has two lines."""
    said = ""
    try:
        yaml.load(text)
    except YamlError as error:
        said = str(error)
    assert "\n" not in said
