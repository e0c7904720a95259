"""What ends ``launch.sh`` of Postgres and what it runs: a signal of the kubelet's, and peerboot's file ``stop``."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peerboot.systems.postgres import launch
from tests.launch.container import NEXT, PATIENCE, PLAN, SHELLS
from tests.postgres.container import ON, Pod

SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
ENDS = "peerboot has withdrawn the permit and says that what runs here is to end"


@pytest.fixture(params=SHELLS, ids=" ".join)
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pod]:
    """One container with each shell; its watcher looks all the time, and what runs in it ends with the test."""
    made = Pod(tmp_path, request.param)
    made.program("sleep", f'#!/bin/sh\necho "sleep $1" >>"$LOG"\nexec {shutil.which("sleep")} 0.02\n')
    yield made
    for run in made.runs:
        run.stop()


def until(true: Callable[[], object]) -> None:
    """Poll, for what only a defect keeps away."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """No process has that id; one that nobody has waited for yet has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def a_server(pod: Pod) -> None:
    """Started with its own data."""
    pod.extra |= {"SERVER_STAYS": "yes"}
    pod.has_data()
    pod.permit(pod.resume())
    pod.start()
    until(lambda: pod.calls("on"))


def watched(pod: Pod) -> None:
    """Until the watcher has looked some times more."""
    before = len(pod.calls("sleep"))
    until(lambda: len(pod.calls("sleep")) > before + 4)


# ------------------------------------------------------------------------ stop


@pytest.mark.parametrize("permit", ["withdrawn", "replaced"])
def test_stop_ends_the_server(pod: Pod, permit: str) -> None:
    """The sidecar cannot signal it, so the script's watcher does, by SIGINT: a fast shutdown. The next run waits for a
    permit again, and takes the one that has come.
    """
    a_server(pod)
    assert not pod.waiting.exists()
    if permit == "replaced":
        pod.permit(pod.rewind(NEXT))
    else:
        (pod.run_dir / launch.PERMIT_NAME).unlink()
    pod.write(launch.STOP_NAME, "")

    assert pod.runs[0].ends() == 0
    assert pod.said() == [ENDS]
    assert len(pod.calls("on")) == 1
    run = pod.start()
    if permit == "withdrawn":
        run.wait_for("waiting for the permit")
        pod.permit(pod.rewind(NEXT))
    until(lambda: len(pod.calls("on")) == 2)
    assert (len(pod.calls("rewind")), pod.calls("on"), pod.used(NEXT)) == (1, [ON] * 2, True)
    assert not (pod.run_dir / launch.STOP_NAME).exists()


def test_stop_beside_the_servers_own_permit_ends_nothing(pod: Pod) -> None:
    """peerboot has let it start again by then, or has not withdrawn it yet; and without ``stop`` a server whose permit
    is withdrawn goes on.
    """
    if pod.shell[0] == "busybox":
        return  # its sleep may be built in
    a_server(pod)
    pod.write(launch.STOP_NAME, "")
    watched(pod)
    (pod.run_dir / launch.STOP_NAME).unlink()
    (pod.run_dir / launch.PERMIT_NAME).unlink()
    watched(pod)
    assert pod.runs[0].process.poll() is None
    pod.write(launch.STOP_NAME, "")

    assert pod.runs[0].ends() == 0


def test_the_watcher_of_a_permit_that_is_gone_is_gone_too(pod: Pod) -> None:
    """It would take the next permit for a withdrawal of its own."""
    if pod.shell[0] == "busybox":
        return  # its sleep may be built in
    pod.extra = {"SERVER_STAYS": "yes", "SYNC_WITHDRAWS": "yes"}
    pod.permit(pod.clone())
    run = pod.start()
    run.wait_for("was withdrawn or replaced just before the start")
    pod.program("sync", "#!/bin/sh\n")
    pod.permit(pod.resume(NEXT))
    until(lambda: pod.calls("on"))
    pod.write(launch.STOP_NAME, "")
    watched(pod)

    assert (run.process.poll(), ENDS in pod.said()) == (None, False)


def test_a_stop_of_before_does_not_end_the_next_server(pod: Pod) -> None:
    """It was for the server of then; the permit is of now."""
    pod.write(launch.STOP_NAME, "")
    pod.has_data()
    pod.permit(pod.resume())

    assert pod.run() == 0
    assert pod.calls("on") == [ON]
    assert not (pod.run_dir / launch.STOP_NAME).exists()


# ------------------------------------------------------------- while it works

TOOLS = {"initdb": "init", "single": "init", "basebackup": "clone", "asked": "rewind"}


def hangs(pod: Pod, program: str) -> int:
    """A run whose tool does not come to its end; the process id of the tool."""
    if TOOLS[program] == "rewind":
        pod.has_data()
    pod.extra = {"HANGS": program}
    pod.permit(getattr(pod, TOOLS[program])())
    pod.start()
    until(lambda: pod.calls("hangs"))
    return int(pod.calls("hangs")[0])


def goes_on(pod: Pod) -> None:
    """The next run ends what was cut off."""
    pod.extra = {}
    if not (pod.run_dir / launch.PERMIT_NAME).exists():
        pod.permit(getattr(pod, TOOLS["basebackup"])())

    assert pod.run() == 0, pod.runs[-1].says()
    assert pod.calls("on") == [ON]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("program", TOOLS)
def test_a_signal_ends_the_tool_at_once(pod: Pod, program: str, number: signal.Signals, code: int) -> None:
    """A copy may take hours, and the kubelet waits for its whole grace period; what is cut off is made anew."""
    tool = hangs(pod, program)
    pod.runs[0].process.send_signal(number)

    assert code == pod.runs[0].ends()
    assert is_gone(tool)
    assert (pod.calls("start"), pod.data.exists()) == ([], program == "asked")
    goes_on(pod)


def test_stop_ends_a_copy(pod: Pod) -> None:
    """Its primary may be the wrong one by now, or hang."""
    tool = hangs(pod, "basebackup")
    (pod.run_dir / launch.PERMIT_NAME).unlink()
    pod.write(launch.STOP_NAME, "")

    assert pod.runs[0].ends() == 130
    assert pod.said()[-1] == ENDS
    assert (is_gone(tool), pod.data.exists()) == (True, False)
    goes_on(pod)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_rewind_is_let_come_to_its_end(pod: Pod, number: signal.Signals, code: int) -> None:
    """Cut off it leaves a directory that has to be cloned anew; so a signal counts once it is whole."""
    pod.has_data()
    pod.extra = {"HANGS": "rewind"}
    pod.permit(pod.rewind())
    run = pod.start()
    until(lambda: pod.calls("hangs"))
    os.kill(run.process.pid, number)
    # Its trap comes after the tool, whatever comes before.
    assert (run.process.poll(), is_gone(int(pod.calls("hangs")[0]))) == (None, False)
    (pod.root / "goes").touch()

    assert code == run.ends()
    assert (pod.calls("start"), pod.rewinding.exists(), pod.used(PLAN)) == ([], False, True)
    assert (pod.data / "standby.signal").exists()
    assert pod.run() == 0
    assert (len(pod.calls("rewind")), pod.calls("on")) == (1, [ON])
