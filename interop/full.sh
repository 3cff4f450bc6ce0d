#!/usr/bin/env bash
# The whole matrix: all clients, all codecs, groups, transactions, applications, Kafka's tools, tests by others; writes docs/COMPATIBILITY.md with --report FILE.
# Takes about an hour.
#
#   interop/full.sh [--binary KLAMM | --kafka] [--report FILE] [--only PART OF A NAME] [--consumer-protocol]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients matrix applications suites
cargo build --quiet --manifest-path "$INTEROP/../Cargo.toml" -p matrix-klamm
MATRIX_KLAMM=${CARGO_TARGET_DIR:-$INTEROP/../target}/debug/matrix-klamm
export MATRIX_KLAMM INTEROP_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING PYTHON RDKAFKA_PERFORMANCE
broker=() options=() of_their_own=()
while [ $# -gt 0 ]; do
  case $1 in
    --binary) broker+=("$1" "$2"); of_their_own+=("$1" "$2"); shift 2 ;;
    --kafka) broker+=("$1"); of_their_own+=("$1"); shift ;;
    --consumer-protocol) broker+=("${CONSUMER_PROTOCOL_TIMEOUTS[@]}"); options+=("$1"); shift ;;
    *) options+=("$1"); shift ;;
  esac
done
# Checks that kill their broker, or want one of their own, start it themselves.
export OF_THEIR_OWN="${of_their_own[*]}"
exec python3 "$INTEROP/with_broker.py" "${broker[@]}" python3 "$INTEROP/matrix/full.py" "${options[@]}"
