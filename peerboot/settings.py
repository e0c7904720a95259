"""Settings: what the user said, checked. Pure; the command line hands in the environment and the file.

``GENERAL`` is the table that ``peerboot settings`` and docs/settings.md show; a system adds its own rows. Every error is
one line: what, why, what to do.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from peerboot.errors import SettingsError

MAX_REPLICAS = 1000
"""More pods than this in one set is a typing error: one answer about them would not fit 64 KiB of DNS over TCP."""

ListenKind = Literal["text", "int", "duration", "path", "choice", "listen", "addresses", "nameservers", "label", "anchor"]


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    name: str
    """The environment variable."""
    kind: ListenKind
    default: str | None
    """As a user would write it; None: required; empty: none."""
    reason: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 1 << 31
    field: str = ""
    """Name in ``Settings``; empty for a system's own."""

    @property
    def key(self) -> str:
        """Its name in the settings file."""
        return self.name.removeprefix("PEERBOOT_").lower()


def _row(field: str, kind: ListenKind, default: str | None, reason: str, **more: Any) -> Setting:
    name = more.pop("name", f"PEERBOOT_{field.upper()}")
    return Setting(name=name, kind=kind, default=default, reason=reason, field=field, **more)


GENERAL: tuple[Setting, ...] = (
    _row("system", "text", None, "The system to bring up; `peerboot systems` lists them."),
    _row("mode", "choice", "manage", "`observe` decides, logs and measures, but never writes the server's files, calls or renames.", choices=("manage", "observe")),
    _row("replicas", "int", "", "Expected pods when forming, equal to `.spec.replicas`. Required to form; nothing is ever removed by it.", unit="pods", low=1, high=MAX_REPLICAS),
    _row("replicas_from", "choice", "none", "Where the live number of pods comes from, for leaving and cleaning up.", choices=("none",)),
    _row("ordinals_start", "int", "0", "`.spec.ordinals.start` of the StatefulSet.", unit="ordinal", low=0, high=(1 << 31) - 1),
    _row("service", "label", None, "The governing headless Service (`.spec.serviceName`)."),
    _row("port_name", "label", "peerboot", "The Service's named port; its SRV record carries the census port."),
    _row("pod_name", "label", "", "Downward API `metadata.name`; falls back to the host name.", name="POD_NAME"),
    _row("pod_namespace", "label", "", "Downward API `metadata.namespace`; falls back to the service account's file.", name="POD_NAMESPACE"),
    _row("pod_uid", "text", "", "Downward API `metadata.uid`; tells two Pods of one name apart.", name="POD_UID"),
    _row("pod_ips", "addresses", "", "Downward API `status.podIPs`, separated by commas.", name="POD_IPS"),
    _row("cluster_domain", "text", "", "The cluster domain; found in resolv.conf's search list when not set."),
    _row("nameservers", "nameservers", "", "`ip[:port],…`; those of resolv.conf when not set."),
    _row("data_dir", "path", "", "The server's data directory, a sub-directory of the volume's mount; each system has a default."),
    _row("state_dir", "path", "", "Where peerboot keeps nonce, birth and journal; `.peerboot` at the root of the data's volume when not set. Must be on the data's file system."),
    _row("output_dir", "path", "/run/peerboot", "Files for the server; an in-memory emptyDir."),
    _row("base_config_file", "path", "", "Your own server settings in the server's format; peerboot's own keys are refused there."),
    _row("listen", "listen", "[::]:7070", "Census, probes and /prestop."),
    _row("metrics_listen", "listen", "[::]:7072", "Metrics, /v1/peers, /v1/decision."),
    _row("admin_socket", "path", "", "For hold, resume, consent, remove, status; `admin.sock` in the output directory when not set."),
    _row("secret_file", "path", "", "Census keys, one a line, 32 bytes or more: the first signs, all verify, read again on change. Required unless PEERBOOT_CENSUS_AUTH=none."),
    _row("census_auth", "choice", "hmac", "`none` lets anybody in the network speak for a pod; only for trying things out.", choices=("hmac", "none")),
    _row("anchor", "anchor", "", "A memory of the birth outside the volumes, `file:/path`: turns the loss of all disks into a refusal."),
    _row("server_bind", "choice", "any", "What the server listens on: `any`, or `pod` for POD_IPS only (several Pods on one host).", choices=("any", "pod")),
    _row("deadline", "duration", "0", "`init` gives up waiting after this and exits 4; 0 is never.", unit="duration"),
    _row("leave_timeout", "duration", "20s", "The longest that /prestop may take.", unit="duration"),
    _row("diagnose_after", "duration", "60s", "How long a wrong DNS set-up must last before `init` exits 3; longer than a negative answer may be cached.", unit="duration"),
    _row("termination_log", "path", "/dev/termination-log", "Where the last sentence goes when the container ends."),
    _row("log_format", "choice", "text", "`text`: one sentence a line; `json`: keys ts level msg pod rule decision.", choices=("text", "json")),
    _row("log_level", "choice", "info", "The least level that is logged.", choices=("debug", "info", "warning", "error")),
    _row("config_file", "path", "", "A YAML file with settings; the environment wins."),
)


@dataclass(frozen=True)
class Settings:
    """The general settings, parsed, and the system's own in ``extra`` by name without prefix, lower case."""

    system: str
    mode: Literal["manage", "observe"]
    replicas: int | None
    replicas_from: str
    ordinals_start: int
    service: str
    port_name: str
    pod_name: str
    pod_namespace: str
    pod_uid: str
    pod_ips: tuple[str, ...]
    cluster_domain: str
    nameservers: tuple[str, ...]
    data_dir: str
    state_dir: str
    output_dir: str
    base_config_file: str
    listen: str
    metrics_listen: str
    admin_socket: str
    secret_file: str
    census_auth: str
    anchor: str
    server_bind: Literal["any", "pod"]
    deadline: float
    leave_timeout: float
    diagnose_after: float
    termination_log: str
    log_format: str
    log_level: str
    config_file: str
    extra: Mapping[str, Any]


DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def parse_duration(name: str, text: str) -> float:
    """Seconds of ``500ms``, ``10s``, ``2m``, ``1h`` or ``0``; raises ``SettingsError``."""
    if text == "0":
        return 0.0
    match = DURATION.fullmatch(text)
    if match is None:
        raise SettingsError(f"{name}={text!r} is not a duration: write it like 500ms, 10s, 2m or 1h")
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds > 366 * 86400:
        raise SettingsError(f"{name}={text!r} is longer than a year: write a shorter one")
    return seconds


def split_listen(name: str, text: str) -> tuple[str, int]:
    """``[::]:7070`` or ``10.0.0.1:7070`` as (address, port); raises ``SettingsError``."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(bare)
        number = int(port) if port.isascii() and port.isdigit() else -1
    except ValueError:
        number = -1
    if not colon or not 1 <= number <= 65535 or (":" in bare) != host.startswith("["):
        raise SettingsError(f"{name}={text!r} is not an address to listen on: write it like [::]:7070 or 10.0.0.1:7070")
    return bare, number


def _nameserver(name: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        split_listen(name, text)
        return text


def parse(row: Setting, text: str) -> Any:
    """The value of one setting from its text; raises ``SettingsError`` in one line."""
    name = row.name
    match row.kind:
        case "int":
            if not re.fullmatch(r"-?\d{1,12}", text):
                raise SettingsError(f"{name}={text!r} is not a whole number: write one from {row.low} to {row.high}")
            if not row.low <= int(text) <= row.high:
                raise SettingsError(f"{name}={text} is out of range: write a number from {row.low} to {row.high}")
            return int(text)
        case "duration":
            return parse_duration(name, text)
        case "path":
            if not text.startswith("/") or "\0" in text or len(text) > 4096:
                raise SettingsError(f"{name}={text!r} is not an absolute path: start it with /")
            return text
        case "choice":
            if text not in row.choices:
                raise SettingsError(f"{name}={text!r} is not known: use {' or '.join(row.choices)}")
            return text
        case "listen":
            split_listen(name, text)
            return text
        case "label":
            if len(text) > 253 or not DOMAIN.fullmatch(text):
                raise SettingsError(f"{name}={text!r} is not a Kubernetes name: lower-case letters, digits and hyphens")
            return text
        case "addresses":
            try:
                return tuple(str(ipaddress.ip_address(part.strip())) for part in text.split(","))
            except ValueError:
                raise SettingsError(f"{name}={text!r} is not a list of IP addresses: take status.podIPs of the downward API") from None
        case "nameservers":
            return tuple(_nameserver(name, part.strip()) for part in text.split(","))
        case "anchor":
            if text.startswith("configmap:"):
                raise SettingsError(f"{name}={text!r}: this release knows only anchors of the form file:/path")
            if not text.startswith("file:/"):
                raise SettingsError(f"{name}={text!r} is not an anchor: write file:/path")
            return text
        case _:
            if not text.isprintable() or len(text) > 4096:
                raise SettingsError(f"{name} holds characters that cannot be printed, or is too long: write plain text")
            return text


EMPTY: dict[str, Any] = {"int": None, "addresses": (), "nameservers": ()}
OWN_PREFIXES = ("PEERBOOT_TEST_", "PEERBOOT_LAB_")
POD_NAMES = ("POD_NAME", "POD_NAMESPACE", "POD_UID", "POD_IPS")


def read(
    environ: Mapping[str, str],
    file_values: Mapping[str, object] | None = None,
    systems: Mapping[str, tuple[Setting, ...]] | None = None,
    *,
    hostname: str = "",
    namespace_file: str = "",
) -> Settings:
    """All settings, parsed and checked against each other.

    ``systems``: each known system's own rows. ``hostname`` and ``namespace_file`` (its content) are the fallbacks of
    POD_NAME and POD_NAMESPACE. Raises ``SettingsError`` with one line.
    """
    systems = systems or {}
    rows = {row.name: row for row in (*GENERAL, *(row for own in systems.values() for row in own))}
    texts = _texts(environ, file_values or {}, rows)
    system = texts.get("PEERBOOT_SYSTEM", "")
    if not system:
        raise SettingsError(f"PEERBOOT_SYSTEM is not set: set it to one of {', '.join(sorted(systems))}")
    if system not in systems:
        raise SettingsError(f"PEERBOOT_SYSTEM={system!r} is not known: use one of {', '.join(sorted(systems))}")
    texts.setdefault("POD_NAME", hostname.partition(".")[0])
    texts.setdefault("POD_NAMESPACE", namespace_file.strip())
    values = {row.field: _value(row, texts) for row in GENERAL}
    own = {row.key: _value(row, texts) for row in systems[system]}
    known = {field.name for field in fields(Settings)}
    settings = Settings(**{key: value for key, value in values.items() if key in known}, extra=own)
    _contradictions(settings)
    return settings


def _value(row: Setting, texts: Mapping[str, str]) -> Any:
    text = texts.get(row.name, "")
    if text == "":
        if row.default is None:
            raise SettingsError(f"{row.name} is not set: {row.reason[0].lower()}{row.reason[1:]}")
        if row.default == "":
            return EMPTY.get(row.kind, "")
        text = row.default
    return parse(row, text)


def _texts(environ: Mapping[str, str], file_values: Mapping[str, object], rows: Mapping[str, Setting]) -> dict[str, str]:
    keys = {row.key: row.name for row in rows.values()}
    texts: dict[str, str] = {}
    for key, value in file_values.items():
        if key not in keys:
            raise SettingsError(f"{key!r} in PEERBOOT_CONFIG_FILE is not a setting{_nearest(str(key), keys)}")
        texts[keys[key]] = _plain(key, value)
    for name, value in environ.items():
        if name.startswith("PEERBOOT_") and not name.startswith(OWN_PREFIXES) and name not in rows:
            if _is_service_link(name):
                continue
            raise SettingsError(f"{name} is not a setting{_nearest(name, rows)}")
        if name in rows and value != "":
            texts[name] = value
    return texts


SERVICE_LINK = re.compile(r"PEERBOOT_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_(?:ADDR|PORT|PROTO))?)?)")


def _is_service_link(name: str) -> bool:
    """What the kubelet sets for a Service whose name begins with ``peerboot`` (enableServiceLinks)."""
    return SERVICE_LINK.fullmatch(name) is not None


def _plain(key: object, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | list):
        raise SettingsError(f"{key!r} in PEERBOOT_CONFIG_FILE must be text or a number: put it in quotes")
    if isinstance(value, list):
        return ",".join(_plain(key, part) for part in value[:64])
    return str(value)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else "; `peerboot settings` lists them all"


def _inside(inner: str, outer: str) -> bool:
    return bool(inner and outer) and (inner.rstrip("/") + "/").startswith(outer.rstrip("/") + "/")


def _contradictions(s: Settings) -> None:
    """What cannot be meant together."""
    if not s.pod_name:
        raise SettingsError("POD_NAME is not set: take it from metadata.name of the downward API")
    if not s.pod_namespace:
        raise SettingsError("POD_NAMESPACE is not set: take it from metadata.namespace of the downward API")
    if s.census_auth == "none" and s.secret_file:
        raise SettingsError("PEERBOOT_SECRET_FILE is set although PEERBOOT_CENSUS_AUTH=none: drop one of the two")
    if s.census_auth != "none" and not s.secret_file:
        raise SettingsError("PEERBOOT_SECRET_FILE is not set: name a file with a key of 32 bytes or more, or set PEERBOOT_CENSUS_AUTH=none to let anybody speak for a pod")
    if s.cluster_domain and not DOMAIN.fullmatch(s.cluster_domain.lower().strip(".")):
        raise SettingsError(f"PEERBOOT_CLUSTER_DOMAIN={s.cluster_domain!r} is not a domain: write it like cluster.local")
    if s.state_dir and s.state_dir.rstrip("/") == s.data_dir.rstrip("/"):
        raise SettingsError("PEERBOOT_STATE_DIR is PEERBOOT_DATA_DIR: the server would find foreign files there; use a directory beside it")
    if _inside(s.state_dir, s.data_dir):
        raise SettingsError("PEERBOOT_STATE_DIR lies inside PEERBOOT_DATA_DIR: it would move aside with the data; use a directory beside it")
    for name, path in (("PEERBOOT_DATA_DIR", s.data_dir), ("PEERBOOT_STATE_DIR", s.state_dir)):
        if _inside(s.output_dir, path):
            raise SettingsError(f"PEERBOOT_OUTPUT_DIR lies inside {name}: use a directory of its own, in memory")
    if s.listen == s.metrics_listen:
        raise SettingsError("PEERBOOT_LISTEN and PEERBOOT_METRICS_LISTEN are the same: give them different ports")
    if s.server_bind == "pod" and not s.pod_ips:
        raise SettingsError("PEERBOOT_SERVER_BIND=pod needs POD_IPS: take it from status.podIPs of the downward API")
