"""Where the tests' Prometheus comes from, with a package whose programs only tell what they were asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from peerboot.lab import prometheus
from peerboot.lab.errors import LabError
from tests.lab.machine import Machine

PROGRAM = """#!/bin/sh
echo "prometheus, version 2.42.0+ds (branch: debian/sid)"
"""
DPKG = """#!/bin/sh
cd "$3"
mkdir -p usr/bin
cp DIRECTORY/* usr/bin
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Where nothing is installed."""
    made = Machine(tmp_path, dict.fromkeys(prometheus.PROGRAMS, PROGRAM), DPKG)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("PEERBOOT_LAB_CACHE", str(made.cache))
    monkeypatch.setattr(prometheus, "SYSTEM_BIN", made.installed)
    return made


def test_one_that_is_installed_is_taken(machine: Machine) -> None:
    """Nothing is asked for; one program without the other is not enough."""
    shutil.copy(machine.packed / "prometheus", machine.installed)
    assert prometheus.find().server.parent == machine.cache / "prometheus-debian"
    shutil.copy(machine.packed / "promtool", machine.installed)
    found = prometheus.find()
    assert (found.version, found.server.parent, found.promtool.parent, found.origin) == (
        "2.42.0+ds", machine.installed, machine.installed, "of this machine's package prometheus",
    )  # fmt: skip
    assert len(machine.asked()) == 1


def test_the_package_is_unpacked_once(machine: Machine) -> None:
    """Both programs, and nothing else of it."""
    said: list[str] = []
    first = prometheus.find(said.append)
    assert (prometheus.find(said.append), len(said)) == (first, 1)
    assert machine.asked() == ["-qq download prometheus"]
    kept = sorted(path.name for path in (machine.cache / "prometheus-debian").iterdir())
    assert kept == list(prometheus.PROGRAMS)


def test_another_program_of_that_name(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is left that would pass for it later, and what provides it says so."""
    machine.program(machine.packed, "prometheus", "#!/bin/sh\necho something else\n")
    with pytest.raises(LabError, match="is no Prometheus: it says 'something else'"):
        prometheus.find()
    assert not (machine.cache / "prometheus-debian").exists()
    assert prometheus.main() == 1
    machine.program(machine.packed, "prometheus", PROGRAM)
    assert prometheus.main() == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Prometheus 2.42.0+ds from Debian's package prometheus"
