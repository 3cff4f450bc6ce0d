"""Transfers of librdkafka (confluent-kafka); the words are those of bank.py."""

import random
import signal
import sys

from confluent_kafka import KafkaException, Producer

WAIT_S = 30
FENCED = {"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "INVALID_PRODUCER_ID_MAPPING"}


class Fenced(Exception):
    pass


def again(call):
    """Until it is done: what took too long goes on by itself, and is waited for by the same call."""
    while True:
        try:
            return call(WAIT_S)
        except KafkaException as failure:
            error = failure.args[0]
            if error.fatal() and error.name() in FENCED:
                raise Fenced from failure
            if not error.retriable():
                raise
            print(error, file=sys.stderr, flush=True)


def transfer(producer, topic, partitions, accounts, name, aborts):
    """Whether it was committed; otherwise it was aborted."""
    dice = random.Random(name)
    source = dice.randrange(accounts)
    target = dice.choice([it for it in range(accounts) if it % partitions != source % partitions])
    amount = dice.randint(1, 100)
    try:
        producer.begin_transaction()
        for account, change in ((source, -amount), (target, amount)):
            producer.produce(topic, f"{name} {change}", key=str(account), partition=account % partitions)
        if not aborts:
            again(producer.commit_transaction)
            return True
        producer.flush(WAIT_S)
    except KafkaException as failure:
        if failure.args[0].fatal() and failure.args[0].name() in FENCED:
            raise Fenced from failure
        print(f"{name} is aborted: {failure.args[0]}", file=sys.stderr, flush=True)
    again(producer.abort_transaction)
    return False


def main():
    address, topic, partitions, accounts, transactional_id, run, timeout_ms = sys.argv[1:]
    leaving = []
    signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
    producer = Producer({"bootstrap.servers": address, "transactional.id": transactional_id, "transaction.timeout.ms": int(timeout_ms), "log_level": 2,
                         "reconnect.backoff.max.ms": 500})
    try:
        again(producer.init_transactions)
        print("started", flush=True)
        number = 0
        while not leaving:
            committed = transfer(producer, topic, int(partitions), int(accounts), f"{run}-{number}", number % 5 == 4)
            print("committed" if committed else "aborted", f"{run}-{number}", flush=True)
            number += 1
    except Fenced:
        print("fenced", flush=True)


if __name__ == "__main__":
    main()
