"""A template made of what one call says itself: subject, HTML and text with variables, stored nowhere.

To compile one takes milliseconds, so those used last are kept, up to a size in bytes: a program sends the same words
again and again, and puts what differs into variables. Off the loop, a few at once.
"""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from outrider.engine.submission import Templated
from outrider.mail import templating
from outrider.mail.templating import Markup, Source, SourceVariant

_KEPT_BYTES_MAX: Final = 16 * 1024 * 1024  # Ours: some thousand mails.
_AT_ONCE: Final = 2  # Ours: compilations of a process; each holds a core.
_encode: Final = msgspec.msgpack.Encoder().encode


class Inliner:
    """Compiles them. One per process."""

    def __init__(self) -> None:
        self._bytes = 0
        self._kept: Final[OrderedDict[bytes, tuple[Templated, int]]] = OrderedDict()
        self._turns: Final = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, subject: str, html: str | None, text: str | None) -> Templated:
        """Return the template; HTML or text is there, or both.

        Raises:
            TemplateError: `field` names the part: "subject", "body" (the HTML; the text, if it is alone) or "text".
        """
        if html is None:
            assert text is not None
            source = Source(markup=Markup.TEXT, variants=(SourceVariant(subject=subject, body=text),))
        else:
            source = Source(variants=(SourceVariant(subject=subject, body=html, text=text),))
        encoded = _encode(source)
        key = hashlib.sha256(encoded).digest()
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found[0]
        async with self._turns:
            compiled = await asyncio.to_thread(templating.compile_source, source, {})
        return self._keep(key, Templated(template=compiled.template), 2 * len(encoded))

    def _keep(self, key: bytes, made: Templated, size_bytes: int) -> Templated:
        if key not in self._kept:  # Another call with the same words may have been faster.
            self._kept[key] = made, size_bytes
            self._bytes += size_bytes
        while self._bytes > _KEPT_BYTES_MAX and len(self._kept) > 1:
            _, (_, freed_bytes) = self._kept.popitem(last=False)
            self._bytes -= freed_bytes
        return made
