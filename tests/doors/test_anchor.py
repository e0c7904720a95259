"""The anchor: written once, compared before, never taken for empty when it only cannot be read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from peerboot import anchor
from peerboot.model import SCHEMA, Anchor
from peerboot.outside.files import FilesError

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
    assert Anchor(state="empty", where=str(path)) == anchor.read(spec)
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
