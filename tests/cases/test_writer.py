"""Facts are written as a case that reads as exactly the same facts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerboot.cases.outcome import outcome_of
from peerboot.cases.reader import parse
from peerboot.cases.timing import moved
from peerboot.cases.words import NOW
from peerboot.cases.writer import case_of, facts_of, shortest
from peerboot.model import Facts
from tests.cases.test_cases import CASES, IDS
from tests.properties import worlds

UNSAID = ("token", "former", "run.ok", "cluster/members", "cluster/views")
"""What the words of a committed case say in a way that cannot be told from the facts."""


@pytest.mark.parametrize(("path", "number", "text"), CASES, ids=IDS)
def test_every_case_is_written_as_itself(path: Path, number: int, text: str) -> None:
    """Every committed case, written from its facts, has the same facts and the same outcome."""
    del number
    system = path.parents[1].name
    facts = parse(text.partition("\n----\n")[0], system)
    written, _, outcome = case_of(facts).partition("\n----\n")
    assert facts == parse(written, system)
    assert outcome_of(facts) == outcome.strip()
    rest = [line.split()[1] for line in written.splitlines() if line.startswith(("set ", "unset "))]
    assert [path for path in rest if not any(word in path for word in UNSAID)] == []


@given(st.one_of(worlds.facts(), *(worlds.random_facts(system) for system in ("etcd", "kafka", "postgres"))))
@settings(max_examples=60, deadline=None)
def test_any_facts_are_written_as_themselves(facts: Facts) -> None:
    """No facts are beyond the language of the cases."""
    assert facts == parse("\n".join(facts_of(facts)), facts.identity.system)


ODD = ("two\nlines", "an = and a #", 'it\'s "quoted"', "\x1b[31mred", "\u2028", "", " ", "----")


@pytest.mark.parametrize("text", ODD, ids=repr)
def test_texts_of_others_do_not_break_a_line(text: str) -> None:
    """Whatever a text of others holds, it is one line, and reads as that text."""
    plain = parse("self db-1 of 3")
    disk = msgspec.structs.replace(plain.disk, kind="corrupt", reason=text)
    facts = msgspec.structs.replace(plain, disk=disk, twin=text)
    assert facts == parse("\n".join(facts_of(facts)))


def test_the_shortest_case_has_the_same_outcome() -> None:
    """What no rule looked at is left out of the short form; the decision, its reason and the actions stay."""
    plain = parse("self db-1 of 3\ndisk data cluster=c1 member=m1\npeer db-0 blank")
    identity = msgspec.structs.replace(plain.identity, uid="0b9a", ips=("10.0.0.8",))
    facts = msgspec.structs.replace(plain, identity=identity, started_at=3.0)
    lines = shortest(facts)
    assert lines[:2] == ["self db-1 of 3", "disk data cluster=c1 member=m1"]
    assert outcome_of(parse("\n".join(lines))) == outcome_of(facts)
    assert len(lines) < len(facts_of(facts))


def test_a_case_is_of_its_own_moment() -> None:
    """Facts of another moment keep their ages: the same outcome, at the moment of every case."""
    plain = parse("self db-1 of 3\npeer db-0 blank age=40\npeer db-2 data cluster=c1 age=0.25\nremoval db-0")
    later = moved(plain, 54321.125)
    assert (later.now, moved(later).now) == (54321.125, NOW)
    assert plain == moved(later)
    assert outcome_of(plain) == outcome_of(moved(later))
