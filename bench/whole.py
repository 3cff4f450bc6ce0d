"""The whole broker on one node beside Apache Kafka: many partitions, many producers, readers beside writers, and what it takes when idle.

    python3 bench/whole.py                                  everything, 3 rounds: about 40 minutes
    python3 bench/whole.py --quick                          does it all work: about five minutes
    python3 bench/whole.py --cases many-partitions cold-reader --systems klamm

The rules are those of run.py (rounds A B A B, the first thrown away, CPU of the broker's process first). The clients are `klamm bench`, of
which as many processes run as there are producers, and the small ones of bench-floor.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import harness
import run
from harness import Wire

MANY, PRODUCERS, KEYED_PARTITIONS, CONNECTIONS = 1_000, 50, 12, 1_000
CASES = ["many-partitions", "many-producers", "cold-reader", "backlog", "both", "ten-thousand", "connections", "binary"]
ABOUT = {
    "many-partitions": f"{MANY:,} partitions, 100 B records with keys, batches of at most 1 KiB, acks=all and on disk",
    "many-producers": f"{PRODUCERS} producers with keys, {KEYED_PARTITIONS} partitions, 400 records/s of 1 KiB each, acks=all, linger 5 ms",
    "cold-reader": "1,000 requests/s of one record, acks=1, alone and beside a reader of 1 KiB records that are not in the page cache",
    "backlog": "a backlog of 1 KiB records drained as fast as possible while 20,000 records/s of 1 KiB are written, acks=1; CPU per GB read",
    "both": "`klamm bench both`: 100 B records out and in at once, acks=1, batches of 1 MB, 1 partition",
    "ten-thousand": "10,000 partitions (Kafka 1,000) with one record each: created, started anew after a stop and after kill -9; what each takes when idle",
    "connections": f"{CONNECTIONS:,} idle connections: what each takes, and the CPU of the broker meanwhile",
    "binary": "the program, stripped",
}


class Whole(run.Bench):
    def klamm_bench(self, what, broker, topic, *words):
        return [self.options.klamm or harness.default_binary(), "bench", what, topic, "--bootstrap", broker.address, "--format", "json",
                *map(str, words)]

    # --- cases: each gives one round's figures of one broker

    def many_partitions(self, broker):
        name = self.new_topic(broker, MANY, "durable")
        # Kafka syncs file after file: a tenth of the records is enough to see its pace.
        records = int(self.gigabytes * (100_000 if broker.name == "kafka" else 1_000_000))

        def work():
            answer = json.loads(run.command(*self.klamm_bench(
                "produce", broker, name, "--records", records, "--record-size", 100, "--keys", 100_000, "--batch-size", 1024,
                "--linger", 5, "--acks", "all")))
            return {"records_per_s": answer["records_per_second"], **latencies(answer)}

        figures = self.measured(broker, records / 1e7, records, work)
        self.count(broker, name, MANY, records)
        self.drop_topic(broker, name)
        return figures

    def many_producers(self, broker, durability):
        name = self.new_topic(broker, KEYED_PARTITIONS, durability)
        rate, seconds = 400, 5 if self.options.quick else 15
        records = rate * seconds
        words = self.klamm_bench("produce", broker, name, "--records", records, "--throughput", rate, "--record-size", 1024,
                                 "--keys", 1000, "--linger", 5, "--acks", "all")

        def work():
            producers = [subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for _ in range(PRODUCERS)]
            answers = [json.loads(producer.communicate()[0]) for producer in producers]
            if any(answer["records"] != records for answer in answers):
                raise SystemExit(f"{broker.name}: a producer lost records")
            worst = [latencies(answer) for answer in answers]
            return {key: max(one[key] for one in worst) for key in worst[0]}

        figures = self.measured(broker, records * PRODUCERS * 1024 / 1e9, records * PRODUCERS, work)
        self.count(broker, name, KEYED_PARTITIONS, records * PRODUCERS)
        self.drop_topic(broker, name)
        return figures

    def cold_reader(self, broker):
        """The writer alone, then beside the reader. The reader reads files that the kernel was told to forget; the floor's stay in the page cache."""
        name, records = self.fill(broker)
        written = name if broker.name == "floor" else self.new_topic(broker, 1, "relaxed")
        rate, count = 1_000, 2_000 if self.options.quick else 10_000
        writer = [harness.floor_binary(), "latency", broker.address, "--topic", written, "--acks", "1", "--rate", str(rate)]
        alone = json.loads(run.command(*writer, "--count", count, "--warm-up", 1000))

        def work():
            forget_files(broker.data_dir, name)
            with running([*writer, "--count", str(count), "--warm-up", "1000"]) as beside:
                time.sleep(1.0)
                begun, read = time.monotonic(), 0
                # Again and again while the writer writes: each time from the disk.
                while beside.poll() is None:
                    drained = json.loads(run.command(harness.floor_binary(), "drain", broker.address, "--topic", name, "--records", records))
                    read += drained["records"]
                    took_s = time.monotonic() - begun
                    forget_files(broker.data_dir, name)
                answered = json.loads(beside.communicate()[0])
            self.read_gb = read * 1024 / 1e9
            figures = {"read_mb_per_s": self.read_gb * 1000 / took_s}
            for who, told in ("write", answered), ("alone", alone):
                figures |= {f"{who}_p50_us": told["answered_us"]["p50"], f"{who}_p99_us": told["answered_us"]["p99"],
                            f"{who}_sent_late_p99_us": told["left_late_us"]["p99"]}
            return figures | {"p99_beside_alone": figures["write_p99_us"] / figures["alone_p99_us"]}

        figures = self.per_gb_read(broker, work)
        self.drop_topic(broker, name)
        self.drop_topic(broker, written)
        return figures

    def backlog(self, broker):
        name, records = self.fill(broker)
        words = self.klamm_bench("produce", broker, name, "--records", 10_000_000, "--throughput", 20_000, "--record-size", 1024,
                                 "--linger", 5, "--acks", 1)

        def work():
            with running(words):
                time.sleep(1.0)
                drained = json.loads(run.command(harness.floor_binary(), "drain", broker.address, "--topic", name, "--records", records))
            self.read_gb = drained["records"] * 1024 / 1e9
            return {"read_mb_per_s": self.read_gb * 1000 / drained["seconds"]}

        figures = self.per_gb_read(broker, work)
        self.drop_topic(broker, name)
        return figures

    def per_gb_read(self, broker, work):
        """As `measured`, where only the work knows how much it has read."""
        figures = self.measured(broker, 1, 1, work)
        for key in ("user_s_per_gb", "system_s_per_gb", "cpu_s_per_gb"):
            figures[key] /= self.read_gb
        del figures["user_us_per_record"]
        return figures

    def both(self, broker):
        name = self.new_topic(broker, 1, "default")
        records = int(self.gigabytes * 10_000_000)
        self.fill_page_cache()

        def work():
            answer = json.loads(run.command(*self.klamm_bench(
                "both", broker, name, "--records", records, "--record-size", 100, "--acks", 1, "--batch-size", 1_000_000)))
            if answer["in"]["records"] != records:
                raise SystemExit(f"{broker.name}: {answer['in']['records']} of {records} records came back")
            return {"out_per_s": answer["out"]["records_per_second"], "in_per_s": answer["in"]["records_per_second"]}

        figures = self.measured(broker, records * 100 / 1e9, records, work)
        self.drop_topic(broker, name)
        return figures

    def ten_thousand(self, broker):
        # Kafka takes some minutes for 1,000; 10,000 would be an hour.
        partitions = 1_000 if self.options.quick or broker.name == "kafka" else 10_000
        broker.stop()
        broker.remove_data()
        self.start(broker)
        time.sleep(2)
        empty, files_before = broker.resident_bytes(), open_files(broker)
        begun = time.monotonic()
        with Wire(broker.address, timeout_s=120) as wire:
            wire.create_topic("many", partitions)
            create_s = time.monotonic() - begun
            batch = harness.record_batch([b"x" * 100])
            for partition in range(partitions):
                wire.call(0, 7, harness.produce_body("many", partition, batch, acks=1)).take(4)
        self.until_at_rest(broker)
        files = (open_files(broker) - files_before) / partitions
        idle_percent = self.idle_percent(broker)
        memory = (broker.resident_bytes() - empty) / partitions / 1024
        broker.stop()
        clean_s = self.until_all_answer(broker, partitions)
        broker.kill()
        killed_s = self.until_all_answer(broker, partitions)
        broker.stop()
        broker.remove_data()
        self.start(broker)
        return {"create_s": create_s, "restart_s": clean_s, "restart_after_kill_s": killed_s, "kib_each": memory, "files_each": files,
                "idle_cpu_percent": idle_percent}

    def until_all_answer(self, broker, partitions):
        """From the start of the process until every partition tells its end."""
        begun = time.monotonic()
        broker.start()
        with Wire(broker.address, timeout_s=120) as wire:
            wire.wait_for_leaders("many", partitions)
            took_s = time.monotonic() - begun
            if sum(wire.end_offsets("many", partitions)) != partitions:
                raise SystemExit(f"{broker.name}: records are missing after a start")
        return took_s

    def connections(self, broker):
        broker.stop()
        self.start(broker)
        time.sleep(2)
        before = broker.resident_bytes()
        wires = []
        for _ in range(CONNECTIONS):
            wires.append(Wire(broker.address))
            wires[-1].api_versions()
        time.sleep(2)
        each = (broker.resident_bytes() - before) / CONNECTIONS / 1024
        idle_percent = self.idle_percent(broker)
        for wire in wires:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            wire.socket.close()
        return {"kib_each": each, "idle_cpu_percent": idle_percent}

    def until_at_rest(self, broker):
        """What was written is synced in the background: for some seconds after the last answer that takes a whole core, of either system."""
        for _ in range(60):
            before = sum(broker.cpu_s())
            time.sleep(1)
            if sum(broker.cpu_s()) - before < 0.1:
                return

    def idle_percent(self, broker):
        seconds = 2 if self.options.quick else 10
        before = sum(broker.cpu_s())
        time.sleep(seconds)
        return (sum(broker.cpu_s()) - before) / seconds * 100

    def binary(self, broker):
        stripped = self.folder("stripped")
        run.command("strip", "-o", stripped, self.options.klamm or harness.default_binary())
        return {"mb": os.path.getsize(stripped) / 1e6}

    # --- all of it

    def run(self):
        one = {"many-partitions": (self.many_partitions, "durable"),
               "backlog": (self.backlog, "relaxed"), "both": (self.both, "default"), "ten-thousand": (self.ten_thousand, "default"),
               "connections": (self.connections, "default")}
        for broker in self.brokers.values():
            self.start(broker)
        try:
            for case in self.options.cases:
                if case == "many-producers":
                    for durability in self.options.durability:
                        self.rounds(case, durability, lambda broker: self.many_producers(broker, durability))
                elif case == "cold-reader":
                    # How much of it is the machine's own: clients and broker share its processors.
                    floor = harness.Floor(self.folder("floor"))
                    self.rounds(case, "relaxed", self.cold_reader, [("floor", lambda: self.cold_reader(floor))])
                    floor.stop()
                elif case == "binary":
                    self.only_klamm(case)
                else:
                    work, durability = one[case]
                    self.rounds(case, durability, work)
        finally:
            for broker in self.brokers.values():
                broker.stop()
        shutil.rmtree(self.options.data_dir, ignore_errors=True)

    def only_klamm(self, case):
        broker = self.brokers.get("klamm")
        if broker:
            self.results.append({"case": case, "durability": "default", "round": 1, "system": "klamm", **self.binary(broker)})


def latencies(answer):
    times = next(iter(answer["latency"].values()))
    return {"p50_ms": times["p50_ms"], "p99_ms": times["p99_ms"]}


def open_files(broker):
    """Regular files only: sockets and the like are not the partitions'."""
    folder, count = f"/proc/{broker.pid}/fd", 0
    for descriptor in os.listdir(folder):
        try:
            count += os.readlink(f"{folder}/{descriptor}").startswith("/")
        except OSError:
            continue
    return count


def forget_files(folder, topic):
    """Takes a topic's records out of the page cache, as if they were old. Of no other topic: whoever appends would have to read first."""
    for path, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".log") and os.path.basename(path).startswith(f"{topic}-"):
                with open(os.path.join(path, name), "rb") as file:
                    os.fdatasync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def running(words):
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_options(parser, systems=["klamm", "kafka"], cases=CASES, rounds=3, gigabytes=1.0)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.gigabytes = 1, 0.1
    run.ABOUT.update(ABOUT)
    run.LEAD.update({"many-partitions": "records_per_s", "cold-reader": "cpu_s_per_gb", "both": "out_per_s", "ten-thousand": "create_s",
                     "connections": "kib_each", "binary": "mb"})
    run.report(Whole(options), options)


if __name__ == "__main__":
    sys.exit(main())
