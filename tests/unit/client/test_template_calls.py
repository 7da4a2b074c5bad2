"""The calls of templates are what the API has: decoded here as the server decodes them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from outrider.client import template_calls
from outrider.client.calls import Call
from outrider.client.records import TemplateVariant
from outrider.faces.api.v1.partials import NewPartial
from outrider.faces.api.v1.template_types import (
    Disabling,
    Filling,
    NewTemplate,
    Publishing,
    TemplateChange,
    TemplateTest,
    TemplateWhole,
)

VARIANT = TemplateVariant(subject="Hi {{ name }}", body="<p>Hi</p>")
GERMAN = TemplateVariant(subject="Moin", body="<p>Moin</p>", locale="de", preheader="Kurz", text="Moin")


@pytest.mark.parametrize(
    ("make", "method", "path", "kind"),
    [
        (lambda: template_calls.create_template("W", VARIANT, publish=True), "POST", "/templates", NewTemplate),
        (lambda: template_calls.create_template("W", [VARIANT, GERMAN]), "POST", "/templates", NewTemplate),
        (lambda: template_calls.change_template("a/b", name="x"), "PATCH", "/templates/a%2Fb", TemplateChange),
        (lambda: template_calls.change_template("W", GERMAN, markup="mjml"), "PATCH", "/templates/W", TemplateChange),
        (lambda: template_calls.publish_template("W"), "POST", "/templates/W/publish", Publishing),
        (lambda: template_calls.publish_template("W", number=2), "POST", "/templates/W/publish", Publishing),
        (lambda: template_calls.disable_template("W", reason="x"), "POST", "/templates/W/disable", Disabling),
        (lambda: template_calls.preview_template("W", {"a": [1]}), "POST", "/templates/W/preview", Filling),
        (lambda: template_calls.send_test("W", ["a@x.example"]), "POST", "/templates/W/test", TemplateTest),
        (lambda: template_calls.put_partial("footer", "<p>"), "PUT", "/partials/footer", NewPartial),
    ],
)
def test_a_call_with_a_body_is_what_the_server_reads(
    make: Callable[[], Call[object]], method: str, path: str, kind: Any
) -> None:
    call = make()
    assert (call.method, call.path) == (method, path)
    assert call.body is not None
    assert msgspec.json.decode(call.body, type=kind) is not None


@pytest.mark.parametrize(
    ("make", "method", "path"),
    [
        (lambda: template_calls.show_template("W"), "GET", "/templates/W"),
        (lambda: template_calls.show_template("W", number=3), "GET", "/templates/W/versions/3"),
        (lambda: template_calls.enable_template("W"), "POST", "/templates/W/enable"),
        (lambda: template_calls.delete_template("W"), "DELETE", "/templates/W"),
        (lambda: template_calls.show_partial("footer"), "GET", "/partials/footer"),
        (lambda: template_calls.delete_partial("footer"), "DELETE", "/partials/footer"),
        (
            lambda: template_calls.templates(name="a", states=["draft"], stream="marketing").page("c"),
            "GET",
            "/templates?name=a&state=draft&stream=marketing&limit=100&after=c",
        ),
        (lambda: template_calls.template_versions("W").page(""), "GET", "/templates/W/versions?limit=100"),
    ],
)
def test_a_call_without_a_body_is_what_the_api_has(make: Callable[[], Call[object]], method: str, path: str) -> None:
    call = make()
    assert (call.method, call.path, call.body) == (method, path, None)


def test_what_would_be_done_twice_is_not_repeated() -> None:
    for call in (
        template_calls.create_template("W", VARIANT),
        template_calls.change_template("W", name="x"),
        template_calls.send_test("W", ["a@x.example"]),
        template_calls.delete_template("W"),
    ):
        assert not call.is_repeatable
    assert template_calls.publish_template("W").is_repeatable
    assert template_calls.put_partial("a", "b").is_repeatable


def test_the_answer_has_what_the_server_says() -> None:
    theirs = {field.encode_name for field in msgspec.structs.fields(TemplateWhole)}
    ours = {field.encode_name for field in msgspec.structs.fields(template_calls.Template)}
    assert ours <= theirs
