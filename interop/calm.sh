#!/usr/bin/env bash
# calm.py against the built klamm.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec python3 "$INTEROP/calm.py" "$@"
