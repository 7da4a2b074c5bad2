"""Filling in: locales, escaping, what is missing, what a subject may be. Bounds are in tests/faults."""

import pytest

from outrider.base import limits
from outrider.base.errors import TemplateBoundError, TemplateError
from outrider.mail import render
from outrider.mail.render import Renderer, Template
from outrider.mail.templating import Source, SourceVariant, Syntax, compile_source

LINK = "https://mail.shop.example/u/1?a=1&b=2"


def template(subject: str = "s", body: str = "", *, text: str | None = "-", **wishes: object) -> Template:
    variant = SourceVariant(subject=subject, body=body, text=text)
    return compile_source(Source(variants=(variant,), **wishes), {}).template  # type: ignore[arg-type]


def html(body: str, variables: dict[str, object] | None = None, **wishes: object) -> str | None:
    return Renderer(template(body=body, **wishes)).render(variables or {}, unsubscribe_link=LINK).html


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("pt-BR", "br"),
        ("pt-br", "br"),
        ("pt_BR", "br"),
        ("pt-PT", "pt"),
        ("pt", "pt"),
        ("zh-Hant-TW", "hant"),
        ("zh_TW", "en"),
        ("fr", "en"),
        ("", "en"),
    ],
)
def test_a_locale_falls_back_to_its_language_and_then_to_the_first(asked: str, got: str) -> None:
    variants = tuple(
        SourceVariant(locale=locale, subject=name, body="-")
        for locale, name in (("en", "en"), ("pt", "pt"), ("pt_BR", "br"), ("zh-Hant", "hant"))
    )
    made = compile_source(Source(variants=variants), {}).template
    assert Renderer(made).render({}, locale=asked).subject == got
    assert render.locales(made) == ["en", "pt", "pt_BR", "zh-Hant"]


def test_html_is_escaped_and_text_and_subject_are_not() -> None:
    renderer = Renderer(template("Hi {{ name }}", "<p>{{ name }}</p>", text="Hi {{ name }}"))
    made = renderer.render({"name": "<b> & 'c'"})
    assert made.subject == "Hi <b> & 'c'"
    assert made.html == "<p>&lt;b&gt; &amp; &#x27;c&#x27;</p>"
    assert made.text == "Hi <b> & 'c'"


def test_a_link_in_an_attribute_stays_a_link() -> None:
    made = html(
        '<a href="%%user_defined_unsubscribe_link%%">x</a><a href="{{ url }}">y</a>', {"url": "https://x.example/"}
    )
    assert made == f'<a href="{LINK.replace("&", "&amp;")}">x</a><a href="https://x.example/">y</a>'


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{{ name }}", "name"),
        ("{{ user.name }}", "user.name"),
        ("{{ name|upper }}", "name"),
        ("{{ name|replace('a', 'b') }}", "name"),
        ("{{ 'x' ~ name }}", "name"),
        ("{{ user.items }}", "user.items"),
        ("{% for line in lines %}{{ line.price }}{% endfor %}", "line.price"),
        ("{{ größe }}", "größe"),
    ],
)
def test_a_variable_that_is_not_given_is_named(body: str, field: str) -> None:
    renderer = Renderer(template(body=body))
    with pytest.raises(TemplateError) as caught:
        renderer.render({"user": {"x": 1}, "lines": [{"name": "n"}]})
    assert caught.value.field == field
    assert field in caught.value.public


def test_null_counts_as_not_given() -> None:
    with pytest.raises(TemplateError, match="no value for name"):
        html("{{ name }}", {"name": None})
    assert html("{{ name|default('you') }}{% if name is none %}!{% endif %}", {"name": None}) == "you!"


def test_a_default_of_the_template_or_of_the_tag_stands_in() -> None:
    assert html("{{ name }} {{ city|default('Oslo') }}", defaults={"name": "you"}) == "you Oslo"
    assert html("{{ name }}", {"name": "Ana"}, defaults={"name": "you"}) == "Ana"


def test_a_lenient_template_shows_nothing_for_what_is_missing() -> None:
    assert html("<{{ a }}{{ b.c.d }}{{ a ~ 'x' }}{{ a|join(', ') }}>", is_lenient=True) == "<x>"


def test_is_defined_may_be_asked() -> None:
    body = "{% if name is defined %}{{ name }}{% else %}nobody{% endif %}"
    assert html(body) == "nobody"
    assert html(body, {"name": "Ana"}) == "Ana"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "true"), (3, "3"), (2.5, "2.5"), (2**70, str(2**70)), (["a", 1], "a, 1"), ({"a": 1}, "{a: 1}")],
)
def test_json_values_are_shown(value: object, shown: str) -> None:
    assert html("{{ value }}", {"value": value}) == shown


@pytest.mark.parametrize("value", [b"x", {1, 2}, object()])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(TemplateError, match="value: Values are those of JSON"):
        html("{{ value }}", {"value": value})


def test_a_subject_is_one_line() -> None:
    assert Renderer(template("a\r\nBcc: x {{ b }}\t")).render({"b": "c\r\n\r\nd"}).subject == "a Bcc: x c d"


@pytest.mark.parametrize("name", ["\0", "x" * (limits.SUBJECT_CHARS_MAX + 1)])
def test_a_subject_that_cannot_be_one_is_an_error(name: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Renderer(template("{{ name }}")).render({"name": name})
    assert caught.value.field == "subject"


def test_a_call_brings_its_own_subject_and_preheader() -> None:
    made = compile_source(Source(variants=(SourceVariant(subject="s", body="<body>x</body>", preheader="p"),)), {})
    renderer = Renderer(made.template)
    own = renderer.render({"n": 1}, subject="Own {{ n }}", preheader="Pre & {{ n }}")
    assert own.subject == "Own 1"
    assert own.html is not None
    assert "Pre &amp; 1" in own.html
    assert own.text == "x\n"
    again = renderer.render({})
    assert again.subject == "s"
    assert again.html is not None
    assert ">p</div>" in again.html


def test_an_own_subject_is_read_with_the_tags_of_the_template() -> None:
    renderer = Renderer(template("s", "x", syntax=Syntax.BRACES))
    assert renderer.render({"1": "a"}, subject="{1} {{ b }}").subject == "a {{ b }}"


def test_without_a_preheader_nothing_is_hidden() -> None:
    assert html("<body>x</body>") == "<body>x</body>"


def test_names_that_no_program_could_read_are_variables_too() -> None:
    body = "{1} {first name} {for} {items} {_g_tick} {loop} {a.b}"
    variables = {name: name for name in ("1", "first name", "for", "items", "_g_tick", "loop", "a.b")}
    assert html(body, variables, syntax=Syntax.BRACES) == "1 first name for items _g_tick loop a.b"


def test_a_literal_is_just_that_but_for_the_link() -> None:
    made = Renderer(render.literal("{{ s }}", "<p>{% x %} %%user_defined_unsubscribe_link%%\ufdd0</p>", None))
    got = made.render({}, unsubscribe_link=LINK)
    assert made.has_unsubscribe
    assert got.subject == "{{ s }}"
    assert got.html == f"<p>{{% x %}} {LINK.replace('&', '&amp;')}\ufffd</p>"
    assert got.text is None
    assert not Renderer(render.literal("s", "x", "y")).has_unsubscribe


def test_one_recipient_s_fault_is_not_the_next_one_s() -> None:
    renderer = Renderer(template(body="{% for i in range(n) %}{{ i }}{% endfor %}"))
    with pytest.raises(TemplateError):
        renderer.render({})
    with pytest.raises(TemplateBoundError):
        renderer.render({"n": 10**9})
    assert renderer.render({"n": 3}).html == "012"


def test_too_many_variables_are_refused() -> None:
    with pytest.raises(TemplateError, match="characters"):
        html("x", {"a": "x" * (limits.VARIABLES_CHARS_MAX + 1)})
    with pytest.raises(TemplateError, match="values"):
        html("x", {"a": [0] * (limits.VARIABLES_COUNT_MAX + 1)})
    deep: object = 1
    for _ in range(limits.VARIABLES_DEPTH_COUNT_MAX + 1):
        deep = [deep]
    with pytest.raises(TemplateError, match="deep"):
        html("x", {"a": deep})
