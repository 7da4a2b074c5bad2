"""The knobs of policy: the [retry] table. `config.py` assembles all floors' sections into one file."""

from typing import Annotated

from msgspec import Meta, Struct

from outrider.base import limits

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
