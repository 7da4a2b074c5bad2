"""An escape is greppable, names a rule, gives a reason; a rule with more than five of them is wrong (STYLE.md)."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from tests.tidy.sources import RULES, Escape, Finding, modules, product, refuse, snippet

PER_RULE_COUNT_MAX: Final = 5
REASON_WORDS_MIN: Final = 3


def bad_escapes(escapes: Iterable[Escape]) -> list[Finding]:
    found: list[Finding] = []
    seen: Counter[str] = Counter()
    for escape in escapes:
        seen[escape.rule] += 1
        if escape.rule not in RULES:
            found.append(Finding(escape.path, escape.line, f"no rule is called {escape.rule!r}"))
        if len(escape.reason.split()) < REASON_WORDS_MIN:
            found.append(Finding(escape.path, escape.line, "say why, in a few words"))
        if seen[escape.rule] > PER_RULE_COUNT_MAX:
            found.append(
                Finding(escape.path, escape.line, f"escape {seen[escape.rule]}: change the rule {escape.rule}")
            )
    return found


def test_escapes_are_few_and_say_why() -> None:
    # Not tests/tidy: its snippets are full of them.
    sources = [m for m in (*product(), *modules("tests", "bench")) if not m.path.startswith("tests/tidy/")]
    refuse(bad_escapes(e for m in sources for e in m.escapes))


def test_a_bad_escape_is_seen() -> None:
    nameless = snippet("x = 1  # tidy: wrods the library says so\n").escapes
    silent = snippet("x = 1  # tidy: words\n").escapes
    many = snippet("x = 1  # tidy: words the library says so\n" * 6).escapes
    assert [len(bad_escapes(e)) for e in (nameless, silent, many, many[:5])] == [1, 1, 1, 0]


def test_an_escape_in_sql_is_one() -> None:
    (escape,) = snippet('Q = "SELECT 1 /* tidy: project-scope public by nature */"\n').escapes
    assert (escape.rule, escape.reason) == ("project-scope", "public by nature")
