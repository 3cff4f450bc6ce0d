"""What lies between the nodes of a cluster and their clients: a proxy for each node's two addresses, in a process of its own, that does to bytes what is asked of it.

    links = Links({1: (("127.0.0.1", 4001), ("127.0.0.1", 4002)), ...})      # for each node where it listens for nodes and for clients
    links.node_address(1), links.client_address(1)                           # what others are to be told
    links.cut(1, 2)                   # nothing more comes from 1 to 2; the other direction goes on
    links.slow(0, 2, delay_s=0.3, bytes_per_s=65536)
    links.reset(1, 2)                 # connections between the two break, once
    links.away(1); links.back(1)      # connections to 1 are refused, as where no process listens
    links.heal()

Ends are the numbers of nodes; CLIENTS is everybody else. A node says who it is by the greeting that begins each of its connections (crates/wire/src/greeting.rs), and until it has, nothing is passed
on. What is cut is not lost but waits, as with TCP, which sends it again: a connection lives on when the cut ends early enough for both its ends. Connections that are made meanwhile wait too, and the
end of a process behind a cut is not noticed on the other side.
"""

import collections
import heapq
import itertools
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
import harness  # noqa: E402

HOST = "127.0.0.1"
CLIENTS = 0
CHUNK_BYTES = 1 << 18
# As much as is on its way in one direction; the sender waits for the rest.
ON_THEIR_WAY_BYTES_MAX = 1 << 20
# size, mark, version, purpose, node
GREETING = struct.Struct(">ihhbi")
GREETING_MARK = -27757
# Closing with this breaks a connection instead of ending it.
BREAK = struct.pack("ii", 1, 0)


class Links:
    """The nearer end of the process: each call returns when it holds."""

    def __init__(self, nodes):
        self.nodes, self.ports = list(nodes), {number: harness.free_port() for number in nodes}
        doors = [[(HOST, self.ports[number] + is_clients), number, is_clients, target] for number, targets in nodes.items() for is_clients, target in enumerate(targets)]
        words = [sys.executable, os.path.abspath(__file__), json.dumps(doors)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def node_address(self, number):
        return f"{HOST}:{self.ports[number]}"

    def client_address(self, number):
        return f"{HOST}:{self.ports[number] + 1}"

    def ask(self, *words):
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the proxy has ended")
        return json.loads(answer)

    def cut(self, source, target):
        self.ask("cut", source, target)

    def part(self, ones, others):
        """Nothing between these and those, either way."""
        for one, other in itertools.product(ones, others):
            if one != other:
                self.cut(one, other)
                self.cut(other, one)

    def slow(self, source, target, delay_s, bytes_per_s=None):
        self.ask("slow", source, target, delay_s, bytes_per_s)

    def reset(self, one, other):
        """How many connections broke."""
        return self.ask("reset", one, other)

    def away(self, number):
        self.ask("away", number)

    def back(self, number):
        self.ask("back", number)

    def heal(self):
        self.ask("heal")

    def passed(self):
        """Bytes so far, by "SOURCE-TARGET"."""
        return self.ask("passed")


# --- the process -----------------------------------------------------------------------------------------------------------------------


class Door:
    """Where connections to one node come in."""

    def __init__(self, address, owner, is_clients, target):
        self.address, self.owner, self.is_clients, self.target = tuple(address), owner, is_clients, tuple(target)
        self.listener = None


class Way:
    """One direction of a connection: from a socket to the other one."""

    def __init__(self):
        self.source = self.target = None
        self.waiting, self.waiting_bytes = collections.deque(), 0  # (when due, bytes)
        self.last_due = 0.0
        self.has_ended = self.told_end = False


class Connection:
    """`socket_of[0]` is of who called, `socket_of[1]` goes to the node that the door is of; `ways[n]` begins at socket n."""

    def __init__(self, door, caller):
        self.door, self.socket_of = door, [caller, None]
        self.ends = [CLIENTS if door.is_clients else None, door.owner]
        self.ways = (Way(), Way())
        self.greeting, self.is_connected, self.watched = b"", False, [0, 0]
        self.broken = [False, False]

    def link(self, side):
        return self.ends[side], self.ends[1 - side]


class Proxy:
    def __init__(self, doors):
        self.selector, self.connections = selectors.EpollSelector(), set()
        self.cuts, self.slowed, self.bytes = set(), {}, collections.Counter()
        self.due, self.serial = [], itertools.count()
        self.doors = [Door(*about) for about in doors]
        for door in self.doors:
            self.open(door)
        self.orders = b""
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, self.obey)

    def run(self):
        while True:
            wait_s = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, events in self.selector.select(wait_s):
                key.data(events)
            while self.due and self.due[0][0] <= time.monotonic():
                _, _, connection, side = heapq.heappop(self.due)
                self.push(connection, side)

    # --- orders

    def obey(self, _):
        data = os.read(0, 1 << 16)
        if not data:
            os._exit(0)
        *lines, self.orders = (self.orders + data).split(b"\n")
        for line in lines:
            word, *about = json.loads(line)
            answer = getattr(self, f"order_{word}")(*about)
            os.write(1, json.dumps(answer).encode() + b"\n")

    def order_cut(self, source, target):
        self.cuts.add((source, target))
        self.look_again()

    def order_slow(self, source, target, delay_s, bytes_per_s):
        self.slowed[source, target] = (delay_s, bytes_per_s)

    def order_heal(self):
        self.cuts.clear()
        self.slowed.clear()
        self.look_again()

    def order_reset(self, one, other):
        broken = [it for it in self.connections if {one, other} == set(it.ends)]
        for connection in broken:
            self.close(connection)
        return len(broken)

    def order_away(self, number):
        for door in self.doors:
            if door.owner == number and door.listener:
                self.selector.unregister(door.listener)
                door.listener.close()
                door.listener = None

    def order_back(self, number):
        for door in self.doors:
            if door.owner == number and not door.listener:
                self.open(door)

    def order_passed(self):
        return {f"{source}-{target}": count for (source, target), count in self.bytes.items()}

    def open(self, door):
        door.listener = socket.create_server(door.address, backlog=512)
        door.listener.setblocking(False)
        self.selector.register(door.listener, selectors.EVENT_READ, lambda _: self.accept(door))

    def look_again(self):
        """After cuts have changed."""
        for connection in list(self.connections):
            if any(connection.broken[side] and connection.link(side) not in self.cuts for side in (0, 1)):
                self.close(connection)
                continue
            self.connect_if_reachable(connection)
            for side in (0, 1):
                if connection in self.connections:
                    self.push(connection, side)

    # --- connections

    def accept(self, door):
        # What happened at the same time may have closed it.
        if not door.listener:
            return
        try:
            caller, _ = door.listener.accept()
        except OSError:
            return
        prepare(caller)
        connection = Connection(door, caller)
        self.connections.add(connection)
        self.connect_if_reachable(connection)
        self.watch(connection)

    def connect_if_reachable(self, connection):
        """A connection is made when its ends are known and packets come through both ways."""
        if connection.ends[0] is None or connection.socket_of[1] is not None or self.cuts & {connection.link(0), connection.link(1)}:
            return
        target = socket.socket()
        prepare(target)
        target.connect_ex(connection.door.target)
        connection.socket_of[1] = target
        self.watch(connection)

    def close(self, connection):
        self.connections.discard(connection)
        for side, one in enumerate(connection.socket_of):
            if one is not None:
                if connection.watched[side]:
                    self.selector.unregister(one)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BREAK)
                one.close()

    def watch(self, connection):
        """Looks at what is of use now, and at nothing else: what is cut is not even read."""
        for side, one in enumerate(connection.socket_of):
            if one is None or connection not in self.connections:
                continue
            events = 0
            if self.reads(connection, side):
                events |= selectors.EVENT_READ
            if side == 1 and not connection.is_connected or self.is_stuck(connection, 1 - side):
                events |= selectors.EVENT_WRITE
            if events == connection.watched[side]:
                continue
            call = lambda happened, it=connection, at=side: self.ready(it, at, happened)
            if not connection.watched[side]:
                self.selector.register(one, events, call)
            elif events:
                self.selector.modify(one, events, call)
            else:
                self.selector.unregister(one)
            connection.watched[side] = events

    def reads(self, connection, side):
        way = connection.ways[side]
        if connection.ends[side] is None:
            return True
        return connection.is_connected and not way.has_ended and not connection.broken[side] and way.waiting_bytes < ON_THEIR_WAY_BYTES_MAX and connection.link(side) not in self.cuts

    def is_stuck(self, connection, side):
        """Whether something would go on if the target took it."""
        way = connection.ways[side]
        return bool(way.waiting) and way.waiting[0][0] <= time.monotonic() and connection.link(side) not in self.cuts

    def ready(self, connection, side, events):
        if connection not in self.connections:
            return
        if side == 1 and not connection.is_connected and events & selectors.EVENT_WRITE:
            if connection.socket_of[1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.close(connection)
            connection.is_connected = True
            if connection.greeting:
                self.take(connection, 0, connection.greeting)
                connection.greeting = b""
        if events & selectors.EVENT_READ:
            self.read(connection, side)
        if events & selectors.EVENT_WRITE and connection in self.connections:
            self.push(connection, 1 - side)
        self.watch(connection)

    def read(self, connection, side):
        # An order of the same moment may have cut it: what is read is passed on, so it is not read.
        if not self.reads(connection, side):
            return
        try:
            data = connection.socket_of[side].recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            return self.broke(connection, side)
        if connection.ends[side] is None:
            return self.greet(connection, data)
        if data:
            self.take(connection, side, data)
        else:
            connection.ways[side].has_ended = True
            self.push(connection, side)

    def broke(self, connection, side):
        if connection.ends[side] is not None and connection.link(side) in self.cuts:
            connection.broken[side] = True
            if connection.watched[side]:
                self.selector.unregister(connection.socket_of[side])
            connection.watched[side] = 0
        else:
            self.close(connection)

    def greet(self, connection, data):
        if not data:
            return self.close(connection)
        connection.greeting += data
        if len(connection.greeting) < GREETING.size:
            return
        _, mark, _, _, node = GREETING.unpack_from(connection.greeting)
        # Whoever does not greet is none of the nodes.
        connection.ends[0] = node if mark == GREETING_MARK else CLIENTS
        self.connect_if_reachable(connection)

    def take(self, connection, side, data):
        way, link, now = connection.ways[side], connection.link(side), time.monotonic()
        self.bytes[link] += len(data)
        delay_s, bytes_per_s = self.slowed.get(link, (0, None))
        due = max(now + delay_s, way.last_due)
        if bytes_per_s:
            due += len(data) / bytes_per_s
        way.last_due = due
        way.waiting.append((due, data))
        way.waiting_bytes += len(data)
        if due > now:
            heapq.heappush(self.due, (due, next(self.serial), connection, side))
        else:
            self.push(connection, side)

    def push(self, connection, side):
        """What is due goes on."""
        way, target = connection.ways[side], connection.socket_of[1 - side]
        if target is None or connection not in self.connections or not connection.is_connected or connection.link(side) in self.cuts:
            return self.watch(connection)
        now = time.monotonic()
        while way.waiting and way.waiting[0][0] <= now:
            due, data = way.waiting.popleft()
            try:
                sent = target.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return self.broke(connection, 1 - side)
            way.waiting_bytes -= sent
            if sent < len(data):
                way.waiting.appendleft((due, data[sent:]))
                break
        if way.has_ended and not way.waiting and not way.told_end:
            way.told_end = True
            if all(it.told_end for it in connection.ways):
                return self.close(connection)
            try:
                target.shutdown(socket.SHUT_WR)
            except OSError:
                return self.broke(connection, 1 - side)
        self.watch(connection)


def prepare(one):
    one.setblocking(False)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


if __name__ == "__main__":
    Proxy(json.loads(sys.argv[1])).run()
