"""Templates made ready, kept for the messages that need them next: newest used last out, up to a size in bytes.

To make one ready takes as long as to render some mails from it, and a call with one recipient has one. What is kept is
found by a hash of the template, so whoever stored it twice has it here once.
"""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from outrider.mail.render import Renderer, Template

_OVERHEAD_BYTES: Final = 4096  # Ours: objects around a template, roughly.
_AS_READY: Final = 4  # Ours: what a template takes once it is ready, as a multiple of its text; measured 3 to 4.
_encode: Final = msgspec.msgpack.Encoder().encode


class Renderers:
    """The renderers of a process. Not for several threads."""

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max: Final = bytes_max
        self._bytes = 0
        self._kept: Final[OrderedDict[bytes, tuple[Renderer, int]]] = OrderedDict()

    @property
    def kept_bytes(self) -> int:
        """What they take in memory, about."""
        return self._bytes

    def find(self, template: Template) -> Renderer:
        """Return the renderer of this template, made now if it is not kept. Raises TemplateError.

        Cost: 10 us for a template of 5 KB that is kept.
        """
        encoded = _encode(template)
        key = hashlib.sha256(encoded).digest()
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found[0]
        renderer, size_bytes = Renderer(template), _OVERHEAD_BYTES + _AS_READY * len(encoded)
        self._kept[key] = renderer, size_bytes
        self._bytes += size_bytes
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            _, (_, freed_bytes) = self._kept.popitem(last=False)
            self._bytes -= freed_bytes
        return renderer
