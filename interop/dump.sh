#!/usr/bin/env bash
# dump.py with the Python that has the clients: interop/dump.sh [--binary KLAMM | --kafka]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients
exec "$PYTHON" "$INTEROP/dump.py" "$@"
