"""The SMTP relay: takes mail from our own users and from nobody else, over TLS.

    octets --> wire.smtp_server.Reception --> Login (who), Desk (what) --> reply

Each connection is a `_Talk`: the protocol machine decides all that octets alone can tell; for the rest the talk starts
a piece of work, and reads no further until it is answered. `250` to a message means that it is on disk.

Bounded: connections in all and of one client; how long a stranger, a command, a message may take, each as a whole, so
that who drips is cut off; what a client sends ahead while we work, and what we say while it does not read; messages
over 1 MiB at once in memory, in all and of one project: the others are not read on until there is a place.

Two ports: STARTTLS (`is_tls_first` False) and TLS from the first octet. Nobody is asked for a password before TLS, but
on loopback if the settings say so; nobody may hand in mail before its password, but networks the settings list.
"""

import asyncio
import ipaddress
import ssl
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final, cast
from uuid import UUID

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.engine.service import Rounds
from outrider.faces.smtp.listener import Listener, refuse
from outrider.faces.smtp.login import BANNED, Login, Proof, Refused
from outrider.faces.smtp.places import Places
from outrider.faces.smtp.transaction import Desk, Handed
from outrider.mail import address
from outrider.net.pem_files import Certificate
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.guesses import client_of
from outrider.services.access import Caller
from outrider.wire.smtp_server import Asked, Auth, Mail, Message, Rcpt, Reception, StartTls

_SWEEP_S: Final = 1.0  # Ours: how late a deadline may be noticed.
_CLOSE_S: Final = 5.0  # Ours: for a client to read our last word.
_STOP_S: Final = 2.0  # Ours: for a message that is being stored when we stop.
_LAST_WORD_S: Final = 0.5  # Ours: for our last word to leave when we stop.
_LATE: Final = "421 4.4.2 Too slow; try again"
_STOPPING: Final = "421 4.3.2 We are stopping; try again in a moment"
_FAILED: Final = "451 4.3.0 Something went wrong here"


class Relay:
    """What all connections share. A part: it must run while one of its servers listens."""

    def __init__(
        self,
        login: Login,
        desk: Desk,
        certificate: Certificate,
        *,
        host_name: str,
        is_plain_auth_on_loopback: bool,
        clock: Clock,
        log: Logger,
        metrics: Metrics,
    ) -> None:
        self.login: Final = login
        self.desk: Final = desk
        self.certificate: Final = certificate
        self.host_name: Final = host_name
        self.clock: Final = clock
        self.log: Final = log
        self.metrics: Final = metrics
        self.talks: Final[set[_Talk]] = set()
        self.by_client: Final[Counter[str]] = Counter()
        self.places: Final = Places(
            limits.SUBMISSION_LARGE_COUNT_MAX, of_one_count=limits.SUBMISSION_LARGE_OF_ONE_COUNT_MAX
        )
        self._is_plain_auth_on_loopback: Final = is_plain_auth_on_loopback
        self._rounds: Final = Rounds(_SWEEP_S, clock=clock)
        self._works: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """End what takes too long, look for a new certificate; work, until `stop`."""
        async with asyncio.TaskGroup() as group:
            self._works = group
            async for _ in self._rounds:
                self.certificate.refresh()
                now_s = self.clock.monotonic_s()
                for talk in tuple(self.talks):
                    talk.look_at_the_time(now_s)
            self._works = None
            for talk in tuple(self.talks):
                group.create_task(talk.end())

    def stop(self) -> None:
        """Let `run` hang up on whoever is left and return."""
        self._rounds.stop()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Start a piece of work; None: we are not running."""
        if self._works is None:
            work.close()
            return None
        return self._works.create_task(work)

    def is_full_for(self, client: str) -> bool:
        """Whether one more connection of that client would be too many."""
        is_full = len(self.talks) >= limits.SUBMISSION_CONVERSATIONS_COUNT_MAX
        return is_full or self.by_client[client] >= limits.SUBMISSION_CONVERSATIONS_OF_ONE_COUNT_MAX

    def takes_plain_auth(self, client: str) -> bool:
        """Whether that client may show a password without TLS."""
        if not self._is_plain_auth_on_loopback:
            return False
        try:
            return ipaddress.ip_address(client).is_loopback
        except ValueError:
            return False


class SubmissionServer(Listener):
    """One port of a relay. Listens from `start` to `stop`; both are safe twice."""

    def __init__(self, relay: Relay, host: str, port: int, *, is_tls_first: bool) -> None:
        super().__init__(host, port, tls=relay.certificate.context if is_tls_first else None)
        self._relay: Final = relay
        self._is_tls_first: Final = is_tls_first

    def make_protocol(self) -> asyncio.BaseProtocol:
        """Return a conversation; one too many refuses itself, when it knows its client."""
        return _Talk(self._relay, self.conversations, is_tls_first=self._is_tls_first)


class _Talk(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_caller", "_client", "_closed_at_s", "_counted_as", "_handed_recipients", "_is_choked", "_is_held",
        "_is_paused", "_is_storing", "_mail", "_others", "_place_of", "_proof", "_reception", "_relay", "_since_s",
        "_transport", "_turn_at_s", "_waiter", "_work",
    )  # fmt: skip

    def __init__(self, relay: Relay, others: "set[_Talk]", *, is_tls_first: bool) -> None:
        """`others` holds the open ones of the same port."""
        self._relay: Final = relay
        self._others: Final = others
        self._reception: Final = Reception(
            relay.host_name,
            size_bytes_max=limits.SUBMISSION_MESSAGE_BYTES_MAX,
            recipients_count_max=limits.SUBMISSION_RECIPIENTS_COUNT_MAX,
        )
        self._reception.has_tls = is_tls_first
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._counted_as = ""
        self._proof: Proof | None = None
        self._caller: Caller | None = None  # Of the transaction under way.
        self._mail: Mail | None = None
        self._handed_recipients: list[Rcpt] = []
        self._work: asyncio.Task[None] | None = None
        self._is_held = False  # Somebody works on what the client asked.
        self._is_choked = False  # The client does not read what we say.
        self._is_paused = False
        self._place_of: UUID | None = None  # The project that has a place for this message.
        self._waiter: asyncio.Task[None] | None = None  # For a place.
        self._is_storing = False
        self._since_s = relay.clock.monotonic_s()
        self._turn_at_s = self._since_s  # Since when the client owes us a command or a message.
        self._closed_at_s = 0.0  # 0: it is open.

    # -- What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or refuse."""
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        relay, client = self._relay, client_of(self._client)
        if relay.login.is_banned(self._client):
            refuse(transport, f"{BANNED}\r\n".encode("ascii"))
            return
        if relay.is_full_for(client):
            refuse(transport)
            return
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own are no subclass of it.
        self._counted_as = client
        relay.by_client[client] += 1
        relay.talks.add(self)
        self._others.add(self)
        self._proof = relay.login.trusted(self._client)
        reception = self._reception
        reception.needs_auth = self._proof is None
        reception.offers_tls = not reception.has_tls
        reception.may_auth = reception.has_tls or relay.takes_plain_auth(self._client)
        reception.greet()
        self._run()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget it; work that is under way goes on to its end, for what is stored is stored."""
        if self not in self._relay.talks:
            return
        self._transport = None
        self._relay.talks.discard(self)
        self._others.discard(self)
        by_client = self._relay.by_client
        by_client[self._counted_as] -= 1
        if not by_client[self._counted_as]:
            del by_client[self._counted_as]
        self._reception.is_over = True
        if self._waiter is not None:
            self._waiter.cancel()
        if not self._is_held:
            self._give_place_back()

    def data_received(self, data: bytes) -> None:
        """Take what was read as far as it goes."""
        if self._transport is None or self._closed_at_s:
            return
        self._reception.receive(data)
        if not self._is_held and not self._is_choked:
            self._run()
        is_ahead = self._reception.pending_bytes > limits.SUBMISSION_PENDING_BYTES_MAX
        if (self._is_held or self._is_choked) and is_ahead:
            self._pause()
        elif self._place_of is None and self._reception.needs_place:
            self._ask_for_place()

    def eof_received(self) -> bool:
        """Answer what was asked, then close: a client may say QUIT and not wait."""
        return False

    def pause_writing(self) -> None:
        """Stop working for a client that does not read."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """Go on."""
        self._is_choked = False
        self._turn_at_s = self._relay.clock.monotonic_s()
        if not self._is_held:
            self._run()
            self._resume()

    # -- Time, and the end.

    def look_at_the_time(self, now_s: float) -> None:
        """Hang up on a client that takes too long."""
        if self._transport is None:
            return
        if self._closed_at_s:
            if now_s - self._closed_at_s > _CLOSE_S:
                self._transport.abort()
            return
        if self._is_held:
            return
        reception = self._reception
        is_stranger = reception.needs_auth and not reception.is_authenticated
        wait_s = limits.SUBMISSION_MESSAGE_WAIT_S if reception.is_in_message else limits.SUBMISSION_COMMAND_WAIT_S
        if (is_stranger and now_s - self._since_s > limits.SUBMISSION_STRANGER_WAIT_S) or (
            now_s - self._turn_at_s > wait_s
        ):
            self._close(_LATE)

    async def end(self) -> None:
        """Hang up: at once, or when the message that is being stored has its answer."""
        work = self._work
        if work is not None and not work.done():
            if self._is_storing:
                await asyncio.wait([work], timeout=_STOP_S)
            work.cancel()  # It waits for a stranger, or for a database that does not answer.
        transport = self._transport
        if transport is not None:
            self._close(_STOPPING)
            transport.close()
            asyncio.get_running_loop().call_later(_LAST_WORD_S, transport.abort)  # Its client may never read it.

    def _close(self, reply: str) -> None:
        self._reception.close(reply)
        self._flush()

    # -- The pump.

    def _run(self) -> None:
        reception = self._reception
        while not self._is_held and not self._is_choked:
            asked = reception.step()
            if asked is None:
                break
            if isinstance(asked, Rcpt):
                reception.answer(self._on_rcpt(asked))
            else:
                self._begin(asked)
        self._flush()

    def _flush(self) -> None:
        if self._transport is None:
            return
        replies = self._reception.take_replies()
        if replies:
            self._turn_at_s = self._relay.clock.monotonic_s()
            self._transport.write(replies)
        if self._place_of is not None and not self._is_held and not self._reception.needs_place:
            self._give_place_back()  # It was too large, and the rest of it is thrown away.
        if self._reception.is_over and not self._is_held and not self._closed_at_s:
            self._closed_at_s = self._relay.clock.monotonic_s()
            self._transport.close()

    def _begin(self, asked: Asked) -> None:
        self._is_held = True
        self._work = self._relay.start(self._work_on(asked))
        if self._work is None:
            self._is_held = False
            self._reception.answer(_STOPPING)

    async def _work_on(self, asked: Asked) -> None:
        reception = self._reception
        self._is_storing = isinstance(asked, Message)
        try:
            match asked:
                case StartTls():
                    await self._secure()
                case Auth():
                    reception.answer(await self._on_auth(asked))
                case Mail():
                    reception.answer(await self._on_mail(asked))
                case Message():
                    reception.answer(await self._on_message(asked))
                case _:
                    raise AssertionError("a recipient needs no work")
        except Exception:  # The face's outermost layer: the client gets a bland word, the operator the log.
            self._relay.metrics.internal.labels(place="submission").inc()
            self._relay.log.exception("submission_failed")
            reception.answer(_FAILED)
        self._is_held = False
        self._give_place_back()
        if self._transport is None:
            return
        self._run()
        if not self._is_held:
            self._resume()

    # -- Answers.

    async def _secure(self) -> None:
        """Shake hands. RFC 3207 §6: nothing said in the clear counts any more."""
        transport, reception = self._transport, self._reception
        reception.answer("220 2.0.0 Go ahead")
        assert transport is not None
        transport.write(reception.take_replies())
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport,
                self,
                self._relay.certificate.context,
                server_side=True,
                ssl_handshake_timeout=limits.SUBMISSION_TLS_WAIT_S,
            )
        except (OSError, ssl.SSLError):
            secured = None
        if secured is None or self._transport is None:
            transport.abort()
            return
        self._transport = secured
        reception.tls_started()
        reception.may_auth = True
        self._turn_at_s = self._relay.clock.monotonic_s()
        if self._proof is not None and self._proof.credentials is not None:
            self._proof = None

    async def _on_auth(self, asked: Auth) -> str:
        found = await self._relay.login.begin(asked.username, asked.password, self._client)
        if isinstance(found, Refused):
            return found.reply
        self._proof = found
        return "235 2.7.0 Welcome"

    async def _on_mail(self, asked: Mail) -> str:
        self._handed_recipients = []
        self._mail, self._caller = None, None
        assert self._proof is not None
        found = await self._relay.login.again(self._proof, self._client)
        if isinstance(found, Refused):
            return found.reply
        self._mail, self._caller = asked, found
        return "250 2.1.0 Ok"

    def _on_rcpt(self, asked: Rcpt) -> str:
        try:
            address.parse(asked.address)
        except CallerError as error:
            return f"553 5.1.3 Invalid address: {error.public}"
        self._handed_recipients.append(asked)
        return "250 2.1.5 Ok"

    async def _on_message(self, asked: Message) -> str:
        assert self._mail is not None
        assert self._caller is not None
        handed = Handed(
            caller=self._caller,
            mail=self._mail,
            recipients=self._handed_recipients,
            message=asked,
            client=self._client,
            protocol=self._protocol(self._mail),
        )
        reply = await self._relay.desk.take(handed)
        self._relay.metrics.submissions.labels(reply=reply[:1]).inc()
        return reply

    def _protocol(self, mail: Mail) -> str:
        """Return the word for Received. RFC 3848, RFC 6531 §4.3."""
        secured = "S" if self._reception.has_tls else ""
        proven = "A" if self._reception.is_authenticated else ""
        return f"{'UTF8SMTP' if mail.is_utf8 else 'ESMTP'}{secured}{proven}"

    # -- Reading, or not.

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and self._waiter is None and self._transport is not None and not self._closed_at_s:
            self._is_paused = False
            self._transport.resume_reading()

    def _ask_for_place(self) -> None:
        """Read a large message on when there is a place for it."""
        if self._waiter is None:
            self._pause()
            assert self._caller is not None  # The protocol lets nobody begin a message before its MAIL was taken.
            self._waiter = self._relay.start(self._wait_for_place(self._caller.project_id))

    async def _wait_for_place(self, project_id: UUID) -> None:
        await self._relay.places.acquire(project_id)
        self._place_of, self._waiter = project_id, None
        if self._transport is None:
            self._give_place_back()
            return
        self._turn_at_s = self._relay.clock.monotonic_s()
        self._resume()

    def _give_place_back(self) -> None:
        if self._place_of is not None:
            self._relay.places.release(self._place_of)
            self._place_of = None
