#!/usr/bin/env bash
# streams.py with the Python that has the clients, and Kafka Streams.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$INTEROP/install.sh" clients applications
export KLAMM_TOOLS KAFKA_HOME KAFKA_JAVA_LOGGING
exec "$PYTHON" "$INTEROP/streams.py" "$@"
