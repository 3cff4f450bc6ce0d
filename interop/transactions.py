"""Transactions by librdkafka (confluent-kafka): what is committed is read, what is aborted is not, offsets count with their transaction, a newer producer fences
the older one, and what nobody ends is aborted in time. Then Kafka's own tool, kafka-transactions, tells of one that is open, and aborts it. One line a check;
with_broker.py starts a broker for it.

    python3 interop/with_broker.py [--kafka] python3 interop/transactions.py HOST:PORT
"""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "bench"))
from applications import transactions  # noqa: E402
from checks import Checks, expect  # noqa: E402
import harness  # noqa: E402
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition  # noqa: E402

PARTITIONS = 3
WAIT_S = 30


class Transactions:
    def __init__(self, address):
        self.address, self.names = address, 0

    def topic(self):
        self.names += 1
        with harness.Wire(self.address) as wire:
            wire.create_topic(f"transactions-{self.names}", PARTITIONS)
        return f"transactions-{self.names}"

    def producer(self, name, **settings):
        settings = {key.replace("_", "."): value for key, value in settings.items()}
        producer = Producer({"bootstrap.servers": self.address, "transactional.id": name, **settings})
        producer.init_transactions(WAIT_S)
        return producer

    def read(self, topic, level):
        """All records up to the end that a reader of this level is told of, in any order."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "unused", "isolation.level": level, "enable.partition.eof": True,
                             "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        values, ended, deadline = [], set(), time.monotonic() + WAIT_S
        while len(ended) < PARTITIONS:
            expect(time.monotonic() < deadline, f"partitions {sorted(ended)} of {PARTITIONS} came to an end")
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                ended.add(message.partition())
            else:
                values.append(message.value().decode())
        consumer.close()
        return sorted(values)

    # --- checks

    def ends(self):
        topic, producer = self.topic(), self.producer("ends")
        meant, all_of_them, times = [], [], []
        for number in range(20):
            begun = time.monotonic()
            producer.begin_transaction()
            values = [f"{number:02}-{record:02}" for record in range(10)]
            for at, value in enumerate(values):
                producer.produce(topic, value, partition=at % PARTITIONS)
            all_of_them += values
            if number % 2 == 0:
                producer.commit_transaction(WAIT_S)
                meant += values
            else:
                expect(producer.flush(WAIT_S) == 0, "not all records were acknowledged")
                producer.abort_transaction(WAIT_S)
            times.append(time.monotonic() - begun)
        expect(self.read(topic, "read_committed") == meant, "a reader of committed records sees something else")
        expect(self.read(topic, "read_uncommitted") == all_of_them, "a reader of all records sees something else")
        return f"20 transactions of 10 records, median {1000 * sorted(times)[len(times) // 2]:.1f} ms"

    def open_ones_hold_back(self):
        topic, first, second = self.topic(), self.producer("open"), self.producer("behind")
        first.begin_transaction()
        first.produce(topic, "open", partition=0)
        expect(first.flush(WAIT_S) == 0, "not acknowledged")
        second.begin_transaction()
        second.produce(topic, "behind", partition=0)
        second.commit_transaction(WAIT_S)
        expect(self.read(topic, "read_committed") == [], "something behind an open transaction is read")
        first.commit_transaction(WAIT_S)
        expect(self.read(topic, "read_committed") == ["behind", "open"], "not all is read in the end")

    def offsets(self):
        topic, producer = self.topic(), self.producer("offsets")
        producer.begin_transaction()
        for number in range(30):
            producer.produce(topic, str(number), partition=number % PARTITIONS)
        producer.commit_transaction(WAIT_S)
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": f"of-{topic}", "isolation.level": "read_committed",
                             "auto.offset.reset": "earliest", "enable.auto.commit": False})
        consumer.subscribe([topic])
        got, deadline = 0, time.monotonic() + WAIT_S
        while got < 30:
            expect(time.monotonic() < deadline, f"{got} of 30 records were read")
            message = consumer.poll(1)
            got += message is not None and not message.error()
        for is_committed in (False, True):
            positions = consumer.position(consumer.assignment())
            producer.begin_transaction()
            producer.produce(topic, "out", partition=0)
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), WAIT_S)
            (producer.commit_transaction if is_committed else producer.abort_transaction)(WAIT_S)
            committed = {it.partition: it.offset for it in consumer.committed(consumer.assignment(), WAIT_S)}
            wanted = {it.partition: it.offset if is_committed else -1001 for it in positions}
            expect(committed == wanted, f"{committed} is committed, not {wanted}")
        consumer.close()

    def fencing(self):
        topic, old = self.topic(), self.producer("fenced")
        old.begin_transaction()
        old.produce(topic, "zombie", partition=0)
        expect(old.flush(WAIT_S) == 0, "not acknowledged")
        self.producer("fenced")
        try:
            old.commit_transaction(WAIT_S)
        except KafkaException as error:
            expect(error.args[0].name() == "_FENCED", f"it is told {error.args[0].name()}")
        else:
            expect(False, "the older producer could commit")
        expect(self.read(topic, "read_committed") == [], "what the older one wrote is read")

    def forgotten(self):
        topic, producer = self.topic(), self.producer("forgotten", transaction_timeout_ms=2000)
        producer.begin_transaction()
        producer.produce(topic, "forgotten", partition=0)
        expect(producer.flush(WAIT_S) == 0, "not acknowledged")
        begun = time.monotonic()
        # Behind it, whatever comes is read as soon as it is aborted.
        other = Producer({"bootstrap.servers": self.address})
        other.produce(topic, "behind", partition=0)
        expect(other.flush(WAIT_S) == 0, "not acknowledged")
        while self.read(topic, "read_committed") != ["behind"]:
            expect(time.monotonic() < begun + WAIT_S, "it is never aborted")
        return f"aborted {time.monotonic() - begun:.1f} s later, with a time-out of 2 s"

    # --- Kafka's tool

    def told(self):
        """A transaction from its begin to its end, as its coordinator and as its partition tell of it."""
        topic, name = self.topic(), "told"
        producer = self.producer(name, transaction_timeout_ms=345_000)
        (fresh,) = transactions(self.address, "describe", "--transactional-id", name)
        expect(fresh["TransactionState"] == "Empty" and fresh["TransactionTimeoutMs"] == "345000", f"before it begins: {fresh}")
        producer.begin_transaction()
        for number in range(2 * PARTITIONS):
            producer.produce(topic, str(number), partition=number % PARTITIONS)
        expect(producer.flush(WAIT_S) == 0, "not acknowledged")
        (open_one,) = transactions(self.address, "describe", "--transactional-id", name)
        partitions = [f"{topic}-{partition}" for partition in range(PARTITIONS)]
        expect(open_one["TransactionState"] == "Ongoing" and sorted(open_one["TopicPartitions"].split(",")) == partitions, str(open_one))
        expect(0 < int(open_one["TransactionDurationMs"]) < 345_000, str(open_one))
        (row,) = [it for it in transactions(self.address, "list") if it["TransactionalId"] == name]
        expect(row["TransactionState"] == "Ongoing" and row["ProducerId"] == open_one["ProducerId"], f"{row} and {open_one}")
        (writer,) = transactions(self.address, "describe-producers", "--topic", topic, "--partition", 1)
        wanted = {"ProducerId": open_one["ProducerId"], "ProducerEpoch": open_one["ProducerEpoch"], "LastSequence": "1", "CurrentTransactionStartOffset": "0"}
        expect({key: writer[key] for key in wanted} == wanted, f"{writer}, not {wanted}")
        listed = [it["TransactionalId"] for it in transactions(self.address, "list", "--duration-filter", 600_000)]
        expect(name not in listed, "it is listed among those that are open for ten minutes")
        expect(transactions(self.address, "find-hanging", "--broker-id", self.broker()) == [], "an open transaction is called hanging")
        producer.commit_transaction(WAIT_S)
        (done,) = transactions(self.address, "describe", "--transactional-id", name)
        expect(done["TransactionState"] == "CompleteCommit" and "TopicPartitions" not in done, str(done))
        (writer,) = transactions(self.address, "describe-producers", "--topic", topic, "--partition", 1)
        expect(writer["CurrentTransactionStartOffset"] == "None", f"after the commit: {writer}")

    def broker(self):
        with harness.Wire(self.address) as wire:
            return wire.metadata()["brokers"][0][0]

    def aborted_by_tool(self):
        topic, producer = self.topic(), self.producer("aborted by a tool")
        producer.begin_transaction()
        producer.produce(topic, "aborted", partition=0)
        expect(producer.flush(WAIT_S) == 0, "not acknowledged")
        other = Producer({"bootstrap.servers": self.address})
        other.produce(topic, "behind", partition=0)
        expect(other.flush(WAIT_S) == 0, "not acknowledged")
        expect(self.read(topic, "read_committed") == [], "something behind an open transaction is read")
        transactions(self.address, "abort", "--topic", topic, "--partition", 0, "--start-offset", 0)
        expect(self.read(topic, "read_committed") == ["behind"], "what is behind it is not read, or it is")


def main():
    address = sys.argv[1]
    checks, they = Checks(), Transactions(address)
    checks.check("transactions that are committed and aborted", they.ends)
    checks.check("what is behind an open transaction", they.open_ones_hold_back)
    checks.check("offsets in a transaction", they.offsets)
    checks.check("a newer producer", they.fencing)
    checks.check("a transaction that nobody ends", they.forgotten)
    checks.check("kafka-transactions tells of one", they.told)
    checks.check("kafka-transactions aborts one", they.aborted_by_tool)
    checks.end()


if __name__ == "__main__":
    main()
