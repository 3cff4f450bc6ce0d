"""kafka-python; see records.py."""

import sys

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

import records


def write(address, topic, codec, idempotent, wanted):
    producer = KafkaProducer(
        bootstrap_servers=address, compression_type=None if codec == "none" else codec, enable_idempotence=idempotent, acks="all", linger_ms=5,
        max_request_size=2_500_000,
    )
    sent = [producer.send(topic, value, key, headers, partition, timestamp) for partition, key, value, headers, timestamp in wanted]
    producer.flush(60)
    for it in sent:
        it.get(1)
    producer.close()


def read(address, topic, partitions, count):
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, check_crcs=True, consumer_timeout_ms=20_000,
                             fetch_max_bytes=8 << 20)
    parts = [TopicPartition(topic, index) for index in range(partitions)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    for seen, it in enumerate(consumer, 1):
        records.show(it.partition, it.offset, it.key, it.value, it.headers, it.timestamp)
        if seen == count:
            return consumer.close()
    raise SystemExit(f"fewer than {count} records")


def times(address, topic, timestamps):
    consumer = KafkaConsumer(bootstrap_servers=address)
    part = TopicPartition(topic, 0)
    found = [consumer.offsets_for_times({part: it})[part] for it in timestamps]
    return [-1 if it is None else it.offset for it in found]


class Listener(ConsumerRebalanceListener):
    def __init__(self, member):
        self.member = member

    def on_partitions_assigned(self, assigned):
        self.member.assigned(assigned)

    def on_partitions_revoked(self, revoked):
        self.member.revoked(revoked)


def member(address, topic, group, how, session_ms, heartbeat_ms):
    member = records.Member()
    assignor = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "cooperative": CooperativeStickyAssignor}[how]
    consumer = KafkaConsumer(bootstrap_servers=address, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
                             session_timeout_ms=session_ms, heartbeat_interval_ms=heartbeat_ms, partition_assignment_strategy=[assignor])
    consumer.subscribe([topic], listener=Listener(member))
    while not member.leaving:
        for found in consumer.poll(100).values():
            for it in found:
                member.record(it.partition, it.offset, it.value)
        if member.uncommitted:
            consumer.commit({TopicPartition(topic, index): OffsetAndMetadata(offset, "", -1) for index, offset in member.uncommitted.items()})
            member.committed()
    consumer.close()


records.run(sys.argv[1:], write, read, times, member, kafka.__version__)
