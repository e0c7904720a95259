"""Postgres as peerboot's protocol wants a system: the other files of this folder, imported on use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from peerboot.model import Identity
from peerboot.settings import Setting, Settings
from peerboot.systems.postgres.settings import DEFAULT_DATA_DIR, SETTINGS

if TYPE_CHECKING:
    import argparse

    from peerboot.manifest.server import Server
    from peerboot.systems import Prepared
    from peerboot.systems.postgres.prepared import Postgres


class PostgresSystem:
    """What Postgres declares; fulfils ``peerboot.systems.System``."""

    name = "postgres"
    settings: tuple[Setting, ...] = SETTINGS
    default_data_dir = DEFAULT_DATA_DIR
    example_command = "kubectl exec pg-1 -c peerboot -- peerboot postgres switchover --yes"

    def parse_base(self, text: str, source: str) -> Mapping[str, object]:
        from peerboot.systems.postgres import baseconfig

        return baseconfig.parse(text, source)

    def prepare(self, settings: Settings, identity: Identity, base: Mapping[str, object]) -> Postgres:
        from peerboot.systems.postgres import config, material, routes
        from peerboot.systems.postgres.prepared import Postgres

        def made() -> config.PostgresConfig:
            return config.prepare(settings, identity, base, material.password(settings), material.pair(settings))

        return Postgres(
            made(),
            Path(settings.output_dir),
            made,
            lambda: material.stamp(settings),
            observes=settings.mode == "observe",
            wanted=routes.prepare(settings),
        )

    def add_commands(self, parser: argparse.ArgumentParser) -> None:
        from peerboot.systems.postgres import commands

        commands.register(parser)

    def in_a_pod(self, args: argparse.Namespace) -> str:
        from peerboot.systems.postgres import commands

        return commands.in_a_pod(args)

    async def run_command(
        self,
        args: argparse.Namespace,
        settings: Settings,
        prepared: Prepared,  # noqa: ARG002 - this Pod's running peerboot is asked, which has one
        find: Callable[[], Awaitable[Mapping[str, tuple[str, ...]]]],  # noqa: ARG002 - the same
    ) -> int:
        from peerboot.systems.postgres import commands

        return await commands.run(args, settings)

    def manifest(self) -> Server:
        from peerboot.systems.postgres.manifest import SERVER

        return SERVER


SYSTEM = PostgresSystem()
