#!/usr/bin/env bash
# cluster.py with the Python that has the clients, and the programs of the others.
#
#   interop/cluster.sh [--binary KLAMM | --kafka] [--smoke] [...]
#
# --smoke: a minute, with what install.sh's `clients` brings and our own client.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
options=() all=yes
for word in "$@"; do
  case $word in
    --smoke) options+=(--smoke --clients "confluent,java,klamm") all= ;;
    *) options+=("$word") ;;
  esac
done
"$INTEROP/install.sh" clients ${all:+matrix}
if [ -z "${MATRIX_KLAMM:-}" ]; then
  cargo build --quiet --manifest-path "$INTEROP/../Cargo.toml" -p matrix-klamm
  export MATRIX_KLAMM=${CARGO_TARGET_DIR:-$INTEROP/../target}/debug/matrix-klamm
fi
export INTEROP_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING PYTHON RDKAFKA_PERFORMANCE
exec "$PYTHON" "$INTEROP/cluster.py" "${options[@]}"
