"""Templates in uSpeedo's dialect on the real program: their own client creates, sends, changes and deletes them."""

import asyncio
import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any, Final

import pytest
from uspeedo.client import Client  # type: ignore[import-untyped]
from uspeedo.core.exc import RetCodeException  # type: ignore[import-untyped]

from outrider.testing.clock import RealClock
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

COUNT: Final = 100  # shared/uspeedo.md 1.4: the most of one call.
SENDER: Final = "noreply@shop.example"
NEW: dict[str, Any] = {
    "Name": "Order {n}",
    "Subject": "Order {number} for {name}",
    "Abstract": "Thank you, {name}",
    "TriggerType": 1,
    "HtmlContent": "<style>p {color: red}</style><p>Dear {name},</p><p>{number}: {2} pieces</p>",
}


def client(program: Program) -> Any:
    """Return uSpeedo's client, as it comes from PyPI."""
    assert program.key is not None
    given = {"public_key": program.key.access_key_id, "private_key": program.key.access_key_secret}
    return Client(given | {"base_url": f"{program.url}/api"}).email()


async def invoke(program: Program, action: str, **body: Any) -> Any:
    return await asyncio.to_thread(client(program).invoke, action, body)


async def send(program: Program, template_id: str, content: list[dict[str, Any]], **more: Any) -> Any:
    body = {"TemplateId": template_id, "SendEmail": SENDER, "EmailContent": content, **more}
    return await asyncio.to_thread(client(program).send_email_template, body)


def caught_by(program: Program) -> dict[str, EmailMessage]:
    """Return what is in the catch mailbox, by recipient."""
    found: dict[str, EmailMessage] = {}
    for path in program.data_dir.glob("mailbox/new/*"):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found[str(message["Delivered-To"])] = message
    return found


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


async def test_each_of_a_hundred_gets_its_own(caught: Program) -> None:
    made = await invoke(caught, "CreateEmailTemplate", **NEW)
    template_id = made["TemplateId"]
    assert re.fullmatch(r"UET\d{8}[0-9A-Z]{6}", template_id)
    content: list[dict[str, Any]] = [
        {
            "EmailAddress": f"hundred{at}@partner.example",
            "TemplateVariableParams": [f"name{{##}}Nr <{at}>", f"number{{##}}N-{at}", f"{{2}}{{##}}{at * 7}"],
        }
        for at in range(COUNT)
    ]
    answer = await send(caught, template_id, content)
    assert (answer["SuccessCount"], answer["FailContent"]) == (COUNT, [])
    status = await caught.settled(answer["SessionNo"], 60)
    assert {row["Status"] for row in status["Data"]} == {"delivered"}
    mails = caught_by(caught)
    for at in range(COUNT):
        mail = mails[f"hundred{at}@partner.example"]
        assert mail["Subject"] == f"Order N-{at} for Nr <{at}>"
        html = html_of(mail)
        assert f"Nr &lt;{at}&gt;," in html
        assert f"N-{at}: {at * 7} pieces" in html
        assert "color: red" in html
        text = mail.get_body(("plain",))
        assert text is not None
        assert f"N-{at}: {at * 7} pieces" in text.get_content()


async def test_who_lacks_a_variable_comes_back_alone(caught: Program) -> None:
    template_id = (await invoke(caught, "CreateEmailTemplate", **NEW | {"Name": "Lacking"}))["TemplateId"]
    whole, lacking = ["name{##}Ann", "number{##}1", "{2}{##}3"], ["name{##}Ann", "number{##}1"]
    content = [
        {"EmailAddress": "whole@partner.example", "TemplateVariableParams": whole},
        {"EmailAddress": "lacking@partner.example", "TemplateVariableParams": lacking},
    ]
    answer = await send(caught, template_id, content)
    assert answer["SuccessCount"] == 1
    (failed,) = answer["FailContent"]
    assert (failed["EmailAddress"], failed["TemplateVariableParams"]) == ("lacking@partner.example", lacking)
    assert re.search(r"\b2\b", failed["FailureReason"])


async def test_an_unknown_template_is_their_exception(caught: Program) -> None:
    content = [{"EmailAddress": "a@partner.example", "TemplateVariableParams": []}]
    with pytest.raises(RetCodeException) as error:
        await send(caught, "UET26051109QX7K2M", content)
    assert (error.value.code, error.value.message) == (215396, "NotFound parameter [TemplateId]")
    for action in ("GetEmailTemplate", "UpdateEmailTemplate", "DeleteEmailTemplate"):
        with pytest.raises(RetCodeException) as error:
            await invoke(caught, action, TemplateId="UET26051109QX7K2M")
        assert (error.value.code, error.value.message) == (215396, "NotFound parameter [TemplateId]")


async def test_a_template_lives_its_life(caught: Program) -> None:
    made = await invoke(caught, "CreateEmailTemplate", **NEW | {"Name": "Life", "AccountId": 10001})
    template_id = made["TemplateId"]
    (row,) = (await invoke(caught, "QueryEmailTemplate", TemplateId=[template_id]))["Data"]
    assert (row["Name"], row["Status"], row["TagCount"], row["ErrDesc"]) == ("Life", 2, 3, "")
    assert (await invoke(caught, "QueryEmailTemplate", Name="Lif", Status=2, TriggerType=1))["Total"] == 1
    assert (await invoke(caught, "QueryEmailTemplate", Name="Lif", Status=3))["Total"] == 0
    await invoke(caught, "UpdateEmailTemplate", TemplateId=template_id, Subject="New {name}")
    whole = (await invoke(caught, "GetEmailTemplate", TemplateId=template_id))["Data"]
    assert (whole["Subject"], whole["HtmlContent"]) == ("New {name}", NEW["HtmlContent"])
    await RealClock().sleep(1.0)
    values = ["name{##}Ann", "number{##}1", "2{##}3"]
    content = [{"EmailAddress": "template-life@partner.example", "TemplateVariableParams": values}]
    await caught.settled((await send(caught, template_id, content))["SessionNo"])
    assert caught_by(caught)["template-life@partner.example"]["Subject"] == "New Ann"
    await invoke(caught, "DeleteEmailTemplate", TemplateId=template_id)
    await RealClock().sleep(1.0)
    with pytest.raises(RetCodeException) as error:
        await send(caught, template_id, content)
    assert error.value.code == 215396


async def test_what_waits_for_approval_is_not_sent(caught: Program) -> None:
    await caught.command_json("project", "approval", "--templates-need-approval")
    try:
        made = await invoke(caught, "CreateEmailTemplate", **NEW | {"Name": "Waits"})
        template_id = made["TemplateId"]
        assert made["Status"] == 0
        content = [{"EmailAddress": "a@partner.example", "TemplateVariableParams": ["name{##}A"]}]
        with pytest.raises(RetCodeException) as error:
            await send(caught, template_id, content)
        assert (error.value.code, error.value.message) == (215392, "Invalid parameter [TemplateId]")
        await caught.command_json("template", "reject", template_id, "--why", "Too loud")
        (row,) = (await invoke(caught, "QueryEmailTemplate", TemplateId=[template_id]))["Data"]
        assert (row["Status"], row["ErrDesc"]) == (3, "Too loud")
    finally:
        await caught.command_json("project", "approval", "--templates-need-none")


async def test_what_is_wrong_with_a_template_is_named(caught: Program) -> None:
    await invoke(caught, "CreateEmailTemplate", **NEW | {"Name": "Twice"})
    for changes, message in (
        ({"Name": "Twice"}, "Invalid parameter [Name]"),
        ({"Name": "x", "TriggerType": 7}, "Invalid parameter [TriggerType]"),
        ({"Name": "x", "HtmlContent": "x" * 600_000}, "Invalid parameter [HtmlContent]"),
        ({"Name": "x", "Editor": 2}, "Missing parameter [JsonContent]"),
    ):
        with pytest.raises(RetCodeException) as error:
            await invoke(caught, "CreateEmailTemplate", **NEW | changes)
        assert error.value.message == message
