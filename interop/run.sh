#!/usr/bin/env bash
# Start the built klamm on a free port with a throw-away data folder, run smoke.sh against it, stop it.
#
#   interop/run.sh [--binary KLAMM | --kafka]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients
exec python3 "$INTEROP/with_broker.py" "$@" "$INTEROP/smoke.sh"
