"""A cluster as one who operates it sees it: any broker, a certain one, or the controller that leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.connect import Kind, connect

if TYPE_CHECKING:
    from peerboot.outside.kafka import Kafka, KafkaError

T = TypeVar("T")
Ask = Callable[["Kafka"], Awaitable[T]]
"""One call of the client."""
MOST = 32
"""Servers that one call tries."""
FINAL = ("answered", "unsupported")
"""Another server would say the same."""


class Brokers:
    """Clients of one set's servers, by the addresses of its Pods (and of the controllers' Service, where they are a set
    of their own); use it with ``async with``.

    Every method raises ``KafkaError``. A broker hands on to the controllers what they have to do.
    """

    def __init__(self, config: KafkaConfig, addresses: Mapping[str, tuple[str, ...]]) -> None:
        self.config = config
        self.addresses = addresses
        self._open: dict[tuple[str, Kind], Kafka] = {}
        self._last = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept, self._open = self._open, {}
        for client in kept.values():
            await client.close()

    def reaches(self, node: int) -> bool:
        """Whether DNS has an address for that node."""
        return bool(self.addresses.get(self.config.pod_of(node)))

    async def any(self, ask: Ask[T]) -> T:
        """By whichever broker answers, the one that did the last time first."""
        return await self._first("broker", ask)

    async def one(self, node: int, ask: Ask[T]) -> T:
        """By that broker."""
        pod = self.config.pod_of(node)
        return await ask(self._client(pod, self.addresses[pod][0], "broker"))

    async def leader(self, ask: Ask[T]) -> T:
        """By the controller that leads: what brokers do not take for each other, as a broker's own settings."""
        return await self._first("controller", ask)

    def _places(self, kind: Kind) -> list[tuple[str, str]]:
        """Pod and address of each that may be asked; controllers of another set are known by their Service alone."""
        if kind == "controller" and not self.config.is_controller:
            return [("", address) for address in self.addresses.get(self.config.quorum_service, ())][:MOST]
        ordinal = self.config.identity.ordinal_of
        pods = [pod for pod, found in self.addresses.items() if found and ordinal(pod) is not None]
        ordered = sorted(pods, key=lambda pod: (pod != self._last, ordinal(pod) or 0))
        return [(pod, self.addresses[pod][0]) for pod in ordered][:MOST]

    async def _first(self, kind: Kind, ask: Ask[T]) -> T:
        from peerboot.outside.kafka import KafkaError

        failed: list[KafkaError] = []
        for pod, address in self._places(kind):
            try:
                found = await ask(self._client(pod, address, kind))
            except KafkaError as error:
                if error.outcome in FINAL or error.sent:
                    raise
                failed.append(error)
            else:
                self._last = pod if kind == "broker" else self._last
                return found
        if failed:
            # One that answered says more than one that is down.
            raise next((e for e in failed if e.outcome not in ("refused", "timeout", "not-leader")), failed[0])
        raise KafkaError("refused", f"DNS has no address of a {kind}")

    def _client(self, pod: str, address: str, kind: Kind) -> Kafka:
        key = address, kind
        if key not in self._open:
            self._open[key] = connect(self.config, pod, address, kind)
        return self._open[key]
