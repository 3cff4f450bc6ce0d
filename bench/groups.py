"""Groups, Klamm beside Apache Kafka in one run: how soon a member has its work, what a thousand members cost, offsets a second, a start with many groups.

    python3 bench/groups.py                        everything, 5 rounds: about forty minutes
    python3 bench/groups.py --quick                does it all work: a few minutes
    python3 bench/groups.py --cases first-record commits --systems klamm

The members are of this program (group_members.py): they speak the protocol and nothing else, so that what is seen is the broker's part. They show themselves
every BEAT_MS; how soon a member hears of others' coming and going cannot be less than that, in either protocol. Rounds A B A B, the first thrown away.

Needs: cargo build --release; bench/kafka/install.sh.
"""

import argparse
import asyncio
import selectors
import struct
import sys
import time

import group_members
import harness
import run
from group_members import BEAT_MS, SESSION_MS, Hub, members_of
from harness import Wire, text

PARTITIONS = 4
SIZES = {"members": 1000, "at_once": 100, "commit_groups": 100, "commits": {"durable": 30_000, "relaxed": 50_000}, "groups": 100_000, "firsts": 20, "deaths": 3}
# How long one round goes on beginning anew: for Kafka a new group takes three seconds and more.
AGAIN_S_MAX = 10
CASES = ["first-record", "leave-classic", "leave-consumer", "death-classic", "death-consumer", "restart-classic", "restart-consumer", "commits",
         "start-with-groups"]
CONSUMER = [f"group.consumer.{least}{what}" for least in ("", "min.") for what in (f"session.timeout.ms={SESSION_MS}", f"heartbeat.interval.ms={BEAT_MS}")]


def about():
    members, at_once = SIZES["members"], SIZES["at_once"]
    beats = f"members show themselves every {BEAT_MS} ms"
    return {
        "first-record": "from connecting to the first record of a new classic group: coordinator, join, sync, offset, fetch",
        **{f"leave-{how}": f"from one member's leaving to the other's having all partitions; {beats}" for how in ("classic", "consumer")},
        **{f"death-{how}": f"from a member's last sign of life to the other's having all, less the session's {SESSION_MS} ms; {beats}"
           for how in ("classic", "consumer")},
        **{f"restart-{how}": f"{members} members of a group leave and come again, {at_once} at a time, the next when all have their work; {beats}"
           for how in ("classic", "consumer")},
        "commits": f"offset commits of {SIZES['commit_groups']} groups, each on a connection of its own, one after the other",
        "start-with-groups": f"from the start of the process to the right offset of the last of {SIZES['groups']} groups",
    }


def again(times, once_ms):
    took_ms, began = [], time.monotonic()
    while len(took_ms) < times and time.monotonic() < began + AGAIN_S_MAX:
        took_ms.append(once_ms())
    took_ms.sort()
    return {"p50_ms": took_ms[len(took_ms) // 2], "most_ms": took_ms[-1]}


class Measured(run.Bench):
    def begin(self, broker, durability, wide=False):
        """Anew, with its settings and without data; with the topic of many partitions, which takes Kafka long, or without."""
        self.restart_empty(broker, [*CONSUMER, *run.ALL_TOPICS[broker.name, durability]])
        with Wire(broker.address) as wire:
            wire.create_topic("t", PARTITIONS)
            if wide:
                wire.create_topic("wide", SIZES["members"])
            wire.call(0, 7, harness.produce_body("t", 0, harness.record_batch([b"x"]))).take(4)
            group_members.await_coordinator(wire)

    # --- cases: each gives one round's figures of one broker

    def first_record(self, broker):
        return again(SIZES["firsts"], lambda: group_members.first_record(broker.address, f"first-{self.named()}") * 1000)

    def named(self):
        self.topics += 1
        return self.topics

    def take_over(self, broker, how, dies):
        async def once():
            hub = Hub(PARTITIONS)
            one, two = members_of(how, broker.address, f"take-over-{self.named()}", "t", hub, 2)
            await hub.settled([one, two])
            began = await one.die() if dies else await one.leave()
            await hub.settled([two])
            took_ms = (time.monotonic() - began) * 1000
            await two.leave()
            return took_ms - (SESSION_MS if dies else 0)

        return again(SIZES["deaths" if dies else "firsts"], lambda: asyncio.run(once()))

    def restart_members(self, broker, how):
        async def roll():
            hub = Hub(SIZES["members"])
            members = members_of(how, broker.address, f"large-{self.named()}", "wide", hub, SIZES["members"])
            began = time.monotonic()
            await hub.settled(members)
            joined_s, began, cpu_s = time.monotonic() - began, time.monotonic(), sum(broker.cpu_s())
            for at in range(0, len(members), SIZES["at_once"]):
                some = members[at:at + SIZES["at_once"]]
                await asyncio.gather(*(it.leave() for it in some))
                for it in some:
                    it.start()
                await hub.settled(members)
            took_s, cpu_s = time.monotonic() - began, sum(broker.cpu_s()) - cpu_s
            await asyncio.gather(*(it.leave() for it in members))
            return {"restart_s": took_s, "all_joined_s": joined_s, "broker_cpu_s": cpu_s, "peak_mib": broker.resident_peak_bytes() / 1048576}

        return asyncio.run(roll())

    def commits(self, broker, durability):
        count, commits = SIZES["commit_groups"], SIZES["commits"][durability]
        before = sum(broker.cpu_s())
        took_s = self.commit_all(broker, [f"commits-{at}" for at in range(count)], commits // count)
        return {"commits_per_s": commits / took_s, "broker_us_per_commit": (sum(broker.cpu_s()) - before) / commits * 1e6}

    def commit_all(self, broker, groups, each, connections=None):
        """So many commits of each group, which are spread over the connections; every connection has one request on its way. The seconds it took."""
        connections = connections or len(groups)
        selector = selectors.DefaultSelector()
        wires = [Wire(broker.address) for _ in range(connections)]
        for at, wire in enumerate(wires):
            frames = [frame for _ in range(each) for group in groups[at::connections] for frame in [group_members.commit_frame(group, "t", 0, 1)]]
            selector.register(wire.socket, selectors.EVENT_READ, (wire, iter(frames)))
        began, left = time.monotonic(), len(wires)
        for key in list(selector.get_map().values()):
            key.fileobj.sendall(next(key.data[1]))
        while left:
            for key, _ in selector.select():
                wire, frames = key.data
                answer = wire.exactly(struct.unpack(">i", wire.exactly(4))[0])
                if answer[-2:] != b"\0\0":
                    raise SystemExit(f"{broker.name}: a commit was answered with {answer[-2:]}")
                if frame := next(frames, None):
                    wire.socket.sendall(frame)
                else:
                    selector.unregister(wire.socket)
                    left -= 1
        took_s = time.monotonic() - began
        for wire in wires:
            wire.socket.close()
        return took_s

    def start_with_groups(self, broker):
        broker.stop()
        began = time.monotonic()
        self.start(broker)
        first_ms = (time.monotonic() - began) * 1000
        with Wire(broker.address) as wire:
            for group in (f"many-{at}" for at in range(SIZES["groups"] - 100, SIZES["groups"])):
                while group_members.committed(wire, group, "t", 0) != 1:
                    time.sleep(0.001)
        return {"start_ms": (time.monotonic() - began) * 1000, "first_answer_ms": first_ms, "resident_mib": broker.resident_bytes() / 1048576}

    # --- all of it

    def all_rounds(self, case, durability, measure):
        for broker in self.brokers.values():
            self.begin(broker, durability, wide=case.startswith("restart"))
        self.rounds(case, durability, measure)

    def run(self):
        try:
            for case in self.options.cases:
                what, _, how = case.partition("-")
                if case == "first-record":
                    self.all_rounds(case, "durable", self.first_record)
                elif what in ("leave", "death"):
                    self.all_rounds(case, "durable", lambda broker: self.take_over(broker, how, what == "death"))
                elif what == "restart":
                    self.all_rounds(case, "durable", lambda broker: self.restart_members(broker, how))
                elif case == "commits":
                    for durability in self.options.durability:
                        self.all_rounds(case, durability, lambda broker: self.commits(broker, durability))
                else:
                    for broker in self.brokers.values():
                        self.begin(broker, "relaxed")
                        self.commit_all(broker, [f"many-{at}" for at in range(SIZES["groups"])], 1, connections=100)
                    self.rounds(case, "relaxed", self.start_with_groups)
        finally:
            for broker in self.brokers.values():
                broker.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_options(parser, systems=["klamm", "kafka"], cases=CASES, rounds=5, gigabytes=0)
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
        SIZES.update(members=60, at_once=20, commits={"durable": 1000, "relaxed": 2000}, groups=2000, firsts=2, deaths=1)
    run.ABOUT.update(about())
    run.LEAD.update({case: "p50_ms" for case in CASES})
    run.LEAD.update({"restart-classic": "restart_s", "restart-consumer": "restart_s", "commits": "commits_per_s", "start-with-groups": "start_ms"})
    run.report(Measured(options), options)


if __name__ == "__main__":
    sys.exit(main())
