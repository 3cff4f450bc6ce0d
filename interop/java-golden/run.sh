#!/usr/bin/env bash
# Writes the golden files of the crates wire, client and coordinator again, with Kafka's jars from Maven Central. Needs mvn and a JDK 17.
set -euo pipefail
cd "$(dirname "$0")"
version=4.4.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for artifact in org.apache.kafka:kafka-{clients,server-common,coordinator-common,group-coordinator,transaction-coordinator}:$version \
    org.slf4j:slf4j-api:1.7.36 \
    org.xerial.snappy:snappy-java:1.1.10.7 at.yawk.lz4:lz4-java:1.10.2 com.github.luben:zstd-jni:1.5.6-10; do
    mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" -DoutputDirectory="$work" >&2
done
javac -cp "$work/*" -d "$work" Golden.java Batches.java Records.java
java -cp "$work:$work/*" Golden ../../crates/wire/tests/golden/java-$version.txt
java -cp "$work:$work/*" Batches ../../crates/client/tests/golden/java-$version.txt
java -cp "$work:$work/*" Records ../../crates/coordinator/tests/golden/java-$version.txt
