"""Forgetting a broker that is gone. Kafka takes the call for one that lives and for one that holds replicas (measured:
a live one then loops with STALE_BROKER_EPOCH and does not stop), so all of that is looked at here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from peerboot.errors import RefusedError, SystemApiError
from peerboot.systems.kafka import drain
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.drain import count, who
from peerboot.systems.kafka.reach import Brokers

if TYPE_CHECKING:
    from peerboot.systems.kafka.survey import Survey

NOT_REGISTERED = 102
TIMEOUT = 15.0
"""Seconds that the sidecar takes for it, all calls together."""


async def look(brokers: Brokers) -> Survey:
    """What decides: who is alive, and who holds what."""
    from peerboot.systems.kafka import survey

    return await survey.partitions(brokers)


def check(found: Survey, brokers: Brokers, node: int, name: str) -> tuple[str, bool]:
    """What is so, and whether there is anything to do; raises ``RefusedError``."""
    one, called = found.brokers.get(node), who(node, name)
    if node in found.maybe_alive:
        raise RefusedError(
            f"{called} is alive: Kafka would forget it all the same, and it would go on without being part of the "
            f"cluster. Drain it (`peerboot kafka drain {name}`), scale the StatefulSet down, and run this again"
        )
    held = drain.held(found.parts, [node])
    if alone := [part for part in held if {*part.replicas, *part.before} == {node}]:
        raise RefusedError(
            f"{called} is not alive, and {count(len(alone), 'partition')}, as {alone[0].name}, "
            f"{'has its' if len(alone) == 1 else 'have their'} only replica there, so no other broker can make "
            f"{'it' if len(alone) == 1 else 'them'} anew: start that broker with its volume; "
            "where that is lost, delete the topic"
        )
    if held:
        raise RefusedError(
            f"{called} is not alive, and {count(len(held), 'partition')}, as {held[0].name}, still "
            f"{'has' if len(held) == 1 else 'have'} a replica there: `peerboot kafka drain {name} --yes` makes them "
            "anew at the other brokers; then run this again"
        )
    if brokers.reaches(node):
        raise RefusedError(
            f"{called} is not alive now, but DNS still has its Pod, which would register it again: scale the "
            "StatefulSet down first; a Pod on a dead node goes when it is deleted by force"
        )
    if found.tells_fenced and one is None:
        return f"{called} is not registered: there is nothing to do.", False
    return f"{called} is not alive and holds no replicas.", True


async def carry_out(brokers: Brokers, node: int, name: str) -> str:
    """Forget it; what became of it, in words. Raises ``SystemApiError`` and ``RefusedError``."""
    from peerboot.outside.kafka import KafkaError
    from peerboot.systems.kafka import throttle

    # The settings of a broker outlive it, and one that comes back under this id would stay cordoned.
    found = await look(brokers)
    check(found, brokers, node, name)
    ends = [*throttle.unlimit([node]), *([throttle.uncordon(node)] if found.cordons else [])]
    try:
        if node in found.brokers:
            failed = await brokers.leader(lambda kafka: kafka.alter_configs(ends))
            if failed:
                raise SystemApiError(f"the settings of {who(node, name)} were not taken away: {failed[0].message}")
        await brokers.any(lambda kafka: kafka.unregister_broker(node))
    except KafkaError as error:
        if error.code == NOT_REGISTERED:
            return f"{who(node, name)} is not registered: there is nothing to do."
        raise SystemApiError(f"{who(node, name)} was not unregistered: {error}: run it again") from None
    return f"{who(node, name)} is unregistered: the cluster has forgotten it."


async def by_itself(config: KafkaConfig, addresses: Mapping[str, tuple[str, ...]], node: int) -> str:
    """What the sidecar does for a Pod that was scaled away; the same checks. Raises ``PeerbootError``."""
    from peerboot.outside.kafka import KafkaError

    try:
        async with asyncio.timeout(TIMEOUT), Brokers(config, addresses) as brokers:
            return await carry_out(brokers, node, config.pod_of(node))
    except TimeoutError:
        raise SystemApiError(f"broker {node} was not unregistered within {TIMEOUT:g} s") from None
    except KafkaError as error:
        raise SystemApiError(f"broker {node} was not unregistered: {error}") from None
