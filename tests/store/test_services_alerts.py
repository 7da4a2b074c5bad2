"""Alerts at work: raised once and ended once, however many look; told as an event and by mail."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from outrider.base import ids
from outrider.base.errors import CallerError, ConflictError, LimitReachedError, NotFoundError
from outrider.base.vocab import EventKind
from outrider.policy.alerts import DEFAULTS, AlertRule, Measure, Side
from outrider.services.alerts import Alert, AlertKeeper, Alerts, AlertWish, place_of
from outrider.store import events, notices, projects
from outrider.store.events import Cursor, Event
from outrider.store.notices import Notice
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, Journal
from tests.store.figuring import catch_up, count, take_time

pytestmark = pytest.mark.newest
OPS = "ops@corp.example"
COMPLAINTS = AlertWish(
    name="Complaints",
    rule=AlertRule(measure=Measure.COMPLAINT_RATE, threshold=0.001, window_s=3600, mails_min=100),
    notify=(OPS,),
)


@pytest.fixture
def numbers() -> Iterator[int]:
    """What ids are made of."""
    return itertools.count(1)


@pytest.fixture
async def alerts(store: Store, clock: FakeClock, numbers: Iterator[int]) -> Alerts:
    """Two projects, and their alerts."""
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
        await projects.ensure(tx, Project(OTHER_PROJECT, "other"), now=clock.now())
    return Alerts(store, clock=clock, random_bits=lambda _: next(numbers))


class Watch:
    """Looks by one keeper or several, and reads what was told."""

    def __init__(self, store: Store, clock: FakeClock, numbers: Iterator[int], keeper_count: int = 3) -> None:
        self.store = store
        self.clock = clock
        self.keepers = [
            AlertKeeper(store, clock=clock, random_bits=lambda _: next(numbers), logger=Journal().logger)
            for _ in range(keeper_count)
        ]

    async def look(self, after_s: float = 1000, *, is_counted: bool = True) -> None:
        """Let time pass, and all keepers look at the same moment; unless told not to, behind the counter."""
        self.clock.advance(after_s)
        if is_counted:
            await catch_up(self.store)
        await asyncio.gather(*(one.look() for one in self.keepers))

    async def told(self) -> Sequence[Event]:
        async with self.store.transaction() as tx:
            return await events.after(tx, Cursor(), count_max=100)

    async def notices(self) -> Sequence[Notice]:
        async with self.store.transaction() as tx:
            return await notices.of_project(tx, PROJECT, with_seen=True, count_max=100)


@pytest.fixture
def watch(store: Store, clock: FakeClock, numbers: Iterator[int]) -> Watch:
    return Watch(store, clock, numbers)


async def test_it_is_raised_once_and_ends_once(alerts: Alerts, watch: Watch, store: Store, clock: FakeClock) -> None:
    made = await alerts.add(PROJECT, COMPLAINTS)
    await alerts.add(OTHER_PROJECT, COMPLAINTS)
    await count(store, clock.now(), {"delivered": 1000, "complained": 2})
    for _ in range(3):
        await watch.look()
    (raised,) = await watch.told()
    assert (raised.kind, raised.project_id, raised.recipient_id) == (EventKind.ALERT_RAISED, PROJECT, None)
    assert raised.facts == {
        "alert": "Complaints",
        "alert_id": str(made.alert_id),
        "metric": "complaint_rate",
        "value": 0.002,
        "threshold": 0.001,
        "window_s": 3600,
        "mails": 1000,
    }
    (notice,) = await watch.notices()
    assert (notice.kind, notice.subject, notice.recipients) == (raised.kind, "Alert: Complaints", (OPS,))
    assert "0.2 % of 1,000 mails" in notice.text
    shown = await alerts.show(PROJECT, made.alert_id)
    assert (shown.raised_at, shown.value, shown.checked_at) == (raised.at, 0.002, clock.now())
    await count(store, clock.now(), {"delivered": 10_000})
    for _ in range(2):
        await watch.look(200)
    _, ended = await watch.told()
    assert (ended.kind, ended.facts["mails"]) == (EventKind.ALERT_ENDED, 11_000)
    assert [one.subject for one in await watch.notices()] == ["Over: Complaints", "Alert: Complaints"]
    assert (await alerts.show(PROJECT, made.alert_id)).raised_at is None


async def test_it_ends_when_nothing_is_left_that_says_anything(
    alerts: Alerts, watch: Watch, store: Store, clock: FakeClock
) -> None:
    await alerts.add(PROJECT, COMPLAINTS)
    await count(store, clock.now(), {"delivered": 1000, "complained": 2})
    await watch.look(10)
    await watch.look(3 * 3600)
    assert [one.kind for one in await watch.told()] == [EventKind.ALERT_RAISED, EventKind.ALERT_ENDED]
    assert "value" not in (await watch.told())[1].facts


async def test_fewer_than_waits_for_a_window(alerts: Alerts, watch: Watch) -> None:
    rule = AlertRule(measure=Measure.DELIVERED, threshold=10, side=Side.BELOW, window_s=3600)
    await alerts.add(PROJECT, AlertWish(name="Silence", rule=rule))
    await watch.look()
    assert await watch.told() == []
    await watch.look(3600)
    assert [one.kind for one in await watch.told()] == [EventKind.ALERT_RAISED]
    (notice,) = await watch.notices()
    assert notice.recipients == ()  # Where the project's notices go.


async def test_without_figures_nothing_is_raised_or_ended(
    alerts: Alerts, watch: Watch, store: Store, clock: FakeClock
) -> None:
    silence = AlertRule(measure=Measure.DELIVERED, threshold=10, side=Side.BELOW, window_s=3600)
    made = await alerts.add(PROJECT, AlertWish(name="Silence", rule=silence))
    await watch.look(5000, is_counted=False)  # Nobody ever counted.
    assert await watch.told() == []
    trial = await alerts.test(PROJECT, made.alert_id)
    assert (trial.would_be_raised, "Figures are late" in trial.sentence) == (False, True)
    assert (await alerts.show(PROJECT, made.alert_id)).checked_at is None
    await watch.look()
    assert [one.kind for one in await watch.told()] == [EventKind.ALERT_RAISED]
    await count(store, clock.now(), {"delivered": 1000})
    await watch.look(is_counted=False)  # The event of the alert itself waits to be counted.
    assert len(await watch.told()) == 1
    assert (await alerts.test(PROJECT, made.alert_id)).would_be_raised
    await watch.look()
    assert [one.kind for one in await watch.told()] == [EventKind.ALERT_RAISED, EventKind.ALERT_ENDED]


@pytest.mark.parametrize(
    "part", [{"provider": "gmail"}, {"ip": "192.0.2.1"}, {"campaign": "spring"}, {"domain": "Shop.Example"}]
)
async def test_it_looks_at_its_own_mail_alone(
    alerts: Alerts, watch: Watch, store: Store, clock: FakeClock, part: dict[str, Any]
) -> None:
    rule = AlertRule(measure=Measure.BOUNCED, threshold=5, **part)
    made = await alerts.add(PROJECT, AlertWish(name="Bounces", rule=rule))
    await catch_up(store)
    await count(store, clock.now(), {"bounced_hard": 50}, domain="other.example")
    assert not (await alerts.test(PROJECT, made.alert_id)).would_be_raised
    (name, value), *_ = part.items()
    where = {"dimension": name, "name": value} if name in ("provider", "ip") else {name: value.lower()}
    await count(store, clock.now(), {"bounced_hard": 6}, **where)
    trial = await alerts.test(PROJECT, made.alert_id)
    assert (trial.would_be_raised, trial.value, trial.mail_count) == (True, 6.0, 6)
    assert await watch.told() == []


async def test_what_is_changed_counts_at_once_and_what_is_off_is_quiet(
    alerts: Alerts, watch: Watch, store: Store, clock: FakeClock
) -> None:
    made = await alerts.add(PROJECT, COMPLAINTS)
    await count(store, clock.now(), {"delivered": 1000, "complained": 2})
    await watch.look(1)
    changed = await alerts.change(PROJECT, made.alert_id, {"threshold": 0.5, "name": "Many", "notify": ()})
    assert (changed.name, changed.rule.threshold, changed.rule.mails_min, changed.notify) == ("Many", 0.5, 100, ())
    await watch.look(1)
    assert [one.kind for one in await watch.told()] == [EventKind.ALERT_RAISED, EventKind.ALERT_ENDED]
    await alerts.change(PROJECT, made.alert_id, {"threshold": 0.0001, "is_enabled": False})
    await watch.look()
    assert len(await watch.told()) == 2
    assert (await alerts.named(PROJECT, "Many")).alert_id == made.alert_id
    assert (await alerts.named(PROJECT, str(made.alert_id))).name == "Many"
    await alerts.remove(PROJECT, made.alert_id)
    with pytest.raises(NotFoundError):
        await alerts.remove(PROJECT, made.alert_id)
    with pytest.raises(NotFoundError):
        await alerts.named(PROJECT, "Many")


async def test_the_defaults_are_added_once(alerts: Alerts) -> None:
    added = await alerts.add_defaults(PROJECT, notify=[OPS])
    assert [one.name for one in added] == [one.name for one in DEFAULTS]
    await alerts.remove(PROJECT, added[0].alert_id)
    (again,) = await alerts.add_defaults(PROJECT)
    assert again.name == added[0].name
    first, *rest = await alerts.page(PROJECT, count_max=100)
    assert len(rest) == len(DEFAULTS) - 1
    assert await alerts.page(PROJECT, cursor=place_of(first), count_max=100) == rest
    assert await alerts.page(OTHER_PROJECT, count_max=100) == []


async def test_what_makes_no_sense_is_refused(alerts: Alerts) -> None:
    made: Alert = await alerts.add(PROJECT, COMPLAINTS)
    with pytest.raises(ConflictError):
        await alerts.add(PROJECT, COMPLAINTS)
    other = await alerts.add(PROJECT, AlertWish(name="Other", rule=COMPLAINTS.rule))
    for changes, field in (
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"notify": ["nobody"]}, "notify"),
        ({"notify": [f"u{number}@a.example" for number in range(11)]}, "notify"),
        ({"threshold": 2.0}, "threshold"),
        ({"campaign": "\x00"}, "campaign"),
        ({"name": "Complaints"}, "name"),
    ):
        with pytest.raises(CallerError) as caught:
            await alerts.change(PROJECT, other.alert_id, changes)
        assert caught.value.field == field, changes
    with pytest.raises(NotFoundError):
        await alerts.change(OTHER_PROJECT, made.alert_id, {})
    with pytest.raises(NotFoundError):
        await alerts.test(PROJECT, ids.uuid7(made.created_at + timedelta(days=1), 7))
    with pytest.raises(CallerError):
        await alerts.page(PROJECT, cursor="x", count_max=1)


async def test_a_project_has_so_many(alerts: Alerts) -> None:
    for number in range(100):
        await alerts.add(PROJECT, AlertWish(name=f"n{number}", rule=COMPLAINTS.rule))
    with pytest.raises(LimitReachedError):
        await alerts.add(PROJECT, COMPLAINTS)


async def test_the_time_to_the_inbox_is_watched(alerts: Alerts, watch: Watch, store: Store, clock: FakeClock) -> None:
    rule = AlertRule(measure=Measure.TIME_TO_INBOX_P95, threshold=60, window_s=3600, mails_min=100)
    slow = AlertWish(name="Gmail is slow", rule=msgspec.structs.replace(rule, provider="gmail"))
    for wish in (slow, AlertWish(name="All is slow", rule=rule)):
        await alerts.add(PROJECT, wish)
    for dimension, name, counts in (("provider", "gmail", {25: 100}), ("total", "", {3: 3000, 25: 100})):
        await take_time(store, clock.now(), counts, dimension=dimension, name=name)
    await watch.look()
    (raised,) = await watch.told()
    assert (raised.kind, raised.facts["alert"], raised.facts["mails"]) == (EventKind.ALERT_RAISED, slow.name, 100)
    assert 60 < float(raised.facts["value"]) < 600
    await watch.look(4000)
    _, ended = await watch.told()
    assert ended.kind is EventKind.ALERT_ENDED
