"""The script that starts Postgres, run for real by every shell that is here; only Postgres' programs are stand-ins.

The real ones are in ``tests/real/test_postgres_launch.py``.
"""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerboot.systems.postgres import launch
from peerboot.systems.postgres.launch import script
from tests.launch.container import NEXT, PLAN, SHELLS
from tests.postgres.container import FOREIGN, ON, PIECES, SOURCE, SYSTEM, Pod

ROOM = "make room on the volume, or mount it writable"
ASK = "peerboot writes it before the permit, ask it with 'peerboot explain'"
OWN = "include = '{}/peerboot.conf'"
"""What is the last line of ``postgresql.conf``."""


@pytest.fixture(params=SHELLS, ids=" ".join)
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pod]:
    """One container with each shell; what runs in it ends with the test."""
    made = Pod(tmp_path, request.param)
    yield made
    for run in made.runs:
        run.stop()


def last(pod: Pod) -> str:
    """The script's last words."""
    return pod.said()[-1]


TOOLS = (
    "cat",
    "chmod",
    "cp",
    "dirname",
    "grep",
    "head",
    "id",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "rmdir",
    "sed",
    "sleep",
    "stat",
    "tr",
)


def only(pod: Pod, but: str = "") -> dict[str, str]:
    """A PATH without what else this machine has, a Postgres for example; its shell is taken by its own path."""
    tools = pod.root / "tools"
    tools.mkdir()
    for name in TOOLS:
        if name != but:
            (tools / name).symlink_to(shutil.which(name) or "")
    pod.shell = (shutil.which(pod.shell[0]) or "", *pod.shell[1:])
    return {"PATH": f"{pod.bin}:{tools}"}


# ------------------------------------------------------------------- programs


def test_the_server_takes_the_scripts_place(pod: Pod) -> None:
    """As process 1 it gets the signals; its options, with blanks, and the container's language reach it as they are."""
    pod.extra = {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"}
    pod.arguments = ("postgres", "-c", "search_path=a, * b", "-c", "x=")
    pod.permit(pod.init())

    assert pod.run() == 0
    assert [f"-D {pod.data} -c search_path=a, * b -c x="] == pod.calls("start")
    assert [str(pod.runs[0].process.pid)] == pod.calls("pid")
    assert pod.calls("locale") == ["de_DE.UTF-8 de"]


def test_without_a_language_of_its_own_the_server_gets_none(pod: Pod) -> None:
    """``LC_ALL=C`` is the script's, for what it reads; with it the server would sort as nobody asked it to."""
    pod.permit(pod.init())

    assert pod.run() == 0
    assert pod.calls("locale") == ["none none"]


def test_the_programs_are_found_where_debian_puts_them(pod: Pod) -> None:
    """With none in PATH."""
    place = pod.root / "lib" / "17" / "bin"
    place.mkdir(parents=True)
    for name in ("initdb", "postgres", "pg_controldata"):
        (pod.bin / name).rename(place / name)
    pod.write(launch.LAUNCH_NAME, script().replace("/usr/lib/postgresql/", f"{pod.root}/lib/"))
    pod.extra = only(pod)
    pod.permit(pod.init())

    assert pod.run() == 0
    assert pod.calls("on") == [ON]


def test_without_postgres_it_says_what_to_do(pod: Pod) -> None:
    """One line, at once, with the code of a command that is not found."""
    (pod.bin / "postgres").unlink()
    pod.write(launch.LAUNCH_NAME, script().replace("/usr/lib/postgresql/", "/nowhere/"))
    pod.extra = only(pod)
    pod.permit(pod.init())

    assert pod.run() == 127
    assert [line.partition(":")[0] for line in pod.said()] == [
        "there is no postgres in PATH, /nowhere/*/bin or /usr/local/pgsql/bin, so nothing is started"
    ]


@pytest.mark.parametrize("lost", ["rmdir", "sed", "mv"])
def test_without_a_tool_of_the_system_it_names_it(pod: Pod, lost: str) -> None:
    """Found before anything is made, not in the middle."""
    if pod.shell[0] == "busybox":
        return  # it has its own
    pod.extra = only(pod, but=lost)
    pod.permit(pod.init())

    assert pod.run() == 127
    assert [f"there is no {lost} in this image, so nothing is started: use an image that has it"] == pod.said()
    assert pod.calls("initdb") == []


# -------------------------------------------------------------------- waiting


def test_waiting_says_what_for_and_each_thing_once(pod: Pod) -> None:
    """The first line of status.txt, at once and whenever it changes; then the permit comes and the server starts."""
    run = pod.start()
    run.wait_for("has not said yet")
    pod.write("status.txt", "waits for pg-2\nstartup=no ready=no\n")
    run.wait_for("pg-2")
    pod.write("status.txt", "waits for pg-2\nstartup=no ready=yes\n")
    time.sleep(0.3)  # a round at least
    pod.write("status.txt", "waits for *  pg-0")
    run.wait_for("pg-0")
    pod.permit(pod.init())

    assert run.ends() == 0
    assert pod.said() == [
        "waiting for the permit run.ok, and peerboot has not said yet why it is not there",
        "waits for pg-2",
        "waits for *  pg-0",
        "making a new cluster with initdb",
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_wait(pod: Pod, number: signal.Signals, code: int) -> None:
    """Process 1 has no default actions: without a trap the kubelet would wait for its whole grace period."""
    run = pod.start()
    run.wait_for("waiting for the permit")
    run.process.send_signal(number)

    assert code == run.ends()


@pytest.mark.parametrize("work", ["init", "clone", "rewind"])
def test_it_is_waiting_also_while_it_works(pod: Pod, work: str) -> None:
    """The file is there before a program begins and gone when a server starts, with a permit that was there before.

    Without it peerboot, which cannot see the processes of this container, takes it that a server runs.
    """
    if work == "rewind":
        pod.has_data()
    name = {"init": "initdb", "clone": "pg_basebackup", "rewind": "pg_rewind"}[work]
    seen = '[ ! -e "$RUN_DIR/waiting" ] || echo "seen" >>"$LOG"\n'
    text = (pod.bin / name).read_text()
    pod.program(name, text.replace("#!/bin/sh\n", "#!/bin/sh\n" + seen, 1).replace('echo "seen"', 'echo "seen it"'))
    pod.permit({"init": pod.init, "clone": pod.clone, "rewind": pod.rewind}[work]())

    assert pod.run() == 0
    assert set(pod.calls("seen")) == {"it"}
    assert pod.calls("on") == [ON]
    assert not pod.waiting.exists()


def test_no_server_starts_while_the_file_says_that_none_runs(pod: Pod) -> None:
    """peerboot works on the directory while it is there; so a file that cannot be removed keeps the server away."""
    pod.waiting.mkdir()
    (pod.waiting / "x").touch()
    pod.has_data()
    pod.permit(pod.resume())

    assert pod.run() == 1
    assert pod.calls("start") == []


@pytest.mark.parametrize("name", ["waiting", f"begun.{PLAN}", f"used.{PLAN}"])
def test_an_output_directory_that_cannot_be_written_is_named(pod: Pod, name: str) -> None:
    """In one line of the script's own, in dash too, which ends at once when ``:`` cannot be redirected."""
    (pod.run_dir / name).mkdir()
    (pod.run_dir / name / "x").touch()
    if name.startswith("used"):
        pod.has_data()
    pod.permit(pod.resume() if name.startswith("used") else pod.init())

    assert pod.run() == 1
    words = r"peerboot: .* cannot be written, so nothing is (made|started): mount it .*"
    assert re.fullmatch(words, pod.runs[0].says()[-1])
    assert (pod.calls("initdb"), pod.calls("start")) == ([], [])


# -------------------------------------------------------------------- withdrawn


@pytest.mark.parametrize("work", ["init", "resume"])
def test_a_permit_that_is_withdrawn_meanwhile_starts_nothing(pod: Pod, work: str) -> None:
    """It is looked at once more right before the start; given back, it starts, and nothing is made twice."""
    pod.extra = {"SYNC_WITHDRAWS": "yes"}
    if work == "resume":
        pod.has_data()
    permit = pod.init() if work == "init" else pod.resume()
    pod.permit(permit)
    run = pod.start()
    run.wait_for("was withdrawn or replaced just before the start")
    run.wait_for("waiting for the permit")
    assert (pod.calls("start"), pod.waiting.exists()) == ([], True)
    pod.program("sync", "#!/bin/sh\n")
    pod.permit(permit)

    assert run.ends() == 0
    assert (len(pod.calls("initdb")), pod.calls("on")) == (1 if work == "init" else 0, [ON])


def test_a_permit_that_is_replaced_meanwhile_is_not_the_one_that_was_read(pod: Pod) -> None:
    """The data is what the first one was about; the second is about another."""
    pod.has_data()
    pod.permit(pod.resume(NEXT, FOREIGN))
    other = (pod.run_dir / launch.PERMIT_NAME).rename(pod.root / "other")
    pod.extra = {"SYNC_REPLACES": str(other)}
    pod.permit(pod.resume())
    run = pod.start()
    run.wait_for("was withdrawn or replaced just before the start: looking again")
    run.wait_for(f"has system identifier {SYSTEM}, but the permit {FOREIGN}")

    assert pod.calls("start") == []


# --------------------------------------------------------------------- resume


@pytest.mark.parametrize("standby", [False, True])
def test_resume_starts_as_a_standby_whatever_it_was(pod: Pod, standby: bool) -> None:
    """A server that was promoted has lost ``standby.signal``: it would take writes on the timeline of before."""
    pod.has_data(standby=standby)
    pod.data.chmod(0o2770)
    pod.permit(pod.resume())

    assert pod.run() == 0
    assert (pod.calls("on"), pod.used()) == ([ON], True)
    assert pod.data.stat().st_mode & 0o777 == 0o700
    assert (pod.calls("initdb"), pod.calls("basebackup"), pod.calls("rewind")) == ([], [], [])
    assert [f"-D {pod.data}"] == pod.calls("start")
    assert pod.said() == []


@pytest.mark.parametrize(
    ("system", "difference"),
    [
        (FOREIGN, f"has system identifier {FOREIGN}, but the permit {SYSTEM}, so this is not the data that may start"),
        ("", "so this is not the data that may start"),
        (None, "holds no data, and the permit is to start with it"),
    ],
    ids=["foreign", "unreadable", "blank"],
)
@pytest.mark.parametrize("work", ["start", "rewind"])
def test_resume_waits_when_the_data_is_another(pod: Pod, system: str | None, difference: str, work: str) -> None:
    """Nothing of it is changed, and peerboot sees the same and decides anew."""
    if system is not None:
        pod.has_data(system)
        (pod.data / "global" / "pg_control").write_text(system)
    before = left(pod.volume)
    pod.permit(pod.resume() if work == "start" else pod.rewind())
    run = pod.start()
    run.wait_for("not said yet")
    time.sleep(0.3)  # a second round says nothing more

    assert [difference in pod.said()[0], pod.said()[1].partition(",")[0]] == [True, "waiting for the permit run.ok"]
    assert pod.said()[0].endswith(": waiting for another permit")
    assert (len(pod.said()), pod.calls("start"), pod.waiting.exists()) == (2, [], True)
    assert before == left(pod.volume)


@pytest.mark.parametrize("work", ["resume", "rewind", "first"])
def test_a_directory_that_is_marked_is_not_started_on(pod: Pod, work: str) -> None:
    """pg_rewind was cut off there: neither with its own permit, nor with any other, and the mark stays."""
    pod.has_data()
    pod.rewinding.write_text(NEXT)
    if work == "first":
        (pod.run_dir / f"begun.{PLAN}").touch()
        (pod.run_dir / f"used.{PLAN}").touch()
    pod.permit({"resume": pod.resume, "rewind": pod.rewind, "first": pod.init}[work]())
    run = pod.start()
    run.wait_for("waiting for another permit")

    assert f"pg_rewind was cut off on {pod.data}" in pod.said()[0]
    assert (pod.calls("start"), pod.calls("asked"), pod.calls("rewind")) == ([], [], [])
    assert pod.rewinding.exists()


def test_a_restore_by_hand_is_left_as_it_is(pod: Pod) -> None:
    """``recovery.signal``: beside a ``standby.signal`` it would not count any more, and the restore would never end."""
    pod.has_data()
    (pod.data / "recovery.signal").touch()
    before = left(pod.volume)
    pod.permit(pod.resume())

    assert pod.run() == 1
    assert last(pod).startswith(f"{pod.data}/recovery.signal is there: a restore to a point in time was begun by hand")
    assert (before, []) == (left(pod.volume), pod.calls("start"))


# ------------------------------------------------------------------- its files


def test_what_was_by_hand_stays(pod: Pod) -> None:
    """peerboot's rules come first, its settings last, and lines that follow another primary go."""
    pod.has_data()
    (pod.data / "postgresql.auto.conf").write_text(
        "work_mem = '8MB'\nprimary_conninfo = 'host=old'\n  primary_slot_name='x'\nprimary_color = 'red'\n"
        "recovery_target_time = '2020-01-01'\nrecovery_target_action = 'promote'\nrestore_command = 'cp'\n"
    )
    pod.permit(pod.resume())

    assert (pod.run(), pod.run()) == (0, 0)
    quoted = str(pod.run_dir).replace("\\", "\\\\").replace("'", "''")
    assert (pod.data / "postgresql.conf").read_text() == (
        f"# mine\nwork_mem = 4MB\n\n# The next line is peerboot's.\n{OWN.format(quoted)}\n"
    )
    assert (pod.data / "postgresql.auto.conf").read_text() == (
        "work_mem = '8MB'\nprimary_color = 'red'\nrestore_command = 'cp'\n"
    )
    assert (pod.data / "pg_hba.conf").read_text() == (
        "# These lines are peerboot's, up to the line that ends them.\nhost all peerboot all scram-sha-256\n"
        "# End of the lines of peerboot.\nlocal all all peer\n"
    )


@pytest.mark.parametrize("end", ["port = 1\n", "port = 1", "# a comment"])
def test_settings_that_came_after_peerboots_come_before_them_again(pod: Pod, end: str) -> None:
    """The last one counts, so peerboot's have to be the last; an include of another place, which may be gone, goes."""
    pod.has_data()
    path = pod.data / "postgresql.conf"
    path.write_text(f"a = 1\n# The next line is peerboot's.\ninclude = '/old/place/peerboot.conf'\n{end}")
    pod.permit(pod.resume())

    assert pod.run() == 0
    lines = path.read_text().splitlines()
    assert ["a = 1", end.rstrip("\n")] == lines[:2]
    assert lines[-1].endswith("/peerboot.conf'")
    assert "/old/place" not in path.read_text()


def test_new_rules_replace_the_old_ones(pod: Pod) -> None:
    """peerboot's lines are made anew at each start."""
    pod.has_data()
    pod.permit(pod.resume())
    assert pod.run() == 0
    pod.write(launch.HBA_NAME, "hostssl all peerboot all scram-sha-256\nhost x y all reject\n")

    assert pod.run() == 0
    assert (pod.data / "pg_hba.conf").read_text() == (
        "# These lines are peerboot's, up to the line that ends them.\nhostssl all peerboot all scram-sha-256\n"
        "host x y all reject\n# End of the lines of peerboot.\nlocal all all peer\n"
    )


def test_a_file_that_lets_the_server_promote_itself_is_refused(pod: Pod) -> None:
    """``promote_trigger_file``, which 15 still has: whoever writes that file would make a second primary."""
    pod.has_data()
    (pod.data / "postgresql.auto.conf").write_text("promote_trigger_file = '/tmp/x'\n")
    with (pod.data / "postgresql.conf").open("a") as file:
        file.write("  promote_trigger_file = '/tmp/y'\n")
    pod.permit(pod.resume())

    assert pod.run() == 1
    assert last(pod).startswith(f"{pod.data}/postgresql.conf has promote_trigger_file")
    assert pod.calls("start") == []


KEPT = "(Debian keeps it in /etc/postgresql, bitnami's image in /opt/bitnami/postgresql/conf)"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pg data/postgresql.conf", "{}/postgresql.conf is not there, so nothing starts: bring it back " + KEPT),
        ("pg data/pg_hba.conf", "{}/pg_hba.conf is not there, so nothing starts: bring it back " + KEPT),
    ],
)
def test_a_server_without_its_own_files_is_not_started(pod: Pod, name: str, words: str) -> None:
    """They are the user's, so nothing is put in their place."""
    pod.has_data()
    (pod.volume / name).unlink()
    pod.permit(pod.resume())

    assert pod.run() == 1
    assert [f"peerboot: {words.format(pod.data)}"] == pod.runs[0].says()
    assert pod.calls("start") == []


@pytest.mark.parametrize("work", ["init", "resume"])
def test_without_peerboots_rules_nothing_starts(pod: Pod, work: str) -> None:
    """The standbys could not log in; and nothing has its final name."""
    if work == "resume":
        pod.has_data()
    (pod.run_dir / launch.HBA_NAME).unlink()
    pod.permit(pod.resume() if work == "resume" else pod.init())

    assert pod.run() == 1
    assert last(pod) == f"{pod.run_dir}/pg_hba.peerboot is not there, so nothing starts: {ASK}"
    assert (pod.calls("start"), pod.data.exists()) == ([], work == "resume")


def test_without_peerboots_settings_it_waits(pod: Pod) -> None:
    """They come before the permit; a permit without them is no reason to crash in a loop."""
    (pod.run_dir / launch.SETTINGS_NAME).unlink()
    pod.permit(pod.init())
    run = pod.start()
    run.wait_for("peerboot.conf is not there beside the permit")
    assert pod.calls("initdb") == []
    pod.write(launch.SETTINGS_NAME, "")

    assert run.ends() == 0


@pytest.mark.parametrize("name", ["postgresql.conf", "postgresql.auto.conf", "pg_hba.conf"])
def test_a_full_volume_starts_nothing_and_cuts_no_file_off(pod: Pod, name: str) -> None:
    """What does not fit is not renamed over what is there."""
    pod.has_data()
    (pod.data / "postgresql.auto.conf").write_text("work_mem = 1MB\nprimary_conninfo = 'host=old'\n")
    before = (pod.data / name).read_text()
    (pod.data / f"{name}.new").symlink_to("/dev/full")
    pod.permit(pod.resume())

    assert pod.run() == 1
    assert last(pod) == f"{pod.data}/{name}.new cannot be written, so nothing starts: make room on the volume"
    assert (before, []) == ((pod.data / name).read_text(), pod.calls("start"))


@pytest.mark.parametrize("name", ["postgresql.conf", "postgresql.auto.conf", "pg_hba.conf"])
def test_a_tool_that_breaks_off_cuts_no_file_off(pod: Pod, name: str) -> None:
    """It has written a part by then."""
    pod.has_data()
    (pod.data / "postgresql.auto.conf").write_text("primary_conninfo = 'host=old'\n")
    before = (pod.data / name).read_text()
    real = shutil.which("sed")
    text = f'case $last in */{name}) [ "$1" = -n ] || {{ echo part; exit 1; }} ;; esac'
    pod.program("sed", f'#!/bin/sh\nfor last; do :; done\n{text}\nexec {real} "$@"\n')
    pod.permit(pod.resume())

    if pod.shell[0] == "busybox":
        return  # its sed may be built in
    assert pod.run() == 1
    assert (before, []) == ((pod.data / name).read_text(), pod.calls("start"))


def test_a_standby_signal_that_cannot_be_written_starts_nothing(pod: Pod) -> None:
    """The one file without which there would be a second primary."""
    pod.has_data()
    (pod.data / "standby.signal").symlink_to("/nowhere/x")
    pod.permit(pod.resume())

    assert pod.run() == 1
    assert [f"peerboot: {pod.data}/standby.signal cannot be written, so nothing starts: {ROOM}"] == pod.runs[0].says()
    assert pod.calls("start") == []


@pytest.mark.parametrize("work", ["init", "clone", "resume", "rewind"])
def test_a_volume_that_cannot_be_synced_starts_nothing(pod: Pod, work: str) -> None:
    """What a crash could take away must not be what others have been told of."""
    pod.extra = {"SYNC_FAILS": "yes"}
    if work in ("resume", "rewind"):
        pod.has_data()
    pod.permit(getattr(pod, work)())

    assert pod.run() == 1
    assert last(pod) == "sync failed, so nothing is started: look at the volume"
    assert (pod.calls("start"), pod.calls("rewind"), pod.used()) == ([], [], False)


# ------------------------------------------------------------------------ init


def test_a_new_cluster_is_made_with_passwords_and_checksums(pod: Pod) -> None:
    """And with peerboot's role, before any server that listens has run."""
    pod.write("superuser", "secret\n")
    pod.permit(pod.init())

    assert pod.run() == 0
    made = f"-D {pod.new} -U postgres --encoding=UTF8 -A scram-sha-256 --pwfile={pod.run_dir}/superuser"
    assert [f"{made} --data-checksums --locale=C.UTF-8"] == pod.calls("initdb")
    assert [f"--single -D {pod.new} -c exit_on_error=on postgres"] == pod.calls("single")
    assert (pod.data / "roles").read_text() == (pod.run_dir / launch.ROLES_NAME).read_text()
    assert (pod.calls("on"), pod.used(), pod.new.exists()) == ([ON], True, False)


def test_without_a_password_the_superuser_logs_in_inside_only(pod: Pod) -> None:
    """By the socket, which the network does not reach."""
    pod.permit(pod.init())

    assert pod.run() == 0
    made = f"-D {pod.new} -U postgres --encoding=UTF8 -A scram-sha-256 --auth-local=trust"
    assert [f"{made} --data-checksums --locale=C.UTF-8"] == pod.calls("initdb")


def test_an_image_without_utf8_locales_gets_the_c_locale(pod: Pod) -> None:
    """Which every system has."""
    pod.extra = {"NO_UTF8": "yes"}
    pod.permit(pod.init())

    assert pod.run() == 0
    assert [call.rpartition("=")[2] for call in pod.calls("initdb")] == ["C.UTF-8", "C"]


NOT_MADE = "no cluster was made, for '{}', so nothing is started: look at the volume and the image; it is tried again"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"INITDB_FAILS": "yes"}, NOT_MADE.format("initdb: error: it has its reason")),
        ({"SINGLE_FAILS": "yes"}, NOT_MADE.format("ERROR:  it has its reason")),
        ({"SINGLE_LEAVES": "yes"}, "the first server did not end, so nothing is started: run this again"),
    ],
    ids=["initdb", "roles", "still-running"],
)
def test_a_cluster_that_cannot_be_made_gets_no_name(pod: Pod, extra: dict[str, str], words: str) -> None:
    """The program's own words come through, the plan is not used up, and the next run makes it."""
    pod.extra = extra
    pod.permit(pod.init())
    assert pod.run() == 1
    assert last(pod) == words
    assert any("it has its reason" in line for line in pod.runs[0].says()) == ("SINGLE_LEAVES" not in extra)
    assert (pod.data.exists(), pod.used(), pod.calls("start")) == (False, False, [])
    pod.extra = {}

    assert pod.run() == 0
    assert pod.calls("on") == [ON]


def test_without_the_roles_nothing_is_made(pod: Pod) -> None:
    """A cluster without peerboot's role could never be asked or copied."""
    (pod.run_dir / launch.ROLES_NAME).unlink()
    pod.permit(pod.init())

    assert pod.run() == 1
    assert [f"peerboot: {pod.run_dir}/roles.sql is not there, so nothing is made: {ASK}"] == pod.runs[0].says()
    assert pod.calls("initdb") == []


@pytest.mark.parametrize("piece", range(1, PIECES + 1))
def test_an_initdb_that_died_by_halves_is_made_anew(pod: Pod, piece: int) -> None:
    """A server would start on it, with ``template1`` alone; so it never had the name."""
    pod.extra = {"DIES": f"initdb{piece}"}
    pod.permit(pod.init())
    assert pod.run() == -signal.SIGKILL
    assert (pod.data.exists(), pod.new.exists()) == (False, True)
    pod.extra = {}

    assert pod.run() == 0
    assert (len(pod.calls("initdb")), pod.calls("on"), pod.new.exists()) == (2, [ON], False)


def test_what_another_plan_left_by_halves_is_replaced(pod: Pod) -> None:
    """By its name it is launch.sh's own, and no server ever ran there."""
    pod.new.mkdir()
    (pod.new / "PG_VERSION").touch()
    pod.permit(pod.clone())

    assert pod.run() == 0
    assert pod.calls("on") == [ON]


def test_a_restart_with_the_same_first_permit_only_starts(pod: Pod) -> None:
    """The kubelet restarts the container alone; as a standby again, though it was promoted in between."""
    pod.permit(pod.init())
    assert pod.run() == 0
    (pod.data / "standby.signal").unlink()

    assert (pod.run(), pod.run()) == (0, 0)
    assert (len(pod.calls("initdb")), pod.calls("on")) == (1, [ON] * 3)


def test_a_used_plan_makes_nothing_again(pod: Pod) -> None:
    """A lost volume would be a second cluster under the same name."""
    pod.permit(pod.init())
    assert pod.run() == 0
    shutil.rmtree(pod.data)
    run = pod.start()
    run.wait_for("waiting for another permit")
    assert pod.said()[0].startswith(f"plan {PLAN} was used already and makes nothing again, but {pod.data} is gone")
    assert (len(pod.calls("initdb")), len(pod.calls("start"))) == (1, 1)

    pod.permit(pod.clone(NEXT))

    assert run.ends() == 0
    assert (len(pod.calls("initdb")), len(pod.calls("basebackup"))) == (1, 1)


def test_a_plan_is_used_up_by_a_start_with_a_resume_permit(pod: Pod) -> None:
    """Killed once the directory had its name, it then ran with a resume permit: the first may not come again."""
    pod.permit(pod.init())
    lines = script().splitlines()
    place = next(k for k, line in enumerate(lines) if 'mv "$new"' in line) + 3
    assert lines[place] == '    durable "$permit_data"'
    assert pod.run(pod.write("killed.sh", "\n".join([*lines[:place], "kill -9 $$", *lines[place:]]))) < 0
    assert (pod.data.exists(), pod.used()) == (True, False)
    pod.permit(pod.resume(NEXT))
    assert pod.run() == 0
    shutil.rmtree(pod.data)
    pod.permit(pod.init())
    pod.start().wait_for("was used already")

    assert len(pod.calls("initdb")) == 1


@pytest.mark.parametrize("work", ["init", "clone"])
def test_data_that_is_there_is_not_replaced(pod: Pod, work: str) -> None:
    """The permit was for a blank disk, and the server of such data is another one's decision."""
    pod.has_data()
    before = left(pod.volume)
    pod.permit(getattr(pod, work)())
    run = pod.start()
    run.wait_for("waiting for another permit")

    assert pod.said()[0] == (f"{pod.data} holds data already, and the permit is to make it: waiting for another permit")
    assert (before, [], []) == (left(pod.volume), pod.calls("initdb") + pod.calls("basebackup"), pod.calls("start"))


@pytest.mark.parametrize(("inside", "made"), [((), True), (("lost+found",), False), (("base",), False)])
def test_a_directory_with_anything_in_it_is_no_place(pod: Pod, inside: tuple[str, ...], made: bool) -> None:
    """Empty it makes room for the new one; with ``lost+found`` it is a volume's root, which cannot be renamed over."""
    pod.data.mkdir()
    for name in inside:
        (pod.data / name).mkdir()
    pod.permit(pod.init())
    run = pod.start()
    code = run.settles()

    assert (code, pod.calls("on")) == ((0, [ON]) if made else (None, []))
    if not made:
        assert pod.said()[0] == (
            f"{pod.data} is no empty directory, so nothing is made there: name a directory below the volume's mount"
        )
        assert (pod.calls("initdb"), sorted(path.name for path in pod.data.iterdir())) == ([], [*inside])


def test_the_root_of_an_empty_volume_is_no_place(pod: Pod) -> None:
    """It is empty, and cannot be removed either."""
    if pod.shell[0] == "busybox":
        return  # its rmdir may be built in
    pod.data.mkdir()
    pod.program("rmdir", "#!/bin/sh\necho 'Device or resource busy' >&2\nexit 1\n")
    pod.permit(pod.init())
    run = pod.start()

    assert run.settles() is None
    assert pod.said()[0] == (
        f"{pod.data} is no empty directory, so nothing is made there: name a directory below the volume's mount"
    )
    assert pod.calls("initdb") == []


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_name_that_is_no_directorys_is_no_place(pod: Pod, kind: str) -> None:
    """A link to nowhere may be somebody's data that is not mounted."""
    if kind == "link":
        pod.data.symlink_to(pod.root / "nowhere")
    else:
        pod.data.touch()
    pod.permit(pod.init())

    assert pod.start().settles() is None
    assert (pod.calls("initdb"), pod.data.is_symlink()) == ([], kind == "link")


def test_a_directory_that_comes_meanwhile_is_not_filled(pod: Pod) -> None:
    """``mv`` into a directory that is there would put the new one below it."""
    text = (pod.bin / "initdb").read_text()
    pod.program("initdb", f'{text}mkdir "{pod.data}"\n')
    pod.permit(pod.init())

    assert pod.run() == 1
    assert (list(pod.data.iterdir()), pod.calls("start")) == ([], [])
    assert last(pod) == f"{pod.data} has come meanwhile, so {pod.new} does not get that name: run this again"


def test_a_new_directory_has_no_mark_of_the_old_one(pod: Pod) -> None:
    """What pg_rewind was cut off on was set aside; its mark is not about the copy."""
    pod.rewinding.touch()
    pod.permit(pod.clone())

    assert pod.run() == 0
    assert (pod.calls("on"), pod.rewinding.exists()) == ([ON], False)


# ----------------------------------------------------------------------- clone


@pytest.mark.parametrize("slot", ["", "pg_1"])
def test_a_clone_is_the_primarys_and_peerboots(pod: Pod, slot: str) -> None:
    """The source is one argument, whatever is in it; the passwords stay in their file."""
    pod.permit(pod.clone(slot=slot))

    assert pod.run() == 0
    flags = "-X stream --checkpoint=fast -w" + (f" -S {slot}" if slot else "")
    assert [f"-d {SOURCE} -D {pod.new} {flags}"] == pod.calls("basebackup")
    assert [f"{pod.run_dir}/pgpass"] == pod.calls("passwords")
    assert pod.calls("on") == [ON]
    assert (pod.data / "postgresql.auto.conf").read_text() == "work_mem = '8MB'\n"
    assert "/elsewhere/" not in (pod.data / "postgresql.conf").read_text()
    assert (pod.data / "pg_hba.conf").read_text().splitlines()[1:] == [
        "host all peerboot all scram-sha-256", "# End of the lines of peerboot.", "host all app all scram-sha-256",
    ]  # fmt: skip


def test_a_copy_of_another_cluster_is_not_used(pod: Pod) -> None:
    """Whoever answered at that address."""
    pod.extra = {"MAKES": FOREIGN}
    pod.permit(pod.clone())

    assert pod.run() == 1
    assert last(pod) == (
        f"{pod.new} has system identifier {FOREIGN}, but the permit {SYSTEM}, so this copy is not used: it is of "
        "another cluster, look at PEERBOOT_POSTGRES_HOST"
    )
    assert (pod.data.exists(), pod.calls("start")) == (False, [])


def test_a_copy_that_fails_is_named_and_tried_again(pod: Pod) -> None:
    """With the program's own reason; the next run, in a moment, may find the primary."""
    pod.extra = {"BACKUP_FAILS": "pg_basebackup: error: it has its reason"}
    pod.permit(pod.clone())
    assert pod.run() == 1
    assert pod.runs[0].says() == [
        f"peerboot: cloning the primary into {pod.new}",
        "pg_basebackup: error: it has its reason",
        (
            "peerboot: the primary was not copied, for 'pg_basebackup: error: it has its reason', so nothing is "
            "started: see whether the primary runs and is reached from here; it is tried again"
        ),
    ]
    assert (pod.data.exists(), pod.new.exists(), pod.used()) == (False, False, False)
    pod.extra = {}

    assert pod.run() == 0
    assert pod.calls("on") == [ON]


@pytest.mark.parametrize("piece", range(1, PIECES + 1))
def test_a_copy_that_died_by_halves_is_made_anew(pod: Pod, piece: int) -> None:
    """Its control file, if it has one, looks like a crashed primary's."""
    pod.extra = {"DIES": f"basebackup{piece}"}
    pod.permit(pod.clone())
    assert pod.run() == -signal.SIGKILL
    assert (pod.data.exists(), pod.new.exists()) == (False, True)
    pod.extra = {}

    assert pod.run() == 0
    assert (len(pod.calls("basebackup")), pod.calls("on")) == (2, [ON])


def test_a_used_clone_starts_no_other_cluster(pod: Pod) -> None:
    """Its own plan made it, but what is there now is another one's."""
    pod.permit(pod.clone())
    assert pod.run() == 0
    (pod.data / "global" / "pg_control").write_text(FOREIGN)
    pod.start().wait_for("waiting for another permit")

    assert len(pod.calls("start")) == 1


# ---------------------------------------------------------------------- rewind


@pytest.mark.parametrize("standby", [False, True])
@pytest.mark.parametrize("place", ["inside", "linked"])
def test_a_rewind_keeps_the_log_of_before(pod: Pod, standby: bool, place: str) -> None:
    """What only this server had is in it, also where ``pg_wal`` is a link to another volume.

    pg_rewind ends a crash by itself, which Postgres refuses beside ``standby.signal``.
    """
    pod.extra = {"CRASHED": "yes"}
    pod.has_data(standby=standby)
    if place == "linked":
        (pod.data / "pg_wal").rename(pod.root / "wal")
        (pod.data / "pg_wal").symlink_to(pod.root / "wal")
    pod.permit(pod.rewind())

    assert pod.run() == 0
    assert [f"-D {pod.data} --source-server={SOURCE}"] == pod.calls("rewind")
    assert [f"{pod.run_dir}/pgpass"] * 2 == pod.calls("passwords")
    aside = Path(f"{pod.data}.before-{PLAN}") / "pg_wal"
    assert {path.name: path.read_text() for path in aside.iterdir()} == {
        "000000010000000000000001": "what nobody else has\n"
    }
    assert not aside.is_symlink()
    assert (pod.calls("on"), pod.used(), pod.rewinding.exists()) == ([ON], True, False)
    assert (pod.data / "postgresql.auto.conf").read_text() == "work_mem = '8MB'\n"


def test_a_rewind_is_done_once(pod: Pod) -> None:
    """A restart with its permit only starts."""
    pod.has_data()
    pod.permit(pod.rewind())

    assert (pod.run(), pod.run()) == (0, 0)
    assert (len(pod.calls("rewind")), pod.calls("on")) == (1, [ON, ON])


def test_a_primary_that_does_not_answer_costs_no_data(pod: Pod) -> None:
    """A wrong password or a silent host is found before the directory is marked, so it can be rewound later."""
    pod.has_data()
    before = left(pod.volume)
    pod.extra = {"REWIND_UNHEARD": "yes"}
    pod.permit(pod.rewind())
    assert pod.run() == 1
    assert pod.runs[0].says() == [
        'pg_rewind: error: connection to server at "pg-1" failed',
        (
            'peerboot: pg_rewind did not reach the primary, for \'pg_rewind: error: connection to server at "pg-1" '
            "failed', so nothing was changed: see whether the primary runs and is reached from here; it is tried again"
        ),
    ]
    assert (before, pod.calls("rewind")) == (left(pod.volume), [])
    pod.extra = {}

    assert pod.run() == 0
    assert pod.calls("on") == [ON]


def test_a_rewind_that_fails_leaves_its_mark(pod: Pod) -> None:
    """The directory is ruined then; its log of before is kept, and peerboot has it cloned anew."""
    pod.has_data()
    pod.extra = {"REWIND_FAILS": "yes"}
    pod.permit(pod.rewind())
    assert pod.run() == 1
    assert pod.runs[0].says()[-2:] == [
        "pg_rewind: error: it has its reason",
        (
            f"peerboot: {pod.data} was not rewound, for 'pg_rewind: error: it has its reason', so the server is not "
            "started, and peerboot has it cloned anew"
        ),
    ]
    pod.extra = {}
    run = pod.start()
    run.wait_for("waiting for another permit")
    assert (pod.calls("start"), len(pod.calls("rewind")), pod.rewinding.exists()) == ([], 1, True)
    assert list((Path(f"{pod.data}.before-{PLAN}") / "pg_wal").iterdir())
    pod.data.rename(pod.volume / "aside")
    pod.permit(pod.clone(NEXT))

    assert run.ends() == 0
    assert pod.calls("on") == [ON]


@pytest.mark.parametrize("piece", range(1, PIECES + 1))
def test_a_rewind_that_died_by_halves_starts_nothing(pod: Pod, piece: int) -> None:
    """Not even when it was nearly done: nobody knows."""
    pod.has_data()
    pod.extra = {"DIES": f"rewind{piece}"}
    pod.permit(pod.rewind())
    assert pod.run() == -signal.SIGKILL
    pod.extra = {}
    pod.start().wait_for("waiting for another permit")

    assert (pod.calls("start"), pod.rewinding.exists()) == ([], True)


def test_a_log_that_does_not_fit_aside_is_not_rewound(pod: Pod) -> None:
    """And what was copied of it is taken away again: the server needs that room."""
    if pod.shell[0] == "busybox":
        return  # its cp may be built in
    pod.has_data()
    before = left(pod.volume)
    pod.program("cp", '#!/bin/sh\nfor last; do :; done\necho part >"$last/part"\nexit 1\n')
    pod.permit(pod.rewind())

    assert pod.run() == 1
    assert last(pod) == "the log cannot be kept aside, so nothing is rewound: make room on the volume"
    assert (before, pod.calls("rewind")) == (left(pod.volume), [])


def test_a_mark_that_does_not_fit_is_none(pod: Pod) -> None:
    """Nothing has been changed by then, so nothing may say that it has."""
    if pod.shell[0] == "busybox":
        return  # its cp may be built in
    pod.has_data(standby=True)
    before = left(pod.data)
    real = shutil.which("cp")
    pod.program("cp", f'#!/bin/sh\n{real} "$@" && ln -s /dev/full "{pod.rewinding}"\n')
    pod.permit(pod.rewind())

    assert pod.run() == 1
    assert last(pod) == f"{pod.rewinding} cannot be written, so nothing is rewound: make room on the volume"
    assert (before, pod.calls("rewind"), pod.rewinding.is_symlink()) == (left(pod.data), [], False)


def left(top: Path) -> dict[str, str]:
    """All files below, by their path."""
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}
