"""/v1/suppressions on a running program: added, found, removed with a reason, imported and exported."""

import pytest

from outrider.testing.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_an_address_is_added_found_and_removed(looked_after: Api, stranger: Api) -> None:
    body = {"addresses": ["Ann@One.example", "bob@one.example"], "reason": "complaint", "note": "She rang."}
    assert await looked_after.post("/suppressions", body) == {"added_count": 2, "unchanged_count": 0}
    assert await looked_after.post("/suppressions", body) == {"added_count": 0, "unchanged_count": 2}
    more = {"addresses": ["ann@one.example"], "scope": "list", "subject": "news", "days": 3}
    assert (await looked_after.post("/suppressions", more))["added_count"] == 1

    found = (await looked_after.get("/suppressions?contains=ANN@ONE"))["suppressions"]
    assert [(one["address"], one["scope"], one["subject"]) for one in found] == [
        ("ann@one.example", "all", ""),
        ("ann@one.example", "list", "news"),
    ]
    assert (found[0]["reason"], found[0]["origin"], found[0]["evidence"]) == ("complaint", "request", "She rang.")
    assert found[1]["expires_at"] > found[1]["created_at"]
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await looked_after.get(f"/suppressions?limit=1&reason=complaint&after={after}")
        seen += [one["address"] for one in page["suppressions"]]
        after = page["next"]
    assert seen == ["ann@one.example", "bob@one.example"]

    assert await looked_after.refused("DELETE", "/suppressions/ann@one.example") == (400, "missing_field", "why")
    await looked_after.delete("/suppressions/ann@one.example?why=She%20wants%20it")
    shown = await looked_after.get("/suppressions/ann@one.example")
    assert (shown["entries"], [one["why"] for one in shown["past"]]) == ([], ["She wants it"] * 2)
    assert (await looked_after.refused("DELETE", "/suppressions/ann@one.example?why=x"))[0] == 404
    gone = await looked_after.post(
        "/suppressions/remove", {"addresses": ["bob@one.example", "x@y.example"], "why": "x"}
    )
    assert gone == {"addresses": ["bob@one.example"]}
    assert (await stranger.get("/suppressions?contains=@one.example"))["suppressions"] == []


async def test_what_is_wrong_is_named(looked_after: Api) -> None:
    good = "ann@one.example"
    for method, path, body, wanted in (
        ("POST", "/suppressions", {"addresses": [good, "nobody"]}, (400, "bad_request", "addresses[1]")),
        ("POST", "/suppressions", {"addresses": [good, 7]}, (400, "bad_request", "addresses[1]")),
        ("POST", "/suppressions", {"addresses": []}, (400, "bad_request", "addresses")),
        ("POST", "/suppressions", {"addresses": [good], "scope": "world"}, (400, "bad_request", "scope")),
        ("POST", "/suppressions", {"addresses": [good], "scope": "list"}, (400, "bad_request", "subject")),
        ("POST", "/suppressions", {"addresses": [good], "reason": "content.spam"}, (400, "bad_request", "reason")),
        ("POST", "/suppressions", {"addresses": [good], "days": 0}, (400, "bad_request", "days")),
        ("POST", "/suppressions/remove", {"addresses": [good], "why": " "}, (400, "bad_request", "why")),
        ("POST", "/suppressions/remove", {"addresses": [""], "why": "x"}, (400, "bad_request", "addresses[0]")),
        ("GET", "/suppressions?after=7", None, (400, "bad_request", "after")),
        ("GET", "/suppressions?after=WzEsMiwzXQ==", None, (400, "bad_request", "after")),
        ("GET", "/suppressions?reason=none", None, (400, "bad_request", "reason")),
        ("GET", "/suppressions/nobody", None, (400, "bad_request", "address")),
        ("POST", "/suppressions/import", b"", (400, "bad_request", "")),
        ("POST", "/suppressions/import", b"name\r\nann\r\n", (400, "bad_request", "header")),
        ("POST", "/suppressions/import", b"\xff\xfe\x00\n", (400, "bad_request", "line")),
    ):
        assert await looked_after.refused(method, path, body) == wanted, (method, path, body)


async def test_a_file_goes_in_and_comes_out(looked_after: Api, stranger: Api) -> None:
    count = 2_500
    lines = ["address,reason", *(f"user{number}@many.example,unsubscribe" for number in range(count))]
    lines[7] = "nobody,unsubscribe"
    lines[8] = "\x00,unsubscribe"
    done = await stranger.post("/suppressions/import", "\r\n".join(lines).encode())
    assert (done["added_count"], done["unchanged_count"], done["bad_count"]) == (count - 2, 0, 2)
    assert [(one["line"], one["field"]) for one in done["bad"]] == [(8, "address"), (9, "address")]

    answer = await stranger.ask("GET", "/suppressions/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "suppressions.csv" in answer.headers["content-disposition"]
    exported = answer.body.decode().split("\r\n")
    assert exported[0].startswith("address,scope,subject,reason")
    assert exported[-1] == ""
    assert sum("@many.example," in line for line in exported) == count - 2
    again = await stranger.post("/suppressions/import", answer.body)
    # Another test may have added some to the same project.
    assert (again["added_count"], again["bad_count"]) == (0, 0)
    assert again["unchanged_count"] == len(exported) - 2  # A header, and nothing behind the last end of line.
    mine = (await looked_after.ask("GET", "/suppressions/export")).body
    assert b"many.example" not in mine
    gone = [f"user{number}@many.example" for number in range(1_000)]
    assert len((await stranger.post("/suppressions/remove", {"addresses": gone, "why": "x"}))["addresses"]) == 998
