"""docs/howto/native-api.md: its calls are taken, its answers and its numbers are those of the code."""

import re

import msgspec

from outrider.base import limits
from outrider.faces.api.v1 import table
from outrider.faces.api.v1.message_types import MessageAccepted
from outrider.faces.api.v1.problem import Problem
from outrider.testing.templates import templated
from tests.docs.pages import ROOT
from tests.unit.faces.conftest import PROJECT_ID, ApiFace

PAGE = (ROOT / "docs/howto/native-api.md").read_text("utf-8")


async def test_the_calls_of_the_page_are_taken() -> None:
    face = ApiFace()
    face.published.known[PROJECT_ID, "Welcome"] = templated()
    bodies = re.findall(r"-d '(\{.*?\})'(?=\n```)", PAGE, re.DOTALL)
    assert len(bodies) == 2
    for body in bodies:
        heard = await face.call("POST", "/emails", body.encode())
        assert heard.status == 202, heard.text


def test_the_answers_of_the_page_are_what_the_code_answers() -> None:
    accepted, problem = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    for example, kind in ((accepted, MessageAccepted), (problem, Problem)):
        typed = msgspec.json.decode(example, type=kind)
        assert msgspec.json.encode(typed).decode() == example


def test_the_numbers_of_the_page_are_the_limits() -> None:
    mebibyte = 1024 * 1024
    assert f"up to {limits.BATCH_COUNT_MAX:,} mails, {limits.REQUEST_FILES_BYTES_MAX // mebibyte} MiB" in PAGE
    assert f"{limits.ATTACHMENTS_BYTES_MAX // mebibyte} MiB in all" in PAGE
    assert f"up to {int(limits.SEND_LATER_S_MAX // 86400)} days" in PAGE
    assert f"for {int(limits.IDEMPOTENCY_KEY_LIFE_S // 3600)} hours" in PAGE


def test_every_path_of_the_page_is_a_call() -> None:
    known = {path.replace("{id}", "ID") for path in table.openapi()["paths"]}
    named = {path for path in re.findall(r"/v1/[\w./-]*\w", PAGE) if "reference" not in path}
    assert named - known == set()
