"""Java properties against a JDK's own answers."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerboot.systems.kafka import properties

JAVA: tuple[tuple[str, dict[str, str] | None], ...] = (
    ("", {}),
    ("\n\r\n\r", {}),
    ("a=b", {"a": "b"}),
    ("a:b", {"a": "b"}),
    ("a b", {"a": "b"}),
    ("a\tb", {"a": "b"}),
    ("a\x0cb", {"a": "b"}),
    ("a", {"a": ""}),
    ("a=", {"a": ""}),
    ("=b", {"": "b"}),
    (":b", {"": "b"}),
    ("=", {"": ""}),
    (" ", {}),
    ("a = b", {"a": "b"}),
    ("a : b", {"a": "b"}),
    ("a  =  b ", {"a": "b "}),
    ("a==b", {"a": "=b"}),
    ("a=:b", {"a": ":b"}),
    ("a: =b", {"a": "=b"}),
    ("a b=c", {"a": "b=c"}),
    ("a =b=c", {"a": "b=c"}),
    ("a  : = b", {"a": "= b"}),
    ("# c\na=1", {"a": "1"}),
    ("! c\na=1", {"a": "1"}),
    ("  # c\na=1", {"a": "1"}),
    ("a=1 # no comment", {"a": "1 # no comment"}),
    ("a=#1", {"a": "#1"}),
    ("# c \\\na=1", {"a": "1"}),
    ("a=1\na=2", {"a": "2"}),
    ("a=1\rb=2\r\nc=3", {"a": "1", "b": "2", "c": "3"}),
    ("a=1\\\n2", {"a": "12"}),
    ("a=1\\\r\n   2", {"a": "12"}),
    ("a=1\\\r2", {"a": "12"}),
    ("a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
    ("a=1\\\\\\\n2", {"a": "1\\2"}),
    ("a=1\\", {"a": "1"}),
    ("a=1\\\n", {"a": "1"}),
    ("\\", {"": ""}),
    ("\\\n", {"": ""}),
    ("\\\n\\\n", {"": ""}),
    ("\\\n#x=1", {}),
    ("\\\n a=1", {"a": "1"}),
    ("a=1\\\n#2", {"a": "1#2"}),
    ("a=1\\\n\n2=3", {"2": "3", "a": "1"}),
    ("a=1\\\n   \nb=2", {"a": "1", "b": "2"}),
    ("a\\\n=1", {"a": "1"}),
    ("a\\\nb=1", {"ab": "1"}),
    ("a=\\\n\\\n1", {"a": "1"}),
    ("# c\\", {}),
    ("\\\n#c\nb=1", {"b": "1"}),
    ("\\\n\nb=1", {"b": "1"}),
    ("  \\\n  a=1", {"a": "1"}),
    ("a\\=b=c", {"a=b": "c"}),
    ("a\\:b=c", {"a:b": "c"}),
    ("a\\ b=c", {"a b": "c"}),
    ("\\#a=b", {"#a": "b"}),
    ("\\!a=b", {"!a": "b"}),
    ("a\\\\=b", {"a\\": "b"}),
    ("a\\\\\\=b=c", {"a\\=b": "c"}),
    ("a=\\t\\n\\r\\f", {"a": "\t\n\r\x0c"}),
    ("a=\\b\\z\\q\\'\\\"", {"a": "bzq'\""}),
    ("a=\\ b", {"a": " b"}),
    ("a= \\ b", {"a": " b"}),
    ("\\t=1", {"\t": "1"}),
    ("a\\tb=1", {"a\tb": "1"}),
    ("a\\=", {"a=": ""}),
    ("\\ =1", {" ": "1"}),
    ("\\=\\=\\=", {"===": ""}),
    ("a=\\u0041", {"a": "A"}),
    ("a=\\u00e9\\u20AC", {"a": "\xe9\u20ac"}),
    ("\\u0061=1", {"a": "1"}),
    ("a=\\uD83D\\uDE00", {"a": "\U0001f600"}),
    ("a=\\u004", None),
    ("a=\\u004g", None),
    ("a=\\u", None),
    ("a=\\U0041", {"a": "U0041"}),
    ("\\u00=1", None),
    ("a\\u003Db=c", {"a=b": "c"}),
    ("a=\\u0020b", {"a": " b"}),
    ("a=\\u005cn", {"a": "\\n"}),
    ("a=\\u000a", {"a": "\n"}),
    ("a=x\\u0041y\\u0042", {"a": "xAyB"}),
    ("a=\\\\u0041", {"a": "\\u0041"}),
    ("a\\u0020=1", {"a ": "1"}),
    ("a=\\u0\\\n041", {"a": "A"}),
    ("a=\xe9", {"a": "\xe9"}),
    ("\xe9=1", {"\xe9": "1"}),
    ("a=\U0001f600", {"a": "\U0001f600"}),
    ("a=\xa0b", {"a": "\xa0b"}),
    ("a\xa0b=1", {"a\xa0b": "1"}),
    ("a=b\x0bc", {"a": "b\x0bc"}),
    ("a\x0bb=1", {"a\x0bb": "1"}),
    ("a=b\u2028c", {"a": "b\u2028c"}),
    ("a=b\x85c", {"a": "b\x85c"}),
    ("a=b\x00c", {"a": "b\x00c"}),
    ("a=b\x1cc\x1dd", {"a": "b\x1cc\x1dd"}),
    ("a=b\t", {"a": "b\t"}),
    ("\t\x0c a=b", {"a": "b"}),
    ("\ufeffa=1", {"\ufeffa": "1"}),
    ("listeners=CONTROLLER://0.0.0.0:9093", {"listeners": "CONTROLLER://0.0.0.0:9093"}),
    ('jaas=x required \\\n  user="u" \\\n  password="p=;#";', {"jaas": 'x required user="u" password="p=;#";'}),
    ("a=c:\\temp\\new", {"a": "c:\temp\new"}),
    ("a=1\n\n\n  \nb=2\n#", {"a": "1", "b": "2"}),
    ("#\n!\n", {}),
    ("a\n=b", {"": "b", "a": ""}),
)
"""What Properties.load(Reader) of OpenJDK 17 made of each text; None: IllegalArgumentException, malformed \\uxxxx."""


@pytest.mark.parametrize(("text", "expected"), [row for row in JAVA if row[1] is not None])
def test_reads_as_java_does(text: str, expected: dict[str, str]) -> None:
    """Every text has the keys and values that Java finds in it."""
    assert expected == properties.parse(text)


@pytest.mark.parametrize("text", [text for text, expected in JAVA if expected is None])
def test_refuses_what_java_refuses(text: str) -> None:
    """A malformed escape is an error that names the line."""
    with pytest.raises(ValueError, match=r"^line 1: \\u is not followed by four hex digits$"):
        properties.parse(text)


@pytest.mark.parametrize("text", ["a=\\uD83D", "a=\\uDE00\\uD83D", "a=\ud83d"])
def test_half_a_character(text: str) -> None:
    """Java takes half of a surrogate pair; nothing that is written in UTF-8 could hold it."""
    with pytest.raises(ValueError, match=r"^line 1: half of a surrogate pair stands alone$"):
        properties.parse(text)


def test_names_the_line_where_it_began() -> None:
    """An escape in a continued line is found by the line's beginning."""
    with pytest.raises(ValueError, match=r"^line 3: "):
        properties.parse("# one\n\na=1\\\n  \\u12\n")


def test_bounds() -> None:
    """A text of a megabyte and ten thousand keys are taken, no more."""
    assert properties.parse("a=" + "x" * (properties.MOST_TEXT - 2)) == {"a": "x" * (properties.MOST_TEXT - 2)}
    with pytest.raises(ValueError, match=r"^it is longer than 1048576 characters$"):
        properties.parse("#" * (properties.MOST_TEXT + 1))
    many = "".join(f"k{n}=\n" for n in range(properties.MOST_KEYS))
    assert len(properties.parse(many)) == properties.MOST_KEYS
    with pytest.raises(ValueError, match=r"^it has more than 10000 keys$"):
        properties.parse(f"{many}one=more\n")


WRITTEN = {
    "listeners": "CONTROLLER://[::]:9093,INTERNAL://0.0.0.0:9092",
    "a key=:#!\\": "  two blanks first, # and ! = : \\ inside",
    "": "",
    "lines": "\n\r\t\f\x00\x7f",
    "#first": "#first",
    "!first": "!first",
    "=first": "=first",
    ":first": ":first",
    "wide é": "\u20ac \U0001f600 \x85\u2028",
}
RENDERED = r"""listeners=CONTROLLER://[::]:9093,INTERNAL://0.0.0.0:9092
a\ key\=\:\#\!\\=\  two blanks first, # and ! = : \\ inside
=
lines=\n\r\t\f\u0000\u007F
\#first=\#first
\!first=\!first
\=first=\=first
\:first=\:first
wide\ \u00E9=\u20AC \uD83D\uDE00 \u0085\u2028
"""
"""Java (Properties.load, OpenJDK 17) reads ``WRITTEN`` from it."""


def test_writes_what_java_reads_back() -> None:
    """In order, ASCII, without a date; only what would mean something is escaped."""
    assert (properties.render(WRITTEN), RENDERED.isascii()) == (RENDERED, True)


LETTERS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\\ =:#!\n\r\t\fu0"))


@given(st.dictionaries(LETTERS, LETTERS, max_size=5))
def test_comes_back(values: dict[str, str]) -> None:
    """What is written reads back, in the same order."""
    assert list(values.items()) == list(properties.parse(properties.render(values)).items())


@given(st.text(st.sampled_from("ab=: \t\f\\\n\r#!u0041")))
def test_any_text(text: str) -> None:
    """Any text has an answer that is written and read back, or none (ValueError)."""
    found: dict[str, str] = {}
    with contextlib.suppress(ValueError):
        found = properties.parse(text)
    assert found == properties.parse(properties.render(found))
