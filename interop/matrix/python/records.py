"""How the programs of the matrix are told what to write and tell what they read: one JSON object a record, bytes in hexadecimal.

    write HOST:PORT TOPIC CODEC idempotent|plain FILE       sends every record of FILE to its partition, with its timestamp; ends when all are acknowledged
    read HOST:PORT TOPIC PARTITIONS COUNT                   prints the first COUNT records of the partitions it is told, with their offsets
    times HOST:PORT TOPIC TIMESTAMP...                      prints the offset in partition 0 for each timestamp, -1 where there is none
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
"""

import json
import signal


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


def run(words, write, read, times, member, version):
    match words:
        case ["write", address, topic, codec, kind, path]:
            write(address, topic, codec, kind == "idempotent", load(path))
        case ["read", address, topic, partitions, count]:
            read(address, topic, int(partitions), int(count))
        case ["times", address, topic, *timestamps]:
            print(json.dumps(times(address, topic, [int(it) for it in timestamps])))
        case ["member", address, topic, group, how, session_ms, heartbeat_ms]:
            member(address, topic, group, how, int(session_ms), int(heartbeat_ms))
        case ["version"]:
            print(version)
        case _:
            raise SystemExit(__doc__)
