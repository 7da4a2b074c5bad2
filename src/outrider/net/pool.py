"""Connections per source and site: reserved, reused, bounded; and every message carried over one.

    reserve: idle (most recently used first) -> else a slot: taken from `Slots`, or that of an idle connection of the
             same gate to another site, which says QUIT -> else None: wait for `on_free`
    deliver: (dial, host after host) -> make the envelope for this server -> talk -> idle, or QUIT

A **gate** is one (source, key): what a limit is kept for, by all processes of the node; `Slots` knows the limit. A
**slot** is the right to one connection of a gate, a **place** the right to one of this process's `connections_max`.
Both are taken together and belong to a reservation until it ends, from then on to its connection until that one's
socket is closed (`holds_slot`); they are given back exactly once, in `_give`. Who takes over from an idle connection
dials when that one's socket is closed, so that no receiver ever sees one connection too many.

Nothing here waits for a connection, and nothing starts a task: everything runs in the callers' tasks, in `on_free` and
in loop timers. A reused connection that is dead, or says 421, before the reply to MAIL costs one fresh connection and
nobody hears of it: servers drop idle ones as they like. Hosts, fail-over and TLS are `net.dialler`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.net.dialler import Dialler
from outrider.net.settings import NetSettings
from outrider.net.site import Site, Way
from outrider.net.smtp_talk import Connection
from outrider.net.tls import TlsContexts
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import Credentials, Envelope, Features, TlsMode

_SWEEPS_PER_IDLE_COUNT: Final = 4  # An idle connection lives at most a quarter longer than `idle_s`.
_CLOSED_WAIT_S: Final = 1.0  # For aborted sockets to be closed by the loop: a turn or two.

_GroupKey = tuple[Way, str, str, int, TlsMode, Credentials | None]
_GateKey = tuple[str, str]  # The name of the source, and what its connections are counted by.


class Bounds(msgspec.Struct, frozen=True):
    """What holds for connections from a source to a site."""

    key: str  # Of the gate that its connections count against.
    messages_per_connection: int
    tls: TlsMode | None = None  # None: as the site says.


class Slots(Protocol):
    """Who may have a connection, over all processes of a node. `testing.slots.check_slots` is what it must keep."""

    def take(self, source: str, key: str) -> bool:
        """Take a slot of the gate; False if there is none to be had now."""

    def give(self, source: str, key: str) -> None:
        """Give back a slot that was taken. Never raises."""

    def should_yield(self, source: str, key: str) -> bool:
        """Tell whether we hold more of the gate's slots than our share while another wants one."""


class Attempt(msgspec.Struct, frozen=True):
    """What became of one envelope."""

    answers: Mapping[str, Answer]  # One per recipient of the envelope.
    duration_s: float
    host: str = ""  # The last one tried; "" if none was.
    ip: str = ""
    tls: str = ""  # "TLSv1.3"; "" is plain text.
    source: str = ""  # The name of the source it came from.
    dialogue: str = ""  # What was said, as `wire.dialogue` writes it.
    certificate: str = ""  # Whom the peer's certificate names, checked or not; "" without TLS.


class PoolStats(msgspec.Struct, frozen=True):
    """Counters since the start, and the present."""

    open_count: int  # Connections whose socket is open, idle ones included.
    idle_count: int
    dialled_count: int  # Connections that became ready.
    reused_count: int  # Messages begun on a connection that had carried another.
    site_count: int  # Sites with a connection or a reservation, each source's counted apart.
    slot_count: int  # Slots held, by connections and reservations.


class _Gate:
    """The slots of one (source, key)."""

    __slots__ = ("idle", "key", "slot_count")

    def __init__(self, key: _GateKey) -> None:
        self.key: Final = key
        self.idle: Final[OrderedDict[Connection, _Group]] = OrderedDict()  # To any site; the least recently used first.
        self.slot_count = 0


class _Group:
    """The connections of one gate to one site."""

    __slots__ = ("gate", "idle", "key", "slot_count", "tls")

    def __init__(self, key: _GroupKey, gate: _Gate) -> None:
        self.key: Final = key
        self.gate: Final = gate
        self.tls: Final = key[4]
        self.idle: Final[list[Connection]] = []  # The most recently used last.
        self.slot_count = 0


class Reservation:
    """A connection, or the right to open one: its caller's until `deliver` or `drop`, one of which must follow."""

    __slots__ = ("bounds", "connection", "gone", "group", "is_spent", "site", "way")

    def __init__(self, site: Site, way: Way, bounds: Bounds, group: _Group, connection: Connection | None) -> None:
        self.site: Final = site
        self.way: Final = way
        self.bounds: Final = bounds
        self.group: Final = group  # The pool's, as is what follows.
        self.connection: Final = connection  # None: dial.
        self.gone: asyncio.Future[None] | None = None  # The end of the connection that makes room.
        self.is_spent = False


class ConnectionPool:
    """All outgoing SMTP connections of this process. Belongs to one event loop.

    `on_free(source, key)` is called when a connection of that gate became idle or a slot of it was given back, and for
    one gate after another that was refused because all of `connections_max` was busy. A hint: somebody else may be
    quicker. It may call `reserve`.
    """

    def __init__(
        self, settings: NetSettings, *, clock: Clock, slots: Slots, contexts: TlsContexts | None = None
    ) -> None:
        self.on_free: Callable[[str, str], None] = _ignore
        self._settings: Final = settings
        self._clock: Final = clock
        self._slots: Final = slots
        self._dialler: Final = Dialler(settings, clock=clock, contexts=contexts)
        self._gates: Final[dict[_GateKey, _Gate]] = {}  # Those with slots; so are groups.
        self._groups: Final[dict[_GroupKey, _Group]] = {}
        self._live: Final[set[Connection]] = set()
        self._idle: Final[OrderedDict[Connection, _Group]] = OrderedDict()  # The least recently used first.
        self._refused: Final[OrderedDict[_GateKey, None]] = OrderedDict()  # For want of a place; first come first.
        self._awaited: Final[dict[Connection, asyncio.Future[None]]] = {}  # Connections that others take over from.
        self._place_count = 0  # Taken; at most `connections_max`.
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closing = False
        self._emptied: asyncio.Future[None] | None = None
        self._dialled_count = 0
        self._reused_count = 0

    @property
    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
        return PoolStats(
            open_count=len(self._live),
            idle_count=len(self._idle),
            dialled_count=self._dialled_count,
            reused_count=self._reused_count,
            site_count=len(self._groups),
            slot_count=sum(gate.slot_count for gate in self._gates.values()),
        )

    def reserve(self, site: Site, way: Way, bounds: Bounds) -> Reservation | None:
        """Return a connection, or the right to open one; None if there is none to be had now, or we are closing.

        Cost: 2 us; no I/O but that of `Slots.take` (2026-11).
        """
        if self._is_closing:
            return None
        mode = site.tls if bounds.tls is None else bounds.tls
        key = (way, bounds.key, site.name, site.port, mode, site.credentials)
        group = self._groups.get(key)
        worn = None
        while group is not None and group.idle and worn is None:
            connection = group.idle[-1]
            if connection.is_over:  # It died at rest: its slot comes back when its socket is closed.
                self._wake(group, connection)
            elif connection.message_count < bounds.messages_per_connection:
                self._wake(group, connection)
                connection.holds_slot = False
                return Reservation(site, way, bounds, group, connection)
            else:
                worn = connection  # The bound is lower than it was when this one came to rest.
        gate_key = (way.source, bounds.key)
        taken = self._take_slot(gate_key, worn)
        if taken is None:
            return None
        self._refused.pop(gate_key, None)
        reservation = Reservation(site, way, bounds, self._enter(key, gate_key), None)
        if taken.going is None:
            self._place_count += 1
        else:
            reservation.gone = self._dismiss(taken.going, with_slot=taken.is_slot_of_going)
        return reservation

    async def deliver(
        self, reservation: Reservation, make: Callable[[Features], Envelope], recipients: tuple[str, ...]
    ) -> Attempt:
        """Carry the envelope that `make` returns for this server to it; the reservation ends.

        Args:
            make: called when the connection is ready, so that what is signed is what this server takes. Called again
                if a reused connection turns out to be dead. What it raises is raised; the connection is unharmed.
            recipients: those of the envelope: who is answered if there is no connection.

        Raises:
            LocalProtocolError: an address holds a control character; the connection is unharmed.

        Safe: never raises for anything peer or network did; cancellable, which aborts the conversation.
        """
        assert not reservation.is_spent, "a reservation is used once"
        reservation.is_spent = True
        started_s = self._clock.monotonic_s()
        connection = reservation.connection
        if connection is not None and not connection.is_over:
            self._reused_count += 1
            answers = await self._talk(reservation, connection, make)
            if self._is_closing or not _is_stale(connection):
                attempt = self._attempt(reservation, answers, connection, started_s)
                self._let_go(reservation, connection)
                return attempt
        made = await self._dial(reservation)  # With the slot of the dead one, if there was one.
        if isinstance(made, Answer):
            return self._attempt(reservation, dict.fromkeys(recipients, made), None, started_s)
        if made.failure is not None:
            return self._attempt(reservation, dict.fromkeys(recipients, made.failure), made, started_s)
        answers = await self._talk(reservation, made, make)
        attempt = self._attempt(reservation, answers, made, started_s)
        self._let_go(reservation, made)
        return attempt

    def drop(self, reservation: Reservation) -> None:
        """End a reservation that was not used after all. Safe: after `deliver` began, and again; it does nothing then.

        A task that is cancelled before it starts never gets to `deliver`: whoever starts it drops its reservation.
        """
        if reservation.is_spent:
            return
        reservation.is_spent = True
        if reservation.connection is not None:
            self._let_go(reservation, reservation.connection)
        else:
            self._give(reservation.group)

    def close_idle(self, source: str, key: str) -> None:
        """Say QUIT on every idle connection of the gate: the next mail goes over a fresh one."""
        gate = self._gates.get((source, key))
        for connection, group in list(gate.idle.items()) if gate is not None else ():
            self._wake(group, connection)
            if not connection.is_over:
                connection.quit()

    async def close(self, *, wait_s: float = limits.DATA_END_WAIT_S) -> None:
        """Take no more mail; return when every connection is closed, after `wait_s` at the latest.

        Idle connections say QUIT, conversations past the final dot may finish, all others are aborted and answered
        with RESET. Safe: again, or cancelled, which aborts the rest.
        """
        self._is_closing = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._dialler.stop()
        for connection in list(self._live):
            connection.stop()
        for awaited in self._awaited.values():
            if not awaited.done():
                awaited.set_result(None)
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

    # Slots and places: who may have a socket.

    def _take_slot(self, gate_key: _GateKey, worn: Connection | None) -> "_Taken | None":
        """Take a slot and a place, free ones or those of an idle connection that is to go; None if there are none."""
        if worn is not None:
            return _Taken(worn, is_slot_of_going=True)
        going = None
        if self._place_count >= self._settings.connections_max:
            going = _oldest(self._idle)
            if going is None:
                self._refused[gate_key] = None
                return None
        if self._slots.take(*gate_key):
            return _Taken(going, is_slot_of_going=False)
        gate = self._gates.get(gate_key)
        going = _oldest(gate.idle) if gate is not None else None
        return None if going is None else _Taken(going, is_slot_of_going=True)

    def _enter(self, key: _GroupKey, gate_key: _GateKey) -> _Group:
        """Count a slot in; return its group."""
        gate = self._gates.get(gate_key)
        if gate is None:
            gate = self._gates[gate_key] = _Gate(gate_key)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key, gate)
        gate.slot_count += 1
        group.slot_count += 1
        return group

    def _leave(self, group: _Group) -> None:
        """Count a slot out."""
        gate = group.gate
        gate.slot_count -= 1
        group.slot_count -= 1
        if group.slot_count == 0:
            del self._groups[group.key]
        if gate.slot_count == 0:
            del self._gates[gate.key]

    def _dismiss(self, connection: Connection, *, with_slot: bool) -> asyncio.Future[None]:
        """Let another have the place, or place and slot, of an idle connection; return what ends with its socket."""
        group = self._idle[connection]
        self._wake(group, connection)
        connection.has_place = False
        if with_slot:
            connection.holds_slot = False
            self._leave(group)
        gone = self._awaited[connection] = asyncio.get_running_loop().create_future()
        connection.quit()
        return gone

    def _give(self, group: _Group, *, has_place: bool = True) -> None:
        """Give a slot back, and its place if it still has one."""
        self._leave(group)
        self._slots.give(*group.gate.key)
        if has_place:
            self._place_count -= 1
            self._offer_place()
        self.on_free(*group.gate.key)

    def _offer_place(self) -> None:
        """Tell a gate that was refused for want of a place; one, for there is one place."""
        if self._refused:
            gate_key, _ = self._refused.popitem(last=False)
            self.on_free(*gate_key)

    # Connections: in use, idle, gone.

    def _let_go(self, reservation: Reservation, connection: Connection) -> None:
        """End a reservation's use of a connection: the slot is the connection's again."""
        group = reservation.group
        connection.holds_slot = True
        if connection.is_gone:
            self._give(group, has_place=connection.has_place)
        elif connection.is_over:
            return  # The slot comes back through `_on_gone`.
        elif (
            self._is_closing
            or connection.message_count >= reservation.bounds.messages_per_connection
            or self._slots.should_yield(*group.gate.key)
        ):
            connection.quit()
        else:
            self._rest(group, connection)

    def _rest(self, group: _Group, connection: Connection) -> None:
        connection.rested_at_s = asyncio.get_running_loop().time()
        group.idle.append(connection)
        group.gate.idle[connection] = self._idle[connection] = group
        self._plan_sweep()
        self.on_free(*group.gate.key)
        if self._refused and connection in self._idle:
            self._offer_place()

    def _wake(self, group: _Group, connection: Connection) -> None:
        group.idle.remove(connection)
        del group.gate.idle[connection], self._idle[connection]

    def _on_gone(self, group: _Group, connection: Connection) -> None:
        self._live.discard(connection)
        if connection in self._idle:
            self._wake(group, connection)
        awaited = self._awaited.pop(connection, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)
        if not self._live and self._emptied is not None:
            self._emptied.set_result(None)
            self._emptied = None
        if connection.holds_slot:
            self._give(group, has_place=connection.has_place)

    def _plan_sweep(self) -> None:
        if self._sweep is None and not self._is_closing:
            period_s = self._settings.idle_s / _SWEEPS_PER_IDLE_COUNT
            self._sweep = asyncio.get_running_loop().call_later(period_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Say QUIT on what nobody has used for `idle_s`."""
        self._sweep = None
        oldest_s = asyncio.get_running_loop().time() - self._settings.idle_s
        while self._idle:
            connection, group = next(iter(self._idle.items()))
            if connection.rested_at_s > oldest_s:
                self._plan_sweep()
                return
            self._wake(group, connection)
            if not connection.is_over:
                connection.quit()

    # Conversations.

    async def _talk(
        self, reservation: Reservation, connection: Connection, make: Callable[[Features], Envelope]
    ) -> Mapping[str, Answer]:
        """Carry the envelope; the slot is the reservation's until it calls `_let_go`."""
        try:
            return await connection.deliver(make(connection.session.features))
        except BaseException:
            self._let_go(reservation, connection)
            raise

    async def _dial(self, reservation: Reservation) -> Connection | Answer:
        """Turn the slot into a connection; one that failed keeps the slot until its socket is closed."""
        group = reservation.group
        try:
            if reservation.gone is not None:
                await reservation.gone
            made = await self._dialler.open(reservation.site, reservation.way, group.tls)
        except BaseException:
            self._give(group)
            raise
        if isinstance(made, Answer):
            self._give(group)
            return made
        made.holds_slot = made.failure is not None
        self._dialled_count += made.failure is None
        self._live.add(made)
        made.watch(lambda gone: self._on_gone(group, gone))
        return made

    def _attempt(
        self, reservation: Reservation, answers: Mapping[str, Answer], connection: Connection | None, started_s: float
    ) -> Attempt:
        duration_s = self._clock.monotonic_s() - started_s
        source = reservation.way.source
        if connection is None:
            return Attempt(answers, duration_s, source=source)
        endpoint = connection.endpoint
        return Attempt(
            answers=answers,
            duration_s=duration_s,
            host=endpoint.host,
            ip=endpoint.ip,
            tls=connection.tls_version,
            source=source,
            dialogue=connection.dialogue,
            certificate=connection.certificate,
        )


class _Taken(msgspec.Struct, frozen=True):
    """A slot and a place."""

    going: Connection | None  # The idle connection that has to go for it.
    is_slot_of_going: bool  # Its slot goes over too, not its place alone.


def _oldest(idle: Mapping[Connection, _Group]) -> Connection | None:
    """Return the connection that was not used for longest; one that is dead already makes room by itself."""
    return next((connection for connection in idle if not connection.is_over), None)


def _is_stale(connection: Connection) -> bool:
    """Tell that a reused connection died before the peer said anything about the message: nothing was lost."""
    return connection.is_over and not connection.session.is_mail_answered


def _ignore(_source: str, _key: str) -> None:
    """Nobody waits."""
