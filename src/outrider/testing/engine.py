"""Doubles of what the faces stand on: an engine that remembers, keys that are given, reports that are told.

They hold no rules: a test says what to answer or to raise, so no rule of the engine is written twice.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from outrider.base.errors import NotFoundError, UnauthenticatedError
from outrider.engine.submission import Accepted, Attachment, Submission
from outrider.services.attachments import Given
from outrider.services.mail import MessageView
from outrider.services.reports import SessionView

SESSION_ID: Final = UUID("0197a000-0000-7000-8000-00000000beef")


class RecordingEngine:
    """An `Accept`: takes everything, unless the test set `answer` or `error`."""

    def __init__(self) -> None:
        self.calls: Final[list[tuple[UUID, Submission, str]]] = []  # Project, submission, idempotency key.
        self.answer: Accepted | None = None
        self.error: Exception | None = None

    @property
    def submissions(self) -> list[Submission]:
        """What was handed in, oldest first, refused ones included."""
        return [submission for _, submission, _ in self.calls]

    async def __call__(self, project_id: UUID, submission: Submission, *, idempotency_key: str = "") -> Accepted:
        """Remember the call; then do as the test said."""
        self.calls.append((project_id, submission, idempotency_key))
        if self.error is not None:
            raise self.error
        return self.answer or Accepted(session_id=SESSION_ID, recipient_count=len(set(submission.recipients)))


class KeyRing:
    """An `Authenticate` that knows the given pairs."""

    def __init__(self, projects: Mapping[tuple[str, str], UUID]) -> None:
        self._projects: Final = projects

    async def __call__(self, access_key_id: str, access_key_secret: str) -> UUID:
        """Return the project of the pair."""
        project_id = self._projects.get((access_key_id, access_key_secret))
        if project_id is None:
            raise UnauthenticatedError("The key pair is not known, or it was revoked.")
        return project_id


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
