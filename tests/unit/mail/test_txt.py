"""Strings of 255 bytes and lists of tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.mail import txt


@given(st.text(max_size=700))
def test_strings_join_to_the_text_and_none_is_too_long(text: str) -> None:
    pieces = txt.strings(text.encode("utf-8", "replace").decode())
    assert "".join(pieces) == text.encode("utf-8", "replace").decode()
    assert all(len(piece.encode()) <= limits.TXT_STRING_BYTES_MAX for piece in pieces)
    assert len(pieces) >= 1


def test_a_long_key_takes_two_strings() -> None:
    assert [len(piece) for piece in txt.strings("k" * 410)] == [255, 155]
    assert txt.strings("") == ("",)


def test_a_zone_file_quotes_and_escapes() -> None:
    assert txt.master_form('a "b" \\ ü\n') == r'"a \"b\" \\ \195\188\010"'
    assert txt.master_form("k" * 256) == f'"{"k" * 255}" "k"'


def test_tags_are_read_in_order_without_white_space() -> None:
    assert list(txt.read_tags(" v = DMARC1 ;p=none;\trua = a b ; ").items()) == [
        ("v", "DMARC1"),
        ("p", "none"),
        ("rua", "a b"),
    ]
    assert txt.read_tags("p=") == {"p": ""}
    assert txt.read_tags("") == {}


@pytest.mark.parametrize("text", ["v=1; p", "v=1;; p=2", "=1", "1=1", "a b=1", "v=1; v=2", "ü=1"])
def test_what_is_no_list_of_tags_is_refused(text: str) -> None:
    with pytest.raises(txt.TagsError):
        txt.read_tags(text)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True), st.from_regex(r"[!-:<-~]*", fullmatch=True)
    )
)
def test_what_is_written_is_read(tags: dict[str, str]) -> None:
    assert txt.read_tags(txt.write_tags(tags)) == tags
