"""What is printed of restoring a snapshot, and the birth that is noted of one. Pure."""

from __future__ import annotations

import msgspec
import pytest

from peerboot import settings
from peerboot.birth import token_of
from peerboot.cases.reader import parse
from peerboot.decide import decide
from peerboot.errors import RefusedError
from peerboot.model import Birth, Claim, Disk, Facts, Record, RecordBirth, Seal
from peerboot.systems.etcd import config
from peerboot.systems.etcd.commands import may_restore, restoring
from peerboot.systems.etcd.plan import plan
from peerboot.systems.etcd.spec import SYSTEM

BLANK, FRESH = Disk(kind="blank"), Record(nonce="n9")
MEMBERS = {"db-0": "n9"}
TOKEN = token_of(MEMBERS)


def _facts(text: str = "") -> Facts:
    return parse(f"self db-0 of 3\n{text}")


def _config() -> config.EtcdConfig:
    environ = {
        "PEERBOOT_SYSTEM": "etcd", "PEERBOOT_SERVICE": "peers", "POD_NAME": "db-0", "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none",
    }  # fmt: skip
    made = settings.read(environ, systems={"etcd": SYSTEM.settings})
    return config.prepare(made, _facts().identity, {})


def test_the_token_is_of_this_disks_nonce() -> None:
    """Another disk has another token and another cluster id."""
    told, other = restoring(_config(), BLANK, FRESH), restoring(_config(), BLANK, Record(nonce="n8"))
    assert (told["token"], told["command"][-1]) == (TOKEN, f"--initial-cluster-token={TOKEN}")
    assert {told["token"], told["cluster"]} & {other["token"], other["cluster"]} == set()


USED = {
    "data": (Disk(kind="data", cluster="c1"), FRESH, "this volume has data of cluster c1"),
    "corrupt": (Disk(kind="corrupt"), FRESH, r"this volume has something else \(corrupt\)"),
    "born": (BLANK, Record(nonce="n9", birth=Birth(token=TOKEN, members=MEMBERS)), "its nonce is used"),
    "sealed": (BLANK, Record(nonce="n9", seal=Seal(cluster="c1", member="m0")), "its nonce is used"),
    "claimed": (BLANK, Record(nonce="n9", claim=Claim(cluster="c1", member="m0", nonce="n9")), "its nonce is used"),
    "torn": (
        BLANK,
        Record(nonce="n9", problem="state.json is cut off"),
        r"whose volume this is \(state.json is cut off",
    ),
    "foreign": (BLANK, Record(foreign="etcd pod prod/db-1"), "it was written for etcd pod prod/db-1"),
    "no nonce": (BLANK, Record(), "it has no disk nonce yet"),
}


@pytest.mark.parametrize(("disk", "record", "says"), USED.values(), ids=USED.keys())
def test_only_a_blank_volume_with_an_unused_nonce_is_restored_onto(disk: Disk, record: Record, says: str) -> None:
    """Anything else is refused in one line that says what to do."""
    with pytest.raises(RefusedError, match=says):
        restoring(_config(), disk, record)


OTHERS = {
    "blank": ("anchor-forbids", {"db-1": "blank", "db-2": "blank"}, ""),
    "one old disk": ("cluster-exists", {"db-1": "data", "db-2": "blank"}, ""),
    "a quorum of disks": ("cluster-exists", {"db-1": "data", "db-2": "data"}, "db-1, db-2 of this set have a cluster"),
    "a quorum serves": ("join-waits", {"db-1": "blank", "db-2": "blank"}, "the others of this set have a cluster"),
    "silent": ("wait-for-all", {"db-1": "blank"}, "db-2 of this set did not say what its disk holds"),
}


@pytest.mark.parametrize(("rule", "kinds", "says"), OTHERS.values(), ids=OTHERS.keys())
def test_nothing_is_restored_beside_a_cluster(rule: str, kinds: dict[str, str], says: str) -> None:
    """By what the running peerboot knows of the others: two clusters in one set are refused before they exist."""
    now = {"rule": rule, "evidence": {pod: {"kind": kind} for pod, kind in kinds.items()}}
    if says:
        with pytest.raises(RefusedError, match=says):
            may_restore(now, _facts().identity)
        return
    may_restore(now, _facts().identity)


def test_the_birth_of_what_was_restored_is_noted() -> None:
    """Data whose cluster id follows from this disk's nonce is that birth; it is noted before anything else is."""
    cluster = restoring(_config(), BLANK, FRESH)["cluster"]
    facts = _facts(f"disk data cluster={cluster} member=m0\nrecord nonce=n9")
    made = plan(_config(), facts, decide(facts))
    assert [type(action).__name__ for action in made.actions] == ["WriteFile", "RecordBirth"]
    assert made.actions[1] == RecordBirth(birth=Birth(token=TOKEN, members=MEMBERS))
    # With the birth noted all goes on as with any data.
    noted = msgspec.structs.replace(facts.record, birth=Birth(token=TOKEN, members=MEMBERS))
    after = msgspec.structs.replace(facts, record=noted)
    assert [type(action).__name__ for action in plan(_config(), after, decide(after)).actions] == [
        "WriteFile",
        "RecordSeal",
    ]


def test_other_data_has_no_birth() -> None:
    """A cluster that is older than peerboot is adopted, not born."""
    facts = _facts("disk data cluster=c1 member=m0\nrecord nonce=n9")
    assert [type(a).__name__ for a in plan(_config(), facts, decide(facts)).actions] == ["WriteFile", "RecordSeal"]
