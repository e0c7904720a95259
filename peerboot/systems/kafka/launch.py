"""What starts Kafka in the vendor's container: the permit, and the script that waits for it, formats and starts. Pure.

Only the vendor's image has kafka-storage, so peerboot writes the script and that container runs it: ``sh launch.sh``.
The kubelet restarts that container alone at any time. So the script is the same for every Pod, all else comes from the
permit, and killed at any line it can be run again.

Measured, and the reason for the checks: with the metadata directory blank beside a formatted log directory
``format -g`` exits with 0 and may form a new quorum; a disk formatted again with its old directory id helps to elect a
leader without data; ``--initial-controllers`` beside ``controller.quorum.voters`` exits with 0 on 3.9.0 and 4.0.0.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from peerboot import launchscript, permits
from peerboot.model import Value
from peerboot.systems.kafka.script import KEYS, LOG, SCRIPT

PERMIT_NAME, LAUNCH_NAME = launchscript.PERMIT_NAME, launchscript.LAUNCH_NAME
PROPERTIES_NAME = "server.properties"

MOST_LOGS, MOST_NODE = 64, (1 << 31) - 1

Kind = Literal["first", "resume"]
Form = Literal["", "initial", "join", "plain"]

FORMS: dict[Kind, tuple[Form, ...]] = {"first": ("initial", "join", "plain"), "resume": ("", "join", "plain")}
"""The forms of each kind; only a resume that has one may repair. The script has the same list."""


class Permit(Value, frozen=True, kw_only=True):
    """What lets the server start, once (``first``) or with its own data only (``resume``)."""

    kind: Kind
    plan: str
    """16 to 64 hex digits that name this one plan: a first permit is good for one format."""
    cluster: str
    """``cluster.id``."""
    node: int
    directory: str = ""
    """``directory.id`` that the metadata directory must have: before the start, or after the format. Empty: any."""
    form: Form = ""
    """How to format: ``--initial-controllers``, ``--no-initial-controllers``, or without a flag (a broker)."""
    voters: str = ""
    """For ``initial``: ``id@host:port:directory`` of each, with commas between."""
    metadata: str
    logs: tuple[str, ...] = ()
    repair: bool = False
    """Resume: log directories that are blank are formatted first."""
    release: str = ""
    """``--release-version``, empty for the tool's own."""


def marker_name(plan: str) -> str:
    """The file beside the permit that says: this plan is used up."""
    return f"formatted.{plan}"


def permit_text(permit: Permit, reason: str = "") -> str:
    """The content of the permit file; raises ``ValueError`` for a permit that nobody could read back."""
    parts = [(key, _word(getattr(permit, key))) for key in KEYS]
    text = permits.text_of([*parts, *((LOG, path) for path in permit.logs)], permit.plan, reason)
    if read_permit(text) != permit:
        raise ValueError(
            f"a permit whose parts do not go together cannot be written: {permit!r}"[: permits.MOST_REASON]
        )
    return text


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_permit(text: str) -> Permit | None:
    """The permit, None for what is not one: the script starts nothing with it either."""
    parts = permits.parts_of(text, KEYS, many=LOG)
    if parts is None:
        return None
    found, logs = parts
    node, repair = found.get("node", ""), found.get("repair", "")
    if repair not in ("true", "false"):
        return None
    if not (node.isascii() and node.isdigit() and len(node) <= 10):
        return None
    try:
        permit = msgspec.convert({**found, "node": int(node), "logs": logs, "repair": repair == "true"}, Permit)
    except msgspec.ValidationError:
        return None
    return permit if str(permit.node) == node and _is_sound(permit) else None


def _is_sound(permit: Permit) -> bool:
    """Whether its parts go together; the script asks the same."""
    return (
        permit.form in FORMS[permit.kind]
        and (not permit.repair or (permit.kind == "resume" and permit.form != ""))
        and permit.cluster != ""
        and permit.node <= MOST_NODE
        and (permit.voters != "") == (permit.form == "initial")
        and len(permit.logs) <= MOST_LOGS
        and all(path.startswith("/") for path in (permit.metadata, *permit.logs))
    )


def script() -> str:
    """``launch.sh``, the same for every Pod."""
    return SCRIPT
