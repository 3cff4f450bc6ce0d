"""Transactions of one record, Klamm beside Apache Kafka in one run: how many a second, how long one takes, what the broker spends on it.

    python3 bench/transactions.py                  everything, 5 rounds: about twenty minutes
    python3 bench/transactions.py --quick          does it all work: a minute
    python3 bench/transactions.py --cases bare-50 --durability durable

The producers, each with a transactional id and a connection of its own, write one transaction after the other to a topic of 16 partitions. `bare` are those
of bench-floor: the requests of Kafka's clients since 4.0 and nothing beside them, so that what is seen is the broker's part; `older` are the same with the
requests of clients before (librdkafka's). `java` are Kafka's own, 50 of which take more of two processors than the broker. Rounds A B A B, the first thrown away.

Needs: cargo build --release; cargo build --release -p bench-floor; bench/kafka/install.sh.
"""

import argparse
import json
import sys

import harness
import run
from harness import Wire

PARTITIONS = 16
SECONDS = {"warm_up": 1, "counted": 5}
CASES = ["bare-1", "bare-50", "older-1", "older-50", "java-1", "java-50"]
CLIENTS = {
    "bare": "bare producers with the requests of today's clients",
    "older": "bare producers with the requests of clients before 4.0, which add partitions first",
    "java": "producers of Kafka's Java client 4.3",
}


def about(case):
    client, count = case.split("-")
    return f"{count} of: {CLIENTS[client]}; transactions of one record of 100 B, one after the other, {PARTITIONS} partitions"


class Measured(run.Bench):
    def begin(self, broker, durability):
        """Anew, with its settings and without data."""
        self.restart_empty(broker, run.ALL_TOPICS[broker.name, durability])

    def transactions(self, broker, case, durability):
        client, count = case.split("-")
        name = self.new_topic(broker, PARTITIONS, durability)
        before = sum(broker.cpu_s())
        told = json.loads(run.command(*self.words(broker, client, name, count)))
        self.count(broker, name, PARTITIONS, 2 * told["all"])  # each has a record and a mark
        cpu_s = sum(broker.cpu_s()) - before
        self.drop_topic(broker, name)
        return {
            "transactions_per_s": told["transactions"] / told["seconds"], "p50_ms": told["took_us"]["p50"] / 1000, "p99_ms": told["took_us"]["p99"] / 1000,
            "broker_us_per_transaction": cpu_s / told["all"] * 1e6, "asked_again": told["pauses"] / told["all"],
        }

    def words(self, broker, client, topic, count):
        warm_up, counted = SECONDS["warm_up"], SECONDS["counted"]
        if client == "java":
            # A virtual machine needs longer until it is warm.
            return [run.JAVA, "Transactions", broker.address, topic, PARTITIONS, count, 3 * warm_up, counted]
        return [harness.floor_binary(), "transactions", broker.address, "--topic", topic, "--partitions", PARTITIONS, "--producers", count,
                "--warm-up", warm_up, "--seconds", counted, "--protocol", 1 if client == "older" else 2]

    def run(self):
        try:
            for durability in self.options.durability:
                for broker in self.brokers.values():
                    self.begin(broker, durability)
                for case in self.options.cases:
                    self.rounds(case, durability, lambda broker: self.transactions(broker, case, durability))
        finally:
            for broker in self.brokers.values():
                broker.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_options(parser, systems=["klamm", "kafka"], cases=CASES, rounds=5, gigabytes=0)
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
        SECONDS.update(warm_up=0.2, counted=1)
    run.ABOUT.update({case: about(case) for case in CASES})
    run.LEAD.update({case: "transactions_per_s" for case in CASES})
    run.report(Measured(options), options)


if __name__ == "__main__":
    sys.exit(main())
