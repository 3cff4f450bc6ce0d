# Sourced by the scripts here and in interop/: which Apache Kafka, and where it lies.
KAFKA_BROKER_VERSION=4.4.0
KAFKA_TOOLS_VERSION=4.3.1
KAFKA_JAVA2_VERSION=2.8.2
KAFKA_LOG4J_VERSION=2.25.3
# One place per user, so that a fresh clone finds what an earlier one installed.
INTEROP_TOOLS=${INTEROP_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/klamm-tools}
KAFKA_HOME=${KAFKA_HOME:-$INTEROP_TOOLS/kafka}
KAFKA_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KAFKA_JAVA_LOGGING="-Dlog4j2.configurationFile=$KAFKA_HERE/log4j2.properties"
