#!/usr/bin/env bash
# The Rust client's own tests against Apache Kafka instead of Klamm: once without SASL, then by each mechanism, with sessions that end after
# a second; then over TLS with certificates on both sides, and over TLS with SASL: interop/client.sh [PART OF A TEST'S NAME]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
"$KAFKA_HERE/install.sh" broker admin
work=$(mktemp -d)
trap '"$KAFKA_HERE/stop.sh" "$work"; rm -rf "$work"' EXIT

# An authority, and what it vouches for: the broker, under the name by which it is reached, and a client.
vouch() { # name, address
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$1" -keyout "$work/$1.key" 2>/dev/null |
    openssl x509 -req -days 2 -CA "$work/ca.pem" -CAkey "$work/ca.key" -extfile <(echo "subjectAltName=$2") -out "$work/$1.crt" 2>/dev/null
  cat "$work/$1.key" "$work/$1.crt" >"$work/$1.pem"
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=ca -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
vouch broker IP:127.0.0.1
vouch client DNS:client

# The node takes two ports in a row, and one more for each other way in.
port=$(PYTHONPATH="$KAFKA_HERE/.." python3 -c 'import harness; print(harness.free_port(5))')
plaintext=127.0.0.1:$port sasl=127.0.0.1:$((port + 2)) ssl=127.0.0.1:$((port + 3)) sasl_ssl=127.0.0.1:$((port + 4))
security=org.apache.kafka.common.security
KAFKA_HEAP="-Xms256m -Xmx512m" KAFKA_SETTINGS="
listeners=PLAINTEXT://$plaintext,SASL_PLAINTEXT://$sasl,SSL://$ssl,SASL_SSL://$sasl_ssl,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://$plaintext,SASL_PLAINTEXT://$sasl,SSL://$ssl,SASL_SSL://$sasl_ssl
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=$work/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$work/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
connections.max.reauth.ms=1000
delegation.token.secret.key=secret
listener.name.sasl_plaintext.plain.sasl.jaas.config=$security.plain.PlainLoginModule required user_alice=\"secret\";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=$security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=$security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=$security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$security.scram.ScramLoginModule required;
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
trust="ssl.truststore.type=PEM
ssl.truststore.location=$work/ca.pem"
try "$ssl" SSL "security.protocol=SSL
$trust
ssl.keystore.type=PEM
ssl.keystore.location=$work/client.pem"
try "$sasl_ssl" SASL_SSL "security.protocol=SASL_SSL
$trust
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=LoginModule required username=\"alice\" password=\"secret\";"
