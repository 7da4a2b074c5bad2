"""The knobs of this floor: the [inbound] and [identity] tables."""

from typing import Annotated

import msgspec
from msgspec import Meta

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
