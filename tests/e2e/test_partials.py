"""/v1/partials on a running program: put, used, taken over anew, and each project's own."""

import pytest

from outrider.testing.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_partials_are_put_used_and_taken_over_anew(writer: Api) -> None:
    put = await writer.put("/partials/footer", {"source": "<p>Old</p>"})
    assert (put["name"], put["source"]) == ("footer", "<p>Old</p>")
    body = '<p>{{ name }}</p>{% include "footer" %}'
    made = await writer.post("/templates", {"name": "Welcome", "subject": "Hi", "body": body, "publish": True})
    assert made["version"]["partials"] == ["footer"]
    await writer.put("/partials/footer", {"source": "<p>New</p>"})
    path = f"/templates/{made['id']}"
    assert "Old" in (await writer.post(f"{path}/preview", {}))["html"]
    users = (await writer.get("/partials/footer/templates"))["templates"]
    assert users == [{"id": made["id"], "name": "Welcome"}]
    done = (await writer.post("/partials/footer/republish"))["templates"]
    assert done == [{"id": made["id"], "name": "Welcome", "number": 2, "why": ""}]
    assert "New" in (await writer.post(f"{path}/preview", {}))["html"]
    assert await writer.refused("DELETE", "/partials/footer") == (409, "conflict", "name")
    await writer.delete(path)
    await writer.delete("/partials/footer")
    assert await writer.refused("GET", "/partials/footer") == (404, "not_found", "name")
    assert (await writer.get("/partials")) == {"partials": [], "next": None}


async def test_what_is_wrong_is_named(writer: Api) -> None:
    for method, target, body, wanted in (
        ("PUT", "/partials/a%20b", {"source": "x"}, (400, "bad_request", "name")),
        ("PUT", "/partials/a", {}, (400, "missing_field", "source")),
        ("GET", "/partials/a%20b", None, (404, "not_found", "name")),
        ("POST", "/partials/none/republish", None, (404, "not_found", "name")),
    ):
        assert await writer.refused(method, target, body) == wanted, (method, target, body)


async def test_a_partial_is_its_projects_own(writer: Api, stranger: Api) -> None:
    await writer.put("/partials/mine", {"source": "secret"})
    assert await stranger.refused("GET", "/partials/mine") == (404, "not_found", "name")
    assert (await stranger.put("/partials/mine", {"source": "theirs"}))["source"] == "theirs"
    assert (await writer.get("/partials/mine"))["source"] == "secret"
    await stranger.delete("/partials/mine")
    assert (await writer.get("/partials/mine"))["source"] == "secret"
