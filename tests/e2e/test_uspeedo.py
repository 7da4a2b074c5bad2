"""uSpeedo's dialect in the real program: their own client with a key from the command line, and nonsense at length."""

import asyncio
import json
import time
import urllib.parse
from typing import Any, Final

import pytest
from uspeedo.client import Client  # type: ignore[import-untyped]
from uspeedo.core.auth import Credential  # type: ignore[import-untyped]
from uspeedo.core.exc import RetCodeException  # type: ignore[import-untyped]

from outrider.testing.program import HOST, Key, Program
from tests.fuzz.test_uspeedo_dialect import Chance

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

REQUESTS_COUNT: Final = 2_000
ANSWER_WAIT_S: Final = 20.0  # Ours: for one request, on a busy machine.
MAIL: dict[str, Any] = {
    "SendEmail": "noreply@shop.example",
    "TargetEmailAddress": ["sdk@partner.example", "nope"],
    "Subject": "Grüße vom SDK",
    "Content": "<p>Hello.</p>",
}
TEMPLATE: dict[str, Any] = {
    "TemplateId": "UET1",
    "SendEmail": "noreply@shop.example",
    "EmailContent": [{"EmailAddress": "sdk@partner.example", "TemplateVariableParams": ["name{##}Ana"]}],
}


def key_of(program: Program) -> Key:
    assert program.key is not None
    return program.key


async def invoke(program: Program, action: str, body: dict[str, Any], **config: Any) -> Any:
    """Call through uSpeedo's client, as it comes from PyPI."""
    key = key_of(program)
    given = {"public_key": key.access_key_id, "private_key": key.access_key_secret, "base_url": f"{program.url}/api"}
    return await asyncio.to_thread(Client(given | config).email().invoke, action, dict(body))


async def test_their_client_sends_and_follows_its_mail(caught: Program) -> None:
    answer = await invoke(caught, "SendEmail", MAIL)
    assert (answer["RetCode"], answer["SuccessCount"]) == (0, 1)
    assert [row["EmailAddress"] for row in answer["FailContent"]] == ["nope"]
    settled = await caught.settled(answer["SessionNo"])
    assert [row["Status"] for row in settled["Data"]] == ["delivered"]
    status = await invoke(caught, "SendStatus", {"SessionNo": answer["SessionNo"]})
    assert (status["Action"], status["Data"]) == ("SendStatusResponse", settled["Data"])


async def test_their_client_lists_senders(caught: Program) -> None:
    answer = await invoke(caught, "GetSenderList", {"Email": "NoReply@shop.example"})
    (row,) = answer["Data"]
    assert (answer["Total"], row["Email"], row["Status"]) == (1, "noreply@shop.example", 1)
    assert (await invoke(caught, "GetSenderList", {"FuzzySearch": "%"}))["Total"] == 0


async def test_their_client_hears_what_is_wrong(caught: Program) -> None:
    for action, changes, config, code, message in (
        ("SendEmailTemplate", {}, {}, 215396, "NotFound parameter [TemplateId]"),
        ("SendEmailTemplate", {"SendEmail": "x@else.example"}, {}, 215396, "NotFound parameter [SendEmail]"),
        ("SendEmailTemplate", {"EmailContent": []}, {}, 215392, "Invalid parameter [EmailContent]"),
        ("SendEmailTemplate", {}, {"private_key": "wrong"}, 215394, "Signature check failed"),
        ("Nothing", {}, {}, 215392, "Invalid parameter [Action]"),
    ):
        with pytest.raises(RetCodeException) as error:
            await invoke(caught, action, TEMPLATE | changes, **config)
        assert (error.value.code, error.value.message) == (code, message)
        assert error.value.request_uuid


async def test_a_signed_call_counts_once_and_soon(caught: Program) -> None:
    key = key_of(caught)
    body = MAIL | {"Action": "SendEmail", "TargetEmailAddress": ["once@partner.example"]}
    headers = {
        "X-Access-Key-Id": key.access_key_id,
        "X-Signature": Credential(key.access_key_id, key.access_key_secret).verify_ac(body),
        "X-Timestamp": str(int(time.time())),
        "X-Nonce": "0123456789",
    }
    codes = [(await raw(caught, "POST", "/api", headers, json.dumps(body).encode()))["RetCode"] for _ in range(2)]
    assert codes[0] == 0
    assert codes[1] == 215394
    late = headers | {"X-Timestamp": "1700000000", "X-Nonce": "another"}
    assert (await raw(caught, "POST", "/api", late, json.dumps(body).encode()))["RetCode"] == 215395


async def raw(program: Program, method: str, target: str, headers: dict[str, str], body: bytes) -> Any:
    """Make one request on a connection of its own and return the JSON of its answer, which has its headers right."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    octets = f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{head}".encode("latin-1")
    async with asyncio.timeout(ANSWER_WAIT_S):
        reader, writer = await asyncio.open_connection(HOST, program.ports["HTTP"])
        writer.write(octets + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answered = await reader.read()
        writer.close()
    status, _, rest = answered.partition(b"\r\n")
    assert status.split(b" ")[1] in (b"200", b"404", b"405"), answered
    answer = json.loads(rest.partition(b"\r\n\r\n")[2])
    assert answer["RequestUuid"].encode() in rest.partition(b"\r\n\r\n")[0]
    return answer


async def test_nonsense_is_answered_with_a_ret_code_and_the_program_goes_on(caught: Program) -> None:
    key = key_of(caught)
    seen: set[int] = set()
    for number in range(REQUESTS_COUNT):
        chance = Chance(number, key.access_key_id, key.access_key_secret)
        method = "POST" if number % 4 else "GET"
        headers = {
            name: value
            for name, value in chance.headers().items()
            if name not in ("content-length", "expect", "host") and value.isascii() and value.isprintable()
        }
        target = urllib.parse.quote(chance.target(), safe="/?&=")
        answer = await raw(caught, method, target, headers, chance.body())
        assert answer["RetCode"] != 215400, f"request {number}: {answer}"
        seen.add(answer["RetCode"])
    assert {0, 215392, 215393, 215395, 215397, 215398} <= seen
    assert (await caught.request("GET", "/readyz")).status == 200
