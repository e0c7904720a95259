"""The table of general settings: what ``peerboot settings`` and docs/settings.md show. Pure."""

from __future__ import annotations

from typing import Any

from peerboot.values import Setting, SettingKind

MAX_REPLICAS = 1000
"""More is a typing error: one DNS answer, 64 KiB at most, does not list so many pods with their addresses."""
MAX_ORDINAL = (1 << 31) - 1


def _row(field: str, kind: SettingKind, default: str | None, reason: str, **more: Any) -> Setting:
    more = {"name": f"PEERBOOT_{field.upper()}", "unset": UNSET.get(field, ""), **more}
    return Setting(kind=kind, default=default, reason=reason, field=field, **more)


UNSET = {
    "replicas": "required to form",
    "pod_name": "host name",
    "pod_namespace": "account's",
    "nameservers": "resolv.conf",
    "data_dir": "per system",
    "state_dir": "on the data's volume",
    "admin_socket": "in the output dir",
    "secret_file": "required",
}
"""What holds where nothing is set and there is no default that one could write."""

CONFIG_FILE = _row("config_file", "path", "", "YAML with settings. The environment wins; the probe reads only that.")
GENERAL: tuple[Setting, ...] = (
    _row("system", "text", None, "The system to bring up; `peerboot systems` lists them."),
    _row(
        "mode",
        "choice",
        "manage",
        "`observe` decides, logs and measures, but never writes the server's files, calls or renames.",
        choices=("manage", "observe"),
    ),
    _row(
        "replicas",
        "int",
        "",
        "Expected pods when forming, equal to `.spec.replicas`. Required to form; nothing is ever removed by it.",
        unit="pods",
        low=1,
        high=MAX_REPLICAS,
    ),
    _row(
        "replicas_from",
        "choice",
        "none",
        "Where the live number of pods comes from, for leaving and cleaning up; `statefulset` needs `get` on that one.",
        choices=("none", "statefulset"),
    ),
    _row("ordinals_start", "int", "0", "`.spec.ordinals.start` of the StatefulSet.", unit="ordinal", high=MAX_ORDINAL),
    _row("service", "label", None, "The governing headless Service (`.spec.serviceName`)."),
    _row("port_name", "label", "peerboot", "The Service's named port; its SRV record carries the census port."),
    _row("pod_name", "label", "", "Downward API `metadata.name`; falls back to the host name.", name="POD_NAME"),
    _row("pod_namespace", "label", "", "Downward API `metadata.namespace`; else the account's.", name="POD_NAMESPACE"),
    _row("pod_uid", "text", "", "Downward API `metadata.uid`; tells two Pods of one name apart.", name="POD_UID"),
    _row("pod_ips", "addresses", "", "Downward API `status.podIPs`, separated by commas.", name="POD_IPS"),
    _row("cluster_domain", "domain", "auto", "The cluster domain; `auto` finds it in resolv.conf's search list."),
    _row("nameservers", "nameservers", "", "`ip[:port],…`; those of resolv.conf when not set."),
    _row("data_dir", "path", "", "The server's data directory, below the volume's mount; each system has a default."),
    _row(
        "state_dir",
        "path",
        "",
        "Where peerboot keeps nonce, birth and journal; `.peerboot` at the root of the data's volume when"
        " not set. Must be on the data's file system.",
    ),
    _row("output_dir", "path", "/run/peerboot", "Files for the server; an in-memory emptyDir."),
    _row("base_config_file", "path", "", "Your own server settings, in its format; peerboot's keys are refused there."),
    _row("listen", "listen", "[::]:7070", "Census, probes and /prestop; falls back to IPv4 where IPv6 is off."),
    _row("metrics_listen", "listen", "[::]:7072", "Metrics, /v1/peers, /v1/decision, and roles for load balancers."),
    _row("admin_socket", "path", "", "For status, hold, consent …; `admin.sock` in the output directory if not set."),
    _row(
        "secret_file",
        "path",
        "",
        "Census keys, one a line, 32 bytes or more: the first signs, all verify, read again on change. "
        "Required unless PEERBOOT_CENSUS_AUTH is `tls` or `none`.",
        secret=True,
    ),
    _row(
        "census_auth",
        "choice",
        "hmac",
        "How Pods know each other in the census: `hmac` by the key, `tls` by certificates, `hmac,tls` by either, on "
        "the way from one to the other. `none` lets anybody speak for a pod: for trials.",
        choices=("hmac", "tls", "hmac,tls", "none"),
    ),
    _row(
        "census_tls_dir",
        "path",
        "",
        "tls.crt, tls.key and ca.crt of the census over TLS; the certificate is for the Pod's DNS name, serverAuth and "
        "clientAuth, and may be the server's. Read again on change.",
        unset="required with tls",
    ),
    _row("anchor", "anchor", "", "Remembers the birth outside the volumes: `configmap:NAME` or `file:/path`."),
    _row(
        "server_bind",
        "choice",
        "any",
        "What the server listens on: `any`, or `pod` for POD_IPS only (several Pods on one host).",
        choices=("any", "pod"),
    ),
    _row(
        "events",
        "choice",
        "none",
        "`pod` tells each change of decision in this Pod's events too; needs `create` on events.",
        choices=("none", "pod"),
    ),
    _row("deadline", "duration", "0", "`init` gives up waiting after this and exits 4; 0 is never.", unit="duration"),
    _row(
        "leave_timeout",
        "duration",
        "20s",
        "Bound of /prestop, in which a member leaves that is scaled down, or waits for its turn to stop (Kafka); below "
        "the grace period.",
        unit="duration",
        high=3600,
    ),
    _row(
        "diagnose_after",
        "duration",
        "60s",
        "How long a wrong DNS set-up must last before `init` exits 3; longer than a negative answer may be cached.",
        unit="duration",
    ),
    _row("termination_log", "path", "/dev/termination-log", "Where the last sentence goes when the container ends."),
    _row(
        "log_format",
        "choice",
        "text",
        "`text`: one sentence a line; `json`: keys ts level msg pod rule decision.",
        choices=("text", "json"),
    ),
    _row(
        "log_level", "choice", "info", "The least level that is logged.", choices=("debug", "info", "warning", "error")
    ),
    CONFIG_FILE,
)
"""The general settings in the order in which the pages show them."""
