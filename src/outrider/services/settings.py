"""The knobs of this floor: the [inbound] and [access] tables."""

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


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [access] table: what keys may do that say nothing of their own."""

    rate_per_minute: Annotated[int, Meta(ge=0, le=limits.KEY_PER_MINUTE_COUNT_MAX)] = 0
    """API calls a minute of a key without a rate of its own, over all processes and nodes; more are refused with 429.
    0: no limit. It protects against programs that run wild, at no cost worth naming."""
