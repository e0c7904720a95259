"""The anchor: written once, compared before, never taken for empty when it only cannot be read."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from peerboot import anchor
from peerboot.anchor import Keeper
from peerboot.model import SCHEMA, Anchor
from peerboot.outside.files import FilesError
from tests.run.api_model import Api, FakeKubernetes

ONE, OTHER = "1" * 32, "2" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the shared storage is."""
    shared = tmp_path / "shared"
    shared.mkdir()
    return shared / "birth"


def test_no_anchor_is_none() -> None:
    """A set without one has nothing that remembers."""
    assert Anchor() == anchor.read("")


def test_the_first_write_counts(path: Path) -> None:
    """Empty, then the token; a second writer gets to know what the first one wrote, and nothing lies beside it."""
    spec = f"file:{path}"
    assert Anchor(state="empty", older="", where=str(path)) == anchor.read(spec)
    holds = Anchor(state="holds", token=ONE, where=str(path))
    assert (holds, holds, holds) == (anchor.write(spec, ONE), anchor.write(spec, OTHER), anchor.read(spec))
    assert [found.name for found in path.parent.iterdir()] == ["birth"]


@pytest.mark.parametrize("tokens", [[ONE] * 8, [ONE, OTHER] * 4], ids=["one birth", "two births"])
def test_many_at_once_agree(path: Path, tokens: list[str]) -> None:
    """Pods that write at the same moment all read the one token that was first, whole."""
    with ThreadPoolExecutor(len(tokens)) as pool:
        said = list(pool.map(lambda token: anchor.write(f"file:{path}", token), tokens))
    assert len(set(said)) == 1
    assert said[0].state == "holds"
    assert said[0].token in tokens
    assert [found.name for found in path.parent.iterdir()] == ["birth"]


@pytest.mark.parametrize(
    ("content", "say"),
    [
        (b"", "is half written or damaged"),
        (b'{"version": 1, "tok', "is half written or damaged"),
        (b"\xff\xfe", "is half written or damaged"),
        (json.dumps({"version": SCHEMA, "token": ""}).encode(), "is damaged: it holds no token"),
        (json.dumps({"version": SCHEMA, "token": "x" * 32}).encode(), "is damaged: it holds no token"),
        (json.dumps({"version": SCHEMA + 1, "token": ONE}).encode(), f"is of a newer peerboot (version {SCHEMA + 1})"),
        (b"x" * 5000, "it is longer than 4096 bytes"),
    ],
    ids=["empty", "cut off", "garbage", "no token", "another token", "newer", "long"],
)
def test_what_cannot_be_read_is_unknown_never_empty(path: Path, content: bytes, say: str) -> None:
    """It keeps what is there, and writing does not replace it."""
    path.write_bytes(content)
    for found in (anchor.read(f"file:{path}"), anchor.write(f"file:{path}", ONE)):
        assert ("unknown", "", str(path)) == (found.state, found.token, found.where)
        assert say in found.reason
    assert content == path.read_bytes()


@pytest.mark.parametrize("below", ["no/birth", "file/birth"], ids=["not mounted", "a file"])
def test_storage_that_is_not_there_is_unknown(tmp_path: Path, below: str) -> None:
    """A directory that is missing is not one where nothing was written."""
    (tmp_path / "file").touch()
    spec = f"file:{tmp_path / below}"
    assert f"{(tmp_path / below).parent} is not there" == anchor.read(spec).reason
    assert (anchor.read(spec).state, anchor.write(spec, ONE).state) == ("unknown", "unknown")


def test_forgotten_it_is_kept_aside(path: Path) -> None:
    """A person's word to form anew renames it; what was never written needs no renaming; both leave it empty."""
    spec = f"file:{path}"
    assert anchor.forget(spec, "s") == ""
    anchor.write(spec, ONE)
    content = path.read_bytes()
    kept = Path(anchor.forget(spec, "s"))
    assert (f"{path}.aside-s", content) == (str(kept), kept.read_bytes())
    assert (anchor.read(spec).state, anchor.write(spec, OTHER).token) == ("empty", OTHER)


def test_a_damaged_one_can_be_forgotten(path: Path) -> None:
    """It is kept aside like a good one; storage that is not there is an error."""
    path.write_bytes(b"{")
    assert f"{path}.aside-s" == anchor.forget(f"file:{path}", "s")
    with pytest.raises(FilesError, match="it is not there"):
        anchor.forget(f"file:{path.parent}/no/birth", "s")


def test_a_birth_that_came_to_nothing_is_written_over(tmp_path: Path) -> None:
    """Only the token that is named is replaced; any other stays."""
    spec = f"file:{tmp_path}/birth.json"
    one, two, three = "1" * 32, "2" * 32, "3" * 32
    assert anchor.write(spec, one).token == one
    assert anchor.write(spec, two, replaces=one).token == two
    assert anchor.write(spec, three, replaces=one).token == two


# ------------------------------------------------------------------- ConfigMap

SPEC = "configmap:db-anchor"
MAKE = "kubectl --namespace prod create configmap db-anchor"
UNDO = f"kubectl --namespace prod delete configmap db-anchor && {MAKE}"
WHERE = {"where": "ConfigMap db-anchor", "undo": UNDO}
EMPTY = Anchor(state="empty", **WHERE)
HOLDS = Anchor(state="holds", token=ONE, **WHERE)


@pytest.fixture
def api() -> Api:
    """An API with the ConfigMap as it is shipped."""
    made = Api()
    made.ship()
    return made


@pytest.fixture
def keeper(api: Api) -> Keeper:
    """One Pod's."""
    return Keeper(SPEC, FakeKubernetes(api))


def text(token: str = ONE, version: int = SCHEMA) -> str:
    """What peerboot keeps under its key."""
    return json.dumps({"version": version, "token": token})


async def test_it_says_when_it_was_written(keeper: Keeper, path: Path) -> None:
    """So a person tells what was lost from what was left over; what an older peerboot wrote does not say it."""
    stamp = "20260102T030405Z"
    file = Keeper(f"file:{path}", None)
    for each in (keeper, file):
        assert ((await each.write(ONE, at=stamp)).at, each.read().at) == (stamp, stamp)
        assert (await each.write(OTHER, at="20270102T030405Z")).at == stamp
    path.write_text(text())
    assert (file.read().token, file.read().at) == (ONE, "")
    path.write_text(json.dumps({"version": SCHEMA, "token": ONE, "at": "\n`rm -r /`"}))
    assert file.read().reason == f"{path} is damaged: it does not say when it was written"


async def test_a_file_needs_no_question(path: Path) -> None:
    """It is read when it is asked for, and written at once."""
    keeper = Keeper(f"file:{path}", None)
    assert (keeper.remote, keeper.read().state) == (False, "empty")
    assert ((await keeper.write(ONE)).token, keeper.read().token) == (ONE, ONE)
    assert keeper.forget("s") == f"{path}.aside-s"


async def test_before_it_was_asked_a_configmap_is_unknown(keeper: Keeper, api: Api) -> None:
    """Never none and never empty; reading what it said last asks nobody."""
    found = keeper.read()
    assert (found.state, found.reason, api.asked) == ("unknown", "it was not asked yet", [])


async def test_a_configmap_is_written_once_and_sealed_in_the_same_write(keeper: Keeper, api: Api) -> None:
    """Labels and other keys stay; there are one read and one write, and the second writer only reads."""
    api.ship(data={"note": "by hand"})
    assert (await keeper.ask(), await keeper.ask(), keeper.read()) == (True, False, EMPTY)
    api.asked.clear()
    assert (await keeper.write(ONE), keeper.read()) == (HOLDS, HOLDS)
    kept = api.config_maps["db-anchor"]
    assert (kept["immutable"], kept["metadata"]["labels"], sorted(kept["data"])) == (
        True,
        {"app": "db"},
        ["birth", "note"],
    )
    assert [method for method, _ in api.asked] == ["GET", "PUT"]
    assert await Keeper(SPEC, FakeKubernetes(api)).write(OTHER) == HOLDS
    assert [method for method, _ in api.asked] == ["GET", "PUT", "GET"]


@pytest.mark.parametrize("tokens", [[ONE] * 8, [ONE, OTHER] * 4], ids=["one birth", "two births"])
async def test_pods_that_write_a_configmap_at_once_agree(api: Api, tokens: list[str]) -> None:
    """All but one get 409, read again and find what the first one wrote."""
    said = await asyncio.gather(*(Keeper(SPEC, FakeKubernetes(api)).write(token) for token in tokens))
    assert (len(set(said)), said[0].state, said[0].token in tokens) == (1, "holds", True)
    assert [method for method, _ in api.asked].count("PUT") == len(tokens)


async def test_a_conflict_with_a_stranger_is_tried_again(
    keeper: Keeper, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody put a label on it between the read and the write: it is still empty, and the next try writes."""
    answer = api.answer

    def labelled(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "PUT":
            api.ship()
            monkeypatch.undo()
        return answer(method, path, body)

    monkeypatch.setattr(api, "answer", labelled)
    assert (await keeper.write(ONE), await keeper.write(ONE)) == (EMPTY, HOLDS)


@pytest.mark.parametrize(
    ("more", "say"),
    [
        ({"data": {"birth": ""}}, "is half written or damaged"),
        ({"data": {"birth": '{"version": 1, "tok'}}, "is half written or damaged"),
        ({"data": {"birth": text("x" * 32)}}, "is damaged: it holds no token"),
        ({"data": {"birth": text(version=SCHEMA + 1)}}, f"is of a newer peerboot (version {SCHEMA + 1})"),
        ({"data": {"birth": 1}}, "the API's answer is no ConfigMap"),
        ({"data": []}, "the API's answer is no ConfigMap"),
        ({"kind": "Secret"}, "the API's answer is no ConfigMap"),
        ({"immutable": True}, f"is immutable and empty: `{UNDO}`"),
    ],
)
async def test_a_configmap_that_says_something_else_is_unknown(
    keeper: Keeper, api: Api, more: dict[str, Any], say: str
) -> None:
    """It is neither empty nor replaced."""
    api.ship(**more)
    before = dict(api.config_maps["db-anchor"])
    for found in (await keeper.write(ONE), keeper.read()):
        assert (found.state, found.token, say in found.reason) == ("unknown", "", True)
    assert before == api.config_maps["db-anchor"]


async def test_a_configmap_that_is_not_there_is_unknown(keeper: Keeper, api: Api) -> None:
    """Not empty: peerboot may not create one, and somebody may have deleted it to start over. It says what to do."""
    del api.config_maps["db-anchor"]
    await keeper.ask()
    said = f"404: there is no configmaps/db-anchor in prod: `{MAKE}`"
    assert (keeper.read().state, keeper.read().reason) == ("unknown", said)


@pytest.mark.parametrize(
    ("weather", "say"),
    [
        ("forbidden", "403: this Pod may not get configmaps/db-anchor in prod: a Role with that verb is not bound"),
        ("unauthorized", "401: the API does not accept the token"),
        ("broken", "the API answered HTTP 503 to get configmaps/db-anchor (etcdserver: no leader)"),
        ("refused", "10.96.0.1:443: connection refused"),
    ],
)
async def test_an_api_that_does_not_answer_is_unknown(keeper: Keeper, api: Api, weather: str, say: str) -> None:
    """With the API's words; what was empty a moment ago is not taken for empty any more."""
    await keeper.ask()
    api.weather = weather  # type: ignore[assignment]  # the parameters are its words
    assert await keeper.ask()
    assert (keeper.read().state, keeper.read().reason.startswith(say)) == ("unknown", True)
    assert (await keeper.write(ONE)).state == "unknown"


async def test_without_the_right_to_update_it_stays_unknown(api: Api) -> None:
    """``get`` alone shows that it is empty; a dry run shows in time, before a birth, which verb is missing."""
    api.read_only = True
    keeper = Keeper(SPEC, FakeKubernetes(api))
    said = "403: this Pod may not update configmaps/db-anchor in prod: a Role with that verb is not bound"
    for _ in range(2):
        await keeper.ask()
        assert (keeper.read().state, keeper.read().reason) == ("unknown", said)
    assert (await keeper.write(ONE)).reason == said
    assert "data" not in api.config_maps["db-anchor"]
    api.read_only = False
    await keeper.ask()
    assert keeper.read() == EMPTY


async def test_that_it_may_be_written_is_found_out_once(keeper: Keeper, api: Api) -> None:
    """The dry run is repeated only after a write that failed."""
    for _ in range(3):
        await keeper.ask()
    assert [method for method, _ in api.asked] == ["GET", "PUT", "GET", "GET"]
    api.weather = "broken"
    await keeper.write(ONE)
    api.weather = "fine"
    api.asked.clear()
    assert (await keeper.write(ONE), api.config_maps["db-anchor"]["immutable"]) == (HOLDS, True)


def test_a_configmap_is_not_set_aside(keeper: Keeper) -> None:
    """It can only be deleted, which peerboot has no right to."""
    with pytest.raises(FilesError, match=UNDO):
        keeper.forget("s")
