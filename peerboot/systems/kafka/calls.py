"""The membership changes of Kafka's controllers (KIP-853), each bounded, sent to the leader and to nobody else."""

from __future__ import annotations

from peerboot.systems.kafka import ids
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.connect import connect
from peerboot.systems.kafka.listeners import CONTROLLER

CHANGE_TIMEOUT = 8.0
"""A change that lost a race may never be answered; after this the list is read again."""
DUPLICATE_VOTER, VOTER_NOT_FOUND = 126, 127


class CallError(Exception):
    """A call that was not carried out; ``already``: there is nothing left to do."""

    def __init__(self, say: str, *, already: bool = False) -> None:
        super().__init__(say)
        self.already = already


async def change(config: KafkaConfig, pod: str, address: str, name: str, member: str, cluster: str) -> None:
    """``promote`` (AddRaftVoter) or ``remove`` (RemoveRaftVoter) one member, by the leader: ``pod`` at ``address``.

    The leader dials the host that is named for a new voter, and takes it only with this directory id and in sync.
    Raises ``CallError``.
    """
    from peerboot.outside.kafka import Bounds, KafkaError
    from peerboot.outside.kafka.values import Endpoint

    node, directory = ids.split_member(member)
    async with connect(config, pod, address, "controller", Bounds(call=CHANGE_TIMEOUT)) as kafka:
        try:
            if name == "promote":
                where = config.host_of(config.pod_of(node))
                endpoint = Endpoint(listener=CONTROLLER, host=where, port=config.controller_port)
                await kafka.add_voter(cluster, node, directory, [endpoint])
            else:
                await kafka.remove_voter(cluster, node, directory)
        except KafkaError as error:
            done = error.code == (DUPLICATE_VOTER if name == "promote" else VOTER_NOT_FOUND)
            raise CallError(str(error), already=done) from None
