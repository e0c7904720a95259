"""Other releases of peerboot that really run: the former one as it was, and a next one made of this tree."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "peerboot"
FORMER = "0.0.1"
"""What stood before Kafka came (commit 0728e59), with this version in it; all commits so far have the same one."""
FOLLOWING = "99.0.0"


@dataclass(frozen=True)
class Program:
    """One peerboot that can be run."""

    version: str
    directory: Path

    @property
    def env(self) -> dict[str, str]:
        """The settings with which ``python -m peerboot`` is this one, wherever it is started."""
        return {"PYTHONPATH": str(self.directory), "PYTHONSAFEPATH": "1"}


Maker = Callable[[Path], Program]


def former(directory: Path) -> Program:
    """The former release, unpacked."""
    with zipfile.ZipFile(HERE / FORMER / "peerboot.zip") as archive:
        archive.extractall(directory / FORMER)
    return Program(FORMER, directory / FORMER)


def following(directory: Path) -> Program:
    """This tree as a next release may be: another version, one more field in the census and in the state."""
    target = directory / FOLLOWING / "peerboot"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("lab", "__pycache__", "cases"))
    _edit(target / "__init__.py", r'__version__ = "[^"]+"', f'__version__ = "{FOLLOWING}"')
    _edit(target / "model" / "census.py", r'    version: str = ""\n', '    version: str = ""\n    mood: str = "fine"\n')
    _edit(target / "statedir.py", r"    let_go: int = 0\n", '    let_go: int = 0\n    colour: str = "green"\n')
    return Program(FOLLOWING, target.parent)


def _edit(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1)
    assert count == 1, f"{path} has no {pattern}"
    path.write_text(text, encoding="utf-8")
