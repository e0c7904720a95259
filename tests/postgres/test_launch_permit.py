"""The permit of Postgres: what one side writes the other reads, and what one side does not take the other does not."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerboot.systems.postgres import launch
from peerboot.systems.postgres.launch import Permit, permit_text, read_permit, script
from peerboot.systems.postgres.script import KEYS
from tests.launch.container import PLAN, SHELLS, THIRD
from tests.postgres.container import SOURCE, SYSTEM, Pod

PERMITS = (
    Permit(kind="first", plan=PLAN, work="init", data="/var/lib/p g"),
    Permit(kind="first", plan=THIRD, work="clone", data="/d=é", system=SYSTEM, source=SOURCE, slot="pg_1"),
    Permit(kind="resume", plan=PLAN, work="start", data="/a//b", system=SYSTEM),
    Permit(kind="resume", plan=PLAN, work="rewind", data="/d", system=SYSTEM, source="host=x # y"),
)
READER = """
set -f
for text_file in $2; do
    said_note='' file_text='' answer=no
    if read_file "$text_file"; then
        permit_text=$file_text
        if parse_permit && is_permit; then answer=yes; fi
    fi
    printf '%s\\n' "$answer"
done
"""


def ask(shell: tuple[str, ...], directory: Path, texts: list[str]) -> list[bool]:
    """What the script's own functions say to each text."""
    frame = script()
    reader = directory / "reader.sh"
    reader.write_text(frame[: frame.index("\nfind_tools\n")] + READER)
    names = []
    for number, text in enumerate(texts):
        names.append(directory / f"text-{number}")
        names[-1].write_bytes(text.encode())
    done = subprocess.run(  # noqa: S603 - the script under test
        [*shell, str(reader), "", "\n".join(map(str, names))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line == "yes" for line in done.stdout.splitlines()]


@pytest.mark.parametrize("permit", PERMITS, ids=lambda permit: permit.work)
def test_a_permit_is_read_as_it_was_written(permit: Permit) -> None:
    """Whatever the reason: it is a comment in one line."""
    text = permit_text(permit, "two\nlines\x1b and = signs " * 100)

    assert permit == read_permit(text)
    assert text.startswith("# peerboot lets this server start: two lines")
    assert max(map(len, text.splitlines())) < 600


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": "0123456789abcde"},
        {"plan": "0123456789abcdeg"},
        {"plan": "a" * 65},
        {"kind": "resume"},
        {"work": "start"},
        {"data": "d"},
        {"data": "/"},
        {"data": "/d/"},
        {"data": "/d\nkind=first"},
        {"data": "/" + "d" * 70000},
        {"system": ""},
        {"system": "7a"},
        {"source": ""},
        {"source": "host=a\x00"},
        {"slot": "Pg"},
        {"slot": "pg-1"},
    ],
    ids=lambda changes: "-".join(f"{key}={value}"[:24] for key, value in changes.items()).replace("\n", " "),
)
def test_a_permit_that_nobody_could_read_is_not_written(changes: dict[str, object]) -> None:
    """The mistake is found where it is made, not by a server that never starts."""
    with pytest.raises(ValueError, match="cannot be written"):
        permit_text(msgspec.structs.replace(PERMITS[1], **changes))


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_both_sides_agree_what_goes_together(tmp_path: Path, shell: tuple[str, ...]) -> None:
    """Of all kinds and works, with each part there or not, the script takes those that peerboot reads as a permit."""
    kinds, works = ("first", "resume", "", "later"), ("init", "clone", "start", "rewind", "")
    parts = itertools.product(kinds, works, ("", SYSTEM), ("", SOURCE), ("", "s"))
    texts = [
        f"kind={kind}\nplan={PLAN}\nwork={work}\ndata=/d\nsystem={system}\nsource={source}\nslot={slot}\nend={PLAN}\n"
        for kind, work, system, source, slot in parts
    ]
    expected = [read_permit(text) is not None for text in texts]

    assert expected == ask(shell, tmp_path, texts)
    assert (len(texts), sum(expected)) == (160, 5)


VALUES = ("", "/", "//", "/d/", "d", "*", "first", "init", SYSTEM, PLAN, PLAN.upper(), PLAN * 5, "-1", " 1", "1 ")
ODD = st.one_of(
    st.sampled_from(VALUES),
    st.text(st.characters(min_codepoint=0, max_codepoint=127, exclude_characters="\n"), max_size=20),
    st.text(st.sampled_from("é=# \t'\"\\$`*"), max_size=8),
)
LINE = st.one_of(st.tuples(st.sampled_from([*KEYS, "end", "fence", ""]), ODD).map("=".join), st.just("# x"), ODD)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A permit with one part that is another, missing, twice, or cut off; or none of that."""
    lines = permit_text(draw(st.sampled_from(PERMITS)), "because").splitlines()
    how = draw(st.sampled_from(["value", "missing", "more", "twice", "cut", "none"]))
    at = draw(st.integers(1, len(lines) - 1))
    if how == "value":
        lines[at] = lines[at].partition("=")[0] + "=" + draw(ODD)
    elif how == "missing":
        del lines[at]
    elif how == "more":
        lines.insert(at, draw(LINE))
    elif how == "twice":
        lines.insert(at, draw(st.sampled_from(lines)))
    text = "\n".join(lines) + "\n"
    return text[: draw(st.integers(0, len(text)))] if how == "cut" else text


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(damaged(), min_size=1, max_size=20))
def test_what_one_side_does_not_take_nor_does_the_other(
    tmp_path: Path, shell: tuple[str, ...], texts: list[str]
) -> None:
    """A permit that is wrong in one part: a server starts with exactly those that peerboot would read back."""
    assert [read_permit(text) is not None for text in texts] == ask(shell, tmp_path, texts)


BAD_TEXTS: dict[str, Callable[[str], str]] = {
    "empty": lambda _text: "",
    "nothing but a comment": lambda text: text.splitlines()[0] + "\n",
    "a key of a newer peerboot": lambda text: text + "fence=1\n",
    "a value without a key": lambda text: text + "=\n",
    "cut off": lambda text: text[: text.index("system=")],
    "cut off in its last word": lambda text: text[:-3],
    "a plan that is a path": lambda text: text.replace(PLAN, "../../../../etc/x"),
    "zeros where the disk lost it": lambda text: text.replace("data=/", "data=\0/"),
    "too long": lambda text: text.replace("# ", "# " + "x" * 70000),
    "too long behind its end": lambda text: text + "# x\n" * 20000,
}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("name", BAD_TEXTS)
def test_what_is_no_permit_starts_nothing(tmp_path: Path, shell: tuple[str, ...], name: str) -> None:
    """It is said once, and the script waits for another, and takes that."""
    pod = Pod(tmp_path, shell)
    bad = BAD_TEXTS[name](permit_text(pod.init(), "why"))
    pod.write(launch.PERMIT_NAME, bad)
    pod.write("status.txt", "waits for x\nstartup=no ready=no\n")
    run = pod.start()
    try:
        run.wait_for("waits for x")
        # An empty file is as none.
        note = f"{pod.run_dir}/run.ok is no permit that this script knows: waiting for peerboot to write another"
        assert [*([note] if bad else []), "waits for x"] == pod.said()
        assert (pod.calls("initdb"), pod.calls("start"), read_permit(bad)) == ([], [], None)
        pod.permit(pod.init())

        assert run.ends() == 0
    finally:
        run.stop()
    assert len(pod.calls("initdb")) == 1
