#!/usr/bin/env bash
# Stop the node that start.sh started on DATA_DIR, by its recorded process id: bench/kafka/stop.sh DATA_DIR [SIGNAL]
set -euo pipefail
data=${1:?data folder} signal=${2:-TERM}
[ -s "$data/pid" ] || exit 0
pid=$(cat "$data/pid")
# The number may belong to someone else by now.
if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'kafka\.Kafka'; then
  kill -"$signal" "$pid"
  for _ in $(seq 600); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
fi
rm -f "$data/pid"
