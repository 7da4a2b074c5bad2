"""What comes back, for real: the simulator answers to the inbound port, and `show` and `events` print what follows."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from outrider.policy.simulate import DOMAIN
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SUPPRESSED = "recipient suppressed"
# Event, reason, status at the end, which mail the address gets no more of.
LIVES: Mapping[str, tuple[str, str, str, str]] = {
    "late-bounce": ("bounced_late", "recipient.invalid", "bounced", "all"),
    "complaint": ("complained", "complaint", "delivered", "stream"),
    "auto-reply": ("auto_replied", "auto_reply", "delivered", ""),
    "challenge": ("auto_replied", "recipient.challenge", "delivered", ""),
    "unsubscribe": ("unsubscribed", "unsubscribe", "delivered", "stream"),
}


async def shown(program: Program, address: str, event_count: int) -> Any:
    """Return what `show` prints once the recipient has so many events."""

    async def look() -> Any:
        found = await program.command_json("show", address)
        return found if len(found["events"]) >= event_count else None

    return await program.until(look)


async def refused(program: Program, address: str) -> bool:
    """Send another; tell whether it is refused as suppressed."""
    answer = await program.send([address])
    return SUPPRESSED in json.dumps(answer)


async def test_each_late_answer_becomes_its_event_and_suppression(caught: Program) -> None:
    addresses = {name: f"{name}+e2e@{DOMAIN}" for name in LIVES}
    answer = await caught.send(list(addresses.values()))
    assert answer["RetCode"] == 0, answer
    for name, (kind, reason, status, suppressed) in LIVES.items():
        found = await shown(caught, addresses[name], 3)
        accepted, delivered, late = found["events"]
        assert (accepted["kind"], delivered["kind"]) == ("accepted", "delivered")
        assert (late["kind"], late["reason"]) == (kind, reason), late
        assert late["facts"].get("suppressed", "") == suppressed
        assert found["recipient"]["status"] == status
        # The API sends transactional mail: who left the newsletter still gets it.
        assert await refused(caught, addresses[name]) == (suppressed == "all")
    told = (await caught.command("show", found["recipient"]["recipient_id"])).stdout
    assert "unsubscribed, attempt 1, reason unsubscribe" in told
    lines = (await caught.command("events", "--json")).stdout.splitlines()
    kinds = [event["kind"] for event in map(json.loads, lines) if event["message_id"] == answer["SessionNo"]]
    assert sorted(kinds[-5:]) == sorted(life[0] for life in LIVES.values())


async def test_show_tells_a_late_bounce_in_words(caught: Program) -> None:
    address = f"late-bounce+words@{DOMAIN}"
    await caught.send([address])
    await shown(caught, address, 3)
    told = (await caught.command("show", address)).stdout
    assert "bounced_late, attempt 1, reason recipient.invalid, rule " in told
    assert "suppressed all" in told
    assert "User unknown" in told


async def test_an_unknown_user_is_suppressed_at_once_and_a_busy_yahoo_suppresses_nobody(caught: Program) -> None:
    gone, busy = f"bounce+e2e@{DOMAIN}", f"tss04+e2e@tss-e2e.{DOMAIN}"
    await caught.send([gone, busy])
    assert (await shown(caught, gone, 2))["recipient"]["status"] == "bounced"
    assert await refused(caught, gone)
    found = await shown(caught, busy, 2)
    assert (found["events"][1]["reason"], found["events"][1]["facts"].get("suppressed")) == ("rate.provider", None)
    assert not await refused(caught, busy)
