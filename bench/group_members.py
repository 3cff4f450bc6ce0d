"""Members of groups that speak the protocol and nothing else, many in one process (groups.py)."""

import asyncio
import struct
import time

from harness import Fields, Wire, WireError, text

SESSION_MS, BEAT_MS, REBALANCE_MS = 6_000, 100, 60_000
JOIN, SYNC, BEAT, LEAVE, CONSUMER_BEAT, FETCH, COMMIT, FETCH_OFFSETS, FIND = 11, 14, 12, 13, 68, 1, 8, 9, 10
COORDINATOR_LOADING, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR = 14, 15, 16
UNKNOWN_MEMBER, ILLEGAL_GENERATION, REBALANCING, ID_REQUIRED = 25, 22, 27, 79
FENCED_EPOCH = 110


def data(value):
    return struct.pack(">i", len(value)) + value


def join_body(group, member):
    subscription = struct.pack(">hi", 0, 0) + struct.pack(">i", -1)
    return text(group) + struct.pack(">ii", SESSION_MS, REBALANCE_MS) + text(member) + b"\xff\xff" + text("bench") \
        + struct.pack(">i", 1) + text("range") + data(subscription)


def sync_body(group, generation, member, work):
    each = b"".join(text(id) + data(it) for id, it in work)
    return text(group) + struct.pack(">i", generation) + text(member) + b"\xff\xff" + struct.pack(">i", len(work)) + each


def joined(answer):
    """(error, generation, leader, id, ids of all)"""
    answer.i32()
    error, generation = answer.unpack(">hi")
    answer.text()
    leader, member, ids = answer.text(), answer.text(), []
    for _ in range(answer.i32()):
        ids.append(answer.text())
        answer.text()
        answer.take(answer.i32())
    return error, generation, leader, member, ids


def synced(answer):
    answer.i32()
    return answer.i16(), answer.take(answer.i32())


# --- one request after the other


def await_coordinator(wire):
    """Until groups are served: their topic is made with the first request."""
    while True:
        answer = wire.call(FIND, 0, text("g"))
        if answer.i16() == 0 and committed(wire, "g", "t", 0) is not None:
            return
        time.sleep(0.01)


def committed(wire, group, topic, partition):
    """The offset, -1 if there is none; `None` while the coordinator does not answer for the group."""
    answer = wire.call(FETCH_OFFSETS, 1, text(group) + struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, partition))
    answer.take(4)
    answer.text()
    answer.take(8)
    offset = answer.unpack(">q")[0]
    answer.text()
    error = answer.i16()
    return None if error in (COORDINATOR_LOADING, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR) else offset


def commit_frame(group, topic, partition, offset):
    """OffsetCommit version 2, by somebody who is no member."""
    body = text(group) + struct.pack(">i", -1) + text("") + struct.pack(">qi", -1, 1) + text(topic) \
        + struct.pack(">iiq", 1, partition, offset) + text("")
    frame = struct.pack(">hhih", COMMIT, 2, 1, 5) + b"bench" + body
    return struct.pack(">i", len(frame)) + frame


def first_record(address, group):
    """The seconds from connecting to a record of `t`, for the first member of a new group."""
    began = time.monotonic()
    with Wire(address) as wire:
        wire.call(FIND, 0, text(group)).error("FindCoordinator")
        member = joined(wire.call(JOIN, 5, join_body(group, "")))[3]
        error, generation, _, member, _ = joined(wire.call(JOIN, 5, join_body(group, member)))
        if error:
            raise WireError(f"JoinGroup: error {error}")
        synced(wire.call(SYNC, 3, sync_body(group, generation, member, [(member, b"work")])))
        committed(wire, group, "t", 0)
        body = struct.pack(">iiiibi", -1, 500, 1, 1 << 20, 0, 1) + text("t") + struct.pack(">iiqi", 1, 0, 0, 1 << 20)
        if b"x" not in wire.call(FETCH, 4, body).data:
            raise WireError("no record")
    return time.monotonic() - began


# --- many at once


class Hub:
    """Knows when all members have their work: all of it, by the same distribution."""

    def __init__(self, work):
        self.work, self.changed = work, asyncio.Event()

    async def settled(self, members):
        while True:
            self.changed.clear()
            if len({it.epoch for it in members}) == 1 and members[0].epoch > 0 and sum(it.share for it in members) == self.work:
                return
            await self.changed.wait()


class Member:
    """`epoch`: by which distribution it has its work; 0 while it has none. `share`: how much that is."""

    def __init__(self, address, group, topic, topic_id, hub):
        self.host, self.port = address.rsplit(":", 1)
        self.group, self.topic, self.topic_id, self.hub = group, topic, topic_id, hub
        self.start()

    def start(self):
        self.id, self.epoch, self.share, self.last_beat = "", 0, 0, 0
        self.task = asyncio.create_task(self.run())
        self.task.add_done_callback(lambda task: task.cancelled() or task.result())

    def has(self, epoch, share):
        if (self.epoch, self.share) != (epoch, share):
            self.epoch, self.share = epoch, share
            self.hub.changed.set()

    async def run(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 24)
        while True:
            await self.live()

    async def call(self, key, version, body, header=b""):
        frame = struct.pack(">hhih", key, version, 1, 5) + b"bench" + header + body
        self.writer.write(struct.pack(">i", len(frame)) + frame)
        size = struct.unpack(">i", await self.reader.readexactly(4))[0]
        answer = Fields(await self.reader.readexactly(size))
        answer.take(4 + len(header))
        return answer

    async def die(self):
        """When it showed itself last."""
        self.task.cancel()
        await asyncio.wait([self.task])
        self.writer.close()
        return self.last_beat

    async def leave(self):
        """When it began to. What is on its way is answered first."""
        self.task.cancel()
        await asyncio.wait([self.task])
        began = time.monotonic()
        self.writer.close()
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        await self.say_goodbye()
        self.writer.close()
        return began


class Classic(Member):
    async def live(self):
        error, generation, leader, self.id, ids = joined(await self.call(JOIN, 5, join_body(self.group, self.id)))
        if error in (UNKNOWN_MEMBER, ILLEGAL_GENERATION):
            self.id = ""
        if error:
            return
        work = self.distributed(ids) if leader == self.id else []
        error, share = synced(await self.call(SYNC, 3, sync_body(self.group, generation, self.id, work)))
        if error:
            return
        self.last_beat = time.monotonic()
        self.has(generation, len(share))
        beat = text(self.group) + struct.pack(">i", generation) + text(self.id) + b"\xff\xff"
        while not error:
            await asyncio.sleep(BEAT_MS / 1000)
            answer = await self.call(BEAT, 3, beat)
            self.last_beat = time.monotonic()
            answer.i32()
            error = answer.i16()
        self.has(0, 0)
        if error == UNKNOWN_MEMBER:
            self.id = ""

    def distributed(self, ids):
        """A byte is a partition."""
        return [(id, b"x" * (self.hub.work // len(ids) + (at < self.hub.work % len(ids)))) for at, id in enumerate(ids)]

    async def say_goodbye(self):
        await self.call(LEAVE, 1, text(self.group) + text(self.id))


class Consumer(Member):
    ids = 0

    async def live(self):
        Consumer.ids += 1
        self.id, epoch, owned, is_new = f"member-{Consumer.ids}", 0, [], True
        while True:
            answer = await self.beat(epoch, owned, is_new)
            self.last_beat = time.monotonic()
            is_new = False
            answer.i32()
            error = answer.i16()
            compact(answer)
            if error:
                self.has(0, 0)
                return
            compact(answer)
            epoch, interval_ms, is_told = answer.unpack(">iib")
            told = partitions(answer) if is_told == 1 else owned
            self.has(epoch, len(told))
            if told == owned:
                await asyncio.sleep(interval_ms / 1000)
            # Whoever was told something says at once that it is so.
            owned = told

    def beat(self, epoch, owned, is_full):
        body = packed(self.group) + packed(self.id) + struct.pack(">i", epoch) + b"\0\0" + struct.pack(">i", REBALANCE_MS if is_full else -1)
        body += (b"\x02" + packed(self.topic) if is_full else b"\0") + b"\0"
        listed = b"".join(struct.pack(">i", it) for it in owned)
        body += b"\x02" + self.topic_id + count(len(owned)) + listed + b"\0" if owned else b"\x01"
        return self.call(CONSUMER_BEAT, 0, body + b"\0", header=b"\0")

    async def say_goodbye(self):
        await self.beat(-1, [], False)


def packed(value):
    return bytes([len(value) + 1]) + value.encode()


def count(number):
    number, out = number + 1, bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def varint(answer):
    number = shift = 0
    while True:
        byte = answer.take(1)[0]
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number


def compact(answer):
    answer.take(max(varint(answer) - 1, 0))


def partitions(answer):
    """Of the one topic that there is."""
    found = []
    for _ in range(varint(answer) - 1):
        answer.take(16)
        found += [answer.i32() for _ in range(varint(answer) - 1)]
        varint(answer)
    return sorted(found)


def members_of(how, address, group, topic, hub, number):
    with Wire(address) as wire:
        topic_id = topic_id_of(wire, topic)
    return [{"classic": Classic, "consumer": Consumer}[how](address, group, topic, topic_id, hub) for _ in range(number)]


def topic_id_of(wire, topic):
    """From Metadata version 10."""
    frame = struct.pack(">hhih", 3, 10, 1, 5) + b"bench" + b"\0" + b"\x02" + bytes(16) + packed(topic) + b"\0" + b"\0\0\0" + b"\0"
    wire.correlation = 1
    wire.socket.sendall(struct.pack(">i", len(frame)) + frame)
    answer = wire.receive()
    answer.take(1 + 4)
    for _ in range(varint(answer) - 1):
        answer.i32()
        compact(answer)
        answer.i32()
        compact(answer)
        varint(answer)
    compact(answer)
    answer.i32()
    varint(answer)
    answer.error("Metadata")
    compact(answer)
    return answer.take(16)
