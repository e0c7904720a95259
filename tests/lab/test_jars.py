"""A Kafka home as it is made, with a java and a Maven that only tell what they were asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from peerboot.lab import jars
from peerboot.lab.errors import LabError
from peerboot.lab.jars import CLASSES, OLDER, VERSIONS, find

JAVA = """#!/bin/sh
if [ "$1" = -version ]; then
    echo 'openjdk version "VERSION" 2025-04-15' >&2
    exit 0
fi
echo "$$"
printf '%s\\n' "$@"
"""
MVN = """#!/bin/sh
echo "$*" >>"$0.log"
for word; do
    case $word in
        -DoutputDirectory=*) directory=${word#*=} ;;
        -Dartifact=*) version=${word##*:} ;;
    esac
done
mkdir -p "$directory"
: >"$directory/kafka-tools-${version:-0}.jar"
"""
SHARES = """#!/bin/sh
if [ "$1" = -version ]; then
    echo 'openjdk version "17.0.15" BUILD' >&2
    exit 0
fi
printf '%s\\n' "$@" >>"$0.log"
for word; do
    case $word in
        -XX:ArchiveClassesAtExit=*) archive=${word#*=} ;;
        kafka.Kafka) server=yes ;;
    esac
done
[ -n "${server:-}" ] || exit 0
# Only what was told to stop writes them.
trap 'echo classes >"$archive"; exit 143' TERM
echo 'INFO [KafkaRaftServer nodeId=1] Kafka Server started (KafkaRaftServer)'
while :; do /bin/sleep 0.02; done
"""
"""A server that serves, and writes its classes at its end."""
BROKEN = """#!/bin/sh
echo '[ERROR] Could not transfer artifact: no route to host'
echo '[ERROR] Re-run Maven using the -X switch'
exit 1
"""
NEEDED = "a real Kafka needs JDK 17 and Maven 3.8, or newer: "
REMEDY = " (Debian: apt-get install default-jdk-headless maven)"


class Machine:
    """A PATH and a cache of its own."""

    def __init__(self, root: Path) -> None:
        self.bin, self.cache = root / "bin", root / "cache"
        self.bin.mkdir()
        for tool in ("sh", "dirname", "mkdir"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.program("java", JAVA.replace("VERSION", "17.0.15"))
        self.program("mvn", MVN)

    def program(self, name: str, text: str) -> None:
        """Put one on the PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def asked(self) -> list[list[str]]:
        """Every call of Maven."""
        log = self.bin / "mvn.log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def run(self, program: Path, *args: str, env: Mapping[str, str]) -> tuple[bool, list[str]]:
        """Whether the program became java, and what java was given."""
        with subprocess.Popen(  # noqa: S603 - our own script
            [program, *args], stdout=subprocess.PIPE, text=True, env={"PATH": str(self.bin), **env}
        ) as process:
            out = process.communicate(timeout=20)[0].splitlines()
        return int(out[0]) == process.pid, out[1:]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """With java and Maven."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("PEERBOOT_LAB_CACHE", str(made.cache))
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_a_home_is_made_once(machine: Machine, version: str) -> None:
    """Maven gets the jars and the tools' one jar; the next time nothing is asked for, and nothing is left half-made."""
    said: list[str] = []
    first = find(version, said.append)
    log4j = ["-Dlog4j=1"] if version.startswith("3.") else []
    jars, tools = machine.asked()
    assert [word for word in jars if word.startswith(("dependency:", "-Dkafka", "-Dlog4j"))] == [
        "dependency:copy-dependencies", f"-Dkafka.version={version}", *log4j
    ]  # fmt: skip
    assert f"-Dartifact=org.apache.kafka:kafka-tools:{version}" in tools
    assert (find(version, said.append), len(machine.asked()), len(said)) == (first, 2, 3)
    assert (first.version, first.system, first.path.parent) == (version, "kafka", machine.cache)
    assert [path.name for path in machine.cache.iterdir() if path.suffix == ".part"] == []
    assert [path for path in first.path.rglob("*") if not path.exists()] == []


def test_make_jars_provides_every_release(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Those with static quorums only as well, which no lab is made of but by a test."""
    assert jars.main() == 0
    assert re.findall(r"^Kafka (\S+) from Maven Central$", capsys.readouterr().out, re.MULTILINE) == [*OLDER, *VERSIONS]
    assert sorted(path.name.split("-")[2] for path in machine.cache.glob("kafka-home-*.jsa")) == [*OLDER, *VERSIONS]


def test_what_lies_in_the_cache_is_enough(machine: Machine) -> None:
    """Jars and tools that are there need no Maven."""
    find()
    shutil.rmtree(find().path)
    (machine.bin / "mvn").unlink()
    assert find().path.is_dir()


def test_what_was_left_half_made_is_made_anew(machine: Machine) -> None:
    """A directory that a killed process left does not become the jars."""
    half = machine.cache / f"kafka-{VERSIONS[-1]}.part"
    half.mkdir(parents=True)
    (half / "half.jar").touch()
    find()
    assert list(machine.cache.glob("*/half.jar")) == []


def test_a_cache_that_moves_stays_whole(machine: Machine, tmp_path: Path) -> None:
    """The links in a home do not name the place of the cache."""
    name = find().path.name
    machine.cache.rename(tmp_path / "moved")
    home = tmp_path / "moved" / name
    assert [path for path in home.rglob("*") if not path.exists()] == []


@pytest.mark.parametrize(
    ("java", "maven", "said"),
    [
        (None, MVN, f"{NEEDED}there is no java here{REMEDY}"),
        (JAVA.replace("VERSION", "1.8.0_292"), MVN, f"{NEEDED}java here is 1{REMEDY}"),
        (JAVA.replace("VERSION", "11.0.2"), MVN, f"{NEEDED}java here is 11{REMEDY}"),
        (JAVA.replace("VERSION", "21"), None, f"{NEEDED}there is no mvn here{REMEDY}"),
        (
            JAVA.replace("VERSION", "25-ea"), BROKEN,
            "`mvn -q -B dependency:copy-dependencies` failed: [ERROR] Could not transfer artifact: no route to host",
        ),
    ],
    ids=["no-java", "java-8", "java-11", "no-maven", "maven-fails"],
)  # fmt: skip
def test_what_is_missing_is_said_in_one_line(machine: Machine, java: str | None, maven: str | None, said: str) -> None:
    """With what to install; nothing is left that would pass for a home later."""
    for name, text in (("java", java), ("mvn", maven)):
        (machine.bin / name).unlink()
        if text is not None:
            machine.program(name, text)
    with pytest.raises(LabError) as caught:
        find()
    assert str(caught.value) == said
    assert [path for path in machine.cache.glob("*") if path.suffix != ".lock"] == []


def test_other_releases_are_refused(machine: Machine) -> None:
    """Nothing is asked of Maven for a release that the lab does not know."""
    with pytest.raises(LabError, match=r"has no Kafka 2\.8\.0: use one of 3\.9\.2, 4\.1\.2, 4\.3\.1"):
        find("2.8.0")
    assert machine.asked() == []


@pytest.mark.parametrize("name", CLASSES)
def test_a_script_becomes_java(machine: Machine, name: str) -> None:
    """Signals reach it then; its arguments are passed on as they are, and without settings the heap is small."""
    home = find().path
    became, words = machine.run(home / "bin" / name, "a b", "--c", env={})
    level = "INFO" if name == "kafka-server-start.sh" else "WARN"
    assert (became, words[-5:]) == (True, ["-cp", f"{home}/libs/*:{home}/tools/*", CLASSES[name], "a b", "--c"])
    assert {"-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", f"-Dlab.level={level}"} <= set(words)
    logs = [word.partition("=file:")[2] for word in words if word.startswith("-Dlog4j")]
    assert [Path(log).is_file() for log in logs] == [True, True]


def test_a_script_obeys_the_variables_of_the_image(machine: Machine) -> None:
    """Heap and options are the container's own, the latter last of all options, so that they win."""
    env = {"KAFKA_HEAP_OPTS": "-Xmx1G", "KAFKA_OPTS": "-Da=1 -Db=2", "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseG1GC"}
    _, words = machine.run(find().path / "bin" / "kafka-storage.sh", "info", env=env)
    assert words[:2] == ["-Xmx1G", "-XX:+UseG1GC"]
    assert words[words.index("-cp") - 2 : words.index("-cp")] == ["-Da=1", "-Db=2"]
    assert [word for word in words if "256m" in word or "Serial" in word] == []


def test_classes_are_read_once_for_all_that_start_later(machine: Machine) -> None:
    """A server is formatted and started at an address of its own, told to stop when it serves, and what it wrote is
    given to every later java. It is not started a second time, and nothing of it is left.
    """
    machine.program("java", SHARES.replace("BUILD", "1"))
    home = find().path
    archive = home.with_name(f"{home.name}.jsa")
    words = (machine.bin / "java.log").read_text()
    assert archive.read_text() == "classes\n"
    assert (words.count("kafka.tools.StorageTool\n"), words.count("kafka.Kafka\n")) == (1, 1)
    config = Path(words.split()[-1])
    assert (config.name, config.parent.exists()) == ("server.properties", False)
    assert (find().path, (machine.bin / "java.log").read_text()) == (home, words)
    machine.program("java", JAVA)
    _, given = machine.run(home / "bin" / "kafka-topics.sh", "--list", env={})
    assert {f"-XX:SharedArchiveFile={archive}", "-Xlog:cds*=off"} <= set(given)


def test_without_classes_everything_works(machine: Machine) -> None:
    """A java that writes none is asked once; no option names what is not there."""
    home = find().path
    assert home.with_name(f"{home.name}.jsa").read_bytes() == b""
    _, given = machine.run(home / "bin" / "kafka-topics.sh", "--list", env={})
    assert [word for word in given if "Shared" in word or "Xlog" in word] == []


def test_another_java_reads_them_anew(machine: Machine) -> None:
    """A java that was renewed cannot use what its predecessor wrote."""
    machine.program("java", SHARES.replace("BUILD", "1"))
    first = find().path
    machine.program("java", SHARES.replace("BUILD", "2"))
    second = find().path
    assert (first == second, second.with_name(f"{second.name}.jsa").read_text()) == (False, "classes\n")


def test_a_changed_script_makes_another_home(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that somebody uses is never changed under him."""
    before = find().path
    monkeypatch.setitem(CLASSES, "kafka-configs.sh", "kafka.admin.ConfigCommand")
    after = find().path
    assert (before == after, before.is_dir(), os.access(after / "bin" / "kafka-configs.sh", os.X_OK)) == (
        False, True, True,
    )  # fmt: skip
    assert len(machine.asked()) == 2
