#!/usr/bin/env bash
# chaos.py with the Python that has the clients, in a mount namespace of its own, where it may mount a small disk.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients
if unshare --map-root-user --mount true 2>/dev/null; then
  exec unshare --map-root-user --mount "$PYTHON" "$INTEROP/chaos.py" "$@"
fi
exec "$PYTHON" "$INTEROP/chaos.py" "$@"
