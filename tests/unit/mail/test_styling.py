"""MJML and CSS, with a template's tags where their author put them, and nothing read from anywhere."""

import contextlib
import re
from pathlib import Path
from time import process_time

import pytest

from outrider.base.errors import TemplateError
from outrider.mail import styling, translate
from outrider.mail.translate import TAGS


def finished(source: str) -> str:
    return translate.translate(source, {}).text


def tags_of(text: str) -> list[str]:
    return TAGS.findall(text)


def test_rules_go_to_the_elements_and_what_cannot_stays() -> None:
    made = styling.inline_css(
        "<!DOCTYPE html><html><head><style>p{color:red} a:hover{color:blue} @media print{p{color:black}}</style></head>"
        "<body><p>x</p></body></html>"
    )
    assert '<p style="color: red;">x</p>' in made
    assert "a:hover" in made
    assert "@media print" in made
    assert ">p{" not in made


def test_without_a_style_sheet_nothing_is_touched() -> None:
    source = finished("<P  class=x>{{ a }}&nbsp;<br/><td>{% if b %}<!-- <style> -->{% endif %}")
    assert styling.inline_css(source) == source
    assert styling.inline_css("<p>x") == "<p>x"


def test_doctype_and_conditions_for_outlook_are_kept() -> None:
    doctype = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/x.dtd">\n'
    mso = "<!--[if mso]><table><tr><td><![endif]-->"
    rest = "<!--[if !mso]><!-->q<!--<![endif]-->"
    made = styling.inline_css(f"{doctype}<html><head><style>p{{margin:0}}</style></head><body>{mso}<p>x</p>{rest}")
    assert made.startswith(doctype + "<html>")
    assert mso in made
    assert rest in made


def test_tags_stay_where_they_were() -> None:
    source = finished(
        "<style>p{color:{{ color }}}</style><title>{{ t }}</title><p {% if a %}class='x'{% else %}class='y'{% endif %} "
        "id='{{ i }}'>{{ '<' if a > 1 else 'b' }}<a href='{{ url }}?a=1&b={{ b }}'>x</a></p>"
        "<table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>"
    )
    made = styling.inline_css(source)
    assert sorted(set(tags_of(made))) == sorted(set(tags_of(source)))
    assert re.search("{0} if a {1}class='x'{0} else {1}class='y'{0} endif {1}".format("\ufdd2", "\ufdd3"), made)
    assert "<tbody>\ufdd2 for r in rows \ufdd3<tr>" in made
    assert "color: \ufdd0 color \ufdd1" in made


STYLE = "<style>@media print{p{color:red}}</style>"


@pytest.mark.parametrize(
    ("source", "head", "body"),
    [
        (STYLE + "\n{{ a }}, thank you.", STYLE, "\n[a], thank you."),
        (STYLE + "{% if a %}<i>x</i>{% else %}y{% endif %}", STYLE, "[if a]<i>x</i>[else]y[endif]"),
        (STYLE + "{% for a in b %}<i>x</i>{% endfor %}", STYLE, "[for a in b]<i>x</i>[endfor]"),
        ("<!doctype html>\n<html>" + STYLE + "{% if a %}x{% endif %}</html>", STYLE, "[if a]x[endif]"),
        ("<head>{% set a = 1 %}</head>{% if a %}x{% endif %}" + STYLE, "[set a = 1]", "[if a]x[endif]" + STYLE),
        ("{{ a }}" + STYLE, "", "[a]" + STYLE),
        (
            "{% set a = 1 %}<meta>{% if b %}" + STYLE + "{% endif %}{% if b %}<title>{{ t }}</title>x{% endif %}",
            "[set a = 1]<meta>[if b]" + STYLE + "[endif]",
            "[if b]<title>[t]</title>x[endif]",
        ),
        (
            "<!--[if mso]><style>p{}</style><![endif]-->" + STYLE + "<!--[if mso]><table><![endif]-->x",
            "<!--[if mso]><style>p{}</style><![endif]-->" + STYLE,
            "<!--[if mso]><table><![endif]-->x",
        ),
    ],
)
def test_the_body_begins_with_the_first_thing_that_is_shown(source: str, head: str, body: str) -> None:
    made = styling.inline_css(finished(source))
    shown = TAGS.sub(lambda tag: "[" + tag[0][2:-2] + "]", made)
    assert shown.removeprefix("<!doctype html>\n") == f"<html><head>{head}</head><body>{body}</body></html>"


def test_a_tag_that_would_be_lost_is_an_error() -> None:
    with pytest.raises(TemplateError, match="cannot keep it"):
        styling.inline_css(finished("<style>{% if a %}p{color:red}{% endif %}</style><p>x</p>"))


def test_style_sheets_elsewhere_are_never_loaded(tmp_path: Path) -> None:
    sheet = tmp_path / "x.css"
    sheet.write_text("p{color:green}", "utf-8")
    links = "".join(
        f'<link rel="stylesheet" href="{where}">'
        for where in (sheet.as_uri(), str(sheet), "http://127.0.0.1:1/x.css", "//127.0.0.1:1/x.css")
    )
    made = styling.inline_css(f'{links}<style>@import url("{sheet.as_uri()}"); b{{margin:0}}</style><p>x</p>')
    assert "green" not in made
    assert made.count("<link") == 4


def test_mjml_is_worked_out_with_tags_between_its_parts() -> None:
    source = finished(
        "<mjml><mj-head><mj-preview>{{ pre }}</mj-preview>"
        "<mj-style inline='inline'>.q{color:green}</mj-style></mj-head>"
        "<mj-body>{% for s in rows %}<mj-section><mj-column>{% if s %}<mj-text css-class='q'>Hi {{ s.t }}</mj-text>"
        "{% endif %}<mj-button href='{{ s.url }}'>Go</mj-button></mj-column></mj-section>{% endfor %}</mj-body></mjml>"
    )
    made = styling.work_mjml(source)
    assert tags_of(made) == tags_of(source)
    assert "color: green" in made
    assert "mj-text" not in made


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("<mjml><mj-body><mj-include path='/etc/hostname'/></mj-body></mjml>", "MJML: unable to load"),
        ("<mjml><mj-body>", "MJML: "),
        ("no", "MJML: "),
        ("<mjml><mj-body>" + "<mj-section>" * 3000 + "</mj-section>" * 3000 + "</mj-body></mjml>", "too deep"),
    ],
)
def test_mjml_that_is_none_or_hostile_is_an_error(source: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        styling.work_mjml(source)


def test_a_style_of_mjml_that_closes_itself_holds_nothing() -> None:
    made = styling.work_mjml(
        "<mjml><mj-head><mj-style inline='inline'/><mj-title>T</mj-title><mj-style inline='inline'>.q{color:green}"
        "</mj-style><!-- <mj-style inline='inline'>.q{font-size:7px}</mj-style> --></mj-head><mj-body><mj-section>"
        "<mj-column><mj-text css-class='q'>x</mj-text></mj-column></mj-section></mj-body></mjml>"
    )
    assert "<title>T</title>" in made
    assert "color: green" in made
    assert "7px" not in made


@pytest.mark.parametrize(
    "piece", ["<mj-style inline='inline'/>", "<mj-style inline='inline'>", "<mj-style ", "<mj-style inline="]
)
def test_hostile_mjml_is_read_in_linear_time(piece: str) -> None:
    started_s = process_time()
    with contextlib.suppress(TemplateError):
        styling.work_mjml("<mjml><mj-head>" + piece * (200_000 // len(piece)) + "</mj-head><mj-body></mj-body></mjml>")
    assert process_time() - started_s < 2.0


@pytest.mark.parametrize("piece", ["otr", "q", "<body ", '"<body', "<body '", "</head>", "<style>", "<!doctype "])
def test_hostile_html_is_worked_out_in_linear_time(piece: str) -> None:
    started_s = process_time()
    with contextlib.suppress(TemplateError):
        made = styling.inline_css("<style>p{margin:0}</style>otr" + piece * (100_000 // len(piece)))
        styling.place_preheader(made, "P")
    assert process_time() - started_s < 2.0


@pytest.mark.parametrize(
    "body",
    ["<div>" * 3000, "<b>" * 3000, "<i></i>" * 20_000, "<b/>" * 3000, "<b a=/>" * 3000, "<i></u>" * 3000],
)
def test_html_that_would_take_long_is_refused(body: str) -> None:
    with pytest.raises(TemplateError, match="too deep, or are too many"):
        styling.inline_css("<style>p{margin:0}</style>" + body)


@pytest.mark.parametrize(
    "wrap",
    ["<style>{}</style>", "<title>{}</title>", "<textarea>{}", "<xmp>{}</xmp>", "<style>" * 3000, "<é>" * 3000],
)
def test_mjml_that_only_its_parser_sees_nested_is_refused(wrap: str) -> None:
    inner = wrap.format("<b>" * 3000 + "</b>" * 3000)
    with pytest.raises(TemplateError, match="too deep, or are too many"):
        styling.work_mjml(f"<mjml><mj-body><mj-raw>{inner}</mj-raw></mj-body></mjml>")


def test_what_closes_itself_is_no_depth_where_it_is_not_much() -> None:
    icon = "<svg>" + "<path d='x'/>" * 5 + "</svg>"
    assert styling.inline_css("<style>p{margin:0}</style>" + icon * 200).count("<path") == 1000


def test_too_many_rules_for_so_many_elements_are_refused() -> None:
    with pytest.raises(TemplateError, match="too many rules"):
        styling.inline_css("<style>" + "p b{margin:0}" * 2000 + "</style>" + "<i></i>" * 3000)


def test_a_preheader_stands_first_in_the_body() -> None:
    assert styling.place_preheader("<html><body class='a>b'>x", "P") == "<html><body class='a>b'>Px"
    assert styling.place_preheader("<!doctype html>x", "P") == "<!doctype html>Px"
    assert styling.place_preheader("x", "P") == "Px"
    assert styling.has_preheader(finished("{{ preheader }}"))
    assert not styling.has_preheader("preheader")


def test_the_text_part_has_the_tags() -> None:
    source = finished(
        "<head>{% set a = 1 %}</head><p>{% if b %}Hi {{ name }}{% endif %}</p><a href='{{ url }}'>x</a>"
        "<div style='display:none'>{{ hidden }}{% if c %}y{% endif %}</div>"
    )
    made = styling.to_text(source)
    shown = TAGS.sub(lambda tag: "[" + tag[0][2:-2] + "]", made.removeprefix(translate.MADE))
    assert shown == "[set a = 1]\n\n[if b]Hi [name][endif]\n\nx ([url])[if c][endif]\n"
