"""Three Klamm nodes beside three of Apache Kafka: CPU per GB, latency, what the loss of a node costs, many partitions, start and memory.

    python3 bench/cluster.py                                 everything, 3 rounds: about an hour
    python3 bench/cluster.py --quick                         does it all work: about ten minutes
    python3 bench/cluster.py --only throughput failover-leader --systems klamm

The rules are those of run.py (rounds A B A B, the first thrown away, CPU of the brokers' processes first: of the whole cluster). All topics have three
replicas, and every producer asks for acks=all. Nodes and clients share the machine's processors.

Needs: cargo build --release; bench/kafka/install.sh; interop/install.sh clients.
"""

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

import client
import cluster_harness
import harness
import run
from harness import WireError

PARTITIONS, MANY, RATE = 12, 3_000, 20_000
STEADY = os.path.join(run.HERE, "steady_producer.py")
PYTHON = os.path.join(client.TOOLS, "venv", "bin", "python")
LOSSES = ["leader", "controller", "both"]
CASES = ["throughput", "rate-20k", "end-to-end", "one-at-a-time", *(f"failover-{what}" for what in LOSSES), "partitions-3000", "start"]
ABOUT = {
    "throughput": f"librdkafka as fast as it can: 1 KiB records, {PARTITIONS} partitions, batches of 64 KiB",
    "rate-20k": f"Kafka's Java producer with its defaults (batches of 16 KiB, linger 5 ms) at {RATE:,} records/s of 1 KiB, {PARTITIONS} partitions",
    "end-to-end": f"`klamm bench latency --end-to-end`: single records of 1 KiB at a fixed rate, {PARTITIONS} partitions, from the moment meant until a consumer has it",
    "one-at-a-time": "one record of 100 B after the other until each is acknowledged; then 100 a second until a consumer has it (`received`); `disk` is write + fdatasync of 200 B",
    **{f"failover-{what}": f"kill -9 of {who}, until a record that the same producer (librdkafka or Kafka's Java client, with its defaults) sent after it is acknowledged; `elected`: until the others name a new one" for what, who in zip(
        LOSSES, ["the partition's leader", "the controller, which does not lead the partition", "the partition's leader, which is the controller"])},
    "partitions-3000": f"a topic of {MANY:,} partitions: created until all lead and are in sync; at rest; a broker killed, and the controller, until every partition has a leader and all nodes say so",
    "start": "three nodes without topics, killed, started at once until each has answered that all are there; what all three take when idle",
}


class Measured(run.Bench):
    """`brokers` are clusters here; what `run.Bench` asks of a broker they answer too."""

    def __init__(self, options):
        super().__init__(argparse.Namespace(**{**vars(options), "systems": []}))
        self.options = options
        make = {
            "klamm": lambda: cluster_harness.klamm_cluster(options.data_dir, binary=options.klamm),
            "kafka": lambda: cluster_harness.kafka_cluster(options.data_dir, settings=["log.initial.task.delay.ms=0"]),
        }
        self.brokers = {name: make[name]() for name in options.systems}

    def cluster(self, broker):
        for node in broker:
            if not run.owns_port(node.pid, node.port):
                raise SystemExit(f"{node.address} is not answered by the {node.name} started here")
        return broker.metadata([])["cluster"]

    def new_topic(self, broker, partitions, durability):
        self.topics += 1
        name, settings = f"bench-{self.topics}", {}
        if broker.name == "kafka":
            settings["file_delete_delay_ms"] = 100
            if durability == "durable":
                settings["flush_messages"] = 1
        elif durability == "relaxed":
            settings["flush_messages"] = run.NEVER
        broker.create_topic(name, partitions, **settings)
        return name

    def drop_topic(self, broker, name):
        broker.delete_topic(name)

    def count(self, broker, name, partitions, expected):
        found = sum(broker.ends(name))
        if found != expected:
            raise SystemExit(f"{broker.name}: {found} records are in {name}, {expected} were acknowledged")

    def klamm_bench(self, broker, topic, *words):
        return json.loads(run.command(self.options.klamm or harness.default_binary(), "bench", *words[:1], topic, "--bootstrap", broker.address,
                                      "--format", "json", *words[1:]))

    # --- cases: each gives one round's figures of one cluster

    def throughput(self, broker, durability):
        records = int(self.gigabytes * (0.2 if durability == "durable" else 1.0) * 1e9 / 1024)
        name = self.new_topic(broker, PARTITIONS, durability)
        if not self.options.quick:
            self.fill_page_cache()

        def work():
            # Without the last word librdkafka sends everything to one partition for 10 ms, and then to the next.
            said = run.command(client.PERFORMANCE, "-b", broker.address, "-P", "-q", "-t", name, "-s", 1024, "-c", records, "-a", -1,
                               "-X", "batch.size=65536", "-X", "linger.ms=10", "-X", "sticky.partitioning.linger.ms=0")
            took = re.search(r"(\d+) delivered .* in (\d+)ms", said)
            if not took or int(took[1]) != records:
                raise SystemExit(f"{broker.name}: rdkafka_performance says {said[-600:]}")
            return {"records_per_s": records / int(took[2]) * 1000}

        figures = self.measured(broker, records * 1024 / 1e9, records, work)
        self.count(broker, name, PARTITIONS, records)
        self.drop_topic(broker, name)
        return figures

    def rate_20k(self, broker, durability):
        records = RATE * (5 if self.options.quick else 20)
        name = self.new_topic(broker, PARTITIONS, durability)

        def work():
            said = run.command(run.TOOL, "ProducerPerformance", "--bootstrap-server", broker.address, "--topic", name, "--num-records", records,
                               "--record-size", 1024, "--throughput", RATE, "--command-property", "acks=all").strip().splitlines()[-1]
            found = re.search(r"^(\d+) records sent, ([\d.]+) records/sec .* (\d+) ms 50th, .* (\d+) ms 99th", said)
            if not found or int(found[1]) != records:
                raise SystemExit(f"{broker.name}: ProducerPerformance says {said[-600:]}")
            return {"records_per_s": float(found[2]), "p50_ms": int(found[3]), "p99_ms": int(found[4])}

        figures = self.measured(broker, records * 1024 / 1e9, records, work)
        self.count(broker, name, PARTITIONS, records)
        self.drop_topic(broker, name)
        per_record = figures["cpu_s_per_gb"] * 1.024
        return {"cpu_us_per_record": per_record, "user_us_per_record": figures["user_us_per_record"],
                "system_us_per_record": per_record - figures["user_us_per_record"], **{key: figures[key] for key in ("records_per_s", "p50_ms", "p99_ms")}}

    def end_to_end(self, broker, durability):
        name = self.new_topic(broker, PARTITIONS, durability)
        rate, seconds = self.options.rate, 5 if self.options.quick else 20
        told = self.klamm_bench(broker, name, "latency", "--rate", rate, "--seconds", seconds, "--record-size", 1024, "--end-to-end")
        self.drop_topic(broker, name)
        if told["records_per_second"] < 0.95 * rate:
            raise SystemExit(f"{broker.name} does not hold {rate} records/s: {told['records_per_second']}")
        return {**quantiles(told, "received"), **quantiles(told, "acknowledged")}

    def one_at_a_time(self, broker, durability):
        name = self.new_topic(broker, 1, durability)
        seconds = 2 if self.options.quick else 10
        alone = self.klamm_bench(broker, name, "latency", "--one-at-a-time", "--seconds", seconds)
        self.drop_topic(broker, name)
        name = self.new_topic(broker, 1, durability)
        through = self.klamm_bench(broker, name, "latency", "--rate", 100, "--seconds", seconds, "--end-to-end")
        self.drop_topic(broker, name)
        return {"p50_us": quantile_us(alone, "acknowledged", "p50"), "p99_us": quantile_us(alone, "acknowledged", "p99"),
                "received_p50_us": quantile_us(through, "received", "p50"), "received_p99_us": quantile_us(through, "received", "p99")}

    def failover(self, broker, what):
        kills = self.options.kills if broker.name == "klamm" else self.options.kafka_kills
        name = self.new_topic(broker, PARTITIONS, "default")
        elected, silences = zip(*(self.loss(broker, name, what) for _ in range(kills)))
        self.drop_topic(broker, name)
        return {"median_ms": statistics.median(silences), "least_ms": min(silences), "worst_ms": max(silences),
                "elected_median_ms": statistics.median(elected), "elected_worst_ms": max(elected), "kills": kills}

    def loss(self, broker, name, what):
        """From the kill until the others name another leader (another controller, if only that is lost), and to the acknowledgement of a record that was sent after it."""
        controller = broker.controller()
        partition, leader = next((it.index, it.leader) for it in broker.partitions(name) if (it.leader == controller) == (what == "both"))
        victim = controller if what == "controller" else leader
        with Steady(self.options.producer, broker.address, name, partition) as producer:
            producer.wait_after(time.monotonic())
            # In whatever state its heartbeats are.
            time.sleep(random.uniform(0.5, 1.5))
            killed_at = time.monotonic()
            broker.kill(victim)
            if what == "controller":
                broker.controller()
            else:
                broker.wait_for_leaders(name)
            elected_ms = (time.monotonic() - killed_at) * 1000
            silence_ms = (producer.wait_after(killed_at) - killed_at) * 1000
        print(f"  {broker.name}, {what}: elected after {elected_ms:.0f} ms, acknowledged after {silence_ms:.0f} ms", file=sys.stderr, flush=True)
        broker.start_node(victim)
        broker.wait_in_sync()
        self.spread_leaders(broker, name)
        return elected_ms, silence_ms

    def spread_leaders(self, broker, name):
        """Back to where they were: Kafka does that by itself within five minutes."""
        run.command(self.options.klamm or harness.default_binary(), "cluster", "elect", name, "--bootstrap", broker.address)
        broker.wait(lambda wire: all(it.leader == it.replicas[0] for it in wire.metadata([name])["partitions"][name]), f"the first leaders of {name}")

    def partitions_3000(self, broker):
        self.restart_empty(broker)
        count = 300 if self.options.quick else MANY
        before = broker.resident_bytes()
        begun = time.monotonic()
        broker.ask(lambda wire: wire.request_topic("many", count, 3) or True)
        broker.wait_for_leaders("many", within_s=300)
        create_s = time.monotonic() - begun
        broker.wait_in_sync("many", within_s=300)
        in_sync_s = time.monotonic() - begun
        self.until_at_rest(broker)
        idle_percent = self.idle_percent(broker)
        memory = broker.resident_bytes()
        lost = {"broker": self.lost(broker, controls=False), "controller": self.lost(broker, controls=True)}
        self.restart_empty(broker)
        return {"create_s": create_s, "in_sync_s": in_sync_s, "broker_lost_s": lost["broker"], "controller_lost_s": lost["controller"],
                "idle_cpu_percent_each": idle_percent, "kib_each": (sum(memory) - sum(before)) / len(memory) / count / 1024, "mib_each_node": max(memory) / 1048576}

    def lost(self, broker, controls):
        controller = broker.controller()
        victim = controller if controls else next(it.number for it in broker if it.number != controller)
        broker.kill(victim)
        took_s = broker.wait_for_leaders("many", within_s=300)
        broker.start_node(victim)
        broker.wait_in_sync("many", within_s=300)
        run.command(self.options.klamm or harness.default_binary(), "cluster", "elect", "many", "--bootstrap", broker.address)
        self.until_at_rest(broker)
        return took_s

    def restart_empty(self, broker):
        broker.end()
        broker.remove_data()
        self.start(broker)

    def until_at_rest(self, broker):
        for _ in range(60):
            before = sum(broker.cpu_s())
            time.sleep(1)
            if sum(broker.cpu_s()) - before < 0.3:
                return

    def idle_percent(self, broker):
        """Of one core, of one node in the middle."""
        seconds = 2 if self.options.quick else 10
        before = sum(broker.cpu_s())
        time.sleep(seconds)
        return (sum(broker.cpu_s()) - before) / seconds * 100 / len(broker.nodes)

    def start_up(self, broker):
        broker.end()
        start_ms = self.start(broker) * 1000
        self.until_at_rest(broker)
        return {"start_ms": start_ms, "idle_cpu_percent_each": self.idle_percent(broker), "mib_all": sum(broker.resident_bytes()) / 1048576}

    # --- all of it

    def run(self):
        by_durability = {"throughput": self.throughput, "rate-20k": self.rate_20k, "end-to-end": self.end_to_end, "one-at-a-time": self.one_at_a_time}
        for broker in self.brokers.values():
            self.start(broker)
        try:
            for case in self.options.cases:
                if case in by_durability:
                    for durability in self.options.durability:
                        others = [("disk", lambda: self.disk(200))] if (case, durability) == ("one-at-a-time", "durable") else []
                        self.rounds(case, durability, lambda broker: by_durability[case](broker, durability), others)
                elif case.startswith("failover-"):
                    self.rounds(case, "default", lambda broker: self.failover(broker, case.removeprefix("failover-")), count=1)
                elif case == "partitions-3000":
                    self.rounds(case, "default", self.partitions_3000, count=1)
                else:
                    self.rounds(case, "default", self.start_up)
        except WireError as error:
            raise SystemExit(f"{error}") from error
        finally:
            for broker in self.brokers.values():
                broker.end()
        shutil.rmtree(self.options.data_dir, ignore_errors=True)


class Steady:
    """The producer that goes on: `steady_producer.py` or `SteadyProducer.java` in a process of its own."""

    def __init__(self, client, address, topic, partition):
        program = {"librdkafka": [PYTHON, STEADY], "java": [run.JAVA, "SteadyProducer"]}[client]
        self.process = subprocess.Popen([*program, address, topic, str(partition)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.acknowledged, self.heard = [], threading.Condition()
        threading.Thread(target=self.hear, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def hear(self):
        for line in self.process.stdout:
            what, sent_at, *rest = line.split()
            if what != "acknowledged":
                raise SystemExit(f"the producer's record was refused: {rest}")
            with self.heard:
                self.acknowledged.append((float(sent_at), float(rest[0])))
                self.heard.notify_all()

    def wait_after(self, moment):
        """When a record that was sent after it was first acknowledged."""
        found = lambda: next((acknowledged for sent, acknowledged in reversed(self.acknowledged) if sent > moment), None)
        with self.heard:
            if not self.heard.wait_for(found, 120):
                raise SystemExit("nothing was acknowledged for 120 s")
            return min(acknowledged for sent, acknowledged in self.acknowledged if sent > moment)


def quantile_us(told, what, which):
    return told["latency"][f"{what}_after"][f"{which}_ms"] * 1000


def quantiles(told, what):
    return {f"{what}_{which}_ms": quantile_us(told, what, which) / 1000 for which in ("p50", "p99")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_options(parser, systems=["klamm", "kafka"], cases=CASES, rounds=3, gigabytes=0.5)
    parser.add_argument("--rate", type=int, default=5_000, help="of end-to-end: what both can hold")
    parser.add_argument("--producer", choices=["librdkafka", "java"], default="librdkafka", help="of the failovers")
    parser.add_argument("--kills", type=int, default=20, help="of each failover of Klamm's")
    parser.add_argument("--kafka-kills", type=int, default=5, help="of each failover of Kafka's, which takes half a minute with the start and all that follows")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.gigabytes, options.kills, options.kafka_kills = 1, 0.1, 2, 1
    run.ABOUT.update(ABOUT)
    run.LEAD.update({"rate-20k": "cpu_us_per_record", "end-to-end": "received_p99_ms", "one-at-a-time": "p50_us", "partitions-3000": "create_s",
                     "start": "start_ms", **{f"failover-{what}": "median_ms" for what in LOSSES}})
    run.report(Measured(options), options)


if __name__ == "__main__":
    sys.exit(main())
