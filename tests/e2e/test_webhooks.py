"""/v1/webhooks and `outrider webhook` on a running program: a webhook's whole life, and what is refused."""

from collections.abc import Iterator

import msgspec
import pytest
import pytest_asyncio
from standardwebhooks import Webhook as Verifier

from outrider.testing.api import Api
from outrider.testing.clock import RealClock, until
from outrider.testing.http_peer import HttpPeer, answer
from outrider.testing.program import Key, Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
NOWHERE = "http://127.0.0.1:1025/hooks"


@pytest_asyncio.fixture(loop_scope="session")
async def hooked(caught: Program) -> Api:
    """Return a caller of a project that sends."""
    await caught.command_json("domain", "add", "hooked.example", "--verified", "--project", "hooked")
    await caught.command_json("sender", "add", "shop@hooked.example", "--project", "hooked")
    return Api(caught, msgspec.convert(await caught.command_json("key", "create", "--project", "hooked"), Key))


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with HttpPeer([answer(200, b"thanks")]) as made:
        yield made


async def deliveries(api: Api, webhook_id: str, count: int) -> list[dict[str, object]]:
    clock = RealClock()
    end_s = clock.monotonic_s() + 20
    while True:
        found: list[dict[str, object]] = (await api.get(f"/webhooks/{webhook_id}/deliveries"))["deliveries"]
        if len(found) >= count:
            return found
        assert clock.monotonic_s() < end_s, found
        await clock.sleep(0.05)


async def test_a_mail_is_told_of_from_the_call_to_its_delivery(hooked: Api, peer: HttpPeer) -> None:
    made = await hooked.post("/webhooks", {"url": peer.url, "kinds": ["accepted", "delivered"], "token": "word"})
    mail = {"from": "shop@hooked.example", "to": "ann@a.example", "subject": "Hello", "text": "Hello.", "tags": ["a"]}
    sent = await hooked.post("/emails", mail)
    logged = await deliveries(hooked, made["id"], 2)
    assert {(one["outcome"], one["status"], one["attempt"]) for one in logged} == {("taken", 200, 1)}
    said = [Verifier(made["secret"]).verify(one.body, dict(one.headers)) for one in peer.heard]
    assert [one["type"] for one in said] == ["mail.accepted", "mail.delivered"]
    assert {(one["data"]["message_id"], one["Token"]) for one in said} == {(sent["id"], "word")}
    events = {one["id"]: one for one in (await hooked.get("/events"))["events"]}
    for one in said:
        assert one["data"] == events[one["data"]["id"]], "as /v1/events gives it"
    again = logged[0]
    assert await hooked.post(f"/webhooks/{made['id']}/deliveries/{again['id']}/retry") == {"count": 1, "next": None}
    assert [one["webhook_id"] for one in await deliveries(hooked, made["id"], 3)].count(again["webhook_id"]) == 2
    replayed = await hooked.post(f"/webhooks/{made['id']}/replay", {"ids": [said[0]["data"]["id"]]})
    assert replayed["count"] == 1
    shown = await hooked.get(f"/webhooks/{made['id']}")
    assert (shown["has_token"], shown["state"], "secret" in shown) == (True, "active", False)
    await hooked.delete(f"/webhooks/{made['id']}")
    assert await hooked.refused("GET", f"/webhooks/{made['id']}") == (404, "not_found", "id")


async def test_it_is_tried_changed_paused_and_resumed(hooked: Api, peer: HttpPeer) -> None:
    made = await hooked.post("/webhooks", {"url": peer.url})
    path = f"/webhooks/{made['id']}"
    said = await hooked.post(f"{path}/test")
    assert (said["is_taken"], said["status"], said["excerpt"]) == (True, 200, "thanks")
    changed = await hooked.patch(path, {"description": "Orders", "batch_count": 10, "batch_wait_s": 0.5})
    assert (changed["description"], changed["batch_count"], changed["url"]) == ("Orders", 10, peer.url)
    rotated = await hooked.post(f"{path}/rotate", {"overlap_s": 3600})
    assert rotated["secret"] != made["secret"]
    for act, state in (("pause", "paused"), ("disable", "disabled"), ("resume", "active")):
        assert (await hooked.post(f"{path}/{act}"))["state"] == state
    assert [one["id"] for one in (await hooked.get("/webhooks"))["webhooks"]].count(made["id"]) == 1
    since = {"since": "2026-01-01T00:00:00Z"}
    assert (await hooked.post(f"{path}/replay", since))["next"] is None
    await hooked.delete(path)


async def test_what_is_wrong_is_named(hooked: Api) -> None:
    made = await hooked.post("/webhooks", {"url": NOWHERE})
    path = f"/webhooks/{made['id']}"
    for method, where, body, wanted in (
        ("POST", "/webhooks", {}, (400, "missing_field", "url")),
        ("POST", "/webhooks", {"url": "http://10.0.0.1/"}, (400, "bad_request", "url")),
        ("POST", "/webhooks", {"url": "http://169.254.169.254/"}, (400, "bad_request", "url")),
        ("POST", "/webhooks", {"url": NOWHERE, "kinds": ["x"]}, (400, "bad_request", "kinds[0]")),
        ("POST", "/webhooks", {"url": NOWHERE, "batch_count": 1000}, (400, "bad_request", "batch_count")),
        ("POST", "/webhooks", {"url": NOWHERE, "secret": "x"}, (400, "bad_request", "secret")),
        ("PATCH", path, {"token": "a\n"}, (400, "bad_request", "token")),
        ("POST", f"{path}/replay", {}, (400, "bad_request", "since")),
        ("POST", f"{path}/replay", {"ids": ["x"]}, (400, "bad_request", "ids")),
        ("POST", f"{path}/rotate", {"overlap_s": 1e9}, (400, "bad_request", "overlap_s")),
        ("GET", f"{path}/deliveries?after=x", None, (400, "bad_request", "after")),
        ("POST", f"{path}/deliveries/7/retry", None, (404, "not_found", "delivery")),
    ):
        assert await hooked.refused(method, where, body) == wanted, (method, where, body)
    await hooked.delete(path)


async def test_the_command_line_does_the_same(caught: Program, hooked: Api, peer: HttpPeer) -> None:
    async def webhook(*arguments: str) -> dict[str, object]:
        found = await caught.command_json("webhook", *arguments, "--project", "hooked")
        assert isinstance(found, dict)
        return found

    made = await webhook("add", peer.url, "--kind", "bounced", "--description", "Orders")
    webhook_id = str(made["id"])
    assert str(made["secret"]).startswith("whsec_")
    listed = await caught.command_json("webhook", "list", "--project", "hooked")
    assert [one["id"] for one in listed] == [webhook_id]
    assert (await webhook("set", webhook_id, "--all-kinds", "--token", "word"))["has_token"] is True
    assert (await webhook("show", webhook_id))["kinds"] == "all"
    assert (await webhook("test", webhook_id))["taken"] is True
    assert (await webhook("rotate", webhook_id, "--overlap-hours", "1"))["secret"] != made["secret"]
    for act, state in (("pause", "paused"), ("disable", "disabled"), ("resume", "active")):
        assert (await webhook(act, webhook_id))["state"] == state
    await hooked.post(
        "/emails", {"from": "shop@hooked.example", "to": "bob@b.example", "subject": "Hello", "text": "Hello."}
    )
    await until(lambda: sum(b"mail.delivered" in one.body for one in peer.heard) == 1)
    await deliveries(hooked, webhook_id, 2)
    assert int(str((await webhook("replay", webhook_id, "--since", "2026-01-01T00:00:00Z"))["events"])) >= 2
    (first, *_) = await caught.command_json("webhook", "deliveries", webhook_id, "--limit", "1", "--project", "hooked")
    assert (await webhook("retry", webhook_id, str(first["delivery"])))["events"] == 1
    shown = await caught.command("webhook", "deliveries", webhook_id, "--project", "hooked")
    assert "taken" in shown.stdout
    refused = await caught.command("webhook", "replay", webhook_id, "--project", "hooked")
    assert refused.code == 65
    await caught.command("webhook", "remove", webhook_id, "--project", "hooked")
    assert (await caught.command("webhook", "show", webhook_id, "--project", "hooked")).code == 65
