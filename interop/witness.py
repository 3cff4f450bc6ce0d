"""One client that writes and reads all the while, whatever becomes of the brokers: an idempotent load (`load` of matrix/python/records.py) and two members of a group.

Record N of partition P has the value P-N. As the members see every record at the offset that its value names (members.py), in order and without a gap, nothing is lost,
doubled or out of order.
"""

import os
import signal
import time

from applications import Program
from checks import expect
from members import LIGHT_JAVA, Group

PARTITIONS, RECORDS_PER_S = 6, 60
# Longer than anything that is lost is away, on a machine that does much else.
PROGRESS_S_MAX = 60


class Witness:
    def __init__(self, cluster, client, how, members=2):
        self.client, self.topic = client, f"witness-{client.name}".replace("_", "-")
        cluster.create_topic(self.topic, PARTITIONS)
        self.acknowledged, self.sent, self.wrong = [0] * PARTITIONS, None, None
        self.begin()
        self.load = Program(f"{client.name}'s load", [*client.words, "load", cluster.address, self.topic, str(PARTITIONS), str(RECORDS_PER_S)], self.heed)
        self.group = Group(cluster.address, self.topic, PARTITIONS, self.topic)
        for _ in range(members):
            self.group.join(client, how)

    def heed(self, line):
        match line.split():
            case ["acknowledged", partition, offset]:
                partition, offset = int(partition), int(offset)
                if offset >= 0 and offset != self.acknowledged[partition]:
                    self.wrong = self.wrong or f"record {self.acknowledged[partition]} of partition {partition} was acknowledged at offset {offset}"
                self.acknowledged[partition] += 1
                now = time.monotonic()
                self.silence_s, self.last_at[partition] = max(self.silence_s, now - self.last_at[partition]), now
            case ["sent", counts]:
                self.sent = [int(it) for it in counts.split(",")]

    def hear(self, timeout_s=0.0):
        """What the members say; raises what is wrong by now."""
        self.group.hear(timeout_s)
        expect(self.wrong is None, self.wrong)
        if self.sent is None:
            self.load.expect_alive()

    def begin(self):
        """Nothing that the start of its programs takes counts as silence: of any one partition, between two acknowledgements."""
        self.silence_s, self.last_at = 0.0, [time.monotonic()] * PARTITIONS

    def stop(self):
        """No record is refused; returns how many there are by partition."""
        self.load.signal(signal.SIGTERM)
        code = self.load.wait(150)
        expect(self.sent is not None and code in (0, 128 + signal.SIGTERM), f"{self.load} ended with {code}; {self.load.last_words()}")
        expect(self.acknowledged == self.sent, f"{self.sent} records were sent and {self.acknowledged} acknowledged")
        return self.sent

    def close(self):
        self.load.kill()
        self.group.__exit__()


class Progress:
    """That every one of them writes to, and reads from, all partitions again. One that fails is left out of what follows, and its failure kept."""

    def __init__(self, witnesses):
        self.witnesses, self.failures = list(witnesses), {}

    def each(self, call):
        for it in list(self.witnesses):
            try:
                call(it)
            except Exception as failure:  # whatever a client does is its own row's failure; the others go on
                self.fail(it, failure)

    def fail(self, witness, failure):
        self.failures[witness.client.name] = failure
        self.witnesses.remove(witness)
        print(f"{witness.client.name} fails: {failure}", flush=True)
        witness.close()

    def wait(self, what, within_s=PROGRESS_S_MAX):
        wanted = {it: [end + 2 for end in it.acknowledged] for it in self.witnesses}
        self.until(lambda it: all(end >= least for end, least in zip(it.acknowledged, wanted[it])), f"{what}: all partitions are written to", within_s)
        wanted = {it: list(it.acknowledged) for it in self.witnesses}
        self.until(lambda it: all(end >= least for end, least in zip(it.group.read, wanted[it])), f"{what}: what was acknowledged is read", within_s)

    def until(self, holds, what, within_s):
        deadline, left = time.monotonic() + within_s, set(self.witnesses)
        while left:
            for it in list(self.witnesses):
                try:
                    it.hear(0.02)
                    if holds(it):
                        left.discard(it)
                    expect(it not in left or time.monotonic() < deadline, f"{what}: not within {within_s} s; acknowledged {it.acknowledged}, {it.group.state()}")
                except Exception as failure:  # as above
                    left.discard(it)
                    self.fail(it, failure)


# Several virtual machines at once have to leave something for the brokers: loads are programs too.
os.environ.setdefault("JAVA_TOOL_OPTIONS", LIGHT_JAVA)
