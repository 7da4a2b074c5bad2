"""Guards at work: figures warn, slow and pause, streams and projects apart; a release holds until figures are new."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import Fate, Stream, SuppressionOrigin
from outrider.engine.guard import GuardBook, GuardJudge, count_reports, release, views
from outrider.engine.protect import Finding
from outrider.obs.metrics import Metrics
from outrider.policy.guard import GuardLevel
from outrider.policy.reason import Reason
from outrider.store import guards, projects, sending
from outrider.store.guards import Guard
from outrider.store.lanes import Lane
from outrider.store.messages import Message
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.sending import Sending
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock, turns
from outrider.testing.engineroom import DOMAIN, OTHER_PROJECT, PROJECT, Journal
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest
NEWS, ORDERS = Stream.MARKETING, Stream.TRANSACTIONAL
OTHER = "other.example"
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0


class Station:
    """A judge and a book on one database, and what they judge."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock, self.journal, self.metrics = store, clock, Journal(), Metrics()
        self.judge = GuardJudge(store, clock=clock, logger=self.journal.logger, metrics=self.metrics)
        self.book = GuardBook(store, clock=clock, logger=self.journal.logger)

    async def send(
        self,
        sent: int,
        invalid: int = 0,
        complained: int = 0,
        *,
        domain: str = DOMAIN,
        stream: Stream = NEWS,
        project_id: UUID = PROJECT,
        writer: str = "a",
        campaign: str = "",
    ) -> None:
        hour = sending.hour_of(self.clock.now())
        counts = Sending(hour, project_id, domain, stream, sent, invalid, complained, campaign)
        async with self.store.transaction() as tx:
            await sending.add(tx, writer, [counts])

    async def judged(self) -> list[tuple[str, str, str]]:
        """Judge; return what changed: domain, stream and state."""
        return [(one.sender_domain, one.stream.value, one.level.value) for one in await self.judge.judge()]

    async def rows(self) -> list[Guard]:
        async with self.store.transaction() as tx:
            return await guards.read_all(tx)

    async def held(
        self, *, domain: str = DOMAIN, stream: Stream = NEWS, project_id: UUID = PROJECT, campaign: str = ""
    ) -> Sequence[str]:
        """What a deliver process does with such mail, from its next look on."""
        await self.book.load()
        lane = Lane(1, "default", "a.example", stream, project_id, domain, None, campaign)
        return [one.level.value for one in self.book.of(lane)]


@pytest.fixture
def station(store: Store, clock: FakeClock) -> Station:
    return Station(store, clock)


async def test_figures_warn_slow_and_pause_and_good_ones_end_it(station: Station) -> None:
    await station.send(499, 499)
    assert await station.judged() == []
    station.clock.advance(DAY_S)
    await station.send(500, 10)
    assert await station.judged() == []
    await station.send(100, 10, writer="b")
    assert await station.judged() == [(DOMAIN, "marketing", "warn")]
    assert await station.held() == []
    await station.send(0, 5)
    assert await station.judged() == [(DOMAIN, "marketing", "slow")]
    assert await station.held() == ["slow"]
    await station.send(0, 6)
    assert await station.judged() == [(DOMAIN, "marketing", "pause")]
    assert await station.held() == ["pause"]
    assert await station.judged() == [], "it is said once"
    (row,) = await station.rows()
    assert row.since == station.clock.now()
    assert row.sentence.startswith("31 of 600 mails in the last two hours went to addresses that do not exist: 5.2 %")
    await station.send(10_000)
    assert await station.judged() == [(DOMAIN, "marketing", "ok")]
    assert await station.rows() == []
    assert await station.held() == []
    told = [line["state"] for line in station.journal.lines if line["event"] == "guard_changed"]
    assert told == ["warn", "slow", "pause", "ok"]


async def test_a_pause_without_new_mail_stays_a_warning_does_not(station: Station) -> None:
    await station.send(600, 60)
    await station.send(600, 15, domain=OTHER)
    assert await station.judged() == [
        ("", "marketing", "pause"), (OTHER, "marketing", "warn"), (DOMAIN, "marketing", "pause")
    ]  # fmt: skip
    station.clock.advance(3 * DAY_S)
    assert await station.judged() == [(OTHER, "marketing", "ok")]
    assert await station.held() == ["pause", "pause"]


async def test_a_bad_hour_is_outweighed_by_a_good_day(station: Station) -> None:
    await station.send(9_000, 9)
    station.clock.advance(5 * HOUR_S)
    await station.send(600, 60)
    assert await station.judged() == [(DOMAIN, "marketing", "pause")]
    station.clock.advance(2 * HOUR_S)
    assert await station.judged() == [(DOMAIN, "marketing", "ok")], "69 of 9,600"


async def test_a_newsletter_never_stops_a_receipt(station: Station) -> None:
    await station.send(1000, 200, 50)
    await station.send(1000, 0, 50, stream=ORDERS)
    assert await station.judged() == [(DOMAIN, "marketing", "pause"), (DOMAIN, "transactional", "warn")]
    assert await station.held(stream=ORDERS) == [], "complaints about receipts only warn"
    await station.send(0, 60, stream=ORDERS)
    assert await station.judged() == [(DOMAIN, "transactional", "pause")], "unknown addresses among them do more"
    assert await station.held(stream=ORDERS) == ["pause"]


async def test_many_small_domains_of_a_project_are_judged_together_and_no_other_project(station: Station) -> None:
    for number in range(5):
        await station.send(200, 20, domain=f"d{number}.example")
    await station.send(5000, 1, project_id=OTHER_PROJECT)
    assert await station.judged() == [("", "marketing", "pause")]
    assert await station.held(domain="d9.example") == ["pause"]
    assert await station.held(stream=ORDERS) == []
    assert await station.held(project_id=OTHER_PROJECT) == []


async def test_a_campaign_is_judged_and_held_alone_whatever_it_is_sent_from(station: Station) -> None:
    await station.send(20_000)
    await station.send(300, 40, campaign="spring")
    await station.send(199, 40, campaign="spring", domain=OTHER)
    await station.send(900, 9, campaign="autumn")
    assert await station.judged() == [], "499 are too few"
    await station.send(900, 9, domain=OTHER)
    await station.send(1, campaign="spring")
    assert [(one.sender_domain, one.campaign, one.level) for one in await station.judge.judge()] == [
        ("", "spring", "pause"), (OTHER, "", "slow")
    ]  # fmt: skip
    assert await station.held(campaign="spring") == ["pause"]
    assert await station.held(campaign="spring", domain="third.example") == ["pause"]
    assert await station.held() == await station.held(campaign="autumn") == await station.held(campaign="Spring") == []
    assert await station.held(campaign="spring", stream=ORDERS) == []
    assert await station.held(campaign="spring", project_id=OTHER_PROJECT) == []
    (changed, _) = [line for line in station.journal.lines if line["event"] == "guard_changed"]
    assert (changed["campaign"], changed["state"]) == ("spring", "pause")


async def test_of_a_campaigns_reasons_each_is_said_and_a_release_is_of_it_alone(station: Station) -> None:
    await station.send(50_000)
    levels = []
    for invalid in (11, 10, 6):
        await station.send(501 if invalid == 11 else 0, invalid, campaign="spring")
        levels += [(one.campaign, one.level.value) for one in await station.judge.judge()]
    assert levels == [("spring", "warn"), ("spring", "slow"), ("spring", "pause")]
    with pytest.raises(NotFoundError, match="campaign autumn") as caught:
        await release(station.store, PROJECT, "", campaign="autumn", clock=station.clock)
    assert caught.value.field == "campaign"
    with pytest.raises(CallerError, match="printable"):
        await release(station.store, PROJECT, "", campaign="spring\n", clock=station.clock)
    with pytest.raises(NotFoundError, match="project itself"):
        await release(station.store, PROJECT, "", clock=station.clock)
    station.clock.advance(MINUTE_S)
    (released,) = await release(station.store, PROJECT, "", campaign="spring", clock=station.clock)
    assert (released.campaign, released.excused_sent, released.excused_invalid) == ("spring", 501, 27)
    assert await station.held(campaign="spring") == []
    assert await station.judged() == []
    (view,) = [one for one in await views(station.store, clock=station.clock) if one.campaign]
    assert (view.campaign, view.sender_domain, view.sent, view.state) == ("spring", "", 0, "ok")
    await station.send(600, 60, campaign="spring")
    assert [one.campaign for one in await station.judge.judge()] == ["spring"]


async def test_released_it_goes_on_until_new_figures_say_otherwise(station: Station) -> None:
    await station.send(400, 40)
    station.clock.advance(HOUR_S + 10 * MINUTE_S)
    await station.send(600, 60)
    assert await station.judged() == [(DOMAIN, "marketing", "pause")]
    station.clock.advance(MINUTE_S)
    (released,) = await release(station.store, PROJECT, DOMAIN, clock=station.clock)
    assert (released.level, released.excused_sent, released.excused_invalid) == (GuardLevel.OK, 600, 60)
    assert await station.held() == []
    for _ in range(3):
        station.clock.advance(MINUTE_S)
        assert await station.judged() == [], "what was sent before says nothing any more"
    await station.send(499, 100)
    assert await station.judged() == []
    await station.send(1)
    assert await station.judged() == [(DOMAIN, "marketing", "pause")]
    (row,) = await station.rows()
    assert row.sentence.startswith("100 of 500 mails in the last two hours")
    with pytest.raises(NotFoundError, match="outrider guard"):
        await release(station.store, PROJECT, OTHER, clock=station.clock)


async def test_a_release_is_forgotten_with_its_day(station: Station) -> None:
    await station.send(600, 60)
    await station.judged()
    await release(station.store, PROJECT, DOMAIN, clock=station.clock)
    station.clock.advance(20 * HOUR_S)
    assert await station.judged() == []
    assert len(await station.rows()) == 1
    station.clock.advance(10 * HOUR_S)
    assert await station.judged() == []
    assert await station.rows() == []


async def test_of_many_judges_one_changes_it_and_an_operator_is_not_overruled(
    station: Station, clock: FakeClock
) -> None:
    await station.send(600, 60)
    judges = [Station(station.store, clock) for _ in range(5)]
    changed = await asyncio.gather(*(one.judged() for one in judges))
    assert sorted(changed) == [[], [], [], [], [(DOMAIN, "marketing", "pause")]]
    assert sum(one.journal.count("guard_changed") for one in judges) == 1


async def test_the_list_has_everybody_who_can_be_judged(station: Station, mailroom: Mailroom) -> None:
    async with station.store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=station.clock.now())
    await station.send(600, 60, 1)
    await station.send(500, domain=OTHER)
    await station.send(3, domain="small.example")
    await station.judged()
    found = await views(station.store, clock=station.clock)
    assert [(v.project, v.sender_domain, v.sent, v.invalid, v.complained, v.state.value) for v in found] == [
        ("shop", "", 1103, 60, 1, "pause"),
        ("shop", OTHER, 500, 0, 0, "ok"),
        ("shop", DOMAIN, 600, 60, 1, "pause"),
    ]
    assert found[1].since is None
    assert found[2].since == station.clock.now()


def finding(reason: Reason, address_key: str, fate: Fate = Fate.BOUNCED, *, message: Message) -> Finding:
    return Finding(
        project_id=message.project_id,
        address_key=address_key,
        message_id=message.message_id,
        recipient_id=UUID(int=2),
        reason=reason,
        fate=fate,
        origin=SuppressionOrigin.REPORT,
        rule="",
        rules="",
        said="",
        at=FakeClock().now(),
        sender_domain=DOMAIN,
    )


async def test_reports_count_complaints_and_late_bounces_but_none_of_the_simulator(
    station: Station, mailroom: Mailroom
) -> None:
    mail = (await mailroom.mail(await mailroom.project(), ["ann@a.example"])).message
    found = [
        finding(Reason.COMPLAINT, "ann@a.example", message=mail),
        finding(Reason.COMPLAINT, "bob@simulator.outrider.test", message=mail),
        finding(Reason.COMPLAINT, "bob@gmail.simulator.outrider.test", message=mail),
        finding(Reason.RECIPIENT_INVALID, "cat@a.example", message=mail),
        finding(Reason.RECIPIENT_INVALID, "dan@a.example", Fate.DEFERRED, message=mail),
        finding(Reason.UNSUBSCRIBE, "eve@a.example", message=mail),
        finding(Reason.AUTO_REPLY, "fay@a.example", message=mail),
    ]
    hour = sending.hour_of(station.clock.now())
    async with station.store.transaction() as tx:
        await count_reports(tx, found[-2:], now=station.clock.now())
        await count_reports(tx, found, now=station.clock.now())
        total = await sending.of_hour(tx, hour, mail.project_id, DOMAIN, ORDERS)
    assert (total.sent, total.invalid, total.complained) == (0, 1, 1)


async def test_parts_run_and_survive_an_outage(station: Station, database_url: str, clock: FakeClock) -> None:
    await station.send(600, 60)
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(part.run()) for part in (station.judge, station.book)]
        await clock.wait_for_sleepers(2)
        clock.advance(1.0)
        async with asyncio.timeout(15):
            while not station.book.of(Lane(1, "default", "a.example", NEWS, PROJECT, DOMAIN, None)):
                clock.advance(0.2)
                await turns()
        station.judge.stop()
        station.book.stop()
        while not all(run.done() for run in runs):
            await turns()
    closed = Store(database_url, StoreSettings())
    for part in (
        GuardJudge(closed, clock=clock, logger=station.journal.logger, metrics=station.metrics),
        GuardBook(closed, clock=clock, logger=station.journal.logger),
    ):
        async with asyncio.TaskGroup() as group:
            group.create_task(part.run())
            await clock.wait_for_sleepers(1)
            part.stop()
    assert station.journal.count("guards_not_judged") == station.journal.count("guards_not_read") == 1
