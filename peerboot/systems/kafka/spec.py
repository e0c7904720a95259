"""Kafka as peerboot's protocol wants a system. Light: peerboot reads the settings of all systems, whichever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Setting, Settings
from peerboot.systems.kafka import config

if TYPE_CHECKING:
    from peerboot.systems.kafka.prepared import Kafka


class KafkaSystem:
    """What Kafka declares; fulfils ``peerboot.systems.System``."""

    name = "kafka"
    settings: tuple[Setting, ...] = config.SETTINGS
    default_data_dir = config.DEFAULT_DATA_DIR

    def parse_base(self, text: str, source: str) -> Mapping[str, object]:
        from peerboot.systems.kafka import properties

        try:
            return properties.parse(text)
        except ValueError as error:
            raise SettingsError(f"{source} cannot be read as Java properties: {error}: correct it there") from None

    def prepare(self, settings: Settings, identity: Identity, base: Mapping[str, object]) -> Kafka:
        from peerboot.systems.kafka.prepared import Kafka

        return Kafka(config.prepare(settings, identity, base), Path(settings.output_dir))


SYSTEM = KafkaSystem()
