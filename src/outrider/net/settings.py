"""The knobs of the network floor: the [net] table. `config.py` assembles all floors' sections into one file.

The waits default to what RFC 5321 §4.5.3.2 asks for and may only be lowered: a lower one gives a slow peer's slot back
sooner and defers mail that a patient sender would have delivered.
"""

from typing import Annotated

from msgspec import Meta, Struct

from outrider.base import limits
from outrider.policy.settings import EhloName
from outrider.wire.smtp_client import Waits

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class NetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [net] table."""

    ehlo_name: EhloName = ""
    """What a source without a name of its own is called; "" takes this machine's name. Receivers want it to resolve."""

    source: str = ""
    """The address to send from, IPv4 or IPv6, where a source has none of its own; "" lets the system choose."""

    connections_max: Annotated[int, Meta(ge=1, le=50_000)] = 1000
    """Connections of this process at once, idle ones included; the oldest idle one makes room. Each is a descriptor."""

    idle_s: Seconds = 30.0
    """How long a connection may wait for its next message. Longer saves handshakes and holds the receiver's slots."""

    host_bad_s: Seconds = 60.0
    """How long an address that failed is tried after all others of its site."""

    tls_broken_s: Annotated[float, Meta(gt=0, le=7 * 86400)] = 3600.0
    """How long a host whose opportunistic TLS failed gets its mail in the clear, before TLS is tried again."""

    tls_verify: bool = True
    """Check the certificate where TLS is required. Without it, anybody on the way can pose as the smart host."""

    allow_plaintext_auth: bool = False
    """Send the password of every smart host that offers no TLS in the clear: whoever is on the way reads it. One on
    this machine (`localhost`, 127.0.0.1, ::1) needs no leave for that."""

    connect_wait_s: Annotated[float, Meta(gt=0, le=limits.COMMAND_WAIT_S)] = 30.0
    """For the TCP connection. A host that is up answers in one; the next host waits meanwhile."""

    greeting_wait_s: Annotated[float, Meta(gt=0, le=limits.GREETING_WAIT_S)] = limits.GREETING_WAIT_S
    """For the first reply. Busy receivers delay it on purpose."""

    command_wait_s: Annotated[float, Meta(gt=0, le=limits.COMMAND_WAIT_S)] = limits.COMMAND_WAIT_S
    """For the reply to EHLO, STARTTLS, AUTH, MAIL and RCPT, each."""

    tls_wait_s: Annotated[float, Meta(gt=0, le=limits.COMMAND_WAIT_S)] = limits.TLS_HANDSHAKE_WAIT_S
    """For the whole TLS handshake."""

    data_start_wait_s: Annotated[float, Meta(gt=0, le=limits.DATA_START_WAIT_S)] = limits.DATA_START_WAIT_S
    """For the reply to DATA."""

    data_block_wait_s: Annotated[float, Meta(gt=0, le=limits.DATA_BLOCK_WAIT_S)] = limits.DATA_BLOCK_WAIT_S
    """For the peer to take another part of the body."""

    data_end_wait_s: Annotated[float, Meta(gt=0, le=limits.DATA_END_WAIT_S)] = limits.DATA_END_WAIT_S
    """For the reply to the final dot. A lower one makes duplicates: the peer may have the message."""

    smtp_port: Port = 25
    """Where mail hosts listen. Another one is for tests."""

    allow_private_mx: bool = False
    """Deliver to loopback and private addresses that DNS names: strangers' MX records then reach into our network."""

    dns_server: str = ""
    """HOST:PORT of the name server to ask; "" takes the system's."""

    dns_wait_s: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """For the whole answer to one DNS question, retries included."""


def waits_of(settings: NetSettings) -> Waits:
    """Return the waits of a session."""
    return Waits(
        greeting_s=settings.greeting_wait_s,
        command_s=settings.command_wait_s,
        tls_s=settings.tls_wait_s,
        data_start_s=settings.data_start_wait_s,
        data_block_s=settings.data_block_wait_s,
        data_end_s=settings.data_end_wait_s,
    )
