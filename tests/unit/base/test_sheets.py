"""Cells that a spreadsheet does not compute."""

import pytest

from outrider.base import sheets


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "'=1", "''-1"])
def test_what_would_be_computed_is_a_text_and_is_read_back(text: str) -> None:
    assert sheets.cell(text) == f"'{text}"
    assert sheets.text(sheets.cell(text)) == text


@pytest.mark.parametrize("text", ["", "ann@one.example", "1=1", "'", "'n Sale"])
def test_all_else_stays(text: str) -> None:
    assert sheets.cell(text) == sheets.text(text) == text
