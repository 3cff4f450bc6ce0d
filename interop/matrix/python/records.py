"""How the programs of the matrix are told what to write and tell what they read: one JSON object a record, bytes in hexadecimal.

    write HOST:PORT TOPIC CODEC idempotent|plain FILE       sends every record of FILE to its partition, with its timestamp; ends when all are acknowledged
    read HOST:PORT TOPIC PARTITIONS COUNT                   prints the first COUNT records of the partitions it is told, with their offsets
    times HOST:PORT TOPIC TIMESTAMP...                      prints the offset in partition 0 for each timestamp, -1 where there is none
    load HOST:PORT,... TOPIC PARTITIONS RATE                writes so many records a second to the partitions in turn, idempotent, until SIGTERM
    version                                                 prints the version of the client library
    member HOST:PORT TOPIC GROUP HOW SESSION_MS HEARTBEAT_MS
                                                            reads TOPIC as a member of GROUP until SIGTERM, then leaves it

HOW a group shares its partitions is `range`, `roundrobin`, `cooperative` (Kafka's cooperative-sticky) or `consumer` (KIP-848, where the broker says it).
A member tells what happens to it, a line each, at once:

    started                     before it connects
    assigned P,P                what it was given, in addition to what it has
    revoked P,P                 what it does not read any more, before anyone else can be given it
    record P OFFSET VALUE
    committed                   every record it has told before is committed: after each poll, and before it gives up a partition

`load` gives record N of partition P (both count from 0) the value P-N, and says `acknowledged P OFFSET` of each, `sent N,N` at its end: how many of each partition. OFFSET is
less than 0 where the broker only remembers having the record. It ends with an error when a record is refused after the client's own retries.
"""

import json
import signal
import time


def from_hex(text):
    return None if text is None else bytes.fromhex(text)


def to_hex(data):
    return None if data is None else bytes(data).hex()


def load(path):
    """(partition, key, value, headers, timestamp) of each line."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            it = json.loads(line)
            yield it["p"], from_hex(it["k"]), from_hex(it["v"]), [(name, from_hex(data)) for name, data in it["h"]], it["t"]


def show(partition, offset, key, value, headers, timestamp):
    headers = [[name, to_hex(data)] for name, data in headers or []]
    print(json.dumps({"p": partition, "o": offset, "k": to_hex(key), "v": to_hex(value), "h": headers, "t": timestamp}))


class Member:
    """What a member of a group says. `uncommitted` holds the offset to commit for each partition of which it has told records since the last time."""

    def __init__(self):
        self.leaving, self.uncommitted = False, {}
        signal.signal(signal.SIGTERM, self.leave)
        self.tell("started")

    def leave(self, *_signal):
        self.leaving = True

    def tell(self, *words):
        print(*words, flush=True)

    def assigned(self, partitions):
        if partitions:
            self.tell("assigned", ",".join(str(it.partition) for it in partitions))

    def revoked(self, partitions):
        if partitions:
            self.tell("revoked", ",".join(str(it.partition) for it in partitions))
        for it in partitions:
            self.uncommitted.pop(it.partition, None)

    def record(self, partition, offset, value):
        self.tell("record", partition, offset, value.decode())
        self.uncommitted[partition] = offset + 1

    def committed(self):
        self.uncommitted.clear()
        self.tell("committed")


class Load:
    """When the next record is due, and what its value is."""

    def __init__(self, partitions, rate):
        self.rate, self.sent, self.stopping = rate, [0] * partitions, False
        self.begun = time.monotonic()
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_signal):
        self.stopping = True

    def next(self):
        """Partition and value."""
        partition = sum(self.sent) % len(self.sent)
        number = self.sent[partition]
        self.sent[partition] += 1
        return partition, f"{partition}-{number}".encode()

    def ahead_s(self):
        return max(0.0, sum(self.sent) / self.rate - (time.monotonic() - self.begun))

    def acknowledged(self, partition, offset):
        print("acknowledged", partition, offset, flush=True)

    def end(self):
        print("sent", ",".join(map(str, self.sent)), flush=True)


def run(words, write, read, times, member, version, load_on=None):
    match words:
        case ["write", address, topic, codec, kind, path]:
            write(address, topic, codec, kind == "idempotent", load(path))
        case ["read", address, topic, partitions, count]:
            read(address, topic, int(partitions), int(count))
        case ["times", address, topic, *timestamps]:
            print(json.dumps(times(address, topic, [int(it) for it in timestamps])))
        case ["member", address, topic, group, how, session_ms, heartbeat_ms]:
            member(address, topic, group, how, int(session_ms), int(heartbeat_ms))
        case ["load", address, topic, partitions, rate] if load_on:
            load_on(address, topic, Load(int(partitions), int(rate)))
        case ["version"]:
            print(version)
        case _:
            raise SystemExit(__doc__)
