"""docs/reference/api.md names every call, field and RetCode, and its examples are what the code says."""

import inspect
import re

import msgspec
import pytest

from outrider.faces.api.dialects import uspeedo, uspeedo_faults, uspeedo_senders
from outrider.faces.api.dialects.uspeedo_types import (
    FailedTarget,
    Fault,
    RecipientRow,
    SendEmailAnswer,
    SendEmailBody,
    SendEmailTemplateBody,
    SenderListAnswer,
    SenderRow,
    SendStatusAnswer,
    TemplateAnswer,
    TemplateListAnswer,
    TemplateMadeAnswer,
    TemplateRow,
    TemplateTarget,
    TemplateWhole,
)
from outrider.faces.api.markup import looks_like_html
from tests.docs.pages import ROOT
from tests.unit.faces.conftest import ApiFace

PAGE = (ROOT / "docs/reference/api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(
    "kind",
    [
        SendEmailBody,
        SendEmailTemplateBody,
        TemplateTarget,
        SendEmailAnswer,
        FailedTarget,
        Fault,
        SendStatusAnswer,
        RecipientRow,
        SenderListAnswer,
        SenderRow,
        TemplateMadeAnswer,
        TemplateListAnswer,
        TemplateRow,
        TemplateAnswer,
        TemplateWhole,
    ],
    ids=lambda k: k.__name__,
)
def test_every_field_is_there(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        assert re.search(rf"`(?:[\w\[\].]+\.)?{field.encode_name}`", PAGE), field.encode_name


def test_every_call_and_ret_code_is_there() -> None:
    actions = uspeedo.actions(ApiFace().ports())
    assert len(actions) > 5
    for name, path in actions.items():
        assert f"`{name}`" in PAGE
        assert f"{path}{'{id}' if path.endswith('/') else ''}`" in PAGE or f"{path}?" in PAGE
    for path in ("/healthz", "/readyz", "/metrics", "/mailbox"):
        assert path in PAGE
    table = re.findall(r"^\s+(\d{6}) .*?  (\S.*?)(?: {2,}|$)", uspeedo_faults.__doc__ or "", re.MULTILINE)
    assert len(table) > 5
    for ret_code, rest in table:
        assert f"| {ret_code} |" in PAGE, rest


def test_examples_are_what_the_code_answers() -> None:
    sent, refused, status, senders, acted = EXAMPLES
    kinds = (
        (sent, SendEmailAnswer),
        (refused, Fault),
        (status, SendStatusAnswer),
        (senders, SenderListAnswer),
        (acted, SendEmailAnswer),
    )
    for example, kind in kinds:
        typed = msgspec.to_builtins(msgspec.json.decode(example, type=kind))
        assert list(msgspec.json.decode(example)) == list(typed)


def test_examples_of_plain_text_are_plain_and_of_html_are_html() -> None:
    section = PAGE.partition("### HTML or plain text")[2].partition("\n## ")[0]
    quoted = re.findall(r"`([^`]*<[^`]*)`", section)
    assert {text: looks_like_html(text) for text in quoted} == {
        "<p>": True,
        "<br>": True,
        '<a href="...">': True,
        "a < b and c > d": False,
        "<john@x.example>": False,
        "I <3 you": False,
    }


async def test_the_call_of_the_page_works() -> None:
    (body,) = re.findall(r"-d '(\{.*?\})'", PAGE, re.DOTALL)
    assert (await ApiFace().send_email(body.encode())).json["RetCode"] == 0


def test_parameters_of_the_list_of_senders_are_there() -> None:
    section = PAGE.partition("## GetSenderList")[2].partition("\n## ")[0]
    for limit in (uspeedo_senders.PER_PAGE_COUNT, uspeedo_senders.PER_PAGE_COUNT_MAX):
        assert str(limit) in section
    asked = set(re.findall(r'\(given, "(\w+)"', inspect.getsource(uspeedo_senders)))
    assert len(asked) == 8
    assert {name for name in asked if f"| `{name}` |" not in section} == set()
