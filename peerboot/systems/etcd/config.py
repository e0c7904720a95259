"""etcd's config file, valid on 3.4 to 3.7: what peerboot owns, and the four contents. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from peerboot.birth import token_of
from peerboot.errors import SettingsError
from peerboot.model import Birth, Disk, Identity, Limits, Member
from peerboot.settings import Settings
from peerboot.systems.etcd import ids, releases
from peerboot.systems.etcd.baseconfig import check_base
from peerboot.systems.etcd.security import PLAIN, Security
from peerboot.systems.etcd.settings import FIELDS

MARK_FIRST = "# permit: first"
MARK_RESUME = "# permit: resume"


@dataclass(frozen=True)
class EtcdConfig:
    """etcd set up for one Pod: everything that the contents of the file depend on."""

    identity: Identity
    data_dir: str
    wal_dir: str
    bind: Literal["any", "pod"]
    peer_host: str
    peer_port: int
    client_port: int
    metrics_port: int
    base: Mapping[str, Any]
    limits: Limits
    security: Security = PLAIN
    version: str = ""
    """Of etcd's image, as it was told; empty: it was not."""

    # ------------------------------------------------------------- names

    def host_of(self, pod: str) -> str:
        """The host of one pod in peer and client URLs."""
        ordinal = self.identity.ordinal_of(pod)
        me = self.identity
        return self.peer_host.format(
            pod=pod, ordinal=ordinal, service=me.service, namespace=me.namespace, domain=me.domain
        )

    def peer_url(self, pod: str) -> str:
        """The one peer URL of a pod, byte-identical everywhere."""
        return f"{self.security.peer_scheme}://{_bracket(self.host_of(pod))}:{self.peer_port}"

    def client_url(self, pod: str) -> str:
        """The client URL that a pod's server advertises."""
        return f"{self.security.client_scheme}://{_bracket(self.host_of(pod))}:{self.client_port}"

    def pod_of(self, peer_urls: Iterable[str]) -> str:
        """The pod of this set that a member's peer URLs name, by host; empty when they name none."""
        hosts = sorted({_host(url) for url in peer_urls})
        expected = {*self.identity.expected, self.identity.pod}
        for pod in sorted(expected):
            if self.host_of(pod).lower() in hosts:
                return pod
        for host in hosts:
            # A member beyond the expected, or one that was made with the set's other host names, also shortened ones.
            label = host.partition(".")[0]
            if self.identity.ordinal_of(label) is not None and (
                host == self.host_of(label).lower() or self.whole_name(host) == self.identity.name_of(label).lower()
            ):
                return label
        return ""

    def is_named(self, peer_urls: Iterable[str], pod: str) -> bool:
        """Whether they name that pod by its whole name, or by the one that this set was told to use."""
        names = {self.host_of(pod).lower(), self.identity.name_of(pod).lower()}
        return any(_host(url) in names for url in peer_urls)

    def names_namespace(self, peer_urls: Iterable[str]) -> bool:
        """Whether each is an address, or a name with this namespace in it: no set of another one has such names."""
        mine = f".{self.identity.namespace}.svc".lower()
        return all(is_address(host) or host.endswith(mine) or f"{mine}." in host for host in map(_host, peer_urls))

    def whole_name(self, host: str) -> str:
        """The whole name of a pod of this set for one that a Pod's resolver completes: ``db-0``, ``db-0.peers``, with
        the namespace, and with ``svc`` (the search list of a Pod's resolv.conf); any other as it is.
        """
        pod, _, rest = host.partition(".")
        me = self.identity
        short = ("", me.service, f"{me.service}.{me.namespace}", f"{me.service}.{me.namespace}.svc")
        is_pod = me.ordinal_of(pod) is not None
        return me.name_of(pod).lower() if is_pod and rest in {name.lower() for name in short} else host

    @property
    def fingerprint(self) -> str:
        """Hash of what all pods must share, or their static clusters would differ."""
        shared = [self.peer_host, self.peer_port, self.identity.domain, self.identity.service]
        # Without TLS it is what it was before there was any.
        text = json.dumps([*shared, "https"] if self.security.peer else shared)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def restored_birth(self, nonce: str) -> Birth:
        """The birth of what is restored onto this disk alone: its token is of this disk's nonce, as any other's."""
        members = {self.identity.pod: nonce}
        return Birth(token=token_of(members), members=members)

    def predicted_cluster(self, birth: Birth | None) -> str:
        """The cluster id, hex, that a birth leads to."""
        if birth is None:
            return ""
        return ids.static_cluster([self.peer_url(pod) for pod in birth.members], birth.token)

    # ---------------------------------------------------------- contents

    def form_file(self, birth: Birth | None, why: str) -> str:
        """Static bootstrap of all pods of a birth; good for one start."""
        if birth is None:
            raise ValueError("forming needs a birth")
        cluster = ",".join(f"{pod}={self.peer_url(pod)}" for pod in sorted(birth.members, key=self._order))
        return self._render(
            MARK_FIRST,
            why,
            {"initial-cluster": cluster, "initial-cluster-state": "new", "initial-cluster-token": birth.token},
        )

    def join_file(self, members: Iterable[Member], own_id: str, why: str) -> str:
        """Join with exactly the cluster's list; good for one start. A joining etcd matches members by URL."""
        own = self.identity.pod
        pairs = [
            f"{own if member.id == own_id else (member.name or member.id)}={url}"
            for member in sorted(members, key=lambda m: m.id)
            for url in member.peer_urls
        ]
        return self._render(
            MARK_FIRST,
            why,
            {
                "initial-cluster": ",".join(pairs),
                "initial-cluster-state": "existing",
                "initial-cluster-token": "joined",
            },
        )

    def resume_file(self, disk: Disk) -> str:
        """Start with one's own data only: without data etcd has nobody to ask for members, and exits."""
        own = self.identity.pod
        why = (
            f"This disk is member {disk.member} of cluster {disk.cluster}. etcd takes its members from its data and "
            "ignores the initial-* keys; they name only this member so that it exits instead of forming or joining "
            "when it finds no data."
        )
        return self._render(
            MARK_RESUME,
            why,
            {
                "initial-cluster": f"{own}={self.peer_url(own)}",
                "initial-cluster-state": "existing",
                "initial-cluster-token": "resume-only",
            },
        )

    def force_file(self, disk: Disk, why: str) -> str:
        """Start with one's own data, once, and drop all other members; cluster and own id stay (bootstrap.go)."""
        own = self.identity.pod
        return self._render(
            MARK_FIRST,
            f"{why} Good for one start: at each it would drop all members but {disk.member} anew.",
            {
                "initial-cluster": f"{own}={self.peer_url(own)}",
                "initial-cluster-state": "existing",
                "initial-cluster-token": "resume-only",
                "force-new-cluster": True,
            },
        )

    def _order(self, pod: str) -> tuple[int, str]:
        return self.identity.ordinal_of(pod) or 0, pod

    def _binds(self) -> tuple[str, ...]:
        if self.bind == "pod":
            return self.identity.ips
        return ("0.0.0.0",) if _only_v4(self.identity.ips) else ("[::]",)  # noqa: S104 - the Pod's own network

    def _render(self, mark: str, why: str, cluster: Mapping[str, str | bool]) -> str:
        own = self.identity.pod
        binds = [_bracket(bind.strip("[]")) for bind in self._binds()]
        content: dict[str, Any] = {
            "name": own,
            "data-dir": self.data_dir,
            **({"wal-dir": self.wal_dir} if self.wal_dir else {}),
            "listen-peer-urls": ",".join(f"{self.security.peer_scheme}://{bind}:{self.peer_port}" for bind in binds),
            "listen-client-urls": ",".join(
                f"{self.security.client_scheme}://{bind}:{self.client_port}" for bind in binds
            ),
            # Without TLS, for it has no secrets and probes have no certificate.
            "listen-metrics-urls": ",".join(f"http://{bind}:{self.metrics_port}" for bind in binds),
            "initial-advertise-peer-urls": self.peer_url(own),
            "advertise-client-urls": self.client_url(own),
            **cluster,
            "strict-reconfig-check": True,
            "pre-vote": True,
            "enable-grpc-gateway": True,
            **self.security.sections(),
            **self.base,
        }
        lines = ["# Written by peerboot; changes are lost. Your own keys go into PEERBOOT_BASE_CONFIG_FILE.", mark]
        lines += [f"# {line}" for line in _wrap(why, 110)]
        # JSON is YAML too, so no YAML library is needed to write.
        lines += [f"{key}: {json.dumps(value)}" for key, value in content.items()]
        return "\n".join(lines) + "\n"


def permit_kind(content: str | None) -> Literal["absent", "first", "resume"]:
    """What a config file of this content lets etcd do. One that peerboot did not write counts as a first permit."""
    if content is None:
        return "absent"
    return "resume" if MARK_RESUME in content.splitlines()[:3] else "first"


def _wrap(text: str, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) + 1 > width and line:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def _host(url: str) -> str:
    """Of a URL, without the dot that ends a whole name."""
    return (urlsplit(url).hostname or "").lower().removesuffix(".")


def is_address(host: str) -> bool:
    """Whether it is no name."""
    return ":" in host or host.replace(".", "").isdigit()


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _only_v4(ips: tuple[str, ...]) -> bool:
    return bool(ips) and all(":" not in ip for ip in ips)


def prepare(
    settings: Settings, identity: Identity, base: Mapping[str, object], security: Security = PLAIN
) -> EtcdConfig:
    """The config of this Pod; raises ``SettingsError``."""
    extra = settings.extra
    host = extra["etcd_peer_host"]
    try:
        probe = host.format(pod="a-0", ordinal=0, service="b", namespace="c", domain="d")
    except (KeyError, IndexError, ValueError):
        raise SettingsError(
            f"PEERBOOT_ETCD_PEER_HOST={host!r} has an unknown field: use {', '.join(FIELDS)} in braces"
        ) from None
    if probe == host.format(pod="a-1", ordinal=1, service="b", namespace="c", domain="d"):
        raise SettingsError(
            f"PEERBOOT_ETCD_PEER_HOST={host!r} is the same for every pod: use {{pod}} or {{ordinal}} in it"
        )
    ports = {key: extra[f"etcd_{key}_port"] for key in ("peer", "client", "metrics")}
    if len(set(ports.values())) != len(ports):
        raise SettingsError("PEERBOOT_ETCD_PEER_PORT, _CLIENT_PORT and _METRICS_PORT must differ: give each its own")
    return EtcdConfig(
        identity=identity,
        data_dir=settings.data_dir or "/data/etcd",
        wal_dir=extra["etcd_wal_dir"],
        bind=settings.server_bind,
        peer_host=host,
        peer_port=ports["peer"],
        client_port=ports["client"],
        metrics_port=ports["metrics"],
        base=check_base(base),
        limits=Limits(corrupt_recheck=extra["etcd_corrupt_recheck"], learner_stall=extra["etcd_learner_stall"]),
        security=security,
        version=_version(extra["etcd_version"]),
    )


def _version(told: str) -> str:
    """A release of etcd; raises ``SettingsError``."""
    if told and releases.minor_of(told.removeprefix("v")) is None:
        raise SettingsError(f"PEERBOOT_ETCD_VERSION={told!r} is no release: use one as 3.6 or 3.6.16, or leave it out")
    return told.removeprefix("v")
