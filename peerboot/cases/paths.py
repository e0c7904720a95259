"""Any one value of facts by its path, for what the words of a case do not say. Paths are those of JSON pointers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from peerboot.model import Facts


def tree_of(facts: Facts) -> Any:
    """The facts as dicts, lists and scalars; sets are sorted."""
    return msgspec.json.decode(msgspec.json.encode(facts, order="sorted"))


def changed(facts: Facts, sets: Sequence[Sequence[str]], unsets: Sequence[Sequence[str]]) -> Facts:
    """The facts with what such lines say; raises ``ValueError`` for one that leads nowhere."""
    tree = tree_of(facts)
    try:
        for path, *_ in unsets:
            holder, key = _place(tree, path)
            del holder[key]
        for path, text, *_ in sets:
            holder, key = _place(tree, path)
            holder[key] = json.loads(text)
        return msgspec.convert(tree, Facts)
    except (LookupError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"a line with `set` or `unset` does not fit: {error}") from None


def _place(tree: Any, path: str) -> tuple[Any, Any]:
    """Where the last step of a path leads to."""
    *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in path.split("/"))
    for step in steps:
        tree = tree[int(step)] if isinstance(tree, list) else tree[step]
    return tree, int(last) if isinstance(tree, list) else last


def differences(before: Facts, after: Facts) -> list[str]:
    """The lines that make the one into the other."""
    return list(_lines(tree_of(before), tree_of(after), ""))


def _lines(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            step = f"{path}/{_step(key)}" if path else _step(key)
            if key not in after:
                yield f"unset {shlex.quote(step)}"
            elif key not in before:
                yield f"set {shlex.quote(step)} {_value(after[key])}"
            else:
                yield from _lines(before[key], after[key], step)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lines(one, other, f"{path}/{index}")
    elif before != after:
        yield f"set {shlex.quote(path)} {_value(after)}"


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _value(value: Any) -> str:
    # In ASCII, so that no character of a text can end the line.
    return shlex.quote(json.dumps(value))
