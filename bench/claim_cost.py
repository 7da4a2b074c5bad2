"""What does a claim cost when much is waiting? One lease, one claim and one give-back, against 10^3 to 10^6 queue rows.

All rows are in one lane; beside it are 10,000 lanes of other routes with a mail each, half of them asleep, half paused.
After each round what was claimed goes to the end of the queue, off the clock, so that dead index entries gather at its
head as they do in real use. The store's own functions on an embedded server, without fsync: the disk has no part in the
question and would hide the answer. The last line's `ratio_to_least` is p50 at the most by p50 at the least.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import UUID, uuid4

from bench import backlog, lines
from bench.backlog import Owner, Pile
from bench.lines import Line
from bench.rig import temporary_dir
from outrider.base.vocab import Stream
from outrider.engine.settings import EngineSettings
from outrider.store import lanes, migrate, queue
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.lanes import GivenBack
from outrider.store.pool import Store
from outrider.store.queue import Claim, PutBack
from outrider.store.settings import EmbeddedSettings, StoreSettings
from outrider.testing.clock import RealClock

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
_OTHERS_COUNT: Final = 10_000
_ROUNDS: Final = 300
_TURNS: Final = 10
_WARM_ROUNDS: Final = 10  # Pages read; PostgreSQL settles on a plan at the sixth execution.
_OWNER: Final = Owner(UUID(int=1), "noreply@shop.example")
_NODE: Final = uuid4()
_NO_SYNC: Final = {"fsync": "off", "synchronous_commit": "off"}


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Measure every size, on a server of its own; they take turns, so that none has a quieter machine."""
    sizes = SIZES[:2] if is_quick else SIZES
    rounds = _ROUNDS // 10 if is_quick else _ROUNDS
    taken_s: dict[int, list[float]] = {size: [] for size in sizes}
    async with contextlib.AsyncExitStack() as stack:
        path = await stack.enter_async_context(temporary_dir())
        stores = {size: await stack.enter_async_context(_filled(path / str(size), size)) for size in sizes}
        for _ in range(_TURNS):
            for size, store in stores.items():
                taken_s[size] += await _run(store, rounds // _TURNS)
    p50_ms_least = lines.share_ms(taken_s[sizes[0]], 0.5)
    for size, taken in taken_s.items():
        p50_ms = lines.share_ms(taken, 0.5)
        yield Line(
            name=f"claim_cost {size:,} waiting",
            n=len(taken),
            unit="round",
            rate=round(len(taken) / sum(taken), 1),
            p50_ms=p50_ms,
            p99_ms=lines.share_ms(taken, 0.99),
            facts={"ratio_to_least": round(p50_ms / p50_ms_least, 2)},
        )


@contextlib.asynccontextmanager
async def _filled(path: Path, size: int) -> AsyncIterator[Store]:
    server = EmbeddedPostgres(path, EmbeddedSettings(), clock=RealClock(), overrides=_NO_SYNC, dies_with_us=True)
    dsn = await server.start()
    try:
        await migrate.upgrade(dsn)
        await _fill(dsn, size)
        async with Store(dsn, StoreSettings(pool_size=1)) as store:
            await _run(store, _WARM_ROUNDS)
            yield store
    finally:
        await server.stop()


async def _fill(dsn: str, size: int) -> None:
    half = _OTHERS_COUNT // 2
    asleep = Pile(number=1, owner=_OWNER, count=half, lanes=half, suffix="asleep.example", due_in_s=3600.0)
    paused = Pile(
        number=2, owner=_OWNER, count=half, lanes=half, suffix="paused.example", provider="paused", paused_for_s=3600.0
    )
    await backlog.put_in(dsn, asleep)
    await backlog.put_in(dsn, paused)
    await backlog.put_in(dsn, Pile(number=0, owner=_OWNER, count=size, suffix="due.example", due_in_s=-size / 100))


async def _run(store: Store, rounds: int) -> list[float]:
    """Return what each round took, in seconds."""
    count_max = EngineSettings().claim_count_max
    taken_s = []
    for _ in range(rounds):
        now = datetime.now(UTC)  # noqa: TID251 - a real clock.
        started_s = perf_counter()
        claims = await _lease_claim_release(store, now, count_max)
        taken_s.append(perf_counter() - started_s)
        assert len(claims) == count_max, f"{len(claims)} claims; the lane is not as it should be"
        await _to_the_end(store, claims, now)
    return taken_s


async def _lease_claim_release(store: Store, now: datetime, count_max: int) -> Sequence[Claim]:
    """Do what a deliver process does with a lane (`engine.lanes`): the one place to change with it."""
    lease_until = now + timedelta(seconds=30)
    async with store.transaction() as tx:
        leased = await lanes.lease(
            tx, Stream.MARKETING, pools=[backlog.POOL], owner=_NODE, now=now, lease_until=lease_until, count_max=64
        )
        lane_ids = [lane.lane_id for lane in leased]
        assert len(lane_ids) == 1, f"{len(lane_ids)} lanes are due instead of one"
        claims = await queue.first_due(tx, lane_ids, now=now, busy=[], count_max=count_max)
    async with store.transaction() as tx:
        await lanes.release(tx, _NODE, [GivenBack(lane_id) for lane_id in lane_ids], now=now)
    return claims


async def _to_the_end(store: Store, claims: Sequence[Claim], now: datetime) -> None:
    async with store.transaction() as tx:
        await queue.put_back(tx, [PutBack(claim.recipient_id, claim.attempt, now) for claim in claims])
