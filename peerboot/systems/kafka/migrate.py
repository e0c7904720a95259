"""``peerboot kafka migrate``: a static quorum becomes a dynamic one, by a person's word. The plan is shown first.

``kraft.version`` 1 by UpdateFeatures (KIP-853): the leader writes the voters with their directory ids into the log, and
nothing leads back. From 4.1 on; 3.9 says that it is done, and its voters stay without directory ids (measured: 3.9.2).
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peerboot.errors import RefusedError, SettingsError, SystemApiError
from peerboot.printing import emit, say
from peerboot.systems.kafka import assess, ids, staticview
from peerboot.systems.kafka.connect import connect

if TYPE_CHECKING:
    from peerboot.outside.kafka.values import Quorum, Server
    from peerboot.systems.kafka.config import KafkaConfig

FEATURE = "kraft.version"
OLDEST = 26
"""The highest ``metadata.version`` of 4.1-IV0; 4.0 has 25, 3.9 has 21 (MetadataVersion). A controller tells it before
it tells anything else that differs by release."""
LEAST_METADATA = 21
"""3.9-IV0, below which voters cannot be in the log. It is raised alone: ``--release-version`` of 3.9 or later raises
all features, kraft.version among them, and looks at no voter before (FeatureCommand, KRaftVersion of 4.1.2)."""
NOT_YET = "not all of the voters support"
"""What 4.1 says for some seconds after a start: it has not heard yet what each voter can do."""
TRIES, PAUSE = 20, 3.0
AFTER = (
    (
        "each Pod's peerboot takes controller.quorum.voters out of its server.properties within seconds, and never "
        "writes it again"
    ),
    "a lost disk joins as a new voter from then on, and the set can be scaled",
    (
        "set PEERBOOT_KAFKA_QUORUM=dynamic in the Pod template afterwards: its roll-out restarts the servers one after "
        "the other, and they forget the list that they were started with"
    ),
)
"""What follows, for a person."""
CALL, LOOK = 8.0, 3.0
"""Seconds for the change, and for a question."""


@dataclass(frozen=True)
class Asked:
    """What the controller of one pod said."""

    pod: str
    address: str
    server: Server
    quorum: Quorum | None
    """By the leader only."""
    cluster: str


async def run(
    args: argparse.Namespace, config: KafkaConfig, addresses: Mapping[str, tuple[str, ...]], *, observes: bool
) -> int:
    """Carry it out, or show what it would do; returns the exit code. Raises ``PeerbootError``."""
    if not config.is_controller:
        raise SettingsError(
            "the Pods of this set are brokers only (PEERBOOT_KAFKA_ROLES): run it in a controller's Pod"
        )
    if observes and args.yes:
        raise SettingsError("PEERBOOT_MODE=observe changes nothing: run it without --yes, or in a Pod that manages")
    asked = await ask(config, addresses)
    leader = leader_of(asked)
    if leader is None or leader.quorum is None:
        raise RefusedError(
            "no controller leads a majority of the voters now, so nothing is changed: see `peerboot status`, and try "
            "again when one does"
        )
    if not staticview.is_static(leader.quorum):
        emit(args, _told(config, leader, done=False), show)
        return 0
    if hindered := hindrances(config, leader.quorum, asked):
        raise RefusedError(f"the quorum stays static: {'; '.join(hindered)}: mend that, then try again")
    if not args.yes:
        emit(args, _plan(config, leader), show)
        return 0
    emit(args, _told(config, await _raise(config, addresses, leader), done=True), show)
    return 0


async def ask(config: KafkaConfig, addresses: Mapping[str, tuple[str, ...]]) -> list[Asked]:
    """Every controller of this set that answers."""
    pods = [pod for pod in addresses if config.identity.ordinal_of(pod) is not None][: assess.MAX_SERVERS]
    answers = await asyncio.gather(*(_ask_one(config, pod, addresses[pod]) for pod in pods))
    return [one for one in answers if one is not None]


async def _ask_one(config: KafkaConfig, pod: str, addresses: Sequence[str]) -> Asked | None:
    from peerboot.outside.kafka import Bounds, KafkaError

    for address in addresses[:4]:
        async with connect(config, pod, address, "controller", Bounds(open=LOOK, read=LOOK, call=LOOK)) as kafka:
            try:
                server = await kafka.versions()
            except KafkaError:
                continue
            try:
                cluster = (await kafka.describe_cluster()).cluster
                return Asked(pod, address, server, await kafka.describe_quorum(), cluster)
            except KafkaError:
                return Asked(pod, address, server, None, "")
    return None


def leader_of(asked: Sequence[Asked]) -> Asked | None:
    """The one that leads with a majority, None when none does or several say so."""
    leading = [one for one in asked if one.quorum is not None and assess.stands(one.quorum)]
    return leading[0] if len(leading) == 1 else None


def hindrances(config: KafkaConfig, quorum: Quorum, asked: Sequence[Asked]) -> list[str]:
    """Why it is not done now, each by name; empty when nothing is in the way.

    All voters have to be there and in sync: a blank disk that is about to be formatted as a static voter is none of
    them, and a voter that is away would come back with what it knew.
    """
    there = {one.pod: one for one in asked}
    found = []
    for voter in sorted(quorum.voters, key=lambda v: v.id):
        pod = config.pod_of(voter.id)
        name, one = pod or f"controller {voter.id}", there.get(pod)
        if one is None:
            found.append(f"{name} does not answer")
        elif _most(one.server, "metadata.version") < OLDEST:
            found.append(f"{name} runs a Kafka older than 4.1, which cannot do it, whatever it answers")
        elif not assess.in_sync(quorum, voter):
            found.append(f"{name} is not in sync with the leader")
    level = max((one.server.level("metadata.version") for one in asked), default=0)
    if not found and level < LEAST_METADATA:
        found.append(
            f"the cluster's metadata.version is {level}, and it takes {LEAST_METADATA} (3.9) at least "
            f"(`kafka-features.sh upgrade --feature metadata.version={LEAST_METADATA}`)"
        )
    return found


def _most(server: Server, feature: str) -> int:
    return next((one.most for one in server.supported if one.name == feature), 0)


async def _raise(config: KafkaConfig, addresses: Mapping[str, tuple[str, ...]], leader: Asked) -> Asked:
    """Ask the leader, again while it does not know yet what each voter can do, then look whether it is so. Raises
    ``SystemApiError``.
    """
    from peerboot.outside.kafka import Bounds, KafkaError

    said = "nobody has said that it is done"
    for left in reversed(range(TRIES)):
        async with connect(config, leader.pod, leader.address, "controller", Bounds(call=CALL)) as kafka:
            try:
                await kafka.upgrade_features({FEATURE: 1})
            except KafkaError as error:
                said = f"{leader.pod} says: {error}"
                # Of one that was sent and not answered only a look tells what came of it.
                if not (NOT_YET in said or error.sent or error.outcome in ("not-leader", "refused", "timeout")):
                    break
        found = leader_of(await ask(config, addresses))
        if found is not None and found.quorum is not None:
            if not staticview.is_static(found.quorum):
                return found
            leader = found
        if left:
            await asyncio.sleep(PAUSE)
    raise SystemApiError(
        f"the quorum is static still: {said}: look at that controller's log, and run it again, which does no harm"
    )


# ---------------------------------------------------------------- for people


def _plan(config: KafkaConfig, leader: Asked) -> dict[str, Any]:
    assert leader.quorum is not None  # noqa: S101 - the caller has looked
    names = [config.pod_of(voter.id) for voter in sorted(leader.quorum.voters, key=lambda v: v.id)]
    first = (
        f"raise {FEATURE} to 1 in cluster {leader.cluster}, at {leader.pod}, which leads: its voters "
        f"({', '.join(names)}) are kept in its log from then on, each with the id of its disk"
    )
    head = "This would happen, for good; `peerboot kafka migrate --yes` does it:"
    return {"done": False, "say": head, "lines": [first, *AFTER]}


def _told(config: KafkaConfig, leader: Asked, *, done: bool) -> dict[str, Any]:
    assert leader.quorum is not None  # noqa: S101 - the caller has looked
    voters = sorted(leader.quorum.voters, key=lambda v: v.id)
    listed = ", ".join(f"{config.pod_of(v.id) or v.id} {ids.member_id(v.id, v.directory)}" for v in voters)
    head = "The quorum is a dynamic one now" if done else "The quorum is a dynamic one already: nothing is changed"
    return {"done": done, "say": f"{head}. Voters: {listed}.", "lines": list(AFTER)}


def show(data: Mapping[str, Any]) -> None:
    """For a person."""
    say(data["say"])
    for line in data["lines"]:
        say(line, "  ")
