"""The clients of the matrix: how each is run, and what it cannot say."""

import os
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.environ["INTEROP_TOOLS"]
PYTHON = [os.environ["PYTHON"]]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@dataclass
class Client:
    name: str
    about: str
    words: list
    codecs: list = field(default_factory=lambda: CODECS)
    idempotent: bool = True
    # It can tell a header without a value from an empty one.
    null_headers: bool = True
    # It can tell a key or value of length 0 from none.
    null_or_empty: bool = True
    # Who reads what it writes, besides itself and Kafka's Java client.
    readers: tuple = ()
    # Where no record is so young: the offset it gives, as a function of the end.
    no_such_time: object = lambda end: -1
    # How its groups share their partitions (python/records.py).
    hows: tuple = ()
    tells_by_stderr = False
    tells_commits = True
    # Records of a partition that it may have committed and not told of.
    untold_max = 0

    def normal(self, record):
        """What this client can say of a record."""
        record = dict(record)
        if not self.null_headers:
            record["h"] = [[name, data or ""] for name, data in record["h"]]
        if not self.null_or_empty:
            record["k"], record["v"] = record["k"] or "", record["v"] or ""
        return record

    def member(self, *words):
        return [*self.words, "member", *map(str, words)]

    def heard(self, line):
        """What a member of a group said, in the words of python/records.py."""
        return line


def java(name, about, jars, **what):
    return Client(name, about, ["java", "-Xmx512m", os.environ["KAFKA_JAVA_LOGGING"], "-Dklamm.log.level=WARN", "-cp", f"{jars}/*:{TOOLS}/matrix-java", "Matrix"],
                  **what)


def python(name, about, **what):
    return Client(name, about, [*PYTHON, os.path.join(HERE, "python", f"{name}.py")], **what)


def end_offset(end):
    return end


CLIENTS = [
    java("java4", "Kafka's Java client", f"{os.environ['KAFKA_HOME']}/broker", hows=("range", "roundrobin", "cooperative", "consumer")),
    java("java2", "Kafka's Java client", f"{os.environ['KAFKA_HOME']}/java2", hows=("range", "cooperative")),
    python("confluent", "confluent-kafka, Python", null_or_empty=False, readers=("klamm",),
           hows=("range", "roundrobin", "cooperative", "consumer")),
    python("kafka_python", "kafka-python", null_headers=False, hows=("range", "roundrobin", "cooperative")),
    python("aio", "aiokafka, Python", hows=("range", "roundrobin")),
    Client("kafkajs", "kafkajs, JavaScript", ["node", f"{TOOLS}/kafkajs/matrix.js"], codecs=["none", "gzip", "snappy", "lz4"], null_headers=False,
           no_such_time=end_offset, hows=("roundrobin",)),
    Client("franz", "franz-go, Go", [f"{TOOLS}/bin/matrix-franz"], no_such_time=end_offset, hows=("range", "roundrobin", "cooperative", "consumer")),
    Client("sarama", "sarama, Go", [f"{TOOLS}/bin/matrix-sarama"], hows=("range", "roundrobin")),
    Client("segmentio", "segmentio kafka-go, Go", [f"{TOOLS}/bin/matrix-segmentio"], idempotent=False, null_or_empty=False, hows=("range", "roundrobin")),
    Client("klamm", "Klamm's own, Rust", [os.environ.get("MATRIX_KLAMM", "matrix-klamm")], readers=("confluent",),
           hows=("range", "roundrobin", "cooperative", "consumer")),
    Client("rskafka", "rskafka, Rust", [f"{TOOLS}/bin/matrix-rskafka"], idempotent=False, null_headers=False),
]
REFERENCE = CLIENTS[0]
