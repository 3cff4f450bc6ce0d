#!/usr/bin/env bash
# Put Apache Kafka's jars where the benchmarks and the interop checks look for them. Quick when they are there already.
#
#   bench/kafka/install.sh [tools] [broker] [admin] [streams] [java2]        default: tools broker
#
# `broker` is the server to compare with, `tools` are Kafka's own command-line clients, `admin` those that still live among the server's classes,
# `streams` is Kafka Streams, `java2` is an old client. They are class paths of their own on purpose: their versions differ, and one JVM must never
# see two. Java >= 17 and Maven are needed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

broker_artifacts=("org.apache.kafka:kafka_2.13:$KAFKA_BROKER_VERSION")
tools_artifacts=("org.apache.kafka:kafka-tools:$KAFKA_TOOLS_VERSION")
admin_artifacts=("org.apache.kafka:kafka_2.13:$KAFKA_TOOLS_VERSION")
streams_artifacts=("org.apache.kafka:kafka-streams:$KAFKA_TOOLS_VERSION")
java2_artifacts=("org.apache.kafka:kafka-clients:$KAFKA_JAVA2_VERSION")
logging_artifacts=("org.apache.logging.log4j:log4j-core:$KAFKA_LOG4J_VERSION" "org.apache.logging.log4j:log4j-slf4j-impl:$KAFKA_LOG4J_VERSION")

install_part() { # part artifact...
  local part=$1; shift
  local wanted="$* ${logging_artifacts[*]}"
  local into="$KAFKA_HOME/$part"
  if [ "$(cat "$into/ARTIFACTS" 2>/dev/null)" = "$wanted" ]; then return; fi
  echo "installing Apache Kafka jars: $part ($*)" >&2
  local build; build=$(mktemp -d)
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo "<groupId>klamm</groupId><artifactId>kafka-$part</artifactId><version>1</version><packaging>pom</packaging><dependencies>"
    local artifact group name version
    for artifact in "$@" "${logging_artifacts[@]}"; do
      IFS=: read -r group name version <<<"$artifact"
      echo "<dependency><groupId>$group</groupId><artifactId>$name</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$build/pom.xml"
  mkdir -p "$KAFKA_HOME"
  # Filled beside and then moved, so that an interrupted download never looks complete.
  mvn -B -q -Dstyle.color=never -f "$build/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$build/jars" </dev/null
  echo "$wanted" >"$build/jars/ARTIFACTS"
  rm -rf "$into" "$into.new"
  cp -r "$build/jars" "$into.new"
  mv "$into.new" "$into"
  rm -rf "$build"
}

[ $# -gt 0 ] || set -- tools broker
for part in "$@"; do
  case $part in
    tools) install_part tools "${tools_artifacts[@]}" ;;
    broker) install_part broker "${broker_artifacts[@]}" ;;
    admin) install_part admin "${admin_artifacts[@]}" ;;
    streams) install_part streams "${streams_artifacts[@]}" ;;
    java2) install_part java2 "${java2_artifacts[@]}" ;;
    *) echo "unknown part: $part (tools, broker, admin, streams, java2)" >&2; exit 2 ;;
  esac
done
