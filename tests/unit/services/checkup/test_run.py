"""All probes run at once, none beyond the deadline; what cannot be looked at is a check of its own."""

import asyncio
from collections.abc import Sequence

import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.policy import checkup
from outrider.policy.checkup import Check, CheckState
from outrider.services.checkup import run
from outrider.services.checkup.run import Probe

OK = checkup.ok("queue.due", "Well.")


async def well() -> Sequence[Check]:
    return [OK]


async def never() -> Sequence[Check]:
    await asyncio.Event().wait()
    return [OK]


async def away() -> Sequence[Check]:
    raise StoreUnavailableError("The database is not available.", cause="connection refused")


async def broken() -> Sequence[Check]:
    raise LookupError("a bug")


async def test_a_probe_that_hangs_costs_the_deadline_once_and_harms_no_other() -> None:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    hanging = [Probe("egress.ptr", never, f"192.0.2.{number}") for number in range(50)]
    found = await run.run([*hanging, Probe("queue.due", well)], wait_s=0.05)
    assert loop.time() - started_s < 2
    assert found[-1] == OK
    assert {(one.name, one.state) for one in found[:-1]} == {("egress.ptr", CheckState.WARN)}
    assert [one.subject for one in found[:2]] == ["192.0.2.0", "192.0.2.1"]


async def test_a_database_that_goes_away_is_a_failure_with_its_cause() -> None:
    (check,) = await run.run([Probe("queue.due", away)], wait_s=1)
    assert (check.name, check.state) == ("queue.due", CheckState.FAIL)
    assert "connection refused" in check.seen


async def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await run.run([Probe("queue.due", broken), Probe("queue.due", never)], wait_s=5)
    assert caught.group_contains(LookupError, match="a bug")


async def test_nothing_to_look_at_is_nothing() -> None:
    assert await run.run([], wait_s=1) == []
