"""Connections per site: reused, bounded, and failed over from host to host.

    idle (most recently used first) → else dial, below `connections_per_site_max` → else wait, first come first served

A conversation that fails before its MAIL (connect, greeting, EHLO, STARTTLS) moves on to the site's next address; the
last failure is the answer if none is left. An address that failed is tried last for `host_bad_s`. Opportunistic TLS
that breaks in the handshake is given up for that address for `tls_broken_s`. A reused connection that is dead, or says
421, before the reply to MAIL costs one fresh connection and nobody hears of it: servers drop idle ones as they like.

Invariants: a site never has more slots than its maximum; whoever waits implies that all are taken. A slot belongs to a
caller while it dials or talks (`_talk` to `_let_go`), to the connection while that rests or closes (`holds_slot`), and
so is given back exactly once: `_pass_on(group, None)`. Everything runs in the callers' tasks and in loop timers;
nothing here starts a task.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.vocab import Phase
from outrider.net.settings import NetSettings, waits_of
from outrider.net.site import Host, Site
from outrider.net.smtp_talk import Connection, Endpoint
from outrider.net.tls import TlsContexts
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Credentials, Envelope, Session, TlsMode

_NO_HOST: Final = Answer(Phase.ROUTE, None, Cause.NO_HOST)
_STOPPED: Final = Answer(Phase.CONNECT, None, Cause.RESET)
_MEMORY_COUNT_MAX: Final = 10_000  # Addresses remembered as bad before the list is cleared of the forgiven.
_SWEEPS_PER_IDLE_COUNT: Final = 4  # An idle connection lives at most a quarter longer than `idle_s`.
_CLOSED_WAIT_S: Final = 1.0  # For aborted sockets to be closed by the loop: a turn or two.

SiteKey = tuple[str, int, TlsMode, Credentials | None]


class Attempt(msgspec.Struct, frozen=True):
    """What became of one envelope."""

    answers: Mapping[str, Answer]  # One per recipient of the envelope.
    duration_s: float
    host: str = ""  # The last one tried; "" if none was.
    ip: str = ""
    tls: str = ""  # "TLSv1.3"; "" is plain text.


class PoolStats(msgspec.Struct, frozen=True):
    """Counters since the start, and the present."""

    open_count: int  # Connections that are set up, idle ones included.
    idle_count: int
    dialled_count: int  # Connections that became ready.
    reused_count: int  # Messages begun on a connection that had carried another.
    site_count: int  # Sites with a connection, or one being dialled.


class _Group:
    """The connections of one site."""

    __slots__ = ("idle", "key", "slot_count", "waiters")

    def __init__(self, key: SiteKey) -> None:
        self.key: Final = key
        self.idle: list[Connection] = []  # The most recently used last.
        self.slot_count = 0  # Sockets in use or being dialled.
        self.waiters: deque[asyncio.Future[Connection | None]] = deque()  # None: a slot, dial yourself.


class ConnectionPool:
    """All outgoing SMTP connections from one source address. Belongs to one event loop."""

    def __init__(self, settings: NetSettings, *, clock: Clock, contexts: TlsContexts | None = None) -> None:
        assert settings.ehlo_name  # "" in the file; app.py puts this machine's name there.
        self._settings: Final = settings
        self._clock: Final = clock
        self._contexts: Final = TlsContexts(settings) if contexts is None else contexts
        self._waits: Final = waits_of(settings)
        self._groups: dict[SiteKey, _Group] = {}
        self._live: set[Connection] = set()
        self._dialling: set[asyncio.Timeout] = set()
        self._bad_until: dict[str, float] = {}  # By address; monotonic seconds.
        self._plain_until: dict[str, float] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closing = False
        self._emptied: asyncio.Future[None] | None = None
        self._dialled_count = 0
        self._reused_count = 0

    @property
    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
        idle_count = sum(len(group.idle) for group in self._groups.values())
        return PoolStats(len(self._live), idle_count, self._dialled_count, self._reused_count, len(self._groups))

    async def deliver(self, site: Site, envelope: Envelope) -> Attempt:
        """Carry `envelope` to `site`; wait for a connection if all are busy.

        Raises:
            LocalProtocolError: an address holds a control character; the connection is unharmed.

        Safe: never raises for anything peer or network did; cancellable, which aborts the conversation.
        """
        started_s = self._clock.monotonic_s()
        group, connection = await self._acquire(site)
        if connection is not None:
            self._reused_count += 1
            answers = await self._talk(group, connection, envelope)
            if self._is_closing or not _is_stale(connection):
                self._let_go(group, connection)
                return self._attempt(answers, connection.endpoint, started_s, connection.tls_version)
        made, endpoint = await self._dial(group, site)  # With the slot of the dead one, if there was one.
        if isinstance(made, Answer):
            return self._attempt(_same(envelope, made), endpoint, started_s)
        answers = await self._talk(group, made, envelope)
        self._let_go(group, made)
        return self._attempt(answers, endpoint, started_s, made.tls_version)

    async def close(self, *, wait_s: float = limits.DATA_END_WAIT_S) -> None:
        """Take no more mail; return when every connection is closed, after `wait_s` at the latest.

        Idle connections say QUIT, conversations past the final dot may finish, all others are aborted and answered
        with RESET. Safe: again, or cancelled, which aborts the rest.
        """
        self._is_closing = True
        if self._sweep is not None:
            self._sweep.cancel()
        for guard in self._dialling:
            guard.reschedule(0)
        self._dialling.clear()
        for group in list(self._groups.values()):
            for waiter in group.waiters:
                if not waiter.done():
                    group.slot_count += 1  # It gives it back as it leaves.
                    waiter.set_result(None)
            group.waiters.clear()
        for connection in list(self._live):
            connection.stop()
        try:
            await self._until_empty(wait_s)
        finally:
            for connection in list(self._live):
                connection.abort()
        await self._until_empty(_CLOSED_WAIT_S)

    async def _until_empty(self, wait_s: float) -> None:
        if not self._live:
            return
        if self._emptied is None:
            self._emptied = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._emptied], timeout=wait_s)

    # Slots: who may have a socket to this site.

    def _group_of(self, site: Site) -> _Group:
        key = (site.name, site.port, site.tls, site.credentials)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key)
        return group

    async def _acquire(self, site: Site) -> tuple[_Group, Connection | None]:
        """Return a connection that is ready and its slot, or None and a slot to dial with."""
        while True:
            group = self._group_of(site)  # Anew each time: without slots it is forgotten.
            if group.idle:
                connection: Connection | None = group.idle.pop()
            elif self._is_closing or group.slot_count < self._settings.connections_per_site_max:
                group.slot_count += 1
                return group, None
            else:
                connection = await self._wait(group)
            if connection is None or not connection.is_over:
                return group, connection
            # It died at rest, or on its way to us: its slot comes back, if it has not yet, when its socket is closed.

    async def _wait(self, group: _Group) -> Connection | None:
        """Return a connection that another caller is done with, or None and with it a slot."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        group.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.done() or waiter.cancelled():
                if waiter in group.waiters:  # `_pass_on` may have passed it over already.
                    group.waiters.remove(waiter)
            elif (given := waiter.result()) is None or not given.is_over:  # Given and cancelled in the same turn.
                self._pass_on(group, given)
            raise

    def _let_go(self, group: _Group, connection: Connection) -> None:
        """End a caller's use of a connection: the slot is the connection's again."""
        connection.holds_slot = True
        if connection.is_gone:
            self._pass_on(group, None)
        elif connection.is_over:
            return  # The slot comes back through `_on_gone`.
        elif self._is_closing or connection.message_count >= self._settings.messages_per_connection_max:
            connection.quit()
        else:
            self._pass_on(group, connection)

    def _pass_on(self, group: _Group, connection: Connection | None) -> None:
        """Give a connection, or with None a slot, to the next in the queue, or keep it."""
        while group.waiters:
            waiter = group.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is not None:
            connection.rested_at = asyncio.get_running_loop().time()
            group.idle.append(connection)
            self._plan_sweep()
            return
        group.slot_count -= 1
        if group.slot_count == 0 and self._groups.get(group.key) is group:
            del self._groups[group.key]

    def _on_gone(self, group: _Group, connection: Connection) -> None:
        self._live.discard(connection)
        if connection in group.idle:
            group.idle.remove(connection)
        if connection.holds_slot:
            self._pass_on(group, None)
        if not self._live and self._emptied is not None:
            self._emptied.set_result(None)
            self._emptied = None

    def _plan_sweep(self) -> None:
        if self._sweep is None and not self._is_closing:
            period_s = self._settings.idle_s / _SWEEPS_PER_IDLE_COUNT
            self._sweep = asyncio.get_running_loop().call_later(period_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Say QUIT on what nobody has used for `idle_s`."""
        self._sweep = None
        oldest_at = asyncio.get_running_loop().time() - self._settings.idle_s
        is_any_left = False
        for group in list(self._groups.values()):
            while group.idle and group.idle[0].rested_at <= oldest_at:
                connection = group.idle.pop(0)
                if not connection.is_over:
                    connection.quit()
            is_any_left = is_any_left or bool(group.idle)
        if is_any_left:
            self._plan_sweep()

    # Conversations.

    async def _talk(self, group: _Group, connection: Connection, envelope: Envelope) -> Mapping[str, Answer]:
        """Carry `envelope`; the slot is the caller's until it calls `_let_go`."""
        connection.holds_slot = False
        try:
            return await connection.deliver(envelope)
        except BaseException:
            self._let_go(group, connection)
            raise

    async def _dial(self, group: _Group, site: Site) -> tuple[Connection | Answer, Endpoint | None]:
        """Turn a slot into a connection, host after host; or give it back and say why the last one failed."""
        failure, endpoint = _NO_HOST, None
        try:
            for host, ip in self._candidates(site):
                made, endpoint = await self._dial_host(site, host, ip)
                if isinstance(made, Connection):
                    self._adopt(group, made)
                    return made, endpoint
                failure = made
                if self._is_closing or _is_ours(failure):
                    break
        except BaseException:
            self._pass_on(group, None)
            raise
        self._pass_on(group, None)
        return failure, endpoint

    def _adopt(self, group: _Group, connection: Connection) -> None:
        self._dialled_count += 1
        self._live.add(connection)
        connection.watch(lambda gone: self._on_gone(group, gone))

    async def _dial_host(self, site: Site, host: Host, ip: str) -> tuple[Connection | Answer, Endpoint]:
        mode = site.tls
        if mode is TlsMode.OPPORTUNISTIC and self._is_remembered(self._plain_until, ip, site.port):
            mode = TlsMode.NEVER
        endpoint = Endpoint(
            ip=ip,
            port=site.port,
            host=host.name,
            context=self._contexts.of(mode),
            connect_wait_s=self._settings.connect_wait_s,
            source=self._settings.source,
        )
        made = await self._open(site, endpoint, mode)
        if (
            isinstance(made, Answer)
            and made.cause is Cause.TLS
            and mode is TlsMode.OPPORTUNISTIC
            and not site.credentials
        ):
            self._remember(self._plain_until, endpoint, self._settings.tls_broken_s)
            made = await self._open(site, endpoint, TlsMode.NEVER)
        if isinstance(made, Answer) and not _is_ours(made) and not self._is_closing:
            self._remember(self._bad_until, endpoint, self._settings.host_bad_s)
        return made, endpoint

    async def _open(self, site: Site, endpoint: Endpoint, mode: TlsMode) -> Connection | Answer:
        if self._is_closing:
            return _STOPPED
        session = Session(
            self._settings.ehlo_name,
            tls=mode,
            credentials=site.credentials,
            is_plaintext_auth_allowed=self._settings.allow_plaintext_auth,
            waits=self._waits,
        )
        try:
            async with asyncio.timeout(None) as guard:  # Ours alone: `close` lets it run out.
                self._dialling.add(guard)
                try:
                    return await Connection.open(session, endpoint)
                finally:
                    self._dialling.discard(guard)
        except TimeoutError:
            return _STOPPED

    # What is remembered of hosts.

    def _candidates(self, site: Site) -> Iterator[tuple[Host, str]]:
        every = [(host, ip) for host in site.hosts for ip in host.addresses]
        if len(every) > 1 and self._bad_until:
            every.sort(key=lambda one: self._is_remembered(self._bad_until, one[1], site.port))
        return iter(every[: limits.HOST_TRIES_COUNT_MAX])

    def _is_remembered(self, memory: dict[str, float], ip: str, port: int) -> bool:
        return memory.get(f"{ip} {port}", 0.0) > self._clock.monotonic_s()

    def _remember(self, memory: dict[str, float], endpoint: Endpoint, period_s: float) -> None:
        now_s = self._clock.monotonic_s()
        if len(memory) >= _MEMORY_COUNT_MAX:
            for key in [key for key, until_s in memory.items() if until_s <= now_s]:
                del memory[key]
        memory[f"{endpoint.ip} {endpoint.port}"] = now_s + period_s

    def _attempt(
        self, answers: Mapping[str, Answer], endpoint: Endpoint | None, started_s: float, tls: str = ""
    ) -> Attempt:
        duration_s = self._clock.monotonic_s() - started_s
        if endpoint is None:
            return Attempt(answers, duration_s)
        return Attempt(answers, duration_s, endpoint.host, endpoint.ip, tls)


def _is_stale(connection: Connection) -> bool:
    """Tell that a reused connection died before the peer said anything about the message: nothing was lost."""
    return connection.is_over and not connection.session.is_mail_answered


def _is_ours(failure: Answer) -> bool:
    """Tell that another host would not help: we are out of sockets, or our password is wrong."""
    if failure.cause is Cause.INTERNAL:
        return True
    return failure.phase is Phase.AUTH and failure.reply is not None and failure.reply.severity == 5


def _same(envelope: Envelope, answer: Answer) -> Mapping[str, Answer]:
    return dict.fromkeys(envelope.recipients, answer)
