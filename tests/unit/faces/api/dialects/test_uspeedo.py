"""The uSpeedo dialect from outside: bytes in, envelope out. Every answer has a RetCode, a Message and a RequestUuid."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import (
    BusyError,
    CallerError,
    ConflictError,
    LimitReachedError,
    NotFoundError,
    SignatureError,
    StoreCorruptError,
    StoreUnavailableError,
    TimestampError,
    TokenInvalidError,
    TokenUnreadableError,
)
from outrider.base.vocab import EventKind, KeyScope, RecipientStatus, Stream
from outrider.engine.submission import Accepted, Rejected
from outrider.services.reports import EventView, RecipientView, SessionView
from outrider.services.roster import ListedSender, SenderPage, SenderQuery
from outrider.testing.engine import SESSION_ID
from outrider.testing.web import Heard, ask
from tests.unit.faces.conftest import GOOD, KEY_ID, KEY_SECRET, PROJECT_ID, ApiFace, basic

SEND_EMAIL = "/api/v1/email/SendEmail"


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


def assert_fault(heard: Heard, ret_code: int, message: str, status: int = 200) -> None:
    assert (heard.status, heard.json["RetCode"], heard.json["Message"]) == (status, ret_code, message)
    assert heard.json["Detail"]
    assert_envelope(heard)


def assert_envelope(heard: Heard) -> None:
    assert heard.headers["content-type"] == "application/json"
    assert UUID(heard.json["RequestUuid"])
    assert heard.headers["x-speedo-request-uuid"] == heard.json["RequestUuid"]
    assert isinstance(heard.json["RetCode"], int)


async def test_a_good_call_becomes_one_submission_and_a_session(face: ApiFace) -> None:
    heard = await face.send_email()
    assert heard.status == 200
    assert_envelope(heard)
    assert heard.json == {
        "RetCode": 0,
        "Message": "success",
        "SessionNo": str(SESSION_ID),
        "FailedTargetEmails": [],
        "RequestUuid": heard.headers["x-speedo-request-uuid"],
        "SuccessCount": 1,
        "FailContent": [],
    }
    ((project_id, submission, key),) = face.engine.calls
    assert (project_id, key) == (PROJECT_ID, "")
    assert submission.sender == GOOD["SendEmail"]
    assert submission.recipients == ("user@partner.example",)
    assert submission.subject == GOOD["Subject"]
    assert submission.from_name == "Example Shop"
    assert (submission.text, submission.html) == (GOOD["Content"], None)


async def test_two_calls_have_two_request_ids(face: ApiFace) -> None:
    first, second = await face.send_email(), await face.send_email()
    assert first.json["RequestUuid"] != second.json["RequestUuid"]


async def test_html_is_told_from_text(face: ApiFace) -> None:
    await face.send_email({**GOOD, "Content": "<p>Your invoice is ready.</p>"})
    assert face.engine.submissions[0].html == "<p>Your invoice is ready.</p>"
    assert face.engine.submissions[0].text is None


async def test_the_order_and_spelling_of_recipients_is_kept(face: ApiFace) -> None:
    wanted = ["B@x.example", "a@x.example", "B@x.example", " ü@bücher.example", ""]
    await face.send_email({**GOOD, "TargetEmailAddress": wanted})
    assert face.engine.submissions[0].recipients == tuple(wanted)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "image/png"])
async def test_the_body_is_json_whatever_its_content_type_says(face: ApiFace, content_type: str) -> None:
    assert (await face.send_email(headers={"content-type": content_type})).json["RetCode"] == 0


async def test_the_older_name_of_the_sender_will_do(face: ApiFace) -> None:
    heard = await face.send_email({**without("SendEmail"), "SenderEmail": "old@shop.example"})
    assert heard.json["RetCode"] == 0
    await face.send_email({**GOOD, "SenderEmail": "old@shop.example"})
    assert [s.sender for s in face.engine.submissions] == ["old@shop.example", GOOD["SendEmail"]]


@pytest.mark.parametrize(
    "more",
    [
        {"AccountId": 10001},
        {"AccountId": "x"},
        {"AccountId": [[]]},
        {"AccountId": 10**400},
        {"Action": "SendEmail"},
        {"Unknown": {"a": [1, None, {"b": "c"}]}},
        {"FromName": None},
        {"SenderEmail": None},
        {"sendemail": 5},
    ],
)
async def test_what_is_not_needed_is_ignored(face: ApiFace, more: dict[str, Any]) -> None:
    assert (await face.send_email({**GOOD, **more})).json["RetCode"] == 0


async def test_a_call_without_a_name_has_none(face: ApiFace) -> None:
    await face.send_email(without("FromName"))
    assert face.engine.submissions[0].from_name == ""


async def test_partial_failure_keeps_ret_code_0(face: ApiFace) -> None:
    face.engine.answer = Accepted(
        session_id=SESSION_ID, recipient_count=1, rejected=(Rejected("ben@client.test", "recipient suppressed"),)
    )
    heard = await face.send_email()
    failed = [{"EmailAddress": "ben@client.test", "FailureReason": "recipient suppressed"}]
    assert heard.json["RetCode"] == 0
    assert heard.json["SessionNo"] == str(SESSION_ID)
    assert heard.json["SuccessCount"] == 1
    assert heard.json["FailedTargetEmails"] == heard.json["FailContent"] == failed


async def test_when_no_recipient_is_left_there_is_no_session(face: ApiFace) -> None:
    face.engine.answer = Accepted(session_id=None, recipient_count=0, rejected=(Rejected("nope", "invalid: no @"),))
    heard = await face.send_email()
    assert_fault(heard, 215392, "Invalid parameter [TargetEmailAddress]")
    assert heard.json["FailedTargetEmails"] == [{"EmailAddress": "nope", "FailureReason": "invalid: no @"}]
    assert heard.json["SuccessCount"] == 0
    assert "SessionNo" not in heard.json


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ###",
        "Bearer abc",
        basic(KEY_ID, "wrong"),
        basic("0" * 32),
        basic(KEY_ID[:-1]),
        basic(KEY_ID, KEY_SECRET + "x"),
        basic(KEY_ID.upper()),
        basic(KEY_ID, "x" * 5000),
        "Basic " + "A" * 100_000,
    ],
)
async def test_without_a_good_key_nothing_happens(face: ApiFace, authorization: str) -> None:
    heard = await face.send_email(headers={"authorization": authorization})
    assert_fault(heard, 215393, "Authentication failed")
    assert face.engine.calls == []


async def test_without_any_key_nothing_happens(face: ApiFace) -> None:
    heard = await ask(face.app, "POST", SEND_EMAIL, body=msgspec.json.encode(GOOD))
    assert_fault(heard, 215393, "Authentication failed")


@pytest.mark.parametrize("name", ["SendEmail", "TargetEmailAddress", "Subject", "Content"])
async def test_a_required_field_that_is_absent_is_named(face: ApiFace, name: str) -> None:
    assert_fault(await face.send_email(without(name)), 215397, f"Missing parameter [{name}]")
    assert face.engine.calls == []


@pytest.mark.parametrize("name", ["SendEmail", "TargetEmailAddress", "Subject", "Content", "FromName"])
@pytest.mark.parametrize("value", [5, -1.5, True, {}, {"a": 1}, [1], [["a@x.example"]], None, 10**30])
async def test_a_wrong_type_is_named(face: ApiFace, name: str, value: object) -> None:
    if name == "FromName" and value is None:
        return  # Optional: null is as good as absent.
    assert_fault(await face.send_email({**GOOD, name: value}), 215392, f"Invalid parameter [{name}]")
    assert face.engine.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"x",
        b"[]",
        b"null",
        b"5",
        b'"SendEmail"',
        b"{",
        b"{}}",
        b"SendEmail=a&Subject=b",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"NaN",
        b'{"SendEmail":NaN}',
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(face: ApiFace, body: bytes) -> None:
    assert_fault(await face.send_email(body), 215392, "Invalid parameter [Body]")
    assert face.engine.calls == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"Your Order Confirmation"', b'"\\ud800"', "Invalid parameter ["),
        (b"Your Order", b"\xc3\x28", "Invalid parameter [Subject]"),
        (b"Your Order", b"\xed\xa0\x80", "Invalid parameter [Subject]"),
        (b'"Subject":', b'"Subject":7,"Subject":', "Invalid parameter [Body]"),
        (b'"Subject":', b'"x":"\x01","Subject":', "Invalid parameter [Body]"),
        (b"Your Order", b"Your\r\nBcc: x", "Invalid parameter ["),  # Raw control characters are no JSON.
    ],
)
async def test_a_body_of_broken_text_is_refused(face: ApiFace, old: bytes, new: bytes, message: str) -> None:
    body = msgspec.json.encode(GOOD)
    assert old in body
    heard = await face.send_email(body.replace(old, new))
    assert heard.json["RetCode"] == 215392
    assert heard.json["Message"].startswith(message)
    assert face.engine.calls == []


@pytest.mark.parametrize("text", ["a\r\nBcc: x@y.example", "a\x00b", "\u202eevil", "😀" * 50, " "])
async def test_odd_text_reaches_the_engine_as_it_is(face: ApiFace, text: str) -> None:
    await face.send_email({**GOOD, "Subject": text, "FromName": text})
    assert face.engine.submissions[0].subject == face.engine.submissions[0].from_name == text


@pytest.mark.parametrize(
    ("error", "status", "ret_code", "message"),
    [
        (CallerError("It is empty.", field="subject"), 200, 215392, "Invalid parameter [Subject]"),
        (CallerError("101 of 100.", field="recipients"), 200, 215392, "Invalid parameter [TargetEmailAddress]"),
        (NotFoundError("Unknown sender.", field="sender"), 200, 215396, "NotFound parameter [SendEmail]"),
        (ConflictError("Used.", field="idempotency_key"), 200, 215392, "Invalid parameter [Idempotency-Key]"),
        (LimitReachedError("Enough.", retry_after_s=60), 429, 215400, "Limit reached"),
        (BusyError("Full."), 503, 215400, "Service busy"),
        (StoreUnavailableError("Away.", cause="secret host"), 503, 215400, "Service busy"),
        (StoreCorruptError("Row 7.", code="x", event="y", request_id="z"), 200, 215400, "Server error"),
        (RuntimeError("secret host"), 200, 215400, "Server error"),
        (asyncio.IncompleteReadError(b"secret host", 5), 200, 215400, "Server error"),
        (RecursionError("secret host"), 200, 215400, "Server error"),
    ],
)
async def test_what_the_engine_raises_is_rendered(
    face: ApiFace, error: Exception, status: int, ret_code: int, message: str
) -> None:
    face.engine.error = error
    heard = await face.send_email()
    assert_fault(heard, ret_code, message, status)
    assert b"secret" not in heard.body
    assert b"Row 7" not in heard.body
    assert ("retry-after" in heard.headers) == (status != 200)


async def test_our_bug_is_in_the_log_under_the_callers_request_id(face: ApiFace) -> None:
    face.engine.error = RuntimeError("wheel came off")
    heard = await face.send_email()
    line = msgspec.json.decode(face.log.getvalue())
    assert line["event"] == "api_call_failed"
    assert line["request_id"] == heard.json["RequestUuid"]
    assert "wheel came off" in line["exception"]
    assert KEY_SECRET not in face.log.getvalue()
    assert b'outrider_internal_errors_total{place="api"} 1.0' in face.metrics.render()


async def test_a_callers_mistake_is_not_in_the_log(face: ApiFace) -> None:
    await face.send_email(b"")
    assert face.log.getvalue() == ""


async def test_calls_are_counted_by_ret_code(face: ApiFace) -> None:
    await face.send_email()
    await face.send_email(b"")
    rendered = face.metrics.render()
    assert b'outrider_api_calls_total{ret_code="0"} 1.0' in rendered
    assert b'outrider_api_calls_total{ret_code="215392"} 1.0' in rendered


async def test_an_idempotency_key_is_passed_on(face: ApiFace) -> None:
    await face.send_email(headers={"idempotency-key": "order-1042"})
    assert face.engine.calls[0][2] == "order-1042"


@pytest.mark.parametrize("key", ["x" * (limits.IDEMPOTENCY_KEY_CHARS_MAX + 1), "a b", "a\tb", "é"])
async def test_an_idempotency_key_has_its_form(face: ApiFace, key: str) -> None:
    heard = await face.send_email(headers={"idempotency-key": key})
    assert_fault(heard, 215392, "Invalid parameter [Idempotency-Key]")


@pytest.mark.parametrize("is_sized", [True, False])
async def test_a_body_over_the_limit_is_refused(face: ApiFace, is_sized: bool) -> None:
    chunk = b"x" * (4 * 1024 * 1024)
    heard = await ask(
        face.app, "POST", SEND_EMAIL, headers={"authorization": basic()}, body=[chunk] * 4, is_sized=is_sized
    )
    assert_fault(heard, 215392, "Invalid parameter [Body]")
    assert "12 MiB" in heard.json["Detail"]


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "\u00b2", ""])
async def test_a_length_that_is_none_is_as_if_it_had_not_been_said(face: ApiFace, length: str) -> None:
    heard = await face.send_email(headers={"content-length": length})
    assert heard.json["RetCode"] == 0


async def test_a_body_that_comes_in_pieces_is_put_together(face: ApiFace) -> None:
    body = msgspec.json.encode(GOOD)
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    headers = {"authorization": basic()}
    for is_sized in (True, False):
        heard = await ask(face.app, "POST", SEND_EMAIL, headers=headers, body=pieces, is_sized=is_sized)
        assert heard.json["RetCode"] == 0


async def test_a_slash_at_the_end_makes_no_difference(face: ApiFace) -> None:
    headers = {"authorization": basic()}
    heard = await ask(face.app, "POST", f"{SEND_EMAIL}/", headers=headers, body=msgspec.json.encode(GOOD))
    assert heard.json["RetCode"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1",
        "/api/v1/email/sendemail",
        "/api/v1/email/x%00",
        "/api/../x",
        "/api/v2/é",
        "/api/v1/email/EmailTemplate/a/b",
    ],
)
async def test_an_unknown_path_is_an_envelope_too(face: ApiFace, path: str) -> None:
    for method in ("GET", "POST"):
        assert_fault(await ask(face.app, method, path), 215392, "Invalid parameter [Action]", 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", SEND_EMAIL, "POST"),
        ("PUT", SEND_EMAIL, "POST"),
        ("DELETE", SEND_EMAIL, "POST"),
        ("OPTIONS", SEND_EMAIL, "POST"),
        ("POST", "/api/v1/email/SendStatus", "GET"),
        ("POST", "/api/v1/email/GetSenderList", "GET"),
        ("GET", "/api/v1/email/SendEmailTemplate", "POST"),
        ("DELETE", "/api/v1/email/EmailTemplate", "POST"),
        ("GET", "/api/v1/email/EmailTemplate/UET1", "DELETE"),
        ("GET", "/api", "POST"),
        ("PUT", "/api/", "POST"),
    ],
)
async def test_a_wrong_method_is_an_envelope_too(face: ApiFace, method: str, path: str, allowed: str) -> None:
    heard = await ask(face.app, method, path, headers={"authorization": basic()}, body=b"x")
    assert_fault(heard, 215392, "Invalid parameter [Action]", 405)
    assert heard.headers["allow"] == allowed
    assert face.engine.calls == []


NOON = datetime(2026, 3, 4, 12, 0, 0, 900_000, tzinfo=UTC)
VIEW = SessionView(
    session_id=SESSION_ID,
    accepted_at=NOON,
    recipients=(
        RecipientView(
            address="ana@client.test",
            status=RecipientStatus.DELIVERED,
            reason="accepted",
            reply="250 2.0.0 ok",
            attempt_count=1,
            updated_at=NOON,
            events=(
                EventView(
                    kind=EventKind.DELIVERED,
                    at=NOON,
                    reason="accepted",
                    reply="250 2.0.0 ok",
                    facts={"host": "mx.client.test", "tls": "TLSv1.3", "duration_s": 0.25, "event": "no", "is_x": True},
                ),
            ),
        ),
        RecipientView(address="ben@client.test", status=RecipientStatus.QUEUED, updated_at=NOON, next_attempt_at=NOON),
    ),
)


async def test_send_status_tells_the_life_of_each_recipient(face: ApiFace) -> None:
    face.reports.views[PROJECT_ID, SESSION_ID] = VIEW
    heard = await face.send_status(f"?SessionNo={str(SESSION_ID).upper()}")
    assert_envelope(heard)
    noon = int(NOON.timestamp())
    assert heard.json == {
        "RetCode": 0,
        "Message": "success",
        "RequestUuid": heard.headers["x-speedo-request-uuid"],
        "SessionNo": str(SESSION_ID),
        "Total": 2,
        "Data": [
            {
                "EmailAddress": "ana@client.test",
                "Status": "delivered",
                "Reason": "accepted",
                "Reply": "250 2.0.0 ok",
                "Attempts": 1,
                "NextAttemptTime": None,
                "UpdateTime": noon,
                "Events": [
                    {
                        "Event": "delivered",
                        "Time": noon,
                        "Reason": "accepted",
                        "Reply": "250 2.0.0 ok",
                        "Host": "mx.client.test",
                        "Tls": "TLSv1.3",
                        "DurationS": 0.25,
                        "IsX": True,
                    }
                ],
            },
            {
                "EmailAddress": "ben@client.test",
                "Status": "queued",
                "Reason": "",
                "Reply": "",
                "Attempts": 0,
                "NextAttemptTime": noon,
                "UpdateTime": noon,
                "Events": [],
            },
        ],
    }


@pytest.mark.parametrize(
    ("query", "ret_code", "message"),
    [
        ("", 215397, "Missing parameter [SessionNo]"),
        ("?", 215397, "Missing parameter [SessionNo]"),
        ("?sessionno=x", 215397, "Missing parameter [SessionNo]"),
        ("?SessionNo=", 215392, "Invalid parameter [SessionNo]"),
        ("?SessionNo=5", 215392, "Invalid parameter [SessionNo]"),
        (f"?SessionNo={{{SESSION_ID}}}", 215392, "Invalid parameter [SessionNo]"),
        (f"?SessionNo=urn:uuid:{SESSION_ID}", 215392, "Invalid parameter [SessionNo]"),
        (f"?SessionNo={SESSION_ID}%00", 215392, "Invalid parameter [SessionNo]"),
        (f"?SessionNo={SESSION_ID.hex}", 215392, "Invalid parameter [SessionNo]"),
        ("?SessionNo=" + "%ff" * 36, 215392, "Invalid parameter [SessionNo]"),
        ("?SessionNo=" + "1" * 60_000, 215392, "Invalid parameter [SessionNo]"),
        (f"?SessionNo={UUID(int=1)}", 215396, "NotFound parameter [SessionNo]"),
        ("?" + "&".join(f"a{n}=b" for n in range(5000)), 215397, "Missing parameter [SessionNo]"),
    ],
)
async def test_send_status_needs_a_session_of_the_project(
    face: ApiFace, query: str, ret_code: int, message: str
) -> None:
    face.reports.views[UUID(int=8), UUID(int=1)] = VIEW  # Another project's.
    assert_fault(await face.send_status(query), ret_code, message)


async def test_send_status_needs_a_key(face: ApiFace) -> None:
    face.reports.views[PROJECT_ID, SESSION_ID] = VIEW
    for headers in ({}, {"authorization": basic(secret="wrong")}):
        heard = await face.send_status(f"?SessionNo={SESSION_ID}", headers)
        assert_fault(heard, 215393, "Authentication failed")


async def test_a_key_without_the_scope_is_told_which(face: ApiFace) -> None:
    face.keys.terms[KEY_ID] = {"scopes": frozenset({KeyScope.READ})}
    for heard in (await face.send_email(), await face.act({**GOOD, "Action": "SendEmail"})):
        assert_fault(heard, 215393, "Authentication failed")
        assert "send" in heard.json["Detail"]
    assert (await face.rest("GET", "GetSenderList")).json["RetCode"] == 0
    face.keys.terms[KEY_ID] = {"scopes": frozenset({KeyScope.SEND})}
    for target in ("GetSenderList", f"SendStatus?SessionNo={SESSION_ID}"):
        assert_fault(await face.rest("GET", target), 215393, "Authentication failed")
    for method, target in (("POST", "EmailTemplate"), ("DELETE", "EmailTemplate/UET1")):
        assert_fault(await face.rest(method, target), 215393, "Authentication failed")
    assert face.engine.calls == []


async def test_a_key_over_its_limit_hears_when_to_come_back(face: ApiFace) -> None:
    face.keys.error = LimitReachedError("600 calls a minute.", retry_after_s=12.5)
    for heard in (await face.send_email(), await face.rest("GET", "GetSenderList"), await face.act({})):
        assert_fault(heard, 215400, "Limit reached", 429)
        assert heard.headers["retry-after"] == "13"
    assert face.engine.calls == []


async def test_every_call_is_counted_once(face: ApiFace) -> None:
    await face.send_email()
    await face.act({**GOOD, "Action": "SendEmail"})
    await face.rest("GET", "GetSenderList")
    assert face.keys.spent == [KEY_ID] * 3


async def test_the_domains_of_the_key_reach_the_engine(face: ApiFace) -> None:
    face.keys.terms[KEY_ID] = {"domains": frozenset({"shop.example"})}
    await face.send_email()
    await face.act({**FIT, "Action": "SendEmailTemplate"})
    assert face.engine.domains == [{"shop.example"}]
    assert face.examiner.calls[0][2] == {"shop.example"}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": basic()},
        {"authorization": f"Bearer {KEY_ID}.{KEY_SECRET}"},
        {"x-accesstoken": KEY_SECRET},
        {"x-access-key-id": KEY_ID, "x-signature": KEY_SECRET, "x-timestamp": "5", "x-nonce": "n"},
    ],
)
async def test_all_ways_to_authenticate_open_both_generations(face: ApiFace, headers: dict[str, str]) -> None:
    assert (await face.act({**GOOD, "Action": "SendEmail"}, headers=headers)).json["RetCode"] == 0
    assert (await face.rest("POST", "SendEmail", GOOD, headers)).json["RetCode"] == 0
    assert (await face.rest("GET", "GetSenderList", headers=headers)).json["RetCode"] == 0
    assert len(face.engine.calls) == 2


async def test_the_php_client_names_its_key_in_the_body(face: ApiFace) -> None:
    body = {**GOOD, "Action": "SendEmail", "PublicKey": KEY_ID, "Signature": KEY_SECRET}
    heard = await face.act(body, headers={"x-timestamp": "5", "x-nonce": "n"})
    assert heard.json["RetCode"] == 0
    assert face.keys.shown[-1].body == msgspec.json.encode(body)


@pytest.mark.parametrize(
    ("error", "ret_code", "message"),
    [
        (SignatureError("No."), 215394, "Signature check failed"),
        (TimestampError("Late."), 215395, "Timestamp expired"),
        (TokenUnreadableError("No."), 215398, "Token could not be parsed"),
        (TokenInvalidError("Over."), 215399, "Token invalid"),
    ],
)
async def test_what_is_wrong_with_signatures_and_tokens_has_its_code(
    face: ApiFace, error: Exception, ret_code: int, message: str
) -> None:
    face.keys.error = error
    assert_fault(await face.send_email(), ret_code, message)
    heard = await face.act({}, "?Action=SendEmail")
    assert_fault(heard, ret_code, message)
    assert heard.json["Action"] == "SendEmailResponse"
    assert face.engine.calls == []


@pytest.mark.parametrize("path", ["/api", "/api/"])
async def test_the_action_api_is_at_both_addresses(face: ApiFace, path: str) -> None:
    body = msgspec.json.encode({**GOOD, "Action": "SendEmail"})
    heard = await ask(
        face.app, "POST", path, headers={"authorization": basic(), "content-type": "text/plain"}, body=body
    )
    assert heard.status == 200
    assert heard.json == {
        "Action": "SendEmailResponse",
        "RetCode": 0,
        "Message": "",
        "SessionNo": str(SESSION_ID),
        "FailedTargetEmails": [],
        "RequestUuid": heard.headers["x-speedo-request-uuid"],
        "SuccessCount": 1,
        "FailContent": [],
    }


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"Action": "SendEmail"}, ""),
        ({"Action": "SendEmail"}, "?Action=SendEmail"),
        ({"Action": "SendEmail"}, "?Action=GetSenderList"),  # What was signed counts.
        ({"Action": None}, "?Action=SendEmail"),
        ({}, "?Action=SendEmail&Action=Other"),
    ],
)
async def test_the_action_is_in_the_body_or_else_in_the_query(face: ApiFace, body: dict[str, Any], query: str) -> None:
    heard = await face.act({**GOOD, **body}, query)
    assert (heard.json["Action"], heard.json["RetCode"]) == ("SendEmailResponse", 0)
    assert len(face.engine.calls) == 1


@pytest.mark.parametrize(
    ("body", "query", "ret_code", "message"),
    [
        (b"", "", 215397, "Missing parameter [Action]"),
        (b"{}", "?Action=", 215397, "Missing parameter [Action]"),
        (b'{"Action":""}', "", 215397, "Missing parameter [Action]"),
        (b'{"Action":5}', "?Action=SendEmail", 215392, "Invalid parameter [Action]"),
        (b'{"Action":"sendemail"}', "", 215392, "Invalid parameter [Action]"),
        (b'{"Action":"DropEverything"}', "?Action=SendEmail", 215392, "Invalid parameter [Action]"),
        (b'{"Action":"SendEmail"', "", 215392, "Invalid parameter [Body]"),
        (b"Action=SendEmail", "", 215392, "Invalid parameter [Body]"),
        (b"[]", "?Action=SendEmail", 215392, "Invalid parameter [Body]"),
        (b'{"Action":' + b"[" * 100_000, "", 215392, "Invalid parameter ["),
        (b'{"Action":"SendEmail","x":"\xff"}', "", 215397, "Missing parameter [SendEmail]"),
        (b"", "?Action=SendEmail", 215392, "Invalid parameter [Body]"),
    ],
)
async def test_an_action_that_is_none_is_told(
    face: ApiFace, body: bytes, query: str, ret_code: int, message: str
) -> None:
    heard = await face.act(body, query)
    assert heard.status == 200
    assert heard.json["RetCode"] == ret_code
    assert heard.json["Message"].startswith(message)
    assert_envelope(heard)
    assert face.engine.calls == []


async def test_an_error_of_an_action_names_it(face: ApiFace) -> None:
    heard = await face.act({**without("Subject"), "Action": "SendEmail"})
    assert_fault(heard, 215397, "Missing parameter [Subject]")
    assert heard.json["Action"] == "SendEmailResponse"
    assert "Action" not in (await face.send_email(without("Subject"))).json


async def test_partial_failure_has_the_same_lists_in_an_action(face: ApiFace) -> None:
    face.engine.answer = Accepted(session_id=SESSION_ID, recipient_count=1, rejected=(Rejected("b@c.test", "no"),))
    heard = await face.act({**GOOD, "Action": "SendEmail", "AccountId": 10001})
    assert (heard.json["RetCode"], heard.json["SuccessCount"]) == (0, 1)
    assert heard.json["FailContent"] == heard.json["FailedTargetEmails"]
    assert heard.json["FailContent"] == [{"EmailAddress": "b@c.test", "FailureReason": "no"}]


async def test_an_action_too_is_safe_to_repeat(face: ApiFace) -> None:
    await face.act({**GOOD, "Action": "SendEmail"}, headers={"authorization": basic(), "idempotency-key": "order-7"})
    assert face.engine.calls[0][2] == "order-7"


async def test_send_status_is_an_action_too(face: ApiFace) -> None:
    face.reports.views[PROJECT_ID, SESSION_ID] = VIEW
    heard = await face.act({"Action": "SendStatus", "SessionNo": str(SESSION_ID)})
    rest = (await face.send_status(f"?SessionNo={SESSION_ID}")).json
    assert heard.json == rest | {
        "Action": "SendStatusResponse",
        "Message": "",
        "RequestUuid": heard.headers["x-speedo-request-uuid"],
    }
    assert_fault(await face.act({"Action": "SendStatus"}), 215397, "Missing parameter [SessionNo]")
    for wrong in (5, None, [str(SESSION_ID)], {"a": 1}, True, "x"):
        heard = await face.act({"Action": "SendStatus", "SessionNo": wrong})
        assert_fault(heard, 215392, "Invalid parameter [SessionNo]")


SENDER = ListedSender(
    sender_id=UUID(int=3),
    address="billing@mail.acme.test",
    name="Acme Billing",
    domain="mail.acme.test",
    stream=Stream.MARKETING,
    is_default=True,
    may_send=True,
    created_at=NOON,
    updated_at=NOON,
)


async def test_senders_are_listed(face: ApiFace) -> None:
    face.senders.pages[PROJECT_ID] = SenderPage(21, [SENDER])
    heard = await face.rest("GET", "GetSenderList?Page=1&NumPerPage=20&OrderBy=create_time&OrderType=desc")
    assert_envelope(heard)
    assert heard.json == {
        "Action": "GetSenderListResponse",
        "RetCode": 0,
        "Message": "success",
        "RequestUuid": heard.headers["x-speedo-request-uuid"],
        "Total": 21,
        "Data": [
            {
                "SenderId": str(UUID(int=3)),
                "SenderType": 0,
                "Domain": "mail.acme.test",
                "TriggerType": 2,
                "Email": "billing@mail.acme.test",
                "Alias": "Acme Billing",
                "AccountId": PROJECT_ID.int,
                "IsDefault": 1,
                "Status": 1,
                "CreateTime": int(NOON.timestamp()),
                "UpdateTime": int(NOON.timestamp()),
            }
        ],
    }
    assert face.senders.queries == [SenderQuery(is_default_first=False, offset=20, count_max=20)]
    as_action = await face.act({"Action": "GetSenderList", "Page": 1, "OrderBy": "create_time"})
    assert as_action.json == heard.json | {"Message": "", "RequestUuid": as_action.json["RequestUuid"]}
    assert face.senders.queries[0] == face.senders.queries[1]


FIT: dict[str, Any] = {
    "SendEmail": "hello@mail.acme.test",
    "TemplateId": "UET26051109QX7K2M",
    "Subject": "Hi",
    "EmailContent": [
        {"EmailAddress": "ana@client.test", "TemplateVariableParams": ["name{##}Ana"]},
        {"EmailAddress": "nope", "TemplateVariableParams": []},
        {"EmailAddress": "ben@client.test"},
    ],
}


async def test_no_template_is_found_and_every_recipient_comes_back(face: ApiFace) -> None:
    face.examiner.rejected = [Rejected("nope", "invalid address: no @")]
    rest = await face.rest("POST", "SendEmailTemplate", FIT)
    acted = await face.act({**FIT, "Action": "SendEmailTemplate", "AccountId": 10001})
    for heard in (rest, acted):
        assert_fault(heard, 215396, "NotFound parameter [TemplateId]")
        assert "SessionNo" not in heard.json
        assert heard.json["SuccessCount"] == 0
        assert heard.json["FailContent"] == heard.json["FailedTargetEmails"]
        assert heard.json["FailContent"] == [
            {"EmailAddress": "ana@client.test", "FailureReason": "", "TemplateVariableParams": ["name{##}Ana"]},
            {"EmailAddress": "nope", "FailureReason": "invalid address: no @", "TemplateVariableParams": []},
            {"EmailAddress": "ben@client.test", "FailureReason": ""},
        ]
    assert acted.json["Action"] == "SendEmailTemplateResponse"
    assert "Action" not in rest.json
    project_id, submission, _ = face.examiner.calls[0]
    assert (project_id, submission.sender, submission.subject) == (PROJECT_ID, "hello@mail.acme.test", "Hi")
    assert face.engine.calls == []


async def test_all_else_is_checked_before_the_template_is_missed(face: ApiFace) -> None:
    face.examiner.error = NotFoundError("Unknown sender.", field="sender")
    assert_fault(await face.rest("POST", "SendEmailTemplate", FIT), 215396, "NotFound parameter [SendEmail]")
    face.examiner.error = CallerError("Too long.", field="subject")
    assert_fault(await face.rest("POST", "SendEmailTemplate", FIT), 215392, "Invalid parameter [Subject]")


async def test_templates_cannot_be_made_or_deleted_yet(face: ApiFace) -> None:
    made = {"Name": "Welcome", "Subject": "Hi", "TriggerType": 1, "HtmlContent": "<p>Hi {name}</p>"}
    for heard in (
        await face.rest("POST", "EmailTemplate", made),
        await face.act({**made, "Action": "CreateEmailTemplate"}),
    ):
        assert_fault(heard, 215392, "Invalid parameter [Action]")
        assert "SendEmail" in heard.json["Detail"]
    for heard in (
        await face.rest("DELETE", "EmailTemplate/UET26051109QX7K2M"),
        await face.act({"Action": "DeleteEmailTemplate", "TemplateId": "UET26051109QX7K2M"}),
    ):
        assert_fault(heard, 215396, "NotFound parameter [TemplateId]")
    assert_fault(await face.act({"Action": "DeleteEmailTemplate"}), 215397, "Missing parameter [TemplateId]")
    assert_fault(await face.rest("DELETE", "EmailTemplate/UET1", headers={}), 215393, "Authentication failed")


@pytest.mark.parametrize("host", ["a b", "a/b", "\xff"])
async def test_a_request_that_is_no_http_has_the_envelope_too(face: ApiFace, host: str) -> None:
    for path in ("/api", SEND_EMAIL):
        heard = await ask(face.app, "POST", path, headers={"host": host, "authorization": basic()}, body=b"{}")
        assert_fault(heard, 215392, "Invalid parameter [Header]", 400)
    elsewhere = await ask(face.app, "GET", "/healthz", headers={"host": host})
    assert (elsewhere.status, "RetCode" in elsewhere.json) == (400, False)
