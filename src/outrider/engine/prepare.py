"""Station 3: from a recipient and its message to the bytes that go out: composed and signed.

What is the same for all recipients of a message (body, body hash, most header fields, their canonical form) is made
once and kept, newest used last out, up to `drafts_bytes_max`; per recipient there remain To, Message-ID and the
signatures. Signing happens here and not at acceptance, so a signature is never older than the attempt and always made
with the keys of now.

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
from outrider.mail import address, build, dkim, mailbox
from outrider.mail.address import Address
from outrider.mail.build import Draft
from outrider.mail.dkim import SigningKey
from outrider.mail.mime import File
from outrider.mail.verp import Purpose
from outrider.store import attachments, messages
from outrider.store.messages import Loaded
from outrider.store.pool import Store, Tx
from outrider.store.queue import Claim
from outrider.wire.smtp_client import Envelope, Features

_LOADED_COUNT_MAX: Final = 2000  # Ours: a few claims of many lanes.
_DRAFT_OVERHEAD_BYTES: Final = 4096  # Ours: objects around a body, roughly.


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


class Composed:
    """A message ready for its recipients, once its files are there (`lacks`)."""

    __slots__ = ("_body", "_body_hash", "_keys", "_prepared", "_turn", "draft", "has_unsubscribe", "message", "sender")

    def __init__(self, loaded: Loaded) -> None:
        self.message: Final = loaded.message
        self.sender: Final[Address] = address.parse(loaded.message.sender)
        self.has_unsubscribe: Final = any(name.lower() == "list-unsubscribe" for name, _ in loaded.body.headers)
        self._body: Final = loaded.body
        self._turn: Final = asyncio.Lock() if loaded.body.files else None  # Of those who bring the files.
        self._keys: Sequence[SigningKey] = ()
        self._prepared: dkim.Prepared | None = None
        self.draft: Draft | None = None
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
        return _DRAFT_OVERHEAD_BYTES + (len(self.draft.body) if self.draft else 0)

    def _compose(self, octets: Mapping[bytes, bytes]) -> None:
        message, body = self.message, self._body
        draft = build.compose(
            sender=self.sender,
            from_name=message.from_name,
            subject=message.subject,
            text=body.text,
            html=body.html,
            date=message.accepted_at,
            reply_to=[mailbox.parse(text) for text in body.reply_to],
            shown_to=[mailbox.parse(text) for text in body.shown_to],
            shown_cc=[mailbox.parse(text) for text in body.shown_cc],
            extra=body.headers,
            files=[File(file.name, file.type, octets[file.content_hash], file.content_id) for file in body.files],
        )
        self._body_hash = dkim.body_hash(draft.body)
        self.draft = draft

    def sign(self, fields: Sequence[bytes], keys: Sequence[SigningKey], at: datetime) -> bytes:
        """Return the signature fields for a recipient's own `fields` and the message's."""
        assert self.draft is not None
        if self._prepared is None or keys is not self._keys:  # The key ring hands out a new list when it looks again.
            self._keys, self._prepared = keys, dkim.prepare(self.draft.fields, self._body_hash, keys)
        return self._prepared.sign(fields, at)


class Preparer:
    """Composes messages and signs them for one recipient at a time."""

    def __init__(
        self, store: Store, keys: SigningKeys, return_paths: ReturnPathBook, *, clock: Clock, drafts_bytes_max: int
    ) -> None:
        self._store: Final = store
        self._keys: Final = keys
        self._return_paths: Final = return_paths
        self._clock: Final = clock
        self._bytes_max: Final = drafts_bytes_max
        self._bytes = 0
        self._kept: Final[OrderedDict[UUID, Composed]] = OrderedDict()
        self._loaded: Final[dict[UUID, Loaded]] = {}  # Read ahead by `load`, not composed yet.

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

    async def compose(self, message_ids: set[UUID]) -> dict[UUID, Composed]:
        """Return these messages composed, reading those that are neither kept nor read ahead in one query.

        A message that is not stored any more is missing from the answer.
        """
        found = {}
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
            found[message_id] = self._kept.get(message_id) or self._keep(message_id, Composed(one))
        return found

    async def maker(self, composed: Composed, claim: Claim) -> Callable[[Features], Envelope]:
        """Return what makes this recipient's envelope, signed, once the server says what it can do.

        Raises:
            NotFoundError: the sender's domain or its keys are gone.
        """
        message = composed.message
        keys = await self._keys.of_domain(message.project_id, composed.sender.domain)
        if not keys:
            raise NotFoundError("The sender's domain has no signing key any more.", domain=composed.sender.domain)
        await self._complete(composed)
        to = address.parse(claim.address)
        domain = await self._return_paths.domain_of(message.project_id, composed.sender.domain, to.domain)
        return lambda _features: self._envelope(composed, claim, to, domain, keys)  # Ours is 7-bit: all can take it.

    def _envelope(
        self,
        composed: Composed,
        claim: Claim,
        to: Address,
        domain: str,
        keys: Sequence[SigningKey],
    ) -> Envelope:
        """Sign for this recipient. `domain`: of its return path, "" for the sender's own address."""
        assert composed.draft is not None
        own = composed.draft.fields_for(to, f"{claim.recipient_id.hex}@{composed.sender.domain}")
        sender = composed.sender.text
        if domain:
            sender = self._return_paths.mint(claim.recipient_id, domain)
            if (
                composed.message.stream is Stream.MARKETING and not composed.has_unsubscribe
            ):  # RFC 2369 §3.2; a link of its own comes with tracking.
                leave = self._return_paths.mint(claim.recipient_id, domain, Purpose.UNSUBSCRIBE)
                own.append(f"List-Unsubscribe: <mailto:{leave}?subject=unsubscribe>\r\n".encode("ascii"))
        signatures = composed.sign(own, keys, self._clock.now())
        return Envelope(
            sender=sender,
            recipients=(to.text,),
            content=b"".join((signatures, *own, *composed.draft.fields, b"\r\n", composed.draft.body)),
            needs_smtputf8=to.needs_smtputf8 or composed.sender.needs_smtputf8,
        )

    def _keep(self, message_id: UUID, composed: Composed) -> Composed:
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
