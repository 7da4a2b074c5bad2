"""A message that came whole, by SMTP, ready for its recipients: as it was handed in, with our signature on top.

Its octets stay what they are, but for what no server takes (`mail.encode.fit`): NUL, and lines over 998 octets. A
server without 8BITMIME gets it in 7 bits. Both forms are made once, the second when somebody asks for it, and signed as
they are sent.

Where its links or opens are tracked, it shows the mark for the link to unsubscribe, or it is marketing without a way
out (`engine.dress`), its HTML and its plain text are each recipient's own, written in place (`mail.leaves`). Found and
planned once a message; per recipient they are put together and encoded, and its body is hashed anew.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from outrider.engine import dress
from outrider.engine.dress import Dress
from outrider.mail import address, dkim, encode, leaves
from outrider.mail.address import Address
from outrider.mail.dkim import SigningKey
from outrider.mail.leaves import Found
from outrider.mail.render import Rendered
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.store.messages import Loaded
from outrider.wire.smtp_client import Features

_OFF_LOOP_BYTES_MIN: Final = 256 * 1024  # Ours: as many octets take 2 ms to look through and hash.
_OVERHEAD_BYTES: Final = 4096  # Ours: objects around it, roughly.
_KEPT_RATIO: Final = 2  # As it came, and in a form to be sent.
_DRESSED_RATIO: Final = 4  # Its texts decoded and planned, too.


class Form:
    """The message as it goes to a server that can do so much."""

    __slots__ = ("_body_hash", "_keys", "_like", "_prepared", "body", "fields", "is_8bit")

    def __init__(self, fitted: encode.Fitted, like: "Form | None" = None) -> None:
        """`like` is another form of the message: with the same fields it is prepared for signing only once."""
        fields, self.body = dkim.split(fitted.content)
        self.fields: Final = tuple(fields)
        self.is_8bit: Final = fitted.is_8bit
        self._body_hash: Final = dkim.body_hash(self.body)
        self._like: Final = like if like is not None and like.fields == self.fields else None
        self._keys: Sequence[SigningKey] = ()
        self._prepared: dkim.Prepared | None = None

    def written(self, own: Sequence[bytes], keys: Sequence[SigningKey], at: datetime) -> bytes:
        """Return the whole message, signed, with a recipient's `own` fields before all others."""
        prepared = (self._like or self).prepared_for(keys)
        return b"".join((prepared.sign(own, at, body_hash=self._body_hash), *own, *self.fields, b"\r\n", self.body))

    def prepared_for(self, keys: Sequence[SigningKey]) -> dkim.Prepared:
        """Return the fields ready to be signed with these keys."""
        if self._prepared is None or keys is not self._keys:  # The key ring hands out a new list when it looks again.
            self._keys, self._prepared = keys, dkim.prepare(self.fields, self._body_hash, keys)
        return self._prepared


class Copy:
    """The octets of a message, in the forms that servers take."""

    __slots__ = ("_7bit", "_8bit", "_like", "_raw", "needs_smtputf8")

    def __init__(self, raw: bytes, *, needs_smtputf8: bool, like: "Copy | None" = None) -> None:
        """`like` is another copy of the message."""
        self._raw: Final = raw
        self.needs_smtputf8: Final = needs_smtputf8
        self._like: Final = like
        self._8bit: Form | None = None
        self._7bit: Form | None = None

    def complete(self) -> None:
        """Make the form that nearly every server takes; without it `form` does."""
        self._8bit = self._8bit or self._fitted(has_8bitmime=True)

    def form(self, features: Features) -> Form:
        """Return the form for a server with these features."""
        if self._8bit is None:
            self._8bit = self._fitted(has_8bitmime=True)
        if features.has_8bitmime or not self._8bit.is_8bit:
            return self._8bit
        if self._7bit is None:
            self._7bit = self._fitted(has_8bitmime=False)
        return self._7bit

    def _fitted(self, *, has_8bitmime: bool) -> Form:
        like = None if self._like is None else self._like.form(Features(has_8bitmime=has_8bitmime))
        return Form(encode.fit(self._raw, has_8bitmime=has_8bitmime), like)


class Handed:
    """A message that came whole."""

    __slots__ = (
        "_dress", "_found", "_has_footer", "_is_personal", "_raw", "_shared", "_turn", "has_null_sender",
        "has_unsubscribe", "message", "sender", "shows_link",
    )  # fmt: skip

    def __init__(self, loaded: Loaded, worn: Dress | None = None) -> None:
        """`worn` is what its copies get, if anything. Nothing is read in its body before `complete`."""
        assert loaded.body.raw is not None
        self.message: Final = loaded.message
        self.sender: Final[Address] = address.parse(loaded.message.sender)
        self._raw: Final = loaded.body.raw
        self.has_null_sender: Final = loaded.body.has_null_sender
        names = [(field.partition(b":")[0].lower(), field) for field in dkim.split(self._raw)[0]]
        self.has_unsubscribe: Final = any(name == b"list-unsubscribe" for name, _ in names)
        # What is left of 8 bits after `mail.repair` is in addresses; parameters of parts no server looks at.
        needs_smtputf8 = any(not field.isascii() and not name.startswith(b"content-") for name, field in names)
        self._shared: Final = Copy(self._raw, needs_smtputf8=needs_smtputf8)
        self._dress: Final = worn
        self._turn: Final = asyncio.Lock()  # Of threads: a dress is not for several.
        self._found: Found | None = None
        self._has_footer = False
        self._is_personal = False
        self.shows_link = False
        """Whether a text shows the recipient's link to unsubscribe."""

    def sized_bytes(self) -> int:
        """Return what it takes in memory, about."""
        return _OVERHEAD_BYTES + (_KEPT_RATIO if self._dress is None else _DRESSED_RATIO) * len(self._raw)

    async def complete(self) -> None:
        """Read what its copies need, once."""
        if self._found is not None:
            return
        if len(self._raw) < _OFF_LOOP_BYTES_MIN:
            self._read()
            return
        async with self._turn:
            if self._found is None:
                await asyncio.to_thread(self._read)

    async def copy_for(self, recipient_id: UUID, link: str) -> Copy:
        """Return what a recipient gets, once `complete`; `link` is where it unsubscribes, "" for nowhere."""
        if not self._is_personal:
            return self._shared
        if len(self._raw) < _OFF_LOOP_BYTES_MIN:
            return self._made(recipient_id, link)
        async with self._turn:
            return await asyncio.to_thread(self._made, recipient_id, link)

    def _read(self) -> None:
        found = leaves.find(self._raw) if self._may_change() else leaves.NOTHING
        worn, texts = self._dress, [leaf.content for leaf in (found.html, found.text) if leaf is not None]
        has_mark = any(UNSUBSCRIBE_MARK in text for text in texts)
        if worn is not None and texts:
            self._has_footer = worn.has_footer and not worn.has_link(texts) and not self.has_unsubscribe
        self.shows_link = self._has_footer or has_mark
        self._is_personal = self.shows_link or (worn is not None and worn.changes_content and bool(texts))
        if not self._is_personal:
            found = leaves.NOTHING  # Not to be kept.
        self._shared.complete()
        self._found = found

    def _may_change(self) -> bool:
        """Tell, at a glance, whether there is anything to look for: most mail is neither dressed nor has the mark."""
        if self.has_null_sender:  # A report of ours, for a program to read.
            return False
        return self._dress is not None or b"%" in self._raw or b"base64" in self._raw.lower()

    def _made(self, recipient_id: UUID, link: str) -> Copy:
        assert self._found is not None
        html, text = self._found.html, self._found.text
        content = Rendered("", None if html is None else html.content, None if text is None else text.content)
        shown = link or UNSUBSCRIBE_MARK  # Where it leads nowhere the mark stays, as all that is not for us.
        if self._dress is None:
            content = dress.with_link(content, shown)
        else:
            has_footer = self._has_footer and bool(link)
            content = self._dress.put_on(content, recipient_id, link=shown, has_footer=has_footer, is_shared=False)
        pairs = ((html, content.html), (text, content.text))
        changes = [(leaf, written) for leaf, written in pairs if leaf is not None and written is not None]
        raw = leaves.rewritten(self._raw, changes)
        if raw is self._raw:
            return self._shared
        copy = Copy(raw, needs_smtputf8=self._shared.needs_smtputf8, like=self._shared)
        copy.complete()
        return copy
