"""/v1/alerts, /v1/reputation and their commands on a running program: raised, told by webhook and mail, and ended.

What the counter would count is written straight into the figures: a thousand mails with complaints would take minutes.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio

from outrider.store import events, figure_sums
from outrider.store.events import Cursor
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.api import Api
from outrider.testing.clock import RealClock
from outrider.testing.http_peer import HttpPeer, answer
from outrider.testing.program import Key, Program
from tests.store.figuring import catch_up, count

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
OPS = "ops@watched-team.example"
WAIT_S = 25.0  # The worker looks every ten seconds, and mails notices every fifteen.
COMPLAINTS = {
    "measure": "complaint_rate",
    "threshold": 0.001,
    "window_s": 3600,
    "mails_min": 100,
    "domain": "Watched.example",
}


@pytest_asyncio.fixture(loop_scope="session")
async def watched(caught: Program) -> Api:
    """Return a caller of a project that may send its notices."""
    await caught.command_json("domain", "add", "watched.example", "--verified", "--project", "watched")
    await caught.command_json("sender", "add", "shop@watched.example", "--project", "watched")
    return Api(caught, msgspec.convert(await caught.command_json("key", "create", "--project", "watched"), Key))


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with HttpPeer([answer(200, b"thanks")]) as made:
        yield made


async def add_figures(api: Api, **counts: int) -> None:
    project_id = UUID((await api.get("/project"))["id"])
    async with Store(api.program.dsn(), StoreSettings()) as store:
        now = RealClock().now()
        async with store.transaction() as tx:
            cursor = await events.read_cursor(tx, figure_sums.CONSUMER)
        if cursor == Cursor():  # Else the counter of the program is at work.
            await catch_up(store)
        await count(store, now, counts, project_id=project_id, domain="watched.example")
        await count(
            store, now, counts, project_id=project_id, domain="watched.example", dimension="provider", name="gmail"
        )


@pytest.mark.timeout(90)
async def test_complaints_raise_an_alert_that_is_told_and_ends(watched: Api, peer: HttpPeer) -> None:
    hook = await watched.post("/webhooks", {"url": peer.url, "kinds": ["alert_raised", "alert_ended"]})
    made = await watched.post("/alerts", COMPLAINTS | {"name": "Complaints of a day", "notify": [OPS]})
    path = f"/alerts/{made['id']}"
    assert (made["raised_at"], made["domain"], made["side"]) == (None, "watched.example", "above")
    await add_figures(watched, delivered=1000, complained=5)
    trial = await watched.post(f"{path}/test")
    assert (trial["would_be_raised"], trial["value"], trial["mail_count"]) == (True, 0.005, 1000)
    await watched.patch(path, {"mails_min": 200})

    async def heard(kind: str) -> Any:
        said = [msgspec.json.decode(one.body) for one in peer.heard]
        return next((one for one in said if one["type"].endswith(kind)), None)

    raised = await watched.program.until(lambda: heard("alert.raised"), WAIT_S)
    assert raised["data"]["facts"]["alert"] == "Complaints of a day"
    assert (await watched.get(path))["raised_at"] is not None

    async def mailed() -> Any:
        found = (await watched.get("/emails"))["emails"]
        return [one for one in found if one["to"] == [OPS] and one["subject"] == "Alert: Complaints of a day"]

    await watched.program.until(mailed, WAIT_S)
    reputation = await watched.get("/reputation?days=1")
    assert (reputation["level"], reputation["providers"][0]["name"]) == ("bad", "gmail")
    shown = await watched.program.command("reputation", "--project", "watched")
    assert "bad" in shown.stdout
    assert "gmail" in shown.stdout
    await add_figures(watched, delivered=100_000)
    await watched.patch(path, {"mails_min": 100})
    await watched.program.until(lambda: heard("alert.ended"), WAIT_S)
    assert (await watched.get(path))["raised_at"] is None
    await watched.delete(path)
    await watched.delete(f"/webhooks/{hook['id']}")


async def test_alerts_are_looked_after(watched: Api) -> None:
    made = await watched.post("/alerts", COMPLAINTS | {"name": "Mine", "is_enabled": False})
    path = f"/alerts/{made['id']}"
    changed = await watched.patch(path, {"threshold": 0.01, "stream": "marketing", "notify": [OPS]})
    assert (changed["threshold"], changed["stream"], changed["notify"]) == (0.01, "marketing", [OPS])
    assert (await watched.patch(path, {"stream": None}))["stream"] is None
    added = (await watched.post("/alerts/defaults", {"notify": [OPS]}))["alerts"]
    assert len(added) == 5
    assert (await watched.post("/alerts/defaults", {}))["alerts"] == []
    names = [one["name"] for one in (await watched.get("/alerts"))["alerts"]]
    assert {"Mine", *(one["name"] for one in added)} <= set(names)
    first = await watched.get("/alerts?limit=1")
    assert (await watched.get(f"/alerts?limit=500&after={first['next']}"))["next"] is None
    for method, where, body, wanted in (
        ("POST", "/alerts", COMPLAINTS, (400, "missing_field", "name")),
        ("POST", "/alerts", COMPLAINTS | {"name": "Mine"}, (409, "conflict", "name")),
        ("POST", "/alerts", COMPLAINTS | {"name": "x", "threshold": 7}, (400, "bad_request", "threshold")),
        ("POST", "/alerts", COMPLAINTS | {"name": "x", "measure": "luck"}, (400, "bad_request", "measure")),
        ("POST", "/alerts", COMPLAINTS | {"name": "x", "window_s": 1}, (400, "bad_request", "window_s")),
        ("PATCH", path, {"notify": ["nobody"]}, (400, "bad_request", "notify")),
        ("GET", "/alerts?after=x", None, (400, "bad_request", "after")),
        ("GET", "/reputation?days=2", None, (400, "bad_request", "days")),
        ("GET", f"/alerts/{UUID(int=7)}", None, (404, "not_found", "id")),
    ):
        assert await watched.refused(method, where, body) == wanted, (method, where, body)
    for one in (made, *added):
        await watched.delete(f"/alerts/{one['id']}")


async def test_another_project_sees_none_of_them(watched: Api, stranger: Api) -> None:
    made = await watched.post("/alerts", COMPLAINTS | {"name": "Hidden", "is_enabled": False})
    path = f"/alerts/{made['id']}"
    for method, where, body in (("GET", path, None), ("PATCH", path, {}), ("DELETE", path, None)):
        assert (await stranger.refused(method, where, body))[0] == 404, method
    assert "Hidden" not in {one["name"] for one in (await stranger.get("/alerts"))["alerts"]}
    await watched.delete(path)


@pytest.mark.timeout(90)
async def test_the_command_line_does_the_same(caught: Program, watched: Api) -> None:
    async def alert(*arguments: str) -> Any:
        return await caught.command_json("alert", *arguments, "--project", "watched")

    made = await alert("add", "Few", "delivered", "10", "--below", "--window", "7d", "--notify", OPS)
    assert (made["threshold"], made["side"], made["window_s"], made["state"]) == (10, "below", 604_800, "quiet")
    assert (await alert("edit", "Few", "--threshold", "5", "--off"))["state"] == "off"
    assert (await alert("show", made["id"]))["threshold"] == 5
    added = await alert("defaults")
    assert [one["name"] for one in await alert("list")].count("Few") == 1
    listed = await caught.command("alert", "list", "--project", "watched")
    assert "complaint_rate > 0.1 %" in listed.stdout
    tried = await caught.command("alert", "test", "Few", "--json", "--project", "watched")
    assert (tried.code, msgspec.json.decode(tried.stdout)["raised"]) == (0, False)  # Not for a whole window yet.
    few = ("add", "x", "delivered")
    for arguments in ((*few, "many"), (*few, "1", "--window", "1y"), ("show", "y")):
        assert (await caught.command("alert", *arguments, "--project", "watched")).code == 65, arguments
    assert (await caught.command("alert", "remove", "Few", "--project", "watched")).code == 0
    for one in added:
        await watched.delete(f"/alerts/{one['id']}")
    everybody = await caught.command("reputation")
    assert everybody.code == 0
    assert "watched" in everybody.stdout
    assert (await caught.command("reputation", "--days", "3")).code == 65
