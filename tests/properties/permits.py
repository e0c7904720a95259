"""Permit files of each system, as the laws look at them."""

from __future__ import annotations

from typing import Literal

from peerboot.model import Facts
from peerboot.systems.etcd import config
from peerboot.systems.kafka import launch
from peerboot.systems.postgres import launch as postgres

Kind = Literal["absent", "first", "resume"]
NAMES = {"etcd": "etcd.yaml", "kafka": launch.PERMIT_NAME, "postgres": postgres.PERMIT_NAME}


def permit_kind(found: Facts, content: str) -> Kind:
    """What a permit of this content lets the facts' server do."""
    if found.identity.system == "etcd":
        return config.permit_kind(content)
    permit = _of_postgres(content) if found.identity.system == "postgres" else launch.read_permit(content)
    return permit.kind if permit else "first"


def _of_postgres(content: str) -> postgres.Permit | None:
    return postgres.read_permit(content)


def work(content: str) -> str:
    """What a permit of Postgres has done before the server starts; empty for what is no permit."""
    permit = _of_postgres(content)
    return permit.work if permit else ""


def forms(found: Facts, content: str) -> bool:
    """Whether a permit of this content forms a cluster."""
    if found.identity.system == "etcd":
        return "initial-cluster-state: new" in content
    if found.identity.system == "postgres":
        return work(content) == "init"
    permit = launch.read_permit(content)
    return permit is not None and permit.form == "initial"


def may_have_voted(found: Facts, content: str) -> bool:
    """Whether a first permit lets the server start as somebody who may have voted before. An observer of Kafka's takes
    its directory id by chance: whatever ran here before, it is somebody else. An etcd that drops all others has its own
    log, and nobody to vote for.
    """
    if found.identity.system == "etcd" and "force-new-cluster" in content:
        return False
    return permit_kind(found, content) == "first" and (found.identity.system == "etcd" or forms(found, content))


def a_permit(system: str, kind: str, secret: str) -> str:
    """The text of a permit that stands there; etcd's holds a user's own settings too."""
    if system == "etcd":
        return f"# permit: {kind}\npassword: {secret}\n"
    if kind == "first":
        return "a permit of an older peerboot"
    return STANDBY if system == "postgres" else RESUME


STANDBY = postgres.permit_text(postgres.Permit(kind="resume", plan="0" * 16, work="start", data="/d", system="7"), "x")
RESUME = launch.permit_text(
    launch.Permit(kind="resume", plan="0" * 16, cluster="c1", node=1, form="join", metadata="/m", logs=("/l",)), "x"
)
