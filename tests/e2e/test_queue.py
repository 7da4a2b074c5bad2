"""An operator's day: what waits is shown and explained, paused, resumed, flushed and dropped, by commands alone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

EXIT_USAGE, EXIT_DATA = 2, 65
SEND = ("--from", "noreply@shop.example", "--subject", "Hi", "--text", "Hello")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def idle(shared_folder: Path) -> AsyncIterator[Program]:
    """Yield a program that takes mail and delivers nothing."""
    async with Program(shared_folder / "node") as program:
        await program.start("--role", "web")
        yield program


async def send(program: Program, *addresses: str) -> str:
    return str((await program.command_json("send", *addresses, *SEND))["session_id"])


async def statuses(program: Program, session: str) -> list[str]:
    status = await program.command_json("status", session)
    return [row["status"] for row in status["recipients"]]


async def states(program: Program, subject: str) -> list[tuple[int, str]]:
    told = await program.command_json("why", subject)
    return [(line["count"], line["state"]) for explanation in told for line in explanation["lines"]]


async def kinds(program: Program, session: str) -> list[str]:
    lines = (await program.command("events", "--json")).stdout.splitlines()
    return [event["kind"] for event in map(json.loads, lines) if event["message_id"] == session]


async def test_a_session_is_explained_paused_resumed_and_dropped(idle: Program) -> None:
    session = await send(idle, "ann@a.example", "bob@b.example")
    assert await states(idle, session) == [(2, "unserved")], "nobody delivers"
    paused = await idle.command_json("queue", "pause", "session", session, "--note", "wrong price")
    assert (paused["kind"], paused["recipient_count"]) == ("paused", 2)
    assert await statuses(idle, session) == ["held", "held"]
    assert await states(idle, session) == [(2, "held")]
    assert "by the operator: wrong price" in (await idle.command("why", "ann@a.example")).stdout
    assert (await idle.command_json("queue", "resume", "session", session))["recipient_count"] == 2
    assert await statuses(idle, session) == ["queued", "queued"]
    dropped = await idle.command_json("queue", "drop", "session", session, "--yes")
    assert (dropped["kind"], dropped["recipient_count"]) == ("dropped", 2)
    assert await statuses(idle, session) == ["cancelled", "cancelled"]
    assert sorted(set(await kinds(idle, session))) == sorted(
        {"accepted", "paused", "held", "resumed", "released", "dropped", "cancelled"}
    )


async def test_lanes_are_shown_held_and_dropped(idle: Program) -> None:
    await send(idle, "cid@c.example")
    view = await idle.command_json("queue", "--route", "c.example")
    (lane,) = view["lanes"]
    assert (lane["depth"], lane["project"], lane["owner"], view["recipient_count"]) == (1, "default", "-", 1)
    number = str(lane["lane_id"])
    assert (await idle.command_json("queue", "pause", "lane", number, "--note", "mine"))["lane_count"] == 1
    shown = await idle.command("queue", "--paused")
    assert "held by the operator" in shown.stdout
    assert await states(idle, number) == [(1, "wait")]
    assert await states(idle, "c.example") == [(1, "wait")]
    assert (await idle.command("queue", "flush", "lane", number)).code == 0
    assert (await idle.command_json("queue", "resume", "lane", number))["lane_count"] == 1
    assert (await idle.command_json("queue", "drop", "lane", number, "--yes"))["recipient_count"] == 1
    assert await states(idle, number) == [(0, "empty")]
    assert "Nothing waits." in (await idle.command("queue", "--route", "c.example")).stdout


async def test_another_projects_recipient_is_none(idle: Program) -> None:
    session = await send(idle, "dan@d.example")
    await idle.command_json("key", "create", "--project", "other")
    for arguments in (("why", session), ("why", "dan@d.example"), ("show", "dan@d.example")):
        assert (await idle.command(*arguments)).code == 0
        assert (await idle.command(*arguments, "--project", "other")).code == EXIT_DATA
    assert (await idle.command("queue", "pause", "session", session, "--project", "other")).code == EXIT_DATA


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("queue", "pause", "lane", "999999"), EXIT_DATA, "lane"),
        (("queue", "pause", "lane", "first"), EXIT_DATA, "number"),
        (("queue", "pause", "provider", "gmial"), EXIT_DATA, "gmial"),
        (("queue", "pause", "project", "nobody"), EXIT_DATA, "project"),
        (("queue", "flush", "session", "3b6c8a0e-4d1f-4a53-9b0f-2f6f0f0c7a11"), EXIT_DATA, "session"),
        (("queue", "drop", "project", "default"), EXIT_DATA, "--yes"),
        (("queue", "pause", "planet", "mars"), EXIT_USAGE, "planet"),
        (("queue", "--project", "nobody"), EXIT_DATA, "project"),
        (("why", "nobody@nowhere.example"), EXIT_DATA, "recipient"),
        (("why", "nowhere.example"), EXIT_DATA, "domain"),
        (("show", "nobody@nowhere.example"), EXIT_DATA, "recipient"),
    ],
)
async def test_a_mistake_is_one_sentence(idle: Program, arguments: tuple[str, ...], code: int, word: str) -> None:
    finished = await idle.command(*arguments)
    assert (finished.code, finished.stdout) == (code, "")
    assert word in finished.stderr
    assert "Traceback" not in finished.stderr


async def test_a_project_is_held_while_mail_is_delivered_and_goes_on(caught: Program) -> None:
    await caught.command_json("queue", "pause", "project", "default", "--note", "lunch")
    await caught.take_effect()
    session = await send(caught, "eve@e.example")

    async def is_waiting() -> Any:
        told = await caught.command_json("why", session)
        (line,) = told[0]["lines"]
        return line if line["state"] == "wait" and "lunch" in line["text"] else None

    await caught.until(is_waiting)
    assert await statuses(caught, session) == ["queued"]
    await caught.command_json("queue", "resume", "project", "default")

    async def is_delivered() -> Any:
        return await statuses(caught, session) == ["delivered"] or None

    await caught.until(is_delivered)
    shown = await caught.command("show", "eve@e.example")
    assert "delivered, attempt 1" in shown.stdout
    assert "< 250" in shown.stdout
    assert (await caught.command_json("show", "eve@e.example"))["recipient"]["status"] == "delivered"
