"""``.ci/run``, with a make that only tells what it was asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.shape.pages import ROOT

MAKE = """#!/bin/sh
for target; do :; done
case $target in
    FAILS) echo "$target: no rule for it"; exit 2 ;;
    prepare) PREPARE ;;
    test) TEST ;;
esac
echo "$target" >>"$0.log"
"""
ORDER = ["servers", "test", "test-together", "test-kubernetes"]
"""As it is run; of several targets that are made at once the last."""
BESIDE = ["prepare", "fuzz"]
"""What is run in this order beside it."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout of nothing but the script, and a PATH with the make."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    return tmp_path


def run(tree: Path, *, fails: str = "", prepare: str = ":", test: str = ":") -> tuple[int, list[str], str]:
    """Its exit code, the targets that were made, and what it says on stderr."""
    make = tree / "make"
    make.write_text(MAKE.replace("FAILS", fails or "none").replace("PREPARE", prepare).replace("TEST", test))
    make.chmod(0o755)
    done = subprocess.run(  # noqa: S603 - our own script
        [tree / ".ci/run"], env={**os.environ, "PATH": f"{tree}:{os.environ['PATH']}"}, check=False,
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    log = tree / "make.log"
    return done.returncode, log.read_text().split() if log.exists() else [], done.stderr


def test_the_long_tests_are_prepared_beside_the_short_ones(tree: Path) -> None:
    """Neither waits for the other: each ends when it has seen that the other has begun. What is prepared is awaited
    before the last, which needs it.
    """
    until = 'touch "$0.{}"; until [ -e "$0.{}" ]; do sleep 0.02; done'
    code, made, _ = run(tree, test=until.format("one", "two"), prepare=until.format("two", "one"))
    assert (code, [name for name in made if name not in BESIDE]) == (0, ORDER)
    assert [name for name in made if name in BESIDE] == BESIDE
    assert 0 < made.index("prepare") < made.index("fuzz") < len(made) - 1


@pytest.mark.parametrize("target", ORDER)
def test_what_fails_ends_it(tree: Path, target: str) -> None:
    """With its exit code, and nothing is run after it."""
    code, made, _ = run(tree, fails=target)
    assert (code, [name for name in made if name not in BESIDE]) == (2, ORDER[: ORDER.index(target)])


@pytest.mark.parametrize("target", BESIDE)
def test_what_fails_beside_it_fails_it(tree: Path, target: str) -> None:
    """A preparation, or a fuzzer that found something; with the end of what it said."""
    code, made, said = run(tree, fails=target)
    assert (code, "test-kubernetes" in made, f"{target}: no rule for it" in said) == (1, False, True)
    assert [name for name in made if name in BESIDE] == BESIDE[: BESIDE.index(target)]


def test_no_preparation_is_left_behind(tree: Path) -> None:
    """When the tests fail first, what is still being prepared is ended."""
    pid = tree / "pid"
    code, _, _ = run(tree, prepare=f"echo $$ >{pid}; sleep 60", test=f"until [ -s {pid} ]; do sleep 0.02; done; exit 3")
    end = time.monotonic() + 20
    while (left := Path(f"/proc/{pid.read_text().strip()}").exists()) and time.monotonic() < end:
        time.sleep(0.02)
    assert (code, left) == (3, False)


def test_every_file_of_real_servers_is_in_a_group() -> None:
    """A file of tests/real or tests/kubernetes that no group of the Makefile names would never be run."""
    words = [str(shutil.which("make")), "-pn", "help"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603 - make itself
    groups = re.findall(r"^[A-Z_]+ := (.*tests/(?:real|kubernetes)/.*)$", told, re.MULTILINE)
    named = {word for group in groups for word in group.split() if word.startswith("tests/")}
    # This one takes what there is, as its recipe.
    postgres = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/real").glob("test_postgres*.py")}
    there = {
        str(p.relative_to(ROOT))
        for folder in ("real", "kubernetes")
        for p in (ROOT / "tests" / folder).glob("test_*.py")
    }
    assert there - named - postgres == set()
    assert "tests/real/test_disaster.py" in named
