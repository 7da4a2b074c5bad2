"""The knobs of this floor: the [inbound] table."""

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
