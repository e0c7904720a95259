"""``router.sh`` in every shell that is here, with stand-ins for HAProxy and PgBouncer that tell how they are called.

With the real ones it runs in ``tests/real/test_postgres_routes.py``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peerboot.systems.postgres.router import ROUTER
from tests.launch.container import PATIENCE, SHELLS

PROGRAM = r"""#!/bin/sh
name=${0##*/}
for word in "$@"; do
    if [ "$word" = -c ]; then
        ! grep wrong "$RUN/haproxy.cfg"
        exit
    fi
done
printf '%s' "$name" >>"$LOG"
printf ' <%s>' "$@" >>"$LOG"
echo >>"$LOG"
trap 'echo HUP >>"$LOG"' HUP
trap 'echo USR2 >>"$LOG"' USR2
trap 'exit 7' TERM
while :; do sleep 0.05; done
"""
FILES = {"haproxy": "haproxy.cfg", "pgbouncer": "pgbouncer.ini"}
SIGNALS = {"haproxy": "USR2", "pgbouncer": "HUP"}


class Container:
    """Its directory shared with peerboot, and the script that runs in it."""

    def __init__(self, root: Path, shell: tuple[str, ...]) -> None:
        self.shell, self.run, self.bin, self.log = shell, root / "it's run", root / "bin", root / "calls"
        for directory in (self.run, self.bin):
            directory.mkdir()
        for name in FILES:
            self.program(name, PROGRAM)
        # A second of the script's is shorter here.
        self.program("sleep", f"#!/bin/sh\nexec {shutil.which('sleep')} 0.05\n")
        self.write("router.sh", ROUTER)
        self.output = root / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def program(self, name: str, text: str) -> None:
        """One that comes before the machine's own."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """A file of peerboot's, replaced whole."""
        (self.run / f".{name}").write_text(text)
        (self.run / f".{name}").rename(self.run / name)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """In the background, as the leader of a group of its own."""
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "LOG": str(self.log), "RUN": str(self.run)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - the script under test
                [*self.shell, str(self.run / "router.sh"), *arguments], env=env, cwd="/", stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        return self.process

    def said(self) -> str:
        return self.output.read_text()

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def until(self, true: Callable[[], bool]) -> None:
        """Fails when it takes so long as only what has failed does."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, f"{self.calls()} {self.said()}"
            time.sleep(0.02)

    def groups(self) -> bool:
        """Whether anything of it still runs."""
        assert self.process is not None
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    """In each shell."""
    made = Container(tmp_path, request.param)
    yield made
    if made.process is not None:
        if made.groups():
            os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait(PATIENCE)


@pytest.mark.parametrize("program", FILES)
def test_it_waits_becomes_the_program_and_has_it_read_again(container: Container, program: str) -> None:
    """All that it is given is passed on; the program is the very process that was started, so it gets the signals of
    the container itself; the watch ends after it.
    """
    process = container.start(program, "-f", "a b")
    container.until(lambda: "waiting for" in container.said())
    container.write(FILES[program], "one\n")
    before = [f"haproxy <-W> <-db> <-f> <{container.run}/haproxy.cfg> <-f> <a b>", "pgbouncer <-f> <a b>"]
    called = before[program == "pgbouncer"]
    container.until(lambda: container.calls() == [called])
    container.write(FILES[program], "two\n")
    container.until(lambda: container.calls() == [called, SIGNALS[program]])
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 7
    container.until(lambda: not container.groups())
    assert container.said().count("reads its file again") == 1


def test_a_file_that_haproxy_finds_wrong_is_not_read(container: Container) -> None:
    """It goes on with the last one, and what is wrong is told; the next good one is read."""
    container.write("haproxy.cfg", "one\n")
    container.start("haproxy")
    container.until(lambda: len(container.calls()) == 1)
    container.write("haproxy.cfg", "wrong here\n")
    container.until(lambda: "keeps the last one: wrong here\n" in container.said())
    assert container.calls()[1:] == []
    container.write("haproxy.cfg", "two\n")
    container.until(lambda: container.calls()[1:] == ["USR2"])


def test_a_file_that_is_gone_or_empty_is_no_news(container: Container) -> None:
    """The last good one holds until there is another."""
    container.write("pgbouncer.ini", "one\n")
    container.start("pgbouncer")
    container.until(lambda: len(container.calls()) == 1)
    (container.run / "pgbouncer.ini").unlink()
    container.write("router.sh", f"{ROUTER}# another release\n")
    container.write("pgbouncer.ini", "")
    container.write("pgbouncer.ini", "two\n")
    container.until(lambda: container.calls()[1:] == ["HUP"])
    assert container.said().count("reads its file again") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)])
def test_it_can_be_stopped_while_it_waits(container: Container, number: signal.Signals, code: int) -> None:
    """As the first process of a container it gets no signal that it does not ask for."""
    process = container.start("pgbouncer")
    container.until(lambda: "waiting for" in container.said())
    process.send_signal(number)
    assert process.wait(PATIENCE) == code


@pytest.mark.parametrize("arguments", [(), ("envoy",)])
def test_another_program_is_refused(container: Container, arguments: tuple[str, ...]) -> None:
    """At once, and in one line."""
    assert container.start(*arguments).wait(PATIENCE) == 2
    assert container.said() == (
        f"peerboot: router.sh runs haproxy or pgbouncer, and was asked for '{''.join(arguments)}'\n"
    )
