"""Makes the images: the build's context, so that the build itself needs no network, and the build with buildah.

``python -m tools.image context FOLDER`` for any builder: ``docker build -f Dockerfile FOLDER``.
``python -m tools.image build [etcd|kafka|postgres]`` with buildah, into ``build/image/NAME.tar``.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peerboot
from peerboot.lab import jars, postgres
from peerboot.lab.errors import LabError
from peerboot.lab.servers import find, unpack_debian

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build/image"
LOCAL_BASE = "localhost/base:1"
"""``--base local``: Debian with python3, made on this machine (tests/kubernetes/node/image base)."""
DEFAULT_BASE, DEFAULT_PYTHON = "python:3.13-slim", "3.13"
LOCAL_PYTHON = "3.11"
NAME = "localhost/peerboot"
ETCD_NAME = "localhost/etcd"
KAFKA_NAME = "localhost/kafka"
POSTGRES_NAME = "localhost/postgres"
JAVA_MODULES = "java.se,jdk.unsupported,jdk.crypto.ec,jdk.management,jdk.net,jdk.zipfs"
"""Of the Java in Kafka's image, made by jlink from this machine's."""
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
GLIBC = ("2_17", "2_28")
"""What the wheels of the lock ask for; bases are newer."""
STORE = ("--root", str(WORK / "store"), "--runroot", str(WORK / "run"), "--storage-driver", "overlay")
DOWNLOAD_SECONDS, BUILD_SECONDS = 600, 900


class ImageError(Exception):
    """An image cannot be made: what, why, what to do, in one line."""


def run(*command: str, seconds: int, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """One command, its output; raises ``ImageError`` with the last line of what it said."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, no shell
            command, check=False, capture_output=True, text=True, timeout=seconds, env=env, cwd=cwd
        )
    except FileNotFoundError:
        raise ImageError(f"{command[0]} is not installed: install it (Debian: apt-get install {command[0]})") from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"`{' '.join(command[:3])}` took longer than {seconds} s: try again") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise ImageError(f"`{' '.join(command[:3])}` failed: {' / '.join(said[-3:])[:600]}")
    return done.stdout


@contextmanager
def alone() -> Iterator[None]:
    """While the block runs no other process's does: each context and each archive has one place."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def commit() -> tuple[str, str]:
    """The commit's id and its time in seconds since the epoch: what a build of it is dated."""
    revision, when = run("git", "log", "-1", "--format=%H %ct", seconds=20).split()
    return revision, when


def without_conditions(lock: str) -> str:
    """The lock with every package of it, whatever Python reads it: pip asks its own Python, not the image's."""
    return re.sub(r" ; [^\\\n]+(?=\\)", " ", lock)


def download(requirements: Path, target: Path, python: str, machine: str) -> None:
    """The wheels that a lock names, for another Python and machine than this one; each is checked against its hash."""
    platforms = [f"--platform=manylinux_{glibc}_{machine}" for glibc in GLIBC]
    with tempfile.TemporaryDirectory(prefix="peerboot-lock-") as folder:
        lock = Path(folder) / "lock.txt"
        lock.write_text(without_conditions(requirements.read_text(encoding="utf-8")), encoding="utf-8")
        run(
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
            "--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={python}", "--implementation=cp",
            *platforms, f"--platform=manylinux2014_{machine}", f"--dest={target}", f"--requirement={lock}",
            seconds=DOWNLOAD_SECONDS,
        )  # fmt: skip


def own_wheel(target: Path, epoch: str) -> None:
    """peerboot's wheel of the tree as it is: of a copy, because setuptools keeps old files in ``build/``."""
    with tempfile.TemporaryDirectory(prefix="peerboot-tree-") as folder:
        tree = Path(folder)
        shutil.copytree(ROOT / "peerboot", tree / "peerboot", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree)
        for path in tree.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        run(
            sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
            "--no-build-isolation", f"--wheel-dir={target}", str(tree),
            seconds=DOWNLOAD_SECONDS, env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        )  # fmt: skip


def make_context(target: Path, python: str, machine: str) -> None:
    """Fill ``target`` with all that the Dockerfile copies. Wheels of the lock are kept between builds."""
    if machine not in MACHINES:
        raise ImageError(f"there are no wheels for {machine}: the image is made for {' and '.join(MACHINES)}")
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    kept = WORK / f"wheels-{python}-{machine}"
    lock = (ROOT / "requirements/run.txt").read_text(encoding="utf-8")
    if not (kept / "run.txt").is_file() or (kept / "run.txt").read_text(encoding="utf-8") != lock:
        shutil.rmtree(kept, ignore_errors=True)
        download(ROOT / "requirements/run.txt", kept / "wheels", python, machine)
        download(ROOT / "requirements/image.txt", kept / "tools", python, machine)
        (kept / "run.txt").write_text(lock, encoding="utf-8")
    shutil.copytree(kept, target, dirs_exist_ok=True)
    own_wheel(target / "wheels", commit()[1])
    for script in (ROOT / "images/peerboot").glob("*.py"):
        shutil.copy(script, target)


def ensure_base(base: str) -> str:
    """The base's name; a local one is made first."""
    if base != "local":
        return base
    run(str(ROOT / "tests/kubernetes/node/image"), "base", seconds=BUILD_SECONDS)
    return LOCAL_BASE


def bud(name: str, dockerfile: Path, context: Path, *more: str) -> None:
    """One build, dated by the commit, so that a second one gives the same layers."""
    run(
        "buildah", *STORE, "bud", "--isolation=chroot", "--quiet", f"--timestamp={commit()[1]}", "--layers=false",
        f"--tag={name}", f"--file={dockerfile}", *more, str(context),
        seconds=BUILD_SECONDS,
    )  # fmt: skip


def inspect(name: str) -> dict[str, Any]:
    """An image's configuration as OCI has it (``config``, ``rootfs``)."""
    import json

    found: dict[str, Any] = json.loads(run("buildah", *STORE, "inspect", "--type=image", name, seconds=60))
    config: dict[str, Any] = found["OCIv1"]
    return config


def export(name: str) -> Path:
    """The image as a docker archive."""
    target = WORK / f"{name.rpartition('/')[2].replace(':', '-')}.tar"
    target.unlink(missing_ok=True)
    run("buildah", *STORE, "push", "--quiet", name, f"docker-archive:{target}:{name}", seconds=BUILD_SECONDS)
    return target


def build(base: str, build_base: str, python: str, tag: str) -> str:
    """peerboot's image for this machine; returns its name."""
    WORK.mkdir(parents=True, exist_ok=True)
    base = ensure_base(base)
    make_context(WORK / "context", python, os.uname().machine)
    name = f"{NAME}:{tag}"
    bud(
        name, ROOT / "Dockerfile", WORK / "context", f"--build-arg=BASE={base}",
        f"--build-arg=BUILD_BASE={ensure_base(build_base) if build_base else base}",
        f"--build-arg=VERSION={peerboot.__version__}", f"--build-arg=REVISION={commit()[0]}",
    )  # fmt: skip
    return name


def build_etcd(base: str, tag: str) -> str:
    """The image of etcd that the tests run; returns its name."""
    WORK.mkdir(parents=True, exist_ok=True)
    context = WORK / "context-etcd"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    try:
        shutil.copy(find("3.6").path, context / "etcd")
        shutil.copy(find("3.5").path.with_name("etcdutl"), context)
    except LabError as error:
        raise ImageError(str(error)) from None
    for name in ("etcd", "etcdutl"):
        (context / name).chmod(0o755)
    name = f"{ETCD_NAME}:{tag}"
    bud(name, ROOT / "images/etcd/Dockerfile", context, f"--build-arg=BASE={base}")
    return name


def make_java() -> Path:
    """A Java without what only a compiler or a screen needs, of this machine's JDK; kept between builds."""
    if shutil.which("jlink") is None:
        raise ImageError("there is no jlink here: install a JDK (Debian: apt-get install default-jdk-headless)")
    java = Path(shutil.which("java") or "/usr/bin/java").resolve()
    kept = WORK / "java" / java.parents[1].name
    made = kept / "openjdk"
    # The JDK's own file says its release to the last digit: another one makes another.
    release = java.parents[1] / "release"
    text = release.read_text(encoding="utf-8") if release.is_file() else ""
    if not (kept / "release").is_file() or (kept / "release").read_text(encoding="utf-8") != text:
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        run(
            "jlink", f"--add-modules={JAVA_MODULES}", "--strip-java-debug-attributes", "--no-header-files",
            "--no-man-pages", f"--output={made}", seconds=BUILD_SECONDS,
        )  # fmt: skip
        (kept / "release").write_text(text, encoding="utf-8")
    return made


def build_kafka(base: str, tag: str) -> str:
    """The image of Kafka that the tests run, from the jars of a release; returns its name."""
    WORK.mkdir(parents=True, exist_ok=True)
    base = ensure_base(base)
    context = WORK / "context-kafka"
    shutil.rmtree(context, ignore_errors=True)
    home = context / "opt/kafka"
    try:
        server = jars.find(jars.VERSIONS[-1])
    except LabError as error:
        raise ImageError(str(error)) from None
    shutil.copytree(ROOT / "images/kafka", home, ignore=shutil.ignore_patterns("Dockerfile"))
    # Without a directory named twice: a class may lie in a jar of one name only.
    for folder in ("libs", "tools"):
        shutil.copytree(server.path / folder, home / "libs", dirs_exist_ok=True)
    for script, main_class in jars.CLASSES.items():
        path = home / "bin" / script
        if not path.exists():
            text = f'#!/bin/sh\nexec "$(dirname -- "$0")/{jars.RUN_CLASS}" {main_class} "$@"\n'
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
    shutil.copytree(make_java(), context / "opt/java/openjdk", symlinks=True)
    # Shared classes are good for jars of one time alone, and the build dates all files so at its end.
    when = int(commit()[1])
    for path in context.rglob("*"):
        os.utime(path, (when, when), follow_symlinks=False)
    name = f"{KAFKA_NAME}:{tag}"
    bud(name, ROOT / "images/kafka/Dockerfile", context, f"--build-arg=BASE={base}")
    return name


def build_postgres(base: str, tag: str) -> str:
    """The image of Postgres that the tests run, from the lab's server; returns its name."""
    WORK.mkdir(parents=True, exist_ok=True)
    base = ensure_base(base)
    context = WORK / "context-postgres"
    shutil.rmtree(context, ignore_errors=True)
    (context / "usr/local/bin").mkdir(parents=True)
    home = context / "usr/lib/postgresql" / postgres.OF_THE_LAB
    try:
        shutil.copytree(postgres.find().path, home, symlinks=True, ignore=shutil.ignore_patterns("*.a", "include"))
        # By it a user without a name in passwd gets one.
        unpack_debian("the image of Postgres", ("libnss-wrapper",), str(context))
    except LabError as error:
        raise ImageError(str(error)) from None
    with next(home.glob("share/**/postgresql.conf.sample")).open("a", encoding="utf-8") as sample:
        sample.write("listen_addresses = '*'\nunix_socket_directories = '/var/run/postgresql'\n")
    shutil.copy(ROOT / "images/postgres/docker-entrypoint.sh", context / "usr/local/bin")
    name = f"{POSTGRES_NAME}:{tag}"
    bud(
        name, ROOT / "images/postgres/Dockerfile", context, f"--build-arg=BASE={base}",
        f"--build-arg=MAJOR={postgres.OF_THE_LAB}",
    )  # fmt: skip
    return name


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.image", description=__doc__)
    parser.add_argument("what", choices=("context", "build"))
    parser.add_argument(
        "more", nargs="?", default="", help="context: the folder; build: `etcd`, `kafka` or `postgres` for the servers'"
    )
    parser.add_argument("--base", default=DEFAULT_BASE, help="`local`: Debian, made on this machine")
    parser.add_argument("--build-base", default="", help="where the wheels are unpacked; the base when not given")
    parser.add_argument("--python", default="", help="the base's Python, as in 3.13")
    parser.add_argument("--machine", default=os.uname().machine, choices=tuple(MACHINES), help="for `context`")
    parser.add_argument("--tag", default=peerboot.__version__)
    args = parser.parse_args(argv)
    python = args.python or (LOCAL_PYTHON if args.base == "local" else DEFAULT_PYTHON)
    try:
        if args.what == "context":
            if not args.more:
                parser.error("context needs the folder to make")
            make_context(Path(args.more), python, args.machine)
            print(f"docker build -f {ROOT / 'Dockerfile'} {args.more}")
            return 0
        if args.more == "etcd":
            name = build_etcd("scratch" if args.base == DEFAULT_BASE else args.base, args.tag)
        elif args.more == "kafka":
            name = build_kafka("local" if args.base == DEFAULT_BASE else args.base, args.tag)
        elif args.more == "postgres":
            name = build_postgres("local" if args.base == DEFAULT_BASE else args.base, args.tag)
        else:
            name = build(args.base, args.build_base, python, args.tag)
        print(f"{name} {export(name)}")
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
