"""A full disk: produce is refused, everything else goes on, and there is no loss, whatever the order of full, killed and started.

    interop/diskfull.sh [--binary KLAMM] [--size MIB]

The data folder is a small file system in memory, which takes the right to mount one (diskfull.sh asks for a namespace that has it). First the
guard stops produce while there is still room; then, with a guard of 0, only a last MiB is kept, and the file system itself may be who says that it is full.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

import with_broker
import harness
from harness import Wire, WireError, produce_body, record_batch

STORAGE_ERROR = 56
BATCH_BYTES = 128 << 10
PATIENCE_S = 120

passed, failures = 0, 0


def report(holds, name, detail=""):
    global passed, failures
    passed, failures = passed + bool(holds), failures + (not holds)
    print("ok" if holds else "FAIL", name, detail, flush=True)


def produce(wire, topic, value):
    """The error code; 0 if the record is acknowledged by all."""
    answer = wire.call(0, 7, produce_body(topic, 0, record_batch([value])))
    answer.take(4 + 2 + len(topic) + 4 + 4)
    return answer.i16()


def fill(wire, topic, count_max):
    """Writes until it is refused. Gives how many were acknowledged, and the error."""
    value = os.urandom(BATCH_BYTES)
    for count in range(count_max):
        code = produce(wire, topic, value)
        if code:
            return count, code
    return count_max, 0


def read_count(address, topic, wanted):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    found, deadline = 0, time.monotonic() + 30
    while found < wanted and time.monotonic() < deadline:
        found += sum(message.error() is None for message in consumer.consume(500, 0.5))
    consumer.close()
    return found


def until(what, holds):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    print("waited in vain until", what, file=sys.stderr)
    return False


def metric(address, name):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        return float(re.search(rf"^{name}(?:{{.*}})? (\S+)$", page.read().decode(), re.MULTILINE).group(1))


class Klamm(harness.Klamm):
    """With metrics, and its log lines at hand."""

    guard = []

    def spawn(self):
        self.metrics = f"127.0.0.1:{harness.free_port()}"
        super().spawn("--metrics-listen", self.metrics)

    def lines(self, text):
        with open(self.log_path, errors="replace") as file:
            return [line for line in file if text in line]

    @property
    def marker(self):
        return os.path.exists(os.path.join(self.data_dir, "clean-shutdown"))


def guarded(broker):
    broker.start()
    with Wire(broker.address) as wire:
        wire.create_topic("kept", 1)
        wire.create_topic("filler", 1)
        kept = sum(produce(wire, "kept", b"precious") == 0 for _ in range(100))
        report(kept == 100, "records are taken while there is room")
        acknowledged, code = fill(wire, "filler", 100_000)
        report(code == STORAGE_ERROR, "produce is refused before the disk is full", f"after {acknowledged} batches, error {code}")
        room = os.statvfs(broker.data_dir)
        report(room.f_bavail > 0, "there is room for what must go on", f"{room.f_bavail * room.f_frsize} bytes free")
        report(produce(wire, "kept", b"more") == STORAGE_ERROR, "for every topic")
        report(metric(broker.metrics, "klamm_log_dir_full") == 1, "metrics say so")
        report(read_count(broker.address, "filler", acknowledged) == acknowledged, "what was acknowledged is read while the disk is full")
        wire.create_topic("small", 1)
        wire.delete_topic("filler")
        report(until("there is room", lambda: produce(wire, "kept", b"again") == 0), "produce goes on by itself once there is room")
        report(metric(broker.metrics, "klamm_log_dir_full") == 0, "metrics say that too")
    report(not broker.lines("operation failed"), "no disk operation failed")
    full, again = broker.lines("nearly full"), broker.lines("room on the disk again")
    report((len(full), len(again)) == (1, 1), "one line for each change", f"{len(full)} and {len(again)}")
    broker.stop()
    report(broker.marker, "the stop was clean")


def unguarded(broker):
    """The same disk, of which nothing is to stay free but a last MiB."""
    broker.settings = ["log.dirs.min.free.bytes=0"]
    broker.start()
    with Wire(broker.address) as wire:
        wire.wait_for_leaders("kept", 1)
        wire.create_topic("filler", 1)
        acknowledged, code = fill(wire, "filler", 100_000)
        report(code == STORAGE_ERROR, "a disk that is full refuses", f"after {acknowledged} batches, error {code}")
        report(read_count(broker.address, "filler", acknowledged) == acknowledged, "what was acknowledged is read")
        ends = wire.end_offsets("filler", 1)
        report(ends == [acknowledged], "nothing else is there", f"ends {ends}")
    broker.kill()
    broker.start()
    report(not broker.marker, "after a kill it starts on the full disk")
    with Wire(broker.address) as wire:
        wire.wait_for_leaders("filler", 1)
        report(read_count(broker.address, "filler", acknowledged) == acknowledged, "nothing acknowledged is lost")
        fill(wire, "filler", 100)
        wire.delete_topic("filler")

        def goes_on():
            try:
                return produce(wire, "kept", b"after") == 0
            except WireError:
                return False

        report(until("there is room", goes_on), "a deletion makes room")
        count = wire.end_offsets("kept", 1)[0]
        report(count > 100 and read_count(broker.address, "kept", count) == count, "the other topic has all its records", f"{count}")
    broker.stop()
    # It saw at its start that the disk is full, and tried to write nothing.
    report(broker.marker, "the stop was clean")
    broker.start()
    with Wire(broker.address) as wire:
        wire.wait_for_leaders("kept", 1)
        report(wire.end_offsets("kept", 1) == [count], "and the next start has everything")
    broker.stop()


def by_threshold(broker):
    """Where no file system can be mounted: more must be free than there is."""
    room = os.statvfs(os.path.dirname(broker.data_dir))
    broker.settings = [f"log.dirs.min.free.bytes={room.f_blocks * room.f_frsize * 2}"]
    broker.start()
    with Wire(broker.address) as wire:
        wire.create_topic("kept", 1)
        report(until("it has looked", lambda: produce(wire, "kept", b"x") == STORAGE_ERROR), "produce is refused below the threshold")
        report(metric(broker.metrics, "klamm_log_dir_full") == 1, "metrics say so")
    broker.stop()
    broker.settings = ["log.dirs.min.free.bytes=0"]
    broker.start()
    with Wire(broker.address) as wire:
        wire.wait_for_leaders("kept", 1)
        report(produce(wire, "kept", b"x") == 0, "and taken without one")
    broker.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the klamm to start (default: target/release/klamm, then target/debug/klamm)")
    parser.add_argument("--size", type=int, default=64, help="MiB of the file system")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klamm-diskfull-") as folder:
        data_dir = os.path.join(folder, "disk", "data")
        disk = os.path.dirname(data_dir)
        os.mkdir(disk)
        broker = Klamm(data_dir, options.binary)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={options.size}m", "tmpfs", disk]
        is_small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        # Its lines must not be on the disk that fills up.
        Klamm.log_path = os.path.join(folder, "output")
        try:
            if is_small:
                guarded(broker)
                unguarded(broker)
            else:
                print("no file system can be mounted here: only the threshold is tried", flush=True)
                by_threshold(broker)
        finally:
            if failures:
                with_broker.show_log(broker)
            if broker.pid is not None:
                broker.kill()
            if is_small:
                subprocess.run(["umount", disk], check=True)
    print(f"{passed} passed, {failures} failed", flush=True)
    sys.exit(1 if failures else 0)


main()
