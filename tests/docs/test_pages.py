"""The generated pages are fresh and whole."""

from __future__ import annotations

import pytest

from peerboot.lab import jars, servers
from tools import docs, rows


@pytest.mark.parametrize("name", sorted(docs.PAGES))
def test_page_is_fresh(name: str) -> None:
    """A generated page is exactly what its generator makes now."""
    assert docs.PAGES[name]() == (docs.ROOT / name).read_text()


@pytest.mark.parametrize("table", rows.TABLES, ids=lambda table: table.system)
def test_every_row_is_proven(table: rows.Table) -> None:
    """Every row of a system's decision table has rules, cases, a test on real servers, and versions."""
    assert rows.empty_cells(table) == []


def test_releases_are_those_of_the_lab() -> None:
    """The releases that the pages name are those that the fixtures ``every_etcd`` and ``every_kafka`` run on."""
    assert (rows.ETCD.versions, rows.KAFKA.versions) == (servers.VERSIONS, jars.VERSIONS)
