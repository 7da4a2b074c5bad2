"""The uSpeedo dialect from outside: bytes in, envelope out. Every answer has a RetCode, a Message and a RequestUuid."""

import asyncio
from typing import Any

import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import (
    BusyError,
    CallerError,
    ConflictError,
    LimitReachedError,
    NotFoundError,
    StoreCorruptError,
    StoreUnavailableError,
)
from outrider.engine.submission import Accepted, Rejected
from outrider.faces.api.app import make_app
from outrider.services.access import Credentials
from outrider.testing.engine import SESSION_ID
from outrider.testing.web import ask
from tests.unit.faces.conftest import (
    GOOD,
    KEY_ID,
    KEY_SECRET,
    PROJECT_ID,
    ApiFace,
    assert_envelope,
    assert_fault,
    basic,
)

SEND_EMAIL = "/api/v1/email/SendEmail"


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


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
        ("DELETE", "/api/v1/email/EmailTemplate", "POST, GET"),
        ("POST", "/api/v1/email/EmailTemplate/UET1", "GET, PUT, DELETE"),
        ("GET", "/api", "POST"),
        ("PUT", "/api/", "POST"),
    ],
)
async def test_a_wrong_method_is_an_envelope_too(face: ApiFace, method: str, path: str, allowed: str) -> None:
    heard = await ask(face.app, method, path, headers={"authorization": basic()}, body=b"x")
    assert_fault(heard, 215392, "Invalid parameter [Action]", 405)
    assert heard.headers["allow"] == allowed
    assert face.engine.calls == []


class HeldEngine:
    """An `Accept` and an `Authenticate` that hold who is inside until they may go."""

    def __init__(self, face: ApiFace) -> None:
        self.face = face
        self.inside, self.may_go = asyncio.Semaphore(0), asyncio.Event()
        self.now = self.most = 0

    async def accept(self, *given: Any, **more: Any) -> Any:
        await self._hold()
        return await self.face.engine(*given, **more)

    async def authenticate(self, shown: Credentials) -> Any:
        if shown.body:
            await self._hold()
        return await self.face.keys(shown)

    async def _hold(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.inside.release()
        await self.may_go.wait()
        self.now -= 1


@pytest.mark.parametrize("path", [SEND_EMAIL, "/api"])
@pytest.mark.parametrize("is_signed", [False, True])
async def test_few_large_bodies_are_in_memory_at_once_and_strangers_keep_nobody_waiting(
    face: ApiFace, path: str, is_signed: bool
) -> None:
    held = HeldEngine(face)
    app = make_app(face.ports(**({"authenticate": held.authenticate} if is_signed else {"accept": held.accept})))
    large = msgspec.json.encode(
        GOOD | {"Action": "SendEmail", "Content": "x" * limits.REQUEST_SMALL_BYTES_MAX, "PublicKey": KEY_ID}
    )
    signed = {"x-access-key-id": KEY_ID, "x-signature": KEY_SECRET, "x-timestamp": "5", "x-nonce": "n"}
    pair = {"authorization": basic()}

    async def call(body: bytes, headers: dict[str, str]) -> Any:
        return (await ask(app, "POST", path, headers=headers, body=body)).json["RetCode"]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        calls = [
            group.create_task(call(large, signed if is_signed else pair))
            for _ in range(limits.REQUESTS_LARGE_COUNT_MAX + 2)
        ]
        for _ in range(limits.REQUESTS_LARGE_COUNT_MAX):
            await held.inside.acquire()
        if is_signed:  # Those who are not known yet have places of their own.
            assert await call(large, pair) == 0
        assert not any(one.done() for one in calls)
        held.may_go.set()
    assert [await one for one in calls] == [0] * len(calls)
    assert (held.now, held.most) == (0, limits.REQUESTS_LARGE_COUNT_MAX)
