"""What the API makes of bad calls, over real HTTP: the RetCode and Message of uSpeedo, nothing stored, nothing sent."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from outrider.testing.program import Key, Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

PATH = "/api/v1/email/SendEmail"
GOOD: Mapping[str, Any] = {
    "SendEmail": "noreply@shop.example",
    "TargetEmailAddress": ["never@partner.example"],
    "Subject": "Never",
    "Content": "Never sent.",
    "FromName": "Example Shop",
}


def but(**changes: Any) -> dict[str, Any]:
    """Return a good call with these fields changed; None takes a field away."""
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not None}


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def stored(program: Program) -> list[str]:
    """Return the whole event log, for whatever is accepted is in it, and the names of the messages that were caught."""
    caught = sorted(path.name for path in program.data_dir.glob("mailbox/new/*"))
    return [*(await program.command("events", "--json")).stdout.splitlines(), *caught]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Bearer abcdef",
        basic("nocolon"),
        basic(":"),
        basic("0" * 32 + ":wrong"),
        basic("' OR 1=1 --:x"),
        "Basic " + "A" * 5000,
    ],
)
async def test_a_wrong_key_is_refused(caught: Program, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answered = await caught.request("POST", PATH, GOOD, headers=headers)
    assert answered.status == 200
    assert answered.json()["RetCode"] == 215393
    assert answered.json()["Message"] == "Authentication failed"
    assert "SessionNo" not in answered.json()
    assert answered.headers["x-speedo-request-uuid"] == answered.json()["RequestUuid"]


async def test_a_right_id_with_a_wrong_secret_is_refused_with_the_same_words(caught: Program) -> None:
    assert caught.key is not None
    secret = caught.key.access_key_secret
    for wrong in (secret[:-1], secret + "x", secret.swapcase(), ""):
        answered = await caught.request("POST", PATH, GOOD, key=Key(caught.key.access_key_id, wrong))
        assert (answered.json()["RetCode"], answered.json()["Message"]) == (215393, "Authentication failed")


CASES = [
    ("unknown sender", but(SendEmail="nobody@shop.example"), 215396, "NotFound parameter [SendEmail]"),
    ("sender of an unknown domain", but(SendEmail="a@other.example"), 215396, "NotFound parameter [SendEmail]"),
    ("sender that is no address", but(SendEmail="shop"), 215392, "Invalid parameter [SendEmail]"),
    ("no sender", but(SendEmail=None), 215397, "Missing parameter [SendEmail]"),
    ("no recipients", but(TargetEmailAddress=[]), 215392, "Invalid parameter [TargetEmailAddress]"),
    ("recipients missing", but(TargetEmailAddress=None), 215397, "Missing parameter [TargetEmailAddress]"),
    (
        "101 recipients",
        but(TargetEmailAddress=[f"u{at}@partner.example" for at in range(101)]),
        215392,
        "Invalid parameter [TargetEmailAddress]",
    ),
    ("one bad recipient", but(TargetEmailAddress=["nobody"]), 215392, "Invalid parameter [TargetEmailAddress]"),
    (
        "a recipient with CR LF",
        but(TargetEmailAddress=["a@partner.example\r\nBcc: b@partner.example"]),
        215392,
        "Invalid parameter [TargetEmailAddress]",
    ),
    (
        "a recipient with NUL",
        but(TargetEmailAddress=["a\u0000@partner.example"]),
        215392,
        "Invalid parameter [TargetEmailAddress]",
    ),
    (
        "a recipient with a command in it",
        but(TargetEmailAddress=["a@partner.example> RCPT TO:<b@partner.example"]),
        215392,
        "Invalid parameter [TargetEmailAddress]",
    ),
    (
        "recipients as text",
        but(TargetEmailAddress="a@partner.example"),
        215392,
        "Invalid parameter [TargetEmailAddress]",
    ),
    ("a recipient as number", but(TargetEmailAddress=[1]), 215392, "Invalid parameter [TargetEmailAddress]"),
    ("empty subject", but(Subject=""), 215392, "Invalid parameter [Subject]"),
    ("201 characters", but(Subject="x" * 201), 215392, "Invalid parameter [Subject]"),
    ("subject as number", but(Subject=7), 215392, "Invalid parameter [Subject]"),
    ("subject missing", but(Subject=None), 215397, "Missing parameter [Subject]"),
    ("subject with a header", but(Subject="Hi\r\nBcc: b@partner.example"), 215392, "Invalid parameter [Subject]"),
    ("subject with a bare LF", but(Subject="Hi\nBcc: b@partner.example"), 215392, "Invalid parameter [Subject]"),
    ("subject with NUL", but(Subject="Hi\u0000"), 215392, "Invalid parameter [Subject]"),
    ("empty content", but(Content=""), 215392, "Invalid parameter [Content]"),
    ("content missing", but(Content=None), 215397, "Missing parameter [Content]"),
    ("content as object", but(Content={}), 215392, "Invalid parameter [Content]"),
    ("content with NUL", but(Content="a\u0000b"), 215392, "Invalid parameter [Content]"),
    ("a name with a header", but(FromName="Shop\r\nBcc: b@partner.example"), 215392, "Invalid parameter [FromName]"),
    ("a name with NUL", but(FromName="Shop\u0000"), 215392, "Invalid parameter [FromName]"),
    ("a name as list", but(FromName=[]), 215392, "Invalid parameter [FromName]"),
    ("an array", [], 215392, "Invalid parameter [Body]"),
    ("no JSON", b"SendEmail=a", 215392, "Invalid parameter [Body]"),
    ("no UTF-8", b'{"SendEmail":"\xff"}', 215392, None),
    ("nothing", b"", 215392, "Invalid parameter [Body]"),
    ("nested for ever", b"[" * 100_000, 215392, "Invalid parameter [Body]"),
]


@pytest.mark.parametrize(
    ("call", "ret_code", "message"), [case[1:] for case in CASES], ids=[case[0].replace(" ", "_") for case in CASES]
)
async def test_a_bad_call_gets_its_retcode(caught: Program, call: object, ret_code: int, message: str | None) -> None:
    answered = await caught.request("POST", PATH, call, key=caught.key)
    answer = answered.json()
    assert (answered.status, answer["RetCode"]) == (200, ret_code), answer
    assert message in (None, answer["Message"])
    assert "SessionNo" not in answer
    assert answer["RequestUuid"] == answered.headers["x-speedo-request-uuid"]


async def test_a_body_over_the_limit_is_refused_and_the_next_call_works(caught: Program) -> None:
    answered = await caught.request("POST", PATH, but(Content="x" * (11 * 1024 * 1024)), key=caught.key)
    assert answered.json()["RetCode"] == 215392
    answered = await caught.request("POST", PATH, but(Content="x" * (20 * 1024 * 1024)), key=caught.key)
    assert answered.json()["RetCode"] == 215392
    assert (await caught.request("GET", "/healthz")).status == 200


async def test_nothing_of_all_that_was_stored_or_sent(caught: Program) -> None:
    """Runs the whole table again between two looks, so that it holds alone, too."""
    before = await stored(caught)
    for _, call, _, _ in CASES:
        await caught.request("POST", PATH, call, key=caught.key)
        await caught.request("POST", PATH, GOOD)
    assert await stored(caught) == before


async def test_the_sender_of_another_project_is_unknown(caught: Program) -> None:
    foreign = await caught.command_json("key", "create", "--project", "other")
    await caught.command_json("domain", "add", "other-shop.example", "--verified", "--project", "other")
    await caught.command_json("sender", "add", "me@other-shop.example", "--project", "other")
    key = Key(foreign["access_key_id"], foreign["access_key_secret"])
    answered = await caught.request("POST", PATH, GOOD, key=key)
    assert answered.json()["RetCode"] == 215396
    answered = await caught.request("POST", PATH, but(SendEmail="me@other-shop.example"), key=caught.key)
    assert answered.json()["RetCode"] == 215396


async def test_display_names_are_quoted_not_obeyed(caught: Program) -> None:
    tricks = ['Shop" <evil@x.example>, "', "a@b.example, c", "=?utf-8?q?x?=", "Shop <evil@x.example>", "\\", "Жук; (c)"]
    for number, trick in enumerate(tricks):
        call = but(FromName=trick, TargetEmailAddress=[f"trick{number}@partner.example"])
        answer = (await caught.request("POST", PATH, call, key=caught.key)).json()
        if answer["RetCode"] == 0:
            await caught.settled(answer["SessionNo"])
            (octets,) = [
                path.read_bytes()
                for path in caught.data_dir.glob("mailbox/new/*")
                if f"trick{number}@".encode() in path.read_bytes()
            ]
            assert _from_addresses(octets) == ["noreply@shop.example"]
        else:
            assert (answer["RetCode"], answer["Message"]) == (215392, "Invalid parameter [FromName]")


async def test_other_alphabets_in_addresses_are_accepted_or_say_why(caught: Program) -> None:
    wanted = ["用户@例子.example", "user@bücher.example", "jörg@partner.example"]
    answer = await caught.send(wanted, "Addresses")
    assert answer["RetCode"] == 0, answer
    status = await caught.settled(answer["SessionNo"])
    found = {row["EmailAddress"]: row["Status"] for row in status["Data"]}
    assert found["user@xn--bcher-kva.example"] == "delivered"
    assert set(found.values()) <= {"delivered", "bounced"}
    assert len(found) + len(answer["FailedTargetEmails"]) == 3


async def test_a_revoked_key_is_worthless_within_a_second(caught: Program) -> None:
    made = await caught.command_json("key", "create", "--name", "short-lived")
    key = Key(made["access_key_id"], made["access_key_secret"])
    query = "/api/v1/email/SendStatus?SessionNo=3b6c8a0e-4d1f-4a53-9b0f-2f6f0f0c7a11"
    assert (await caught.request("GET", query, key=key)).json()["RetCode"] == 215396
    await caught.command_json("key", "revoke", key.access_key_id)

    async def is_refused() -> bool:
        return bool((await caught.request("GET", query, key=key)).json()["RetCode"] == 215393)

    await caught.until(is_refused, 1.0)


def _from_addresses(octets: bytes) -> list[str]:
    import email.policy
    from email.headerregistry import AddressHeader

    header = email.message_from_bytes(octets, policy=email.policy.default)["From"]
    assert isinstance(header, AddressHeader)
    return [address.addr_spec for address in header.addresses]
