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

from peerboot import launchscript, permits
from peerboot.model import Value
from peerboot.systems.postgres.script import KEYS, SCRIPT

PERMIT_NAME, LAUNCH_NAME = launchscript.PERMIT_NAME, launchscript.LAUNCH_NAME
STATUS_NAME = launchscript.STATUS_NAME
SETTINGS_NAME = "peerboot.conf"
HBA_NAME = "pg_hba.peerboot"
PASSWORDS_NAME = "pgpass"
ROLES_NAME = "roles.sql"
WAITING_NAME = "waiting"
STOP_NAME = "stop"
REWINDS_NAME = "rewinds"
"""peerboot's own: the plans of this Pod's rewinds, one a line."""
NEW = ".peerboot-new"
"""Behind the data directory's name: where it is made."""

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


def cut_off_name(plan: str) -> str:
    """The file beside the permit that says: the rewind of this plan is over, and has not come to its end. Without it a
    directory that is marked may be under work.
    """
    return f"cut-off.{plan}"


def permit_text(permit: Permit, reason: str = "") -> str:
    """The content of the permit file; raises ``ValueError`` for a permit that nobody could read back."""
    text = permits.text_of(((key, getattr(permit, key)) for key in KEYS), permit.plan, reason)
    if read_permit(text) != permit:
        raise ValueError(
            f"a permit whose parts do not go together cannot be written: {permit!r}"[: permits.MOST_REASON]
        )
    return text


def read_permit(text: str) -> Permit | None:
    """The permit, None for what is not one: the script starts nothing with it either."""
    found = permits.parts_of(text, KEYS)
    if found is None:
        return None
    try:
        permit = msgspec.convert(found[0], Permit)
    except msgspec.ValidationError:
        return None
    return permit if _is_sound(permit) else None


def _is_sound(permit: Permit) -> bool:
    """Whether its parts go together; the script asks the same."""
    return (
        permit.work in WORKS[permit.kind]
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
