"""The OpenAPI document: all calls are in it, and all that it refers to. tests/e2e/test_openapi.py calls them."""

import re
from typing import Any

import msgspec

from outrider.faces.api.v1 import document, table
from tests.unit.faces.conftest import ApiFace

ROUTES = table.routes(ApiFace().ports())
SCHEMA_REF = re.compile(r'"\$ref":"#/components/(\w+)/([\w-]+)"')


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
