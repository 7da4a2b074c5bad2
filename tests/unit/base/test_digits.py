"""Digits: what is a number, and what only looks like one."""

import pytest

from outrider.base import digits


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("9223372036854775807", digits.BIGINT_MAX)]
)
def test_digits_are_a_number(text: str, number: int) -> None:
    assert digits.parse(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        " 1",
        "1\n",
        "1_000",
        "1.0",
        "0x1",
        "\u00b2",
        "\u0663",
        "9223372036854775808",
        "9" * 5000,
        "0" * 5000,
    ],
)
def test_all_else_is_none(text: str) -> None:
    assert digits.parse(text) is None


@pytest.mark.parametrize(("text", "number"), [("9", 9), ("10", 10), ("11", None), ("010", None), ("100", None)])
def test_the_caller_may_bound_it(text: str, number: int | None) -> None:
    assert digits.parse(text, most=10) == number
