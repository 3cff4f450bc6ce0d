"""What smoke.sh runs: every check writes with one real client and compares byte for byte what the same and other clients read back."""

import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka.admin import AdminClient, NewTopic

from checks import Checks, Different, expect

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(HERE, "..", "bench", "kafka", "tool.sh")
JAVA = os.path.join(HERE, "java", "run.sh")
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RUN = f"{int(time.time())}-{os.getpid()}"

bootstrap = sys.argv[1]
checks = Checks(*sys.argv[2:3])
admin = AdminClient({"bootstrap.servers": bootstrap})


def topic(name, partitions=1, **settings):
    full = f"{name}-{RUN}"
    config = {key.replace("_", "."): value for key, value in settings.items()}
    admin.create_topics([NewTopic(full, partitions, 1, config=config)])[full].result(30)
    wait_for_leaders(full, partitions)
    return full


def wait_for_leaders(name, partitions):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        seen = admin.list_topics(topic=name, timeout=10).topics[name]
        if len(seen.partitions) == partitions and all(p.leader >= 0 for p in seen.partitions.values()):
            return
        time.sleep(0.05)
    raise Different(f"{name} has no leaders after 20 s")


def command(*words, stdin=None, timeout=60):
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, timeout=timeout)
    if done.returncode != 0:
        output = (done.stderr + done.stdout).decode(errors="replace")
        raise Different(f"{os.path.basename(words[0])} ended with {done.returncode}: {output[-500:]}")
    return done.stdout


def kcat(*words, stdin=None):
    return command("kcat", "-b", bootstrap, *words, stdin=stdin)


# --- confluent-kafka ------------------------------------------------------------------------------------------------------------------


def producer(**settings):
    return Producer({"bootstrap.servers": bootstrap, **{key.replace("_", "."): value for key, value in settings.items()}})


def send(client, name, records):
    """Sends (partition, key, value, headers); gives the offset each was acknowledged at."""
    offsets = [None] * len(records)
    errors = []

    def delivered(at):
        def note(error, message):
            if error is not None:
                errors.append(error)
            else:
                offsets[at] = message.offset()

        return note

    for at, (partition, key, value, headers) in enumerate(records):
        while True:
            try:
                client.produce(name, value, key, partition, on_delivery=delivered(at), headers=headers)
                break
            except BufferError:
                client.poll(0.1)
        client.poll(0)
    left = client.flush(60)
    expect(not errors, f"{len(errors)} records were refused, the first with {errors[0] if errors else None}")
    expect(left == 0, f"{left} records were not acknowledged within 60 s")
    return offsets


def read(name, partitions, count, begin=OFFSET_BEGINNING, timeout_s=30, **settings):
    """The first `count` records as (partition, offset, key, value, headers, timestamp)."""
    config = {key.replace("_", "."): value for key, value in settings.items()}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True, **config})
    try:
        consumer.assign([TopicPartition(name, index, begin) for index in range(partitions)])
        records = []
        deadline = time.monotonic() + timeout_s
        while len(records) < count and time.monotonic() < deadline:
            for message in consumer.consume(min(count - len(records), 1000), 0.5):
                expect(message.error() is None, f"reading: {message.error()}")
                place = (message.partition(), message.offset())
                records.append((*place, message.key(), message.value(), message.headers(), message.timestamp()[1]))
        expect(len(records) == count, f"{len(records)} of {count} records came back within {timeout_s} s")
        return records
    finally:
        consumer.close()


def ends(name, partitions):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    try:
        return [consumer.get_watermark_offsets(TopicPartition(name, index), timeout=15) for index in range(partitions)]
    finally:
        consumer.close()


def eventually(ask):
    """What `ask` answers once the client has heard of a new topic of an old name."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def make_records(seed, count, partitions, size_max):
    dice = random.Random(seed)
    records = []
    for at in range(count):
        key = None if dice.random() < 0.3 else dice.randbytes(dice.randrange(40))
        size = dice.choice([0, 1, 2, 10, 100, 1000, size_max]) if at % 50 == 0 else dice.randrange(400)
        value = None if dice.random() < 0.05 else (dice.randbytes(size - size // 2) + b"x" * (size // 2))
        headers = [(f"name-{dice.randrange(3)}", None if dice.random() < 0.2 else dice.randbytes(dice.randrange(20)))
                   for _ in range(dice.choice([0, 0, 1, 3]))]
        records.append((at % partitions, key, value, headers or None))
    return records


def compare(written, offsets, records, partitions):
    by_place = {(record[0], record[1]): record for record in records}
    expect(len(by_place) == len(written), f"{len(by_place)} distinct places for {len(written)} records")
    for (partition, key, value, headers), offset in zip(written, offsets):
        got = by_place.get((partition, offset))
        expect(got is not None, f"nothing at partition {partition} offset {offset}")
        # librdkafka cannot tell an empty key or value from none when it writes one of length 0.
        same = (got[2] or b"") == (key or b"") and (got[3] or b"") == (value or b"") and (got[4] or None) == headers
        expect(same, f"the record at partition {partition} offset {offset} differs")
    for index in range(partitions):
        order = [offset for (partition, *_), offset in zip(written, offsets) if partition == index]
        expect(order == list(range(len(order))), f"partition {index} is not in the order of sending")


def confluent_round_trip(codec, kind):
    name = topic(f"confluent-{codec}-{kind}", 3)
    settings = {"idempotent": {"enable_idempotence": True}, "all": {"acks": "all"}, "leader": {"acks": "1"}}[kind]
    written = make_records(f"{codec}-{kind}", 3000, 3, 100_000)
    offsets = send(producer(compression_type=codec, linger_ms=5, **settings), name, written)
    compare(written, offsets, read(name, 3, len(written)), 3)
    return f"{len(written)} records"


def confluent_without_acks():
    name = topic("confluent-acks-0")
    values = [b"%d" % at for at in range(1000)]
    client = producer(acks="0")
    for value in values:
        client.produce(name, value, partition=0)
    expect(client.flush(30) == 0, "records were left in the queue")
    expect([record[3] for record in read(name, 1, 1000)] == values, "the values differ")


def confluent_sizes():
    name = topic("confluent-sizes", max_message_bytes="3000000")
    sizes = [1, 2, 127, 128, 16_383, 16_384, 65_536, 1_000_000, 1 << 20]
    written = [(0, b"k", random.Random(size).randbytes(size), None) for size in sizes]
    offsets = send(producer(message_max_bytes=2_500_000, linger_ms=0, enable_idempotence=True), name, written)
    compare(written, offsets, read(name, 1, len(written)), 1)
    return f"1 B to {sizes[-1]} B"


def confluent_too_large():
    name = topic("confluent-too-large", max_message_bytes="10000")
    outcome = []
    client = producer(linger_ms=0)
    client.produce(name, b"x" * 20_000, partition=0, on_delivery=lambda error, message: outcome.append(error))
    client.flush(30)
    client.produce(name, b"small", partition=0, on_delivery=lambda error, message: outcome.append(error))
    client.flush(30)
    expect(len(outcome) == 2, f"{len(outcome)} of 2 records were answered")
    refused = [error.code() for error in outcome if error is not None]
    expect(refused == [KafkaError.MSG_SIZE_TOO_LARGE], f"the answers were {outcome}")
    expect(ends(name, 1) == [(0, 1)], f"the end is {ends(name, 1)}")


def confluent_small_fetches():
    name = topic("confluent-small-fetches")
    written = make_records("small fetches", 500, 1, 5000)
    offsets = send(producer(linger_ms=50), name, written)
    compare(written, offsets, read(name, 1, 500, fetch_message_max_bytes=1000, fetch_max_bytes=1000, message_max_bytes=1000), 1)


def confluent_offset_inside_a_batch():
    name = topic("confluent-inside")
    written = [(0, None, b"%d" % at, None) for at in range(100)]
    send(producer(linger_ms=200), name, written)
    got = read(name, 1, 63, begin=37)
    expect([record[1] for record in got] == list(range(37, 100)), f"offsets {got[0][1]} to {got[-1][1]}")
    expect([record[3] for record in got] == [record[2] for record in written[37:]], "the values differ")


def confluent_offsets_by_time():
    name = topic("confluent-times")
    client = producer(linger_ms=50)
    base = int(time.time() * 1000) - 100_000
    for at in range(100):
        client.produce(name, b"%d" % at, partition=0, timestamp=base + at * 100)
    expect(client.flush(30) == 0, "not acknowledged")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    try:
        for asked, answer in [(base, 0), (base + 4950, 50), (base + 9900, 99), (base + 9901, -1)]:
            found = consumer.offsets_for_times([TopicPartition(name, 0, asked)], timeout=15)[0]
            expect(found.error is None, found.error)
            expect(found.offset == answer, f"asked for +{asked - base} ms: offset {found.offset}, not {answer}")
        expect(consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=15) == (0, 100), "begin and end are not 0 and 100")
    finally:
        consumer.close()
    expect([record[5] for record in read(name, 1, 100)] == [base + at * 100 for at in range(100)], "timestamps differ")


def confluent_out_of_range():
    name = topic("confluent-range")
    send(producer(), name, [(0, None, b"only", None)])
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "auto.offset.reset": "error"})
    try:
        consumer.assign([TopicPartition(name, 0, 500)])
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None:
                code = message.error() and message.error().code()
                expect(code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE), f"got {message.error()}")
                return None
        raise Different("no answer within 15 s")
    finally:
        consumer.close()


def confluent_long_poll():
    """A consumer that waits at the end gets a record soon after it was written, and asks seldom until then."""
    name = topic("confluent-long-poll")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "fetch.wait.max.ms": 5000})
    client = producer(linger_ms=0)
    took = []
    try:
        consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
        consumer.poll(1)
        for _ in range(20):
            time.sleep(0.02)
            begun = time.monotonic()
            client.produce(name, b"now", partition=0)
            client.flush(10)
            message = consumer.poll(10)
            expect(message is not None and message.error() is None, "nothing came")
            took.append((time.monotonic() - begun) * 1000)
    finally:
        consumer.close()
    took.sort()
    expect(took[10] < 500, f"the median was {took[10]:.0f} ms")
    return f"produce to consume: median {took[10]:.1f} ms, worst {took[-1]:.1f} ms"


def confluent_topics():
    name = topic("confluent-topics", 5)

    def code_of(run):
        try:
            run()
            return None
        except KafkaException as error:
            return error.args[0].code()

    create = lambda new: admin.create_topics([new])[new.topic].result(30)
    expect(code_of(lambda: create(NewTopic(name, 1, 1))) == KafkaError.TOPIC_ALREADY_EXISTS, "a topic can be created twice")
    expect(code_of(lambda: create(NewTopic("no/such name", 1, 1))) == KafkaError.TOPIC_EXCEPTION, "a bad name is taken")
    expect(code_of(lambda: create(NewTopic(name + "x", 1, 99))) == KafkaError.INVALID_REPLICATION_FACTOR, "99 replicas are taken")
    send(producer(), name, [(3, None, b"old", None)])
    admin.delete_topics([name])[name].result(30)
    deadline = time.monotonic() + 20
    while name in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
        time.sleep(0.1)
    expect(name not in admin.list_topics(timeout=10).topics, "a deleted topic is still listed")
    admin.create_topics([NewTopic(name, 5, 1)])[name].result(30)
    wait_for_leaders(name, 5)
    expect(eventually(lambda: ends(name, 5)) == [(0, 0)] * 5, f"a topic created again has {ends(name, 5)}")
    expect(code_of(lambda: admin.delete_topics(["nowhere-" + name])["nowhere-" + name].result(30)) == KafkaError.UNKNOWN_TOPIC_OR_PART,
           "a topic that is not there can be deleted")


def confluent_auto_creation():
    name = f"confluent-auto-{RUN}"
    send(producer(), name, [(0, None, b"first", None)])
    expect([record[3] for record in read(name, 1, 1)] == [b"first"], "the value differs")


# --- kcat and rdkafka_performance ----------------------------------------------------------------------------------------------------------


def kcat_metadata():
    name = topic("kcat-metadata", 4)
    listed = kcat("-L", "-t", name).decode()
    expect(f'topic "{name}" with 4 partitions' in listed, listed)
    expect(bootstrap in listed, f"{bootstrap} is not among the brokers: {listed}")


def kcat_round_trip(codec):
    name = topic(f"kcat-{codec}", 2)
    dice = random.Random(codec)
    lines = [b"key-%d\t%s" % (at, dice.randbytes(dice.randrange(1, 200)).hex().encode()) for at in range(5000)]
    kcat("-P", "-t", name, "-p", "1", "-K", "\t", "-z", codec, stdin=b"\n".join(lines) + b"\n")
    back = kcat("-C", "-t", name, "-p", "1", "-e", "-q", "-f", "%k\t%s\n").splitlines()
    expect(back == lines, f"{len(back)} lines came back of {len(lines)}, or they differ")
    tail = kcat("-C", "-t", name, "-p", "1", "-o", "-7", "-e", "-q", "-f", "%o\n").split()
    expect(tail == [b"%d" % at for at in range(4993, 5000)], f"the last seven are {tail}")
    return f"{len(lines)} lines"


def kcat_headers_and_nulls():
    name = topic("kcat-headers")
    kcat("-P", "-t", name, "-p", "0", "-H", "colour=blue", "-H", "size=7", "-Z", "-K", ":", stdin=b"a:1\nb:\n:3\n")
    back = kcat("-C", "-t", name, "-p", "0", "-e", "-q", "-Z", "-f", "%k|%K|%s|%S|%h\n").decode().splitlines()
    expect(back == ["a|1|1|1|colour=blue,size=7", "b|1|NULL|-1|colour=blue,size=7", "NULL|-1|3|1|colour=blue,size=7"], str(back))


def kcat_file():
    name = topic("kcat-file")
    content = random.Random(7).randbytes(900_000)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        kcat("-P", "-t", name, "-p", "0", file.name)
    back = kcat("-C", "-t", name, "-p", "0", "-e", "-q", "-D", "")
    expect(back == content, f"{len(back)} bytes came back of {len(content)}, or they differ")


def rdkafka_performance(acks):
    name = topic(f"rdkafka-performance{acks}", 4)
    tool = os.environ["RDKAFKA_PERFORMANCE"]
    count = 200_000
    command(tool, "-P", "-t", name, "-s", "100", "-c", count, "-b", bootstrap, "-a", acks, "-q")
    # With acks=0 the tool ends before the broker has taken everything.
    deadline = time.monotonic() + 30
    while (total := sum(end - begin for begin, end in ends(name, 4))) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(total == count, f"{total} records are there of {count}")
    first = ends(name, 4)[0][1]
    output = command(tool, "-C", "-t", name, "-p", "0", "-b", bootstrap, "-o", "beginning", "-c", first, "-q").decode()
    return f"{count} records of 100 B; {output.strip().splitlines()[-1][:100] if output.strip() else ''}"


# --- Java ------------------------------------------------------------------------------------------------------------------------------------


def java_producer_performance(*settings):
    name = topic("java-producer-performance", 4)
    count = 100_000
    command(TOOL, "ProducerPerformance", "--bootstrap-server", bootstrap, "--topic", name, "--num-records", count, "--record-size", 1024,
            "--throughput", -1, "--command-property", *settings)
    total = sum(end - begin for begin, end in ends(name, 4))
    expect(total == count, f"{total} records are there of {count}")
    output = command(JAVA, "AssignedConsumer", "count", bootstrap, name, count).decode()
    expect(f'"bytes":{count * 1024},' in output, output)
    return f"{count} records of 1 KiB"


def java_payload_file():
    """ProducerPerformance draws its values from a file: what is read back is made of exactly those."""
    name = topic("java-payload-file")
    dice = random.Random(11)
    payloads = [dice.randbytes(dice.randrange(1, 300)).hex() for _ in range(50)]
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(payloads))
        file.flush()
        command(TOOL, "ProducerPerformance", "--bootstrap-server", bootstrap, "--topic", name, "--num-records", 20_000, "--payload-file",
                file.name, "--throughput", -1, "--command-property", "acks=all", "compression.type=lz4")
    values = [record[3].decode() for record in read(name, 1, 20_000)]
    expect(set(values) == set(payloads), "the values differ from the payloads")
    console = command(TOOL, "ConsoleConsumer", "--bootstrap-server", bootstrap, "--topic", name, "--partition", 0, "--offset", "earliest",
                      "--max-messages", 20_000, "--timeout-ms", 30_000).decode().splitlines()
    expect(console == values, f"the console consumer read {len(console)} lines, or they differ")
    return "20000 records, with the console consumer too"


def java_round_trips():
    names = [f"{codec}-{kind}" for codec in CODECS for kind in ("idempotent", "leader")]
    for name in names:
        topic(f"java-trip-{name}", 3)
    output = command(JAVA, "RoundTrip", bootstrap, "java-trip", f"-{RUN}", 3, timeout=300).decode()
    for line in output.splitlines():
        verdict, name, detail = line.split(" ", 2)
        checks.note(name, verdict == "ok", detail)
    expect(len(output.splitlines()) == len(names), "some of the round trips gave no result")
    return f"{len(names)} round trips"


# --- across clients --------------------------------------------------------------------------------------------------------------------------


def across_clients():
    """Written by librdkafka in all codecs, read by Java: every partition's digest, offsets and headers included, is the one we expect."""
    name = topic("across", 2)
    digests = [hashlib.sha256(), hashlib.sha256()]
    next_offset = [0, 0]
    count = 0

    def field(data):
        return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data

    for codec in CODECS:
        written = [record for record in make_records(f"across {codec}", 1000, 2, 50_000) if record[1] and record[2]]
        for (partition, key, value, headers), offset in zip(written, send(producer(compression_type=codec), name, written)):
            expect(offset == next_offset[partition], f"partition {partition}: offset {offset} after {next_offset[partition] - 1}")
            next_offset[partition] += 1
            encoded = struct.pack(">q", offset) + field(key) + field(value)
            encoded += b"".join(field(name.encode()) + field(data) for name, data in headers or [])
            digests[partition].update(encoded)
        count += len(written)
    lines = command(JAVA, "AssignedConsumer", "digest", bootstrap, name, count).decode().splitlines()
    expect(lines[1:] == [f"{index} {digests[index].hexdigest()}" for index in range(2)], f"{lines}")
    return f"{count} records in five codecs"


def main():
    checks.check("kcat-metadata", kcat_metadata)
    for codec in CODECS:
        checks.check(f"kcat-round-trip-{codec}", kcat_round_trip, codec)
    checks.check("kcat-headers-and-nulls", kcat_headers_and_nulls)
    checks.check("kcat-file-900-kB", kcat_file)
    for codec in CODECS:
        for kind in ("idempotent", "all", "leader"):
            checks.check(f"confluent-round-trip-{codec}-{kind}", confluent_round_trip, codec, kind)
    checks.check("confluent-acks-0", confluent_without_acks)
    checks.check("confluent-sizes", confluent_sizes)
    checks.check("confluent-too-large", confluent_too_large)
    checks.check("confluent-small-fetches", confluent_small_fetches)
    checks.check("confluent-offset-inside-a-batch", confluent_offset_inside_a_batch)
    checks.check("confluent-offsets-by-time", confluent_offsets_by_time)
    checks.check("confluent-out-of-range", confluent_out_of_range)
    checks.check("confluent-long-poll", confluent_long_poll)
    checks.check("confluent-topics", confluent_topics)
    checks.check("confluent-auto-creation", confluent_auto_creation)
    for acks in ("0", "1", "-1"):
        checks.check(f"rdkafka-performance-acks{acks}", rdkafka_performance, acks)
    checks.check("java-producer-performance-all", java_producer_performance, "acks=all", "batch.size=262144", "linger.ms=10")
    checks.check("java-payload-file", java_payload_file)
    checks.check("java-round-trips", java_round_trips)
    checks.check("across-clients", across_clients)
    checks.end()


main()
