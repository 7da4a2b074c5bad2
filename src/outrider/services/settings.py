"""The knobs of this floor: the [inbound], [identity] and [access] tables.

The first is about mail that comes back, the second about sending domains: their records, keys and what is said of them,
the third about what keys may do.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from outrider.base import limits

DomainName = Annotated[
    str, Meta(pattern=r"^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+)?\Z")
]


class InboundSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [inbound] table: mail that comes back."""

    bounce_domain: DomainName = ""
    """The domain of the envelope senders of projects without one of their own, such as `bounces.example.com`: its MX is
    this machine, its SPF record names what mail leaves from. Empty: the sender's own address, and bounces go there."""

    certificate: str = ""
    """A PEM file with a certificate and its key, for STARTTLS. Empty: none is offered."""


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [identity] table: domains that providers trust."""

    recheck_s: Annotated[float, Meta(ge=60.0, le=2_592_000.0)] = 86_400.0
    """How long after a check the DNS records of a sending domain are looked at again, a tenth sooner or later. One that
    fails, or is new, is looked at more often. Not in catch mode: there `outrider domain verify` alone asks DNS."""

    grace_s: Annotated[float, Meta(ge=0.0, le=31_536_000.0)] = 259_200.0
    """How long a domain whose records have passed may fail before it is stopped: new mail is refused, queued mail
    waits. Shorter protects its reputation sooner, longer forgives a mistake over a weekend."""

    spf_include: DomainName = ""
    """A host of yours whose SPF record names what mail leaves from, such as `_spf.example.com`. Customers then include
    it, and need not change theirs when your addresses do. Empty: their records name the addresses."""

    tracking_target: DomainName = ""
    """Where the tracking hosts of domains are to lead by CNAME, such as `track.example.com`. Empty: this machine's
    name."""

    dmarc_reports: str = ""
    """An address for the DMARC reports about sending domains, such as `dmarc@example.com`. Empty: records ask for
    none."""

    tls_reports: str = ""
    """An address for the TLS reports about return paths (RFC 8460). Empty: no such record is proposed."""

    mailbox_proof: bool = False
    """Whether a project may prove a single mailbox on a domain that is not its own, by a link that is mailed to it. Its
    mail would fail DMARC, so it goes out with a From of the project's: `outrider sender alignment rewrite`."""

    retire_after_s: Annotated[float, Meta(ge=86_400.0, le=31_536_000.0)] = 604_800.0
    """How long the record of a DKIM key must stay in DNS after the last mail it signed: that may be checked days later.
    Longer costs nothing but a record."""

    dkim_zone: DomainName = ""
    """A zone of the operator's, such as `dkim.example.net`, that holds the keys of domains which publish CNAMEs to it.
    Empty: no domain can be delegated. `outrider domain zone` prints what belongs into it."""

    rotate_delegated_every_s: Annotated[float, Meta(ge=0.0, le=315_360_000.0)] = 0.0
    """How long the keys of a delegated domain sign before new ones are made by themselves; only the operator's zone has
    to change then. Never before the last ones are retired. 0: never."""

    rotate_txt_every_s: Annotated[float, Meta(ge=0.0, le=315_360_000.0)] = 0.0
    """The same for domains that publish their keys themselves: new keys then wait until somebody has published them.
    0: never."""


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [access] table: what keys may do that say nothing of their own."""

    rate_per_minute: Annotated[int, Meta(ge=0, le=limits.KEY_PER_MINUTE_COUNT_MAX)] = 0
    """API calls a minute of a key without a rate of its own, over all processes and nodes; more are refused with 429.
    0: no limit. It protects against programs that run wild, at no cost worth naming."""
