"""Rules that hold for every call of the table: who may, what is said of each answer."""

from uuid import UUID

import pytest

from outrider.base.vocab import KeyScope
from outrider.faces.api.v1 import table
from outrider.faces.api.v1.routes import Route, Router, bind
from tests.unit.faces.conftest import KEY_ID, ApiFace

ROUTES = table.routes(ApiFace().ports())
ROUTER = Router(ROUTES)
GUARDED = [route for route in ROUTES if not route.is_open]
SCOPED = [route for route in ROUTES if route.scope is not None]


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def target(route: Route) -> str:
    path = route.path
    for part, kind in bind(route).path_types.items():
        path = path.replace(f"{{{part}}}", str(UUID(int=1)) if kind is UUID else "1")
    return path


TEXTS = [(route, name) for route in ROUTES for name, kind in bind(route).path_types.items() if kind is str]


@pytest.mark.parametrize(("route", "part"), TEXTS, ids=[f"{name(route)} {part}" for route, part in TEXTS])
def test_a_text_in_a_path_may_have_a_slash_in_it(route: Route, part: str) -> None:
    """Addresses have: a/b@shop.example. And templates are named as people like."""
    path = route.path.replace(f"{{{part}}}", "a%2Fkeys")
    for other, kind in bind(route).path_types.items():
        path = path.replace(f"{{{other}}}", str(UUID(int=1)) if kind is UUID else "1")
    found = ROUTER.find(route.method, f"/v1{path}".encode())
    assert (found.bound.route.path, found.arguments[part]) == (route.path, "a/keys")


def test_only_what_is_meant_to_be_open_is() -> None:
    assert {route.path for route in ROUTES if route.is_open} == set(table.OPEN)


# They change nothing; what they ask for does not fit behind a question mark.
ONLY_LOOK = {"POST /templates/preview", "POST /templates/{id}/preview"}


def test_what_changes_something_takes_more_than_reading() -> None:
    by_reading = {name(route) for route in GUARDED if route.method != "GET" and route.scope is KeyScope.READ}
    assert by_reading == ONLY_LOOK


@pytest.mark.parametrize("route", GUARDED, ids=name)
async def test_no_call_is_answered_without_a_key(face: ApiFace, route: Route) -> None:
    for authorization in ("", "Bearer x.y", f"Bearer {KEY_ID}.wrong", "Basic !!", "Digest x"):
        heard = await face.call(route.method, target(route), headers={"authorization": authorization})
        assert (heard.status, heard.json["code"]) == (401, "unauthenticated"), authorization
        assert heard.headers["www-authenticate"] == 'Bearer realm="outrider"'
    assert face.engine.calls == []


@pytest.mark.parametrize("route", SCOPED, ids=name)
async def test_no_call_is_answered_to_a_key_without_its_scope(face: ApiFace, route: Route) -> None:
    others = frozenset(KeyScope) - {route.scope}
    face.keys.terms[KEY_ID] = {"scopes": others}
    heard = await face.call(route.method, target(route))
    assert (heard.status, heard.json["code"]) == (403, "forbidden")
    assert f"'{route.scope}'" in heard.json["detail"]


@pytest.mark.parametrize("route", ROUTES, ids=name)
async def test_every_answer_names_its_request_and_is_not_kept(face: ApiFace, route: Route) -> None:
    heard = await face.call(route.method, target(route))
    assert str(UUID(heard.headers["x-request-id"])) == heard.headers["x-request-id"]
    assert heard.headers["cache-control"] == "no-store"
    assert heard.status < 500 or heard.json["code"] == "store_unavailable"  # There is no database here.
