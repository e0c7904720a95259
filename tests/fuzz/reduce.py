"""Keeps of a target's inputs the few that reach all that they reach together, as ``tests/fuzz/corpus``.

``python -m tests.fuzz.reduce dns`` looks at what is committed and at what the fuzzer has found (``build/fuzz/corpus``),
the shortest first, and keeps an input when it takes a step from line to line of the code under test that none before it
took. No atheris is needed. What a committed input is called tells where it is from: ``seed-…`` is real (``seeds.py``),
``broke-…`` once broke an invariant, and both are always kept; ``found-…`` is what the fuzzer made.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.harness import CORPUS, HERE, TARGETS, load
from tests.fuzz.seeds import FOUND

PEERBOOT = str(HERE.parents[1] / "peerboot")
MOST = 40
"""Inputs that the fuzzer made and that are kept of a target; the last ones reach next to nothing."""
ALWAYS = ("seed-", "broke-")
Step = tuple[str, int, int]


def steps_of(check: Callable[[bytes], None], data: bytes) -> set[Step]:
    """From which line to which, in the files under test; an input that breaks an invariant has none."""
    taken: set[Step] = set()

    def trace(frame: FrameType, event: str, _value: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PEERBOOT):
            return None
        last = frame.f_lineno

        def inside(inner: FrameType, what: str, _more: Any) -> Any:
            nonlocal last
            if what == "line":
                taken.add((inner.f_code.co_filename, last, inner.f_lineno))
                last = inner.f_lineno
            return inside

        return inside if event == "call" else None

    sys.settrace(trace)
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - told, and not kept under this name
        print(f"it breaks something: {type(error).__name__}: {error}")
        return set()
    finally:
        sys.settrace(None)
    return taken


def reduced(name: str) -> list[tuple[str, bytes]]:
    """The inputs to keep, by the names that they get."""
    check = load(name).check
    inputs: dict[bytes, str] = {}
    for folder in (FOUND / name, CORPUS / name):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            inputs[path.read_bytes()] = _title(path)
    seen: set[Step] = set()
    kept = [(title, data) for data, title in inputs.items() if title.startswith(ALWAYS)]
    for _, data in kept:
        seen |= steps_of(check, data)
    most = len(kept) + MOST
    for data, title in sorted(inputs.items(), key=lambda item: (len(item[0]), item[0])):
        if title.startswith(ALWAYS) or len(kept) >= most:
            continue
        if fresh := steps_of(check, data) - seen:
            kept.append((title, data))
            seen |= fresh
    return kept


def _title(path: Path) -> str:
    if path.name.startswith(("seed-", "found-", "broke-")):
        return path.name
    by_hash = len(path.name) == 40 and not path.name.strip("0123456789abcdef")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"found-{digest}" if by_hash else f"seed-{path.name}"


def main() -> None:
    """Of the targets that are named, or of all."""
    for name in sys.argv[1:] or TARGETS:
        kept = reduced(name)
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for title, data in kept:
            (folder / title).write_bytes(data)
        print(f"{name}: {len(kept)} inputs, {sum(len(data) for _, data in kept)} bytes")


if __name__ == "__main__":
    main()
