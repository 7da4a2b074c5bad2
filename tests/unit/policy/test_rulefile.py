"""Rule files are read strictly, and their patterns mean the same whatever the case."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import ConfigError
from outrider.policy.rulefile import Needles, check_rules, compile_pattern, needles_of, read_toml


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    """A file of one number."""

    count: int


class Entry(msgspec.Struct):
    """A rule."""

    id: str
    pattern: str = "^"


def test_a_file_is_read() -> None:
    assert read_toml("count = 3", Sample, "The file") == Sample(3)


@pytest.mark.parametrize("text", ["count = ", "count = 'x'", "", "count = 3\nmore = 4"])
def test_what_is_no_such_file_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"The file of ours cannot be read: "):
        read_toml(text, Sample, "The file of ours")


def test_an_id_used_twice_and_a_broken_pattern_are_named() -> None:
    check_rules([Entry("a.b"), Entry("a.c")])
    with pytest.raises(ConfigError, match=r"called a\.b"):
        check_rules([Entry("a.b"), Entry("a.b")])
    with pytest.raises(ConfigError, match=r"a\.b is broken"):
        check_rules([Entry("a.b", "(")])


@pytest.mark.parametrize(
    ("pattern", "line"), [("No Such User", "550 no such user"), (r"^\d+ \S+ X$", "550 - x"), (r"\bRBL\b", "an rbl")]
)
def test_a_pattern_is_compiled_for_a_lower_case_line(pattern: str, line: str) -> None:
    assert compile_pattern(pattern).search(line)


@given(text=st.text(alphabet="aB1 .-[", max_size=8), line=st.text(alphabet="abAB1 .-[", max_size=12))
def test_it_finds_what_ignoring_case_finds(text: str, line: str) -> None:
    pattern = re.escape(text)
    assert bool(compile_pattern(pattern).search(line.lower())) == bool(re.search(pattern, line, re.IGNORECASE))


@pytest.mark.parametrize(
    ("pattern", "needles"),
    [
        ("user unknown", {"user unknown"}),
        ("User Unknown", {"user unknown"}),
        ("user|mailbox", {"user", "mailbox"}),
        ("users? unknown", {" unknown"}),
        ("(user|mailbox) .{0,60}gone", {"user", "mailbox"}),  # Of equal length, the first.
        ("(user|box) .{0,60}unknown", {"unknown"}),
        ("(user )?unknown", {"unknown"}),
        ("(user ){0,2}unknown", {"unknown"}),
        ("(user ){1,2}un", {"user "}),
        (r"\[TSS0[45]\]", {"[tss0"}),
        (r"^\d{3} 5\.7\.1 ", {" 5.7.1 "}),
        ("a+bc", {"bc"}),
        ("ab+cd", {"ab"}),
        ("(?!not this)that", {"that"}),
        ("(?<!to )sender", {"sender"}),
        ("(?:no|none) .{0,9}x", {"no", "none"}),
        ("[(]no[)]", {"no"}),
        ("^", set()),
        (r"\d+", set()),
        ("user|.", set()),
        ("(a|)b?", set()),
        ("ящик (полон|переполнен)", {"ящик "}),
    ],
)
def test_needles(pattern: str, needles: set[str]) -> None:
    assert needles_of(pattern) == needles


pieces = st.sampled_from(
    ["a", "bc", " ", ".", r"\d", r"\.", "[ab]", "(a|bc)", "(b|c)?", "(ab)+", "(?!bb)", "(?:c|d)", "a?", "b*", "c{0,2}"]
) | st.sampled_from(["d{2}", "|", "^"])


@given(pattern=st.lists(pieces, min_size=1, max_size=6).map("".join), line=st.text("abcd .1", max_size=12))
def test_a_line_without_any_needle_is_never_found(pattern: str, line: str) -> None:
    try:
        search = compile_pattern(pattern).search
    except re.error:  # "^*" and its like.
        return
    needles = needles_of(pattern)
    assert not search(line) or not needles or any(needle in line for needle in needles)


@given(
    needles=st.sets(st.text("ab1 ", min_size=1, max_size=5), max_size=20),
    line=st.text("ab1 ", max_size=30),
)
def test_needles_are_found_where_they_are_and_nowhere_else(needles: set[str], line: str) -> None:
    assert Needles(needles).found_in(line) == {needle for needle in needles if needle in line}
