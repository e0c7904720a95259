"""``peerboot manifest``: options to YAML on stdout, and what has to be done besides on stderr."""

from __future__ import annotations

import argparse
import base64
import secrets
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peerboot import IMAGE, systems
from peerboot.errors import SettingsError
from peerboot.manifest import objects, options, takeover
from peerboot.manifest.options import Options
from peerboot.manifest.server import Server
from peerboot.manifest.takeover import Wanted

EXAMPLE = "Example: peerboot manifest etcd --namespace shop | kubectl apply -f -"
EMPTY = (
    *(
        "namespace",
        "controller_storage",
        "tls_secret",
        "issuer",
        "cluster_domain",
        "users_secret",
        "listener",
        "rack_label",
        "base_config",
        "data_dir",
    ),
    *("quorum", "promote"),
)
"""Options whose value, when it is empty, would be taken for none, and a set made without what was meant: a shell
variable that is not set.
"""
MOST_VOTERS = 7
TEXT = "Everything for `kubectl apply`, with comments that say why; what is left to do is said on stderr."


def register(commands: Any, argv: Sequence[str]) -> None:
    """Add ``manifest`` and its options, which cannot be abbreviated: the file repeats what was typed."""
    parser = commands.add_parser("manifest", help=TEXT, description=TEXT, epilog=_epilog(argv), allow_abbrev=False)
    parser.add_argument("system", metavar="SYSTEM", help="what `peerboot systems` lists")
    add = parser.add_argument
    add("--name", help="of the StatefulSet and the client Service (default: the system's)")
    add("--namespace", help="written into every object (default: the one kubectl uses)")
    add("--with-namespace", action="store_true", help="print the Namespace too, which enforces Pod Security")
    add(
        "--pod-security",
        choices=("restricted", "none"),
        default="restricted",
        help="what that Namespace enforces (default restricted)",
    )
    add("--replicas", type=int, metavar="N", help="how many Pods (default 3)")
    add("--image", default=IMAGE, help=f"peerboot's (default {IMAGE})")
    add("--server-image", help="the server's (default: the system's)")
    add("--storage", metavar="SIZE", help="of each volume (default 8Gi)")
    add("--controller-storage", metavar="SIZE", help="of each volume of --split's controllers (default 8Gi; kafka)")
    add("--storage-class", metavar="CLASS", help="of the volumes (default: the cluster's default)")
    add(
        "--access-mode",
        choices=("ReadWriteOnce", "ReadWriteOncePod"),
        help="of the volumes (default: the system's)",
    )
    add("--no-rbac", action="store_true", help="no rights in the Kubernetes API; says what is lost")
    add("--events", action="store_true", help="tell each change of decision in the Pod's events")
    add("--guaranteed", action="store_true", help="limits equal requests: QoS class Guaranteed")
    add("--with-secret", action="store_true", help="embed a random census key, another each time; do not commit it")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--native-sidecar", action="store_true", help="for Kubernetes 1.29 and newer (default)")
    kind.add_argument("--plain-sidecar", action="store_true", help="for Kubernetes 1.25 to 1.28")
    add("--tls-secret", metavar="SECRET", help="TLS, by a Secret as cert-manager makes it")
    add(
        "--tls",
        choices=("cert-manager",),
        help="TLS, by a Certificate in the manifest (etcd; --tls-secret names its Secret)",
    )
    add(
        "--census-auth",
        choices=("hmac", "tls", "hmac,tls"),
        default="hmac",
        help="how Pods know each other: by a key of its own (default), by --tls-secret, or by either on the way",
    )
    add("--issuer", metavar="NAME", help="of --tls cert-manager; KIND/NAME for another kind, as ClusterIssuer/ca")
    add("--cluster-domain", default="cluster.local", metavar="DOMAIN", help="in its names (cluster.local)")
    add("--users-secret", metavar="SECRET", help="logins, a password under each user's name; etcd: root's alone")
    add(
        "--listener",
        action="append",
        default=[],
        metavar="NAME:PROTOCOL:PORT[:HOST[:PORT]]",
        help="a further one for clients, for each once more (kafka)",
    )
    add("--rack-label", metavar="LABEL", help="the Pods' label that is the broker's rack (kafka)")
    add("--base-config", metavar="CONFIGMAP", help="settings of your own for the server")
    add("--quorum", metavar="KIND", help="static, static-3.8 or dynamic, how the voters are kept (kafka)")
    add("--promote", metavar="POLICY", help="last-primary, best-when-full or manual, who takes the writes (postgres)")
    add("--synchronous", type=int, metavar="N", help="so many standbys confirm each commit (postgres)")
    add("--split", action="store_true", help="each role of the servers is a StatefulSet of its own (kafka)")
    add("--ordered-ready", action="store_true", help="podManagementPolicy OrderedReady; its comment says what it costs")
    add(
        "--take-over",
        metavar="FILE",
        help="a StatefulSet that runs already, as `kubectl get statefulset NAME -o json` prints it; - is stdin (etcd)",
    )
    add("--observe", action="store_true", help="of --take-over: peerboot only looks, the server's container stays")
    add("--data-dir", metavar="PATH", help="of --take-over: where the servers keep their data (default: as it says)")
    add("--user", type=int, metavar="NUMBER", help="of --take-over: whose the data is (default: as it says)")


def _epilog(argv: Sequence[str]) -> str:
    """An example; with ``--help`` that of the system that is named, and what only that one has."""
    name = next((word for word in argv[1:] if word in systems.names()), "") if {"-h", "--help"} & set(argv) else ""
    try:
        server = systems.server_of(name) if name else None
    except SettingsError:  # it brings no manifest, which is no reason to show no help
        server = None
    if server is None or not server.example:
        return EXAMPLE
    return f"{server.help}\n\nExample: {server.example}"


def _not_empty(args: argparse.Namespace) -> None:
    for name in EMPTY:
        given = getattr(args, name)
        for text in given if isinstance(given, list) else [given]:
            if text is not None and not text.strip(" ,"):
                option = f"--{name.replace('_', '-')}"
                raise SettingsError(f"{option}={text!r} is empty: write its value, or drop it if you mean none")


def chosen(args: argparse.Namespace, server: Server, made_by: str) -> Options:
    """The options as values; raises ``SettingsError``."""
    _not_empty(args)
    if args.ordered_ready and server.not_ordered:
        raise SettingsError(f"--ordered-ready is not for {server.name}: {server.not_ordered}")
    if args.split and not server.split:
        raise SettingsError(f"--split is not for {server.name}: all its servers are alike: drop it")
    takes_over = _takes_over(args)
    taken = takes_over.taken if takes_over is not None else None
    name = taken.name if taken is not None else server.name if args.name is None else args.name
    image = taken.image if taken is not None else server.image
    made = Options(
        name=name,
        namespace=args.namespace or (taken.namespace if taken is not None else ""),
        with_namespace=args.with_namespace,
        pod_security=args.pod_security == "restricted",
        replicas=taken.replicas if taken is not None else 3 if args.replicas is None else args.replicas,
        image=args.image,
        server_image=image if args.server_image is None else args.server_image,
        storage="8Gi" if args.storage is None else args.storage,
        controller_storage=args.controller_storage or "",
        storage_class=args.storage_class,
        rbac=not args.no_rbac,
        events=args.events,
        guaranteed=args.guaranteed,
        native=not args.plain_sidecar,
        ordered=args.ordered_ready,
        secret=base64.b64encode(secrets.token_bytes(32)).decode() if args.with_secret else "",
        tls_secret=args.tls_secret or (f"{name}-tls" if args.tls else ""),
        tls=args.tls or "",
        census_auth=args.census_auth,
        issuer=args.issuer or "",
        cluster_domain=args.cluster_domain,
        users_secret=args.users_secret or "",
        listeners=tuple(args.listener),
        rack_label=args.rack_label or "",
        base_config=args.base_config or "",
        quorum=args.quorum or "",
        promote=args.promote or "",
        synchronous=args.synchronous,
        access=args.access_mode or "",
        made_by=made_by,
        split=args.split,
        takes_over=takes_over,
    )
    if other := [option for option in made.of_some if option not in server.takes]:
        raise SettingsError(f"{other[0]} is not for {server.name}: its manifest has no such choice: drop it")
    options.check(made)
    for part, _ in objects.parts(made, server):
        options.check(part)
    return made


KEPT = ("name", "replicas", "storage", "storage_class", "access_mode")
"""Options for what a set that is taken over has already."""
FILE_LIMIT = 4 << 20
"""Bytes; an object of Kubernetes has 1.5 MiB at most."""


def _takes_over(args: argparse.Namespace) -> Wanted | None:
    """What ``--take-over`` names, read; raises ``SettingsError``."""
    if args.take_over is None:
        for option, given in (("--observe", args.observe), ("--data-dir", args.data_dir), ("--user", args.user)):
            if given is not None and given is not False:
                raise SettingsError(f"{option} is for --take-over: add that, or drop it")
        return None
    for name in KEPT:
        if getattr(args, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(f"{option} is kept as it is by --take-over: drop it; change it when all is taken over")
    if args.user is not None and not 0 <= args.user < 1 << 31:
        raise SettingsError(f"--user={args.user} is no user: write the number that `id -u` prints in the Pod")
    taken = takeover.read(_text(args.take_over))
    if args.namespace and taken.namespace and args.namespace != taken.namespace:
        raise SettingsError(
            f"--namespace={args.namespace}, and the StatefulSet is in {taken.namespace}: drop it, or name that one"
        )
    return takeover.wanted(taken, data_dir=args.data_dir or "", user=args.user, observe=args.observe)


def _text(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(FILE_LIMIT)
        with Path(path).open("rb") as file:
            return file.read(FILE_LIMIT)
    except OSError as error:
        raise SettingsError(
            f"--take-over={path} cannot be read: {error.strerror}: name the file, or - for stdin"
        ) from None


def main(args: argparse.Namespace, argv: list[str]) -> int:
    """Print them."""
    server = systems.server_of(args.system)
    made = chosen(args, server, shlex.join(["peerboot", *argv]))
    print(objects.render(made, server), end="")
    for line in notes(made, server):
        print(f"peerboot: {line}", file=sys.stderr)
    return 0


def notes(o: Options, server: Server) -> list[str]:
    """What a person has to know or to do, one line each."""
    lines = []
    if o.secret:
        lines.append("the Secret is in the output: do not commit it")
    elif o.by_key:
        when = "after you applied this" if o.with_namespace else "once"
        lines.append(f"make the Secret that the Pods wait for, {when}: {o.secret_command}")
    lines += [f"{need.what}{need.command and ': '}{need.command}" for need in objects.needs(o, server)]
    # Of several sets most is the same.
    lines += dict.fromkeys(line for _, part in objects.parts(o, server) for line in part.notes)
    if o.takes_over is not None:
        lines += _of_taken(o, o.takes_over)
    if not o.rbac:
        lines.append(o.lost_without_rbac)
    lines += _numbers(o, server)
    if "/" not in o.image or "/" not in o.server_image:
        lines.append(
            f"nodes pull {o.image} and {o.server_image}: name them as in your registry, by --image and --server-image"
        )
    return lines


def _of_taken(o: Options, wanted: Wanted) -> Iterator[str]:
    """What is left to do where a set is taken over, in order."""
    taken, here = wanted.taken, o.in_namespace
    port = '{"name":"peerboot","port":7070,"targetPort":7070}'
    yield (
        f"let peerboot be found, once: kubectl patch service {taken.service}{here} -p "
        f'\'{{"spec":{{"publishNotReadyAddresses":true,"ports":[{port}]}}}}\''
    )
    yield (
        f"make {taken.name} anew around its Pods, once: kubectl delete statefulset {taken.name}{here} "
        "--cascade=orphan, then apply; nothing restarts until you lower its partition"
    )
    if taken.dropped:
        yield f"not carried over once it manages, add what you need: {', '.join(taken.dropped)}"


def _numbers(o: Options, server: Server) -> Iterator[str]:
    """How many Pods vote, where that is not what a person would think or want."""
    if o.split:
        for part, (each, _) in zip(server.split, objects.parts(o, server), strict=True):
            if part.number and o.replicas > 1:
                yield f"{each.name} has {each.replicas} Pods, whatever --replicas says, which is for the other set"
            elif part.number:
                yield (
                    f"{each.name} has one Pod, because --replicas is 1: it survives no loss; from 2 on it has "
                    f"{part.number}"
                )
    elif not server.votes:
        return
    elif o.replicas > MOST_VOTERS:
        yield (
            f"each of {o.replicas} Pods has a vote, and every change waits for {o.replicas // 2 + 1} of them: "
            f"{MOST_VOTERS} are the most that make sense"
            + ("; --split has three that vote, and as many others as you like" if server.split else "")
        )
    elif o.replicas % 2 == 0:
        yield f"{o.replicas} Pods survive no more losses than {o.replicas - 1} do: an odd number is better"
