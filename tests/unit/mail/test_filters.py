"""The filters and operators of our own: what they make, and how much at most."""

import pytest

from outrider.base.errors import TemplateBoundError, TemplateError
from outrider.mail.filters import OWN, Filters
from outrider.mail.render import Renderer
from outrider.mail.templating import Source, SourceVariant, compile_source

ROWS = {"rows": [{"n": 2, "s": "b"}, {"n": 1, "s": "A"}, {"n": 2, "s": "c", "x": True}]}


def shown(expression: str, variables: dict[str, object] | None = None) -> str:
    source = Source(variants=(SourceVariant(subject="s", body="{{ " + expression + " }}", text="-"),))
    return Renderer(compile_source(source, {}).template).render(variables or ROWS).html or ""


@pytest.mark.parametrize(
    ("expression", "got"),
    [
        ("'a' ~ 1 ~ true", "a1true"),
        ("'<' ~ ('<b>'|safe)", "&lt;<b>"),
        ("'a' + 'b'", "ab"),
        ("1 + 2.5", "3.5"),
        ("2 * 3 ** 2", "18"),
        ("range(2, 8, 3)|list", "2, 5"),
        ("{'a': 1}|items|list", "a, 1"),
        ("{'b': 1, 'a': 2}|dictsort|map(attribute='x')|list|length", "2"),
        ("'<b>'|e|e", "&lt;b&gt;"),
        ("'aXbX'|replace('X', '--')", "a--b--"),
        ("'one two three'|truncate(9)", "one two…"),
        ("'one two three'|truncate(9, true, '')", "one two t"),
        ("'short'|truncate(9)", "short"),
        ("'%.2f %s %5d|%%'|format(3, 'x', 4)", "3.00 x     4|%"),
        ("'a\n<'|linebreaks", "a<br>\n&lt;"),
        ("{'a': [1, '<']}|tojson", '{"a": [1, "\\u003c"]}'),
        ("'a b  c'|split|join('-')", "a-b-c"),
        ("'a,b'|split(',')|join(' ')", "a b"),
        ("rows|join(', ', attribute='s')", "b, A, c"),
        ("rows|sort(attribute='s')|map(attribute='s')|join", "Abc"),
        ("rows|sort(attribute='n', reverse=true)|map(attribute='n')|join", "221"),
        ("rows|unique(attribute='n')|map(attribute='s')|join", "bA"),
        ("rows|sum(attribute='n')", "5"),
        ("rows|map(attribute='n')|min", "1"),
        ("rows|max(attribute='n')|tojson", '{"n": 2, "s": "b"}'),
        ("rows|selectattr('x')|map(attribute='s')|join", "c"),
        ("rows|rejectattr('x')|map(attribute='s')|join", "bA"),
        ("rows|selectattr('n', 'eq', 1)|map(attribute='s')|join", "A"),
        ("rows|selectattr('n', 'gt', 1)|map(attribute='s')|join", "bc"),
        ("rows|selectattr('s', 'in', ['A', 'c'])|map(attribute='s')|join", "Ac"),
        ("rows|map(attribute='x', default='-')|join", "--true"),
        ("[0, 1, 0]|select|list", "1"),
        ("[0, 1, 0]|reject|list", "0, 0"),
        ("'abc'|reverse", "cba"),
        ("[1, 2]|reverse|list", "2, 1"),
        ("[]|max", ""),
    ],
)
def test_filters_do_what_jinja_says(expression: str, got: str) -> None:
    assert shown(expression) == got


@pytest.mark.parametrize(
    "expression",
    [
        "'a' * 3",
        "[1] * 3",
        "'a' + 1",
        "[1] + [2]",
        "9 ** 99",
        "2 ** 63",
        "(-8) ** 0.5",
        "0 ** -1",
        "9223372036854775807 + 1",
        "'%99999d'|format(1)",
        "'%*d'|format(9, 1)",
        "'%(a)s'|format(1)",
        "'%d'|format('x')",
        "'%s'|format(1, 2)",
        "range('x')",
        "range(1, 2, 0)",
        "'x'|truncate(-1)",
        "3|join",
        "'x'|items",
        "rows|map('upper')",
        "rows|map(attribute=1, wrong=2)",
        "rows|selectattr('n', 'matches', 1)",
        "rows|sum",
        "'x'|replace('x')",
    ],
)
def test_what_makes_no_sense_is_an_error_of_the_template(expression: str) -> None:
    with pytest.raises(TemplateError) as caught:
        shown(expression)
    assert caught.value.field == "html"


@pytest.mark.parametrize(
    "expression",
    [
        "range(10**9)",
        "big|replace('', big)",
        "range(5000)|join(big)",
        "[big, big, big]",
        "{'a': big, 'b': big, 'c': big}",
        "'\"'|tojson" + "|tojson" * 20,
        "big ~ big ~ big",
    ],
)
def test_what_makes_too_much_is_stopped(expression: str) -> None:
    with pytest.raises(TemplateBoundError):
        shown(expression, {"big": "x" * 30_000})


def test_each_filter_has_its_function() -> None:
    assert all(callable(getattr(Filters, f"filter_{name}")) for name in OWN)
