"""What a check-up says: one value a check, and what they come to together. For `outrider doctor`.

    ok    it is as it should be, or nobody needs it
    warn  mail goes out, but somebody should look
    fail  mail does not go out, does not come back, or will not arrive
    skip  nobody could tell, or it does not apply; `seen` says why

A check's name is `area.thing` and never changes; `subject` tells two of the same name apart. Whoever makes a check that
warns or fails says in `advice` what to change, with the line to write.
"""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec


class CheckState(enum.StrEnum):
    """What came of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Area(enum.StrEnum):
    """What a check is about: the first half of its name. The order is that of the table."""

    SETTINGS = "settings"
    DATABASE = "database"
    CLOCK = "clock"
    PORTS = "ports"
    QUEUE = "queue"
    TLS = "tls"
    CONTENT = "content"
    EGRESS = "egress"
    BLOCKLIST = "blocklist"
    DOMAIN = "domain"


class Check(msgspec.Struct, frozen=True):
    """One check."""

    name: str  # "egress.ptr".
    state: CheckState
    seen: str  # One sentence: what was found, or why nobody looked.
    advice: str = ""  # What to do; "" where there is nothing to be done.
    subject: str = ""  # The address, domain or record it is about; "": this node.

    @property
    def area(self) -> Area:
        """What it is about."""
        return Area(self.name.partition(".")[0])


_WORST_FIRST: Final = (CheckState.FAIL, CheckState.WARN, CheckState.OK, CheckState.SKIP)


def ok(name: str, seen: str, subject: str = "") -> Check:
    """Return that it is well."""
    return Check(name, CheckState.OK, seen, "", subject)


def warn(name: str, seen: str, advice: str, subject: str = "") -> Check:
    """Return that somebody should look."""
    return Check(name, CheckState.WARN, seen, advice, subject)


def fail(name: str, seen: str, advice: str, subject: str = "") -> Check:
    """Return that it does not work."""
    return Check(name, CheckState.FAIL, seen, advice, subject)


def skip(name: str, why: str, advice: str = "", subject: str = "") -> Check:
    """Return that nobody can tell, or that it does not apply."""
    return Check(name, CheckState.SKIP, why, advice, subject)


def arranged(checks: Iterable[Check]) -> list[Check]:
    """Return them by area, and the worst first within one subject's."""
    areas = list(Area)
    return sorted(checks, key=lambda one: (areas.index(one.area), one.subject, _WORST_FIRST.index(one.state), one.name))


def counted(checks: Iterable[Check]) -> Mapping[CheckState, int]:
    """Return how many there are of each state, all four named."""
    counts = Counter(one.state for one in checks)
    return {state: counts[state] for state in CheckState}


def worst(checks: Iterable[Check]) -> CheckState:
    """Return the worst state; skipped ones are none."""
    states = {one.state for one in checks}
    return next((state for state in _WORST_FIRST if state in states), CheckState.OK)
