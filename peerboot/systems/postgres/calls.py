"""Changes at running servers, each one bounded and looked at again whatever came of it.

``promote``, ``reload``, ``make-slot`` and ``drop-slot`` are of the own server, ``checkpoint`` and ``unregister`` of the
one that takes the writes.
"""

from __future__ import annotations

from collections.abc import Mapping

from peerboot.model import Call, ClusterView, Done, ServerView
from peerboot.systems.postgres import assess
from peerboot.systems.postgres.config import PostgresConfig

TIMEOUT = 5.0
"""Seconds for one call. A promotion took 0.12 s (measured); it goes on at the server when nobody waits for it."""
CHECKPOINT_TIMEOUT = 30.0
"""A checkpoint writes all that was changed."""
AT_PRIMARY = ("checkpoint", "unregister")


async def change(
    config: PostgresConfig, call: Call, view: ClusterView, addresses: Mapping[str, tuple[str, ...]]
) -> Done:
    """Carry out one call; never raises for what the server says."""
    from peerboot.outside import postgres

    server = _server(config, call, view)
    if server is None:
        who = "the server that takes the writes" if call.name in AT_PRIMARY else "this Pod's server"
        return Done(action=call, ok=False, say=f"{who} does not answer now")
    address = server.address or next(iter(addresses.get(server.pod, ())), "")
    timeout = CHECKPOINT_TIMEOUT if call.name == "checkpoint" else TIMEOUT
    how = assess.login(config, server.pod, timeout)
    try:
        match call.name:
            case "promote":
                if not await postgres.promote(address, config.port, **how):
                    return Done(action=call, ok=False, say=f"{server.pod} has not done it within a second")
            case "reload":
                await postgres.reload(address, config.port, **how)
            case "checkpoint":
                await postgres.checkpoint(address, config.port, **how)
            case "make-slot":
                await postgres.make_slot(address, config.port, call.member, **how)
            case "drop-slot" | "unregister":
                await postgres.drop_slot(address, config.port, call.member, **how)
            case _:
                return Done(action=call, ok=False, say=f"{call.name} is no call of Postgres")
    except postgres.PostgresError as error:
        return Done(action=call, ok=False, say=f"{server.pod} says: {error}")
    return Done(action=call, ok=True)


def _server(config: PostgresConfig, call: Call, view: ClusterView) -> ServerView | None:
    if call.name not in AT_PRIMARY:
        return view.view_of(config.identity.pod)
    writing = [one for one in view.views if one.part is not None and one.part.writes]
    return writing[0] if len(writing) == 1 else None
