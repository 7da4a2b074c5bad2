"""What can go wrong with a call, as exceptions.

ClientError
├── SetupError                no address or key, or one that cannot be right; nothing was sent
├── NoAnswerError             after all tries: no connection, or no whole answer; `is_sent`: it may have been done
│   └── AnswerTimeoutError    ... because the time was up
├── WebhookRefusedError       a call to your server that Outrider did not make with that secret, or made long ago
├── AnswerUnreadableError     something answered that is not Outrider's API: a proxy, another server, a redirect
└── ProblemError              Outrider said no: `code`, `detail`, `field`, `request_id`, `retry_after_s`
    ├── BadRequestError       the request is wrong: `field` says where                       400 and all other 4xx
    ├── UnauthenticatedError  no key, or none that counts                                    401
    ├── ForbiddenError        the key may not do this                                        403
    ├── NotFoundError         no such thing, or another project's                            404
    ├── ConflictError         it contradicts what is stored; an idempotency key used twice   409
    ├── TooLargeError                                                                        413
    ├── LimitReachedError     a rate or a quota; `retry_after_s` says when it is over        429
    └── ServerError           Outrider's own trouble, or that of a proxy before it           5xx

`code` is the word of docs/reference/errors.md and stays; `detail` is for people and may change. No error holds the key.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec


class ClientError(Exception):
    """Root of every error of this client."""


class SetupError(ClientError):
    """The client cannot be made so; says which argument or variable to change."""


class NoAnswerError(ClientError):
    """No whole answer came, in any of the tries."""

    def __init__(self, reason: str, *, is_sent: bool, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_sent: Final = is_sent  # False: no request of ours ever left, so nothing has happened there.
        self.is_final: Final = is_final  # No later try will end otherwise: a certificate that is not trusted.


class AnswerTimeoutError(NoAnswerError):
    """... in the time that it was given."""


class WebhookRefusedError(ClientError):
    """A call that Outrider did not make with that secret, or made long ago."""


class AnswerUnreadableError(ClientError):
    """What answered is not Outrider's API, or speaks another version of it."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status: Final = status


class Fault(msgspec.Struct, frozen=True):
    """One of several things wrong with a request."""

    field: str = ""
    detail: str = ""


class Problem(msgspec.Struct, frozen=True):
    """What Outrider says of an error: the problem details of its answer."""

    title: str = ""
    status: int = 0
    code: str = ""
    detail: str = ""
    field: str = ""
    request_id: str = ""
    errors: Sequence[Fault] = ()
    retry_after_s: float | None = None


class ProblemError(ClientError):
    """Outrider refused the call, and says why."""

    def __init__(self, problem: Problem) -> None:
        where = f"{problem.field}: " if problem.field else ""
        known_by = f" (request {problem.request_id})" if problem.request_id else ""
        super().__init__(f"{where}{problem.detail or problem.title or problem.status}{known_by}")
        self.status: Final = problem.status
        self.code: Final = problem.code  # "": a proxy answered, not Outrider.
        self.detail: Final = problem.detail
        self.field: Final = problem.field  # "": it is about the whole request.
        self.request_id: Final = problem.request_id
        self.faults: Final = tuple(problem.errors)
        self.retry_after_s: Final = problem.retry_after_s  # None: nothing was said.


class BadRequestError(ProblemError):
    """The request is wrong; repeated as it is, it fails again."""


class UnauthenticatedError(ProblemError):
    """No key, or none that counts."""


class ForbiddenError(ProblemError):
    """The key may not do this."""


class NotFoundError(ProblemError):
    """There is no such thing, or it is another project's."""


class ConflictError(ProblemError):
    """It contradicts what is stored."""


class TooLargeError(ProblemError):
    """It is over a limit of size."""


class LimitReachedError(ProblemError):
    """A rate or a quota is used up."""


class ServerError(ProblemError):
    """Trouble on the other side."""


_BY_STATUS: Final[Mapping[int, type[ProblemError]]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    429: LimitReachedError,
}


def error_of(problem: Problem) -> ProblemError:
    """Return the exception for a problem, by its status."""
    kind = ServerError if problem.status >= 500 else BadRequestError
    return _BY_STATUS.get(problem.status, kind)(problem)
