"""Character references of HTML (`&amp;`, `&#38;`, `&#x26`) as browsers read them, in text and in attributes. Pure.

In an attribute a name without a semicolon means nothing before "=" or a letter or digit: `?a=1&copy=2` has a parameter
called "copy". Python's `html.unescape` knows text only, and fails at a number of over 4,300 digits; this does not.
Source: HTML Living Standard §13.2.5.72 to 80.
"""

import html
import re
from html.entities import html5
from typing import Final

_REFERENCE: Final = re.compile(r"&(?:#(?:[xX][0-9A-Fa-f]++|[0-9]++);?|[A-Za-z][A-Za-z0-9]*+;?)")
_NUMBER: Final = re.compile(r"&#(?:[xX][0-9A-Fa-f]++|[0-9]++);?")
_DIGITS_MAX: Final = 7  # U+10FFFF is 1114111; what is longer is no character.
_NONE: Final = "\N{REPLACEMENT CHARACTER}"


def in_text(text: str) -> str:
    """Return text with its references replaced."""
    if "&" not in text:
        return text
    return html.unescape(_NUMBER.sub(_short, text) if "&#" in text else text)


def in_attribute(value: str) -> str:
    """Return an attribute's value with its references replaced."""
    return _REFERENCE.sub(_read, value) if "&" in value else value


def _read(found: re.Match[str]) -> str:
    reference = found[0]
    if reference[1] == "#":
        return _character(reference)
    if reference[-1] != ";" and found.string.startswith("=", found.end()):
        return reference
    return html5.get(reference[1:], reference)


def _short(found: re.Match[str]) -> str:
    """Return a reference by number, one that Python would not read as what it stands for."""
    return found[0] if len(found[0]) <= _DIGITS_MAX else _character(found[0])


def _character(reference: str) -> str:
    digits = reference[2:].rstrip(";")
    is_hex = digits[0] in "xX"
    digits = digits[is_hex:].lstrip("0") or "0"
    if len(digits) > _DIGITS_MAX:
        return _NONE
    # Python leaves out control characters and those that are none; browsers keep them.
    return html.unescape(f"&#{'x' * is_hex}{digits};") or chr(int(digits, 16 if is_hex else 10))
