"""The knobs of policy: [retry] and [shaping]. `config.py` assembles all floors' sections into one file.

Bounds of single values are checked when the file is read. Whether a provider exists and a rate can be read is known
only with the data: `shaping.parse` says it, at the start too.
"""

import enum
from typing import Annotated

from msgspec import Meta, Struct, field

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


class Encryption(enum.StrEnum):
    """What a provider must offer before it gets our mail."""

    OPPORTUNISTIC = "opportunistic"  # TLS if offered, whatever the certificate; else in the clear.
    REQUIRED = "required"  # No mail without TLS and a certificate that holds.
    REQUIRED_UNVERIFIED = "required_unverified"  # No mail without TLS, whatever the certificate.


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one provider. What is not set stays as it is. All of them hold per source address."""

    connections: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Open connections at once to the provider as a whole."""

    connections_per_site: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    """Open connections at once to one set of MX hosts of the provider, such as one company at Microsoft 365. 0: no
    bound of its own."""

    messages_per_connection: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Mails after which a connection is closed. Too many annoys the provider, too few costs a handshake a mail."""

    rates: Annotated[str, Meta(max_length=200)] | None = None
    """Mails in a time, up to four with commas: `10/s, 600/min, 20000/h, 100000/d`. Empty: no limit."""

    connection_rate: Annotated[str, Meta(max_length=40)] | None = None
    """New connections in a time, such as `100/min`. Empty: no limit."""

    tls: Encryption | None = None
    """What the provider must offer. `required` defers all mail to a server whose certificate does not hold."""


class ShapingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [shaping] table: what to change in the limits that come with Outrider."""

    file: str = ""
    """A TOML file of your own providers and reply rules, relative to the data directory. They come before ours; one of
    the same name replaces ours."""

    providers: dict[str, Override] = field(default_factory=dict)
    """Limits of one provider, whatever the pool; `default` is every domain without a provider of its own."""

    pools: dict[str, dict[str, Override]] = field(default_factory=dict)
    """Limits of one provider in one pool; they win over those of the provider."""
