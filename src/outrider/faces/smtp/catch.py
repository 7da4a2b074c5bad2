"""The SMTP receiver of catch mode: takes every message for anybody and keeps it in the mailbox.

It listens on loopback only. `250` to the final dot means that the message is on disk. SIZE, 8BITMIME, SMTPUTF8 and
PIPELINING are offered; octets are kept as they came, lines may be longer than the standard allows, so that what is
wrong with a message can be looked at. There is no TLS and no AUTH: nothing leaves the machine.

Bounded: `limits.CAUGHT_*` says how many conversations, how large a message, how long a silence. A message that cannot
be stored is answered 452 (no space) or 451, so the sender tries again. The protocol is aiosmtpd's, run on our own loop.
Source: RFC 5321, RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 2920 (PIPELINING).
"""

import asyncio
import errno
import ipaddress
import re
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from outrider.base import limits
from outrider.base.errors import ConfigError
from outrider.faces.smtp.listener import LibraryTalk, Listener, refuse
from outrider.mail import verp
from outrider.obs.log import Logger
from outrider.services.catch import Mailbox

HOST_NAME: Final = "catch.outrider.invalid"  # What the receiver calls itself; RFC 2606 §2: never a real host.
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What nearly every client says; anything else goes the library's long way through its header parser (ten times slower).
_PLAIN_PATH: Final = re.compile(r"<([^\s<>\"@]+@[^\s<>\"@]+)>(.*)", re.DOTALL)


class CatchServer(Listener):
    """Listens on `host`, a loopback address, from `start` to `stop`; both are safe twice."""

    def __init__(self, mailbox: Mailbox, host: str, port: int, *, log: Logger) -> None:
        """Raise ConfigError if `host` is not a loopback address."""
        try:
            is_loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            is_loopback = False
        if not is_loopback:
            raise ConfigError(f"The catch receiver listens on loopback only (127.0.0.1 or ::1), not on {host!r}.")
        super().__init__(host, port)
        self._receiver: Final = _Receiver(mailbox, log)

    def make_protocol(self) -> asyncio.BaseProtocol:
        """Return a conversation, or a refusal when there are enough."""
        if len(self.conversations) >= limits.CAUGHT_CONVERSATIONS_COUNT_MAX:
            return _Refusal()
        return _Talk(self._receiver, self.conversations)


class _Refusal(asyncio.Protocol):
    """Says that we are full and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        refuse(transport)


class _Talk(LibraryTalk):
    """One connection. `others` holds those that are open."""

    line_length_limit = limits.CAUGHT_LINE_BYTES_MAX

    def __init__(self, receiver: "_Receiver", others: set[LibraryTalk]) -> None:
        super().__init__(
            receiver,
            data_size_limit=limits.CAUGHT_MESSAGE_BYTES_MAX,
            enable_SMTPUTF8=True,
            decode_data=False,
            hostname=HOST_NAME,
            ident="Outrider catch mailbox",
            timeout=limits.CAUGHT_WAIT_S,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )
        self._others: Final = others

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._others.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._others.discard(self)
        super().connection_lost(error)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Take the usual form of a path directly."""
        found = _PLAIN_PATH.fullmatch(arg)
        if found:
            return found[1], found[2]
        address, rest = super()._getaddr(arg)
        return address, rest


class _Receiver:
    """aiosmtpd's hooks."""

    def __init__(self, mailbox: Mailbox, log: Logger) -> None:
        self._mailbox: Final = mailbox
        self._log: Final = log

    async def handle_EHLO(  # noqa: N802 - the library's name.
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING too: commands are read from a buffer one after another, whatever came with them."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store, then answer."""
        assert isinstance(envelope.content, bytes)
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        try:
            name = await self._mailbox.deliver(envelope.content, sender, envelope.rcpt_tos)
        except OSError as error:
            self._log.error("catch_failed", reason=str(error))
            if error.errno in _NO_SPACE:
                return "452 4.3.1 The disk is full"
            return "451 4.3.0 The message could not be stored"
        return f"250 2.0.0 Caught as {name}"

    async def handle_exception(self, error: Exception) -> str:
        """Answer what the library did not expect: never as final, never with our innards."""
        self._log.error("catch_conversation_failed", reason=verp.masked(repr(error)))
        return "451 4.3.0 Something went wrong here"
