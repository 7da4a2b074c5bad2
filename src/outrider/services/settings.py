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

    mailbox_proof: bool = False
    """Whether a project may prove a single mailbox on a domain that is not its own, by a link that is mailed to it. Its
    mail would fail DMARC, so it goes out with a From of the project's: `outrider sender alignment rewrite`."""
