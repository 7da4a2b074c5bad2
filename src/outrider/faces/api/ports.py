"""What the API needs from the floors below. `app.py` passes the real ones, tests pass doubles from `testing.engine`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from outrider.engine.submission import Accepted, Attachment, Submission
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.services.attachments import Given
from outrider.services.mail import MessageView
from outrider.services.reports import SessionView


class Accept(Protocol):
    """`engine.accept`, the one way in."""

    async def __call__(self, project_id: UUID, submission: Submission, *, idempotency_key: str = "") -> Accepted:
        """Return once the submission is on disk.

        Raises:
            CallerError: its `field` names the field of `Submission` at fault.
            NotFoundError: field "sender": unknown, unverified or another project's.
            BusyError, StoreError: nothing was kept.
        """


class Authenticate(Protocol):
    """From a key pair to its project."""

    async def __call__(self, access_key_id: str, access_key_secret: str) -> UUID:
        """Return the project's id.

        Raises:
            UnauthenticatedError: no such pair, or it is revoked.
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


class MailReader(Protocol):
    """The mail of a project, as it stands now (`services.mail`)."""

    async def message(self, project_id: UUID, message_id: UUID) -> MessageView:
        """Return the message. Raises NotFoundError."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, in one argument."""

    accept: Accept
    authenticate: Authenticate
    report_session: SessionReport
    resolve_files: ResolveFiles
    mail: MailReader
    is_ready: Callable[[], Awaitable[bool]]
    new_request_id: Callable[[], UUID]
    log: Logger
    metrics: Metrics
    has_mailbox: bool = False  # Catch mode: the front page links to it.
