"""A bundle is decided once more offline, by whatever release, and becomes cases; whatever else it holds is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peerboot.again import again, read
from peerboot.cases.outcome import outcome_of
from peerboot.cases.reader import parse
from peerboot.cli import main
from peerboot.errors import SettingsError
from peerboot.recast import cases
from tests.recorder.made import bundle, facts_of_cases, moments

GOLDEN = Path(__file__).parents[2] / "docs" / "seen" / "db-0.bundle"
"""Taken from a real set of etcd whose db-0 had lost its disk, by the first release that had `bundle`."""
LOST = "self db-0 of 3\nserver db-2 healthy leader cluster=c1 member=m2\nquorum c1\nmember m2 db-2\nmember m0 db-0"


def _file(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "bundle"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("system", ["etcd", "kafka", "postgres"])
def test_every_case_comes_back_from_a_bundle(tmp_path: Path, system: str) -> None:
    """Facts of every case, recorded, bundled and written as cases, are the same facts with the same outcome."""
    before = facts_of_cases(system)
    found = read(_file(tmp_path, bundle(moments(before), system=system)))
    text = cases("bundle", found, list(enumerate(found.moments, 1)), short=False)
    blocks = text.split("\n====\n")
    assert len(before) == len(blocks)
    for facts, block in zip(before, blocks, strict=True):
        given, _, outcome = block.partition("\n----\n")
        assert facts == parse(given, system)
        assert outcome_of(facts) == outcome.strip()
    assert [again(number, one).same for number, one in enumerate(found.moments, 1)] == [True] * len(before)


def test_the_first_releases_bundle_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle that was taken long ago is replayed as it was decided then."""
    assert main(["replay", str(GOLDEN)]) == 0
    out = capsys.readouterr().out
    assert "replace (replace-lost)" in out
    assert "done: remove " in out
    assert out.endswith("This release decides the same, all 10 times.\n")


def test_one_decision_shows_its_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    """``--at`` shows one decision with every piece of evidence, its source and its age then."""
    assert main(["replay", str(GOLDEN), "--at", "3"]) == 0
    out = capsys.readouterr().out
    assert "replace (replace-lost)" in out
    assert "member list, 0s before: member 8dfd487e03d41039" in out
    assert "wait-for-all" not in out


def test_a_golden_case_is_what_the_runner_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """``--as-case --short`` of the lost disk is a case of a few words, whose outcome is what was decided."""
    assert main(["replay", str(GOLDEN), "--as-case", "3", "--short"]) == 0
    given, _, outcome = capsys.readouterr().out.partition("\n----\n")
    assert outcome_of(parse(given)) == outcome.strip()
    assert "decision: replace (replace-lost)" in outcome
    assert "action: remove 8dfd487e03d41039" in outcome
    assert [line for line in given.splitlines() if line.startswith("set ")] == []


def _changed(**decision: Any) -> bytes:
    (moment,) = moments([parse(LOST)])
    return bundle([{**moment, "decision": {**moment["decision"], **decision}}])


def test_where_this_release_differs_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another decision than the recorded one is exit 1, and both are told."""
    name = _file(tmp_path, _changed(kind="wait", rule="wait-for-all"))
    assert main(["replay", name]) == 1
    out = capsys.readouterr().out
    assert "wait (wait-for-all)" in out
    assert "this release: replace (replace-lost): " in out
    assert out.endswith("This release decides otherwise at 1.\n")
    assert main(["replay", name, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["decisions"][0]["decision_now"]["rule"]) == (False, "replace-lost")


def test_other_words_for_the_same_are_the_same(tmp_path: Path) -> None:
    """A reason that reads otherwise is no other decision."""
    assert main(["replay", _file(tmp_path, _changed(reason="It was put into other words."))]) == 0


def test_what_another_release_added_is_left_out(tmp_path: Path) -> None:
    """Fields that this release does not know do not keep it from reading; those that are missing have their default."""
    (moment,) = moments([parse(LOST)])
    moment["facts"] |= {"of_later": {"deep": [1]}}
    moment["facts"]["cluster"] |= {"of_later": 1}
    for name in ("traits", "limits", "live", "anchor", "learners", "asks", "turn"):
        del moment["facts"][name]
    for name in ("outcomes", "boot", "allowed"):
        del moment[name]
    assert main(["replay", _file(tmp_path, bundle([moment], of_later=2))]) == 0


def _hostile() -> dict[str, bytes]:
    (moment,) = moments([parse(LOST)])
    identity = moment["facts"]["identity"]
    many = {**moment, "facts": {**moment["facts"], "identity": {**identity, "replicas": 10**9}}}
    return {
        "nothing": b"",
        "garbage": bytes(range(256)),
        "another document": b'{"kind": "List"}',
        "a list": b"[]",
        "cut off": bundle([moment])[:-40],
        "nested": b'{"peerboot_bundle": 1, "moments": ' + b"[" * 100_000,
        "a number too large": b'{"peerboot_bundle": 1' + b"0" * 400 + b"}",
        "of a wrong type": bundle([{**moment, "facts": []}]),
        "a thousand million Pods": bundle([many]),
        "a thousand decisions and one": bundle([moment] * 1001),
    }


@pytest.mark.parametrize("what", _hostile())
@pytest.mark.parametrize("more", [[], ["--as-case", "all"]], ids=["timeline", "cases"])
def test_what_is_no_bundle_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, more: list[str]
) -> None:
    """Whatever else a file holds: exit 2 and one line that says what to do."""
    assert main(["replay", _file(tmp_path, _hostile()[what]), *more]) == 2
    out, err = capsys.readouterr()
    assert (out, 1) == ("", err.count("\n"))
    assert err.startswith("peerboot: ")


@pytest.mark.parametrize(
    ("args", "say"),
    [
        (["/no/such/file"], "/no/such/file is not there: name a file that `peerboot bundle` wrote"),
        (["/dev/zero"], "/dev/zero cannot be read: it is not a regular file: name a file that `peerboot bundle` wrote"),
        ([str(GOLDEN), "--at", "11"], "there is no decision '11' in it: it has 1 to 10, and `all`"),
        ([str(GOLDEN), "--as-case", "x"], "there is no decision 'x' in it: it has 1 to 10, and `all`"),
    ],
    ids=["missing", "device", "number", "word"],
)
def test_what_is_typed_wrongly(capsys: pytest.CaptureFixture[str], args: list[str], say: str) -> None:
    """Files and numbers that are not there are exit 2, with what there is."""
    assert main(["replay", *args]) == 2
    assert f"peerboot: {say}\n" == capsys.readouterr().err


def test_a_newer_bundle_names_its_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A version that this release does not know is said, with the release that wrote it."""
    name = _file(tmp_path, b'{"peerboot_bundle": 2, "version": "9.1", "moments": 7}')
    assert main(["replay", name]) == 2
    say = f"{name} is of a newer peerboot (9.1; bundle version 2, this one reads 1): replay it with that release"
    assert f"peerboot: {say}\n" == capsys.readouterr().err


def test_words_of_others_do_not_act_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in a bundle are not printed."""
    assert main(["replay", _file(tmp_path, _changed(reason="\x1b[2J\nidle (serving)\r"))]) == 0
    out = capsys.readouterr().out
    assert [c for c in out if not c.isprintable() and c != "\n"] == []
    assert "\nidle (serving)" not in out


def test_facts_that_no_pod_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Facts by which the rules cannot decide are told as such, and do not end the program."""
    (moment,) = moments([parse(LOST)])
    broken = {**moment, "facts": {**moment["facts"], "identity": {**moment["facts"]["identity"], "system": "none"}}}
    name = _file(tmp_path, bundle([broken]))
    assert main(["replay", name]) in (0, 1)
    assert "Traceback" not in "".join(capsys.readouterr())
    found = read(name)
    with pytest.raises(SettingsError, match="decision 1 is no case"):
        cases(name, found, [(1, found.moments[0])], short=False)
