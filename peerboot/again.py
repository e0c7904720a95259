"""A bundle's decisions once more, by the rules of this release. Offline: no cluster, no settings.

A bundle comes from elsewhere, so it is read with bounds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from peerboot.act import describe
from peerboot.cases.plans import plan_for
from peerboot.decide import decide
from peerboot.errors import SettingsError
from peerboot.model import Decision, Facts, WriteFile
from peerboot.moments import BUNDLE, Bundle, Moment
from peerboot.outside.files import FilesError, read_small
from peerboot.printing import one_line
from peerboot.rules.words import consent_nonce
from peerboot.settings_table import MAX_ORDINAL, MAX_REPLICAS

MOST_BYTES = 16 << 20
MOST_MOMENTS = 1000
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Head(msgspec.Struct):
    """What every bundle has, whichever release wrote it."""

    peerboot_bundle: int
    version: str = ""


class Again(NamedTuple):
    """One moment, and what this release makes of it."""

    number: int
    moment: Moment
    facts: Facts
    decision: Decision | None
    """None: it comes to none."""
    trouble: str
    """Why not."""
    actions: tuple[str, ...]
    """In words; of files whose content settings decide only those that it wrote then too."""

    @property
    def same(self) -> bool:
        """Whether this release decides what was decided then."""
        return self.decision is not None and _key(self.decision) == _key(self.moment.decision)


# -------------------------------------------------------------------- reading


def read(name: str) -> Bundle:
    """A bundle from a file, or from standard input for ``-``; raises ``SettingsError``."""
    try:
        content = sys.stdin.buffer.read(MOST_BYTES + 1) if name == "-" else read_small(Path(name), MOST_BYTES)
    except (FilesError, OSError, ValueError) as error:
        raise SettingsError(f"{error}: name a file that `peerboot bundle` wrote") from None
    if content is None:
        raise SettingsError(f"{name} is not there: name a file that `peerboot bundle` wrote")
    if len(content) > MOST_BYTES:
        raise SettingsError(f"{name} is longer than {MOST_BYTES} bytes: no bundle is")
    try:
        head = msgspec.json.decode(content, type=_Head)
        if head.peerboot_bundle > BUNDLE:
            raise SettingsError(
                f"{name} is of a newer peerboot ({one_line(head.version, 40) or 'unknown'}; bundle version "
                f"{head.peerboot_bundle}, this one reads {BUNDLE}): replay it with that release"
            )
        bundle = msgspec.json.decode(content, type=Bundle)
    except UNREADABLE as error:
        raise SettingsError(
            f"{name} is no whole bundle of peerboot ({one_line(str(error), 120)}): take it anew with `peerboot bundle`"
        ) from None
    _bounded(name, bundle)
    return bundle


def _bounded(name: str, bundle: Bundle) -> None:
    """What no bundle of a real set has would only be there to keep a machine busy."""
    moments = [*bundle.moments, *([bundle.now] if bundle.now is not None else [])]
    who = [moment.facts.identity for moment in moments]
    if len(moments) > MOST_MOMENTS or any(
        (one.replicas or 0) > MAX_REPLICAS or not 0 <= one.start <= MAX_ORDINAL or not 0 <= one.ordinal <= MAX_ORDINAL
        for one in who
    ):
        raise SettingsError(f"{name} is no bundle of peerboot: it tells of more Pods or decisions than there can be")


def chosen(which: str, moments: list[Moment]) -> list[tuple[int, Moment]]:
    """All, or the one of that number, each with its number; raises ``SettingsError``."""
    numbered = list(enumerate(moments, 1))
    if which == "all":
        return numbered
    if not (which.isascii() and which.isdigit() and 1 <= int(which[:9]) <= len(moments)):
        there = f"1 to {len(moments)}" if moments else "none"
        raise SettingsError(f"there is no decision {which[:20]!r} in it: it has {there}, and `all`")
    return [numbered[int(which) - 1]]


# ------------------------------------------------------------------- deciding


def facts_of(moment: Moment) -> Facts:
    """The facts as they were, a person's consents among them."""
    facts = moment.facts
    return msgspec.structs.replace(facts, consents=frozenset(consent_nonce(facts, rule) for rule in moment.allowed))


def again(number: int, moment: Moment) -> Again:
    """What this release makes of one moment."""
    try:
        facts = facts_of(moment)
        decision = decide(facts)
        return Again(number, moment, facts, decision, "", actions_of(moment, facts, decision))
    except Exception as error:  # noqa: BLE001 - facts from elsewhere: they may be such as no Pod ever has
        trouble = one_line(f"{type(error).__name__}: {error}", 200)
        return Again(number, moment, moment.facts, None, trouble, ())


def actions_of(moment: Moment, facts: Facts, decision: Decision) -> tuple[str, ...]:
    """The plan in words, by a system's default settings; what cannot be planned with these has none."""
    try:
        actions = plan_for(facts, decision).actions
    except SettingsError:
        return ()
    stands = standing(moment, facts, decision)
    return tuple(describe(a) for a in actions if not (isinstance(a, WriteFile) and a.name in stands))


def standing(moment: Moment, facts: Facts, decision: Decision) -> tuple[str, ...]:
    """Files that stood and were right then: what they hold follows from settings that are not known here."""
    wrote = {planned.say for planned in moment.actions}
    return tuple(
        action.name
        for action in plan_for(facts, decision).actions
        if isinstance(action, WriteFile) and action.name in facts.files and describe(action) not in wrote
    )


def _key(decision: Decision) -> tuple[object, ...]:
    return decision.kind, decision.rule, decision.target, decision.waits_for, decision.may_run


def stamp(wall: float) -> str:
    """``2026-01-02 03:04:05.678Z``; of a time that no calendar has, the number."""
    try:
        whole = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(wall))
        return f"{whole}.{int(wall % 1 * 1000):03}Z"
    except (OverflowError, ValueError, OSError):
        return f"{wall:g}"
