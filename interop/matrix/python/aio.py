"""aiokafka; see records.py."""

import asyncio
import sys

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

import records


async def write(address, topic, codec, idempotent, wanted):
    producer = AIOKafkaProducer(
        bootstrap_servers=address, compression_type=None if codec == "none" else codec, enable_idempotence=idempotent, acks="all", linger_ms=5,
        max_request_size=2_500_000,
    )
    await producer.start()
    try:
        sent = [await producer.send(topic, value, key, partition, timestamp, headers) for partition, key, value, headers, timestamp in wanted]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def read(address, topic, partitions, count):
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, check_crcs=True)
    await consumer.start()
    try:
        parts = [TopicPartition(topic, index) for index in range(partitions)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        for _ in range(count):
            it = await asyncio.wait_for(consumer.getone(), 20)
            records.show(it.partition, it.offset, it.key, it.value, it.headers, it.timestamp)
    finally:
        await consumer.stop()


async def times(address, topic, timestamps):
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address)
    await consumer.start()
    try:
        part = TopicPartition(topic, 0)
        found = [(await consumer.offsets_for_times({part: it}))[part] for it in timestamps]
        return [-1 if it is None else it.offset for it in found]
    finally:
        await consumer.stop()


def wait_for(run):
    return lambda *words: asyncio.run(run(*words))


records.run(sys.argv[1:], wait_for(write), wait_for(read), wait_for(times), aiokafka.__version__)
