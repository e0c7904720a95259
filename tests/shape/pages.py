"""Reading the project's own files: what is tracked, and the parts of a Markdown page."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
INPUTS = ("tests/fuzz/corpus/", "tests/fuzz/samples/")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project that git knows, relative to its root; the fuzzer's inputs, which are no text, apart."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    names = [name for name in listed.stdout.split("\0") if name and not name.startswith(INPUTS)]
    return tuple(Path(name) for name in names if (ROOT / name).is_file())


def texts() -> tuple[Path, ...]:
    """The same without the former release of peerboot, which is an archive and stays as it was."""
    return tuple(path for path in tracked() if path.suffix != ".zip")


def sources(*folders: str) -> tuple[Path, ...]:
    """The Python files in these folders."""
    return tuple(path for path in tracked() if path.suffix == ".py" and path.parts[0] in folders)


def markdown() -> tuple[Path, ...]:
    """Every page."""
    return tuple(path for path in tracked() if path.suffix == ".md")


def sections(text: str) -> list[str]:
    """The second-level headings outside code blocks."""
    return re.findall(r"^## (.+)$", _without_blocks(text), re.MULTILINE)


def links(text: str) -> list[str]:
    """Targets of links outside code blocks, without those to other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", _without_blocks(text))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(text: str) -> set[str]:
    """What a page's headings are called in links: as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", _without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of the ``console`` blocks, without its comment, with the lines that it is said to print."""
    for block in blocks(text, "console"):
        command, shown = "", list[str]()
        for line in block.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, shown
                command, shown = line[2:].partition("  #")[0].strip(), []
            else:
                shown.append(line)
        if command:
            yield command, shown
