#!/usr/bin/env bash
# bank.py with the Python that has the clients, and the programs of the others.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients matrix applications
export KLAMM_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING
exec "$PYTHON" "$INTEROP/bank.py" "$@"
