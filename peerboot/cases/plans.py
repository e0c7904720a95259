"""The plan of each system, set up as the cases assume."""

from __future__ import annotations

from pathlib import Path

import msgspec

from peerboot import settings
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
        "PEERBOOT_SERVICE": "peers",
        "POD_NAME": facts.identity.pod,
        "POD_NAMESPACE": "prod",
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
