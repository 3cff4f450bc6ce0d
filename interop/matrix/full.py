"""What full.sh runs: every client writes in every codec, and what it wrote is read back by itself and by Kafka's Java client; every client reads what
Java wrote; Kafka's own tools administer; groups of every client (../groups.py). One line a check, and with --report all of them as a table in
docs/COMPATIBILITY.md.

    full.py [--report FILE] [--only PART OF A NAME] [--consumer-protocol] HOST:PORT
"""

import argparse
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile
import time

from clients import CLIENTS, REFERENCE

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = f"{int(time.time())}-{os.getpid()}"
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench"))
sys.path.insert(0, os.path.join(HERE, ".."))
import harness  # noqa: E402
from checks import Different, attempt, expect  # noqa: E402

PARTITIONS = 3


def command(*words, timeout_s=120, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, timeout=timeout_s, stdin=subprocess.DEVNULL, text=True, **more)
    if done.returncode != 0:
        raise Different(f"{os.path.basename(str(words[0]))} ended with {done.returncode}: {(done.stdout + done.stderr)[:200]} … {(done.stdout + done.stderr)[-300:]}")
    return done.stdout


class Matrix:
    def __init__(self, address, only):
        self.address, self.only = address, only
        self.results = []

    def check(self, client, version, name, run, *arguments):
        if self.only not in f"{client} {name}":
            return
        self.note(client, version, name, *attempt(run, *arguments))

    def note(self, client, version, name, good, detail, took_s):
        self.results.append((client, version, name, good, detail))
        print("ok" if good else "FAIL", client, name, detail, f"({took_s:.1f} s)", flush=True)

    def topic(self, name, partitions=PARTITIONS, **settings):
        full = f"{name}-{RUN}".replace("_", "-")
        with harness.Wire(self.address) as wire:
            wire.create_topic(full, partitions, **settings)
        return full

    # --- records

    def write(self, client, topic, codec, kind, records):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            for record in records:
                file.write(json.dumps(record) + "\n")
            file.flush()
            command(*client.words, "write", self.address, topic, codec, kind, file.name)

    def read(self, client, topic, partitions, count):
        lines = command(*client.words, "read", self.address, topic, partitions, count).splitlines()
        return [json.loads(line) for line in lines]

    def compare(self, written, got, writer, reader):
        expect(len(got) == len(written), f"{reader.name} read {len(got)} of {len(written)} records")
        for partition in range(PARTITIONS):
            mine = [record for record in written if record["p"] == partition]
            theirs = sorted((record for record in got if record["p"] == partition), key=lambda record: record["o"])
            expect([record["o"] for record in theirs] == list(range(len(mine))), f"{reader.name}: the offsets of partition {partition} are not 0 to {len(mine) - 1}")
            for record, seen in zip(mine, theirs):
                wanted = reader.normal(writer.normal({**record, "o": seen["o"]}))
                expect(reader.normal(writer.normal(seen)) == wanted, f"{reader.name}: partition {partition} offset {seen['o']} is {str(seen)[:150]}, not {str(wanted)[:150]}")

    def round_trip(self, client, codec, kind, records):
        topic = self.topic(f"{client.name}-{codec}-{kind}-{len(records)}", max_message_bytes=3_000_000)
        self.write(client, topic, codec, kind, records)
        for reader in dict.fromkeys([client.name, REFERENCE.name, *client.readers]):
            reader = next(it for it in CLIENTS if it.name == reader)
            self.compare(records, self.read(reader, topic, PARTITIONS, len(records)), client, reader)
        return f"{len(records)} records"

    def read_javas(self, client, topics, records):
        for topic in topics.values():
            self.compare(records, self.read(client, topic, PARTITIONS, len(records)), REFERENCE, client)
        return f"{len(records)} records in {', '.join(topics)}"

    def times(self, client, topic, base_ms):
        asked = [base_ms, base_ms + 1, base_ms + 150, base_ms + 990, base_ms + 991]
        found = json.loads(command(*client.words, "times", self.address, topic, *asked))
        wanted = [0, 1, 15, 99, client.no_such_time(100)]
        expect(found == wanted, f"{found}, not {wanted}")

    def all_of(self, client, of_java, java_records, timed, base_ms):
        try:
            version = command(*client.words, "version").strip()
        except (Different, OSError) as error:
            return self.note(client.about, "?", "starts", False, str(error)[:300], 0)
        check = lambda name, run, *arguments: self.check(client.about, version, name, run, client, *arguments)
        for codec in client.codecs:
            check(f"round-trip-{codec}", self.round_trip, codec, "plain", make_records(f"{client.name}{codec}", 1500, client.null_headers))
        if client.idempotent:
            check("round-trip-idempotent", self.round_trip, "none", "idempotent", make_records(f"{client.name} once", 1500, client.null_headers))
        check("sizes-1-B-to-1-MiB", self.round_trip, client.codecs[1], "plain", records_of_sizes([1, 127, 128, 16_384, 65_536, 1_000_000, 1 << 20]))
        check("reads-what-java-wrote", self.read_javas, {codec: of_java[codec] for codec in client.codecs}, java_records)
        check("offsets-by-time", self.times, timed, base_ms)

    def run(self):
        # rskafka cannot read a header without a value.
        java_records = make_records("java's", 1000, False)
        of_java = {}
        for codec in REFERENCE.codecs:
            of_java[codec] = self.topic(f"of-java-{codec}")
            self.write(REFERENCE, of_java[codec], codec, "plain", java_records)
        base_ms = int(time.time() * 1000) - 100_000
        timed = self.topic("timed", 1)
        self.write(REFERENCE, timed, "none", "plain", [{"p": 0, "k": None, "v": "00", "h": [], "t": base_ms + 10 * at} for at in range(100)])
        for client in CLIENTS:
            self.all_of(client, of_java, java_records, timed, base_ms)


    def end(self):
        failed = sum(1 for it in self.results if not it[3])
        print(f"{len(self.results) - failed} passed, {failed} failed", flush=True)
        sys.exit(1 if failed or not self.results else 0)


def make_records(seed, count, null_headers):
    dice = random.Random(seed)
    now_ms = int(time.time() * 1000)
    records = []
    for at in range(count):
        size = dice.choice([0, 1, 1000, 60_000]) if at % 60 == 0 else dice.randrange(400)
        value = None if dice.random() < 0.05 else (dice.randbytes(size // 2) + b"x" * (size - size // 2)).hex()
        headers = [[f"name-{number}", None if null_headers and dice.random() < 0.2 else dice.randbytes(dice.randrange(1, 20)).hex()]
                   for number in range(dice.choice([0, 0, 1, 3]))]
        # aiokafka takes no record that has neither.
        key = None if value is not None and dice.random() < 0.3 else dice.randbytes(dice.randrange(1, 40)).hex()
        records.append({"p": at % PARTITIONS, "k": key, "v": value, "h": headers, "t": now_ms - count + at})
    return records


def records_of_sizes(sizes):
    now_ms = int(time.time() * 1000)
    return [{"p": at % PARTITIONS, "k": "6b", "v": random.Random(size).randbytes(size).hex(), "h": [], "t": now_ms} for at, size in enumerate(sizes)]


def told(words, within_s=900):
    """The checks of another script: what it says of each, and whether it went well."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=within_s, stdin=subprocess.DEVNULL)
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    found = [(rest, verdict == "ok") for verdict, _, rest in lines if verdict in ("ok", "FAIL")]
    return found or [(" ".join(f"it makes no check: {done.stderr[-300:]}".split()), False)]


def smoke(matrix, address):
    """The checks of .ci/run, as part of the same table."""
    about = {"kcat": "kcat (librdkafka, Debian)", "confluent": "confluent-kafka, Python", "rdkafka": "rdkafka_performance", "java": "Kafka's Java client and tools"}
    for line, good in told([os.path.join(HERE, "..", "smoke.sh"), address]):
        name, _, detail = line.partition(" ")
        matrix.note(about.get(name.split("-")[0], about["java"]), "as in .ci/run", name, good, detail.split(" (")[0], 0)


# What runs by a script of its own, with a broker of its own where that is killed: who it is about, which version, its name, and its words.
BROKER = os.environ.get("OF_THEIR_OWN", "").split()
SCRIPTS = [
    ("librdkafka; kafka-transactions", "4.3.1", "transactions",
     [os.environ["PYTHON"], os.path.join(HERE, "..", "with_broker.py"), *BROKER, os.environ["PYTHON"], os.path.join(HERE, "..", "transactions.py")]),
    ("Kafka Streams", "4.3.1", "word-count-exactly-once", [os.path.join(HERE, "..", "streams.sh"), *BROKER]),
    ("librdkafka, Java, franz-go, ours", "", "bank-transfers", [os.path.join(HERE, "..", "bank.sh"), *BROKER]),
    ("Java, librdkafka, franz-go, ours; Kafka's tools", "", "three-brokers", [os.path.join(HERE, "..", "cluster.sh"), *BROKER]),
    ("Kafka Streams", "4.3.1", "three-brokers-word-count-exactly-once",
     [os.path.join(HERE, "..", "streams.sh"), *BROKER, "--cluster", "--kills", "6", "--broker-kills", "10"]),
    ("librdkafka, Java, franz-go, ours", "", "three-brokers-bank-transfers", [os.path.join(HERE, "..", "bank.sh"), *BROKER, "--cluster"]),
    ("tests by others", "", "suites", [os.path.join(HERE, "..", "suites.sh"), *BROKER]),
]


def scripts(matrix):
    for about, version, name, words in SCRIPTS:
        if matrix.only in f"{about} {name}":
            begun = time.monotonic()
            for line, good in told(words, 3600):
                matrix.note(about, version, name, good, line, time.monotonic() - begun)


def report(path, results, broker):
    passed = sum(1 for it in results if it[3])
    lines = [
        "# Clients that were run", "",
        "Every check writes through the client, reads back through it and through Kafka's Java client, and compares what was read with what was written:",
        "key, value, headers, timestamp, partition, order and offset of every record. Administration is compared with what a second client sees.",
        "In a group three members share a topic while records are written; one is killed, a new one joins, one leaves, all stop and one comes back: no",
        "partition has two owners, each is read in order and without a gap, and nothing twice but what a killed member had not committed.",
        "Kafka Streams counts words and clients transfer money in transactions while they and the broker are killed: every count and the total are right.",
        "With three brokers each is killed in turn, and all stopped one after the other, while clients write and read; the replicas' files are the same afterwards.",
        f"Made by `just interop-full` on {datetime.date.today()} against {broker}: {passed} passed, {len(results) - passed} failed.", "",
        "| client | version | check | result | detail |", "|---|---|---|---|---|",
    ]
    for client, version, name, good, detail in results:
        detail = detail.replace("|", "\\|")
        lines.append(f"| {client} | {version} | {name} | {'passes' if good else '**fails**'} | {detail} |")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report")
    parser.add_argument("--only", default="")
    parser.add_argument("--consumer-protocol", action="store_true", help="groups by KIP-848 too")
    parser.add_argument("address")
    options = parser.parse_args()
    import groups
    import tools
    matrix = Matrix(options.address, options.only)
    matrix.run()
    tools.run(matrix, options.address)
    groups.run(matrix, consumer_protocol=options.consumer_protocol)
    scripts(matrix)
    if not options.only:
        smoke(matrix, options.address)
    if options.report:
        report(options.report, matrix.results, "the release binary of that day")
    matrix.end()


if __name__ == "__main__":
    main()
