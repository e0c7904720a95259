"""Systems that peerboot knows, and the protocol that one of them fulfils.

A system is one folder with the same file names as the others: ``README.md``, ``settings.py``, ``spec.py``,
``assess.py``, ``plan.py``, ``calls.py`` and ``cases/*.txt``, and ``manifest.py`` where it brings one. Out-of-tree
systems are found by the entry-point group ``peerboot.systems``, whose entries name an object that fulfils
:class:`System`, and :class:`BringsManifest` if it likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from peerboot.errors import SettingsError
from peerboot.model import Call, ClusterView, Decision, Disk, Done, Facts, Identity, Limits, Plan, Traits
from peerboot.outside.http import Http
from peerboot.printing import any_of
from peerboot.settings import Setting, Settings

if TYPE_CHECKING:
    import argparse

    from peerboot.certified import Certified
    from peerboot.manifest.server import Server
    from peerboot.outside.copying import Stop

BUILT_IN = ("etcd", "kafka", "postgres")


class Prepared(Protocol):
    """One system, set up for one Pod."""

    permit_name: str
    """Name of the file in the output directory without which the server cannot start."""
    files: tuple[str, ...]
    """Names of the files in the output directory that its plan compares; the permit is one of them."""
    further_dirs: tuple[tuple[str, Path], ...]
    """The server's directories beside the data directory, each after the setting that names it. They hold data too."""
    marks: tuple[str, ...]
    """What a directory with data of its servers has, as relative paths: data elsewhere on the volume is found by it."""
    own_urls: tuple[str, ...]
    fingerprint: str
    """Hash of the settings that all pods must share to form."""
    limits: Limits
    traits: Traits
    also_resolve: tuple[str, ...]
    """Host names beyond this set that a look needs: servers of another set that are the quorum. At most 8."""

    def read_disk(self) -> Disk:
        """Look at the data directory; never changes it, never raises."""

    def is_running(self) -> bool:
        """Whether a server holds the lock of the data directory. Cheap."""

    def permit_kind(self, content: str | None) -> Literal["absent", "first", "resume"]:
        """What a permit file of this content lets the server do."""

    def predicted_cluster(self, facts: Facts) -> str:
        """The cluster id that the own birth leads to, empty when it cannot be known."""

    async def look(
        self,
        http: Http,
        addresses: Mapping[str, tuple[str, ...]],
        *,
        rest: bool,
        timeout: float,
        now: float,
        told: Mapping[str, str] | None = None,
    ) -> ClusterView:
        """Ask the servers; never changes anything, never raises. ``rest``: own server first, and alone if it serves.

        ``addresses``: by pod, and by each name of ``also_resolve`` that DNS knows. ``told``: by
        address, the cluster in which the Pod of this set there serves, by its own, signed word.
        """

    def hosts_to_resolve(self, view: ClusterView) -> tuple[str, ...]:
        """Host names of listed members that a joining server must be able to resolve."""

    def plan(self, facts: Facts, decision: Decision) -> Plan:
        """Decision to actions; pure."""

    async def call(self, http: Http, call: Call, view: ClusterView, addresses: Mapping[str, tuple[str, ...]]) -> Done:
        """Carry out one admin call within its time-out; never raises."""

    def move_aside(self, stamp: str, part: Literal["all", "member"]) -> str:
        """Rename the data, or that part of it, aside under the server's own lock; returns where to.

        Raises ``OSError`` when busy.
        """


class ForcesOne(Protocol):
    """The optional part of a prepared system with the trait ``forces``."""

    def copy_data(self, name: str, stop: Stop) -> tuple[Path, int]:
        """Copy the data beside itself under the server's own lock, whole and synced; returns where to, and its bytes.

        Raises ``OSError`` when busy, ``FilesError`` when there is no room or ``stop`` was set.
        """

    def commit_log(self) -> int:
        """Have all that the log holds count as committed, under the same lock; returns how many entries that adds.

        Raises ``OSError``.
        """


class ShowsCertificates(Protocol):
    """The optional part of a prepared system whose servers have certificates."""

    def certificates(self) -> tuple[Certified, ...]:
        """Those that count now, by the mounted files; cheap, for it is asked at each scrape. Never raises."""


class System(Protocol):
    """What a system declares."""

    name: str
    settings: tuple[Setting, ...]
    default_data_dir: str

    def parse_base(self, text: str, source: str) -> Mapping[str, object]:
        """The user's own server settings, in the server's format; raises ``SettingsError`` for what is none."""

    def prepare(self, settings: Settings, identity: Identity, base: Mapping[str, object]) -> Prepared:
        """Set it up for this Pod; raises ``SettingsError`` for what is wrong."""


class BringsManifest(Protocol):
    """The optional part of a system. One without it works, but has no ``peerboot manifest``."""

    def manifest(self) -> Server:
        """What it adds to the manifests. Imports what it needs on use: only ``peerboot manifest`` calls it."""


class BringsCommands(Protocol):
    """The optional part of a system that has commands of its own, as ``peerboot kafka drain``."""

    example_command: str
    """One line that can be copied."""

    def add_commands(self, parser: argparse.ArgumentParser) -> None:
        """Add them to the parser of the system's name. Imports nothing heavy."""

    def in_a_pod(self, args: argparse.Namespace) -> str:
        """The command that was typed, as one line that runs it in a Pod."""

    async def run_command(
        self,
        args: argparse.Namespace,
        settings: Settings,
        prepared: Prepared,
        find: Callable[[], Awaitable[Mapping[str, tuple[str, ...]]]],
    ) -> int:
        """Carry one out and print; returns the exit code, raises ``PeerbootError``.

        ``find``: asks DNS for the addresses, by pod and by each name of ``also_resolve``.
        """


def names() -> tuple[str, ...]:
    """Every system that can be named in PEERBOOT_SYSTEM."""
    return tuple(sorted({*BUILT_IN, *(entry.name for entry in entry_points(group="peerboot.systems"))}))


def find(name: str) -> System:
    """The system of that name, imported now; raises ``SettingsError`` when there is none."""
    if name in BUILT_IN:
        found: System = import_module(f"peerboot.systems.{name}.spec").SYSTEM
        return found
    for entry in entry_points(group="peerboot.systems"):
        if entry.name == name:
            return _load(entry)
    raise SettingsError(f"the system {name!r} is not known: use {any_of(names())}")


def settings_of(name: str) -> tuple[Setting, ...]:
    """The own settings of the system of that name; raises ``SettingsError`` when there is none.

    Of a built-in one nothing else is imported: each Pod's start asks this of all systems, and runs one.
    """
    if name in BUILT_IN:
        found: tuple[Setting, ...] = import_module(f"peerboot.systems.{name}.settings").SETTINGS
        return found
    return find(name).settings


def _load(entry: EntryPoint) -> System:
    try:
        loaded: System = entry.load()
    except Exception as error:  # noqa: BLE001 - code of others, at import: it may raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise SettingsError(f"the system {entry.name!r} cannot be loaded ({what}): repair its package") from None
    return loaded


def server_of(name: str) -> Server:
    """What that system adds to the manifests; raises ``SettingsError`` when it brings none."""
    from peerboot.manifest.server import Server

    brings = getattr(find(name), "manifest", None)
    if brings is None:
        raise SettingsError(
            f"the system {name!r} brings no manifest: write one by hand, after that of `peerboot manifest etcd`"
        )
    try:
        made = brings()
    except Exception as error:  # noqa: BLE001 - code of others: it may raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise SettingsError(f"the manifest of {name!r} cannot be made ({what}): repair its package") from None
    if not isinstance(made, Server):
        raise SettingsError(f"the manifest of {name!r} is no peerboot.manifest.server.Server: repair its package")
    return made


def commands_of(name: str) -> BringsCommands:
    """The commands that a built-in system brings; the command line names only systems that bring some."""
    found: BringsCommands = import_module(f"peerboot.systems.{name}.spec").SYSTEM
    return found


def data_dir_of(settings: Settings, default: str) -> Path:
    """The data directory: the setting, or the system's default."""
    return Path(settings.data_dir or default)
