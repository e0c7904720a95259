"""A Kafka container without Kafka: ``launch.sh`` runs for real, the two programs of Kafka are stand-ins.

The stand-ins write what the real ones write: ``meta.properties`` in each directory that has none, and the server's
``quorum-state``.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from peerboot.systems.kafka import launch
from peerboot.systems.kafka.launch import Form, Permit, permit_text, script
from tests.launch.container import PLAN, Container

CLUSTER = "-L7vmpYoRcSTJpf6jO-LDQ"
DIRECTORY = "UC8UpY3eTKS2i-38xb17jg"
OTHER = "AC8UpY3eTKS2i-38xb17jg"
VOTERS = f"1@kafka-1.kafka:9093:{DIRECTORY},2@kafka-2.kafka:9093:{OTHER}"

# Without a process of their own for anything, or killing the script at every line would take minutes.
READ = r"""
metadata='' dirs=''
while IFS='=' read -r key value; do
    case $key in
        node.id) node=$value ;;
        log.dirs) dirs=$value ;;
        metadata.log.dir) metadata=$value ;;
    esac
done <"$file"
"""
STORAGE = (
    r"""#!/bin/sh
# Stand-in for kafka-storage format: formats each directory that has no meta.properties.
printf '%s\n' "$*" >>"$LOG"
printf '%s\n' 'Formatting, says the tool' 'A warning, says the tool' >&2
cluster='' voters='' file=''
while [ $# -gt 0 ]; do
    case $1 in
        --cluster-id=*) cluster=${1#*=} ;;
        --initial-controllers=*) voters=,${1#*=}, ;;
        -c) file=$2 ;;
    esac
    shift
done
[ -z "${STORAGE_FAILS:-}" ] || exit 3
"""
    + READ
    + r"""
IFS=,
count=0
# The real tool's order is that of a hash table; here the metadata directory is the last.
for dir in $dirs "$metadata"; do
    [ ! -e "$dir/meta.properties" ] || continue
    count=$((count + 1))
    id=by-chance-$$-$count
    case $dir$voters in
        "$metadata"*",$node@"*)
            id=${voters#*",$node@"}
            id=${id%%,*}
            id=${id##*:}
            ;;
    esac
    [ -d "$dir" ] || mkdir "$dir"
    printf '%s\n' '#' '#Tue Nov 24 19:00:00 UTC 2026' "cluster.id=${STORAGE_CLUSTER:-$cluster}" "directory.id=$id" \
        "node.id=$node" version=1 >"$dir/meta.properties"
    [ "$count" != "${STORAGE_DIES_AFTER:-}" ] || kill -9 "$PPID" $$
done
[ -z "${STORAGE_WITHDRAWS:-}" ] || mv "$STORAGE_WITHDRAWS" "$STORAGE_WITHDRAWS.withdrawn"
"""
)
SERVER = (
    r"""#!/bin/sh
# Stand-in for kafka-server-start: leaves what a server leaves.
printf '%s\n' "start $*" "heap ${KAFKA_HEAP_OPTS:-}" "pid $$" >>"$LOG"
file=$1
"""
    + READ
    + r"""
mkdir -p "$metadata/__cluster_metadata-0"
: >"$metadata/__cluster_metadata-0/quorum-state"
"""
)


@dataclass
class Pod(Container):
    """A server's container: its directories, the output directory, and Kafka's programs."""

    BIN = "kafka home/bin"

    def __post_init__(self) -> None:
        self.home = self.root / "kafka home"
        self.home.mkdir()
        self.make(script())
        self.metadata, self.logs = self.root / "metadata", (self.root / "logs-0", self.root / "logs-1")
        for name, text in (("kafka-storage.sh", STORAGE), ("kafka-server-start.sh", SERVER)):
            self.program(name, text)
        self.properties = self.write(
            launch.PROPERTIES_NAME,
            f"# by peerboot\nnode.id=1\nmetadata.log.dir={self.metadata}\nlog.dirs={','.join(map(str, self.logs))}\n",
        )

    def permit(self, permit: Permit) -> None:
        self.write(launch.PERMIT_NAME, permit_text(permit, "because = it is so"))

    def first(self, form: Form = "initial", directory: str | None = None, plan: str = PLAN) -> Permit:
        return Permit(
            kind="first",
            plan=plan,
            cluster=CLUSTER,
            node=1,
            directory=(DIRECTORY if form == "initial" else "") if directory is None else directory,
            form=form,
            voters=VOTERS if form == "initial" else "",
            metadata=str(self.metadata),
            logs=tuple(map(str, self.logs)),
        )

    def resume(self, directory: str = DIRECTORY, form: Form = "join", *, repair: bool = True) -> Permit:
        given = self.first("join", directory)
        return msgspec.structs.replace(given, kind="resume", form=form, repair=repair)

    def formatted(self, where: Path, cluster: str = CLUSTER, node: int = 1, directory: str = OTHER) -> None:
        """Write the directory's ``meta.properties`` as an earlier format did."""
        where.mkdir(exist_ok=True)
        (where / "meta.properties").write_text(
            f"#\n#Tue Nov 24\ncluster.id={cluster}\ndirectory.id={directory}\nnode.id={node}\nversion=1\n"
        )

    def environ(self) -> dict[str, str]:
        return {**super().environ(), "PATH": os.environ["PATH"], "KAFKA_HOME": str(self.home), **self.extra}

    def meta(self, where: Path) -> dict[str, str]:
        path = where / "meta.properties"
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def format_args(self, *flags: str) -> str:
        return " ".join(("--ignore-formatted", f"--cluster-id={CLUSTER}", *flags, "-c", str(self.properties)))

    def wipe(self) -> None:
        for path in (self.metadata, *self.logs):
            shutil.rmtree(path, ignore_errors=True)
