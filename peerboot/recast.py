"""Moments of a bundle as cases: what happened once becomes a test."""

from __future__ import annotations

import msgspec

from peerboot.again import facts_of, stamp, standing
from peerboot.cases import writer
from peerboot.cases.timing import moved
from peerboot.decide import decide
from peerboot.errors import SettingsError
from peerboot.moments import Bundle, Moment
from peerboot.printing import one_line
from peerboot.recorder import UNRECORDED


def cases(name: str, bundle: Bundle, chosen: list[tuple[int, Moment]], *, short: bool) -> str:
    """The chosen moments as one file of cases; raises ``SettingsError`` that names what cannot be said."""
    written = []
    for number, moment in chosen:
        try:
            written.append(_case(bundle, number, moment, short=short))
        except Exception as error:  # noqa: BLE001 - facts from elsewhere: they may be such as no Pod ever has
            raise SettingsError(f"{name}: decision {number} is no case: {one_line(str(error), 200)}") from None
    return "\n====\n".join(text.rstrip("\n") for text in written) + "\n" * bool(written)


def _case(bundle: Bundle, number: int, moment: Moment, *, short: bool) -> str:
    facts = facts_of(moment)
    stands = standing(moment, facts, decide(facts))
    # Of what was not kept nothing can be said; no rule and no plan looks at it.
    files = {name: text for name, text in facts.files.items() if text != UNRECORDED or name in stands}
    facts = moved(msgspec.structs.replace(facts, files=files))
    comment = one_line(
        f"Decision {number} of {bundle.pod} at {stamp(moment.wall)}, by peerboot {moment.version}: "
        f"{moment.decision.kind} ({moment.decision.rule}).",
        200,
    )
    return writer.case_of(facts, comment, stands, short=short)
