"""The knobs of policy: the [retry] and [warmup] tables. `config.py` assembles all floors' sections into one file."""

from typing import Annotated

from msgspec import Meta, Struct, field

from outrider.base import limits
from outrider.policy.warmup import Plan

Delay = Annotated[float, Meta(gt=0, le=limits.RETRY_DELAY_S_MAX)]


class RetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [retry] table. Each delay is spread by 15 % either way."""

    first_s: Delay = 60.0
    """After the first attempt; every further one doubles it. Shorter hammers servers that are down."""

    delay_s_max: Delay = limits.RETRY_DELAY_S_MAX
    """Never wait longer than this. Longer delays the mail of a server that comes back."""

    greylist_s: Delay = 300.0
    """At least this after a greylisting. Most want five minutes; sooner only restarts their clock."""

    rate_s: Delay = 600.0
    """At least this after "too fast". Gmail asks for ten minutes; sooner makes it last longer."""

    slow_s: Delay = 1800.0
    """At least this when only a person can mend it: a full mailbox, DNS records, a block list."""


class WarmupSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [warmup] table. Which source follows which plan is said where the source is."""

    file: str = ""
    """A TOML file with plans of your own, a table each, as in policy/warmup.toml; empty for none."""

    plans: dict[str, Plan] = field(default_factory=dict)
    """More plans of your own, `[warmup.plans.NAME]`. They win over the file, the file over the built-in ones."""
