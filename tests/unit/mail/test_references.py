"""Character references: in text and in attributes, as browsers read them, whatever stands in them."""

import pytest

from outrider.mail.references import in_attribute, in_text


@pytest.mark.parametrize(
    ("written", "in_an_attribute", "as_text"),
    [
        ("a&amp;b", "a&b", "a&b"),
        ("a&#38;b&#x26;c&#X26d", "a&b&c\u026d", "a&b&c\u026d"),
        ("?a=1&copy=2", "?a=1&copy=2", "?a=1©=2"),
        ("?a=1&notify=2&regional;", "?a=1&notify=2&regional;", "?a=1¬ify=2®ional;"),
        ("?a=1&copy", "?a=1©", "?a=1©"),
        ("?a=1&copy;=2&amp", "?a=1©=2&", "?a=1©=2&"),
        ("&unknown;&", "&unknown;&", "&unknown;&"),
        ("&#128;&#0;&#xD800;&#1114112;", "€\ufffd\ufffd\ufffd", "€\ufffd\ufffd\ufffd"),
        ("&#0000000000000038;", "&", "&"),
        (f"&#{'9' * 10_000};&#x{'f' * 10_000}", "\ufffd\ufffd", "\ufffd\ufffd"),
        ("&#;&#x;&#xg", "&#;&#x;&#xg", "&#;&#x;&#xg"),
    ],
)
def test_references_are_read_as_browsers_do(written: str, in_an_attribute: str, as_text: str) -> None:
    assert in_attribute(written) == in_an_attribute
    assert in_text(written) == as_text


def test_a_control_character_stays_in_an_attribute() -> None:
    assert in_attribute("&#1;&#xFFFF;") == "\x01\uffff"
