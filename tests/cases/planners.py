"""The plan of each system, set up as the cases assume."""

from __future__ import annotations

from peerboot import settings
from peerboot.model import Decision, Facts, Plan
from peerboot.systems.etcd import config
from peerboot.systems.etcd.plan import plan
from peerboot.systems.etcd.spec import SYSTEM


def plan_for(facts: Facts, decision: Decision) -> Plan:
    """etcd's plan with default settings."""
    environ = {
        "PEERBOOT_SYSTEM": "etcd",
        "PEERBOOT_SERVICE": "peers",
        "POD_NAME": facts.identity.pod,
        "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none",
    }
    parsed = settings.read(environ, systems={"etcd": SYSTEM.settings})
    return plan(config.prepare(parsed, facts.identity, {}), facts, decision)
