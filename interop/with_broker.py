"""Run a command against a broker that lives only for it: with_broker.py [--binary KLAMM | --kafka] [--set KEY=VALUE]... COMMAND...

The broker's HOST:PORT is put behind the command's words. It listens on a free port of 127.0.0.1 with a data folder that is removed
afterwards. --kafka starts Apache Kafka instead (bench/kafka/install.sh), to see whether a check is right.
"""

import argparse
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
import harness  # noqa: E402


def broker_for(options, data_dir):
    if options.kafka:
        return harness.Kafka(data_dir, settings=options.settings)
    return harness.Klamm(data_dir, options.binary, settings=options.settings)


def add_options(parser):
    parser.add_argument("--binary", help="the klamm to start (default: target/release/klamm, then target/debug/klamm)")
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka instead")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="a setting of the broker")


def show_log(broker):
    if os.path.exists(broker.log_path):
        with open(broker.log_path, errors="replace") as file:
            print("the broker said last:", *file.readlines()[-20:], sep="\n  ", file=sys.stderr)


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
            if code != 0 or not broker.alive():
                show_log(broker)
                code = code or 1
        finally:
            broker.stop()
    sys.exit(code)


if __name__ == "__main__":
    main()
