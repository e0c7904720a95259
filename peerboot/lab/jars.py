"""The real servers of Kafka: a release's jars from Maven Central, and a Kafka home made from them.

The home has the scripts of Apache's image under their names, so ``launch.sh`` runs there as it does in the image:
``bin/kafka-server-start.sh FILE``, ``bin/kafka-storage.sh format …``. Each becomes a small java and obeys
KAFKA_HEAP_OPTS, KAFKA_OPTS and KAFKA_JVM_PERFORMANCE_OPTS. What is made lies in the lab's cache, and is made once.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from peerboot.lab.classes import share
from peerboot.lab.errors import LabError
from peerboot.lab.servers import Server, cache_dir, making, run_tool

VERSIONS = ("3.9.2", "4.1.2", "4.3.1")
OLDER = ("3.7.2", "3.8.1")
"""These have static quorums only."""
FILES = Path(__file__).parent / "kafka"
JAVA = 17
"""What the broker of Kafka 4 asks for."""
NEEDED = f"a real Kafka needs JDK {JAVA} and Maven 3.8, or newer"
REMEDY = "(Debian: apt-get install default-jdk-headless maven)"
MAVEN_SECONDS = 600
CONFIG = ("log4j.properties", "log4j2.properties", "java.security")
RUN_CLASS = "kafka-run-class.sh"
CLASSES = {
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-server-start.sh": "kafka.Kafka",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-metadata-quorum.sh": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-features.sh": "org.apache.kafka.tools.FeatureCommand",
    "kafka-reassign-partitions.sh": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
}
"""The scripts, with the class that each runs in all of these releases."""


def find(
    version: str = VERSIONS[-1],
    say: Callable[[str], None] = lambda _text: None,
    *,
    versions: Sequence[str] = VERSIONS,
) -> Server:
    """The Kafka of that release, made now when it is not there yet. Raises ``LabError``."""
    if version not in versions:
        raise LabError(f"the lab has no Kafka {version}: use one of {', '.join(versions)}")
    java = _check_java()
    home = _home(version, java, jars(version, say), _tools(version, say))
    share(home, lambda: say(f"Reading the classes of Kafka {version}, once: ten seconds …"))
    return Server(version, home, "from Maven Central", "kafka")


def jars(version: str, say: Callable[[str], None] = lambda _text: None) -> Path:
    """The directory with a server's jars; made now when it is not there yet. Raises ``LabError``."""
    target = cache_dir() / f"kafka-{version}"
    if target.is_dir():
        return target
    say(f"Getting the jars of Kafka {version} by Maven, once: half a minute …")
    with making(target) as part:
        if part is not None:
            logging = ("-Dlog4j=1",) if version.startswith("3.") else ()
            pom = str(FILES / "pom.xml")
            _maven("copy-dependencies", f"-DoutputDirectory={part}", f"-Dkafka.version={version}", *logging, "-f", pom)
    return target


def _tools(version: str, say: Callable[[str], None]) -> Path:
    """The one jar that the programs need beside those of the server; what else it asks for is Kafka Connect."""
    target = cache_dir() / f"kafka-tools-{version}.jar"
    if target.exists():
        return target
    say(f"Getting the tools of Kafka {version} by Maven, once …")
    with making(target) as part:
        if part is not None:
            with tempfile.TemporaryDirectory(dir=target.parent) as directory:
                artifact = f"-Dartifact=org.apache.kafka:kafka-tools:{version}"
                _maven("copy", artifact, f"-DoutputDirectory={directory}")
                (Path(directory) / target.name).rename(part)
    return target


def _home(version: str, java: str, server: Path, tools: Path) -> Path:
    """A directory whose name tells what is in it: never changed, so that another peerboot may use it meanwhile.

    Another java has another one, for it cannot use the first one's classes.
    """
    run_class = (FILES / RUN_CLASS).read_text(encoding="utf-8")
    files = {f"config/{name}": (FILES / name).read_text(encoding="utf-8") for name in CONFIG}
    files[f"bin/{RUN_CLASS}"] = run_class
    files |= {f"bin/{name}": _script(name) for name in CLASSES}
    parts = "".join(f"{name}\n{text}\n" for name, text in (*files.items(), ("java", java)))
    digest = hashlib.sha256(parts.encode()).hexdigest()[:8]
    target = cache_dir() / f"kafka-home-{version}-{digest}"
    if target.is_dir():
        return target
    with making(target) as part:
        if part is not None:
            for name, text in files.items():
                path = part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                path.chmod(0o755 if path.suffix == ".sh" else 0o644)
            (part / "libs").symlink_to(Path("..") / server.name)
            (part / "tools").mkdir()
            (part / "tools" / tools.name).symlink_to(Path("..") / ".." / tools.name)
    return target


def _script(name: str) -> str:
    # As in the image: a server tells what it does, a tool only what is wrong.
    level = "INFO" if name == "kafka-server-start.sh" else "WARN"
    return (
        f"#!/bin/sh\nKAFKA_LAB_LOG_LEVEL=${{KAFKA_LAB_LOG_LEVEL:-{level}}}\nexport KAFKA_LAB_LOG_LEVEL\n"
        f'exec "$(dirname -- "$0")/{RUN_CLASS}" {CLASSES[name]} "$@"\n'
    )


def _maven(goal: str, *options: str) -> None:
    if shutil.which("mvn") is None:
        raise LabError(f"{NEEDED}: there is no mvn here {REMEDY}")
    run_tool(["mvn", "-q", "-B", f"dependency:{goal}", *options], str(cache_dir()), None, MAVEN_SECONDS)


def _check_java() -> str:
    """What java says of its version. Raises ``LabError`` when there is none that is new enough."""
    if shutil.which("java") is None:
        raise LabError(f"{NEEDED}: there is no java here {REMEDY}")
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S607
    said = done.stdout + done.stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA:
        raise LabError(f"{NEEDED}: java here is {version[1] if version else 'of an unknown version'} {REMEDY}")
    return said


def main() -> int:
    """Make the Kafkas of all releases and print them; one line and 1 when one cannot be had."""
    for version in (*OLDER, *VERSIONS):
        try:
            server = find(version, lambda text: print(text, flush=True), versions=(version,))
        except LabError as error:
            print(f"Kafka {version}: {error}", file=sys.stderr)
            return 1
        print(f"Kafka {server.version} {server.origin}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
