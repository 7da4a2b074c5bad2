"""/v1/keys and /v1/tokens on a running program: no key makes one that may do more than itself."""

import pytest

from outrider.testing.api import Api
from outrider.testing.program import Key

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_a_key_lives_its_life(looked_after: Api) -> None:
    terms = {"scopes": ["read"], "ip_ranges": ["127.0.0.1"], "domains": ["Mine.Example"], "rate_per_minute": 100}
    made = await looked_after.post("/keys", {"name": "web shop", **terms})
    assert made["key"]["id"] == made["id"]
    assert (made["key"]["ip_ranges"], made["key"]["domains"]) == (["127.0.0.1/32"], ["mine.example"])
    assert made["secret"] not in str(await looked_after.get("/keys"))
    key = Key(made["id"], made["secret"])
    assert (await Api(looked_after.program, key).get("/project"))["name"] == "mine"

    changed = await looked_after.patch(
        f"/keys/{key.access_key_id}", {"name": "shop", "expires_at": "2090-01-01T00:00:00Z"}
    )
    assert changed["allow_signed"]
    plain = await looked_after.patch(f"/keys/{key.access_key_id}", {"allow_signed": False})
    assert (plain["allow_signed"], plain["scopes"]) == (False, ["read"])
    back = ("PATCH", f"/keys/{key.access_key_id}", {"allow_signed": True})
    assert await looked_after.refused(*back) == (409, "conflict", "allow_signed")
    assert (changed["name"], changed["scopes"], changed["expires_at"]) == ("shop", ["read"], "2090-01-01T00:00:00Z")
    assert changed["last_used_at"] is None or changed["last_used_at"] >= changed["created_at"]
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await looked_after.get(f"/keys?limit=1&after={after}")
        seen += [one["id"] for one in page["keys"]]
        after = page["next"]
    assert len(seen) == len(set(seen))
    assert key.access_key_id in seen

    await looked_after.delete(f"/keys/{key.access_key_id}")
    await looked_after.delete(f"/keys/{key.access_key_id}")
    assert (await looked_after.get(f"/keys/{key.access_key_id}"))["revoked_at"]


async def test_no_key_makes_one_that_may_do_more(looked_after: Api) -> None:
    terms = {
        "ip_ranges": ["127.0.0.0/8"],
        "domains": ["mine.example"],
        "expires_at": "2090-01-01T00:00:00Z",
        "rate_per_minute": 1000,
    }
    small = Api(looked_after.program, await looked_after.key("read", "manage", **terms))
    same = {"name": "same", "scopes": ["read"], **terms}
    assert (await small.post("/keys", same))["key"]["scopes"] == ["read"]
    for change, field in (
        ({"scopes": ["send"]}, "scopes"),
        ({"ip_ranges": []}, "ip_ranges"),
        ({"ip_ranges": ["127.1.0.0/16", "::/0"]}, "ip_ranges"),
        ({"domains": []}, "domains"),
        ({"domains": ["mine.example", "more.example"]}, "domains"),
        ({"expires_at": None}, "expires_at"),
        ({"expires_at": "2091-01-01T00:00:00Z"}, "expires_at"),
        ({"rate_per_minute": None}, "rate_per_minute"),
        ({"rate_per_minute": 0}, "rate_per_minute"),
        ({"rate_per_minute": 1001}, "rate_per_minute"),
    ):
        assert await small.refused("POST", "/keys", same | change) == (403, "forbidden", field), change
    (own, *_) = [one for one in (await small.get("/keys"))["keys"] if one["rate_per_minute"] == 1000]
    assert await small.refused("PATCH", f"/keys/{own['id']}", {"domains": []}) == (403, "forbidden", "domains")


async def test_a_token_is_made_and_makes_nothing_itself(looked_after: Api) -> None:
    made = await looked_after.post("/tokens", {"scopes": ["read", "manage"], "life_s": 90})
    assert made["scopes"] == ["manage", "read"]
    token = Api(looked_after.program, made["token"])
    assert (await token.get("/project"))["name"] == "mine"
    assert (await token.refused("POST", "/tokens", {}))[:2] == (403, "forbidden")
    assert (await token.refused("POST", "/keys", {"name": "x", "scopes": ["read"]}))[:2] == (403, "forbidden")
    sends = Api(looked_after.program, await looked_after.key("send"))
    assert (await sends.post("/tokens", {}))["scopes"] == ["send"]
    assert await sends.refused("POST", "/tokens", {"scopes": ["read"]}) == (403, "forbidden", "scopes")


async def test_what_is_wrong_is_named(looked_after: Api, stranger: Api) -> None:
    (theirs, *_) = (await stranger.get("/keys"))["keys"]
    good = {"name": "x", "scopes": ["read"]}
    for method, path, body, wanted in (
        ("POST", "/keys", {"name": "x"}, (400, "missing_field", "scopes")),
        ("POST", "/keys", good | {"scopes": []}, (400, "bad_request", "scopes")),
        ("POST", "/keys", good | {"scopes": ["all"]}, (400, "bad_request", "scopes[0]")),
        ("POST", "/keys", good | {"name": "a\nb"}, (400, "bad_request", "name")),
        ("POST", "/keys", good | {"ip_ranges": ["127.0.0.1", "1.2.3"]}, (400, "bad_request", "ip_ranges[1]")),
        ("POST", "/keys", good | {"domains": ["a b"]}, (400, "bad_request", "domains[0]")),
        ("POST", "/keys", good | {"expires_at": "2001-01-01T00:00:00Z"}, (400, "bad_request", "expires_at")),
        ("POST", "/keys", good | {"rate_per_minute": -1}, (400, "bad_request", "rate_per_minute")),
        ("POST", "/tokens", {"life_s": 1}, (400, "bad_request", "life_s")),
        ("GET", "/keys/none", None, (404, "not_found", "id")),
        ("GET", f"/keys/{theirs['id']}", None, (404, "not_found", "id")),
        ("PATCH", f"/keys/{theirs['id']}", {"name": "mine"}, (404, "not_found", "id")),
        ("DELETE", f"/keys/{theirs['id']}", None, (404, "not_found", "id")),
        ("DELETE", "/keys/%00", None, (404, "not_found", "id")),
        ("GET", "/keys?after=%00", None, (400, "bad_request", "after")),
    ):
        assert await looked_after.refused(method, path, body) == wanted, (method, path, body)
    assert (await stranger.get(f"/keys/{theirs['id']}"))["revoked_at"] is None
