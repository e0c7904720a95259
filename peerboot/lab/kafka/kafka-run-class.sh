#!/bin/sh
# kafka-run-class.sh CLASS [ARGUMENT]...   As Kafka's own, for a lab: a small heap, one log on stderr, no files of logs.
home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# What peerboot/lab/classes.py has made. A JVM that cannot use it goes without; that is no output of a tool.
share=''
[ ! -s "$home.jsa" ] || share="-XX:SharedArchiveFile=$home.jsa -Xlog:cds*=off"
# shellcheck disable=SC2086 # options, separated by blanks
exec java ${KAFKA_HEAP_OPTS:--Xms32m -Xmx256m} \
    ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true $share} \
    "-Dlab.level=${KAFKA_LAB_LOG_LEVEL:-WARN}" "-Dlog4j.configuration=file:$home/config/log4j.properties" \
    "-Dlog4j2.configurationFile=file:$home/config/log4j2.properties" ${KAFKA_OPTS:-} \
    -cp "$home/libs/*:$home/tools/*" "$@"
