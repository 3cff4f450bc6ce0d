"""Several brokers that are one cluster: Klamm's nodes, or Apache Kafka's (broker and controller in one, KRaft), started, disturbed and looked at.

    cluster = klamm_cluster(folder)             # or kafka_cluster(folder); 3 nodes with the numbers 1, 2, 3
    cluster.start()                             # all at once; start([3, 1, 2]) in that order
    cluster.create_topic("t", 12)               # on all nodes; returns when all are in sync
    cluster.kill(cluster.leader("t", 0))        # -9
    cluster.wait_for_leaders("t")
    cluster.start_node(1); cluster.wait_in_sync()
    cluster.end()                               # kills what runs
"""

import base64
import os
import time
import uuid

import harness
from harness import Wire, WireError

WAIT_S = 60


class KlammNode(harness.Klamm):
    """`node_address` is where the others find it: who puts something in between sets it before the start, `prefix` for words before the program's, and
    `metrics` for an address at which its figures are told."""

    def __init__(self, number, data_dir, binary=None, settings=()):
        super().__init__(data_dir, binary, f"klamm {number}", settings)
        self.number, self.join, self.prefix, self.metrics = number, None, [], None
        self.node_listen = self.node_address = f"{self.host}:{self.port + 1}"

    def spawn(self):
        options = ["--node-id", str(self.number), "--node-listen", self.node_listen, "--join", self.join]
        if self.node_address != self.node_listen:
            options += ["--set", f"node.advertised.listener={self.node_address}"]
        if self.metrics is not None:
            options += ["--metrics-listen", self.metrics]
        super().spawn(*options)

    def popen(self, words):
        super().popen([*self.prefix, *words])


class KafkaNode(harness.Kafka):
    def __init__(self, number, data_dir, settings=(), heap="-Xms1g -Xmx1g"):
        super().__init__(data_dir, f"kafka {number}", settings, heap)
        self.number, self.node_address = number, f"{self.host}:{self.port + 1}"
        self.voters = self.cluster_id = None

    def spawn(self):
        super().spawn(KAFKA_NODE_ID=str(self.number), KAFKA_VOTERS=self.voters, KAFKA_CLUSTER_ID=self.cluster_id)


class Cluster:
    """Nodes are named by their numbers. Questions go to those that run and do not stand still."""

    def __init__(self, name, nodes):
        self.name, self.nodes, self.paused = name, {it.number: it for it in nodes}, set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def __iter__(self):
        return iter(self.nodes.values())

    def __getitem__(self, number):
        return self.nodes[number]

    @property
    def address(self):
        """All of them, for clients."""
        return ",".join(it.address for it in self)

    @property
    def log_paths(self):
        return [it.log_path for it in self]

    def running(self):
        return [it for it in self if it.runs() and it.number not in self.paused]

    # --- starts and ends

    def start(self, order=None):
        """The seconds until every one has answered that all are there."""
        begun = time.monotonic()
        for number in order or self.nodes:
            self.spawn(number)
        self.wait_for_brokers(len(order or self.nodes))
        return time.monotonic() - begun

    def spawn(self, number):
        """Does not wait for anything."""
        node = self[number]
        os.makedirs(node.data_dir, exist_ok=True)
        if isinstance(node, KlammNode):
            node.join = ",".join(it.node_address for it in self)
        else:
            node.voters = ",".join(f"{it.number}@{it.node_address}" for it in self)
        node.spawn()

    def start_node(self, number):
        """The seconds until every one that runs knows it."""
        begun = time.monotonic()
        self.spawn(number)
        self.wait_for_brokers(len(self.running()))
        return time.monotonic() - begun

    def kill(self, number):
        """The crash: no goodbye to anyone."""
        self.paused.discard(number)
        self[number].kill()

    def stop_node(self, number):
        """In good order; the seconds it took."""
        begun = time.monotonic()
        self[number].stop()
        return time.monotonic() - begun

    def restart_node(self, number):
        self.stop_node(number)
        return self.start_node(number)

    def pause(self, number):
        self.paused.add(number)
        self[number].pause()

    def resume(self, number):
        self[number].resume()
        self.paused.discard(number)

    def end(self):
        """Whatever state they are in; their data stay."""
        for node in self:
            if node.runs():
                node.kill()
        self.paused.clear()

    def remove_data(self):
        for node in self:
            node.remove_data()

    # --- what they take

    def cpu_s(self):
        """User and system seconds of all that run, so far."""
        each = [it.cpu_s() for it in self if it.runs()]
        return sum(user for user, _ in each), sum(system for _, system in each)

    def resident_bytes(self):
        return [it.resident_bytes() for it in self if it.runs()]

    # --- what they say

    def ask(self, question, within_s=WAIT_S, why="an answer"):
        """What the first of those that run answers to `question(wire)`, asked again until it is something."""
        deadline, last = time.monotonic() + within_s, None
        while True:
            for node in self.running():
                try:
                    with Wire(node.address, timeout_s=5) as wire:
                        if (answer := question(wire)) is not None:
                            return answer
                except (OSError, WireError) as error:
                    last = f"{node.name}: {error}"
            if time.monotonic() > deadline:
                raise WireError(f"{self.name}: no {why} within {within_s} s; {last}")
            time.sleep(0.005)

    def metadata(self, topics=None, within_s=WAIT_S):
        return self.ask(lambda wire: wire.metadata(topics), within_s)

    def partitions(self, topic):
        return self.metadata([topic])["partitions"][topic]

    def leader(self, topic, partition):
        """Of those that run; waits until there is one."""
        numbers = {it.number for it in self.running()}
        known = lambda wire: next((it.leader for it in wire.metadata([topic])["partitions"][topic] if it.index == partition and it.leader in numbers), None)
        return self.ask(known, why=f"leader of {topic}-{partition}")

    def controller(self):
        """Of those that run; waits until there is one."""
        numbers = {it.number for it in self.running()}
        return self.ask(lambda wire: leader if (leader := wire.quorum_leader()) in numbers else None, why="controller")

    def coordinator(self, key, kind):
        """Of those that run; `kind` is 0 for a group, 1 for a transactional id."""
        numbers = {it.number for it in self.running()}
        return self.ask(lambda wire: number if (number := wire.coordinator(key, kind)) in numbers else None, why=f"coordinator of {key}")

    def troubles(self):
        """For whoever looks into a failure: what each says of partitions that are not led, or not in sync."""
        for node in self:
            if not node.runs() or node.number in self.paused:
                yield f"{node.name} does not run"
                continue
            try:
                with Wire(node.address, timeout_s=5) as wire:
                    said, leader = wire.metadata(None), wire.quorum_leader()
            except (OSError, WireError) as error:
                yield f"{node.name} does not answer: {error}"
                continue
            yield f"{node.name} knows the brokers {[it[0] for it in said['brokers']]}, controller {leader}"
            for topic, partitions in said["partitions"].items():
                yield from (f"{node.name} says of {topic}: {it}" for it in partitions if not (self.nodes.get(it.leader) and self[it.leader].runs()) or set(it.in_sync) != set(it.replicas))

    # --- what is waited for: all that run have to say so

    def wait(self, holds, why, within_s=WAIT_S):
        """Until `holds(wire)` for each of them; the seconds it took."""
        begun, left, last = time.monotonic(), self.running(), None
        while left:
            for node in list(left):
                try:
                    with Wire(node.address, timeout_s=5) as wire:
                        if holds(wire):
                            left.remove(node)
                except (OSError, WireError) as error:
                    last = f"{node.name}: {error}"
                if not node.runs():
                    raise WireError(f"{node.name} has ended; see {node.log_path}")
            if left and time.monotonic() - begun > within_s:
                raise WireError(f"{self.name}: {', '.join(it.name for it in left)} did not say {why} within {within_s} s; {last}")
            if left:
                time.sleep(0.005)
        return time.monotonic() - begun

    def wait_for_brokers(self, count, within_s=WAIT_S):
        """Also until somebody leads the metadata."""
        took_s = self.wait(lambda wire: len(wire.metadata()["brokers"]) == count, f"{count} brokers", within_s)
        self.controller()
        return took_s

    def wait_for_leaders(self, topic, within_s=WAIT_S):
        """That run, and know themselves that they lead."""
        numbers = {it.number for it in self.running()}
        led = lambda partitions: len(partitions) > 0 and all(it.leader in numbers for it in partitions)
        begun = time.monotonic()
        self.wait(lambda wire: led(wire.metadata([topic])["partitions"][topic]), f"leaders of {topic}", within_s)
        while True:
            try:
                self.ends(topic)
                return time.monotonic() - begun
            except (OSError, WireError):
                if time.monotonic() - begun > within_s:
                    raise

    def wait_in_sync(self, topic=None, within_s=WAIT_S):
        """Every replica of every partition, or of one topic's."""
        topics = None if topic is None else [topic]
        whole = lambda found: all(set(it.in_sync) == set(it.replicas) and it.leader in it.replicas for partitions in found.values() for it in partitions)
        return self.wait(lambda wire: whole(wire.metadata(topics)["partitions"]), "that all are in sync", within_s)

    # --- topics

    def create_topic(self, topic, partitions, replication_factor=None, **settings):
        factor = len(self.nodes) if replication_factor is None else replication_factor
        self.ask(lambda wire: wire.request_topic(topic, partitions, factor, **settings) or True)
        self.wait_for_leaders(topic)
        self.wait_in_sync(topic)

    def delete_topic(self, topic):
        self.ask(lambda wire: wire.delete_topic(topic) or True)

    def ends(self, topic):
        """Where the partitions end, as their leaders say."""
        partitions, ends = self.partitions(topic), {}
        for number in {it.leader for it in partitions}:
            if number not in self.nodes:
                raise WireError(f"{topic} has partitions without a leader")
            with Wire(self[number].address) as wire:
                ends |= wire.ends_of(topic, [it.index for it in partitions if it.leader == number])
        return [ends[it.index] for it in partitions]


def klamm_cluster(folder, count=3, binary=None, settings=()):
    return Cluster("klamm", [KlammNode(number, os.path.join(folder, f"klamm-{number}"), binary, settings) for number in range(1, count + 1)])


def kafka_cluster(folder, count=3, settings=(), heap="-Xms1g -Xmx1g"):
    least = max(1, count - 1)
    internal = [f"offsets.topic.replication.factor={count}"]
    for kind in ("transaction.state.log", "share.coordinator.state.topic"):
        internal += [f"{kind}.replication.factor={count}", f"{kind}.min.isr={least}"]
    nodes = [KafkaNode(number, os.path.join(folder, f"kafka-{number}"), [*internal, *settings], heap) for number in range(1, count + 1)]
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
    for node in nodes:
        node.cluster_id = cluster_id
    return Cluster("kafka", nodes)
