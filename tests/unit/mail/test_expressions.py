"""Expressions: what is written for minijinja, what is refused, what is known of the variables."""

import pytest

from outrider.base.errors import TemplateError
from outrider.mail import translate


def written(expression: str) -> str:
    return translate.translate("{{ " + expression + " }}", {}).text.strip("\ufdd0\ufdd1 ")


@pytest.mark.parametrize(
    ("wrote", "made"),
    [
        ("a", "a"),
        ("a.b['c d'][0]", 'a.b["c d"][0]'),
        ("a.items", "a.items"),
        ("items", "_v_6974656d73"),
        ("a ~ 'b'", '_g_cat(a, "b")'),
        ("a + b * 2", "_g_add(a, _g_mul(b, 2))"),
        ("a - b / 2 // 3 % 4", "(a - (((b / 2) // 3) % 4))"),
        ("a ** 2", "_g_pow(a, 2)"),
        ("-a", "(-a)"),
        ("not a and b or c", "(((not a) and b) or c)"),
        ("a if b else c", "(a if b else c)"),
        ("a if b", '(a if b else "")'),
        ("a not in b", "(a not in b)"),
        ("a is defined", "(a is defined)"),
        ("a is none", "(a is undefined)"),
        ("a is divisibleby 3", "(a is divisibleby(3))"),
        ("[a, 1]", "_g_row(a, 1)"),
        ("{'k': a}", '_g_fields("k", a)'),
        ("a|upper|join(', ')", 'a|upper|_g_join(", ")'),
        ("a|default('x', true)", 'a|default("x", true)'),
        ("range(3)", "_g_range(3)"),
        ("a.items()", "a.items()"),
        ("a[1:]", "a[1:]"),
        ("a[:2]", "a[:2]"),
        ("a[::2]", "a[::2]"),
        ("1.5", "1.500000"),
        ("'\"\\n'", '"\\"\\n"'),
    ],
)
def test_an_expression_is_written_again(wrote: str, made: str) -> None:
    assert written(wrote) == made


@pytest.mark.parametrize(
    ("wrote", "why"),
    [
        ("''.__class__", "underscore"),
        ("a._private", "underscore"),
        ("a()", "no macro"),
        ("a.append(1)", "no macro"),
        ("a.b.c()", "no macro"),
        ("_g_tick(1, 1)", "no macro"),
        ("dict(a=1)", "no macro"),
        ("cycler('a')", "no macro"),
        ("a|attr('x')", "no filter"),
        ("a|center(9)", "no filter"),
        ("a|_g_join", "no filter"),
        ("a is callable", "no test"),
        ("a|join(*b)", "by star"),
        ("a < b < c", "do not have"),
        (str(2**63), "too large"),
        ("9" * 5000, "cannot be read"),
        ("(" * 1000 + "a" + ")" * 1000, "too deep"),
        ("not " * 100 + "a", "too deep"),
        ("a" + ".b" * 100, "too many steps"),
    ],
)
def test_what_mail_templates_do_not_have_is_refused_by_name(wrote: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        written(wrote)


def test_what_is_read_is_known_without_what_has_a_default() -> None:
    source = (
        "{{ a }}{{ user.name }}{{ b|default(1) }}{% if c is defined %}{{ c.d }}{% endif %}"
        "{% set e = 1 %}{{ e }}{% for f in lines %}{{ f.x }}{{ loop.index }}{% endfor %}"
    )
    assert sorted(translate.translate(source, {}).variables) == ["a", "lines", "user.name"]


def test_shapes_say_what_a_preview_needs() -> None:
    source = (
        "{% for f in order.lines %}{{ f.name }}{{ f.price * 2 }}{% for g in f.tags %}{{ g }}{% endfor %}{% endfor %}"
    )
    shapes = translate.translate(source, {}).shapes
    assert {"order.lines.[].name", "order.lines.[].price=1", "order.lines.[].tags.[]"} <= shapes
