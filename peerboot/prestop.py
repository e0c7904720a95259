"""``/prestop``: stay or leave, and when. It evaluates and never commands: a stranger's call changes no membership.

The kubelet stops a server for many reasons (a roll-out, a drain, the node's end); only one of them is that the set has
become smaller. What is done then is decided by the rules of ``rules/leaving.py``, pass by pass. One that stays stops in
turn where its system asks for it (``rules/stopping.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from peerboot.rules import leaving, stopping, unwanted

if TYPE_CHECKING:
    from peerboot.model import Facts
    from peerboot.run import Node

ASKING = 5.0
"""Seconds of questions to the API, a second apart, before it counts as silent; whoever is not known to be unwanted
stays. The last question may take five more."""
LOOKING = 3.0
"""Seconds for one look at what this Pod's server keeps: a server that hangs must not take the time to leave."""
AGAIN = 0.5
"""Seconds between two looks while something holds the stop back."""


async def stay_or_leave(node: Node) -> str:
    """Return, in words, when this member has left or staying is right. The caller bounds the time."""
    asks = node.settings.replicas_from != "none"
    if not asks and (not node.doors.system.traits.in_turn or node.observing):
        return "staying a member: stopping is not leaving"
    clock = node.doors.clock
    asked_at = clock.now()
    if asks:
        await node.loops.ask_live()
        while node.memory.live.at < asked_at and clock.now() - asked_at < ASKING:
            await clock.sleep(1.0)
            await node.loops.ask_live()
    # From here on this Pod is about to be stopped, whatever becomes of the look: one that is told to end meanwhile
    # finishes its leave (``before_the_end``). It also keeps the loops from resting, so that the look asks anew.
    node.memory.stopping = True
    await _ask_what_it_keeps(node)
    return await finish(node, asks=asks)


async def finish(node: Node, *, asks: bool = True, in_turn: bool = True) -> str:
    """Go on until it is settled."""
    waits = in_turn and node.doors.system.traits.in_turn and not node.observing
    while True:
        facts = await node.next_pass()
        if stays := leaving.stays(facts):
            told = await _in_turn(node) if waits else ""
            if told is None:
                continue
            node.memory.stopping = False
            return f"staying a member: {stays if asks else 'stopping is not leaving'}{told}{_goes_with(node)}"
        if leaving.has_left(facts):
            return f"{leaving.left_text(facts)}{_goes_with(node)}"


async def _ask_what_it_keeps(node: Node) -> None:
    """Where this Pod is to go, what its server keeps is asked for anew before anything is said of it: at rest it is
    known as it was some seconds ago, and a drain may have ended since. One look, which leaving needs in any case.
    """
    live = node.memory.live
    if node.memory.view.kept is None or live.state != "known" or live.wants(node.identity.ordinal):
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOKING):
            await node.look()


def _goes_with(node: Node) -> str:
    """What goes with this Pod's server, by the last facts; a second sentence, without its full stop."""
    remark = unwanted.goes_with(node.facts) if node.facts is not None else ""
    return f". {remark.removesuffix('.')}" if remark else ""


async def _in_turn(node: Node) -> str | None:
    """Wait for this Pod's turn to stop; what was waited for, in words. None when it is to leave after all."""
    memory, clock = node.memory, node.doors.clock
    began, waited = clock.now(), ""
    try:
        await _take_turn(node)
        while True:
            memory.turn_at = clock.now()
            facts = await _looked(node)
            if not leaving.stays(facts):
                return None
            held = stopping.holds_back(facts)
            if held is None:
                return f"; it was its turn after {clock.now() - began:.0f} s, for {waited}" if waited else ""
            waited = held[0]
            await clock.sleep(AGAIN)
    except asyncio.CancelledError:
        memory.stopping = False
        if waited:
            node.doors.log.warning(f"/prestop: its time is over, and the server stops all the same, though {waited}.")
        raise
    finally:
        if memory.turn == stopping.CHOOSES:
            memory.turn = 0


async def _take_turn(node: Node) -> None:
    """A turn above all that the others have, which stays this Pod's until it is over."""
    memory, now = node.memory, node.doors.clock.now()
    if memory.turn_now(now) > 0:
        return
    memory.turn, memory.turn_at = stopping.CHOOSES, now
    memory.turn = stopping.next_turn(await _looked(node))


async def _looked(node: Node) -> Facts:
    """The facts after everybody and all servers were asked anew."""
    await asyncio.gather(node.loops.hear(), node.look())
    return await node.next_pass()


async def before_the_end(node: Node, seconds: float) -> str:
    """What peerboot does when it is told to stop; returns what becomes of the membership, in words.

    The time of ``/prestop`` may have been over, or its caller gone: a leave that was begun is finished, within
    ``seconds``, for the others can do nothing about this member before its Pod is gone.
    """
    stays = "stopping is not leaving, so the membership stays as it is"
    if not node.memory.stopping or node.facts is None:
        return stays
    try:
        async with asyncio.timeout(seconds):
            # The last pass may be from before this Pod was about to be stopped.
            facts = await node.next_pass()
            if leaving.stays(facts):
                return stays
            if not leaving.has_left(facts):
                node.doors.log.info("Told to stop while this Pod leaves the cluster: that is finished first.")
            return await finish(node, in_turn=False)
    except TimeoutError:
        return f"within {seconds:g} s {leaving.not_left_text(node.facts)}"
