"""Doubles of what the faces stand on: an engine that remembers, keys that are given, reports that are told.

They hold no rules: a test says what to answer or to raise, so no rule of the engine is written twice.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from outrider.base.errors import CallerError, ConflictError, NotFoundError, OutriderError, UnauthenticatedError
from outrider.base.vocab import RecipientStatus, Stream, TemplateState, VersionState
from outrider.engine.submission import Accepted, Attachment, Rejected, Submission, Templated
from outrider.mail.render import literal
from outrider.mail.templating import Source
from outrider.services.access import Allowance, Caller, Credentials
from outrider.services.attachments import Given
from outrider.services.mail import EventPage, MessagePage, MessageView, Wanted
from outrider.services.outbox import ContentView
from outrider.services.reports import SessionView
from outrider.services.roster import SenderPage, SenderQuery
from outrider.services.templates.templates import (
    ListedTemplate,
    StoredTemplate,
    TemplateChoice,
    TemplateDetails,
    VersionFacts,
)

SESSION_ID: Final = UUID("0197a000-0000-7000-8000-00000000beef")
TEMPLATE_ID: Final = "UET26051109QX7K2M"
_NOON: Final = datetime(2026, 5, 11, 9, 0, tzinfo=UTC)


class RecordingEngine:
    """An `Accept`: takes everything, unless the test set `answer` or `error`."""

    def __init__(self) -> None:
        self.domains: Final[list[Set[str]]] = []  # As `calls`: what the caller's key may send from.
        self.calls: Final[list[tuple[UUID, Submission, str]]] = []  # Project, submission, idempotency key.
        self.hashes: Final[list[bytes]] = []  # As `calls`.
        self.asked_first: Final[list[tuple[UUID, str, bytes]]] = []
        self.first: Accepted | None = None  # What `first_answer` knows.
        self.answer: Accepted | None = None
        self.error: Exception | None = None

    @property
    def submissions(self) -> list[Submission]:
        """What was handed in, oldest first, refused ones included."""
        return [submission for _, submission, _ in self.calls]

    async def __call__(
        self,
        project_id: UUID,
        submission: Submission,
        *,
        idempotency_key: str = "",
        request_hash: bytes = b"",
        domains: Set[str] = frozenset(),
    ) -> Accepted:
        """Remember the call; then do as the test said."""
        self.hashes.append(request_hash)
        self.domains.append(domains)
        self.calls.append((project_id, submission, idempotency_key))
        if self.error is not None:
            raise self.error
        return self.answer or Accepted(session_id=SESSION_ID, recipient_count=len(set(submission.recipients)))

    async def first_answer(self, project_id: UUID, idempotency_key: str, request_hash: bytes) -> Accepted | None:
        """Be a `FirstAnswer`: answer as the test said."""
        self.asked_first.append((project_id, idempotency_key, request_hash))
        return self.first


class PublishedTemplates:
    """A `FindTemplate` that knows the templates of `known`, by project and name, and a `CompileInline`."""

    def __init__(self) -> None:
        self.known: Final[dict[tuple[UUID, str], Templated | CallerError]] = {}
        self.inline: Final[list[tuple[str, str | None, str | None]]] = []  # Subject, html and text.
        self.error: CallerError | None = None  # What `compile_inline` raises.

    async def __call__(self, project_id: UUID, template: str) -> Templated:
        """Return this project's template, or raise what the test said."""
        found = self.known.get((project_id, template), NotFoundError("There is no such template.", field="template"))
        if isinstance(found, CallerError):
            raise found
        return found

    async def compile_inline(self, subject: str, html: str | None, text: str | None) -> Templated:
        """Remember it; return a template that says just this."""
        self.inline.append((subject, html, text))
        if self.error is not None:
            raise self.error
        return Templated(template=literal(subject, html, text))


class RecordingExaminer:
    """An `Examine`: finds nothing wrong, unless the test set `rejected` or `error`."""

    def __init__(self) -> None:
        self.calls: Final[list[tuple[UUID, Submission, Set[str]]]] = []  # Project, submission, domains.
        self.rejected: Sequence[Rejected] = ()
        self.error: Exception | None = None

    async def __call__(
        self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()
    ) -> Sequence[Rejected]:
        """Remember the call; then do as the test said."""
        self.calls.append((project_id, submission, domains))
        if self.error is not None:
            raise self.error
        return self.rejected


class ToldSenders:
    """A `ListSenders` with one page for each project, whatever is asked."""

    def __init__(self) -> None:
        self.pages: Final[dict[UUID, SenderPage]] = {}
        self.queries: Final[list[SenderQuery]] = []

    async def __call__(self, project_id: UUID, query: SenderQuery) -> SenderPage:
        """Remember the question and return the project's page."""
        self.queries.append(query)
        return self.pages.get(project_id, SenderPage(0, ()))


class ToldTemplates:
    """A `TemplateShelf` that keeps the last source of each template of a project, approved, under one id for each."""

    def __init__(self) -> None:
        self.kept: Final[dict[tuple[UUID, str], TemplateDetails]] = {}  # By project and id.
        self.choices: Final[list[TemplateChoice]] = []  # What was asked for.
        self.published: Final[list[bool]] = []  # Of each that was created or changed.
        self.error: Exception | None = None  # What every call raises.

    async def create(
        self, project_id: UUID, name: str, stream: Stream, source: Source, *, is_published: bool = False
    ) -> TemplateDetails:
        """Keep it."""
        return self._keep(told_template(project_id, name, stream, source), is_published)

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
        """Keep what was changed."""
        assert beside_draft, "their APIs know of no drafts"
        known = await self.handed_in(project_id, template_id)
        source = edit(known.source) if edit else known.source
        template = known.template
        made = told_template(project_id, name or template.name, stream or template.stream, source)
        return self._keep(made, is_published)

    async def remove(self, project_id: UUID, template_id: str) -> None:
        """Forget it."""
        await self.handed_in(project_id, template_id)
        del self.kept[project_id, template_id]

    async def handed_in(self, project_id: UUID, template_id: str) -> TemplateDetails:
        """Return what is kept."""
        if self.error is not None:
            raise self.error
        if (project_id, template_id) not in self.kept:
            raise NotFoundError("There is no such template.", field="template")
        return self.kept[project_id, template_id]

    async def page(self, project_id: UUID, choice: TemplateChoice) -> Sequence[ListedTemplate]:
        """Remember the question; return all of the project."""
        self.choices.append(choice)
        if self.error is not None:
            raise self.error
        found = [one for (project, _), one in self.kept.items() if project == project_id]
        return [ListedTemplate(one.template, one.version.subject, one.version.variables) for one in found]

    async def total(self, project_id: UUID, choice: TemplateChoice) -> int:
        """Return how many the project has."""
        return len(await self.page(project_id, choice))

    def _keep(self, details: TemplateDetails, is_published: bool) -> TemplateDetails:
        if self.error is not None:
            raise self.error
        self.published.append(is_published)
        self.kept[details.template.project_id, details.template.template_id] = details
        return details


def told_template(project_id: UUID, name: str, stream: Stream, source: Source) -> TemplateDetails:
    """Return the details of a template as if it had just been published."""
    template = StoredTemplate(
        template_id=TEMPLATE_ID,
        project_id=project_id,
        name=name,
        stream=stream,
        state=TemplateState.APPROVED,
        published_number=1,
        head_number=1,
        created_at=_NOON,
        updated_at=_NOON,
    )
    facts = VersionFacts(number=1, state=VersionState.PUBLISHED, subject=source.variants[0].subject, created_at=_NOON)
    return TemplateDetails(template, facts, source)


class KeyRing:
    """An `Authenticate`, a `Screen` and a `Spend` that know the given pairs.

    A test says with `terms` what a key may do, by its id: fields of `Caller`. Tokens and signatures are its secret.
    """

    def __init__(self, projects: Mapping[tuple[str, str], UUID]) -> None:
        self._projects: Final = projects
        self.terms: Final[dict[str, Mapping[str, Any]]] = {}
        self.shown: Final[list[Credentials]] = []  # All of them, good or bad.
        self.spent: Final[list[str]] = []  # Ids of keys.
        self.allowance = Allowance(0, 0, 0.0)
        self.error: Exception | None = None  # What `spend` raises.
        self.screen_error: Exception | None = None  # What `screen` raises.

    async def screen(self, shown: Credentials) -> None:
        """Do as the test said; a body has not been read."""
        assert not shown.body
        if self.screen_error is not None:
            raise self.screen_error

    async def __call__(self, credentials: Credentials) -> Caller:
        """Return the caller of the pair."""
        self.shown.append(credentials)
        pairs = {(key_id, secret): key_id for key_id, secret in self._projects}
        if credentials.token is not None:
            pairs = {("", secret): key_id for key_id, secret in self._projects}
        secret = credentials.access_key_secret or credentials.token or credentials.signature or ""
        key_id = pairs.get((credentials.access_key_id, secret))
        if key_id is None:
            raise UnauthenticatedError("The key pair is not known, or it was revoked.")
        return Caller(project_id=self._projects[key_id, secret], access_key_id=key_id, **self.terms.get(key_id, {}))

    def spend(self, caller: Caller) -> Allowance:
        """Remember that the key was used; then do as the test said."""
        self.spent.append(caller.access_key_id)
        if self.error is not None:
            raise self.error
        return self.allowance


class ToldReports:
    """A `SessionReport` that knows what the test put into `views`, by project and session."""

    def __init__(self) -> None:
        self.views: Final[dict[tuple[UUID, UUID], SessionView]] = {}

    async def __call__(self, project_id: UUID, session_id: UUID) -> SessionView:
        """Return the view of this project's session."""
        view = self.views.get((project_id, session_id))
        if view is None:
            raise NotFoundError("There is no such session.", field="session_id")
        return view


class ToldMail:
    """A `MailReader` that knows the messages of `views`, by project and id, and one page of each list."""

    def __init__(self) -> None:
        self.asked: Final[list[tuple[UUID, object, str, int]]] = []  # Project, what for, cursor, how many.
        self.messages = MessagePage(messages=(), next_cursor="")
        self.log = EventPage(events=(), next_cursor="")
        self.error: OutriderError | None = None
        self.views: Final[dict[tuple[UUID, UUID], MessageView]] = {}

    async def message(self, project_id: UUID, message_id: UUID) -> MessageView:
        """Return the view of this project's message."""
        view = self.views.get((project_id, message_id))
        if view is None:
            raise NotFoundError("There is no such email.", field="id")
        return view

    async def page(self, project_id: UUID, wanted: Wanted, *, cursor: str, count_max: int) -> MessagePage:
        """Remember the question; return the test's page, or raise its error."""
        self.asked.append((project_id, wanted, cursor, count_max))
        if self.error is not None:
            raise self.error
        return self.messages

    async def events(self, project_id: UUID, message_id: UUID, *, cursor: str, count_max: int) -> EventPage:
        """Remember the question; return the test's page."""
        self.asked.append((project_id, message_id, cursor, count_max))
        return self.log


class KeptReplays:
    """A `Replays` in memory."""

    def __init__(self) -> None:
        self.kept: Final[dict[tuple[UUID, str], tuple[bytes, bytes]]] = {}

    async def begin(self, project_id: UUID, idempotency_key: str, request_hash: bytes) -> bytes | None:
        """Claim the key, or return the first answer."""
        known_hash, answer = self.kept.setdefault((project_id, idempotency_key), (request_hash, b""))
        if known_hash != request_hash:
            raise ConflictError("That idempotency key was used with another request.", field="idempotency_key")
        return answer or None

    async def finish(self, project_id: UUID, idempotency_key: str, answer: bytes) -> bytes:
        """Keep the answer unless there is one; return the one that is kept."""
        request_hash, known = self.kept[project_id, idempotency_key]
        self.kept[project_id, idempotency_key] = (request_hash, known or answer)
        return known or answer


class ToldOutbox:
    """An `Outbox` and a `Cancel` that know what the test put into `contents`, by project and message."""

    def __init__(self, engine: RecordingEngine) -> None:
        self._engine: Final = engine
        self.contents: Final[dict[tuple[UUID, UUID], ContentView]] = {}
        self.resent: Final[list[tuple[UUID, Sequence[str], Sequence[RecipientStatus], str]]] = []
        self.cancelled: Final[list[UUID]] = []
        self.asked_for: Final[list[str]] = []

    async def content(self, project_id: UUID, message_id: UUID, *, recipient: str = "") -> ContentView:
        """Return the content of this project's message; remember whose was asked for."""
        self.asked_for.append(recipient)
        view = self.contents.get((project_id, message_id))
        if view is None:
            raise NotFoundError("There is no such message.", field="id")
        return view

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
        """Remember the wish; answer as the engine does."""
        view = await self.content(project_id, message_id)
        self.resent.append((message_id, to, statuses, idempotency_key))
        made = Submission(sender=view.sender, recipients=tuple(to) or ("all@x.example",), subject=view.subject)
        return await self._engine(
            project_id, made, idempotency_key=idempotency_key, request_hash=request_hash, domains=domains
        )

    async def cancel(self, project_id: UUID, message_id: UUID) -> int:
        """Remember it. An unknown one is called as `engine.control` calls it."""
        if (project_id, message_id) not in self.contents:
            raise NotFoundError("There is no such session.", field="session")
        self.cancelled.append(message_id)
        return 1


async def keep_content(given: Sequence[Given]) -> tuple[Attachment, ...]:
    """Be a `ResolveFiles` for which the content in base64 is the content."""
    return tuple(
        Attachment(name=one.name, type=one.type, content=(one.content or "").encode(), content_id=one.content_id)
        for one in given
    )
