"""Kafka as the rest of peerboot meets it: what a permit lets start, which files stand, whom a change is sent to."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerboot import settings
from peerboot.errors import SettingsError
from peerboot.model import Call, ClusterView, Decision, Disk, Facts, Record, ServerView, WithdrawPermit, WriteFile
from peerboot.outside.http import Http
from peerboot.systems.kafka import launch
from peerboot.systems.kafka.prepared import Kafka
from peerboot.systems.kafka.spec import SYSTEM
from tests.kafka.test_config import identity

FIRST = launch.Permit(
    kind="first", plan="0123456789abcdef", cluster="c1", node=0, form="join", metadata="/m", logs=("/l",)
)


def kafka(output: Path) -> Kafka:
    """Set up for the first of three."""
    environ = {
        "PEERBOOT_SYSTEM": "kafka", "PEERBOOT_SERVICE": "kafka", "POD_NAME": "kafka-0", "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none", "PEERBOOT_OUTPUT_DIR": str(output),
    }  # fmt: skip
    return SYSTEM.prepare(settings.read(environ, systems={"kafka": SYSTEM.settings}), identity(), {})


def facts(**more: object) -> Facts:
    """Of the first of three, with nothing known."""
    values = {"now": 1.0, "identity": identity(), "disk": Disk(kind="blank"), "record": Record(nonce="n"), **more}
    return Facts(**values)  # type: ignore[arg-type]  # names and types are those of Facts


def test_a_first_permit_is_good_for_one_format(tmp_path: Path) -> None:
    """Once its plan has formatted, the permit lets a server start with its data only, as a resume permit does."""
    there, text = kafka(tmp_path), launch.permit_text(FIRST, "why")
    before = there.permit_kind(text)
    (tmp_path / launch.marker_name(FIRST.plan)).touch()
    assert (before, there.permit_kind(text), there.permit_kind(None)) == ("first", "resume", "absent")


@pytest.mark.parametrize("text", ["", "kind=resume\n", "\x00"])
def test_what_is_no_permit_counts_as_one_that_starts(tmp_path: Path, text: str) -> None:
    """Nobody knows what a script of another release makes of it."""
    assert kafka(tmp_path).permit_kind(text) == "first"


def test_files_that_depend_on_settings_stand_from_the_first_pass_on(tmp_path: Path) -> None:
    """The script and the properties are there before any permit, are left alone while they are right, and written anew
    when they are not; who only observes writes neither.
    """
    there, wait = kafka(tmp_path), Decision(kind="wait", rule="wait-for-all", reason="why")
    first = there.plan(facts(), wait).actions
    files = {action.name: action.content for action in first if isinstance(action, WriteFile)}
    assert (list(files), len(first)) == (["server.properties", "launch.sh"], 2)
    assert there.plan(facts(files=files), wait).actions == ()
    [again] = there.plan(facts(files={**files, "launch.sh": "#!/bin/sh\n"}), wait).actions
    assert isinstance(again, WriteFile)
    assert (again.name, again.permit) == ("launch.sh", False)
    assert there.plan(facts(mode="observe"), wait).actions == ()


def test_a_wait_takes_the_permit_back(tmp_path: Path) -> None:
    """Whatever stands there, a server that is not to start has none."""
    there, wait = kafka(tmp_path), Decision(kind="wait", rule="wait-for-all", reason="why")
    assert WithdrawPermit(name="run.ok") in there.plan(facts(permit="resume"), wait).actions


async def test_a_change_needs_the_leader(tmp_path: Path) -> None:
    """No other controller carries it out: without a leader whose address is known nothing is sent."""
    there, call = kafka(tmp_path), Call(name="remove", member="1:d1")
    follower = ServerView(pod="kafka-1", address="127.0.0.1", cluster="c1", member="1:d1", leader="0:d0")
    nowhere = ServerView(pod="kafka-0", address="", cluster="c1", member="0:d0", leader="0:d0")
    http = Http()
    for views in ((), (follower,), (nowhere,)):
        done = await there.call(http, call, ClusterView(quorum=True, cluster="c1", views=views), {})
        assert (done.ok, done.say) == (False, "the leader's address is not known")
    await http.close()


async def test_a_leader_that_is_gone_is_one_line(tmp_path: Path) -> None:
    """The call fails with what happened, and whose word it is."""
    there, call = kafka(tmp_path), Call(name="promote", member="1:AAAAAAAAQACAAAAAAAAAAQ")
    leader = ServerView(pod="kafka-0", address="127.0.0.1", cluster="c1", member="0:d0", leader="0:d0")
    http = Http()
    done = await there.call(http, call, ClusterView(quorum=True, cluster="c1", views=(leader,)), {})
    await http.close()
    assert (done.ok, done.say.startswith("kafka-0 says: AddRaftVoter at 127.0.0.1:9093: ")) == (False, True)


def test_settings_of_the_user_are_java_properties() -> None:
    """What is none is one line that names the file."""
    assert SYSTEM.parse_base("num.partitions = 6\n", "F") == {"num.partitions": "6"}
    with pytest.raises(SettingsError, match=r"^F cannot be read as Java properties: .*: correct it there$"):
        SYSTEM.parse_base("a=\\u12", "F")
