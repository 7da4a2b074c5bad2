"""The error tree. A failed delivery is not in it: that is a `Verdict`, a value.

OutriderError                        code, status, ret_code, smtp: class attributes, stable for ever
├── CallerError                      the request is wrong; repeated as is, it fails again       4xx
│   ├── MissingFieldError            a required field is absent
│   ├── TemplateError                a template that cannot be compiled, or not be filled in with this
│   │   └── TemplateBoundError       ... because it makes or does too much, whoever it is for
│   ├── UnauthenticatedError         no key, or not a valid one                                 401
│   │   ├── SignatureError           a signed call whose signature is not the key's
│   │   ├── TimestampError           ... that says it was made long ago, or later than now
│   │   ├── TokenUnreadableError     an access token that is none
│   │   └── TokenInvalidError        ... that is not ours, is over, or of a key that is
│   ├── ForbiddenError               a valid key that may not do this                           403
│   ├── NotFoundError                                                                           404
│   ├── ConflictError                                                                           409
│   ├── TooLargeError                                                                           413
│   ├── ContentRefusedError          content that junk filters refuse                           422
│   └── LimitReachedError            ... until `retry_after_s` has passed                       429
├── BusyError                        we shed load on purpose; come back later                   503
├── StoreError                       the database failed us                                     503
│   ├── StoreUnavailableError        it is away, or refuses writes; nothing was kept
│   └── StoreCorruptError            what it holds cannot be read; ours to mend                 500
├── ConfigError                      the settings are wrong; the start stops                    500
└── ProtocolError
    ├── LocalProtocolError           our bug
    └── RemoteProtocolError          theirs

Each class carries all its public faces: the native `code`, the HTTP `status`, uSpeedo's `ret_code`
(shared/uspeedo.md 1.9) and the SMTP reply `smtp` (RFC 5321 §4.2.3, RFC 3463). Faces render them; nobody decides twice.
"""

from typing import ClassVar, Final


class OutriderError(Exception):
    """Root of every error we raise on purpose.

    `public` is read by strangers: it never holds a path, a host name, SQL or another project's data.
    `detail` is read by operators: it goes to the log and nowhere else.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    ret_code: ClassVar[int] = 215400
    smtp: ClassVar[str] = "451 4.3.0"

    def __init__(self, public: str, **detail: object) -> None:
        super().__init__(public)
        self.public: Final = public
        self.detail: Final = detail


class CallerError(OutriderError):
    """The caller must change the request. `field` names the part at fault, "" if it is the whole."""

    code = "bad_request"
    status = 400
    ret_code = 215392
    smtp = "550 5.6.0"

    def __init__(self, public: str, *, field: str = "", **detail: object) -> None:
        super().__init__(public, **detail)
        self.field: Final = field


class MissingFieldError(CallerError):
    """A required field is absent; `field` says which."""

    code = "missing_field"
    ret_code = 215397


class TemplateError(CallerError):
    """A template cannot be compiled, or not be rendered with what it was given. `field` names the part, or variable."""

    code = "template"


class TemplateBoundError(TemplateError):
    """A template makes or does too much. Another recipient's variables will hardly help."""

    code = "template_bound"


class UnauthenticatedError(CallerError):
    """No credentials, or none that we know. Never says which half was wrong."""

    code = "unauthenticated"
    status = 401
    ret_code = 215393
    smtp = "535 5.7.8"


class SignatureError(UnauthenticatedError):
    """The signature of a signed call is not what its key makes of its body, or its nonce was used before."""

    code = "signature_wrong"
    ret_code = 215394


class TimestampError(UnauthenticatedError):
    """A signed call says that it was made more than five minutes from now, or does not say when."""

    code = "timestamp_expired"
    ret_code = 215395


class TokenUnreadableError(UnauthenticatedError):
    """What came as an access token has not the form of one."""

    code = "token_unreadable"
    ret_code = 215398


class TokenInvalidError(UnauthenticatedError):
    """An access token that we did not issue, that is over, or whose key is."""

    code = "token_invalid"
    ret_code = 215399


class ForbiddenError(CallerError):
    """The key is valid but may not do this."""

    code = "forbidden"
    status = 403
    ret_code = 215393
    smtp = "550 5.7.1"


class NotFoundError(CallerError):
    """No such thing, or it belongs to somebody else; the two are never told apart."""

    code = "not_found"
    status = 404
    ret_code = 215396
    smtp = "550 5.1.0"


class ConflictError(CallerError):
    """The request contradicts what is stored, such as a name already taken."""

    code = "conflict"
    status = 409


class TooLargeError(CallerError):
    """Over a size limit of `base.limits`."""

    code = "too_large"
    status = 413
    smtp = "552 5.3.4"


class ContentRefusedError(CallerError):
    """The content is what junk filters refuse; what is said of it is the project's own business."""

    code = "content_refused"
    status = 422
    smtp = "550 5.7.1"


class LimitReachedError(CallerError):
    """A quota is used up. Trying again before `retry_after_s` is pointless."""

    code = "limit_reached"
    status = 429
    ret_code = 215400
    smtp = "452 4.5.3"

    def __init__(self, public: str, *, retry_after_s: float, field: str = "", **detail: object) -> None:
        super().__init__(public, field=field, **detail)
        self.retry_after_s: Final = retry_after_s


class BusyError(OutriderError):
    """We shed load on purpose: queues inside this process are full, or it is stopping."""

    code = "busy"
    status = 503
    smtp = "451 4.3.2"


class StoreError(OutriderError):
    """The database failed. Nothing of the request was kept."""

    code = "store"
    status = 503


class StoreUnavailableError(StoreError):
    """The database is away, starting, full or read-only. The same request may succeed later."""

    code = "store_unavailable"


class StoreCorruptError(StoreError):
    """A stored value cannot be read or decrypted. An operator must look."""

    code = "store_corrupt"
    status = 500


class ConfigError(OutriderError):
    """A setting is unknown, malformed or out of bounds; `public` names it and the line to change."""

    code = "config"


class ProtocolError(OutriderError):
    """Somebody broke a wire protocol."""

    code = "protocol"


class LocalProtocolError(ProtocolError):
    """We asked the protocol machine for something out of turn. A bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. Never raised for anything we did."""
