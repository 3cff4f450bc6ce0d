"""Brokers as processes, and the little of Kafka's protocol that a measurement needs, with nothing but Python's own library."""

import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import typing

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_S_MAX, STOP_S_MAX = 60, 60
GIVEN_PORTS = set()


def free_port(count=2):
    """A port that is free, and those behind it too (Kafka's controller takes the next one); never given out before."""
    while True:
        port = random.randrange(20_000, 32_000)
        if GIVEN_PORTS.intersection(range(port, port + count)):
            continue
        try:
            for number in range(port, port + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            GIVEN_PORTS.update(range(port, port + count))
            return port
        except OSError:
            continue


def free_memory_bytes():
    """Memory that holds nothing, not even cached files."""
    with open("/proc/meminfo") as file:
        return int(re.search(r"MemFree:\s+(\d+)", file.read()).group(1)) * 1024


# --- processes -------------------------------------------------------------------------------------------------------------------------


def cpu_s(pid):
    """User and system CPU seconds of a process so far, of all its threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS_PER_S, int(fields[12]) / TICKS_PER_S


def memory_bytes(pid, kind):
    """What the kernel says of a process's memory: VmRSS, VmHWM, RssAnon ..."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(rf"^{kind}:\s+(\d+)", file.read(), re.MULTILINE).group(1)) * 1024


class Broker:
    """A broker on 127.0.0.1 that we start, measure and stop. `name` is what the tables call it."""

    host = "127.0.0.1"

    def __init__(self, name, data_dir):
        self.name, self.data_dir, self.port, self.pid = name, data_dir, free_port(), None
        self.process = None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def spawn(self):
        raise NotImplementedError

    def start(self):
        """Starts it; gives the seconds until it answered a request for its metadata."""
        os.makedirs(self.data_dir, exist_ok=True)
        begun = time.monotonic()
        self.spawn()
        while True:
            try:
                with Wire(self.address, timeout_s=2) as wire:
                    wire.api_versions()
                    if wire.metadata()["brokers"]:
                        return time.monotonic() - begun
            except (OSError, WireError):
                pass
            if self.process is not None and self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self.process.returncode} at its start; see {self.log_path}")
            if time.monotonic() - begun > START_S_MAX:
                raise SystemExit(f"{self.name} gave no answer within {START_S_MAX} s; see {self.log_path}")
            time.sleep(0.001)

    @property
    def log_path(self):
        return self.data_dir.rstrip("/") + ".output"

    def popen(self, words):
        with open(self.log_path, "ab") as output:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.pid = self.process.pid

    def alive(self):
        return self.process is None or self.process.poll() is None

    def runs(self):
        """Whether there is a process, also one that stands still."""
        if self.pid is None or not self.alive():
            return False
        try:
            with open(f"/proc/{self.pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def kill(self):
        """The crash: no goodbye to anyone."""
        os.kill(self.pid, signal.SIGKILL)
        self.reap()

    def end(self):
        """Whatever state it is in; its data stay."""
        if self.pid is not None:
            self.kill()

    def stop(self):
        if self.pid is None:
            return
        try:
            os.kill(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.reap()

    def reap(self):
        if self.process is not None:
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.pid = self.process = None

    def remove_data(self):
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def create_topic(self, topic, partitions, **settings):
        with Wire(self.address) as wire:
            wire.create_topic(topic, partitions, **settings)

    def ends(self, topic):
        """Where the partitions end."""
        with Wire(self.address) as wire:
            return wire.end_offsets(topic, len(wire.metadata([topic])["partitions"][topic]))

    def cpu_s(self):
        return cpu_s(self.pid)

    def resident_bytes(self):
        return memory_bytes(self.pid, "VmRSS")

    def resident_peak_bytes(self):
        return memory_bytes(self.pid, "VmHWM")


class Klamm(Broker):
    """Takes records however full this machine's disk is: what is looked at is the broker."""

    guard = ["log.dirs.min.free.bytes=0"]

    def __init__(self, data_dir, binary=None, name="klamm", settings=()):
        super().__init__(name, data_dir)
        self.binary, self.settings = binary or default_binary(), list(settings)

    def spawn(self, *options):
        words = [self.binary, "serve", "--data-dir", self.data_dir, "--listen", self.address, *options]
        for setting in [*self.guard, *self.settings]:
            words += ["--set", setting]
        self.popen(words)


class Kafka(Broker):
    def __init__(self, data_dir, name="kafka", settings=(), heap="-Xms1g -Xmx1g"):
        super().__init__(name, data_dir)
        self.settings, self.heap = list(settings), heap

    def spawn(self, **more):
        environment = dict(os.environ, KAFKA_SETTINGS="\n".join(self.settings), KAFKA_HEAP=self.heap, **more)
        script = os.path.join(HERE, "kafka", "start.sh")
        done = subprocess.run([script, str(self.port), self.data_dir], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{script}: {done.stderr}")
        self.pid = int(done.stdout.split()[-1])

    @property
    def log_path(self):
        return os.path.join(self.data_dir, "server.log")

    def reap(self):
        # Not our child: the start script's.
        deadline = time.monotonic() + STOP_S_MAX
        while self.runs() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.runs():
            os.kill(self.pid, signal.SIGKILL)
        self.pid = None


class Floor(Broker):
    def __init__(self, data_dir, binary=None, name="floor", partitions=16, sync="none"):
        super().__init__(name, data_dir)
        self.binary = binary or floor_binary()
        self.partitions, self.sync = partitions, sync

    def spawn(self):
        self.popen([self.binary, "serve", "--listen", self.address, "--data-dir", self.data_dir, "--partitions", str(self.partitions),
                    "--sync", self.sync])


def default_binary():
    for profile in ("release", "debug"):
        path = os.path.join(TARGET, profile, "klamm")
        if os.path.exists(path):
            return path
    raise SystemExit(f"no klamm in {TARGET}: cargo build --release")


def floor_binary():
    path = os.path.join(TARGET, "release", "bench-floor")
    if not os.path.exists(path):
        raise SystemExit(f"no bench-floor in {TARGET}: cargo build --release -p bench-floor")
    return path


# --- protocol --------------------------------------------------------------------------------------------------------------------------


class WireError(Exception):
    """The broker closed the connection or answered with an error code."""


class Wire:
    """One connection, one request at a time, old versions without the flexible encoding."""

    def __init__(self, address, timeout_s=30):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, key, version, body, flexible=False):
        self.correlation += 1
        frame = struct.pack(">hhih", key, version, self.correlation, 7) + b"harness" + b"\0" * flexible + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self):
        size = struct.unpack(">i", self.exactly(4))[0]
        answer = Fields(self.exactly(size))
        if answer.i32() != self.correlation:
            raise WireError("the answer belongs to another request")
        return answer

    def exactly(self, size):
        parts = []
        while size > 0:
            part = self.socket.recv(min(size, 1 << 20))
            if not part:
                raise WireError("the broker closed the connection")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def call(self, key, version, body, flexible=False):
        self.send(key, version, body, flexible)
        return self.receive()

    def api_versions(self):
        answer = self.call(18, 0, b"")
        answer.error("ApiVersions")
        return {key: (least, most) for key, least, most in (answer.unpack(">hhh") for _ in range(answer.i32()))}

    def metadata(self, topics=()):
        """Of these topics; `None` asks for all."""
        asked = struct.pack(">i", -1) if topics is None else struct.pack(">i", len(topics)) + b"".join(map(text, topics))
        answer = self.call(3, 7, asked + b"\0")
        answer.i32()
        brokers = [(answer.i32(), answer.text(), answer.i32(), answer.text())[:3] for _ in range(answer.i32())]
        cluster, controller, found, partitions = answer.text(), answer.i32(), {}, {}
        for _ in range(answer.i32()):
            error, name, _internal = answer.i16(), answer.text(), answer.unpack(">b")
            partitions[name] = sorted(Partition.read(answer) for _ in range(answer.i32()))
            found[name] = (error, [it.leader for it in partitions[name]])
        return {"brokers": brokers, "cluster": cluster, "controller": controller, "topics": found, "partitions": partitions}

    def create_topic(self, name, partitions, replication_factor=1, **settings):
        """Returns when every partition has a leader."""
        self.request_topic(name, partitions, replication_factor, **settings)
        self.wait_for_leaders(name, partitions)

    def request_topic(self, name, partitions, replication_factor, **settings):
        configs = b"".join(text(key.replace("_", ".")) + text(str(value)) for key, value in settings.items())
        topic = text(name) + struct.pack(">ihi", partitions, replication_factor, 0) + struct.pack(">i", len(settings)) + configs
        answer = self.call(19, 2, struct.pack(">i", 1) + topic + struct.pack(">ib", 30_000, 0))
        answer.take(4 + 4)
        answer.text()
        answer.error(f"CreateTopics {name}")

    def wait_for_leaders(self, name, partitions):
        """Until the metadata names them and they themselves know: Kafka says the first before the second."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            error, leaders = self.metadata([name])["topics"].get(name, (3, []))
            if error == 0 and len(leaders) == partitions and min(leaders) >= 0:
                try:
                    self.end_offsets(name, partitions)
                    return
                except WireError:
                    pass
            time.sleep(0.02)
        raise WireError(f"{name} has no leaders after 30 s")

    def delete_topic(self, name):
        answer = self.call(20, 1, struct.pack(">i", 1) + text(name) + struct.pack(">i", 30_000))
        answer.take(4 + 4)
        answer.text()
        answer.error(f"DeleteTopics {name}")

    def end_offsets(self, name, partitions):
        ends = self.ends_of(name, range(partitions))
        return [ends[index] for index in range(partitions)]

    def ends_of(self, name, partitions):
        """By partition; each must be led here."""
        asked = b"".join(struct.pack(">iq", index, -1) for index in partitions)
        answer = self.call(2, 1, struct.pack(">ii", -1, 1) + text(name) + struct.pack(">i", len(partitions)) + asked)
        answer.i32()
        answer.text()
        ends = {}
        for _ in range(answer.i32()):
            index = answer.i32()
            answer.error(f"ListOffsets {name}-{index}")
            ends[index] = answer.unpack(">qq")[1]
        return ends

    def coordinator(self, key, kind):
        """Whose id it is; `kind` is 0 for a group, 1 for a transactional id."""
        answer = self.call(10, 1, text(key) + struct.pack(">b", kind))
        answer.i32()
        answer.error(f"FindCoordinator {key}")
        answer.text()
        return answer.i32()

    def quorum_leader(self):
        """Who leads the metadata log, or -1. (Kafka's Metadata names any broker as the controller.)"""
        answer = self.call(55, 0, b"\2" + b"\x13__cluster_metadata\2" + struct.pack(">i", 0) + b"\0\0\0", flexible=True)
        answer.take(1)
        answer.error("DescribeQuorum")
        answer.take(1 + 1 + 18 + 1 + 4)
        answer.error("DescribeQuorum")
        return answer.i32()


class Partition(typing.NamedTuple):
    """What a broker's Metadata says of one."""

    index: int
    leader: int
    leader_epoch: int
    replicas: tuple
    in_sync: tuple

    @classmethod
    def read(cls, answer):
        error, index, leader, epoch = answer.unpack(">hiii")
        replicas, in_sync, _offline = (answer.unpack(f">{answer.i32()}i") for _ in range(3))
        # 9, REPLICA_NOT_AVAILABLE, is said of a partition that has a leader.
        return cls(index, leader if error in (0, 9) else -1, epoch, replicas, in_sync)


class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise WireError("the answer is too short")
        self.at += size
        return self.data[self.at - size:self.at]

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def i16(self):
        return self.unpack(">h")[0]

    def i32(self):
        return self.unpack(">i")[0]

    def text(self):
        size = self.i16()
        return None if size < 0 else self.take(size).decode()

    def error(self, what):
        code = self.i16()
        if code:
            raise WireError(f"{what}: error {code}")


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def crc32c(data):
    """CRC-32C by table: slow, for the small batches that tests forge."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC_TABLE = _crc_table()


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record_batch(values, attributes=0, producer=(-1, -1, -1)):
    """One batch of records without keys or headers."""
    records = b""
    for delta, value in enumerate(values):
        record = b"\0\0" + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    now_ms = int(time.time() * 1000)
    checked = struct.pack(">hiqqqhii", attributes, len(values) - 1, now_ms, now_ms, *producer, len(values)) + records
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked


def produce_body(topic, partition, batch, acks=-1):
    """The body of Produce version 7 for one batch."""
    return struct.pack(">hhii", -1, acks, 30_000, 1) + text(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
