#!/usr/bin/env bash
# Start one Apache Kafka node (broker and controller in one, KRaft) on 127.0.0.1 for a comparison.
#
#   bench/kafka/start.sh PORT DATA_DIR        prints the process id
#
# The node's controller listens on PORT+1. A data folder never used before is formatted first. Returns at once: whoever measures the
# start polls the port. KAFKA_HEAP (default -Xms1g -Xmx1g); KAFKA_SETTINGS: further lines of server.properties. For one of several nodes:
# KAFKA_NODE_ID, KAFKA_VOTERS (all nodes' ID@HOST:PORT of their controllers) and KAFKA_CLUSTER_ID, the same for all.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
port=${1:?port} data=${2:?data folder}
mkdir -p "$data"
data=$(cd "$data" && pwd)

cat >"$data/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=${KAFKA_NODE_ID:-1}
controller.quorum.voters=${KAFKA_VOTERS:-1@127.0.0.1:$((port + 1))}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$data/logs
# The internal topics want three brokers by default.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
${KAFKA_SETTINGS:-}
PROPERTIES

kafka_java=(java "$KAFKA_JAVA_LOGGING" -cp "$KAFKA_HOME/broker/*")
if [ ! -s "$data/logs/meta.properties" ]; then
  cluster=${KAFKA_CLUSTER_ID:-$("${kafka_java[@]}" -Dklamm.log.level=ERROR kafka.tools.StorageTool random-uuid)}
  "${kafka_java[@]}" -Dklamm.log.level=WARN kafka.tools.StorageTool format -t "$cluster" -c "$data/server.properties" \
    >"$data/format.log" 2>&1 </dev/null || { cat "$data/format.log" >&2; exit 1; }
fi
# The JVM flags of Kafka's own start script.
# shellcheck disable=SC2086
setsid java ${KAFKA_HEAP:--Xms1g -Xmx1g} -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
  -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true "$KAFKA_JAVA_LOGGING" -cp "$KAFKA_HOME/broker/*" \
  kafka.Kafka "$data/server.properties" >>"$data/server.log" 2>&1 </dev/null &
echo $! | tee "$data/pid"
