"""Who may take the writes: every interleaving of what two and three Pods do, by the real rules, with faults between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import msgspec
import pytest

from peerboot.model import ClusterView, Disk, Evidence, Facts, Identity, Intent, Record, Standing, Statement
from peerboot.rules import promoting


class Word(NamedTuple):
    """What a Pod says of itself in the census."""

    writes: bool
    intent: Intent | None
    confirm: str
    yields: str


class Look(NamedTuple):
    """What a Pod's server said some time ago, and which asks were heard before it was asked."""

    term: int
    position: int
    asks: frozenset[str]


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
    confirm: str = ""
    """All had yielded: to this word they are to do so once more. Empty: they had not."""
    confirms: int = 0
    """How often all had; ends each such word."""
    look: Look | None = None
    """Its last look at its own server, where that has moved since. None: as it is now."""
    gone: bool = False
    """Its server was shut down in order, and starts no more in this Pod."""


class World(NamedTuple):
    """All Pods, and what may still happen to them."""

    pods: tuple[Pod, ...]
    asks: int
    restarts: int
    losses: int
    records: int
    lags: int
    ends: int


@cache
def facts(pods: int, number: int, pod: Pod) -> Facts:
    """What one Pod knows."""
    me = Identity(
        namespace="prod", service="peers", statefulset="db", pod=f"db-{number}", ordinal=number, system="postgres",
        domain="cluster.local", replicas=pods,
    )  # fmt: skip
    others = [other for other in range(pods) if other != number]
    evidence = {
        f"db-{other}": _evidence(other, word) for other, word in zip(others, pod.heard, strict=True) if word is not None
    }
    words = [one.statement for one in evidence.values() if one.statement is not None]
    look = pod.look or Look(pod.term, pod.position, frozenset(word.ask for word in words))
    standing = Standing(term=look.term, position=look.position)
    disk = Disk(kind="blank" if pod.blank else "data", end=standing if pod.gone else None)
    return Facts(
        now=2.0, identity=me, disk=disk, stopping=pod.gone, evidence=evidence, writes=pod.writes,
        confirm=pod.confirm, asks={ask: 1.0 if ask in look.asks else 1.8 for word in words if (ask := word.ask)},
        cluster=ClusterView(at=1.5),
        record=Record(crown=pod.crown, intent=pod.intent),
        standing=None if pod.gone else standing,
    )  # fmt: skip


@cache
def _evidence(pod: int, word: Word) -> Evidence:
    statement = Statement(
        namespace="prod", service="peers", statefulset="db", system="postgres", pod=f"db-{pod}", boot=f"b{pod}",
        disk="data", writes=word.writes, intent=word.intent, confirm=word.confirm, yields=word.yields,
    )  # fmt: skip
    return Evidence(pod=f"db-{pod}", at=2.0, statement=statement)


class Rules(NamedTuple):
    """Those of the product, or weaker ones that have to be found out."""

    yields: Callable[[Facts], str] = promoting.yields_to
    agreement: Callable[[Facts], promoting.Agreement] = promoting.agreement


RULES = Rules()


@cache
def said(pods: int, number: int, pod: Pod, rules: Rules) -> Word:
    """What it tells now: it yields only once its crown is dropped."""
    knows = facts(pods, number, pod)
    return Word(pod.writes, pod.intent, pod.confirm, "" if promoting.drops_crown(knows) else rules.yields(knows))


@cache
def alone(pods: int, number: int, pod: Pod, rules: Rules) -> tuple[Pod, ...]:
    """What one Pod may do next by itself, but for asking."""
    knows = facts(pods, number, pod)
    after = []
    if promoting.drops_crown(knows):
        after.append(pod._replace(crown=0))
    if pod.calls:
        after.append(pod._replace(calls=False, writes=True, term=pod.term + 1, intent=None, confirm=""))
    elif pod.intent is not None:
        found = rules.agreement(knows)
        if found.kind == "asking" and pod.confirm:
            # In the same pass in which it is seen.
            return (pod._replace(confirm=""),)
        if found.kind == "confirming" and not pod.confirm:
            after.append(pod._replace(confirm=str(pod.confirms), confirms=pod.confirms + 1))
        if found.kind in ("overtaken", "spent"):
            after.append(pod._replace(intent=None, confirm=""))
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
            if pod.heard[index] != word:
                yield become(pod._replace(heard=(*pod.heard[:index], word, *pod.heard[index + 1 :])))
        if world.asks and not (pod.blank or pod.writes or pod.intent or pod.gone):
            standing = Standing(term=pod.term, position=pod.position)
            intent = Intent(token=f"{number}.{pod.asked}", standing=standing)
            yield become(pod._replace(intent=intent, asked=pod.asked + 1), asks=world.asks - 1)
        silent = (None,) * len(others)
        if world.restarts:
            again = pod._replace(writes=False, calls=False, heard=silent, confirm="", gone=False)
            yield become(again, restarts=world.restarts - 1)
            if pod.calls:
                # The call was carried out, and nobody saw it.
                yield become(again._replace(term=pod.term + 1), restarts=world.restarts - 1)
        if world.losses and not pod.blank:
            lost = Pod(0, 0, True, asked=pod.asked, heard=silent, confirms=pod.confirms)
            yield become(lost, losses=world.losses - 1)
        if world.records and pod.writes:
            yield become(pod._replace(position=pod.position + 1), records=world.records - 1)
        if world.ends and pod.writes:
            yield become(pod._replace(writes=False, gone=True), ends=world.ends - 1)
        source = next((one for one in world.pods if one.writes), None)
        if source is not None and not (pod.writes or pod.intent or pod.calls or pod.gone) and not pod.blank:
            copied = pod._replace(term=source.term, position=source.position)
            if copied != pod and (pod.term, pod.position) <= (source.term, source.position):
                yield become(copied)
                if world.lags and pod.look is None:
                    yield become(copied._replace(look=_look(pod)), lags=world.lags - 1)
        if pod.look is not None:
            yield become(pod._replace(look=None))


def _look(pod: Pod) -> Look:
    """What is known of its server, before that moves."""
    asks = (
        word.intent.token + (f"/{word.confirm}" if word.confirm else "") for word in pod.heard if word and word.intent
    )
    return Look(pod.term, pod.position, frozenset(asks))


def explore(start: World, rules: Rules = RULES, most: int = 1_000_000, until: str = "") -> tuple[set[str], int]:
    """The faults that can be reached, and how many worlds there are; no further than to the fault ``until``."""
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
                if wrong == until:
                    return found, len(seen)
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


def _start(
    *positions: int, asks: int, restarts: int = 0, losses: int = 0, records: int = 0, lags: int = 0, ends: int = 0
) -> World:
    silent = (None,) * (len(positions) - 1)
    pods = [Pod(position=one, heard=silent) for one in positions]
    pods[0] = pods[0]._replace(crown=1)
    return World(tuple(pods), asks, restarts, losses, records, lags, ends)


SOUND = {
    "two pods": _start(1, 1, asks=3, restarts=2, losses=1, records=1),
    "two pods, one is ahead": _start(1, 2, asks=3, restarts=2, losses=1, records=1),
    "three pods, a restart": _start(1, 1, 2, asks=2, restarts=1),
    "three pods, a lost disk": _start(1, 1, 2, asks=2, losses=1),
    "two pods, one goes": _start(1, 1, asks=3, restarts=1, losses=1, records=1, ends=2),
    "three pods, one goes": _start(1, 1, 1, asks=1, records=1, ends=1),
    "two pods, looks lag": _start(1, 1, asks=3, restarts=1, losses=1, records=1, lags=2),
}


@pytest.mark.parametrize("start", SOUND.values(), ids=SOUND)
def test_one_takes_the_writes(start: World) -> None:
    """However they interleave: never two, never one with less than another disk has, never the same timeline again."""
    found, worlds = explore(start)
    assert found == set()
    assert worlds > 10_000


def _yields_while_asking(facts: Facts) -> str:
    found = promoting.foremost(facts)
    return "" if facts.writes or found is None else _ask(facts, found[0])


def _ask(facts: Facts, pod: str) -> str:
    word = facts.evidence[pod].statement
    assert word is not None
    return word.ask


def _yields_with_more(facts: Facts) -> str:
    found = promoting.foremost(facts)
    return "" if facts.writes or found is None or facts.record.intent is not None else _ask(facts, found[0])


def _never_takes_back(facts: Facts) -> promoting.Agreement:
    found = promoting.agreement(facts)
    intent, words = facts.record.intent, [facts.evidence[pod].statement for pod in facts.evidence]
    if found.kind != "overtaken" or intent is None or len(words) < len(facts.identity.others):
        return found
    yielded = all(word is not None and word.yields.partition("/")[0] == intent.token for word in words)
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


def _any_look(facts: Facts) -> str:
    """By whatever its server said last, also before the ask was heard."""
    return promoting.yields_to(msgspec.structs.replace(facts, asks=dict.fromkeys(facts.asks, 0.0)))


WEAK = {
    "asks and yields": (Rules(_yields_while_asking, _never_takes_back), _start(1, 1, asks=2), "two take writes"),
    "yields with more": (Rules(yields=_yields_with_more), _start(1, 2, asks=1), "one with less took the writes"),
    "any word": (Rules(agreement=_any_word), _start(1, 1, asks=2), "two take writes"),
    "a majority": (Rules(agreement=_majority), _start(1, 1, 2, asks=2), "two take writes"),
    "any look": (Rules(yields=_any_look), _start(1, 1, 2, asks=2, losses=1, lags=1), "one with less took the writes"),
    "heard once": (Rules(agreement=_heard_once), _start(1, 1, 2, asks=2, losses=1), "one with less took the writes"),
}


@pytest.mark.parametrize(("rules", "start", "fault"), WEAK.values(), ids=WEAK)
def test_weaker_rules_are_found_out(rules: Rules, start: World, fault: str) -> None:
    """Each part of the rule is needed: without it the same search ends in the fault that it is there for."""
    found, _ = explore(start, rules, until=fault)
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
