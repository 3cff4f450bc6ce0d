"""Kafka's own tools for groups; what one changes, another has to see."""

import json

from checks import Different, expect
from full import harness
from members import Group
from tools import ABOUT, TOOL, Tools

PARTITIONS, RECORDS = 2, 100


class GroupTools(Tools):
    def groups(self, *words):
        return self.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *words)

    def rows(self, *words):
        """The table that a description is, as a dictionary a row, and what stands before it."""
        lines = [line.split() for line in self.groups("--describe", *words).splitlines()]
        header = next((at for at, line in enumerate(lines) if line[:1] == ["GROUP"]), None)
        if header is None:
            return []
        return [dict(zip(lines[header], line)) for line in lines[header + 1:] if line]

    def offsets(self, group):
        """(committed, end, lag) of each partition."""
        rows = self.rows("--group", group, "--offsets")
        return {int(it["PARTITION"]): (it["CURRENT-OFFSET"], it["LOG-END-OFFSET"], it["LAG"]) for it in rows}

    def refused_groups(self, *words):
        try:
            said = self.groups(*words)
        except Different as refusal:
            return str(refusal)
        # Some refusals leave it at words.
        expect("Error" in said, f"{' '.join(words)} was not refused: {said}")
        return said

    def expect_offsets(self, group, committed, what):
        wanted = {partition: (str(committed), str(RECORDS), str(RECORDS - committed)) for partition in range(PARTITIONS)}
        found = self.offsets(group)
        expect(found == wanted, f"{what}: the offsets are {found}, not {wanted}")

    def numbered(self, name):
        """Values as members.py has them."""
        topic = self.matrix.topic(name, PARTITIONS)
        with harness.Wire(self.address) as wire:
            for partition in range(PARTITIONS):
                batch = harness.record_batch([b"%d-%d" % (partition, at) for at in range(RECORDS)])
                wire.call(0, 7, harness.produce_body(topic, partition, batch))
        return topic

    def described(self, client, how):
        """A group with one member: listed, described, and nothing of it is changed while it lives."""
        group = topic = self.numbered(f"tools-described-{how}")
        with Group(self.address, topic, PARTITIONS, group) as members:
            members.join(client, how)
            members.wait(lambda: members.committed == [RECORDS] * PARTITIONS, 60, "everything is read and committed")
            expect(group in self.groups("--list").split(), "it is not listed")
            expect([group, "Stable"] in [[line.split()[0], line.split()[-1]] for line in self.groups("--list", "--state").splitlines()], "it is not stable")
            expect(group not in self.groups("--list", "--state", "Empty").split(), "it is listed among the empty ones")
            self.expect_offsets(group, RECORDS, "of a group with a member")
            owners = {it["CONSUMER-ID"] for it in self.rows("--group", group)}
            expect(len(owners) == 1 and "-" not in owners, f"the owners of the partitions are {owners}")
            (row,) = self.rows("--group", group, "--members", "--verbose")
            expect(row["CONSUMER-ID"] in owners and row["#PARTITIONS"] == str(PARTITIONS), str(row))
            expect(f"{topic}:0,1" in str(row) or f"{topic}(0,1)" in str(row), f"what it has been given is not told: {row}")
            (row,) = self.rows("--group", group, "--state")
            strategy = {"consumer": "uniform"}.get(how, how)
            expect(row["STATE"] == "Stable" and row["#MEMBERS"] == "1" and row["ASSIGNMENT-STRATEGY"] == strategy, str(row))
            reset = ["--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute"]
            expect("inactive" in self.refused_groups(*reset), "offsets are reset while a member reads")
            expect("not empty" in self.refused_groups("--delete", "--group", group), "a group with a member is deleted")
            members.end()
        (row,) = self.rows("--group", group, "--state")
        expect(row["STATE"] == "Empty" and row["#MEMBERS"] == "0", str(row))
        self.expect_offsets(group, RECORDS, "of a group without members")
        self.groups("--delete", "--group", group)
        expect(group not in self.groups("--list").split(), "it is listed though it is deleted")

    def reset(self):
        """Offsets of a group that has had no member yet are set, read from by the console consumer, and deleted."""
        group = topic = self.numbered("tools-reset")
        reset = ["--reset-offsets", "--group", group, "--topic", topic]
        self.groups(*reset, "--to-offset", "40", "--execute")
        self.expect_offsets(group, 40, "after --to-offset")
        self.groups(*reset, "--to-earliest", "--dry-run")
        self.expect_offsets(group, 40, "after a dry run")
        count = PARTITIONS * (RECORDS - 40)
        said = self.tool("ConsoleConsumer", "--topic", topic, "--group", group, "--max-messages", str(count), "--timeout-ms", "30000")
        wanted = [f"{partition}-{offset}" for partition in range(PARTITIONS) for offset in range(40, RECORDS)]
        expect(sorted(said.split()) == sorted(wanted), f"the console consumer read {len(said.split())} values: {said[:100]}")
        self.expect_offsets(group, RECORDS, "after the console consumer")
        self.groups(*reset, "--to-earliest", "--execute")
        self.expect_offsets(group, 0, "after --to-earliest")
        # Nothing was written in the last zero seconds, and everything in the last hour.
        self.groups(*reset, "--by-duration", "PT0S", "--execute")
        self.expect_offsets(group, RECORDS, "after --by-duration PT0S")
        self.groups(*reset, "--by-duration", "PT1H", "--execute")
        self.expect_offsets(group, 0, "after --by-duration PT1H")
        self.groups("--delete-offsets", "--group", group, "--topic", f"{topic}:0")
        expect(set(self.offsets(group)) == {1}, "the offset of partition 0 is there though it is deleted")
        self.groups("--delete", "--group", group)
        expect(group not in self.groups("--list").split(), "it is listed though it is deleted")

    def verifiable(self):
        topic, count = self.matrix.topic("tools-verifiable", PARTITIONS), 1000
        written = events(self.tool("VerifiableProducer", "--topic", topic, "--max-messages", str(count)))
        acknowledged = [it for it in written if it["name"] == "producer_send_success"]
        expect(len(acknowledged) == count, f"{len(acknowledged)} of {count} records were acknowledged")
        read = events(self.tool("VerifiableConsumer", "--topic", topic, "--group-id", topic, "--max-messages", str(count), "--verbose",
                                "--reset-policy", "earliest"))
        place = lambda it: (it["partition"], it["offset"], it["value"])
        found = [place(it) for it in read if it["name"] == "record_data"]
        expect(sorted(found) == sorted(map(place, acknowledged)), f"{len(found)} records were read, or they differ")
        committed = [it for it in read if it["name"] == "offsets_committed"]
        expect(committed and all(it["success"] for it in committed), f"the commits were {committed[:3]}")
        names = {it["name"] for it in read}
        expect({"partitions_assigned", "partitions_revoked", "shutdown_complete"} <= names, f"it told {names}")
        return f"{count} records"

    def performance(self):
        topic, count = self.filled("tools-performance", PARTITIONS, 2000), 2000 * PARTITIONS
        said = self.tool("ConsumerPerformance", "--topic", topic, "--group", topic, "--num-records", str(count), "--timeout", "30000")
        header, row = (line.split(", ") for line in said.splitlines()[-2:])
        found = dict(zip(header, row))
        expect(found["data.consumed.in.nMsg"] == str(count), said)
        return f"{count} records, rebalanced within {found['rebalance.time.ms']} ms"


def events(said):
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def run(matrix, client, hows):
    tools = GroupTools(matrix, matrix.address)
    version = "4.3.1"
    for how in hows:
        matrix.check(ABOUT, version, f"ConsumerGroupCommand-{how}", tools.described, client, how)
    for name, check in [
        ("ConsumerGroupCommand-reset-offsets", tools.reset), ("VerifiableProducer-and-VerifiableConsumer", tools.verifiable),
        ("ConsumerPerformance", tools.performance),
    ]:
        matrix.check(ABOUT, version, name, check)
