#!/bin/sh
# kafka-run-class.sh [-name NAME] [-loggc] [JAVA'S OPTION]... CLASS [ARGUMENT]...
# As Kafka's own, by the same variables, and as there a garbage collector's log is a file below LOG_DIR. What differs is
# the default of KAFKA_JVM_PERFORMANCE_OPTS, which is for many small servers on one machine.
home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
LOG_DIR=${LOG_DIR:-$home/logs}
[ -d "$LOG_DIR" ] || mkdir -p "$LOG_DIR"
name=''
while :; do
    case $1 in
        -name) name=$2; shift 2 ;;
        -loggc)
            KAFKA_GC_LOG_OPTS=${KAFKA_GC_LOG_OPTS:--Xlog:gc*:file=$LOG_DIR/$name-gc.log:time,tags:filecount=10,filesize=100M}
            shift ;;
        *) break ;;
    esac
done
# shellcheck disable=SC2086 # options, separated by blanks
exec "${JAVA_HOME:-/opt/java/openjdk}/bin/java" ${KAFKA_HEAP_OPTS:--Xmx256M} \
    ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:SharedArchiveFile=$home/kafka.jsa} \
    -Djava.awt.headless=true ${KAFKA_GC_LOG_OPTS:-} "-Dkafka.logs.dir=$LOG_DIR" \
    ${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=file:$home/config/tools-log4j2.properties} \
    -cp "$home/libs/*" ${KAFKA_OPTS:-} "$@"
