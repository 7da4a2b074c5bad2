"""What happened in a simulation: what `simulation` writes down, `simwatch` looks at and `simcheck` judges."""

from datetime import datetime
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.policy.shaping import Shaping
from outrider.testing.simdatabase import SimDatabase
from outrider.testing.simnet import SimNet
from outrider.testing.simplan import Plan


class Admission(msgspec.Struct, frozen=True):
    """Leave that a gate gave for one attempt."""

    at_s: float
    wall_at: datetime
    node: str
    source: str
    key: str
    provider: str
    pool: str
    project_id: UUID
    sender_domain: str
    stream: Stream


class Story(msgspec.Struct, kw_only=True):
    """What happened."""

    plan: Plan
    database: SimDatabase
    net: SimNet
    shaping: Shaping
    admissions: list[Admission] = []
    steps: list[tuple[float, float]] = []  # Of the wall clock: when, and how far.
    accepted: list[UUID] = []  # Sessions that customers were told of.
    complaints: list[str] = []  # Of the watch, while it ran.
    leftovers: list[str] = []  # Of processes that stopped in good order.
    longest_s: dict[str, float] = {}  # Waits, by kind: facts.
