"""/v1/emails on doubles: what the engine is handed, what the caller hears, what is given again."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, ConflictError, NotFoundError, StoreUnavailableError
from outrider.base.vocab import RecipientStatus, Stream
from outrider.engine.submission import Accepted, Attachment, Rejected, Submission
from outrider.faces.api.app import make_app
from outrider.services.attachments import Given
from outrider.services.mail import Wanted
from outrider.services.outbox import ContentView
from outrider.testing.engine import SESSION_ID, keep_content
from tests.unit.faces.conftest import KEY_ID, PROJECT_ID, ApiFace, StillClock

GOOD: dict[str, Any] = {
    "from": "noreply@shop.example",
    "to": "ann@a.example",
    "subject": "Your order",
    "text": "Thank you.",
}


async def handed(face: ApiFace, **changes: Any) -> Submission:
    """Return what the engine is handed of a call."""
    heard = await face.call("POST", "/emails", GOOD | changes)
    assert heard.status == 202, heard.text
    return face.engine.submissions[-1]


async def test_the_shortest_mail(face: ApiFace) -> None:
    heard = await face.call("POST", "/emails", GOOD)
    assert (heard.status, heard.json) == (202, {"id": str(SESSION_ID), "accepted_count": 1, "rejected": []})
    assert face.engine.calls == [
        (
            PROJECT_ID,
            Submission(
                sender="noreply@shop.example", recipients=("ann@a.example",), subject="Your order", text="Thank you."
            ),
            "",
        )
    ]


async def test_everything_a_mail_can_say_reaches_the_engine(face: ApiFace) -> None:
    made = await handed(
        face,
        **{
            "from": "Läden & Co. <noreply@shop.example>",
            "to": ["Ann Lee <ann@a.example>", "bob@b.example"],
            "cc": "Cat <cat@c.example>",
            "bcc": ["dan@d.example"],
            "reply_to": "help@shop.example",
            "html": "<p>Hi</p>",
            "attachments": [{"name": "a.txt", "type": "text/plain", "content": "aGk=", "content_id": "one"}],
            "headers": {"X-Order": "7", "X-Shop": "Main"},
            "tags": ["order"],
            "metadata": {"order": "7"},
            "stream": "marketing",
            "campaign": "May",
            "list": "news",
            "send_at": "2026-12-24T08:00:00+01:00",
            "expires_s": 3600,
            "pool": "warm",
            "track_opens": True,
            "track_clicks": False,
        },
    )
    assert made == Submission(
        sender="noreply@shop.example",
        from_name="Läden & Co.",
        recipients=("ann@a.example", "bob@b.example", "cat@c.example", "dan@d.example"),
        shown_to=("Ann Lee <ann@a.example>", "bob@b.example"),
        shown_cc=("Cat <cat@c.example>",),
        reply_to=("help@shop.example",),
        subject="Your order",
        text="Thank you.",
        html="<p>Hi</p>",
        attachments=(Attachment(name="a.txt", type="text/plain", content=b"aGk=", content_id="one"),),
        headers=(("X-Order", "7"), ("X-Shop", "Main")),
        tags=("order",),
        metadata={"order": "7"},
        stream=Stream.MARKETING,
        campaign="May",
        list_name="news",
        send_at=made.send_at,
        expires_s=3600.0,
        pool="warm",
        track_opens=True,
        track_clicks=False,
    )
    assert made.send_at is not None
    assert made.send_at.isoformat() == "2026-12-24T08:00:00+01:00"


@pytest.mark.parametrize(
    ("changes", "recipients", "shown_to"),
    [
        ({"to": "ann@a.example"}, ("ann@a.example",), ()),
        ({"to": ["ann@a.example"]}, ("ann@a.example",), ()),
        ({"to": "Ann <ann@a.example>"}, ("ann@a.example",), ("Ann <ann@a.example>",)),
        ({"to": ["a@a.example", "b@b.example"]}, ("a@a.example", "b@b.example"), ("a@a.example", "b@b.example")),
        ({"to": ["a@a.example", "B <b@b.example>"], "separate": True}, ("a@a.example", "b@b.example"), ()),
        ({"to": "a@a.example", "bcc": "b@b.example"}, ("a@a.example", "b@b.example"), ("a@a.example",)),
    ],
)
async def test_who_sees_whom(
    face: ApiFace, changes: dict[str, Any], recipients: tuple[str, ...], shown_to: tuple[str, ...]
) -> None:
    made = await handed(face, **changes)
    assert (made.recipients, made.shown_to) == (recipients, shown_to)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": []}, "to"),
        ({"to": ["a@a.example", "Ann <ann>"]}, "to[1]"),
        ({"cc": ["Bob <b@b.example"]}, None),
        ({"cc": ["ok@c.example", "Bob \r\nBcc: x@y.example <b@b.example>"]}, "cc[1]"),
        ({"from": "Shop <shop>"}, "from"),
        ({"separate": True, "bcc": "b@b.example"}, "separate"),
    ],
)
async def test_what_this_face_refuses_itself(face: ApiFace, changes: dict[str, Any], field: str | None) -> None:
    heard = await face.call("POST", "/emails", GOOD | changes)
    if field is None:  # No address with a name: the engine reads it.
        assert heard.status == 202
        return
    assert (heard.status, heard.json["field"]) == (400, field)
    assert face.engine.calls == []


@pytest.mark.parametrize(
    ("error", "status", "code", "field"),
    [
        (NotFoundError("No sender.", field="sender"), 404, "not_found", "from"),
        (CallerError("No.", field="shown_to[3]"), 400, "bad_request", "to[3]"),
        (CallerError("No.", field="attachments[1].name"), 400, "bad_request", "attachments[1].name"),
        (ConflictError("No.", field="idempotency_key"), 409, "conflict", "Idempotency-Key"),
        (BusyError("Later."), 503, "busy", None),
        (StoreUnavailableError("Away."), 503, "store_unavailable", None),
        (RuntimeError("a bug of ours"), 500, "internal", None),
    ],
)
async def test_what_the_engine_refuses_is_a_problem(
    face: ApiFace, error: Exception, status: int, code: str, field: str | None
) -> None:
    face.engine.error = error
    heard = await face.call("POST", "/emails", GOOD)
    assert heard.headers["content-type"] == "application/problem+json"
    assert (heard.status, heard.json["status"], heard.json["code"]) == (status, status, code)
    assert heard.json.get("field") == field
    assert heard.json["request_id"] == heard.headers["x-request-id"]
    assert ("retry-after" in heard.headers) == (status == 503)
    assert "a bug of ours" not in heard.text
    assert (heard.headers["x-request-id"] in face.log.getvalue()) == (code in ("internal", "store_unavailable"))


async def test_those_who_are_refused_are_told_and_a_mail_to_nobody_is_none(face: ApiFace) -> None:
    face.engine.answer = Accepted(SESSION_ID, 1, (Rejected("bob", "invalid address: no @"),))
    heard = await face.call("POST", "/emails", GOOD | {"to": ["ann@a.example", "bob"], "separate": True})
    assert heard.json["rejected"] == [{"address": "bob", "reason": "invalid address: no @"}]
    face.engine.answer = Accepted(None, 0, (Rejected("ann@a.example", "recipient suppressed"), Rejected("bob", "no @")))
    heard = await face.call("POST", "/emails", GOOD | {"to": ["ann@a.example"], "cc": ["bob"]})
    assert (heard.status, heard.json["code"], heard.json["field"]) == (400, "bad_request", "to")
    assert heard.json["errors"] == [
        {"field": "to[0]", "detail": "recipient suppressed"},
        {"field": "cc[0]", "detail": "no @"},
    ]
    face.engine.answer = Accepted(None, 0, (Rejected("ann@a.example", "recipient suppressed"),))
    heard = await face.call("POST", "/emails", GOOD)
    assert (heard.json["detail"], heard.json["field"]) == ("recipient suppressed", "to[0]")


async def test_a_repeat_says_so_and_is_told_apart_by_its_body(face: ApiFace) -> None:
    key = {"idempotency-key": "order-7"}
    first = await face.call("POST", "/emails", GOOD, key)
    assert "idempotency-replayed" not in first.headers
    face.engine.answer = Accepted(SESSION_ID, 1, is_repeat=True)
    again = await face.call("POST", "/emails", GOOD, key)
    assert (again.headers["idempotency-replayed"], again.body) == ("true", first.body)
    await face.call("POST", "/emails", GOOD | {"text": "Else"}, key)
    assert [key for _, _, key in face.engine.calls] == ["order-7"] * 3
    assert face.engine.hashes[0] == face.engine.hashes[1] != face.engine.hashes[2]
    assert all(len(one) == 32 for one in face.engine.hashes)


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * (limits.IDEMPOTENCY_KEY_CHARS_MAX + 1), "kä"])
async def test_what_is_no_key_is_refused(face: ApiFace, key: str) -> None:
    heard = await face.call("POST", "/emails", GOOD, {"idempotency-key": key})
    assert (heard.status, heard.json["field"]) == (400, "Idempotency-Key")


async def test_a_file_by_url_is_not_fetched_for_a_repeat(face: ApiFace) -> None:
    body = GOOD | {"attachments": [{"url": "https://files.example/a.pdf"}]}
    face.engine.first = Accepted(SESSION_ID, 1, is_repeat=True)
    heard = await face.call("POST", "/emails", body, {"idempotency-key": "once"})
    assert (heard.status, heard.headers["idempotency-replayed"]) == (202, "true")
    assert face.engine.calls == []
    assert [one[:2] for one in face.engine.asked_first] == [(PROJECT_ID, "once")]
    await face.call("POST", "/emails", body)
    assert len(face.engine.calls) == len(face.engine.asked_first) == 1


async def test_few_mails_with_files_are_in_memory_at_once_and_others_do_not_wait(face: ApiFace) -> None:
    inside, may_go = asyncio.Semaphore(0), asyncio.Event()
    counts = {"now": 0, "most": 0}

    async def resolve(given: Sequence[Given]) -> tuple[Attachment, ...]:
        counts["now"] += 1
        counts["most"] = max(counts["most"], counts["now"])
        inside.release()
        await may_go.wait()
        counts["now"] -= 1
        return await keep_content(given)

    face.app = make_app(face.ports(resolve_files=resolve))
    filed = GOOD | {"attachments": [{"name": "a.txt", "content": "YQ=="}]}
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        single = [group.create_task(face.call("POST", "/emails", filed)) for _ in range(4)]
        batch = group.create_task(face.call("POST", "/emails/batch", {"emails": [filed] * 20}))
        for _ in range(limits.REQUESTS_LARGE_COUNT_MAX):
            await inside.acquire()
        assert (await face.call("POST", "/emails", GOOD)).status == 202
        assert not any(one.done() for one in (*single, batch))
        may_go.set()
    assert [(await one).status for one in single] == [202] * 4
    assert (await batch).json["accepted_count"] == 20
    assert counts == {"now": 0, "most": limits.REQUESTS_LARGE_COUNT_MAX}


async def test_a_key_sends_from_its_domains_alone(face: ApiFace) -> None:
    face.keys.terms[KEY_ID] = {"domains": frozenset({"shop.example"})}
    await face.call("POST", "/emails", GOOD)
    await face.call("POST", "/emails/batch", {"emails": [GOOD]})
    assert face.engine.domains == [frozenset({"shop.example"})] * 2


# Batches.


async def test_each_mail_of_a_batch_has_its_result_in_order(face: ApiFace) -> None:
    bad = [{"to": 7}, "text", GOOD | {"to": []}, GOOD | {"nonsense": 1}]
    heard = await face.call("POST", "/emails/batch", {"emails": [GOOD, *bad, GOOD]})
    assert heard.status == 200
    assert (heard.json["accepted_count"], heard.json["failed_count"]) == (2, 4)
    results = heard.json["results"]
    assert [one.get("id") for one in results] == [str(SESSION_ID), None, None, None, None, str(SESSION_ID)]
    assert [one["error"].get("field") for one in results[1:5]] == ["to", None, "to", "nonsense"]
    assert all("request_id" not in one["error"] for one in results[1:5])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"emails": []}, "emails"),
        ({"emails": [{}] * (limits.BATCH_COUNT_MAX + 1)}, "emails"),
        ({"emails": GOOD}, "emails"),
        ({}, "emails"),
        ([GOOD], None),
    ],
)
async def test_a_batch_of_none_or_of_too_many_is_refused(face: ApiFace, body: object, field: str | None) -> None:
    heard = await face.call("POST", "/emails/batch", body)
    assert (heard.status, heard.json.get("field")) == (400, field)


async def test_a_batch_is_given_again_octet_for_octet(face: ApiFace) -> None:
    key = {"idempotency-key": "batch-7"}
    body = {"emails": [GOOD, {"to": 7}]}
    first = await face.call("POST", "/emails/batch", body, key)
    face.engine.answer = Accepted(UUID(int=9), 1)  # What it would answer to another.
    again = await face.call("POST", "/emails/batch", body, key)
    assert (again.status, again.body, again.headers["idempotency-replayed"]) == (200, first.body, "true")
    assert len(face.engine.calls) == 1
    other = await face.call("POST", "/emails/batch", {"emails": [GOOD]}, key)
    assert (other.status, other.json["field"]) == (409, "Idempotency-Key")


async def test_a_batch_that_met_a_passing_failure_is_gone_through_again(face: ApiFace) -> None:
    key = {"idempotency-key": "batch-7"}
    face.engine.error = BusyError("Later.")
    heard = await face.call("POST", "/emails/batch", {"emails": [GOOD, GOOD]}, key)
    assert [one["error"]["retry_after_s"] for one in heard.json["results"]] == [1.0, 1.0]
    face.engine.error = None
    again = await face.call("POST", "/emails/batch", {"emails": [GOOD, GOOD]}, key)
    assert again.json["accepted_count"] == 2
    part_keys = [part_key for _, _, part_key in face.engine.calls]
    assert part_keys[:2] == part_keys[2:]
    assert len(set(part_keys)) == 2


async def test_a_batch_names_so_many_files_by_url(face: ApiFace) -> None:
    def mail(url_count: int, content_count: int = 0) -> dict[str, Any]:
        urls = [{"url": f"https://files.example/{at}.txt"} for at in range(url_count)]
        return GOOD | {"attachments": [*urls, *[{"name": "a.txt", "content": "YQ=="}] * content_count]}

    full = [mail(50) for _ in range(limits.BATCH_FETCHES_COUNT_MAX // 50 - 1)]
    mails = [*full, mail(40), mail(11), mail(10), mail(1), mail(0, 50), GOOD]
    heard = await face.call("POST", "/emails/batch", {"emails": mails})
    errors = [one.get("error") for one in heard.json["results"]]
    assert [at - len(full) for at, error in enumerate(errors) if error] == [1, 3]
    refused = errors[len(full) + 1]
    assert (refused["status"], refused["field"]) == (400, "attachments")
    assert "10 are left" in refused["detail"]
    alone = await face.call("POST", "/emails", mail(50))
    assert alone.status == 202


async def test_a_thousand_mails_are_one_call(face: ApiFace) -> None:
    heard = await face.call("POST", "/emails/batch", {"emails": [GOOD] * limits.BATCH_COUNT_MAX})
    assert heard.json["accepted_count"] == len(face.engine.calls) == limits.BATCH_COUNT_MAX


# Reading, stopping, sending again.


async def test_a_list_asks_for_what_the_query_says(face: ApiFace) -> None:
    query = (
        "?status=queued&status=held&to=ann@a.example&from=a@shop.example&tag=order&stream=marketing&campaign=May"
        "&subject=Your%20order&since=2026-01-01T00:00:00Z&after=1-2&limit=7"
    )
    heard = await face.call("GET", f"/emails{query}")
    assert (heard.status, heard.json) == (200, {"emails": [], "next": None})
    ((project_id, wanted, cursor, limit),) = face.mail.asked
    assert isinstance(wanted, Wanted)
    assert (project_id, cursor, limit) == (PROJECT_ID, "1-2", 7)
    assert wanted.statuses == [RecipientStatus.QUEUED, RecipientStatus.HELD]
    assert (wanted.recipient, wanted.sender, wanted.tag, wanted.stream, wanted.campaign, wanted.subject) == (
        "ann@a.example", "a@shop.example", "order", Stream.MARKETING, "May", "Your order"
    )  # fmt: skip


@pytest.mark.parametrize(("field", "wanted"), [("recipient", "to"), ("sender", "from"), ("tag", "tag")])
async def test_what_is_wrong_with_a_list_is_said_by_the_querys_names(face: ApiFace, field: str, wanted: str) -> None:
    face.mail.error = CallerError("invalid address", field=field)
    heard = await face.call("GET", "/emails?to=zzz")
    assert (heard.status, heard.json["field"]) == (400, wanted)


def content(clock: StillClock) -> ContentView:
    return ContentView(
        message_id=SESSION_ID, stream=Stream.TRANSACTIONAL, sender="a@shop.example", from_name="Shop", subject="S",
        text="t", html=None, shown_to=(), shown_cc=(), reply_to=(), headers=(("X-A", "1"),), files=(), tags=(),
        metadata={}, campaign="", list_name="", accepted_at=clock.at, send_at=None, expires_at=clock.at,
    )  # fmt: skip


async def test_a_mail_is_read_back_cancelled_and_sent_again(face: ApiFace, clock: StillClock) -> None:
    face.outbox.contents[PROJECT_ID, SESSION_ID] = content(clock)
    place = f"/emails/{SESSION_ID}"
    heard = await face.call("GET", f"{place}/content")
    assert (heard.json["from"], heard.json["headers"], heard.json["html"]) == ("a@shop.example", {"X-A": "1"}, None)
    heard = await face.call("POST", f"{place}/cancel")
    assert (heard.status, heard.json) == (200, {"id": str(SESSION_ID), "cancelled_count": 1})
    body = {"to": ["ann@a.example"], "status": ["bounced"]}
    heard = await face.call("POST", f"{place}/resend", body, {"idempotency-key": "again"})
    assert heard.status == 202
    assert face.outbox.resent == [(SESSION_ID, ["ann@a.example"], [RecipientStatus.BOUNCED], "again")]
    face.engine.first = Accepted(SESSION_ID, 1, is_repeat=True)
    again = await face.call("POST", f"{place}/resend", body, {"idempotency-key": "again"})
    assert (again.body, again.headers["idempotency-replayed"]) == (heard.body, "true")
    assert len(face.outbox.resent) == 1


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("GET", "/content"), ("POST", "/cancel"), ("POST", "/resend")]
)
async def test_another_projects_mail_is_not_there(face: ApiFace, clock: StillClock, method: str, rest: str) -> None:
    face.outbox.contents[UUID(int=8), SESSION_ID] = content(clock)
    heard = await face.call(method, f"/emails/{SESSION_ID}{rest}", {} if method == "POST" and "resend" in rest else b"")
    assert (heard.status, heard.json["code"], heard.json["field"]) == (404, "not_found", "id")


async def test_many_at_once_do_not_mix(face: ApiFace) -> None:
    calls = [face.call("POST", "/emails", GOOD | {"subject": f"n {n}"}) for n in range(50)]
    heard = await asyncio.gather(*calls)
    assert {one.status for one in heard} == {202}
    assert len({one.headers["x-request-id"] for one in heard}) == 50
    assert sorted(one.subject for one in face.engine.submissions) == sorted(f"n {n}" for n in range(50))
    assert msgspec.json.decode(heard[0].body)["id"] == str(SESSION_ID)
