#!/usr/bin/env bash
# Real clients write to the broker at HOST:PORT and read back what they wrote: interop/smoke.sh HOST:PORT [PART OF A CHECK'S NAME]
# Starts no broker. Prints a line for each check and 'N passed, N failed' at the end. interop/install.sh brings the clients.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
export RDKAFKA_PERFORMANCE
exec "$PYTHON" "$INTEROP/smoke.py" "$@"
