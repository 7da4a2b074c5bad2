"""Alerts in the database: by name once, those that are due to one at a time, each project's own."""

from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.policy.alerts import AlertRule, Measure
from outrider.store import alerts, projects
from outrider.store.alerts import Alert
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT

RULE = AlertRule(measure=Measure.DELIVERED, threshold=5, campaign="spring")


@pytest.fixture
async def alert(store: Store, clock: FakeClock) -> Alert:
    """Store one of a project."""
    now = clock.now()
    made = Alert(
        alert_id=UUID(int=1),
        project_id=PROJECT,
        name="Few",
        rule=RULE,
        notify=("ops@corp.example",),
        check_due_at=now,
        created_at=now,
    )
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=now)
        await projects.ensure(tx, Project(OTHER_PROJECT, "other"), now=now)
        assert await alerts.insert(tx, made, count_max=1)
    return made


async def test_it_is_read_back(store: Store, alert: Alert) -> None:
    async with store.transaction() as tx:
        assert await alerts.find(tx, PROJECT, alert.alert_id) == alert
        assert await alerts.lock(tx, PROJECT, alert.alert_id) == alert
        assert await alerts.by_name(tx, PROJECT, "Few") == alert
        assert await alerts.of_project(tx, PROJECT, count_max=5) == [alert]
        place = (alert.created_at, alert.alert_id)
        assert await alerts.of_project(tx, PROJECT, after=place, count_max=5) == []
        assert await alerts.find(tx, OTHER_PROJECT, alert.alert_id) is None
        assert not await alerts.remove(tx, OTHER_PROJECT, alert.alert_id)
        assert not await alerts.insert(tx, msgspec.structs.replace(alert, alert_id=UUID(int=2)), count_max=1)


async def test_a_name_is_taken_once_in_a_project(store: Store, alert: Alert) -> None:
    other = msgspec.structs.replace(alert, alert_id=UUID(int=2))
    with pytest.raises(ConflictError) as caught:
        async with store.transaction() as tx:
            await alerts.insert(tx, other, count_max=9)
    assert caught.value.detail["constraint"] == alerts.NAME_TAKEN
    async with store.transaction() as tx:
        await alerts.insert(tx, msgspec.structs.replace(other, project_id=OTHER_PROJECT), count_max=9)


async def test_what_is_due_is_looked_at_by_one(store: Store, alert: Alert, clock: FakeClock) -> None:
    now = clock.now()
    async with store.transaction() as one:
        assert await alerts.take_due(one, now=now, count_max=5) == [alert]
        async with store.transaction() as other:
            assert await alerts.take_due(other, now=now, count_max=5) == []
        stood = msgspec.structs.replace(alert, raised_at=now, value=3.0, checked_at=now)
        clock.advance(60)
        stood = msgspec.structs.replace(stood, check_due_at=clock.now())
        await alerts.stand(one, stood)
    async with store.transaction() as tx:
        assert await alerts.take_due(tx, now=now, count_max=5) == []
        assert await alerts.take_due(tx, now=clock.now(), count_max=5) == [stood]


async def test_one_that_is_off_is_not_looked_at(store: Store, alert: Alert, clock: FakeClock) -> None:
    changed = msgspec.structs.replace(alert, name="Other", notify=(), is_enabled=False)
    async with store.transaction() as tx:
        await alerts.change(tx, changed)
        assert await alerts.find(tx, PROJECT, alert.alert_id) == changed
        assert await alerts.take_due(tx, now=clock.now(), count_max=5) == []
        assert await alerts.remove(tx, PROJECT, alert.alert_id)
        assert await alerts.find(tx, PROJECT, alert.alert_id) is None
