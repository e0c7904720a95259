"""``init`` and ``sidecar``: settings to a running node, its servers, its signals, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from peerboot import identity as identities
from peerboot import preflight, systems
from peerboot.errors import PeerbootError, SettingsError
from peerboot.model import Identity
from peerboot.outside import files
from peerboot.outside.clock import Clock, SystemClock
from peerboot.settings import Settings, read

if TYPE_CHECKING:
    from peerboot.log import Log
    from peerboot.run import Doors, Node

SMALL = 64 * 1024
NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


@dataclass(frozen=True)
class SetUp:
    """Everything that is fixed before the first look."""

    settings: Settings
    identity: Identity
    system: systems.Prepared
    data_dir: Path
    nameservers: tuple[str, ...]


def _text(path: str) -> str:
    try:
        return (files.read_small(Path(path), SMALL) or b"").decode("utf-8", "replace")
    except files.FilesError:
        return ""


def set_up(environ: Mapping[str, str]) -> SetUp:
    """Settings, identity and system; nothing is written. Raises ``SettingsError``."""
    known = {name: systems.find(name).settings for name in systems.names()}
    settings = read(
        environ,
        _config_file(environ.get("PEERBOOT_CONFIG_FILE", "")),
        known,
        hostname=socket.gethostname(),
        namespace_file=_text(NAMESPACE_FILE),
    )
    resolv = _text("/etc/resolv.conf")
    who = identities.derive(settings, resolv, _text("/etc/hosts"))
    system = systems.find(settings.system)
    data_dir = systems.data_dir_of(settings, system.default_data_dir)
    prepared = system.prepare(settings, who, _yaml_file("PEERBOOT_BASE_CONFIG_FILE", settings.base_config_file))
    return SetUp(settings, who, prepared, data_dir, settings.nameservers or identities.nameservers(resolv))


def _config_file(path: str) -> Mapping[str, object]:
    if path and not path.startswith("/"):
        raise SettingsError(f"PEERBOOT_CONFIG_FILE={path!r} is not an absolute path: start it with /")
    return _yaml_file("PEERBOOT_CONFIG_FILE", path)


def _yaml_file(name: str, path: str) -> Mapping[str, object]:
    """A YAML file with a mapping, empty when ``path`` is; raises ``SettingsError``."""
    if not path:
        return {}
    from peerboot.outside import yaml

    try:
        content = files.read_small(Path(path), 1 << 20)
        if content is None:
            raise SettingsError(f"{name}={path} is not there: mount the file")
        loaded = yaml.load(content.decode("utf-8"))
    except (files.FilesError, yaml.YamlError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}={path}: {error}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise SettingsError(f"{name}={path} must hold keys and values at the top: key: value")
    return loaded


def secrets_of(settings: Settings) -> Callable[[], tuple[bytes, ...]]:
    """The census keys, read again when the file changes; while it is broken the last good ones count."""
    if settings.census_auth == "none":
        return lambda: ()
    path = Path(settings.secret_file)
    known = {"stamp": _stamp(path), "keys": preflight.read_secrets(settings.secret_file)}

    def keys() -> tuple[bytes, ...]:
        stamp = _stamp(path)
        if stamp != known["stamp"]:
            with contextlib.suppress(SettingsError):
                known["keys"] = preflight.read_secrets(settings.secret_file)
                known["stamp"] = stamp
        current: tuple[bytes, ...] = known["keys"]  # type: ignore[assignment]  # one dict for two kinds of value
        return current

    return keys


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def make_doors(made: SetUp, clock: Clock, log: Log, boot: str, state: Path) -> Doors:
    """The world as this process reaches it."""
    from peerboot.census import Census
    from peerboot.discovery import Discovery
    from peerboot.outside.dns import Dns
    from peerboot.outside.http import Http
    from peerboot.run import Doors
    from peerboot.statedir import StateDir

    settings, who = made.settings, made.identity
    dns, http = Dns(made.nameservers, clock), Http()
    return Doors(
        clock=clock,
        dns=dns,
        http=http,
        discovery=Discovery(who, settings.port_name, dns, clock),
        census=Census(who, http, clock, secrets_of(settings), boot, auth=settings.census_auth != "none"),
        state=StateDir(state, who, clock),
        system=made.system,
        log=log,
    )


def make_node(made: SetUp, mode: Literal["init", "sidecar", "plan"], clock: Clock, log: Log, state: Path) -> Node:
    """One peerboot, ready to run."""
    from peerboot.report import Report
    from peerboot.run import Node

    boot = f"{int(clock.wall() * 1000):x}-{clock.token(8)}"
    report = Report(Path(made.settings.output_dir), log, made.settings.termination_log)
    return Node(
        settings=made.settings,
        identity=made.identity,
        doors=make_doors(made, clock, log, boot, state),
        report=report,
        mode=mode,
        boot=boot,
    )


async def run(mode: Literal["init", "sidecar"], environ: Mapping[str, str]) -> int:
    """The whole life of the container; returns the exit code."""
    from peerboot.log import Log

    made = set_up(environ)
    state = preflight.check(made.settings, made.data_dir)
    log = Log(made.settings.log_format, made.settings.log_level, made.identity.pod)
    _announce(made, log)
    node = make_node(made, mode, SystemClock(), log, state)
    try:
        code = await _until_done(node, made.settings)
        node.report.last_words(node.last_sentence())
        return code
    except PeerbootError as error:
        log.error(str(error), exit_code=error.exit_code)
        node.report.last_words(str(error))
        return error.exit_code
    finally:
        await node.doors.http.close()


async def _until_done(node: Node, settings: Settings) -> int:
    """Serve and loop until done or told to stop."""
    from peerboot.serve import Serve
    from peerboot.view import NodeView

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The first DNS question goes out before the HTTP library is imported: it takes longer than the answer.
    node.first_question()
    serve = Serve(NodeView(node), settings.leave_timeout)
    try:
        await serve.start(
            settings.listen, settings.metrics_listen, settings.admin_socket or f"{settings.output_dir}/admin.sock"
        )
        running = asyncio.create_task(node.run())
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
        if running in done:
            return running.result()
        node.doors.log.info("Told to stop: peerboot ends; stopping is not leaving, so the membership stays as it is.")
        return 0
    finally:
        await node.stop()
        await serve.stop()


def _announce(made: SetUp, log: Log) -> None:
    who = made.identity
    log.info(
        f"peerboot for {made.settings.system} in {who.namespace}: {who.replicas if who.replicas is not None else 'an unknown number of'} pods "
        f"of StatefulSet {who.statefulset} behind Service {who.zone} (domain from {who.domain_source})."
    )
    if who.domain_source == "default":
        log.warning(
            "The cluster domain is not in resolv.conf (dnsPolicy?), so cluster.local is taken: set PEERBOOT_CLUSTER_DOMAIN if it is another."
        )
    if made.settings.census_auth == "none":
        log.warning(
            "PEERBOOT_CENSUS_AUTH=none: anybody in the network can speak for a pod and so cause a split. Use a secret."
        )
    if who.replicas == 1 and not made.settings.anchor:
        log.warning("One pod without an anchor: if its disk is lost, an empty cluster forms in its place.")
    if who.replicas == 2:
        log.warning("Two pods: the loss of either stops all writes.")
    if identities.outside_range(who):
        log.warning(identities.outside_range(who) + ".")
    if made.settings.mode == "observe":
        log.info("PEERBOOT_MODE=observe: nothing is written for the server, called or renamed.")
    if os.environ.get("PEERBOOT_LAB_NOTE"):
        log.info(os.environ["PEERBOOT_LAB_NOTE"])
