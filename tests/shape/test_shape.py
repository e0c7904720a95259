"""The project's own shape: imports, sizes, docstrings, words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shape import pages
from tests.shape.pages import ROOT

CODE = pages.sources("peerboot", "tests", "tools", "benchmarks")
PEERBOOT = pages.sources("peerboot")
MOST_LINES = 400
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")))
PLACES = re.compile(
    r"pypi\.[a-z]|files\.pythonhosted|(proxy|sum)\.golang\.[a-z]|registry\.npmjs|(deb|security|snapshot)\.debian\.[a-z]"
    r"|(?<![\w.-])/(work|root|home)/\w"
)


def _id(path: Path) -> str:
    return str(path)


def test_imports_keep_their_contracts() -> None:
    """Every import contract of pyproject.toml holds."""
    # In a process of its own: it turns off every logger that exists, which other tests look at.
    tool = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run(  # noqa: S603 - our own tool
        [tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_every_folder_is_a_package() -> None:
    """A folder with code has an __init__.py: without it a wheel lacks it, and no import contract sees it."""
    assert {path.parent for path in CODE if not (ROOT / path.parent / "__init__.py").is_file()} == set()


@pytest.mark.parametrize("path", PEERBOOT, ids=_id)
def test_files_stay_short(path: Path) -> None:
    """No file of peerboot is longer than 400 lines: one reads it in one go."""
    assert len((ROOT / path).read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", CODE, ids=_id)
def test_everything_public_is_described(path: Path) -> None:
    """Every module with code in it, and every public class and function of it, has a docstring."""
    text = (ROOT / path).read_text()
    if not text.strip():
        return
    tree = ast.parse(text)
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]
    bare = [node.name for node in public if not ast.get_docstring(node)]
    if not ast.get_docstring(tree):
        bare.insert(0, "the module")
    assert bare == []


@pytest.mark.parametrize("path", [p for p in PEERBOOT if p.parts[1] != "lab"], ids=_id)
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    """Only the command line and the probe, a program of its own, read argv and the environment; the lab apart."""
    if path.name in ("cli.py", "probe.py"):
        return
    tree = ast.parse((ROOT / path).read_text())
    read = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [name for name in read if name in ("os.environ", "os.getenv", "sys.argv")] == []


@pytest.mark.parametrize("path", pages.texts(), ids=_id)
def test_nothing_is_left_unfinished(path: Path) -> None:
    """No file holds a mark of unfinished work."""
    assert UNFINISHED.findall((ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", pages.texts(), ids=_id)
def test_no_place_is_named(path: Path) -> None:
    """No file names a package index's host or a path of the machine that it was written on."""
    assert [match.group() for match in PLACES.finditer((ROOT / path).read_text())] == []


def test_locks_name_no_index_and_pin_by_hash() -> None:
    """Every line of a lock file is a pinned release, its hash or a comment: an index is the installer's own matter."""
    line_shape = re.compile(r"(#.*|\s+#.*|[a-z0-9._-]+==\S+( ; [^\\]+)? \\|\s+--hash=sha256:[0-9a-f]{64}( \\)?)$")
    for name in ("run", "lab", "dev", "fuzz"):
        lines = (ROOT / f"requirements/{name}.txt").read_text().splitlines()
        assert [line for line in lines if not line_shape.match(line)] == []
        assert any("--hash" in line for line in lines)
