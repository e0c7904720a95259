#!/bin/sh
# kafka-server-start.sh FILE   As Kafka's own, by the same variables.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
export KAFKA_HEAP_OPTS="${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}"
export KAFKA_LOG4J_OPTS="${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=file:$here/../config/log4j2.properties}"
# shellcheck disable=SC2086 # options, separated by blanks
exec "$here/kafka-run-class.sh" ${EXTRA_ARGS--name kafkaServer -loggc} kafka.Kafka "$@"
