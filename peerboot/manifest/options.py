"""What a person chooses of a manifest, checked. Pure; each error is one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from peerboot.errors import SettingsError
from peerboot.manifest.takeover import Wanted
from peerboot.settings_table import MAX_REPLICAS
from peerboot.values import is_domain

NAME_LIMIT = 52
"""Characters of a StatefulSet's name: a Pod's label ``<name>-<10 characters>`` may have 63."""
LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LABEL_KEY = re.compile(rf"({SUBDOMAIN.pattern}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{{0,61}}[A-Za-z0-9])?")
ISSUER = re.compile(rf"([A-Za-z]{{1,63}}/)?{SUBDOMAIN.pattern}")
IMAGE = re.compile(r"[a-z0-9][a-z0-9_]*([.:/-]+[A-Za-z0-9_]+)*(@sha256:[0-9a-f]{64})?")
QUANTITY = re.compile(r"[1-9][0-9]{0,11}(\.[0-9]{1,3})?([KMGTPE]i|[kMGTPE])|[1-9][0-9]{6,14}")
"""Without a unit it is bytes, and a short number of those is one whose unit was forgotten."""


@dataclass(frozen=True, kw_only=True)
class Among:
    """What is known of a StatefulSet that is one of several."""

    name: str
    """Of the whole."""
    forms: bool
    """Whether its Pods form the cluster."""
    asked_by: tuple[str, ...]
    """Names of the sets whose Pods reach its peers' ports."""
    asks: tuple[tuple[str, tuple[int, ...]], ...]
    """Names of the sets whose peers' ports its Pods reach, and these ports."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """One choice of each. Empty text: not given."""

    name: str
    image: str
    server_image: str
    namespace: str = ""
    with_namespace: bool = False
    pod_security: bool = True
    """The Namespace, where it is printed, enforces ``restricted``."""
    replicas: int = 3
    storage: str = "8Gi"
    controller_storage: str = ""
    """Of the volumes of ``--split``'s controllers; empty: the system's default."""
    storage_class: str | None = None
    """None: the cluster's default. Empty: only volumes that were made by hand."""
    rbac: bool = True
    events: bool = False
    guaranteed: bool = False
    native: bool = True
    """peerboot is a native sidecar (Kubernetes 1.29); otherwise init container and plain sidecar (1.25 to 1.28)."""
    ordered: bool = False
    secret: str = ""
    """The census key to embed."""
    tls_secret: str = ""
    """The Secret with certificate, key and CA."""
    census_auth: str = "hmac"
    """How Pods know each other in the census: by the key, by that Secret, or by either."""
    tls: str = ""
    """Who makes that Secret: ``cert-manager``; empty: a person."""
    issuer: str = ""
    """cert-manager's Issuer, or KIND/NAME of another kind."""
    cluster_domain: str = "cluster.local"
    """In the names of a certificate."""
    users_secret: str = ""
    """The Secret with a password under each user's name."""
    listeners: tuple[str, ...] = ()
    """Further ones for clients, as the system's setting has them."""
    rack_label: str = ""
    """The Pod's label that is the rack."""
    base_config: str = ""
    """The ConfigMap with a person's own settings of the server."""
    quorum: str = ""
    """How the voters are kept, as the system's setting has it."""
    promote: str = ""
    """Whose server may take the writes without a person's word, as the system's setting has it."""
    synchronous: int | None = None
    """How many standbys confirm each commit. None: not given."""
    access: str = ""
    """The volumes' access mode; empty: the system's."""
    made_by: str = ""
    """The command line, for the first comment."""
    split: bool = False
    """Each role is a StatefulSet of its own."""
    among: Among | None = None
    """Of one of those sets."""
    takes_over: Wanted | None = None
    """The StatefulSet that is there already, whose names these are."""

    @property
    def peers(self) -> str:
        """The governing headless Service."""
        return f"{self.name}-peers" if self.takes_over is None else self.takes_over.taken.service

    @property
    def rights(self) -> str:
        """The Role and its binding; of a set that was there a chart's may have its name."""
        return self.name if self.takes_over is None else f"{self.name}-peerboot"

    @property
    def account(self) -> str:
        """The ServiceAccount; that of a set that was there stays, where it has one of its own."""
        return (self.takes_over.taken.account if self.takes_over is not None else "") or self.rights

    @property
    def claim(self) -> str:
        """The template of the volumes for data."""
        return "data" if self.takes_over is None else self.takes_over.taken.claim_name

    @property
    def observes(self) -> bool:
        """peerboot only looks."""
        return self.takes_over is not None and self.takes_over.observe

    @property
    def anchor(self) -> str:
        """The anchor's ConfigMap; empty when there is none."""
        return f"{self.name}-anchor" if self.rbac and self.forms else ""

    @property
    def forms(self) -> bool:
        """Whether its Pods form a cluster."""
        return self.among is None or self.among.forms

    @property
    def files(self) -> str:
        """The ConfigMap with the server's files, where it has any."""
        return f"{self.name}-files"

    @property
    def secret_name(self) -> str:
        """The Secret with the census key."""
        return f"{self.among.name if self.among else self.name}-census"

    @property
    def of_some(self) -> tuple[str, ...]:
        """The options given that not every system has."""
        given = (
            ("--tls-secret", self.tls_secret),
            ("--tls", self.tls),
            ("--users-secret", self.users_secret),
            ("--listener", self.listeners),
            ("--rack-label", self.rack_label),
            ("--base-config", self.base_config),
            ("--quorum", self.quorum),
            ("--controller-storage", self.controller_storage),
            ("--promote", self.promote),
            ("--synchronous", self.synchronous is not None),
            ("--take-over", self.takes_over),
        )
        return tuple(option for option, value in given if value)

    @property
    def in_namespace(self) -> str:
        """Of a ``kubectl`` command, with a blank before it; empty for the namespace that it uses anyway."""
        return f" --namespace {self.namespace}" if self.namespace else ""

    @property
    def by_key(self) -> bool:
        """Whether there is a census key."""
        return "hmac" in self.census_auth

    @property
    def by_tls(self) -> bool:
        """Whether the Pods show the certificate in the census."""
        return "tls" in self.census_auth

    @property
    def secret_command(self) -> str:
        """What makes the Secret; the key is on no command line."""
        return (
            f"head -c 32 /dev/urandom | base64 | kubectl create secret generic {self.secret_name}{self.in_namespace} "
            "--from-file=census=/dev/stdin"
        )

    @property
    def lost_without_rbac(self) -> str:
        """What a set without rights in the API cannot do; empty when it has them."""
        if self.rbac:
            return ""
        return (
            "without rights in the Kubernetes API peerboot does not know the live number of replicas and has no "
            "anchor: a Pod that is scaled away stays a member until you say `peerboot remove POD`, a scale beyond "
            "PEERBOOT_REPLICAS needs that setting raised first, and the loss of all disks at once looks like the first "
            "day, so that an empty cluster forms"
        )


def check(options: Options) -> Options:
    """The same; raises ``SettingsError`` for the first thing that cannot be."""
    o = options
    _fits("--name", o.name, LABEL, "a short name of lower-case letters, digits and hyphens that begins with a letter")
    if len(o.name) > NAME_LIMIT:
        raise SettingsError(
            f"--name={o.name[:20]}… has {len(o.name)} characters: use {NAME_LIMIT} at most, for a StatefulSet with a "
            "longer name gets no Pods"
        )
    if o.namespace:
        _fits("--namespace", o.namespace, NAMESPACE, "a namespace: use lower-case letters, digits and hyphens")
    if not 1 <= o.replicas <= MAX_REPLICAS:
        raise SettingsError(f"--replicas={o.replicas} is out of range: write a number from 1 to {MAX_REPLICAS}")
    for option, image in (("--image", o.image), ("--server-image", o.server_image)):
        _fits(option, image, IMAGE, "an image: write it like registry.example/team/name:tag", limit=400)
    for option, size in (("--storage", o.storage), ("--controller-storage", o.controller_storage or "8Gi")):
        _fits(option, size, QUANTITY, "a size: write it like 8Gi or 500Mi")
    if o.storage_class:
        _fits("--storage-class", o.storage_class, SUBDOMAIN, "a name of a StorageClass", limit=253)
    for option, name in (
        ("--tls-secret", o.tls_secret),
        ("--users-secret", o.users_secret),
        ("--base-config", o.base_config),
    ):
        if name:
            kind = "ConfigMap" if option == "--base-config" else "Secret"
            _fits(option, name, SUBDOMAIN, f"a name of a {kind}", limit=253)
    if o.issuer:
        _fits("--issuer", o.issuer, ISSUER, "an issuer: write its NAME, or KIND/NAME as ClusterIssuer/ca", limit=317)
    if not is_domain(o.cluster_domain):
        raise SettingsError(f"--cluster-domain={o.cluster_domain[:60]!r} is not a domain: write it like cluster.local")
    if o.rack_label:
        _fits("--rack-label", o.rack_label, LABEL_KEY, "a label: write it like topology.kubernetes.io/zone", limit=317)
    _together(o)
    _apart(o)
    return o


def _together(o: Options) -> None:
    if o.tls and not o.namespace:
        raise SettingsError("--tls makes a certificate, whose names have the namespace in them: add --namespace NAME")
    if o.tls and not o.issuer:
        raise SettingsError("--tls makes a certificate and needs who issues it: add --issuer NAME, or KIND/NAME")
    if o.by_tls and not o.tls_secret:
        raise SettingsError(
            f"--census-auth={o.census_auth} needs the certificate that the Pods show each other: add --tls-secret NAME"
        )
    if o.secret and not o.by_key:
        raise SettingsError(f"--with-secret embeds a census key, and --census-auth={o.census_auth} has none: drop one")
    if o.issuer and not o.tls:
        raise SettingsError("--issuer is for --tls cert-manager: add that, or drop it")
    if o.with_namespace and not o.namespace:
        raise SettingsError("--with-namespace prints a Namespace and needs its name: add --namespace NAME")
    if not o.pod_security and not o.with_namespace:
        raise SettingsError("--pod-security is a label of the Namespace: use it together with --with-namespace")
    if o.events and not o.rbac:
        raise SettingsError("--events needs the right to create them: drop --no-rbac, or --events")
    if o.ordered and not o.rbac:
        raise SettingsError(
            "--ordered-ready needs the anchor, without which ordinal 0 would form an empty cluster when its disk is "
            "lost: drop --no-rbac"
        )
    if not o.rbac and o.takes_over is not None:
        raise SettingsError(
            "--take-over needs the anchor, which says that there is a cluster: without it Pods that come up on blank "
            "disks would form another one: drop --no-rbac"
        )
    if o.with_namespace and o.takes_over is not None:
        raise SettingsError("--with-namespace is for a new namespace, and --take-over is in one that is used: drop it")
    if o.ordered and o.takes_over is not None:
        raise SettingsError(
            "--ordered-ready has ordinal 0 form alone, and --take-over is for a cluster that is there: drop it, for "
            "the set is made anew anyway, as Parallel, and its Pods stay"
        )
    if o.controller_storage and not o.split:
        raise SettingsError(
            "--controller-storage is for the controllers of --split: add --split, or drop it; --storage is for each "
            "volume of a set that is both"
        )


def _apart(o: Options) -> None:
    """Each object that a person makes is one of its own: every key of one is read, and `kubectl apply` writes some."""
    if o.tls_secret and o.tls_secret == o.users_secret:
        raise SettingsError(
            f"--tls-secret and --users-secret are both {o.tls_secret}, and each key of the latter is a user: make two"
        )
    for option, name in (("--tls-secret", o.tls_secret), ("--users-secret", o.users_secret)):
        if name == o.secret_name and o.by_key:
            raise SettingsError(f"{option}={name} is the Secret of the key that Pods sign with: use one of its own")
    if o.base_config in {f"{o.name}-anchor", o.files}:
        raise SettingsError(f"--base-config={o.base_config} is a ConfigMap of this manifest's own: use another name")


def _fits(option: str, text: str, pattern: re.Pattern[str], what: str, limit: int = 63) -> None:
    matches: Callable[[str], object] = pattern.fullmatch
    # The length first: a pattern with nested repeats must not meet a text without end.
    if len(text) > limit or not matches(text):
        shown = text if len(text) <= 60 else f"{text[:60]}…"
        raise SettingsError(f"{option}={shown!r} is not {what}")
