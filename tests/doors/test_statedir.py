"""The state directory: what is durable survives a death at any moment, and what cannot be believed is never blank."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot.birth import token_of
from peerboot.model import SCHEMA, Birth, Claim, Hold, Identity, Record, Seal
from peerboot.outside import files
from peerboot.outside.files import FilesError
from peerboot.statedir import JOURNAL_LIMIT, STATE_LIMIT, StateDir
from tests.cli.rig import command

WALL = 1_767_323_045.0
STAMP = "20260102T030405Z"


class FixedClock:
    """Time stands still; tokens count."""

    def __init__(self) -> None:
        self.count = 0

    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return WALL

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here waits, least of all {seconds} s")

    def jitter(self) -> float:
        return 0.0

    def token(self, size: int = 16) -> str:
        self.count += 1
        return f"{self.count:0{2 * size}x}"


def _identity(**changes: Any) -> Identity:
    made: dict[str, Any] = {
        "namespace": "shop",
        "service": "peers",
        "statefulset": "db",
        "pod": "db-0",
        "ordinal": 0,
        "system": "etcd",
        "domain": "cluster.local",
        "domain_source": "setting",
        "replicas": 3,
    }
    return Identity(**{**made, **changes})


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """A state directory that is not there yet."""
    return StateDir(tmp_path / "volume" / ".peerboot", _identity(), FixedClock())


def _again(state: StateDir, **changes: Any) -> StateDir:
    """The next process on the same volume."""
    return StateDir(state.path, _identity(**changes), FixedClock())


def _birth(record: Record) -> Birth:
    return Birth(token="f" * 32, members={"db-0": record.nonce, "db-1": "b" * 32})


def _names(state: StateDir) -> list[str]:
    return sorted(path.name for path in state.path.iterdir())


# -------------------------------------------------------------- what is kept


def test_looking_makes_nothing(state: StateDir) -> None:
    """A volume that was never used has no record, and reading leaves it so."""
    assert Record() == state.read()
    assert state.read_holds() == ()
    assert state.read_journal(10) == []
    assert not state.path.parent.exists()


def test_a_new_volume_gets_one_nonce(state: StateDir) -> None:
    """Made once, for this user only, and the same for every process after."""
    record = state.ensure_nonce()
    assert Record(nonce=f"{1:032x}") == record
    assert (record, record, record) == (state.ensure_nonce(), _again(state).ensure_nonce(), _again(state).read())
    assert (
        state.path.stat().st_mode & 0o777,
        (state.path / "state.json").stat().st_mode & 0o777,
    ) == (0o700, 0o600)


def test_all_that_is_recorded_is_read_by_the_next_process(state: StateDir) -> None:
    """Birth, first permit, seal; then a claim, which means that nothing has run under the new id."""
    birth, seal = _birth(state.ensure_nonce()), Seal(cluster="c", member="m")
    state.record_birth(birth)
    state.record_permit()
    state.record_seal(seal)
    expected = Record(nonce=f"{1:032x}", birth=birth, permitted_wall=WALL, seal=seal)
    assert (expected, expected) == (state.read(), _again(state).read())
    claim = Claim(cluster="c", member="n", nonce=expected.nonce)
    state.record_claim(claim)
    assert Record(nonce=expected.nonce, birth=birth, seal=seal, claim=claim) == _again(state).read()
    assert _names(state) == ["state.json"]


def test_the_first_permit_counts(state: StateDir) -> None:
    """A later one does not move the time, and writes nothing."""
    state.ensure_nonce()
    state.record_permit()
    before = (state.path / "state.json").stat().st_ino
    state.record_permit()
    assert before == (state.path / "state.json").stat().st_ino


def test_a_birth_of_another_nonce_is_not_written(state: StateDir) -> None:
    """The record names this disk by its nonce, or it is not this disk's."""
    record = state.ensure_nonce()
    with pytest.raises(FilesError, match="the birth names another nonce than this disk's; nothing written"):
        state.record_birth(Birth(token="f" * 32, members={"db-0": "a" * 32}))
    assert record == _again(state).read()


def test_renewed_the_old_state_is_kept(state: StateDir) -> None:
    """A new nonce and nothing else; what was known lies beside it, each time under another name."""
    birth = _birth(state.ensure_nonce())
    state.record_birth(birth)
    old = (state.path / "state.json").read_bytes()
    state.renew("foreign-volume")
    state.renew("torn-state")
    assert Record(nonce=f"{3:032x}") == _again(state).read()
    aside = f"state.json.aside-{STAMP}"
    assert ["state.json", aside, f"{aside}-1"] == _names(state)
    assert old == (state.path / aside).read_bytes()
    assert json.loads((state.path / "state.json").read_bytes())["renewed"] == "torn-state"


def test_renewed_on_an_empty_volume(state: StateDir) -> None:
    """Where there was nothing there is nothing to keep."""
    state.renew("data-lost")
    assert (["state.json"], f"{1:032x}") == (_names(state), state.read().nonce)


# ------------------------------------------------- what cannot be believed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\0" * 300,
        b"\xff\xfe garbage",
        b"[]",
        b'{"version": "1"}',
        b'{"version": 1}',
        b'{"version": 1, "namespace": "shop", "statefulset": "db", "pod": "db-0", "system": "etcd", "nonce": 5}',
        b'{"version":1,"namespace":"shop","statefulset":"db","pod":"db-0","system":"etcd","nonce":"","made_wall":1.0}',
    ],
    ids=[
        "empty",
        "cut off",
        "zeros",
        "garbage",
        "no object",
        "version as text",
        "fields missing",
        "wrong type",
        "nonce of nothing",
    ],
)
def test_a_damaged_state_is_kept_aside_and_stays_unknown(state: StateDir, content: bytes) -> None:
    """Told before and after it is kept aside, in this process and the next, until the disk is renewed; never blank."""
    state.path.mkdir(parents=True)
    (state.path / "state.json").write_bytes(content)
    before = state.read()
    assert "half written or damaged" in before.problem
    assert before == state.ensure_nonce()
    state.keep_aside_torn()
    kept = state.path / f"state.json.aside-{STAMP}"
    assert content == kept.read_bytes()
    for record in (state.read(), _again(state).read(), _again(state).ensure_nonce()):
        assert (f"{before.problem}; it is kept as {kept.name}", None) == (record.problem, record.birth)
    state.keep_aside_torn()
    assert ["state.json", kept.name] == _names(state)
    with pytest.raises(FilesError, match="is not this disk's own state"):
        state.record_permit()
    state.renew("torn-state")
    assert (_again(state).read().problem, _again(state).read().nonce != "") == ("", True)


def test_a_newer_state_is_unknown_and_untouched(state: StateDir) -> None:
    """A release that does not know it neither changes it nor takes it for damaged, whatever else it holds."""
    state.path.mkdir(parents=True)
    content = json.dumps({"version": SCHEMA + 1, "shape": "another"}).encode()
    (state.path / "state.json").write_bytes(content)
    state.keep_aside_torn()
    assert f"is of a newer peerboot (version {SCHEMA + 1}); this one knows {SCHEMA}" in state.read().problem
    with pytest.raises(FilesError, match="is of a newer peerboot"):
        state.record_permit()
    assert (["state.json"], content) == (_names(state), (state.path / "state.json").read_bytes())


@pytest.mark.parametrize(
    ("make", "say"),
    [
        (lambda path: path.mkdir(), "it is not a regular file"),
        (lambda path: path.write_bytes(b" " * (STATE_LIMIT + 1)), f"it is longer than {STATE_LIMIT} bytes"),
    ],
    ids=["a directory", "too long"],
)
def test_what_cannot_be_read_is_unknown_and_stays(state: StateDir, make: Any, say: str) -> None:
    """Not being able to read is no damage: it is told, and nothing is renamed or written."""
    state.path.mkdir(parents=True)
    make(state.path / "state.json")
    state.keep_aside_torn()
    assert say in state.read().problem
    assert say in state.ensure_nonce().problem
    assert _names(state) == ["state.json"]


def test_a_passing_error_is_forgotten(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """An I/O error that goes away leaves no trace in the file's times, so it is looked at again each time."""
    record = state.ensure_nonce()
    again = _again(state)
    with monkeypatch.context() as patch:

        def fails(path: Path, _limit: int) -> bytes:
            raise FilesError(f"{path} cannot be read: the disk reports an I/O error")

        patch.setattr("peerboot.statedir.read_small", fails)
        assert "I/O error" in again.read().problem
        again.keep_aside_torn()
    assert (record, ["state.json"]) == (again.read(), _names(state))


@pytest.mark.parametrize(
    ("changes", "whose"),
    [
        ({"namespace": "test"}, "etcd pod shop/db-0"),
        ({"statefulset": "db2"}, "etcd pod shop/db-0"),
        ({"pod": "db-1"}, "etcd pod shop/db-0"),
        ({"system": "store"}, "etcd pod shop/db-0"),
    ],
    ids=["namespace", "set", "pod", "system"],
)
def test_the_state_of_another_identity_is_foreign(state: StateDir, changes: dict[str, str], whose: str) -> None:
    """A snapshot or a clone says whose it is, gives no nonce, and cannot be written to; renewed it is kept aside."""
    state.ensure_nonce()
    content = (state.path / "state.json").read_bytes()
    other = _again(state, **changes)
    assert (Record(foreign=whose), Record(foreign=whose)) == (other.read(), other.ensure_nonce())
    for write in (other.record_permit, lambda: other.record_seal(Seal(cluster="c", member="m"))):
        with pytest.raises(FilesError, match="is not this disk's own state"):
            write()
    assert content == (state.path / "state.json").read_bytes()
    other.renew("foreign-volume")
    assert ("", content) == (other.read().foreign, (state.path / f"state.json.aside-{STAMP}").read_bytes())


def test_whose_a_state_is_is_told_in_one_line(state: StateDir) -> None:
    """Names that stand in a damaged or foreign state are shown as text that is fit for a log."""
    state.ensure_nonce()
    path = state.path / "state.json"
    path.write_text(path.read_text().replace('"shop"', '"\\n\\u001b[2J' + "x" * 999 + '"'))
    whose = _again(state).read().foreign
    assert (whose.isprintable(), len(whose) < 300) == (True, True)


@pytest.mark.parametrize(
    ("torn", "told"),
    [("a\\nb", "a b"), ("\\u0000", "a damaged state was kept aside")],
    ids=["of two lines", "of nothing that can be shown"],
)
def test_a_note_of_damage_is_told_in_one_line(state: StateDir, torn: str, told: str) -> None:
    """The disk stays unknown, whatever stands in the note."""
    state.ensure_nonce()
    path = state.path / "state.json"
    path.write_text(path.read_text().replace('"torn": ""', f'"torn": "{torn}"'))
    record = _again(state).read()
    assert (record.problem, record.torn) == (told, True)


def test_a_state_that_vanishes_is_an_error_of_the_next_write(state: StateDir) -> None:
    """The volume was unmounted or emptied under a running process: nothing is written as if it were known."""
    state.ensure_nonce()
    (state.path / "state.json").unlink()
    with pytest.raises(FilesError, match="is gone: was the volume unmounted"):
        state.record_permit()
    assert Record() == state.read()


def test_a_second_pod_of_this_name_is_kept_out(state: StateDir) -> None:
    """While one process changes the state, another's change is an error, and its new nonce is none."""
    record = state.ensure_nonce()
    with files.directory_lock(state.path):
        with pytest.raises(FilesError, match="is being written by another process"):
            state.record_permit()
        (state.path / "state.json").rename(state.path / "elsewhere")
        assert "is being written by another process" in state.ensure_nonce().problem
        (state.path / "elsewhere").rename(state.path / "state.json")
    assert record == state.read()


def test_a_full_volume_makes_the_disk_unknown_for_this_moment(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no nonce can be made durable none is told; as soon as there is room there is one."""

    def full(path: Path, _content: bytes, _mode: int) -> None:
        raise FilesError(f"{path} cannot be written: the file system is full")

    with monkeypatch.context() as patch:
        patch.setattr("peerboot.statedir.write_whole", full)
        record = state.ensure_nonce()
    assert (record.nonce, record.problem.endswith("the file system is full")) == ("", True)
    assert state.ensure_nonce().problem == ""


# ------------------------------------------------------------- dying half-way

DEATHS = """
import json, os, sys, tempfile
from pathlib import Path
import msgspec
from peerboot.model import Birth, Claim, Identity, Seal
from peerboot.outside.clock import SystemClock
from peerboot.statedir import StateDir

CALLS = ("open", "write", "fsync", "fchmod", "link", "replace", "rename", "unlink", "mkdir")
ME = Identity(namespace="shop", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd",
              domain="cluster.local", domain_source="setting", replicas=3)
BIRTH = lambda state: Birth(token="f" * 32, members={"db-0": state.read().nonce})
ACTIONS = {
    "nonce": (lambda state: None, lambda state: state.ensure_nonce()),
    "birth": (lambda state: state.ensure_nonce(), lambda state: state.record_birth(BIRTH(state))),
    "permit": (lambda state: state.ensure_nonce(), lambda state: state.record_permit()),
    "renew": (lambda state: (state.ensure_nonce(), state.record_birth(BIRTH(state))), lambda state: state.renew("x")),
    "torn": (lambda state: (state.path.mkdir(), (state.path / "state.json").write_text("{")),
             lambda state: state.keep_aside_torn()),
}

def dying(number):
    count = [0]
    def wrap(name, call):
        def called(*args, **more):
            if count[0] == number:
                os._exit(7)
            count[0] += 1
            return call(*args, **more)
        return called
    for name in CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))

def look(path):
    kept = sorted(found.read_text() for found in path.glob("*.aside-*"))
    return [msgspec.to_builtins(StateDir(path, ME, SystemClock()).read()), kept]

before, act = ACTIONS[sys.argv[1]]
outcomes, code, number = [], 7, 0
while code == 7:
    with tempfile.TemporaryDirectory() as root:
        state = StateDir(Path(root) / "state", ME, SystemClock())
        before(state)
        old = look(state.path)
        if (pid := os.fork()) == 0:
            dying(number)
            act(state)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        outcomes.append([code, old, look(state.path)])
        # Whatever lies there now, the next process can finish the work.
        act(StateDir(state.path, ME, SystemClock()))
        outcomes[-1].append(look(state.path))
    number += 1
print(json.dumps(outcomes))
"""


def _deaths(action: str) -> list[list[Any]]:
    result = command("-c", DEATHS, action)
    assert result.code == 0, result.err
    outcomes: list[list[Any]] = json.loads(result.out)
    assert [7] * (len(outcomes) - 1) + [0] == [outcome[0] for outcome in outcomes]
    assert len(outcomes) > 6
    return outcomes


def _record(told: list[Any]) -> Record:
    return msgspec.convert(told[0], Record)


def test_killed_while_making_a_nonce() -> None:
    """Before any system call: no nonce, or one; and the next process has one, which stays."""
    for _, old, now, then in _deaths("nonce"):
        assert (Record(), "") == (_record(old), _record(now).problem)
        assert _record(then).nonce == (_record(now).nonce or _record(then).nonce) != ""


@pytest.mark.parametrize("action", ["birth", "permit"])
def test_killed_while_recording(action: str) -> None:
    """Before any system call: the old record or the new one, with the same nonce; done again it is the new one."""
    outcomes = _deaths(action)
    one: dict[str, Callable[[Record], object]] = {
        "birth": lambda record: record.birth,
        "permit": lambda record: record.permitted_wall,
    }
    for _, old, now, then in outcomes:
        assert {_record(old).nonce} == {_record(now).nonce, _record(then).nonce}
        assert (one[action](_record(old)), one[action](_record(then)) is not None, _record(now).problem) == (
            None,
            True,
            "",
        )
    seen = [now[0] == old[0] for _, old, now, _ in outcomes]
    assert (seen[0], seen[-1]) == (True, False)
    assert sorted(seen, reverse=True) == seen


def test_killed_while_renewing() -> None:
    """Before any system call: the old state whole, or a new nonce without the old birth, which is kept beside it."""
    for _, old, now, _then in _deaths("renew"):
        record = _record(now)
        assert record.problem == ""
        if record.nonce == _record(old).nonce:
            assert _record(old) == record
        else:
            assert (record.birth, len(now[1])) == (None, 1)
            assert _record(old).nonce in now[1][0]


def test_killed_while_a_damaged_state_is_kept_aside() -> None:
    """Before any system call: the disk is unknown, never blank; and the damaged content is there."""
    for _, old, now, then in _deaths("torn"):
        for told in (old, now, then):
            assert "half written or damaged" in _record(told).problem
        assert set(then[1]) == {"{"}


# ----------------------------------------------------------------- for people


def test_holds_outlive_the_process(state: StateDir) -> None:
    """Written whole, also on a volume without a state; a damaged file is none."""
    holds = (Hold(id="1", scope="set", who="ann", why="node upgrade", made_wall=WALL),)
    state.write_holds(holds)
    assert holds == _again(state).read_holds()
    (state.path / "holds.json").write_bytes(b"[{")
    assert _again(state).read_holds() == ()


def test_the_journal_is_bounded_and_reads_the_last(state: StateDir) -> None:
    """Lines are added; when it has grown too long the older half goes; damaged ones are left out of the last."""
    state.ensure_nonce()
    path = state.path / "journal.jsonl"
    for number in range(2000):
        state.append_decision({"number": number, "reason": "x" * 100})
    assert path.stat().st_size <= JOURNAL_LIMIT
    assert [entry["number"] for entry in state.read_journal(2)] == [1998, 1999]
    with path.open("ab") as file:
        file.write(b'{"cut of')
    assert [entry["number"] for entry in state.read_journal(2)] == [1999]


def test_what_follows_a_line_that_was_cut_off_is_not_lost(state: StateDir) -> None:
    """A crash in the middle of a line costs that line, and not the next as well."""
    state.ensure_nonce()
    (state.path / "journal.jsonl").write_bytes(b'{"number":1}\n{"numb')
    state.append_decision({"number": 3})
    assert state.read_journal(2) == [{"number": 3}]
    assert state.read_journal(9) == [{"number": 1}, {"number": 3}]


def test_the_journal_never_fails(state: StateDir) -> None:
    """Without a directory nothing is made; a journal that cannot be written is left alone."""
    state.append_decision({"number": 1})
    assert not state.path.exists()
    state.ensure_nonce()
    (state.path / "journal.jsonl").mkdir()
    state.append_decision({"number": 1})
    assert state.read_journal(5) == []


@pytest.mark.parametrize("content", [b'[{"id":"\xff"}]', b"[" * 100_000, b"\xff\xfe"], ids=["text", "deep", "bytes"])
def test_what_serves_people_may_be_damaged(state: StateDir, content: bytes) -> None:
    """Holds and journal that are damaged in any way are none: reading never raises."""
    state.path.mkdir(parents=True, exist_ok=True)
    (state.path / "holds.json").write_bytes(content)
    (state.path / "journal.jsonl").write_bytes(content)
    assert (state.read_holds(), state.read_journal(10)) == ((), [])


def test_a_state_nested_without_end_is_damaged(state: StateDir) -> None:
    """It is named, not raised."""
    state.path.mkdir(parents=True, exist_ok=True)
    (state.path / "state.json").write_bytes(b'{"version":1,"x":' + b"[" * 100_000)
    assert "half written or damaged" in state.read().problem


def test_only_a_birth_that_came_to_nothing_is_remembered(state: StateDir) -> None:
    """A renewed disk knows the last eight births that it gave up; one that is new for another reason knows none."""
    tokens = []
    for _ in range(10):
        nonce = state.ensure_nonce().nonce
        tokens.append(token_of({"db-0": nonce}))
        state.record_birth(Birth(token=tokens[-1], members={"db-0": nonce}))
        state.renew("renew")
    assert state.read().former == tuple(tokens[-8:])
    state.renew("replace-lost")
    assert state.read().former == ()
