"""What Kafka adds to the manifests. Pure values.

Measured on 4.3.1, as on 3.9.2: a controller opens its port two seconds after its start, with or without a leader and
whether or not it is a voter, and answers ApiVersions there; a broker opens the clients' port only when the leader has
registered it. Kafka has no page of its own that says how it is.
"""

from __future__ import annotations

from peerboot.manifest.server import FILES_DIR, Port, Server, Use
from peerboot.manifest.writer import Row, Text, Why, why

IMAGE = "apache/kafka:4.3.1"
"""Apache's own. ``--server-image`` takes any other with Kafka's tools in /opt/kafka/bin or on the PATH, 3.9 to 4.3."""
NEVER = (1 << 31) - 1
"""The largest failureThreshold."""
VOLUME = "/var/lib/kafka/data"

PROBES = {
    **why(
        "Yes when the controllers' port is open, which needs neither leader nor quorum. It never ends a wait: "
        "`launch.sh` waits for its permit before there is any Java, says for what, and a restart would not bring it."
    ),
    "startupProbe": {
        "tcpSocket": {"port": "controller"},
        "periodSeconds": 2,
        "timeoutSeconds": 2,
        "failureThreshold": NEVER,
    },
    **why(
        "Only whether it still takes connections: Kafka ends by itself when it cannot go on, and a restart brings no "
        "quorum, it only takes a voter and a broker away."
    ),
    "livenessProbe": {
        "tcpSocket": {"port": "controller"},
        "periodSeconds": 15,
        "timeoutSeconds": 10,
        "failureThreshold": 8,
    },
}
LOGS = {
    **why("For Kafka 4: the whole log on the container's output, at a level of your choice."),
    "log4j2.properties": Text(
        """\
status=ERROR
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
"""
    ),
    **why("For Kafka 3.9, which has an older log4j."),
    "log4j.properties": Text(
        """\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
"""
    ),
}
ENVIRONMENT = [
    Why(
        "Options of the server's own Java. A server whose heap is full ends and is started again, instead of going on "
        "by halves. Its log goes to the container's output: with Kafka's own file for that, most of it would be "
        "written once more into files that nobody deletes, and what the controller says into those alone. The heap is "
        "Kafka's own default, 1 GiB; KAFKA_HEAP_OPTS sets another, then also for what `kubectl exec` starts here."
    ),
    Row(
        name="EXTRA_ARGS",
        value=f"-name kafkaServer -XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile=file:{FILES_DIR}/"
        f"log4j2.properties -Dlog4j.configuration=file:{FILES_DIR}/log4j.properties",
    ),
    Why("Kafka's scripts want a directory that they can write."),
    Row(name="LOG_DIR", value="/tmp"),  # noqa: S108 - of the container
]

SERVER = Server(
    name="kafka",
    image=IMAGE,
    command=("sh", "/run/peerboot/launch.sh"),
    user=1000,
    volume=VOLUME,
    data_dir=f"{VOLUME}/metadata",
    ports=(Port("client", 9092, "clients"), Port("controller", 9093, "peers")),
    use=Use(
        why="The heap is 1 GiB and fills in time; Java takes a quarter more for itself, and the page cache the rest.",
        cpu="250m",
        memory="1536Mi",
        memory_limit="2Gi",
        guaranteed_cpu="2",
    ),
    parallel=PROBES,
    not_ordered=(
        "its set would form with ordinal 0 alone, and brokers that form alone keep one copy of everything: drop it, "
        "all Pods are made at once"
    ),
    clients=(
        "For clients' first connection: {name}:{port} leads to brokers that are ready, and they tell each client the "
        "names of all, under which it then connects to each."
    ),
    grace=150,
    grace_why=(
        "A broker hands the leadership of its partitions over before it ends: with thousands of them, or while no "
        "controller answers, that takes longer than a minute. One that is killed reads its logs through at its start."
    ),
    writes_output=True,
    tmp="256Mi",
    files=LOGS,
    container={
        **why(
            "In place of the image's own entrypoint, which forms static quorums only. `launch.sh` is peerboot's: it "
            "formats the directories with the image's own tool when the permit says so, and becomes the server. Its "
            "last lines are shown by `kubectl describe pod`."
        ),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": ENVIRONMENT,
    },
)
