"""Rounds of what may befall a broker, drawn from a seed, while a producer goes on; nothing acknowledged is lost, doubled or out of order.

    interop/chaos.sh [--rounds 20] [--seed N] [--only NAME] [--binary KLAMM] [--report FILE]

The data folder is a small file system in memory where one can be mounted (chaos.sh asks for a namespace that has the right). --only takes one kind of round, to see it
again; --report writes a table. What a kernel cannot be asked for (failing writes and syncs, lost caches, torn writes) belongs to the simulator.
"""

import argparse
import collections
import glob
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

import with_broker
import harness
from harness import Wire, WireError
from load import Load, problems, read_all

TOPIC = "chaos"
PARTITIONS = 4
DISK_MIB = 192
# As many file descriptors as a starved broker may have, of which 3 in 8 are for connections.
FEW_DESCRIPTORS = 96


class Wrong(Exception):
    """What was seen must not be."""


def expect(holds, what):
    if not holds:
        raise Wrong(what)


class Broker(harness.Klamm):
    # Each start has its own.
    guard = []
    descriptors_max = None

    def popen(self, words):
        limit = self.descriptors_max
        lower = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) if limit else None
        with open(self.log_path, "ab") as output:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=lower)
        self.pid = self.process.pid

    @property
    def is_marked_clean(self):
        return os.path.exists(os.path.join(self.data_dir, "clean-shutdown"))

    def said(self, text, since=0):
        with open(self.log_path, errors="replace") as file:
            file.seek(since)
            return text in file.read()


class Chaos:
    """Each method of `KINDS` is a round: it leaves a broker that serves."""

    def __init__(self, broker, load, dice, is_small):
        self.broker, self.load, self.dice, self.is_small = broker, load, dice, is_small
        self.filler = os.path.join(os.path.dirname(broker.data_dir), "filler")

    def kill(self):
        self.broker.kill()
        self.start()

    def start(self):
        # With the guard off it is the file system that says when it is full.
        self.broker.settings = SETTINGS + [f"log.dirs.min.free.bytes={self.dice.choice([-1, 0])}"]
        self.broker.start()
        return self.broker

    def stop(self):
        self.broker.stop()
        expect(self.broker.is_marked_clean, "a stop under load left no marker")
        self.start()
        expect(not self.broker.is_marked_clean, "the marker stays while a broker runs")

    def pause(self):
        pid, seconds = self.broker.pid, self.dice.uniform(1, 5)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
        return f"{seconds:.1f} s"

    def fill(self, left):
        with open(self.filler, "wb") as file:
            room = os.statvfs(os.path.dirname(self.filler))
            size = max(0, room.f_bavail * room.f_frsize - left)
            while size > 0:
                try:
                    size -= file.write(bytes(min(size, 1 << 20)))
                    file.flush()
                except OSError:
                    break
        return left

    def make_room(self):
        os.remove(self.filler)

    def full(self):
        if not self.is_small:
            return "no small disk can be mounted here"
        left = self.fill(self.dice.choice([0, 5_000, 100_000]))
        time.sleep(self.dice.uniform(0.5, 2))
        before = self.load.acknowledged_count()
        self.make_room()
        self.wait_for_more(before)
        return f"{left} bytes left"

    def full_at_start(self):
        if not self.is_small:
            return "no small disk can be mounted here"
        self.broker.kill()
        left = self.fill(self.dice.choice([0, 5_000, 100_000]))
        self.broker.spawn()
        time.sleep(self.dice.uniform(0.2, 1.5))
        how = "it ran" if self.broker.alive() else f"it ended with {self.broker.process.returncode}"
        if self.broker.alive():
            if self.dice.random() < 0.5:
                self.broker.stop()
            else:
                self.broker.kill()
        else:
            self.broker.reap()
        self.make_room()
        self.start()
        return f"{left} bytes left, {how}"

    def files(self, *endings):
        found = [path for ending in endings for path in glob.glob(os.path.join(self.broker.data_dir, "*", "*" + ending))]
        return sorted(path for path in found if os.path.basename(os.path.dirname(path)).startswith(TOPIC))

    def files_beside(self):
        """Everything that can be made again from the records."""
        self.broker.kill()
        names = self.files(".index", ".timeindex", ".snapshot", ".growing", "leader-epoch-checkpoint")
        changed = self.dice.sample(names, min(len(names), self.dice.randint(1, 6)))
        for path in changed:
            how, size = self.dice.randrange(3), os.path.getsize(path)
            if how == 0:
                os.remove(path)
            elif how == 1:
                os.truncate(path, self.dice.randint(0, size))
            elif size:
                with open(path, "r+b") as file:
                    at = self.dice.randrange(size)
                    file.seek(at)
                    byte = file.read(1)[0]
                    file.seek(at)
                    file.write(bytes([byte ^ 1 << self.dice.randrange(8)]))
        self.start()
        return f"{len(changed)} files"

    def torn_tails(self):
        """What a crash may leave behind the last record: garbage, zeros, the beginning of a batch."""
        self.broker.kill()
        growing = {}
        for path in self.files(".log"):
            growing[os.path.dirname(path)] = path
        for path in growing.values():
            with open(path, "r+b") as file:
                whole = file.read()
                tails = [os.urandom(self.dice.randint(1, 300)), bytes(self.dice.randint(1, 5000)), whole[:self.dice.randint(1, 90)]]
                file.write(self.dice.choice(tails))
        self.start()
        return f"{len(growing)} segments"

    def killed_while_starting(self):
        self.broker.kill()
        times = self.dice.randint(4, 12)
        for _ in range(times):
            self.broker.spawn()
            time.sleep(self.dice.uniform(0, 0.08))
            self.broker.kill()
        self.start()
        return f"{times} times"

    def few_descriptors(self):
        """The accept loop sheds, who is connected goes on."""
        self.broker.stop()
        self.broker.descriptors_max = FEW_DESCRIPTORS
        try:
            self.start()
            before = self.load.acknowledged_count()
            self.wait_for_more(before)
            crowd = []
            try:
                for _ in range(4 * FEW_DESCRIPTORS):
                    crowd.append(socket.create_connection(("127.0.0.1", self.broker.port), timeout=2))
                before = self.load.acknowledged_count()
                self.wait_for_more(before)
            finally:
                for one in crowd:
                    one.close()
            self.answers()
        finally:
            self.broker.stop()
            self.broker.descriptors_max = None
            self.start()
        return f"{len(crowd)} connections, {FEW_DESCRIPTORS} descriptors"

    def second_process(self):
        other = Broker(self.broker.data_dir, self.broker.binary)
        log = tempfile.NamedTemporaryFile(prefix="klamm-chaos-second-")
        try:
            words = [other.binary, "serve", "--data-dir", other.data_dir, "--listen", other.address]
            code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=30, check=False).returncode
            with open(log.name, errors="replace") as file:
                text = file.read()
        finally:
            log.close()
        expect(code != 0 and "in use by another process" in text, f"a second process ended with {code}: {text[-300:]}")
        return f"it ended with {code}"

    def wait_for_more(self, before):
        deadline = time.monotonic() + 60
        while self.load.acknowledged_count() < before + 50:
            expect(self.broker.alive(), "the broker has ended")
            expect(time.monotonic() < deadline, "nothing was acknowledged for 60 s")
            time.sleep(0.02)

    def answers(self):
        deadline = time.monotonic() + 30
        while True:
            try:
                with Wire(self.broker.address, timeout_s=5) as wire:
                    wire.wait_for_leaders(TOPIC, PARTITIONS)
                    return wire.end_offsets(TOPIC, PARTITIONS)
            except (OSError, WireError) as error:
                expect(time.monotonic() < deadline, f"no answer for 30 s: {error}")
                time.sleep(0.1)


KINDS = {
    "kill -9": Chaos.kill,
    "SIGTERM": Chaos.stop,
    "SIGSTOP": Chaos.pause,
    "disk full": Chaos.full,
    "disk full at a start": Chaos.full_at_start,
    "files beside the records": Chaos.files_beside,
    "torn tails": Chaos.torn_tails,
    "kill -9 while it starts": Chaos.killed_while_starting,
    "few file descriptors": Chaos.few_descriptors,
    "second process": Chaos.second_process,
}
# Segments and indexes enough that there is something to damage.
SETTINGS = ["log.roll.ms=3000", "log.index.interval.bytes=1024"]


def drawn(dice, rounds, only):
    """Every kind in turn, in another order each time: in ten rounds each has come once."""
    if only:
        return [only] * rounds
    kinds = []
    while len(kinds) < rounds:
        kinds += dice.sample(list(KINDS), len(KINDS))
    return kinds[:rounds]


def live(options, broker, is_small, tally, figures):
    dice = random.Random(options.seed)
    broker.settings = SETTINGS
    broker.start()
    with Wire(broker.address) as wire:
        wire.create_topic(TOPIC, PARTITIONS)
    load = Load(broker.address, TOPIC, PARTITIONS, options.seed, records_per_s=1500)
    load.start()
    chaos = Chaos(broker, load, dice, is_small)
    for number, kind in enumerate(drawn(dice, options.rounds, options.only), 1):
        chaos.wait_for_more(load.acknowledged_count())
        time.sleep(dice.uniform(0.3, 2.0))
        tally[kind][0] += 1
        try:
            detail = KINDS[kind](chaos)
            safe = load.safe()
            ends = chaos.answers()
            expect(all(end >= least for end, least in zip(ends, safe)), f"the ends {ends} are below the acknowledged {safe}")
            expect(load.fatal is None, f"the producer gave up: {load.fatal}")
            print(f"ok round {number}: {kind} ({detail or ''}), ends {ends}", flush=True)
        except (Wrong, WireError, subprocess.SubprocessError) as error:
            tally[kind][1].append(str(error))
            print(f"FAIL round {number}: {kind}: {error}", flush=True)
            if not broker.alive() or broker.pid is None:
                break
    time.sleep(1)
    left = load.finish()
    if left or load.refused:
        yield f"{left} records without an answer, {len(load.refused)} refused: {load.refused[:1]}"
    broker.kill()
    broker.start()
    ends = chaos.answers()
    found = read_all(broker.address, TOPIC, PARTITIONS, ends)
    if sum(map(len, found)) != sum(ends):
        yield f"{sum(map(len, found))} records came back where the ends say {sum(ends)}"
    yield from problems(load, found)
    if broker.said("panicked"):
        yield "the broker panicked"
    figures.append(f"{load.acknowledged_count()} records acknowledged of {sum(load.sent)} sent, longest silence {load.silence_s:.1f} s")
    print(figures[-1], flush=True)


def write_report(options, tally, found, took_s, figures):
    with open(options.report, "w") as file:
        print(f"# Chaos on a real process, {time.strftime('%Y-%m-%d', time.gmtime())}\n", file=file)
        print(f"`interop/chaos.sh --rounds {options.rounds} --seed {options.seed}`: {took_s:.0f} s; {', '.join(figures)}. An idempotent producer with acks=all, everything read back and compared.\n", file=file)
        print("| round | times | failed |\n|---|---|---|", file=file)
        for kind, (times, wrong) in tally.items():
            print(f"| {kind} | {times} | {'; '.join(wrong) or 0} |", file=file)
        print("\nAfterwards: " + ("; ".join(found) or "nothing lost, doubled or out of order") + ".", file=file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the klamm to start (default: target/release/klamm, then target/debug/klamm)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=list(KINDS))
    parser.add_argument("--report")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    tally = collections.OrderedDict((kind, [0, []]) for kind in KINDS)
    begun, figures = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="klamm-chaos-") as folder:
        disk = os.path.join(folder, "disk")
        os.mkdir(disk)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", disk]
        is_small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        Broker.log_path = os.path.join(folder, "output")
        broker = Broker(os.path.join(disk, "data"), options.binary)
        try:
            found = list(live(options, broker, is_small, tally, figures))
            failed = len(found) + sum(len(wrong) for _, wrong in tally.values())
            if failed:
                with_broker.show_log(broker)
        finally:
            if broker.pid is not None:
                broker.kill()
            if is_small:
                subprocess.run(["umount", disk], check=True)
    for problem in found:
        print("FAIL chaos", problem)
    if options.report:
        write_report(options, tally, found, time.monotonic() - begun, figures)
    print(f"{sum(times for times, _ in tally.values()) - failed + len(found)} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


main()
