"""A static quorum: what its leader's word becomes, who holds everything, what the files say of its voters."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from peerboot.errors import SettingsError
from peerboot.model import ClusterView
from peerboot.outside.kafka.values import Quorum, Replica
from peerboot.systems.kafka import assess, config, properties, quorumstate, static
from peerboot.systems.kafka.settings import DEFAULT_HOST
from tests.kafka.test_assess import ADDRESSES, quorum, replica
from tests.kafka.test_config import identity, made


def static_one(host: str = DEFAULT_HOST) -> config.KafkaConfig:
    """The config of kafka-1 with the setting."""
    return made(identity("kafka-1"), PEERBOOT_KAFKA_QUORUM="static", PEERBOOT_KAFKA_HOST=host)


def told(*others: Replica, own: str = "1:mine", end: int = 50, high_watermark: int = 49) -> ClusterView:
    """The view of kafka-1 of a static quorum that kafka-0 leads."""
    found = quorum(*others, high_watermark=high_watermark)
    leader = msgspec.structs.replace(found.voters[0], directory="", end_offset=end)
    seen = [assess.Seen("kafka-0", "10.0.0.0", "c1", 0, msgspec.structs.replace(found, voters=(leader, *others)))]
    return assess._view(static_one(), seen, (), ADDRESSES, "c1", 5.0, own)


def test_members_have_no_directory_but_the_own_one() -> None:
    """The own entry is known by the own disk, which the leader does not see; observers are nobody's member."""
    found = told(replica(1, ""), replica(2, ""))
    assert (found.quorum, found.fixed, found.unmanaged) == (True, True, "")
    assert [(m.id, m.learner) for m in found.members] == [("0:", False), ("1:mine", False), ("2:", False)]
    assert [m.id for m in told(replica(1, ""), replica(2, ""), own="").members] == ["0:", "1:", "2:"]


def test_a_dynamic_quorum_counts_more_than_the_setting() -> None:
    """Voters with directory ids can be added and removed, whatever the setting says."""
    found = quorum(replica(1, "d1"), replica(2, "d2"))
    seen = [assess.Seen("kafka-0", "10.0.0.0", "c1", 0, found)]
    view = assess._view(static_one(), seen, (), ADDRESSES, "c1", 5.0, "1:d1")
    assert (view.quorum, view.fixed, [m.id for m in view.members]) == (True, False, ["0:d0", "1:d1", "2:d2"])
    assert [v.complete for v in view.views] == [False, False, False]


def test_a_static_quorum_is_not_managed_unless_the_setting_says_so() -> None:
    """It is named, and no members are told."""
    found = Quorum(leader=0, epoch=1, high_watermark=9, voters=(replica(0, "", fetched=0),), observers=())
    seen = [assess.Seen("kafka-0", "10.0.0.0", "c1", 0, found)]
    view = assess._view(made(identity("kafka-1")), seen, (), ADDRESSES, "c1", 5.0)
    assert (view.quorum, view.members, "PEERBOOT_KAFKA_QUORUM" in view.unmanaged) == (False, (), True)


@pytest.mark.parametrize(
    ("own_end", "other_end", "high_watermark", "complete"),
    [
        pytest.param(-1, 49, 49, True, id="all that was committed, of a leader that never saw this one"),
        pytest.param(-1, 48, 49, False, id="less than was committed"),
        pytest.param(50, 49, 49, False, id="less than this one's former disk has confirmed"),
        pytest.param(50, 50, 49, True, id="as much as that"),
    ],
)
def test_who_holds_everything(own_end: int, other_end: int, high_watermark: int, complete: bool) -> None:
    """Up to the high watermark, and up to the end of the former log of this Pod's disk, which the leader counts on."""
    others = replica(1, "", fetched=60_000, end=own_end), replica(2, "", end=other_end)
    view = told(*others, own="", high_watermark=high_watermark)
    assert [(v.pod, v.complete) for v in view.views] == [("kafka-0", True), ("kafka-2", complete)]


def test_the_list_in_the_file() -> None:
    """It names each voter's id, host and port, and there is nothing else to ask for voters; a v6 host has brackets."""
    there = static_one()
    found = properties.parse(there.properties(("kafka-10", "kafka-9")))
    host = "{}.kafka.prod.svc.cluster.local:9093"
    assert found[static.VOTERS] == f"9@{host.format('kafka-9')},10@{host.format('kafka-10')}"
    assert "controller.quorum.bootstrap.servers" not in found
    assert static.VOTERS not in properties.parse(there.properties())
    v6 = static_one("fd00::{ordinal}")
    assert static.voters(v6, ("kafka-1",)) == {static.VOTERS: "1@[fd00::1]:9093"}


@pytest.mark.parametrize(
    ("roles", "advertised"),
    [("combined", "INTERNAL://kafka-1.kafka.prod.svc.cluster.local:9092"), ("controller", None)],
)
def test_releases_before_3_9(roles: str, advertised: str | None) -> None:
    """They start with no file in which a controllers' listener is advertised."""
    there = made(identity("kafka-1"), PEERBOOT_KAFKA_QUORUM="static-3.8", PEERBOOT_KAFKA_ROLES=roles)
    assert properties.parse(there.properties(("kafka-1",))).get("advertised.listeners") == advertised


def test_brokers_of_a_set_of_their_own_have_none() -> None:
    """They run beside a dynamic quorum only."""
    with pytest.raises(SettingsError, match="PEERBOOT_KAFKA_QUORUM=static is for sets with controllers"):
        made(
            identity("kafka-1"),
            PEERBOOT_KAFKA_QUORUM="static",
            PEERBOOT_KAFKA_ROLES="broker",
            PEERBOOT_KAFKA_CONTROLLERS="controllers",
        )


def test_sets_with_different_quorums_agree_on_nothing() -> None:
    """The setting is part of what all pods must share to form."""
    assert static_one().fingerprint != made(identity("kafka-1")).fingerprint


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            '{"clusterId":"","leaderId":2,"leaderEpoch":3,"votedId":-1,"appliedOffset":0,'
            '"currentVoters":[{"voterId":2},{"voterId":0},{"voterId":1}],"data_version":0}',
            (0, 1, 2),
            id="of a static quorum",
        ),
        pytest.param(
            '{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}',
            (),
            id="of a dynamic one",
        ),
        pytest.param('{"leaderId":-1,"leaderEpoch":0,"currentVoters":[],"data_version":0}', None, id="of an observer"),
        pytest.param('{"currentVoters":[{"voterId":"x"}]}', None, id="damaged"),
        pytest.param("", None, id="empty"),
    ],
)
def test_what_quorum_state_says(tmp_path: Path, text: str, found: tuple[int, ...] | None) -> None:
    """The voters' ids, nothing where they are in the log, and None where it does not say."""
    path = tmp_path / "__cluster_metadata-0"
    path.mkdir()
    assert quorumstate.voters(tmp_path) is None
    (path / "quorum-state").write_text(text)
    assert quorumstate.voters(tmp_path) == found
