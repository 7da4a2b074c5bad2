"""Campaigns and lists by commands: a held campaign waits alone, a list that somebody left is refused, all is told."""

import pytest

from outrider.base.vocab import Stream
from outrider.policy.guard import GuardLevel
from outrider.store import guards, projects
from outrider.store.guards import Guard
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import EPOCH
from outrider.testing.program import SENDER, Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

EXIT_DATA = 65


def send(address: str, *more: str) -> tuple[str, ...]:
    return ("send", address, "--from", SENDER, "--subject", "News", "--text", "Hello", *more)


async def status_of(program: Program, address: str) -> str:
    return str((await program.command_json("show", address))["recipient"]["status"])


async def test_a_paused_campaign_waits_and_other_mail_goes(caught: Program) -> None:
    async with Store(caught.dsn(), StoreSettings()) as store, store.transaction() as tx:
        project = await projects.by_name(tx, "default")
        assert project is not None
        paused = Guard(project.project_id, "", Stream.MARKETING, GuardLevel.PAUSE, "Too bad.", EPOCH, campaign="spring")
        assert await guards.begin(tx, paused)

    async def is_known() -> bool | None:
        await caught.command_json(*send("first@c.example", "--stream", "marketing", "--campaign", "spring"))
        told = await caught.command("why", "first@c.example")
        return "marketing mail of campaign spring is paused: Too bad." in told.stdout or None

    assert await caught.until(is_known)
    await caught.command_json(*send("spring@c.example", "--stream", "marketing", "--campaign", "spring"))
    others = {
        "autumn@c.example": ("--stream", "marketing", "--campaign", "autumn"),
        "plain@c.example": ("--stream", "marketing"),
        "order@c.example": ("--campaign", "spring"),
    }
    for address, more in others.items():
        await caught.command_json(*send(address, *more))

    async def is_delivered(*addresses: str) -> bool | None:
        return {await status_of(caught, one) for one in addresses} == {"delivered"} or None

    assert await caught.until(lambda: is_delivered(*others))
    assert await status_of(caught, "spring@c.example") == "queued"
    shown = (await caught.command("show", "spring@c.example")).stdout
    assert "campaign: spring" in " ".join(shown.split())
    assert "marketing mail of campaign spring is paused: Too bad." in shown
    (row,) = [row for row in await caught.command_json("guard") if row["campaign"]]
    assert (row["campaign"], row["sender_domain"], row["state"]) == ("spring", "", "pause")
    both = await caught.command("guard", "release", "shop.example", "--campaign", "spring")
    assert (both.code, "leave the domain out" in both.stderr) == (EXIT_DATA, True)
    assert (await caught.command("guard", "release", "--campaign", "winter")).code == EXIT_DATA
    released = await caught.command("guard", "release", "--campaign", "spring")
    assert released.stdout == "released: marketing mail of campaign spring; what was sent before no longer counts\n"
    assert await caught.until(lambda: is_delivered("spring@c.example", "first@c.example"))


async def test_who_left_a_list_is_refused_and_gets_all_else(caught: Program) -> None:
    added = await caught.command("suppression", "add", "left@l.example", "--scope", "list:weekly", "--note", "by phone")
    assert added.code == 0
    refused = await caught.command(*send("left@l.example", "--list", "weekly"))
    assert (refused.code, "recipient suppressed" in refused.stdout) == (EXIT_DATA, True)
    for more in ((), ("--list", "monthly")):
        assert (await caught.command_json(*send("left@l.example", *more)))["recipient_count"] == 1
    assert "gets no mail of list weekly: unsubscribe" in (await caught.command("why", "left@l.example")).stdout
    await caught.command("suppression", "remove", "left@l.example", "--why", "she is back")
    assert (await caught.command_json(*send("left@l.example", "--list", "weekly")))["recipient_count"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        send("ann@l.example", "--campaign", "x" * 101),
        send("ann@l.example", "--campaign", "spring\nBcc: all@l.example"),
        send("ann@l.example", "--list", " weekly"),
        ("suppression", "add", "ann@l.example", "--scope", "list:"),
        ("suppression", "add", "ann@l.example", "--scope", "list:weekly "),
    ],
)
async def test_a_bad_name_is_told(caught: Program, arguments: tuple[str, ...]) -> None:
    finished = await caught.command(*arguments)
    assert (finished.code, finished.stdout) == (EXIT_DATA, "")
    assert finished.stderr.strip()
    assert "Traceback" not in finished.stderr
