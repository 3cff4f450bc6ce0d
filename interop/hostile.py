"""Hostile connections: memory stays bounded and a good client is served at once.

    python3 interop/hostile.py [--connections 500] [--frames 4000] [--seed N] [--binary KLAMM | --kafka]

First many connections announce a 90 MiB frame each and send 4 KiB of it. Then some thousand corrupt frames come over all keys and
versions. Last come, one kind after the other, requests that are valid, or nearly, and cost as much as a few bytes can (docs/BAD_INPUT.md: B9, B14,
B19, B27). Meanwhile a good client in a process of its own writes a small record every 20 ms and reads it again.
"""

import argparse
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import with_broker
from harness import Wire, WireError, crc32c, produce_body, record_batch, text, varint

TOPIC = "good"
GROWTH_BYTES_MAX = 64 << 20
# Attackers and broker share two processors, perhaps with something else: where nobody takes turns it is one to nine seconds.
ANSWER_MS_MAX = 2000
MOSTLY_MS_MAX = 500
ANNOUNCED_BYTES = 90 << 20
SENT_BYTES = 4 << 10
HELD_S = 8
KEYS = range(0, 95)
SENDERS = 4
WIDE_TOPIC, PACKED_TOPIC = "wide", "packed"
COSTLY_SENDERS = 6
COSTLY_S = 2
COSTLY_GROWTH_BYTES_MAX = 512 << 20

failures = 0


def report(holds, name, detail):
    global failures
    failures += not holds
    print("ok" if holds else "FAIL", name, detail, flush=True)


# --- the good client, a process of its own -------------------------------------------------------------------------------------------------


def good_client(address):
    """A record every 20 ms, there and back, until standard input ends; then the times it took as one line of JSON."""
    stopping = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
    took_ms, problems = [], []
    body = produce_body(TOPIC, 0, record_batch([b"precious"]), acks=1)
    with Wire(address, timeout_s=30) as kept:
        due = time.monotonic()
        while not stopping.is_set():
            begun = time.monotonic()
            try:
                answer = kept.call(0, 7, body)
                answer.take(4 + 2 + len(TOPIC) + 4 + 4)
                answer.error("Produce")
                (offset,) = answer.unpack(">q")
                found = kept.call(1, 4, fetch_body(TOPIC, 1, offset, wait_ms=1000))
                # Not necessarily at the end: a corrupt frame may have been good enough to put a record behind it.
                if b"precious" not in found.data:
                    raise WireError(f"record {offset} is not there")
                if len(took_ms) % 10 == 0:
                    # A newcomer is served as well.
                    with Wire(address, timeout_s=30) as fresh:
                        fresh.metadata([TOPIC])
            except (OSError, WireError) as error:
                problems.append(str(error))
                break
            took_ms.append((time.monotonic() - begun) * 1000)
            due = max(due + 0.02, time.monotonic() - 0.1)
            time.sleep(max(0, due - time.monotonic()))
    print(json.dumps({"took_ms": took_ms, "problems": problems}))


class GoodClient:
    def __init__(self, address):
        words = [sys.executable, os.path.abspath(__file__), "--good-client", address]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def finish(self, name):
        output, _ = self.process.communicate(timeout=120)
        result = json.loads(output)
        took_ms = sorted(result["took_ms"])
        at = lambda share: took_ms[min(int(len(took_ms) * share), len(took_ms) - 1)] if took_ms else float("nan")
        holds = not result["problems"] and len(took_ms) >= 20 and took_ms[-1] < ANSWER_MS_MAX and at(0.95) < MOSTLY_MS_MAX
        detail = f"{len(took_ms)} answers, p50 {at(0.5):.1f} ms, p95 {at(0.95):.1f} ms, p99 {at(0.99):.1f} ms, worst {at(1):.1f} ms"
        report(holds, f"good-client-during-{name}", " ".join([detail, *result["problems"]]))


# --- the hostile ones ----------------------------------------------------------------------------------------------------------------------


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=5)


def announce(address, count):
    """Connections that promise much: the announced length, then the begin of a Produce request."""
    start = struct.pack(">hhih", 0, 7, 1, 4) + b"evil" + produce_body(TOPIC, 0, bytes(SENT_BYTES))
    held = []
    for _ in range(count):
        try:
            connection = connect(address)
            held.append(connection)
            connection.sendall(struct.pack(">i", ANNOUNCED_BYTES) + start[:SENT_BYTES])
        except OSError:
            pass  # to be refused is a good answer
    return held


def valid_body(dice, key):
    """The body of an honest request of an old version, where a broken one goes deeper than noise."""
    topic = text(TOPIC)
    if key == 0:
        return 7, produce_body(TOPIC, 0, record_batch([dice.randbytes(20) for _ in range(dice.randrange(1, 5))]))
    if key == 1:
        return 4, struct.pack(">iiiib", -1, 10, 1, 1 << 20, 0) + struct.pack(">i", 1) + topic + struct.pack(">iiqi", 1, 0, 0, 1 << 20)
    if key == 2:
        return 1, struct.pack(">ii", -1, 1) + topic + struct.pack(">iiq", 1, 0, -1)
    if key == 3:
        return 7, struct.pack(">i", 1) + topic + b"\0"
    if key == 18:
        return 3, varint(3) + b"abc" + b"\2x" + b"\0"
    if key == 22:
        return 1, struct.pack(">hi", -1, 1000)
    return dice.randrange(0, 4), dice.randbytes(dice.randrange(0, 200))


def corrupt_frame(dice):
    key = dice.choice(KEYS) if dice.random() < 0.6 else dice.choice([0, 1, 2, 3, 18, 22])
    version, body = valid_body(dice, key)
    if dice.random() < 0.5:
        version = dice.choice([-1, 0, 1, 5, 9, 12, 13, 17, 18, 99, 32767, version, version])
    header = struct.pack(">hhi", key, version, dice.randrange(1 << 31)) + text("evil")
    kind = dice.randrange(8)
    body = bytearray(body)
    if kind == 0:
        body = bytearray(dice.randbytes(dice.randrange(0, 2000)))
    elif kind == 1:
        body = body[: dice.randrange(0, len(body) + 1)]
    elif kind == 2:
        for _ in range(dice.randrange(1, 6)):
            if body:
                body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
    elif kind == 3 and len(body) >= 4:
        at = dice.randrange(len(body) - 3)
        body[at:at + 4] = struct.pack(">i", dice.choice([-1, -2, 0x7FFFFFFF, 0x7FFFFFF, 1_000_000, 1 << 24]))
    elif kind == 4:
        # Lengths in the flexible encoding: too long, too large, and tags without end.
        body = bytearray(b"\0" + dice.choice([b"\xff" * 9, b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\x80" * 6]) + dice.randbytes(40))
    elif kind == 5:
        body += dice.randbytes(dice.randrange(1, 100))
    elif kind == 6:
        body = bytearray(b"\0" + varint(10_000_000) + b"\x01\x00" * dice.randrange(1000, 20_000))
    frame = header + bytes(body)
    length = len(frame)
    if kind == 7:
        length = dice.choice([-1, -(1 << 31), 0, 3, 7, 0x7FFFFFFF, length + 5000, max(0, length - 3)])
    return struct.pack(">i", length) + frame


STRANGERS = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\0\0\0\0",
    b"",
    bytes(65_536),
]


def send_corrupt(address, seed, count, closed):
    dice = random.Random(seed)
    connection = None
    for number in range(count):
        data = STRANGERS[number // 50 % len(STRANGERS)] if number % 50 == 0 else corrupt_frame(dice)
        try:
            if connection is None:
                connection = connect(address)
                connection.settimeout(0.05)
            connection.sendall(data)
            if dice.random() < 0.5 and not connection.recv(65_536):
                raise ConnectionError
        except TimeoutError:
            # The broker waits for more, or has nothing to say: a new connection now and then.
            if dice.random() < 0.5:
                connection.close()
                connection = None
        except OSError:
            closed.append(number)
            if connection is not None:
                connection.close()
            connection = None
    if connection is not None:
        connection.close()


def frame(key, version, body):
    whole = struct.pack(">hhi", key, version, 1) + text("evil") + body
    return struct.pack(">i", len(whole)) + whole


def fetch_body(topic, count, offset=0, wait_ms=0, session=None):
    """A fetch of the first `count` partitions: version 7 with a session, which is its id and epoch, 4 without."""
    head = struct.pack(">iiiib", -1, wait_ms, int(wait_ms > 0), 1 << 20, 0)
    place = struct.pack(">q" if session is None else ">qq", *[offset, -1][: 1 + (session is not None)])
    partitions = b"".join(struct.pack(">i", number) + place + struct.pack(">i", 1 << 20) for number in range(count))
    named = struct.pack(">i", 1) + text(topic) + struct.pack(">i", count) + partitions if count else struct.pack(">i", 0)
    return head + named if session is None else head + struct.pack(">ii", *session) + named + struct.pack(">i", 0)


def bomb(max_timestamp):
    """A batch of one record that is 60 MiB of nothing, in 60 KiB."""
    value_size = 60 << 20
    body = b"\0\0\0\1" + varint(value_size)
    whole = varint(len(body) + value_size + 1) + body
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(whole) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(60)) + packer.compress(b"\0") + packer.flush()
    checked = struct.pack(">hiqqqhii", 1, 0, max_timestamp, max_timestamp, -1, -1, -1, 1) + packed
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked


def costly_requests():
    """What is sent at once on a connection, by its name."""
    list_offsets = b"".join(struct.pack(">iq", number, -1) for number in range(100_000))
    bombs = [frame(0, 7, produce_body(topic, 0, bomb(when), acks=1)) for topic, when in [(PACKED_TOPIC, 1000), (TOPIC, 1 << 42)]]
    return {
        "fetches-of-250000-partitions": frame(1, 4, fetch_body(TOPIC, 250_000)) * 3,
        "fetches-of-50000-partitions": frame(1, 4, fetch_body(TOPIC, 50_000)) * 10,
        "fetches-of-2000-partitions": frame(1, 4, fetch_body(WIDE_TOPIC, 2000)) * 100,
        "offsets-of-100000-partitions": frame(2, 1, struct.pack(">ii", -1, 1) + text(WIDE_TOPIC) + struct.pack(">i", 100_000) + list_offsets) * 5,
        "names-without-end": frame(3, 0, struct.pack(">i", 900_000) + bytes(1_800_000)) + frame(3, 9, varint(20_000_000) + b"\x01\x00" * 1_000_000),
        "metadata-of-all-topics": frame(3, 1, struct.pack(">i", -1)) * 500,
        "floods": frame(18, 0, b"") * 100_000,
        "bombs": b"".join(bombs) * 10,
    }


def take_answers(connection, reads, until):
    """Who does not read holds on to its answers for a while."""
    if not reads:
        time.sleep(0.5)
    while reads and time.monotonic() < until and connection.recv(1 << 20):
        pass


def send_costly(address, requests, reads, until, sent):
    while time.monotonic() < until:
        try:
            with connect(address) as connection:
                connection.settimeout(1)
                connection.sendall(requests)
                sent.append(len(requests))
                take_answers(connection, reads, until)
        except OSError:
            pass  # it was given up, which is a good answer


def send_in_sessions(address, _, reads, until, sent):
    """A session of many partitions, and then as many fetches in it as fit: some 60 bytes each."""
    while time.monotonic() < until:
        try:
            with connect(address) as connection:
                connection.settimeout(1)
                connection.sendall(frame(1, 7, fetch_body(WIDE_TOPIC, 10_000, session=(0, 0))))
                answer = connection.recv(4096, socket.MSG_WAITALL)
                (session,) = struct.unpack(">i", answer[14:18])
                connection.sendall(b"".join(frame(1, 7, fetch_body(WIDE_TOPIC, 0, session=(session, epoch))) for epoch in range(1, 1000)))
                sent.append(session)
                take_answers(connection, reads, until)
        except OSError:
            pass


class Memory(threading.Thread):
    """The largest resident size while it runs."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.broker, self.before = broker, broker.resident_bytes()
        self.largest, self.stopping = self.before, threading.Event()
        self.start()

    def run(self):
        while not self.stopping.wait(0.02) and self.broker.alive():
            self.largest = max(self.largest, self.broker.resident_bytes())

    def finish(self, name, growth_max):
        self.stopping.set()
        self.join()
        growth = self.largest - self.before
        detail = f"{self.before / 1048576:.1f} MiB before, grew by {growth / 1048576:.1f} MiB"
        report(growth < growth_max, f"memory-during-{name}", detail)


def under_attack(broker, name, attack, growth_max=GROWTH_BYTES_MAX):
    memory, good = Memory(broker), GoodClient(broker.address)
    time.sleep(0.5)
    detail = attack()
    memory.finish(name, growth_max)
    good.finish(name)
    report(broker.alive(), f"alive-after-{name}", detail)


def run(options, broker):
    broker.start()
    with Wire(broker.address) as wire:
        # However slow the disk is.
        wire.create_topic(TOPIC, 1, flush_ms=1000)
        wire.create_topic(WIDE_TOPIC, 2000)
        wire.create_topic(PACKED_TOPIC, 1, compression_type="zstd")
    # What a first client costs is not the attack's.
    under_warm_up = GoodClient(broker.address)
    time.sleep(3)
    under_warm_up.process.communicate(timeout=120)

    def announcing():
        held = announce(broker.address, options.connections)
        time.sleep(HELD_S)
        for connection in held:
            connection.close()
        return f"{len(held)} connections held for {HELD_S} s"

    def corrupting():
        closed, count = [], options.frames // SENDERS
        senders = [threading.Thread(target=send_corrupt, args=(broker.address, f"{options.seed}-{number}", count, closed))
                   for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        return f"{count * SENDERS} corrupt frames, {len(closed)} closed connections"

    under_attack(broker, "announced-frames", announcing)
    under_attack(broker, "corrupt-frames", corrupting)

    def overcharging(send, requests):
        sent, until = [], time.monotonic() + COSTLY_S
        senders = [threading.Thread(target=send, args=(broker.address, requests, number % 2 == 0, until, sent)) for number in range(COSTLY_SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        return f"sent {len(sent)} times"

    for name, requests in costly_requests().items():
        under_attack(broker, name, lambda: overcharging(send_costly, requests), COSTLY_GROWTH_BYTES_MAX)
    under_attack(broker, "large-sessions", lambda: overcharging(send_in_sessions, None), COSTLY_GROWTH_BYTES_MAX)
    try:
        with Wire(broker.address) as wire:
            before = wire.end_offsets(TOPIC, 1)[0]
            wire.call(0, 7, produce_body(TOPIC, 0, record_batch([b"still here"])))
            report(wire.end_offsets(TOPIC, 1)[0] == before + 1, "writes-afterwards", f"{before + 1} records")
    except (OSError, WireError) as error:
        report(False, "writes-afterwards", str(error))


def main():
    if sys.argv[1:2] == ["--good-client"]:
        return good_client(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_broker.add_options(parser)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klamm-hostile-") as folder:
        broker = with_broker.broker_for(options, os.path.join(folder, "data"))
        if options.kafka:
            broker.heap = "-Xmx512m"
        try:
            run(options, broker)
            if failures:
                with_broker.show_log(broker)
        finally:
            broker.stop()
    sys.exit(1 if failures else 0)


main()
