"""Hits that were taken are written once: the first told from the rest, through outages, within bounds."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import StoreError
from outrider.base.vocab import EventKind
from outrider.knowledge import agents
from outrider.policy.engagement import Hit
from outrider.services.tracking import Tracker
from outrider.store import projects
from outrider.store.events import Event
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, EngineRoom

pytestmark = pytest.mark.newest

ANN = "ann@a.example"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
AWAY = "postgresql://nobody@/nowhere?host=/nonexistent&port=5432"


class Desk:
    """One mail, whose reader opens it and follows its links."""

    def __init__(self, room: EngineRoom, clock: FakeClock) -> None:
        self.room, self.clock = room, clock
        self.session = self.recipient_id = UUID(int=0)
        self.tracker = self.made()

    def made(self, store: Store | None = None, **bounds: Any) -> Tracker:
        return Tracker(
            store or self.room.store,
            agents(),
            too_soon_s=2.0,
            **{"waiting_max": 100, **bounds},
            clock=self.clock,
            logger=self.room.journal.logger,
            metrics=self.room.metrics,
        )

    async def deliver(self) -> None:
        self.session = await self.room.send(ANN)
        (recipient,) = (await self.room.recipients(self.session)).values()
        self.recipient_id = recipient.recipient_id
        async with self.room.store.transaction() as tx:
            await tx.execute(
                "UPDATE recipient SET status = 'delivered', attempt = 1 WHERE recipient_id = $1", self.recipient_id
            )
        self.clock.advance(60)

    def hit(self, click: int = 0, **changes: Any) -> Hit:
        given = {"recipient_id": self.recipient_id, "at": self.clock.now(), "ip": "192.0.2.7", "agent": FIREFOX}
        target = f"https://shop.example/{click}" if click else ""
        return Hit(**given | {"is_click": bool(click), "number": click, "target": target} | changes)

    async def heard(self) -> Sequence[Event]:
        kinds = (EventKind.OPENED, EventKind.CLICKED)
        return [one for one in await self.room.events(self.session) if one.kind in kinds]

    def counted(self, outcome: str) -> float:
        return self.room.sample("outrider_tracking_hits_total", outcome=outcome)


@pytest.fixture
async def desk(room: EngineRoom, clock: FakeClock) -> Desk:
    async with room.store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
    made = Desk(room, clock)
    await made.deliver()
    return made


async def test_an_open_and_a_click_become_events_with_what_is_known(desk: Desk) -> None:
    desk.tracker.take(desk.hit())
    desk.tracker.take(desk.hit(3))
    await desk.tracker.flush()
    opened, clicked = sorted(await desk.heard(), key=lambda one: one.kind, reverse=True)
    known = {"client": "Firefox", "device": "desktop", "os": "Linux", "since_s": 60.0, "ip": "192.0.2.7"}
    firsts = {"first": True, "first_human": True}
    assert (opened.kind, opened.attempt, opened.facts) == (EventKind.OPENED, 1, {**firsts, **known, "agent": FIREFOX})
    assert clicked.facts == opened.facts | {"url": "https://shop.example/3", "link": 3}


async def test_the_first_is_one_and_a_machine_before_it_is_not_the_first_person(desk: Desk) -> None:
    for agent in ("Mozilla/5.0", FIREFOX, FIREFOX):
        desk.tracker.take(desk.hit(agent=agent))
        await desk.tracker.flush()
        desk.clock.advance(1)
    facts = [one.facts for one in await desk.heard()]
    assert [(one["first"], one["first_human"], one.get("machine")) for one in facts] == [
        (True, False, "apple_privacy"),
        (False, True, None),
        (False, False, None),
    ]
    assert (desk.counted("machine"), desk.counted("human")) == (1, 2)


async def test_duplicates_without_number_are_one_row_and_all_counted(desk: Desk) -> None:
    others = [desk.made() for _ in range(3)]
    for tracker in (desk.tracker, *others):
        for _ in range(25_000):
            tracker.take(desk.hit(1))
    await asyncio.gather(*(tracker.flush() for tracker in (desk.tracker, *others)))
    found = [one.facts for one in await desk.heard()]
    assert [one["count"] for one in found] == [25_000] * 4
    assert (sum(one["first"] for one in found), sum(one["first_human"] for one in found)) == (1, 1)
    async with desk.room.store.transaction() as tx:
        row = await tx.fetch_row("SELECT clicks FROM engagement WHERE project_id = $1", PROJECT)
    assert row is not None
    assert row["clicks"] == 100_000


async def test_links_followed_at_once_are_judged_together(desk: Desk) -> None:
    desk.tracker.take(desk.hit(1))
    await desk.tracker.flush(older_than_s=1.0)
    assert await desk.heard() == []  # Too young to be judged: others may come.
    desk.clock.advance(0.4)
    desk.tracker.take(desk.hit(2))
    desk.clock.advance(0.7)
    await desk.tracker.flush(older_than_s=1.0)
    desk.clock.advance(0.5)
    await desk.tracker.flush(older_than_s=1.0)
    desk.clock.advance(60)
    desk.tracker.take(desk.hit(4))
    await desk.tracker.flush()
    assert [one.facts["machine"] for one in await desk.heard()] == ["all_links"] * 3


async def test_of_who_reads_in_private_neither_address_nor_agent_nor_country_is_kept(desk: Desk) -> None:
    async with desk.room.store.transaction() as tx:
        await tx.execute("UPDATE project SET tracking = '{\"is_private\": true}' WHERE project_id = $1", PROJECT)
    tracker = desk.made(country_of=lambda _: "DE")
    tracker.take(desk.hit(1))
    await tracker.flush()
    (one,) = await desk.heard()
    assert {"ip", "agent", "country"}.isdisjoint(one.facts)
    assert one.facts["client"] == "Firefox"


async def test_a_person_who_is_no_proxy_is_in_a_country(desk: Desk) -> None:
    asked: list[str] = []
    tracker = desk.made(country_of=lambda ip: asked.append(ip) or "DE")
    for number, agent in enumerate((FIREFOX, "curl/8.5.0", GMAIL), 1):
        tracker.take(desk.hit(number, agent=agent))
        await tracker.flush()
        desk.clock.advance(60)
    assert [one.facts.get("country") for one in await desk.heard()] == ["DE", None, None]
    assert asked == ["192.0.2.7"]
    nobody = desk.made(country_of=lambda _: "")
    nobody.take(desk.hit(4))
    await nobody.flush()
    assert "country" not in (await desk.heard())[-1].facts


async def test_hits_wait_while_the_database_is_away_up_to_the_bound(desk: Desk) -> None:
    tracker = desk.made(Store(AWAY, StoreSettings()), waiting_max=2)
    for number in (1, 2, 3):
        tracker.take(desk.hit(number, ip=f"192.0.2.{number}"))
    tracker.take(desk.hit(1, ip="192.0.2.1"))  # Of one that waits: needs no room.
    for _ in range(2):
        with pytest.raises(StoreError):
            await tracker.flush()
    assert desk.counted("lost") == 1
    tracker._store = desk.room.store  # type: ignore[misc]  # It is back.
    await tracker.flush()
    assert sorted((one.facts["link"], one.facts.get("count", 1)) for one in await desk.heard()) == [(1, 2), (2, 1)]


async def test_a_stop_writes_what_is_there_however_young(desk: Desk) -> None:
    desk.tracker.take(desk.hit(1))
    desk.tracker.stop()
    await desk.tracker.run()
    assert len(await desk.heard()) == 1


async def test_what_a_stop_cannot_write_is_counted_and_told(desk: Desk) -> None:
    tracker = desk.made(Store(AWAY, StoreSettings()))
    tracker.take(desk.hit(1, count=3))
    tracker.stop()
    await tracker.run()
    assert desk.counted("lost") == 3
    assert [line["count"] for line in desk.room.journal.lines if line["event"] == "hits_lost"] == [3]


async def test_a_mail_that_is_gone_is_counted_and_nothing_else(desk: Desk) -> None:
    desk.tracker.take(desk.hit(1, recipient_id=UUID(int=404)))
    desk.tracker.take(desk.hit(1, at=desk.clock.now() + timedelta(seconds=0)))
    await desk.tracker.flush()
    assert (desk.counted("unknown"), len(await desk.heard())) == (1, 1)
