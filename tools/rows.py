"""The rows of each system's decision table, and what proves them: cases as text, and tests on real servers.

A new row is one line here, a file ``peerboot/systems/<system>/cases/row-NN-*.txt``, and ``@pytest.mark.row(NN)`` at the
test on real servers that shows it. A test is Kafka's or Postgres' when its file's name has that in it, else etcd's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests/real", "tests/kubernetes")


@dataclass(frozen=True)
class Table:
    """One system's rows."""

    system: str
    title: str
    rows: Mapping[int, str]
    versions: tuple[str, ...]
    """The releases that a test with the fixture ``every_<system>`` runs on; one with ``either_<system>`` runs on the
    oldest and the newest, any other on one of them.
    """
    one: str = ""
    """The release of those that take no other; empty: the last."""
    notes: tuple[str, ...] = field(default=())
    """What the page says below its table."""

    @property
    def page(self) -> str:
        """Where it is shown."""
        return f"docs/{self.system}-rows.md"


ETCD = Table(
    system="etcd",
    title="etcd",
    versions=("3.4", "3.5", "3.6"),
    rows={
        1: "blank; no server up; all say blank",
        2: "blank; no server up; somebody is silent",
        3: "blank; somebody has data",
        4: "blank; nobody; N unknown",
        5: "blank everywhere; the anchor remembers",
        6: "blank; a minority without quorum",
        7: "blank; not listed; quorum",
        8: "blank; listed as unstarted learner",
        9: "blank; listed as unstarted voter",
        10: "blank; unstarted voter of two, no quorum",
        11: "blank; listed as started: lost disk",
        12: "blank; ordinal outside",
        13: "interrupted; nobody has anything",
        14: "interrupted; listed with this id",
        15: "interrupted; not listed",
        16: "data; nobody answers",
        17: "data; listed",
        18: "data; removed, not listed",
        19: "data; removed, ordinal outside: scaled down",
        20: "data; another, unstarted id listed",
        21: "data; another, started id listed",
        22: "data; another cluster has quorum",
        23: "servers of several clusters",
        24: "corrupt; quorum without it",
        25: "corrupt; no quorum without it",
        26: "data; database missing",
    },
)
KAFKA = Table(
    system="kafka",
    title="Kafka",
    versions=("3.9.2", "4.1.2", "4.3.1"),
    rows={
        1: "blank; all say blank",
        2: "blank; somebody is silent",
        3: "data; listed, or nobody answers",
        4: "blank; a voter of this Pod is listed: lost disk",
        5: "partial: the metadata directory was lost, log directories were not",
        6: "blank; not listed; quorum: the set has grown",
        7: "data; its voter is removed: the set has become smaller, or somebody said so",
        8: "data; another cluster has quorum",
        9: "blank; two of three controllers' disks are lost",
        10: "data; a log directory was lost",
        11: "data; an observer whose Pod is listed as another voter",
        12: "the metadata directory's log was lost, its meta.properties was not",
        13: "corrupt: meta.properties without directory.id",
        14: "another node's volume",
        15: "a person said that a Pod is gone for good",
        16: "serves; partitions are under min.insync.replicas until its broker has caught up",
        17: "serves, and is about to be stopped",
        18: "a broker of a set of its own, blank or with data",
        19: "a static quorum: blank voters, data, lists that differ",
    },
)
POSTGRES = Table(
    system="postgres",
    title="Postgres",
    versions=("15", "16", "17", "18"),
    one="17",
    rows={
        1: "blank; all say blank, or somebody is silent",
        2: "half-made: an initdb or a copy that was cut off",
        3: "data; its server took the writes last",
        4: "data; its server copied another one",
        5: "blank; the disk of a set that has data was lost",
        6: "data of another cluster, or of another Pod",
        7: "data beyond the place where the primary's timeline began",
        8: "data on the primary's timeline that is no copy of it, or two servers that take writes",
        9: "several ask to take the writes; who has most, and a person's word",
        10: "the set becomes larger or smaller",
        11: "a person moves the writes to another Pod",
    },
)
TABLES = (ETCD, KAFKA, POSTGRES)


@dataclass(frozen=True)
class Row:
    """One row of a table with what proves it."""

    number: int
    what: str
    rules: tuple[str, ...]
    cases: tuple[str, ...]
    tests: tuple[str, ...]
    versions: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The cells that are empty."""
        cells = {"rule": self.rules, "case": self.cases, "real test": self.tests, "version": self.versions}
        return tuple(name for name, cell in cells.items() if not cell)


def rows(table: Table) -> list[Row]:
    """Every row of a table, and whatever else its cases and tests are numbered with."""
    real, cases = real_tests(table), cases_of(table)
    found = []
    for number in sorted({*table.rows, *real, *cases}):
        files, tests = cases.get(number, []), real.get(number, [])
        found.append(
            Row(
                number=number,
                what=table.rows.get(number, ""),
                rules=tuple(sorted({rule for file in files for rule in _rules_in(file)})),
                cases=tuple(file.stem for file in files),
                tests=tuple(name for name, _ in tests),
                versions=tuple(v for v in table.versions if any(v in versions for _, versions in tests)),
            )
        )
    return found


def cases_of(table: Table) -> dict[int, list[Path]]:
    """Row -> its files of cases."""
    found: dict[int, list[Path]] = {}
    for file in sorted((ROOT / "peerboot/systems" / table.system / "cases").glob("row-*.txt")):
        found.setdefault(int(file.stem.split("-")[1]), []).append(file)
    return found


def real_tests(table: Table) -> dict[int, list[tuple[str, tuple[str, ...]]]]:
    """Row -> (test, versions), from the ``row`` marks of the tests on real servers."""
    found: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("test_*.py")):
        if _system_of(path) != table.system:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                versions = _versions_of(node, table)
                for row in _marked_rows(node):
                    found.setdefault(row, []).append((f"{path.stem}::{node.name}", versions))
    return found


def _versions_of(node: ast.AsyncFunctionDef | ast.FunctionDef, table: Table) -> tuple[str, ...]:
    fixtures = {arg.arg for arg in node.args.args}
    if f"every_{table.system}" in fixtures:
        return table.versions
    if f"either_{table.system}" in fixtures:
        return table.versions[0], table.versions[-1]
    return (table.one or table.versions[-1],)


def _system_of(path: Path) -> str:
    return next((table.system for table in TABLES[1:] if table.system in path.stem), ETCD.system)


def _marked_rows(node: ast.AsyncFunctionDef | ast.FunctionDef) -> Iterator[int]:
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row":
            yield from (arg.value for arg in mark.args if isinstance(arg, ast.Constant) and isinstance(arg.value, int))


def _rules_in(path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        if line.startswith("decision: "):
            yield line.partition("(")[2].rstrip(")")


def empty_cells(table: Table) -> list[str]:
    """One line for each row from which something is missing, or that is no row at all."""
    lines = []
    for row in rows(table):
        if not row.what:
            lines.append(f"row {row.number} is no row of the table, but {', '.join(row.tests + row.cases)} names it")
        elif row.missing:
            lines.append(f"row {row.number} ({row.what}) has no {', no '.join(row.missing)}")
    return lines


def page(table: Table, head: str) -> str:
    """The rows of a table with what proves them."""
    lines = [
        head,
        f"# {table.title}: the decision table and what proves it",
        "",
        "Each row has cases (facts to decision and actions, as text) and at least one test with real servers.",
        "",
        "| row | what is found | rules | cases | real tests | versions |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows(table):
        cells = (_code(row.rules), _code(row.cases), _code(row.tests), ", ".join(row.versions))
        lines.append(f"| {row.number} | {row.what} | {' | '.join(cells)} |")
    lines += ["", *table.notes] if table.notes else []
    return "\n".join([*lines, ""])


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
