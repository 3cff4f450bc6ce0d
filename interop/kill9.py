"""kill -9 during load: every acknowledged record is there afterwards, once, at the offset it was acknowledged at, in order.

    interop/kill9.sh [--rounds 20] [--partitions 4] [--seed N] [--binary KLAMM | --kafka]

One producer lives through all the rounds (load.py).
"""

import argparse
import os
import random
import sys
import tempfile
import time

import with_broker
from harness import Wire
from load import Load, problems, read_all

TOPIC = "kill9"


def attempt(options, broker):
    dice = random.Random(options.seed)
    broker.start()
    with Wire(broker.address) as wire:
        wire.create_topic(TOPIC, options.partitions)
    load = Load(broker.address, TOPIC, options.partitions, options.seed)
    load.start()
    for number in range(1, options.rounds + 1):
        time.sleep(dice.uniform(0.3, 2.0))
        broker.kill()
        # Taken after the kill: whatever was answered before it is in here.
        safe = load.safe()
        start_s = broker.start()
        with Wire(broker.address) as wire:
            wire.wait_for_leaders(TOPIC, options.partitions)
            ends = wire.end_offsets(TOPIC, options.partitions)
        print(f"round {number}: back after {start_s * 1000:.0f} ms, {sum(safe)} records acknowledged, ends {ends}", flush=True)
        if any(end < least for end, least in zip(ends, safe)):
            yield f"round {number}: the ends {ends} are below the acknowledged {safe}"
        if load.fatal is not None:
            break
    time.sleep(1)
    left = load.finish()
    if load.fatal is not None:
        yield f"the producer gave up: {load.fatal}"
    if left or load.refused:
        yield f"{left} records without an answer, {len(load.refused)} refused: {load.refused[:1]}"
    # Once more, so that what is read comes from the disk's account of it.
    broker.kill()
    broker.start()
    with Wire(broker.address) as wire:
        wire.wait_for_leaders(TOPIC, options.partitions)
        ends = wire.end_offsets(TOPIC, options.partitions)
    found = read_all(broker.address, TOPIC, options.partitions, ends)
    if sum(map(len, found)) != sum(ends):
        yield f"{sum(map(len, found))} records came back where the ends say {sum(ends)}"
    yield from problems(load, found)
    count = load.acknowledged_count()
    if count < 100 * options.rounds:
        yield f"only {count} records were acknowledged: the load did not run"
    print(f"{count} acknowledged of {sum(load.sent)} sent, {sum(ends)} in the log, longest silence {load.silence_s:.2f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_broker.add_options(parser)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="klamm-kill9-") as folder:
        broker = with_broker.broker_for(options, os.path.join(folder, "data"))
        try:
            found = list(attempt(options, broker))
            if found:
                with_broker.show_log(broker)
        finally:
            if broker.pid is not None:
                broker.kill()
    for problem in found:
        print("FAIL kill9", problem)
    if not found:
        print(f"ok kill9 {options.rounds} rounds")
    print(f"{0 if found else 1} passed, {len(found)} failed", flush=True)
    sys.exit(1 if found else 0)


main()
