"""Whatever is published, reading it raises one error or none, and merging loses nothing of it."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.mail import spf
from outrider.mail.spf import SpfError

name = st.from_regex(r"[a-z0-9_]{1,8}(\.[a-z0-9-]{1,8}){0,2}\.example", fullmatch=True)
mechanism = st.one_of(
    name.map("include:{}".format),
    name.map("a:{}".format),
    name.map("mx:{}/24".format),
    name.map("exists:%{{ir}}.{}".format),
    st.ip_addresses(v=4).map("ip4:{}".format),
    st.ip_addresses(v=6).map("ip6:{}/64".format),
    st.sampled_from(["a", "mx", "ptr", "A", "MX/24//64"]),
)
qualified = st.builds(str.__add__, st.sampled_from(["", "+", "-", "~", "?"]), mechanism)
ends = st.sampled_from(["", "-all", "~all", "?all", "+all", "redirect=r.example", "exp=e.example", "x=y"])
record = st.builds(
    lambda words, end: " ".join(filter(None, ["v=spf1", *words, end])), st.lists(qualified, max_size=8), ends
)
ours = st.builds(
    lambda words, end: " ".join(["v=spf1", *words, end]),
    st.lists(mechanism, min_size=1, max_size=4),
    st.sampled_from(["-all", "~all"]),
)


@given(record)
def test_a_record_is_read_word_for_word(text: str) -> None:
    assert " ".join(["v=spf1", *(term.text for term in spf.parse(text).terms)]) == text


@given(st.lists(record, max_size=3), ours)
@example(["v=spf1 a", "v=spf1 redirect=a.example"], "v=spf1 a -all")
def test_merging_keeps_all_and_twice_changes_nothing(published: list[str], wanted: str) -> None:
    merged = spf.merge(published, wanted)
    found = spf.parse(merged.text)
    known = {term.meaning for term in found.terms}
    for text in [*published[:1], wanted]:
        assert {term.meaning for term in spf.parse(text).mechanisms if term.name != "all"} <= known
    for text in published[1:]:
        assert {term.meaning for term in spf.parse(text).mechanisms if term.name != "all"} <= known
    again = spf.merge([merged.text], wanted)
    assert again.text == merged.text
    if published:
        first = spf.parse(published[0])
        kept = [term.text for term in found.terms if term.text in {old.text for old in first.terms}]
        assert kept == [term.text for term in first.terms]  # In their order.
        assert (found.all is None) == (first.all is None)
    before_all = found.mechanisms[: found.mechanisms.index(found.all)] if found.all else found.mechanisms
    if not published or spf.parse(published[0]).all is None or published[0].endswith("all"):
        assert {t.meaning for t in spf.parse(wanted).mechanisms if t.name != "all"} <= {t.meaning for t in before_all}


@given(st.lists(record, max_size=2), ours, st.integers(0, 12) | st.none(), st.integers(0, 12) | st.none())
def test_never_over_ten_look_ups_without_saying_so(
    published: list[str], wanted: str, known: int | None, cost: int | None
) -> None:
    merged = spf.merge(published, wanted, known_lookups=known, ours=cost)
    own = spf.parse(merged.text).lookups_count
    if max(own if known is None else 0, merged.lookups_count) > limits.SPF_LOOKUPS_COUNT_MAX:
        assert "look-ups" in merged.problem
    if known is None and cost is None:
        assert merged.lookups_count >= own


@given(st.text(max_size=60) | st.text(max_size=60).map("v=spf1 {}".format))
@example("v=spf1 a:" + "%{d" * 30)
@example("v=spf1 a" + "/" * 40)
def test_no_text_raises_anything_else(text: str) -> None:
    merged = spf.merge([text], "v=spf1 a -all")
    assert merged.problem.isprintable()
    with contextlib.suppress(SpfError):
        assert all(term.meaning for term in spf.parse(text).terms)


@pytest.mark.parametrize("text", ["v=spf1 a -all", "v=spf1 -all"])
def test_another_merge_of_all_is_not_lost(text: str) -> None:
    assert spf.parse(spf.merge([text], "v=spf1 mx ~all").text).all is not None
