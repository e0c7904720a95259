"""A script with a command after one of its lines, for each line where the shell takes one."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from tests.launch.container import Container


def parse(shell: tuple[str, ...], text: str) -> tuple[int, bytes]:
    """Exit code and words of the shell that only looks whether it is a script."""
    done = subprocess.run([*shell, "-n"], input=text.encode(), capture_output=True, check=False)  # noqa: S603 - the shells of this machine
    return done.returncode, done.stdout + done.stderr


@cache
def places(shell: tuple[str, ...], text: str) -> tuple[int, ...]:
    """The lines after which the shell takes another command; the watcher's are not of the script's own course."""
    lines = text.splitlines()
    found, inside = [], False
    for k, line in enumerate(lines, 1):
        inside = (inside or line.startswith("watch_for_stop()")) and line != "}"
        given = "\n".join((*lines[:k], "true", *lines[k:])) + "\n"
        a_command = line.strip() and not line.lstrip().startswith("#") and not line.endswith(("\\", "||", "&&"))
        if a_command and not inside and parse(shell, given) == (0, b""):
            found.append(k)
    return tuple(found)


def variant(container: Container, text: str, k: int, command: str) -> Path:
    """The script with a command after line k."""
    lines = text.splitlines()
    path = container.run_dir / "variant.sh"
    path.write_text("\n".join((*lines[:k], command, *lines[k:])) + "\n")
    return path


def passed(container: Container, text: str) -> list[int]:
    """Those lines that a run gets to, in the order in which it first does, told by one run that notes each."""
    known = set(places(container.shell, text))
    noted = ['at_line() { at_status=$?; printf \'%s\\n\' "line $1" >>"$LOG"; return $at_status; }']
    for k, line in enumerate(text.splitlines(), 1):
        noted += [line, f"at_line {k}"] if k in known else [line]
    trace = container.run_dir / "trace.sh"
    trace.write_text("\n".join(noted) + "\n")
    assert container.run(trace) == 0, container.runs[-1].says()
    return list(dict.fromkeys(int(k) for k in container.calls("line")))
