"""Every call of /v1, from its table: who may not is refused, and another project's things are not there.

A new row is tested by being one. Whatever names a thing in its path gets the name of another project's here.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Final

import pytest
import pytest_asyncio

from outrider.base.vocab import KeyScope
from outrider.faces.api.v1 import table
from outrider.faces.api.v1.routes import Route
from outrider.testing.api import Api
from outrider.testing.clock import RealClock
from outrider.testing.program import Answered
from tests.unit.faces.conftest import ApiFace

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SOME_ID: Final = "0197a000-0000-7000-8000-00000000beef"
# What these need before they look for the thing; all others take an empty object.
BODIES: Final[Mapping[str, object]] = {
    "/suppressions/import": b"address\r\n",
    "/templates/{id}/test": {"to": ["a@x.example"]},
}
QUERIES: Final = {"DELETE /suppressions/{address}": "?why=x"}
# An address is nobody's: what is shown of it is one's own project's, which is nothing.
NOTHING_OF_OTHERS: Final = "GET /suppressions/{address}"
# One's own is made, whatever another has of that name (tests/e2e/test_partials.py); what a reader wants of one's own
# project is nobody else's (tests/e2e/test_preferences.py).
OF_ONES_OWN: Final = frozenset({"PUT /partials/{name}", "GET /preferences/{address}", "PUT /preferences/{address}"})


def rows() -> Sequence[Route]:
    return table.routes(ApiFace().ports())


async def call(api: Api, route: Route, names: Mapping[str, str]) -> Answered:
    """Call a row with such names in its path."""
    noun = route.path.split("/")[1]
    path = re.sub(r"\{(\w+)\}", lambda part: "1" if part[1] == "number" else names.get(noun, SOME_ID), route.path)
    body = None if route.method in ("GET", "DELETE") else BODIES.get(route.path, {})
    return await api.ask(route.method, path + QUERIES.get(f"{route.method} {route.path}", ""), body)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def theirs(stranger: Api) -> Mapping[str, str]:
    """Return a thing of another project for each noun."""
    await stranger.post("/senders", {"address": "secret@theirs.example"})
    await stranger.post("/suppressions", {"addresses": ["secret@x.example"], "note": "secret"})
    template = {"name": "secret", "subject": "secret", "body": "secret"}
    await stranger.put("/partials/secret", {"source": "secret"})
    await stranger.post("/topics", {"name": "secret", "title": "secret"})
    alert = {"name": "secret", "measure": "complaint_rate", "threshold": 0.5}
    mail = {"from": "secret@theirs.example", "to": "secret@y.example", "subject": "secret", "text": "secret"}
    (key, *_) = (await stranger.get("/keys"))["keys"]
    return {
        "domains": "theirs.example",
        "senders": "secret@theirs.example",
        "suppressions": "secret@x.example",
        "keys": key["id"],
        "templates": (await stranger.post("/templates", template))["id"],
        "partials": "secret",
        "topics": "secret",
        "preferences": "secret@x.example",
        "alerts": (await stranger.post("/alerts", alert))["id"],
        "webhooks": (await stranger.post("/webhooks", {"url": "http://127.0.0.1:1025/secret"}))["id"],
        "emails": (await stranger.post("/emails", mail))["id"],
    }


async def test_every_call_asks_for_a_key_or_is_on_the_list() -> None:
    assert {route.path for route in rows() if route.is_open} == table.OPEN
    assert len({(route.method, route.path) for route in rows()}) == len(rows())


async def test_no_call_is_for_a_key_without_its_scope(looked_after: Api) -> None:
    lacking = {
        scope: Api(looked_after.program, await looked_after.key(*(one for one in KeyScope if one is not scope)))
        for scope in KeyScope
    }
    scoped = [route for route in rows() if route.scope is not None]
    answers = await asyncio.gather(*(call(lacking[route.scope], route, {}) for route in scoped if route.scope))
    for route, answer in zip(scoped, answers, strict=True):
        assert (answer.status, answer.json()["code"]) == (403, "forbidden"), route.path


async def test_no_call_is_for_a_key_that_was_revoked(looked_after: Api) -> None:
    key = await looked_after.key()
    api = Api(looked_after.program, key)
    token = Api(looked_after.program, (await api.post("/tokens", {}))["token"])
    assert (await api.get("/project"))["name"] == "mine"
    await looked_after.delete(f"/keys/{key.access_key_id}")
    await RealClock().sleep(1.0)
    asked = [(one, route) for route in rows() if not route.is_open for one in (api, token)]
    answers = await asyncio.gather(*(call(one, route, {}) for one, route in asked))
    for (_, route), answer in zip(asked, answers, strict=True):
        assert answer.status == 401, route.path


async def test_a_thing_of_another_project_is_not_there(looked_after: Api, theirs: Mapping[str, str]) -> None:
    named = [route for route in rows() if "{" in route.path and f"{route.method} {route.path}" not in OF_ONES_OWN]
    assert {route.path.split("/")[1] for route in named} - theirs.keys() == {"notices"}
    before = await looked_after.get("/project")
    for route in named:
        answer = await call(looked_after, route, theirs)
        if f"{route.method} {route.path}" == NOTHING_OF_OTHERS:
            assert answer.json() == {"address": theirs["suppressions"], "entries": [], "past": [], "evidence": []}
            continue
        assert (answer.status, answer.json()["code"]) == (404, "not_found"), (route.method, route.path, answer.body)
    assert await looked_after.get("/project") == before


async def test_what_there_is_of_another_project_stays_as_it_was(
    looked_after: Api, stranger: Api, theirs: Mapping[str, str]
) -> None:
    shown = [route for route in rows() if route.method == "GET" and "{" in route.path]
    before = [(await call(stranger, route, theirs)).status for route in shown]
    for route in rows():
        if "{" in route.path:
            await call(looked_after, route, theirs)
    assert [(await call(stranger, route, theirs)).status for route in shown] == before
    assert set(before) == {200}


async def test_no_list_shows_what_is_anothers(looked_after: Api, theirs: Mapping[str, str]) -> None:
    lists = [
        route for route in rows() if route.method == "GET" and "{" not in route.path and "stream" not in route.path
    ]
    for route in lists:
        answer = await call(looked_after, route, {})
        assert answer.status == 200, route.path
        for secret in (b"secret", b"theirs", theirs["emails"].encode(), theirs["keys"].encode()):
            assert secret not in answer.body or route.is_open, (route.path, secret)
