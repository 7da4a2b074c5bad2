"""Rules that hold for every call of the table, and the document made from it."""

import re
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import KeyScope
from outrider.faces.api.v1 import document, table
from outrider.faces.api.v1.routes import Route, bind
from tests.unit.faces.conftest import KEY_ID, ApiFace

ROUTES = table.routes(ApiFace().ports())
GUARDED = [route for route in ROUTES if route.scope is not None]
SCHEMA_REF = re.compile(r'"\$ref":"#/components/(\w+)/([\w-]+)"')


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def target(route: Route) -> str:
    path = route.path
    for part, kind in bind(route).path_types.items():
        path = path.replace(f"{{{part}}}", str(UUID(int=1)) if kind is UUID else "1")
    return path


def test_only_what_is_meant_to_be_open_is() -> None:
    assert {route.path for route in ROUTES if route.scope is None} == set(table.OPEN)


def test_what_changes_something_takes_more_than_reading() -> None:
    assert [name(route) for route in GUARDED if route.method != "GET" and route.scope is KeyScope.READ] == []


@pytest.mark.parametrize("route", GUARDED, ids=name)
async def test_no_call_is_answered_without_a_key(face: ApiFace, route: Route) -> None:
    for authorization in ("", "Bearer x.y", f"Bearer {KEY_ID}.wrong", "Basic !!", "Digest x"):
        heard = await face.call(route.method, target(route), headers={"authorization": authorization})
        assert (heard.status, heard.json["code"]) == (401, "unauthenticated"), authorization
        assert heard.headers["www-authenticate"] == 'Bearer realm="outrider"'
    assert face.engine.calls == []


@pytest.mark.parametrize("route", GUARDED, ids=name)
async def test_no_call_is_answered_to_a_key_without_its_scope(face: ApiFace, route: Route) -> None:
    others = frozenset(KeyScope) - {route.scope}
    face.keys.terms[KEY_ID] = {"scopes": others}
    heard = await face.call(route.method, target(route))
    assert (heard.status, heard.json["code"]) == (403, "forbidden")
    assert f"'{route.scope}'" in heard.json["detail"]


@pytest.mark.parametrize("route", ROUTES, ids=name)
async def test_every_answer_names_its_request_and_is_not_kept(face: ApiFace, route: Route) -> None:
    heard = await face.call(route.method, target(route))
    assert UUID(heard.headers["x-request-id"])
    assert heard.headers["cache-control"] == "no-store"
    assert heard.status < 500


async def whole() -> Any:
    return (await ApiFace().call("GET", "/openapi.json", headers={"authorization": ""})).json


async def test_the_document_has_every_call_and_what_it_refers_to() -> None:
    found = await whole()
    paths = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert paths == {(route.method, f"/v1{route.path}") for route in ROUTES}
    assert found["openapi"] == "3.1.0"
    for kind, named in SCHEMA_REF.findall(msgspec.json.encode(found).decode()):
        assert named in found["components"][kind], named
    names = [one["operationId"] for methods in found["paths"].values() for one in methods.values()]
    assert len(set(names)) == len(names)


async def test_every_call_of_the_document_says_what_it_does() -> None:
    for path, methods in (await whole())["paths"].items():
        for method, one in methods.items():
            assert one["summary"], path
            assert "Needs a key" in one["description"] or one["security"] == [], (method, path)


def test_a_query_is_in_parameters_not_in_schemas() -> None:
    found = document.of(ROUTES)
    assert "ListQuery" not in found["components"]["schemas"]
    parameters = {one["name"]: one for one in found["paths"]["/v1/emails"]["get"]["parameters"]}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 25}
    assert parameters["since"]["schema"]["format"] == "date-time"
    assert "null" not in str(parameters["stream"])
