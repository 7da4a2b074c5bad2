"""Numbers that people and strangers write as digits. Pure.

`int` is no parser for them: it takes signs, spaces, underscores and the digits of other scripts, and over 4,300 digits
it raises (sys.set_int_max_str_digits). What is read here fits into PostgreSQL's bigint.
"""

from typing import Final

BIGINT_MAX: Final = 2**63 - 1  # PostgreSQL's bigint.


def parse(text: str, *, most: int = BIGINT_MAX) -> int | None:
    """Return the number that `text` is, written in ASCII digits and nothing else; None if it is none, or over `most`.

    Cost: bounded by the length of `most`, whatever the length of the text.
    """
    if len(text) > len(str(most)) or not (text.isascii() and text.isdecimal()):
        return None
    number = int(text)
    return number if number <= most else None
