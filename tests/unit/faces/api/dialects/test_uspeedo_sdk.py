"""uSpeedo's own Python client, unmodified, over a real socket: we understand what it signs, it understands our answers.

The whole program with real keys is in tests/e2e/test_uspeedo.py.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uspeedo.client import Client  # type: ignore[import-untyped]
from uspeedo.core import auth  # type: ignore[import-untyped]
from uspeedo.core.exc import (  # type: ignore[import-untyped]
    HTTPStatusException,
    RetCodeException,
    ValidationException,
)

from outrider.base.errors import BusyError, LimitReachedError, SignatureError, UnauthenticatedError
from outrider.engine.submission import Accepted, Rejected
from outrider.faces.api.app import make_app
from outrider.services.access import Caller, Credentials
from outrider.testing.engine import SESSION_ID
from outrider.testing.web import HOST, serving
from outrider.wire import body_signature
from tests.docs.pages import ROOT
from tests.unit.faces.conftest import PROJECT_ID, ApiFace

pytestmark = pytest.mark.slow

KEY, SECRET = "AK", "SK"
# The snippet of shared/uspeedo.md 2, what it signs and with which result.
SNIPPET: dict[str, Any] = {
    "TemplateId": "UET1",
    "SendEmail": "n@mail.example.test",
    "Subject": "Hi",
    "EmailContent": [{"EmailAddress": "a@example.test", "TemplateVariableParams": ["name{##}Ana", "code{##}42"]}],
}
SNIPPET_SIGNED = (
    "ActionSendEmailTemplateEmailContentEmailAddressa@example.testTemplateVariableParamsname{##}Anacode{##}42"
    "SendEmailn@mail.example.testSubjectHiTemplateIdUET1SK"
)
SNIPPET_SIGNATURE = "ed2c26369467ab4acfbb6002fa02bf9f0da96cfd"
MAIL = {
    "SendEmail": "n@mail.example.test",
    "TargetEmailAddress": ["a@example.test"],
    "Subject": "Grüße {1}",
    "Content": "<p>42</p>",
}


class Signers:
    """An `Authenticate` that knows one key, by its signature alone."""

    def __init__(self) -> None:
        self.shown: list[Credentials] = []

    async def __call__(self, credentials: Credentials) -> Caller:
        self.shown.append(credentials)
        if credentials.access_key_id != KEY:
            raise UnauthenticatedError("There is no such key.")
        if body_signature.sign(body_signature.read(credentials.body), SECRET) != credentials.signature:
            raise SignatureError("It is not signed by that key.")
        return Caller(project_id=PROJECT_ID, access_key_id=KEY)


class Desk:
    """The face on a socket, and their client."""

    def __init__(self, face: ApiFace, signers: Signers, port: int) -> None:
        self.face, self.signers, self._port = face, signers, port

    def client(self, **config: Any) -> Any:
        base_url = f"http://{HOST}:{self._port}/api"
        return Client({"public_key": KEY, "private_key": SECRET, "base_url": base_url} | config).email()

    async def send_template(self, **config: Any) -> Any:
        return await asyncio.to_thread(self.client(**config).send_email_template, dict(SNIPPET))

    async def invoke(self, action: str, body: dict[str, Any], **config: Any) -> Any:
        return await asyncio.to_thread(self.client(**config).invoke, action, body)


@pytest.fixture
async def desk(face: ApiFace) -> AsyncIterator[Desk]:
    signers = Signers()
    async with serving(make_app(face.ports(authenticate=signers))) as port:
        yield Desk(face, signers, port)


async def test_the_check_vector_of_the_contract_holds(desk: Desk) -> None:
    assert hashlib.sha1(SNIPPET_SIGNED.encode(), usedforsecurity=False).hexdigest() == SNIPPET_SIGNATURE
    assert auth.Credential(KEY, SECRET).verify_ac(SNIPPET | {"Action": "SendEmailTemplate"}) == SNIPPET_SIGNATURE
    with pytest.raises(RetCodeException):
        await desk.send_template()
    (shown,) = desk.signers.shown
    assert shown.signature == SNIPPET_SIGNATURE
    assert (shown.access_key_id, len(shown.nonce), shown.timestamp.isdecimal()) == (KEY, 10, True)


async def test_a_missing_template_is_their_exception(desk: Desk) -> None:
    with pytest.raises(RetCodeException) as caught:
        await desk.send_template()
    error = caught.value
    assert (error.action, error.code) == ("SendEmailTemplate", 215396)
    assert error.message == "NotFound parameter [TemplateId]"
    assert len(error.request_uuid) == 36
    assert desk.face.engine.calls == []


async def test_what_the_client_refuses_itself_is_never_sent(desk: Desk) -> None:
    with pytest.raises(ValidationException):
        await asyncio.to_thread(desk.client().send_email_template, {"TemplateId": "UET1"})
    assert desk.signers.shown == []


async def test_mail_is_handed_in_by_its_own_way_of_calling(desk: Desk) -> None:
    answer = await desk.invoke("SendEmail", dict(MAIL))
    assert (answer["Action"], answer["RetCode"], answer["Message"]) == ("SendEmailResponse", 0, "")
    assert (answer["SessionNo"], answer["SuccessCount"], answer["FailContent"]) == (str(SESSION_ID), 1, [])
    (submission,) = desk.face.engine.submissions
    assert (submission.subject, submission.html) == (MAIL["Subject"], MAIL["Content"])


async def test_failed_recipients_are_their_list(desk: Desk) -> None:
    from uspeedo.services.email.apis.SendEmailTemplateRes import SendEmailTemplateRes  # type: ignore[import-untyped]

    desk.face.engine.answer = Accepted(
        session_id=SESSION_ID, recipient_count=1, rejected=(Rejected("b@example.test", "recipient suppressed"),)
    )
    answer = SendEmailTemplateRes().loads(await desk.invoke("SendEmail", dict(MAIL)))
    assert answer["SessionNo"] == str(SESSION_ID)
    assert answer["SuccessCount"] == 1
    (failed,) = answer["FailContent"]
    assert (failed["EmailAddress"], failed["FailureReason"]) == ("b@example.test", "recipient suppressed")


async def test_senders_and_statuses_are_actions_too(desk: Desk) -> None:
    answer = await desk.invoke("GetSenderList", {"Page": 0, "NumPerPage": 5})
    assert (answer["Total"], answer["Data"]) == (0, [])
    assert desk.face.senders.queries[0].count_max == 5
    with pytest.raises(RetCodeException) as caught:
        await desk.invoke("SendStatus", {"SessionNo": str(SESSION_ID)})
    assert (caught.value.code, caught.value.message) == (215396, "NotFound parameter [SessionNo]")


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        ({"private_key": "other"}, 215394, "Signature check failed"),
        ({"public_key": "other"}, 215393, "Authentication failed"),
    ],
)
async def test_a_wrong_key_is_their_exception(desk: Desk, config: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(RetCodeException) as caught:
        await desk.send_template(**config)
    assert (caught.value.code, caught.value.message) == (code, message)


async def test_a_refusal_is_repeated_as_the_client_does_and_nothing_is_sent(desk: Desk) -> None:
    with pytest.raises(RetCodeException):
        await desk.send_template(max_retries=2)
    assert len(desk.signers.shown) == 3
    assert len({shown.nonce for shown in desk.signers.shown}) == 3
    assert desk.face.engine.calls == []


@pytest.mark.parametrize(
    ("error", "status"), [(LimitReachedError("Enough.", retry_after_s=9), 429), (BusyError("Full."), 503)]
)
async def test_only_what_is_worth_repeating_is_a_status(desk: Desk, error: Exception, status: int) -> None:
    desk.face.engine.error = error
    with pytest.raises(HTTPStatusException) as caught:
        await desk.invoke("SendEmail", dict(MAIL))
    assert (caught.value.status_code, caught.value.retryable) == (status, True)
    assert len(caught.value.request_uuid) == 36


async def test_the_snippet_of_the_page_works(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/howto/uspeedo.md").read_text("utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    base_url = desk.client().config.base_url
    for shown, real in (("ACCESSKEY_ID", KEY), ("ACCESSKEY_SECRET", SECRET), ("http://127.0.0.1:8025/api", base_url)):
        assert shown in snippet
        snippet = snippet.replace(shown, real)
    await asyncio.to_thread(exec, compile(snippet, "uspeedo.md", "exec"), {})
    assert f"{SESSION_ID} []" in capsys.readouterr().out
    assert desk.face.engine.submissions[0].html == "<p>Your invoice is ready.</p>"


async def test_both_base_addresses_work_without_a_redirect(desk: Desk) -> None:
    base_url = desk.client().config.base_url + "/"
    assert (await desk.invoke("SendEmail", dict(MAIL), base_url=base_url))["RetCode"] == 0
