#!/usr/bin/env bash
# kill9.py with the Python that has the clients.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients
exec "$PYTHON" "$INTEROP/kill9.py" "$@"
