"""Doubles of what the faces stand on: an engine that remembers, keys that are given, reports that are told.

They hold no rules: a test says what to answer or to raise, so no rule of the engine is written twice.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final
from uuid import UUID

from outrider.base.errors import NotFoundError, UnauthenticatedError
from outrider.engine.submission import Accepted, Attachment, Rejected, Submission
from outrider.services.access import Allowance, Caller, Credentials
from outrider.services.attachments import Given
from outrider.services.mail import MessageView
from outrider.services.reports import SessionView
from outrider.services.roster import SenderPage, SenderQuery

SESSION_ID: Final = UUID("0197a000-0000-7000-8000-00000000beef")


class RecordingEngine:
    """An `Accept`: takes everything, unless the test set `answer` or `error`."""

    def __init__(self) -> None:
        self.domains: Final[list[Set[str]]] = []  # As `calls`: what the caller's key may send from.
        self.calls: Final[list[tuple[UUID, Submission, str]]] = []  # Project, submission, idempotency key.
        self.answer: Accepted | None = None
        self.error: Exception | None = None

    @property
    def submissions(self) -> list[Submission]:
        """What was handed in, oldest first, refused ones included."""
        return [submission for _, submission, _ in self.calls]

    async def __call__(
        self, project_id: UUID, submission: Submission, *, idempotency_key: str = "", domains: Set[str] = frozenset()
    ) -> Accepted:
        """Remember the call; then do as the test said."""
        self.domains.append(domains)
        self.calls.append((project_id, submission, idempotency_key))
        if self.error is not None:
            raise self.error
        return self.answer or Accepted(session_id=SESSION_ID, recipient_count=len(set(submission.recipients)))


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


class KeyRing:
    """An `Authenticate` and a `Spend` that know the given pairs.

    A test says with `terms` what a key may do, by its id: fields of `Caller`. Tokens and signatures are its secret.
    """

    def __init__(self, projects: Mapping[tuple[str, str], UUID]) -> None:
        self._projects: Final = projects
        self.terms: Final[dict[str, Mapping[str, Any]]] = {}
        self.shown: Final[list[Credentials]] = []  # All of them, good or bad.
        self.spent: Final[list[str]] = []  # Ids of keys.
        self.allowance = Allowance(0, 0, 0.0)
        self.error: Exception | None = None  # What `spend` raises.

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
    """A `MailReader` that knows the messages that the test put into `views`, by project and id."""

    def __init__(self) -> None:
        self.views: Final[dict[tuple[UUID, UUID], MessageView]] = {}

    async def message(self, project_id: UUID, message_id: UUID) -> MessageView:
        """Return the view of this project's message."""
        view = self.views.get((project_id, message_id))
        if view is None:
            raise NotFoundError("There is no such email.", field="id")
        return view


async def keep_content(given: Sequence[Given]) -> tuple[Attachment, ...]:
    """Be a `ResolveFiles` for which the content in base64 is the content."""
    return tuple(
        Attachment(name=one.name, type=one.type, content=one.content.encode(), content_id=one.content_id)
        for one in given
    )
