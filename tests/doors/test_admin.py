"""The commands that ask a running peerboot over its socket, ``plan``'s words, and what people see of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from peerboot import admin, look, printing
from peerboot.errors import PeerbootError, RefusedError, SettingsError, SystemApiError
from peerboot.model import (
    Action,
    Birth,
    Call,
    Claim,
    CommitLog,
    CopyData,
    Disk,
    EndRemoval,
    Facts,
    Forced,
    Identity,
    Intent,
    LogEnd,
    MoveAside,
    Record,
    RecordBirth,
    RecordClaim,
    RecordCrown,
    RecordForced,
    RecordIntent,
    RecordPermit,
    RecordSeal,
    Renew,
    Seal,
    Standing,
    UseConsent,
    WithdrawPermit,
    WriteAnchor,
    WriteFile,
)
from peerboot.outside import adminsocket
from tests.doors.hostile import Misbehaviour, reply, unix_server
from tests.doors.test_serve import Rig

Said = pytest.CaptureFixture[str]


# ------------------------------------------------------------------ the socket


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, "/run/peerboot/admin.sock"),
        ({"PEERBOOT_OUTPUT_DIR": "/out"}, "/out/admin.sock"),
        ({"PEERBOOT_OUTPUT_DIR": "/out", "PEERBOOT_ADMIN_SOCKET": "/a.sock"}, "/a.sock"),
    ],
    ids=["default", "output dir", "explicit"],
)
def test_where_the_socket_is(environ: Mapping[str, str], path: str) -> None:
    """As the sidecar makes it from the same environment."""
    assert admin.socket_path(environ) == path


async def test_nobody_there_says_where_to_run_the_command(tmp_path: Path) -> None:
    """A wrong place is exit 2, in one line."""
    with pytest.raises(SettingsError) as caught:
        await admin.ask({"PEERBOOT_ADMIN_SOCKET": str(tmp_path / "none")}, "GET", "status")
    assert str(caught.value) == (
        f"no peerboot answers at {tmp_path}/none (no such socket): run this in the peerboot container "
        "(kubectl exec POD -c peerboot -- …), or set PEERBOOT_ADMIN_SOCKET"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SettingsError("db-9 is no pod"), SettingsError),
        (RefusedError("the evidence has changed"), RefusedError),
        (SystemApiError("etcd says no"), SystemApiError),
        (PeerbootError("no quorum"), SettingsError),
    ],
    ids=["question", "refusal", "system", "other"],
)
async def test_a_no_of_the_other_side_is_the_same_no_here(
    tmp_path: Path, error: PeerbootError, kind: type[PeerbootError]
) -> None:
    """Words and exit code arrive; only a bug is a bug."""
    async with Rig(tmp_path) as rig:
        rig.view.error = error
        with pytest.raises(PeerbootError) as caught:
            await admin.ask({"PEERBOOT_ADMIN_SOCKET": rig.admin_socket}, "GET", "status")
    assert (type(caught.value), str(caught.value)) == (kind, str(error))


@pytest.mark.parametrize(
    "behave",
    [reply(b"<html>"), reply(b"[1]"), reply(b"oops", status=b"500 X"), reply(b"[" * 100_000)],
    ids=["no JSON", "no object", "500", "depth without end"],
)
async def test_an_answer_that_is_no_json_object_says_so(tmp_path: Path, behave: Misbehaviour) -> None:
    """Something else on the socket, or a bug: one line all the same."""
    async with unix_server(behave, tmp_path / "a.sock") as path:
        with pytest.raises(PeerbootError, match=r"answered HTTP \d+ without a JSON object"):
            await admin.ask({"PEERBOOT_ADMIN_SOCKET": path}, "GET", "status")


COMMANDS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "remove": ({"pod": "db-2", "yes": False}, {"pod": "db-2", "who": "ann", "yes": False}),
    "consent": ({"nonce": "abc"}, {"nonce": "abc", "who": "ann"}),
    "hold": (
        {"all": True, "duration": "2h", "why": "update"},
        {"all": True, "seconds": 7200.0, "why": "update", "who": "ann"},
    ),
    "resume": ({"all": True}, {"all": True, "who": "ann"}),
}


@pytest.mark.parametrize("as_json", [False, True], ids=["people", "machines"])
@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_sends_what_was_typed_and_who_typed_it(
    tmp_path: Path, name: str, as_json: bool, capsys: Said
) -> None:
    """And prints what came back, whole for a machine."""
    typed, sent = COMMANDS[name]
    async with Rig(tmp_path) as rig:
        args = argparse.Namespace(command=name, json=as_json, **typed)
        code = await admin.main(args, {"PEERBOOT_ADMIN_SOCKET": rig.admin_socket, "USER": "ann"})
        asked = rig.view.asked
    printed = capsys.readouterr().out
    assert (code, asked, json.loads(printed) if as_json else printed) == (
        0,
        [(name, sent)],
        {"say": "done"} if as_json else "done\n",
    )


async def test_a_hold_without_an_end_has_none(tmp_path: Path, capsys: Said) -> None:
    """Not a hold of zero seconds."""
    async with Rig(tmp_path) as rig:
        args = argparse.Namespace(command="hold", json=False, all=False, duration="", why="")
        await admin.main(args, {"PEERBOOT_ADMIN_SOCKET": rig.admin_socket, "USER": "ann"})
        assert rig.view.asked == [("hold", {"all": False, "seconds": None, "why": "", "who": "ann"})]
    assert capsys.readouterr().out == "done\n"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenShift gives users that no file knows."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert adminsocket.person({}) == f"uid {os.getuid()}"


# ---------------------------------------------------------------- what is printed

STATUS = {
    "rows": [
        ["db-0", "found", "self", "data", "8e9e05c52164694d", "leader", "0", "serving", "12d"],
        ["db-1", "found", "3s ago", "data", "91bc3c398fb3c146", "voter", "12", "serving", "-"],
        ["db-2", "missing", "silent", "unknown", "fd422379fda50e48", "learner", "-", "wait-for-cluster-to-serve", "-"],
    ],
    "sentence": "resume (serving): " + "word " * 30 + "end.",
    "notes": ["held by ann: update"],
}


def test_status_fits_80_columns(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """With cluster members of sixteen digits and long rule names; the widest column gives way."""
    monkeypatch.setenv("COLUMNS", "80")
    admin.show_status(STATUS)
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert max(map(len, table)) == 80
    assert table[0].split() == ["POD", "DNS", "CENSUS", "DISK", "MEMBER", "ROLE", "LAG", "DECISION", "SINCE"]
    assert [row.split()[0] for row in table[1:]] == ["db-0", "db-1", "db-2"]


def test_status_is_not_cut_where_there_is_room(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS or a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    admin.show_status(STATUS)
    out = capsys.readouterr().out
    assert ("…" in out, "wait-for-cluster-to-serve" in out, out.endswith("end.\nheld by ann: update\n")) == (
        False,
        True,
        True,
    )


def test_sentences_break_between_words_on_a_terminal(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a sentence is one line, so that it can be searched for."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    admin.show_said({"say": "word " * 30, "lines": ["part " * 30]})
    lines = capsys.readouterr().out.splitlines()
    assert (max(map(len, lines)) <= 80, len(lines), lines[2][:8], lines[3][:8]) == (True, 4, "  part p", "    part")


def test_the_ledger_shows_time_age_rule_and_reason(capsys: Said) -> None:
    """Oldest first, in UTC."""
    entry = {"wall": 0.0, "kind": "wait", "rule": "wait-for-all", "reason": "db-2 is silent."}
    admin.show_ledger({"ledger": [entry], "wall": 7200.0})
    assert capsys.readouterr().out == "1970-01-01 00:00:00Z (2h ago)  wait (wait-for-all)\n    db-2 is silent.\n"


def test_an_empty_ledger_says_so(capsys: Said) -> None:
    """Not nothing at all."""
    admin.show_ledger({"ledger": []})
    assert capsys.readouterr().out == "Nothing has been decided yet.\n"


SHOWN: dict[str, tuple[Callable[[Mapping[str, Any]], None], Mapping[str, Any]]] = {
    "status": (admin.show_status, {"rows": [["\x1b[2J\n"] * 9], "sentence": "a\x1b[2J\nb", "notes": ["\x07\n"]}),
    "ledger": (
        admin.show_ledger,
        {"ledger": [{"wall": 0.0, "kind": "a", "rule": "b", "reason": "\x1b[2J\n"}], "wall": 1.0},
    ),
    "said": (admin.show_said, {"say": "\x1b[2J\n", "lines": ["\x00\r"]}),
}


@pytest.mark.parametrize(("show", "data"), SHOWN.values(), ids=SHOWN.keys())
def test_a_peers_words_do_not_act_on_the_terminal(
    show: Callable[[Mapping[str, Any]], None], data: Mapping[str, Any], capsys: Said
) -> None:
    """Escape sequences and control characters are blanks."""
    show(data)
    assert [c for c in capsys.readouterr().out if not c.isprintable() and c != "\n"] == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (-3.0, "0s"), (0.4, "0s"), (59.9, "59s"), (60.0, "1m"), (3600.0, "1h"), (90_000.0, "1d")],
)
def test_ages_are_short(seconds: float | None, text: str) -> None:
    """One unit is enough."""
    assert printing.ago(seconds) == text


@pytest.mark.parametrize(("limit", "text"), [(20, "aaaaaaaaaaaaa … bbbb"), (100, "a" * 30 + "b" * 30)])
def test_one_line_keeps_the_end_of_a_long_text(limit: int, text: str) -> None:
    """There stands what to do."""
    assert (printing.one_line("a" * 30 + "b" * 30, limit), len(text) <= limit) == (text, True)


# -------------------------------------------------------------------------- plan

BIRTH = Birth(token="t1", members={"db-1": "n1", "db-0": "n0"})
FORCED = Forced(cluster="c1", member="m0", end=LogEnd(term=3, index=7), voters={"db-0": "m0"})
WORDS: list[tuple[Action, str]] = [
    (WriteFile(name="etcd.yaml", content="", permit=True), "write etcd.yaml, with which the server may start"),
    (WriteFile(name="notes", content=""), "write notes"),
    (WithdrawPermit(name="etcd.yaml"), "withdraw etcd.yaml, so that the server cannot start"),
    (RecordBirth(birth=BIRTH), "record birth t1 of db-0, db-1"),
    (RecordPermit(), "record that the server may run"),
    (RecordClaim(claim=Claim(cluster="c1", member="", nonce="n")), "record that this disk joins cluster c1"),
    (RecordSeal(seal=Seal(cluster="c1", member="m1")), "remember cluster c1, member m1"),
    (RecordCrown(term=3), "remember that its server takes the writes, on timeline 3"),
    (RecordCrown(term=0), "remember that another may take them"),
    (RecordIntent(intent=Intent(standing=Standing())), "ask all others to let this Pod's server take the writes"),
    (RecordIntent(intent=None), "ask no more"),
    (RecordForced(forced=FORCED), "record that this disk becomes a cluster of one"),
    (RecordForced(forced=None), "end that word"),
    (CopyData(name="member.before-force-3-7"), "copy the data to member.before-force-3-7"),
    (CommitLog(), "have all that its log holds count as committed"),
    (Renew(why="it came to nothing"), "give the disk a new nonce: it came to nothing"),
    (MoveAside(why="it was removed"), "rename the data aside: it was removed"),
    (WriteAnchor(token="t1"), "write t1 to the anchor"),
    (WriteAnchor(token=""), "set the anchor aside"),
    (UseConsent(nonce="abc"), "use up consent abc"),
    (EndRemoval(pod="db-2"), "end the removal of db-2"),
    (Call(name="add-learner", urls=("http://db-0:2380",)), "call add-learner http://db-0:2380"),
    (Call(name="promote", member="m1", pod="db-1"), "call promote m1 at db-1"),
]


@pytest.mark.parametrize(
    ("action", "text"), WORDS, ids=[text.split()[0] + f" {i}" for i, (_, text) in enumerate(WORDS)]
)
def test_plan_says_what_each_action_would_do(action: Action, text: str) -> None:
    """Every kind of action has its words."""
    assert look.would(action) == text


def test_every_kind_of_action_is_in_that_table() -> None:
    """A new one fails here until it has its words."""
    assert {type(action) for action, _ in WORDS} == set(Action.__args__)


ME = Identity(
    namespace="prod", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd", domain="cluster.local"
)
FACTS = Facts(now=0.0, identity=ME, disk=Disk(kind="blank"), record=Record(), files={"etcd.yaml": "a: 1\nb: 2\n"})


@pytest.mark.parametrize(
    ("action", "lines"),
    [
        (
            WriteFile(name="etcd.yaml", content="a: 1\nb: 3\n"),
            ["--- etcd.yaml (now)", "+++ etcd.yaml (then)", "@@ -1,2 +1,2 @@", " a: 1", "-b: 2", "+b: 3"],
        ),
        (WriteFile(name="new", content="x\n"), ["--- /dev/null", "+++ new (then)", "@@ -0,0 +1 @@", "+x"]),
        (WriteFile(name="etcd.yaml", content="a: 1\nb: 2\n"), []),
        (
            WriteFile(name="etcd.yaml", content="password: geheim\n", mode=0o600),
            ["etcd.yaml would change; it holds secrets and is not shown"],
        ),
    ],
    ids=["changed", "new", "same", "secret"],
)
def test_the_file_diff(action: WriteFile, lines: list[str]) -> None:
    """As ``diff -u``; a file that only its owner may read is not shown."""
    assert look.diff(FACTS, action) == lines


def test_plan_prints_evidence_with_source_and_age_then_actions_then_the_diff(capsys: Said) -> None:
    """In this order, one line each."""
    look.show_plan(
        {
            "sentence": "form (form): all are blank.",
            "pieces": [
                {"about": "db-0", "source": "own disk", "age": 0.0, "says": "blank"},
                {"about": "db-1", "source": "census 10.0.0.1", "age": 3.2, "says": "blank, nonce n1"},
                {"about": "db-2", "source": "census", "age": None, "says": "unknown: not in DNS"},
            ],
            "actions": ["write etcd.yaml"],
            "diff": ["--- /dev/null", "+++ etcd.yaml (then)", "+a: 1"],
        }
    )
    assert capsys.readouterr().out == (
        "form (form): all are blank.\n\nEvidence:\n  db-0, own disk, now: blank\n"
        "  db-1, census 10.0.0.1, 3s ago: blank, nonce n1\n  db-2, census, never: unknown: not in DNS\n\n"
        "It would:\n  write etcd.yaml\n\n--- /dev/null\n+++ etcd.yaml (then)\n+a: 1\n"
    )


def test_a_plan_without_actions_does_nothing(capsys: Said) -> None:
    """And says so."""
    look.show_plan({"sentence": "idle", "pieces": [], "actions": [], "diff": []})
    assert capsys.readouterr().out == "idle\n\nEvidence:\n\nIt would:\n  do nothing\n"


@pytest.mark.parametrize(
    ("outcome", "last"), [("found", "missing: db-1"), ("unknown", "not known: db-1")], ids=["found", "unknown"]
)
def test_peers_tells_missing_from_not_known(outcome: str, last: str, capsys: Said) -> None:
    """A DNS server that does not answer says nothing of anybody."""
    look.show_peers(
        {
            "question": "_peerboot._tcp.peers",
            "outcome": outcome,
            "reason": "",
            "ttl": 5.0,
            "peers": [{"pod": "db-0", "addresses": ["10.0.0.1", "fd00::1"], "port": 7070}],
            "missing": ["db-1"],
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        f"_peerboot._tcp.peers: {outcome}, may be cached for 5 s",
        "POD   ADDRESSES          PORT",
        "db-0  10.0.0.1, fd00::1  7070",
        last,
    ]


def test_json_prints_the_data(capsys: Said) -> None:
    """Not the words."""
    printing.emit(argparse.Namespace(json=True), {"a": [1]}, look.show_plan)
    assert json.loads(capsys.readouterr().out) == {"a": [1]}
