"""Makes connections: the hosts of a site in turn, from one source. No slots and no waiting here: that is `net.pool`.

A conversation that fails before its MAIL (connect, greeting, EHLO, STARTTLS) moves on to the site's next address; the
last failure is the answer if none is left. An address that failed for a source is tried last by that source for
`host_bad_s`. Opportunistic TLS that breaks in the handshake is given up for that address for `tls_broken_s`.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.vocab import Phase
from outrider.net.settings import NetSettings, waits_of
from outrider.net.site import Host, Site, Way
from outrider.net.smtp_talk import Connection, Endpoint
from outrider.net.tls import TlsContexts
from outrider.wire import dialogue
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Session, TlsMode

NO_HOST: Final = Answer(Phase.ROUTE, None, Cause.NO_HOST)
NO_HOST_OF_FAMILY: Final = Answer(Phase.CONNECT, None, Cause.UNREACHABLE)
STOPPED: Final = Answer(Phase.CONNECT, None, Cause.RESET)
_MEMORY_COUNT_MAX: Final = 10_000  # Addresses remembered before the oldest is forgotten.


class Dialler:
    """Opens connections for a pool. Belongs to one event loop."""

    def __init__(self, settings: NetSettings, *, clock: Clock, contexts: TlsContexts | None = None) -> None:
        assert settings.ehlo_name  # "" in the file; app.py puts this machine's name there.
        self._settings: Final = settings
        self._clock: Final = clock
        self._contexts: Final = TlsContexts(settings) if contexts is None else contexts
        self._waits: Final = waits_of(settings)
        self._guards: set[asyncio.Timeout] = set()
        self._bad: Final = _Memory(clock, settings.host_bad_s)
        self._plain: Final = _Memory(clock, settings.tls_broken_s)
        self._is_stopped = False

    async def open(self, site: Site, way: Way, mode: TlsMode) -> Connection | Answer:
        """Return a connection of `site` that is READY, or the last one that failed (`failure`), host after host.

        Returns:
            An answer if nobody was asked: ROUTE and NO_HOST for a site without addresses; CONNECT and UNREACHABLE if
            it has none of the family of `way.address`, which is temporary and true of this source only; CONNECT and
            RESET once stopped.

        Safe: cancellable; nothing stays open.
        """
        address = way.address or self._settings.source
        tried: list[str] = []
        connection: Connection | None = None
        candidates = self._candidates(site, way, address)
        if not candidates:
            return NO_HOST_OF_FAMILY if any(host.addresses for host in site.hosts) else NO_HOST
        for host, ip in candidates:
            if connection is not None:
                tried.append(_line_of(connection))
            made = await self._dial(site, way, mode, (host, ip, address), tried)
            if isinstance(made, Answer) or made.failure is None:
                return made
            connection = made
            if self._is_stopped or _is_ours(made.failure):
                break
        assert connection is not None
        return connection

    def stop(self) -> None:
        """Break off what is being set up, and open nothing more."""
        self._is_stopped = True
        for guard in self._guards:
            guard.reschedule(0)
        self._guards.clear()

    async def _dial(
        self, site: Site, way: Way, mode: TlsMode, to: tuple[Host, str, str], tried: list[str]
    ) -> Connection | Answer:
        """Try one address of one host, a second time in the clear if TLS was a favour and broke."""
        host, ip, address = to
        if mode is TlsMode.OPPORTUNISTIC and self._plain.has(f"{ip} {site.port}"):
            mode = TlsMode.NEVER
        endpoint = Endpoint(
            ip=ip,
            port=site.port,
            host=host.name,
            context=self._contexts.of(mode),
            connect_wait_s=self._settings.connect_wait_s,
            source=address,
        )
        made = await self._open(site, way, mode, endpoint, tried)
        if isinstance(made, Answer):
            return made
        if (
            made.failure is not None
            and made.failure.cause is Cause.TLS
            and mode is TlsMode.OPPORTUNISTIC
            and not site.credentials
        ):
            self._plain.add(f"{ip} {site.port}")
            tried.append(_line_of(made))
            made = await self._open(site, way, TlsMode.NEVER, endpoint, tried)
            if isinstance(made, Answer):
                return made
        if made.failure is not None and not _is_ours(made.failure) and not self._is_stopped:
            self._bad.add(f"{way.source} {ip} {site.port}")
        return made

    async def _open(
        self, site: Site, way: Way, mode: TlsMode, endpoint: Endpoint, tried: Sequence[str]
    ) -> Connection | Answer:
        if self._is_stopped:
            return STOPPED
        session = Session(
            way.ehlo_name or self._settings.ehlo_name,
            tls=mode,
            credentials=site.credentials,
            waits=self._waits,
        )
        try:
            async with asyncio.timeout(None) as guard:  # Ours alone: `stop` lets it run out.
                self._guards.add(guard)
                try:
                    return await Connection.open(session, endpoint, tried)
                finally:
                    self._guards.discard(guard)
        except TimeoutError:
            return STOPPED

    def _candidates(self, site: Site, way: Way, address: str) -> Sequence[tuple[Host, str]]:
        every = [(host, ip) for host in site.hosts for ip in host.addresses if _is_of_family(ip, address)]
        if len(every) > 1 and self._bad.count:
            every.sort(key=lambda one: self._bad.has(f"{way.source} {one[1]} {site.port}"))
        return every[: limits.HOST_TRIES_COUNT_MAX]


class _Memory:
    """Keys that are true for a while. The oldest are forgotten when there are too many."""

    def __init__(self, clock: Clock, period_s: float) -> None:
        self._clock: Final = clock
        self._period_s: Final = period_s
        self._until_s: Final[dict[str, float]] = {}  # The first added first, so that the first to end are in front.

    @property
    def count(self) -> int:
        return len(self._until_s)

    def has(self, key: str) -> bool:
        return self._until_s.get(key, 0.0) > self._clock.monotonic_s()

    def add(self, key: str) -> None:
        self._until_s.pop(key, None)
        if len(self._until_s) >= _MEMORY_COUNT_MAX:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[key] = self._clock.monotonic_s() + self._period_s


def _is_of_family(ip: str, address: str) -> bool:
    return not address or (":" in ip) == (":" in address)


def _is_ours(failure: Answer) -> bool:
    """Tell that another host would not help: we are out of sockets, or our password is wrong."""
    if failure.cause is Cause.INTERNAL:
        return True
    return failure.phase is Phase.AUTH and failure.reply is not None and failure.reply.severity == 5


def _line_of(failed: Connection) -> str:
    """Say in one line whom we tried in vain, and why; the last one's own dialogue says it at length."""
    answer, endpoint = failed.failure, failed.endpoint
    assert answer is not None
    why = answer.reply.code if answer.reply is not None else answer.cause
    return dialogue.tried(failed.setup_s, f"{endpoint.host} {endpoint.ip}", f"{answer.phase} {why}")
