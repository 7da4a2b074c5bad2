"""The last word on one recipient: what a server said, or why nobody said anything.

Invariant: exactly one of `reply` and `cause` is set. Policy reads nothing else to judge (`policy.classify`).
"""

import enum

import msgspec

from outrider.base.vocab import Phase
from outrider.wire.reply import Reply


class Cause(enum.StrEnum):
    """Why there is no reply."""

    TIMEOUT = "timeout"  # The peer was silent for longer than we wait.
    REFUSED = "refused"  # Nobody listens on that port.
    RESET = "reset"  # The connection was lost, by the peer, the network or our stop.
    UNREACHABLE = "unreachable"  # No way to that address.
    TLS = "tls"  # Encryption was required or agreed on, and could not be had.
    PROTOCOL = "protocol"  # The peer sent something that is no SMTP, or spoke out of turn.
    NO_HOST = "no_host"  # The site has no address we may use.
    UNSUPPORTED = "unsupported"  # That server cannot take this: it lacks SMTPUTF8 or AUTH.
    TOO_LARGE = "too_large"  # Over the size that server announced; it was not asked.
    DNS_TEMPORARY = "dns_temporary"  # The name servers failed or were silent.
    DNS_NO_DOMAIN = "dns_no_domain"  # The domain does not exist, or has no mail host and no address.
    DNS_NULL_MX = "dns_null_mx"  # The domain says that it takes no mail. RFC 7505.
    EXPIRED = "expired"  # Its time was over before it could be tried again; nobody was asked.
    SUPPRESSED = "suppressed"  # The address gets no mail from this project; nobody was asked.
    INTERNAL = "internal"  # Ours: out of sockets, or a bug.


class Answer(msgspec.Struct, frozen=True):
    """What a server said, or why nobody did, and where in the attempt that was."""

    phase: Phase
    reply: Reply | None
    cause: Cause | None = None

    def __post_init__(self) -> None:
        assert (self.reply is None) != (self.cause is None)

    @property
    def is_ambiguous(self) -> bool:
        """The peer may have taken the message: a retry may be a duplicate, giving up a loss. RFC 1047."""
        return self.reply is None and self.phase is Phase.DOT
