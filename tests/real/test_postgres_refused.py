"""What real servers and their tools refuse, or would do wrong, and what ``launch.sh`` says of it in one sentence."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from peerboot.lab.postgres import VERSIONS, find
from peerboot.systems.postgres import launch
from tests.real import nss
from tests.real.postgres_pod import IN_RECOVERY, QUICK, STREAMS, Pod, Pods, a_primary, few_pods

__all__ = ["few_pods"]

UID = 1000680000
"""As OpenShift gives them: no passwd has it."""
NAMELESS = ("unshare", "--user", f"--map-user={UID}", f"--map-group={UID}", "--")
MIB = 30
SMALL = (
    *("unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c"),
    f'mount -t tmpfs -o size={MIB}m,mode=0777 small "$0" && exec "$@"',
)
"""With a volume of that size, whose path follows; the processes inside are no root again."""
INNER = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")


def refused(pod: Pod, *parts: str, code: int = 1) -> None:
    """It ends so, and the one sentence for peerboot, which is the last line of its log, has these parts."""
    pod.start()
    assert pod.ended() == code, pod.log
    [line] = pod.words.splitlines()
    assert [part for part in parts if part not in line] == [], line
    assert f"peerboot: {line}" in pod.log


def test_copies_that_cannot_be(few_pods: Pods) -> None:
    """A primary that lets nobody copy it, no room on the volume, and a primary that is not there."""
    a, b = few_pods.another(0), few_pods.another(1)
    rules = (a.out / launch.HBA_NAME).read_text()
    a.write(launch.HBA_NAME, f"host replication all all reject\n{rules}")
    a_primary(a)
    a.sql("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 60000)", "postgres")
    b.permit(2, "clone", a)
    refused(
        b, "the primary was not copied", "pg_hba.conf rejects replication connection",
        "restart the primary's Pod, which puts peerboot's lines first in its pg_hba.conf; it is tried again",
    )  # fmt: skip
    assert not b.data.exists()
    a.end()
    a.write(launch.HBA_NAME, rules)
    a.permit(3, "start")
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert a.sql("SELECT pg_promote()") == "t"

    (b.out / launch.PASSWORDS_NAME).rename(b.out / "kept")
    refused(b, "no password supplied", "give all Pods of the set the same PEERBOOT_POSTGRES_PASSWORD_FILE")
    (b.out / "kept").rename(b.out / launch.PASSWORDS_NAME)

    mine = b.user
    b.user = (*SMALL, str(b.data.parent), *INNER)
    refused(b, "the primary was not copied", "No space left on device", "make room on the volume; it is tried again")
    b.user = mine
    b.start()
    b.until_sql(STREAMS, "streaming")
    assert b.words == ""
    b.end()
    a.kill()

    shutil.rmtree(b.data)
    b.write(launch.PERMIT_NAME, "")
    b.permit(4, "clone", a)
    refused(b, "the primary was not copied", "Connection refused", "see whether the primary runs and is reached")


@pytest.mark.parametrize("older", VERSIONS[:-1])
def test_another_release(short_root: Path, older: str) -> None:
    """pg_basebackup copies an older server, and pg_controldata reads its files, without a word."""
    newer = VERSIONS[VERSIONS.index(older) + 1]
    with ExitStack() as stack:
        many = Pods(find(older), short_root, stack)
        a = many.another(0)
        a_primary(a)
        many.server = find(newer)
        b = many.another(1)
        b.permit(2, "clone", a)
        refused(b, f"{b.data}.peerboot-new is of Postgres {older}, and this image has {newer}, so nothing starts")
        assert not b.data.exists()
        a.end()

        shutil.copytree(a.data, b.data, symlinks=True)
        before = (b.data / "postgresql.conf").read_text()
        b.permit(3, "start")
        refused(
            b, f"{b.data} is of Postgres {older}, and this image has {newer}", f"use an image of {older}, or upgrade"
        )
        assert (b.data / "postgresql.conf").read_text() == before
        assert not (b.data / "standby.signal").exists()


def test_what_a_volume_may_bring(few_pods: Pods) -> None:
    """A mode that fsGroup makes, ``lost+found``, and no server's own file."""
    a = few_pods.another(0)
    a_primary(a)
    a.end()
    a.data.chmod(0o2770)
    (a.data / "lost+found").mkdir(mode=0o700)
    a.permit(2, "start")
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert a.data.stat().st_mode & 0o777 == 0o700
    a.end()
    (a.data / "pg_hba.conf").rename(a.data.parent / "kept")
    a.permit(3, "start")
    refused(a, f"{a.data}/pg_hba.conf is not there, so nothing starts: bring it back")


# ------------------------------------------------------------ without a name


def with_library(pod: Pod, directory: Path) -> None:
    """The script of an image that has the library there."""
    text = launch.script().replace("/usr/lib64/libnss", f"{directory}/libnss")
    assert text != launch.script()
    pod.write(launch.LAUNCH_NAME, text)


def test_a_user_that_has_no_name(few_pods: Pods) -> None:
    """Of OpenShift: initdb, its first statements, a copy, and a rewind after a crash, each refused by Postgres itself.

    Without the library nothing is made, and nothing is rewound half-way.
    """
    a, b = few_pods.another(0), few_pods.another(1)
    a.user = b.user = NAMELESS
    name = f"user {UID} has no name in this image"
    hidden: Callable[[Pod], None] = lambda pod: with_library(pod, Path("/nowhere"))  # noqa: E731 - of one line
    hidden(a)
    a.permit(1, "init")
    refused(a, name, "use an image that has libnss_wrapper.so, as docker.io/postgres, or a runAsUser")
    assert not a.data.exists()

    with_library(a, nss.directory())
    a_primary(a)
    assert a.sql("SELECT rolname FROM pg_roles WHERE rolsuper") == "postgres"
    hidden(b)
    b.permit(2, "clone", a)
    b.start()
    b.until_sql(STREAMS, "streaming")
    b.end()
    a.sql("INSERT INTO t VALUES ('only a')", "postgres")
    a.kill()
    b.permit(3, "start")
    b.start()
    b.until_sql(IN_RECOVERY, "t")
    assert b.sql("SELECT pg_promote()") == "t"
    b.sql("CHECKPOINT")

    hidden(a)
    a.permit(4, "rewind", b)
    refused(a, name)
    assert not Path(f"{a.data}.rewinding").exists()
    with_library(a, nss.directory())
    a.start()
    a.until_sql(STREAMS, "streaming")
    assert a.terminate(signal.SIGINT) == 0


def test_root_is_no_user_for_it(short_root: Path) -> None:
    """Nor is one that is called root in its own namespace."""
    with ExitStack() as stack:
        a = Pods(find("17"), short_root, stack).another(0, QUICK)
        a.user = ("unshare", "--user", "--map-root-user", "--")
        a.permit(1, "init")
        refused(a, "this container runs as root, which Postgres refuses", "set runAsUser and fsGroup")
