"""Groups of real clients, each member a process of its own that speaks as matrix/python/records.py says, and what has to hold of them at any time."""

import os
import selectors
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections import deque

from checks import Different, expect
import harness

# The least that Kafka's default of group.min.session.timeout.ms allows.
SESSION_MS = 6_000
# How soon a member hears of a rebalance is up to the member.
HEARTBEAT_MS = 100
# Three virtual machines at once have to leave something for the broker.
LIGHT_JAVA = "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
PIPE_BYTES = 1 << 16


class Writer:
    """Writes to all partitions of a new topic until it is stopped. Every value names its partition and its offset."""

    PACE_S, RECORDS = 0.1, 5

    def __init__(self, address, topic, partitions):
        self.address, self.topic, self.ends = address, topic, [0] * partitions
        self.stopping, self.wrote, self.failure = threading.Event(), threading.Condition(), None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def run(self):
        try:
            with harness.Wire(self.address) as wire:
                while not self.stopping.wait(self.PACE_S):
                    for partition in range(len(self.ends)):
                        self.write(wire, partition)
        except Exception as failure:  # told to whoever waits for this writer
            with self.wrote:
                self.failure = failure
                self.wrote.notify_all()

    def write(self, wire, partition):
        begin = self.ends[partition]
        values = [b"%d-%d" % (partition, begin + at) for at in range(self.RECORDS)]
        answer = wire.call(0, 7, harness.produce_body(self.topic, partition, harness.record_batch(values)))
        answer.take(struct.calcsize(">ih") + len(self.topic) + struct.calcsize(">ii"))
        answer.error(f"Produce {self.topic}-{partition}")
        offset = answer.unpack(">q")[0]
        expect(offset == begin, f"{self.topic}-{partition} took records at {offset}, not at {begin}")
        with self.wrote:
            self.ends[partition] += self.RECORDS
            self.wrote.notify_all()

    def write_more(self, count):
        """Returns when every partition has as many records more."""
        wanted = [end + count for end in self.ends]
        there = lambda: self.failure or all(end >= it for end, it in zip(self.ends, wanted))
        with self.wrote:
            expect(self.wrote.wait_for(there, 30), f"no {count} records were written within 30 s")
        self.rest()

    def stop(self):
        """Where the partitions end."""
        self.stopping.set()
        self.thread.join()
        self.rest()
        return self.ends

    def rest(self):
        if self.failure:
            raise self.failure


class Member:
    def __init__(self, client, process, errors):
        self.client, self.process, self.errors = client, process, errors
        # What it said and nobody has looked at: whole lines, and the begin of one.
        self.said, self.begun = deque(), b""
        self.leaving = self.ended = False
        self.owned = set()
        # One past the last record it told of each partition, since it owns it.
        self.next = {}

    def __str__(self):
        return f"{self.client.name} {self.process.pid}"

    def hear(self):
        """A pipe holds no more than is read here at once."""
        data = os.read(self.process.stdout.fileno(), PIPE_BYTES)
        *lines, self.begun = (self.begun + data).split(b"\n")
        self.said.extend(line.decode() for line in lines)
        self.ended = not data

    def last_words(self):
        self.errors.seek(0)
        return self.errors.read()[-300:].decode(errors="replace")


class Group:
    """With every line that a member says it holds that a partition has one owner at most, that its owner alone reads it, in order and without a gap, and
    that a new owner begins at what was committed: not before, and not behind what was told."""

    def __init__(self, address, topic, partitions, name):
        self.address, self.topic, self.name = address, topic, name
        self.members, self.selector = [], selectors.DefaultSelector()
        self.read, self.committed, self.twice = [0] * partitions, [0] * partitions, 0
        self.started_at = self.first_record_s = None
        # Since when a partition that was somebody's is nobody's, and the longest time of that.
        self.lost_at, self.unowned_s = {}, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.process.kill()
            self.forget(member)

    def join(self, client, how):
        words = client.member(self.address, self.topic, self.name, how, SESSION_MS, HEARTBEAT_MS)
        errors = tempfile.TemporaryFile()
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT if client.tells_by_stderr else errors,
            env={**os.environ, "JAVA_TOOL_OPTIONS": LIGHT_JAVA}, bufsize=0,
        )
        member = Member(client, process, errors)
        self.members.append(member)
        self.selector.register(process.stdout, selectors.EVENT_READ, member)
        return member

    def kill(self, member):
        """Without a goodbye; what it said before is heard."""
        member.process.kill()
        while not member.ended:
            member.hear()
        self.heed(member)
        self.forget(member)

    def leave(self, member):
        if not member.leaving:
            member.leaving = True
            member.process.send_signal(signal.SIGTERM)

    def end(self):
        """All leave, and are gone."""
        for member in self.members:
            self.leave(member)
        self.wait(lambda: not self.members, 30, "all end")

    def forget(self, member):
        self.members.remove(member)
        for partition in list(member.owned):
            self.revoked(member, partition)
        self.selector.unregister(member.process.stdout)
        member.process.wait()
        member.process.stdout.close()
        member.errors.close()

    # --- what is waited for

    def wait(self, holds, within_s, what):
        """The seconds it took."""
        begun = time.monotonic()
        while not holds():
            left_s = begun + within_s - time.monotonic()
            expect(left_s > 0, f"{what}: not within {within_s} s; {self.state()}")
            self.hear(left_s)
        return time.monotonic() - begun

    def shared_by(self, members):
        return sum(len(it.owned) for it in members) == len(self.read) and all(it.owned for it in members)

    def wait_shared(self, members, within_s, what):
        self.wait(lambda: self.shared_by(members), within_s, what)
        return self.wait_read(range(len(self.read)), 30, f"{what}, and all partitions are read")

    def wait_read(self, partitions, within_s, what):
        """Until a record more of each was told."""
        before = list(self.read)
        return self.wait(lambda: all(self.read[it] > before[it] for it in partitions), within_s, what)

    def state(self):
        owned = ", ".join(f"{it} has {sorted(it.owned)}" for it in self.members)
        return f"{owned or 'no members'}; read up to {self.read}, committed up to {self.committed}"

    # --- what is heard

    def hear(self, timeout_s):
        for key, _ in self.selector.select(timeout_s):
            key.data.hear()
        # Who gave up a partition said so before its next owner spoke: now it is in its pipe.
        for key, _ in self.selector.select(0):
            key.data.hear()
        for member in list(self.members):
            self.heed(member)
            if member.ended:
                code = member.process.wait()
                # A Java machine that ends in good order still says by which signal.
                expect(member.leaving and code in (0, 128 + signal.SIGTERM), f"{member} ended with {code}: {member.last_words()}")
                self.forget(member)

    def heed(self, member, until_without=None):
        """All that it said, or until it does not own that partition any more."""
        while member.said and (until_without is None or until_without in member.owned):
            match member.client.heard(member.said.popleft()).split():
                case ["started"]:
                    self.started_at = self.started_at or time.monotonic()
                case ["assigned", partitions]:
                    for partition in map(int, partitions.split(",")):
                        self.assigned(member, partition)
                case ["revoked", partitions]:
                    for partition in map(int, partitions.split(",")):
                        # kafka-python gives up twice what it had when it leaves while it joins again.
                        expect(partition in member.owned or member.leaving, f"{member} gives up partition {partition}, which it does not own")
                        if partition in member.owned:
                            self.revoked(member, partition)
                case ["record", partition, offset, value]:
                    self.record(member, int(partition), int(offset), value)
                case ["committed"]:
                    for partition, offset in member.next.items():
                        self.committed[partition] = max(self.committed[partition], offset)
                case []:
                    pass
                case words:
                    raise Different(f"{member} says {' '.join(words)[:200]}")

    def assigned(self, member, partition):
        for other in self.members:
            if partition in other.owned:
                self.heed(other, partition)
                # A client that leaves does not always say what it gives up, but it must not read it any more.
                expect(partition not in other.owned or other.leaving, f"partition {partition} goes to {member} while {other} owns it")
                self.revoked(other, partition)
        member.owned.add(partition)
        if lost_at := self.lost_at.pop(partition, None):
            self.unowned_s = max(self.unowned_s, time.monotonic() - lost_at)

    def revoked(self, member, partition):
        member.owned.discard(partition)
        member.next.pop(partition, None)
        self.lost_at[partition] = time.monotonic()

    def record(self, member, partition, offset, value):
        if self.first_record_s is None and self.started_at:
            self.first_record_s = time.monotonic() - self.started_at
        expect(partition in member.owned, f"{member} reads partition {partition}, which it does not own")
        expect(value == f"{partition}-{offset}", f"{member} read {value} at offset {offset} of partition {partition}")
        if partition in member.next:
            expect(offset == member.next[partition], f"{member} read offset {offset} of partition {partition} after {member.next[partition] - 1}")
        else:
            least, most = self.committed[partition] if member.client.tells_commits else 0, self.read[partition]
            expect(least <= offset <= most + member.client.untold_max, f"{member} begins partition {partition} at {offset}: {least} are committed, {most} were read")
            self.twice += max(0, most - offset)
        member.next[partition] = offset + 1
        self.read[partition] = max(self.read[partition], offset + 1)
