"""Klamm's client beside librdkafka, at the same broker in one run: records per second, the client's own CPU, latency, memory, start.

    python3 bench/client.py                        everything, 5 rounds: about fifteen minutes
    python3 bench/client.py --quick                does it all work: about a minute
    python3 bench/client.py --cases produce-100b consume-100b --broker kafka

Ours is `klamm bench`, librdkafka's its own rdkafka_performance, with the same settings where they have names; in rounds A B A B, the first
thrown away. What is led with is the CPU time of the client's process, user and system together. The broker is the same for both, and its
topics are not synced for each answer: what is looked at is the client. `floor` is a bare client with a socket that blocks, which decides
nothing: it builds no records and looks at none.

Needs: cargo build --release; cargo build --release -p klamm --example beat; cargo build --release -p bench-floor; interop/install.sh clients.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time

import harness
import run
from harness import Wire

CACHE = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
TOOLS = os.environ.get("INTEROP_TOOLS", os.path.join(CACHE, "klamm-tools"))
PERFORMANCE = os.path.join(TOOLS, "bin", "rdkafka_performance")
SIZES = {"100b": 100, "1k": 1024}
PARTITIONS = 4
LINGER_MS, BATCH_BYTES = 5, 1_000_000
SECONDS = {"send": 5, "idle": 5}
CASES = ["produce-100b", "produce-1k", "consume-100b", "consume-1k", "send-to-ack", "idle", "start"]
ABOUT = {
    **{f"produce-{name}": f"{size} B records without keys, {PARTITIONS} partitions, acks=all, linger {LINGER_MS} ms, batches of at most 1 MB"
       for name, size in SIZES.items()},
    **{f"consume-{name}": f"{size} B records, {PARTITIONS} partitions, from the page cache" for name, size in SIZES.items()},
    "send-to-ack": "one record of 100 B after the other, acks=1; `floor` is the broker's own time",
    "idle": "a program (crates/klamm/examples/beat.rs) with a producer and a consumer, one record a second, after some seconds",
    "start": "from the start of `klamm consume -n 1` and `kcat -C -c 1` to their end",
}


class Measured(run.Bench):
    """`brokers` stays empty: what is compared are clients, at `broker`."""

    def __init__(self, options):
        super().__init__(options)
        self.broker = self.brokers.popitem()[1]
        self.binary = options.klamm or harness.default_binary()

    def klamm(self, what, *words):
        return [self.binary, what, *map(str, words), "--bootstrap", self.broker.address]

    def librdkafka(self, *words):
        return [PERFORMANCE, "-b", self.broker.address, "-q", *map(str, words)]

    def spent(self, records, words):
        """Runs a client; gives what it took and what it printed."""
        begun = time.monotonic()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        took_s = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}:\n{said[-2000:]}")
        return {
            "records_per_s": records / took_s, "cpu_us_per_record": (used.ru_utime + used.ru_stime) / records * 1e6,
            "user_us_per_record": used.ru_utime / records * 1e6, "peak_mib": used.ru_maxrss / 1024,
        }, said

    # --- cases: each gives one round's figures of one client

    def produce(self, size, records, words):
        name = self.new_topic(self.broker, PARTITIONS, "relaxed")
        self.fill_page_cache()
        figures, _ = self.spent(records, words(name, size, records))
        self.count(self.broker, name, PARTITIONS, records)
        self.drop_topic(self.broker, name)
        return figures

    def floor_produces(self, size):
        """Sends one batch that was built beforehand again and again: the kernel's part."""
        name = self.new_topic(self.broker, PARTITIONS, "relaxed")
        self.fill_page_cache()
        words = [harness.floor_binary(), "load", self.broker.address, "--topic", name, "--partitions", str(PARTITIONS),
                 "--batch-bytes", str(BATCH_BYTES), "--record-bytes", str(size), "--gigabytes", str(self.gigabytes)]
        figures, said = self.spent(1, words)
        records = json.loads(said)["records"]
        self.count(self.broker, name, PARTITIONS, records)
        self.drop_topic(self.broker, name)
        return {key: value if key == "peak_mib" else value * records if key == "records_per_s" else value / records
                for key, value in figures.items()}

    def klamm_produces(self, name, size, records):
        return self.klamm("bench", "produce", name, "-n", records, "--record-size", size, "--acks", "all", "--linger", LINGER_MS,
                          "--batch-size", BATCH_BYTES)

    def librdkafka_produces(self, name, size, records):
        return self.librdkafka("-P", "-t", name, "-s", size, "-c", records, "-a", -1, "-X", f"linger.ms={LINGER_MS}",
                               "-X", f"batch.size={BATCH_BYTES}")

    def consume(self, name, records, words):
        figures, said = self.spent(records, words)
        if not re.search(rf"\b{records}\b", said.replace(",", "")):
            raise SystemExit(f"not all of {records} records of {name} were read: {said[-500:]}")
        return figures

    def klamm_sends(self, name):
        words = self.klamm("bench", "latency", name, "--one-at-a-time", "--seconds", SECONDS["send"], "--acks", 1, "--format", "json")
        told = json.loads(run.command(*words))
        times = told["latency"]["acknowledged_after"]
        cpu_s = told["client_cpu_user_seconds"] + told["client_cpu_system_seconds"]
        return {"p50_us": times["p50_ms"] * 1000, "p99_us": times["p99_ms"] * 1000, "cpu_us_per_record": cpu_s / told["records"] * 1e6}

    def floor_sends(self, name):
        words = [harness.floor_binary(), "latency", self.broker.address, "--topic", name, "--acks", 1, "--rate", 0, "--count", 20_000]
        times = json.loads(run.command(*words))["answered_us"]
        return {"p50_us": times["p50"], "p99_us": times["p99"]}

    def idle(self, name):
        words = [os.path.join(harness.TARGET, "release", "examples", "beat"), self.broker.address, name]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            time.sleep(SECONDS["idle"])
            before = sum(harness.cpu_s(process.pid))
            time.sleep(SECONDS["idle"])
            used_s = sum(harness.cpu_s(process.pid)) - before
            resident, anonymous = (harness.memory_bytes(process.pid, kind) / 1048576 for kind in ("VmRSS", "RssAnon"))
        finally:
            process.kill()
            process.wait()
        return {"resident_mib": resident, "not_of_files_mib": anonymous, "cpu_percent": used_s / SECONDS["idle"] * 100}

    def start_up(self, words):
        begun = time.monotonic()
        run.command(*words)
        return {"start_ms": (time.monotonic() - begun) * 1000}

    # --- all of it

    def run(self):
        self.start(self.broker)
        try:
            for case in self.options.cases:
                getattr(self, f"compare_{case.split('-')[0]}")(case)
        finally:
            self.broker.stop()
        shutil.rmtree(self.options.data_dir, ignore_errors=True)

    def compare(self, case, **clients):
        self.rounds(case, self.broker.name, None, list(clients.items()))

    def sizes(self, case):
        size = SIZES[case.split("-")[1]]
        return size, int(self.gigabytes * 1e9 / size)

    def compare_produce(self, case):
        size, records = self.sizes(case)
        self.compare(case, klamm=lambda: self.produce(size, records, self.klamm_produces),
                     librdkafka=lambda: self.produce(size, records, self.librdkafka_produces), floor=lambda: self.floor_produces(size))

    def compare_consume(self, case):
        size, records = self.sizes(case)
        name = self.new_topic(self.broker, PARTITIONS, "relaxed")
        run.command(*self.klamm_produces(name, size, records))
        self.count(self.broker, name, PARTITIONS, records)
        ours = self.klamm("bench", "consume", name)
        partitions = [word for partition in range(PARTITIONS) for word in ("-p", partition)]
        theirs = self.librdkafka("-C", "-t", name, *partitions, "-o", "beginning", "-c", records)
        floor = [harness.floor_binary(), "drain", self.broker.address, "--topic", name, "--partitions", str(PARTITIONS), "--records", str(records)]
        self.compare(case, klamm=lambda: self.consume(name, records, ours), librdkafka=lambda: self.consume(name, records, theirs),
                     floor=lambda: self.consume(name, records, floor))
        self.drop_topic(self.broker, name)

    def compare_send(self, case):
        name = self.new_topic(self.broker, 1, "relaxed")
        self.compare(case, klamm=lambda: self.klamm_sends(name), floor=lambda: self.floor_sends(name))
        self.drop_topic(self.broker, name)

    def compare_idle(self, case):
        name = self.new_topic(self.broker, 1, "relaxed")
        self.compare(case, klamm=lambda: self.idle(name))
        self.drop_topic(self.broker, name)

    def compare_start(self, case):
        name = self.new_topic(self.broker, 1, "relaxed")
        with Wire(self.broker.address) as wire:
            wire.call(0, 7, harness.produce_body(name, 0, harness.record_batch([b"x" * 100]))).take(4)
        kcat = ["kcat", "-b", self.broker.address, "-C", "-t", name, "-p", "0", "-o", "beginning", "-c", "1"]
        self.compare(case, klamm=lambda: self.start_up(self.klamm("consume", name, "-n", 1)), kcat=lambda: self.start_up(kcat))
        self.drop_topic(self.broker, name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="klamm", choices=["klamm", "kafka"])
    run.add_options(parser, systems=["klamm", "kafka"], cases=CASES, rounds=5, gigabytes=1.0)
    options = parser.parse_args()
    options.systems = [options.broker]
    if options.quick:
        options.rounds, options.gigabytes = 1, 0.1
        SECONDS.update(send=1, idle=1)
    run.ABOUT.update(ABOUT)
    run.LEAD.update({case: "cpu_us_per_record" for case in CASES})
    run.LEAD.update({"send-to-ack": "p50_us", "idle": "resident_mib", "start": "start_ms"})
    run.report(Measured(options), options)


if __name__ == "__main__":
    sys.exit(main())
