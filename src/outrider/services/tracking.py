"""Opens and clicks: kept in memory as they come, judged and written soon after, in batches.

    take      a hit, from a face that has answered already; never waits, costs no query
    run       writes what has waited for `BURST_S`, so that links that are followed at once are judged together

Written are the recipient's counts (`store.engagement`) and an event for each kind of hit, in one transaction. The same
visitor at the same link is one event with a `count`, so a flood costs a row a second and not a row a hit.

While the database is away hits stay in memory, up to a bound; what comes beyond it is lost, counted and said. A stop
writes what is there. Whoever is killed loses what came in the last second and a half. Where the database was lost in
the middle of a commit a hit may be counted twice.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import StoreError
from outrider.base.vocab import EventKind, RecipientStatus
from outrider.engine.service import Outage, Rounds
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import engagement as judging
from outrider.policy.engagement import BURST_S, AgentBook, Bond, Hit, Judgement, Visitor
from outrider.store import engagement, events
from outrider.store.engagement import Counted, Firsts, Tracked
from outrider.store.events import NewEvent
from outrider.store.pool import Store, StoreValueError, Tx

_ROUND_S: Final = 0.2  # Ours: how long a hit waits beyond BURST_S.
# Ours: one transaction, some 3 ms of the loop. Measured (2026-11, 2 cores, bench/track.py) at 5,000 opens a second: an
# answer waits 7 ms at most in 99 of 100 cases, 44 ms with batches of 300.
_BATCH_COUNT: Final = 100
_BESIDE_COUNT: Final = 300  # Ours: hits that came next, which may be of the same burst.
_URL_CHARS_MAX: Final = 2000  # Ours: of a target in an event.

_Key = tuple[int, bool, int, str, str, bool]
_NO_FIRSTS: Final = Firsts(is_open=False, is_click=False, is_human_open=False, is_human_click=False)


def _nowhere(_: str) -> str:
    return ""


class _Judged(msgspec.Struct, frozen=True):
    """A hit with all that is known of it."""

    hit: Hit
    judgement: Judgement
    about: Tracked
    country: str  # "": nobody knows, or may.


class Tracker:
    """Keeps hits and writes them. One per process."""

    def __init__(
        self,
        store: Store,
        book: AgentBook,
        *,
        too_soon_s: float,
        waiting_max: int,
        clock: Clock,
        logger: Logger,
        metrics: Metrics,
        country_of: Callable[[str], str] = _nowhere,
    ) -> None:
        """`country_of` says where an address is, "" if unknown.

        `waiting_max` bounds the different hits in memory; up to a batch more while one is written.
        """
        self._store: Final = store
        self._book: Final = book
        self._too_soon_s: Final = too_soon_s
        self._country_of: Final = country_of
        self._clock: Final = clock
        self._logger: Final = logger
        self._hits: Final = metrics.hits
        self._waiting_max: Final = waiting_max
        self._waiting: OrderedDict[_Key, Hit] = OrderedDict()  # In the order in which they came.
        self._marked: Final[OrderedDict[Visitor, str]] = OrderedDict()
        self._lost_count = 0
        self._outage: Final = Outage(logger, "hits_not_written")
        self._rounds: Final = Rounds(_ROUND_S, clock=clock)

    def take(self, hit: Hit) -> None:
        """Keep this until it is written. Beyond the bound it is lost."""
        key = _key(hit)
        earlier = self._waiting.get(key)
        if earlier is not None:
            self._waiting[key] = msgspec.structs.replace(earlier, count=earlier.count + hit.count)
        elif len(self._waiting) < self._waiting_max:
            self._waiting[key] = hit
        else:
            self._hits.labels("lost").inc(hit.count)
            self._lost_count += hit.count

    async def run(self) -> None:
        """Write what comes until `stop`, then what is left."""
        async for _ in self._rounds:
            with self._outage:
                await self.flush(older_than_s=BURST_S)
            if self._lost_count:
                self._logger.warning("hits_lost", count=self._lost_count, waiting=len(self._waiting))
                self._lost_count = 0
        with self._outage:
            await self.flush()
        if self._waiting:
            lost_count = sum(hit.count for hit in self._waiting.values())
            self._hits.labels("lost").inc(lost_count)
            self._logger.error("hits_lost", count=lost_count, waiting=0)

    def stop(self) -> None:
        """Let `run` write what is left and return."""
        self._rounds.stop()

    async def flush(self, *, older_than_s: float = 0.0) -> None:
        """Write all that came at least so long ago. What could not be written waits on. Raises StoreError."""
        while batch := self._next_batch(older_than_s):
            for hit in batch:
                del self._waiting[_key(hit)]
            try:
                await self._write(batch)
            except StoreValueError as error:  # These very values: they would stop all that wait behind them.
                self._logger.warning("hits_refused", count=len(batch), error=str(error))
                self._hits.labels("lost").inc(sum(hit.count for hit in batch))
            except StoreError:
                self._put_back(batch)
                raise

    def _next_batch(self, older_than_s: float) -> Sequence[Hit]:
        now = self._clock.now()
        first = list(islice(self._waiting.values(), _BATCH_COUNT))
        if not older_than_s:
            return first
        # A clock that was set back must not keep them for ever: what seems to come later is old, too.
        return [hit for hit in first if not 0 <= (now - hit.at).total_seconds() < older_than_s]

    def _put_back(self, batch: Sequence[Hit]) -> None:
        for hit in reversed(batch):
            key = _key(hit)
            later = self._waiting.get(key)
            self._waiting[key] = hit if later is None else msgspec.structs.replace(hit, count=hit.count + later.count)
            self._waiting.move_to_end(key, last=False)

    async def _write(self, batch: Sequence[Hit]) -> None:
        async with self._store.transaction() as tx:
            known = await engagement.about(tx, list({hit.recipient_id for hit in batch}))
            judged = self._judge(batch, known)
            if judged:
                await _keep(tx, judged)
        machine_count = human_count = 0
        for one in judged:
            if one.judgement.lasts:
                self._mark(one.hit.visitor, one.judgement.machine)
            if one.judgement.machine:
                machine_count += one.hit.count
            else:
                human_count += one.hit.count
        strange_count = sum(hit.count for hit in batch) - machine_count - human_count
        for outcome, count in (("machine", machine_count), ("human", human_count), ("unknown", strange_count)):
            if count:
                self._hits.labels(outcome).inc(count)

    def _judge(self, batch: Sequence[Hit], known: Mapping[UUID, Tracked]) -> Sequence[_Judged]:
        """Return those of the batch whose recipients are known, judged."""
        found = [(hit, about) for hit in batch if (about := known.get(hit.recipient_id)) is not None]
        recipients = {about.recipient_id for _, about in found}
        beside = [hit for hit in islice(self._waiting.values(), _BESIDE_COUNT) if hit.recipient_id in recipients]
        judgements = judging.judge(
            [hit for hit, _ in found],
            {one: _bond(about) for one, about in known.items()},
            self._book,
            beside=beside,
            marked=self._marked,
            too_soon_s=self._too_soon_s,
        )
        return [
            _Judged(hit, judgement, about, "" if _is_placeless(judgement, about) else self._country_of(hit.ip))
            for (hit, about), judgement in zip(found, judgements, strict=True)
        ]

    def _mark(self, visitor: Visitor, cause: str) -> None:
        self._marked[visitor] = cause
        self._marked.move_to_end(visitor)
        if len(self._marked) > limits.MACHINES_MARKED_COUNT_MAX:
            self._marked.popitem(last=False)


async def _keep(tx: Tx, judged: Sequence[_Judged]) -> None:
    by_recipient: dict[UUID, list[_Judged]] = {}
    for one in sorted(judged, key=lambda one: one.hit.at):
        by_recipient.setdefault(one.about.recipient_id, []).append(one)
    firsts = await engagement.add(tx, [_counted(ones) for ones in by_recipient.values()])
    made = [event for key, ones in by_recipient.items() for event in _events(ones, firsts.get(key, _NO_FIRSTS))]
    await events.append_after(tx, made)


def _counted(ones: Sequence[_Judged]) -> Counted:
    """Return what one recipient's hits, in the order of time, add to its row. One pass: it is asked for every hit."""
    opens = clicks = machine_opens = machine_clicks = 0
    opened_at = clicked_at = human_opened_at = human_clicked_at = last_clicked_at = None
    for one in ones:
        hit, is_machine = one.hit, bool(one.judgement.machine)
        if hit.is_click:
            clicks += hit.count
            clicked_at, last_clicked_at = clicked_at or hit.at, hit.at
            if is_machine:
                machine_clicks += hit.count
            else:
                human_clicked_at = human_clicked_at or hit.at
        else:
            opens += hit.count
            opened_at = opened_at or hit.at
            if is_machine:
                machine_opens += hit.count
            else:
                human_opened_at = human_opened_at or hit.at
    return Counted(
        recipient_id=ones[0].hit.recipient_id,
        project_id=ones[0].about.project_id,
        opens=opens,
        clicks=clicks,
        machine_opens=machine_opens,
        machine_clicks=machine_clicks,
        opened_at=opened_at,
        clicked_at=clicked_at,
        human_opened_at=human_opened_at,
        human_clicked_at=human_clicked_at,
        last_clicked_at=last_clicked_at,
    )


def _events(ones: Sequence[_Judged], firsts: Firsts) -> Sequence[NewEvent]:
    """Return the events of one recipient's hits, in the order of time; of each kind the first has what was first."""
    left = {
        (False, False): firsts.is_open,
        (True, False): firsts.is_click,
        (False, True): firsts.is_human_open,
        (True, True): firsts.is_human_click,
    }
    made = []
    for one in ones:
        hit, is_human = one.hit, not one.judgement.machine
        is_first = left[hit.is_click, False]
        is_first_human = is_human and left[hit.is_click, True]
        left[hit.is_click, False] = False
        if is_human:
            left[hit.is_click, True] = False
        made.append(
            NewEvent(
                at=hit.at,
                project_id=one.about.project_id,
                message_id=one.about.message_id,
                recipient_id=hit.recipient_id,
                kind=EventKind.CLICKED if hit.is_click else EventKind.OPENED,
                attempt=one.about.attempt,
                facts=_facts(one, is_first=is_first, is_first_human=is_first_human),
            )
        )
    return made


def _facts(one: _Judged, *, is_first: bool, is_first_human: bool) -> dict[str, str | int | float | bool]:
    hit, judgement, agent = one.hit, one.judgement, one.judgement.agent
    facts: dict[str, str | int | float | bool] = {"first": is_first, "first_human": is_first_human}
    if judgement.machine:
        facts["machine"] = judgement.machine
    facts |= {"client": agent.client, "device": agent.device, "os": agent.os}
    if judgement.since_s is not None:
        facts["since_s"] = round(judgement.since_s, 3)
    if hit.count > 1:
        facts["count"] = hit.count
    if hit.is_click:
        facts |= {"url": hit.target[:_URL_CHARS_MAX], "link": hit.number}
    if one.country:
        facts["country"] = one.country
    if not one.about.is_private:
        facts |= {"ip": hit.ip, "agent": hit.agent}
    return facts


def _is_placeless(judgement: Judgement, about: Tracked) -> bool:
    """Whether the address is a machine's, not the reader's; or nothing that comes from it is to be kept."""
    return bool(judgement.machine) or judgement.agent.is_proxy or about.is_private


def _bond(about: Tracked) -> Bond:
    is_delivered = about.status is RecipientStatus.DELIVERED
    is_untried = about.status is RecipientStatus.QUEUED and about.attempt == 0
    return Bond(about.updated_at if is_delivered else None, is_untried)


def _key(hit: Hit) -> _Key:
    # By number: a UUID's hash is Python's own work, each time anew.
    return hit.recipient_id.int, hit.is_click, hit.number, hit.ip, hit.agent, hit.is_prefetch
