"""Templates of any kind: an error of the caller or a mail; and tags that stay whole through MJML and CSS."""

import contextlib
import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import CallerError, TemplateError
from outrider.mail import guard, styling, translate
from outrider.mail.render import Renderer
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax, compile_source
from outrider.mail.translate import TAGS

# fmt: off
PIECES = st.sampled_from([
    "{{ a }}", "{{ a.b }}", "{{ a|upper }}", "{{ a ~ b }}", "{% if a %}", "{% else %}", "{% endif %}", "{{ x }}",
    "{% for x in a %}", "{% endfor %}", "{{", "}}", "{%", "%}", "{#", "#}", "<p>", "</p>", "<a href='", "'>", "<style>",
    "</style>", "p{color:red}", "<table>", "<tr>", "<td ", ">", "<!--", "-->", "&amp;", "é", "\n", " ", "{a}", "{1}",
    "{% set x = a %}", "{% include 'p' %}", "{% block b %}", "{% endblock %}", "%%user_defined_unsubscribe_link%%",
    "-", "|", "[", "]", "<b>",
])
# fmt: on
SOURCES = st.lists(PIECES, max_size=20).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WELL_FORMED = st.sampled_from(
    [
        "<p>{{ a }}</p>",
        "<p {% if a %}class='x'{% endif %}>x</p>",
        "<a href='{{ a }}?b={{ b }}'>{{ c }}</a>",
        "{% for r in rows %}<b>{{ r }}</b>{% endfor %}",
        "<table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>",
        "<!--[if mso]>{{ a }}<![endif]-->",
        "{% if a %}<i>x</i>{% else %}<i title='{{ b }}'>y</i>{% endif %}",
        "<style>p{color:{{ a }}} b{margin:0}</style>",
        "text &amp; {{ a }}<br>",
    ]
)


@given(SOURCES, st.sampled_from(Syntax), st.sampled_from(Markup), st.booleans(), VALUES)
def test_a_source_is_refused_or_fills_in(
    body: str, syntax: Syntax, markup: Markup, is_lenient: bool, value: object
) -> None:
    source = Source(
        markup=markup, syntax=syntax, variants=(SourceVariant(subject="s", body=body),), is_lenient=is_lenient
    )
    with contextlib.suppress(TemplateError):
        made = compile_source(source, {"p": "<i>{{ c }}</i>"})
        Renderer(made.template).render({"a": value, "b": value, "1": value}, unsubscribe_link="https://x.example/")


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_refused_or_stands_as_it_is_written(text: str, value: str) -> None:
    source = Source(variants=(SourceVariant(subject="s", body="<p>" + text.replace("<", "").replace("{", "")),))
    try:
        rendered = Renderer(compile_source(source, {}).template).render({"a": value})
    except CallerError:
        return
    written = text.replace("<", "").replace("{", "").replace("\r\n", "\n").replace("\r", "\n")
    assert rendered.html == "<p>" + written.replace(translate.UNSUBSCRIBE_MARK, "")


@given(st.lists(WELL_FORMED, max_size=8).map("".join))
def test_css_moves_no_tag(body: str) -> None:
    text = translate.translate("<style>i{color:red}</style>" + body, {}).text
    made = styling.inline_css(text)
    blocks = [tag for tag in TAGS.findall(text) if tag[0] == "\ufdd2"]
    assert [tag for tag in TAGS.findall(made) if tag[0] == "\ufdd2"] == blocks
    assert set(TAGS.findall(made)) == set(TAGS.findall(text))


@given(st.lists(WELL_FORMED, min_size=1, max_size=6).map("".join))
def test_mjml_moves_no_tag(body: str) -> None:
    inside = f"<mj-section><mj-column><mj-text>{body.replace('<style>', '<i>').replace('</style>', '</i>')}</mj-text>"
    source = "<mjml><mj-body>{% if a %}" + inside + "</mj-column></mj-section>{% endif %}</mj-body></mjml>"
    text = translate.translate(source, {}).text
    assert TAGS.findall(styling.work_mjml(text)) == TAGS.findall(text)


@given(st.text(max_size=40))
def test_a_name_is_folded_one_to_one(name: str) -> None:
    if name.isprintable() and name:
        folded = guard.fold(name)
        assert folded == name or guard.unfold(folded) == name


@pytest.mark.parametrize("syntax", Syntax)
@given(value=st.text(max_size=40))
def test_a_value_is_escaped_whatever_it_is(syntax: Syntax, value: str) -> None:
    tag = "{{ v }}" if syntax is Syntax.JINJA else "{v}"
    for body in (f"<p title='{tag}'>{tag}", f"<style>i{{}}</style><p title='{tag}'>{tag}"):
        source = Source(syntax=syntax, variants=(SourceVariant(subject="s", body=body, text=tag),))
        made = Renderer(compile_source(source, {}).template).render({"v": value})
        assert made.html is not None
        assert made.html.count(html.escape(value)) >= 1
        assert "<script" not in made.html
        assert made.text == value
