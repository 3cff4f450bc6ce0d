"""What may befall a cluster of three. A fault is a generator that does its harm up to the `yield`, where the round holds on for a while, and undoes it behind it; it says what it did.

`world` has the cluster, what lies between its nodes (links.py), the dice and the small disk; `take(count)` gives it nodes that no other fault of the same round has.
"""

import glob
import json
import os
import shutil
import subprocess
import time

from checks import expect
from harness import Wire, WireError
from links import CLIENTS

# Longer than a broker's session (1 s), so that others lead, and shorter than any client's patience.
HOLD_S = (1.5, 5)
PAUSE_S = (1, 20)
REFUSED_S_MAX = 30
# A topic that is made and deleted again and again.
SCRATCH, GONE_S_MAX = "scratch", 30


def none(world):
    """So that quiet after harm is seen, too."""
    yield "nothing"


# --- processes


def kill(world, victims):
    for number in victims:
        world.kill(number)
    yield f"nodes {victims}"
    for number in world.dice.sample(victims, len(victims)):
        world.spawn(number)


def kill_one(world):
    yield from kill(world, world.take(1))


def kill_leader(world):
    yield from kill(world, world.take(1, world.cluster.leader(world.topic, 0)))


def kill_controller(world):
    yield from kill(world, world.take(1, world.cluster.controller()))


def kill_two(world):
    yield from kill(world, world.take(2))


def kill_all(world):
    yield from kill(world, world.take(3))


def pause(world, victim):
    world.cluster.pause(victim)
    yield f"node {victim}"
    world.cluster.resume(victim)


def pause_one(world):
    yield from pause(world, *world.take(1))


def pause_leader(world):
    yield from pause(world, *world.take(1, world.cluster.leader(world.topic, 0)))


def pause_controller(world):
    yield from pause(world, *world.take(1, world.cluster.controller()))


def restart_storm(world):
    """Nobody is up for long."""
    times = world.dice.randint(6, 12)
    for _ in range(times):
        number = world.dice.choice(list(world.cluster.nodes))
        if world.cluster[number].runs():
            world.kill(number)
        time.sleep(world.dice.uniform(0, 0.3))
        world.spawn(number)
        time.sleep(world.dice.uniform(0, 0.5))
    yield f"{times} kills"


def rolling_restart(world):
    """In good order, each when the one before it is in sync again."""
    took = []
    for number in world.dice.sample(list(world.cluster.nodes), 3):
        took.append(world.stop(number))
        world.spawn(number)
        world.cluster.wait_for_brokers(3)
        world.cluster.wait_in_sync()
    yield f"stops took {', '.join(f'{it:.1f}' for it in took)} s"


def wiped_disk(world):
    """Under its number, but without what it had: it must not come in, whatever it is told to join."""
    number, = world.take(1)
    node = world.cluster[number]
    world.kill(number)
    aside = node.data_dir + ".aside"
    os.rename(node.data_dir, aside)
    try:
        since = os.path.getsize(node.log_path)
        world.spawn(number)
        yield f"node {number}"
        deadline = time.monotonic() + REFUSED_S_MAX
        while node.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        code = None if node.alive() else node.process.returncode
        with open(node.log_path, errors="replace") as log:
            log.seek(since)
            said = log.read()
        expect(code == 1 and "disk" in said, f"node {number} with an empty disk under a known number ended with {code}, and said: {said[-500:]}")
    finally:
        if node.runs():
            node.kill()
        shutil.rmtree(node.data_dir)
        os.rename(aside, node.data_dir)
        world.spawn(number)


# --- links


def cut_from_nodes(world):
    """Clients reach it, and it reaches nobody."""
    one, = world.take(1)
    yield from cut_off(world, one)


def cut_off(world, one):
    world.links.part([one], world.others(one))
    yield f"node {one}"


def cut_who_leads_all(world):
    """librdkafka asks for metadata where it sent something last: as long as it writes to nobody else, that is the one that does not know."""
    one, = world.take(1)
    world.moved = True
    world.tool("cluster", "reassign", world.topic, "--to", ",".join(map(str, [one, *world.others(one)])), "--wait", must=True)
    world.tool("cluster", "elect", world.topic, must=True)
    yield from cut_off(world, one)


def cut_from_all(world):
    """It answers nothing to anybody."""
    one, = world.take(1)
    world.links.part([one], [*world.others(one), CLIENTS])
    yield f"node {one}"


def cut_from_clients(world):
    one, = world.take(1)
    world.links.part([one], [CLIENTS])
    yield f"node {one}"


def cut_from_controller(world):
    controller = world.cluster.controller()
    one = world.dice.choice(world.others(controller))
    world.links.part([one], [controller])
    yield f"node {one} from {controller}"


def cut_one_way(world):
    one, other = world.dice.sample(list(world.cluster.nodes), 2)
    world.links.cut(one, other)
    yield f"{one} to {other}"


def cut_one_way_from_all(world):
    """It hears everything and is not heard by the others, or the other way round."""
    one, = world.take(1)
    hears = world.dice.random() < 0.5
    for other in world.others(one):
        world.links.cut(*((one, other) if hears else (other, one)))
    yield f"node {one} {'is not heard' if hears else 'does not hear'}"


def cut_two(world):
    """Both see the third."""
    one, other = world.dice.sample(list(world.cluster.nodes), 2)
    world.links.part([one], [other])
    yield f"{one} and {other}"


def cut_everything(world):
    """Three that are alone."""
    for one in world.cluster.nodes:
        world.links.part([one], world.others(one))
    yield "each from each"


def flapping(world):
    """A link that is there and away, quicker than anybody decides."""
    one, other = world.dice.sample(list(world.cluster.nodes), 2)
    times = world.dice.randint(8, 20)
    for _ in range(times):
        world.links.part([one], [other])
        time.sleep(world.dice.uniform(0.02, 0.4))
        world.links.heal()
        time.sleep(world.dice.uniform(0.02, 0.4))
    yield f"{one} and {other}, {times} times"


def slow_links(world):
    """One node's, also those to clients: late, and little at a time."""
    one, = world.take(1)
    delay_s, bytes_per_s = world.dice.uniform(0.1, 1), world.dice.choice([None, 1 << 16, 1 << 18])
    for other in [*world.others(one), CLIENTS]:
        world.links.slow(one, other, delay_s, bytes_per_s)
        world.links.slow(other, one, delay_s, bytes_per_s)
    yield f"node {one}, {delay_s * 1000:.0f} ms, {f'{bytes_per_s >> 10} KiB/s' if bytes_per_s else 'any rate'}"


def dropped_connections(world):
    ends, count = [*world.cluster.nodes, CLIENTS], 0
    for _ in range(world.dice.randint(5, 20)):
        count += world.links.reset(*world.dice.sample(ends, 2))
        time.sleep(world.dice.uniform(0, 0.2))
    yield f"{count} connections"


# --- disks and leaders


def full_disk(world):
    if not world.disk:
        yield "no small disk can be mounted here"
        return
    left = world.disk.fill(world.dice.choice([0, 5_000, 100_000]))
    yield f"{left} bytes left to node {world.disk.owner}"
    world.disk.make_room()
    # Without room for metadata it may end; nothing but its start brings it back.
    if not world.cluster[world.disk.owner].runs():
        world.start_again(world.disk.owner)


def leaders_move(world):
    """Elections, other orders of replicas, and a replica less for a while."""
    numbers, moves, world.moved = list(world.cluster.nodes), [], True
    for _ in range(world.dice.randint(2, 4)):
        to = world.dice.sample(numbers, world.dice.choice([2, 3, 3]))
        moves.append("".join(map(str, to)))
        world.tool("cluster", "reassign", world.topic, "--to", ",".join(map(str, to)))
        time.sleep(world.dice.uniform(0, 1))
        world.tool("cluster", "elect", world.topic)
    yield " ".join(moves)


def topics_come_and_go(world):
    """Of one name, so that brokers which were away hear of several."""
    times, world.has_scratch = world.dice.randint(3, 8), True
    for _ in range(times):
        for change in (lambda wire: wire.request_topic(SCRATCH, 3, 3), lambda wire: wire.delete_topic(SCRATCH)):
            world.change(change)
            time.sleep(world.dice.uniform(0, 0.4))
    yield f"{times} times"


KINDS = {
    "none": none,
    "kill -9 one": kill_one,
    "kill -9 a leader": kill_leader,
    "kill -9 the controller": kill_controller,
    "kill -9 two": kill_two,
    "kill -9 all": kill_all,
    "SIGSTOP one": pause_one,
    "SIGSTOP a leader": pause_leader,
    "SIGSTOP the controller": pause_controller,
    "restart storm": restart_storm,
    "rolling restart": rolling_restart,
    "wiped disk": wiped_disk,
    "cut off from nodes": cut_from_nodes,
    "cut off who leads all": cut_who_leads_all,
    "cut off from all": cut_from_all,
    "cut off from clients": cut_from_clients,
    "cut off from the controller": cut_from_controller,
    "cut one way": cut_one_way,
    "cut one way from all": cut_one_way_from_all,
    "cut between two": cut_two,
    "all cut off": cut_everything,
    "flapping link": flapping,
    "slow links": slow_links,
    "dropped connections": dropped_connections,
    "full disk": full_disk,
    "leaders move": leaders_move,
    "topics come and go": topics_come_and_go,
}
# Those that can be at the same time: each takes nodes of its own, or only links.
TOGETHER = ["kill -9 one", "kill -9 a leader", "kill -9 the controller", "SIGSTOP one", "SIGSTOP a leader", "cut off from nodes", "cut off from all", "cut off from the controller", "cut one way",
            "cut one way from all", "cut between two", "slow links", "dropped connections", "full disk", "leaders move", "topics come and go"]
COMBINED = "two at once"
# What the others live with: every writer gets on while it lasts, within so long.
LIVED_WITH_S = {"cut off from nodes": 15, "cut off who leads all": 15}


def hold_s(kind, dice):
    return dice.uniform(*PAUSE_S) if kind.startswith("SIGSTOP") else dice.uniform(*HOLD_S)


class Disk:
    """A small file system that one node has its data on."""

    def __init__(self, folder, owner):
        self.folder, self.owner = folder, owner
        self.filler = os.path.join(folder, "filler")

    def fill(self, left):
        with open(self.filler, "wb") as file:
            room = os.statvfs(self.folder)
            size = max(0, room.f_bavail * room.f_frsize - left)
            while size > 0:
                try:
                    size -= file.write(bytes(min(size, 1 << 20)))
                    file.flush()
                except OSError:
                    break
        return left

    def make_room(self):
        os.remove(self.filler)


class World:
    def __init__(self, cluster, links, dice, disk, topic):
        self.cluster, self.links, self.dice, self.disk, self.topic = cluster, links, dice, disk, topic
        self.taken, self.notes, self.moved, self.has_scratch = set(), [], False, False

    def take(self, count, wanted=None):
        free = [it for it in self.cluster.nodes if it not in self.taken]
        chosen = [wanted] if wanted in free else self.dice.sample(free, count)
        self.taken.update(chosen)
        return chosen

    def others(self, number):
        return [it for it in self.cluster.nodes if it != number]

    def kill(self, number):
        self.cluster.kill(number)
        self.links.away(number)

    def stop(self, number):
        """Its addresses are there until it has ended."""
        took_s = self.cluster.stop_node(number)
        self.links.away(number)
        return took_s

    def spawn(self, number):
        # With the guard off it is the file system that says when it is full.
        self.cluster[number].guard = [f"log.dirs.min.free.bytes={self.dice.choice([-1, 0]) if self.disk and number == self.disk.owner else 0}"]
        self.links.back(number)
        self.cluster.spawn(number)

    def start_again(self, number):
        self.notes.append(f"node {number} had ended")
        self.cluster[number].reap()
        self.spawn(number)

    def tool(self, *words, must=False):
        """klamm's own, against whichever node answers. What cannot be done while something else is broken is no anomaly."""
        words = [self.cluster[1].binary, *words, "-b", self.address, "--timeout", "30s" if must else "2s", "--format", "json"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
        if must:
            expect(done.returncode == 0, f"{' '.join(words[1:])} ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
        return json.loads(done.stdout) if must and done.stdout.strip() else done

    def change(self, change):
        """By any of the nodes that run; whether it could be made is of no account while something is broken."""
        running = self.cluster.running()
        if not running:
            return
        try:
            with Wire(self.dice.choice(running).address, timeout_s=2) as wire:
                change(wire)
        except (OSError, WireError):
            pass

    def tidy_up(self):
        """What was moved is where it was; what was deleted is gone, also from the disks."""
        self.bring_all_replicas_back()
        if self.has_scratch:
            self.wait_gone(SCRATCH)
            self.has_scratch = False

    def wait_gone(self, topic):
        deadline = time.monotonic() + GONE_S_MAX
        while True:
            self.change(lambda wire: wire.delete_topic(topic))
            known = [it.name for it in self.cluster if self.knows(it, topic)]
            left = [path for it in self.cluster for path in glob.glob(os.path.join(it.data_dir, f"{topic}-*"))]
            if not known and not left:
                return
            expect(time.monotonic() < deadline, f"{topic} was deleted {GONE_S_MAX} s ago; {known} know of it, {left} are there")
            time.sleep(0.1)

    def knows(self, node, topic):
        with Wire(node.address, timeout_s=5) as wire:
            return topic in wire.metadata(None)["topics"]

    @property
    def address(self):
        return ",".join(self.links.client_address(it) for it in self.cluster.nodes)

    def bring_all_replicas_back(self):
        if self.moved:
            self.tool("cluster", "reassign", self.topic, "--to", ",".join(map(str, self.cluster.nodes)), "--wait", must=True)
            self.moved = False

    def heal(self):
        """Everybody runs, and reaches everybody."""
        self.links.heal()
        self.taken.clear()
        for node in self.cluster:
            if node.number in self.cluster.paused:
                self.cluster.resume(node.number)
            if not node.runs():
                self.start_again(node.number)
