"""Bank transfers: each is a transaction over two partitions, and whatever is killed, no money appears or is lost.

    interop/bank.sh [--rounds 20] [--clients confluent,java,franz,klamm] [--seed N] [--binary KLAMM | --kafka] [--cluster]

Every client is a program that makes transfers until SIGTERM ends it:

    PROGRAM HOST:PORT TOPIC PARTITIONS ACCOUNTS TRANSACTIONAL_ID RUN TRANSACTION_TIMEOUT_MS

Transfer RUN-N (N counts from 0) takes an amount from one account to another, on another partition, by two records: the key is the number of the account, the
value "RUN-N AMOUNT", less than 0 where it is taken; an account is kept on the partition that is the rest of its number over PARTITIONS. Every fifth (N = 4, 9
...) is flushed and aborted, the others are committed. It says "started" after it has its producer's id, then "committed RUN-N" or "aborted RUN-N" when it was
told so, a line each, and when it is told that a newer producer has its transactional id "fenced", and ends. What it cannot know (the answer to a commit was lost) it asks again.

Meanwhile the broker (with --cluster one of three: the coordinator of a client's transactions, the controller, any) or a client is killed with -9 and started again, or a second client is started by the same transactional id, also while the first stands
still, which comes to its end as soon as it goes on. After every event all clients get on, and at what is committed then: every transfer has both halves, whatever
was told to be committed is there, whatever was told to be aborted is not, and the total is what it was.
"""

import argparse
import collections
import os
import random
import signal
import sys
import threading
import time

import with_broker
from applications import Program, Reader, expect_no_transaction_open, run
from checks import Different, expect

HERE = os.path.dirname(os.path.abspath(__file__))
TOPIC, PARTITIONS, ACCOUNTS, OPENING = "bank", 4, 20, 1000
# Longer than any broker is away: nobody's transaction is aborted but by who comes after it.
TRANSACTION_TIMEOUT_MS = 120_000
# A virtual machine starts, the broker comes back, and both on a machine that does much else.
PROGRESS_S_MAX = 60
TRANSFERS_MORE = 5


def programs():
    tools = os.environ["INTEROP_TOOLS"]
    java = ["java", os.environ["KAFKA_JAVA_LOGGING"], "-Dklamm.log.level=ERROR", "-cp", f"{os.environ['KAFKA_HOME']}/tools/*:{tools}/applications-java", "Transfers"]
    return {"confluent": [sys.executable, os.path.join(HERE, "transfers.py")], "java": java, "franz": [os.path.join(tools, "bin", "matrix-bank")],
            "klamm": [os.environ.get("MATRIX_KLAMM", "matrix-klamm"), "transfers"]}


class Told:
    """What the clients were told of their transfers."""

    def __init__(self):
        self.changed = threading.Condition()
        self.committed, self.aborted, self.by_run = set(), set(), collections.Counter()

    def heed(self, line):
        match line.split():
            case ["committed", name]:
                self.note(self.committed, name)
            case ["aborted", name]:
                self.note(self.aborted, name)
            case _:
                with self.changed:
                    self.changed.notify_all()

    def note(self, where, name):
        with self.changed:
            where.add(name)
            self.by_run[name.rsplit("-", 1)[0]] += 1
            self.changed.notify_all()

    def wait(self, holds, within_s, what):
        with self.changed:
            expect(self.changed.wait_for(holds, within_s), f"{what}: not within {within_s} s")


class Ledger:
    """The halves of transfers that are committed, and the balances they make."""

    def __init__(self):
        self.halves, self.pending, self.balances = {}, set(), collections.Counter({account: OPENING for account in range(ACCOUNTS)})

    def take(self, messages):
        for message in messages:
            account, (name, change) = int(message.key()), message.value().decode().split()
            where = f"{message.partition()}-{message.offset()}"
            expect(account % PARTITIONS == message.partition(), f"{where}: {name} has account {account}")
            halves = self.halves.setdefault(name, [])
            halves.append((account, int(change)))
            self.balances[account] += int(change)
            if len(halves) == 1:
                self.pending.add(name)
            else:
                self.pending.discard(name)
                (one, taken), (other, given) = halves[:2]
                expect(len(halves) == 2 and one != other and taken + given == 0, f"{where}: the transfer {name} is {halves}")

    def total(self):
        """Without the transfers whose other half is not read yet."""
        return sum(self.balances.values()) - sum(self.halves[name][0][1] for name in self.pending)

    def check(self, told):
        with told.changed:
            wrong = sorted(told.aborted & self.halves.keys())
        expect(not wrong, f"{len(wrong)} transfers were told to be aborted, and are read: {wrong[:3]}")
        expect(self.total() == ACCOUNTS * OPENING, f"the total is {self.total()}, not {ACCOUNTS * OPENING}")

    def settle(self, reader, told, within_s):
        """Reads until all that is known by now is whole."""
        self.take(reader.poll())
        with told.changed:
            committed = set(told.committed)
        halves, deadline = set(self.pending), time.monotonic() + within_s
        while True:
            torn, lost = halves & self.pending, committed - self.halves.keys()
            if not torn and not lost:
                return self.check(told)
            expect(time.monotonic() < deadline, f"{len(torn)} transfers are half there ({sorted(torn)[:3]}), {len(lost)} that were told to be committed are "
                                                f"not there ({sorted(lost)[:3]}), after {within_s} s")
            self.take(reader.poll())


class Bank:
    """One client for each transactional id."""

    def __init__(self, address, clients, told):
        self.address, self.told, self.programs = address, told, programs()
        self.runs, self.running, self.of, self.fenced = collections.Counter(), {}, {}, collections.Counter()
        for number, client in enumerate(clients):
            self.of[f"{client}-{number}"] = client
            self.start(f"{client}-{number}")

    def start(self, id):
        self.runs[id] += 1
        run = f"{id}.{self.runs[id]}"
        words = [*self.programs[self.of[id]], self.address, TOPIC, str(PARTITIONS), str(ACCOUNTS), id, run, str(TRANSACTION_TIMEOUT_MS)]
        self.running[id] = Program(run, words, self.told.heed)

    def fence(self, id, standing_still):
        """A second client by the same transactional id. The first comes to its end, whenever it asks: fenced, or with an error. Who asks for a commit while what it
        has open is aborted for the second is told of an invalid state, by Apache Kafka too."""
        first = self.running[id]
        if standing_still:
            first.signal(signal.SIGSTOP)
        try:
            self.start(id)
            second = self.running[id]
            self.told.wait(lambda: "started" in second.said or second.process.poll() is not None, PROGRESS_S_MAX, f"{second} starts beside {first}")
            if standing_still:
                first.signal(signal.SIGCONT)
            first.wait(PROGRESS_S_MAX)
            self.fenced[first.said[-1:] == ["fenced"]] += 1
        finally:
            first.kill()

    def wait_progress(self, what):
        wanted = {it.name: self.told.by_run[it.name] + TRANSFERS_MORE for it in self.running.values()}

        def there():
            ended = [it for it in self.running.values() if it.process.poll() is not None]
            return ended or all(self.told.by_run[run] >= least for run, least in wanted.items())

        try:
            self.told.wait(there, PROGRESS_S_MAX, what)
        except Different as different:
            stuck = [it.last_words() for it in self.running.values() if self.told.by_run[it.name] < wanted[it.name]]
            raise Different(f"{different}; {stuck}") from None
        for it in self.running.values():
            it.expect_alive()

    def end(self):
        for it in self.running.values():
            it.end()

    def kill(self):
        for it in self.running.values():
            it.kill()


def attempt(options, broker):
    dice, told, ledger = random.Random(options.seed), Told(), Ledger()
    broker.start()
    broker.create_topic(TOPIC, PARTITIONS)
    bank = Bank(broker.address, options.clients, told)
    try:
        with Reader(broker.address, TOPIC, PARTITIONS) as reader:
            bank.wait_progress("the first transfers")
            events = ["broker", "client", "second", "zombie"] * options.rounds
            for number in range(options.rounds):
                disturb(dice, events[number], broker, bank, number)
                ledger.settle(reader, told, 30)
            bank.end()
            ledger.settle(reader, told, 30)
    finally:
        bank.kill()
    expect_no_transaction_open(broker.address, 30)
    before = closed(broker.address, told)
    # Once more, so that what is read comes from the disk's account of it.
    with_broker.restart(broker)
    expect(closed(broker.address, told).balances == before.balances, "the balances are others after a restart")
    unknown = len(before.halves.keys() - told.committed)
    return (f"{len(before.halves)} transfers, {len(told.aborted)} aborted, {unknown} committed without an answer, told by {dict(told_by_client(told))}; "
            f"of {bank.fenced.total()} who had a successor {bank.fenced[True]} were told that they are fenced")


def closed(address, told):
    """All that is committed, when nobody writes any more."""
    ledger = Ledger()
    with Reader(address, TOPIC, PARTITIONS) as reader:
        ledger.take(reader.rest())
    ledger.check(told)
    lost = told.committed - ledger.halves.keys()
    expect(not lost, f"{len(lost)} transfers that were told to be committed are not there: {sorted(lost)[:3]}")
    expect(not ledger.pending, f"{len(ledger.pending)} transfers are half there: {sorted(ledger.pending)[:3]}")
    return ledger


def told_by_client(told):
    by_client = collections.Counter()
    for run, count in told.by_run.items():
        by_client[run.split("-")[0]] += count
    return by_client


def disturb(dice, event, broker, bank, number):
    # At any point of a transaction.
    time.sleep(dice.uniform(0, 1))
    id, begun = dice.choice(sorted(bank.running)), time.monotonic()
    goes_on = lambda: bank.wait_progress(f"after {event} {id}")
    if event == "broker":
        id = with_broker.crash(broker, dice, goes_on, (id, 1))
    elif event == "client":
        bank.running[id].kill()
        bank.start(id)
    else:
        bank.fence(id, event == "zombie")
    goes_on()
    print(f"round {number + 1}: {event} {id}, {len(bank.told.committed)} transfers, {time.monotonic() - begun:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_broker.add_options(parser)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clients", type=lambda words: words.split(","), default=["confluent", "java", "franz", "klamm"])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    run("bank", options, lambda broker, _: attempt(options, broker))


if __name__ == "__main__":
    main()
