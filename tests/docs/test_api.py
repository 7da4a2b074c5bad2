"""docs/reference/api.md names every call, field and RetCode, and its examples are what the code says."""

import re

import msgspec
import pytest

from outrider.faces.api.dialects import uspeedo_faults
from outrider.faces.api.dialects.uspeedo_types import (
    FailedTarget,
    Fault,
    RecipientRow,
    SendEmailAnswer,
    SendEmailBody,
    SendStatusAnswer,
)
from outrider.faces.api.markup import looks_like_html
from tests.docs.pages import ROOT
from tests.unit.faces.conftest import ApiFace

PAGE = (ROOT / "docs/reference/api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(
    "kind",
    [SendEmailBody, SendEmailAnswer, FailedTarget, Fault, SendStatusAnswer, RecipientRow],
    ids=lambda k: k.__name__,
)
def test_every_field_is_there(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        assert re.search(rf"`(?:[\w\[\].]+\.)?{field.encode_name}`", PAGE), field.encode_name


def test_every_call_and_ret_code_is_there() -> None:
    for path in ("/api/v1/email/SendEmail", "/api/v1/email/SendStatus", "/healthz", "/readyz", "/metrics", "/mailbox"):
        assert path in PAGE
    table = re.findall(r"^\s+(\d{6}) .*?  (\S.*?)(?: {2,}|$)", uspeedo_faults.__doc__ or "", re.MULTILINE)
    assert len(table) > 5
    for ret_code, rest in table:
        assert f"| {ret_code} |" in PAGE, rest


def test_examples_are_what_the_code_answers() -> None:
    sent, refused, status = EXAMPLES
    kinds = ((sent, SendEmailAnswer), (refused, Fault), (status, SendStatusAnswer))
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
