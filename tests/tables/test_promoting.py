"""Who may take the writes: every interleaving of what two and three Pods do, by the real rules, with faults between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import pytest

from peerboot.model import Disk, Evidence, Facts, Identity, Intent, Record, Standing, Statement
from peerboot.rules import promoting


class Word(NamedTuple):
    """What a Pod says of itself in the census."""

    writes: bool
    intent: Intent | None
    yields: str


class Pod(NamedTuple):
    """One Pod: its disk, what its peerboot keeps there, its server, and what its process has heard."""

    term: int = 1
    position: int = 0
    blank: bool = False
    crown: int = 0
    intent: Intent | None = None
    asked: int = 0
    """How often it has asked; ends each token."""
    calls: bool = False
    """In this process all had yielded: the call is next."""
    writes: bool = False
    heard: tuple[Word | None, ...] = ()
    again: tuple[bool, ...] | None = None
    """All had yielded: which of them were heard once more since. None: they had not."""


class World(NamedTuple):
    """All Pods, and what may still happen to them."""

    pods: tuple[Pod, ...]
    asks: int
    restarts: int
    losses: int
    records: int


@cache
def facts(pods: int, number: int, pod: Pod) -> Facts:
    """What one Pod knows."""
    me = Identity(
        namespace="prod", service="peers", statefulset="db", pod=f"db-{number}", ordinal=number, system="postgres",
        domain="cluster.local", replicas=pods,
    )  # fmt: skip
    others = [other for other in range(pods) if other != number]
    again = pod.again or (False,) * len(others)
    evidence = {
        f"db-{other}": _evidence(other, word, 2.0 if newer else 1.0)
        for other, word, newer in zip(others, pod.heard, again, strict=True)
        if word is not None
    }
    return Facts(
        now=2.0, identity=me, disk=Disk(kind="blank" if pod.blank else "data"), evidence=evidence, writes=pod.writes,
        yielded_at=None if pod.again is None else 1.0,
        record=Record(crown=pod.crown, intent=pod.intent),
        standing=Standing(term=pod.term, position=pod.position),
    )  # fmt: skip


@cache
def _evidence(pod: int, word: Word, at: float) -> Evidence:
    statement = Statement(
        namespace="prod", service="peers", statefulset="db", system="postgres", pod=f"db-{pod}", boot=f"b{pod}",
        disk="data", writes=word.writes, intent=word.intent, yields=word.yields,
    )  # fmt: skip
    return Evidence(pod=f"db-{pod}", at=at, statement=statement)


class Rules(NamedTuple):
    """Those of the product, or weaker ones that have to be found out."""

    yields: Callable[[Facts], str] = promoting.yields_to
    agreement: Callable[[Facts], promoting.Agreement] = promoting.agreement


RULES = Rules()


@cache
def said(pods: int, number: int, pod: Pod, rules: Rules) -> Word:
    """What it tells now: it yields only once its crown is dropped."""
    knows = facts(pods, number, pod)
    return Word(pod.writes, pod.intent, "" if promoting.drops_crown(knows) else rules.yields(knows))


@cache
def alone(pods: int, number: int, pod: Pod, rules: Rules) -> tuple[Pod, ...]:
    """What one Pod may do next by itself, but for asking."""
    knows = facts(pods, number, pod)
    after = []
    if promoting.drops_crown(knows):
        after.append(pod._replace(crown=0))
    if pod.calls:
        after.append(pod._replace(calls=False, writes=True, term=pod.term + 1, intent=None, again=None))
    elif pod.intent is not None and not pod.writes:
        found = rules.agreement(knows)
        if found.kind == "asking" and pod.again is not None:
            # In the same pass in which it is seen.
            return (pod._replace(again=None),)
        if found.kind == "confirming" and pod.again is None:
            after.append(pod._replace(again=(False,) * len(pod.heard)))
        if found.kind == "overtaken":
            after.append(pod._replace(intent=None, again=None))
        if found.kind == "agreed":
            called = Intent(token=pod.intent.token, standing=pod.intent.standing, called=True)
            after.append(pod._replace(intent=called, crown=pod.term + 1, calls=True))
    return tuple(after)


def steps(world: World, rules: Rules) -> Iterator[World]:
    """Everything that may happen next."""
    count = len(world.pods)
    for number, pod in enumerate(world.pods):

        def become(new: Pod, number: int = number, **left: int) -> World:
            return world._replace(pods=(*world.pods[:number], new, *world.pods[number + 1 :]), **left)

        for new in alone(count, number, pod, rules):
            yield become(new)
        others = [other for other in range(count) if other != number]
        for index, other in enumerate(others):
            word = said(count, other, world.pods[other], rules)
            again = pod.again
            if again is not None:
                again = (*again[:index], True, *again[index + 1 :])
            if pod.heard[index] != word or pod.again != again:
                heard = (*pod.heard[:index], word, *pod.heard[index + 1 :])
                yield become(pod._replace(heard=heard, again=again))
        if world.asks and not (pod.blank or pod.writes or pod.intent):
            standing = Standing(term=pod.term, position=pod.position)
            intent = Intent(token=f"{number}.{pod.asked}", standing=standing)
            yield become(pod._replace(intent=intent, asked=pod.asked + 1), asks=world.asks - 1)
        silent = (None,) * len(others)
        if world.restarts:
            yield become(pod._replace(writes=False, calls=False, heard=silent, again=None), restarts=world.restarts - 1)
        if world.losses and not pod.blank:
            yield become(Pod(0, 0, True, asked=pod.asked, heard=silent), losses=world.losses - 1)
        if world.records and pod.writes:
            yield become(pod._replace(position=pod.position + 1), records=world.records - 1)
        source = next((one for one in world.pods if one.writes), None)
        if source is not None and not (pod.writes or pod.intent or pod.calls) and not pod.blank:
            copied = pod._replace(term=source.term, position=source.position)
            if copied != pod and (pod.term, pod.position) <= (source.term, source.position):
                yield become(copied)


def explore(start: World, rules: Rules = RULES, most: int = 1_000_000) -> tuple[set[str], int]:
    """The faults that can be reached, and how many worlds there are."""
    seen, left, found = {start}, [start], set()
    while left:
        world = left.pop()
        for after in steps(world, rules):
            if after in seen:
                continue
            seen.add(after)
            assert len(seen) < most
            wrong = _wrong(world, after)
            if wrong:
                found.add(wrong)
            else:
                left.append(after)
    return found, len(seen)


def _wrong(before: World, after: World) -> str:
    writing = [pod for pod in after.pods if pod.writes]
    if len(writing) > 1:
        return "two take writes"
    new = [(was, now) for was, now in zip(before.pods, after.pods, strict=True) if now.writes and not was.writes]
    if any((pod.term, pod.position) > (was.term, was.position) for was, _ in new for pod in before.pods):
        return "one with less took the writes"
    if any(pod.term >= one.term for _, one in new for pod in after.pods if pod is not one):
        return "a timeline twice"
    return ""


def _start(*positions: int, asks: int, restarts: int = 0, losses: int = 0, records: int = 0, crown: int = 0) -> World:
    silent = (None,) * (len(positions) - 1)
    pods = [Pod(position=one, heard=silent) for one in positions]
    pods[crown] = pods[crown]._replace(crown=1)
    return World(tuple(pods), asks, restarts, losses, records)


SOUND = {
    "two pods": _start(1, 1, asks=3, restarts=2, losses=1, records=1),
    "two pods, one is ahead": _start(1, 2, asks=3, restarts=2, losses=1, records=1),
    "three pods, a restart": _start(1, 1, 2, asks=2, restarts=1),
    "three pods, a lost disk": _start(1, 1, 2, asks=2, losses=1),
}


@pytest.mark.parametrize("start", SOUND.values(), ids=SOUND)
def test_one_takes_the_writes(start: World) -> None:
    """However they interleave: never two, never one with less than another disk has, never the same timeline again."""
    found, worlds = explore(start)
    assert found == set()
    assert worlds > 10_000


def _yields_while_asking(facts: Facts) -> str:
    found = promoting.foremost(facts)
    return "" if facts.writes or found is None else found[1].token


def _yields_with_more(facts: Facts) -> str:
    found = promoting.foremost(facts)
    return "" if facts.writes or found is None or facts.record.intent is not None else found[1].token


def _never_takes_back(facts: Facts) -> promoting.Agreement:
    found = promoting.agreement(facts)
    intent, words = facts.record.intent, [facts.evidence[pod].statement for pod in facts.evidence]
    if found.kind != "overtaken" or intent is None or len(words) < len(facts.identity.others):
        return found
    yielded = all(word is not None and word.yields == intent.token for word in words)
    return promoting.Agreement(kind="agreed" if yielded else "asking")


def _any_word(facts: Facts) -> promoting.Agreement:
    """Nobody else takes writes, by their words of some time."""
    found = promoting.agreement(facts)
    heard = len(facts.evidence) == len(facts.identity.others)
    return promoting.Agreement(kind="agreed") if found.kind == "asking" and heard else found


def _majority(facts: Facts) -> promoting.Agreement:
    found = promoting.agreement(facts)
    most = found.kind == "asking" and len(found.waits_for) <= 1
    return promoting.Agreement(kind="agreed") if most else found


def _heard_once(facts: Facts) -> promoting.Agreement:
    found = promoting.agreement(facts)
    return promoting.Agreement(kind="agreed") if found.kind == "confirming" else found


WEAK = {
    "asks and yields": (Rules(_yields_while_asking, _never_takes_back), _start(1, 1, asks=2), "two take writes"),
    "yields with more": (Rules(yields=_yields_with_more), _start(1, 2, asks=1), "one with less took the writes"),
    "any word": (Rules(agreement=_any_word), _start(1, 1, asks=2), "two take writes"),
    "a majority": (Rules(agreement=_majority), _start(1, 1, 2, asks=2), "two take writes"),
    "heard once": (Rules(agreement=_heard_once), _start(1, 1, 2, asks=2, losses=1), "one with less took the writes"),
}


@pytest.mark.parametrize(("rules", "start", "fault"), WEAK.values(), ids=WEAK)
def test_weaker_rules_are_found_out(rules: Rules, start: World, fault: str) -> None:
    """Each part of the rule is needed: without it the same search ends in the fault that it is there for."""
    found, _ = explore(start, rules)
    assert fault in found


def test_the_one_with_most_is_let() -> None:
    """When nothing else happens, either it takes the writes or it never asked: no two that ask wait for each other."""
    start = _start(1, 1, 2, asks=2)
    seen, left, ends = {start}, [start], set[World]()
    while left:
        world = left.pop()
        after = set(steps(world, RULES))
        if not after:
            ends.add(world)
        left += after - seen
        seen |= after
    assert {(True, True), (False, False)} == {(world.pods[2].writes, bool(world.pods[2].asked)) for world in ends}
