"""What clients wrote, were told and read, and what must not be in it: the anomalies of Jepsen's kafka workload, and those of groups and of transactions.

A place is a partition, "topic-0". A value is (writer, number) or, in a transaction, (writer, number, part): each writer numbers what it writes to a place from 0, or its transactions. Threads add to a
history side by side; `problems` looks at it when all have ended. history_test.py has a history with each anomaly.
"""

import bisect
import collections
import itertools
import typing

# As many examples of one kind at one place are told.
EXAMPLES_MAX = 3


class Poll(typing.NamedTuple):
    """What one poll gave of one place. From one session to the next the reader may have been told to begin elsewhere."""

    reader: str
    session: int
    place: str
    records: list  # (offset, value)


class Assigned(typing.NamedTuple):
    at: float
    member: str
    place: str


class Begun(typing.NamedTuple):
    """The first record that a member read since a partition was assigned to it."""

    assigned_at: float
    member: str
    place: str
    offset: int


class Committed(typing.NamedTuple):
    asked_at: float
    answered_at: float
    member: str
    place: str
    offset: int


class Told(typing.NamedTuple):
    """The committed offset that the coordinator told to who asked."""

    asked_at: float
    place: str
    offset: int


class Problem(typing.NamedTuple):
    kind: str
    place: str
    what: str

    def __str__(self):
        return f"{self.kind}: {self.place}: {self.what}"


class History:
    def __init__(self):
        self.sent = collections.defaultdict(collections.Counter)  # place -> writer -> how many, or what its last number may be at most and one more
        self.acknowledged = collections.defaultdict(dict)  # place -> value -> offset
        self.placeless = collections.defaultdict(set)  # place -> values that were acknowledged as written before, without a word of where
        self.polls = []
        self.group = []  # Assigned, Begun, Committed, Told
        self.transactions, self.parts = {}, 2  # (writer, number) -> whether it was told to be committed; and of how many parts each is
        self.transactional = set()  # places

    def send(self, place, writer):
        """The number of the next value."""
        number = self.sent[place][writer]
        self.sent[place][writer] += 1
        return number

    def acknowledge(self, place, value, offset):
        if offset is None or offset < 0:
            self.placeless[place].add(value)
        else:
            self.acknowledged[place][value] = offset

    def poll(self, reader, session, place, records):
        self.polls.append(Poll(reader, session, place, records))


class Seen:
    """A history by places."""

    def __init__(self, history):
        self.history = history
        self.at = collections.defaultdict(lambda: collections.defaultdict(set))  # place -> offset -> values
        self.read_at = collections.defaultdict(lambda: collections.defaultdict(set))  # place -> value -> offsets where it was read
        self.sessions = collections.defaultdict(list)  # (reader, session, place) -> records in the order of reading
        for poll in history.polls:
            self.sessions[poll.reader, poll.session, poll.place] += poll.records
            for offset, value in poll.records:
                self.at[poll.place][offset].add(value)
                self.read_at[poll.place][value].add(offset)
        self.known = {place: sorted(offsets) for place, offsets in self.at.items()}
        for place, values in history.acknowledged.items():
            for value, offset in values.items():
                self.at[place][offset].add(value)

    def between(self, place, after, before):
        """The offsets that somebody read a value at."""
        known = self.known.get(place, [])
        return known[bisect.bisect_right(known, after):bisect.bisect_left(known, before)]

    def highest(self, place):
        known = self.known.get(place)
        return known[-1] if known else -1


# --- what one partition must not show


def lost_write(seen):
    """Acknowledged, and nobody read it, though what lies behind it was read, or all that there was."""
    for place, values in seen.history.placeless.items():
        yield from ((place, f"{value} was acknowledged") for value in sorted(values) if value not in seen.read_at[place])
    for place, values in seen.history.acknowledged.items():
        highest = seen.highest(place)
        yield from ((place, f"{value} was acknowledged at {offset}") for value, offset in values.items() if offset <= highest and value not in seen.read_at[place])


def unseen(seen):
    """Acknowledged behind all that was read to the end."""
    for place, values in seen.history.acknowledged.items():
        highest = seen.highest(place)
        yield from ((place, f"{value} was acknowledged at {offset}") for value, offset in values.items() if offset > highest and value not in seen.read_at[place])


def duplicate(seen):
    for place, values in seen.read_at.items():
        yield from ((place, f"{value} is at {sorted(offsets)}") for value, offsets in values.items() if len(offsets) > 1)


def inconsistent_offset(seen):
    for place, offsets in seen.at.items():
        yield from ((place, f"at {offset} are {sorted(values)}") for offset, values in offsets.items() if len(values) > 1)


def reordered(seen):
    """What one writer wrote is read in another order than it was sent in."""
    for place, known in seen.known.items():
        if place in seen.history.transactional:
            continue
        last = {}
        for offset in known:
            # Values at the same offset are no order.
            for writer, number, *_ in sorted(seen.at[place][offset]):
                if number < last.get(writer, -1):
                    yield place, f"{writer} {number} at {offset} is behind {last[writer]}"
                last[writer] = number


def nonmonotonic_send(seen):
    """A later value of one writer was acknowledged at a lower offset."""
    for place, values in seen.history.acknowledged.items():
        last = {}
        for (writer, number, *_), offset in sorted(values.items()):
            if offset <= last.get(writer, -1):
                yield place, f"{writer} {number} was acknowledged at {offset}, one before it at {last[writer]}"
            last[writer] = offset


def never_written(seen):
    for place, values in seen.read_at.items():
        sent = seen.history.sent[place]
        yield from ((place, f"{value} at {min(offsets)}") for value, offsets in values.items() if not 0 <= value[1] < sent.get(value[0], 0))


def nonmonotonic_poll(seen):
    for (reader, _, place), records in seen.sessions.items():
        yield from ((place, f"{reader} read {after} after {before}") for (before, _), (after, _) in itertools.pairwise(records) if after <= before)


def poll_skip(seen):
    """A reader went past records that others were given."""
    for (reader, _, place), records in seen.sessions.items():
        for (before, _), (after, _) in itertools.pairwise(records):
            # Most follow each other.
            if after > before + 1 and (skipped := seen.between(place, before, after)):
                yield place, f"{reader} read {after} after {before}, and not {skipped[:EXAMPLES_MAX]}"


# --- transactions


def by_transaction(seen):
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    for place in seen.history.transactional:
        for value, offsets in seen.read_at.get(place, {}).items():
            found[value[:2]][place] |= {(offset, value) for offset in offsets}
    return found


def aborted_read(seen):
    """G1a."""
    for name, parts in by_transaction(seen).items():
        if seen.history.transactions.get(name) is False:
            yield ", ".join(sorted(parts)), f"{name} was told to be aborted"


def torn_transaction(seen):
    """Some of it is read and, to the end, the rest is not."""
    for name, parts in by_transaction(seen).items():
        count = sum(len({value for _, value in values}) for values in parts.values())
        if count != seen.history.parts:
            yield ", ".join(sorted(parts)), f"{name} has {count} parts of {seen.history.parts}"


def lost_transaction(seen):
    found = by_transaction(seen)
    yield from (("everywhere", f"{name} was told to be committed") for name, committed in seen.history.transactions.items() if committed and name not in found)


def write_cycle(seen):
    """G0, of one writer: its transactions follow each other in one order everywhere. (Transactions of several may lie between each other in Kafka.)"""
    for place in sorted(seen.history.transactional):
        last = {}
        for offset in seen.known.get(place, []):
            for writer, number, *_ in sorted(seen.at[place][offset]):
                if number < last.get(writer, -1):
                    yield place, f"{writer} {number} at {offset} is behind {last[writer]}"
                last[writer] = max(number, last.get(writer, -1))


# --- groups


def committed_offset_back(seen):
    """Whoever begins, or asks, gets an offset below one that was acknowledged before."""
    commits = collections.defaultdict(list)
    for event in seen.history.group:
        if isinstance(event, Committed):
            commits[event.place].append((event.answered_at, event.offset))
    for event in seen.history.group:
        if isinstance(event, (Begun, Told)):
            asked_at = event.assigned_at if isinstance(event, Begun) else event.asked_at
            best = max((offset for at, offset in commits[event.place] if at < asked_at), default=0)
            if event.offset < best:
                yield event.place, f"{event} is below {best}, which was committed before"


def two_owners(seen):
    """A commit of a member that a newer owner's commit came before: the group had given the partition away."""
    assigned = collections.defaultdict(list)
    commits = collections.defaultdict(list)
    for event in seen.history.group:
        if isinstance(event, Assigned):
            assigned[event.member, event.place].append(event.at)
        elif isinstance(event, Committed):
            commits[event.place].append(event)

    def owns_since(commit):
        return max((at for at in assigned[commit.member, commit.place] if at <= commit.asked_at), default=0.0)

    for place, all_of in commits.items():
        newest, answered = (0.0, None), sorted(all_of, key=lambda it: it.answered_at)
        by_asked, at = sorted(all_of, key=lambda it: it.asked_at), 0
        for commit in by_asked:
            while answered[at].answered_at < commit.asked_at:
                newest = max(newest, (owns_since(answered[at]), answered[at].member))
                at += 1
            if newest[1] not in (None, commit.member) and owns_since(commit) < newest[0]:
                yield place, f"{commit} was taken, after {newest[1]} had committed as a newer owner"


def group_skip(seen):
    """Committed, and no member read it."""
    committed, read = collections.Counter(), collections.defaultdict(set)
    members = {event.member for event in seen.history.group if isinstance(event, Assigned)}
    for event in seen.history.group:
        if isinstance(event, Committed):
            committed[event.place] = max(committed[event.place], event.offset)
    for (reader, _, place), records in seen.sessions.items():
        if reader in members:
            read[place].update(offset for offset, _ in records)
    for place, end in committed.items():
        if missing := [offset for offset in seen.between(place, -1, end) if offset not in read[place]]:
            yield place, f"{len(missing)} offsets below {end}, the first {missing[0]}"


CHECKS = (lost_write, unseen, duplicate, inconsistent_offset, reordered, nonmonotonic_send, never_written, nonmonotonic_poll, poll_skip,
          aborted_read, torn_transaction, lost_transaction, write_cycle, committed_offset_back, two_owners, group_skip)


def problems(history):
    """Every kind at every place once, with how many there are and examples."""
    seen, found = Seen(history), []
    for check in CHECKS:
        by_place = collections.defaultdict(list)
        for place, what in check(seen):
            by_place[place].append(what)
        for place, whats in sorted(by_place.items()):
            more = f" (and {len(whats) - EXAMPLES_MAX} more)" if len(whats) > EXAMPLES_MAX else ""
            found.append(Problem(check.__name__.replace("_", " "), place, "; ".join(whats[:EXAMPLES_MAX]) + more))
    return found
