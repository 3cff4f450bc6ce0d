#!/usr/bin/env bash
# chaos_cluster.py with the Python that has the clients, in a mount namespace of its own, where it may mount a small disk.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients applications
case " $* " in
  *franz* | *",klamm"* | *" klamm,"*)
    "$INTEROP/install.sh" matrix
    if [ -z "${MATRIX_KLAMM:-}" ]; then
      cargo build --quiet --manifest-path "$INTEROP/../Cargo.toml" -p matrix-klamm
      export MATRIX_KLAMM=${CARGO_TARGET_DIR:-$INTEROP/../target}/debug/matrix-klamm
    fi
    ;;
esac
export INTEROP_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING
if unshare --map-root-user --mount true 2>/dev/null; then
  exec unshare --map-root-user --mount "$PYTHON" "$INTEROP/chaos_cluster.py" "$@"
fi
exec "$PYTHON" "$INTEROP/chaos_cluster.py" "$@"
