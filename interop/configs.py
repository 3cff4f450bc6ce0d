"""What topic configs do to records, seen by a real client: configs.py HOST:PORT

    python3 interop/with_broker.py [--binary KLAMM | --kafka] python3 interop/configs.py

Ends with 'N passed, N failed', and with 1 if one failed.
"""

import sys
import time

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, AlterConfigOpType, ConfigEntry

from checks import Checks, expect

bootstrap = sys.argv[1]
admin = AdminClient({"bootstrap.servers": bootstrap})
HOUR_MS = 3_600_000


def topic(name, **settings):
    config = {key.replace("_", "."): value for key, value in settings.items()}
    admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(30)
    return name


def alter(name, **settings):
    changes = [
        ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for key, value in settings.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=changes)
    admin.incremental_alter_configs([resource])[resource].result(30)


def now_ms():
    return int(time.time() * 1000)


def send(name, records, **settings):
    """Sends (key, value, timestamp), 0 for none; gives the error of each, None where it was taken."""
    client = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, **{k.replace("_", "."): v for k, v in settings.items()}})
    errors = [None] * len(records)

    def note(at):
        def delivered(error, _):
            errors[at] = None if error is None else error.code()

        return delivered

    for at, (key, value, timestamp) in enumerate(records):
        client.produce(name, value, key, 0, on_delivery=note(at), timestamp=timestamp)
    expect(client.flush(60) == 0, "not answered within 60 s")
    return errors


def read(name, count):
    """The first records as (key, value, kind of timestamp, timestamp)."""
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True})
    try:
        client.assign([TopicPartition(name, 0, 0)])
        found, deadline = [], time.monotonic() + 30
        while len(found) < count and time.monotonic() < deadline:
            message = client.poll(0.5)
            if message is not None:
                expect(message.error() is None, message.error())
                found.append((message.key(), message.value(), *message.timestamp()))
        return found
    finally:
        client.close()


def compression():
    sent = [(b"key", b"%d " % at * 200, 0) for at in range(50)]
    for target in ["uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"]:
        name = topic(f"compression-{target}", compression_type=target)
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
            expect(send(name, sent, compression_type=codec) == [None] * 50, f"{codec} to {target} was refused")
        got = [record[:2] for record in read(name, 250)]
        expect(got == [record[:2] for record in sent] * 5, f"{target}: {len(got)} records, or others")


def append_time():
    name = topic("append-time", message_timestamp_type="LogAppendTime")
    begun = now_ms()
    expect(send(name, [(None, b"a", 1), (None, b"b", begun + 48 * HOUR_MS)]) == [None, None], "refused")
    for _, value, kind, timestamp in read(name, 2):
        expect(kind == TIMESTAMP_LOG_APPEND_TIME, f"{value} has a timestamp of kind {kind}")
        expect(begun <= timestamp <= now_ms(), f"{value} has the time {timestamp}")


def create_time():
    name = topic("create-time", message_timestamp_before_max_ms=str(HOUR_MS), message_timestamp_after_max_ms=str(HOUR_MS))
    now = now_ms()
    expect(send(name, [(None, b"old", now - 2 * HOUR_MS)]) == [KafkaError.INVALID_TIMESTAMP], "an old record was taken")
    expect(send(name, [(None, b"early", now + 2 * HOUR_MS)]) == [KafkaError.INVALID_TIMESTAMP], "an early record was taken")
    expect(send(name, [(None, b"now", now)]) == [None], "a record of now was refused")
    expect(read(name, 1) == [(None, b"now", TIMESTAMP_CREATE_TIME, now)], "another record")


def keys():
    name = topic("keys", cleanup_policy="compact")
    expect(send(name, [(None, b"keyless", 0)]) == [KafkaError.INVALID_RECORD], "a record without a key was taken")
    expect(send(name, [(b"key", b"keyed", 0)]) == [None], "a record with a key was refused")
    expect([record[:2] for record in read(name, 1)] == [(b"key", b"keyed")], "another record")


def sizes():
    name = topic("sizes", max_message_bytes="10000")
    expect(send(name, [(None, b"x" * 20000, 0)]) == [KafkaError.MSG_SIZE_TOO_LARGE], "a large record was taken")
    expect(send(name, [(None, b"x" * 20000, 0)], compression_type="zstd") == [None], "it was refused though it is small when compressed")


def changed():
    name = topic("changed")
    expect(send(name, [(None, b"1", 0)]) == [None], "refused")
    alter(name, cleanup_policy="compact")
    expect(send(name, [(None, b"2", 0)]) == [KafkaError.INVALID_RECORD], "the new policy is not in force")
    alter(name, cleanup_policy="delete", message_timestamp_type="LogAppendTime")
    expect(send(name, [(None, b"3", 1)]) == [None], "the old policy is still in force")
    kinds = [(value, kind) for _, value, kind, _ in read(name, 2)]
    expect(kinds == [(b"1", TIMESTAMP_CREATE_TIME), (b"3", TIMESTAMP_LOG_APPEND_TIME)], kinds)


def offsets():
    name = topic("offsets")
    now = now_ms()
    send(name, [(None, b"a", now - 300), (None, b"b", now - 100), (None, b"c", now - 200)])
    place = TopicPartition(name, 0)
    for spec, expected in [
        (OffsetSpec.earliest(), 0),
        (OffsetSpec.latest(), 3),
        (OffsetSpec.max_timestamp(), 1),
        (OffsetSpec.for_timestamp(now - 250), 1),
        (OffsetSpec.for_timestamp(now), -1),
    ]:
        found = admin.list_offsets({place: spec})[place].result(15)
        expect(found.offset == expected, f"{spec}: {found.offset}, not {expected}")


def main():
    checks = Checks()
    for check in [compression, append_time, create_time, keys, sizes, changed, offsets]:
        checks.check(check.__name__, check)
    checks.end()


if __name__ == "__main__":
    main()
