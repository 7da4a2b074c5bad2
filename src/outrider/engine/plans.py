"""Plans of contents whose links are rewritten (`mail.links`), kept for the messages that share them.

Found by a hash of the content and of what is to be done to it, newest used last out, up to a size in bytes: a program
sends the same words to one reader after the other, each in a call of its own. Of one message, `engine.dress` keeps the
last by itself. What a template made for one reader is not kept: nobody else has it.
"""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from outrider.mail import links
from outrider.mail.links import Plan, Rewriting

_KEPT_BYTES_MAX: Final = 16 * 1024 * 1024  # Ours: 200 contents of 30 KB.
_OVERHEAD_BYTES: Final = 1024  # Ours: objects around a plan, roughly.
_SLOT_BYTES: Final = 300  # Ours: one slot, its target, and a literal's head.
_CHAR_BYTES: Final = 2  # Ours: what a character takes, mostly.
_encode: Final = msgspec.msgpack.Encoder().encode


class Cut(msgspec.Struct, frozen=True):
    """What is to be done to a content."""

    rewriting: Rewriting
    is_html: bool = True
    has_footer: bool = False  # It gets a line to unsubscribe.
    text_links: bool = False  # Links of plain text are rewritten, too.


class Plans:
    """The plans of a process. Not for several threads."""

    def __init__(self, *, bytes_max: int = _KEPT_BYTES_MAX) -> None:
        self._bytes_max: Final = bytes_max
        self._bytes = 0
        self._kept: Final[OrderedDict[bytes, tuple[Plan, int]]] = OrderedDict()

    @property
    def kept_bytes(self) -> int:
        """What they take in memory, about."""
        return self._bytes

    def find(self, source: str, cut: Cut) -> Plan:
        """Return the plan of this content, made now if it is not kept. Cost: 20 us for 30 KB that is kept."""
        key = hashlib.sha256(source.encode("utf-8", "surrogatepass") + b"\0" + _encode(cut)).digest()
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found[0]
        plan = make(source, cut)
        size_bytes = _OVERHEAD_BYTES + _CHAR_BYTES * len(source) + _SLOT_BYTES * len(plan.slots)
        self._kept[key] = plan, size_bytes
        self._bytes += size_bytes
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            _, (_, freed_bytes) = self._kept.popitem(last=False)
            self._bytes -= freed_bytes
        return plan


def make(source: str, cut: Cut) -> Plan:
    """Return the plan of a content, with its footer. Cost: see `mail.links`."""
    if cut.is_html:
        return links.plan_html(links.with_footer(source) if cut.has_footer else source, cut.rewriting)
    whole = links.with_text_footer(source) if cut.has_footer else source
    return links.plan_text(whole, cut.rewriting, is_on=cut.text_links)
