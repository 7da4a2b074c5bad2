"""Station 3: from a recipient and its message to the bytes that go out: composed and signed.

What is the same for all recipients of a message (body, body hash, most header fields, their canonical form) is made
once and kept, newest used last out, up to `drafts_bytes_max`; per recipient there remain To, Message-ID and the
signatures. Signing happens here and not at acceptance, so a signature is never older than the attempt and always made
with the keys of now. Where the content is each recipient's own (`Composed.is_personal`: it has a template, or shows the
link to unsubscribe, or `engine.dress` has links of it tracked), subject, texts and body hash are made for each, too,
from what acceptance has tried.

The Message-ID is the recipient's id: every attempt for a recipient carries the same one, so a receiver that gets a
mail twice can tell.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import NotFoundError
from outrider.base.vocab import Stream
from outrider.engine import dress, fill
from outrider.engine.dress import Dress, TrackingBook
from outrider.engine.handed import Copy, Handed
from outrider.engine.plans import Plans
from outrider.engine.renderers import Renderers
from outrider.mail import address, build, dkim, mailbox
from outrider.mail.address import Address
from outrider.mail.build import Draft, Filled, Frame
from outrider.mail.dkim import SigningKey
from outrider.mail.mime import File
from outrider.mail.render import Rendered, Renderer
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.mail.verp import Purpose
from outrider.store import attachments, messages
from outrider.store.messages import Loaded, Message
from outrider.store.pool import Store, Tx
from outrider.store.queue import Claim
from outrider.wire.smtp_client import Envelope, Features

_LOADED_COUNT_MAX: Final = 2000  # Ours: a few claims of many lanes.
_DRAFT_OVERHEAD_BYTES: Final = 4096  # Ours: objects around a body, roughly.
_RENDERERS_BYTES_MAX: Final = 32 * 1024 * 1024  # Ours: as `engine.fill` keeps.
_OFF_LOOP_BYTES_MIN: Final = 256 * 1024  # Ours: a body this large takes 2 ms to write and hash.


class SigningKeys(Protocol):
    """The DKIM keys of a project's domains (`services.identity`)."""

    async def of_domain(self, project_id: UUID, domain: str) -> Sequence[SigningKey]:
        """Return the keys to sign with now; [] if the project has no such domain any more."""


class ReturnPathBook(Protocol):
    """Where mail about our mail comes back to (`services.return_paths`)."""

    async def domain_of(self, project_id: UUID, sender_domain: str, route: str) -> str:
        """Return the domain of the return paths of a project's mail from `sender_domain` to `route`, "" for none."""

    def mint(self, recipient_id: UUID, domain: str, purpose: Purpose = Purpose.BOUNCE) -> str:
        """Return the address for mail about this recipient."""

    def link(self, recipient_id: UUID) -> str:
        """Return the page on which this recipient unsubscribes, "" if there is none."""


class Own(msgspec.Struct, frozen=True):
    """What one recipient's mail has of its own besides its address."""

    filled: Filled
    body_hash: bytes


class Composed:
    """A message ready for its recipients, once its files are there (`lacks`)."""

    __slots__ = (
        "_body",
        "_body_hash",
        "_dress",
        "_frame",
        "_has_footer",
        "_keys",
        "_prepared",
        "_renderer",
        "_turn",
        "draft",
        "has_unsubscribe",
        "is_personal",
        "message",
        "sender",
        "shows_link",
    )

    def __init__(self, loaded: Loaded, renderer: Renderer | None = None, worn: Dress | None = None) -> None:
        """`renderer` is that of the body's template, if it has one, `worn` what its copies get, if anything."""
        self.message: Final = loaded.message
        self.sender: Final[Address] = address.parse(loaded.message.sender)
        self._renderer: Final = renderer
        self._frame: Frame | None = None
        self.has_unsubscribe: Final = any(name.lower() == "list-unsubscribe" for name, _ in loaded.body.headers)
        parts = (loaded.body.html, loaded.body.text)
        self._dress: Final = worn
        self._has_footer: Final = worn is not None and worn.has_footer and self._lacks_link(worn, parts)
        has_own_links = self._has_footer or (worn is not None and worn.changes_content)
        has_mark = any(part is not None and UNSUBSCRIBE_MARK in part for part in parts)
        self.is_personal: Final = renderer is not None or has_mark or has_own_links
        self.shows_link: Final = self._has_footer or (renderer.has_unsubscribe if renderer is not None else has_mark)
        """Whether the content shows the recipient's link to unsubscribe."""
        self._body: Final = loaded.body
        self._turn: Final = asyncio.Lock() if loaded.body.files else None  # Of those who bring the files.
        self._keys: Sequence[SigningKey] = ()
        self._prepared: dkim.Prepared | None = None
        self.draft: Draft | None = None  # A personal one has an empty body, and no fields of the content.
        if not loaded.body.files:
            self._compose({})

    async def complete(self, load: Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, bytes]]]) -> bool:
        """Compose it with its files, once; True if that was done now. Raises NotFoundError: one is gone."""
        if self._turn is None or self._is_complete():
            return False
        async with self._turn:
            if self._is_complete():
                return False
            octets = await load([file.content_hash for file in self._body.files])
            if missing := [file.name for file in self._body.files if file.content_hash not in octets]:
                raise NotFoundError("A file of a queued message is gone.", count=len(missing))
            await asyncio.to_thread(self._compose, octets)  # Base64 of megabytes.
            return True

    def _is_complete(self) -> bool:
        return self.draft is not None

    def sized_bytes(self) -> int:
        """Return what it takes in memory, about."""
        files = sum(len(one.part.content) for one in self._frame.enclosed) if self._frame else 0
        return _DRAFT_OVERHEAD_BYTES + (len(self.draft.body) if self.draft else 0) + files

    def render(self, personal: bytes | None, link: str, recipient_id: UUID) -> Rendered:
        """Return the recipient's content; only of what `is_personal`. `link` is where it unsubscribes.

        Raises:
            TemplateError: never, as acceptance has tried it; if so, it is a bug.
        """
        if self._dress is None:
            return self._rendered(personal, link)
        bare = Rendered(self.message.subject, self._body.html, self._body.text)
        rendered = bare if self._renderer is None else self._rendered(personal, link)
        return self._dress.put_on(
            rendered, recipient_id, link=link, has_footer=self._has_footer, is_shared=self._renderer is None
        )

    def _lacks_link(self, worn: Dress, parts: Sequence[str | None]) -> bool:
        """Whether nothing leads the reader out: no link to our page in the content, no way of the sender's own."""
        shown = self._renderer.has_unsubscribe if self._renderer is not None else worn.has_link(parts)
        return not shown and not self.has_unsubscribe

    def _rendered(self, personal: bytes | None, link: str) -> Rendered:
        message, body = self.message, self._body
        if self._renderer is None:
            return dress.with_link(Rendered(message.subject, body.html, body.text), link)
        known = fill.read(personal)
        return self._renderer.render(
            known.variables,
            locale=known.locale,
            unsubscribe_link=link,
            subject=message.subject if body.has_own_subject else None,
            preheader=body.preheader,
        )

    def write(self, rendered: Rendered, recipient_id: UUID) -> Own:
        """Return what this recipient's message has of its own; only of what `is_personal` and complete."""
        assert self._frame is not None
        filled = self._frame.fill(rendered.subject, rendered.text, rendered.html, seed=recipient_id.hex.encode("ascii"))
        return Own(filled, dkim.body_hash(filled.body))

    def is_large(self, rendered: Rendered) -> bool:
        """Tell whether it is too much to be written on the loop."""
        parts_chars = len(rendered.text or "") + len(rendered.html or "")
        return self.sized_bytes() + parts_chars > _OFF_LOOP_BYTES_MIN

    def _compose(self, octets: Mapping[bytes, bytes]) -> None:
        message, body = self.message, self._body
        frame = build.frame(
            sender=self.sender,
            from_name=message.from_name,
            date=message.accepted_at,
            reply_to=[mailbox.parse(text) for text in body.reply_to],
            shown_to=[mailbox.parse(text) for text in body.shown_to],
            shown_cc=[mailbox.parse(text) for text in body.shown_cc],
            extra=body.headers,
            files=[File(file.name, file.type, octets[file.content_hash], file.content_id) for file in body.files],
        )
        if self.is_personal:
            self._frame, self._body_hash, self.draft = frame, b"", frame.draft
            return
        draft = frame.with_all(message.subject, body.text, body.html)
        self._body_hash = dkim.body_hash(draft.body)
        self.draft = draft

    def sign(
        self, fields: Sequence[bytes], keys: Sequence[SigningKey], at: datetime, *, body_hash: bytes = b""
    ) -> bytes:
        """Return the signature fields for a recipient's own `fields` and the message's.

        Args:
            body_hash: of the recipient's own body, if it has one.
        """
        assert self.draft is not None
        if self._prepared is None or keys is not self._keys:  # The key ring hands out a new list when it looks again.
            self._keys, self._prepared = keys, dkim.prepare(self.draft.fields, self._body_hash, keys)
        return self._prepared.sign(fields, at, body_hash=body_hash)


Ready = Composed | Handed  # A message that is kept for its next recipients.


class Preparer:
    """Composes messages and signs them for one recipient at a time."""

    def __init__(
        self,
        store: Store,
        keys: SigningKeys,
        return_paths: ReturnPathBook,
        *,
        clock: Clock,
        drafts_bytes_max: int,
        tracking: TrackingBook | None = None,
    ) -> None:
        """`tracking` None: nothing is tracked, and no mail gets a footer."""
        self._store: Final = store
        self._keys: Final = keys
        self._return_paths: Final = return_paths
        self._clock: Final = clock
        self._tracking: Final = tracking
        self._bytes_max: Final = drafts_bytes_max
        self._bytes = 0
        self._kept: Final[OrderedDict[UUID, Ready]] = OrderedDict()
        self._loaded: Final[dict[UUID, Loaded]] = {}  # Read ahead by `load`, not composed yet.
        self._renderers: Final = Renderers(bytes_max=_RENDERERS_BYTES_MAX)
        self._plans: Final = Plans()

    @property
    def kept_bytes(self) -> int:
        """What composed messages take in memory, about."""
        return self._bytes

    async def load(self, tx: Tx, message_ids: Set[UUID]) -> None:
        """Read ahead those of these messages that are not kept, in the caller's transaction."""
        missing = [message_id for message_id in message_ids if message_id not in self._kept]
        if len(self._loaded) > _LOADED_COUNT_MAX:
            self._loaded.clear()  # Of lanes that were lost before they were worked on.
        if missing:
            # One that cannot be read must not stop the lanes of all: `compose` meets it alone.
            with contextlib.suppress(msgspec.MsgspecError):
                self._loaded.update(await messages.load(tx, missing))

    async def compose(self, message_ids: set[UUID]) -> dict[UUID, Ready]:
        """Return these messages composed, reading those that are neither kept nor read ahead in one query.

        A message that is not stored any more is missing from the answer.
        """
        found: dict[UUID, Ready] = {}
        for message_id in message_ids:
            if (composed := self._kept.get(message_id)) is not None:
                self._kept.move_to_end(message_id)
                found[message_id] = composed
        loaded = {i: self._loaded.pop(i) for i in message_ids - found.keys() if i in self._loaded}
        missing = list(message_ids - found.keys() - loaded.keys())
        if missing:
            async with self._store.transaction() as tx:
                loaded |= await messages.load(tx, missing)
        for message_id, one in loaded.items():
            # Kept by now, if another lane asked at the same moment.
            found[message_id] = self._kept.get(message_id) or await self._made(message_id, one)
        return found

    async def maker(self, composed: Ready, claim: Claim) -> Callable[[Features], Envelope]:
        """Return what makes this recipient's envelope, signed, once the server says what it can do.

        Raises:
            NotFoundError: the sender's domain or its keys are gone.
            TemplateError: see `Composed.render`.
        """
        message = composed.message
        keys = await self._keys.of_domain(message.project_id, composed.sender.domain)
        if not keys:
            raise NotFoundError("The sender's domain has no signing key any more.", domain=composed.sender.domain)
        await (self._complete(composed) if isinstance(composed, Composed) else composed.complete())
        link = self._return_paths.link(claim.recipient_id) if composed.shows_link else ""
        to = address.parse(claim.address)
        domain = await self._return_paths.domain_of(message.project_id, composed.sender.domain, to.domain)
        ways = self._ways_out(composed, claim.recipient_id, domain)
        own: Own | None = None
        if isinstance(composed, Handed):
            sender = self._sender_of(composed, claim, domain)
            copy = await composed.copy_for(claim.recipient_id, link)
            return lambda features: self._whole(copy, to, features, sender=sender, keys=keys, ways_out=ways)
        if composed.is_personal:
            rendered = composed.render(claim.personal, link, claim.recipient_id)
            if composed.is_large(rendered):
                own = await asyncio.to_thread(composed.write, rendered, claim.recipient_id)
            else:
                own = composed.write(rendered, claim.recipient_id)
        sender = self._sender_of(composed, claim, domain)
        # Ours is 7-bit: all can take it.
        return lambda _features: self._envelope(composed, claim, to, sender=sender, keys=keys, ways_out=ways, own=own)

    def _sender_of(self, composed: Ready, claim: Claim, domain: str) -> str:
        if isinstance(composed, Handed) and composed.has_null_sender:
            return ""  # RFC 3464 §2: nothing answers a report.
        return self._return_paths.mint(claim.recipient_id, domain) if domain else composed.sender.text

    def _whole(
        self,
        copy: Copy,
        to: Address,
        features: Features,
        *,
        sender: str,
        keys: Sequence[SigningKey],
        ways_out: Sequence[bytes],
    ) -> Envelope:
        """Sign a message that came whole, in the form that the server takes."""
        form = copy.form(features)
        return Envelope(
            sender=sender,
            recipients=(to.text,),
            content=form.written(ways_out, keys, self._clock.now()),
            needs_smtputf8=to.needs_smtputf8 or copy.needs_smtputf8,
            is_8bit=form.is_8bit,
        )

    def _ways_out(self, composed: Ready, recipient_id: UUID, domain: str) -> list[bytes]:
        """Return the fields by which a reader's program unsubscribes it, [] if the mail has or needs none.

        Source: RFC 2369 §3.2; RFC 8058 §3.1: one click wants a link, and both fields signed.
        """
        if composed.message.stream is not Stream.MARKETING or composed.has_unsubscribe:
            return []
        link = self._return_paths.link(recipient_id)
        ways = [f"<{link}>"] if link else []
        if domain:
            leave = self._return_paths.mint(recipient_id, domain, Purpose.UNSUBSCRIBE)
            ways.append(f"<mailto:{leave}?subject=unsubscribe>")
        if not ways:
            return []
        told = ",\r\n ".join(ways)
        fields = [f"List-Unsubscribe: {told}\r\n".encode("ascii")]
        if link:
            fields.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
        return fields

    def _envelope(
        self,
        composed: Composed,
        claim: Claim,
        to: Address,
        *,
        sender: str,
        keys: Sequence[SigningKey],
        ways_out: Sequence[bytes],
        own: Own | None,
    ) -> Envelope:
        """Sign for this recipient, with what its mail has of its own; None: nothing."""
        assert composed.draft is not None
        fields = composed.draft.fields_for(to, f"{claim.recipient_id.hex}@{composed.sender.domain}")
        fields += ways_out
        body = composed.draft.body
        if own is not None:
            fields += own.filled.fields
            body = own.filled.body
        signatures = composed.sign(fields, keys, self._clock.now(), body_hash=own.body_hash if own else b"")
        return Envelope(
            sender=sender,
            recipients=(to.text,),
            content=b"".join((signatures, *fields, *composed.draft.fields, b"\r\n", body)),
            needs_smtputf8=to.needs_smtputf8 or composed.sender.needs_smtputf8,
        )

    async def _made(self, message_id: UUID, loaded: Loaded) -> Ready:
        worn = await self._dress_of(loaded.message)
        if (kept := self._kept.get(message_id)) is not None:  # Made by another lane meanwhile.
            return kept
        if loaded.body.raw is not None:
            return self._keep(message_id, Handed(loaded, worn))
        template = loaded.body.template
        renderer = None if template is None else self._renderers.find(template)
        return self._keep(message_id, Composed(loaded, renderer, worn))

    async def _dress_of(self, message: Message) -> Dress | None:
        if self._tracking is None:
            return None
        ground = await self._tracking.ground_of(message.project_id, address.parse(message.sender).domain)
        return dress.dress_of(ground, self._tracking.tokens, message, self._plans)

    def _keep(self, message_id: UUID, composed: Ready) -> Ready:
        self._kept[message_id] = composed
        self._bytes += composed.sized_bytes()
        self._forget()
        return composed

    async def _complete(self, composed: Composed) -> None:
        """Bring the files of a message. Here and not in `compose`, so that only attempts under way hold them."""

        async def load(hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
            async with self._store.transaction() as tx:
                return await attachments.load(tx, composed.message.project_id, hashes)

        before_bytes = composed.sized_bytes()
        if await composed.complete(load) and self._kept.get(composed.message.message_id) is composed:
            self._bytes += composed.sized_bytes() - before_bytes
            self._forget()

    def _forget(self) -> None:
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.sized_bytes()
