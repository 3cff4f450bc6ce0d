"""What the scripts here have in common: checks that are made one after the other and told one a line, whatever a client throws."""

import sys
import time


class Different(Exception):
    """What was seen is not what was to be seen."""


def expect(holds, what):
    if not holds:
        raise Different(what)


def attempt(run, *arguments):
    """Whether it went well, what it has to say, and how many seconds it took."""
    begun = time.monotonic()
    try:
        good, detail = True, run(*arguments) or ""
    except Exception as error:  # whatever a client throws is this check's failure, and the others still run
        good, detail = False, f"{type(error).__name__}: {error}"
    return good, " ".join(str(detail).split())[:600], time.monotonic() - begun


# As many failures one after the other, each perhaps after a time-out of minutes, and the broker is taken to be beyond help.
FAILURES_IN_A_ROW_MAX = 4


class Checks:
    """Those that have `only` in their names."""

    def __init__(self, only=""):
        self.only, self.passed, self.failed, self.failed_in_a_row = only, 0, 0, 0

    def check(self, name, run, *arguments):
        if self.only in name:
            good, detail, took_s = attempt(run, *arguments)
            self.note(name, good, f"{detail} ({took_s:.1f} s)".strip())

    def note(self, name, good, detail=""):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        self.failed_in_a_row = 0 if good else self.failed_in_a_row + 1
        print("ok" if good else "FAIL", name, *filter(None, [detail]), flush=True)
        if self.failed_in_a_row == FAILURES_IN_A_ROW_MAX:
            print(f"{self.failed_in_a_row} failures in a row: the other checks are not made", flush=True)
            self.end()

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
