"""A storm loses a disk only where a majority stays whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.storm.law import Look, forbids

SIZE = 9
GOOD = Look(
    size=SIZE,
    listed={f"m{o}": True for o in range(SIZE)},
    committed=100,
    on_disk={o: f"m{o}" for o in range(SIZE)},
    serving={o: (f"m{o}", 100 + o) for o in range(SIZE)},
)


def without(look: Look, *ordinals: int) -> Look:
    """Their servers do not answer."""
    return replace(look, serving={o: said for o, said in (look.serving or {}).items() if o not in ordinals})


@pytest.mark.parametrize("wiped", [(0,), (0, 1, 2, 3)], ids=["one", "four"])
def test_four_of_nine_may_go(wiped: tuple[int, ...]) -> None:
    """Five whole voters are left."""
    assert forbids(GOOD, wiped) == ""


WRONG = {
    "five-at-once": (GOOD, (0, 1, 2, 3, 4)),
    "four-are-down-already": (without(GOOD, 5, 6, 7, 8), (0,)),
    "nobody-lists": (replace(GOOD, listed={}), (0,)),
    "learners-are-none": (replace(GOOD, listed={f"m{o}": o < 5 for o in range(SIZE)}), (0,)),
    "some-lag": (replace(GOOD, committed=104), (8,)),
    "disks-are-of-others": (replace(GOOD, on_disk={o: f"m{o}" if o < 5 else "other" for o in range(SIZE)}), (4,)),
    "disks-are-blank": (replace(GOOD, on_disk={o: f"m{o}" for o in range(5)}), (4,)),
    "servers-are-not-listed": (replace(GOOD, serving={o: (f"n{o}", 200) for o in range(SIZE)}), (0,)),
    "fewer-are-listed": (
        replace(GOOD, listed={f"m{o}": True for o in range(5)}, serving={o: (f"m{o}", 200) for o in range(5)}),
        (0,),
    ),
}


@pytest.mark.parametrize(("look", "wiped"), list(WRONG.values()), ids=list(WRONG))
def test_what_leaves_no_majority_is_forbidden(look: Look, wiped: tuple[int, ...]) -> None:
    """A member counts only if it is listed as a voter, is what its own disk says, answers, and has caught up; and the
    majority is of nine, however few are listed.
    """
    assert forbids(look, wiped) != ""


def test_who_does_not_count_may_go() -> None:
    """With four down, one of these may lose its disk: the five others stay."""
    assert forbids(without(GOOD, 5, 6, 7, 8), (8,)) == ""
