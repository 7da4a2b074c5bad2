"""Whom accept asks before it takes a mail: who may send, what a domain sends, which pool carries it, how much is left.

Each book is a service's; what it must promise stands here. Content is asked about by `content`, which has a book of its
own. And `Accept`: what accept itself promises to those who call it.
"""

from collections.abc import Set
from typing import Protocol
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.engine.submission import Accepted, Submission
from outrider.mail.address import Address
from outrider.policy.quota import Quota


class Rewritten(msgspec.Struct, frozen=True):
    """A From that DMARC would fail, in whose place another stands."""

    address: Address  # As the caller gave it: answers go there.
    via: str  # The project's name, for people.
    reason: str  # Why, in a sentence.


class AllowedSender(msgspec.Struct, frozen=True):
    """A sender that may send now: enabled, on a domain of the project that is verified and not stopped."""

    address: Address  # What From says; its domain signs.
    name: str
    rewritten: Rewritten | None = None  # From says another address than the caller gave.


class SenderBook(Protocol):
    """Who may send for a project (`services.senders`)."""

    async def find(self, project_id: UUID, sender: Address, stream: Stream) -> AllowedSender | None:
        """Return the sender, None if the project may not send as that address now.

        Raises:
            CallerError: field "sender"; it may not, for a reason that its owner can mend.
        """


class DomainBook(Protocol):
    """Which mail a sending domain sends (`services.identity`)."""

    async def check(self, project_id: UUID, domain: str, stream: Stream) -> None:
        """Return if that stream's mail may be taken. Raises CallerError: it sends the other only, or is stopped."""


class PoolBook(Protocol):
    """Which pool of source addresses carries whose mail (`services.egress`)."""

    async def pool_for(self, project_id: UUID, stream: Stream, sender_domain: str, *, asked: str = "") -> str:
        """Return the name of the pool.

        Raises:
            NotFoundError: field "pool": the one `asked` for is none that this mail may go through.
        """


class QuotaBook(Protocol):
    """How much a project may send (`services.quotas`)."""

    async def quota_for(self, project_id: UUID) -> Quota | None:
        """Return the project's quota, None if it has none."""


class Accept(Protocol):
    """`engine.accept`, the one way in."""

    async def __call__(
        self,
        project_id: UUID,
        submission: Submission,
        *,
        idempotency_key: str = "",
        request_hash: bytes = b"",
        domains: Set[str] = frozenset(),
    ) -> Accepted:
        """Return once the submission is on disk.

        Args:
            request_hash: SHA-256 of the request, where that is another than the submission's; b"": the submission's.
            domains: the sender's must be one of these (`Caller.domains`); empty: any of the project's.

        Raises:
            CallerError: its `field` names the field of `Submission` at fault.
            ForbiddenError: field "sender": not one of `domains`.
            LimitReachedError: the project's quota is used up.
            NotFoundError: field "sender": unknown, unverified or another project's.
            BusyError, StoreError: nothing was kept.
        """
