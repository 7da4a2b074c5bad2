"""Cells of CSV files that people open in a spreadsheet. Pure."""

from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # What a spreadsheet would compute. OWASP, "CSV Injection", 2026-11.


def cell(text: str) -> str:
    """Return what stands for a text that strangers wrote: never the beginning of a formula."""
    return f"'{text}" if _is_formula(text) else text


def text(cell: str) -> str:
    """Return the text that `cell` made this of."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _is_formula(text: str) -> bool:
    """Whether it begins as one, or as one that was made harmless: so that what is read back is what was written."""
    return text.lstrip("'").startswith(_FORMULA)
