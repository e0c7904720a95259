"""The simulation itself: a fixed run of seeds is well, a seed replays, and what is broken on purpose is found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from unittest import mock

import pytest

from peerboot import birth, decide
from peerboot.model import Birth, Facts
from tests.simulation.faults import FAULTS
from tests.simulation.report import MUST, NOT_YET, OTHERS, Report
from tests.simulation.schedule import FAULTS_END, KINDS, Event, Schedule, of_seed
from tests.simulation.shrink import shrink
from tests.simulation.simulate import simulate

SEEDS = range(24)


def test_a_fixed_run_of_seeds_is_well() -> None:
    """In each of them every law holds, and everything comes to rest or says why not; many rules and faults were met."""
    report = Report()
    for seed in SEEDS:
        result = simulate(of_seed(seed))
        assert result.wrong == (), f"make sim SEED={seed}"
        report.add(result)
    assert len(report.never()) < (len(MUST) + len(FAULTS)) * 2 // 3
    assert report.strangers() == []


def test_a_seed_replays_in_another_process() -> None:
    """The same seed gives the very same story, whatever order sets of text have in that process."""
    digests = set()
    for hashed in ("1", "2"):
        code = "from tests.simulation.__main__ import of; print(of(3).digest)"
        done = subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": hashed}, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("seed", range(0, 4000, 37))
def test_schedules_are_within_their_bounds(seed: int) -> None:
    """Every event is of a known fault, names Pods of its set, and is over when faults have to be."""
    made = of_seed(seed)
    for event in made.events:
        assert event.kind in FAULTS
        assert all(0 <= pod < made.pods or made.story == "grown-pair" for pod in event.pods)
        assert 0 <= event.at + event.lasts <= FAULTS_END + 1e-9


def test_every_fault_can_be_drawn() -> None:
    """No fault is left out of the draw; the anchor's is drawn for sets that have one."""
    assert {*KINDS, "anchor-anew"} == set(FAULTS)


def test_every_rule_is_either_etcds_or_another_systems() -> None:
    """A rule that is said to be another system's exists."""
    assert set(OTHERS) <= {row.name for row in decide.describe()}
    assert len(MUST) + len(OTHERS) + len(NOT_YET) == len(decide.TABLE)


# ----------------------------------------------------------------- broken on purpose


def _forms_alone() -> object:
    """A blank disk is born with whoever has spoken: law 2 without its heart."""
    real = birth.may_be_born

    def hasty(facts: Facts) -> birth.Verdict:
        verdict = real(facts)
        nonces = {facts.identity.pod: facts.record.nonce}
        for pod, evidence in facts.evidence.items():
            if evidence.statement is not None and evidence.statement.nonce:
                nonces[pod] = evidence.statement.nonce
        if verdict.kind != "wait" or not facts.record.nonce or facts.disk.kind != "blank":
            return verdict
        return birth.Verdict(kind="born-now", birth=Birth(token=birth.token_of(nonces), members=nonces))

    return mock.patch.object(birth, "may_be_born", hasty)


def _without(name: str) -> object:
    """The table without one rule."""
    return mock.patch.object(decide, "TABLE", tuple(rule for rule in decide.TABLE if rule.__name__ != name))


PLANTED: dict[str, tuple[Callable[[], object], Schedule, str]] = {
    "forms-alone": (
        _forms_alone,
        Schedule(
            7, 3,
            (
                Event(0.0, "cut", (0,), 30.0, 0.0, "all"),
                Event(2.0, "kill-server", (1,)),
                Event(5.0, "clock-jump", (2,), 0.0, 60.0),
            ),
        ),
        "cluster",
    ),
    "a-removed-member-stays": (
        lambda: _without("removed_member"),
        Schedule(8, 3, (Event(5.0, "clock-jump", (1,), 0.0, 5.0), Event(20.0, "by-hand", (2,), 0.0, 0.0, "remove"))),
        "does not settle",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_broken_on_purpose_is_found_and_shrunk(name: str) -> None:
    """With the bug the schedule fails, in the words of the checker that it is for, and a smaller one does too; without
    the bug it is well.
    """
    broken, schedule, says = PLANTED[name]
    assert simulate(schedule).wrong == ()
    with broken():  # type: ignore[attr-defined]
        wrong = simulate(schedule).wrong
        assert any(says in one for one in wrong), wrong
        small = shrink(schedule, lambda s: bool(simulate(s).wrong), most=12)
        assert simulate(small).wrong
    assert len(small.events) < len(schedule.events)
