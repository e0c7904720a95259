"""Identity: who this Pod is. Pure; resolv.conf and /etc/hosts arrive as text."""

from __future__ import annotations

import re

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Settings

POD = re.compile(r"(?P<set>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)-(?P<ordinal>0|[1-9][0-9]{0,9})")
"""As the StatefulSet controller names Pods: the numeric tail only, never with leading zeros."""

DEFAULT_DOMAIN = "cluster.local"
MAX_LABEL = 63


def derive(settings: Settings, resolv_conf: str | None = None, hosts: str | None = None) -> Identity:
    """The identity, with the cluster domain from the setting, resolv.conf, /etc/hosts or the default, in that order.

    Raises ``SettingsError`` when the pod name is not one of a StatefulSet's.
    """
    pod = settings.pod_name
    match = POD.fullmatch(pod)
    if match is None:
        cut = len(pod) == MAX_LABEL
        hint = " (a host name is cut at 63 characters: set POD_NAME from metadata.name)" if cut else ""
        raise SettingsError(f"{pod!r} is not the name of a StatefulSet's Pod, which ends in -0, -1, …{hint}: peerboot runs in StatefulSets")
    domain, source = cluster_domain(settings, resolv_conf, hosts)
    return Identity(
        namespace=settings.pod_namespace,
        service=settings.service,
        statefulset=match["set"],
        pod=pod,
        ordinal=int(match["ordinal"]),
        system=settings.system,
        uid=settings.pod_uid,
        ips=settings.pod_ips,
        domain=domain,
        domain_source=source,
        start=settings.ordinals_start,
        replicas=settings.replicas,
    )


def cluster_domain(settings: Settings, resolv_conf: str | None, hosts: str | None) -> tuple[str, str]:
    """The cluster domain and where it comes from: ``setting``, ``resolv.conf``, ``hosts`` or ``default``."""
    if settings.cluster_domain:
        return settings.cluster_domain.strip(".").lower(), "setting"
    namespace = re.escape(settings.pod_namespace)
    for word in _search_list(resolv_conf or ""):
        match = re.fullmatch(rf"{namespace}\.svc\.(.+)", word)
        if match:
            return match[1], "resolv.conf"
    own = rf"{re.escape(settings.pod_name)}\.{re.escape(settings.service)}\.{namespace}\.svc\.(.+)"
    for line in (hosts or "").splitlines()[:1000]:
        for word in line.partition("#")[0].split()[1:]:
            match = re.fullmatch(own, word.lower().rstrip("."))
            if match:
                return match[1], "hosts"
    return DEFAULT_DOMAIN, "default"


def _search_list(resolv_conf: str) -> list[str]:
    """The last ``search`` or ``domain`` line counts (resolv.conf(5))."""
    words: list[str] = []
    for line in resolv_conf.splitlines()[:1000]:
        parts = line.partition("#")[0].split()
        if parts and parts[0] in ("search", "domain"):
            words = [word.lower().rstrip(".") for word in parts[1:]]
    return words


def nameservers(resolv_conf: str | None) -> tuple[str, ...]:
    """The ``nameserver`` lines of resolv.conf, at most three as the C library has it."""
    found = []
    for line in (resolv_conf or "").splitlines()[:1000]:
        parts = line.partition("#")[0].split()
        if len(parts) >= 2 and parts[0] == "nameserver":
            found.append(parts[1])
    return tuple(found[:3])


def outside_range(identity: Identity) -> str:
    """Why this Pod is none of the expected, empty when it is one. Only forming and joining care."""
    if identity.replicas is None or identity.pod in identity.expected:
        return ""
    last = identity.start + identity.replicas - 1
    return (
        f"{identity.pod} is not one of the expected pods {identity.statefulset}-{identity.start} to "
        f"{identity.statefulset}-{last}: check PEERBOOT_REPLICAS={identity.replicas} and PEERBOOT_ORDINALS_START={identity.start}"
    )
