"""``init`` and ``sidecar``: settings to a running node, its servers, its signals, its end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from peerboot import identity as identities
from peerboot import preflight, prestop, systems
from peerboot.errors import PeerbootError, SettingsError, bug
from peerboot.model import Identity
from peerboot.outside import files
from peerboot.outside.clock import Clock, SystemClock, process_age
from peerboot.report import sentence
from peerboot.settings import Setting, Settings, config_path, read

if TYPE_CHECKING:
    from peerboot.log import Log
    from peerboot.outside.kubernetes import Kubernetes
    from peerboot.outside.pair import Mounted
    from peerboot.run import Doors, Node

SMALL = 64 * 1024
SLOW_START = 0.4
"""Seconds: longer than the pause before the first question of a small set."""
NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


@dataclass(frozen=True)
class SetUp:
    """Everything that is fixed before the first look."""

    settings: Settings
    identity: Identity
    system: systems.Prepared
    data_dir: Path
    nameservers: tuple[str, ...]
    api: Mapping[str, str]
    """Where the kubelet says that the Kubernetes API is, see ``outside.kubernetes.base_of``."""


def _text(path: str) -> str:
    try:
        return (files.read_small(Path(path), SMALL) or b"").decode("utf-8", "replace")
    except files.FilesError:
        return ""


def set_up(environ: Mapping[str, str]) -> SetUp:
    """Settings, identity and system; nothing is written. Raises ``SettingsError``."""
    config_file = config_path(environ)
    settings = read(
        environ,
        _yaml(*_text_of("PEERBOOT_CONFIG_FILE", config_file)) if config_file else {},
        _known_settings(),
        hostname=socket.gethostname(),
        namespace_file=_text(NAMESPACE_FILE),
    )
    resolv = _text("/etc/resolv.conf")
    who = identities.derive(settings, resolv, _text("/etc/hosts"))
    system = systems.find(settings.system)
    data_dir = systems.data_dir_of(settings, system.default_data_dir)
    base_file = settings.base_config_file
    base = system.parse_base(*_text_of("PEERBOOT_BASE_CONFIG_FILE", base_file)) if base_file else {}
    prepared = system.prepare(settings, who, base)
    nameservers = settings.nameservers or identities.nameservers(resolv)
    api = {name: value for name, value in environ.items() if name.startswith("KUBERNETES_SERVICE_")}
    return SetUp(settings, who, prepared, data_dir, nameservers, api)


def _known_settings() -> dict[str, tuple[Setting, ...]]:
    """The own settings of each system. One that cannot be loaded has none; naming it says why."""
    known: dict[str, tuple[Setting, ...]] = {}
    for name in systems.names():
        try:
            known[name] = systems.settings_of(name)
        except SettingsError:
            known[name] = ()
    return known


def _text_of(name: str, path: str) -> tuple[str, str]:
    """The text of a file that a setting names, and how to call it in an error; raises ``SettingsError``."""
    try:
        content = files.read_small(Path(path), 1 << 20)
        if content is None:
            raise SettingsError(f"{name}={path} is not there: mount the file")
        return content.decode("utf-8"), f"{name}={path}"
    except files.FilesError as error:
        raise SettingsError(f"{name}: {error}: mount a file that the Pod's user may read") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}={path} is not text in UTF-8: write it anew") from None


def _yaml(text: str, source: str) -> Mapping[str, object]:
    from peerboot.outside.yaml import settings_of

    return settings_of(text, source)


def secrets_of(settings: Settings, complain: Callable[[str], None]) -> Callable[[], tuple[bytes, ...]]:
    """The census keys, read again when the file changes; while it is broken the last good ones count."""
    if not settings.by_key:
        return lambda: ()
    path = Path(settings.secret_file)
    stamp, keys, said = _stamp(path), preflight.read_secrets(settings.secret_file), ""

    def current() -> tuple[bytes, ...]:
        nonlocal stamp, keys, said
        now = _stamp(path)
        if now == stamp:
            return keys
        try:
            keys, stamp, said = preflight.read_secrets(settings.secret_file), now, ""
        except SettingsError as error:
            if said != str(error):
                said = str(error)
                complain(f"{said}. The keys read before still count.")
        return keys

    return current


def _certificate(settings: Settings, complain: Callable[[str], None]) -> Mounted | None:
    """The census' own, where it is over TLS; nothing of it is loaded otherwise."""
    if not settings.by_tls:
        return None
    from peerboot.outside.pair import Mounted

    return Mounted(settings.census_tls_dir, complain)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _kubernetes(made: SetUp, log: Log) -> Kubernetes | None:
    """The API, where a setting asks for it; nothing of it is loaded otherwise."""
    settings = made.settings
    if "none" == settings.replicas_from == settings.events and not settings.anchor.startswith("configmap:"):
        return None
    from peerboot.outside.kubernetes import Kubernetes, base_of

    return Kubernetes(base_of(made.api), made.identity.namespace, warn=log.warning, tell=log.info)


def make_doors(made: SetUp, clock: Clock, log: Log, boot: str, state: Path) -> Doors:
    """The world as this process reaches it."""
    from peerboot.census import Census
    from peerboot.discovery import Discovery
    from peerboot.outside import elsewhere
    from peerboot.outside.dns import Dns
    from peerboot.outside.http import Http
    from peerboot.run import Doors
    from peerboot.statedir import StateDir

    settings, who = made.settings, made.identity
    dns, http = Dns(made.nameservers, clock), Http()
    own = (made.data_dir, *(path for _, path in getattr(made.system, "further_dirs", ())))
    return Doors(
        clock=clock,
        dns=dns,
        http=http,
        discovery=Discovery(who, settings.port_name, dns, clock),
        census=Census(
            who,
            http,
            clock,
            secrets_of(settings, log.warning),
            boot,
            auth=settings.by_key,
            tls=_certificate(settings, log.warning),
        ),
        state=StateDir(state, who, clock, lambda: elsewhere.find(state.parent, getattr(made.system, "marks", ()), own)),
        system=made.system,
        log=log,
        kubernetes=_kubernetes(made, log),
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
    state = preflight.check(made.settings, made.data_dir, _further_dirs(made))
    log = Log(made.settings.log_format, made.settings.log_level, made.identity.pod)
    node = make_node(made, mode, SystemClock(), log, state)
    try:
        _ordinal_fits(node)
        code = await _until_done(node, made.settings, partial(_announce, made, log, environ))
        node.report.last_words(sentence(node.decision))
        return code
    except PeerbootError as error:
        log.error(str(error), exit_code=error.exit_code)  # noqa: TRY400 - a verdict, not a bug: no traceback
        node.report.last_words(str(error))
        return error.exit_code
    except Exception as error:
        # The command line tells it too, but knows only of a termination log that is named in the environment.
        node.report.last_words(bug(error))
        raise
    finally:
        await node.doors.http.close()


def _ordinal_fits(node: Node) -> None:
    """``init`` on a volume that was never used does not wait for a place that its settings do not have.

    The sidecar stays up and refuses, by the rule out-of-range; a Pod with data starts whatever its ordinal.
    """
    outside = identities.outside_range(node.identity)
    if node.mode == "init" and outside and node.doors.system.read_disk().kind == "blank":
        record = node.doors.state.read()
        if not (record.nonce or record.problem or record.foreign):
            raise SettingsError(outside)


async def _until_done(node: Node, settings: Settings, announce: Callable[[], None]) -> int:
    """Serve and loop until done or told to stop."""
    from peerboot.serve import Serve
    from peerboot.view import NodeView

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The first DNS question travels while the HTTP library is imported, which takes longer than the answer.
    node.loops.head_start = process_age()
    node.first_question()
    if node.loops.head_start > SLOW_START:
        # Under a CPU quota the question is due by now, and the import would share the processor with it.
        await asyncio.sleep(0.02)
    certificate = node.doors.census.tls
    secured = None if certificate is None else lambda: certificate.pair().answers
    serve = Serve(NodeView(node), settings.leave_timeout, secured=secured)
    try:
        await serve.start(settings.listen, settings.metrics_listen, settings.socket_path)
        announce()
        _keep_aside_torn(node)
        running = asyncio.create_task(node.run())
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        last = "" if running in done else await prestop.before_the_end(node, settings.leave_timeout)
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
        if running in done:
            return running.result()
        node.doors.log.info(f"Told to stop: peerboot ends; {last}.")
        return 0
    finally:
        await node.stop()
        await serve.stop()


def _keep_aside_torn(node: Node) -> None:
    if node.observing:
        return
    try:
        node.doors.state.keep_aside_torn()
    except files.FilesError as error:
        node.doors.log.warning(f"{error}. The damaged state stays where it is.")


def _announce(made: SetUp, log: Log, environ: Mapping[str, str]) -> None:
    """What is decided by the settings alone and what may surprise, once."""
    who = made.identity
    pods = "an unknown number of" if who.replicas is None else who.replicas
    log.info(
        f"peerboot for {made.settings.system} in {who.namespace}: {pods} pods of StatefulSet {who.statefulset} "
        f"behind Service {who.zone} (domain from {who.domain_source})."
    )
    if made.settings.mode == "observe":
        log.info("PEERBOOT_MODE=observe: nothing is written for the server, called or renamed.")
    for warning in _warnings(made):
        log.warning(warning)
    if environ.get("PEERBOOT_LAB_NOTE"):
        log.info(environ["PEERBOOT_LAB_NOTE"])


def _further_dirs(made: SetUp) -> tuple[tuple[str, Path], ...]:
    # Systems of other packages may be older than this attribute.
    return getattr(made.system, "further_dirs", ())


def _warnings(made: SetUp) -> Iterator[str]:
    who = made.identity
    if made.settings.mode == "observe":
        # Where peerboot manages, it has not started with these.
        yield from preflight.short_lived(made.settings, made.data_dir, _further_dirs(made))
    if identities.domain_warning(who):
        yield identities.domain_warning(who)
    if made.settings.census_auth == "none":
        yield "PEERBOOT_CENSUS_AUTH=none: anybody in the network can speak for a pod and split the set. Use a secret."
    if who.replicas == 1 and not made.settings.anchor:
        yield "One pod without an anchor: if its disk is lost, an empty cluster forms in its place."
    if who.replicas == 2:
        yield "Two pods: the loss of either stops all writes."
    if made.settings.events == "pod" and not who.uid:
        yield "POD_UID is not set: `kubectl describe pod` does not show the events. Take it from metadata.uid."
    if identities.outside_range(who):
        yield identities.outside_range(who) + "."
