"""The gates of one deliver process on a real ledger and the real rules, for tests: no database, and no network either.

    with GateRoom(tmp_path, clock, sources={"one": {...}}, pools={"default": {"one": {}}}) as room:
        entry = await room.entered(lane_of(), site_of("gmail"))
        room.answer(entry, "421 4.7.28 unusual rate")
        assert room.slot_count == 0  # After every entry was answered.

An entry that is answered gives its connection back without one ever having been opened.
"""

import contextlib
import functools
from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from outrider.app import make_shaping
from outrider.base.clock import Clock
from outrider.base.vocab import Phase, Stream
from outrider.config import Config
from outrider.engine.gates import Entry, Gates
from outrider.engine.judge import Judge
from outrider.engine.slots import NodeSlots
from outrider.engine.turns import Places
from outrider.net.ledger import Ledger
from outrider.net.pool import Attempt, ConnectionPool
from outrider.net.site import Host, Site
from outrider.obs.metrics import Metrics
from outrider.policy.classify import Verdict
from outrider.policy.route import Source, make_egress
from outrider.policy.settings import EgressSettings, Override, RetrySettings, ShapingSettings
from outrider.policy.shaping import Shaping
from outrider.store.lanes import Lane, Pause
from outrider.store.queue import Claim
from outrider.testing.delivery import settings_for
from outrider.testing.engineroom import DOMAIN, PROJECT, Journal, SameExit, Unwarmed, classifier
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply

_HOSTS: Final = {
    "gmail": "mx.google.com",
    "yahoo": "mta5.am0.yahoodns.net",
    "microsoft365": "{}.mail.protection.outlook.com",
}
OK: Final = "250 2.0.0 ok"
_PLACES_COUNT: Final = 500
_GATES_COUNT: Final = 1024  # A small file is a fast one.


class GateRoom:
    """A context manager. What a test may change: `bounds` (ceilings, domain rates, guards), `exits`."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        slot: int = 0,
        limits: Mapping[str, Mapping[str, Any]] | None = None,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        pools: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
        **net: float | str | bool,
    ) -> None:
        """`limits` change [shaping.providers], `sources` and `pools` [egress], `net` [net]."""
        self.clock: Final = clock
        self.bounds: Final = Unwarmed()
        self.exits: Final = SameExit()
        self.journal: Final = Journal()
        self.places: Final = Places(_PLACES_COUNT, marketing_max=_PLACES_COUNT)
        settings = msgspec.convert({"sources": sources or {}, "pools": pools or {}}, EgressSettings)
        changes = msgspec.convert(limits or {}, dict[str, Override])
        self.ledger: Final = Ledger(folder / "gates", slot, clock=clock, capacity=_GATES_COUNT)
        self.slots: Final = NodeSlots(self.ledger, slot=slot, clock=clock)
        self.connections: Final = ConnectionPool(settings_for(**net), clock=clock, slots=self.slots)
        shaping = make_shaping(Config(shaping=ShapingSettings(providers=changes))) if changes else _plain_shaping()
        self.gates: Final = Gates(
            make_egress(settings, Source("default")),
            shaping,
            self.ledger,
            self.connections,
            self.slots,
            exits=self.exits,
            ceilings=self.bounds,
            rates=self.bounds,
            guards=self.bounds,
            clock=clock,
            random=Random(1),
            logger=self.journal.logger,
        )
        retries = RetrySettings()
        self._judge: Final = Judge(classifier(), shaping, retries, clock=clock, random=Random(1), metrics=Metrics())
        self._stack: Final = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.ledger)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def enter(self, lane: Lane | None = None, site: Site | None = None) -> Entry | Pause:
        """Ask for one mail of `lane` to `site`."""
        return await self.gates.enter(lane or lane_of(), site or site_of(), self.places)

    async def entered(self, lane: Lane | None = None, site: Site | None = None) -> Entry:
        """The same; that it may is part of the test."""
        entry = await self.enter(lane, site)
        assert isinstance(entry, Entry), entry
        return entry

    async def paused(self, lane: Lane | None = None, site: Site | None = None) -> Pause:
        """The same; that it may not is part of the test. The pause says why, and until when."""
        pause = await self.enter(lane, site)
        assert isinstance(pause, Pause), pause
        assert pause.until > self.clock.now()
        assert pause.reason
        return pause

    def answer(self, entry: Entry, said: str | Cause = OK, phase: Phase = Phase.DOT) -> Verdict:
        """Let the peer of `entry` say something, or fail in silence; give back what the entry had."""
        reply = None
        if not isinstance(said, Cause):
            code, enhanced, text = said.split(" ", 2)
            reply = Reply(int(code), enhanced, text)
        answer = Answer(phase, reply, None if reply else Cause(said))
        now = self.clock.now()
        claim = Claim(UUID(int=1), 1, PROJECT, UUID(int=1), "ann@a.example", now, 0, now)
        judged = self._judge.verdict(claim, answer, provider=entry.place.provider, accepted_at=now)
        self.gates.answered(entry, answer, Attempt({}, 0.0, source=entry.source), judged)
        self.give(entry)
        return judged.verdict

    def give(self, entry: Entry, stream: Stream = Stream.TRANSACTIONAL) -> None:
        """Give back what the entry had; nothing was said."""
        self.connections.drop(entry.reservation)
        self.places.release(stream)

    @property
    def slot_count(self) -> int:
        """Connections in the ledger, over all gates and processes."""
        return sum(sum(gate.connections) for _, gate in self.ledger.entries())

    def check_nothing_held(self) -> None:
        """See that all was given back."""
        assert self.slot_count == 0
        assert self.connections.stats.slot_count == 0
        assert self.places.free_count == _PLACES_COUNT


@functools.cache
def _plain_shaping() -> Shaping:
    """Our own limits, unchanged; immutable."""
    return make_shaping(Config())


def site_of(provider: str = "gmail", name: str = "") -> Site:
    """Return a site of that provider, or of none: then it is called `name`."""
    host = _HOSTS.get(provider, "mx.{}.example").format(name or provider)
    return Site(host, (Host(host, ("127.0.0.1",)),))


def lane_of(
    number: int = 1,
    stream: Stream = Stream.TRANSACTIONAL,
    *,
    pool: str = "default",
    project_id: UUID = PROJECT,
    sender_domain: str = DOMAIN,
    campaign: str = "",
) -> Lane:
    """Return a lane."""
    return Lane(number, pool, f"route{number}.example", stream, project_id, sender_domain, None, campaign)
