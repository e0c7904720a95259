"""Several versions of peerboot in one set: who has which. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from peerboot.model import Evidence, Finding
from peerboot.printing import all_of, one_line

MOST_NAMED = 8


def versions(own: str, version: str, evidence: Mapping[str, Evidence]) -> Mapping[str, str]:
    """By pod, of those that said it themselves, the own one included."""
    heard = {pod: found.statement.version for pod, found in evidence.items() if found.statement is not None}
    return {own: version, **{pod: one_line(told, 32) or "unknown" for pod, told in sorted(heard.items())}}


def notices(own: str, version: str, evidence: Mapping[str, Evidence]) -> tuple[Finding, ...]:
    """One line while they differ, which is as it ought to be during a roll-out and no longer."""
    told = versions(own, version, evidence)
    if len(set(told.values())) < 2:
        return ()
    by_version: dict[str, list[str]] = {}
    for pod, one in told.items():
        by_version.setdefault(one, []).append(pod)
    parts = [
        f"{one} on {all_of(pods[:MOST_NAMED])}" + (f" and {len(pods) - MOST_NAMED} more" if pods[MOST_NAMED:] else "")
        for one, pods in sorted(by_version.items())
    ]
    say = f"Versions of peerboot differ: {all_of(parts)}. So it is while one rolls out; let all have one when it ends."
    return (Finding(name="peerboot-versions", say=say),)
