"""The bundle of a running node, and what of its settings may be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from peerboot import __version__, systems
from peerboot.model import Identity, Plan
from peerboot.moments import BUNDLE
from peerboot.recorder import redactor_of
from peerboot.redact import GONE
from peerboot.settings import Setting, Settings
from peerboot.settings_table import GENERAL

if TYPE_CHECKING:
    from peerboot.run import Node

JOURNAL = 200
"""Lines of the journal in a bundle."""
MOST_BYTES = 3 << 20
"""Of the decisions in a bundle, as JSON."""


def of(node: Node) -> Mapping[str, Any]:
    """All that this process knows, redacted."""
    facts, wall = node.facts, node.doors.clock.wall()
    now = node.recorder.moment(facts, node.decision, Plan(), wall) if facts is not None else None
    return {
        **head(node.identity, wall),
        "source": "running",
        "left_out": node.recorder.left_out,
        "now": now,
        **body(node.recorder.moments(), node.doors.state.read_journal(JOURNAL), node.settings, node.identity),
    }


def head(identity: Identity, wall: float) -> dict[str, Any]:
    """Who this is."""
    return {
        "peerboot_bundle": BUNDLE,
        "version": __version__,
        "made_wall": wall,
        "pod": identity.pod,
        "namespace": identity.namespace,
        "system": identity.system,
    }


def body(
    moments: list[dict[str, Any]], journal: list[dict[str, Any]], settings: Settings, identity: Identity
) -> dict[str, Any]:
    """Settings, decisions and journal; redacted once more, by the secrets of now: one may be older than its change."""
    redactor, kept, room = redactor_of(settings, identity)(), list[Any](), MOST_BYTES
    for moment in reversed(moments):
        room -= len(repr(moment))
        if room < 0:
            break
        kept.append(redactor.tree(moment))
    return {
        "settings": redactor.tree(shown(settings)),
        "moments": kept[::-1],
        "journal": redactor.tree(journal),
    }


def shown(settings: Settings) -> dict[str, str]:
    """Each setting as a user would write it; of one that is a secret, or says where one lies, only that it is set."""
    found = {row: getattr(settings, row.field) for row in GENERAL}
    found |= {row: settings.extra.get(row.key) for row in systems.settings_of(settings.system)}
    given = {row: value for row, value in found.items() if value not in (None, "", ())}
    return {row.name: GONE if row.secret else _text(row, value) for row, value in given.items()}


def _text(row: Setting, value: object) -> str:
    if row.kind == "duration":
        return f"{value:g}s" if isinstance(value, float) else str(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
