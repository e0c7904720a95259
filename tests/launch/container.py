"""A server's container without its server: ``launch.sh`` runs for real, the server's programs are stand-ins."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from peerboot.launchscript import LAUNCH_NAME

PATIENCE = 60.0
"""Only what has failed takes so long: a machine that is busy is no failure."""
CANDIDATES = (("sh",), ("dash",), ("bash", "--posix"), ("busybox", "sh"))
FOUND = {
    os.path.realpath(shutil.which(shell[0]) or ""): shell for shell in reversed(CANDIDATES) if shutil.which(shell[0])
}
SHELLS = tuple(reversed(FOUND.values()))
"""Those that are here, each program once: sh is another name of one of them, nearly everywhere."""
BUILT_IN = ("cp", "id", "rmdir", "sed", "sleep", "stat", "sync")
"""Tools of the system that a test replaces."""
PLAN, NEXT, THIRD = "0123456789abcdef", "fedcba9876543210", "a" * 64


@dataclass
class Run:
    """One run of the script in the background, its output read as it comes."""

    process: subprocess.Popen[bytes]
    output: Path

    def says(self) -> list[str]:
        """The lines so far."""
        return self.output.read_text().splitlines()

    def wait_for(self, part: str) -> None:
        """Until that was said; fails when it is not, or when the script has ended without."""
        end = time.monotonic() + PATIENCE
        while part not in self.output.read_text():
            assert time.monotonic() < end, f"{part!r} was not said: {self.says()}"
            assert self.process.poll() is None or part in self.output.read_text(), f"it ended: {self.says()}"
            time.sleep(0.005)

    def keeps(self, path: Path, text: str) -> None:
        """Until a file holds that: it says a thing first, and keeps it then."""
        end = time.monotonic() + PATIENCE
        while not path.exists() or path.read_text() != text:
            assert time.monotonic() < end, f"{path} does not hold {text!r}: {self.says()}"
            time.sleep(0.005)

    def settles(self) -> int | None:
        """Its exit code, or None once it waits for another permit."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if "waiting for " in self.output.read_text():
                return None
            assert time.monotonic() < end, f"it neither ends nor waits: {self.says()}"
            time.sleep(0.005)
        return self.process.returncode

    def ends(self) -> int:
        """Its exit code. Woken by the end itself: ``Popen.wait`` with a time-out looks only now and then."""
        fd = os.pidfd_open(self.process.pid)
        try:
            assert select.select([fd], [], [], PATIENCE)[0], f"it does not end: {self.says()}"
        finally:
            os.close(fd)
        return self.process.wait()

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)


@dataclass
class Container:
    """What the containers of all systems have; a system's own has its directories and its permits."""

    root: Path
    shell: tuple[str, ...]
    runs: list[Run] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    """Of the environment."""
    arguments: tuple[str, ...] = ()

    # Blanks, a quote and what a shell would expand: nothing may be split or read anew.
    RUN_DIR, BIN = "it's \\ run", "bin dir"

    def make(self, text: str) -> None:
        """The output directory with the script, and a directory for programs."""
        self.run_dir, self.bin, self.log = self.root / self.RUN_DIR, self.root / self.BIN, self.root / "calls"
        self.run_dir.mkdir()
        self.bin.mkdir()
        self.launch = self.write(LAUNCH_NAME, text)

    def program(self, name: str, text: str) -> None:
        """One that comes before the machine's own."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def write(self, name: str, text: str) -> Path:
        """A file of peerboot's, replaced atomically as peerboot does."""
        temp = self.run_dir / f".{name}.tmp"
        temp.write_text(text)
        return temp.rename(self.run_dir / name)

    def environ(self) -> dict[str, str]:
        """Of the script; ``LOG`` is where the stand-ins note their calls."""
        return {"PATH": f"{self.bin}:{os.environ['PATH']}", "LOG": str(self.log), "BIN": str(self.bin), **self.extra}

    def command(self, text_file: Path) -> list[str]:
        """The shell and the script. Some busyboxes have their tools built in, and take a function before those."""
        if "busybox" not in self.shell[0]:
            return [*self.shell, str(text_file)]
        names = [path.name for path in self.bin.iterdir() if path.name in BUILT_IN]
        return [
            *self.shell,
            "-c",
            "".join(f'{name}() {{ "$BIN/{name}" "$@"; }}; ' for name in names) + '. "$0"',
            str(text_file),
        ]

    def start(self, text_file: Path | None = None) -> Run:
        """Run it in the background."""
        output = self.root / f"output-{len(self.runs)}"
        with output.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - the script under test
                [*self.command(text_file or self.launch), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environ(),
                cwd="/",
            )
        self.runs.append(Run(process, output))
        return self.runs[-1]

    def run(self, text_file: Path | None = None) -> int:
        """Run it to its end; the exit code."""
        return self.start(text_file).ends()

    def said(self) -> list[str]:
        """The lines of the last run that are the script's own."""
        lines = [line for line in self.runs[-1].says() if line.startswith("peerboot: ")]
        return [line.removeprefix("peerboot: ") for line in lines]

    def calls(self, word: str) -> list[str]:
        """What the stand-ins noted behind that word: the arguments of each call of a program, for example."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]
