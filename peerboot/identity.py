"""Identity: who this Pod is. Pure; resolv.conf and /etc/hosts arrive as text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Settings
from peerboot.values import MAX_LABEL, MAX_NAME, is_domain, is_label, shown

POD = re.compile(r"(?P<set>.*)-(?P<ordinal>[0-9]+)", re.DOTALL)
"""As the StatefulSet controller splits pod names (stateful_set_utils.go): the last hyphen counts."""

DEFAULT_DOMAIN = "cluster.local"
MAX_LINES = 1000
"""Lines of resolv.conf and /etc/hosts that are looked at."""
MAX_NAMESERVERS = 3
"""As the C library has it (resolv.conf(5), MAXNS)."""
MAX_ORDINAL = (1 << 31) - 1
CUT = 60
"""A host name this long may have been cut: at 63 characters, less the hyphens and dots at its end."""


def derive(settings: Settings, resolv_conf: str | None = None, hosts: str | None = None) -> Identity:
    """The identity; its cluster domain from the setting, resolv.conf, /etc/hosts or the default, in this order.

    Raises ``SettingsError`` when the pod name is not one of a StatefulSet's or its DNS name is too long.
    An ordinal outside the expected ones is no error here, see ``outside_range``.
    """
    for name, label in (("POD_NAMESPACE", settings.pod_namespace), ("PEERBOOT_SERVICE", settings.service)):
        if not is_label(label):
            raise SettingsError(f"{name}={shown(label)} is not a DNS label: no Pod of such a name is in DNS")
    statefulset, ordinal = split_pod(settings.pod_name, from_host=settings.name_from_host)
    domain, source = cluster_domain(settings, resolv_conf, hosts)
    identity = Identity(
        namespace=settings.pod_namespace,
        service=settings.service,
        statefulset=statefulset,
        pod=settings.pod_name,
        ordinal=ordinal,
        system=settings.system,
        uid=settings.pod_uid,
        ips=settings.pod_ips,
        domain=domain,
        domain_source=source,
        start=settings.ordinals_start,
        replicas=settings.replicas,
    )
    if len(identity.fqdn) > MAX_NAME:
        raise SettingsError(
            f"the Pod's DNS name would have {len(identity.fqdn)} characters, {MAX_NAME} is the most: "
            "use shorter names of Service, namespace or cluster domain"
        )
    return identity


def split_pod(pod: str, *, from_host: bool = False) -> tuple[str, int]:
    """The StatefulSet and the ordinal in a pod's name: ``db2-10`` is ordinal 10 of ``db2``.

    ``from_host``: the name is the host name, which is cut at 63 characters; then ``…-12`` may have become
    ``…-1``, so a long one is not believed. Raises ``SettingsError``.
    """
    if from_host and len(pod) >= CUT:
        raise SettingsError(
            f"the host name {shown(pod)} may have been cut at {MAX_LABEL} characters, its ordinal too: "
            "set POD_NAME from metadata.name"
        )
    named = f"the host name {shown(pod)}" if from_host else f"POD_NAME={shown(pod)}"
    remedy = "set POD_NAME from metadata.name" if from_host else "peerboot runs in the Pods of a StatefulSet"
    if not is_label(pod):
        raise SettingsError(f"{named} is not a DNS label, so the Pod is not in DNS: {remedy}")
    match = POD.fullmatch(pod)
    if match is None or not match["set"]:
        raise SettingsError(f"{named} does not end in an ordinal such as -0: {remedy}")
    digits = match["ordinal"]
    if digits != str(int(digits)):
        raise SettingsError(f"{named} ends in -{digits}, an ordinal has no leading zeros: {remedy}")
    if int(digits) > MAX_ORDINAL:
        raise SettingsError(f"{named} ends in -{digits}, no ordinal is so large: {remedy}")
    return match["set"], int(digits)


def cluster_domain(settings: Settings, resolv_conf: str | None, hosts: str | None) -> tuple[str, str]:
    """The cluster domain and where it comes from: ``setting``, ``resolv.conf``, ``hosts`` or ``default``.

    The kubelet writes ``search <namespace>.svc.<domain> svc.<domain> <domain> …``, and into /etc/hosts
    ``<ip> <pod>.<service>.<namespace>.svc.<domain> <pod>``; the domain may have hyphens, or one label only.
    """
    if settings.cluster_domain:
        return settings.cluster_domain.strip(".").lower(), "setting"
    space = f"{settings.pod_namespace}.svc."
    for word in _search_list(resolv_conf or ""):
        if word.startswith(space) and is_domain(word.removeprefix(space)):
            return word.removeprefix(space), "resolv.conf"
    own = f"{settings.pod_name}.{settings.service}.{space}"
    for words in _lines(hosts or ""):
        for word in (text.lower().rstrip(".") for text in words[1:]):
            if word.startswith(own) and is_domain(word.removeprefix(own)):
                return word.removeprefix(own), "hosts"
    return DEFAULT_DOMAIN, "default"


def domain_warning(identity: Identity) -> str:
    """What to say when the cluster domain is a guess (``dnsPolicy`` None or Default); else empty."""
    if identity.domain_source != "default":
        return ""
    return (
        f"The cluster domain is guessed to be {identity.domain}: resolv.conf has no search entry "
        f"{identity.namespace}.svc.<domain> (dnsPolicy None?). Set PEERBOOT_CLUSTER_DOMAIN to be sure."
    )


def nameservers(resolv_conf: str | None) -> tuple[str, ...]:
    """The addresses in the ``nameserver`` lines of resolv.conf, at most three; no other words."""
    found: list[str] = []
    for words in _lines(resolv_conf or ""):
        if len(words) >= 2 and words[0] == "nameserver" and _is_address(words[1]) and words[1] not in found:
            found.append(words[1])
    return tuple(found[:MAX_NAMESERVERS])


def outside_range(identity: Identity) -> str:
    """Why this Pod is none of the expected, empty when it is one or N is unknown.

    An error only when forming: a Pod with data starts whatever its ordinal.
    """
    if identity.replicas is None or identity.start <= identity.ordinal < identity.start + identity.replicas:
        return ""
    last = identity.start + identity.replicas - 1
    return (
        f"{identity.pod} is not one of the expected pods {identity.statefulset}-{identity.start} to "
        f"{identity.statefulset}-{last}: check PEERBOOT_REPLICAS={identity.replicas} and "
        f"PEERBOOT_ORDINALS_START={identity.start}"
    )


def _search_list(resolv_conf: str) -> list[str]:
    """The words of the last ``search`` or ``domain`` line (resolv.conf(5): the last instance wins)."""
    found: list[str] = []
    for words in _lines(resolv_conf):
        if words[0] in ("search", "domain"):
            found = [word.lower().rstrip(".") for word in words[1:]]
    return found


def _lines(text: str) -> Iterator[list[str]]:
    """The words of each line that has some, comments left out (``#`` anywhere, ``;`` at the start)."""
    for line in text.splitlines()[:MAX_LINES]:
        words = line.partition("#")[0].split()
        if words and not words[0].startswith(";"):
            yield words


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
