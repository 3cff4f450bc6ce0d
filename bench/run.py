"""Klamm beside Apache Kafka and a bare program, in one run: CPU per GB, latency, start, memory.

    python3 bench/run.py                          everything, 5 rounds: about an hour
    python3 bench/run.py --quick                  does it all work: about four minutes
    python3 bench/run.py --cases produce-1k-16p consume-1k --systems klamm floor --rounds 7

Every round runs each system once, one after another (A B C A B C …), after one round that is thrown away. The same clients drive all:
Kafka's Java ProducerPerformance and consumer, and the small ones of bench-floor where microseconds count. What is led with is the CPU time
of the broker's process, user and system apart: on a machine that the client shares, throughput is only a lower bound.

The run fails when an acknowledged record is missing at the end of a round, or when another process than the broker started here answers.
Needs: cargo build --release; cargo build --release -p bench-floor; bench/kafka/install.sh.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import harness
from harness import Wire

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(HERE, "kafka", "tool.sh")
JAVA = os.path.join(HERE, "..", "interop", "java", "run.sh")
NEVER = str((1 << 63) - 1)

# `share`: part of --gigabytes, where the disk's own pace would make the case last minutes.
PRODUCE = {
    "produce-1k-16p": dict(size=1024, partitions=16, acks="all", share=1.0, durable_share=0.5,
                           properties=["acks=all", "batch.size=262144", "linger.ms=10"],
                           about="1 KiB records, 16 partitions, acks=all, batch 256 KiB, linger 10 ms"),
    "produce-1k-1p": dict(size=1024, partitions=1, acks="all", share=1.0, durable_share=0.1, properties=["acks=all"],
                          about="1 KiB records, 1 partition, client defaults (16 KiB batches)"),
    "produce-100b": dict(size=100, partitions=1, acks="1", share=1.0, durable_share=0.5, properties=["acks=1", "batch.size=262144"],
                         about="100 B records, 1 partition, acks=1, batch 256 KiB"),
}
CASES = [*PRODUCE, "consume-1k", "drain-1k", "latency-acks-1", "latency-acks-all", "start"]
ABOUT = {
    **{name: case["about"] for name, case in PRODUCE.items()},
    "consume-1k": "Java consumer, 1 KiB records, 16 partitions, from the page cache",
    "drain-1k": "bare client that only counts batches, 1 KiB records, 16 partitions, from the page cache",
    "latency-acks-1": "1,000 requests/s of one record of 100 B, acks=1, timed from the intended moment",
    "latency-acks-all": "one record of 100 B after the other, acks=all, durable everywhere; `disk` is write + fdatasync of 200 B",
    "start": "from the start of the process to its first answer, and what it takes when idle",
}
# What each system is told so that all topics, also those of the coordinators, are synced for each answer, or not.
ALL_TOPICS = {
    ("klamm", "durable"): [], ("klamm", "relaxed"): [f"log.flush.interval.messages={NEVER}"],
    ("kafka", "durable"): ["log.flush.interval.messages=1"], ("kafka", "relaxed"): [],
}
# What is left free when the page cache has been filled: the kernel keeps about this much itself.
FREE_BYTES = 256 << 20
# Which column is led with, and what a second one is divided by.
LEAD = {"latency-acks-1": "p50_us", "latency-acks-all": "p50_us", "start": "start_ms"}


class Bench:
    def __init__(self, options):
        self.options = options
        self.gigabytes = options.gigabytes
        self.results = []
        self.topics = self.fillers = 0
        self.out = open(options.out, "a", encoding="utf-8") if options.out else None
        shutil.rmtree(options.data_dir, ignore_errors=True)
        os.makedirs(options.data_dir)
        make = {
            "klamm": lambda: harness.Klamm(self.folder("klamm"), options.klamm),
            "kafka": lambda: harness.Kafka(self.folder("kafka"), settings=["log.initial.task.delay.ms=0"]),
            "floor": lambda: harness.Floor(self.folder("floor")),
        }
        self.brokers = {name: make[name]() for name in options.systems}
        self.clusters = {}

    def folder(self, name):
        return os.path.join(self.options.data_dir, name)

    # --- one broker

    def start(self, broker):
        took_s = broker.start()
        self.clusters[broker.name] = self.cluster(broker)
        return took_s

    def cluster(self, broker):
        if not owns_port(broker.pid, broker.port):
            raise SystemExit(f"{broker.address} is not answered by the {broker.name} started here")
        with Wire(broker.address) as wire:
            return wire.metadata()["cluster"]

    def restart_empty(self, broker, settings):
        """Anew, with these settings and without data."""
        broker.stop()
        broker.remove_data()
        broker.settings = [*{"klamm": [], "kafka": ["log.initial.task.delay.ms=0"]}[broker.name], *settings]
        self.start(broker)

    def restart_floor(self, broker, partitions=16, sync="none"):
        """The floor deletes no topics: it starts anew, which takes milliseconds."""
        broker.stop()
        broker.remove_data()
        broker.partitions, broker.sync = partitions, sync
        self.start(broker)

    def new_topic(self, broker, partitions, durability):
        """A topic as the system makes it by default, or the same as the other system's default."""
        self.topics += 1
        name = f"bench-{self.topics}"
        if broker.name == "floor":
            self.restart_floor(broker, partitions, "group" if durability == "durable" else "none")
            return name
        settings = {}
        if broker.name == "kafka":
            settings["file_delete_delay_ms"] = 100
            if durability == "durable":
                settings["flush_messages"] = 1
        elif durability == "relaxed":
            settings["flush_messages"] = NEVER
        with Wire(broker.address) as wire:
            wire.create_topic(name, partitions, **settings)
        return name

    def drop_topic(self, broker, name):
        if broker.name != "floor":
            with Wire(broker.address) as wire:
                wire.delete_topic(name)

    def count(self, broker, name, partitions, expected):
        # What was answered from the page cache (acks=1) counts as committed once it is on disk, a moment later.
        deadline = time.monotonic() + 5
        with Wire(broker.address) as wire:
            while (found := sum(wire.end_offsets(name, partitions))) < expected and time.monotonic() < deadline:
                time.sleep(0.01)
        if found != expected:
            raise SystemExit(f"{broker.name}: {found} records are in {name}, {expected} were acknowledged")

    def measured(self, broker, gigabytes, records, run):
        """CPU of the broker while `run` lasts and a second longer, for what it does behind an answer."""
        if self.cluster(broker) != self.clusters[broker.name]:
            raise SystemExit(f"{broker.address} has become another cluster")
        before = broker.cpu_s()
        figures = run()
        time.sleep(1)
        user_s, system_s = (after - start for after, start in zip(broker.cpu_s(), before))
        return {
            "user_s_per_gb": user_s / gigabytes, "system_s_per_gb": system_s / gigabytes, "cpu_s_per_gb": (user_s + system_s) / gigabytes,
            "user_us_per_record": user_s / records * 1e6, **figures,
        }

    def fill_page_cache(self):
        """The state of a broker that has run for a day: every new page of the page cache takes the place of an old one. On an idle virtual
        machine most pages have been handed back to the host, and the first touch of such a page costs many times the copy itself: whoever
        came first would pay for all. A file of holes fills the cache without a disk."""
        self.fillers += 1
        path = self.folder(f"filler-{self.fillers}.tmp")
        piece = bytearray(1 << 20)
        with open(path, "wb") as file:
            file.truncate(max(harness.free_memory_bytes() - FREE_BYTES, 0))
        with open(path, "rb", buffering=0) as file:
            while file.readinto(piece):
                pass

    # --- cases: each gives one round's figures of one broker

    def produce(self, broker, case, durability):
        spec = PRODUCE[case]
        gigabytes = self.gigabytes * spec["durable_share" if durability == "durable" else "share"]
        records = int(gigabytes * 1e9 / spec["size"])
        name = self.new_topic(broker, spec["partitions"], durability)
        self.fill_page_cache()

        def run():
            output = command(TOOL, "ProducerPerformance", "--bootstrap-server", broker.address, "--topic", name, "--num-records", records,
                             "--record-size", spec["size"], "--throughput", -1, "--command-property", *spec["properties"])
            last = output.strip().splitlines()[-1]
            found = re.search(r"^(\d+) records sent, ([\d.]+) records/sec .* (\d+) ms 50th, .* (\d+) ms 99th", last)
            if not found or int(found.group(1)) != records:
                raise SystemExit(f"{broker.name}: ProducerPerformance says {output[-600:]}")
            return {"records_per_s": float(found.group(2)), "p50_ms": int(found.group(3)), "p99_ms": int(found.group(4))}

        figures = self.measured(broker, records * spec["size"] / 1e9, records, run)
        self.count(broker, name, spec["partitions"], records)
        self.drop_topic(broker, name)
        return figures

    def fill(self, broker):
        """A topic of 1 KiB records for those who read."""
        name = self.new_topic(broker, 16, "relaxed")
        loaded = json.loads(command(harness.floor_binary(), "load", broker.address, "--topic", name, "--gigabytes", self.gigabytes, "--acks", 1))
        self.count(broker, name, 16, loaded["records"])
        return name, loaded["records"]

    def consume(self, broker, case, filled):
        name, records = filled

        def run():
            if case == "consume-1k":
                output = command(JAVA, "AssignedConsumer", "count", broker.address, name, records, "check.crcs=false",
                                 "receive.buffer.bytes=2097152", "max.partition.fetch.bytes=1048576")
            else:
                output = command(harness.floor_binary(), "drain", broker.address, "--topic", name, "--records", records)
            result = json.loads(output.splitlines()[0])
            if result["records"] != records:
                raise SystemExit(f"{broker.name}: {result['records']} of {records} records were read")
            return {"records_per_s": records / result["seconds"]}

        return self.measured(broker, records * 1024 / 1e9, records, run)

    def latency(self, broker, acks, rate, count, durability):
        name = self.new_topic(broker, 1, durability)
        warm_up = min(2000, count // 4)
        output = command(harness.floor_binary(), "latency", broker.address, "--topic", name, "--acks", acks, "--rate", rate, "--count", count,
                         "--warm-up", warm_up)
        self.count(broker, name, 1, count + warm_up)
        self.drop_topic(broker, name)
        result = json.loads(output)
        figures = {f"{key}_us": value for key, value in result["answered_us"].items()}
        if result["left_late_us"]:
            figures["sent_late_p50_us"] = result["left_late_us"]["p50"]
        return figures

    def disk(self, count):
        folder = self.folder("fsync")
        result = json.loads(command(harness.floor_binary(), "fsync", folder, "--count", count))
        return {f"{key}_us": value for key, value in result["fsync_us"].items()}

    def start_up(self, broker):
        broker.stop()
        start_ms = self.start(broker) * 1000
        idle_s = 2 if self.options.quick else 10
        time.sleep(idle_s / 2)
        before = sum(broker.cpu_s())
        time.sleep(idle_s)
        return {"start_ms": start_ms, "idle_mib": broker.resident_bytes() / 1048576,
                "idle_cpu_percent": (sum(broker.cpu_s()) - before) / idle_s * 100}

    # --- all of it

    def rounds(self, case, durability, run, others=(), count=None):
        """`others`: (name, run) pairs that are measured in the same rounds and are no brokers. `count`: as many, and none is thrown away."""
        for number in range(1, count + 1) if count else range(0, self.options.rounds + 1):
            if number == 0 and self.options.quick:
                continue
            for name, what in [*((broker.name, lambda broker=broker: run(broker)) for broker in self.brokers.values()), *others]:
                figures = {key: round(value, 4) for key, value in what().items()}
                line = {"case": case, "durability": durability, "round": number, "system": name, **figures,
                        "load": float(open("/proc/loadavg").read().split()[0])}
                print(json.dumps(line), flush=True)
                if self.out:
                    self.out.write(json.dumps(line) + "\n")
                    self.out.flush()
                if number > 0:
                    self.results.append(line)

    def run(self):
        quick = self.options.quick
        cases = self.options.cases
        for broker in self.brokers.values():
            self.start(broker)
        try:
            if "start" in cases:
                self.rounds("start", "default", self.start_up)
            for case in PRODUCE:
                for durability in self.options.durability if case in cases else ():
                    self.rounds(case, durability, lambda broker: self.produce(broker, case, durability))
            reading = [case for case in ("consume-1k", "drain-1k") if case in cases]
            if reading:
                filled = {name: self.fill(broker) for name, broker in self.brokers.items()}
                for case in reading:
                    self.rounds(case, "page cache", lambda broker: self.consume(broker, case, filled[broker.name]))
                for name, (topic, _) in filled.items():
                    self.drop_topic(self.brokers[name], topic)
            if "latency-acks-1" in cases:
                for durability in self.options.durability:
                    count = 1000 if quick else 10_000
                    self.rounds("latency-acks-1", durability, lambda broker: self.latency(broker, 1, 1000, count, durability))
            if "latency-acks-all" in cases:
                count = 100 if quick else 500
                self.rounds("latency-acks-all", "durable", lambda broker: self.latency(broker, -1, 0, count, "durable"),
                            [("disk", lambda: self.disk(count))])
        finally:
            for broker in self.brokers.values():
                broker.stop()
        shutil.rmtree(self.options.data_dir, ignore_errors=True)


def command(*words):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=dict(os.environ, RUST_BACKTRACE="0"))
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr[:2000]}{done.stdout[-2000:]}")
    return done.stdout


def owns_port(pid, port):
    """Whether that very process listens there."""
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in open(table).readlines()[1:]:
            fields = line.split()
            if int(fields[1].rsplit(":", 1)[1], 16) == port and fields[3] == "0A":
                listening.add(f"socket:[{fields[9]}]")
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") in listening:
                return True
        except OSError:
            continue
    return False


def table(results):
    """Median (least–most) of every figure; the ratios are medians of the ratios within a round."""
    lines = []
    for case, durability in dict.fromkeys((line["case"], line["durability"]) for line in results):
        chosen = [line for line in results if (line["case"], line["durability"]) == (case, durability)]
        keys = [key for key in chosen[0] if key not in ("case", "durability", "round", "system", "load")]
        systems = list(dict.fromkeys(line["system"] for line in chosen))
        lead = LEAD.get(case, "cpu_s_per_gb")
        yardsticks = [name for name in ("floor", "kafka", "disk", "librdkafka", "kcat") if name in systems]
        lines += ["", f"### {case}, {durability}", "", ABOUT[case] + ".", "",
                  "| " + " | ".join(["system", *keys, *(f"{lead} / {name}" for name in yardsticks)]) + " |",
                  "|---" * (1 + len(keys) + len(yardsticks)) + "|"]
        for system in systems:
            mine = {line["round"]: line for line in chosen if line["system"] == system}
            cells = [spread([line[key] for line in mine.values() if key in line]) for key in keys]
            for name in yardsticks:
                ratios = [mine[line["round"]][lead] / line[lead] for line in chosen
                          if line["system"] == name and line["round"] in mine and line[lead]]
                cells.append(f"{statistics.median(ratios):.2f}" if ratios and name != system else "")
            lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def spread(values):
    if not values:
        return ""
    form = lambda value: f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    middle, least, most = statistics.median(values), min(values), max(values)
    return form(middle) if len(values) == 1 else f"{form(middle)} ({form(least)}–{form(most)})"


def machine():
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    return f"{os.cpu_count()} × {model.group(1) if model else 'unknown CPU'}, {os.uname().release}"


def add_options(parser, systems, cases, rounds, gigabytes):
    parser.add_argument("--klamm", help="the binary (default: target/release/klamm)")
    parser.add_argument("--systems", nargs="+", default=systems, choices=systems)
    parser.add_argument("--cases", "--only", nargs="+", default=cases, choices=cases)
    parser.add_argument("--durability", nargs="+", default=["durable", "relaxed"], choices=["durable", "relaxed"])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--gigabytes", type=float, default=gigabytes, help="bytes of values of one round")
    parser.add_argument("--data-dir", default="/tmp/klamm-bench", help="a folder of its own on the disk to measure; removed")
    parser.add_argument("--out", help="append each figure here as a line of JSON")
    parser.add_argument("--table", help="write the table here")
    parser.add_argument("--quick", action="store_true", help="one small round, nothing thrown away: for trying, not for figures")


def report(bench, options):
    # Whoever is told to end ends its brokers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bench.run()
    of = f" of {options.gigabytes} GB" if options.gigabytes else ""
    text = f"{machine()}; {options.rounds} rounds{of}; median (least–most).\n" + table(bench.results)
    print("\n" + text)
    if options.table:
        with open(options.table, "w", encoding="utf-8") as file:
            file.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, systems=["klamm", "kafka", "floor"], cases=CASES, rounds=5, gigabytes=2.0)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.gigabytes = 1, 0.1
    report(Bench(options), options)


if __name__ == "__main__":
    sys.exit(main())
