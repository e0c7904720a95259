"""``/prestop``: stay or leave. It evaluates and never commands: a stranger's call does nothing.

The kubelet stops a server for many reasons (a roll-out, a drain, the node's end); only one of them is that the set has
become smaller. What is done then is decided by the rules of ``rules/leaving.py``, pass by pass.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from peerboot.rules import leaving

if TYPE_CHECKING:
    from peerboot.run import Node

ASKING = 5.0
"""Seconds of questions to the API, a second apart, before it counts as silent; whoever is not known to be unwanted
stays. The last question may take five more."""


async def stay_or_leave(node: Node) -> str:
    """Return, in words, when this member has left or staying is right. The caller bounds the time."""
    if node.settings.replicas_from == "none":
        return "staying a member: stopping is not leaving"
    clock = node.doors.clock
    asked_at = clock.now()
    await node.loops.ask_live()
    while node.memory.live.at < asked_at and clock.now() - asked_at < ASKING:
        await clock.sleep(1.0)
        await node.loops.ask_live()
    node.memory.stopping = True
    return await finish(node)


async def finish(node: Node) -> str:
    """Go on until it is settled."""
    while True:
        facts = await node.next_pass()
        if stays := leaving.stays(facts):
            node.memory.stopping = False
            return f"staying a member: {stays}"
        if leaving.has_left(facts):
            return "this Pod's member is no longer listed: it has left"


async def before_the_end(node: Node, seconds: float) -> str:
    """What peerboot does when it is told to stop; returns what becomes of the membership, in words.

    The time of ``/prestop`` may have been over, or its caller gone: a leave that was begun is finished, within
    ``seconds``, for the others can do nothing about this member before its Pod is gone.
    """
    facts = node.facts
    if not node.memory.stopping or facts is None or leaving.stays(facts):
        return "stopping is not leaving, so the membership stays as it is"
    if not leaving.has_left(facts):
        node.doors.log.info("Told to stop while this Pod leaves the cluster: that is finished first.")
    try:
        async with asyncio.timeout(seconds):
            return await finish(node)
    except TimeoutError:
        return f"this Pod did not leave within {seconds:g} s; those that stay remove its member"
