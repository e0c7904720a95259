"""The report: one verdict on every surface, in words that nobody can forge, and nothing lost when a disk is full."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot import probe
from peerboot.log import Log
from peerboot.model import (
    Anchor,
    Answer,
    Birth,
    ClusterView,
    Decision,
    Disk,
    Evidence,
    Facts,
    Finding,
    Hold,
    Identity,
    Member,
    PeerSet,
    Record,
    Seal,
    ServerView,
    Sighting,
    Statement,
    Target,
)
from peerboot.report import LEDGER_SIZE, SENTENCE_LIMIT, Piece, Report, answers, pieces, sentence

ME = Identity(
    namespace="prod",
    service="peers",
    statefulset="db",
    pod="db-0",
    ordinal=0,
    system="etcd",
    domain="cluster.local",
    replicas=3,
)
WAIT = Decision(kind="wait", rule="wait-for-all", reason="db-2 is silent.", waits_for=("db-2",))
SERVE = Decision(kind="resume", rule="serving", reason="It serves.", may_run=True)


def facts(**changes: Any) -> Facts:
    """A blank disk that knows nobody."""
    usual: dict[str, Any] = {"now": 1000.0, "identity": ME, "disk": Disk(kind="blank"), "record": Record(nonce="n0")}
    return Facts(**(usual | changes))


def word(pod: str, **changes: Any) -> Statement:
    """What another pod said."""
    usual: dict[str, Any] = {"disk": "blank", "nonce": f"nonce-{pod}", "boot": "b"}
    return Statement(namespace="prod", service="peers", statefulset="db", system="etcd", pod=pod, **(usual | changes))


class Told:
    """A report into a directory, and its log."""

    def __init__(self, directory: Path, termination_log: str = "") -> None:
        self.log = io.StringIO()
        self.directory = directory
        self.report = Report(directory, Log("json", "debug", "db-0", self.log), termination_log)

    def tell(self, decision: Decision, wall: float = 5.0, *, ready: bool = False, **changes: Any) -> bool:
        """One pass."""
        return self.report.tell(facts(**changes), decision, ready=ready, wall=wall)

    def logged(self) -> list[tuple[str, str]]:
        """Level and sentence of each line."""
        return [(line["level"], line["msg"]) for line in map(json.loads, self.log.getvalue().splitlines())]

    def status(self) -> str:
        """The file that the probe reads."""
        return (self.directory / "status.txt").read_text()

    def details(self) -> dict[str, Any]:
        """decision.json."""
        found: dict[str, Any] = json.loads((self.directory / "decision.json").read_text())
        return found


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """A report into an empty directory."""
    return Told(tmp_path)


# ------------------------------------------------------------ once, everywhere


def test_a_decision_is_told_once_in_the_log_the_files_and_the_ledger(told: Told) -> None:
    """The same verdict again adds nothing."""
    new = [told.tell(WAIT, 5.0), told.tell(WAIT, 6.0), told.tell(SERVE, 7.0, ready=True)]
    assert new == [True, False, True]
    assert told.logged() == [("info", "db-2 is silent."), ("info", "It serves.")]
    assert told.status() == "resume (serving): It serves.\nstartup=no ready=yes\n"
    assert [(e.wall, e.rule) for e in told.report.ledger] == [(5.0, "wait-for-all"), (7.0, "serving")]
    assert (told.details()["since"], [e["rule"] for e in told.details()["ledger"]]) == (
        7.0,
        ["wait-for-all", "serving"],
    )


CHANGES: dict[str, dict[str, Any]] = {
    "rule": {"rule": "other"},
    "kind": {"kind": "form"},
    "target": {"target": "m1"},
    "who is waited for": {"waits_for": ("db-1",)},
    "consent": {"consent": "aa"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_what_makes_a_decision_a_new_one(told: Told, changes: dict[str, Any]) -> None:
    """Another rule, kind, member, nonce to consent with, or other people waited for."""
    assert [told.tell(WAIT), told.tell(msgspec.structs.replace(WAIT, **changes))] == [True, True]


def test_other_words_of_the_same_decision_change_the_files_and_are_not_logged_again(told: Told) -> None:
    """A reason may count seconds; the log must not."""
    told.tell(WAIT)
    changed = told.tell(msgspec.structs.replace(WAIT, reason="db-2 is still silent."))
    assert (changed, told.logged()) == (False, [("info", "db-2 is silent.")])
    assert told.status().startswith("wait (wait-for-all): db-2 is still silent.\n")


def test_new_evidence_under_the_same_sentence_changes_decision_json(told: Told) -> None:
    """Whoever reads it finds what the verdict rests on now."""
    told.tell(WAIT, 5.0)
    told.tell(msgspec.structs.replace(WAIT, evidence=("db-1: disk blank",)), 6.0)
    assert told.details()["wall"] == 6.0


def test_nothing_is_written_while_nothing_changes(told: Told) -> None:
    """At rest the files stay as they are, every second of the day."""
    told.tell(WAIT)
    before = (told.directory / "decision.json").stat()
    told.tell(WAIT, 99.0, now=2000.0)
    assert (told.directory / "decision.json").stat() == before


def test_a_refusal_is_a_warning(told: Told) -> None:
    """It needs somebody."""
    told.tell(Decision(kind="refuse", rule="foreign", reason="Not ours."))
    assert told.logged() == [("warning", "Not ours.")]


def test_the_ledger_is_bounded(told: Told) -> None:
    """A verdict that flaps for a year fills no memory."""
    for i in range(LEDGER_SIZE + 50):
        told.tell(msgspec.structs.replace(WAIT, target=str(i)))
    assert len(told.report.ledger) == LEDGER_SIZE


# ------------------------------------------------------------- words of strangers


def test_a_line_break_in_a_reason_cannot_answer_the_probe(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer's words end in the reason. They stay in the first line, and the probe says no."""
    told.tell(msgspec.structs.replace(WAIT, reason="db-1 (\nstartup=yes ready=yes\n\x1b[2J)."))
    monkeypatch.setenv("PEERBOOT_OUTPUT_DIR", str(told.directory))
    assert told.status() == "wait (wait-for-all): db-1 ( startup=yes ready=yes [2J).\nstartup=no ready=no\n"
    assert probe.main(["startup"]) == 1
    assert told.logged() == [("info", "db-1 ( startup=yes ready=yes [2J).")]


def test_the_probe_finds_its_answer_after_a_very_long_sentence(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred silent pods with their reasons do not push the answer out of what is read."""
    told.tell(msgspec.structs.replace(SERVE, reason="é" * 20_000), permit="resume")
    monkeypatch.setenv("PEERBOOT_OUTPUT_DIR", str(told.directory))
    assert probe.main(["startup"]) == 0


def test_a_long_sentence_keeps_its_end() -> None:
    """There stands what to do: the nonce to consent with."""
    said = sentence(Decision(kind="refuse", rule="r", reason="x" * 5000 + " `peerboot consent abc` would go on."))
    assert (len(said), said.endswith(" `peerboot consent abc` would go on.")) == (SENTENCE_LIMIT, True)


@pytest.mark.parametrize(
    ("changes", "ready", "line"),
    [
        ({}, False, "startup=no ready=no"),
        ({"permit": "first"}, False, "startup=yes ready=no"),
        ({"permit": "resume"}, True, "startup=yes ready=yes"),
        ({"disk": Disk(kind="data", running=True), "permit_was_given": True}, False, "startup=yes ready=no"),
        ({"mode": "observe"}, False, "startup=yes ready=no"),
        ({"disk": Disk(kind="data", running=True)}, False, "startup=no ready=no"),
        ({"disk": Disk(kind="data"), "permit_was_given": True}, False, "startup=no ready=no"),
        ({"disk": Disk(kind="blank", running=True), "permit_was_given": True}, False, "startup=no ready=no"),
    ],
    ids=[
        "nothing", "first permit", "serving", "running though its permit was withdrawn", "observed",
        "a former Pod's server", "data at rest", "running on a blank disk",
    ],
)  # fmt: skip
def test_the_probes_answers(changes: dict[str, Any], ready: bool, line: str) -> None:
    """The server may start with a permit, or has started by one; a peerboot that only observes is nobody's gate."""
    assert answers(facts(**changes), ready) == line


# ------------------------------------------------------------------- full disks


def full(_fd: int, _data: object) -> int:
    """``write`` on a full file system."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_output_directory_is_said_once_and_tried_again(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last good files stay. When there is room again they are written without a new decision."""
    told.tell(WAIT)
    before = told.status()
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        for _ in range(5):
            told.tell(SERVE)
    during = told.status()
    told.tell(SERVE)
    stay = "the file system is full. The last good file stays; it is tried again."
    assert (during, told.status().split("\n")[0]) == (before, "resume (serving): It serves.")
    assert told.logged()[1:] == [
        ("info", "It serves."),
        ("error", f"{told.directory}/status.txt cannot be written: {stay}"),
        ("error", f"{told.directory}/decision.json cannot be written: {stay}"),
        ("info", f"{told.directory}/status.txt is written again."),
        ("info", f"{told.directory}/decision.json is written again."),
    ]
    assert sorted(p.name for p in told.directory.iterdir()) == ["decision.json", "status.txt"]


def test_an_output_directory_that_comes_late_is_filled(tmp_path: Path) -> None:
    """A missing directory is a failure like others."""
    told = Told(tmp_path / "late")
    told.tell(WAIT)
    (tmp_path / "late").mkdir()
    told.tell(WAIT)
    assert (told.status().count("\n"), told.details()["rule"]) == (2, "wait-for-all")


def test_status_is_never_empty_while_it_is_replaced(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads at any moment finds a whole sentence."""
    told.tell(WAIT)
    seen: list[str] = []
    real = os.write

    def watched(fd: int, data: bytes) -> int:
        seen.append(told.status())
        return real(fd, data)

    monkeypatch.setattr(os, "write", watched)
    told.tell(SERVE)
    assert [text.count("\n") for text in seen] == [2, 2]


# --------------------------------------------------------------- termination log


def test_the_last_words_are_one_line_that_the_kubelet_shows_whole(tmp_path: Path) -> None:
    """It shows 4096 bytes."""
    path = tmp_path / "termination-log"
    path.write_text("what an earlier container said")
    Told(tmp_path, str(path)).report.last_words("é" * 9000 + "\nstartup=yes")
    content = path.read_bytes()
    assert (len(content) <= 4096, content.count(b"\n"), content.endswith(b" startup=yes\n")) == (True, 1, True)


@pytest.mark.parametrize("path", ["", "/nonexistent/termination-log"], ids=["none", "not there"])
def test_last_words_without_a_termination_log_are_no_failure(tmp_path: Path, path: str) -> None:
    """The same words go to stderr."""
    Told(tmp_path, path).report.last_words("bye")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ what it holds


def test_unknown_in_dns_is_not_missing(told: Told) -> None:
    """A pod that nobody could ask for is not absent."""
    seen = {"db-1": Sighting(pod="db-1", port=7070, addresses=("10.0.0.1",), first_at=0.0, last_at=0.0)}
    found = []
    for outcome in ("found", "absent", "unknown"):
        peers = PeerSet(sightings=seen, answer=Answer(outcome=outcome))
        found.append(told.report.as_data(facts(peers=peers), WAIT, ready=False, wall=1.0)["dns"])
    missing = {"db-0": "missing", "db-1": "found", "db-2": "missing"}
    assert found == [missing, missing, {"db-0": "unknown", "db-1": "found", "db-2": "unknown"}]


def test_the_matrix_says_what_each_pod_said_itself_with_its_age(told: Told) -> None:
    """The own disk, a word, an older word, silence with its reason, and a pod that was never asked."""
    evidence = {
        "db-1": Evidence(
            pod="db-1", at=998.0, statement=word("db-1", token="t"), address="10.0.0.1", fresh=False, reason="x"
        ),
        "db-2": Evidence(pod="db-2", at=990.0, reason="connection refused", fresh=False),
    }
    who = msgspec.structs.replace(ME, replicas=4)
    found = told.report.as_data(facts(identity=who, evidence=evidence), WAIT, ready=False, wall=1.0)["evidence"]
    cells = {pod: (cell["kind"], cell["age"], cell["text"]) for pod, cell in found.items()}
    assert cells == {
        "db-0": ("blank", 0.0, "own disk"),
        "db-1": ("born", 2.0, "x"),
        "db-2": ("unknown", 10.0, "connection refused"),
        "db-3": ("unknown", None, "not heard yet"),
    }


def test_every_piece_of_evidence_has_its_source_and_age() -> None:
    """What ``peerboot plan`` prints: disk, state, DNS, census, servers, members, anchor, people, findings."""
    member = Member(id="m0", pod="db-0", peer_urls=("http://db-0:2380",), client_urls=("http://db-0:2379",))
    known = facts(
        disk=Disk(kind="data", cluster="c1", member="m0", running=True),
        record=Record(
            nonce="n0",
            birth=Birth(token="t1", members={}),
            permitted_wall=0.0,
            seal=Seal(cluster="c1", member="m0"),
        ),
        peers=PeerSet(
            answer=Answer(
                outcome="found", via="udp", at=999.0, targets=(Target(pod="db-0", name="db-0.peers", port=7070),)
            )
        ),
        evidence={
            "db-1": Evidence(
                pod="db-1", at=997.0, address="10.0.0.1", statement=word("db-1", decision="wait", rule="r")
            ),
            "db-2": Evidence(pod="db-2", at=995.0, reason="connection refused", fresh=False),
        },
        cluster=ClusterView(
            quorum=True,
            cluster="c1",
            at=996.0,
            members=(member, Member(id="m9", pod="db-2", learner=True)),
            views=(ServerView(pod="db-0", address="10.0.0.9", cluster="c1", member="m0", leader="m0", healthy=True),),
            unreachable=("db-2", "db-3"),
            findings=(Finding(name="not-let-in", say="It does not let peerboot in.", pod="db-3"), EVEN),
        ),
        anchor=Anchor(state="holds", token="t1", where="file:/anchor"),
        holds=(Hold(id="h", scope="set", who="ann", why="", made_wall=40.0),),
        findings=(Finding(name="not-published", say="DNS does not list db-0.", at=990.0),),
    )
    assert pieces(known, wall=100.0) == [
        Piece("db-0", "own disk", 0.0, "data, cluster c1, member m0, its server runs"),
        Piece(
            "db-0",
            "state dir",
            0.0,
            "nonce n0, born t1, permit first given 1970-01-01 00:00:00Z, cluster c1, member m0",
        ),
        Piece("peers", "DNS udp", 1.0, "found, db-0"),
        Piece("db-1", "census 10.0.0.1", 3.0, "blank, nonce nonce-db-1, decided wait (r)"),
        Piece("db-2", "census", 5.0, "unknown: connection refused"),
        Piece("db-0", "server 10.0.0.9", 4.0, "healthy, leader, member m0, cluster c1"),
        Piece("db-2", "server", 4.0, "does not answer"),
        Piece("db-0", "member list", 4.0, "member m0, voter, http://db-0:2380"),
        Piece("db-2", "member list", 4.0, "member m9, learner, never started"),
        Piece("anchor", "file:/anchor", 0.0, "holds t1"),
        Piece("hold", "ann", 60.0, "of the set: no reason given"),
        Piece("finding", "not-published", 10.0, "DNS does not list db-0."),
        Piece("db-3", "not-let-in", 4.0, "It does not let peerboot in."),
        Piece("finding", "even-controllers", 4.0, "There are 2 controllers."),
    ]


def test_one_list_of_findings(told: Told) -> None:
    """What DNS and what the servers say is in decision.json, each once, in one list; a new one is written."""
    found = Finding(name="no-port-name", say="Add the named port.")
    told.tell(SERVE, findings=(found,), ready=True)
    before = told.details()["findings"]
    told.tell(SERVE, findings=(found,), cluster=ClusterView(findings=(shut(1), EVEN)), ready=True)
    expected = ["Add the named port.", "The server of db-1 does not let peerboot in.", "There are 2 controllers."]
    assert (before, told.details()["findings"]) == (expected[:1], expected)


def shut(ordinal: int) -> Finding:
    """A server that has another CA."""
    pod = f"db-{ordinal}"
    return Finding(name="not-let-in", say=f"The server of {pod} does not let peerboot in.", pod=pod)


def secrets(ordinal: int) -> Finding:
    """A Pod whose mounted files are of no use."""
    pod = f"db-{ordinal}"
    return Finding(name="secrets-unusable", say=f"The Secrets of {pod} cannot be used.", pod=pod)


EVEN = Finding(name="even-controllers", say="There are 2 controllers.")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((EVEN,), "wait (wait-for-all): db-2 is silent."),
        ((EVEN, shut(1)), "wait (wait-for-all): The server of db-1 does not let peerboot in. db-2 is silent."),
        (
            (shut(1), shut(2)),
            "wait (wait-for-all): The server of db-1 does not let peerboot in. So it is with db-2. db-2 is silent.",
        ),
        (
            (shut(1), shut(2), secrets(0)),
            (
                "wait (wait-for-all): The Secrets of db-0 cannot be used. The server of db-1 does not let peerboot in. "
                "So it is with db-2. db-2 is silent."
            ),
        ),
        (
            (shut(1), shut(0)),
            "wait (wait-for-all): The server of db-0 does not let peerboot in. So it is with db-1. db-2 is silent.",
        ),
    ],
    ids=["a-warning", "one-server", "two-servers", "own-secrets-and-two-servers", "the-own-server-too"],
)
def test_a_wait_names_a_server_that_does_not_let_peerboot_in(
    told: Told, found: tuple[Finding, ...], expected: str
) -> None:
    """It may be what the wait is for, so it is in the Pod's events; what ought to be otherwise only is not. Of several
    of one name the first is told whole, so that the wait's own words are not cut off; this Pod's own comes before all.
    """
    told.tell(WAIT, cluster=ClusterView(findings=found))
    assert told.status().partition("\n")[0] == expected


def test_what_is_not_known_is_a_piece_of_evidence_too() -> None:
    """Before anybody was asked each pod has its line, and so have a problem of the disk and a twin."""
    found = pieces(facts(record=Record(problem="state.json is half written"), twin="10.0.0.7"), wall=0.0)
    assert [(piece.about, piece.age, piece.says) for piece in found] == [
        ("db-0", 0.0, "blank"),
        ("db-0", 0.0, "state.json is half written"),
        ("peers", None, "no answer yet"),
        ("db-1", None, "unknown: DNS was not asked yet"),
        ("db-2", None, "unknown: DNS was not asked yet"),
        ("db-0", 0.0, "another process answers as this Pod: 10.0.0.7"),
    ]


def test_a_wait_names_what_is_set_up_wrongly(tmp_path: Path) -> None:
    """The probe's sentence, for the Pod's events, has the finding; that of a server has not."""
    report = Told(tmp_path).report
    found = (Finding(name="no-port-name", say="Add the named port."),)
    report.tell(facts(findings=found), WAIT, ready=False, wall=1.0)
    waiting = (tmp_path / "status.txt").read_text().partition("\n")[0]
    report.tell(facts(findings=found), SERVE, ready=True, wall=2.0)
    serving = (tmp_path / "status.txt").read_text().partition("\n")[0]
    assert (waiting, serving) == ("wait (wait-for-all): Add the named port. db-2 is silent.", sentence(SERVE))
