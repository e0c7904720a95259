"""What a system adds to the manifests. Pure values; a system gives one by ``manifest()`` (docs/adr/0005-*.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from peerboot.manifest.options import Options
from peerboot.manifest.writer import Tree

FILES_DIR = "/etc/peerboot"
"""Where the server's container has the ConfigMap of ``Server.files``."""


@dataclass(frozen=True)
class Port:
    """A port of the server, and who may reach it."""

    name: str
    """At most 15 characters (RFC 6335); probes name it."""
    number: int
    reached_by: Literal["clients", "peers", "scrapers"]
    """``clients``: anybody, through the client Service. ``peers``: the set's own Pods. ``scrapers``: monitoring."""
    named: bool = False
    """The governing Service has it too: DNS then tells it to clients that ask for each Pod of its own (SRV)."""


@dataclass(frozen=True)
class Use:
    """Requests and limits of one container, in Kubernetes' quantities. There is no CPU limit unless guaranteed."""

    why: str
    cpu: str
    memory: str
    memory_limit: str
    guaranteed_cpu: str
    """Request and limit alike, where the Pod is to be of QoS class Guaranteed; memory is ``memory_limit`` then."""


@dataclass(frozen=True)
class Mount:
    """A volume that containers have besides, read only."""

    name: str
    path: str
    source: Tree
    """Where it comes from, as a volume of the Pod has it."""
    why: str
    written: bool = False
    """Not read only."""


@dataclass(frozen=True)
class Need:
    """An object that a person has to make, and that the Pods wait for."""

    what: str
    """Its name, and what has to be in it."""
    command: str = ""
    """What makes it."""


@dataclass(frozen=True)
class Server:
    """The server's container and what peerboot has to be told of it."""

    name: str
    """Of the container and of the program (``app.kubernetes.io/name``); the default name of all objects."""
    image: str
    command: tuple[str, ...]
    user: int
    """UID, GID and fsGroup of both containers."""
    volume: str
    """Where the data volume is mounted."""
    data_dir: str
    """Below ``volume``, never that itself: its content must be renamed aside as a whole."""
    ports: tuple[Port, ...]
    use: Use
    parallel: Tree
    """startupProbe and livenessProbe where all Pods start together; Ready is by peerboot's /readyz."""
    ordered: Tree = field(default_factory=dict)
    """livenessProbe and readinessProbe where a Pod is made only when the one before is Ready: without a quorum."""
    not_ordered: str = ""
    """Why ``--ordered-ready`` is refused, and what to do; empty where ``ordered`` says how."""
    ready: str = (
        "By the server's own word, as peerboot last heard it: in the cluster, with a quorum, no learner. Its own pages "
        "differ by release, and an old one calls a learner healthy. The port is peerboot's."
    )
    """The comment on the readiness probe, which asks peerboot."""
    clients: str = "For clients: http://{name}:{port} leads to Pods that are ready."
    """The comment on the client Service. Fields: name and port of the Service."""
    client_suffix: str = ""
    """Of the client Service's name."""
    roles: bool = False
    """Clients' routers ask peerboot which server is which, at the port that the metrics have too."""
    from_clients: str = "Clients from anywhere. The server asks nobody for a password, so name yours where you can:"
    """The comment on the ingress rule for clients; what would name them stands below it."""
    storage_why: str = ""
    """The comment on the volume's size: what it is for, and how to choose it."""
    access: str = "ReadWriteOnce"
    """The volume's access mode, from Kubernetes 1.29 on; before it is always this one."""
    access_why: str = ""
    """The comment on it, where it is another one."""
    leave: int = 20
    """Seconds; PEERBOOT_LEAVE_TIMEOUT."""
    leave_why: str = ""
    """A sentence more on it, with a space before it."""
    grace: int = 60
    """Seconds: /prestop, then the server's own stop, then peerboot finishing what /prestop could not."""
    grace_why: str = ""
    """A sentence more on it."""
    writes_output: bool = False
    """Whether the server's container writes beside its permit."""
    tmp: str = ""
    """Size of an emptyDir at /tmp, for a server that needs one; its root file system cannot be written."""
    files: Tree = field(default_factory=dict)
    """Files that the server's container sees below ``FILES_DIR``, from a ConfigMap: name to ``Text``, with comments."""
    env: Tree = field(default_factory=dict)
    """The system's own settings of peerboot, by name; it may have comments. Fields in a value: name and replicas, of
    the whole.
    """
    tls_dir: str = ""
    """Where peerboot's containers have the Secret of ``--tls-secret``."""
    mounts: tuple[Mount, ...] = ()
    """Of peerboot's containers; the server's has them not."""
    own_mounts: tuple[Mount, ...] = ()
    """Of the server's container. One that peerboot's have too is named in both."""
    needs: tuple[Need, ...] = ()
    """Told on stderr, and in the head of the file, which is read when stderr is long gone."""
    takes: tuple[str, ...] = ()
    """The options that not every system has (``Options.of_some``) and that this one has; any other one is refused."""
    adapt: Callable[[Server, Options], Server] | None = None
    """What is added by what a person chose for this StatefulSet, and by the release in the image's tag; raises
    ``SettingsError``. None: nothing is.
    """
    notes: tuple[str, ...] = ()
    """What a person has to know or to do besides, one line each, told on stderr."""
    container: Tree = field(default_factory=dict)
    """Whatever else stands in its container."""
    more: tuple[Tree, ...] = ()
    """Further objects, with the labels of all others, made before the StatefulSet."""
    split: tuple[Part, ...] = ()
    """The StatefulSets of ``--split``, in the order in which they are made; empty: there is no such option."""
    example: str = ""
    """The command that ``peerboot manifest NAME --help`` shows; empty: the general one."""
    help: str = ""
    """What it says there of the choices that not every system has, in lines of at most 100 characters."""
    votes: bool = True
    """A majority of the servers decides, so that an odd number of Pods is better than the next one."""


@dataclass(frozen=True)
class Part:
    """One StatefulSet of several that are one cluster, with one Secret."""

    server: Server
    suffix: str
    """Of its name; the part that clients reach has none."""
    number: int = 0
    """It has so many Pods, or one where ``--replicas`` is one; 0: as many as ``--replicas`` says."""
    storage: str = ""
    """Size of its volumes where ``--controller-storage`` does not say; empty: that of ``--storage``."""
    forms: bool = True
    """Whether its Pods form a cluster, which an anchor then remembers."""
    asks: tuple[str, ...] = ()
    """Suffixes of the parts whose peers' ports its Pods reach too."""
