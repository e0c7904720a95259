"""Where the lab's HAProxy and PgBouncer come from, with packages whose programs only tell what they were asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from peerboot.lab import routers
from peerboot.lab.errors import LabError
from peerboot.lab.routers import SOURCES, find
from tests.lab.machine import Machine

SAYS = {"haproxy": "HAProxy version 2.6.12-1+deb12u4 2026/10/17", "pgbouncer": "PgBouncer 1.18.0"}
VERSIONS = {"haproxy": "2.6.12", "pgbouncer": "1.18.0"}
PROGRAM = """#!/bin/sh
case $1 in -v | --version) echo "SAYS" ;; *) echo "$LD_LIBRARY_PATH" "$@" ;; esac
"""
DPKG = """#!/bin/sh
cd "$3"
mkdir -p usr/sbin usr/lib/x86_64-linux-gnu
cp DIRECTORY/* usr/sbin
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Where nothing is installed."""
    made = Machine(tmp_path, {name: PROGRAM.replace("SAYS", text) for name, text in SAYS.items()}, DPKG)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("PEERBOOT_LAB_CACHE", str(made.cache))
    monkeypatch.setattr(routers, "SYSTEM_BIN", made.installed)
    return made


@pytest.mark.parametrize("name", SOURCES)
def test_one_that_is_installed_is_taken(machine: Machine, name: str) -> None:
    """Nothing is asked for."""
    shutil.copy(machine.packed / name, machine.installed / name)
    found = find(name)
    assert (found.version, found.path, found.origin) == (
        VERSIONS[name], machine.installed / name, f"of this machine's package {name}",
    )  # fmt: skip
    assert machine.asked() == []


@pytest.mark.parametrize("name", SOURCES)
def test_the_packages_are_unpacked_once(machine: Machine, name: str) -> None:
    """In one call; the program finds its libraries in the tree and gets all that it is given."""
    said: list[str] = []
    first = find(name, said.append)
    assert (find(name, said.append), len(said)) == (first, 1)
    assert machine.asked() == [" ".join(("-qq download", *SOURCES[name].packages))]
    assert (first.version, first.origin) == (VERSIONS[name], f"from Debian's package {name}")
    shown = subprocess.check_output([first.path, "-f", "a b"], text=True)  # noqa: S603 - our own script
    libraries, _, arguments = shown.strip().partition(" ")
    assert arguments == "-f a b"
    assert Path(libraries).resolve() == machine.cache / f"{name}-debian/usr/lib/x86_64-linux-gnu"


def test_another_program_of_that_name(machine: Machine) -> None:
    """Nothing is left that would pass for it later."""
    machine.program(machine.packed, "haproxy", "#!/bin/sh\necho something else\n")
    with pytest.raises(LabError) as caught:
        find("haproxy")
    assert str(caught.value).endswith("is no HAProxy: it says 'something else'")
    assert not (machine.cache / "haproxy-debian").exists()


def test_what_is_provided_is_printed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Both are tried, and one that cannot be had is the exit code."""
    assert routers.main() == 0
    assert capsys.readouterr().out.splitlines()[1::2] == [
        "HAProxy 2.6.12 from Debian's package haproxy", "PgBouncer 1.18.0 from Debian's package pgbouncer",
    ]  # fmt: skip
    shutil.rmtree(machine.cache)
    (machine.bin / "apt-get").unlink()
    assert routers.main() == 1
