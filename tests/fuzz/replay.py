"""Runs inputs through a target once, without atheris: ``python -m tests.fuzz.replay wal FILE…``.

What an input shows is raised as it is, with its traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fuzz.harness import load


def main() -> None:
    """Each file in turn."""
    target = load(sys.argv[1])
    for name in sys.argv[2:]:
        target.check(Path(name).read_bytes())
        print(f"{name}: nothing to be said against it")


if __name__ == "__main__":
    main()
