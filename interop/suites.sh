#!/usr/bin/env bash
# suites.py against a broker that is set as the tests want it.
#
#   interop/suites.sh [--binary KLAMM | --kafka] [--only PART OF A NAME]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
broker=(--set num.partitions=4 --set group.min.session.timeout.ms=3000) options=()
while [ $# -gt 0 ]; do
  case $1 in
    --binary) broker+=("$1" "$2"); shift 2 ;;
    --kafka) broker+=("$1"); shift ;;
    *) options+=("$1"); shift ;;
  esac
done
"$INTEROP/install.sh" suites
export INTEROP_TOOLS
exec "$PYTHON" "$INTEROP/with_broker.py" "${broker[@]}" "$PYTHON" "$INTEROP/suites.py" "${options[@]}"
