"""What all targets share: how an invariant is told, a directory to write to, and how inputs are coded. No atheris here:
the ordinary tests run every target too.
"""

from __future__ import annotations

import atexit
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
SAMPLES = HERE / "samples"
TARGETS: dict[str, tuple[str, ...]] = {
    "dns": ("peerboot.outside.dns", "peerboot.discovery", "dns.message", "dns.edns", "dns.rdata", "dns.rdtypes"),
    "census": ("peerboot.census", "peerboot.printing"),
    "wal": ("peerboot.systems.etcd.wal", "peerboot.systems.etcd.datadir"),
    "bolt": ("peerboot.systems.etcd.bolt", "peerboot.systems.etcd.datadir"),
    "settings": ("peerboot.outside.yaml", "peerboot.settings", "peerboot.values", "peerboot.printing", "yaml"),
    "state": ("peerboot.statedir", "peerboot.outside.files"),
    "permit": ("peerboot.permits", "peerboot.systems.kafka.launch", "peerboot.systems.postgres.launch"),
}
"""Each target and the modules whose branches guide its search, in the order in which they are run."""

Mutator = Callable[[bytes, random.Random], bytes | None]
"""A change that knows the input's structure; None when it has none to offer."""


class BrokenError(AssertionError):
    """An invariant does not hold; says which, and with what."""


class Target(Protocol):
    """A module of this folder. The ordinary tests only need ``check``."""

    WORDS: tuple[bytes, ...]
    """What the fuzzer may put in."""
    LONGEST: int
    """Bytes of an input."""

    @staticmethod
    def check(data: bytes) -> None:
        """One input; raises ``BrokenError``, or whatever the code under test should not have raised."""

    @staticmethod
    def mutate(data: bytes, chance: random.Random) -> bytes | None:
        """See ``Mutator``."""


def load(name: str) -> Target:
    """The target of that name."""
    return cast("Target", import_module(f"tests.fuzz.{name}"))


def corpus(name: str) -> list[Path]:
    """The committed inputs of a target."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())


def expect(holds: object, sentence: str) -> None:
    """One invariant."""
    if not holds:
        raise BrokenError(sentence)


def expect_line(text: str, what: str) -> None:
    """A sentence for people is one printable line of bounded length."""
    expect(text.isprintable(), f"{what} is not one printable line: {text!r}")
    expect(len(text) <= 2000, f"{what} has {len(text)} characters")


@cache
def scratch() -> Path:
    """A directory in memory, where there is one, that is gone when the process ends."""
    shared = Path("/dev/shm")  # noqa: S108 - mkdtemp makes its own directory there
    made = Path(tempfile.mkdtemp(prefix="peerboot-fuzz-", dir=shared if shared.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


# ------------------------------------------------------------------- coding


def parts(data: bytes, most: int) -> list[bytes]:
    """Pieces with two bytes of length before each; what is cut off is the last one."""
    found: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(found) < most:
        size = int.from_bytes(data[at : at + 2], "big")
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def joined(*pieces: bytes) -> bytes:
    """The opposite."""
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)


SPARSE_UNIT = 8
MOST_SPARSE = 128 * 1024


def dense(data: bytes) -> bytes:
    """A file that is mostly zeros: pieces with their place (in units of eight bytes, three bytes) and length (two)."""
    content = bytearray()
    at = 0
    while at + 5 <= len(data):
        place = int.from_bytes(data[at : at + 3], "big") * SPARSE_UNIT % MOST_SPARSE
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        piece = data[at + 5 : at + 5 + size]
        if len(content) < place + len(piece):
            content.extend(bytes(place + len(piece) - len(content)))
        content[place : place + len(piece)] = piece
        at += 5 + size
    return bytes(content)


def sparse(content: bytes) -> bytes:
    """The opposite; pieces end where sixteen zeros follow, and the last byte is kept so that the size is."""
    coded = bytearray()
    at = 0
    while at < len(content):
        if not content[at : at + 2 * SPARSE_UNIT].strip(b"\0") and at + 2 * SPARSE_UNIT < len(content):
            at += SPARSE_UNIT
            continue
        end = at + SPARSE_UNIT
        while end < len(content) and content[end : end + 2 * SPARSE_UNIT].strip(b"\0") and end - at < 0xFF00:
            end += SPARSE_UNIT
        piece = content[at:end]
        coded += (at // SPARSE_UNIT).to_bytes(3, "big") + len(piece).to_bytes(2, "big") + piece
        at = end
    return bytes(coded)


# --------------------------------------------------------------- structure

ODD_VALUES: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, "", "\0", "\n", "\ud800",
    "a" * 300, "é", "blank", "data", [], {}, [[]], [None], {"": None},
)  # fmt: skip


def changed_json(content: bytes, chance: random.Random) -> bytes | None:
    """A JSON object with one of its fields gone, doubled, or of another value; None when it is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value:
        return None
    place = value
    while True:
        key = chance.choice(list(place))
        inner = place[key]
        if isinstance(inner, dict) and inner and chance.random() < 0.6:
            place = inner
            continue
        break
    match chance.randrange(5):
        case 0:
            del place[key]
        case 1:
            place[key] = place[chance.choice(list(place))]
        case 2:
            place[key + "x"] = inner
        case 3:
            place[key] = [inner] * chance.randrange(4)
        case _:
            place[key] = chance.choice(ODD_VALUES)
    try:
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return None


def lines_of(content: bytes) -> Iterator[str]:
    """As text, whatever it is."""
    yield from content.decode("utf-8", "surrogateescape").split("\n")
