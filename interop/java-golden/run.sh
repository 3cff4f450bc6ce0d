#!/usr/bin/env bash
# Writes crates/wire/tests/golden/java-4.4.0.txt again, with the Java client from Maven Central. Needs mvn and a JDK 17.
set -euo pipefail
cd "$(dirname "$0")"
version=4.4.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for artifact in org.apache.kafka:kafka-clients:$version org.slf4j:slf4j-api:1.7.36; do
    mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" -DoutputDirectory="$work" >&2
done
javac -cp "$work/*" -d "$work" Golden.java
java -cp "$work:$work/*" Golden ../../crates/wire/tests/golden/java-$version.txt 
