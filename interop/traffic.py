"""Clients of a cluster that write down a history (history.py) and live through whatever becomes of the cluster: writers by librdkafka and by Klamm's own client, readers, a group that commits."""

import json
import random
import subprocess
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from history import Assigned, Begun, Committed, Told

# An outage that lasts longer than a client waits is no anomaly; no fault lasts nearly as long.
PATIENCE_MS = 120_000
SESSION_MS = 6_000
RECONNECT = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0}
LIVE_THROUGH = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}


def place(topic, partition):
    return f"{topic}-{partition}"


def value_of(text):
    """(writer, number) of "WRITER-NUMBER PADDING", or (writer, number, part) of a transfer, which is "RUN-NUMBER AMOUNT"."""
    name, _, rest = text.decode().partition(" ")
    writer, _, number = name.rpartition("-")
    return (writer, int(number), rest) if rest.lstrip("-").isdigit() else (writer, int(number))


class Writer(threading.Thread):
    """Numbered records to all partitions in turn."""

    def __init__(self, name, history, topic, partitions, records_per_s):
        super().__init__(daemon=True)
        self.name, self.history, self.topic, self.partitions, self.records_per_s = name, history, topic, partitions, records_per_s
        self.stopping, self.counts, self.failures = threading.Event(), [0] * partitions, []
        self.last_answer, self.silence_s = time.monotonic(), 0.0
        self.dice = random.Random(name)

    def run(self):
        begun, count = time.monotonic(), 0
        while not self.stopping.is_set() and not self.failures:
            partition = count % self.partitions
            number = self.history.sent[place(self.topic, partition)][self.name]
            if self.write(partition, b"%s-%d " % (self.name.encode(), number) + b"x" * self.dice.choice([0, 10, 200, 1000])):
                count += 1
            self.idle(max(0.0, count / self.records_per_s - (time.monotonic() - begun)))

    def acknowledged(self, partition, number, offset):
        now = time.monotonic()
        self.silence_s, self.last_answer = max(self.silence_s, now - self.last_answer), now
        self.history.acknowledge(place(self.topic, partition), (self.name, number), offset)
        self.counts[partition] += 1

    def take_silence(self):
        """The longest time without an acknowledgement since this was asked last."""
        longest = max(self.silence_s, time.monotonic() - self.last_answer)
        self.silence_s = 0.0
        return longest


class Librdkafka(Writer):
    def __init__(self, *about):
        super().__init__(*about)
        self.producer = None

    def to(self, address, acks):
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": acks == "all", "acks": acks, "linger.ms": 2, "compression.type": "lz4", "retry.backoff.ms": 50,
                                  "message.timeout.ms": PATIENCE_MS, "error_cb": self.on_error, **RECONNECT})
        return self

    def on_error(self, error):
        if error.fatal():
            self.failures.append(str(error))

    def write(self, partition, value):
        number = self.history.sent[place(self.topic, partition)][self.name]
        try:
            # Before it is on its way: a reader may be quicker than this thread.
            self.history.send(place(self.topic, partition), self.name)
            self.producer.produce(self.topic, value, partition=partition, on_delivery=lambda error, message: self.delivered(error, message, number))
            return True
        except BufferError:
            self.history.sent[place(self.topic, partition)][self.name] -= 1
            return False

    def idle(self, within_s):
        self.producer.poll(min(within_s, 0.05) if within_s > 0.005 else 0)

    def delivered(self, error, message, number):
        if error is not None:
            self.give_up(f"{number} to {message.partition()}: {error}")
        else:
            self.acknowledged(message.partition(), number, message.offset())

    def give_up(self, why):
        """Nothing more is sent: librdkafka goes on under another epoch, where what it sends again may be there already."""
        if not self.failures:
            self.failures.append(why)
            self.producer.purge()

    def finish(self):
        self.stopping.set()
        self.join()
        if left := self.producer.flush(60):
            self.failures.append(f"{left} records without an answer")


class Klamm(Writer):
    """`klamm produce`, which tells of each record where it is, in their order."""

    def to(self, address, binary, errors):
        self.process = subprocess.Popen(
            [binary, "produce", self.topic, "-v", "--format", "json", "-f", "%p %s\n", "-b", address, "-X", f"delivery.timeout.ms={PATIENCE_MS}", "--linger", "2"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(errors, "wb"))
        self.errors, self.answers = errors, [0] * self.partitions
        self.listener = threading.Thread(target=self.hear, daemon=True)
        self.listener.start()
        return self

    def write(self, partition, value):
        self.history.send(place(self.topic, partition), self.name)
        try:
            self.process.stdin.write(b"%d %s\n" % (partition, value))
            self.process.stdin.flush()
        except BrokenPipeError:
            self.failures.append(f"klamm produce ended: {self.last_words()}")
        return True

    def idle(self, within_s):
        time.sleep(within_s)

    def hear(self):
        for line in self.process.stdout:
            told = json.loads(line)
            partition = told["partition"]
            self.acknowledged(partition, self.answers[partition], told["offset"])
            self.answers[partition] += 1

    def last_words(self):
        with open(self.errors, errors="replace") as file:
            return file.read()[-500:]

    def finish(self):
        self.stopping.set()
        self.join()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "a kill after 60 s"
        self.listener.join()
        if code:
            # It tells where records are, and leaves out those that failed: which is which is not known.
            for it in range(self.partitions):
                acknowledged = self.history.acknowledged[place(self.topic, it)]
                for value in [value for value in acknowledged if value[0] == self.name]:
                    del acknowledged[value]
        if code or sum(self.answers) != sum(self.history.sent[place(self.topic, it)][self.name] for it in range(self.partitions)):
            self.failures.append(f"klamm produce ended with {code} and {sum(self.answers)} answers: {self.last_words()}")


class Reader(threading.Thread):
    """Reads all partitions from their beginnings, only what is committed, until it is told to stop or, `to_the_end`, has come to all ends."""

    def __init__(self, name, history, address, topic, partitions, to_the_end=False):
        super().__init__(daemon=True)
        self.name, self.history, self.topic, self.partitions, self.to_the_end = name, history, topic, partitions, to_the_end
        self.stopping, self.failures, self.ended, self.next = threading.Event(), [], set(), [0] * partitions
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed", "check.crcs": True,
                                  "auto.offset.reset": "error", "enable.partition.eof": True, "fetch.wait.max.ms": 100, **RECONNECT})
        self.consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])

    def run(self):
        while not self.stopping.is_set() and not self.failures and not (self.to_the_end and len(self.ended) == self.partitions):
            came = {}
            for message in self.consumer.consume(1000, 0.2):
                self.take(message, came)
            for partition, records in came.items():
                self.history.poll(self.name, 0, place(self.topic, partition), records)
        self.consumer.close()

    def take(self, message, came):
        error, partition = message.error(), message.partition()
        if error is None:
            self.ended.discard(partition)
            came.setdefault(partition, []).append((message.offset(), value_of(message.value())))
            self.next[partition] = message.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            self.ended.add(partition)
        elif error.code() not in LIVE_THROUGH and not error.retriable():
            self.failures.append(f"{self.topic}-{partition} behind {self.next[partition]}: {error}")

    def finish(self, within_s=60):
        if not self.to_the_end:
            self.stopping.set()
        self.join(within_s)
        if self.is_alive():
            self.failures.append(f"{self.topic}: came to the ends of {sorted(self.ended)} of {self.partitions} partitions within {within_s} s, and to {self.next}")
            self.stopping.set()
            self.join()


class Member(threading.Thread):
    """Of a group that reads the topic and commits what it read before it reads on."""

    def __init__(self, name, history, address, topic, group):
        super().__init__(daemon=True)
        self.name, self.history, self.topic = name, history, topic
        self.stopping, self.failures, self.assigned_at, self.session, self.read_up_to = threading.Event(), [], {}, 0, {}
        self.fresh, self.commits, self.refused, self.committing_since = set(), 0, 0, None
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest",
                                  "session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 500, "client.id": name, "fetch.wait.max.ms": 100, **RECONNECT})
        self.consumer.subscribe([topic], on_assign=self.assign, on_revoke=self.revoke, on_lost=self.revoke)

    def assign(self, _, partitions):
        self.session += 1
        for it in partitions:
            self.assigned_at[it.partition] = time.monotonic()
            self.history.group.append(Assigned(self.assigned_at[it.partition], self.name, place(self.topic, it.partition)))
            self.fresh.add(it.partition)

    def revoke(self, _, partitions):
        for it in partitions:
            self.assigned_at.pop(it.partition, None)
            self.read_up_to.pop(it.partition, None)

    def run(self):
        while not self.stopping.is_set() and not self.failures:
            came, message, count = {}, self.consumer.poll(0.2), 0
            # One by one: partitions are given and taken within a poll, before its record.
            while message is not None:
                self.take(message, came)
                count += 1
                message = self.consumer.poll(0) if count < 500 else None
            for (session, partition), records in came.items():
                self.history.poll(self.name, session, place(self.topic, partition), records)
            if self.read_up_to:
                self.commit()
        self.consumer.close()

    def take(self, message, came):
        error, partition = message.error(), message.partition()
        if error is not None:
            if error.code() not in LIVE_THROUGH and not error.retriable():
                self.failures.append(f"{self.topic}-{partition}: {error}")
        elif partition in self.assigned_at:
            if partition in self.fresh:
                self.fresh.discard(partition)
                self.history.group.append(Begun(self.assigned_at[partition], self.name, place(self.topic, partition), message.offset()))
            came.setdefault((self.session, partition), []).append((message.offset(), value_of(message.value())))
            self.read_up_to[partition] = message.offset() + 1

    def commit(self):
        asked, asked_at = dict(self.read_up_to), time.monotonic()
        self.committing_since = asked_at
        try:
            answer = self.consumer.commit(offsets=[TopicPartition(self.topic, *it) for it in asked.items()], asynchronous=False)
        except KafkaException:
            # What was read is committed with what is read next, or read again.
            self.refused += 1
            return
        finally:
            self.committing_since = None
        answered_at = time.monotonic()
        for it in answer:
            if it.error is None:
                self.history.group.append(Committed(asked_at, answered_at, self.name, place(self.topic, it.partition), it.offset))
                self.commits += 1
                if self.read_up_to.get(it.partition) == it.offset:
                    self.read_up_to.pop(it.partition)

    def finish(self):
        self.stopping.set()
        self.join(60)
        if self.is_alive():
            self.failures.append(f"does not end within 60 s; {self.what_it_does()}")

    def what_it_does(self):
        since = self.committing_since
        return f"waits for the answer to a commit since {time.monotonic() - since:.0f} s" if since else "waits for no commit"


class Inquirer(threading.Thread):
    """Asks again and again what a group has committed."""

    def __init__(self, history, address, topic, partitions, group):
        super().__init__(daemon=True)
        self.name = "who asks"
        self.history, self.topic, self.partitions, self.stopping, self.failures = history, topic, partitions, threading.Event(), []
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False, **RECONNECT})

    def run(self):
        while not self.stopping.wait(0.3):
            self.ask()
        self.consumer.close()

    def ask(self):
        asked_at, asked = time.monotonic(), [TopicPartition(self.topic, it) for it in range(self.partitions)]
        try:
            answer = self.consumer.committed(asked, timeout=5)
        except KafkaException:
            return None
        told = {it.partition: max(it.offset, 0) for it in answer if it.error is None}
        self.history.group += [Told(asked_at, place(self.topic, partition), offset) for partition, offset in told.items()]
        return told

    def finish(self):
        self.stopping.set()
        self.join()
