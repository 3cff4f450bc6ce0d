"""Compaction with real clients: the last value of each key stays, at its offset, and Kafka's own tool reads the segments.

    python3 interop/compaction.py [--records 4000] [--keys 50] [--binary KLAMM | --kafka]

Keyed records in all codecs go to a compacted topic with small segments, tombstones among them. Then the topic is read over and over until below
the segment that grows every key is there once, or the deadline has passed. What was read is compared with what was acknowledged.
"""

import argparse
import glob
import os
import random
import subprocess
import sys
import tempfile
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import with_broker
from with_broker import harness

TOPIC = "compacted"
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# Kafka takes no smaller ones.
SEGMENT_BYTES = 1 << 20
DEADLINE_S = 120
CONFIG = {
    "cleanup.policy": "compact", "segment.bytes": str(SEGMENT_BYTES), "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "3600000", "segment.ms": "3600000",
}


def create_topic(address):
    topic = NewTopic(TOPIC, num_partitions=1, replication_factor=1, config=CONFIG)
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([topic])[TOPIC].result(30)


def write(address, records, keys, seed):
    """Gives what each acknowledged record was: offset -> (key, value)."""
    dice, written = random.Random(seed), {}

    def delivered(error, message):
        if error is not None:
            sys.exit(f"a record was not taken: {error}")
        written[message.offset()] = (message.key(), message.value())

    for part, codec in enumerate(CODECS):
        # One of them numbers its batches: the last of them must stay as a batch, even without a record.
        producer = Producer({
            "bootstrap.servers": address, "compression.type": codec, "linger.ms": 5, "enable.idempotence": part == 1, "acks": "all",
            "batch.num.messages": 40,
        })
        for _ in range(records // len(CODECS)):
            key = b"key-%d" % dice.randrange(keys)
            value = None if dice.random() < 0.05 else dice.randbytes(dice.randrange(500, 3000))
            while True:
                try:
                    producer.produce(TOPIC, value, key, partition=0, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        if producer.flush(60):
            sys.exit("not everything was acknowledged")
    return written


def read(address, end):
    """All that there is: offset -> (key, value)."""
    consumer = Consumer({
        "bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True,
        "auto.offset.reset": "error", "check.crcs": True,
    })
    consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
    found, last = {}, -1
    while True:
        message = consumer.poll(10)
        if message is None:
            sys.exit(f"nothing comes after offset {last}; the log ends at {end}")
        if message.error():
            if message.error().name() == "_PARTITION_EOF":
                break
            sys.exit(f"after offset {last}: {message.error()}")
        if message.offset() <= last:
            sys.exit(f"offset {message.offset()} comes after {last}")
        last = message.offset()
        found[last] = (message.key(), message.value())
    consumer.close()
    return found


def check(written, found, growing):
    """What is there was written, at its offset; of what is not there, there is a newer record. Gives how many older records are left below the
    segment that grows, which alone is not compacted."""
    newest = {}
    for offset, (key, _) in written.items():
        newest[key] = max(newest.get(key, -1), offset)
    for offset, record in found.items():
        if written.get(offset) != record:
            sys.exit(f"offset {offset} has another record than was written")
    for key, offset in newest.items():
        if offset not in found:
            sys.exit(f"the last record of {key}, at {offset}, is gone")
    closed = [key for offset, (key, _) in found.items() if offset < growing]
    return len(closed) - len(set(closed))


def segments(data_dir):
    return sorted(glob.glob(os.path.join(data_dir, "**", f"{TOPIC}-0", "*.log"), recursive=True))


def dump(data_dir):
    """Kafka's tool reads every segment and finds nothing wrong with it."""
    logs = segments(data_dir)
    tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "kafka", "tool.sh")
    indexes = [path[:-4] + ending for path in logs[:-1] for ending in (".index", ".timeindex")]
    files = ",".join(logs + [path for path in indexes if os.path.exists(path)])
    command = [tool, "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", files]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    bad = [line for line in said.stdout.splitlines() if "isvalid: false" in line or "mismatch" in line.lower()]
    if said.returncode != 0 or bad:
        sys.exit(f"DumpLogSegments: {bad[:3] or said.stderr[-2000:]}")
    return len(logs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=4000)
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    with_broker.add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klamm-compaction-") as folder:
        data_dir = os.path.join(folder, "data")
        settings = ["log.cleaner.backoff.ms=500"]
        if options.kafka:
            broker = harness.Kafka(data_dir, settings=settings)
        else:
            broker = harness.Klamm(data_dir, options.binary, settings=settings)
        broker.start()
        try:
            create_topic(broker.address)
            written = write(broker.address, options.records, options.keys, options.seed)
            end = max(written) + 1
            deadline = time.monotonic() + DEADLINE_S
            growing = int(os.path.basename(segments(data_dir)[-1])[:-4])
            while older := check(written, found := read(broker.address, end), growing):
                if deadline < time.monotonic():
                    sys.exit(f"after {DEADLINE_S} s {older} older records are still there")
            count = dump(data_dir)
        except BaseException:
            with_broker.show_log(broker)
            raise
        finally:
            broker.stop()
    print(f"{len(written)} records written, {len(found)} left; Kafka's tool reads all {count} segments")


if __name__ == "__main__":
    main()
