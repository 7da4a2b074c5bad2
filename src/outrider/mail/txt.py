"""The texts of TXT records: strings of at most 255 bytes, and lists of tags such as `v=DMARC1; p=none`.

A TXT record is one or more strings, and readers of SPF, DKIM and DMARC join them without anything between. A tag list
is what DKIM, DMARC, TLS-RPT, MTA-STS and BIMI write. Names of tags keep their case; DKIM tells `D=` from `d=`.
Sources: RFC 1035 §3.3.14, RFC 7208 §3.3, RFC 6376 §3.2 and §3.6.2.2.
"""

import re
from collections.abc import Mapping
from typing import Final

from outrider.base import limits

_WHITE: Final = " \t\r\n"
_tag_name: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*").fullmatch


class TagsError(ValueError):
    """A list of tags that cannot be read; the text says why and quotes nothing but a tag's name."""


def strings(text: str) -> tuple[str, ...]:
    """Return the strings that a TXT record carries a text in, each of at most 255 bytes; at least one."""
    octets = text.encode()
    if len(octets) == len(text):
        cuts = range(0, max(len(text), 1), limits.TXT_STRING_BYTES_MAX)
        return tuple(text[at : at + limits.TXT_STRING_BYTES_MAX] for at in cuts)
    pieces, piece = [], ""
    for char in text:  # A character is never cut in two.
        if len((piece + char).encode()) > limits.TXT_STRING_BYTES_MAX:
            pieces.append(piece)
            piece = ""
        piece += char
    return (*pieces, piece)


def master_form(text: str) -> str:
    r"""Return the text as a zone file writes it: `"one" "two"`, quotes, backslashes and what is not ASCII escaped.

    Source: RFC 1035 §5.1.
    """
    return " ".join(f'"{"".join(map(_escaped, piece.encode()))}"' for piece in strings(text))


def read_tags(text: str) -> dict[str, str]:
    """Read a tag list, in the order in which it is written; white space around names and values is gone.

    Raises:
        TagsError: it is none, or a tag is there twice.

    Source: RFC 6376 §3.2.
    """
    tags: dict[str, str] = {}
    *specs, last = text.split(";")
    for spec in [*specs, last] if last.strip() else specs:
        name, equals, value = spec.partition("=")
        name = name.strip(_WHITE)
        if not equals or not _tag_name(name):
            raise TagsError("the list of tags cannot be read")
        if name in tags:
            raise TagsError(f"{name}= is there twice")
        tags[name] = value.strip(_WHITE)
    return tags


def write_tags(tags: Mapping[str, str]) -> str:
    """Return the list as one text: what `read_tags` reads."""
    return "; ".join(f"{name}={value}" for name, value in tags.items())


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return f"\\{octet:c}"
    return f"{octet:c}" if 0x20 <= octet < 0x7F else f"\\{octet:03d}"
