"""The part of the little language that is about who takes the writes (Postgres); ``reader.py`` has the rest.

server db-0 … tl=2 at=100 [writes] [settled] [paused] [streams] [lag=8] [stuck=90] [forks=1@50,2@90] [slots=db_1,db_2]
       [idle-slots=db_1] [lost-slots=db_1] [release=17] [copied-by=db-1]
record … [crown=2] [let-go=2] [intent=TOKEN@2@100] [called] [past=db-2] [past-as="data 7 2@100"]
peer db-0 data … [at=2@100] [crown=2] [intent=TOKEN@2@100] [called] [yields=TOKEN] [confirm=W] [writes] [hands-to=db-1]
       [rule=leave-writes] [heir=db-1]
disk data … [led] [end=2@101] [tl=2] [forks=1@50]     disk blank [making]
promotes manual     confirm W     hands-to db-0     stop "stop rewind"     rewinds-now db-1     cloned-now
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from peerboot.model import Facts, Fork, Intent, Part, Standing
from peerboot.systems.postgres import settings
from peerboot.systems.postgres.launch import PERMIT_NAME, Permit, permit_text


def standing(text: str) -> Standing:
    """``2@100``: timeline and position."""
    term, _, position = text.partition("@")
    return Standing(term=int(term), position=int(position))


def intent(keys: Mapping[str, str], plain: Collection[str]) -> Intent | None:
    """``TOKEN@2@100``."""
    if "intent" not in keys:
        return None
    token, _, where = keys["intent"].partition("@")
    past = tuple(filter(None, keys.get("past", "").split(",")))
    past_as = tuple(filter(None, keys.get("past-as", "").split(",")))
    return Intent(token=token, standing=standing(where), called="called" in plain, past=past, past_as=past_as)


def forks(keys: Mapping[str, str]) -> tuple[Fork, ...]:
    """``1@50,2@90``."""
    found = (standing(fork) for fork in keys.get("forks", "").split(",") if fork)
    return tuple(Fork(term=fork.term, position=fork.position) for fork in found)


def part(keys: Mapping[str, str], plain: Collection[str]) -> Part | None:
    """What a ``server`` line says of the writes; None when it says nothing."""
    if "tl" not in keys:
        return None
    slots = {key: tuple(filter(None, keys.get(key, "").split(","))) for key in ("slots", "idle-slots", "lost-slots")}
    return Part(
        writes="writes" in plain,
        term=int(keys["tl"]),
        position=int(keys.get("at", 100)),
        settled="settled" in plain,
        paused="paused" in plain,
        streams="streams" in plain,
        lag=int(keys.get("lag", 0)),
        stuck=float(keys.get("stuck", 0)),
        forks=forks(keys),
        slots=slots["slots"],
        idle_slots=slots["idle-slots"],
        lost_slots=slots["lost-slots"],
        release=int(keys.get("release", 17)),
        copied_by=tuple(filter(None, keys.get("copied-by", "").split(","))),
    )


def of_a_word(keys: Mapping[str, str], plain: Collection[str]) -> dict[str, Any]:
    """What a ``peer`` line says of the writes."""
    return {
        "standing": standing(keys["at"]) if "at" in keys else None,
        "crown": int(keys.get("crown", 0)),
        "intent": intent(keys, plain),
        "confirm": keys.get("confirm", ""),
        "yields": keys.get("yields", ""),
        "writes": "writes" in plain,
        "hands_to": keys.get("hands-to", ""),
        "rule": keys.get("rule", ""),
        "heir": keys.get("heir", ""),
    }


def _rewind(pod: str) -> str:
    """The permit to rewind to the server of a pod."""
    source = f"host={pod}.peers.prod.svc.cluster.local port=5432 user=peerboot dbname=postgres"
    more = "passfile=/run/peerboot/pgpass connect_timeout=3"
    permit = Permit(kind="resume", plan="0" * 16, work="rewind", data="/d", system="7", source=f"{source} {more}")
    return permit_text(permit)


def _clone() -> str:
    """The permit to make a copy of a server of cluster 7."""
    data, source = settings.DEFAULT_DATA_DIR, "host=db-1.peers"
    return permit_text(Permit(kind="first", plan="0" * 16, work="clone", data=data, system="7", source=source))


def add_to(facts: Facts, by_word: dict[str, list[list[str]]]) -> Facts:
    """The facts with what follows from the servers and words, and with this part's own lines."""
    words = (one.statement for one in facts.evidence.values())
    promotes: Any = by_word.pop("promotes", [[facts.traits.promotes]])[0][0]
    stop = by_word.pop("stop", [[""]])[0][0]
    rewinds = {PERMIT_NAME: _rewind(by_word.pop("rewinds-now")[0][0])} if "rewinds-now" in by_word else {}
    made = {PERMIT_NAME: _clone()} if by_word.pop("cloned-now", None) is not None else {}
    return derived(
        msgspec.structs.replace(
            facts,
            asks={word.ask: facts.now - 1 for word in words if word is not None and word.ask},
            confirm=by_word.pop("confirm", [[""]])[0][0],
            hands_to=by_word.pop("hands-to", [[""]])[0][0],
            traits=msgspec.structs.replace(facts.traits, promotes=promotes),
            files={**({"stop": f"{stop}\n"} if stop else {}), **rewinds, **made},
        )
    )


def derived(facts: Facts) -> Facts:
    """The facts with what ``assess`` takes from the own server's word."""
    own = facts.cluster.view_of(facts.identity.pod)
    mine = own.part if own is not None else None
    return msgspec.structs.replace(
        facts,
        writes=mine is not None and mine.writes,
        standing=mine.standing if mine is not None else None,
    )
