"""``peerboot lab demo etcd``: the story told to its end, its honesty, and how it ends otherwise."""

from __future__ import annotations

import argparse
import asyncio
import base64
import errno
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from aiohttp import web

from peerboot import cli
from peerboot.lab import demo
from peerboot.lab.client import Writer
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.errors import LabError
from peerboot.lab.etcd_story import STEPS, EtcdStory
from peerboot.lab.servers import Server
from peerboot.lab.story import Story, Teller
from tests.lab.conftest import PEERBOOT, peerboot

ARGS = argparse.Namespace(dir=None, etcd="", system="etcd")
INTERRUPTED = "Interrupted. Every process of the demo has ended, nothing is left behind."


def test_the_story_is_told_without_a_terminal(root: Path) -> None:
    """Real servers, every step in plain lines, exit 0: one cluster, every rejoin a new member, no write missing."""
    done = peerboot("lab", "--dir", str(root), "demo", "etcd", timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert [char for char in done.stdout if not char.isprintable() and char != "\n"] == []
    lines = done.stdout.splitlines()
    steps = [match[1] for line in lines if (match := re.match(r" *\d+\.\d s  Step (\d) of 6, ", line))]
    assert steps == ["1", "2", "3", "4", "5", "5", "6"]
    assert [line for line in lines if re.match(r" *\d+\.\d s    db-0: wait \(wait-for-all\): This disk is blank", line)]

    last = lines[next(n for n, line in enumerate(lines) if line.startswith("One etcd ")) :]
    told = [line.rsplit(maxsplit=2)[0].strip() for line in last[2:10]]
    renewed = r"\w{8} > \w{8}"
    assert re.fullmatch(rf"4  db-0 rejoined as a new member: {renewed}", told[3])
    assert re.fullmatch(rf"5  db-2 back, both rejoined: {renewed}, {renewed}", told[5])
    assert told[6:] == ["6  all killed, all started again: the same five members", "in all"]
    assert re.fullmatch(r"\d{2,} acknowledged writes, 0 missing \(each of the 5 members was asked\)", last[11])
    assert [line.strip() for line in last[-5:]] == [
        "python -m peerboot lab up etcd",
        "python -m peerboot lab wipe db-0 && python -m peerboot lab status",
        "python -m peerboot lab exec db-0 explain",
        "python -m peerboot lab dns servfail; python -m peerboot lab exec db-0 plan",
        "python -m peerboot lab down",
    ]
    assert list(root.iterdir()) == []


# ------------------------------------------------------------------- a terminal


def test_on_a_terminal_it_draws_follows_its_size_and_ends_by_ctrl_c(root: Path) -> None:
    """A screen without colour under NO_COLOR, drawn anew for a changed size; Ctrl-C gives the terminal back."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(  # noqa: S603 - this very program
        [*PEERBOOT, "lab", "--dir", str(root), "demo", "etcd"], stdin=follower, stdout=follower, stderr=follower,
        env={**env, "TERM": "xterm-256color", "NO_COLOR": "1"}, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    try:
        narrow = _read(leader, "DECIDES" + " " * (80 - 58))
        fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        wide = _read(leader, "DECIDES" + " " * (100 - 58))
        process.send_signal(signal.SIGINT)
        end = _read(leader, INTERRUPTED)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert "\x1b[?1049h" in narrow
    assert "\x1b[?1049l" in end
    assert re.findall(r"\x1b\[(?:\d+;)*[349]\d(?:;\d+)*m", narrow + wide + end) == []
    assert list(root.iterdir()) == []


def _read(fd: int, until: str) -> str:
    """What the terminal gets until these words; at most for half a minute."""
    seen, end = b"", time.monotonic() + 30
    while until.encode() not in seen:
        readable, _, _ = select.select([fd], [], [], 1.0)
        assert readable or time.monotonic() < end, seen[-2000:]
        if readable:
            seen += os.read(fd, 65536)
    return seen.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("tty", "term", "drawn"),
    [(True, "xterm", True), (True, "dumb", False), (True, "", False), (False, "xterm", False)],
    ids=["terminal", "dumb", "no-TERM", "pipe"],
)
def test_a_screen_needs_a_terminal(monkeypatch: pytest.MonkeyPatch, tty: bool, term: str, drawn: bool) -> None:
    """Everywhere else the story comes in lines."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty)
    monkeypatch.setenv("TERM", term)
    assert demo.on_terminal() == drawn


# ----------------------------------------------------------------- what is missing


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, drawn: bool) -> tuple[int, str]:
    """The demo by the command line in this process, and what it said on stderr."""
    monkeypatch.setattr(demo, "on_terminal", lambda: drawn)
    code = cli.main(["lab", "demo", "etcd"])
    return code, capsys.readouterr().err


def test_without_rich_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The drawing needs the extra; the reading does not."""
    monkeypatch.delitem(sys.modules, "peerboot.lab.screen", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.setattr(sys, "meta_path", [_NoRich(), *sys.meta_path])
    said = (
        "peerboot: rich draws the demo and is not installed: pip install 'peerboot[lab]'; "
        "or read it: peerboot lab demo etcd | cat\n"
    )
    assert run(monkeypatch, capsys, drawn=True) == (2, said)


class _NoRich:
    """An importer that knows of no rich."""

    @staticmethod
    def find_spec(name: str, *_more: Any) -> None:
        if name.partition(".")[0] == "rich":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_macos_gets_the_container_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where loopback is 127.0.0.1 alone, one line has the command that runs the demo in a container."""

    class OneAddress(socket.socket):
        def bind(self, _address: Any, /) -> NoReturn:
            raise OSError(errno.EADDRNOTAVAIL, "Can't assign requested address")

    monkeypatch.setattr(socket, "socket", OneAddress)
    code, err = run(monkeypatch, capsys, drawn=False)
    assert (code, err.count("\n")) == (2, 1)
    assert re.fullmatch(
        r"peerboot: this loopback has no 127\.0\.0\.2 \(macOS\), so .*: docker run .* make .*demo\n", err
    )


# ------------------------------------------------------------------------ ends


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """A demo that starts nothing by itself, in a directory of its own."""
    monkeypatch.setattr(demo, "provided", lambda _args: (Server("3.6.0", root / "etcd", "nowhere"), "3.6"))
    monkeypatch.setattr(demo, "on_terminal", lambda: False)
    monkeypatch.setattr(ARGS, "dir", root)
    return root


def test_a_story_that_goes_wrong_is_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_server: Path
) -> None:
    """It names the step, what was not so, and the logs, which stay; it claims nothing."""

    async def tell(_story: Story, _teller: Teller) -> NoReturn:
        raise LabError("2 acknowledged writes are missing on db-1")

    monkeypatch.setattr(Story, "tell", tell)
    code, said = demo.main(ARGS), capsys.readouterr()
    (kept,) = no_server.iterdir()
    assert code == 1
    assert said.err.splitlines() == [
        "The demo failed in step 1 (form): 2 acknowledged writes are missing on db-1",
        f"logs: {kept / 'logs'}",
    ]
    assert "0 missing" not in said.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_it_can_be_ended_at_any_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_server: Path, number: signal.Signals
) -> None:
    """Ctrl-C, a polite end, a closed terminal: the lab is stopped, its directory gone, one line says so, exit 130."""
    stopped = []

    async def tell(_story: Story, _teller: Teller) -> NoReturn:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        raise AssertionError

    async def stop(lab: Lab) -> None:
        stopped.append(lab)
        lab.network.close()

    monkeypatch.setattr(Story, "tell", tell)
    monkeypatch.setattr(Lab, "stop", stop)
    code = demo.main(ARGS)
    # Before it a line may say that this machine allows no hosts file of the lab's own.
    last = capsys.readouterr().out.splitlines()[-1]
    assert (code, last, len(stopped), list(no_server.iterdir())) == (130, INTERRUPTED, 1, [])


# -------------------------------------------------------------------- honesty


class Etcd:
    """The gateway of a server that holds these keys."""

    def __init__(self) -> None:
        self.keys = {"key/000000": "value 0", "key/000001": "value 1"}
        self.cluster = 0xC1
        self.voters = 5
        self.url = ""

    async def members(self, _request: web.Request) -> web.Response:
        rows = [{"ID": str(n)} for n in range(self.voters)]
        return web.json_response({"header": {"cluster_id": str(self.cluster)}, "members": rows})

    async def range(self, _request: web.Request) -> web.Response:
        def coded(text: str) -> str:
            return base64.b64encode(text.encode()).decode()

        return web.json_response({"kvs": [{"key": coded(k), "value": coded(v)} for k, v in self.keys.items()]})


@pytest.fixture
async def etcd() -> AsyncGenerator[Etcd, None]:
    """It listens as long as the test runs."""
    served, app = Etcd(), web.Application()
    app.router.add_post("/v3/cluster/member/list", served.members)
    app.router.add_post("/v3/kv/range", served.range)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


async def account(etcd: Etcd, root: Path, monkeypatch: pytest.MonkeyPatch, clusters: set[str]) -> str:
    """The story's last check on five such servers, after two acknowledged writes: a cluster id, or what is wrong."""
    lab = Lab(LabSpec(root=root, server=Server("3.6.0", root / "etcd", ""), replicas=5))
    monkeypatch.setattr(lab, "client_url", lambda _ordinal: etcd.url)
    writer = Writer(list)
    writer.acknowledged |= {"key/000000": "value 0", "key/000001": "value 1"}
    story = EtcdStory(lab, writer)
    try:
        return await story.account(clusters)
    except LabError as error:
        return str(error).strip()
    finally:
        await lab.stop()


async def test_one_cluster_and_all_writes_is_an_account(
    etcd: Etcd, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check lets a sound cluster pass, and names it."""
    assert await account(etcd, root, monkeypatch, {"c1"}) == "c1"


FLAWS: dict[str, tuple[dict[str, Any], set[str], str]] = {
    "a write is missing": ({"keys": {"key/000000": "value 0"}}, {"c1"}, "1 acknowledged writes are missing on db-0"),
    "a write was changed": (
        {"keys": {"key/000000": "value 0", "key/000001": "other"}}, {"c1"}, "1 acknowledged writes are missing on db-0"
    ),
    "a second cluster was seen": ({}, {"c1", "c2"}, "not one cluster but these were seen: c1, c2"),
    "no cluster was seen": ({}, set(), "not one cluster but these were seen:"),
    "another cluster serves": ({"cluster": 0xC2}, {"c1"}, "db-0 serves cluster c2, not c1"),
    "a voter is missing": ({"voters": 4}, {"c1"}, "db-0 lists 4 voters, not 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAWS)
async def test_the_account_is_honest(name: str, etcd: Etcd, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not as the last screen would say fails the demo, and is said instead."""
    flaw, clusters, said = FLAWS[name]
    for attribute, value in flaw.items():
        setattr(etcd, attribute, value)
    assert (await account(etcd, root, monkeypatch, clusters)).startswith(said)


@pytest.mark.parametrize("system", demo.STORIES)
def test_the_steps_are_counted(system: str) -> None:
    """A story's steps are numbered from 1 on, in order; etcd's screen says how many there are."""
    numbers = [scene.number for scene in demo.STORIES[system].scenes]
    assert (numbers, sorted(set(numbers))) == (sorted(numbers), list(range(1, numbers[-1] + 1)))
    assert EtcdStory.scenes[-1].number == STEPS
