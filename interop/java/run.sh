#!/usr/bin/env bash
# Run one of the programs here on the class path of Kafka's Java clients: interop/java/run.sh CLASS ARGS...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
class=$1; shift
# shellcheck disable=SC2086
exec java ${KAFKA_TOOL_JVM:--Xmx512m} "$KAFKA_JAVA_LOGGING" -Dklamm.log.level=WARN -cp "$KAFKA_HOME/tools/*" "$INTEROP/java/$class.java" "$@"
