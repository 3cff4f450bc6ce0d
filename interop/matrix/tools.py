"""Kafka's own command-line tools against the broker; what one changes, another has to see."""

import json
import os
import re
import tempfile

from full import Different, command, expect, harness

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(HERE, "..", "..", "bench", "kafka", "tool.sh")
ABOUT = "Kafka's tools"


class Tools:
    def __init__(self, matrix, address):
        self.matrix, self.address = matrix, address

    def tool(self, name, *words):
        return command(TOOL, name, "--bootstrap-server", self.address, *words)

    def refused(self, name, *words):
        """What a tool says when the broker refuses."""
        try:
            self.tool(name, *words)
        except Different as error:
            return str(error)
        raise Different(f"{name} {' '.join(words)} was not refused")

    def filled(self, name, partitions=1, count=100, **settings):
        topic = self.matrix.topic(name, partitions, **settings)
        with harness.Wire(self.address) as wire:
            for partition in range(partitions):
                batch = harness.record_batch([b"%d" % at for at in range(count)])
                wire.call(0, 7, harness.produce_body(topic, partition, batch))
        return topic

    def ends(self, topic, partitions=1):
        with harness.Wire(self.address) as wire:
            return wire.end_offsets(topic, partitions)

    def topics(self):
        topic = self.matrix.topic("tools-topics", 2)
        name = f"{topic}-made"
        self.tool("TopicCommand", "--create", "--topic", name, "--partitions", "3", "--replication-factor", "1", "--config", "retention.ms=123456")
        described = self.tool("TopicCommand", "--describe", "--topic", name)
        expect("PartitionCount: 3" in described and "ReplicationFactor: 1" in described and "retention.ms=123456" in described, described)
        expect(name in self.tool("TopicCommand", "--list").split(), "it is not listed")
        self.tool("TopicCommand", "--alter", "--topic", name, "--partitions", "5")
        expect("PartitionCount: 5" in self.tool("TopicCommand", "--describe", "--topic", name), "it has no 5 partitions")
        expect("has 5 partition" in self.refused("TopicCommand", "--alter", "--topic", name, "--partitions", "4"), "fewer partitions are taken")
        expect("TopicExists" in self.refused("TopicCommand", "--create", "--topic", name), "it is created twice")
        self.tool("TopicCommand", "--delete", "--topic", name)
        expect(name not in self.tool("TopicCommand", "--list").split(), "it is still listed")

    def configs(self):
        topic = self.matrix.topic("tools-configs")
        entity = ["--entity-type", "topics", "--entity-name", topic]
        self.tool("ConfigCommand", "--alter", *entity, "--add-config", "retention.ms=60000,cleanup.policy=[compact,delete]")
        described = self.tool("ConfigCommand", "--describe", *entity)
        expect("retention.ms=60000" in described and "cleanup.policy=compact,delete" in described and "DYNAMIC_TOPIC_CONFIG" in described, described)
        self.tool("ConfigCommand", "--alter", *entity, "--delete-config", "retention.ms")
        described = self.tool("ConfigCommand", "--describe", "--all", *entity)
        expect(re.search(r"retention\.ms=604800000 ", described), described)
        self.refused("ConfigCommand", "--alter", *entity, "--add-config", "retention.ms=soon")
        self.refused("ConfigCommand", "--alter", *entity, "--add-config", "no.such.key=1")

    def broker_configs(self):
        with harness.Wire(self.address) as wire:
            broker = wire.metadata()["brokers"][0][0]
        described = self.tool("ConfigCommand", "--describe", "--all", "--entity-type", "brokers", "--entity-name", str(broker))
        expect("num.partitions=1" in described and "log.retention.ms" in described, described[:500])
        default = ["--entity-type", "brokers", "--entity-default"]
        self.tool("ConfigCommand", "--alter", *default, "--add-config", "log.retention.ms=7777777")
        topic = self.matrix.topic("tools-broker-configs")
        described = self.tool("ConfigCommand", "--describe", "--all", "--entity-type", "topics", "--entity-name", topic)
        self.tool("ConfigCommand", "--alter", *default, "--delete-config", "log.retention.ms")
        expect("retention.ms=7777777" in described, "the default of all brokers does not reach a topic")
        self.refused("ConfigCommand", "--alter", *default, "--add-config", "node.id=7")

    def offsets(self):
        topic = self.filled("tools-offsets", 2, 50)
        listed = self.tool("GetOffsetShell", "--topic", topic).split()
        expect(sorted(listed) == [f"{topic}:0:50", f"{topic}:1:50"], str(listed))
        earliest = self.tool("GetOffsetShell", "--topic", topic, "--time", "-2").split()
        expect(sorted(earliest) == [f"{topic}:0:0", f"{topic}:1:0"], str(earliest))
        largest = self.tool("GetOffsetShell", "--topic-partitions", f"{topic}:0", "--time", "max-timestamp").split()
        expect(len(largest) == 1 and largest[0].startswith(f"{topic}:0:"), str(largest))

    def delete_records(self):
        topic = self.filled("tools-delete-records")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"partitions": [{"topic": topic, "partition": 0, "offset": 40}], "version": 1}, file)
            file.flush()
            said = self.tool("DeleteRecordsCommand", "--offset-json-file", file.name)
        expect(re.search(r"low_watermark: 40", said), said)
        earliest = self.tool("GetOffsetShell", "--topic", topic, "--time", "-2").strip()
        expect(earliest == f"{topic}:0:40", earliest)
        console = self.tool("ConsoleConsumer", "--topic", topic, "--partition", "0", "--offset", "earliest", "--max-messages", "60", "--timeout-ms", "20000")
        expect(console.split() == [str(at) for at in range(40, 100)], console[:200])

    def api_versions(self):
        said = self.tool("BrokerApiVersionsCommand")
        expect("Produce(0): 0 to 13" in said and "Fetch(1): 4 to 18" in said, said[:600])
        return f"{len(re.findall(r'usable', said))} usable keys"

    def log_dirs(self):
        topic = self.filled("tools-log-dirs", 2)
        said = self.tool("LogDirsCommand", "--describe", "--topic-list", topic)
        described = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        found = [part for broker in described["brokers"] for folder in broker["logDirs"] for part in folder["partitions"]]
        expect(sorted(part["partition"] for part in found) == [f"{topic}-0", f"{topic}-1"], said)
        expect(all(part["size"] > 500 and part["offsetLag"] == 0 for part in found), said)

    def leader_election(self):
        topic = self.filled("tools-elections")
        said = self.tool("LeaderElectionCommand", "--election-type", "preferred", "--topic", topic, "--partition", "0")
        expect("not needed" in said.lower() or "valid replica already elected" in said.lower(), said)

    def reassignment(self):
        topic = self.filled("tools-reassign")
        with harness.Wire(self.address) as wire:
            broker = wire.metadata()["brokers"][0][0]
        plan = {"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [broker]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(plan, file)
            file.flush()
            name = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
            self.tool(name, "--reassignment-json-file", file.name, "--execute")
            said = self.tool(name, "--reassignment-json-file", file.name, "--verify")
        expect("is completed" in said, said)

    def quorum(self):
        said = self.tool("MetadataQuorumCommand", "describe", "--status")
        expect("LeaderId" in said and "ClusterId" in said, said)

    def features(self):
        said = self.tool("FeatureCommand", "describe")
        expect("metadata.version" in said and "transaction.version" in said, said)
        self.tool("FeatureCommand", "downgrade", "--feature", "group.version=0", "--dry-run")
        said = self.refused("FeatureCommand", "upgrade", "--feature", "transaction.version=1")
        expect("Can't downgrade" in said, said)

    def acls(self):
        said = self.refused("AclCommand", "--list")
        expect("SecurityDisabledException" in said or "No Authorizer" in said, said)


def run(matrix, address):
    tools = Tools(matrix, address)
    version = "4.3.1"
    for name, check in [
        ("TopicCommand", tools.topics), ("ConfigCommand-topics", tools.configs), ("ConfigCommand-brokers", tools.broker_configs),
        ("GetOffsetShell", tools.offsets), ("DeleteRecordsCommand", tools.delete_records), ("BrokerApiVersionsCommand", tools.api_versions),
        ("LogDirsCommand", tools.log_dirs), ("LeaderElectionCommand", tools.leader_election), ("ReassignPartitionsCommand", tools.reassignment),
        ("MetadataQuorumCommand", tools.quorum), ("FeatureCommand", tools.features), ("AclCommand", tools.acls),
    ]:
        matrix.check(ABOUT, version, name, check)
