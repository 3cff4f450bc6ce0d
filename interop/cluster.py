"""Real clients and three brokers: what they say of one another, Kafka's tools, and clients that write and read while brokers are killed one after the other. One line a check.

    interop/cluster.sh [--smoke] [--only PART OF A NAME] [--clients java,confluent,franz,klamm] [--binary KLAMM | --kafka]
"""

import argparse
import glob
import json
import os
import re
import struct
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "matrix"), os.path.join(HERE, "..", "bench")]
import with_broker  # noqa: E402
import harness  # noqa: E402
from checks import Checks, expect  # noqa: E402
from clients import CLIENTS, java  # noqa: E402
from full import Different, command  # noqa: E402
from harness import Wire  # noqa: E402
from witness import Progress, Witness  # noqa: E402

TOOL = os.path.join(HERE, "..", "bench", "kafka", "tool.sh")
NAMED = {it.name: it for it in CLIENTS}
NAMED["java"] = java("java", "Kafka's Java client", f"{os.environ['KAFKA_HOME']}/tools", hows=("range", "cooperative"))
NOT_LEADER_OR_FOLLOWER = 6
QUIET_S_MAX = 60


class Several:
    def __init__(self, cluster):
        self.cluster = cluster

    def tool(self, name, *words, address=None):
        return command(TOOL, name, "--bootstrap-server", address or self.cluster.address, *words)

    # --- what they say

    def metadata_agrees(self):
        self.cluster.create_topic("told", 6)
        told = {}
        for node in self.cluster:
            with Wire(node.address) as wire:
                said = wire.metadata(None)
            told[node.number] = (sorted(said["brokers"]), said["cluster"], said["partitions"])
            if self.cluster.name == "klamm":
                # Of Kafka any broker calls itself the controller: each passes on what is the controller's.
                expect(said["controller"] == self.cluster.controller(), f"broker {node.number} says that {said['controller']} is the controller")
        first = told[1]
        expect(all(it == first for it in told.values()), f"they say {told}")
        expect([it[0] for it in first[0]] == [1, 2, 3], f"the brokers are {first[0]}")
        leaders = [it.leader for it in first[2]["told"]]
        expect(sorted(leaders) == [1, 1, 2, 2, 3, 3], f"the leaders of 6 partitions are {leaders}")

    def wrong_broker(self):
        self.cluster.create_topic("led", 1)
        leader = self.cluster.leader("led", 0)
        for node in self.cluster:
            codes = asked_of(node.address, "led")
            wanted = 0 if node.number == leader else NOT_LEADER_OR_FOLLOWER
            # Followers serve consumers that fetch by a version that could name one; this one is older.
            expect(codes == {"Produce": wanted, "Fetch": wanted, "ListOffsets": wanted}, f"broker {node.number} answers {codes}; the leader is {leader}")

    # --- Kafka's tools

    def described(self):
        self.cluster.create_topic("described", 4)
        lines = set()
        for node in self.cluster:
            said = self.tool("TopicCommand", "--describe", "--topic", "described", address=node.address)
            expect("ReplicationFactor: 3" in said, said)
            rows = tuple(sorted(re.findall(r"Partition: (\d+)\s+Leader: (\d)\s+Replicas: (\S+)\s+Isr: (\S+)", said)))
            lines.add(rows)
        expect(len(lines) == 1 and len(rows) == 4, f"{lines}")
        expect(all(leader == replicas.split(",")[0] and sorted(replicas.split(",")) == sorted(in_sync.split(",")) == ["1", "2", "3"]
                   for _, leader, replicas, in_sync in rows), f"{rows}")

    def reassigned(self):
        """From one to two others, with records, as the tool plans it, and back to three."""
        self.cluster.create_topic("moved", 3, 1)
        batch = harness.record_batch([b"x" * 500] * 100)
        for it in self.cluster.partitions("moved"):
            with Wire(self.cluster[it.leader].address) as wire:
                for _ in range(20):
                    wire.call(0, 7, harness.produce_body("moved", it.index, batch))
        ends = self.cluster.ends("moved")
        expect(ends == [2000] * 3, f"{ends}")
        name = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
        for replicas in ([[2, 3], [3, 1], [1, 2]], [[1, 2, 3], [2, 3, 1], [3, 1, 2]], [[3], [1], [2]]):
            plan = {"version": 1, "partitions": [{"topic": "moved", "partition": at, "replicas": it} for at, it in enumerate(replicas)]}
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump(plan, file)
                file.flush()
                self.tool(name, "--reassignment-json-file", file.name, "--execute")
                self.until(lambda: "still in progress" not in (said := self.tool(name, "--reassignment-json-file", file.name, "--verify")) and "is completed" in said, "completed")
            found = [list(it.replicas) for it in self.cluster.partitions("moved")]
            expect(found == replicas, f"the replicas are {found}, not {replicas}")
            self.cluster.wait_in_sync("moved")
            self.cluster.wait_for_leaders("moved")
            expect(self.cluster.ends("moved") == ends, f"the ends are {self.cluster.ends('moved')}")
        left = lambda: [len(glob.glob(os.path.join(data, "moved-*[0-9]"))) for data in map(self.data, self.cluster)]
        self.until(lambda: left() == [1, 1, 1], "what was moved away is gone")

    def throttled(self):
        """A move takes as long as its bytes do at the rate; what is written meanwhile, there and elsewhere, waits for nothing. `--verify` takes the limits away."""
        rate, count = 1_000_000, 160
        batch = harness.record_batch([os.urandom(500)] * 100)
        size = count * len(batch)
        self.cluster.create_topic("held", 1, 1)
        self.cluster.create_topic("beside", 1)
        led_by = self.cluster.leader("held", 0)
        replicas = [led_by, next(number for number in self.cluster.nodes if number != led_by)]

        def produce(topic, address):
            begun = time.monotonic()
            with Wire(address) as wire:
                wire.call(0, 7, harness.produce_body(topic, 0, batch))
            return time.monotonic() - begun

        for _ in range(count):
            produce("held", self.cluster[led_by].address)
        plan = {"version": 1, "partitions": [{"topic": "held", "partition": 0, "replicas": replicas}]}
        name, longest_s = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", 0
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(plan, file)
            file.flush()
            begun = time.monotonic()
            self.tool(name, "--reassignment-json-file", file.name, "--execute", "--throttle", rate)
            while len(self.cluster.partitions("held")[0].in_sync) < 2:
                expect(time.monotonic() - begun < size / rate + 30, "it is not in sync")
                for topic in ("held", "beside"):
                    longest_s = max(longest_s, produce(topic, self.cluster[self.cluster.leader(topic, 0)].address))
                time.sleep(0.2)
            took_s = time.monotonic() - begun
            self.until(lambda: "is completed" in self.tool(name, "--reassignment-json-file", file.name, "--verify"), "completed")
        # A second's worth may have been saved up, at either end.
        expect(size / rate - 2 < took_s, f"{size} bytes took {took_s:.1f} s")
        expect(longest_s < 1, f"a write took {longest_s:.1f} s")
        for kind, entities in (("topics", ["held"]), ("brokers", replicas)):
            for entity in entities:
                said = self.tool("ConfigCommand", "--describe", "--entity-type", kind, "--entity-name", entity)
                expect("throttled" not in said, said)
        return f"{size} bytes at {rate} a second took {took_s:.1f} s; the longest write meanwhile {longest_s * 1000:.0f} ms"

    def until(self, holds, what, within_s=60):
        deadline = time.monotonic() + within_s
        while not holds():
            expect(time.monotonic() < deadline, f"{what}: not within {within_s} s")
            time.sleep(0.1)

    def elected(self):
        self.cluster.create_topic("elected", 3)
        self.cluster.kill(1)
        self.cluster.wait_for_leaders("elected")
        self.cluster.start_node(1)
        self.cluster.wait_in_sync()
        expect(self.cluster.leader("elected", 0) != 1 or self.cluster.partitions("elected")[0].replicas[0] != 1, "its leader was not lost")
        said = self.tool("LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions")
        expect("Successfully completed leader election" in said, said)
        wrong = [it for it in self.cluster.partitions("elected") if it.leader != it.replicas[0]]
        expect(not wrong, f"{wrong}")

    def elected_unclean(self):
        """The only one in sync is gone: whoever lacks records leads when that is asked for, and the other one follows it when it is back."""
        self.cluster.create_topic("lossy", 1, 2)
        batch = harness.record_batch([b"x" * 500] * 10)
        before = self.cluster.partitions("lossy")[0]
        has_all, lags = before.leader, next(id for id in before.replicas if id != before.leader)

        def produce():
            with Wire(self.cluster[has_all].address) as wire:
                wire.call(0, 7, harness.produce_body("lossy", 0, batch))

        produce()
        self.cluster.kill(lags)
        self.until(lambda: list(self.cluster.partitions("lossy")[0].in_sync) == [has_all], "the other one has left")
        produce()
        expect(self.cluster.ends("lossy") == [20], f"{self.cluster.ends('lossy')}")
        self.cluster.kill(has_all)
        self.cluster.start_node(lags)
        self.until(lambda: self.cluster.partitions("lossy")[0].leader not in (1, 2, 3), "nobody leads")
        said = self.tool("LeaderElectionCommand", "--election-type", "unclean", "--topic", "lossy", "--partition", "0")
        expect("Successfully completed leader election" in said, said)
        self.until(lambda: self.cluster.partitions("lossy")[0].leader == lags, "it leads")
        expect(self.cluster.ends("lossy") == [10], f"{self.cluster.ends('lossy')}")
        self.cluster.start_node(has_all)
        self.cluster.wait_in_sync("lossy")
        return self.identical(["lossy"])

    def quorum(self):
        said = self.tool("MetadataQuorumCommand", "describe", "--status")
        leader = int(re.search(r"LeaderId:\s+(\d+)", said)[1])
        expect(leader == self.cluster.controller(), said)
        voters = said[said.index("CurrentVoters"):].splitlines()[0]
        numbers = set(re.findall(r'"id": (\d)', voters)) or set(re.findall(r"\d", voters))
        expect(numbers == {"1", "2", "3"}, said)
        rows = [line.split() for line in self.tool("MetadataQuorumCommand", "describe", "--replication").splitlines() if line[:1].isdigit()]
        expect({row[0] for row in rows} == {"1", "2", "3"} and [row[0] for row in rows if row[-1] == "Leader"] == [str(leader)], f"{rows}")

    def features(self):
        """A level goes down and up again by Kafka's tool, and every broker tells it."""
        def level(name):
            rows = [line.split() for line in self.tool("FeatureCommand", "describe").splitlines() if line.startswith("Feature:")]
            return next((row[row.index("FinalizedVersionLevel:") + 1] for row in rows if row[1] == name), None)

        def refused(*words):
            try:
                self.tool("FeatureCommand", *words)
            except Different as error:
                return str(error)
            raise Different(f"{' '.join(words)} was not refused")

        expect(level("group.version") == "1", self.tool("FeatureCommand", "describe"))
        said = refused("upgrade", "--feature", "transaction.version=1")
        expect("Can't downgrade" in said, said)
        said = refused("upgrade", "--feature", "transaction.version=7")
        expect("only supports versions 0-2" in said or "7" in said, said)
        self.tool("FeatureCommand", "downgrade", "--feature", "group.version=0", "--dry-run")
        expect(level("group.version") == "1", "it was only asked")
        self.tool("FeatureCommand", "downgrade", "--feature", "group.version=0", "--feature", "transaction.version=1")
        expect((level("group.version"), level("transaction.version")) == ("0", "1"), self.tool("FeatureCommand", "describe"))
        self.tool("FeatureCommand", "upgrade", "--feature", "group.version=1", "--feature", "transaction.version=2")
        expect((level("group.version"), level("transaction.version")) == ("1", "2"), self.tool("FeatureCommand", "describe"))

    # --- reads from followers

    def read_near(self):
        """Consumers in the rack of a follower read there (librdkafka, and Java's console consumer), wait there for more, and go on elsewhere when it is lost."""
        from confluent_kafka import Consumer, TopicPartition
        self.cluster.create_topic("near", 1)
        led_by = self.cluster.leader("near", 0)
        near = self.cluster[next(number for number in self.cluster.nodes if number != led_by)]
        batch = harness.record_batch([b"x" * 500] * 100)

        def produce(times):
            with Wire(self.cluster[led_by].address) as wire:
                for _ in range(times):
                    wire.call(0, 7, harness.produce_body("near", 0, batch))

        def read(first, end):
            for wanted in range(first, end):
                message = reader.poll(30)
                expect(message is not None, f"record {wanted} was not read")
                expect(message.error() is None and message.offset() == wanted, f"{message.error()}, offset {message.offset()} for {wanted}")

        produce(40)
        reader = Consumer({"bootstrap.servers": self.cluster.address, "group.id": "near", "client.rack": rack(near.number), "enable.auto.commit": False})
        try:
            reader.assign([TopicPartition("near", 0, 0)])
            read(0, 4000)
            before = self.read_at_followers()
            produce(1)
            read(4000, 4100)
            said = self.tool("ConsoleConsumer", "--topic", "near", "--partition", "0", "--offset", "earliest", "--max-messages", "4100", "--timeout-ms", "30000",
                             "--consumer-property", f"client.rack={rack(near.number)}")
            found = said.split().count("x" * 500)
            expect(found == 4100, f"the console consumer read {found} records")
            told = self.read_at_followers()
            if told is not None:
                others = [told[number] for number in told if number != near.number]
                expect(not any(others) and 2_000_000 <= before[near.number] and before[near.number] + 2_050_000 <= told[near.number], f"read at followers: {before}, then {told}")
            self.cluster.kill(near.number)
            produce(1)
            read(4100, 4200)
        finally:
            reader.close()
        self.cluster.start_node(near.number)
        self.cluster.wait_in_sync("near")
        return f"4,200 records by librdkafka, 4,100 by the console consumer; bytes read at followers: {told}"

    def read_at_followers(self):
        """By each broker's figures; Kafka has none of that kind."""
        if self.cluster.name == "kafka":
            return None
        return {node.number: metric(node.metrics, "klamm_follower_read_bytes_total") for node in self.cluster}

    # --- losses

    def lived_through(self, checks, clients, smoke):
        witnesses = [Witness(self.cluster, it, it.hows[0]) for it in clients]
        progress = Progress(witnesses)
        try:
            progress.wait("the first records", 120)
            for it in witnesses:
                it.begin()
            for what, event in self.events(smoke):
                begun = time.monotonic()
                event(lambda: progress.wait(what))
                progress.wait(f"after {what}")
                print(f"  {what}: {time.monotonic() - begun:.1f} s", flush=True)
            progress.each(lambda it: it.stop())
            progress.until(lambda it: it.group.read == it.sent, "everything is read", 60)
            progress.each(lambda it: it.group.end())
            progress.each(lambda it: expect(self.cluster.ends(it.topic) == it.sent, f"{it.sent} records were sent, the partitions end at {self.cluster.ends(it.topic)}"))
        finally:
            for it in progress.witnesses:
                it.close()
        for it in witnesses:
            failure = progress.failures.get(it.client.name)
            told = f"{sum(it.sent or [])} records, longest silence of a partition {it.silence_s:.1f} s, {it.group.twice} read twice"
            checks.note(f"losses-{it.client.name}", failure is None, told if failure is None else " ".join(str(failure).split())[:600])
        return [it.topic for it in witnesses]

    def events(self, smoke):
        if not smoke:
            for number in self.cluster.nodes:
                yield f"the kill of broker {number}", self.loss(lambda number=number: number)
        yield "the kill of the controller", self.loss(self.cluster.controller)
        if not smoke:
            yield "the kill of the coordinator of a group", self.loss(lambda: self.cluster.coordinator("witness-confluent", 0))
        for number in self.cluster.nodes:
            yield f"a restart of broker {number}", lambda goes_on, number=number: self.rolled(number)

    def loss(self, whom):
        def event(goes_on):
            victim = whom()
            self.cluster.kill(victim)
            goes_on()
            self.cluster.start_node(victim)
            self.cluster.wait_in_sync()
        return event

    def rolled(self, number):
        self.cluster.restart_node(number)
        self.cluster.wait_in_sync()

    # --- afterwards

    def identical(self, topics):
        """Every replica's segments, byte by byte."""
        self.cluster.wait_in_sync()
        deadline = time.monotonic() + QUIET_S_MAX
        while different := list(self.different(topics)):
            expect(time.monotonic() < deadline, f"after {QUIET_S_MAX} s of quiet {different[:5]}")
            time.sleep(0.2)
        return f"{sum(len(self.cluster.partitions(it)) for it in topics)} partitions"

    def different(self, topics):
        for topic in topics:
            for it in self.cluster.partitions(topic):
                found = {number: segments(os.path.join(self.data(self.cluster[number]), f"{topic}-{it.index}")) for number in it.replicas}
                if len(set(map(tuple, found.values()))) != 1:
                    sizes = {number: [(name, len(data)) for name, data in files] for number, files in found.items()}
                    yield f"{topic}-{it.index} is {sizes}"

    def data(self, node):
        return os.path.join(node.data_dir, "logs") if self.cluster.name == "kafka" else node.data_dir


def rack(number):
    return f"rack-{number}"


def stand_in_racks(cluster):
    """Each broker in one of its own."""
    for node in cluster:
        node.settings += [f"broker.rack={rack(node.number)}", "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector"]
        if cluster.name == "klamm":
            node.metrics = f"127.0.0.1:{harness.free_port()}"


def metric(address, name):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        return next(float(line.split()[-1]) for line in page.read().decode().splitlines() if line.split(" ")[0] == name)


def segments(folder):
    return [(os.path.basename(path), open(path, "rb").read()) for path in sorted(glob.glob(os.path.join(folder, "*.log")))]


def asked_of(address, topic):
    """What a broker answers of partition 0."""
    with Wire(address) as wire:
        answer = wire.call(0, 7, harness.produce_body(topic, 0, harness.record_batch([b"x"])))
        answer.take(4 + 2 + len(topic) + 4 + 4)
        codes = {"Produce": answer.i16()}
        body = struct.pack(">iiiib", -1, 100, 0, 1 << 20, 0) + struct.pack(">i", 1) + harness.text(topic) + struct.pack(">iiqi", 1, 0, 0, 1 << 20)
        answer = wire.call(1, 4, body)
        answer.take(4 + 4 + 2 + len(topic) + 4 + 4)
        codes["Fetch"] = answer.i16()
        answer = wire.call(2, 1, struct.pack(">ii", -1, 1) + harness.text(topic) + struct.pack(">iiq", 1, 0, -1))
        answer.take(4 + 2 + len(topic) + 4 + 4)
        return {**codes, "ListOffsets": answer.i16()}


def make_checks(checks, several, options):
    checks.check("metadata-from-every-broker-agrees", several.metadata_agrees)
    checks.check("the-wrong-broker-says-so", several.wrong_broker)
    checks.check("consumers-read-in-their-racks", several.read_near)
    if not options.smoke:
        checks.check("TopicCommand-describe", several.described)
        checks.check("ReassignPartitionsCommand", several.reassigned)
        checks.check("ReassignPartitionsCommand-throttle", several.throttled)
        checks.check("LeaderElectionCommand", several.elected)
        checks.check("LeaderElectionCommand-unclean", several.elected_unclean)
        checks.check("MetadataQuorumCommand", several.quorum)
        checks.check("FeatureCommand", several.features)
    if options.only in "losses" or options.only.startswith("losses"):
        clients = [NAMED[name] for name in options.clients if options.only in f"losses-{name}"]
        topics = several.lived_through(checks, clients, options.smoke)
        checks.check("losses-leave-identical-replicas", several.identical, topics)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_broker.add_options(parser)
    parser.add_argument("--smoke", action="store_true", help="a minute: no tools, two losses")
    parser.add_argument("--clients", type=lambda words: words.split(","), default=["java", "confluent", "franz", "klamm"])
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.cluster = True
    checks = Checks(options.only)
    with tempfile.TemporaryDirectory(prefix="klamm-cluster-") as folder:
        cluster = with_broker.broker_for(options, folder)
        stand_in_racks(cluster)
        with cluster:
            print(f"three brokers answered after {cluster.start() * 1000:.0f} ms", flush=True)
            make_checks(checks, Several(cluster), options)
            if checks.failed:
                with_broker.show_log(cluster)
    checks.end()


if __name__ == "__main__":
    main()
