"""Consumer groups of real clients: three members share a topic while somebody writes; one is killed, a new one joins, one leaves, all stop and one comes
back. What was read is what was written (members.py says what holds all the while). Then Kafka's tools for groups. One line a check.

    groups.py [--smoke] [--consumer-protocol] [--only PART OF A NAME] HOST:PORT
"""

import argparse
import os
import re
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "matrix"), os.path.join(HERE, "..", "bench")]
from clients import CLIENTS, Client, java  # noqa: E402
from checks import Different, expect  # noqa: E402
from full import Matrix, command  # noqa: E402
from members import SESSION_MS, Group, Writer  # noqa: E402
import group_tools  # noqa: E402

PARTITIONS = 6
# Session time-outs are counted from the last heartbeat; librdkafka looks once in a second whether one is due. A machine with other things to do may be seconds late, and a time-out that counts
# twice is not that.
SESSION_S = (SESSION_MS / 1000 - 1.5, SESSION_MS / 1000 + 5)
# Whoever goes by one protocol and comes by the other is waited for no longer than somebody who dies.
UNOWNED_S_MAX = SESSION_S[1]
# Far below the session time-out: somebody who leaves is not waited for.
LEAVE_S_MAX = 4


class Kcat(Client):
    """Tells of rebalances in words of its own, on its stderr, and commits by itself: librdkafka takes a record for done as it hands it out, and who is killed before it
    tells of it has committed it perhaps."""

    tells_by_stderr, tells_commits, untold_max = True, False, 1

    def member(self, address, topic, group, how, session_ms, heartbeat_ms):
        settings = {"session.timeout.ms": session_ms, "heartbeat.interval.ms": heartbeat_ms, "partition.assignment.strategy": how,
                    "auto.offset.reset": "earliest"}
        return ["kcat", "-b", address, "-G", group, "-u", "-f", r"record %p %o %s\n", *(f"-X{key}={value}" for key, value in settings.items()), topic]

    def heard(self, line):
        if not line.startswith("%"):
            return line
        told = re.search(r"(assigned|revoked): (.*)", line)
        return f"{told[1]} " + ",".join(re.findall(r"\[(\d+)\]", told[2])) if told else ""


KCAT = Kcat("kcat", "kcat (librdkafka, Debian)", ["kcat", "-V"], hows=("range",))
NAMED = {it.name: it for it in [*CLIENTS, KCAT]}
# What install.sh's `clients` brings.
SMOKE = [NAMED["confluent"], java("java", "Kafka's Java client", f"{os.environ['KAFKA_HOME']}/tools", hows=("range",)), NAMED["kafka_python"]]


def life(matrix, clients, how):
    """The members join by these clients in turn; the second is killed, the third leaves, the first comes back."""
    topic = matrix.topic(f"group-{'-'.join(dict.fromkeys(it.name for it in clients))}-{how}", PARTITIONS)
    with Writer(matrix.address, topic, PARTITIONS) as writer, Group(matrix.address, topic, PARTITIONS, topic) as group:
        one, two, three = (group.join(client, how) for client in clients)
        group.wait_shared([one, two, three], 60, "three members share all partitions")
        expect(group.twice == 0, f"{group.twice} records were read twice when members joined")

        orphaned = set(two.owned)
        group.kill(two)
        died_s = group.wait_read(orphaned, 30, f"partitions {orphaned} of a member that was killed are read by others")
        expect(SESSION_S[0] < died_s < SESSION_S[1], f"taken over {died_s:.1f} s after a kill, with a session time-out of {SESSION_MS / 1000:.0f} s")
        group.wait_shared([one, three], 10, "the two that are left share all partitions")
        twice = group.twice

        two = group.join(clients[1], how)
        group.wait_shared([one, two, three], 60, "three members again share all partitions")

        orphaned = set(three.owned)
        group.leave(three)
        left_s = group.wait_read(orphaned, 30, f"partitions {orphaned} of a member that left are read by others")
        expect(left_s < LEAVE_S_MAX, f"taken over {left_s:.1f} s after a member left")
        group.wait_shared([one, two], 10, "the two that have not left share all partitions")

        group.end()
        writer.write_more(100)
        ends = writer.stop()
        group.join(clients[0], how)
        group.wait(lambda: group.read == ends, 60, f"a member that comes back reads the rest, up to {ends}")
        group.end()
        expect(group.twice == twice, f"{group.twice - twice} records were read twice although nobody was killed")
    return f"taken over {died_s:.2f} s after a kill ({twice} read twice), {left_s * 1000:.0f} ms after a leave; {sum(ends)} records"


def turns(clients):
    """Each of them is once the second, which `life` kills."""
    return [clients[at:] + clients[:at] for at in range(len(clients))]


def replaced(matrix, client, before, after):
    """Members of one protocol make room one by one for members of the other, in the same group."""
    topic = matrix.topic(f"group-replaced-{client.name}-{before}-{after}", PARTITIONS)
    with Writer(matrix.address, topic, PARTITIONS) as writer, Group(matrix.address, topic, PARTITIONS, topic) as group:
        members = [group.join(client, before) for _ in range(3)]
        group.wait_shared(members, 60, "three members share all partitions")
        group.unowned_s = 0
        for at in range(3):
            group.leave(members[at])
            members[at] = group.join(client, after)
            group.wait_shared(members, 60, f"{at + 1} of three members are of the other protocol")
        ends = writer.stop()
        group.wait(lambda: group.read == ends, 60, f"everything is read, up to {ends}")
        expect(group.unowned_s < UNOWNED_S_MAX, f"a partition was nobody's for {group.unowned_s:.1f} s")
        group.end()
        expect(group.twice == 0, f"{group.twice} records were read twice")
    return f"{sum(ends)} records, no partition nobody's for more than {group.unowned_s * 1000:.0f} ms"


def subscriptions(matrix):
    """Expressions, static members and racks of the new protocol (java/Subscriptions.java)."""
    command(os.path.join(HERE, "java", "run.sh"), "Subscriptions", matrix.address, f"{matrix.topic('group-subscriptions', 1)}-")


def first_record(matrix, client):
    """From a member that connects to a new group until it tells a record that was there before. Measured, and not judged."""
    topic = matrix.topic(f"group-first-record-{client.name}", 1)
    with Writer(matrix.address, topic, 1) as writer:
        writer.write_more(1)
        writer.stop()
    took_ms = []
    for at in range(5):
        with Group(matrix.address, topic, 1, f"{topic}-{at}") as group:
            group.join(client, "range")
            group.wait(lambda: group.read[0] > 0, 30, "a record is read")
            took_ms.append(group.first_record_s * 1000)
            group.end()
    return f"first record of a new group: median {statistics.median(took_ms):.0f} ms, best {min(took_ms):.0f} ms"


def version_of(client):
    if client is KCAT:
        return re.search(r"^Version (\S+)", command("kcat", "-V"), re.MULTILINE)[1]
    return command(*client.words, "version").strip()


def run(matrix, smoke=False, consumer_protocol=False):
    versions = {}

    def check(clients, name, run, *arguments):
        about = " + ".join(dict.fromkeys(it.about for it in clients))
        if matrix.only not in f"{about} {name}":
            return
        try:
            versions.update({it.name: version_of(it) for it in clients if it.name not in versions})
        except (Different, OSError) as error:
            return matrix.note(about, "?", name, False, str(error)[:300], 0)
        matrix.check(about, " + ".join(dict.fromkeys(versions[it.name] for it in clients)), name, run, matrix, *arguments)

    mixed = [NAMED[name] for name in ("java4", "confluent", "franz")]
    java4, confluent, _ = mixed
    for client in [confluent] if smoke else mixed:
        check([client], "group-first-record", first_record, client)
    for client in SMOKE if smoke else NAMED.values():
        for how in client.hows[:1] if smoke else client.hows:
            if how != "consumer" or consumer_protocol:
                check([client], f"group-{how}", life, [client] * 3, how)
    if smoke:
        return
    for how in ("range", "roundrobin", *(["consumer"] if consumer_protocol else [])):
        check(mixed, f"group-mixed-{how}", life, mixed, how)
        for turned in turns([NAMED[name] for name in ("klamm", "confluent", "java4")]):
            check(turned, f"group-mixed-{how}-{turned[1].name}-killed", life, turned, how)
    if consumer_protocol:
        check([java4], "group-consumer-expressions-and-static-members", subscriptions)
        for client in mixed:
            for how in ("range", "cooperative"):
                check([client], f"group-{how}-members-replaced-by-new-protocol", replaced, client, how, "consumer")
            check([client], "group-new-protocol-members-replaced-by-range", replaced, client, "consumer", "range")
    group_tools.run(matrix, confluent, ["range", *(["consumer"] if consumer_protocol else [])])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="librdkafka, Java and kafka-python only")
    parser.add_argument("--consumer-protocol", action="store_true", help="KIP-848 too; groups.sh sets its session time-out in the broker")
    parser.add_argument("--only", default="")
    parser.add_argument("address")
    options = parser.parse_args()
    matrix = Matrix(options.address, options.only)
    run(matrix, options.smoke, options.consumer_protocol)
    matrix.end()


if __name__ == "__main__":
    main()
