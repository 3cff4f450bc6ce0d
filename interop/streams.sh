#!/usr/bin/env bash
# streams.py with the Python that has the clients, and Kafka Streams.
#
#   interop/streams.sh [--binary KLAMM | --kafka] [--smoke] [...]
#
# --smoke: half a minute, one instance, killed twice, and the broker once.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
options=()
for word in "$@"; do
  case $word in
    --smoke) options+=(--kills 2 --broker-kills 1 --pauses 0 --instances 1) ;;
    *) options+=("$word") ;;
  esac
done
"$INTEROP/install.sh" clients applications
export INTEROP_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING
exec "$PYTHON" "$INTEROP/streams.py" "${options[@]}"
