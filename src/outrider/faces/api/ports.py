"""What the API needs from the floors below, each as a protocol with its promise.

`web_role` passes the real ones, tests pass doubles from `testing.engine`. Both dialects use the same: what they say
differs, what they do does not.
"""

from collections.abc import Awaitable, Callable, Sequence, Set
from typing import Protocol
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.networks import Network
from outrider.base.vocab import RecipientStatus
from outrider.engine.explain import Explainer
from outrider.engine.guard import GuardView
from outrider.engine.submission import Accepted, Attachment, Rejected, Submission
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.services.access import Access, Allowance, Caller, Credentials
from outrider.services.accounts import Accounts
from outrider.services.attachments import Given
from outrider.services.dkim_keys import KeyRing
from outrider.services.event_log import EventLog, Streams
from outrider.services.identity import Identity
from outrider.services.mail import EventPage, MessagePage, MessageView, Wanted
from outrider.services.notices import Notices
from outrider.services.outbox import ContentView
from outrider.services.proofs import Proofs
from outrider.services.quotas import Quotas
from outrider.services.reports import SessionView
from outrider.services.roster import SenderPage, SenderQuery
from outrider.services.senders import Senders
from outrider.services.stats import Stats
from outrider.services.suppressions import Suppressions
from outrider.services.verification import Verification


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


class Examine(Protocol):
    """All checks of `Accept`, of a call that is not sent."""

    async def __call__(
        self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()
    ) -> Sequence[Rejected]:
        """Return the recipients that are no addresses.

        Raises:
            CallerError, ForbiddenError, NotFoundError: as `Accept`.
        """


class Authenticate(Protocol):
    """From what a call shows of itself to who calls (`services.access`)."""

    async def __call__(self, credentials: Credentials) -> Caller:
        """Return who shows these credentials.

        Raises:
            UnauthenticatedError: nobody whose key is valid; its subclasses say which form was wrong.
            ForbiddenError: a valid key, from an address that it may not be used from.
            StoreUnavailableError: nobody can tell now.
        """


class Spend(Protocol):
    """Counts calls of keys, over all processes (`services.access`)."""

    def __call__(self, caller: Caller) -> Allowance:
        """Count one call of the caller's key. Raises LimitReachedError: it has had those of this minute."""


class ListSenders(Protocol):
    """The senders of a project, by the page."""

    async def __call__(self, project_id: UUID, query: SenderQuery) -> SenderPage:
        """Return the senders asked for.

        Raises:
            CallerError: its `field` names the field of `SenderQuery` at fault.
        """


class SessionReport(Protocol):
    """What became of an accepted call."""

    async def __call__(self, project_id: UUID, session_id: UUID) -> SessionView:
        """Return the session.

        Raises:
            NotFoundError: no such session in this project.
        """


class ResolveFiles(Protocol):
    """From what a caller says of its files to the files."""

    async def __call__(self, given: Sequence[Given]) -> tuple[Attachment, ...]:
        """Return the files, in the same order. Raises CallerError: `field` names the one at fault."""


class FirstAnswer(Protocol):
    """What was answered to the first call with an idempotency key."""

    async def __call__(self, project_id: UUID, idempotency_key: str, request_hash: bytes) -> Accepted | None:
        """Return it, None if there was none. Raises ConflictError: that was another request."""


class Replays(Protocol):
    """Keeps the first answers to calls of many parts (`services.replays`)."""

    async def begin(self, project_id: UUID, idempotency_key: str, request_hash: bytes) -> bytes | None:
        """Claim the key; return the first answer if there is one. Raises ConflictError."""

    async def finish(self, project_id: UUID, idempotency_key: str, answer: bytes) -> bytes:
        """Store the answer; return the one that counts."""


class Outbox(Protocol):
    """Mail read back and sent again (`services.outbox`)."""

    async def content(self, project_id: UUID, message_id: UUID) -> ContentView:
        """Return what was handed in. Raises NotFoundError."""

    async def resend(
        self,
        project_id: UUID,
        message_id: UUID,
        *,
        to: Sequence[str] = (),
        statuses: Sequence[RecipientStatus] = (),
        idempotency_key: str = "",
        request_hash: bytes = b"",
        domains: Set[str] = frozenset(),
    ) -> Accepted:
        """Send it again as a new message. Raises NotFoundError, CallerError, and as `Accept`."""


class Cancel(Protocol):
    """Stops what is not sent yet of a message."""

    async def __call__(self, project_id: UUID, message_id: UUID) -> int:
        """Return how many recipients get nothing more. Raises NotFoundError."""


class MailReader(Protocol):
    """The mail of a project, as it stands now (`services.mail`)."""

    async def message(self, project_id: UUID, message_id: UUID) -> MessageView:
        """Return the message. Raises NotFoundError."""

    async def page(self, project_id: UUID, wanted: Wanted, *, cursor: str, count_max: int) -> MessagePage:
        """Return the next messages that are wanted. Raises CallerError."""

    async def events(self, project_id: UUID, message_id: UUID, *, cursor: str, count_max: int) -> EventPage:
        """Return the next events of a message. Raises NotFoundError, CallerError."""


class Managed(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind the calls that look after a project: its domains, senders, keys, suppressions, events."""

    access: Access
    accounts: Accounts
    identity: Identity
    keys: KeyRing
    senders: Senders
    proofs: Proofs
    suppressions: Suppressions
    verification: Verification
    notices: Notices
    quotas: Quotas
    log: EventLog
    streams: Streams  # Must run where events are streamed.
    stats: Stats
    explainer: Explainer
    guards: Callable[[UUID], Awaitable[Sequence[GuardView]]]  # Those of one project.
    clock: Clock


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, in one argument."""

    accept: Accept
    examine: Examine
    authenticate: Authenticate
    spend: Spend
    list_senders: ListSenders
    report_session: SessionReport
    resolve_files: ResolveFiles
    first_answer: FirstAnswer
    replays: Replays
    outbox: Outbox
    cancel: Cancel
    mail: MailReader
    is_ready: Callable[[], Awaitable[bool]]
    new_request_id: Callable[[], UUID]
    log: Logger
    metrics: Metrics
    managed: Managed | None = None  # None: in tests of the other calls.
    trusted_proxies: Sequence[Network] = ()  # Who is believed when it says for whom it calls.
    has_mailbox: bool = False  # Catch mode: the front page links to it.

    @property
    def services(self) -> Managed:
        """What looks after a project."""
        assert self.managed is not None
        return self.managed
