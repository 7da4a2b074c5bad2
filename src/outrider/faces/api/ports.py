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
from outrider.base.vocab import RecipientStatus, Stream
from outrider.engine.books import Accept
from outrider.engine.content import Candidate
from outrider.engine.explain import Explainer
from outrider.engine.guard import GuardView
from outrider.engine.submission import Accepted, Attachment, Rejected, Submission, Templated
from outrider.mail.templating import Source
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.services.access import Access, Allowance, Caller, Credentials
from outrider.services.accounts import Accounts
from outrider.services.alerts import Alerts
from outrider.services.attachments import Given
from outrider.services.content import ContentChecks
from outrider.services.dkim_keys import KeyRing
from outrider.services.event_log import EventLog, Streams
from outrider.services.identity import Identity
from outrider.services.log_search import EventSearch
from outrider.services.mail import EventPage, MessagePage, MessageView, Wanted
from outrider.services.notices import Notices
from outrider.services.outbox import ContentView
from outrider.services.preferences import Preferences
from outrider.services.project_terms import ProjectTerms
from outrider.services.proofs import Proofs
from outrider.services.quotas import Quotas
from outrider.services.release import Releases
from outrider.services.reports import SessionView
from outrider.services.reputation import Reputation
from outrider.services.retention import Retentions
from outrider.services.roster import SenderPage, SenderQuery
from outrider.services.senders import Senders
from outrider.services.stats import Stats
from outrider.services.suppressions import Suppressions
from outrider.services.templates.partials import Partials
from outrider.services.templates.templates import ListedTemplate, TemplateChoice, TemplateDetails, Templates
from outrider.services.templates.trial import Trial
from outrider.services.topics import Topics
from outrider.services.tracking_terms import TrackingTerms
from outrider.services.verification import Verification
from outrider.services.webhooks.endpoints import Webhooks


class Examine(Protocol):
    """All checks of `Accept`, of a call that is not sent."""

    async def __call__(
        self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()
    ) -> Sequence[Rejected]:
        """Return the recipients that are no addresses.

        Raises:
            CallerError, ForbiddenError, NotFoundError: as `Accept`.
        """


class MakeCandidate(Protocol):
    """What a junk filter would be shown of a call that is not sent."""

    async def __call__(self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()) -> Candidate:
        """Return its first recipient's mail. Raises as `Examine`; CallerError too if no recipient is left."""


class Authenticate(Protocol):
    """From what a call shows of itself to who calls (`services.access`)."""

    async def __call__(self, credentials: Credentials) -> Caller:
        """Return who shows these credentials.

        Raises:
            UnauthenticatedError: nobody whose key is valid; its subclasses say which form was wrong.
            ForbiddenError: a valid key, from an address that it may not be used from.
            StoreUnavailableError: nobody can tell now.
        """


class Screen(Protocol):
    """Turns signed calls away that cannot count (`services.access`)."""

    async def __call__(self, shown: Credentials) -> None:
        """Return if the body is worth reading. Raises as `Authenticate`."""


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


class FindTemplate(Protocol):
    """A project's templates, as they are sent (`services.templates`)."""

    async def __call__(self, project_id: UUID, template: str) -> Templated:
        """Return the published version of the template with this id or name.

        Raises:
            NotFoundError: field "template": the project has none such.
            CallerError: field "template": it may not be sent now: not approved, not published, disabled.
        """


class CompileInline(Protocol):
    """Makes a template of what a call says itself (`engine.inline`)."""

    async def __call__(self, subject: str, html: str | None, text: str | None) -> Templated:
        """Return it. Raises TemplateError: `field` names the part: "subject", "body" or "text"."""


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

    async def content(self, project_id: UUID, message_id: UUID, *, recipient: str = "") -> ContentView:
        """Return what was handed in, or what `recipient` got of it. Raises NotFoundError."""

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


class Release(Protocol):
    """Lets a message go that a rule holds."""

    async def __call__(self, project_id: UUID, message_id: UUID) -> int:
        """Return how many recipients are queued again. Raises NotFoundError, ConflictError: an operator holds it."""


class MailReader(Protocol):
    """The mail of a project, as it stands now (`services.mail`)."""

    async def message(self, project_id: UUID, message_id: UUID) -> MessageView:
        """Return the message. Raises NotFoundError."""

    async def page(self, project_id: UUID, wanted: Wanted, *, cursor: str, count_max: int) -> MessagePage:
        """Return the next messages that are wanted. Raises CallerError."""

    async def events(self, project_id: UUID, message_id: UUID, *, cursor: str, count_max: int) -> EventPage:
        """Return the next events of a message. Raises NotFoundError, CallerError."""


class TemplateShelf(Protocol):
    """Stored templates, as far as other providers' APIs know them (`services.templates.templates`)."""

    async def create(
        self, project_id: UUID, name: str, stream: Stream, source: Source, *, is_published: bool = False
    ) -> TemplateDetails:
        """Store a new one. Raises TemplateError, CallerError, ConflictError."""

    async def change(
        self,
        project_id: UUID,
        template_id: str,
        edit: Callable[[Source], Source] | None = None,
        *,
        name: str | None = None,
        stream: Stream | None = None,
        is_published: bool = False,
        beside_draft: bool = False,
    ) -> TemplateDetails:
        """Change it. Raises NotFoundError, TemplateError, CallerError, ConflictError."""

    async def remove(self, project_id: UUID, template_id: str) -> None:
        """Delete it. Raises NotFoundError."""

    async def handed_in(self, project_id: UUID, template_id: str) -> TemplateDetails:
        """Return it with what was last published or handed in. Raises NotFoundError."""

    async def page(self, project_id: UUID, choice: TemplateChoice) -> Sequence[ListedTemplate]:
        """Return those that are chosen. Raises CallerError."""

    async def total(self, project_id: UUID, choice: TemplateChoice) -> int:
        """Return how many are chosen, on all pages. Raises CallerError."""


class Managed(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind the calls that look after a project: its domains, senders, keys, suppressions, events."""

    access: Access
    accounts: Accounts
    identity: Identity
    releases: Releases
    keys: KeyRing
    senders: Senders
    proofs: Proofs
    suppressions: Suppressions
    topics: Topics
    preferences: Preferences
    verification: Verification
    notices: Notices
    webhooks: Webhooks
    tracking_terms: TrackingTerms
    quotas: Quotas
    retentions: Retentions
    project_terms: ProjectTerms
    contents: ContentChecks
    candidate: MakeCandidate
    release: Release
    templates: Templates
    partials: Partials
    trial: Trial
    log: EventLog
    search: EventSearch
    streams: Streams  # Must run where events are streamed.
    stats: Stats
    alerts: Alerts
    reputation: Reputation
    explainer: Explainer
    guards: Callable[[UUID], Awaitable[Sequence[GuardView]]]  # Those of one project.
    clock: Clock


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, in one argument."""

    accept: Accept
    examine: Examine
    authenticate: Authenticate
    screen: Screen
    spend: Spend
    list_senders: ListSenders
    report_session: SessionReport
    resolve_files: ResolveFiles
    first_answer: FirstAnswer
    find_template: FindTemplate
    compile_inline: CompileInline
    replays: Replays
    outbox: Outbox
    templates: TemplateShelf
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
