#!/usr/bin/env bash
# The Rust client's own tests against Apache Kafka instead of Klamm: once without SASL, then by each mechanism, with sessions that end after
# a second: interop/client.sh [PART OF A TEST'S NAME]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$KAFKA_HERE/install.sh" broker admin
work=$(mktemp -d)
trap '"$KAFKA_HERE/stop.sh" "$work"; rm -rf "$work"' EXIT

# The node takes two ports in a row, and one more for SASL.
port=$(PYTHONPATH="$KAFKA_HERE/.." python3 -c 'import harness; print(harness.free_port(3))')
plaintext=127.0.0.1:$port sasl=127.0.0.1:$((port + 2))
security=org.apache.kafka.common.security
KAFKA_HEAP="-Xms256m -Xmx512m" KAFKA_SETTINGS="
listeners=PLAINTEXT://$plaintext,SASL_PLAINTEXT://$sasl,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://$plaintext,SASL_PLAINTEXT://$sasl
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
connections.max.reauth.ms=1000
delegation.token.secret.key=secret
listener.name.sasl_plaintext.plain.sasl.jaas.config=$security.plain.PlainLoginModule required user_alice=\"secret\";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=$security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=$security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=$security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
" "$KAFKA_HERE/start.sh" "$port" "$work" >/dev/null
for _ in $(seq 300); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
  sleep 0.2
done
for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
  "$KAFKA_HERE/tool.sh" ConfigCommand --bootstrap-server "$plaintext" --alter --entity-type users --entity-name alice \
    --add-config "$mechanism=[iterations=8192,password=secret]"
done

try() { # address, name, settings
  echo "== $2"
  KLAMM_TEST_BOOTSTRAP=$1 KLAMM_TEST_SETTINGS=$3 cargo test -p klamm-client --test server -- "${filter[@]}"
}
filter=("$@")
try "$plaintext" PLAINTEXT ""
for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER; do
  options='username="alice" password="secret"'
  if [ "$mechanism" = OAUTHBEARER ]; then options='unsecuredLoginStringClaim_sub="alice"'; fi
  try "$sasl" "$mechanism" "security.protocol=SASL_PLAINTEXT
sasl.mechanism=$mechanism
sasl.jaas.config=LoginModule required $options;"
done
