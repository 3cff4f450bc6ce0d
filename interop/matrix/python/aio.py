"""aiokafka; see records.py."""

import asyncio
import sys

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

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


class Listener(ConsumerRebalanceListener):
    """A rebalance runs in a task of its own: not in the middle of what is told and committed together."""

    def __init__(self, member, whole):
        self.member, self.whole = member, whole

    async def on_partitions_assigned(self, assigned):
        self.member.assigned(assigned)

    async def on_partitions_revoked(self, revoked):
        async with self.whole:
            self.member.revoked(revoked)


async def member(address, topic, group, how, session_ms, heartbeat_ms):
    member, whole = records.Member(), asyncio.Lock()
    assignor = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}[how]
    consumer = AIOKafkaConsumer(bootstrap_servers=address, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
                                session_timeout_ms=session_ms, heartbeat_interval_ms=heartbeat_ms, partition_assignment_strategy=[assignor])
    consumer.subscribe([topic], listener=Listener(member, whole))
    await consumer.start()
    while not member.leaving:
        # Waits out a rebalance, and so must not hold one up.
        read = await consumer.getmany(timeout_ms=100)
        async with whole:
            for found in read.values():
                for it in found:
                    member.record(it.partition, it.offset, it.value)
            if member.uncommitted:
                await consumer.commit({TopicPartition(topic, index): offset for index, offset in member.uncommitted.items()})
                member.committed()
    await consumer.stop()


def wait_for(run):
    return lambda *words: asyncio.run(run(*words))


records.run(sys.argv[1:], wait_for(write), wait_for(read), wait_for(times), wait_for(member), aiokafka.__version__)
