"""How the programs of the matrix are told what to write and tell what they read: one JSON object a record, bytes in hexadecimal.

    write HOST:PORT TOPIC CODEC idempotent|plain FILE       sends every record of FILE to its partition, with its timestamp; ends when all are acknowledged
    read HOST:PORT TOPIC PARTITIONS COUNT                   prints the first COUNT records of the partitions it is told, with their offsets
    times HOST:PORT TOPIC TIMESTAMP...                      prints the offset in partition 0 for each timestamp, -1 where there is none
    version                                                 prints the version of the client library
"""

import json


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


def run(words, write, read, times, version):
    match words:
        case ["write", address, topic, codec, kind, path]:
            write(address, topic, codec, kind == "idempotent", load(path))
        case ["read", address, topic, partitions, count]:
            read(address, topic, int(partitions), int(count))
        case ["times", address, topic, *timestamps]:
            print(json.dumps(times(address, topic, [int(it) for it in timestamps])))
        case ["version"]:
            print(version)
        case _:
            raise SystemExit(__doc__)
