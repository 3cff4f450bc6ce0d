"""Nothing that passes by itself costs a failover: three brokers under full load, with processes stopped for half a second, connections that are cut, and a
disk that is busy with other things.

    interop/calm.sh [--seconds 45] [--seed N] [--binary KLAMM]

Fails if in all that time a broker was fenced, an election was held, or a partition had another leader. Connections are cut by `ss -K`, where the system lets us.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

import with_broker  # noqa: F401 (finds the harness)
import harness
from cluster_harness import klamm_cluster

TOPIC, PARTITIONS = "calm", 6
# What nodes say when one of them is taken for dead, at this level.
ALARM = re.compile(r"standing for election|a broker is fenced|this node is the controller")
LEVEL = "info,openraft=off"
DECIDES = "this node is the controller"
PAUSE_S = 0.5
SETTLE_S = 5
# What is looked at are brokers, not how much fits on this disk.
SETTINGS = ["log.segment.bytes=67108864", "log.retention.bytes=134217728", "log.retention.check.interval.ms=2000"]


def said(cluster):
    return {node.number: os.path.getsize(node.log_path) for node in cluster}


def alarms(cluster, since):
    for node in cluster:
        with open(node.log_path) as log:
            log.seek(since[node.number])
            yield from (f"{node.name}: {line.strip()}" for line in log if ALARM.search(line))


class Load(threading.Thread):
    """`klamm bench produce` one after the other, as fast as it goes."""

    def __init__(self, cluster, binary):
        super().__init__(daemon=True)
        self.cluster, self.binary = cluster, binary
        self.is_over, self.current, self.rounds = threading.Event(), None, []

    def run(self):
        while not self.is_over.is_set():
            command = [
                self.binary, "bench", "produce", TOPIC, "-n", "200000", "--record-size", "1024", "--acks", "all",
                "--bootstrap", self.cluster.address, "--format", "json",
            ]
            self.current = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            out, problem = self.current.communicate()
            if not self.is_over.is_set():
                self.rounds.append(None if self.current.returncode else json.loads(out))
                if self.current.returncode:
                    print(f"the load ended: {problem.strip()}", flush=True)

    def end(self):
        self.is_over.set()
        if self.current:
            self.current.kill()
        self.join(10)


class Beat(threading.Thread):
    """One record after the other by one producer, and the longest time between two acknowledgements."""

    def __init__(self, cluster, binary):
        super().__init__(daemon=True)
        command = [binary, "produce", TOPIC, "-p", "0", "-v", "--format", "json", "--bootstrap", cluster.address]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        self.longest_s, self.count = 0.0, 0

    def run(self):
        threading.Thread(target=self.write, daemon=True).start()
        last = None
        for _ in self.process.stdout:
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - (last or now))
            last, self.count = now, self.count + 1

    def write(self):
        try:
            while True:
                self.process.stdin.write("beat\n")
                time.sleep(0.01)
        except OSError:
            pass

    def end(self):
        self.process.kill()


def stop_a_while(cluster, dice):
    number = dice.choice(list(cluster.nodes))
    cluster.pause(number)
    time.sleep(PAUSE_S)
    cluster.resume(number)


def cut_connections(cluster, _):
    """Both ends find them broken; the listeners stay as they are."""
    for node in cluster:
        port = node.node_listen.rsplit(":", 1)[1]
        for side in ("dport", "sport"):
            subprocess.run(["ss", "-K", "state", "established", side, "=", f":{port}"], capture_output=True, check=False)


def busy_disk(cluster, _):
    into = os.path.join(cluster[1].data_dir, "..", "busy")
    command = ["dd", "if=/dev/zero", f"of={into}", "bs=4M", "count=60", "oflag=dsync", "conv=notrunc"]
    subprocess.run(command, capture_output=True, check=False)


def disturb(cluster, dice, seconds):
    done, until = {}, time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(dice.uniform(0.5, 2.5))
        trouble = dice.choice([stop_a_while, stop_a_while, cut_connections, busy_disk])
        trouble(cluster, dice)
        done[trouble.__name__] = done.get(trouble.__name__, 0) + 1
    return done


def attempt(options, cluster):
    cluster.start()
    cluster.create_topic(TOPIC, PARTITIONS)
    leaders = [it.leader for it in cluster.partitions(TOPIC)]
    # Whoever hears nothing at the start would hear nothing later either.
    if not any(DECIDES in line for line in alarms(cluster, dict.fromkeys(cluster.nodes, 0))):
        yield "no node has said that it is the controller"
    since = said(cluster)
    load, beat = Load(cluster, options.binary), Beat(cluster, options.binary)
    load.start()
    beat.start()
    done = disturb(cluster, random.Random(options.seed), options.seconds)
    load.end()
    beat.end()
    rounds = [it for it in load.rounds if it is not None]
    print(f"{done}; {len(rounds)} rounds of 200,000 records written; one record after the other: {beat.count}, "
          f"longest gap {beat.longest_s * 1000:.0f} ms", flush=True)
    cluster.wait_in_sync(TOPIC)
    # What was too late for the last signs of life shows later.
    time.sleep(SETTLE_S)
    yield from alarms(cluster, since)
    for number, (before, now) in enumerate(zip(leaders, [it.leader for it in cluster.partitions(TOPIC)])):
        if before != now:
            yield f"partition {number} was led by {before}, now by {now}"
    if len(rounds) < len(load.rounds) or beat.count < 100:
        yield f"writing failed: {len(load.rounds) - len(rounds)} rounds, {beat.count} single records"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--binary", help="the klamm to start (default: target/release/klamm, then target/debug/klamm)")
    options = parser.parse_args()
    options.binary = options.binary or harness.default_binary()
    print(f"seed {options.seed}", flush=True)
    os.environ["KLAMM_LOG"] = LEVEL
    with tempfile.TemporaryDirectory(prefix="calm-") as folder:
        with klamm_cluster(folder, binary=options.binary, settings=SETTINGS) as cluster:
            problems = list(attempt(options, cluster))
    for problem in problems:
        print(f"needless: {problem}")
    print("1 passed, 0 failed" if not problems else "0 passed, 1 failed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
