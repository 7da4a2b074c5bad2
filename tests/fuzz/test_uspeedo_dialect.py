"""10,000 requests of every kind of wrong: each is answered, with a RetCode, and none by a fault of ours.

Whoever finds a failure has the number of the request, which makes it again.
"""

import asyncio
import json
import random
from typing import Any, Final

import pytest

from outrider.testing.web import Heard, ask
from tests.unit.faces.conftest import GOOD, KEY_ID, KEY_SECRET, ApiFace, basic

pytestmark = pytest.mark.slow

REQUESTS_COUNT: Final = 10_000
ANSWER_WAIT_S: Final = 10.0  # Ours: for one request, on a busy machine.
RET_CODES: Final = frozenset({0, 215392, 215393, 215394, 215395, 215396, 215397, 215398, 215399})
METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "PROPFIND", "\u00c9")
ACTIONS: Final = (
    "SendEmail",
    "SendEmailTemplate",
    "SendStatus",
    "GetSenderList",
    "CreateEmailTemplate",
    "QueryEmailTemplate",
    "GetEmailTemplate",
    "UpdateEmailTemplate",
    "DeleteEmailTemplate",
    "sendemail",
    "",
    "\x00",
)
PATHS: Final = (
    *["/api", "/api/"] * 5,
    *[f"/api/v1/email/{action}" for action in ACTIONS] * 2,
    "/api/v1/email/EmailTemplate",
    "/api/v1/email/EmailTemplate/UET1",
    "/api/v1/email/EmailTemplate/\xff%00",
    "/api//v1/email/SendEmail",
    "/api/v2",
)
TARGET: Final = {"EmailAddress": "a@x.example", "TemplateVariableParams": ["n{##}v"]}
TEMPLATE: Final = {"Name": "Hi", "TriggerType": 1, "Editor": 2, "HtmlContent": "<p>{name}</p>", "JsonContent": "{}"}
WHOLE: Final[dict[str, Any]] = {
    **GOOD,
    "TemplateId": "UET1",
    "EmailContent": [TARGET],
    "SessionNo": "x",
    "Page": 0,
    **TEMPLATE,
}
NAMES: Final = (
    *WHOLE,
    "SenderEmail",
    "Action",
    "AccountId",
    "Abstract",
    "MaterialMD5",
    "VariableAttr",
    "InTask",
    "Status",
    "NumPerPage",
    "SenderType",
    "OrderBy",
    "OrderType",
    "Email",
    "Domain",
    "FuzzySearch",
    "PublicKey",
    "Signature",
    "\x00",
)
WORDS: Final = (
    "",
    " ",
    "x",
    "\x00",
    "\r\nBcc: x@y.example",
    "a@x.example",
    "é" * 300,
    "0",
    "-1",
    "9" * 400,
    "desc",
    "{##}",
)


class Chance:
    """Makes requests; the same for the same seed."""

    def __init__(self, seed: int, key_id: str = KEY_ID, secret: str = KEY_SECRET) -> None:
        self._key_id, self._secret = key_id, secret
        self._random: Final = random.Random(seed)
        self._one: Final = self._random.choice

    def value(self, depth: int = 0) -> Any:
        """Return anything that JSON can say."""
        kind = self._random.randrange(9 if depth < 3 else 7)
        match kind:
            case 0:
                return None
            case 1:
                return self._one((True, False))
            case 2:
                return self._one((0, 1, -1, 2**31, 2**63, 2**64, 10**400, 200, 201))
            case 3:
                return self._one((0.5, -0.0, 1e308, float("nan"), float("inf")))
            case 4 | 5 | 6:
                return self._one(WORDS)
            case 7:
                return [self.value(depth + 1) for _ in range(self._random.randrange(4))]
            case _:
                return {self._one(NAMES): self.value(depth + 1) for _ in range(self._random.randrange(4))}

    def body(self) -> bytes:
        """Return anything, most of it nearly a good call."""
        fields = {name: value for name, value in WHOLE.items() if self._random.random() < 0.97}
        if self._random.random() < 0.8:
            fields["Action"] = self._one(ACTIONS)
        for _ in range(self._one((0, 0, 0, 1, 2))):
            fields[self._one(NAMES)] = self.value()
        octets = json.dumps(fields, ensure_ascii=self._random.random() < 0.5).encode()
        match self._random.randrange(12):
            case 0:
                return self._random.randbytes(self._random.randrange(200))
            case 1:
                return json.dumps(self.value()).encode()
            case 2:
                return octets[: self._random.randrange(len(octets))]
            case 3:
                at = self._random.randrange(len(octets))
                return octets[:at] + self._random.randbytes(4) + octets[at + self._random.randrange(5) :]
            case 4:
                return self._one(
                    (b"", b"[" * 5000, b'{"a":' * 5000, b'{"Action":"SendEmail"}' * 2, b"Action=SendEmail")
                )
            case _:
                return octets

    def text(self) -> str:
        """Return what a header can hold, however odd."""
        return self._random.randbytes(self._random.randrange(60)).decode("latin-1").replace("\r", "").replace("\n", "")

    def headers(self) -> dict[str, str]:
        """Return headers; those of three in four requests open the door."""
        good = (
            {"authorization": basic(self._key_id, self._secret)},
            {"authorization": f"Bearer {self._key_id}.{self._secret}"},
            {"x-accesstoken": self._secret},
            {"x-access-key-id": self._key_id, "x-signature": self._secret, "x-timestamp": "1", "x-nonce": "n"},
        )
        headers = dict(self._one(good)) if self._random.random() < 0.75 else {}
        for name in ("authorization", "x-accesstoken", "x-access-key-id", "x-signature", "x-timestamp", "x-nonce"):
            if self._random.random() < 0.02:
                headers[name] = self._one((self.text(), "Basic", "Bearer a.b.c", "Bearer .", "Basic " + self.text()))
        for name in ("content-type", "content-length", "idempotency-key", "x-forwarded-for", "expect", "host"):
            if self._random.random() < 0.03:
                headers[name] = self._one((self.text(), "0", "5", "-1", "9" * 30, "application/xml", "100-continue"))
        return headers

    def target(self) -> str:
        """Return a path, of ours or nearly, and a query."""
        path = self._one(PATHS)
        words = (*WORDS, *ACTIONS, self.text())
        pairs = [f"{self._one(NAMES)}={self._one(words)}" for _ in range(self._random.randrange(4))]
        if self._random.random() < 0.3:
            pairs.append(f"Action={self._one(ACTIONS)}")
        return f"{path}?{'&'.join(pairs)}" if pairs else path

    def method(self) -> str:
        """Return a method, most often one that does something."""
        return self._one(("POST", "POST", "POST", "GET")) if self._random.random() < 0.8 else self._one(METHODS)

    async def ask(self, face: ApiFace) -> Heard:
        """Make one request."""
        method = self.method()
        body, headers = self.body(), self.headers()
        cut = self._random.randrange(len(body) + 1)
        pieces = body if self._random.random() < 0.8 else [body[:cut], body[cut:]]
        is_sized = self._random.random() < 0.8
        return await ask(face.app, method, self.target(), headers=headers, body=pieces, is_sized=is_sized)


async def test_whatever_is_asked_is_answered_with_a_ret_code() -> None:
    face = ApiFace()
    seen: dict[int, int] = {}
    for number in range(REQUESTS_COUNT):
        async with asyncio.timeout(ANSWER_WAIT_S):
            heard = await Chance(number).ask(face)
        answer = heard.json
        assert heard.status in (200, 400, 404, 405), f"request {number}: {heard}"
        assert type(answer["RetCode"]) is int, f"request {number}: {heard}"
        assert answer["RetCode"] in RET_CODES, f"request {number}: {heard}"
        assert heard.headers["x-speedo-request-uuid"] == answer["RequestUuid"], f"request {number}"
        assert (answer["RetCode"] == 0) != bool(answer.get("Detail")), f"request {number}: {heard}"
        seen[answer["RetCode"]] = seen.get(answer["RetCode"], 0) + 1
    assert face.log.getvalue() == ""  # No bug, and nothing that an operator should hear of.
    # The requests reach all there is: mail was taken, keys refused, fields missed, wrong and not found.
    assert {0, 215392, 215393, 215396, 215397} <= set(seen), seen
    assert len(face.engine.calls) > 200
    assert len(face.senders.queries) > 50
    assert len(face.examiner.calls) > 50
