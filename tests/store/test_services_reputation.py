"""How mail is seen: a project sees its own, the operator sees all; by provider and source address, by time."""

from datetime import timedelta

import pytest

from outrider.base.errors import CallerError
from outrider.policy.alerts import Measure
from outrider.policy.reputation import Level
from outrider.services.reputation import Reputation, ReputationView
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT
from tests.store.figuring import count

pytestmark = pytest.mark.newest


@pytest.fixture
async def reputation(store: Store, clock: FakeClock) -> Reputation:
    """One project with complaints at one provider, one that sends well."""
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
        await projects.ensure(tx, Project(OTHER_PROJECT, "other"), now=clock.now())
    now = clock.now()
    bad, good = {"delivered": 1000, "complained": 9}, {"delivered": 2000}
    await count(store, now, {"delivered": 3000, "complained": 9})
    for dimension, names in (("provider", ("yahoo", "gmail")), ("ip", ("192.0.2.1", "192.0.2.2"))):
        for name, counts in zip(names, (bad, good), strict=True):
            await count(store, now, counts, dimension=dimension, name=name)
    await count(store, now - timedelta(days=3), {"delivered": 100, "bounced_hard": 900})
    await count(store, now, {"delivered": 50_000}, project_id=OTHER_PROJECT)
    return Reputation(store, clock=clock)


def levels(view: ReputationView) -> dict[str, str]:
    return {one.measure.value.removesuffix("_rate"): one.level.value for one in view.judged}


async def test_a_project_sees_its_own(reputation: Reputation) -> None:
    view = await reputation.view(PROJECT, days=1)
    assert view.level is Level.BAD
    assert levels(view) == {"complaint": "bad", "hard_bounce": "good", "deferral": "good", "unsubscribe": "good"}
    assert [(one.name, one.level.value, one.mail_count) for one in view.providers] == [
        ("gmail", "good", 2000),
        ("yahoo", "bad", 1000),
    ]
    assert [(one.name, one.level.value) for one in view.ips] == [("192.0.2.2", "good"), ("192.0.2.1", "bad")]
    assert (view.projects, view.causes) == ((), [])
    assert levels(await reputation.view(PROJECT, days=7))["hard_bounce"] == "bad"
    assert levels(await reputation.view(PROJECT, days=30))["hard_bounce"] == "bad"
    assert (await reputation.view(OTHER_PROJECT, days=30)).level is Level.GOOD


async def test_the_operator_sees_all(reputation: Reputation) -> None:
    view = await reputation.view_all(days=1)
    complaints = next(one for one in view.judged if one.measure is Measure.COMPLAINT_RATE)
    assert (complaints.mail_count, complaints.level) == (53_000, Level.GOOD)
    assert [(one.name, one.level.value) for one in view.projects] == [("other", "good"), ("shop", "bad")]
    assert len(view.providers) == 2


async def test_other_times_are_refused(reputation: Reputation) -> None:
    for call in (reputation.view(PROJECT, days=2), reputation.view_all(days=0)):
        with pytest.raises(CallerError) as caught:
            await call
        assert caught.value.field == "days"
