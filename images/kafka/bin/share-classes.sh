#!/bin/sh
# In the image's build: one start of a server of its own, whose classes are then shared (kafka.jsa).
set -eu
home=/opt/kafka
file=/tmp/share.properties
printf '%s\n' process.roles=broker,controller node.id=1 controller.listener.names=CONTROLLER \
    listeners=CONTROLLER://127.0.0.1:19093,INTERNAL://127.0.0.1:19092 inter.broker.listener.name=INTERNAL \
    listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT \
    controller.quorum.bootstrap.servers=127.0.0.1:19093 log.dirs=/tmp/share >"$file"
export KAFKA_JVM_PERFORMANCE_OPTS='-XX:+UseSerialGC -XX:TieredStopAtLevel=1' LOG_DIR=/tmp EXTRA_ARGS='-name share'
export KAFKA_HEAP_OPTS='-Xms64m -Xmx256m'
"$home/bin/kafka-storage.sh" format --standalone --cluster-id=shareshareshareshares0 -c "$file" >/dev/null
KAFKA_OPTS="-XX:ArchiveClassesAtExit=$home/kafka.jsa" "$home/bin/kafka-server-start.sh" "$file" >/tmp/share.log 2>&1 &
server=$!
seconds=0
until grep -q 'Kafka Server started' /tmp/share.log; do
    seconds=$((seconds + 1))
    if [ "$seconds" -gt 60 ] || ! kill -0 "$server"; then tail -n 20 /tmp/share.log >&2; exit 1; fi
    sleep 1
done
kill "$server"
wait "$server" || :
test -s "$home/kafka.jsa"
rm -rf /tmp/share*
