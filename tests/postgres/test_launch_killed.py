"""``launch.sh`` of Postgres killed after each of its lines, and with its permit withdrawn after each of them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from peerboot.systems.postgres.launch import script
from tests.launch.container import NEXT, PLAN, SHELLS
from tests.launch.lines import parse, passed, variant
from tests.postgres.container import ON, Pod

SCENES = ("init", "clone", "resume", "rewind")
LAST_LOOK = {
    "resume": '    read_file "$here/run.ok" && [ "$file_text" = "$permit_text" ]',
    # There the first look is before the work.
    "clone": "    under_watch || return 1",
}
"""In the script: what comes after it is the start itself."""


def prepare(pod: Pod, scene: str) -> None:
    """A blank volume, or one whose server was promoted and is a standby next."""
    pod.wipe()
    if scene in ("resume", "rewind"):
        pod.has_data()
    pod.permit(getattr(pod, scene)())


def left(pod: Pod) -> str:
    """All that a run left for the next one, but for its words."""
    found = (path for top in (pod.volume, pod.run_dir) for path in sorted(top.rglob("*")) if path.is_file())
    paths = [path for path in found if path.suffix != ".sh" and path.name not in ("launch.status", "errors")]
    return "\n".join(f"{path}: {path.read_text()}" for path in paths)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_any_line_it_can_be_run_again(tmp_path: Path, scene: str, shell: tuple[str, ...]) -> None:
    """The next run ends as one that was never killed, or, inside of pg_rewind, waits until the directory is replaced.

    It is killed after every line, and run again once for each different state that this left.
    """
    pod = Pod(tmp_path, shell)
    prepare(pod, scene)
    killed_at = passed(pod, script())
    seen: set[str] = set()
    cut_off = 0
    for k in killed_at:
        prepare(pod, scene)
        where = f"killed after line {k}: {script().splitlines()[k - 1].strip()}"
        # The tool too: with the script, which is process 1, its container is gone.
        assert pod.run(variant(pod, script(), k, "kill -9 ${worker:-} $$; exit")) == -signal.SIGKILL, where
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
@pytest.mark.parametrize("stop", [False, True], ids=["alone", "with-stop"])
@pytest.mark.parametrize("scene", ["resume", "clone"])
def test_a_permit_withdrawn_at_any_line_starts_nothing(
    tmp_path: Path, scene: str, stop: bool, shell: tuple[str, ...]
) -> None:
    """But after the last look; and with the file ``stop``, a server that starts by then ends."""
    pod = Pod(tmp_path, shell)
    prepare(pod, scene)
    course = passed(pod, script())
    behind = course.index(max(k for k, line in enumerate(script().splitlines(), 1) if line == LAST_LOOK[scene]))
    withdraw = 'rm -f "$RUN_DIR/run.ok"'
    if stop:
        withdraw += "; printf '' >\"$RUN_DIR/stop\""
        pod.extra = {"SERVER_STAYS": "yes"}
        pod.program("sleep", f"#!/bin/sh\nexec {shutil.which('sleep')} 0.02\n")
    started = []
    for k in course:
        prepare(pod, scene)
        # What it comes behind may be the answer of a function.
        run = pod.start(variant(pod, script(), k, f'line_status=$?; {withdraw}; (exit "$line_status")'))
        code = run.settles()
        run.stop()
        if pod.calls("start"):
            # The stand-in may not have set its trap yet.
            assert code in (0, -signal.SIGINT if stop else 0), (k, run.says())
            started.append(k)
        else:
            # Where the watcher saw it first, or before the stand-in had noted that it is there.
            assert code in ((None, 130, -signal.SIGINT) if stop else (None,)), (k, run.says())
    assert [k for k in course[behind:] if k in started] == started
    assert 5 < len(started) < len(course) // 3
    assert stop or course[behind:] == started


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
