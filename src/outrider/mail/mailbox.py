r"""Mailboxes as people write them: `Ann Lee <ann@a.example>`, or an address alone. Pure.

    parse('"Lee, Ann" <ann@a.example>')   Mailbox("Lee, Ann", ann@a.example)

One mailbox, never a list: a comma outside of quotes is refused rather than taken for the start of another recipient.
The name is what `headers` may write; encoded words in it are not decoded, since JSON carries any script as it is.
Source: RFC 5322 §3.4 (name-addr), without comments and groups.
"""

import re
from typing import Final

import msgspec

from outrider.base.errors import CallerError
from outrider.mail import address, headers
from outrider.mail.address import Address

_CHARS_MAX: Final = 2000  # Ours: as much as we look at.
_named: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*+)"|([^"<>,;]*+))\s*<([^<>]*+)>\s*').fullmatch
_ESCAPED: Final = re.compile(r"\\(.)")


class Mailbox(msgspec.Struct, frozen=True):
    """An address and the name beside it; "" for none."""

    name: str
    address: Address

    @property
    def text(self) -> str:
        """The same, such that `parse` reads it back."""
        if not self.name:
            return self.address.text
        escaped = self.name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{self.address.text}>'


def parse(text: str, *, field: str = "") -> Mailbox:
    """Return the mailbox that `text` is.

    Raises:
        CallerError: it is none, or its name may not be in a header; `public` says why, `field` is the caller's.
    """
    if len(text) > _CHARS_MAX:
        raise CallerError("That is too long for an address with a name.", field=field)
    name, bare = "", text.strip()
    if bare.endswith(">"):
        found = _named(text)
        if found is None:
            raise CallerError("That is not an address with a name, such as Ann Lee <ann@shop.example>.", field=field)
        name = _ESCAPED.sub(r"\1", found[1]) if found[1] is not None else found[2].strip()
        bare = found[3].strip()
    try:
        parsed = address.parse(bare)
    except CallerError as error:
        raise CallerError(f"invalid address: {error.public}", field=field) from error
    headers.check_display_name(name, field=field)
    return Mailbox(name, parsed)
