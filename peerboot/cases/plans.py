"""The plan of each system, set up as the cases assume."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from peerboot import settings
from peerboot.decide import decide
from peerboot.model import Decision, Facts, Plan, WriteFile
from peerboot.systems import find
from peerboot.systems.kafka import launch
from peerboot.systems.postgres import launch as postgres

STANDING = (
    launch.PROPERTIES_NAME, launch.LAUNCH_NAME, postgres.SETTINGS_NAME, postgres.HBA_NAME, postgres.PASSWORDS_NAME,
)  # fmt: skip
"""Files that depend on settings alone and stand there from the first pass on: no case is about them."""

PASSWORD = Path(__file__).parent / "password.txt"


def plan_for(facts: Facts, decision: Decision) -> Plan:
    """The plan of the facts' system with default settings."""
    system = find(facts.identity.system)
    environ = {
        "PEERBOOT_SYSTEM": system.name,
        "PEERBOOT_SERVICE": facts.identity.service,
        "POD_NAME": facts.identity.pod,
        "POD_NAMESPACE": facts.identity.namespace,
        "PEERBOOT_CENSUS_AUTH": "none",
    }
    if facts.traits.fixed:
        environ["PEERBOOT_KAFKA_QUORUM"] = "static"
    if system.name == "postgres":
        environ["PEERBOOT_POSTGRES_PASSWORD_FILE"] = str(PASSWORD)
    parsed = settings.read(environ, systems={system.name: system.settings})
    plan = system.prepare(parsed, facts.identity, {}).plan(facts, decision)
    kept = tuple(a for a in plan.actions if not (isinstance(a, WriteFile) and a.name in STANDING))
    return msgspec.structs.replace(plan, actions=kept)


def with_standing(facts: Facts, names: Iterable[str]) -> Facts:
    """The facts with those files as the plan would write them, so that it has no need to."""
    without = {name: text for name, text in facts.files.items() if name not in names}
    bare = msgspec.structs.replace(facts, files=without)
    written = {a.name: a.content for a in plan_for(bare, decide(bare)).actions if isinstance(a, WriteFile)}
    return msgspec.structs.replace(facts, files={**facts.files, **{n: written[n] for n in names if n in written}})
