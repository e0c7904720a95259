"""The generated pages are fresh and whole."""

from __future__ import annotations

import pytest

from tools import docs


@pytest.mark.parametrize("name", sorted(docs.PAGES))
def test_page_is_fresh(name: str) -> None:
    """A generated page is exactly what its generator makes now."""
    assert docs.PAGES[name]() == (docs.ROOT / name).read_text()


def test_every_row_of_etcd_is_proven() -> None:
    """Every row of etcd's decision table has rules, cases, a test on real servers, and versions."""
    assert docs.empty_cells() == []
