"""One question to DNS and what came of it, as a value: what those who look and those who judge share."""

import enum

import msgspec


class Outcome(enum.StrEnum):
    """What came of a question."""

    FOUND = "found"
    EMPTY = "empty"  # The name exists, records of that type do not.
    NO_NAME = "no_name"  # NXDOMAIN, or a name that cannot be one.
    LOOP = "loop"  # CNAMEs that lead in a circle, or on and on.
    TIMED_OUT = "timed_out"
    FAILED = "failed"  # SERVFAIL, REFUSED, nonsense, no server to ask.

    @property
    def is_temporary(self) -> bool:
        """Nobody could tell."""
        return self in (Outcome.TIMED_OUT, Outcome.FAILED)


class Look(msgspec.Struct, frozen=True):
    """One question and its answer."""

    name: str
    type: str  # "TXT", "CNAME", "MX", "A", "AAAA" or "PTR".
    outcome: Outcome
    values: tuple[str, ...] = ()  # Not empty if and only if FOUND. TXT: strings joined. MX: "10 mx.example".
    string_counts: tuple[int, ...] = ()  # Of each TXT value, in how many strings it came.
    chain: tuple[str, ...] = ()  # The CNAMEs followed, in order; of type CNAME none: there they are values.


class Question(msgspec.Struct, frozen=True):
    """What to ask."""

    name: str
    type: str
