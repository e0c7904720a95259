"""Bundles made of the committed cases, without a Pod."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from peerboot.cases.plans import plan_for
from peerboot.cases.reader import parse
from peerboot.decide import decide
from peerboot.model import Done, Facts
from peerboot.moments import BUNDLE
from peerboot.recorder import Recorder
from peerboot.redact import Redactor
from tests.cases.test_cases import CASES

WALL = 1_767_225_600.0


def facts_of_cases(system: str) -> list[Facts]:
    """The facts of every committed case of a system."""
    return [parse(text.partition("\n----\n")[0], system) for path, _, text in CASES if path.parents[1].name == system]


def moments(facts: Iterable[Facts], redactor: Redactor | None = None) -> list[dict[str, Any]]:
    """Each as the recorder keeps it, after a plan that was carried out."""
    known = redactor or Redactor()
    found = []
    for number, one in enumerate(facts):
        recorder = Recorder(None, "boot", lambda: known, "run.ok")
        decision = decide(one)
        plan = plan_for(one, decision)
        done = [Done(action=action, ok=True) for action in plan.actions]
        recorder.note(one, decision, plan, done, WALL + number, changed=True)
        found += recorder.moments()
    return found


def bundle(kept: Sequence[Any], **more: Any) -> bytes:
    """A bundle of these moments."""
    head = {"peerboot_bundle": BUNDLE, "version": "1.0", "made_wall": WALL, "source": "running", "pod": "db-1"}
    return msgspec.json.encode({**head, "namespace": "prod", "system": "etcd", "moments": list(kept), **more})
