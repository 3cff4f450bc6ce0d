"""A producer that lives through whatever becomes of its broker, and what must be true of the records afterwards.

Every acknowledged record is there, once, at the offset it was acknowledged at, in order. Records that were never acknowledged may be there or not, but not twice and
not out of order. The producer is idempotent and asks for all acknowledgements, so that its resends meet a broker that has forgotten everything but its disk.
"""

import random
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition


class Load(threading.Thread):
    """Numbered records to all partitions in turn, until told to stop."""

    def __init__(self, address, topic, partitions, seed, records_per_s=4000):
        super().__init__(daemon=True)
        self.topic, self.records_per_s = topic, records_per_s
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
                self.producer.produce(self.topic, value, partition=partition, on_delivery=self.delivered)
                self.sent[partition] += 1
                count += 1
            except BufferError:
                self.producer.poll(0.05)
            self.producer.poll(0)
            ahead_s = count / self.records_per_s - (time.monotonic() - begun)
            if ahead_s > 0.005:
                self.producer.poll(ahead_s)

    def safe(self):
        """What was acknowledged by now, as the ends that the partitions have at least."""
        return [max(offsets.values(), default=-1) + 1 for offsets in map(dict, self.acknowledged)]

    def acknowledged_count(self):
        return sum(map(len, self.acknowledged))

    def finish(self):
        self.stopping.set()
        self.join()
        return self.producer.flush(60)


def read_all(address, topic, partitions, ends):
    """Every value's number in order of offset, by partition."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True})
    consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])
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
