"""The SMTP face for what comes back: bounces, complaints, unsubscribes. Takes mail for our own tokens and no other.

    RCPT   a token of ours (`services.inbound.Inbox.check`) or the feedback address of a bounce domain, one a message;
           all else is refused, from memory alone
    DATA   on disk before the 250; 451 and 452 when it cannot be, so that the sender tries again; at a feedback address
           550 unless a token of ours is in it (`Inbox.find_reported`)

A bounce may have all of our mail in it: what is as large is taken, and of that as much kept as is ever looked at
(`limits.REPORT_BYTES_MAX`), so memory does not follow it.

It relays nothing and has no AUTH. STARTTLS is offered where there is a certificate. Bounded: conversations in all and
from one address, messages of one address a minute, reports of it that were refused, refused recipients of one
conversation, size, silence (`limits.INBOUND_*`). A mail that has gone round (`Received` more than RFC 5321 §6.3 allows)
or comes from a return path of ours is a loop and is refused.
"""

import asyncio
import re
import ssl
from collections import Counter, OrderedDict
from typing import AnyStr, Final, Protocol

from aiosmtpd.smtp import SMTP, Envelope, Session

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import BusyError, StoreError
from outrider.faces.smtp import contents
from outrider.faces.smtp.listener import LibraryTalk, Listener, refuse
from outrider.mail import verp
from outrider.mail.verp import ReturnPath, ReturnPathError
from outrider.obs.log import Logger

_RECEIVED: Final = re.compile(rb"^Received:", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")
_CLIENTS_KNOWN_MAX: Final = 10_000
_MINUTE_S: Final = 60.0
_LATER: Final = "451 4.3.0 The message could not be stored; try again later"


class Inbox(Protocol):
    """Where the mail goes (`services.inbound`)."""

    def check(self, text: str) -> ReturnPath:
        """Return what the token in the address says. Raises ReturnPathError."""

    def is_feedback(self, text: str) -> bool:
        """Whether the address takes reports of feedback loops. Raises BusyError: not known yet."""

    async def find_reported(self, text: str, content: bytes) -> ReturnPath:
        """Return whose mail a report to this feedback address is about. Raises ReturnPathError: nobody's of ours."""

    async def keep(self, return_path: ReturnPath, *, sender: str, client: str, content: bytes) -> None:
        """Return when it is on disk. Raises BusyError, StoreError."""


class InboundServer(Listener):
    """Listens from `start` to `stop`; both are safe twice."""

    def __init__(
        self,
        inbox: Inbox,
        host: str,
        port: int,
        *,
        host_name: str,
        tls: ssl.SSLContext | None,
        clock: Clock,
        log: Logger,
    ) -> None:
        super().__init__(host, port)
        self._receiver: Final = _Receiver(inbox, clock, log)
        self._host_name: Final = host_name
        self._offered: Final = tls
        self._by_client: Final[Counter[str]] = Counter()

    def make_protocol(self) -> asyncio.BaseProtocol:
        """Return a conversation; one too many refuses itself, when it knows its client."""
        return _Talk(self._receiver, self.conversations, self._by_client, self._host_name, self._offered)


class _Talk(LibraryTalk):
    """One connection. `others` holds those that are open, `by_client` counts them."""

    line_length_limit = limits.CAUGHT_LINE_BYTES_MAX

    def __init__(
        self,
        receiver: "_Receiver",
        others: set[LibraryTalk],
        by_client: Counter[str],
        host_name: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(
            receiver,
            data_size_limit=limits.INBOUND_MESSAGE_BYTES_MAX,
            enable_SMTPUTF8=True,
            decode_data=False,
            hostname=host_name,
            ident="Outrider",
            tls_context=tls,
            timeout=limits.INBOUND_WAIT_S,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )
        self._others: Final = others
        self._by_client: Final = by_client
        self._client = ""
        self._is_refused = False
        self.refused_count = 0  # Recipients.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self._others:  # Not again for the same connection, when TLS begins.
            peer = transport.get_extra_info("peername")
            self._client = peer[0] if peer else ""
            is_full = len(self._others) >= limits.INBOUND_CONVERSATIONS_COUNT_MAX
            if is_full or self._by_client[self._client] >= limits.INBOUND_CONVERSATIONS_OF_ONE_COUNT_MAX:
                self._is_refused = True
                refuse(transport)
                return
            self._others.add(self)
            self._by_client[self._client] += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_refused:
            return
        if self in self._others:
            self._others.discard(self)
            self._by_client[self._client] -= 1
            if not self._by_client[self._client]:
                del self._by_client[self._client]
        super().connection_lost(error)

    @property
    def has_guessed_enough(self) -> bool:
        """Whether too many of its recipients were refused."""
        return self.refused_count > limits.INBOUND_REFUSED_COUNT_MAX

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - the library's name.
        """As the library's, which would hold all of the message in memory, line by line."""
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        came = await contents.read(self._reader, kept_bytes_max=limits.REPORT_BYTES_MAX)
        if self.data_size_limit and came.size_bytes > self.data_size_limit:
            status = "552 5.3.4 Error: Too much mail data"
        else:
            self.envelope.content = self.envelope.original_content = came.beginning
            status = await self._call_handler_hook("DATA")
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        await self.push(status)

    async def push(self, status: AnyStr) -> None:
        """Say it; hang up after the 421, which RFC 5321 §3.8 asks for and the library leaves to us."""
        await super().push(status)
        if self.has_guessed_enough and self.transport is not None:
            self.transport.close()


class _Receiver:
    """aiosmtpd's hooks."""

    def __init__(self, inbox: Inbox, clock: Clock, log: Logger) -> None:
        self._inbox: Final = inbox
        self._clock: Final = clock
        self._log: Final = log
        self._mails: Final = _Minutes(clock)
        self._reports_refused: Final = _Minutes(clock)

    async def handle_EHLO(  # noqa: N802 - the library's name.
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING too: commands are read from a buffer one after another, whatever came with them.

        And no AUTH, which the library offers under TLS even if it has no mechanism left.
        """
        session.host_name = hostname
        offers = [line for line in responses[:-1] if not line.startswith("250-AUTH")]
        return [*offers, "250-PIPELINING", responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuse who sends too much, and mail from a return path of ours: that would go round for ever."""
        if self._mails.add(_client_of(session)) > limits.INBOUND_OF_ONE_A_MINUTE_COUNT_MAX:
            return "451 4.7.1 Too much mail from you; try again later"
        if address and address != "<>":
            try:
                self._inbox.check(address)
            except ReturnPathError:
                pass
            else:
                return "554 5.4.6 This mail goes round"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take our own tokens and reports to a feedback address, one a message; hang up on who only guesses.

        Everybody may know a feedback address, and what is wrong with a report shows only when all of it has come: so
        who has sent enough of those waits. Tokens are taken from the same client meanwhile: it may be our own relay.
        """
        assert isinstance(server, _Talk)
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient a message"
        try:
            if not self._inbox.is_feedback(address):
                self._inbox.check(address)
            elif self._reports_refused.of(_client_of(session)) >= limits.INBOUND_REPORTS_REFUSED_A_MINUTE_COUNT_MAX:
                return "451 4.7.1 Too many reports from you that are not about mail from here; try again later"
        except BusyError:
            return _LATER
        except ReturnPathError:
            return _refused(server, "550 5.1.1 No such address here")
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store, then answer."""
        assert isinstance(envelope.content, bytes)
        assert isinstance(server, _Talk)
        head = envelope.content[: limits.CAUGHT_HEADER_BYTES_MAX]
        end = _END_OF_HEADER.search(head)
        if len(_RECEIVED.findall(head[: end.start()] if end else head)) > limits.INBOUND_HOPS_COUNT_MAX:
            return "554 5.4.6 This mail goes round"
        to = envelope.rcpt_tos[0]
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        try:
            if self._inbox.is_feedback(to):
                return_path = await self._inbox.find_reported(to, envelope.content)
            else:
                return_path = self._inbox.check(to)
            await self._inbox.keep(return_path, sender=sender, client=_client_of(session), content=envelope.content)
        except ReturnPathError:  # Of a token: it was good at RCPT; others came between.
            if not verp.feedback_domain(to):
                return _refused(server, "550 5.1.1 No such address here")
            self._reports_refused.add(_client_of(session))
            return _refused(server, "550 5.7.1 This report is not about mail from here")
        except (StoreError, BusyError) as error:
            self._log.warning("inbound_not_kept", error=str(error))
            return _LATER
        return "250 2.0.0 Kept"

    async def handle_exception(self, error: Exception) -> str:
        """Answer what the library did not expect: never as final, never with our innards."""
        self._log.error("inbound_conversation_failed", reason=verp.masked(repr(error)))
        return "451 4.3.0 Something went wrong here"


class _Minutes:
    """How much each client has done in the minute that runs for it. Bounded: the client longest known is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._known: Final[OrderedDict[str, tuple[float, int]]] = OrderedDict()  # Since when, how much.

    def of(self, client: str) -> int:
        """Return how much so far."""
        since_s, count = self._known.get(client, (0.0, 0))
        return count if self._clock.monotonic_s() - since_s < _MINUTE_S else 0

    def add(self, client: str) -> int:
        """Count one more; return how much it is with it."""
        count = self.of(client) + 1
        since_s = self._known[client][0] if count > 1 else self._clock.monotonic_s()
        if client not in self._known and len(self._known) >= _CLIENTS_KNOWN_MAX:
            self._known.popitem(last=False)
        self._known[client] = since_s, count
        return count


def _refused(server: _Talk, words: str) -> str:
    """Count it, and return what to say: that is all, if it was one too many."""
    server.refused_count += 1
    return "421 4.7.0 Too many addresses that are not here" if server.has_guessed_enough else words


def _client_of(session: Session) -> str:
    return str(session.peer[0]) if session.peer else ""
