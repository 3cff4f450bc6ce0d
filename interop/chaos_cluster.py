"""Rounds of what may befall a cluster of three, drawn from a seed, while clients write, transfer and read in groups; then the whole history is looked at (history.py).

    interop/chaos_cluster.sh [--rounds 25] [--seed N] [--only KIND] [--smoke] [--clients confluent,java,franz,klamm] [--binary KLAMM] [--acks 1] [--report FILE]
                             [--keep FOLDER]

Between the nodes, and between them and their clients, lies a proxy (links.py) that cuts, delays and breaks. After each round all is well again: every writer gets
on in every partition, and all replicas are in sync. At the end nobody writes, and what has to hold then is looked at, too: no transaction or move is open, the
group is through, memory is back, replicas are the same byte for byte, and a start from the disk has all of it.
"""

import argparse
import collections
import glob
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import with_broker  # noqa: F401  (bench/ is found by it)
import cluster_harness
from bank import ACCOUNTS, Bank, Told
from bank import PARTITIONS as BANK_PARTITIONS
from bank import TOPIC as BANK
from checks import Different, expect
from faults import COMBINED, KINDS, LIVED_WITH_S, TOGETHER, Disk, World, hold_s
from harness import Wire, WireError
from history import History, problems
from links import Links
from traffic import Inquirer, Klamm, Librdkafka, Member, Reader, place

TOPIC, PARTITIONS, GROUP, MEMBERS = "chaos", 4, "chaos-group", 3
DISK_MIB, SMALL = 512, 3
RECORDS_PER_S = 400
# The longest of all: a client that asked a node before it was cut off hears of it by its own time-outs.
PROGRESS_S_MAX, IN_SYNC_S_MAX, QUIET_S_MAX = 60, 60, 60
# What a node holds more than before the first round, when all is quiet.
MEMORY_BYTES_MAX = 64 << 20
# Segments enough that replicas roll, and sessions that a short run sees the end of.
SETTINGS = ["log.roll.ms=5000", "group.min.session.timeout.ms=1000", "group.initial.rebalance.delay.ms=0"]
SMOKE = ["none", "kill -9 a leader", "SIGSTOP one", "cut off who leads all", "kill -9 all", "cut one way from all", "cut off from the controller", "slow links",
         "dropped connections", "cut between two", "wiped disk", "full disk", "leaders move", "topics come and go"]
SMOKE_HOLD_S = 1.5
FAILURES = (Different, WireError, OSError, subprocess.SubprocessError)


def drawn(dice, options):
    if options.only:
        return [options.only] * options.rounds
    if options.smoke:
        return SMOKE
    kinds, names = [], [*KINDS, *[COMBINED] * (len(KINDS) // 3)]
    while len(kinds) < options.rounds:
        kinds += dice.sample(names, len(names))
    return kinds[:options.rounds]


class Chaos:
    def __init__(self, options, world, folder):
        self.options, self.world, self.cluster, self.folder = options, world, world.cluster, folder
        self.history, self.told, self.figures, self.found = History(), Told(), [], []
        self.bank = None

    def begin(self):
        self.cluster.start()
        self.cluster.create_topic(TOPIC, PARTITIONS)
        self.cluster.create_topic(BANK, BANK_PARTITIONS)
        address, history = self.world.address, self.history
        self.writers = [Librdkafka("rdkafka", history, TOPIC, PARTITIONS, RECORDS_PER_S).to(address, self.options.acks),
                        Klamm("klamm", history, TOPIC, PARTITIONS, RECORDS_PER_S).to(address, self.cluster[1].binary, os.path.join(self.folder, "produce.errors"))]
        self.readers = [Reader("reader", history, address, TOPIC, PARTITIONS), Reader("reader of transfers", history, address, BANK, BANK_PARTITIONS)]
        self.members = [Member(f"member {number}", history, address, TOPIC, GROUP) for number in range(MEMBERS)]
        self.inquirer = Inquirer(history, address, TOPIC, PARTITIONS, GROUP)
        for one in self.everybody():
            one.start()
        self.bank = Bank(address, self.options.clients, self.told)
        self.wait_progress("the first records")
        self.memory = {it.number: it.resident_bytes() for it in self.cluster}

    def everybody(self):
        return [*self.writers, *self.readers, *self.members, self.inquirer]

    def failures(self):
        return [f"{it.name}: {what}" for it in self.everybody() for what in it.failures]

    def round(self, kind):
        """What was done, and the longest time that each writer was without an answer."""
        for writer in self.writers:
            writer.take_silence()
        names = self.world.dice.sample(TOGETHER, 2) if kind == COMBINED else [kind]
        running, did = [], []
        try:
            for name in names:
                fault = KINDS[name](self.world)
                did.append(f"{name}: {next(fault)}" if kind == COMBINED else next(fault))
                running.append(fault)
            time.sleep(SMOKE_HOLD_S if self.options.smoke else max(hold_s(it, self.world.dice) for it in names))
            if kind in LIVED_WITH_S:
                self.wait_progress(f"while {', '.join(did)}", LIVED_WITH_S[kind], transfers=False)
        except FAILURES as error:
            raise Different(f"{names}, {did}: {error}") from error
        finally:
            for fault in self.world.dice.sample(running, len(running)):
                next(fault, None)
            self.world.heal()
        begun = time.monotonic()
        self.wait_progress(f"after {', '.join(did)}")
        self.cluster.wait_for_brokers(3, IN_SYNC_S_MAX)
        self.world.tidy_up()
        self.cluster.wait_in_sync(within_s=IN_SYNC_S_MAX)
        notes, self.world.notes = self.world.notes, []
        silences = " / ".join(f"{it.take_silence():.1f}" for it in self.writers)
        return f"{'; '.join([*did, *notes])}; writers silent for {silences} s; well again {time.monotonic() - begun:.1f} s after it"

    def wait_progress(self, what, within_s=PROGRESS_S_MAX, transfers=True):
        """Every writer is acknowledged a record more in every partition, and every bank client makes a transfer more."""
        before = [list(it.counts) for it in self.writers]
        transfers = {it.name: self.told.by_run[it.name] for it in self.bank.running.values()} if transfers else {}
        deadline = time.monotonic() + within_s
        while True:
            stuck = [f"{it.name} in {partition}" for it, counts in zip(self.writers, before) for partition in range(PARTITIONS) if it.counts[partition] <= counts[partition]]
            stuck += [run for run, count in transfers.items() if self.told.by_run[run] <= count]
            if not stuck:
                return
            expect(not self.failures(), f"{what}: {'; '.join(self.failures())}")
            for it in self.bank.running.values():
                it.expect_alive()
            for node in self.cluster:
                expect(node.alive(), f"{node.name} has ended by itself")
            expect(time.monotonic() < deadline, f"{what}: {', '.join(stuck)} got nothing for {within_s} s")
            time.sleep(0.02)

    # --- the end

    def end(self):
        """Each step is tried: what comes after a problem may tell more of it."""
        steps = [self.stop_writing, self.quiet, self.group_is_through, self.memory_is_back, self.stop_readers, self.replicas_are_the_same, self.read_from_the_disk]
        for step in steps:
            try:
                step()
            except FAILURES as error:
                self.found.append(f"{step.__name__.replace('_', ' ')}: {error}")
        self.note_transfers()
        self.found += self.failures()
        self.found += map(str, problems(self.history))
        for node in self.cluster:
            with open(node.log_path, errors="replace") as log:
                lines = log.readlines()
            if panics := [it.strip() for it in lines if "panicked" in it]:
                self.found.append(f"{node.name} panicked: {panics[:2]}")
            errors = collections.Counter(it.split(" ERROR ", 1)[1].strip()[:120] for it in lines if " ERROR " in it)
            for said, times in errors.most_common(3):
                print(f"{node.name} said {times} times: {said}", flush=True)
        acknowledged = sum(map(len, [*self.history.acknowledged.values(), *self.history.placeless.values()]))
        sent = sum(sum(it.values()) for where, it in self.history.sent.items() if where not in self.history.transactional)
        self.figures.append(f"{acknowledged} records acknowledged of {sent} sent, {len(self.told.committed)} transfers committed and {len(self.told.aborted)} aborted, "
                            f"{sum(it.commits for it in self.members)} offset commits ({sum(it.refused for it in self.members)} refused), {len(self.history.polls)} polls looked at")

    def stop_writing(self):
        for writer in self.writers:
            writer.finish()
        for it in self.bank.running.values():
            it.end()

    def quiet(self):
        self.cluster.wait_in_sync(within_s=QUIET_S_MAX)
        deadline = time.monotonic() + QUIET_S_MAX
        while True:
            open_ones = [it for it in self.world.tool("txn", "list", must=True) if it["state"].lower().replace(" ", "") not in ("completecommit", "completeabort", "empty")]
            if not open_ones:
                break
            expect(time.monotonic() < deadline, f"transactions are open {QUIET_S_MAX} s after everybody has ended: {open_ones}")
            time.sleep(0.2)
        moves = self.world.tool("cluster", "reassign", must=True)
        expect(not moves, f"moves of partitions are open: {moves}")

    def group_is_through(self):
        """All is read and committed, and each partition is somebody's."""
        ends, deadline = self.cluster.ends(TOPIC), time.monotonic() + QUIET_S_MAX
        while (told := self.inquirer.ask()) is None or [told.get(it, 0) for it in range(PARTITIONS)] != ends:
            expect(time.monotonic() < deadline, f"the group has committed {told}, where the ends are {ends}")
            time.sleep(0.2)
        owners = collections.Counter(partition for it in self.members for partition in it.assigned_at)
        expect(owners == {it: 1 for it in range(PARTITIONS)}, f"the partitions have so many owners in a stable group: {dict(owners)}")

    def memory_is_back(self):
        now = {it.number: it.resident_bytes() for it in self.cluster}
        self.figures.append("memory " + ", ".join(f"{self.memory[it] >> 20} → {now[it] >> 20} MiB" for it in now))
        expect(all(now[it] < self.memory[it] + MEMORY_BYTES_MAX for it in now), self.figures[-1])

    def stop_readers(self):
        for one in (*self.readers, *self.members, self.inquirer):
            one.finish()

    def replicas_are_the_same(self):
        for number in self.cluster.nodes:
            self.world.stop(number)
        for topic, partitions in ((TOPIC, PARTITIONS), (BANK, BANK_PARTITIONS)):
            for where in (place(topic, it) for it in range(partitions)):
                sums = {it.number: content_of(os.path.join(it.data_dir, where)) for it in self.cluster}
                expect(len(set(sums.values())) == 1, f"{where} is not the same everywhere: {sums}")

    def read_from_the_disk(self):
        for number in self.cluster.nodes:
            self.world.spawn(number)
        self.cluster.wait_for_brokers(3)
        self.cluster.wait_in_sync()
        readers = [Reader(f"last reader of {topic}", self.history, self.world.address, topic, partitions, to_the_end=True) for topic, partitions in ((TOPIC, PARTITIONS), (BANK, BANK_PARTITIONS))]
        self.readers += readers
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.finish()

    def note_transfers(self):
        """A client makes one transfer after the other: what may be read is what it told, and one more."""
        told, history = self.told, self.history
        for names, committed in ((told.committed, True), (told.aborted, False)):
            for name in names:
                run, number = name.rsplit("-", 1)
                history.transactions[run, int(number)] = committed
        history.transactional = {place(BANK, it) for it in range(BANK_PARTITIONS)}
        for where in history.transactional:
            for it in self.bank.running.values():
                history.sent[where][it.name] = max((number + 1 for run, number in history.transactions if run == it.name), default=0) + 1

    def stop(self):
        for one in self.everybody():
            one.stopping.set()
        if self.bank:
            self.bank.kill()
        self.writers[1].process.kill()


def content_of(folder):
    """Size and checksum of all records, however they lie in segments."""
    content, size = hashlib.sha256(), 0
    for path in sorted(glob.glob(os.path.join(folder, "*.log"))):
        with open(path, "rb") as file:
            data = file.read()
        content.update(data)
        size += len(data)
    return f"{size} bytes {content.hexdigest()[:12]}"


def live(options, chaos, tally):
    try:
        chaos.begin()
    except FAILURES as error:
        chaos.found.append(f"the start: {error}")
        return
    for number, kind in enumerate(drawn(chaos.world.dice, options), 1):
        time.sleep(chaos.world.dice.uniform(0.2, 1.0))
        begun = time.monotonic()
        tally[kind][0] += 1
        try:
            said = chaos.round(kind)
            print(f"ok round {number}: {kind} ({said}), {time.monotonic() - begun:.1f} s", flush=True)
        except FAILURES as error:
            tally[kind][1].append(str(error))
            print(f"FAIL round {number}: {kind}: {error}", flush=True)
            break
    chaos.end()


def write_report(options, tally, chaos, took_s):
    with open(options.report, "w") as file:
        print(f"# Chaos on three real processes, {time.strftime('%Y-%m-%d', time.gmtime())}\n", file=file)
        words = f"--rounds {options.rounds} --seed {options.seed}" + (f" --only '{options.only}'" if options.only else "") + f" --clients {','.join(options.clients)}"
        print(f"`interop/chaos_cluster.sh {words}`: {took_s:.0f} s; {'; '.join(chaos.figures)}.\n", file=file)
        print("| round | times | failed |\n|---|---|---|", file=file)
        for kind, (times, wrong) in tally.items():
            print(f"| {kind} | {times} | {'; '.join(wrong) or 0} |", file=file)
        print("\nAfterwards: " + ("; ".join(chaos.found) or "no anomaly in the history, nothing open, memory back, replicas byte for byte the same, all there after a start from the disk") + ".", file=file)


def mounted(folder, small):
    """Whether a small disk could be mounted there."""
    os.mkdir(small)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", small]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


class Node(cluster_harness.KlammNode):
    """Says what it has to say elsewhere than on the disk that fills up."""

    log_folder = None

    @property
    def log_path(self):
        return os.path.join(self.log_folder, f"klamm-{self.number}.output")


def cluster_of(options, folder, small):
    """With where each of them listens."""
    Node.log_folder = folder
    nodes = [Node(number, os.path.join(small if number == SMALL and small else folder, f"klamm-{number}"), options.binary) for number in (1, 2, 3)]
    return cluster_harness.Cluster("klamm", nodes), {it.number: [split(it.node_listen), split(it.address)] for it in nodes}


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def run(options, folder, tally):
    small = os.path.join(folder, "small")
    is_small = mounted(folder, small)
    cluster, targets = cluster_of(options, folder, small if is_small else None)
    with Links(targets) as links:
        for node in cluster:
            node.node_address = links.node_address(node.number)
            node.settings = [*SETTINGS, f"advertised.listeners=PLAINTEXT://{links.client_address(node.number)}"]
        world = World(cluster, links, random.Random(options.seed), Disk(small, SMALL) if is_small else None, TOPIC)
        chaos = Chaos(options, world, folder)
        try:
            live(options, chaos, tally)
        finally:
            chaos.stop()
            cluster.end()
            if is_small:
                if options.keep:
                    shutil.copytree(small, os.path.join(folder, "small-disk"))
                subprocess.run(["umount", small], check=True)
    return chaos


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the klamm to start (default: target/release/klamm, then target/debug/klamm)")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=[*KINDS, COMBINED])
    parser.add_argument("--smoke", action="store_true", help="the quick kinds once, in a fixed order")
    parser.add_argument("--clients", type=lambda words: words.split(","), default=["confluent"], help="who makes transfers (bank.py)")
    parser.add_argument("--acks", default="all", choices=["all", "1"], help="1: librdkafka's writer asks for too little. A control: what is lost has to be found (--only 'cut off from nodes')")
    parser.add_argument("--report")
    parser.add_argument("--keep", metavar="FOLDER", help="what the nodes have and said is copied there at the end")
    options = parser.parse_args()
    if options.smoke:
        options.seed = 1
    print(f"seed {options.seed}", flush=True)
    tally, begun = collections.OrderedDict((kind, [0, []]) for kind in [*KINDS, COMBINED]), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="klamm-chaos-cluster-") as folder:
        chaos = run(options, folder, tally)
        failed = len(chaos.found) + sum(len(wrong) for _, wrong in tally.values())
        if options.keep:
            shutil.copytree(folder, options.keep, dirs_exist_ok=True)
    for problem in chaos.found:
        print("FAIL", problem)
    print("; ".join(chaos.figures))
    if options.report:
        write_report(options, tally, chaos, time.monotonic() - begun)
    rounds = sum(times for times, _ in tally.values())
    print(f"{rounds - sum(len(wrong) for _, wrong in tally.values())} passed, {failed} failed in {time.monotonic() - begun:.0f} s", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
