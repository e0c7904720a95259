"""The columns of ``peerboot status`` of servers that copy."""

from __future__ import annotations

import pytest

from peerboot.model import ClusterView, Part, ServerView
from peerboot.status import amount, copy_columns

AT = 0x7D50240


def columns(**part: object) -> tuple[str, str, str]:
    """Of a server whose part is this."""
    made = Part(**{"writes": False, "term": 3, "position": AT, **part})  # type: ignore[arg-type]
    view = ServerView(pod="db-1", address="10.0.0.1", cluster="7", member="db_1", part=made)
    return copy_columns(ClusterView(views=(view,)), "db-1")


def test_each_part_has_its_columns() -> None:
    """The one that takes writes has no lag; one that copies has its own; one that copies nobody its place."""
    expected = [
        ("db_1", "primary", "-"),
        ("db_1", "standby", "0"),
        ("db_1", "standby", "61 MB, paused"),
        ("db_1", "standby", "timeline 3 at 0/7D50240"),
    ]
    found = [
        columns(writes=True),
        columns(streams=True, lag=0),
        columns(streams=True, lag=64290648, paused=True),
        columns(),
    ]
    assert expected == found


def test_what_did_not_answer_is_not_known() -> None:
    """No more is said of it."""
    assert copy_columns(ClusterView(), "db-2") == ("-", "-", "-")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (216, "216 B"), (1024, "1 kB"), (64290648, "61 MB"), (5 << 30, "5 GB"), (3 << 40, "3 TB")],
)
def test_an_amount_has_its_unit(count: int, text: str) -> None:
    """Rounded down."""
    assert amount(count) == text
