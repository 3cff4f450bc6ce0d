#!/usr/bin/env bash
# Consumer groups of real clients (groups.py) against a broker that lives only for it.
#
#   interop/groups.sh [--binary KLAMM | --kafka] [--smoke] [--consumer-protocol] [--only PART OF A NAME]
#
# --smoke: a minute, with what install.sh's `clients` brings. --consumer-protocol: KIP-848 too.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
broker=() options=() clients=(clients matrix)
while [ $# -gt 0 ]; do
  case $1 in
    --binary) broker+=("$1" "$2"); shift 2 ;;
    --kafka) broker+=("$1"); shift ;;
    --smoke) clients=(clients); options+=("$1"); shift ;;
    --consumer-protocol) broker+=("${CONSUMER_PROTOCOL_TIMEOUTS[@]}"); options+=("$1"); shift ;;
    *) options+=("$1"); shift ;;
  esac
done
"$INTEROP/install.sh" "${clients[@]}"
cargo build --quiet --manifest-path "$INTEROP/../Cargo.toml" -p matrix-klamm
MATRIX_KLAMM=${CARGO_TARGET_DIR:-$INTEROP/../target}/debug/matrix-klamm
export MATRIX_KLAMM INTEROP_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING PYTHON
exec python3 "$INTEROP/with_broker.py" "${broker[@]}" python3 "$INTEROP/groups.py" "${options[@]}"
