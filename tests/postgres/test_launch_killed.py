"""``launch.sh`` of Postgres killed after each of its lines, and with its permit withdrawn after each of them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path

import pytest

from peerboot.systems.postgres.launch import script
from tests.postgres.container import NEXT, ON, PLAN, SHELLS, Pod

SCENES = ("init", "clone", "resume", "rewind")
LAST_LOOK = "the permit was withdrawn or replaced just before the start"
"""In the script: what comes after it is the start itself."""


def prepare(pod: Pod, scene: str) -> None:
    """A blank volume, or one whose server was promoted and is a standby next."""
    pod.wipe()
    if scene in ("resume", "rewind"):
        pod.has_data()
    pod.permit(getattr(pod, scene)())


def parse(shell: tuple[str, ...], text: str) -> tuple[int, bytes]:
    """Exit code and words of the shell that only looks whether it is a script."""
    done = subprocess.run([*shell, "-n"], input=text.encode(), capture_output=True, check=False)  # noqa: S603 - as above
    return done.returncode, done.stdout + done.stderr


@cache
def places(shell: tuple[str, ...]) -> tuple[int, ...]:
    """The lines after which the shell takes another command; the watcher's are not of the script's own course."""
    lines = script().splitlines()
    found, inside = [], False
    for k, line in enumerate(lines, 1):
        inside = (inside or line.startswith("watch_for_stop()")) and line != "}"
        text = "\n".join((*lines[:k], "true", *lines[k:])) + "\n"
        a_command = line.strip() and not line.lstrip().startswith("#") and not line.endswith(("\\", "||", "&&"))
        if a_command and not inside and parse(shell, text) == (0, b""):
            found.append(k)
    return tuple(found)


def variant(pod: Pod, name: str, k: int, command: str) -> Path:
    """The script with a command after line k."""
    lines = script().splitlines()
    path = pod.run_dir / name
    path.write_text("\n".join((*lines[:k], command, *lines[k:])) + "\n")
    return path


def passed(pod: Pod) -> list[int]:
    """Those lines that a run gets to, in the order in which it first does, told by one run that notes each."""
    lines = script().splitlines()
    known = set(places(pod.shell))
    noted = ['at_line() { at_status=$?; printf \'%s\\n\' "line $1" >>"$LOG"; return $at_status; }']
    for k, line in enumerate(lines, 1):
        noted += [line, f"at_line {k}"] if k in known else [line]
    trace = pod.run_dir / "trace.sh"
    trace.write_text("\n".join(noted) + "\n")
    assert pod.run(trace) == 0, pod.runs[-1].says()
    return list(dict.fromkeys(int(k) for k in pod.calls("line")))


def left(pod: Pod) -> str:
    """All that a run left for the next one."""
    tops = (pod.volume, pod.run_dir)
    paths = [path for top in tops for path in sorted(top.rglob("*")) if path.is_file() and path.suffix != ".sh"]
    return "\n".join(f"{path}: {path.read_text()}" for path in paths)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_any_line_it_can_be_run_again(tmp_path: Path, scene: str, shell: tuple[str, ...]) -> None:
    """The next run ends as one that was never killed, or, inside of pg_rewind, waits until the directory is replaced.

    It is killed after every line, and run again once for each different state that this left.
    """
    pod = Pod(tmp_path, shell)
    prepare(pod, scene)
    killed_at = passed(pod)
    seen: set[str] = set()
    cut_off = 0
    for k in killed_at:
        prepare(pod, scene)
        where = f"killed after line {k}: {script().splitlines()[k - 1].strip()}"
        assert pod.run(variant(pod, "variant.sh", k, "kill -9 $$")) == -signal.SIGKILL, where
        assert pod.calls("start") == [], where
        # Never under its name what is not whole, but for the one that is marked.
        assert not pod.data.exists() or (pod.data / "whole").exists() or pod.rewinding.exists(), where
        # Nor what would take writes, once a plan has done its work.
        done = pod.used() or (scene in ("init", "clone") and pod.data.exists())
        assert not done or pod.rewinding.exists() or (pod.data / "standby.signal").exists(), where
        had_its_name = pod.data.exists()
        state = left(pod)
        if state in seen:
            continue
        seen.add(state)
        run = pod.start()
        code = run.settles()
        if code is None:
            assert scene == "rewind", (where, run.says())
            cut_off += 1
            assert (pod.calls("start"), pod.rewinding.exists()) == ([], True), where
            assert f"pg_rewind was cut off on {pod.data}" in run.says()[0]
            assert (Path(f"{pod.data}.before-{PLAN}") / "pg_wal" / "000000010000000000000001").exists(), where
            shutil.move(pod.data, pod.volume / "aside")
            pod.permit(pod.clone(NEXT))
            code = run.ends()
        assert code == 0, (where, run.says())
        assert pod.calls("on") == [ON], where
        assert [f"-D {pod.data}"] == pod.calls("start"), where
        made = {"init": "initdb", "clone": "basebackup", "resume": "initdb", "rewind": "rewind"}[scene]
        most = 0 if scene == "resume" else 1 if scene == "rewind" or had_its_name else 2
        assert len(pod.calls(made)) <= most, where
        assert not pod.rewinding.exists(), where
        assert not pod.new.exists(), where
        assert not pod.waiting.exists(), where
    assert len(killed_at) > {"init": 110, "clone": 110, "resume": 90, "rewind": 110}[scene]  # or the trace was blind
    assert len(seen) >= {"init": 8, "clone": 8, "resume": 5, "rewind": 10}[scene]
    assert (cut_off > 0) == (scene == "rewind")


@pytest.mark.parametrize("shell", SHELLS[:1], ids=" ".join)
@pytest.mark.parametrize("scene", ["resume", "clone"])
def test_a_permit_withdrawn_at_any_line_starts_nothing(tmp_path: Path, scene: str, shell: tuple[str, ...]) -> None:
    """But after the last look; a server that starts by then is ended by the file ``stop``, which comes with it."""
    pod = Pod(tmp_path, shell)
    prepare(pod, scene)
    last_look = next(k for k, line in enumerate(script().splitlines(), 1) if LAST_LOOK in line)
    course = passed(pod)
    # The first line that is passed behind the check, for its message comes only where it fails.
    behind = course.index(min(k for k in course if k > last_look))
    withdraw = f"rm -f '{str(pod.run_dir).replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}/run.ok' # and on"
    started = []
    for k in course:
        prepare(pod, scene)
        run = pod.start(variant(pod, "variant.sh", k, withdraw))
        code = run.settles()
        run.stop()
        if code is not None:
            assert code == 0, (k, run.says())
            started.append(k)
        assert len(pod.calls("start")) == (code is not None), k
    assert course[behind:] == started
    assert 5 < len(started) < len(course) // 3


def test_the_script_is_for_every_shell() -> None:
    """It parses, and is the same for every Pod: plain ASCII with nothing of this one in it."""
    for shell in SHELLS:
        assert parse(shell, script()) == (0, b"")
    assert script().isascii()
    assert not re.search(r"(?m)^\s*(local|function|source|eval)\b(?!\))|\[\[ ", script())
    assert max(map(len, script().splitlines())) <= 120


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_no_special_builtin_is_redirected(shell: tuple[str, ...]) -> None:
    """dash ends at once when it cannot be, before the words behind ``||``."""
    assert re.findall(r"(?m)^[^#\n]*(?:^|[\s;{]): *[0-9]*>.*$", script()) == []
    done = subprocess.run([*shell, "-c", "printf '' >/nowhere/x || echo seen"], capture_output=True, check=False)  # noqa: S603 - fixed words
    assert done.stdout == b"seen\n"
