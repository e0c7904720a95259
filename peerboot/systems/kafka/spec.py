"""Kafka as peerboot's protocol wants a system: the other files of this folder, imported on use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Setting, Settings
from peerboot.systems.kafka.settings import DEFAULT_DATA_DIR, SETTINGS

if TYPE_CHECKING:
    import argparse

    from peerboot.manifest.server import Server
    from peerboot.systems import Prepared
    from peerboot.systems.kafka.prepared import Kafka


class KafkaSystem:
    """What Kafka declares; fulfils ``peerboot.systems.System`` and ``BringsCommands``."""

    name = "kafka"
    settings: tuple[Setting, ...] = SETTINGS
    default_data_dir = DEFAULT_DATA_DIR
    example_command = "kubectl exec kafka-0 -c peerboot -- peerboot kafka drain kafka-3"

    def parse_base(self, text: str, source: str) -> Mapping[str, object]:
        from peerboot.systems.kafka import properties

        try:
            return properties.parse(text)
        except ValueError as error:
            raise SettingsError(f"{source} cannot be read as Java properties: {error}: correct it there") from None

    def prepare(self, settings: Settings, identity: Identity, base: Mapping[str, object]) -> Kafka:
        from peerboot.systems.kafka import config, material
        from peerboot.systems.kafka.prepared import Kafka

        def made() -> config.KafkaConfig:
            return config.prepare(settings, identity, base, material.read(settings))

        return Kafka(made(), Path(settings.output_dir), made, lambda: material.stamp(settings))

    def add_commands(self, parser: argparse.ArgumentParser) -> None:
        from peerboot.systems.kafka import commands

        commands.register(parser)

    def in_a_pod(self, args: argparse.Namespace) -> str:
        from peerboot.systems.kafka import commands

        return commands.in_a_pod(args)

    async def run_command(
        self,
        args: argparse.Namespace,
        settings: Settings,
        prepared: Prepared,
        find: Callable[[], Awaitable[Mapping[str, tuple[str, ...]]]],
    ) -> int:
        from peerboot.systems.kafka import commands
        from peerboot.systems.kafka.prepared import Kafka

        if not isinstance(prepared, Kafka):
            raise TypeError("these are Kafka's commands")
        return await commands.run(args, prepared.config, find, observes=settings.mode == "observe")

    def manifest(self) -> Server:
        from peerboot.systems.kafka.manifest import SERVER

        return SERVER


SYSTEM = KafkaSystem()
