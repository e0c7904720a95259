"""What starts Postgres in the vendor's container: the permit, and the script that waits for it. Pure.

Only the vendor's image has initdb, pg_basebackup and pg_rewind, so peerboot writes the script and that container runs
it: ``sh launch.sh``. The kubelet restarts that container alone at any time. So the script is the same for every Pod,
all else comes from the permit, and killed at any line it can be run again.

Measured, and the reason for what it does (15 to 18): an initdb that was killed leaves a directory that a server starts
on, with only ``template1``; a data directory without ``standby.signal`` takes writes at once, on the timeline that it
was on; ``primary_conninfo`` in ``postgresql.auto.conf`` beats every other file; a clone and a rewind bring their
source's files along.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from peerboot.model import Value
from peerboot.printing import one_line
from peerboot.systems.postgres.script import SCRIPT

PERMIT_NAME = "run.ok"
LAUNCH_NAME = "launch.sh"
SETTINGS_NAME = "peerboot.conf"
HBA_NAME = "pg_hba.peerboot"
PASSWORDS_NAME = "pgpass"
ROLES_NAME = "roles.sql"
WAITING_NAME = "waiting"
STOP_NAME = "stop"

MOST_BYTES = 65536
"""Of a permit; the script reads no more of it either."""
LEAST_PLAN, MOST_PLAN = 16, 64
MOST_REASON = 500
KEYS = ("kind", "plan", "work", "data", "system", "source", "slot", "end")

Kind = Literal["first", "resume"]
Work = Literal["init", "clone", "rewind", "start"]

WORKS: dict[Kind, tuple[Work, ...]] = {"first": ("init", "clone"), "resume": ("start", "rewind")}
"""The works of each kind. The script has the same list."""


class Permit(Value, frozen=True, kw_only=True):
    """What lets the server start: once, with data that is made now (``first``), or with its own only (``resume``)."""

    kind: Kind
    plan: str
    """16 to 64 hex digits that name this one plan: what it makes or rewinds it makes or rewinds once."""
    work: Work
    data: str
    """The data directory, absolute, without a slash at its end."""
    system: str = ""
    """The system identifier that the data must have, or that the source must have; empty for ``init`` only."""
    source: str = ""
    """For ``clone`` and ``rewind``: the primary, as libpq takes it (``host=… port=… user=…``), without a password."""
    slot: str = ""
    """For ``clone``: the replication slot that keeps the log meanwhile. Empty: none."""


def used_name(plan: str) -> str:
    """The file beside the permit that says: this plan is used up."""
    return f"used.{plan}"


def permit_text(permit: Permit, reason: str = "") -> str:
    """The content of the permit file; raises ``ValueError`` for a permit that nobody could read back."""
    # The last line repeats the plan, so that the script can tell a text that was cut off.
    lines = [
        f"# peerboot lets this server start: {one_line(reason, MOST_REASON) or 'no reason given'}",
        *(f"{key}={getattr(permit, key)}" for key in KEYS[:-1]),
        f"end={permit.plan}",
    ]
    text = "\n".join(lines) + "\n"
    if read_permit(text) != permit:
        raise ValueError(f"a permit whose parts do not go together cannot be written: {permit!r}"[:MOST_REASON])
    return text


def read_permit(text: str) -> Permit | None:
    """The permit, None for what is not one: the script starts nothing with it either."""
    if len(text) >= MOST_BYTES or len(text.encode(errors="replace")) >= MOST_BYTES:
        return None  # the first bounds the work of the second
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or key in found or not value.isprintable():
            return None
        found[key] = value
    end = found.pop("end", "")
    if found.keys() - set(KEYS):
        return None
    try:
        permit = msgspec.convert(found, Permit)
    except msgspec.ValidationError:
        return None
    return permit if permit.plan == end and _is_sound(permit) else None


def _is_sound(permit: Permit) -> bool:
    """Whether its parts go together; the script asks the same."""
    return (
        permit.work in WORKS[permit.kind]
        and LEAST_PLAN <= len(permit.plan) <= MOST_PLAN
        and not permit.plan.strip("0123456789abcdef")
        and permit.data.startswith("/")
        and not permit.data.endswith("/")
        and not permit.system.strip("0123456789")
        and (permit.system == "") == (permit.work == "init")
        and (permit.source != "") == (permit.work in ("clone", "rewind"))
        and not permit.slot.strip("0123456789abcdefghijklmnopqrstuvwxyz_")
        and (permit.slot == "" or permit.work == "clone")
    )


def script() -> str:
    """``launch.sh``, the same for every Pod."""
    return SCRIPT
