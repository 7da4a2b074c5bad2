"""The simulator: an SMTP receiver that does with a mail what its address says (`policy.simulate`).

    Manner (how it is run) --> Simulator (words, chances, who was greylisted or came how often) --> a Visit a connection

It listens where it is told and relays nothing: mail to other domains is refused, mail to its own is looked at, answered
and forgotten. Of what it takes, the header may go back in a late answer (`late_mail`). Where recipients of one message
ask for different things at DATA or the dot, the first that asks for anything is obeyed.

Bounded: connections, recipients of a mail, how long a connection may be silent, what is remembered of addresses.
"""

import asyncio
import errno
import re
import socket
import ssl
from collections import OrderedDict, deque
from collections.abc import Sequence
from enum import StrEnum
from random import Random
from typing import Any, Final

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.engine.service import Part
from outrider.faces.smtp import simulator_reports
from outrider.faces.smtp.conversation import Conversation
from outrider.faces.smtp.late_mail import Letter, Outbox, Route
from outrider.faces.smtp.simulator_reports import Taken
from outrider.mail import address as addresses
from outrider.net.dialler import Dialler
from outrider.net.selfsigned import SelfSigned
from outrider.net.settings import NetSettings
from outrider.net.simulated import ADDRESSES
from outrider.obs.log import Logger
from outrider.policy import simulate
from outrider.policy.behaviour import Action, Rule, Stage
from outrider.policy.shaping import Rate
from outrider.policy.simulate import DEFER, HOST_NAME, RATE, Phrasebook, Wish

CONNECTIONS_COUNT_MAX: Final = 512  # Ours: as the catch receiver.
RECIPIENTS_COUNT_MAX: Final = 1_000  # Ours: ten times what RFC 5321 §4.5.3.1.8 asks for.
SILENCE_S_MAX: Final = 900.0  # Ours: over the 600 s of RFC 5321 §4.5.3.2.6, so that timeout@ is the sender's to end.
_REMEMBERED_COUNT_MAX: Final = 10_000  # Ours: greylisted addresses, and clients with a rate.
_BACKLOG_COUNT: Final = 128  # Ours: connections that nobody has accepted yet.
_STAGES: Final = frozenset({Stage.CONNECT, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT})
_FULL: Final = Rule(Stage.CONNECT, "*", Action.REPLY, "421 4.3.2 Too many connections; try again later")
_TOO_MANY: Final = Rule(Stage.RCPT, "*", Action.REPLY, "452 4.5.3 Too many recipients")
_AHEAD: Final = re.compile(rb"RCPT TO:[ ]?<([^>\r\n]+)>[^\r\n]*\r\n", re.IGNORECASE)
_NO_SUCH_FAMILY: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class TlsFault(StrEnum):
    """What is wrong with STARTTLS."""

    HANDSHAKE = "handshake"  # Offered, and no handshake succeeds.
    NO_STARTTLS = "no-starttls"  # Not offered.
    EXPIRED = "expired"  # The certificate is of 2020 to 2021.


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How one simulator is run."""

    profile: str = ""  # Whose words it speaks, where an address names none.
    domains: tuple[str, ...] = ()  # Further domains that it answers for.
    rate: Rate | None = None  # Mails of one client; over it, MAIL is refused.
    tls: ssl.SSLContext | None = None
    hosts: tuple[str, ...] = ADDRESSES  # Where it listens; at least one.
    port: int = 0  # 0: one that is free at the first host.
    answer_after_s: float = 0.5  # From a mail to the late answer to it.


def assemble(
    manner: Manner,
    words: Phrasebook,
    route: Route | None,
    net: NetSettings,
    *,
    clock: Clock,
    random: Random,
    log: Logger,
) -> tuple["SimulatorServer", Sequence[Part]]:
    """Return a simulator's server, which is to `listen`, and its parts, which are to run.

    Args:
        route: where late answers go; None: nowhere.
    """
    outbox = None
    if route is not None:
        outbox = Outbox(route, Dialler(net, clock=clock), after_s=manner.answer_after_s, clock=clock, log=log)
    server = SimulatorServer(Simulator(manner, words, outbox, clock=clock, random=random, log=log))
    return server, ([server] if outbox is None else [outbox, server])


def make_tls(fault: TlsFault | None = None) -> ssl.SSLContext | None:
    """Return what STARTTLS leads to, None if it is not to be offered.

    Cost: 1 ms, for a key of its own.
    """
    match fault:
        case None:
            return SelfSigned(HOST_NAME).context
        case TlsFault.NO_STARTTLS:
            return None
        case TlsFault.EXPIRED:
            return SelfSigned(HOST_NAME, until_year=2021).context
        case TlsFault.HANDSHAKE:  # Without a certificate there is no cipher to agree on.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


class Simulator:
    """What the conversations of one simulator share."""

    def __init__(
        self,
        manner: Manner,
        words: Phrasebook,
        outbox: Outbox | None,
        *,
        clock: Clock,
        random: Random,
        log: Logger,
    ) -> None:
        """`outbox` None: no late answers."""
        self.manner: Final = manner
        self.upgrades: Final = asyncio.TaskGroup()
        self.visits: Final[set[Visit]] = set()
        self.clock: Final = clock
        self._words: Final = words
        self._outbox: Final = outbox
        self._random: Final = random
        self._log: Final = log
        self._greylisted: Final[OrderedDict[str, None]] = OrderedDict()
        self._seen_s: Final[OrderedDict[str, deque[float]]] = OrderedDict()

    def read(self, address: str) -> Wish | str:
        """Return what the address asks for, or why it is refused."""
        return simulate.read(address, self._words, profile=self.manner.profile, also=self.manner.domains)

    def rule_at(self, stage: Stage, address: str, wish: Wish, client: str) -> Rule | None:
        """Return what happens to this recipient at that stage, chances drawn; None: nothing."""
        if wish.stage is not stage or not self._is_drawn(wish):
            return None
        if wish.outcome.name == DEFER and self._has_come_again(address):
            return None
        rule = simulate.rule_of(wish, address, client)
        self._log.info("simulated", recipient=address, outcome=wish.outcome.name, stage=stage, reply=rule.argument)
        return rule

    def limit(self, client: str) -> Rule | None:
        """Count a mail of this client; return the refusal if it is over its rate."""
        rate = self.manner.rate
        if rate is None:
            return None
        now_s = self.clock.monotonic_s()
        seen_s = self._seen_s.setdefault(client, deque())
        _bound(self._seen_s)
        while seen_s and seen_s[0] <= now_s - rate.window_s:
            seen_s.popleft()
        if len(seen_s) < rate.count:
            seen_s.append(now_s)
            return None
        words = self._words.find(RATE, self.manner.profile)
        assert words is not None
        self._log.info("simulated", client=client, outcome=RATE, stage=Stage.MAIL)
        return Rule(Stage.MAIL, "*", Action.REPLY, simulate.fill(words.text, "", client))

    def take(self, sender: str, recipients: Sequence[str], client: str, head: bytes) -> None:
        """Hear of a mail that is taken; see to the late answers. The null sender never gets one (RFC 3834 §2)."""
        for recipient in recipients:
            wish = self.read(recipient)
            assert isinstance(wish, Wish)  # RCPT has refused all others.
            self._log.info("simulated", recipient=recipient, outcome=wish.outcome.name, reply="250")
            late = wish.outcome.late
            if late is None or not sender or self._outbox is None or not self._is_drawn(wish):
                continue
            taken = Taken(
                return_path=sender,
                recipient=recipient,
                client=client,
                head=head,
                diagnosis=simulate.fill(wish.reply, recipient, client),
                at=self.clock.now(),
                mark=f"{self._random.getrandbits(128):032x}",
            )
            report = simulator_reports.build(late, taken)
            self._outbox.post(Letter(report.to, report.message))

    def _is_drawn(self, wish: Wish) -> bool:
        return wish.share_ratio >= 1.0 or self._random.random() < wish.share_ratio

    def _has_come_again(self, address: str) -> bool:
        """Tell whether the address was deferred before; then it is forgotten, so that its next mail is deferred too."""
        key = address.lower()
        if key in self._greylisted:
            del self._greylisted[key]
            return True
        self._greylisted[key] = None
        _bound(self._greylisted)
        return False


class Visit(Conversation):
    """One connection to a simulator."""

    host_name = HOST_NAME.encode()

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator.upgrades, simulator.manner.tls)
        self._simulator: Final = simulator
        self._client = ""
        self._drawn: Final[set[str]] = set()  # Recipients whose turn came at MAIL.
        self._heard_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who comes, and greet."""
        self._client = (transport.get_extra_info("peername") or ("",))[0]
        self._simulator.visits.add(self)
        self._watch()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(error)
        self._simulator.visits.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:  # tidy: words asyncio calls it so
        """Note that somebody is there."""
        self._heard_s = self._simulator.clock.monotonic_s()
        super().data_received(data)

    @property
    def stages(self) -> frozenset[Stage]:
        """Wherever an address may ask for something."""
        return _STAGES

    def choose(self, stage: Stage, subjects: Sequence[str]) -> Rule | None:
        """Do what the recipients ask for."""
        match stage:
            case Stage.CONNECT:
                return _FULL if len(self._simulator.visits) > CONNECTIONS_COUNT_MAX else None
            case Stage.MAIL:
                return self._at_mail(subjects[0])
            case Stage.RCPT:
                return self._at_rcpt(subjects[0])
            case _:  # DATA and DOT, the only others of `stages`.
                return next(filter(None, (self._ask(stage, subject) for subject in subjects)), None)

    def taken(self, head: bytes, octets: int) -> None:  # noqa: ARG002 - the contract of Conversation.
        """See to late answers."""
        sender = (self._sender or b"").decode("utf-8", "replace")
        recipients = [recipient.decode("utf-8", "replace") for recipient in self._recipients]
        self._simulator.take(sender, recipients, self._client, head)

    def _at_mail(self, sender: str) -> Rule | None:
        self._drawn.clear()
        if sender and not _is_address(sender):
            return Rule(Stage.MAIL, "*", Action.REPLY, "501 5.1.7 That is no address")
        limited = self._simulator.limit(self._client)
        if limited is not None:
            return limited
        at = self._pending.find(b"\r\n") + 2
        while (found := _AHEAD.match(self._pending, at)) is not None:
            recipient = found[1].decode("utf-8", "replace")
            self._drawn.add(recipient)
            rule = self._ask(Stage.MAIL, recipient)
            if rule is not None:
                return rule
            at = found.end()
        return None

    def _at_rcpt(self, recipient: str) -> Rule | None:
        if len(self._recipients) >= RECIPIENTS_COUNT_MAX:
            return _TOO_MANY
        wish = self._simulator.read(recipient)
        if isinstance(wish, str):
            return Rule(Stage.RCPT, "*", Action.REPLY, wish)
        if wish.stage is Stage.MAIL and recipient not in self._drawn:
            wish = msgspec.structs.replace(wish, stage=Stage.RCPT)  # It was not in the packet with MAIL.
        return self._simulator.rule_at(Stage.RCPT, recipient, wish, self._client)

    def _ask(self, stage: Stage, recipient: str) -> Rule | None:
        wish = self._simulator.read(recipient)
        return None if isinstance(wish, str) else self._simulator.rule_at(stage, recipient, wish, self._client)

    def _watch(self) -> None:
        """Hang up on who is silent for too long, and on those whom we keep waiting for ever."""
        now_s = self._simulator.clock.monotonic_s()
        self._heard_s = self._heard_s or now_s
        left_s = self._heard_s + SILENCE_S_MAX - now_s
        if left_s <= 0:
            self.abort()
        else:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._watch)


class SimulatorServer:
    """Listens from `listen` on and serves while it runs; a part of its process."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator: Final = simulator
        self._servers: Final[list[asyncio.Server]] = []
        self._stop_asked: Final = asyncio.Event()

    @property
    def port(self) -> int:
        """The port it listens on; the one asked for while it does not listen."""
        return self._servers[0].sockets[0].getsockname()[1] if self._servers else self._simulator.manner.port

    async def listen(self) -> None:
        """Take the port. A further host whose kind of address this machine lacks is left out.

        Raises:
            OSError: the port is taken, or the first host is none of ours.
        """
        loop = asyncio.get_running_loop()
        for host in self._simulator.manner.hosts:
            try:
                listener = socket.create_server((host, self.port), family=_family_of(host), backlog=_BACKLOG_COUNT)
            except OSError as error:
                if self._servers and error.errno in _NO_SUCH_FAMILY:
                    continue
                self.close()
                raise
            # Who comes before `run` waits in the backlog.
            self._servers.append(await loop.create_server(self._make_visit, sock=listener, start_serving=False))

    async def run(self) -> None:
        """Serve until `stop`; then hang up."""
        async with self._simulator.upgrades:
            try:
                for server in self._servers:
                    await server.start_serving()
                await self._stop_asked.wait()
            finally:
                self.close()
                for visit in tuple(self._simulator.visits):
                    visit.abort()

    def stop(self) -> None:
        """Ask `run` to return soon. Safe twice."""
        self._stop_asked.set()

    def close(self) -> None:
        """Give the port back. Safe twice."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _make_visit(self) -> Visit:
        return Visit(self._simulator)


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_address(text: str) -> bool:
    try:
        addresses.parse(text)
    except CallerError:
        return False
    return True


def _bound(known: OrderedDict[str, Any]) -> None:
    """Forget the oldest when there are too many."""
    if len(known) > _REMEMBERED_COUNT_MAX:
        known.popitem(last=False)
