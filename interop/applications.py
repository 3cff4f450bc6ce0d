"""What bank.py and streams.py have in common: programs that are watched by what they say, and a reader of what is committed."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import with_broker
from checks import Different, expect
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "kafka", "tool.sh")
# Several virtual machines at once have to leave something for the broker.
LIGHT_JAVA = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
# Whoever reads says so itself when it ends early.
LIVE_THROUGH = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}


class Program:
    """`heed` is called with every line that it says, in another thread."""

    def __init__(self, name, words, heed=lambda line: None):
        self.name, self.said, self.heed = name, [], heed
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**os.environ, "JAVA_TOOL_OPTIONS": LIGHT_JAVA})
        self.thread = threading.Thread(target=self.hear, daemon=True)
        self.thread.start()

    def hear(self):
        for line in self.process.stdout:
            self.said.append(line.strip())
            self.heed(line.strip())

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, within_s):
        """The code it ended with."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise Different(f"{self} does not end within {within_s} s; {self.last_words()}") from None
        self.thread.join()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait(30)

    def end(self):
        """A Java machine that ends in good order still says by which signal."""
        self.signal(signal.SIGTERM)
        code = self.wait(60)
        expect(code in (0, 128 + signal.SIGTERM), f"{self} ended with {code}; {self.last_words()}")

    def expect_alive(self):
        expect(self.process.poll() is None, f"{self} ended by itself with {self.process.poll()}; {self.last_words()}")

    def last_words(self):
        self.errors.seek(0)
        return f"it said last: {self.said[-3:]} {self.errors.read()[-1000:].decode(errors='replace')}"

    def __str__(self):
        return f"{self.name} ({self.process.pid})"


class Reader:
    """Reads all partitions of a topic from their beginnings, and only what is committed, whatever becomes of the broker."""

    def __init__(self, address, topic, partitions):
        self.consumer = Consumer({
            "bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed", "log_level": 2,
            "reconnect.backoff.max.ms": 500, "enable.partition.eof": True,
        })
        self.consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
        self.partitions, self.ended = partitions, set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.consumer.close()

    def poll(self, within_s=0.2):
        """The messages that came."""
        came = []
        for message in self.consumer.consume(1000, within_s):
            error = message.error()
            if error is None:
                self.ended.discard(message.partition())
                came.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.ended.add(message.partition())
            elif error.code() not in LIVE_THROUGH:
                raise KafkaException(error)
        return came

    def rest(self, within_s=60):
        """All that there is, when nobody writes any more, and nothing was read before: librdkafka tells an end once."""
        deadline = time.monotonic() + within_s
        while len(self.ended) < self.partitions:
            expect(time.monotonic() < deadline, f"partitions {sorted(self.ended)} of {self.partitions} came to an end within {within_s} s")
            yield from self.poll()


def transactions(address, *words):
    """What kafka-transactions says: the table that it is, as a dictionary a row."""
    done = subprocess.run([TOOL, "TransactionsCommand", "--bootstrap-server", address, *map(str, words)], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, f"kafka-transactions {' '.join(map(str, words))} ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
    header, *rows = [line.split() for line in done.stdout.splitlines()] or [[]]
    return [dict(zip(header, row)) for row in rows]


def expect_no_transaction_open(address, within_s):
    """Whoever was killed left something that has to be ended by itself."""
    deadline = time.monotonic() + within_s
    while still := [it for it in transactions(address, "list") if it["TransactionState"] not in ("CompleteCommit", "CompleteAbort", "Empty")]:
        expect(time.monotonic() < deadline, f"transactions are open {within_s} s after everything ended: {still}")


def run(name, options, attempt):
    """Lets `attempt` go with a broker of its own, in a folder that is removed afterwards; says what came of it and ends the process."""
    with tempfile.TemporaryDirectory(prefix=f"klamm-{name}-") as folder:
        broker = with_broker.broker_for(options, os.path.join(folder, "data"))
        try:
            said, failure = attempt(broker, folder), None
        except Different as different:
            failure = different
            with_broker.show_log(broker)
        finally:
            broker.end()
    print("FAIL" if failure else "ok", name, failure or said)
    print("0 passed, 1 failed" if failure else "1 passed, 0 failed", flush=True)
    sys.exit(1 if failure else 0)
