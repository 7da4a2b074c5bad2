"""The knobs of this floor. `config.py` assembles all floors' sections into one file.

What a knob does, and what it costs to turn it, stands at the knob. The hard limits that bound them are `base.limits`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from outrider.base import limits

Count = Annotated[int, Meta(ge=1, le=100_000)]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [engine] table."""

    deliver_workers: Annotated[int, Meta(ge=0, le=64)] = 0
    """Deliver processes; 0 starts one per core, at most 8. Each takes about 60 MB and one core when busy."""

    in_flight_max: Count = 500
    """Attempts at once in one deliver process. Each holds its message in memory; after a crash at most this many
    mails per process are sent twice."""

    lane_in_flight_max: Count = 40
    """Attempts at once in one lane, so that a silent domain cannot take every place."""

    marketing_ratio_max: Annotated[float, Meta(gt=0, le=1)] = 0.75
    """The share of in_flight_max and of lanes_max that marketing mail may take. The rest is kept for transactional
    mail, so that it never waits behind a campaign to slow servers."""

    lanes_max: Count = 1000
    """Lanes leased at once by one deliver process."""

    claim_count_max: Count = 100
    """Due recipients read from one lane at a time."""

    lease_s: Annotated[float, Meta(ge=2, le=3600)] = 30.0
    """How long a lane stays ours if we die. Renewed every third of it while we live; longer delays the mail of a dead
    node, shorter lets a slow database cause duplicates."""

    poll_s: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    """How often to look for due lanes when no notification came. Bounds the delay of a lost one."""

    accept_wait_s: Annotated[float, Meta(ge=0, le=0.1)] = 0.002
    """How long an accepted call waits for company before its commit."""

    accept_weight_max: Count = 1000
    """Recipients in one accept commit, about: a call is never cut."""

    settle_wait_s: Annotated[float, Meta(ge=0, le=0.1)] = 0.025
    """How long a finished attempt waits for company before its commit."""

    settle_weight_max: Count = 500
    """Attempts in one settle commit."""

    message_life_s: Annotated[float, Meta(ge=60, le=limits.MESSAGE_LIFE_S_MAX)] = 72 * 3600.0
    """How long to keep trying; then the recipient is `expired`. Longer reaches servers that are down for days, but
    customers hear of it later."""

    drafts_bytes_max: Annotated[int, Meta(ge=1_000_000, le=10_000_000_000)] = 32_000_000
    """Composed messages kept in memory by one deliver process, so that the next recipient costs only a signature."""

    stop_wait_s: Annotated[float, Meta(ge=0.1, le=600)] = 3.0
    """How long a stop waits for conversations past the final dot. What is cut off there may be sent twice."""
