"""Proof of a single mailbox, on a domain that is not the project's: its owner opens a link that was mailed to it.

    offer  --> a row with the link's hash --> the mail, through `engine.accept` --> the page --> confirm

The link is 256 bits of chance, of which only the hash is kept; it is for one address of one project, works once, and
for a day. A newer one replaces it. It is opened with GET, which changes nothing, since scanners of mail open links too,
and confirmed with POST. It proves that the owner agrees; DMARC is another matter (`services.senders`).

Failure policy: a mail that cannot be sent takes its link back. Who dies between the two leaves a link that nobody has,
and another may be asked for in an hour. Strangers' mailboxes are safe from floods (`limits.PROOF_*`): one mail an hour
to each, which forgetting the sender does not shorten, and a bounded number of links of a project at a time.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ForbiddenError, LimitReachedError, NotFoundError
from outrider.base.vocab import Stream
from outrider.engine.submission import Accepted, Submission
from outrider.mail import address
from outrider.mail.address import Address
from outrider.store import projects, senders
from outrider.store.pool import Store
from outrider.store.senders import Proof, Sender

__all__ = ["Proof", "Proofs"]  # With the record a caller meets.

PATH: Final = "/senders/prove"  # Of the page, below the root of our links.
LIFE: Final = timedelta(seconds=limits.PROOF_LIFE_S)
_TOKEN_BITS: Final = 256
_token: Final = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
_PROJECT_CHARS_MAX: Final = 60  # Ours: in a subject.
_GONE: Final = "This link does not work: it was used already, has expired, or a newer one has replaced it."


class Accept(Protocol):
    """`engine.accept`, the one way in."""

    async def __call__(self, project_id: UUID, submission: Submission, *, idempotency_key: str = "") -> Accepted:
        """Return once the submission is on disk."""


class Proofs:
    """Offers links and takes them back."""

    def __init__(
        self,
        store: Store,
        accept: Accept,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
        is_on: bool,
        root: str,
    ) -> None:
        """`root` is what our pages are reached under from outside, without a last slash; "" if nobody has said."""
        self._store: Final = store
        self._accept: Final = accept
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._is_on: Final = is_on
        self._root: Final = root

    async def offer(self, project_id: UUID, text: str) -> Sender:
        """Mail a link to this address, by which its owner lets the project send in its name.

        Returns the sender, which may not send before that; one that is proven is returned as it is.

        Raises:
            ForbiddenError: [identity] mailbox_proof is off.
            CallerError: not an address, or one on a domain of the project's; no sender that could send the mail; an
                address that takes none of the project's mail; or [faces] public_url is not set.
            LimitReachedError: its last link was mailed a moment ago, or too many are on their way.
            BusyError, StoreError: the mail was not accepted; the link is taken back.
        """
        parsed = self._check(text)
        number = self._random_bits(_TOKEN_BITS)
        token = urlsafe_b64encode(number.to_bytes(_TOKEN_BITS // 8)).rstrip(b"=").decode("ascii")
        offered, spokesman, project = await self._write(project_id, parsed, _hash(token))
        if offered.proven_at is not None:
            return offered
        submission = _mail(spokesman, offered, project, f"{self._root}{PATH}?token={token}")
        is_mailed = False
        try:
            accepted = await self._accept(project_id, submission)
            is_mailed = accepted.session_id is not None
        finally:
            if not is_mailed:
                async with self._store.transaction() as tx:
                    await senders.withdraw(tx, project_id, offered.sender_id, _hash(token))
        if not is_mailed:
            raise CallerError(f"No mail can be sent to {parsed.text}: {accepted.rejected[0].reason}.", field="address")
        return offered

    async def look(self, token: str) -> Proof:
        """Return what the link is about. Changes nothing. Raises NotFoundError: unknown, used, replaced, expired."""
        if not _token(token):
            raise NotFoundError(_GONE)
        async with self._store.transaction() as tx:
            found = await senders.by_proof(tx, _hash(token), self._clock.now())
        if found is None or not self._is_on:
            raise NotFoundError(_GONE)
        return found

    async def confirm(self, token: str) -> Proof:
        """Use the link up: its mailbox is proven. Of two at once one gets the error. Raises as `look`."""
        found = await self.look(token)
        async with self._store.transaction() as tx:
            if await senders.prove(tx, _hash(token), now=self._clock.now()) is None:
                raise NotFoundError(_GONE)
        return found

    def _check(self, text: str) -> Address:
        if not self._is_on:
            raise ForbiddenError(
                "Single mailboxes cannot be proven here: [identity] mailbox_proof is off.", field="address"
            )
        if not self._root:
            raise CallerError("The link needs an address to lead to: set [faces] public_url.", field="public_url")
        try:
            return address.parse(text)
        except CallerError as error:
            raise CallerError(f"Not an address: {error.public}.", field="address") from error

    async def _write(self, project_id: UUID, parsed: Address, proof_hash: bytes) -> tuple[Sender, Sender, str]:
        """Keep the mailbox and the link's hash. Returns the mailbox, who mails the link, and the project's name."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)  # Of two who ask at once one is too early.
            if await senders.sending_domain(tx, project_id, parsed.domain) is not None:
                raise CallerError(
                    f"{parsed.domain} is a domain of the project's; `outrider sender add` adds senders on it.",
                    field="address",
                )
            spokesman = await senders.spokesman(tx, project_id, Stream.TRANSACTIONAL)
            if spokesman is None:
                raise CallerError(
                    "The project has no sender on a domain of its own that may send, to mail the link from; and mail"
                    " of a single mailbox goes out from such a sender too.",
                    field="address",
                )
            existing = await senders.by_key(tx, project_id, parsed.key)
            project = await projects.name_of(tx, project_id) or ""
            if existing is not None and existing.proven_at is not None:
                return existing, spokesman, project
            sent_at = existing.proof_expires_at - LIFE if existing and existing.proof_expires_at else None
            if sent_at is not None and (wait_s := limits.PROOF_AGAIN_S - (now - sent_at).total_seconds()) > 0:
                raise LimitReachedError(
                    f"A link to {parsed.text} was mailed a moment ago; ask again in {wait_s:.0f} s.",
                    retry_after_s=wait_s,
                    field="address",
                )
            if await senders.offered_count(tx, project_id, now) >= limits.PROOF_OFFERED_COUNT_MAX:
                raise LimitReachedError(
                    f"{limits.PROOF_OFFERED_COUNT_MAX} links of the project are on their way; wait until some are used"
                    " or expire.",
                    retry_after_s=limits.PROOF_AGAIN_S,
                    field="address",
                )
            if existing is None:
                await senders.insert(
                    tx,
                    sender_id=ids.uuid7(now, self._random_bits(74)),
                    project_id=project_id,
                    domain_id=None,
                    address=parsed.text,
                    address_key=parsed.key,
                    name="",
                    now=now,
                )
            stored = await senders.by_key(tx, project_id, parsed.key)
            assert stored is not None
            await senders.offer(tx, project_id, stored.sender_id, proof_hash, until=now + LIFE)
            offered = await senders.by_key(tx, project_id, parsed.key)
            assert offered is not None
            return offered, spokesman, project


def _mail(spokesman: Sender, offered: Sender, project: str, link: str) -> Submission:
    """Write the mail. It goes to strangers, so of what who asks for it can choose it holds a short name at most."""
    whose = "".join(char for char in project if char.isprintable()).strip()[:_PROJECT_CHARS_MAX] or "Somebody"
    assert offered.proof_expires_at is not None
    return Submission(
        sender=spokesman.address,
        recipients=(offered.address,),
        subject=f"May {whose} send mail in your name?",
        text=(
            f"{whose} asks to send mail in the name of\n\n    {offered.address}\n\n"
            f"If you agree, open this page and confirm:\n\n{link}\n\n"
            f"The link works once, until {offered.proof_expires_at:%Y-%m-%d %H:%M} UTC.\n"
            "If you do not know what this is about, do nothing: without your word nothing is sent in your name.\n"
        ),
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
