"""What dump.sh runs: Kafka's own DumpLogSegments reads the files that the broker wrote, and finds what was produced.

A topic with small segments is filled with records of known times; the broker is stopped, and the tool goes through every closed segment, its
indexes and snapshots, once for sanity and once record by record. Then the broker starts again with a short retention: old segments go.
"""

import argparse
import glob
import os
import re
import subprocess
import tempfile
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

import with_broker
from checks import Checks
from with_broker import harness

TOOL = os.path.join(with_broker.harness.ROOT, "bench", "kafka", "tool.sh")
COUNT = 4000
SEGMENT_BYTES = 1 << 20  # Kafka takes no less
RETENTION_BYTES = 2_500_000
TIMES_BEGIN = 1_700_000_000_000
SETTINGS = ["log.retention.check.interval.ms=500"]

checks = Checks()


def check(name, holds, detail=""):
    checks.note(name, holds, "" if holds else " ".join(str(detail).split())[:800])


def time_of(number):
    """Up and down, but rising in all: a time index has to skip entries."""
    return TIMES_BEGIN + number * 10 + (number * 7919 % 500)


def fill(address):
    admin = AdminClient({"bootstrap.servers": address})
    config = {"segment.bytes": str(SEGMENT_BYTES), "index.interval.bytes": "4096", "retention.ms": "-1", "file.delete.delay.ms": "100"}
    admin.create_topics([NewTopic("dumped", 1, 1, config=config)])["dumped"].result()
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "batch.num.messages": 7, "linger.ms": 1})
    failures = []
    for number in range(COUNT):
        value = f"value {number} ".encode() + b"." * 1900
        producer.produce(
            "dumped", value, key=f"key {number}", timestamp=time_of(number),
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        producer.poll(0)
        if number % 50 == 49:
            producer.flush()
    producer.flush()
    check("all records were taken", not failures, failures[:1])


def dump(files, *options):
    ended = subprocess.run(
        [TOOL, "DumpLogSegments", "--files", ",".join(files), *options], capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def complaints(output):
    words = ("Mismatches", "not found", "out of order", "corrupt", "Exception", "isvalid: false", "is followed by")
    found = [line for line in output.splitlines() if any(word.lower() in line.lower() for word in words)]
    # The tool takes the first record of any segment but the first for one behind a gap; Kafka's own segments get the same line.
    return [line for line in found if not line.strip().startswith("-1 is followed by ")]


def compare(directory):
    found = {kind: sorted(glob.glob(f"{directory}/*.{kind}")) for kind in ("log", "index", "timeindex", "snapshot")}
    closed = [name[: -len(".log")] for name in found["log"][:-1]]
    check("there are closed segments", len(closed) >= 5, found["log"])
    check(
        "each has its indexes, and those after the first a snapshot",
        all(os.path.exists(f"{name}.{kind}") for name in closed for kind in ("index", "timeindex"))
        and all(os.path.exists(f"{name}.snapshot") for name in closed[1:]),
        found,
    )
    indexes = [f"{name}.{kind}" for name in closed for kind in ("index", "timeindex")]
    code, output = dump(indexes, "--index-sanity-check")
    check("indexes pass the sanity check", code == 0 and output.count("passed sanity check") == len(indexes), output)
    code, output = dump([f"{name}.index" for name in closed], "--verify-index-only")
    check("every entry of an index is where it says", code == 0 and not complaints(output), complaints(output) or output)
    code, output = dump([f"{name}.timeindex" for name in closed])
    entries = re.findall(r"timestamp: (\d+) offset: (\d+)", output)
    check("every time is the highest of its batch", code == 0 and entries and not complaints(output), complaints(output) or output)
    highest = [max(time_of(number) for number in range(int(offset) + 1)) for _, offset in entries]
    check("and the highest so far", [int(time) for time, _ in entries] == highest, entries[:5])
    code, output = dump(found["snapshot"])
    producers = re.findall(r"producerId: (\d+) producerEpoch: (\d+) .*lastSequence: (\d+)", output)
    check("snapshots have the producer", code == 0 and len({it[0] for it in producers}) == 1 and not complaints(output), output)
    code, output = dump(found["log"], "--deep-iteration", "--print-data-log")
    records = re.findall(r"\| offset: (\d+) \w+: (\d+) .*?key: (key \d+) payload: (value \d+) ", output)
    expected = [(str(it), str(time_of(it)), f"key {it}", f"value {it}") for it in range(COUNT)]
    check("offsets, times, keys and values are those produced", records == expected, (len(records), records[:2]))
    check("and nothing is complained about", code == 0 and not complaints(output), complaints(output))


def read_from(address, offset):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "dump", "enable.auto.commit": False})
    consumer.assign([TopicPartition("dumped", 0, offset)])
    numbers = []
    while not numbers or numbers[-1] != COUNT - 1:
        message = consumer.poll(10)
        if message is None or message.error():
            break
        numbers.append(message.offset())
    low, high = consumer.get_watermark_offsets(TopicPartition("dumped", 0), timeout=10)
    consumer.close()
    return numbers, low, high


def retention(address, directory):
    admin = AdminClient({"bootstrap.servers": address})
    entry = ConfigEntry("retention.bytes", str(RETENTION_BYTES), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", "dumped", incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result()
    before = len(glob.glob(f"{directory}/*.log"))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = sorted(glob.glob(f"{directory}/*.log"))
        size = sum(os.path.getsize(name) for name in left)
        if size < RETENTION_BYTES + SEGMENT_BYTES and not glob.glob(f"{directory}/*.deleted"):
            break
        time.sleep(0.1)
    first = int(os.path.basename(left[0])[:20])
    check("retention by size deletes the oldest segments", len(left) < before and 0 < first, (before, left, size))
    numbers, low, high = read_from(address, 0 if first == 0 else first)
    check("what is left is read", numbers == list(range(first, COUNT)), numbers[:3])
    check("and begins where the log does", (low, high) == (first, COUNT), (low, high, first))
    return first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_broker.add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klamm-dump-") as folder:
        data_dir = os.path.join(folder, "data")
        broker = harness.Kafka(data_dir) if options.kafka else harness.Klamm(data_dir, options.binary, settings=SETTINGS)
        try:
            broker.start()
            fill(broker.address)
            broker.stop()
            directory = next(iter(glob.glob(f"{data_dir}/**/dumped-0", recursive=True)))
            compare(directory)
            broker.start()
            first = retention(broker.address, directory)
            broker.kill()
            broker.start()
            _, low, high = read_from(broker.address, COUNT - 1)
            check("deleted records stay deleted after kill -9", (low, high) == (first, COUNT), (low, high))
        finally:
            broker.stop()
            if checks.failed:
                with_broker.show_log(broker)
    checks.end()


if __name__ == "__main__":
    main()
