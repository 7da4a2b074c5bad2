"""From source to template: what is known of it, what is refused, what stands in it."""

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, TemplateError
from outrider.mail.render import Renderer
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax, compile_source, read_param


def source(body: str = "x", subject: str = "s", **wishes: object) -> Source:
    own = {name: wishes.pop(name) for name in ("text", "preheader", "locale") if name in wishes}
    return Source(variants=(SourceVariant(subject=subject, body=body, **own),), **wishes)  # type: ignore[arg-type]


def test_variables_are_those_that_a_caller_has_to_give() -> None:
    made = compile_source(
        source(
            "{{ a }}{{ b.c }}{{ d|default(1) }}{{ e }}{{ unsubscribe_link }}{{ preheader }}{% include 'foot' %}",
            "{{ f }}",
            text="{{ g }}",
            preheader="{{ h }}",
            defaults={"e": 1},
        ),
        {"foot": "{{ i }}", "other": "{{ j }}"},
    )
    assert made.variables == ["a", "b.c", "f", "g", "h", "i"]
    assert made.partials == ["foot"]


def test_a_preview_can_be_made_of_the_sample_alone() -> None:
    made = compile_source(
        source(
            "{% for line in order.lines %}{{ line.name }} {{ line.price * line.n }}{% for tag in line.tags %}{{ tag }}"
            "{% endfor %}{% endfor %}{{ user.name|upper }}{% if vip %}!{% endif %}"
        ),
        {},
    )
    assert made.sample == {
        "order": {"lines": [{"name": "[name]", "price": 1, "n": 1, "tags": ["[tags]"]}]},
        "user": {"name": "[name]"},
        "vip": "[vip]",
    }
    assert "[name] 1[tags][NAME]!" in (Renderer(made.template).render(made.sample).html or "")


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"subject": "{{"}, "subject"),
        ({"body": "{% if %}"}, "body"),
        ({"text": "{{ a| }}"}, "text"),
        ({"preheader": "{{ 1.__class__ }}"}, "preheader"),
        ({"body": "{% include 'a' %}"}, "partials.a"),
        ({"body": "<mjml>", "markup": Markup.MJML}, "body"),
        ({"body": "<style>{% if a %}{% endif %}</style>"}, "body"),
    ],
)
def test_an_error_names_the_part(wishes: dict[str, object], field: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_source(source(**wishes), {"a": "{% endif %}"})  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.public.startswith(f"{field}: ")


def test_there_is_at_least_one_variant_and_one_for_each_locale() -> None:
    twice = SourceVariant(locale="de", subject="s", body="x")
    many = tuple(
        SourceVariant(locale=f"x{n}", subject="s", body="x") for n in range(limits.TEMPLATE_VARIANTS_COUNT_MAX + 1)
    )
    again = SourceVariant(locale="DE", subject="s", body="x")
    regions = tuple(SourceVariant(locale=locale, subject="s", body="x") for locale in ("pt-BR", "pt_br"))
    for variants in ((), (twice, again), regions, many):
        with pytest.raises(TemplateError) as caught:
            compile_source(Source(variants=variants), {})
        assert caught.value.field == "variants"


def test_a_locale_is_a_language_tag() -> None:
    with pytest.raises(TemplateError, match="'<<>>' is no language tag") as caught:
        compile_source(source(locale="<<>>"), {})
    assert caught.value.field == "locale"


def test_a_text_part_is_made_when_there_is_none() -> None:
    made = Renderer(compile_source(source("<p>Hi <b>{{ name }}</b></p>"), {}).template).render({"name": "A & B"})
    assert made.text == "Hi A & B\n"
    own = Renderer(compile_source(source("<p>x</p>", text="own"), {}).template).render({})
    assert own.text == "own"


def test_text_alone_has_no_html() -> None:
    made = Renderer(compile_source(source("Hi {{ name }} <&>\n", markup=Markup.TEXT), {}).template).render(
        {"name": "A"}
    )
    assert made.html is None
    assert made.text == "Hi A <&>\n"


def test_each_locale_is_read() -> None:
    variants = (
        SourceVariant(locale="en", subject="Hi {{ a }}", body="x"),
        SourceVariant(locale="de", subject="Hallo {{ b }}", body="y"),
    )
    assert compile_source(Source(variants=variants), {}).variables == ["a", "b"]


def test_braces_are_uspeedo_s() -> None:
    made = compile_source(source("<style>p{color:red}</style><p>{1}</p>", "Hi {name}", syntax=Syntax.BRACES), {})
    assert made.variables == ["1", "name"]
    assert made.sample == {"1": "[1]", "name": "[name]"}
    got = Renderer(made.template).render({"1": "<1>", "name": "Ana"})
    assert got.subject == "Hi Ana"
    assert got.html is not None
    assert '<p style="color: red;">&lt;1&gt;</p>' in got.html


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("name{##}Ana", ("name", "Ana")),
        ("{1}{##}John", ("1", "John")),
        ("name{##}", ("name", "")),
        ("a{##}b{##}c", ("a", "b{##}c")),
        ("{ first name }{##} x ", ("first name", " x ")),
        ("{{a}}{##}b", ("{a}", "b")),
    ],
)
def test_a_pair_of_uspeedo_is_cut_at_the_first_mark(text: str, pair: tuple[str, str]) -> None:
    assert read_param(text) == pair


@pytest.mark.parametrize("text", ["", "name", "{##}x", "{}{##}x", "x" * 101 + "{##}y", "a{#}b"])
def test_a_pair_that_is_none_is_a_caller_s_error(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        read_param(text)
    assert caught.value.field == "TemplateVariableParams"
