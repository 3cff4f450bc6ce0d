"""Kafka Streams counts words exactly once, whatever is killed: the last count of every word is how often it was written.

    interop/streams.sh [--kills 20] [--broker-kills 5] [--pauses 2] [--instances 2] [--seed N] [--binary KLAMM | --kafka] [--cluster]

The application (java/WordCount.java) has a store with a changelog and a topic of its own in the middle. Words are written all the while; an instance is
killed with -9 and started again, the broker (with --cluster one of three: the coordinator of the group, the controller, any) is killed with -9 and started again, or an instance stands still until the others have its work and then goes on
as if nothing had happened. Of what is committed, the counts of a word grow with every record: nothing aborted is read, nothing is counted twice.
"""

import argparse
import collections
import os
import random
import signal
import threading
import time

import with_broker
from applications import Program, Reader, expect_no_transaction_open, run
from checks import expect
from confluent_kafka import Consumer, Producer, TopicPartition

FROM, TO, APPLICATION, PARTITIONS = "words", "counts", "word-count", 3
VOCABULARY, WORDS_A_LINE, LINES_PER_S = 100, 5, 300
# The least that Kafka's default of group.min.session.timeout.ms allows.
SESSION_MS = 6_000
# Killed, it is missed after its session's time-out; then its work is begun from its changelog, on a machine that does much else.
PROGRESS_S_MAX = 90


class Words(threading.Thread):
    """Writes lines of words and keeps the true count."""

    def __init__(self, address, seed):
        super().__init__(daemon=True)
        self.dice, self.stopping, self.true, self.refused = random.Random(seed), threading.Event(), collections.Counter(), []
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "acks": "all", "linger.ms": 5, "log_level": 2,
                                  "reconnect.backoff.max.ms": 500, "message.timeout.ms": 120_000})

    def delivered(self, error, _message):
        if error is not None:
            self.refused.append(error)

    def run(self):
        number = 0
        while not self.stopping.is_set():
            # A few words are in most lines, most in a few.
            line = [f"word{int(self.dice.expovariate(0.05)) % VOCABULARY}" for _ in range(WORDS_A_LINE)]
            self.producer.produce(FROM, " ".join(line), partition=number % PARTITIONS, on_delivery=self.delivered)
            self.true.update(line)
            number += 1
            self.producer.poll(1 / LINES_PER_S)

    def finish(self):
        self.stopping.set()
        self.join()
        left = self.producer.flush(120)
        expect(not left and not self.refused, f"{left} lines without an answer, {len(self.refused)} refused: {self.refused[:1]}")


class Counts:
    """What the application says that the counts are."""

    def __init__(self, reader):
        self.reader, self.last = reader, {}

    def take(self, messages):
        for message in messages:
            word, count = message.key().decode(), int(message.value())
            where = f"{message.partition()}-{message.offset()}"
            expect(count > self.last.get(word, 0), f"at {where} {word} is counted {count} times, after {self.last.get(word)}")
            self.last[word] = count

    def total(self):
        return sum(self.last.values())

    def wait(self, holds, what, alive):
        """No progress for long is the failure, not slowness."""
        moved, total = time.monotonic(), self.total()
        while not holds():
            self.take(self.reader.poll())
            alive()
            if self.total() != total:
                moved, total = time.monotonic(), self.total()
            expect(time.monotonic() - moved < PROGRESS_S_MAX, f"{what}: nothing is counted for {PROGRESS_S_MAX} s, {total} words are")


class Application:
    """Instances by number; the even ones are static members of the group, which take up their work at once when they are back."""

    def __init__(self, address, folder, kafka_home, tools, count):
        self.address, self.folder = address, folder
        self.java = ["java", os.environ["KAFKA_JAVA_LOGGING"], "-Dklamm.log.level=ERROR", "-cp", f"{kafka_home}/streams/*:{tools}/applications-java", "WordCount"]
        self.running, self.replaced = {}, collections.Counter()
        for number in range(count):
            self.start(number)

    def start(self, number):
        settings = ["num.stream.threads=1", f"consumer.session.timeout.ms={SESSION_MS}", "consumer.heartbeat.interval.ms=500"]
        if number % 2 == 0:
            settings.append(f"main.consumer.group.instance.id=instance-{number}")
        words = [*self.java, self.address, APPLICATION, FROM, TO, os.path.join(self.folder, str(number)), *settings]
        self.running[number] = Program(f"instance {number}", words, self.heed)

    def heed(self, line):
        if line.startswith("replaced "):
            self.replaced[line.split()[1].rsplit(".", 1)[-1].rstrip(":")] += 1

    def expect_alive(self):
        for it in self.running.values():
            it.expect_alive()

    def end(self):
        for it in self.running.values():
            it.end()

    def kill(self):
        for it in self.running.values():
            it.kill()


def attempt(options, broker, folder):
    dice = random.Random(options.seed)
    broker.start()
    broker.create_topic(FROM, PARTITIONS)
    broker.create_topic(TO, PARTITIONS)
    words = Words(broker.address, options.seed)
    application = Application(broker.address, folder, os.environ["KAFKA_HOME"], os.environ["INTEROP_TOOLS"], options.instances)
    try:
        words.start()
        with Reader(broker.address, TO, PARTITIONS) as reader:
            disturbed(options, dice, broker, words, application, Counts(reader))
        application.end()
    finally:
        words.stopping.set()
        application.kill()
    expect_no_transaction_open(broker.address, 60)
    # Once more, so that what is read comes from the disk's account of it.
    with_broker.restart(broker)
    with Reader(broker.address, TO, PARTITIONS) as reader:
        counts = Counts(reader)
        counts.take(reader.rest())
    expect(counts.last == words.true, f"after a restart: {difference(counts.last, words.true)}")
    expect_all_committed(broker)
    return f"{words.true.total()} words; threads replaced: {dict(application.replaced)}"


def disturbed(options, dice, broker, words, application, counts):
    def progress(by, what):
        wanted = counts.total() + by
        counts.wait(lambda: counts.total() >= wanted, what, application.expect_alive)

    progress(1, "the first words")
    events = ["instance"] * options.kills + ["broker"] * options.broker_kills + ["pause"] * options.pauses
    dice.shuffle(events)
    for at, event in enumerate(events, 1):
        number = dice.randrange(options.instances)
        it = application.running[number]
        begun = time.monotonic()
        if event == "instance":
            it.kill()
            application.start(number)
        elif event == "broker":
            number = with_broker.crash(broker, dice, lambda: progress(50, f"while broker event {at} lasts"), (APPLICATION, 0))
        else:
            it.signal(signal.SIGSTOP)
            end = time.monotonic() + 1.5 * SESSION_MS / 1000
            counts.wait(lambda: time.monotonic() > end, "while an instance stands still", lambda: None)
            it.signal(signal.SIGCONT)
        # Sometimes the next comes before this one is got over.
        if dice.random() < 0.7:
            progress(500, f"after event {at}, {event} {number}")
        print(f"event {at}: {event} {number}, {counts.total()} words counted, {time.monotonic() - begun:.1f} s", flush=True)
        end = time.monotonic() + dice.uniform(0, 3)
        counts.wait(lambda: time.monotonic() > end, f"after event {at}, {event} {number}", application.expect_alive)
    words.finish()
    counts.wait(lambda: counts.last == words.true or counts.total() >= words.true.total(), "the rest", application.expect_alive)
    expect(counts.last == words.true, difference(counts.last, words.true))


def difference(found, true):
    wrong = [word for word in true.keys() | found.keys() if true[word] != found.get(word, 0)]
    some = ", ".join(f"{word} {found.get(word, 0)} and not {true[word]}" for word in wrong[:5])
    return f"{len(wrong)} words are counted wrongly: {some}"


def expect_all_committed(broker):
    """The offsets of its group are where the words end."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": APPLICATION})
    committed = {it.partition: it.offset for it in consumer.committed([TopicPartition(FROM, partition) for partition in range(PARTITIONS)], 30)}
    consumer.close()
    ends = dict(enumerate(broker.ends(FROM)))
    expect(committed == ends, f"the group's offsets are {committed}, and the words end at {ends}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_broker.add_options(parser)
    parser.add_argument("--kills", type=int, default=20, help="of instances")
    parser.add_argument("--broker-kills", type=int, default=5)
    parser.add_argument("--pauses", type=int, default=2, help="instances that stand still for longer than their session lasts")
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    run("streams", options, lambda broker, folder: attempt(options, broker, folder))


if __name__ == "__main__":
    main()
