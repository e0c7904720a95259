"""``peerboot kafka …``: commands that one system alone has, run beside its server."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from peerboot import container, systems
from peerboot.errors import DiscoveryError, SettingsError
from peerboot.outside.clock import SystemClock
from peerboot.settings import config_path

TRIES = 3
"""How often DNS is asked."""


def register(commands: Any, name: str) -> None:
    """Add the commands of that system."""
    text, brings = f"Commands that {name} alone has.", systems.commands_of(name)
    brings.add_commands(
        commands.add_parser(name, help=text, description=text, epilog=f"Example: {brings.example_command}")
    )


async def main(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run one."""
    if not environ.get("PEERBOOT_SYSTEM") and not config_path(environ):
        # Outside of a Pod the settings would be asked for one after the other.
        there = systems.commands_of(args.command).in_a_pod(args)
        raise SettingsError(f"no settings of peerboot are here: run this in the peerboot container, as in `{there}`")
    made = container.set_up(environ)
    if made.settings.system != args.command:
        raise SettingsError(f"PEERBOOT_SYSTEM is {made.settings.system} here: run it in a Pod of {args.command}")
    run = systems.commands_of(args.command).run_command
    return await run(args, made.settings, made.system, lambda: _addresses(made))


async def _addresses(made: container.SetUp) -> Mapping[str, tuple[str, ...]]:
    """Of every Pod of the set that DNS has, and of what the system asks for beside it; raises ``DiscoveryError``."""
    from peerboot.discovery import Discovery
    from peerboot.outside.dns import Dns

    clock = SystemClock()
    dns = Dns(made.nameservers, clock)
    discovery = Discovery(made.identity, made.settings.port_name, dns, clock)
    for left in reversed(range(TRIES)):
        answer = await discovery.ask()
        if answer.outcome == "found" and answer.targets:
            found = {target.pod: target.addresses for target in answer.targets}
            return {**found, **{name: (await dns.addresses(name)).addresses for name in made.system.also_resolve}}
        if left:
            await clock.sleep(1.0)
    raise DiscoveryError(
        f"DNS does not tell the set's Pods ({discovery.question}: {answer.outcome} {answer.reason}): run "
        "`peerboot peers`, which says more"
    )
