"""What Kafka adds to the manifests. Pure values.

Measured on 4.3.1, as on 3.9.2: a controller opens its port two seconds after its start, with or without a leader and
whether or not it is a voter, and answers ApiVersions there; a broker opens the clients' port only when the leader has
registered it. Kafka has no page of its own that says how it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from peerboot.manifest.server import FILES_DIR, Part, Port, Server, Use
from peerboot.manifest.writer import Row, Text, Why, why
from peerboot.systems.kafka.choices import adapted

IMAGE = "apache/kafka:4.3.1"
"""Apache's own. ``--server-image`` takes any other with Kafka's tools in /opt/kafka/bin or on the PATH, 3.7 to 4.3."""
NEVER = (1 << 31) - 1
"""The largest failureThreshold."""
VOLUME = "/var/lib/kafka/data"


def _probes(port: str, what: str) -> dict[str, Any]:
    return {
        **why(
            f"Yes when {what} It never ends a wait: `launch.sh` waits for its permit before there is any Java, says "
            "for what, and a restart would not bring it."
        ),
        "startupProbe": {
            "tcpSocket": {"port": port},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": NEVER,
        },
        **why(
            "Only whether it still takes connections: Kafka ends by itself when it cannot go on, and a restart brings "
            "no quorum, it only takes a server away."
        ),
        "livenessProbe": {
            "tcpSocket": {"port": port},
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
    **why("For Kafka 3, which has an older log4j."),
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
        "by halves. A Pod has another address after each start: Java would keep the old one for 30 s. The log goes to "
        "the container's output: with Kafka's own file for that, most of it would be written once more into files that "
        "nobody deletes, and what the controller says into those alone. The heap is Kafka's own default, 1 GiB, or "
        "KAFKA_HEAP_OPTS, which is then also that of what `kubectl exec` starts here."
    ),
    Row(
        name="EXTRA_ARGS",
        value="-name kafkaServer -XX:+ExitOnOutOfMemoryError -Dsun.net.inetaddr.ttl=5 "
        f"-Dlog4j2.configurationFile=file:{FILES_DIR}/log4j2.properties "
        f"-Dlog4j.configuration=file:{FILES_DIR}/log4j.properties",
    ),
    Why("Kafka's scripts want a directory that they can write."),
    Row(name="LOG_DIR", value="/tmp"),  # noqa: S108 - of the container
]

ENTRYPOINT = why(
    "In place of the image's own entrypoint, which forms static quorums only. `launch.sh` is peerboot's: it formats "
    "the directories with the image's own tool when the permit says so, and becomes the server. Its last lines are "
    "shown by `kubectl describe pod`."
)
CLIENT, CONTROLLER = Port("client", 9092, "clients"), Port("controller", 9093, "peers")
BROKER_USE = Use(
    why="Measured: 300 MiB after its start, 500 after five minutes of little use; the heap, 1 GiB, fills in time, Java "
    "takes a quarter more for itself, and the page cache the rest.",
    cpu="250m",
    memory="1536Mi",
    memory_limit="2Gi",
    guaranteed_cpu="2",
)
BROKER_GRACE = (
    "A broker hands the leadership of its partitions over before it ends: with thousands of them, or while no "
    "controller answers, that takes longer than a minute. One that is killed reads its logs through at its start."
)

ASIDE = "What was set aside when a disk became another one is kept here too, until you delete it."
LATER = (
    "It can grow later, claim by claim (`kubectl edit pvc`), where its class allows that; a StatefulSet's own template "
    "cannot be changed."
)
BROKER_STORAGE = (
    "For what clients write, with all copies: bytes a second x retention (log.retention.hours, a week if not told) x "
    "copies (three) / brokers. So 1 MB a second for a week takes 605 GB on each of three brokers, and 8Gi are full at "
    "14 kB a second. Leave a third free, for retention deletes whole segments (1 GiB a partition), and a broker whose "
    f"volume is full stops. {ASIDE} {LATER}"
)
CONTROLLER_STORAGE = (
    "For the log of the metadata and its snapshots. A part of it grows to 1 GiB before the next begins and old ones "
    "go, so 8Gi have room to spare. "
    f"{ASIDE} {LATER}"
)

HELP = """\
For kafka:
  --listener NAME:PROTOCOL:PORT[:HOST[:PORT]]
      PROTOCOL is PLAINTEXT, SSL (with --tls-secret), SASL_PLAINTEXT (with --users-secret) or SASL_SSL
      (with both). HOST and the second PORT are what clients are told; fields: {pod} {ordinal} {service}
      {namespace} {domain}. That PORT may be a sum, as 31090+{ordinal}. Without HOST clients are told the
      Pod's name in the cluster.
  --tls-secret      keys tls.crt, tls.key and ca.crt
  --users-secret    a password under each user's name, one of them peerboot
  --base-config     key server.properties
  --rack-label      Kubernetes 1.35 copies topology.kubernetes.io/zone and region from the node to its Pods
  --quorum          static for a set that Kafka 3.7 or 3.8 has formed, until `peerboot kafka migrate`;
                    static-3.8 while it runs one of these, which their tags say; otherwise dynamic
  --split           three controllers and as many brokers as --replicas says"""

TAKES = (
    "--tls-secret", "--users-secret", "--listener", "--rack-label", "--base-config", "--quorum", "--controller-storage",
)  # fmt: skip
_COMBINED = Server(
    name="kafka",
    image=IMAGE,
    command=("sh", "/run/peerboot/launch.sh"),
    user=1000,
    volume=VOLUME,
    data_dir=f"{VOLUME}/metadata",
    ports=(CLIENT, CONTROLLER),
    use=BROKER_USE,
    parallel=_probes("controller", "the controllers' port is open, which needs neither leader nor quorum."),
    not_ordered=(
        "its set would form with ordinal 0 alone, and brokers that form alone keep one copy of everything: drop it, "
        "all Pods are made at once"
    ),
    ready=(
        "By the leader's own word, as peerboot last heard it: in sync with it, and a broker is registered, not fenced, "
        "and no partition is under min.insync.replicas because of it. Kafka itself has no page that says so. The port "
        "is peerboot's."
    ),
    clients=(
        "For clients' first connection: {name}.NAMESPACE.svc.DOMAIN:{port} leads to brokers that are ready, and they "
        "tell each client the names of all, under which it then connects to each. With TLS it has to be that long "
        "name, the one in the certificate."
    ),
    leave=60,
    leave_why=" Of two Pods stopped at once the second waits so long for the first to be back and in sync.",
    grace=240,
    grace_why=BROKER_GRACE,
    writes_output=True,
    tmp="256Mi",
    files=LOGS,
    storage_why=BROKER_STORAGE,
    takes=TAKES,
    adapt=adapted,
    container={**ENTRYPOINT, "terminationMessagePolicy": "FallbackToLogsOnError", "env": ENVIRONMENT},
)
_CONTROLLERS = replace(
    _COMBINED,
    ports=(CONTROLLER,),
    use=Use(
        why="The heap is 512 MiB, which the metadata of tens of thousands of partitions fit into.",
        cpu="100m",
        memory="768Mi",
        memory_limit="1Gi",
        guaranteed_cpu="1",
    ),
    grace=150,
    grace_why="",
    storage_why=CONTROLLER_STORAGE,
    env={
        "PEERBOOT_KAFKA_ROLES": "controller",
        **why(
            "How many brokers there are on the first day: by it new topics get their number of copies, three at most. "
            "It needs no change while there are three or more."
        ),
        "PEERBOOT_KAFKA_BROKERS": "{replicas}",
    },
    container={**_COMBINED.container, "env": [*ENVIRONMENT, Row(name="KAFKA_HEAP_OPTS", value="-Xms512m -Xmx512m")]},
)
_BROKERS = replace(
    _COMBINED,
    ports=(CLIENT,),
    parallel=_probes(
        "client",
        "the brokers' port is open: the controllers' leader has registered this broker. While there is none it ends by "
        "itself after a minute, and is started again.",
    ),
    env={
        "PEERBOOT_KAFKA_ROLES": "broker",
        "PEERBOOT_KAFKA_CONTROLLERS": "{name}-controllers-peers",
        "PEERBOOT_KAFKA_NODE_ID_BASE": "100",
    },
)
SERVER = replace(
    _COMBINED,
    split=(
        Part(_CONTROLLERS, "-controllers", number=3, storage="8Gi"),
        Part(_BROKERS, "", forms=False, asks=("-controllers",)),
    ),
    example=(
        "peerboot manifest kafka --namespace shop --tls-secret kafka-tls --users-secret kafka-users "
        "--listener 'EXTERNAL:SASL_SSL:9094:kafka-{ordinal}.example.org' | kubectl apply -f -"
    ),
    help=HELP,
)
