#!/usr/bin/env bash
# diskfull.py with the Python that has the clients, in a mount namespace of its own where the system gives one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients
if unshare --map-root-user --mount true 2>/dev/null; then
  exec unshare --map-root-user --mount "$PYTHON" "$INTEROP/diskfull.py" "$@"
fi
exec "$PYTHON" "$INTEROP/diskfull.py" "$@"
