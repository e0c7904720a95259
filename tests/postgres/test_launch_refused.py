"""What ``launch.sh`` of Postgres does not start on, or not with, and the one sentence that it says then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerboot.systems.postgres import launch
from peerboot.systems.postgres.launch import Permit, script
from tests.launch.container import NEXT, PLAN, SHELLS
from tests.postgres.container import ON, SYSTEM, Pod


@pytest.fixture(params=SHELLS, ids=" ".join)
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pod]:
    """One container with each shell; what runs in it ends with the test."""
    made = Pod(tmp_path, request.param)
    yield made
    for run in made.runs:
        run.stop()


def status(pod: Pod) -> str:
    """What peerboot reads."""
    path = pod.run_dir / launch.STATUS_NAME
    return path.read_text() if path.exists() else ""


def refuses(pod: Pod, words: str, code: int = 1) -> None:
    """It ends with that one sentence, for the log and for peerboot, and nothing is made, changed or started."""
    before = {path: path.read_bytes() for path in pod.volume.rglob("*") if path.is_file()}
    assert code == pod.run()
    assert pod.said()[-1:] == [words]
    assert status(pod) == f"{words}\n"
    assert before == {path: path.read_bytes() for path in pod.volume.rglob("*") if path.is_file()}
    assert (pod.calls("start"), pod.data.exists()) == ([], bool(before))


# ------------------------------------------------------------------- the words


def test_peerboot_reads_the_last_words(pod: Pod) -> None:
    """Of what it does, of what failed, of what it waits for; they are gone once a server starts."""
    pod.extra = {"BACKUP_FAILS": "pg_basebackup: error: it has its reason"}
    pod.permit(pod.clone())
    assert pod.run() == 1
    assert status(pod) == f"{pod.said()[-1]}\n"
    pod.extra = {"HANGS": "basebackup"}
    run = pod.start()
    run.wait_for("cloning the primary")
    while "ended" in status(pod) or "failed" in status(pod) or not pod.calls("hangs"):
        assert run.process.poll() is None
    assert status(pod) == f"cloning the primary into {pod.new}\n"
    (pod.root / "goes").touch()
    assert run.ends() == 0
    assert (status(pod), pod.calls("on")) == ("", [ON])

    pod.permit(pod.resume(NEXT, "7999"))
    again = pod.start()
    again.wait_for("waiting for another permit")
    again.keeps(pod.run_dir / launch.STATUS_NAME, f"{pod.said()[0]}\n")


def test_words_that_cannot_be_kept_harm_nothing(pod: Pod) -> None:
    """They are words."""
    (pod.run_dir / launch.STATUS_NAME).mkdir()
    pod.has_data()
    pod.permit(pod.resume(NEXT, "7999"))
    run = pod.start()
    run.wait_for("waiting for another permit")
    pod.permit(pod.resume())

    assert run.ends() == 0
    assert pod.calls("on") == [ON]


def test_how_a_rewind_ended_is_marked_for_peerboot(pod: Pod) -> None:
    """It sees the mark beside the directory while the rewind goes on, too."""
    cut_off = pod.run_dir / launch.cut_off_name(PLAN)
    pod.has_data()
    pod.extra = {"DIES": "rewind2"}
    pod.permit(pod.rewind())
    assert pod.run() < 0
    assert (pod.rewinding.exists(), cut_off.exists()) == (True, False)
    pod.extra = {}
    run = pod.start()
    run.wait_for("waiting for another permit")
    assert cut_off.exists()
    run.stop()
    cut_off.unlink()
    pod.rewinding.unlink()

    pod.extra = {"REWIND_FAILS": "yes"}
    assert pod.run() == 1
    assert (pod.rewinding.exists(), cut_off.exists()) == (True, True)


# ------------------------------------------------------------------- the image


def test_bitnamis_image_is_refused(pod: Pod) -> None:
    """Its start would make a second primary the next time somebody runs it."""
    (pod.root / "bitnami").mkdir()
    pod.write(launch.LAUNCH_NAME, script().replace("/opt/bitnami/postgresql ]", f"{pod.root}/bitnami ]"))
    pod.permit(pod.init())
    refuses(
        pod,
        "this is bitnami's image, whose own start deletes standby.signal, so that each of its servers would take "
        "writes, and nothing is started: use the image docker.io/postgres, or one made from it",
    )


def test_root_is_refused(pod: Pod) -> None:
    """Postgres would, after all else was done."""
    pod.extra = {"USER_ID": "0"}
    pod.permit(pod.init())
    refuses(
        pod,
        "this container runs as root, which Postgres refuses, so nothing is started: set runAsUser and fsGroup in the "
        "Pod's securityContext (999, in the Alpine images 70)",
    )


def test_a_server_that_cannot_say_its_release_is_refused(pod: Pod) -> None:
    """A library may be missing."""
    pod.program("postgres", "#!/bin/sh\necho 'cannot open shared object file' >&2\nexit 127\n")
    pod.permit(pod.init())
    refuses(pod, "postgres -V names no release, so nothing is started: run this script in Postgres' own image", 127)


def test_hooks_that_are_not_run_are_said(pod: Pod) -> None:
    """Without docker-entrypoint.sh nobody would notice."""
    hooks = pod.root / "hooks"
    pod.write(launch.LAUNCH_NAME, script().replace("/docker-entrypoint-initdb.d", str(hooks)))
    pod.permit(pod.init())
    assert pod.run() == 0
    assert not any("hooks" in line for line in pod.said())
    hooks.mkdir()
    (hooks / "1 a.sql").touch()
    pod.wipe()
    pod.permit(pod.init())

    assert pod.run() == 0
    assert f"this image has no docker-entrypoint.sh, so the files in {hooks} are not run" in pod.said()


# ------------------------------------------------------------------ the name

TOOLS = ("initdb", "postgres", "pg_rewind")


@pytest.mark.parametrize("work", ["init", "rewind"])
def test_a_user_without_a_name_gets_one_for_the_tools(pod: Pod, work: str) -> None:
    """OpenShift's users have none; the server starts without one, and gets none."""
    library = pod.root / "lib" / "x"
    library.mkdir(parents=True)
    (library / "libnss_wrapper.so").write_text("ignored by the loader, with a warning")
    pod.write(launch.LAUNCH_NAME, script().replace("/usr/lib/*/libnss", f"{pod.root}/lib/*/libnss"))
    pod.extra = {"NO_NAME": "yes"}
    if work == "rewind":
        pod.has_data()
    pod.permit(getattr(pod, work)())

    assert pod.run() == 0, pod.runs[0].says()
    with_name = f"{library}/libnss_wrapper.so {pod.run_dir}/passwd"
    named = {"init": ["initdb", "postgres"], "rewind": ["pg_rewind"] * 2}[work]
    found = [call for call in pod.calls("preload") if not call.endswith(" none none") or call.startswith("postgres")]
    # The first and the last are the question for its release, and the server.
    assert found == ["postgres none none", *(f"{name} {with_name}" for name in named), "postgres none none"]
    assert (pod.run_dir / "passwd").read_text() == "postgres:x:999:999::/:/bin/sh\n"
    assert (pod.run_dir / "group").read_text() == "postgres:x:999:\n"


@pytest.mark.parametrize("work", ["init", "rewind"])
def test_a_user_without_a_name_and_without_help_is_refused(pod: Pod, work: str) -> None:
    """Before anything was changed: pg_rewind would find it out when the directory is marked."""
    pod.write(launch.LAUNCH_NAME, script().replace("libnss_wrapper.so;", "nothing.so;").replace("/usr/lib", "/nowhere"))
    pod.extra = {"NO_NAME": "yes"}
    if work == "rewind":
        pod.has_data()
    pod.permit(getattr(pod, work)())
    refuses(
        pod,
        "user 999 has no name in this image, and initdb, and pg_rewind after a crash, refuse that, so nothing is done: "
        "use an image that has libnss_wrapper.so, as docker.io/postgres, or a runAsUser that its /etc/passwd has",
    )
    assert not pod.rewinding.exists()


@pytest.mark.parametrize("work", ["clone", "resume"])
def test_a_copy_and_a_start_need_no_name(pod: Pod, work: str) -> None:
    """Measured on 15 to 18."""
    pod.write(launch.LAUNCH_NAME, script().replace("libnss_wrapper.so;", "nothing.so;").replace("/usr/lib", "/nowhere"))
    pod.extra = {"NO_NAME": "yes"}
    if work == "resume":
        pod.has_data()
    pod.permit(getattr(pod, work)())

    assert pod.run() == 0
    assert pod.calls("on") == [ON]


# ------------------------------------------------------------- the directory


@pytest.mark.parametrize("work", ["resume", "rewind"])
@pytest.mark.parametrize(
    ("text", "release"), [("16\n", "16"), ("9.6\n", "9.6"), ("\0\x1b\n17\n", "an unknown release")],
    ids=["16", "9.6", "garbage"],
)  # fmt: skip
def test_the_directory_of_another_release_is_refused(pod: Pod, work: str, text: str, release: str) -> None:
    """Before a line of it is changed; the server would refuse it after."""
    pod.has_data()
    (pod.data / "PG_VERSION").write_text(text)
    pod.permit(getattr(pod, work)())
    refuses(
        pod,
        f"{pod.data} is of Postgres {release}, and this image has 17, so nothing starts: use an image of {release}, or "
        "upgrade the directory with pg_upgrade",
    )


def test_the_copy_of_another_release_is_not_used(pod: Pod) -> None:
    """pg_basebackup copies an older server without a word."""
    pod.extra = {"MADE_RELEASE": "16"}
    pod.permit(pod.clone())

    assert pod.run() == 1
    assert pod.said()[-1].startswith(f"{pod.new} is of Postgres 16, and this image has 17, so nothing starts: use an")
    assert (pod.data.exists(), pod.calls("start")) == (False, [])


@pytest.mark.parametrize("work", ["resume", "rewind", "init"])
def test_the_directory_of_another_user_is_refused(pod: Pod, work: str) -> None:
    """A volume of another image, where the user has another number."""
    if os.getuid() == 0:
        pod.has_data()
        os.chown(pod.data, 12345, 12345)
    else:
        pod.data.symlink_to("/etc")  # root's
    if work == "init":
        (pod.run_dir / f"begun.{PLAN}").touch()
    pod.permit(getattr(pod, work)())
    owner = 12345 if os.getuid() == 0 else 0
    if work == "init" and owner == 0:
        return  # it holds no data
    assert pod.run() == 1
    assert pod.said() == [
        (
            f"{pod.data} belongs to user {owner}, and this container runs as 999, so nothing starts: set runAsUser "
            "to that user, or give the directory to this one (chown -R)"
        )
    ]
    assert pod.calls("start") == []


def test_a_volumes_root_is_not_rewound(pod: Pod) -> None:
    """The mark would lie in the container's own file system, and the next container would start on half of a rewind."""
    pod.has_data()
    (pod.data / "lost+found").mkdir()
    pod.program(
        "stat", f"#!/bin/sh\ncase $3 in '{pod.data}/.') echo 1 ;; *) echo 2 ;; esac\n".replace("it's", "it'\\''s")
    )
    pod.permit(pod.rewind())
    refuses(
        pod,
        f"{pod.data} is the root of a volume, so the mark of a rewind would not lie on it, and nothing is rewound: "
        "move its files into a directory below and name that in PEERBOOT_DATA_DIR",
    )
    pod.permit(pod.resume(NEXT))

    assert pod.run() == 0
    assert pod.calls("on") == [ON]


# ------------------------------------------------------------------ the log


@pytest.mark.parametrize("work", ["init", "clone"])
def test_a_log_elsewhere_has_a_place_for_each_plan(pod: Pod, work: str) -> None:
    """POSTGRES_INITDB_WALDIR, as the official image has it: what was set aside still has its log in another place."""
    pod.extra = {"POSTGRES_INITDB_WALDIR": f"{pod.root}/w a l"}
    pod.permit(getattr(pod, work)())

    assert pod.run() == 0
    call = pod.calls({"init": "initdb", "clone": "basebackup"}[work])[0]
    assert f" --waldir={pod.root}/w a l/{PLAN}" in call


def test_a_log_elsewhere_that_was_cut_off_is_made_anew(pod: Pod) -> None:
    """initdb refuses a place with anything in it; what another directory has beside it stays."""
    mine, other = pod.root / "wal" / PLAN, pod.root / "wal" / NEXT
    for directory in (mine, other, pod.new):
        directory.mkdir(parents=True)
    (mine / "000000010000000000000001").touch()
    (other / "000000010000000000000001").touch()
    (pod.new / "pg_wal").symlink_to(mine)
    pod.permit(pod.clone())

    assert pod.run() == 0
    assert ([*mine.iterdir()], [path.name for path in other.iterdir()]) == ([], ["000000010000000000000001"])


# ----------------------------------------------------------------- the causes

AT = 'pg_basebackup: error: connection to server at "pg-1" (10.0.0.7), port 5432 failed: '
CAUSES = {
    f'{AT}FATAL:  password authentication failed for user "peerboot"': (
        "give all Pods of the set the same PEERBOOT_POSTGRES_PASSWORD_FILE"
    ),
    f"{AT}fe_sendauth: no password supplied": "give all Pods of the set the same PEERBOOT_POSTGRES_PASSWORD_FILE",
    f"{AT}FATAL:  no pg_hba.conf entry for replication connection from host": (
        "restart the primary's Pod, which puts peerboot's lines first in its pg_hba.conf"
    ),
    f"{AT}FATAL:  pg_hba.conf rejects replication connection for host": (
        "restart the primary's Pod, which puts peerboot's lines first in its pg_hba.conf"
    ),
    f"{AT}FATAL:  number of requested standby connections exceeds max_wal_senders (currently 1)": (
        "raise max_wal_senders of the primary"
    ),
    f"{AT}Connection refused": "see whether the primary runs and is reached from here",
    'pg_basebackup: error: could not write to file "base/5/1": No space left on device': "make room on the volume",
    'pg_basebackup: error: could not create directory "x": Permission denied': (
        "give the volume to user 999, with fsGroup for example"
    ),
    "pg_basebackup: error: incompatible server version 18.4": "use the same release of Postgres in all Pods",
}


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.rpartition(": ")[2][:40])
def test_a_copy_that_fails_names_its_cause_and_what_to_do(pod: Pod, cause: str) -> None:
    """The first error is the cause: what follows comes of it."""
    more = "pg_basebackup: removing data directory\npg_basebackup: error: child process exited with exit code 1"
    pod.extra = {"BACKUP_FAILS": f"a warning of its own\n{cause}\n\tIs it running?\n{more}"}
    pod.permit(pod.clone())
    refuses(
        pod,
        f"the primary was not copied, for '{cause}', so nothing is started: {CAUSES[cause]}; it is tried again",
    )
    assert f"{cause}\n\tIs it running?\n" in "\n".join(pod.runs[0].says())


def test_a_tool_that_says_nothing(pod: Pod) -> None:
    """It was killed, for example."""
    pod.program("pg_basebackup", "#!/bin/sh\nkill -9 $$\n")
    pod.permit(pod.clone())

    assert pod.run() == 1
    assert pod.said()[-1].startswith("the primary was not copied, for 'it says nothing', so nothing is started: see")


def test_the_data_of_a_permit_may_be_anywhere(pod: Pod) -> None:
    """``/var/lib/postgresql/18/docker``, where neither exists yet."""
    pod.data = pod.volume / "18" / "docker"
    pod.program("initdb", (pod.bin / "initdb").read_text().replace('mkdir "$2"', 'mkdir -p "$2"'))
    pod.permit(Permit(kind="first", plan=PLAN, work="init", data=str(pod.data)))

    assert pod.run() == 0
    assert (pod.calls("on"), (pod.data / "global" / "pg_control").read_text()) == ([ON], f"{SYSTEM}\n")
