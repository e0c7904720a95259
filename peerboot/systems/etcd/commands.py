"""``peerboot etcd restore``: how a snapshot is restored onto this Pod's blank volume. It only looks, and prints."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import Any

from peerboot import preflight
from peerboot.errors import RefusedError
from peerboot.model import Disk, Identity, Record
from peerboot.outside import adminsocket
from peerboot.outside.clock import SystemClock
from peerboot.printing import emit, say
from peerboot.rules.words import quorum_of
from peerboot.settings import Settings
from peerboot.statedir import StateDir
from peerboot.systems import data_dir_of
from peerboot.systems.etcd.config import EtcdConfig
from peerboot.systems.etcd.settings import DEFAULT_DATA_DIR

EXEC = "kubectl exec etcd-0 -c peerboot -- peerboot etcd"
QUORUM_RULES = (
    "join",
    "join-waits",
    "replace-lost",
    "replace-unstarted",
    "claimed",
    "first-permit",
    "birth-lost",
    "serving",
)
"""Of a Pod that sees one."""
TEXT = "Show how a snapshot is restored onto this Pod's blank volume, as a new cluster that the other Pods join."


def register(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    sub = commands.add_parser("restore", help=TEXT, description=TEXT, epilog=f"Example: {EXEC} restore")
    sub.add_argument("--json", action="store_true", help="print for a machine")


def in_a_pod(args: argparse.Namespace) -> str:
    """What was typed, with the Pod to run it in."""
    return f"{EXEC} {args.subcommand}" + (" --json" if getattr(args, "json", False) else "")


async def run(args: argparse.Namespace, settings: Settings, config: EtcdConfig, disk: Disk) -> int:
    """Print; returns the exit code. Raises ``RefusedError`` where nothing may be restored, ``SettingsError`` where no
    peerboot runs that knows the others.
    """
    may_restore(await adminsocket.ask(settings.socket_path, "GET", "plan"), config.identity)
    path = preflight.state_dir(settings, data_dir_of(settings, DEFAULT_DATA_DIR))
    record = StateDir(path, config.identity, SystemClock()).read()
    emit(args, restoring(config, disk, record), _show)
    return 0


def may_restore(now: Mapping[str, Any], who: Identity) -> None:
    """Raises ``RefusedError`` where another cluster serves, or may come to: what is restored would be a second one."""
    disks = {pod: str(now["evidence"].get(pod, {}).get("kind", "unknown")) for pod in who.others}
    silent = sorted(pod for pod, kind in disks.items() if kind == "unknown")
    if silent:
        raise RefusedError(
            f"{', '.join(silent)} of this set did not say what its disk holds: bring it up first, for what is restored "
            "here would be a second cluster beside one that it may have"
        )
    have = sorted(pod for pod, kind in disks.items() if kind in ("data", "bootstrap"))
    if now["rule"] in QUORUM_RULES or len(have) >= quorum_of(len(who.expected)):
        raise RefusedError(
            f"{', '.join(have) or 'the others'} of this set have a cluster, or enough of one: what is restored here "
            "would be a second one. Delete the claims and Pods whose data is not wanted first"
        )


def restoring(config: EtcdConfig, disk: Disk, record: Record) -> Mapping[str, Any]:
    """``etcdutl``'s arguments, token and cluster id; raises ``RefusedError``. Pure."""
    who = config.identity
    if disk.kind != "blank":
        what = f"data of cluster {disk.cluster}" if disk.cluster else f"something else ({disk.kind})"
        raise RefusedError(
            f"this volume has {what}, and a snapshot is restored onto a blank one: restore at a Pod whose volume is "
            "blank, or where none is keep this volume (reclaim policy Retain) and delete this Pod's claim and Pod"
        )
    if record.problem or record.foreign or not record.nonce:
        why = record.problem or (
            f"it was written for {record.foreign}" if record.foreign else "it has no disk nonce yet"
        )
        raise RefusedError(f"it is not known whose volume this is ({why}): see `peerboot status` first")
    made = config.restored_birth(record.nonce)
    if record.birth is not None or record.seal is not None or record.claim is not None:
        raise RefusedError(
            "a server has run on this volume, or was about to, and its nonce is used: take it for a new one as its own "
            "sentence says (`peerboot status`), or delete this Pod's claim and Pod"
        )
    own = who.pod
    args = [
        f"--name={own}",
        f"--data-dir={config.data_dir}",
        *([f"--wal-dir={config.wal_dir}"] if config.wal_dir else []),
        f"--initial-cluster={own}={config.peer_url(own)}",
        f"--initial-advertise-peer-urls={config.peer_url(own)}",
        f"--initial-cluster-token={made.token}",
    ]
    return {
        "pod": own,
        "command": ["etcdutl", "snapshot", "restore", "SNAPSHOT", *args],
        "token": made.token,
        "cluster": config.predicted_cluster(made),
        "others": list(who.others),
    }


def _show(data: Mapping[str, Any]) -> None:
    others = ", ".join(data["others"])
    say(
        f"This volume is blank. With all Pods stopped, this restores SNAPSHOT onto it as cluster {data['cluster']}, "
        f"whose only member is {data['pod']}; the token is of this disk's nonce, and no other volume can pass for it:"
    )
    print()
    print(" \\\n    ".join(shlex.join(part) for part in _lines(data["command"])))
    print()
    join = "join it: blank volumes by themselves, one with other data by its own consent."
    after = f"When all Pods are started again, {others} {join} " if others else ""
    say(f"{after}peerboot's docs/recovery.md has the Pod that runs it.")


def _lines(command: list[str]) -> list[list[str]]:
    return [command[:4], *([word] for word in command[4:])]
