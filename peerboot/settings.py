"""Settings: what the user said, checked. Pure; the command line hands in the environment and the file.

``settings_table.GENERAL`` has the general ones; a system adds its own rows.
Every error is one line: what, why, what to do. What only the disk can tell is checked in ``preflight.py``.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from peerboot.errors import SettingsError
from peerboot.printing import any_of
from peerboot.settings_table import CONFIG_FILE, GENERAL, MAX_ORDINAL
from peerboot.values import Setting, parse, parse_duration, shown, split_address, split_listen

__all__ = [
    "Setting",
    "Settings",
    "as_mapping",
    "config_path",
    "contradictions",
    "nearest",
    "parse_duration",
    "read",
    "split_listen",
]

MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path (unix(7): sun_path has 108, with the zero at the end)."""


@dataclass(frozen=True)
class Settings:
    """The general settings, parsed, and the system's own in ``extra`` by name without prefix, lower case.

    Durations are seconds. A path, a name or an address that was not given is the empty text.
    """

    system: str
    mode: Literal["manage", "observe"]
    replicas: int | None
    """None when not told: then nothing is formed."""
    replicas_from: str
    ordinals_start: int
    service: str
    port_name: str
    pod_name: str
    pod_namespace: str
    pod_uid: str
    pod_ips: tuple[str, ...]
    cluster_domain: str
    """Lower case, without a dot at the end."""
    nameservers: tuple[str, ...]
    """``ip`` or ``ip:port``, see ``values.split_nameserver``."""
    data_dir: str
    state_dir: str
    output_dir: str
    base_config_file: str
    listen: str
    """See ``split_listen``."""
    metrics_listen: str
    admin_socket: str
    secret_file: str
    census_auth: str
    """``hmac``, ``tls``, ``hmac,tls`` or ``none``; see ``by_key`` and ``by_tls``."""
    census_tls_dir: str
    anchor: str
    """``file:/path`` or ``configmap:NAME``."""
    server_bind: Literal["any", "pod"]
    events: str
    deadline: float
    leave_timeout: float
    diagnose_after: float
    termination_log: str
    log_format: str
    log_level: str
    config_file: str
    extra: Mapping[str, Any]
    name_from_host: bool = False
    """The pod name is the host name, for POD_NAME was not given."""

    @property
    def by_key(self) -> bool:
        """Whether a census key proves who speaks."""
        return "hmac" in self.census_auth

    @property
    def by_tls(self) -> bool:
        """Whether a certificate does."""
        return "tls" in self.census_auth

    @property
    def socket_path(self) -> str:
        """The admin socket."""
        return self.admin_socket or f"{self.output_dir}/admin.sock"


NOTHING: dict[str, Any] = {"int": None, "addresses": (), "nameservers": ()}
"""The value of a setting without default that was not given, by kind; for the others the empty text."""
LATER_SYSTEMS = ("patroni",)
OWN_PREFIXES = ("PEERBOOT_TEST_", "PEERBOOT_LAB_")
"""Names by which the project's own tests and lab steer themselves. No setting begins like this."""


def read(
    environ: Mapping[str, str],
    file_values: Mapping[str, object] | None = None,
    systems: Mapping[str, tuple[Setting, ...]] | None = None,
    hostname: str = "",
    namespace_file: str | None = None,
) -> Settings:
    """All settings, parsed and checked against each other.

    ``systems``: each known system's own rows. ``hostname`` and ``namespace_file`` (its content) are the
    fallbacks of POD_NAME and POD_NAMESPACE. A variable that is set to nothing counts as not set. Raises
    ``SettingsError`` with one line.
    """
    systems = systems or {}
    rows = {row.name: row for row in (*GENERAL, *(row for own in systems.values() for row in own))}
    texts = _texts(environ, file_values or {}, rows)
    system, choice = texts.get("PEERBOOT_SYSTEM", ""), any_of(sorted(systems))
    if not system:
        raise SettingsError(f"PEERBOOT_SYSTEM is not set: set it to {choice}")
    if system not in systems:
        how = "comes with a later release" if system in LATER_SYSTEMS else "is not known"
        raise SettingsError(f"PEERBOOT_SYSTEM={shown(system)} {how}: use {choice}")
    from_host = "POD_NAME" not in texts and hostname != ""
    texts.setdefault("POD_NAME", hostname.partition(".")[0])
    texts.setdefault("POD_NAMESPACE", (namespace_file or "").strip())
    for name, field in (("POD_NAME", "name"), ("POD_NAMESPACE", "namespace")):
        if not texts[name]:
            raise SettingsError(f"{name} is not set: take it from metadata.{field} of the downward API")
    values = {row.field: _value(row, texts) for row in GENERAL}
    own = {row.key: _value(row, texts) for row in systems[system]}
    settings = Settings(**values, extra=own, name_from_host=from_host)
    contradictions(settings)
    return settings


def config_path(environ: Mapping[str, str]) -> str:
    """The settings file, empty when there is none; it must be read before the other settings are."""
    text = environ.get(CONFIG_FILE.name, "")
    return parse(CONFIG_FILE, text) if text else ""


def as_mapping(source: str, loaded: object) -> Mapping[str, object]:
    """What the YAML reader gave, as names and values; raises ``SettingsError`` that names its ``source``."""
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise SettingsError(f"{source} does not hold names with values: write lines like `name: value`")
    return loaded


def _value(row: Setting, texts: Mapping[str, str]) -> Any:
    text = texts.get(row.name) or row.default
    if text is None:
        raise SettingsError(f"{row.name} is not set: {row.reason[0].lower()}{row.reason[1:].rstrip('.')}")
    return parse(row, text) if text else NOTHING.get(row.kind, "")


def _texts(
    environ: Mapping[str, str], file_values: Mapping[str, object], rows: Mapping[str, Setting]
) -> dict[str, str]:
    """What was said, by the variable's name; in order, so that one mistake always gives the same line."""
    keys = {row.key: row for row in rows.values()}
    texts: dict[str, str] = {}
    for key in sorted(file_values):
        if key == "config_file":
            raise SettingsError("config_file stands in PEERBOOT_CONFIG_FILE: drop it, only one file is read")
        if key not in keys:
            close = nearest(key, keys)
            raise SettingsError(f"{_name(key)} in PEERBOOT_CONFIG_FILE {_not_a_setting(close)}")
        texts[keys[key].name] = _plain(keys[key], file_values[key])
    for name in sorted(environ):
        if _is_link(name, environ[name]):
            continue
        if name in rows:
            texts[name] = environ[name] or texts.get(name, "")
        elif name.startswith("PEERBOOT_") and not _is_others(name, environ[name]):
            # Compared without the prefix, which would make any two names alike.
            close = nearest(name.removeprefix("PEERBOOT_").lower(), keys)
            raise SettingsError(f"{_name(name)} {_not_a_setting(keys[close].name if close else '')}")
    return {name: text for name, text in texts.items() if text}


def _is_link(name: str, value: str) -> bool:
    """A service link with a URL, also where its name is a setting's.

    A Service ``peerboot-etcd-client`` gives PEERBOOT_ETCD_CLIENT_PORT=tcp://10.0.0.1:2379.
    """
    named = re.search(r"_PORT(_[0-9]+_(TCP|UDP|SCTP))?$", name)
    return named is not None and re.match(r"(tcp|udp|sctp)://", value) is not None


def _is_others(name: str, value: str) -> bool:
    """Not meant as a setting: the project's own, or set by the kubelet for a Service named ``peerboot…``.

    Such service links (enableServiceLinks, on by default) are known by their shape. For a Service
    ``peerboot-x``: PEERBOOT_X_SERVICE_HOST, ``_SERVICE_PORT``, ``_SERVICE_PORT_<NAME>``, ``_PORT_<n>_TCP_PROTO``,
    ``_PORT`` and ``_ADDR``, and those of ``_is_link``.
    """
    if name.startswith(OWN_PREFIXES):
        return True
    if re.search(r"_PORT_[0-9]+_(TCP|UDP|SCTP)_(ADDR|PORT|PROTO)$", name) or name.endswith("_SERVICE_HOST"):
        return True
    return re.search(r"_SERVICE_PORT(_[A-Z0-9_]+)?$", name) is not None and value.isdigit()


def _name(text: str) -> str:
    return text if text.isprintable() and len(text) <= 80 else shown(text)


def _plain(row: Setting, value: object) -> str:
    if isinstance(value, list) and row.kind in ("addresses", "nameservers"):
        return ",".join(_plain(row, part) for part in value[: row.most + 1])
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SettingsError(f"{row.key} in PEERBOOT_CONFIG_FILE is not text or a number: put it in quotes")
    return str(value)


def _not_a_setting(close: str) -> str:
    return "is not a setting: " + (f"did you mean {close}?" if close else "`peerboot settings` lists them all")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like a mistyped one; empty when none is."""
    return next(iter(difflib.get_close_matches(name[:80], known, n=1, cutoff=0.6)), "")


# ------------------------------------------------------------ contradictions


def contradictions(settings: Settings) -> None:
    """What cannot be meant together; raises ``SettingsError``.

    ``preflight.check`` asks again once the data and state directories that were not set are known.
    """
    _auth(settings)
    _directories(settings)
    _addresses(settings)


def _auth(s: Settings) -> None:
    if s.secret_file and not s.by_key:
        raise SettingsError(f"PEERBOOT_SECRET_FILE is set, yet PEERBOOT_CENSUS_AUTH={s.census_auth}: drop one of them")
    if s.by_key and not s.secret_file:
        raise SettingsError(
            "PEERBOOT_SECRET_FILE is not set: name a file with a key of 32 bytes or more, or set "
            + (
                "PEERBOOT_CENSUS_AUTH=tls once all Pods have hmac,tls"
                if s.by_tls
                else "PEERBOOT_CENSUS_AUTH=none to let anybody speak for a pod"
            )
        )
    if s.by_tls and not s.census_tls_dir:
        raise SettingsError(
            f"PEERBOOT_CENSUS_AUTH={s.census_auth}, and PEERBOOT_CENSUS_TLS_DIR is not set: name the directory with "
            "tls.crt, tls.key and ca.crt; that of the server's own certificate will do, where it is for this Pod's DNS "
            "name and for serverAuth and clientAuth"
        )
    if s.census_tls_dir and not s.by_tls:
        raise SettingsError(
            f"PEERBOOT_CENSUS_TLS_DIR is set, yet PEERBOOT_CENSUS_AUTH={s.census_auth}: set hmac,tls, and tls once all "
            "Pods have that, or drop the directory"
        )


APART = (
    ("state_dir", "data_dir", "it would move aside with the data"),
    ("data_dir", "state_dir", "the server's files and peerboot's own would mix"),
    ("output_dir", "data_dir", "it would move aside with the data"),
    ("output_dir", "state_dir", "its files must not outlive the Pod"),
    ("data_dir", "output_dir", "that is in memory and is gone with the Pod"),
    ("state_dir", "output_dir", "that is in memory and is gone with the Pod"),
)
"""Inner, outer, why the one must not lie inside the other."""


def _directories(s: Settings) -> None:
    named = {row.field: row.name for row in GENERAL}
    given = {"data_dir": s.data_dir, "state_dir": s.state_dir, "output_dir": s.output_dir}
    paths = {field: posixpath.normpath(path) for field, path in given.items() if path}
    for inner, outer, why in APART:
        one, other = paths.get(inner, ""), paths.get(outer, "")
        if one and one == other:
            raise SettingsError(f"{named[inner]} and {named[outer]} are both {one}: use two directories")
        if one and other and one.startswith(other.rstrip("/") + "/"):
            raise SettingsError(
                f"{named[inner]}={one} lies inside {named[outer]}={other}: {why}; use a directory beside it"
            )
    if len(s.socket_path.encode()) > MAX_SOCKET_PATH:
        raise SettingsError(
            f"PEERBOOT_ADMIN_SOCKET is longer than {MAX_SOCKET_PATH} bytes, the most that a socket's path "
            "may have: set a shorter one"
        )


def _addresses(s: Settings) -> None:
    (one, port), (other, second) = split_address(s.listen), split_address(s.metrics_listen)
    wildcards = {"::", "0.0.0.0"}  # noqa: S104 - compared, not bound
    if port == second and (one == other or {one, other} & wildcards):
        raise SettingsError(
            f"PEERBOOT_LISTEN and PEERBOOT_METRICS_LISTEN are both on port {port}: give them different ports"
        )
    if s.server_bind == "pod" and not s.pod_ips:
        raise SettingsError("PEERBOOT_SERVER_BIND=pod needs POD_IPS: take it from status.podIPs of the downward API")
    if s.ordinals_start + (s.replicas or 0) - 1 > MAX_ORDINAL:
        raise SettingsError(
            f"PEERBOOT_ORDINALS_START={s.ordinals_start} leaves no room for PEERBOOT_REPLICAS={s.replicas}: "
            f"the last ordinal may be {MAX_ORDINAL}"
        )
