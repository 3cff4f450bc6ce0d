#!/usr/bin/env bash
# Run one of Kafka's own command-line tools: bench/kafka/tool.sh CLASS ARGS...      (CLASS as in org.apache.kafka.tools.CLASS, or in full)
# KAFKA_TOOL_JVM: flags of its JVM.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
class=$1; shift
path=tools
case $class in
  ConfigCommand) class=kafka.admin.ConfigCommand path=admin ;;
  *.*) ;;
  ConsoleConsumer) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
  *) class=org.apache.kafka.tools.$class ;;
esac
# shellcheck disable=SC2086
exec java ${KAFKA_TOOL_JVM:--Xmx512m} "$KAFKA_JAVA_LOGGING" -Dklamm.log.level="${KAFKA_TOOL_LOG_LEVEL:-WARN}" -cp "$KAFKA_HOME/$path/*" "$class" "$@"
