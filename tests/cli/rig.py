"""A Pod's environment on this machine, and the real command line in it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KEY = "k3y-" * 10
NOBODY = 65534
BOUND = 60.0
"""Seconds after which a test gives up; nothing that passes comes near."""

SMALL = """
import ctypes, os, resource
def small(path, size):
    '''Few bytes fit below ``path``: a small tmpfs where one may be mounted, else a limit on the size of a file.'''
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() == 0 and libc.unshare(0x20000) == 0:
        libc.mount(b'none', b'/', None, 0x44000, None)
        if libc.mount(b'tmpfs', str(path).encode(), b'tmpfs', 0, f'size={size}'.encode()) == 0:
            return
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
"""


ZYGOTE = """
import importlib, json, os, pkgutil, sys, tempfile, traceback
import aiohttp.web, dns.asyncresolver, peerboot, structlog, yaml
# An ordinary user may not be able to read the modules: root's home is closed to others.
for module in pkgutil.walk_packages(peerboot.__path__, "peerboot."):
    if not module.name.startswith(("peerboot.lab", "peerboot.__main__")):
        importlib.import_module(module.name)
def ordinary():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
for line in sys.stdin:
    asked = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if (pid := os.fork()) == 0:
            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                if asked["ordinary"]:
                    ordinary()
                sys.dont_write_bytecode = True
                os.environ.clear()
                os.environ.update(asked["env"])
                sys.path[:0] = filter(None, [asked["env"].get("PYTHONPATH")])
                code = peerboot.cli.main(asked["args"])
            except SystemExit as end:
                code = end.code
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
    print(json.dumps([code, *texts]), flush=True)
"""
"""Python that answers with what the command line does in a process of its own, without a new interpreter."""


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


def command(*args: str, env: Mapping[str, str] | None = None) -> Result:
    """One run of any program of this Python to its end."""
    done = subprocess.run(  # noqa: S603 - this Python, arguments of the tests
        [sys.executable, *args],
        env={"PATH": os.environ["PATH"], **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


class Zygote:
    """Runs the command line again and again, each time in a fork of one process that has everything imported."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this Python, code from above
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, args: Sequence[str], env: Mapping[str, str], *, ordinary: bool = False) -> Result:
        """One run to its end; ``ordinary``: as an ordinary user, also when root runs the tests."""
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        asked.write(json.dumps({"args": list(args), "env": dict(env), "ordinary": ordinary}) + "\n")
        asked.flush()
        return Result(*json.loads(told.readline()))

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=BOUND)


@dataclass
class Pod:
    """Directories, secret and settings with which ``peerboot init`` would start."""

    root: Path
    zygote: Zygote
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("volume", "out", "secret"):
            (self.root / name).mkdir()
        (self.root / "secret" / "census").write_text(KEY + "\n")
        (self.root / "termination").touch()
        # An address of its own, so that tests may run beside one another, and beside a peerboot.
        own = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"
        self.env = {
            "PEERBOOT_LISTEN": f"{own}:7070",
            "PEERBOOT_METRICS_LISTEN": f"{own}:7072",
            "PEERBOOT_SYSTEM": "etcd",
            "PEERBOOT_SERVICE": "peers",
            "PEERBOOT_REPLICAS": "3",
            "PEERBOOT_DATA_DIR": str(self.root / "volume" / "etcd"),
            "PEERBOOT_STATE_DIR": str(self.root / "volume" / ".peerboot"),
            "PEERBOOT_OUTPUT_DIR": str(self.root / "out"),
            "PEERBOOT_SECRET_FILE": str(self.root / "secret" / "census"),
            "PEERBOOT_TERMINATION_LOG": str(self.root / "termination"),
            "PEERBOOT_NAMESERVERS": "127.0.0.1:9",
            "PEERBOOT_CLUSTER_DOMAIN": "cluster.local",
            "POD_NAME": "db-0",
            "POD_NAMESPACE": "shop",
            "POD_IPS": own,
        }

    @property
    def last_words(self) -> str:
        """What the kubelet would show."""
        return (self.root / "termination").read_text()

    @property
    def status(self) -> str:
        """The sentence that the probe prints, empty before there is one."""
        with contextlib.suppress(FileNotFoundError):
            return (self.root / "out" / "status.txt").read_text().partition("\n")[0]
        return ""

    @property
    def rule(self) -> str:
        """The rule in decision.json, which is written after status.txt; empty before there is one."""
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads((self.root / "out" / "decision.json").read_bytes())["rule"])
        return ""

    def settings(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """The Pod's environment with changes; None takes a variable away. ``{root}`` is the Pod's directory."""
        env: dict[str, str | None] = {**self.env, **changes}
        return {name: text.replace("{root}", str(self.root)) for name, text in env.items() if text is not None}

    def run(self, *args: str, changes: Mapping[str, str | None] | None = None, ordinary: bool = False) -> Result:
        """The command line to its end."""
        return self.zygote.run(args, self.settings(changes or {}), ordinary=ordinary)

    def everything(self) -> dict[str, bytes | None]:
        """Each path below the Pod's directory, files with what they hold; all but the termination log."""
        return {
            str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else None
            for path in sorted(self.root.rglob("*"))
            if path.name != "termination"
        }

    @contextlib.contextmanager
    def running(self, *args: str, changes: Mapping[str, str | None] | None = None) -> Iterator[subprocess.Popen[str]]:
        """The command line in the background, ended when the block is left."""
        env = {"PATH": os.environ["PATH"], **self.settings(changes or {})}
        with subprocess.Popen(  # noqa: S603 - this Python, arguments of the tests
            [sys.executable, "-m", "peerboot", *args],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds that another process brings about."""
    end = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)
