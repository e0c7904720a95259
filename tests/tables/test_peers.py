"""The peer set folded over answers, and the pace of questions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerboot import peers
from peerboot.model import Answer, PeerSet, Sighting, Target

ABSENT = Answer(outcome="absent", ttl=30.0, reason="NXDOMAIN", complete=True)
UNKNOWN = Answer(outcome="unknown", reason="SERVFAIL from 10.0.0.10")


def found(*pods: str, complete: bool = True, ttl: float = 5.0) -> Answer:
    """An answer with pods, each ``name`` or ``name=address+address``."""
    targets = []
    for text in pods:
        pod, _, addresses = text.partition("=")
        known = tuple(addresses.split("+")) if addresses else ()
        targets.append(Target(pod=pod, name=f"{pod}.web", port=7070, addresses=known))
    return Answer(outcome="found", targets=tuple(targets), complete=complete, ttl=ttl)


def folded(*answers: tuple[float, Answer]) -> PeerSet:
    """The set after answers at their times."""
    known = PeerSet()
    for at, answer in answers:
        known = peers.fold(known, answer, at)
    return known


BOTH, ONE = found("web-0", "web-1"), found("web-0")
FOLDS = [
    pytest.param([(0, ONE), (1, BOTH)], {"web-0", "web-1"}, id="added-at-one-sighting"),
    pytest.param([(0, BOTH), (100, ONE), (200, ONE)], {"web-0", "web-1"}, id="two-misses-are-not-enough"),
    pytest.param([(0, BOTH), (100, ONE), (200, ONE), (300, ONE)], {"web-0"}, id="removed-after-three-misses"),
    pytest.param([(0, BOTH), (1, ONE), (2, ONE), (3, ONE)], {"web-0", "web-1"}, id="three-misses-too-soon"),
    pytest.param([(0, BOTH), (1, ONE), (2, ONE), (59.9, ONE)], {"web-0", "web-1"}, id="not-yet-a-minute"),
    pytest.param([(0, BOTH), (1, ONE), (2, ONE), (60, ONE)], {"web-0"}, id="a-minute"),
    pytest.param(
        [(0, BOTH), (40, ONE), (80, ONE), (119, found("web-0", ttl=60.0))], {"web-0", "web-1"}, id="less-than-two-ttls"
    ),
    pytest.param(
        [(0, BOTH), (100, ONE), (200, ONE), (300, BOTH), (400, ONE), (500, ONE)],
        {"web-0", "web-1"},
        id="a-sighting-starts-the-count-anew",
    ),
    pytest.param([(0, BOTH)] + [(100.0 * i, UNKNOWN) for i in range(1, 9)], {"web-0", "web-1"}, id="unknown"),
    pytest.param([(0, BOTH)] + [(100.0 * i, ABSENT) for i in range(1, 9)], {"web-0", "web-1"}, id="absent"),
    pytest.param(
        [(0, BOTH)] + [(100.0 * i, found("web-0", complete=False)) for i in range(1, 9)],
        {"web-0", "web-1"},
        id="incomplete",
    ),
    pytest.param(
        [(0, BOTH), (100, ONE), (200, UNKNOWN), (300, ONE), (400, ABSENT), (500, ONE)],
        {"web-0"},
        id="outages-in-between-neither-count-nor-reset",
    ),
    pytest.param([(0, found("web-1", "web-10")), (1, ONE)], {"web-0", "web-1", "web-10"}, id="web-1-is-not-web-10"),
]


@pytest.mark.parametrize(("answers", "expected"), FOLDS)
def test_who_is_in_the_set(answers: list[tuple[float, Answer]], expected: set[str]) -> None:
    """One sighting adds a pod; three complete answers without it, over a minute and two TTLs, remove it."""
    assert expected == set(folded(*answers).sightings)


def test_counted_by_name() -> None:
    """A pod with two addresses, or listed twice while it is replaced, is one pod with all of them."""
    known = folded((3, found("web-0=10.0.0.1+fd00::1", "web-0=10.0.0.2")))
    expected = Sighting(
        pod="web-0", port=7070, addresses=("10.0.0.1", "10.0.0.2", "fd00::1"), first_at=3.0, last_at=3.0
    )
    assert {"web-0": expected} == dict(known.sightings)


@pytest.mark.parametrize(
    ("second", "expected"),
    [("web-0=10.0.0.2", ("10.0.0.2",)), ("web-0", ("10.0.0.1",))],
    ids=["new-address", "address-did-not-come-through"],
)
def test_addresses_are_the_last_known(second: str, expected: tuple[str, ...]) -> None:
    """A new address replaces the old one; a name without one keeps it."""
    sighting = folded((0, found("web-0=10.0.0.1")), (5, found(second))).sightings["web-0"]
    assert (expected, 0.0, 5.0, 0) == (sighting.addresses, sighting.first_at, sighting.last_at, sighting.misses)


def test_how_long_it_is_unknown() -> None:
    """An outage is counted from its first answer that said nothing, and is over with the first that says something."""
    story = [(0.0, ONE), (10.0, UNKNOWN), (70.0, UNKNOWN), (610.0, UNKNOWN), (620.0, ABSENT)]
    known, seen = PeerSet(), []
    for at, answer in story:
        known = peers.fold(known, answer, at)
        seen.append((known.unknown_for, known.since))
    assert seen == [(0.0, 0.0), (0.0, 10.0), (60.0, 10.0), (600.0, 10.0), (0.0, 620.0)]


ANSWERS = st.builds(
    lambda pods, outcome, complete: (
        found(*sorted(pods), complete=complete) if outcome == "found" else ABSENT if outcome == "absent" else UNKNOWN
    ),
    st.sets(st.sampled_from([f"web-{i}" for i in range(4)])),
    st.sampled_from(["found", "absent", "unknown"]),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 100), ANSWERS), max_size=30))
def test_nobody_leaves_without_three_complete_misses(steps: list[tuple[float, Answer]]) -> None:
    """In whatever order answers come, who is removed was missing in three complete ones since the last sighting."""
    known, now, since = PeerSet(), 0.0, dict[str, list[bool]]()
    for pause, answer in steps:
        now += pause
        before, known = set(known.sightings), peers.fold(known, answer, now)
        listed = {target.pod for target in answer.targets}
        for pod in before | listed:
            history = since.setdefault(pod, [])
            if pod in listed:
                history.clear()
            elif answer.outcome == "found" and answer.complete:
                history.append(True)
        assert listed <= set(known.sightings)
        for pod in before - set(known.sightings):
            assert len(since[pod]) >= 3


# ------------------------------------------------------------------------ pace

JITTERS = (0.0, 0.5, 0.999)


@pytest.mark.parametrize(
    ("n", "rate"),
    [(1, 0.1), (3, 0.3), (5, 0.5), (10, 1.0), (100, 10.0), (1000, 10.0), (5000, 10.0)],
    ids=str,
)
def test_rest_fleet_wide(n: int, rate: float) -> None:
    """At rest no more than N/10 questions a second come from N Pods, and never more than ten."""
    for jitter in JITTERS:
        for answer in (found("web-0"), ABSENT, UNKNOWN, found("web-0", ttl=0.0)):
            assert n / peers.pace(n=n, phase="rest", answer=answer, attempt=0, jitter=jitter) <= rate + 1e-9


@pytest.mark.parametrize(
    ("ttl", "low", "high"),
    [(0.0, 10.0, 15.0), (5.0, 10.0, 15.0), (30.0, 30.0, 45.0), (3600.0, 60.0, 90.0)],
    ids=str,
)
def test_rest_keeps_to_the_ttl(ttl: float, low: float, high: float) -> None:
    """At rest nothing is asked again before its TTL is over, a minute at most."""
    pauses = [peers.pace(n=3, phase="rest", answer=found(ttl=ttl), attempt=0, jitter=j) for j in JITTERS]
    assert low == pytest.approx(pauses[0])
    assert high == pytest.approx(pauses[-1], rel=0.01)


@pytest.mark.parametrize("n", [3, 20, 21, 50, 100, 500, 1000])
def test_boot_fleet_wide(n: int) -> None:
    """While a set forms, pauses grow by half to five seconds; large sets ask 20 times a second together at most."""
    for jitter in JITTERS:
        pauses = [peers.pace(n=n, phase="boot", answer=found(), attempt=i, jitter=jitter) for i in range(1, 60)]
        assert sorted(pauses) == pauses
        assert n / pauses[-1] <= 20.0 + 1e-9
        assert pauses[-1] <= max(5.0, n / 20) * 1.5
        if n > 20:
            assert n / pauses[0] <= 20.0 + 1e-9


@pytest.mark.parametrize(
    ("attempt", "ttl", "low", "high"),
    [
        (1, 30.0, 0.4, 0.9),
        (2, 30.0, 0.7, 1.1),
        (3, 30.0, 1.0, 1.7),
        (4, 30.0, 5.2, 6.3),
        (9, 30.0, 5.2, 6.3),
        (4, 5.0, 5.2, 6.3),
        (4, 2.0, 2.2, 2.7),
        (4, 0.0, 1.6, 2.5),
    ],
)
def test_negative_answers(attempt: int, ttl: float, low: float, high: float) -> None:
    """The first misses are normal and asked again soon; later ones not before a cache has forgotten them."""
    for jitter in JITTERS:
        answer = Answer(outcome="absent", ttl=ttl, reason="NXDOMAIN", complete=True)
        pause = peers.pace(n=3, phase="boot", answer=answer, attempt=attempt, jitter=jitter)
        assert low <= pause <= high


@pytest.mark.parametrize(("n", "most"), [(0, 0.35), (3, 0.41), (100, 2.15), (10**6, 2.15)], ids=str)
def test_first_pause(n: int, most: float) -> None:
    """The first question waits a moment, for the record is due within a second; large sets spread over two seconds."""
    pauses = [peers.first_pause(n, jitter) for jitter in JITTERS]
    assert pauses[0] == pytest.approx(0.15)
    assert pauses[-1] == pytest.approx(most, abs=0.01)


@settings(deadline=None)
@given(
    n=st.integers(1, 2**31 - 1),
    phase=st.sampled_from(["boot", "rest"]),
    answer=ANSWERS,
    attempt=st.integers(0, 10**9),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_every_pause_is_sane(n: int, phase: str, answer: Answer, attempt: int, jitter: float) -> None:
    """No pause is so short that it would be a busy loop, and none is longer than the size of the set asks for."""
    pause = peers.pace(n=n, phase=phase, answer=answer, attempt=attempt, jitter=jitter)  # type: ignore[arg-type]
    # A factor of 1.5 for the jitter, and the last bit of a product of decimals.
    assert 0.3 <= pause <= max(90.0, n / 10 * 1.5) * (1 + 1e-12)
