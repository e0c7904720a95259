"""What each release wrote is read by this one to the same values, and what this one writes by each release's readers.

A golden of a release that is out never changes. The one of this version is written by ``python -m tools.goldens``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot import __version__, anchor, census, probe, signing, statedir
from peerboot.model import SCHEMA, Statement
from peerboot.outside.http import Http, Reply
from peerboot.systems.etcd import config as etcd
from peerboot.systems.kafka import launch as kafka
from peerboot.systems.postgres import launch as postgres
from tools import goldens

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.iterdir() if (path / "schema.json").exists())
OUT = {
    line.split()[1]: line.split()[0] for line in (HERE / "SHA256SUMS").read_text(encoding="utf-8").splitlines() if line
}
"""Of each file of a release that is out, its SHA-256."""
SENT_BACK = (
    "a golden of a release that is out has changed: bring it back (git checkout), for Pods with that release still "
    "write so; what this version writes is in tests/goldens/<its version>, by `python -m tools.goldens`"
)


def golden(release: str, name: str) -> tuple[Any, Any]:
    """What was written, and what its writer meant."""
    found = json.loads((HERE / release / f"{name}.json").read_text(encoding="utf-8"))
    return found["wrote"], found["means"]


def plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(msgspec.json.encode(value))


def each(prefix: str) -> list[Any]:
    """Release and name of every golden that begins so."""
    return [
        pytest.param(release, path.stem, id=f"{release}-{path.stem}")
        for release in RELEASES
        for path in sorted((HERE / release).glob(f"{prefix}*.json"))
    ]


def same(means: Any, now: Any) -> Any:
    """What is meant now, without what the older release did not know of."""
    if isinstance(means, dict) and isinstance(now, dict):
        return {key: same(means[key], now[key]) for key in means if key in now}
    if isinstance(means, list) and isinstance(now, list) and len(means) == len(now):
        return [same(one, other) for one, other in zip(means, now, strict=True)]
    return now


# ------------------------------------------------------------- what is out


def test_releases() -> None:
    """There is the former release, and this version."""
    assert {"0.0.1", __version__} <= set(RELEASES)


@pytest.mark.parametrize("name", OUT)
def test_what_is_out_stays(name: str) -> None:
    """No golden of a release that is out changes."""
    assert OUT[name] == hashlib.sha256((HERE / name).read_bytes()).hexdigest(), f"{name}: {SENT_BACK}"


def test_nothing_of_a_release_is_left_out() -> None:
    """Every file of every release but this version is in the list of those that never change."""
    files = {str(path.relative_to(HERE)) for name in RELEASES for path in (HERE / name).iterdir() if path.is_file()}
    assert set(OUT) == {name for name in files if not name.startswith(f"{__version__}/")}


def test_this_version_is_as_it_writes() -> None:
    """The goldens of this version are what it writes now: run ``python -m tools.goldens`` and read the difference."""
    written = {path.name: path.read_text(encoding="utf-8") for path in (HERE / __version__).glob("*.json")}
    assert goldens.goldens() == written, "run `python -m tools.goldens`, and read the difference before you commit it"


# ------------------------------------------------- older releases are read


@pytest.mark.parametrize(("release", "name"), each("census-"))
def test_census(release: str, name: str) -> None:
    """A word of that release is taken, with the values that it had; a question of that release is answered."""
    wrote, means = golden(release, name)
    me, other = goldens.identity("db-0"), goldens.identity("db-1")
    asking = census.Census(me, Http(), goldens.Still(), lambda: (goldens.KEY,), "b0")
    headers = {key.lower(): value for key, value in wrote["headers"].items()}
    heard = asking._read("db-1", Reply(200, headers, wrote["body"].encode()))
    assert isinstance(heard, Statement), heard
    assert means == same(means, plain(heard))
    status, _, _ = census.answer(other, (goldens.KEY,), True, wrote["ask"], heard)
    assert (wrote["status"], status) == (200, 200)


@pytest.mark.parametrize(("release", "name"), each("state-"))
def test_state(release: str, name: str, tmp_path: Path) -> None:
    """The state of that release is remembered whole, and stays so when this one has written to it."""
    wrote, means = golden(release, name)
    (tmp_path / "state.json").write_text(wrote)
    state = statedir.StateDir(tmp_path, goldens.identity(), goldens.Still())
    assert means == same(means, plain(state.read()))
    state.record_permit()
    after = plain(state.read())
    assert {**means, "permitted_wall": after["permitted_wall"]} == same(means, after)


@pytest.mark.parametrize("release", RELEASES)
def test_holds_journal_and_anchor(release: str, tmp_path: Path) -> None:
    """Holds are in force on, the journal is told, and the anchor remembers the birth."""
    for name, file in (("holds", "holds.json"), ("journal", "journal.jsonl"), ("anchor", "anchor")):
        (tmp_path / file).write_text(golden(release, name)[0])
    state = statedir.StateDir(tmp_path, goldens.identity(), goldens.Still())
    now = {
        "holds": plain(state.read_holds()),
        "journal": state.read_journal(9),
        "anchor": plain(anchor.read(f"file:{tmp_path}/anchor")),
    }
    expected = {name: golden(release, name)[1] for name in now}
    assert expected == {name: same(expected[name], now[name]) for name in now}


@pytest.mark.parametrize(("release", "name"), each("etcd-"))
def test_config_files(release: str, name: str) -> None:
    """A file that a former peerboot left in the output directory lets etcd do what it did."""
    wrote, means = golden(release, name)
    assert means["kind"] == etcd.permit_kind(wrote)


@pytest.mark.parametrize(("release", "name"), each("run-ok-"))
def test_permits(release: str, name: str) -> None:
    """A permit of that release is the same permit."""
    wrote, means = golden(release, name)
    permit = {"kafka": kafka.read_permit, "postgres": postgres.read_permit}[name.rpartition("-")[2]](wrote)
    assert means == same(means, plain(permit))


@pytest.mark.parametrize("release", RELEASES)
def test_probe_and_consent(release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe takes that release's status.txt, and a nonce that it printed means the same refusal."""
    wrote, means = golden(release, "status")
    (tmp_path / "status.txt").write_text(wrote)
    monkeypatch.setenv("PEERBOOT_OUTPUT_DIR", str(tmp_path))
    assert means == {what: probe.main([what]) == 0 for what in ("startup", "ready")}
    assert golden(release, "consent")[1] == golden(__version__, "consent")[1]


# --------------------------------------- older releases read what this writes


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", ["census", "state", "holds", "anchor"])
def test_older_readers_take_it(release: str, kind: str) -> None:
    """Every message of this version fits the schema of that release: what it knows has its name, type and words."""
    schema = json.loads((HERE / release / "schema.json").read_text(encoding="utf-8"))[kind]
    wrong = []
    for path in sorted((HERE / __version__).glob(f"{kind}*.json")):
        wrote, _ = golden(__version__, path.stem)
        value = json.loads(wrote["body"] if kind == "census" else wrote)
        wrong += [f"{path.stem}: {one}" for one in unfit(value, schema, schema.get("$defs", {}), "$")]
    assert wrong == [], (
        f"{release} cannot read it; add fields only, or raise SCHEMA (now {SCHEMA}) and say why in an ADR"
    )


@pytest.mark.parametrize("release", RELEASES)
def test_documents_only_grow(release: str) -> None:
    """decision.json has every field of that release, of the same type: scripts and alerts read it."""
    before, now = golden(release, "decision")[1], golden(__version__, "decision")[1]
    assert list(lost(before, now, "$")) == []


def lost(before: Any, now: Any, where: str) -> list[str]:
    """What is gone, or has another type."""
    if isinstance(before, dict) and isinstance(now, dict):
        gone = [f"{where}.{key} is gone" for key in before if key not in now]
        return gone + [one for key in before if key in now for one in lost(before[key], now[key], f"{where}.{key}")]
    kinds = (type(before), type(now))
    return (
        [] if before is None or kinds[0] is kinds[1] else [f"{where} was {kinds[0].__name__}, is {kinds[1].__name__}"]
    )


TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
    "null": type(None),
}  # fmt: skip


def unfit(value: Any, schema: Mapping[str, Any], defs: Mapping[str, Any], where: str) -> list[str]:
    """Where a value does not fit a JSON Schema as msgspec writes them; fields that it does not name are let be."""
    if "$ref" in schema:
        return unfit(value, defs[schema["$ref"].rpartition("/")[2]], defs, where)
    if "anyOf" in schema:
        tried = [unfit(value, one, defs, where) for one in schema["anyOf"]]
        return [] if [] in tried else tried[0]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where} is {value!r}, not one of {schema['enum']}"]
    kind = schema.get("type")
    known = {
        "$defs",
        "type",
        "title",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "default",
    }
    assert schema.keys() <= known, f"{where}: this test does not know {schema.keys() - known}"
    if kind is not None and (
        not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind in ("integer", "number"))
    ):
        return [f"{where} is {value!r}, no {kind}"]
    found = [f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    if isinstance(value, dict):
        named, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, one in value.items():
            inner = named.get(name, rest if isinstance(rest, dict) else None)
            found += unfit(one, inner, defs, f"{where}.{name}") if inner is not None else []
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        found += [more for i, one in enumerate(value) for more in unfit(one, schema["items"], defs, f"{where}[{i}]")]
    return found


CHANGED: Mapping[str, Mapping[str, Any]] = {
    "another-type": {"nonce": 7},
    "another-word": {"disk": "frozen"},
    "a-field-gone": {"boot": None},
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_the_schema_notices(change: Mapping[str, Any]) -> None:
    """A field of another type, a word that a release does not know and a missing field are all noticed."""
    schema = json.loads((HERE / "0.0.1" / "schema.json").read_text(encoding="utf-8"))["census"]
    body = json.loads(golden(__version__, "census-blank")[0]["body"]) | change
    body = {key: value for key, value in body.items() if value is not None}
    assert [name for name in change if not any(name in one for one in unfit(body, schema, schema["$defs"], "$"))] == []


# ------------------------------------------------------- newer ones are borne


def heard(**changes: Any) -> Statement | str:
    """What is made of a signed word of a newer release."""
    body = json.loads(golden(__version__, "census-blank")[0]["body"]) | changes
    raw = json.dumps(body).encode()
    me, other = goldens.identity("db-0"), goldens.identity("db-1")
    signed = signing.mac(goldens.KEY, "answer", other, "db-0", "db-1", goldens.CHALLENGE, raw)
    asking = census.Census(me, Http(), goldens.Still(), lambda: (goldens.KEY,), "b0")
    return asking._read("db-1", Reply(200, {"peerboot-mac": signed}, raw))


def test_fields_that_are_not_known_are_let_be() -> None:
    """A newer release may say more; what this one knows of it counts."""
    word = heard(mood="fine", moods=[1, {"a": None}], version="99.0.0")
    assert isinstance(word, Statement), word
    assert (word.disk, word.version) == ("blank", "99.0.0")


RACK = {"id": "1", "scope": "rack", "who": "a", "why": "", "made_wall": 1.0}
NEWER: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "disk": ({"disk": "frozen", "version": "99.0.0"}, "frozen"),
    "hold": ({"holds": [RACK], "version": "99.0.0"}, "rack"),
    "type": ({"nonce": {"now": "an object"}, "version": "99.0.0"}, "nonce"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "word"), NEWER.values(), ids=NEWER)
def test_words_that_are_not_known_make_it_unknown(changes: Mapping[str, Any], word: str) -> None:
    """What this release has no word for is unknown, never blank, and the sentence says which release said what."""
    reason = heard(**changes)
    assert isinstance(reason, str), reason
    assert re.match(rf"it is peerboot 99\.0\.0, and says what {re.escape(__version__)} has no word for \(.*\)", reason)
    assert word in reason


def test_another_schema_is_named() -> None:
    """A newer census schema is unknown, also where nothing else of it can be read."""
    assert heard(schema=2, disk={"kind": "blank"}, version="99.0.0") == "it speaks census schema 2, this Pod 1"


def test_a_newer_state_is_not_touched(tmp_path: Path) -> None:
    """The disk of a Pod that goes back to this release is unknown, never blank, and its state stays as it was."""
    text = json.dumps(json.loads(golden(__version__, "state-sealed")[0]) | {"version": 2, "nonce": {"new": "shape"}})
    (tmp_path / "state.json").write_text(text)
    state = statedir.StateDir(tmp_path, goldens.identity(), goldens.Still())
    record = state.ensure_nonce()
    state.keep_aside_torn()
    assert (record.nonce, record.torn, "of a newer peerboot (version 2)" in record.problem) == ("", False, True)
    assert (tmp_path / "state.json").read_text() == text


def test_one_hold_that_is_not_known_ends_no_other(tmp_path: Path) -> None:
    """Of holds that a newer release wrote those that this one knows are in force on."""
    known = json.loads(golden(__version__, "holds")[0])
    (tmp_path / "holds.json").write_text(json.dumps([{**known[0], "scope": "rack"}, *known]))
    state = statedir.StateDir(tmp_path, goldens.identity(), goldens.Still())
    assert list(state.read_holds()) == [goldens.HOLD]
