"""confluent-kafka (librdkafka); see records.py."""

import sys

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

import records


def write(address, topic, codec, idempotent, wanted):
    producer = Producer({
        "bootstrap.servers": address, "compression.type": codec, "enable.idempotence": idempotent, "acks": "all", "linger.ms": 5,
        "message.max.bytes": 2_500_000,
    })
    refused = []
    for partition, key, value, headers, timestamp in wanted:
        while True:
            try:
                producer.produce(topic, value, key, partition, headers=headers, timestamp=timestamp,
                                 on_delivery=lambda error, _message: error and refused.append(error))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    if refused or left:
        raise SystemExit(f"{len(refused)} refused ({refused[:1]}), {left} unanswered")


def read(address, topic, partitions, count):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True})
    consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])
    seen = 0
    while seen < count:
        for it in consumer.consume(min(count - seen, 1000), 10) or [None]:
            if it is None or it.error():
                raise SystemExit(f"{seen} of {count} records: {it and it.error()}")
            records.show(it.partition(), it.offset(), it.key(), it.value(), it.headers(), it.timestamp()[1])
            seen += 1
    consumer.close()


def times(address, topic, timestamps):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused"})
    return [consumer.offsets_for_times([TopicPartition(topic, 0, it)], timeout=15)[0].offset for it in timestamps]


records.run(sys.argv[1:], write, read, times, f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})")
