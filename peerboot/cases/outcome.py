"""What is decided and done for the facts of a case, as the lines below its ``----``."""

from __future__ import annotations

from peerboot.act import describe
from peerboot.cases.plans import plan_for
from peerboot.decide import decide
from peerboot.model import Facts


def outcome_of(facts: Facts) -> str:
    """The part below ``----`` as it ought to be."""
    decision = decide(facts)
    lines = [f"decision: {decision.kind} ({decision.rule})", f"reason: {decision.reason}"]
    if decision.waits_for:
        lines.append(f"waits for: {'; '.join(decision.waits_for)}")
    lines.append(f"server may run: {'yes' if decision.may_run else 'no'}")
    lines += [f"action: {describe(action)}" for action in plan_for(facts, decision).actions]
    return "\n".join(lines)
