"""When ``init`` is done, and when it gives up. Pure: each reason to give up is an error with its exit code."""

from __future__ import annotations

from peerboot import birth
from peerboot.errors import DeadlineError, DiscoveryError, RefusedError, SystemApiError
from peerboot.model import Decision, Facts
from peerboot.report import sentence


def waits_to_be_born(facts: Facts) -> tuple[str, ...]:
    """The pods that still need this one's word although its server may start; empty when none does.

    A pod that was born keeps answering until every other has said so too, or the slower ones would never hear of it:
    an ``init`` container ends before the sidecar begins.
    """
    return birth.all_born(facts) if facts.record.birth is not None and facts.disk.kind == "blank" else ()


def finished(
    facts: Facts,
    decision: Decision,
    *,
    stood: float,
    failure: str,
    refuse_settle: float,
    diagnose_after: float,
    deadline: float,
) -> bool:
    """Whether the server may start and nobody waits for this Pod's word; raises when it has to give up.

    ``stood``: seconds for which the decision has been in force. ``failure``: what the admin API says, once it has
    failed too often in a row, else empty.
    """
    waiting = waits_to_be_born(facts)
    if facts.permit != "absent" and not waiting:
        return True
    if decision.kind == "refuse" and facts.looked and stood >= refuse_settle:
        raise RefusedError(decision.reason)
    for finding in facts.findings:
        # Whoever is not in DNS may well be born, by those that it hears; they will never hear it.
        if finding.exit_code and facts.now - finding.at >= diagnose_after and (waiting or decision.kind == "wait"):
            raise DiscoveryError(finding.say)
    if failure:
        raise SystemApiError(failure)
    if deadline and facts.now - facts.started_at >= deadline:
        raise DeadlineError(f"PEERBOOT_DEADLINE of {deadline:g} s is over while it waited: {sentence(decision)}")
    return False
