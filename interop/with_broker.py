"""Run a command against a broker that lives only for it: with_broker.py [--binary KLAMM | --kafka] [--cluster] [--set KEY=VALUE]... COMMAND...

The broker's HOST:PORT is put behind the command's words. It listens on a free port of 127.0.0.1 with a data folder that is removed
afterwards. --kafka starts Apache Kafka instead (bench/kafka/install.sh), to see whether a check is right. --cluster: three of them that are
one cluster, and the addresses of all three, separated by commas.
"""

import argparse
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
import cluster_harness  # noqa: E402
import harness  # noqa: E402


def broker_for(options, data_dir):
    """Or a cluster, which knows how to start, end, make topics and tell their ends as a broker does."""
    if options.cluster:
        # Applications leave it to the broker how often what they create is kept.
        settings = ["default.replication.factor=3", *options.settings]
        if options.kafka:
            return cluster_harness.kafka_cluster(data_dir, settings=settings, heap="-Xms512m -Xmx512m")
        return cluster_harness.klamm_cluster(data_dir, binary=options.binary, settings=settings)
    if options.kafka:
        return harness.Kafka(data_dir, settings=options.settings)
    return harness.Klamm(data_dir, options.binary, settings=options.settings)


def add_options(parser):
    parser.add_argument("--binary", help="the klamm to start (default: target/release/klamm, then target/debug/klamm)")
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka instead")
    parser.add_argument("--cluster", action="store_true", help="three brokers that are one cluster")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="a setting of the broker")


def show_log(broker):
    if is_cluster(broker):
        for line in broker.troubles():
            print(line, file=sys.stderr)
    for path in broker.log_paths if is_cluster(broker) else [broker.log_path]:
        if os.path.exists(path):
            with open(path, errors="replace") as file:
                print(f"{path} says last:", *map(str.rstrip, file.readlines()[-20:]), sep="\n  ", file=sys.stderr)


def is_cluster(broker):
    return isinstance(broker, cluster_harness.Cluster)


def crash(broker, dice, goes_on, coordinated=None):
    """Kill -9. A broker alone comes back; of a cluster one is lost, everything goes on without it, and it comes back. It is the controller, any,
    or the coordinator of what is `coordinated`: a key and 0 for a group, 1 for a transactional id. What was lost."""
    if not is_cluster(broker):
        broker.kill()
        broker.start()
        return "alone"
    who = dice.choice(["controller", "any"] if coordinated is None else ["controller", "any", "coordinator", "coordinator"])
    victim = {"controller": broker.controller, "any": lambda: dice.choice(list(broker.nodes)), "coordinator": lambda: broker.coordinator(*coordinated)}[who]()
    broker.kill(victim)
    goes_on()
    broker.start_node(victim)
    broker.wait_in_sync()
    return f"broker {victim} ({who})"


def restart(broker):
    """All at once, without a goodbye, so that what is read then comes from the disks' account of it."""
    broker.end()
    broker.start()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klamm-interop-") as folder:
        broker = broker_for(options, os.path.join(folder, "data"))
        try:
            took_s = broker.start()
            print(f"{broker.name} answered on {broker.address} after {took_s * 1000:.0f} ms", flush=True)
            code = subprocess.run([*options.command, broker.address], check=False).returncode
            if code != 0 or not (is_cluster(broker) or broker.alive()):
                show_log(broker)
                code = code or 1
        finally:
            if is_cluster(broker):
                broker.end()
            else:
                broker.stop()
    sys.exit(code)


if __name__ == "__main__":
    main()
