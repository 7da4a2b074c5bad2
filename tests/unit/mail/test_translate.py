"""Whole texts: tags, partials, macros, braces, and the counts that `weigh` puts in."""

from time import process_time

import pytest

from outrider.base import limits
from outrider.base.errors import TemplateError
from outrider.mail import translate
from outrider.mail.render import Renderer, Template, Variant


def made(source: str, partials: dict[str, str] | None = None, **variables: object) -> str:
    text = translate.weigh(translate.translate(source, partials or {}).text)
    renderer = Renderer(Template((Variant("", "s", "", text, None),)))
    return renderer.render(variables, unsubscribe_link="L").html or ""


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ("{% if n > 1 %}a{% elif n == 1 %}b{% else %}c{% endif %}", "b"),
        ("{% for x in [1, 2] if x > n %}{{ x }}{% else %}none{% endfor %}", "2"),
        ("{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "none"),
        ("{% for a, b in [(1, 2), (3, 4)] %}{{ a * b }} {% endfor %}", "2 12 "),
        ("{% for x in range(3) %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{% endfor %}", "1a2b3a"),
        ("{% set x = n + 1 %}{{ x }}", "2"),
        ("{% set x %}<b>{{ n }}</b>{% endset %}{{ x }}{{ x }}", "<b>1</b><b>1</b>"),
        ("{% with y = n %}{{ y }}{% endwith %}", "1"),
        ("{% raw %}{{ n }}{% endraw %}{# no #}{{ '{{' }}", "{{ n }}{{"),
        ("a{%- if true -%} b {%- endif -%} c", "abc"),
        ("{% macro m(x, y='z') %}<{{ x }}{{ y }}>{% endmacro %}{{ m('&') }}{{ m(1, y=2) }}", "<&amp;z><12>"),
        ("{% macro a() %}x{% endmacro %}{% macro b() %}{{ a() }}{{ a() }}{% endmacro %}{{ b() }}", "xx"),
        ("line\n", "line\n"),
    ],
)
def test_tags_do_what_jinja_says(source: str, got: str) -> None:
    assert made(source, n=1) == got


def test_partials_are_taken_in() -> None:
    partials = {
        "base": "<main>{% block body %}base{% endblock %}</main>{% include 'foot' %}",
        "foot": "{% set x = 2 %}<i>{{ name }}{{ x }}</i>",
        "kit": "{% macro inner(t) %}[{{ t }}]{% endmacro %}{% macro button(t) %}{{ inner(t) }}{% endmacro %}",
    }
    source = (
        "{% extends 'base' %}{% from 'kit' import button as b %}{% set x = 1 %}"
        "{% block body %}{{ super() }} {{ b(name) }}{{ x }}{% endblock %}"
    )
    assert made(source, partials, name="Ana") == "<main>base [Ana]1</main><i>Ana2</i>"
    assert made("{% import 'kit' as kit %}{{ kit.button('x') }}", partials) == "[x]"
    assert translate.translate(source, partials).partials == {"base", "foot", "kit"}
    assert made("{% include 'gone' ignore missing %}x") == "x"


@pytest.mark.parametrize(
    ("source", "partials", "field", "why"),
    [
        ("{% include 'a' %}", {}, "", "no partial 'a'"),
        ("{% include name %}", {}, "", "in quotes"),
        ("{% include 'a' %}", {"a": "{% include 'b' %}", "b": "{% include 'a' %}"}, "partials.b", "a > b > a"),
        ("{% extends 'a' %}", {"a": "{% extends 'a' %}"}, "partials.a", "a > a"),
        ("{% import 'a' as a %}", {"a": "{% import 'a' as b %}"}, "partials.a", "a > a"),
        ("{% from 'a' import b %}", {"a": ""}, "", "no macro 'b'"),
        ("{% include 'a' %}", {"a": "\n{% if %}"}, "partials.a", "Line 2"),
        ("{% macro m() %}{{ m() }}{% endmacro %}", {}, "", "no macro defined before"),
        ("{% for x in y %}{% macro m() %}{% endmacro %}{% endfor %}", {}, "", "outside of loops"),
        ("{% for x in y recursive %}{% endfor %}", {}, "", "cannot call itself"),
        ("{% set a.b = 1 %}", {}, "", "to a name only"),
        ("{% autoescape false %}{% endautoescape %}", {}, "", "do not have"),
        ("{% filter upper %}{% endfilter %}", {}, "", "do not have"),
        ("{% do x %}", {}, "", "unknown tag"),
        ("\n\n{{ a", {}, "", "Line 3"),
        ("a\0", {}, "", "character"),
        ("\ufdd0", {}, "", "character"),
        ("x" * (limits.TEMPLATE_BYTES_MAX + 1), {}, "", "bytes"),
        ("{{ a }}" * (limits.TEMPLATE_TAGS_COUNT_MAX + 1), {}, "", "too many"),
        ("{% if a %}" * 200 + "{% endif %}" * 200, {}, "", "too deep"),
        ("{% if a %}" + "{% elif a %}" * 200 + "{% endif %}", {}, "", "too many elif"),
    ],
)
def test_an_error_says_where_and_why(source: str, partials: dict[str, str], field: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why) as caught:
        translate.translate(source, partials)
    assert caught.value.field == field


def test_partials_that_multiply_are_refused() -> None:
    partials = {f"p{n}": f"{{% include 'p{n + 1}' %}}" * 10 for n in range(8)} | {"p8": "x" * 1000}
    with pytest.raises(TemplateError, match="too long"):
        translate.translate("{% include 'p0' %}", partials)


def test_many_partials_are_refused() -> None:
    many = {f"p{n}": "x" for n in range(limits.PARTIALS_COUNT_MAX + 1)}
    with pytest.raises(TemplateError, match="too many partials"):
        translate.translate("".join(f"{{% include '{name}' %}}" for name in many), many)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("Hi {name}, {1} {first name} {a.b} {a-b}", ["1", "a-b", "a.b", "first name", "name"]),
        ("{{name}} {color:red} { x } {} {a\nb} {x;y}", []),
        ("<style>a{b} {c}</style>{d}<script>{e}</script><STYLE>{f}</style>", ["d"]),
        ("{% if a %}{b}", ["b"]),
        ("<!--[if mso]><style>.a{b}</style><![endif]-->{d}", ["d"]),
        ("<style>{d}<script>{a}</script><style>{e}", ["d", "e"]),
        ("<script>{a}</style></script ><style>{b}</script></style\n>{d}", ["d"]),
    ],
)
def test_braces_are_variables_and_css_is_not(source: str, names: list[str]) -> None:
    found = translate.translate_braces(source)
    assert sorted(found.variables) == names
    assert translate.TAGS.sub("", found.text).count("{") == source.count("{") - len(names)


@pytest.mark.parametrize(
    "piece", ["<style ", "<script>", "<style><script ", "<style></style", "</style ", "{a", "{a ", "<style>{a}</style>"]
)
def test_hostile_braces_are_read_in_linear_time(piece: str) -> None:
    started_s = process_time()
    translate.translate_braces(piece * (200_000 // len(piece)))
    assert process_time() - started_s < 2.0


def test_the_mark_of_uspeedo_is_a_tag_in_either_syntax() -> None:
    mark = "a%%user_defined_unsubscribe_link%%b"
    assert translate.translate(mark, {}).text == translate.translate_braces(mark).text
    assert translate.UNSUBSCRIBE_LINK in translate.translate(mark, {}).text


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ("%%user_defined_unsubscribe_link%%?a", "L?a"),
        ("{% raw %}{{ a }} %%user_defined_unsubscribe_link%%{% endraw %}", "{{ a }} L"),
        ("{% set l='%%user_defined_unsubscribe_link%%' %}{{ l }}", "L"),
        ("{{ 'a%%user_defined_unsubscribe_link%%b' ~ '%%user_defined_unsubscribe_link%%' }}", "aLbL"),
        ("{{ '%%user_defined_unsubscribe_link%%%%user_defined_unsubscribe_link%%'|upper }}", "LL"),
        ("{% from 'kit' import button %}{{ button('%%user_defined_unsubscribe_link%%', 'Go') }}", "<L Go>"),
        ("{% include 'foot' %}", "L L"),
        ("{% if x == '%%user_defined_unsubscribe_link%%' %}y{% endif %}", "y"),
    ],
)
def test_the_mark_of_uspeedo_is_the_link_in_tags_as_well(source: str, got: str) -> None:
    partials = {
        "kit": "{% macro button(url, text) %}<{{ url }} {{ text }}>{% endmacro %}",
        "foot": "%%user_defined_unsubscribe_link%% {{ '%%user_defined_unsubscribe_link%%' }}",
    }
    assert made(source, partials, x="L") == got


def test_each_loop_is_weighed_with_its_own_text_alone() -> None:
    source = "12{% for a in b %}345{% for c in d|sort %}6{{ c }}{% endfor %}78{% endfor %}9"
    weighed = translate.weigh(translate.translate(source, {}).text)
    assert "_g_tick(5, 4)" in weighed
    assert "_g_tick(1, 1)" in weighed
    assert weighed.count("_g_tick") == 2
