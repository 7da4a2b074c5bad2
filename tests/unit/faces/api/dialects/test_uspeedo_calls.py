"""Beside SendEmail: who may call, the Action API, SendStatus, GetSenderList, and templates, which are not there."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import (
    CallerError,
    LimitReachedError,
    NotFoundError,
    SignatureError,
    TimestampError,
    TokenInvalidError,
    TokenUnreadableError,
)
from outrider.base.vocab import EventKind, KeyScope, RecipientStatus, Stream
from outrider.engine.submission import Accepted, Personal, Rejected
from outrider.services.access import Allowance
from outrider.services.reports import EventView, RecipientView, SessionView
from outrider.services.roster import ListedSender, SenderPage, SenderQuery
from outrider.testing.engine import SESSION_ID
from outrider.testing.templates import templated
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
    face.keys.terms[KEY_ID] = {"rate_per_minute": 600}
    face.keys.error = LimitReachedError("600 calls a minute.", retry_after_s=12.5)
    for heard in (await face.send_email(), await face.rest("GET", "GetSenderList"), await face.act({})):
        assert_fault(heard, 215400, "Limit reached", 429)
        assert heard.headers["retry-after"] == "13"
        assert (heard.headers["ratelimit-policy"], heard.headers["ratelimit"]) == ('"key";q=600;w=60', '"key";r=0;t=13')
    assert face.engine.calls == []


async def test_what_is_left_of_a_rate_is_told_with_every_answer(face: ApiFace) -> None:
    assert not [name for name in (await face.send_email()).headers if name.startswith("ratelimit")]
    face.keys.allowance = Allowance(600, 599, 41.2)
    bad = await face.send_email({})
    for heard in (bad, await face.send_email(), await face.rest("GET", "GetSenderList"), await face.act({})):
        assert heard.headers["ratelimit-policy"] == '"key";q=600;w=60'
        assert heard.headers["ratelimit"] == '"key";r=599;t=42'


async def test_every_call_is_counted_once(face: ApiFace) -> None:
    await face.send_email()
    await face.act({**GOOD, "Action": "SendEmail"})
    await face.rest("GET", "GetSenderList")
    assert face.keys.spent == [KEY_ID] * 3


async def test_the_domains_of_the_key_reach_the_engine(face: ApiFace) -> None:
    face.keys.terms[KEY_ID] = {"domains": frozenset({"shop.example"})}
    face.senders.pages[PROJECT_ID] = SenderPage(1, [SENDER])
    assert [row["Status"] for row in (await face.rest("GET", "GetSenderList")).json["Data"]] == [0]
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


async def test_a_signed_call_that_cannot_count_is_not_read(face: ApiFace) -> None:
    face.keys.screen_error = TimestampError("Late.")
    body = {**GOOD, "Action": "SendEmail", "PublicKey": KEY_ID, "Signature": KEY_SECRET}
    for headers in ({"x-access-key-id": KEY_ID, "x-signature": KEY_SECRET, "x-timestamp": "5"}, {"x-timestamp": "5"}):
        assert_fault(await face.act(body, headers=headers), 215395, "Timestamp expired")
        assert_fault(await face.rest("POST", "SendEmail", GOOD, headers), 215395, "Timestamp expired")
    assert face.keys.shown == []
    assert (await face.send_email()).json["RetCode"] == 0, "a pair needs no such thing"


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


async def test_a_template_is_sent_and_who_fails_comes_back_as_it_came(face: ApiFace) -> None:
    face.published.known[PROJECT_ID, "UET26051109QX7K2M"] = templated()
    face.engine.answer = Accepted(SESSION_ID, 2, (Rejected("nope", "invalid address: no @"),))
    rest = await face.rest("POST", "SendEmailTemplate", FIT)
    acted = await face.act({**FIT, "Action": "SendEmailTemplate", "AccountId": 10001})
    for heard in (rest, acted):
        assert (heard.json["RetCode"], heard.json["SessionNo"], heard.json["SuccessCount"]) == (0, str(SESSION_ID), 2)
        assert heard.json["FailContent"] == heard.json["FailedTargetEmails"]
        assert heard.json["FailContent"] == [
            {"EmailAddress": "nope", "FailureReason": "invalid address: no @", "TemplateVariableParams": []}
        ]
    assert (rest.json["Message"], acted.json["Message"]) == ("success", "")
    made = face.engine.submissions[0]
    assert made.templated == templated()
    assert made.personal == (Personal({"name": "Ana"}), Personal(), Personal())


async def test_nobody_who_can_be_sent_to_is_said_for_each(face: ApiFace) -> None:
    face.published.known[PROJECT_ID, "UET26051109QX7K2M"] = templated()
    face.engine.answer = Accepted(None, 0, (Rejected("ana@client.test", "subject: no value for name."),))
    heard = await face.rest("POST", "SendEmailTemplate", FIT)
    assert_fault(heard, 215392, "Invalid parameter [EmailContent]")
    assert heard.json["FailContent"] == [
        {
            "EmailAddress": "ana@client.test",
            "FailureReason": "subject: no value for name.",
            "TemplateVariableParams": ["name{##}Ana"],
        }
    ]


async def test_a_template_that_may_not_be_sent_says_why(face: ApiFace) -> None:
    face.published.known[PROJECT_ID, "UET26051109QX7K2M"] = CallerError("It waits for approval.", field="template")
    heard = await face.rest("POST", "SendEmailTemplate", FIT)
    assert_fault(heard, 215392, "Invalid parameter [TemplateId]")
    assert heard.json["Detail"] == "It waits for approval."
    assert [one["FailureReason"] for one in heard.json["FailContent"]] == ["", "", ""]


async def test_a_repeat_is_answered_though_its_template_is_gone(face: ApiFace) -> None:
    face.engine.first = Accepted(SESSION_ID, 3)
    headers = {"authorization": basic(), "idempotency-key": "once"}
    heard = await face.rest("POST", "SendEmailTemplate", FIT, headers=headers)
    assert heard.json["SessionNo"] == str(SESSION_ID)
    assert face.engine.calls == []


@pytest.mark.parametrize("host", ["a b", "a/b", "\xff"])
async def test_a_request_that_is_no_http_has_the_envelope_too(face: ApiFace, host: str) -> None:
    for path in ("/api", SEND_EMAIL):
        heard = await ask(face.app, "POST", path, headers={"host": host, "authorization": basic()}, body=b"{}")
        assert_fault(heard, 215392, "Invalid parameter [Header]", 400)
    elsewhere = await ask(face.app, "GET", "/healthz", headers={"host": host})
    assert (elsewhere.status, "RetCode" in elsewhere.json) == (400, False)
