"""The records of shaping that a gate works with (ADR 0020).

The providers, their rules and the reading of `shaping.toml` come with shaping itself; what an act does to a source is
`policy.throttle`.
"""

import enum
from typing import Final

import msgspec

RATES_COUNT_MAX: Final = 4  # One each per second, minute, hour and day; the gate's record has room for as many.


class Encryption(enum.StrEnum):
    """How much encryption a provider must take."""

    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"
    REQUIRED_UNVERIFIED = "required_unverified"


class Rate(msgspec.Struct, frozen=True, gc=False):
    """So many in such a time."""

    count: int
    window_s: float


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one source address may do at one provider."""

    connections: int = 5
    connections_per_site: int = 0  # 0: no bound of its own below the provider's.
    messages_per_connection: int = 50
    rates: tuple[Rate, ...] = ()  # At most `RATES_COUNT_MAX`; all of them hold.
    connection_rate: Rate | None = None
    tls: Encryption = Encryption.OPPORTUNISTIC


class Act(enum.StrEnum):
    """What a reply makes us do."""

    SLOW = "slow"
    PAUSE = "pause"
    REST = "rest"
    CAP = "cap"
    RECONNECT = "reconnect"


class Reaction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One act of one rule."""

    rule: str
    act: Act
    for_s: float = 0.0
    hits: int = 1
    within_s: float = 3600.0
    rate: Rate | None = None
    connections: int = 0
    messages_per_connection: int = 0
    is_temporary: bool = False
