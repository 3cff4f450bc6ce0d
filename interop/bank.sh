#!/usr/bin/env bash
# bank.py with the Python that has the clients, and the programs of the others.
#
#   interop/bank.sh [--binary KLAMM | --kafka] [--smoke] [...]
#
# --smoke: a quarter of a minute, with what install.sh's `clients` and `applications` bring.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
options=() all=yes
for word in "$@"; do
  case $word in
    --smoke) options+=(--rounds 4 --clients "confluent,java") all= ;;
    *) options+=("$word") ;;
  esac
done
"$INTEROP/install.sh" clients applications ${all:+matrix}
if [ -n "$all" ] && [ -z "${MATRIX_KLAMM:-}" ]; then
  cargo build --quiet --manifest-path "$INTEROP/../Cargo.toml" -p matrix-klamm
  export MATRIX_KLAMM=${CARGO_TARGET_DIR:-$INTEROP/../target}/debug/matrix-klamm
fi
export INTEROP_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING
exec "$PYTHON" "$INTEROP/bank.py" "${options[@]}"
