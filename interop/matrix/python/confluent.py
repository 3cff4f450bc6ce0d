"""confluent-kafka (librdkafka); see records.py."""

import sys

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

import records

# Between two commits.
RECORDS_MAX = 500
# Whoever reads is told of them and goes on; a broker may be away for a while.
LIVE_THROUGH = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
# The coordinator is away or another's; what is uncommitted is committed with what comes next.
COMMIT_LATER = LIVE_THROUGH | {KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.NOT_COORDINATOR,
                               KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError._WAIT_COORD,
                               KafkaError.REQUEST_TIMED_OUT}


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


def member(address, topic, group, how, session_ms, heartbeat_ms):
    member = records.Member()
    settings = {"group.protocol": "consumer"} if how == "consumer" else {
        "partition.assignment.strategy": {"cooperative": "cooperative-sticky"}.get(how, how), "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": heartbeat_ms,
    }
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", **settings})

    def commit():
        if not member.uncommitted:
            return
        try:
            for it in consumer.commit(offsets=[TopicPartition(topic, *it) for it in member.uncommitted.items()], asynchronous=False):
                if it.error:
                    raise KafkaException(it.error)
            member.committed()
        except KafkaException as refused:
            # During a rebalance a member that keeps its partitions cannot commit; those that it then gives up are committed before.
            if refused.args[0].code() not in COMMIT_LATER:
                raise

    def revoked(_consumer, partitions):
        commit()
        member.revoked(partitions)

    consumer.subscribe([topic], on_assign=lambda _consumer, partitions: member.assigned(partitions), on_revoke=revoked,
                       on_lost=lambda _consumer, partitions: member.revoked(partitions))
    while not member.leaving:
        # One at a time: a whole list may hold records from before a rebalance, which is told first.
        for at in range(RECORDS_MAX):
            it = consumer.poll(0 if at else 0.1)
            if it is None:
                break
            if it.error() and it.error().code() in LIVE_THROUGH:
                continue
            if it.error():
                raise KafkaException(it.error())
            member.record(it.partition(), it.offset(), it.value())
        commit()
    consumer.close()


def load(address, topic, load):
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "log_level": 2})
    refused = []

    def delivered(error, message):
        if error:
            refused.append(error)
        else:
            load.acknowledged(message.partition(), message.offset())

    while not load.stopping and not refused:
        partition, value = load.next()
        producer.produce(topic, value, partition=partition, on_delivery=delivered)
        producer.poll(load.ahead_s())
    left = producer.flush(120)
    if refused or left:
        raise SystemExit(f"{len(refused)} refused ({refused[:1]}), {left} unanswered")
    load.end()


version = f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"
records.run(sys.argv[1:], write, read, times, member, version, load)
