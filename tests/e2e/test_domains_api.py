"""/v1/domains on a running program: added, shown with records, looked at, changed, renewed, removed."""

import pytest

from outrider.testing.api import Api
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_a_domain_lives_its_life(looked_after: Api) -> None:
    made = await looked_after.post("/domains", {"name": "New.Mine.Example", "algorithms": ["ed25519-sha256"]})
    assert (made["domain"]["name"], made["domain"]["state"]) == ("new.mine.example", "unverified")
    assert made["domain"]["verified_at"] is None
    kinds = {one["kind"] for one in made["records"]}
    assert {"dkim", "dmarc"} <= kinds
    (key,) = [one for one in made["records"] if one["kind"] == "dkim"]
    assert key["host"].endswith("._domainkey.new.mine.example")
    assert "".join(key["strings"]) == key["value"]
    assert (await looked_after.post("/domains", {"name": "new.mine.example"}))["domain"] == made["domain"]

    changed = await looked_after.patch(
        "/domains/new.mine.example",
        {"stream": "marketing", "rate_per_minute": 60, "tracking_host": "t.new.mine.example", "senders": "any"},
    )
    shown = changed["domain"]
    assert (shown["stream"], shown["rate_per_minute"], shown["senders"]) == ("marketing", 60, "any")
    assert shown["tracking_host"] == "t.new.mine.example"
    shown = (await looked_after.patch("/domains/new.mine.example", {"stream": None, "rate_per_minute": None}))["domain"]
    assert (shown["stream"], shown["rate_per_minute"], shown["tracking_host"]) == (None, None, "t.new.mine.example")

    looked = await looked_after.post("/domains/new.mine.example/verify")
    assert looked["domain"]["verified_at"] is None
    assert (await looked_after.get("/domains/new.mine.example"))["records"]

    (first,) = (await looked_after.get("/domains/new.mine.example/keys"))["keys"]
    (again,) = (await looked_after.post("/domains/new.mine.example/keys/rotate", {}))["keys"]
    assert again == first  # It waits still, so it is the new one.
    both = await looked_after.post("/domains/new.mine.example/keys/rotate", {"algorithms": ["rsa-sha256"]})
    assert [one["algorithm"] for one in both["keys"]] == ["rsa-sha256"]

    await looked_after.delete("/domains/new.mine.example")
    assert (await looked_after.refused("GET", "/domains/new.mine.example"))[0] == 404


async def test_optional_records_come_with_their_policy_and_a_domain_is_given_up(looked_after: Api) -> None:
    name = "options.mine.example"
    await looked_after.post("/domains", {"name": name, "algorithms": ["ed25519-sha256"]})
    logo = "https://cdn.mine.example/logo.svg"
    changed = await looked_after.patch(f"/domains/{name}", {"mta_sts": "testing", "bimi_logo": logo})
    assert (changed["domain"]["mta_sts"], changed["domain"]["bimi_logo"]) == ("testing", logo)
    assert f"v=BIMI1; l={logo}" in {one["value"] for one in changed["records"]}
    assert changed["removable"] == []
    changed = await looked_after.patch(f"/domains/{name}", {"mta_sts": "off", "bimi_logo": ""})
    assert (changed["domain"]["mta_sts"], changed["domain"]["bimi_logo"], changed["mta_sts_policy"]) == ("off", "", "")
    released = await looked_after.post(f"/domains/{name}/release", {})
    assert released == {"name": name, "dropped_count": 0}
    assert (await looked_after.refused("GET", f"/domains/{name}"))[0] == 404


async def test_a_proven_domain_is_given_up_by_its_project_and_by_nobody_else(
    looked_after: Api, stranger: Api, caught: Program
) -> None:
    name = "moved.example"
    await caught.command_json("domain", "add", name, "--verified", "--project", "theirs")
    await stranger.post("/senders", {"address": f"news@{name}"})
    assert (await looked_after.refused("POST", f"/domains/{name}/release", {"drop": True}))[0] == 404
    assert (await stranger.get(f"/domains/{name}"))["domain"]["verified_at"] is not None
    taken = await caught.command("domain", "add", name, "--verified", "--project", "mine")
    assert (taken.code, "verified in another project" in taken.stderr) == (65, True)
    mail = {"from": f"news@{name}", "to": "a@x.example", "subject": "s", "text": "t"}
    await stranger.post("/emails", mail)
    released = await stranger.post(f"/domains/{name}/release", {"drop": True})
    assert released["name"] == name
    assert (await stranger.refused("POST", "/emails", mail))[0] in (400, 403, 404)
    events = (await stranger.get("/events?limit=100"))["events"]
    assert "domain_released" in {one["kind"] for one in events}
    mine = await caught.command_json("domain", "add", name, "--verified", "--project", "mine")
    assert mine["status"] == "verified"
    assert (await looked_after.post(f"/domains/{name}/release", {}))["name"] == name


async def test_domains_come_page_by_page(looked_after: Api) -> None:
    names = [f"page{number}.mine.example" for number in range(3)]
    for name in names:
        await looked_after.post("/domains", {"name": name, "algorithms": ["ed25519-sha256"]})
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await looked_after.get(f"/domains?limit=1&after={after}")
        seen += [one["name"] for one in page["domains"]]
        after = page["next"]
    assert seen == sorted(seen)
    assert {*names, "mine.example"} <= set(seen)
    for name in names:
        await looked_after.delete(f"/domains/{name}")


async def test_what_is_wrong_is_named(looked_after: Api) -> None:
    for method, path, body, wanted in (
        ("POST", "/domains", {"name": "no domain"}, (400, "bad_request", "name")),
        ("POST", "/domains", {"name": "\x00"}, (400, "bad_request", "name")),
        ("POST", "/domains", {}, (400, "missing_field", "name")),
        ("POST", "/domains", {"name": "a.example", "algorithms": []}, (400, "bad_request", "algorithms")),
        ("POST", "/domains", {"name": "a.example", "algorithms": ["md5"]}, (400, "bad_request", "algorithms[0]")),
        ("POST", "/domains", {"name": "a.example", "return_path": "b.other"}, (400, "bad_request", "return_path")),
        ("POST", "/domains", {"name": "a.example", "colour": 1}, (400, "bad_request", "colour")),
        ("PATCH", "/domains/mine.example", {"rate_per_minute": 0}, (400, "bad_request", "rate_per_minute")),
        ("PATCH", "/domains/mine.example", {"senders": "some"}, (400, "bad_request", "senders")),
        ("PATCH", "/domains/mine.example", {"mta_sts": "on"}, (400, "bad_request", "mta_sts")),
        ("PATCH", "/domains/mine.example", {"mta_sts": "testing"}, (400, "bad_request", "mta_sts")),
        ("PATCH", "/domains/mine.example", {"bimi_logo": "http://x.example"}, (400, "bad_request", "bimi_logo")),
        ("PATCH", "/domains/mine.example", {"rate_per_minute": 7, "bimi_logo": "x"}, (400, "bad_request", "bimi_logo")),
        ("POST", "/domains/none.example/release", {}, (404, "not_found", "name")),
        ("POST", "/domains/mine.example/release", {"drop": 1}, (400, "bad_request", "drop")),
        ("DELETE", "/domains/mine.example", None, (409, "conflict", "name")),
        ("GET", "/domains?limit=0", None, (400, "bad_request", "limit")),
        ("GET", "/domains?after=%00", None, (400, "bad_request", "after")),
    ):
        assert await looked_after.refused(method, path, body) == wanted, (method, path, body)
    assert (await looked_after.get("/domains/mine.example"))["domain"]["rate_per_minute"] is None


async def test_a_domain_of_another_project_is_not_there(looked_after: Api, stranger: Api) -> None:
    assert (await stranger.get("/domains/theirs.example"))["domain"]["name"] == "theirs.example"
    for method, path, body in (
        ("GET", "/domains/theirs.example", None),
        ("PATCH", "/domains/theirs.example", {"rate_per_minute": 1}),
        ("DELETE", "/domains/theirs.example", None),
        ("POST", "/domains/theirs.example/verify", None),
        ("GET", "/domains/theirs.example/keys", None),
        ("POST", "/domains/theirs.example/keys/rotate", {}),
    ):
        assert (await looked_after.refused(method, path, body))[:2] == (404, "not_found"), (method, path)
    assert (await stranger.get("/domains/theirs.example"))["domain"]["rate_per_minute"] is None
    names = [one["name"] for one in (await looked_after.get("/domains"))["domains"]]
    assert "theirs.example" not in names
