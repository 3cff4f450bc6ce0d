"""kill -9 during load: every acknowledged record is there afterwards, once, at the offset it was acknowledged at, in order.

    interop/kill9.sh [--rounds 20] [--partitions 4] [--seed N] [--binary KLAMM | --kafka]

One idempotent acks=all producer lives through all the rounds, so that its resends meet a broker that has forgotten everything but its
disk. Records that were never acknowledged may be there or not, but not twice and not out of order.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

import with_broker
from harness import Wire

TOPIC = "kill9"
RECORDS_PER_S = 4000


class Load(threading.Thread):
    """Numbered records to all partitions in turn, until told to stop."""

    def __init__(self, address, partitions, seed):
        super().__init__(daemon=True)
        self.partitions, self.dice = partitions, random.Random(seed)
        self.stopping = threading.Event()
        self.sent = [0] * partitions
        self.acknowledged = [{} for _ in range(partitions)]  # number -> offset
        self.refused = []
        self.last_answer = time.monotonic()
        self.silence_s = 0.0
        self.fatal = None
        self.producer = Producer({
            "bootstrap.servers": address, "enable.idempotence": True, "acks": "all", "linger.ms": 2, "compression.type": "lz4",
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 50, "message.timeout.ms": 120_000,
            "log_level": 2, "error_cb": self.on_error,
        })

    def on_error(self, error):
        if error.fatal():
            self.fatal = error

    def delivered(self, error, message):
        if error is not None:
            self.refused.append(error)
            return
        now = time.monotonic()
        self.silence_s = max(self.silence_s, now - self.last_answer)
        self.last_answer = now
        number = int(message.value().split(b" ", 1)[0])
        self.acknowledged[message.partition()][number] = message.offset()

    def run(self):
        begun, count = time.monotonic(), 0
        while not self.stopping.is_set() and self.fatal is None:
            partition = count % self.partitions
            value = b"%d " % self.sent[partition] + b"x" * self.dice.choice([0, 10, 200, 2000])
            try:
                self.producer.produce(TOPIC, value, partition=partition, on_delivery=self.delivered)
                self.sent[partition] += 1
                count += 1
            except BufferError:
                self.producer.poll(0.05)
            self.producer.poll(0)
            ahead_s = count / RECORDS_PER_S - (time.monotonic() - begun)
            if ahead_s > 0.005:
                self.producer.poll(ahead_s)

    def finish(self):
        self.stopping.set()
        self.join()
        return self.producer.flush(60)


def read_all(address, partitions, ends):
    """Every value's number in order of offset, by partition."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True})
    consumer.assign([TopicPartition(TOPIC, index, OFFSET_BEGINNING) for index in range(partitions)])
    found = [[] for _ in range(partitions)]
    deadline = time.monotonic() + 60
    while sum(map(len, found)) < sum(ends) and time.monotonic() < deadline:
        for message in consumer.consume(5000, 0.5):
            if message.error() is not None:
                raise SystemExit(f"reading: {message.error()}")
            if message.offset() != len(found[message.partition()]):
                raise SystemExit(f"partition {message.partition()}: offset {message.offset()} after {len(found[message.partition()])} records")
            found[message.partition()].append(int(message.value().split(b" ", 1)[0]))
    consumer.close()
    return found


def problems(load, found):
    for index, numbers in enumerate(found):
        name = f"partition {index}"
        where = {number: offset for offset, number in enumerate(numbers)}
        if len(where) != len(numbers):
            doubled = sorted({number for number in numbers if numbers.count(number) > 1})[:5] if len(numbers) < 50_000 else "some"
            yield f"{name}: {len(numbers) - len(where)} records are there twice: {doubled}"
        if any(after <= before for before, after in zip(numbers, numbers[1:])):
            yield f"{name}: the records are not in the order of sending"
        lost = [number for number in load.acknowledged[index] if number not in where]
        if lost:
            yield f"{name}: {len(lost)} acknowledged records are lost, the first {min(lost)}"
        moved = [number for number, offset in load.acknowledged[index].items() if where.get(number, offset) != offset]
        if moved:
            yield f"{name}: {len(moved)} records are not at the offset of their acknowledgement"


def attempt(options, broker):
    dice = random.Random(options.seed)
    broker.start()
    with Wire(broker.address) as wire:
        wire.create_topic(TOPIC, options.partitions)
    load = Load(broker.address, options.partitions, options.seed)
    load.start()
    for number in range(1, options.rounds + 1):
        time.sleep(dice.uniform(0.3, 2.0))
        broker.kill()
        # Taken after the kill: whatever was answered before it is in here.
        safe = [max(offsets.values(), default=-1) + 1 for offsets in map(dict, load.acknowledged)]
        start_s = broker.start()
        with Wire(broker.address) as wire:
            wire.wait_for_leaders(TOPIC, options.partitions)
            ends = wire.end_offsets(TOPIC, options.partitions)
        print(f"round {number}: back after {start_s * 1000:.0f} ms, {sum(safe)} records acknowledged, ends {ends}", flush=True)
        if any(end < least for end, least in zip(ends, safe)):
            yield f"round {number}: the ends {ends} are below the acknowledged {safe}"
        if load.fatal is not None:
            break
    time.sleep(1)
    left = load.finish()
    if load.fatal is not None:
        yield f"the producer gave up: {load.fatal}"
    if left or load.refused:
        yield f"{left} records without an answer, {len(load.refused)} refused: {load.refused[:1]}"
    # Once more, so that what is read comes from the disk's account of it.
    broker.kill()
    broker.start()
    with Wire(broker.address) as wire:
        wire.wait_for_leaders(TOPIC, options.partitions)
        ends = wire.end_offsets(TOPIC, options.partitions)
    found = read_all(broker.address, options.partitions, ends)
    if sum(map(len, found)) != sum(ends):
        yield f"{sum(map(len, found))} records came back where the ends say {sum(ends)}"
    yield from problems(load, found)
    count = sum(map(len, load.acknowledged))
    if count < 100 * options.rounds:
        yield f"only {count} records were acknowledged: the load did not run"
    print(f"{count} acknowledged of {sum(load.sent)} sent, {sum(ends)} in the log, longest silence {load.silence_s:.2f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_broker.add_options(parser)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="klamm-kill9-") as folder:
        broker = with_broker.broker_for(options, os.path.join(folder, "data"))
        try:
            found = list(attempt(options, broker))
            if found:
                with_broker.show_log(broker)
        finally:
            if broker.pid is not None:
                broker.kill()
    for problem in found:
        print("FAIL kill9", problem)
    if not found:
        print(f"ok kill9 {options.rounds} rounds")
    print(f"{0 if found else 1} passed, {len(found)} failed", flush=True)
    sys.exit(1 if found else 0)


main()
