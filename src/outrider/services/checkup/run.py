"""Probes: things to look at, each giving one check or some; all run at once, none longer than the deadline.

Failure policy: what takes too long, and a database that goes away meanwhile, become checks of their own, in the probe's
name. Anything else that a probe raises is a bug and ends the check-up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from outrider.base.errors import StoreError
from outrider.policy import checkup
from outrider.policy.checkup import Check


class Probe(msgspec.Struct, frozen=True):
    """One thing to look at."""

    name: str  # Of the check to make if it cannot be looked at.
    ask: Callable[[], Awaitable[Sequence[Check]]]
    subject: str = ""


async def run(probes: Sequence[Probe], *, wait_s: float) -> list[Check]:
    """Return all checks, in the probes' order, after `wait_s` at the latest. Safe: cancellable."""
    until_s = asyncio.get_running_loop().time() + wait_s
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_run(probe, until_s, wait_s)) for probe in probes]
    return [check for one in asked for check in one.result()]


async def _run(probe: Probe, until_s: float, wait_s: float) -> Sequence[Check]:
    try:
        async with asyncio.timeout_at(until_s):
            return await probe.ask()
    except TimeoutError:
        seen = f"not done after {wait_s:g} s."
        return [checkup.warn(probe.name, seen, "Try again with a longer --wait, or with fewer domains.", probe.subject)]
    except StoreError as error:
        cause = error.detail.get("cause")
        seen = f"{error.public} ({cause})" if cause else error.public
        return [checkup.fail(probe.name, seen, "Look at the database's log.", probe.subject)]
