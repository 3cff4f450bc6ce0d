"""The checker of history.py finds each anomaly in a history that has it, and nothing in one that has none: python3 interop/history_test.py"""

import unittest

from history import CHECKS, Assigned, Begun, Committed, History, Told, problems

PLACE, OTHER, BANK, BANK_TOO = "t-0", "t-1", "bank-0", "bank-1"


def good():
    """Two writers, two readers, a group of two, and three transactions of which the second is aborted."""
    history = History()
    for offset, writer in enumerate("aabab"):
        history.acknowledge(PLACE, (writer, history.send(PLACE, writer)), offset)
    # Written, but never acknowledged.
    history.send(PLACE, "a")
    log = [(0, ("a", 0)), (1, ("a", 1)), (2, ("b", 0)), (3, ("a", 2)), (4, ("b", 1)), (5, ("a", 3))]
    history.poll("reader", 0, PLACE, log[:3])
    history.poll("reader", 0, PLACE, log[3:])
    history.group += [Assigned(1.0, "one", PLACE), Begun(1.0, "one", PLACE, 0), Committed(2.0, 2.1, "one", PLACE, 3), Told(2.5, PLACE, 3), Assigned(3.0, "two", PLACE),
                      Begun(3.0, "two", PLACE, 3), Committed(4.0, 4.1, "two", PLACE, 6)]
    history.poll("one", 1, PLACE, log[:5])
    history.poll("two", 1, PLACE, log[3:])
    history.transactional = {BANK, BANK_TOO}
    for place in (BANK, BANK_TOO):
        history.sent[place]["run"] = 3
    history.transactions = {("run", 0): True, ("run", 1): False}
    history.poll("reader", 0, BANK, [(0, ("run", 0, "-5")), (4, ("run", 2, "-7"))])
    history.poll("reader", 0, BANK_TOO, [(0, ("run", 0, "5")), (4, ("run", 2, "7"))])
    return history


class Controls(unittest.TestCase):
    def finds(self, *kinds, history):
        self.assertEqual(sorted({it.kind for it in problems(history)}), sorted(kinds), "\n".join(map(str, problems(history))))

    def test_nothing_is_found_where_nothing_is(self):
        self.finds(history=good())
        self.finds(history=History())

    def test_lost_write(self):
        history = good()
        history.acknowledge(PLACE, ("a", history.send(PLACE, "a")), 6)
        history.poll("reader", 0, PLACE, [(7, ("b", history.send(PLACE, "b")))])
        self.finds("lost write", history=history)

    def test_acknowledged_without_a_place(self):
        history = good()
        history.acknowledge(PLACE, ("a", 3), None)
        self.finds(history=history)
        history.acknowledge(PLACE, ("a", history.send(PLACE, "a")), None)
        self.finds("lost write", history=history)

    def test_unseen(self):
        history = good()
        history.acknowledge(PLACE, ("b", history.send(PLACE, "b")), 6)
        self.finds("unseen", history=history)

    def test_duplicate(self):
        history = good()
        history.poll("reader", 0, PLACE, [(6, ("a", 3))])
        self.finds("duplicate", history=history)

    def test_inconsistent_offset_between_readers(self):
        history = good()
        history.sent[OTHER]["a"] = 2
        history.poll("reader", 0, OTHER, [(0, ("a", 0))])
        history.poll("another", 0, OTHER, [(0, ("a", 1))])
        self.finds("inconsistent offset", history=history)

    def test_inconsistent_offset_between_acknowledgement_and_reader(self):
        history = good()
        history.acknowledge(PLACE, ("a", 3), 6)
        self.finds("inconsistent offset", history=good_with_other_value_at_6(history))

    def test_reordered(self):
        history = good()
        history.sent[OTHER]["a"] = 2
        history.poll("reader", 0, OTHER, [(0, ("a", 1)), (1, ("a", 0))])
        self.finds("reordered", history=history)

    def test_nonmonotonic_send(self):
        history = good()
        history.acknowledge(OTHER, ("a", history.send(OTHER, "a")), 1)
        history.acknowledge(OTHER, ("a", history.send(OTHER, "a")), 0)
        history.poll("reader", 0, OTHER, [(0, ("a", 1)), (1, ("a", 0))])
        self.finds("nonmonotonic send", "reordered", history=history)

    def test_never_written(self):
        for value in (("a", 99), ("nobody", 0), ("a", -1)):
            history = good()
            history.sent[OTHER]["a"] = 1
            history.poll("reader", 0, OTHER, [(0, value)])
            self.finds("never written", history=history)

    def test_nonmonotonic_poll(self):
        history = good()
        history.poll("reader", 0, PLACE, [(5, ("a", 3))])
        self.finds("nonmonotonic poll", history=history)

    def test_a_new_session_may_begin_anywhere(self):
        history = good()
        history.poll("reader", 1, PLACE, [(1, ("a", 1))])
        self.finds(history=history)

    def test_poll_skip(self):
        history = good()
        history.poll("another", 0, PLACE, [(0, ("a", 0)), (1, ("a", 1)), (4, ("b", 1))])
        self.finds("poll skip", history=history)

    def test_aborted_read(self):
        history = good()
        history.poll("another", 0, BANK, [(2, ("run", 1, "-1"))])
        history.poll("another", 0, BANK_TOO, [(2, ("run", 1, "1"))])
        # Who read the others' went past it.
        self.finds("aborted read", "poll skip", history=history)

    def test_torn_transaction(self):
        history = good()
        history.sent[BANK]["run"] = 4
        history.poll("reader", 0, BANK, [(6, ("run", 3, "-2"))])
        self.finds("torn transaction", history=history)

    def test_lost_transaction(self):
        history = good()
        history.transactions["run", 3] = True
        self.finds("lost transaction", history=history)

    def test_write_cycle(self):
        history = good()
        for place in (BANK, BANK_TOO):
            history.sent[place]["run"] = 5
        history.poll("reader", 0, BANK, [(6, ("run", 3, "-2")), (8, ("run", 4, "-2"))])
        history.poll("reader", 0, BANK_TOO, [(6, ("run", 4, "2")), (8, ("run", 3, "2"))])
        self.finds("write cycle", history=history)

    def test_committed_offset_back_for_the_next_owner(self):
        history = good()
        history.group += [Assigned(5.0, "one", PLACE), Begun(5.0, "one", PLACE, 2)]
        self.finds("committed offset back", history=history)

    def test_committed_offset_back_for_who_asks(self):
        history = good()
        history.group.append(Told(5.0, PLACE, 5))
        self.finds("committed offset back", history=history)

    def test_two_owners(self):
        history = good()
        history.group.append(Committed(5.0, 5.1, "one", PLACE, 6))
        self.finds("two owners", history=history)

    def test_who_is_given_a_partition_again_may_commit(self):
        history = good()
        history.group += [Assigned(5.0, "one", PLACE), Committed(6.0, 6.1, "one", PLACE, 6)]
        self.finds(history=history)

    def test_group_skip(self):
        history = good()
        history.sent[OTHER]["a"] = 3
        history.poll("reader", 0, OTHER, [(0, ("a", 0)), (1, ("a", 1)), (2, ("a", 2))])
        history.group += [Assigned(5.0, "one", OTHER), Committed(6.0, 6.1, "one", OTHER, 3)]
        history.poll("one", 5, OTHER, [(0, ("a", 0))])
        history.poll("one", 6, OTHER, [(2, ("a", 2))])
        self.finds("group skip", history=history)

    def test_every_check_has_a_control(self):
        controls = " ".join(it for it in dir(self) if it.startswith("test_"))
        self.assertEqual([it.__name__ for it in CHECKS if f"test_{it.__name__}" not in controls], [])


def good_with_other_value_at_6(history):
    """("a", 3), which is read at 5, is acknowledged at 6, where something else is read."""
    history.poll("reader", 0, PLACE, [(6, ("b", history.send(PLACE, "b")))])
    return history


if __name__ == "__main__":
    unittest.main()
